//! Backups: made under load, checked, put back; damaged ones are told; nothing live is
//! touched, nothing is overwritten.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use golinks_scim::secret::{hex, sha256};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Server, Talk, body, cli_in, command_on, send, stored_number};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a user"))
        .collect()
}

fn users(server: &Server) -> Vec<Value> {
    lines(&server.cli(&["user", "list", "-o", "jsonl"]).stdout)
}

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
                    // Each writer's users are numbered: a state holds all up to some number.
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
        // On a busy disk it may be over before anything is written.
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
    assert_eq!(again.status, Some(1), "{again:?}");
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
    // One state: of each writer all up to some number, and of all the first ones.
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
    // The server's port, which stands in locations, is another one.
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
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&bad, &damaged).expect("written");
        let verified = cli_in(&directory, &["backup", "verify", name]);
        // Most of the file is empty; where it is not, a flipped bit is found.
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
    std::fs::write(&bad, b"").expect("written");
    for command in ["verify", "restore"] {
        let empty = cli_in(&directory, &["backup", command, name]);
        assert_eq!(empty.status, Some(65), "{empty:?}");
    }
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).expect("written");
    let cut = cli_in(&directory, &["backup", "verify", name]);
    assert_eq!(cut.status, Some(65), "{cut:?}");
    let none = cli_in(&directory, &["backup", "verify", "/nowhere/at.all"]);
    assert_eq!(none.status, Some(74), "{none:?}");
    println!("{told} of 40 flipped bits lay in something that is used");
    // The first of them lies in the file's magic number, which is looked at in any case.
    assert!(told > 1, "no damage behind the first byte was told");
    let server = Server::start_on(directory);
    assert_eq!(users(&server).len(), 50);
    server.stop();
}

/// What a backup is for.
#[test]
fn a_backup_takes_the_place_of_a_store_that_is_damaged() {
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.redb");
    let name = good.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", name]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let whole = std::fs::read(&path).expect("the store");
    let mut no_magic = whole.clone();
    no_magic[0] ^= 1;
    for bad in [no_magic, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(&path, &bad).expect("written");
        let listed = cli_in(&directory, &["user", "list"]);
        assert_eq!(listed.status, Some(65), "{listed:?}");
        let kept: Vec<u8> = std::fs::read(&path).expect("there");
        let restored = cli_in(&directory, &["backup", "restore", name]);
        assert_eq!(restored.status, Some(0), "{restored:?}");
        let kept_as = restored
            .stderr
            .lines()
            .find_map(|line| line.split_once("is kept as "))
            .map(|(_, path)| path.trim().to_owned());
        let kept_as = kept_as.expect("it is said where the old one is");
        let told = "tokens revoked since the backup are valid again, changed ones have";
        assert!(restored.stderr.contains(told), "{restored:?}");
        assert_eq!(std::fs::read(kept_as).expect("there"), kept);
        let listed = cli_in(&directory, &["user", "list"]);
        assert!(listed.stdout.contains("jane"), "{listed:?}");
    }
}

