//! The commands about users, with a server running and without one.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{check, resize, serve, shown_on_a_terminal, start, stop};
use crate::support::{Server, cli_in, cli_on, command_on};

/// Somebody may demand to be erased, but nobody must be erased by mistake.
#[test]
fn users_are_deleted_with_and_without_a_server() {
    let mut server = Some(Server::start());
    let mut folder = None;
    for name in ["with", "without"] {
        let cli = |arguments: &[&str]| match (&server, &folder) {
            (Some(server), _) => server.cli(arguments),
            (None, folder) => cli_in(folder.as_ref().expect("it was kept"), arguments),
        };
        let added = cli(&["user", "add", name, "--given", "\u{1b}[31m"]);
        let id = added.stdout.trim();
        let unsure = cli(&["user", "delete", "nobody", &name.to_uppercase()]);
        for told in [
            &*format!("{name} ({id}) would be deleted"),
            "there is no user nobody",
            "nobody was deleted",
            " user deactivate`; ",
        ] {
            check(&unsure, 64, told);
        }
        check(&cli(&["user", "show", name]), 0, "");
        let long = "\"".repeat(2042);
        for command in ["show", "history", "deactivate"] {
            let told = "golinks-scim: there is no user or token with a name of 2042 bytes\nhint: ";
            check(&cli(&["user", command, &long]), 1, told);
            check(&cli(&["user", command, &long[1..]]), 1, "user \"\"");
        }
        let done = cli(&["user", "delete", "nobody", name, "--yes"]);
        for told in [
            &*format!("{name} is deleted"),
            "there is no user nobody",
            "1 of 2 users was not deleted",
            "creates them again",
        ] {
            check(&done, 1, told);
        }
        let again = cli(&["user", "delete", "--yes", id]);
        check(&again, 1, "there is no user");
        assert!(!again.stderr.contains("creates them again"), "{again:?}");
        let rows = cli(&["audit", "list", "--user", id, "-o", "jsonl"]).stdout;
        assert!(rows.contains("\"kind\":\"delete\""), "{rows}");
        folder = server.take().map(Server::stop_and_keep);
    }
}

/// A column with something else than emails creates users for whom no provider looks.
#[test]
fn a_user_name_that_is_no_email_is_told() {
    let (data_dir, folder) = (
        Server::start().stop_and_keep(),
        TempDir::new().expect("a folder"),
    );
    let [file, good] = ["staff.csv", "good.csv"].map(|name| folder.path().join(name));
    let rows = "Email\njane@example.com\nn/a\nJoe Roe <joe@example.com>\n";
    fs::write(&file, rows).expect("written");
    fs::write(&good, "Email\nann@example.com\n").expect("written");
    let import = |file: &std::path::Path, more: &[&str]| {
        let path = file.to_str().expect("UTF-8");
        cli_in(&data_dir, &[&["user", "import", path][..], more].concat())
    };
    let advice = "hint: the userName is usually the primary email; new ones without @ or \
                  with spaces: 2, the first n/a in line 3\n";
    for more in [&["--dry-run"][..], &[], &["-o", "json"]] {
        let told = import(&file, more);
        assert_eq!(told.status, Some(0), "{told:?}");
        // Only new ones count: at the third time, there are none.
        assert_eq!(
            told.stderr.contains(advice),
            more != ["-o", "json"],
            "{told:?}"
        );
        assert!(!import(&good, more).stderr.contains("hint: "));
    }
    for (name, is_told) in [("m.muster", true), ("max muster@x", true), ("m@x", false)] {
        let added = cli_in(&data_dir, &["user", "add", name, "--given", "M"]);
        let advice =
            "hint: the userName is usually the primary email; this one has no @, or has spaces\n";
        assert_eq!(added.stderr == advice, is_told, "{added:?}");
    }
}

