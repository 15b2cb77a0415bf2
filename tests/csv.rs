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

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Output, Server, without_settings};

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

/// The option of `env` for a command that these signals end: if the tests run in the background or
/// under `nohup`, they ignore some of them, and so would the command.
const BY_DEFAULT: &str = "--default-signal=INT,TERM,HUP";

/// The command, started by `env` with this option for signals.
fn with_signal(option: &str, command: &Command) -> Command {
    let mut started = Command::new("env");
    without_settings(&mut started)
        .arg(option)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    started
}

/// Runs a command, sends a signal once it has printed a line, and only then reads the rest of its
/// output. So it is still in its first thousand rows, waiting for its reader, when the signal
/// comes. `option` is as in [`with_signal`].
fn interrupted(option: &str, signal: Signal, command: &Command) -> Output {
    let started = with_signal(option, command).spawn();
    let mut started = started.expect("the binary runs");
    let mut reader = BufReader::new(started.stdout.take().expect("piped"));
    let mut stdout = String::new();
    reader.read_line(&mut stdout).expect("a row");
    kill_process(Pid::from_child(&started), signal).expect("it waits");
    reader.read_to_string(&mut stdout).expect("text");
    let ended = started.wait_with_output().expect("ours");
    Output {
        stdout,
        ..ended.into()
    }
}

/// A file of three thousand rows, the first of which is rejected. What is printed of a thousand is
/// more than a pipe holds.
fn rows_to_interrupt() -> String {
    let mut rows = "userName,Status\nbad@example.com,perhaps\n".to_owned();
    for number in 1..3000 {
        let _ = writeln!(rows, "u{number}@a-department-with-a-long-name.example.com,");
    }
    rows
}

fn check(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status, Some(status), "{output:?}");
    for word in words {
        let is_there = output.stdout.contains(word) || output.stderr.contains(word);
        assert!(is_there, "{word}: {output:?}");
    }
}
