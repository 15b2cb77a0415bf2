//! The local socket: administration over a Unix socket that only its owner may open, and the
//! command line's client of it. Every caller here is the administrator.
//!
//! `tiny_http` reads only this socket. The features that it lacks (time limits, bounds, strict
//! framing) matter on a network; behind a 0600 socket the only caller is the person who owns the
//! process.

mod client;
mod conversation;
mod server;

pub use client::{Client, Error, server_of};
pub use conversation::Peer;
pub use server::Server;

/// The header with the command line's user name, percent-encoded. It is recorded as a claim.
const CLAIMED_NAME: &str = "golinks-administrator";
