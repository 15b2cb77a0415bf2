//! Backups: made, checked and restored, with a server running and without one.
//!
//! - `copies`: a backup is made: under load, to a file or to standard output; a damaged one is
//!   noticed, and nothing is overwritten.
//! - `restore`: a backup takes the place of a store, and says what came back with it.
//! - `numbers`: what is never given twice on the two sides of a restore: entity tags, eras, and the
//!   numbers of audit rows.

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
