//! What identity providers send to a service provider and what they need back, as tables of steps
//! with checks, and the HTTPS client that plays them against any server.
//!
//! ```text
//! okta::spec(&person) ──▶ Suite ──▶ player::play ─▶ Report
//!                                     │    ▲
//!                       http1::client::Request  Response
//!                                     ▼    │
//!                                 client::Client ──▶ TLS ──▶ somebody's server
//! ```
//!
//! The expected values come from the providers' documents and published test files, named in each
//! step's `source`; none was recorded from this server. The tables know nothing about the server
//! that is compiled alongside.
//!
//! | suites | what their provider is known for |
//! | --- | --- |
//! | [`okta`] | its published suites; GET and PUT, or PATCH without a path |
//! | [`entra`] | the SCIM Validator; two dialects of PATCH; really deletes |
//! | [`onelogin::onelogin`] | emails as one object; an empty User-Agent |
//! | [`jumpcloud::jumpcloud`] | a test user made and deleted first; a full PUT for each change |
//! | [`sailpoint::sailpoint`] | reads all of discovery before anything else |
//! | [`authentik::authentik`] | PUT again and again; a new create if a PUT finds no user |
//!
//! `check` plays them too: [`read_only::opening`] selects the steps that change nothing,
//! [`temporary_user`] is a life that leaves nothing behind, [`provider`] lists the suites for a
//! directory in use, and [`guard`] protects existing users from them.
//!
//! Okta and SailPoint need a token with the scope `provision`; all the others also delete users.

use std::time::Duration;

use crate::http1::client::{Request, Response};

pub mod authentik;
pub mod check;
pub mod client;
mod common_checks;
pub mod entra;
pub mod guard;
pub mod jumpcloud;
pub mod okta;
pub mod onelogin;
pub mod peer_probe;
pub mod person;
pub mod player;
pub mod provider;
pub mod read_only;
pub mod sailpoint;
pub mod step;
pub mod temporary_user;
pub mod variables;

pub use check::Check;
pub use person::Person;
pub use player::{Report, play};
pub use provider::{PROVIDERS, Provider};
pub use step::{Step, Suite};

/// Carries a request to a service provider and returns the answer.
///
/// The target of the request is relative to the base URL, such as `/Users`.
pub trait Exchange {
    /// The answer, and the time from the first byte sent to the last byte read.
    fn exchange(&mut self, request: &Request<'_>) -> Result<(Response, Duration), client::Error>;
}
