//! The output of commands: documents for programs, even when nobody reads them, long lists, and
//! tables with hostile or marked names.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use golinks_scim::directory::describe;
use golinks_scim::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Output, Server, caller, cli_on, command_on};

/// Programs learn from standard output alone what was done, and whether anything was.
#[test]
fn what_was_done_is_told_to_programs() {
    let server = Server::start();
    let told = |words: &str, status: i32| -> Vec<Value> {
        let words: Vec<&str> = words.split(' ').collect();
        let output = server.cli(&[&words[..], &["-o", "jsonl"]].concat());
        assert_eq!(output.status, Some(status), "{output:?}");
        let documents = output.stdout.lines();
        documents
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    let added = &told("user add a@x --given A", 0)[0];
    assert_eq!(added["userName"], "a@x");
    let outcome = |document: &Value| {
        assert_eq!(document["id"], added["id"]);
        document["outcome"].as_str().expect("text").to_owned()
    };
    for (words, status, wanted) in [
        ("user deactivate a@x", 0, "updated"),
        ("user deactivate a@x nobody", 1, "unchanged"),
        ("user reactivate a@x", 0, "updated"),
        ("user delete a@x --yes", 0, "deleted"),
    ] {
        let done = told(words, status);
        assert_eq!(
            done.iter().map(outcome).collect::<Vec<_>>(),
            [wanted],
            "{words}"
        );
    }
    let issued = &told("token issue okta --expires 2d", 0)[0];
    let rotated = &told("token rotate okta", 0)[0];
    for token in [issued, rotated] {
        assert!(
            token["token"]
                .as_str()
                .is_some_and(|it| it.starts_with("golinks_scim_"))
        );
        assert!(
            token["expires"].is_string() && token["id"].is_string(),
            "{token}"
        );
    }
    assert_eq!(rotated["old"][0]["id"], issued["id"]);
    let id = rotated["id"].as_str().expect("text");
    let changed = &told(&format!("token change {id} --scope full"), 0)[0];
    assert_eq!(
        (&changed["scope"], &changed["token"]),
        (&json!("full"), &Value::Null)
    );
    let revoked = &told(&format!("token revoke {id}"), 0)[0];
    assert_eq!(*revoked, json!({"name": id, "revoked": [id]}));
    assert_eq!(
        told("token revoke okta", 0)[0]["revoked"],
        json!([issued["id"]])
    );
    let settings = told("config show", 0);
    let base_url = settings
        .iter()
        .find(|it| it["name"] == "base_url")
        .expect("a setting");
    assert_eq!(
        (&base_url["value"], base_url["default"].is_string()),
        (&Value::Null, true)
    );
}

/// A command does everything that was typed, even if nobody reads its output.
#[test]
fn what_was_typed_is_done_though_nobody_reads_of_it() {
    let server = Server::start();
    for name in ["a", "b", "c"] {
        server.token(name);
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let told = |arguments: &[&str], status| {
        let mut command = command_on(&server.data_dir());
        let stdout = writer.try_clone().expect("a descriptor");
        let told = command.args(arguments).stdout(stdout).output();
        let told = Output::from(told.expect("the binary runs"));
        assert_eq!(told.status, Some(status), "{told:?}");
        assert!(
            told.stderr.contains("golinks-scim: it was done"),
            "{told:?}"
        );
    };
    told(&["token", "revoke", "a", "b", "-o", "jsonl"], 74);
    // This is an error, so a quiet command reports it too, although another error decides the exit
    // status.
    told(&["-q", "token", "revoke", "c", "nobody", "-o", "jsonl"], 1);
    let listed = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    assert_eq!(
        listed.matches("\"state\":\"revoked\"").count(),
        3,
        "{listed}"
    );
}

#[test]
fn a_long_list_streams_through_its_pages() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).expect("made");
    add_users(&data_dir, 1_200);
    list_them_all(&data_dir);
    let server = Server::start_on(folder);
    list_them_all(&server.data_dir());
    server.stop();
}

