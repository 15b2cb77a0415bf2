//! The command line, as scripts and people use it.
//!
//! - `conventions`: what all commands have in common: exit statuses, help and man pages, and the
//!   use of the output streams; and a server whose standard error is broken.
//! - `tokens`: the commands about tokens: issued, rotated, revoked, and how long they are valid.
//! - `users`: the commands about users, with a server running and without one.
//! - `start`: how a server starts: what it shows on a terminal and without one, at which address it
//!   listens, and which of its files others can read.

mod conventions;
mod start;
mod tokens;
mod users;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::clock::Instant as Moment;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Output, Running, command_on};

const PATIENCE: Duration = Duration::from_secs(60);

/// Asserts the exit status and a part of standard error, and that a failure prints no data.
fn check(output: &Output, status: i32, stderr: &str) {
    assert_eq!(output.status, Some(status), "{output:?}");
    assert!(output.stderr.contains(stderr), "{output:?}");
    if status != 0 {
        assert_eq!(output.stdout, "", "{output:?}");
    }
}

/// Starts a server that logs as much as it can, and waits for its socket.
fn serve(data_dir: &Path, stderr: impl Into<Stdio>) -> Running {
    let server = command_on(data_dir)
        .args(["-vv", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let server = Running(server.expect("the binary runs"));
    let deadline = Instant::now() + PATIENCE;
    while !data_dir.join("admin.sock").exists() {
        assert!(Instant::now() < deadline, "the server did not start");
        thread::sleep(Duration::from_millis(5));
    }
    server
}

/// Sends SIGTERM and waits for the end of the server; `None` if it has to be killed.
fn stop(server: &mut Child) -> Option<ExitStatus> {
    kill_process(Pid::from_child(server), Signal::TERM).expect("it still runs");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let status = server.try_wait().expect("it is a child of this process");
        if status.is_some() {
            return status;
        }
        thread::sleep(Duration::from_millis(5));
    }
    server.kill().ok();
    None
}

/// Runs a command on a terminal of this width, and returns what it shows on both streams.
fn shown_on_a_terminal(columns: u16, command: &mut Command) -> String {
    let (mut screen, keyboard) = start::terminal();
    resize(&keyboard, columns);
    command
        .stdout(keyboard.try_clone().expect("a descriptor"))
        .stderr(keyboard);
    let mut running = command.spawn().expect("the binary runs");
    // Closes the command's copies of the terminal: reading ends only when nobody has it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut shown = Vec::new();
    screen.read_to_end(&mut shown).ok();
    running.wait().expect("it is a child of this process");
    let shown = String::from_utf8(shown).expect("text");
    shown.replace("\r\n", "\n")
}

fn resize(terminal: &File, columns: u16) {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("ours");
}

/// Asserts that the one token in a listing is valid for a year.
fn assert_good_for_a_year(listing: &Output) {
    const DAY: i64 = 86_400;
    check(listing, 0, "");
    let token: serde_json::Value = serde_json::from_str(&listing.stdout).expect("one token");
    let [created, expires] = ["created", "expires"].map(|name| {
        let moment = token[name].as_str().and_then(Moment::parse);
        moment.expect("a moment").seconds()
    });
    let life = expires - created;
    assert!((364 * DAY..=366 * DAY).contains(&life), "{token}");
}
