//! SCIM 2.0 user provisioning for GoLinks, in one executable.
//!
//! # In scope
//!
//! - Users over SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865) on HTTPS, for identity providers: Okta
//!   first, then Entra, OneLogin, JumpCloud and others, including what they send beyond the RFCs.
//! - A directory that survives a crash at any moment: a write answered with 2xx is on disk.
//! - A command line for the administrator, with the server running or not.
//!
//! # Out of scope
//!
//! - Groups: `GET /Groups` answers an empty list, and writes are refused with advice.
//! - Signing people in. Passwords that an identity provider sends are discarded.
//! - HTTP/2, clustering, and any database other than the one file.
//!
//! # The map, in reading order
//!
//! ```text
//! main ─▶ cli ─▶ https ┐          access                    http1
//!           ├──▶ local ┴▶ api ─▶  certificate ─▶ columns ─▶ scim  ─▶ limits clock secret turns
//!           │                     directory                 store    config logging metrics files
//!           │                     manual page                        fix test_user locks network
//!           └──▶ idp ─▶ certificate http1 config limits test_user secret
//! ```
//!
//! A module uses only what stands to its right. `tests/tidy.rs` enforces this, and its `SIBLINGS`
//! lists the few exceptions. The path of a request:
//!
//! ```text
//! socket ─▶ TLS ─▶ http1::Head ─▶ principal ─▶ route ─▶ scim value ─▶ directory ─▶ store
//!                                                                                   │
//! socket ◀─ TLS ◀─ http1::Answer ◀─ reply ◀─ projection ◀─ record ◀──── commit ◀────┘
//! ```
//!
//! - [`cli`]: the command line. `serve` starts the server; most other commands send it requests, or
//!   open its store themselves if no server runs.
//! - [`https`]: the HTTPS server. `connection.rs` tells the story of one connection.
//! - [`local`]: the server at the local socket, and the command line's client for it.
//! - [`idp`]: how identity providers behave, as tables that tests and tools play.
//! - [`api`]: the router that both servers share, and the one map from errors to answers.
//! - [`access`]: tokens, scopes, rate limits. [`certificate`]: the private CA, and the certificate
//!   that is served.
//! - [`directory`]: what it means for a user to exist here.
//! - [`manual`]: the long pages, such as [the protocol clause by clause](manual::protocol).
//!   [`page`]: the files of the Team Directory, a web page that uses [`api`] like any other client.
//! - [`columns`]: users as rows of a spreadsheet, for import and export.
//! - [`http1`]: HTTP/1.1 as values. [`scim`]: the RFCs as values. [`store`]: durable rows.
//! - [`limits`]: every bound on input from outside. [`clock`]: the time of day. [`secret`]:
//!   randomness, digests, values that must not be printed. [`turns`]: bounded concurrency with a
//!   fair queue.
//! - [`config`]: the administrator's settings. [`logging`]: lines to standard error. [`metrics`]:
//!   the counters. [`files`]: safe creation of files.
//! - [`fix`]: advice on how to fix a problem, which may contain commands. [`test_user`]: test users,
//!   recognized by their userName. [`locks`]: locks after a panic. [`network`]: networks as they
//!   are typed.
//!
//! There are many files, most of them small: each holds one thing that can be read, tested and
//! named by itself, and each rule that must hold everywhere has one file in which to look for it.
//! There are type aliases only for functions, boxed or shared `dyn` types, maps, and results that
//! many functions of one module return.
//!
//! # Invariants, by what is absent
//!
//! - No write is answered before the commit that holds it has been synced.
//! - No administration route on the network: the handlers take an [`access::Administrator`], and
//!   only [`local`] makes one.
//! - No body is acted on before its head was authenticated and authorized. The body of a refused
//!   request is read only to keep the connection usable, within bounds, and dropped.
//! - No I/O in [`scim`], no socket in [`http1`], no clock in either; no SCIM and no HTTP in
//!   [`store`].
//! - No bound without a name in [`limits`]; no time of day except from [`clock`].
//! - No password anywhere, and no token except as its digest; the log holds neither.

pub mod access;
pub mod api;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod columns;
pub mod config;
pub mod directory;
pub mod files;
pub mod fix;
pub mod http1;
pub mod https;
pub mod idp;
pub mod limits;
pub mod local;
pub mod locks;
pub mod logging;
pub mod manual;
pub mod metrics;
pub mod network;
pub mod page;
pub mod scim;
pub mod secret;
pub mod store;
pub mod test_user;
pub mod turns;
