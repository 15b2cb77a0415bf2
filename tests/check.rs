//! `check`: each failure that it can report is provoked, and the command that it prints fixes it.
//!
//! - `machine`: configuration, data directory, files, clock, disk
//! - `server`: the server, its tokens and its store
//! - `network`: names, ports, certificates, and other programs that answer in the server's place
//! - `proxy`: what a proxy in front of the server breaks
//! - `like`: `--write`, and `--like PROVIDER`
//! - `findings`: the output as a whole, and the table that gives each finding its test

mod findings;
mod like;
mod machine;
mod network;
mod proxy;
mod server;
