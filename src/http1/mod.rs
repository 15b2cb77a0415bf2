//! HTTP/1.1 (RFC 9112) as values: bytes in, values out. No socket, no clock, no thread.
//!
//! ```text
//! bytes ──▶ head::parse ──▶ Head ──▶ framing::Framing ──▶ body: counted, or chunks::Decoder
//!                             │
//!                             ▼
//!                      (the caller answers) ──▶ Answer ──▶ answer::write_head ──▶ bytes
//! client::Request ──▶ bytes,  bytes ──▶ client::Response: the other side, for our own clients
//! ```

pub mod accept_header;
pub mod answer;
pub mod chunks;
pub mod client;
pub mod framing;
pub mod head;
mod lines;
mod method;
pub mod target;

pub use answer::{Answer, Body, Field};
pub use framing::BODY_TOO_LARGE;
pub use head::{Head, Version};
pub use method::Method;

/// Why a request cannot be read, and what to answer before closing the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status to answer with: 400, 408, 413, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// What is wrong and how to fix it, for the reader of the answer. Contains nothing from the
    /// request.
    pub detail: &'static str,
}

impl Fault {
    /// A fault with this status and detail.
    pub const fn new(status: u16, detail: &'static str) -> Self {
        Self { status, detail }
    }
}
