//! Stores that older programs have written, opened by this one: everything is there, the old file
//! is kept as it was, and an interrupted upgrade leaves one format or the other.
//!
//! `fixtures/format-N.redb` was written by the last program of format N: three users over SCIM
//! and on the command line, one changed, one deactivated, one token that was used. Format 1
//! is that of commit d62b069, format 2 that of 2432afd, format 3 that of d4d5647.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use golinks_scim::directory::describe;
use golinks_scim::limits;
use golinks_scim::secret;
use golinks_scim::store::{self, Store};
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::crash;
use crate::support::{Server, Talk, cli_in, command, number, stored_number, without_settings};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

struct Fixture {
    format: u64,
    bytes: &'static [u8],
    /// A token that is used only in these tests.
    token: &'static str,
    last_used: &'static str,
    /// The address and the User-Agent of the last use, stored since format 3.
    used_from: Option<&'static str>,
    used_by: Option<&'static str>,
    ids: [&'static str; 3],
}

const FIXTURES: [Fixture; 3] = [
    Fixture {
        format: 1,
        bytes: include_bytes!("fixtures/format-1.redb"),
        token: "golinks_scim_jvMp4iCZaxPnSq8YDGTBdeIbFFqzfQzdyljAe8kHOsL1v8PDG",
        last_used: "2026-11-24T07:13:45.527Z",
        used_from: None,
        used_by: None,
        ids: [
            "00000001-33be-8602-80b4-eccf9fe17c67",
            "00000002-d0a7-8803-bb49-8fabb0cc3e2e",
            "00000003-bd12-8205-9050-e3f1ff6c4a5c",
        ],
    },
    Fixture {
        format: 2,
        bytes: include_bytes!("fixtures/format-2.redb"),
        token: "golinks_scim_OFTwjhgUMC5P54EeG0tv6HCC9Kwo4ketZa59bJ7kYmu2l5JI2",
        last_used: "2026-11-24T07:13:47.641Z",
        used_from: None,
        used_by: None,
        ids: [
            "00000001-92da-8de3-84f0-1e5e6f93d641",
            "00000002-c796-8396-bdf4-e32bad4ddb4d",
            "00000003-cf2b-83fb-b750-32fdb36674b1",
        ],
    },
    Fixture {
        format: 3,
        bytes: include_bytes!("fixtures/format-3.redb"),
        token: "golinks_scim_wVI3FsSEpyflpGhJ6GcgFSX4VMxCgFCD4ussrXahCvR33WS7m",
        last_used: "2026-11-25T14:18:24.804Z",
        used_from: Some("127.0.0.1"),
        used_by: Some("FixtureMaker/1"),
        ids: [
            "00000001-b64b-83e2-9d6b-9aedaea6f413",
            "00000002-58ca-8fec-921f-eb3893e4989f",
            "00000003-57b9-86dc-98c8-b0354f9e53ba",
        ],
    },
];

impl Fixture {
    /// A directory whose `data` holds the store.
    fn unpack(&self) -> TempDir {
        let directory = TempDir::new().expect("a directory for the test");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("made");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("set");
        fs::write(data.join("users.redb"), self.bytes).expect("written");
        directory
    }

