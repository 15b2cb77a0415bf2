//! A script of commands that does the same with a server running and without one, and what
//! listings look like: long ones, hostile ones, marked ones.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::directory::describe;
use golinks_scim::limits;
use golinks_scim::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Output, Server, cli_in, cli_on, command, command_on};

#[test]
fn commands_do_the_same_with_a_server_and_without() {
    let server = Server::start();
    let data_dir = server.data_dir();
    script(&data_dir, "running");
    let directory = server.stop_and_keep();
    assert!(
        !directory.path().join("data/admin.sock").exists(),
        "the socket was left"
    );
    script(&directory.path().join("data"), "stopped");
}

/// One life of a user and of a token, in words.
#[allow(clippy::too_many_lines, reason = "it is one script")]
fn script(data_dir: &Path, which: &str) {
    let say = |arguments: &[&str], status: i32, stdout: &[&str], stderr: &[&str]| {
        let output = cli_on(data_dir, arguments);
        assert_eq!(
            output.status,
            Some(status),
            "{which}: {arguments:?}: {output:?}"
        );
        for words in stdout {
            assert!(
                output.stdout.contains(words),
                "{which}: {arguments:?}: {output:?}"
            );
        }
        for words in stderr {
            assert!(
                output.stderr.contains(words),
                "{which}: {arguments:?}: {output:?}"
            );
        }
        output
    };
    let email = format!("Jane.Doe@{which}.example");
    let added = say(
        &["user", "add", &email, "--given", "Jane", "--family", "Doe"],
        0,
        &["-"],
        &[],
    );
    let id = added.stdout.trim();
    let lower = email.to_lowercase();
    say(
        &["user", "add", &lower, "--given", "J", "--family", "D"],
        1,
        &[],
        &["golinks-scim: another user has this userName"],
    );
    say(
        &["user", "show", &lower],
        0,
        &[&email, id, "name.givenName", "Jane", "W/\"1\""],
        &[],
    );
    say(
        &["user", "show", id, "-o", "json"],
        0,
        &[&email, "[\n{"],
        &[],
    );
    say(
        &["user", "deactivate", &email],
        0,
        &[],
        &["is now inactive", "hint: the identity provider's next push"],
    );
    say(
        &["user", "deactivate", id, "nobody@x"],
        1,
        &[],
        &[
            "already inactive",
            "there is no user nobody@x",
            "1 of 2 users",
        ],
    );
    let filter = format!("userName eq \"{email}\"");
    for (arguments, found) in [
        (vec!["--inactive"], true),
        (vec!["--active"], false),
        (vec!["--search", "jAnE"], true),
        (vec!["--search", "no\"body\\"], false),
        (vec!["--filter", &filter], true),
        (vec!["--limit", "0"], false),
    ] {
        let mut all = vec!["user", "list", "-o", "jsonl"];
        all.extend(arguments);
        let output = say(&all, 0, &[], &[]);
        assert_eq!(
            output.stdout.contains(id),
            found,
            "{which}: {all:?}: {output:?}"
        );
    }
    say(
        &["user", "list", "--filter", "shoeSize eq 7"],
        1,
        &[],
        &["position 1"],
    );
    say(&["user", "reactivate", id], 0, &[], &["is now active"]);
    let table = say(
        &["user", "list"],
        0,
        &["USERNAME", "STATUS", "LAST CHANGED", "active"],
        &[],
    );
    assert!(
        table
            .stdout
            .lines()
            .any(|line| line.starts_with(&format!("{email}  "))),
        "{table:?}"
    );

    let name = format!("token.{which}");
    let issued = say(
        &[
            "token",
            "issue",
            &name,
            "--scope",
            "read",
            "--expires",
            "never",
        ],
        0,
        &["golinks_scim_"],
        &[],
    );
    assert_eq!(issued.stdout.lines().count(), 1, "{issued:?}");
    say(
        &["token", "issue", &name],
        1,
        &[],
        &["a live token has this name"],
    );
    say(
        &["token", "issue", "bad name"],
        1,
        &[],
        &["letters, digits"],
    );
    say(
        &["token", "list"],
        0,
        &["NAME", "LAST USED", &name, "read", "never", "live"],
        &[],
    );
    let shown = say(&["token", "show", &name, "-o", "json"], 0, &[&name], &[]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("one JSON array");
    assert_eq!(shown[0]["scope"], "read");
    assert!(!shown.to_string().contains("golinks_scim_"), "{shown}");
    say(
        &["token", "rotate", &name, "--overlap", "1h"],
        0,
        &["golinks_scim_"],
        &["the old one stays valid until "],
    );
    say(&["token", "revoke", &name], 0, &[], &["revoked 2 tokens"]);
    say(&["token", "revoke", &name], 1, &[], &["no live token"]);
    say(
        &["token", "show", "nothing"],
        1,
        &[],
        &["no token has this name"],
    );
    say(
        &["guide", "okta"],
        0,
        &[
            "SCIM connector base URL                  https://127.0.0.1:",
            "Unique identifier field for users        userName",
            "Application username format              Email",
            "Create Users                             [x]",
            "Update User Attributes                   [x]",
            "Deactivate Users                         [x]",
            "[ ] Push Groups",
            "[ ] Import Groups",
            "token issue okta",
        ],
        &[],
    );
}

/// Programs read what was done, and whether anything was, from standard output alone.
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

/// Who reads only the beginning does not leave the rest undone.
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
    // An error, which a quiet command tells too, though another decides its status.
    told(&["-q", "token", "revoke", "c", "nobody", "-o", "jsonl"], 1);
    let listed = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    assert_eq!(
        listed.matches("\"state\":\"revoked\"").count(),
        3,
        "{listed}"
    );
}