/// A new machine has no data directory yet.
#[test]
fn a_backup_is_restored_where_nothing_was() {
    let mut talk = Talk::start(&[]);
    talk.create("ann");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("good.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let verified = talk.server.cli(&["backup", "verify", file, "-o", "json"]);
    let counts: Value = serde_json::from_str(&verified.stdout).expect("JSON");
    assert_eq!(counts[0]["users"], 1, "{verified:?}");
    let digest = counts[0]["sha256"].as_str().expect("text");
    assert!(made.stdout.contains(digest), "{verified:?}");
    let new = tempfile::tempdir().expect("a folder");
    let mistyped = cli_in(&new, &["backup", "restore", "/nope.redb"]);
    assert_eq!(mistyped.status, Some(74), "{mistyped:?}");
    let there = std::fs::read_dir(new.path()).expect("the folder").count();
    assert_eq!(there, 0, "nothing is made for a file that is not there");
    let restored = cli_in(&new, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert_eq!(restored.stdout, made.stdout);
    assert!(!restored.stderr.contains("is kept as"), "{restored:?}");
    let told = "tls/ is not part of a backup and is missing here: the next start makes a new CA\n";
    assert!(restored.stderr.contains(told), "{restored:?}");
    let shown = cli_in(&new, &["cert", "show"]);
    assert_eq!(
        (shown.status, &*shown.stdout, &*shown.stderr),
        (
            Some(0),
            "",
            "there is no certificate yet: the next start makes one\n"
        )
    );
    let shown = cli_in(&new, &["cert", "show", "-o", "jsonl"]);
    assert_eq!(shown.stdout, "{\"certificate\":null,\"authority\":null}\n");
    let server = Server::start_on(new);
    assert_eq!(users(&server).len(), 1);
    let store = server.data_dir().join("users.redb");
    let stopped = server.stop_and_keep();
    // A sync of what is there has failed: that concerns nothing that takes its place.
    let mark = store.with_extension("unsynced");
    std::fs::write(&mark, "").expect("a mark");
    let store = store.to_str().expect("text");
    let verified = cli_in(&stopped, &["backup", "verify", store]);
    let told = "a sync to disk has failed";
    assert!(verified.stderr.contains(told), "{verified:?}");
    let again = cli_in(&stopped, &["backup", "restore", file]);
    assert!(!again.stderr.contains("a new CA"), "{again:?}");
    assert!(!mark.exists());
    let shown = cli_in(&stopped, &["cert", "show"]);
    assert!(shown.stdout.contains("private CA"), "{shown:?}");
}

/// Linux gives files names of any bytes.
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

    // Whoever reads nothing, or too little, has no backup.
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

/// Puts the backup back, and starts a server on it; the token of `talk` is good again.
fn restored(talk: Talk, file: &str) -> Talk {
    let authorization = talk.authorization.clone();
    let directory = talk.server.stop_and_keep();
    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let mut talk = Talk::with(Server::start_on(directory));
    talk.authorization = authorization;
    talk
}

/// RFC 9110 section 8.8.1: a validator stands for one representation and no other.
#[test]
fn no_entity_tag_is_given_twice_on_both_sides_of_a_restore() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("jane");
    let target = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let untouched = user["meta"]["version"].as_str().expect("text").to_owned();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let titled = |title: &str| {
        let operation = json!({"op": "replace", "path": "title", "value": title});
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
               "Operations": [operation]})
    };
    let mut tags = vec![untouched.clone()];
    for title in ["before", "after", "after another"] {
        if title != "before" {
            talk = restored(talk, file);
            let got = talk.send("GET", &target, None);
            assert_eq!(got.header("etag"), Some(&*untouched), "it is what it was");
        }
        for old in tags.clone().iter().skip(1) {
            let change = titled("lost").to_string().into_bytes();
            let header = ("If-Match", old.as_str());
            let refused = talk.send_bytes("PATCH", &target, header, Some(&change));
            assert_eq!(refused.status, 412, "{old} of {tags:?}");
        }
        let changed = talk.json("PATCH", &target, Some(&titled(title)), 200);
        let tag = changed["meta"]["version"]
            .as_str()
            .expect("text")
            .to_owned();
        for old in &tags {
            let got = talk.send_bytes("GET", &target, ("If-None-Match", old), None);
            assert_eq!(got.status, 200, "{old} of {tags:?}, now {tag}");
            let change = titled("lost").to_string().into_bytes();
            let refused = talk.send_bytes("PATCH", &target, ("If-Match", old), Some(&change));
            assert_eq!(refused.status, 412, "{old} of {tags:?}, now {tag}");
        }
        tags.push(tag);
    }
    let verified = talk.server.cli(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
}

