//! The Team Directory in a real browser, under changes and disturbances. Run by name like
//! `directory_browser`.
//!
//! - `changes`: users change while the page shows them.
//! - `answers`: answers that come late, fail, refuse, or never come.
//! - `browser`: what the browser keeps for the page, refuses to run, and may lack.

mod answers;
mod browser;
mod changes;

/// A script that puts `meddle(path, options, go)` between the page and the network; `go` sends the
/// request.
const MEDDLE: &str = "(() => {
    const real = window.fetch;
    window.meddle = (path, options, go) => go();
    window.fetch = (path, options) => meddle(path, options, (other) =>
        real(path, {...options, ...other}));
})()";
