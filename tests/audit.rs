//! The audit trail as administrators see it: rows of refusals and their explanations, what the
//! trail never contains, and listing and following it.
//!
//! - `refusals`: the rows of refusals
//! - `explanation`: `audit explain`
//! - `listing`: `audit list` and `audit follow`

mod explanation;
mod listing;
mod refusals;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Output, Server, cli_in};

/// The rows that `audit list` prints.
fn rows(output: &Output) -> Vec<Value> {
    assert_eq!(output.status, Some(0), "{output:?}");
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

pub(crate) fn listed(server: &Server, more: &[&str]) -> Vec<Value> {
    rows(&server.cli(&[&["audit", "list", "-o", "jsonl"], more].concat()))
}

pub(crate) fn left_behind(directory: &TempDir, more: &[&str]) -> Vec<Value> {
    rows(&cli_in(
        directory,
        &[&["audit", "list", "-o", "jsonl"], more].concat(),
    ))
}

pub(crate) fn of_kind<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["kind"] == kind).collect()
}