fn list_them_all(data_dir: &Path) {
    let all = cli_on(data_dir, &["user", "list", "-o", "jsonl"]);
    assert_eq!(all.status, Some(0), "{}", all.stderr);
    let names = all.stdout.lines().map(|line| {
        let user: Value = serde_json::from_str(line).expect("one JSON object a line");
        user["userName"].as_str().expect("a userName").to_owned()
    });
    let names: HashSet<String> = names.collect();
    let wanted: HashSet<String> = (0..1_200).map(|index| format!("user{index}")).collect();
    assert_eq!(names, wanted);
    assert_eq!(
        all.stdout.lines().count(),
        1_200,
        "somebody is listed twice"
    );
    let table = cli_on(data_dir, &["user", "list"]);
    assert_eq!(table.stdout.lines().count(), 1_201, "a head and everybody");
    for limit in [700, 500, 1] {
        let text = limit.to_string();
        let limited = cli_on(data_dir, &["user", "list", "-o", "json", "--limit", &text]);
        let users: Value = serde_json::from_str(&limited.stdout).expect("one JSON array");
        assert_eq!(users.as_array().map(Vec::len), Some(limit));
    }
    for format in ["table", "json", "jsonl"] {
        leave_after_a_line(data_dir, format);
    }
}

/// Stops reading after one line, in the middle of the output, as `| head -1` does.
fn leave_after_a_line(data_dir: &Path, format: &str) {
    let mut listing = command_on(data_dir)
        .args(["user", "list", "-o", format])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut reader = BufReader::new(listing.stdout.take().expect("it is piped"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    assert!(!line.is_empty(), "{format}: nothing was written");
    drop(reader);
    let output = listing.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{format}");
}

/// Creates users in this process, as a server does, since a command for each would take longer.
fn add_users(data_dir: &Path, count: usize) {
    use golinks_scim::directory::Directory;
    use golinks_scim::scim::{Leniency, User};
    use std::sync::Arc;

    let path = data_dir.join("users.redb");
    let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("the store opens"));
    let directory = Arc::new(Directory::new(
        store,
        Arc::new(golinks_scim::clock::SystemClock),
    ));
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let directory = Arc::clone(&directory);
            thread::spawn(move || {
                for index in (thread..count).step_by(16) {
                    let body = crate::support::body(&format!("user{index}"));
                    let user = User::parse(body, &mut Leniency::strict()).expect("a user");
                    directory.create(user, &caller()).expect("created");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn what_came_from_outside_cannot_break_a_table() {
    let server = Server::start();
    let evil = "evil\r\n\u{1b}[31m\u{202e}name";
    let added = server.cli(&["user", "add", "evil", "--given", evil, "--family", "V\u{7}"]);
    assert_eq!(added.status, Some(0), "{added:?}");
    for arguments in [
        &["user", "list"][..],
        &["user", "show", added.stdout.trim()],
    ] {
        let output = server.cli(arguments);
        let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!output.stdout.contains(bad), "{output:?}");
        assert!(
            output.stdout.contains("evil\\u{d}\\u{a}\\u{1b}[31m"),
            "{output:?}"
        );
    }
    let listed = server.cli(&["user", "list"]);
    assert_eq!(listed.stdout.lines().count(), 2, "{listed:?}");
    assert!(listed.stdout.contains("name V\\u{7}  active"), "{listed:?}");
    // JSON output cannot control a terminal either, and still contains the same values.
    let evil = "evil\u{9b}31m\u{7f}\u{2028}\u{202e}";
    let added = server.cli(&["user", "add", "evil-2", "--given", evil, "--family", "V"]);
    let id = added.stdout.trim();
    for arguments in [
        &["user", "list", "-o", "jsonl"][..],
        &["user", "show", id, "-o", "jsonl"],
        &["user", "history", id, "-o", "jsonl"],
        &["audit", "list", "-o", "jsonl"],
        // The last, since it leaves a row.
        &["user", "export", "-o", "jsonl"],
    ] {
        let output = server.cli(arguments);
        let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!output.stdout.contains(bad), "{output:?}");
        assert_eq!(output.status, Some(0), "{arguments:?} {output:?}");
        let last = output.stdout.lines().last().expect("a line");
        let read: Value = serde_json::from_str(last).expect("JSON");
        assert!(read.to_string().contains(evil), "{output:?}");
    }
    server.stop();
}

#[test]
fn a_user_name_that_is_not_the_primary_email_is_marked() {
    let server = Server::start();
    server.cli(&["user", "add", "plain", "--given", "P", "--family", "L"]);
    let token = server.token("okta");
    let mut talk = crate::support::Talk::with(server);
    talk.use_token(&token);
    talk.create("other");
    let listed = talk.server.cli(&["user", "list"]);
    assert!(listed.stdout.contains("other *"), "{listed:?}");
    assert!(!listed.stdout.contains("plain *"), "{listed:?}");
    assert!(
        listed
            .stderr
            .contains("* the userName is not the primary email"),
        "{listed:?}"
    );
}
