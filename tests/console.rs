//! The console blocks of README and manual show what really happens: each page's commands are typed
//! in order, in a new folder and with a new server, and their output is compared. `…` stands for
//! any text in a line; alone on a line, it stands for any lines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use golinks_scim::manual::PAGES;
use tempfile::TempDir;

use crate::support::place::free_address;
use crate::support::without_settings;

/// The kinds of fenced blocks other than `console`, which are not typed here.
const OTHERS: [&str; 6] = ["sh", "text", "toml", "yaml", "ini", "json"];

/// A stand-in for the service manager, so that pages can contain the commands for a real machine.
const SYSTEMCTL: &str = r#"#!/bin/bash
stop() { kill -TERM "$(cat "$HERE/pid")"; while kill -0 "$(cat "$HERE/pid")" 2>/dev/null; do sleep 0.02; done; }
start() {
    golinks-scim serve </dev/null >/dev/null 2>>"$HERE/log" &
    echo $! >"$HERE/pid"
    for _ in $(seq 1000); do [ -S "$GOLINKS_SCIM_DATA_DIR/admin.sock" ] && return; sleep 0.02; done
    echo "the server did not start"; cat "$HERE/log"
}
case "$1" in
    stop) stop ;;
    start) start ;;
    restart) stop; start ;;
    reload) kill -HUP "$(cat "$HERE/pid")" ;;
    *) echo "no stand-in for systemctl $1" ;;
esac
"#;

const SUDO: &str = "#!/bin/sh\nexec \"$@\"\n";

/// A folder in which commands are typed, with a server.
struct Desk {
    folder: TempDir,
    listen: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            folder: TempDir::new().expect("a folder"),
            listen: free_address(),
        };
        for (name, text) in [("systemctl", SYSTEMCTL), ("sudo", SUDO)] {
            let path = desk.folder.path().join("bin").join(name);
            fs::create_dir_all(path.parent().expect("bin")).expect("made");
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        fs::create_dir(desk.folder.path().join("work")).expect("made");
        assert_eq!(desk.type_line("systemctl start golinks-scim"), "");
        desk
    }

    /// Types a line, and returns what a terminal would show.
    fn type_line(&self, line: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_golinks-scim"));
        let here = self.folder.path();
        let path = format!(
            "{}:{}:{}",
            here.join("bin").display(),
            binary.parent().expect("a folder").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let port = self.listen.rsplit(':').next().expect("a port");
        let output = without_settings(&mut Command::new("bash"))
            .args(["-c", &format!("exec 2>&1\n{line}")])
            .current_dir(here.join("work"))
            .env("PATH", path)
            .env("HERE", here)
            .env("GOLINKS_SCIM_DATA_DIR", here.join("data"))
            .env("GOLINKS_SCIM_LISTEN", &self.listen)
            .env("GOLINKS_SCIM_BASE_URL", format!("https://localhost:{port}"))
            .stdin(Stdio::null())
            .output();
        String::from_utf8_lossy(&output.expect("bash").stdout).into_owned()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.type_line("systemctl stop golinks-scim");
    }
}

/// A command, the output that the page shows for it, and the line number at which that begins.
struct Typed {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// The commands of a page's console blocks; a block of an unknown kind is an error.
fn commands(name: &str, text: &str) -> Vec<Typed> {
    let mut typed: Vec<Typed> = Vec::new();
    let mut fence: Option<&str> = None;
    for (at, line) in text.lines().enumerate() {
        let here = format!("{name}:{}", at + 1);
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            let is_known = kind == "console" || OTHERS.contains(&kind);
            assert!(
                fence.is_some() || is_known,
                "{here}: a block of {kind:?}: make it console, or one of {OTHERS:?}"
            );
            fence = if fence.is_some() { None } else { Some(kind) };
            continue;
        }
        if fence != Some("console") {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            typed.push(Typed {
                line: at + 2,
                command: command.to_owned(),
                expected: Vec::new(),
            });
            continue;
        }
        let last = typed.last_mut();
        let last = last.unwrap_or_else(|| panic!("{here}: output before any command"));
        if last.command.ends_with('\\') && last.expected.is_empty() {
            last.command.push('\n');
            last.command.push_str(line);
            last.line = at + 2;
        } else {
            last.expected.push(line.to_owned());
        }
    }
    assert!(fence.is_none(), "{name}: a block that does not end");
    typed
}