/// Each completion is asked for as bash does.
#[test]
fn bash_completes_commands_options_and_values() {
    let completions = cli_in(&TempDir::new().expect("a folder"), &["completions", "bash"]);
    for (typed, wanted) in [
        ("golinks-scim", "serve"),
        ("golinks-scim token", "rotate"),
        ("golinks-scim token issue", "--allow-from"),
        ("golinks-scim token issue --scope", "provision"),
        ("golinks-scim user list -o", "jsonl"),
        ("golinks-scim guide", "okta"),
    ] {
        let ask = format!(
            "COMP_WORDS=({typed} ''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _golinks__scim golinks-scim '' \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let script = format!("{}\n{ask}", completions.stdout);
        let bash = Command::new("bash").args(["-c", &script]).output();
        let found = Output::from(bash.expect("bash runs"));
        let is_there = found.stdout.split_whitespace().any(|word| word == wanted);
        assert!(is_there, "{typed}: {found:?}");
    }
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

/// As `| head -1` does, in the middle of what is written.
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

/// Creates users faster than one command each would: in this process, as a server does.
fn add_users(data_dir: &Path, count: usize) {
    use golinks_scim::directory::{Caller, Directory};
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
                    let caller = Caller {
                        principal: "test".to_owned(),
                        request_id: "test".to_owned(),
                        address: None,
                    };
                    directory.create(user, &caller).expect("created");
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
    // What a program reads does nothing to a terminal either, and says what it said.
    let evil = "evil\u{9b}31m\u{7f}\u{2028}\u{202e}";
    let added = server.cli(&["user", "add", "evil-2", "--given", evil, "--family", "V"]);
    let id = added.stdout.trim();
    for arguments in [
        &["user", "list", "-o", "jsonl"][..],
        &["user", "show", id, "-o", "jsonl"],
        &["user", "export", "-o", "jsonl"],
        &["user", "history", id, "-o", "jsonl"],
        &["audit", "list", "-o", "jsonl"],
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
fn somebody_with_one_name_is_added_with_it() {
    let server = Server::start();
    for (part, flag) in [("givenName", "--given"), ("familyName", "--family")] {
        let added = server.cli(&["user", "add", part, flag, "Suharto"]);
        assert_eq!(added.status, Some(0), "{added:?}");
        let shown = server.cli(&["user", "show", part, "-o", "jsonl"]).stdout;
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["name"], serde_json::json!({part: "Suharto"}));
        assert_eq!(shown["displayName"], "Suharto");
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

/// One opens the store; the others wait for it.
#[test]
fn commands_at_once_without_a_server_wait_for_each_other() {
    let directory = Server::start().stop_and_keep();
    let begun: Vec<_> = (0..6)
        .map(|_| {
            command(&directory)
                .args(["user", "list", "--limit", "1"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary runs")
        })
        .collect();
    for child in begun {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn a_store_that_is_held_is_waited_for() {
    let folder = TempDir::new().expect("a folder");
    let here = folder.path();
    let check = |arguments: &[&str], status: i32, words: &str| {
        let output = cli_on(here, arguments);
        assert_eq!(output.status, Some(status), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(words), "{arguments:?}: {output:?}");
    };
    let path = here.join("users.redb");
    let backup = here.join("backup.redb");
    drop(Store::open(&backup, Duration::ZERO, describe).expect("another"));
    let backup = backup.to_str().expect("a path of text");
    let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
    let held =
        "in use by another process\nhint: another golinks-scim command is using it, or a server";
    // Whoever holds it may be done in a moment, and is waited for.
    let commands = [&["user", "list"][..], &["backup", "restore", backup]];
    let check = &check;
    thread::scope(|scope| {
        for command in commands {
            scope.spawn(move || {
                let began = Instant::now();
                check(command, 69, held);
                let waited = began.elapsed();
                assert!(waited >= limits::COMMAND_LOCK_WAIT_MAX, "{waited:?}");
            });
        }
    });
    drop(store);
}