#[test]
fn users_are_found_and_changed_with_and_without_a_server() {
    let folder = TempDir::new().expect("a folder");
    let cli = |arguments: &[&str]| cli_on(folder.path(), arguments);
    let mut server = serve(folder.path(), Stdio::null());
    let add = [
        "user",
        "add",
        "ann@example.com",
        "--given",
        "Ann",
        "--family",
    ];
    let added = cli(&[&add[..], &["\u{1b}[31mO\"Hara\\"]].concat());
    check(&added, 0, "");
    let again = cli(&[&add[..], &["X"]].concat());
    check(&again, 1, "another user has this userName");
    check(&again, 1, " user show 'ann@example.com'` shows who has it");
    check(&again, 1, "user reactivate");
    let list = cli(&["user", "list"]).stdout;
    assert!(list.contains("Ann \\u{1b}[31mO\"Hara\\"), "{list}");
    let search = [
        "user",
        "list",
        "--active",
        "--search",
        "o\"hara\\",
        "-o",
        "jsonl",
    ];
    let found = cli(&search);
    assert_eq!(found.stdout.lines().count(), 1, "{found:?}");
    let gone = cli(&["user", "deactivate", "nobody", "ANN@example.com"]);
    check(&gone, 1, "ANN@example.com is now inactive");
    assert!(gone.stderr.contains("there is no user nobody"), "{gone:?}");
    assert!(gone.stderr.contains("next push"), "{gone:?}");
    assert_eq!(cli(&search).stdout, "");
    // What is printed can be typed, also about a name that looks like an option.
    let dashed = cli(&["user", "show", "--", "-x y"]);
    check(
        &dashed,
        1,
        " user history -- '-x y'` works for deleted users",
    );
    check(
        &cli(&["user", "add", " ", "--given", "A"]),
        64,
        "the userName is empty",
    );

    // A running server whose socket is gone is not found, but it holds the store.
    let (socket, hidden) = (
        folder.path().join("admin.sock"),
        folder.path().join("hidden"),
    );
    let pid = Pid::from_child(&server);
    kill_process(pid, Signal::STOP).expect("it runs");
    fs::rename(&socket, &hidden).expect("renamed");
    check(&cli(&["user", "list"]), 69, "hint: ");
    fs::rename(&hidden, &socket).expect("renamed");
    kill_process(pid, Signal::CONT).expect("it is there");

    assert!(stop(&mut server).is_some_and(|status| status.success()));
    assert!(!socket.exists(), "the socket is left over");
    let id = added.stdout.trim();
    check(&cli(&["user", "reactivate", id]), 0, "is now active");
    check(&cli(&["user", "reactivate", id]), 0, "is already active");
    let quiet = cli(&["-q", "user", "reactivate", id]);
    assert_eq!((quiet.status, quiet.stderr.as_str()), (Some(0), ""));
    check(
        &cli(&["-q", "user", "reactivate", "nobody"]),
        1,
        "there is no user",
    );
    let all = cli(&["user", "list", "-o", "json"]).stdout;
    let all: Value = serde_json::from_str(&all).expect("one JSON array");
    assert_eq!(all[0]["active"], true, "{all}");
}

