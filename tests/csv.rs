//! Files of users, with the real binary: imported, exported and compared, with a server running
//! and without one.
//!
//! - `import`: an import from its rehearsal to its end: from a pipe, interrupted, killed, large.
//! - `format`: what a file may look like: encodings, quotes, line ends, headers, unknown columns.
//! - `values`: what the cells of a row change in a user, and what they leave unchanged.
//! - `duplicates`: several rows about one user, in one file.
//! - `rejects`: rejected rows, and the file to which they are written.
//! - `export`: what an export writes and where, and that an import accepts it.
//! - `diff`: a comparison of a file with the directory, and the commands that it prints.
//! - `leavers`: which users a comparison treats as having left or come back.

mod diff;
mod duplicates;
mod export;
mod format;
mod import;
mod leavers;
mod rejects;
mod values;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Output, Server};

/// A server and a folder for files.
struct Desk {
    server: Server,
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            server: Server::start(),
            folder: TempDir::new().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn import(&self, name: &str, more: &[&str]) -> Output {
        let path = self.path(name);
        let path = path.to_str().expect("text");
        self.server.cli(&[&["user", "import", path], more].concat())
    }

    fn diff(&self, name: &str, more: &[&str]) -> Output {
        let path = self.path(name);
        let path = path.to_str().expect("text");
        self.server.cli(&[&["user", "diff", path], more].concat())
    }

    fn export(&self, more: &[&str]) -> String {
        let output = self.server.cli(&[&["user", "export"], more].concat());
        assert_eq!(output.status, Some(0), "{output:?}");
        output.stdout
    }

    fn user(&self, who: &str) -> Value {
        let output = self.server.cli(&["user", "show", who, "-o", "jsonl"]);
        assert_eq!(output.status, Some(0), "{output:?}");
        serde_json::from_str(&output.stdout).expect("JSON")
    }
}

fn check(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status, Some(status), "{output:?}");
    for word in words {
        let is_there = output.stdout.contains(word) || output.stderr.contains(word);
        assert!(is_there, "{word}: {output:?}");
    }
}