/// An era that is begun is later than that of the replaced store, whatever the clock says.
#[test]
fn the_era_of_a_replaced_store_is_not_begun_again() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let server = Server::start();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let directory = server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let far_ahead = 4_000_000_000;
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    {
        let mut meta = txn.open_table(META).expect("the table");
        let era = stored_number("era", far_ahead);
        meta.insert("era", era).expect("written");
    }
    txn.commit().expect("committed");
    drop(database);
    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_read().expect("a transaction");
    let meta = txn.open_table(META).expect("the table");
    let era = meta.get("era").expect("read").expect("there").value();
    assert_eq!(era, stored_number("era", far_ahead + 1));
}

/// A copy that nobody has fetched is removed by the next backup, unless somebody may still be at it.
#[test]
fn a_copy_that_was_abandoned_goes_with_the_next_backup() {
    let server = Server::start();
    let data_dir = server.data_dir();
    let long_ago = SystemTime::now() - Duration::from_hours(1);
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

/// The rows of the audit trail.
fn rows(directory: &TempDir) -> Vec<Value> {
    lines(&cli_in(directory, &["audit", "list", "-o", "jsonl"]).stdout)
}

/// A server with users, of whom there is a backup; their names.
fn backed_up(users: usize, file: &str) -> (Talk, Vec<String>) {
    let mut talk = Talk::start(&[]);
    let names: Vec<String> = (0..users).map(|at| format!("u{at}")).collect();
    for name in &names {
        talk.create(name);
    }
    assert_eq!(talk.server.cli(&["backup", "create", file]).status, Some(0));
    (talk, names)
}

/// Whoever demanded to be erased is erased again by what the restore says.
#[test]
fn a_restore_names_who_is_back() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let (mut talk, names) = backed_up(23, file);
    talk.create("later");
    let erased = names.iter().skip(1).map(String::as_str).chain(["later"]);
    let command: Vec<&str> = ["user", "delete", "--yes"]
        .into_iter()
        .chain(erased)
        .collect();
    assert_eq!(talk.server.cli(&command).status, Some(0));
    let directory = talk.server.stop_and_keep();
    for wanted in [
        "22 users were deleted since the backup and restored by it: u1, u2, ",
        "2 users were deleted since the backup and restored by it: u21, u22; if they ",
    ] {
        let restored = cli_in(&directory, &["backup", "restore", file]);
        let told = restored
            .stderr
            .lines()
            .find(|line| line.contains("since the backup and restored by it"));
        let told = told.unwrap_or_else(|| panic!("{restored:?}"));
        assert!(told.starts_with(wanted), "{told}");
        assert_eq!(
            told.contains(", and 2 more, "),
            wanted.starts_with("22"),
            "{told}"
        );
        let (_, command) = told.split_once(" user delete ").expect("a command");
        let ids: Vec<&str> = command.split(' ').collect();
        let again = cli_in(&directory, &[&["user", "delete"], &ids[..]].concat());
        assert_eq!(again.status, Some(0), "{again:?}");
        let left = cli_in(&directory, &["user", "list", "-o", "jsonl"]).stdout;
        // The next backup is of those who were not named.
        let wanted_left = if wanted.starts_with("22") { 3 } else { 1 };
        assert_eq!(left.lines().count(), wanted_left, "{left}");
        if wanted.starts_with("22") {
            std::fs::remove_file(file).expect("there");
            assert_eq!(
                cli_in(&directory, &["backup", "create", file]).status,
                Some(0)
            );
            let rest = cli_in(&directory, &["user", "delete", "--yes", "u21", "u22"]);
            assert_eq!(rest.status, Some(0), "{rest:?}");
        }
    }
}

