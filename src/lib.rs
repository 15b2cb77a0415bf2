//! SCIM 2.0 user provisioning for GoLinks, in one executable.
//!
//! # In scope
//!
//! - Users over SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865) on HTTPS, for identity providers: Okta first,
//!   Entra, OneLogin, JumpCloud and others too, including what they send beside the RFCs.
//! - A directory that survives a crash at any moment: what a 2xx says is on disk.
//! - A command line for the administrator, with the server running or not.
//!
//! # Out of scope
//!
//! - Groups: `GET /Groups` is empty, writes to it are refused with advice.
//! - Signing people in. A password that an identity provider sends is thrown away.
//! - HTTP/2, clustering, any database but the one file.
//!
//! # The map, in reading order
//!
//! ```text
//! main ─▶ cli ─▶ https ┐            access                    http1
//!           ├──▶ local ├─▶ api ─▶ certificate ─▶ columns ─▶ scim  ─▶ limits clock secret turns
//!           └──▶ idp   ┘            directory                 store    config logging metrics files mend
//!                                   manual page                        made_up locks
//! ```
//!
//! A module uses only what stands to its right; `SIBLINGS` in `tests/tidy.rs`, which enforces it,
//! lists the few exceptions. A request's way:
//!
//! ```text
//! socket ─▶ TLS ─▶ http1::Head ─▶ principal ─▶ route ─▶ scim value ─▶ directory ─▶ store
//!                                                                                   │
//! socket ◀─ TLS ◀─ http1::Answer ◀─ reply ◀─ projection ◀─ record ◀──── commit ◀────┘
//! ```
//!
//! - [`cli`]: what can be typed; `serve` starts the server; most other commands ask it, or open
//!   its store if it does not run.
//! - [`https`]: the network door; `connection.rs` reads like the story of a connection.
//! - [`local`]: the local door, a Unix socket, and the command line's client of it.
//! - [`api`]: the router that both doors share, and the one map from errors to answers.
//! - [`access`]: tokens, scopes, rate limits. [`certificate`]: the private CA and what is
//!   served.
//! - [`directory`]: what it means for a user to exist here. [`scim`]: the RFCs as values.
//!   [`store`]: rows, durably. [`columns`]: users as rows of a spreadsheet, for import and export.
//! - [`idp`]: what identity providers do, as tables that tests and tools play.
//! - [`page`]: the Team Directory, files of a page that is a client of [`api`] like others.
//! - [`http1`]: HTTP/1.1 as values. [`metrics`]: what is counted.
//! - [`config`]: what an administrator can set. [`limits`]: every bound on what comes from outside.
//! - [`clock`]: the time of day. [`secret`]: randomness, digests, what must not be printed.
//!   [`turns`]: who waits for whom. [`locks`]: after a panic. [`logging`]: lines to standard error. [`files`]: files made
//!   safely.
//! - [`made_up`]: users whose userName says that they were made for a trial.
//! - [`mend`]: what to do about something that is wrong, in words that may hold commands.
//! - [`manual`]: the long pages, such as [the protocol clause by clause](manual::protocol).
//!
//! # Invariants, by what is absent
//!
//! - No answer to a write before the sync of the commit that holds it has returned.
//! - No route of administration on the network: its handlers take an
//!   [`access::Administrator`], and only [`local`] makes one.
//! - No body is acted on before its head was authenticated and let pass: of one that is refused only
//!   what keeps the connection usable is read, within bounds, and dropped.
//! - No I/O in [`scim`], no socket in [`http1`], no clock in either; no SCIM and no HTTP in
//!   [`store`].
//! - No bound without a name in [`limits`]; no time of day but from [`clock`].
//! - No password anywhere, no token but its digest, neither in the log.

pub mod access;
pub mod api;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod columns;
pub mod config;
pub mod directory;
pub mod files;
pub mod http1;
pub mod https;
pub mod idp;
pub mod limits;
pub mod local;
pub mod locks;
pub mod logging;
pub mod made_up;
pub mod manual;
pub mod mend;
pub mod metrics;
pub mod page;
pub mod scim;
pub mod secret;
pub mod store;
pub mod turns;
