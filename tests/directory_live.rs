//! The Team Directory in a real browser while other things happen. Run by name like
//! `directory_browser`.
//!
//! - `changes`: users change while they are looked at.
//! - `answers`: answers that come late, fail, refuse, or never come.
//! - `browser`: what the browser keeps, refuses to run, and may lack.

mod answers;
mod browser;
mod changes;

/// Puts `meddle(path, options, go)` between the page and the network; `go` sends the request.
const MEDDLE: &str = "(() => {
    const real = window.fetch;
    window.meddle = (path, options, go) => go();
    window.fetch = (path, options) => meddle(path, options, (other) =>
        real(path, {...options, ...other}));
})()";