/// Damage is what a restore is for: wherever it is in the store that is replaced, the backup takes its
/// place.
#[test]
fn a_restore_reads_nothing_of_a_damaged_store_that_it_needs() {
    const PAGE: usize = 4096;
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let (talk, names) = backed_up(60, file);
    let command: Vec<&str> = ["user", "delete", "--yes"]
        .into_iter()
        .chain(names.iter().skip(5).map(String::as_str))
        .collect();
    assert_eq!(talk.server.cli(&command).status, Some(0));
    let directory = talk.server.stop_and_keep();
    let store = directory.path().join("data/users.redb");
    let sound = std::fs::read(&store).expect("there");
    let (mut told, mut untold) = (0, 0);
    for page in (1..sound.len() / PAGE).step_by(7) {
        let mut damaged = sound.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0);
        std::fs::write(&store, damaged).expect("written");
        let restored = cli_in(&directory, &["backup", "restore", file]);
        assert_eq!(restored.status, Some(0), "page {page}: {restored:?}");
        told += usize::from(
            restored
                .stderr
                .contains("since the backup and restored by it"),
        );
        untold += usize::from(restored.stderr.contains("it is not known who was deleted"));
        let kept = std::fs::read_dir(store.parent().expect("a folder")).expect("a folder");
        for entry in kept.map(|entry| entry.expect("an entry").path()) {
            if entry.to_string_lossy().contains("users.before-") {
                std::fs::remove_file(entry).expect("removed");
            }
        }
    }
    assert!(told > 0 && untold > 0, "{told} {untold}");
}

