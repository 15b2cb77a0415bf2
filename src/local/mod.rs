//! The local door: administration over a Unix socket that only its owner may open, and
//! the command line's client of it. Whoever comes in here is the administrator.
//!
//! `tiny_http` reads this socket and nothing else. What it leaves out (time limits, bounds,
//! strict framing) matters on a network; behind a 0600 socket the only caller is the person
//! who owns the process.

mod client;
mod conversation;
mod door;

pub use client::{Client, Error, server_of};
pub use door::Door;

/// The header in which the command line names its user, percent-encoded: recorded as claimed.
const CLAIMED_NAME: &str = "golinks-administrator";
