//! `check`: each failure that it knows is provoked, and the line that it prints fixes it.
//!
//! - `machine`: configuration, data directory, files, clock, disk
//! - `server`: the server, its tokens and its store
//! - `network`: names, ports, certificates, whoever else answers
//! - `proxy`: what a proxy in front of the server can break
//! - `like`: `--write`, and `--like PROVIDER`
//! - `findings`: all together, and the table that gives each finding its test

mod findings;
mod like;
mod machine;
mod network;
mod proxy;
mod server;