    fn kept(&self, directory: &Path) -> PathBuf {
        directory.join(format!("data/users.format-{}.redb", self.format))
    }
}

/// The names in the data directory that have this beginning, sorted.
fn names(directory: &TempDir, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory.path().join("data"))
        .expect("the directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

fn kept_names(directory: &TempDir) -> Vec<String> {
    names(directory, "users.format-")
}

#[test]
fn a_store_of_an_older_format_is_all_there() {
    for fixture in &FIXTURES {
        let server = Server::start_on(fixture.unpack());
        let log = server.log_with("to go back");
        let kept = fixture.kept(server.data_dir().parent().expect("a folder"));
        assert!(
            log.contains(&format!("kept as {}", kept.display())),
            "{log}"
        );
        let token = || -> Value {
            let shown = server.cli(&["token", "show", "okta", "-o", "jsonl"]);
            serde_json::from_str(&shown.stdout).expect("one token")
        };
        let found = token();
        assert_eq!(found["lastUsed"], fixture.last_used, "{found}");
        assert_eq!(
            (found["lastUsedFrom"].as_str(), found["lastUsedBy"].as_str()),
            (fixture.used_from, fixture.used_by)
        );
        let mut talk = Talk::with(server);
        talk.authorization = format!("Bearer {}", fixture.token);
        let users = talk.json("GET", "/Users", None, 200)["Resources"].take();
        let [jürgen, ada, sato] = users.as_array().expect("a list").as_slice() else {
            panic!("three users, not {users}");
        };
        for (user, id) in [jürgen, ada, sato].into_iter().zip(fixture.ids) {
            assert_eq!(user["id"], id);
        }
        assert_eq!(jürgen["userName"], "jürgen.müller@example.com");
        assert_eq!(jürgen["externalId"], "00u1ab");
        assert_eq!(jürgen["title"], "Köchin");
        assert_eq!(jürgen["meta"]["version"], "W/\"2\"");
        assert_eq!(
            jürgen["name"],
            json!({"familyName": "Müller", "givenName": "Jürgen"})
        );
        assert_eq!(
            (&ada["active"], &sato["active"]),
            (&true.into(), &false.into())
        );
        assert_eq!(sato["name"]["familyName"], "佐藤");
        for filter in [
            "userName%20eq%20%22J%C3%BCrgen.M%C3%BCller@example.com%22",
            "emails.value%20eq%20%22jm@example.org%22",
            "externalId%20eq%20%2200u1ab%22",
        ] {
            let found = talk.json("GET", &format!("/Users?filter={filter}"), None, 200);
            assert_eq!(found["Resources"][0]["id"], fixture.ids[0], "{filter}");
        }
        talk.create("after");
        let directory = talk.server.stop_and_keep();
        assert_kept(fixture, &directory);
        let now = store::check(&directory.path().join("data/users.redb"), describe);
        let now = now.expect("sound, its audit chain too");
        // The test has added a user and a token.
        assert_eq!(
            (now.format, now.counts.users, now.counts.tokens),
            (store::FORMAT, 4, 2)
        );
    }
}

/// Asserts that the backup contains what was there, is private, and can be restored again and
/// again.
fn assert_kept(fixture: &Fixture, directory: &TempDir) {
    let kept = fixture.kept(directory.path());
    let name = kept.to_str().expect("text");
    let mode = fs::metadata(&kept).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let verified = cli_in(directory, &["backup", "verify", name]);
    let told = format!("3 users, 1 token, 6 audit rows, format {},", fixture.format);
    assert!(
        verified.status == Some(0) && verified.stdout.starts_with(&told),
        "{verified:?}"
    );
    let before = fs::read(directory.path().join("data/users.redb")).expect("the store");
    for _ in 0..2 {
        let restored = cli_in(directory, &["backup", "restore", name]);
        assert_eq!(restored.status, Some(0), "{restored:?}");
        let listed = cli_in(directory, &["user", "list", "-o", "jsonl"]);
        assert_eq!(listed.stdout.lines().count(), 3, "{listed:?}");
        assert_eq!(
            listed.stderr, "",
            "it was upgraded before it was in its place"
        );
    }
    // The restored store is the same as the backup, so it is not kept a second time.
    assert_eq!(kept_names(directory).len(), 1);
    fs::write(directory.path().join("data/users.redb"), before).expect("written");
}

#[test]
fn a_backup_of_another_state_gets_a_name_of_its_own() {
    let fixture = &FIXTURES[1];
    let directory = fixture.unpack();
    let kept = fixture.kept(directory.path());
    fs::write(&kept, b"somebody's").expect("written");
    let listed = cli_in(&directory, &["user", "list"]);
    assert_eq!(listed.status, Some(0), "{listed:?}");
    assert_eq!(fs::read(&kept).expect("there"), b"somebody's");
    assert_eq!(
        kept_names(&directory),
        ["users.format-2.2.redb", "users.format-2.redb"]
    );
}

/// Copies that nobody moves away do not fill the disk, and without a copy nothing is changed.
#[test]
fn an_upgrade_without_a_name_for_its_backup_is_refused() {
    let fixture = &FIXTURES[2];
    let directory = fixture.unpack();
    let kept = fixture.kept(directory.path());
    fs::write(&kept, b"somebody's").expect("written");
    for number in 2..=limits::KEPT_FORMATS_MAX {
        let name = format!("format-3.{number}.redb");
        fs::write(kept.with_file_name(format!("users.{name}")), b"too").expect("written");
    }
    let refused = cli_in(&directory, &["user", "list"]);
    assert_eq!(refused.status, Some(74), "{refused:?}");
    let told = "there are many of this format already: move them away";
    assert!(refused.stderr.contains(told), "{refused:?}");
    let store = fs::read(directory.path().join("data/users.redb"));
    assert_eq!(format_of(&store.expect("there")), 3);
    fs::remove_file(&kept).expect("moved away");
    let listed = cli_in(&directory, &["user", "list"]);
    assert_eq!(listed.status, Some(0), "{listed:?}");
}

#[test]
fn what_a_killed_command_was_writing_is_removed() {
    let directory = FIXTURES[0].unpack();
    let data = directory.path().join("data");
    let left = [
        "users.redb.new-0123456789abcdef",
        "users.format-1.redb.new-0123456789abcdef",
    ];
    let others = ["users.redb.new-monday", "mine.redb.new-0123456789abcdef"];
    for name in left.iter().chain(&others) {
        fs::write(data.join(name), b"half").expect("written");
    }
    let listed = cli_in(&directory, &["user", "list"]);
    assert_eq!(listed.status, Some(0), "{listed:?}");
    for name in left {
        assert!(!data.join(name).exists(), "{name}");
    }
    for name in others {
        assert!(data.join(name).exists(), "{name}");
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let directory = FIXTURES[1].unpack();
    let path = directory.path().join("data/users.redb");
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    let mut meta = txn.open_table(META).expect("the table");
    meta.insert("format", stored_number("format", store::FORMAT + 1))
        .expect("written");
    drop(meta);
    txn.commit().expect("committed");
    drop(database);
    let name = path.to_str().expect("text");
    for command in [
        &["user", "list"][..],
        &["backup", "verify", name],
        &["backup", "restore", name],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let output = cli_in(&directory, command);
        assert_eq!(output.status, Some(65), "{command:?}: {output:?}");
        let told = format!("has format {}", store::FORMAT + 1);
        assert!(output.stderr.contains(&told), "{output:?}");
        let is_hinted = output.stderr.contains("hint: install the version");
        assert_eq!(is_hinted, command[0] != "backup", "{output:?}");
    }
    assert_eq!(kept_names(&directory), [""; 0]);
}

/// This needs a file system of its own, which only root can mount.
#[test]
fn without_room_for_the_backup_nothing_is_changed() {
    let fixture = &FIXTURES[0];
    let directory = fixture.unpack();
    let data = directory.path().join("data");
    let before = directory.path().join("before.redb");
    fs::copy(data.join("users.redb"), &before).expect("copied");
    let script = format!(
        "mount -t tmpfs -o size=16m,mode=700 tmpfs {data} || exit 99; \
         cp {before} {data}/users.redb; {program} --data-dir {data} user list; status=$?; \
         ls {data} >&2; {program} backup verify {data}/users.redb; exit $status",
        data = data.display(),
        before = before.display(),
        program = env!("CARGO_BIN_EXE_golinks-scim"),
    );
    let output = without_settings(&mut Command::new("unshare"))
        .args(["--mount", "sh", "-c", &script])
        .output();
    let output = match output {
        Ok(output) if ![Some(1), Some(99)].contains(&output.status.code()) => output,
        other => {
            println!("skipped: no file system can be mounted here: {other:?}");
            return;
        }
    };
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(74), "{out}\n{err}");
    assert!(
        err.contains("has format 1 and was not upgraded")
            && err.contains("MiB are needed")
            && err.contains("hint: nothing was changed"),
        "{err}"
    );
    assert!(out.contains("3 users") && out.contains("format 1"), "{out}");
    let listed: Vec<_> = err
        .lines()
        .filter(|line| line.starts_with("users."))
        .collect();
    assert_eq!(listed, ["users.redb"], "{err}");
}

#[test]
fn an_upgrade_that_is_killed_leaves_one_format_or_the_other() {
    let (mut old, mut new, mut copied) = (0, 0, 0);
    let turns = number("UPGRADE_KILLS", 40);
    for turn in 0..turns {
        let fixture = &FIXTURES[turn % FIXTURES.len()];
        let started = Instant::now();
        let whole = fixture.unpack();
        assert_eq!(cli_in(&whole, &["user", "list"]).status, Some(0));
        let took = started.elapsed();
        let directory = fixture.unpack();
        let mut child = command(&directory)
            .args(["user", "list"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let random = f64::from(secret::random::<1>()[0]) / 255.0;
        if turn % 4 < 2 {
            thread::sleep(took.mul_f64(random));
        } else {
            // Waits for the first trace of the upgrade, since the rest takes little time.
            while kept_names(&directory).is_empty() && started.elapsed().as_secs() < 20 {}
            thread::sleep(took.mul_f64(random / 10.0 * f64::from(u8::from(turn % 4 == 3))));
        }
        // The process may have ended already.
        child.kill().ok();
        child.wait().expect("a child");
        let path = directory.path().join("data/users.redb");
        let left = store::check(&path, describe).expect("a whole store");
        assert_eq!((left.counts.users, left.counts.audit_rows), (3, 6));
        old += usize::from(left.format == fixture.format);
        new += usize::from(left.format == store::FORMAT);
        for name in kept_names(&directory) {
            // A file that still has a temporary name is no backup.
            if !name.contains(".new-") {
                copied += 1;
                let kept = store::check(&directory.path().join("data").join(name), describe);
                assert_eq!(kept.expect("a whole backup").format, fixture.format);
            }
        }
        assert!(
            left.format == fixture.format || !kept_names(&directory).is_empty(),
            "upgraded without a backup"
        );
        let listed = cli_in(&directory, &["user", "list", "-o", "jsonl"]);
        assert_eq!(listed.stdout.lines().count(), 3, "{listed:?}");
        assert_eq!(names(&directory, "users."), names(&whole, "users."));
    }
    println!("{turns} kills: {old} as before, {new} upgraded, {copied} with a backup");
    assert_eq!(old + new, turns);
}

/// The content of a store: rows of users, tokens, last uses, the audit trail.
fn contents(store: &Store) -> Vec<String> {
    let snapshot = store.snapshot().expect("open");
    let mut all = Vec::new();
    for sequence in snapshot.users() {
        let row = snapshot.user(sequence).expect("read").expect("there");
        all.push(String::from_utf8_lossy(&row).into_owned());
    }
    all.extend(
        snapshot
            .tokens()
            .expect("read")
            .iter()
            .map(|it| format!("{it:?}")),
    );
    all.extend(
        snapshot
            .tokens_seen()
            .expect("read")
            .iter()
            .map(|it| format!("{it:?}")),
    );
    let chain = snapshot.check_audits(0, u64::MAX, |_, row| all.push(row.to_owned()));
    chain.expect("read").expect("the audit chain holds");
    all
}

fn format_of(image: &[u8]) -> u64 {
    let disk = InMemoryBackend::new();
    disk.set_len(image.len() as u64).expect("memory");
    disk.write(0, image).expect("memory");
    let database = Builder::new().create_with_backend(disk).expect("it opens");
    let txn = database.begin_read().expect("a transaction");
    let meta = txn.open_table(META).expect("the table");
    let format = meta.get("format").expect("read").expect("there").value();
    format & ((1 << 44) - 1)
}

#[test]
fn no_image_of_a_power_cut_during_an_upgrade_is_anything_between() {
    for fixture in &FIXTURES {
        let (mut old, mut new) = (0, 0);
        let (images, wanted) = crash::images_of_opening(fixture.bytes.to_vec(), 150, contents);
        for image in images {
            match format_of(&image) {
                format if format == fixture.format => old += 1,
                format => {
                    assert_eq!(format, store::FORMAT);
                    new += 1;
                }
            }
            assert_eq!(contents(&crash::open_image(image)), wanted);
        }
        println!(
            "format {}: {old} images as before, {new} upgraded",
            fixture.format
        );
        assert!(old > 20 && new > 20, "the cuts did not cut: {old} {new}");
    }
}

#[test]
fn a_trail_whose_end_was_changed_is_not_upgraded() {
    const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");
    let directory = FIXTURES[2].unpack();
    let path = directory.path().join("data/users.redb");
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    {
        let mut chain = txn.open_table(CHAIN).expect("the table");
        let mut head = chain
            .get("head")
            .expect("read")
            .expect("there")
            .value()
            .to_vec();
        *head.last_mut().expect("a digest") ^= 1;
        chain.insert("head", head.as_slice()).expect("written");
    }
    txn.commit().expect("committed");
    drop(database);
    let output = cli_in(&directory, &["user", "list"]);
    assert_eq!(output.status, Some(65), "{output:?}");
    assert!(
        output
            .stderr
            .contains("the last one, is damaged or was altered"),
        "{output:?}"
    );
}
