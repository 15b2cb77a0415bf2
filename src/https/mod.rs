//! The HTTPS server: TLS and HTTP/1.1 on blocking sockets, with one worker per connection. It is
//! strict in what it reads, bounded in what it holds, and sets an absolute deadline on everything
//! that a peer could drag out.
//!
//! ```text
//! listener ──▶ connections (who may stay) ──▶ workers ──▶ connection:
//!
//!   handshake ──▶ idle ──▶ head ──▶ framing ──▶ admit ──▶ body ──▶ answer ──▶ write ─┐
//!      │           ▲ │       │         │          │         │                       │
//!      │           │ │       └─────────┴──────────┴─────────┴─▶ refuse              │
//!      │           │ │                                            │ │               │
//!      ▼           │ ▼                                            │ ▼               │
//!    close ◀───────┼─close ◀──────────────────────────────────────┼─linger          │
//!                  └──────────────────────────────────────────────┴─────────────────┘
//! ```
//!
//! Lingering ends a connection in such a way that the peer can still read everything that was sent.
//!
//! Out of scope: HTTP/2, client certificates, early data, compression.

mod connection;
mod connections;
mod deadline;
mod linger;
mod listener;
mod slot;
mod tls;
mod workers;

pub use listener::{Server, bind};
pub use tls::server_config;