/// An export to a file or a pipe is unaltered, so that it can be imported again.
#[test]
fn an_export_does_nothing_to_a_terminal() {
    let server = Server::start();
    let evil = "\u{1b}[31m\u{202e}";
    let add = ["user", "add", "evil@x", "--given", evil];
    check(&server.cli(&add), 0, "");
    let (data_dir, export) = (server.data_dir(), ["user", "export"]);
    assert!(server.cli(&export).stdout.contains(evil));
    let shown = shown_on_a_terminal(80, command_on(&data_dir).args(export));
    assert!(shown.contains("\\u001b[31m\\u202e"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    assert_eq!(shown.lines().count(), 2, "{shown}");
    // A person who waits at a terminal is told why.
    let copy = data_dir.with_file_name("copy.redb");
    let mut backup = command_on(&data_dir);
    let backup = backup.args(["backup", "create"]).arg(copy);
    let told = shown_on_a_terminal(80, backup);
    assert!(told.starts_with("the copy is being made"), "{told}");
}

/// Errors do not mention request targets, which nobody has typed.
#[test]
fn a_name_with_a_part_of_the_next_line_is_told_as_such() {
    let server = Server::start();
    let name = "jane\nfrank";
    for command in [
        &["token", "show", name][..],
        &["token", "change", name, "--scope", "read"],
        &["token", "rotate", name],
        &["token", "revoke", name],
        &["audit", "list", "--token", name],
        &["audit", "list", "--user", name],
        &["user", "undo", "--since", "1h", "--token", name],
        &["user", "show", name, "--at", "1h"],
        &["user", "history", name],
    ] {
        let told = "jane\\u{a}frank has a line break or another control character\nhint: ";
        check(&server.cli(command), 1, told);
    }
    // A filter may look for such a text.
    server.cli(&["user", "add", "jane", "--given", "A\tB"]);
    for (filter, status, words) in [
        ("name.givenName eq \"A\tB\"", 0, "jane"),
        ("active\neq true", 1, "position "),
    ] {
        let found = server.cli(&["user", "list", "--active", "--filter", filter]);
        assert_eq!(found.status, Some(status), "{found:?}");
        let told = found.stdout + &found.stderr;
        assert!(told.contains(words), "{filter}: {told}");
    }
    server.stop();
}

/// No program may take a part of the directory for all of it, even if it ignores the exit status.
#[test]
fn an_array_that_breaks_off_is_left_open() {
    const USERS: usize = 2500;
    let folder = TempDir::new().expect("a folder");
    let [many, one] = ["many.csv", "one.csv"].map(|name| folder.path().join(name));
    let [many, one] = [&many, &one].map(|path| path.to_str().expect("text"));
    let company = "a-company-with-a-name-that-helps-to-fill-a-pipe.example";
    let mut rows = "userName\n".to_owned();
    fs::write(one, format!("{rows}u1@{company}\n")).expect("written");
    for number in 0..USERS {
        let _ = writeln!(rows, "u{number}@{company}");
    }
    fs::write(many, rows).expect("written");
    let server = Server::start();
    check(&server.cli(&["user", "import", many]), 0, "2500 created");
    let mut directory = server.stop_and_keep();
    for command in [
        &["user", "list"][..],
        &["audit", "list"],
        &["user", "diff", one],
    ] {
        let server = Server::start_on(directory);
        let mut listing = command_on(&server.data_dir())
            .args(command)
            .args(["-o", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut reader = BufReader::new(listing.stdout.take().expect("piped"));
        let mut printed = String::new();
        // The first page does not fit into the pipe, so the command now waits for its reader.
        reader.read_line(&mut printed).expect("text");
        directory = server.stop_and_keep();
        reader.read_to_string(&mut printed).expect("text");
        let ended = listing.wait_with_output().expect("ours");
        assert_eq!(ended.status.code(), Some(74), "{command:?}: {ended:?}");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(told.contains("the server did not answer"), "{told}");
        assert!(printed.starts_with("[\n{"), "{command:?}: {printed}");
        assert!(printed.lines().count() < USERS, "{command:?}: {printed}");
        let read = serde_json::from_str::<Value>(&printed);
        assert!(read.is_err_and(|error| error.is_eof()), "{command:?}");
    }
}

/// A comparison may take a minute. What is not a terminal gets its messages only.
#[test]
fn whoever_waits_at_a_terminal_sees_how_far_a_comparison_is() {
    let server = Server::start();
    check(&server.cli(&["user", "add", "a@x", "--given", "A"]), 0, "");
    let file = server.data_dir().with_file_name("a.csv");
    fs::write(&file, "userName\na@x\n").expect("written");
    let diff = |options: &[&str]| {
        let mut command = command_on(&server.data_dir());
        command.args(options).args(["user", "diff"]).arg(&file);
        command.env("TERM", "xterm");
        command
    };
    let bar = " of 2 rows and users, ";
    let shown = shown_on_a_terminal(80, &mut diff(&[]));
    assert!(shown.contains(bar), "{shown}");
    let speed = shown
        .split(bar)
        .nth(1)
        .and_then(|rest| rest.split_once("/s"));
    let is_whole = |(speed, _): (&str, &str)| speed.bytes().all(|it| it.is_ascii_digit());
    assert!(speed.is_some_and(is_whole), "{shown}");
    for told in [
        shown_on_a_terminal(80, &mut diff(&["-q"])),
        String::from_utf8(diff(&[]).output().expect("it runs").stderr).expect("text"),
    ] {
        assert!(!told.contains(bar), "{told}");
    }
}

/// A table that is wider than the terminal can hardly be read. Whatever is not a terminal gets all
/// of it, and so does one where even the necessary columns have no room.
#[test]
fn a_list_fits_on_a_terminal() {
    let server = Server::start();
    server.token("okta");
    let (name, urn) = (
        "jane@example.com",
        "extension:enterprise:2.0:User:department",
    );
    check(
        &server.cli(&["user", "add", name, "--given", "Jane"]),
        0,
        "",
    );
    let file = server.data_dir().with_file_name("a.csv");
    fs::write(&file, format!("Email,Department\n{name},Sales\n")).expect("written");
    let file = file.to_str().expect("text");
    check(&server.cli(&["user", "import", file]), 0, "");
    let shown = |columns, typed: &[&str]| {
        shown_on_a_terminal(columns, command_on(&server.data_dir()).args(typed))
    };
    for (typed, columns, left_out) in [
        (["token", "list"], 80, "CREATED (UTC), FROM, BY"),
        (["user", "list"], 80, "ID"),
        (["user", "list"], 25, ""),
        (["user", "list"], 200, ""),
        (["audit", "list"], 130, "REQUEST"),
        (["audit", "list"], 80, "BY, CHANGES, REQUEST"),
    ] {
        let table = shown(columns, &typed);
        let hint = format!("hint: a wider terminal or -o json also shows {left_out}\n");
        let is_narrow = table.lines().all(|line| line.len() <= columns.into());
        assert_eq!(is_narrow, columns > 25, "{typed:?}: {table}");
        assert_eq!(table.ends_with(&hint), !left_out.is_empty(), "{table}");
        let whole = server.cli(&typed);
        check(&whole, 0, "");
        let title = left_out.rsplit(", ").next().expect("one");
        assert!(whole.stdout.contains(title), "{whole:?}");
        assert_eq!(whole.stderr, "");
        assert_eq!(table == whole.stdout, left_out.is_empty(), "{table}");
    }
    // The one with a long name needs the room of its scope, too.
    server.token("okta-production-workforce");
    let tokens = shown(80, &["token", "list"]);
    let mut rows = tokens.lines().filter(|line| !line.starts_with("hint: "));
    assert!(rows.all(|line| line.len() <= 80), "{tokens}");
    // Whoever asks about one token sees everything about it, on several lines if need be.
    let token = shown(80, &["token", "show", "okta"]);
    assert_eq!(token, server.cli(&["token", "show", "okta"]).stdout);
    // The settings fit, but for where a long name comes from.
    let settings = server.cli(&["config", "show"]).stdout;
    let titles = settings.lines().next().expect("titles");
    assert!(titles.len() <= 80, "{settings}");
    // The name of an attribute of the extension does not push all others to the edge.
    let user = shown(80, &["user", "show", name]);
    assert!(user.contains(urn), "{user}");
    assert!(
        user.contains(&format!("\nuserName           {name}\n")),
        "{user}"
    );
    let rows = server.cli(&["audit", "list", "--user", name]).stdout;
    assert!(
        rows.contains("  enterprise  ") && !rows.contains("urn:"),
        "{rows}"
    );
}

/// Nobody sees the end of a list that is followed.
#[test]
fn whoever_follows_the_trail_is_told_of_columns_without_room() {
    let server = Server::start();
    let (mut screen, keyboard) = start::terminal();
    resize(&keyboard, 90);
    let mut command = command_on(&server.data_dir());
    command
        .args(["audit", "follow"])
        .stdout(keyboard.try_clone().expect("a descriptor"))
        .stderr(keyboard);
    let mut follower = command.spawn().expect("the binary runs");
    drop(command);
    let reader = thread::spawn(move || {
        let mut shown = Vec::new();
        screen.read_to_end(&mut shown).ok();
        String::from_utf8(shown).expect("text")
    });
    // Only rows that are written after it has begun are shown.
    for number in 0..20 {
        server.token(&format!("t{number}"));
        thread::sleep(Duration::from_millis(100));
    }
    follower.kill().expect("ended");
    follower.wait().expect("it is a child of this process");
    let shown = reader.join().expect("read");
    let hint = "hint: a wider terminal or -o json also shows REQUEST";
    assert_eq!(shown.matches(hint).count(), 1, "{shown}");
}
