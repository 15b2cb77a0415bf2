//! Making a backup under load, to a file or to standard output; a damaged backup is noticed, and
//! nothing is overwritten.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use golinks_scim::secret::{hex, sha256};
use serde_json::Value;
use tempfile::TempDir;

use super::{lines, rows, users};
use crate::support::{Server, Talk, body, cli_in, command_on, send};

#[test]
fn a_backup_made_under_load_is_one_state_and_comes_back() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for number in 0..200 {
        talk.create(&format!("user{number}"));
    }
    let file = talk.server.data_dir().join("copy.redb");
    let file = file.to_str().expect("a path of text").to_owned();
    let is_over = AtomicBool::new(false);
    let written = AtomicUsize::new(0);
    let made = thread::scope(|scope| {
        let mut writers = Vec::new();
        for writer in 0..4 {
            let mut client = talk.server.client();
            let (is_over, written, authorization) = (&is_over, &written, &talk.authorization);
            writers.push(scope.spawn(move || {
                for turn in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // Each writer numbers its users: a consistent state holds all of them up to
                    // some number.
                    let user = body(&format!("late{writer}.{turn}"));
                    let answer = send(&mut client, authorization, "POST", "/Users", Some(&user));
                    assert_eq!(answer.expect("an answer").status, 201);
                    written.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        while written.load(Ordering::SeqCst) < 40 {
            thread::yield_now();
        }
        // On a busy disk the backup may be complete before any writer has written; then it is
        // repeated.
        let made = loop {
            let before = written.load(Ordering::SeqCst);
            let made = talk.server.cli(&["backup", "create", &file]);
            let has_ended = |writer: &thread::ScopedJoinHandle<'_, ()>| writer.is_finished();
            assert!(!writers.iter().any(has_ended), "a writer has ended");
            if made.status != Some(0) || written.load(Ordering::SeqCst) > before {
                break made;
            }
            std::fs::remove_file(&file).expect("it was made");
        };
        is_over.store(true, Ordering::SeqCst);
        made
    });
    assert_eq!(made.status, Some(0), "{made:?}");
    let verified = talk.server.cli(&["backup", "verify", &file]);
    assert_eq!(
        (verified.status, &verified.stdout),
        (Some(0), &made.stdout),
        "{verified:?}"
    );
    let again = talk.server.cli(&["backup", "create", &file]);
    assert_eq!(again.status, Some(64), "{again:?}");
    assert!(again.stderr.contains("exists already"), "{again:?}");
    let busy = talk.server.cli(&["backup", "restore", &file]);
    assert_eq!(busy.status, Some(69), "{busy:?}");
    assert!(busy.stderr.contains("stop the server first"), "{busy:?}");

    let live = users(&talk.server);
    let directory = talk.server.stop_and_keep();
    let server = Server::start_on(directory);
    let directory = server.stop_and_keep();
    let offline = cli_in(&directory, &["backup", "restore", &file]);
    assert_eq!(offline.status, Some(0), "{offline:?}");
    assert_eq!(offline.stdout, made.stdout);
    let server = Server::start_on(directory);
    let restored = users(&server);
    // The backup is one consistent state: the first 200 users, at least 40 more, and each writer's
    // users up to some number.
    assert!(restored.len() >= 240 && restored.len() <= live.len());
    for writer in 0..4 {
        let prefix = format!("late{writer}.");
        let numbers: Vec<usize> = restored
            .iter()
            .filter_map(|user| {
                user["userName"]
                    .as_str()?
                    .strip_prefix(&prefix)?
                    .parse()
                    .ok()
            })
            .collect();
        let all: Vec<usize> = (0..numbers.len()).collect();
        assert_eq!(numbers, all, "{prefix}");
    }
    // Locations contain the server's port, which has changed.
    let same = |left: &Value, right: &Value| {
        ["id", "userName", "emails", "name", "active"]
            .iter()
            .all(|name| left[name] == right[name])
            && left["meta"]["version"] == right["meta"]["version"]
            && left["meta"]["created"] == right["meta"]["created"]
    };
    let changed = restored
        .iter()
        .zip(&live)
        .find(|(left, right)| !same(left, right));
    assert_eq!(changed, None, "each user is what it was");
    let kept: Vec<_> = std::fs::read_dir(server.data_dir())
        .expect("the directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("before-"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    server.stop();
}

#[test]
fn a_damaged_backup_is_told_and_not_put_back() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for number in 0..50 {
        talk.create(&format!("user{number}"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.redb");
    let made = talk
        .server
        .cli(&["backup", "create", good.to_str().expect("text")]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let bytes = std::fs::read(&good).expect("the backup");
    let directory = talk.server.stop_and_keep();
    let bad = folder.path().join("bad.redb");
    let name = bad.to_str().expect("text");
    let mut told = 0;
    let written: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    for at in written.iter().copied().step_by(written.len() / 39) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&bad, &damaged).expect("written");
        let verified = cli_in(&directory, &["backup", "verify", name]);
        // Some pages hold old data that is no longer in use; in all others, a flipped bit is
        // noticed.
        match verified.status {
            Some(0) => assert_eq!(
                verified.stdout.split(", sha256").next(),
                made.stdout.split(", sha256").next(),
                "{at}"
            ),
            Some(65) => {
                told += 1;
                let restored = cli_in(&directory, &["backup", "restore", name]);
                assert_eq!(restored.status, Some(65), "{at}: {restored:?}");
            }
            other => panic!("{at}: {other:?} {verified:?}"),
        }
    }
    let other = "the file does not begin like a store of golinks-scim";
    for (content, why) in [
        ("", "the file is empty"),
        ("a", other),
        ("a,b\nc,d\n", other),
    ] {
        std::fs::write(&bad, content).expect("written");
        for command in ["verify", "restore"] {
            let refused = cli_in(&directory, &["backup", command, name]);
            assert_eq!(refused.status, Some(65), "{refused:?}");
            let told = format!(" is not a sound backup: {why}\nhint: name another file, one that ");
            assert!(refused.stderr.contains(&told), "{refused:?}");
        }
    }
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).expect("written");
    let cut = cli_in(&directory, &["backup", "verify", name]);
    assert_eq!(cut.status, Some(65), "{cut:?}");
    assert!(!cut.stderr.contains("I/O error"), "{cut:?}");
    let none = cli_in(&directory, &["backup", "verify", "/nowhere/at.all"]);
    assert_eq!(none.status, Some(74), "{none:?}");
    assert!(told >= 10, "only {told} of 40 flipped bits were told");
    let server = Server::start_on(directory);
    assert_eq!(users(&server).len(), 50);
    server.stop();
}

/// A large copy takes minutes, and each leaves a row in the audit trail.
#[test]
fn no_copy_is_made_for_a_name_that_no_file_can_have() {
    let server = Server::start();
    let folder = TempDir::new().expect("a folder");
    for (name, status, told) in [
        (
            "new/".to_owned(),
            64,
            "new/: what ends with / is no name of",
        ),
        (String::new(), 64, " is a directory\nhint: name a file"),
        ("l".repeat(256), 74, "too long"),
    ] {
        let file = folder.path().join(name).display().to_string();
        let refused = server.cli(&["backup", "create", &file]);
        assert_eq!(refused.status, Some(status), "{refused:?}");
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    let rows = server.cli(&["audit", "list", "-o", "jsonl"]).stdout;
    assert!(!rows.contains("backup.create"), "{rows}");
    server.stop();
}

/// On Linux the name of a file may contain any bytes.
#[test]
fn the_name_of_a_backup_need_not_be_text() {
    let directory = Server::start().stop_and_keep();
    let file = directory.path().join(OsStr::from_bytes(b"copy\xff.redb"));
    for command in ["create", "verify", "restore"] {
        let data_dir = directory.path().join("data");
        let done = command_on(&data_dir)
            .args(["backup", command])
            .arg(&file)
            .output();
        let done = done.expect("the binary runs");
        assert_eq!(done.status.code(), Some(0), "{command} {done:?}");
    }
    let told = rows(&directory);
    let row = told.last().expect("a row");
    let path = row["path"].as_str().expect("text");
    assert!(path.ends_with("/copy\u{fffd}.redb"), "{row}");
}

#[test]
fn a_backup_to_standard_output_is_the_backup() {
    let server = Server::start();
    let add = ["user", "add", "jane@example.com", "--given", "Jane"];
    assert_eq!(server.cli(&add).status, Some(0));
    let work = TempDir::new().expect("a folder");
    let streamed = |output: Stdio| {
        let mut command = command_on(&server.data_dir());
        command.args(["backup", "create", "-"]).stdout(output);
        command
            .current_dir(&work)
            .output()
            .expect("the binary runs")
    };
    let made = streamed(Stdio::piped());
    let told = String::from_utf8_lossy(&made.stderr);
    assert_eq!(made.status.code(), Some(0), "{told}");
    assert!(told.contains("written to standard output"), "{told}");
    let digest = hex(&sha256(&made.stdout));
    assert!(told.contains(&format!(
        "1 user, 0 tokens, 1 audit row, format 4, sha256 {digest}"
    )));

    let file = work.path().join("night.redb");
    let name = file.to_str().expect("text");
    let redirected = streamed(File::create_new(&file).expect("a file").into());
    assert_eq!(redirected.status.code(), Some(0), "{redirected:?}");
    let verified = server.cli(&["backup", "verify", name]);
    assert_eq!(verified.status, Some(0), "{verified:?}");

    // A backup is refused if the output cannot take and keep all of it, or is a terminal.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let cut = streamed(writer.into());
    assert_eq!(cut.status.code(), Some(74), "{cut:?}");
    let terminal = File::options().write(true).read(true).open("/dev/ptmx");
    let refused = streamed(terminal.expect("a terminal").into());
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: "));
    let closed = File::options().write(true).open("/dev/null");
    let refused = streamed(closed.expect("it is there").into());
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    let full = File::options().write(true).open("/dev/full");
    let full = streamed(full.expect("a full disk").into());
    assert_eq!(full.status.code(), Some(74), "{full:?}");

    for command in ["verify", "restore"] {
        let refused = server.cli(&["backup", command, "-"]);
        assert_eq!(refused.status, Some(64), "{refused:?}");
        assert!(
            refused.stderr.contains("hint: save it to a file"),
            "{refused:?}"
        );
    }
    let files_in = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("the folder");
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(files_in(work.path()), ["night.redb"]);
    let left = files_in(&server.data_dir());
    let copies = left
        .iter()
        .filter(|name| name.contains("redb") && *name != "users.redb");
    assert_eq!(copies.count(), 0, "{left:?}");
    let rows = server.cli(&["audit", "list", "-o", "jsonl"]).stdout;
    let streams = lines(&rows)
        .iter()
        .filter(|row| row["path"] == "/dev/stdout")
        .count();
    assert_eq!(streams, 4, "{rows}");
    server.stop();
}

/// The next backup removes a copy that nobody has fetched, unless somebody may still be fetching
/// it.
#[test]
fn a_copy_that_was_abandoned_goes_with_the_next_backup() {
    let server = Server::start();
    let data_dir = server.data_dir();
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    let [abandoned, underway] = [("0", long_ago), ("1", SystemTime::now())].map(|(digit, time)| {
        let path = data_dir.join(format!("users.redb.new-{}", digit.repeat(16)));
        let file = File::create_new(&path).expect("made");
        file.set_modified(time).expect("ours");
        path
    });
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let made = server.cli(&["backup", "create", file.to_str().expect("text")]);
    assert_eq!(made.status, Some(0), "{made:?}");
    assert!(!abandoned.exists() && underway.exists());
    server.stop();
}
