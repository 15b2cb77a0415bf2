//! Backups: made, checked and restored, with a server running and without one.
//!
//! - `copies`: making a backup under load, to a file or to standard output; a damaged backup is
//!   noticed, and nothing is overwritten.
//! - `restore`: replacing a store by a backup, and the report of what came back with it.
//! - `numbers`: entity tags, eras and numbers of audit rows, which are never reused across a
//!   restore.

mod copies;
mod numbers;
mod restore;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Server, cli_in};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a user"))
        .collect()
}

fn users(server: &Server) -> Vec<Value> {
    lines(&server.cli(&["user", "list", "-o", "jsonl"]).stdout)
}

/// The rows of the audit trail.
fn rows(directory: &TempDir) -> Vec<Value> {
    lines(&cli_in(directory, &["audit", "list", "-o", "jsonl"]).stdout)
}