#[test]
fn a_restore_is_told_of_and_takes_no_number_and_no_token_for_another() {
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    talk.server.token("leaked");
    talk.server.token("rotated");
    talk.server.token("wide");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    talk.server.token("later");
    talk.create("ann");
    let revoked = talk.server.cli(&["token", "revoke", "leaked"]);
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    let listed = talk.server.cli(&["token", "list", "-o", "jsonl"]);
    let id_of = |name: &str| {
        let listed = lines(&listed.stdout);
        let token = listed.iter().find(|token| token["name"] == name);
        token.expect(name)["id"].as_str().expect("text").to_owned()
    };
    let (leaked, later) = (id_of("leaked"), id_of("later"));
    let wide = id_of("wide");
    let narrowed = ["token", "change", "wide", "--allow-from", "203.0.113.7"];
    assert_eq!(talk.server.cli(&narrowed).status, Some(0));
    // The old one ends soon, which the restore takes back.
    let old = id_of("rotated");
    let rotated = talk.server.cli(&["token", "rotate", "rotated"]);
    assert_eq!(rotated.status, Some(0), "{rotated:?}");
    let directory = talk.server.stop_and_keep();
    let before = rows(&directory);
    let last = before.last().expect("rows")["sequence"].as_u64();
    let bytes = std::fs::metadata(file).expect("there").len();

    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let data_dir = directory.path().join("data");
    let data_dir = data_dir.display();
    for told in [
        format!(
            "token leaked ({leaked}) is now valid for longer than before the restore: if it was "
        ),
        format!(
            "token rotated ({old}) is now valid for longer than before the restore: if it was "
        ),
        format!("golinks-scim --data-dir {data_dir} token revoke {old}\n"),
        format!("golinks-scim --data-dir {data_dir} token revoke {leaked}\n"),
        format!("token wide ({wide}) has the rights it had at the time of the backup: "),
        format!("token later ({later}) was valid, but no longer exists: issue a new one\n"),
    ] {
        assert!(restored.stderr.contains(&told), "{told} {restored:?}");
    }
    let about = restored
        .stderr
        .lines()
        .filter(|line| line.contains("token "));
    assert_eq!(about.count(), 5, "{restored:?}");
    let store = directory.path().join("data/users.redb");
    let now = std::fs::metadata(&store).expect("there").len();
    // Some pages, whatever the size of the store.
    let most = bytes + 64 * 1024;
    assert!(now <= most, "{now} bytes, where the backup has {bytes}");

    let after = rows(&directory);
    let (row, old) = after.split_last().expect("rows");
    assert_eq!(old, &before[..old.len()]);
    let through = old.last().expect("rows")["sequence"].as_u64();
    assert_eq!(row["kind"], "backup.restore");
    assert_eq!(row["sequence"].as_u64(), last.map(|last| last + 1));
    assert_eq!(row["path"], file);
    let digest = row["sha256"].as_str().expect("text");
    assert!(made.stdout.contains(digest), "{row}");
    assert_eq!(row["through"].as_u64(), through);
    assert_eq!(row["replaced"].as_u64(), last);
    let by = row["principal"].as_str().expect("text");
    assert!(by.starts_with("administrator:"), "{row}");
    let number = last.expect("rows").to_string();
    let undone = cli_in(&directory, &["user", "undo", &number]);
    assert!(undone.stderr.contains("there is no change"), "{undone:?}");
    // So it is of a number that was left out.
    let shown = cli_in(&directory, &["user", "show", "jane", "--before", &number]);
    assert_eq!(shown.status, Some(1), "{shown:?}");
    assert!(shown.stderr.contains("there is no change"), "{shown:?}");
    let table = cli_in(&directory, &["audit", "list"]).stdout;
    assert!(table.contains(&format!("  {file}\n")), "{table}");

    // Numbers were left out, and no row: the trail is sound, and so is a backup of it.
    let verified = cli_in(&directory, &["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    let told = format!("sound: {} rows from row 1 on", after.len());
    assert!(verified.stdout.starts_with(&told), "{verified:?}");
    let again = folder.path().join("again.redb");
    let again = again.to_str().expect("text");
    for command in ["create", "verify", "restore"] {
        let done = cli_in(&directory, &["backup", command, again]);
        assert_eq!(done.status, Some(0), "{done:?}");
    }
    assert_eq!(cli_in(&directory, &["audit", "verify"]).status, Some(0));
}

/// Where the chain of a damaged store goes on is not where that of the restored one does.
#[test]
fn no_number_is_taken_from_a_store_whose_trail_is_damaged() {
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let good = std::fs::read(&path).expect("the store");
    // A bit of the head has flipped; the last row is one that no program has written.
    for (number, is_row) in [(u64::MAX, false), (1 << 60, false), (1 << 60, true)] {
        std::fs::write(&path, &good).expect("written");
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        {
            let mut chain = txn.open_table(CHAIN).expect("the table");
            let head = chain
                .get("head")
                .expect("read")
                .expect("there")
                .value()
                .to_vec();
            let mut head = [&number.to_be_bytes(), &head[8..]].concat();
            if is_row {
                let mut audit = txn.open_table(AUDIT).expect("the table");
                let row = audit
                    .pop_last()
                    .expect("read")
                    .expect("there")
                    .1
                    .value()
                    .to_vec();
                let last = number - 1;
                audit.insert(last, row.as_slice()).expect("written");
                let digest = sha256(&[&last.to_be_bytes(), row.as_slice()].concat());
                head[8..40].copy_from_slice(&digest);
            }
            chain.insert("head", head.as_slice()).expect("written");
        }
        txn.commit().expect("committed");
        drop(database);
        let restored = cli_in(&directory, &["backup", "restore", file]);
        assert_eq!(restored.status, Some(0), "{restored:?}");
        let told = rows(&directory);
        let last = told.last().expect("rows");
        assert_eq!(last["kind"], "backup.restore");
        let sequence = last["sequence"].as_u64().expect("a number");
        assert!(sequence < 1 << 53, "{number} {is_row}: {last}");
        let more = cli_in(&directory, &["user", "deactivate", "jane"]);
        assert_eq!(more.status, Some(0), "{more:?}");
        assert_eq!(rows(&directory).len(), told.len() + 1);
        let verified = cli_in(&directory, &["audit", "verify"]);
        assert_eq!(verified.status, Some(0), "{verified:?}");
    }
}
