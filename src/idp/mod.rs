//! What identity providers send to a service provider and what they need back, as tables
//! of steps with checks, and the HTTPS client that plays them against any server.
//!
//! ```text
//! okta::spec(&person) ──▶ Suite ──▶ play::play ──▶ Report
//!                                     │    ▲
//!                       http1::client::Request  Response
//!                                     ▼    │
//!                                 client::Client ──▶ TLS ──▶ somebody's server
//! ```
//!
//! The expected values come from the providers' documents and published test files, named
//! in each step's `source`; none was recorded from this server. The tables know nothing of
//! the server that is compiled beside them.

use std::time::Duration;

use crate::http1::client::{Request, Response};

pub mod check;
pub mod client;
pub mod entra;
mod expect;
pub mod okta;
pub mod person;
pub mod play;
pub mod step;
pub mod variables;

pub use check::Check;
pub use person::Person;
pub use play::{Report, play};
pub use step::{Step, Suite};

/// Whatever carries a request to a service provider and brings the answer back.
///
/// The target of the request is relative to the base URL, such as `/Users`.
pub trait Exchange {
    /// The answer, and the time from the first byte sent to the last byte read.
    fn exchange(&mut self, request: &Request<'_>) -> Result<(Response, Duration), client::Error>;
}