/// Whether the printed lines match the expected ones.
fn are_as(expected: &[String], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=found.len()).any(|skipped| are_as(rest, &found[skipped..]))
        }
        Some((line, rest)) => found
            .split_first()
            .is_some_and(|(first, others)| is_as(line, first) && are_as(rest, others)),
    }
}

/// Whether a line matches the expected one, however wide its columns are.
fn is_as(expected: &str, found: &str) -> bool {
    let narrow = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, found) = (narrow(expected), narrow(found));
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = found.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn run(name: &str, text: &str) -> usize {
    let typed = commands(name, text);
    if typed.is_empty() {
        return 0;
    }
    let desk = Desk::new();
    for one in &typed {
        let said = desk.type_line(&one.command);
        let found: Vec<&str> = said.lines().map(str::trim_end).collect();
        assert!(
            are_as(&one.expected, &found),
            "{}",
            difference(name, one, &found)
        );
    }
    typed.len()
}

/// The line at which the output differs from the expected one, the expected lines, and the whole
/// output.
fn difference(name: &str, typed: &Typed, found: &[&str]) -> String {
    let any = "…".to_owned();
    let held = (0..=typed.expected.len()).rev().find(|count| {
        let begun = [&typed.expected[..*count], std::slice::from_ref(&any)].concat();
        are_as(&begun, found)
    });
    let held = held.unwrap_or(0);
    let (same, other) = typed.expected.split_at(held);
    let marked = |mark: &str, line: &str| format!("{mark} {line}");
    let mut told = vec![format!("{name}:{}: $ {}", typed.line + held, typed.command)];
    told.extend(same.iter().map(|line| marked(" ", line)));
    told.extend(other.iter().map(|line| marked("-", line)));
    told.extend(found.iter().map(|line| marked("+", line)));
    told.push("(- is what the page has from there on, + is all that was printed)".to_owned());
    told.join("\n")
}

#[test]
fn the_readme_is_what_happens() {
    assert!(run("README.md", include_str!("../README.md")) > 3);
}

#[test]
fn the_manual_is_what_happens() {
    let pages = PAGES.iter();
    let typed: usize = thread::scope(|scope| {
        let running: Vec<_> = pages
            .map(|page| scope.spawn(|| run(page.name, page.text)))
            .collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|count| count.expect("the page is what happens"))
            .sum()
    });
    assert!(typed > 60, "{typed} commands");
}

#[test]
fn differences_are_seen() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (expected, found, wanted) in [
        ("a", "a", true),
        ("a", "b", false),
        ("a…", "abc", true),
        ("a…c", "abc", true),
        ("a…c", "abcd", false),
        ("…b…", "abc", true),
        ("…", "x\ny", true),
        ("…\nz", "x\ny\nz", true),
        ("…\nz", "x\ny", false),
        ("a\n…", "a", true),
        ("a", "a\nb", false),
    ] {
        let found: Vec<&str> = found.lines().collect();
        assert_eq!(
            are_as(&lines(expected), &found),
            wanted,
            "{expected:?} {found:?}"
        );
    }
}

#[test]
fn a_difference_says_where_it_is() {
    let page = "text\n\n```console\n$ echo \\\n  a\none\n…\ntwo\n```\n";
    let typed = commands("page", page);
    let told = difference("page", &typed[0], &["one", "x", "three"]);
    assert!(told.starts_with("page:8: $ echo"), "{told}");
    assert!(
        told.contains("\n  one\n  …\n- two\n+ one\n+ x\n+ three\n"),
        "{told}"
    );
}

#[test]
#[should_panic(expected = "page:2: a block of \"\"")]
fn a_block_of_no_kind_is_refused() {
    commands("page", "one\n```\ntwo\n```\n");
}
