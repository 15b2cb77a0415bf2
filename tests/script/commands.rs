//! A script of commands that does the same with and without a running server; completions; commands
//! that wait for the store.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::directory::describe;
use golinks_scim::limits;
use golinks_scim::store::Store;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Output, Server, cli_in, cli_on, command};

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

/// The life of a user and of a token, command by command.
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
    say(&["token", "issue", "bad name"], 1, &[], &["digits, dots"]);
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

/// Requests each completion as bash does.
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

/// One command opens the store, and the others wait for it.
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
    // The process that holds the store may end in a moment, so commands wait.
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
