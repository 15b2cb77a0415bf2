//! The command line as scripts and people meet it: words, exit statuses, what goes to which
//! stream, and a server whose streams are broken.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use golinks_scim::clock::Instant as Moment;
use golinks_scim::idp::client::Client;
use golinks_scim::limits;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use crate::support::{Output, Server, cli_in, cli_on, command_on, send};

const PATIENCE: Duration = Duration::from_secs(60);

/// Checks the exit status, a part of standard error, and that refusals print no data.
fn check(output: &Output, status: i32, stderr: &str) {
    assert_eq!(output.status, Some(status), "{output:?}");
    assert!(output.stderr.contains(stderr), "{output:?}");
    if status != 0 {
        assert_eq!(output.stdout, "", "{output:?}");
    }
}

/// A server that talks as much as it can, once it answers at its socket.
fn serve(data_dir: &Path, stderr: impl Into<Stdio>) -> Child {
    let server = command_on(data_dir)
        .args(["-vv", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + PATIENCE;
    while !data_dir.join("admin.sock").exists() {
        assert!(Instant::now() < deadline, "the server did not start");
        thread::sleep(Duration::from_millis(5));
    }
    server
}

/// SIGTERM, and the end of it; `None` after too long a time.
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

#[test]
fn exit_statuses_without_a_server() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    check(&cli_on(&data_dir, &["frobnicate"]), 64, "frobnicate");
    check(
        &cli_on(&data_dir, &["serve", "--base-url", "http://h"]),
        64,
        "hint: ",
    );
    check(
        &cli_on(&data_dir, &["serve", "--rate-limit", "0"]),
        64,
        "hint: ",
    );
    check(
        &cli_on(&data_dir, &["serve", "--tls-cert", "x"]),
        64,
        "--tls-key",
    );
    check(
        &cli_on(Path::new(""), &["user", "list"]),
        64,
        "--data-dir is given, and empty",
    );
    for command in [
        &["token", "issue", ""][..],
        &["token", "show", ""],
        &["token", "rotate", ""],
        &["token", "revoke", ""],
        &["audit", "list", "--token", ""],
        &["audit", "list", "--user", ""],
        &["user", "undo", "--since", "1h", "--token", ""],
        &["user", "list", "--filter", ""],
        &["user", "list", "--search", ""],
        &["user", "export", "--filter", ""],
        &["user", "export", "--search", ""],
        &["user", "show", ""],
        &["user", "history", ""],
        &["user", "deactivate", "jane", ""],
        &["user", "add", "jane", "--given", "", "--family", "Doe"],
        &["user", "add", "jane", "--given", "Jane", "--family", ""],
        &[
            "user",
            "add",
            "jane",
            "--given",
            "Jane",
            "--family",
            "Doe",
            "--display-name",
            "",
        ],
        &["user", "reactivate", ""],
        &["user", "delete", "--yes", ""],
    ] {
        check(&cli_on(&data_dir, command), 64, "it is given, and empty");
    }
    check(&cli_on(&data_dir, &["--version"]), 0, "");
    check(&cli_on(&data_dir, &["user", "list", "--help"]), 0, "");
    check(
        &cli_on(&data_dir, &["user", "list"]),
        69,
        &format!(
            "hint: start `golinks-scim --data-dir {} serve`",
            data_dir.display()
        ),
    );
    assert!(!data_dir.exists(), "looking made a directory");
    let long = folder.path().join("l".repeat(120));
    check(&cli_on(&long, &["serve"]), 78, "hint: choose a shorter");
    assert!(!long.exists(), "refusing made a directory");
    fs::create_dir(&data_dir).expect("made");
    fs::write(data_dir.join("users.redb"), "not a store").expect("written");
    check(
        &cli_on(&data_dir, &["user", "list"]),
        65,
        "hint: restore a backup",
    );
}

/// Whoever types no choice is shown them all, with and without a data directory.
#[test]
fn what_can_be_chosen_is_listed() {
    let folder = TempDir::new().expect("a folder");
    for (command, wanted) in [
        ("guide", &["okta       Okta, from its cloud", "agent  "][..]),
        ("completions", &["bash", "fish", "zsh"]),
        ("manual", &["install  ", "csv  "]),
    ] {
        let output = cli_on(&folder.path().join("data"), &[command]);
        check(&output, 0, "");
        for words in wanted {
            let is_listed = |line: &str| line.starts_with(words);
            assert!(output.stdout.lines().any(is_listed), "{words}: {output:?}");
        }
    }
}

/// The headings of a man page, in their order.
fn headings(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page");
    let headings = text.lines().filter_map(|line| line.strip_prefix(".SH "));
    headings.map(|line| line.replace('"', "")).collect()
}

/// What belongs to a command comes before what every command has.
#[test]
fn help_and_man_pages_tell_their_own_first() {
    let folder = TempDir::new().expect("a folder");
    let help = cli_on(folder.path(), &["user", "show", "--help"]).stdout;
    let at = |words: &str| {
        help.find(words)
            .unwrap_or_else(|| panic!("{words}: {help}"))
    };
    assert!(at("--output") < at("Global options:"), "{help}");
    assert!(at("Global options:") < at("--data-dir"), "{help}");

    let dir = folder.path().join("man");
    let dir = dir.to_str().expect("it is text");
    check(&cli_on(folder.path(), &["man", dir]), 0, "");
    for (page, wanted) in [
        (
            "golinks-scim",
            "GLOBAL OPTIONS,SUBCOMMANDS,NOTES,EXIT STATUS,VERSION",
        ),
        (
            "golinks-scim-cert-install",
            "ARGUMENTS,OPTIONS,GLOBAL OPTIONS,EXIT STATUS",
        ),
        (
            "golinks-scim-completions",
            "ARGUMENTS,GLOBAL OPTIONS,EXIT STATUS",
        ),
        (
            "golinks-scim-user-show",
            "ARGUMENTS,OPTIONS,GLOBAL OPTIONS,EXIT STATUS",
        ),
        (
            "golinks-scim-user-undo",
            "ARGUMENTS,OPTIONS,GLOBAL OPTIONS,NOTES,EXIT STATUS",
        ),
    ] {
        let found = headings(&Path::new(dir).join(format!("{page}.1"))).join(",");
        assert_eq!(
            found,
            format!("NAME,SYNOPSIS,DESCRIPTION,{wanted}"),
            "{page}"
        );
    }
}

#[test]
fn a_token_that_nobody_saw_is_named_and_can_be_taken_back() {
    let server = Server::start();
    let full = fs::File::options().write(true).open("/dev/full");
    let unseen = command_on(&server.data_dir())
        .args(["token", "issue", "unseen"])
        .stdout(full.expect("Linux has it"))
        .output()
        .expect("the binary runs");
    assert_eq!(unseen.status.code(), Some(74));
    let told = String::from_utf8_lossy(&unseen.stderr).into_owned();
    let (_, id) = told
        .trim_end()
        .rsplit_once("token revoke ")
        .expect("a command");
    // A name that is another's id would let one command end both.
    let named = server.cli(&["token", "issue", id]);
    check(&named, 1, "a live token has this name or id");
    check(&server.cli(&["token", "revoke", id]), 0, "revoked 1 token");
}

/// What a script closes by mistake is opened as `/dev/null`, where all is written and nothing kept.
#[test]
fn no_token_is_made_for_an_output_that_keeps_nothing() {
    let server = Server::start();
    server.token("kept");
    for arguments in [["issue", "lost"], ["rotate", "kept"]] {
        let refused = command_on(&server.data_dir())
            .arg("token")
            .args(arguments)
            .stdout(Stdio::null())
            .output()
            .expect("the binary runs");
        assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    }
    let listed = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

/// The overlap ends with the old token, if that ends first.
#[test]
fn a_rotation_tells_how_long_the_old_tokens_are_really_good() {
    let server = Server::start();
    server.token_with("short", &["--expires", "1d"]);
    let rotate = |overlap: &str| {
        let rotated = server.cli(&["token", "rotate", "short", "--overlap", overlap]);
        assert_eq!(rotated.status, Some(0), "{rotated:?}");
        rotated.stderr
    };
    let found = server
        .cli(&["token", "show", "short", "-o", "jsonl"])
        .stdout;
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let end = found["expires"].as_str().expect("it ends");
    let wanted = format!(
        "this token is shown once: the old one stays valid until {}Z, its own expiry; the new one is",
        &end[..19]
    );
    let told = rotate("7d");
    assert!(told.starts_with(&wanted), "{told}");
    let told = rotate("2h");
    assert!(told.contains("the 2 old ones stay valid until "), "{told}");
    let told = rotate("5h");
    let wanted = "of the 3 old ones the last stays valid until ";
    assert!(told.contains(wanted), "{told}");
    let found = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    let found = found
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let found: Vec<serde_json::Value> = found.collect();
    // Two that the same rotation gave the same end, alone.
    for token in &found[2..] {
        server.cli(&["token", "revoke", token["id"].as_str().expect("an id")]);
    }
    let told = rotate("7d");
    let end = found[0]["expires"].as_str().expect("it ends");
    let wanted = format!(
        "the 2 old ones stay valid until {}Z, their own expiry",
        &end[..19]
    );
    assert!(told.contains(&wanted), "{told}");
    let told = rotate("0d");
    assert!(told.contains("the 3 old ones have expired now"), "{told}");
    let told = rotate("0s");
    assert!(told.contains("the old one has expired now"), "{told}");
}

/// And what was typed for its name is no part of a command to copy.
#[test]
fn whoever_finds_no_token_is_told_where_they_are() {
    let server = Server::start();
    let program = format!("golinks-scim --data-dir {}", server.data_dir().display());
    let list = format!("hint: {program} token list");
    let issue = format!("{list}; {program} token issue NAME makes a new one");
    for (command, hint) in [("show", &list), ("revoke", &list), ("rotate", &issue)] {
        check(&server.cli(&["token", command, "x y$z"]), 1, hint);
    }
}

/// Each rotation writes all that live, so that those of one name are bounded.
#[test]
fn rotations_whose_old_tokens_live_on_are_bounded() {
    let server = Server::start();
    let rotate = |overlap| server.cli(&["token", "rotate", "okta", "--overlap", overlap]);
    check(&server.cli(&["token", "issue", "okta"]), 0, "");
    for _ in 1..limits::TOKENS_OF_NAME_MAX {
        check(&rotate("1h"), 0, "");
    }
    check(&rotate("1h"), 1, "16 tokens of this name are live");
    check(&rotate("0s"), 0, "");
    check(&rotate("1h"), 0, "");
}

#[test]
fn tokens_have_a_life_on_the_command_line() {
    let server = Server::start();
    let token = server.token("okta");
    check(
        &server.cli(&["token", "issue", "okta"]),
        1,
        "a live token has this name",
    );
    check(&server.cli(&["token", "issue", "a b"]), 1, "a token's name");
    check(
        &server.cli(&["token", "issue", "x", "--expires", "5y"]),
        64,
        "hint: write 365d",
    );
    for (option, bad, told) in [
        ("--expires", "40000d", "36500d is the longest"),
        ("--rate-limit", "off", "write a number from 1 on"),
    ] {
        check(&server.cli(&["token", "issue", "x", option, bad]), 64, told);
    }
    check(
        &server.cli(&["token", "issue", "x", "--scope", "root"]),
        64,
        "provision",
    );
    let rotated = server.cli(&["token", "rotate", "okta", "--overlap", "1h"]);
    check(&rotated, 0, "the old one stays valid until 20");
    assert!(!rotated.stderr.contains("own end"), "{rotated:?}");
    assert_ne!(rotated.stdout.trim(), token.reveal());
    let list = server.cli(&["token", "list"]).stdout;
    assert_eq!(list.matches(" live").count(), 2, "{list}");
    assert!(!list.contains(token.reveal()), "{list}");
    check(
        &server.cli(&["token", "revoke", "okta"]),
        0,
        "revoked 2 tokens",
    );
    check(
        &server.cli(&["token", "revoke", "okta"]),
        1,
        "no live token",
    );
    check(&server.cli(&["token", "show", "nobody"]), 1, "no token");
    // Rotated by the id of one that ends already: the new one does not end soon with it.
    let jsonl = |server: &Server| -> Vec<serde_json::Value> {
        let found = server.cli(&["token", "show", "lasting", "-o", "jsonl"]);
        let lines = found.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    check(
        &server.cli(&["token", "issue", "lasting", "--expires", "never"]),
        0,
        "",
    );
    let first = jsonl(&server)[0]["id"].as_str().expect("an id").to_owned();
    for who in ["lasting", &first] {
        check(
            &server.cli(&["token", "rotate", who, "--overlap", "1h"]),
            0,
            "",
        );
    }
    let lasting = jsonl(&server)
        .iter()
        .filter(|token| token["expires"].is_null())
        .count();
    assert_eq!((jsonl(&server).len(), lasting), (3, 1));
    // Nothing done by a token that nobody knows is no good news.
    for command in [
        &["audit", "list", "--token", "nobody"][..],
        &["user", "undo", "--since", "1h", "--token", "nobody"],
    ] {
        let output = server.cli(command);
        check(&output, 1, "no token");
        check(&output, 1, " token list\n");
    }
    for bad in [
        ["--rate-limit", "0"],
        ["--allow-from", "10.0.0.0/33"],
        ["--expires", "0d"],
    ] {
        let issued = server.cli(&[&["token", "issue", "x"], &bad[..]].concat());
        check(&issued, 64, "");
    }
    let bound = ["token", "issue", "bound", "--rate-limit", "7"];
    let bound = server.cli(&[&bound[..], &["--allow-from", "10.1.0.0/16"]].concat());
    check(&bound, 0, "");
    let shown = server.cli(&["token", "show", "bound"]).stdout;
    assert!(
        shown.contains("  7 ") && shown.contains("10.1.0.0/16"),
        "{shown}"
    );
}

/// Somebody may demand to be erased; nobody is erased by mistake.
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
        let done = cli(&["user", "delete", "nobody", name, "--yes"]);
        for told in [
            &*format!("{name} is deleted"),
            "there is no user nobody",
            "1 of 2 users were not deleted",
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

#[test]
fn a_token_may_end_on_a_date_that_is_to_come() {
    let server = Server::start();
    server.token_with("dated", &["--expires", "2099-06-30"]);
    let dated = server.cli(&["token", "show", "dated", "-o", "jsonl"]);
    let end = "\"expires\":\"2099-06-30T00:00:00.000Z\"";
    assert!(dated.stdout.contains(end), "{dated:?}");
    for (bad, told) in [
        ("2020-06-30", "would have expired already"),
        (
            "2020-06-30T00:00:00Z",
            "hint: write 365d, 52w, 12h, a date such as 2027-06-30",
        ),
        ("2099-13-30", "neither a length of time nor a date"),
    ] {
        check(
            &server.cli(&["token", "issue", "x", "--expires", bad]),
            64,
            told,
        );
    }
}

#[test]
fn several_tokens_are_revoked_whichever_fails() {
    let server = Server::start();
    for name in ["one", "two"] {
        server.token(name);
    }
    let several = server.cli(&["token", "revoke", "one", "nobody", "two"]);
    for told in [
        "one: revoked 1 token",
        "nobody: no live token",
        "two: revoked 1 token",
        "1 of 3 tokens were not revoked",
    ] {
        check(&several, 1, told);
    }
}

/// Identity providers are given a new token by hand: one that ends sooner than is known would
/// end their pushes.
#[test]
fn a_token_is_good_for_a_year_unless_it_is_said_otherwise() {
    let server = Server::start();
    server.token("plain");
    assert_good_for_a_year(&server.cli(&["token", "show", "plain", "-o", "jsonl"]));
}

/// Looks at the one token of a listing.
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

#[test]
fn certificates_are_requested_for_hosts_alone() {
    let folder = TempDir::new().expect("a folder");
    let request = |name: &str| cli_on(folder.path(), &["cert", "request", "--name", name]);
    for good in [
        "scim.example.com",
        "*.example.com",
        "192.0.2.1",
        "2001:db8::1",
    ] {
        check(&request(good), 0, "");
    }
    for bad in [
        "",
        "bad name",
        "https://scim.example.com",
        "scim.example.com/x",
    ] {
        check(&request(bad), 64, "the name of a host");
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

    // Without its socket a running server is not found, but it has the store.
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
    let all: serde_json::Value = serde_json::from_str(&all).expect("one JSON array");
    assert_eq!(all[0]["active"], true, "{all}");
}

#[test]
fn everything_that_a_server_makes_is_its_owners_alone() {
    let server = Server::start();
    let data_dir = server.data_dir();
    for (name, wanted) in [
        ("", 0o700),
        ("tls", 0o700),
        ("admin.sock", 0o600),
        ("users.redb", 0o600),
        ("tls/ca.key", 0o600),
        ("tls/leaf.key", 0o600),
    ] {
        let metadata = fs::metadata(data_dir.join(name)).expect(name);
        assert_eq!(metadata.permissions().mode() & 0o777, wanted, "{name}");
    }
}

#[test]
fn a_data_directory_that_is_open_to_others_is_warned_of() {
    let directory = TempDir::new().expect("a folder");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("ours");
    let server = Server::start_on(directory);
    let log = server.log_with("users other than its owner can access");
    assert!(
        log.contains("WARN") && log.contains(": chmod 700 "),
        "{log}"
    );
    assert!(!Server::start().log().contains("users other than its owner"));
}

#[test]
fn a_reader_who_leaves_early_is_no_failure() {
    let server = Server::start();
    for number in 0..3 {
        let email = format!("u{number}@example.com");
        let added = server.cli(&["user", "add", &email, "--given", "G", "--family", "F"]);
        check(&added, 0, "");
    }
    for format in ["table", "json", "jsonl"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command_on(&server.data_dir())
            .args(["user", "list", "-o", format])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{format}");
    }
    // Whose status is the answer does not give a wrong one.
    let explain = "audit explain 0123456789abcdef -o json";
    for command in ["check", "audit verify", explain] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command_on(&server.data_dir())
            .args(command.split(' '))
            .stdout(writer)
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(74), "{command}: {output:?}");
    }
    let full = fs::File::options().write(true).open("/dev/full");
    let output = command_on(&server.data_dir())
        .args(["user", "list"])
        .stdout(full.expect("Linux has it"))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(74), "a full disk is a failure");
}

/// With a log at its most talkative, and nobody who takes it.
#[test]
fn a_server_outlives_its_standard_error() {
    let full = fs::File::options().write(true).open("/dev/full");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    let (_unread, blocked) = std::io::pipe().expect("a pipe");
    for (name, stderr) in [
        ("full", OwnedFd::from(full.expect("Linux has it"))),
        ("closed", closed.into()),
        ("blocked", blocked.into()),
    ] {
        let folder = TempDir::new().expect("a folder");
        let mut server = serve(folder.path(), stderr);
        // A refusal's line has the path in it: 90 KB of them, and a pipe holds 64 KiB.
        let long = "x".repeat(3000);
        for _ in 0..30 {
            check(
                &cli_on(folder.path(), &["token", "revoke", &long]),
                1,
                "no live token",
            );
        }
        let status = stop(&mut server);
        assert!(status.is_some_and(|it| it.success()), "{name}: {status:?}");
    }
}

/// A first start on a terminal shows the token, once; in a journal it never stands.
#[test]
fn a_first_start_shows_the_token_to_a_terminal_alone() {
    let folder = TempDir::new().expect("a folder");
    let first = on_a_terminal(folder.path(), None, |shown| {
        let token = word_with(shown, "golinks_scim_");
        let base_url = word_with(shown, "https://");
        let pem = fs::read(folder.path().join("tls/ca.pem")).expect("the CA");
        let mut client = Client::new(base_url, &pem).expect("a usable base URL");
        let authorization = format!("Bearer {token}");
        let answer = send(&mut client, &authorization, "GET", "/Users", None);
        let response = answer.expect("an answer");
        assert_eq!(response.status, 200, "the token is of no use: {shown}");
        let kept = cli_on(folder.path(), &["token", "show", "okta", "-o", "jsonl"]);
        assert_good_for_a_year(&kept);
    });
    let fingerprint = fingerprint(folder.path());
    assert!(
        plain_hex(&first).contains(&fingerprint),
        "{fingerprint} is not in:\n{first}"
    );
    assert_eq!(first.matches("golinks_scim_").count(), 1, "{first}");
    for wanted in [
        "https://127.0.0.1:",
        "/scim/v2",
        "CA fingerprint",
        "ca.pem",
        &format!(
            "golinks-scim --data-dir {} guide okta  ",
            folder.path().display()
        ),
    ] {
        assert!(first.contains(wanted), "{wanted} is not in:\n{first}");
    }
    let second = on_a_terminal(folder.path(), None, |_| ());
    assert!(!second.contains("golinks_scim_"), "{second}");
    let server = Server::start();
    assert!(!server.log().contains("golinks_scim_"), "{}", server.log());
    let tokens = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    assert_eq!(tokens, "", "a start without a terminal issued a token");
}

/// The one word of a text that begins so.
fn word_with<'a>(text: &'a str, beginning: &str) -> &'a str {
    let mut words = text.split_whitespace();
    let found = words.find(|word| word.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no {beginning} in:\n{text}"))
}

/// SHA-256 of the private authority's certificate, in small letters without colons.
fn fingerprint(data_dir: &Path) -> String {
    let pem = fs::read_to_string(data_dir.join("tls/ca.pem")).expect("the CA");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).expect("PEM holds base64");
    let digest = digest::digest(&digest::SHA256, &der);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

fn plain_hex(text: &str) -> String {
    text.replace(':', "").to_lowercase()
}

/// A start that fails at the port leaves nothing, so that the next one is the first.
#[test]
fn a_first_start_at_a_port_that_another_has_is_done_again() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let failed = cli_on(&data_dir, &["serve", "--listen", &taken]);
    check(&failed, 74, "choose another port with --listen");
    let shown = on_a_terminal(&data_dir, None, |_| {});
    assert!(shown.contains("golinks_scim_"), "{shown}");
}

/// 192.0.2.0/24 is for documentation (RFC 5737): no machine has an address of it.
#[test]
fn an_address_that_no_interface_has_is_told() {
    let folder = TempDir::new().expect("a folder");
    let output = run_to_its_end(folder.path(), &["serve", "--listen", "192.0.2.1:8443"]);
    check(&output, 74, "cannot listen at 192.0.2.1:8443");
    check(
        &output,
        74,
        "hint: no interface of this machine has that address",
    );
}

#[test]
fn a_first_start_without_a_terminal_says_how_to_make_a_token() {
    assert_it_says_how_to_make_a_token(&TempDir::new().expect("a folder"));
}

/// Nobody may be at it.
#[test]
fn a_terminal_without_a_keyboard_is_told_everything_but_the_token() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    let shown = on_a_terminal(&data_dir, Some(Stdio::null()), |_| {});
    let advice = format!("--data-dir {} token issue okta", data_dir.display());
    for what in ["Base URL", &advice, "CA fingerprint"] {
        assert!(shown.contains(what), "{what} in {shown}");
    }
    assert!(!shown.contains("golinks_scim_"), "{shown}");
    let listed = cli_on(&data_dir, &["token", "list", "-o", "jsonl"]);
    assert_eq!((listed.status, &*listed.stdout), (Some(0), ""));
}

/// The certificate is opened after the store, which the failed start leaves.
#[test]
fn the_start_after_one_that_failed_says_how_to_make_a_token() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let absent = ["--tls-cert", "/absent.pem", "--tls-key", "/absent.key"];
    check(&cli_on(&data_dir, &[&serve[..], &absent].concat()), 78, "");
    assert!(data_dir.join("users.redb").exists());
    assert_it_says_how_to_make_a_token(&folder);
}

/// A start at which nobody can be makes no token, but says how to make one.
fn assert_it_says_how_to_make_a_token(folder: &TempDir) {
    let err = fs::File::create(folder.path().join("err")).expect("a file");
    let data_dir = folder.path().join("data");
    let mut server = command_on(&data_dir)
        .args(["-vv", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(err)
        .spawn()
        .expect("the binary runs");
    let log = || fs::read_to_string(folder.path().join("err")).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    let wanted = format!(
        "golinks-scim --data-dir {} token issue okta",
        data_dir.display()
    );
    while !log().contains(&wanted) {
        let is_running = matches!(server.try_wait(), Ok(None));
        assert!(is_running && Instant::now() < deadline, "{}", log());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(stop(&mut server).is_some_and(|status| status.success()));
    assert!(!log().contains("golinks_scim_"), "{}", log());
    let listed = cli_on(&data_dir, &["token", "list", "-o", "jsonl"]);
    assert_eq!((listed.status, &*listed.stdout), (Some(0), ""));
}

#[test]
fn the_guide_names_this_installation() {
    let server = Server::start();
    let guide = server.cli(&["guide", "okta"]);
    check(&guide, 0, "");
    let base_url = format!("https://{}/scim/v2", server.address());
    assert!(guide.stdout.contains(&base_url), "{guide:?}");
    let fingerprint = fingerprint(&server.data_dir());
    assert!(plain_hex(&guide.stdout).contains(&fingerprint), "{guide:?}");
}

/// Somebody may have read such a key: it is neither used nor quietly replaced.
#[test]
fn a_key_that_others_can_read_is_refused() {
    let server = Server::start();
    let folder = server.stop_and_keep();
    let data_dir = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for name in ["leaf.key", "ca.key"] {
        let key = data_dir.join("tls").join(name);
        let before = fs::read(&key).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
        check(&run_to_its_end(&data_dir, &serve), 78, "chmod 600");
        assert_eq!(
            fs::read(&key).expect("a key"),
            before,
            "{name} was replaced"
        );
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    }
}

/// Like [`cli_on`], for a server that should not start: one that does is ended.
fn run_to_its_end(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut server = command_on(data_dir)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + Duration::from_secs(15);
    while matches!(server.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // Without an effect on one that has ended.
    server.kill().ok();
    server.wait_with_output().expect("it is a child").into()
}

/// Whatever is refused says so under the program's name, so that it is found in a log.
#[test]
fn refusals_begin_with_the_programs_name() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("none");
    for (arguments, status) in [
        (&["frobnicate"][..], 64),
        (&["user", "list", "--active", "--inactive"], 64),
        (&["user", "list", "-o", "xml"], 64),
        (&["serve", "--rate-limit", "0"], 64),
        (&["token", "list"], 69),
    ] {
        let output = cli_on(&data_dir, arguments);
        check(&output, status, "");
        let mut lines = output.stderr.lines();
        let is_named = lines.any(|line| line.starts_with("golinks-scim: "));
        assert!(is_named, "{arguments:?}: {output:?}");
    }
}

/// Starts a server at a terminal, whose keyboard may be replaced, looks at it while it runs, stops
/// it, and gives what it showed.
fn on_a_terminal(data_dir: &Path, input: Option<Stdio>, look: impl Fn(&str)) -> String {
    let (mut screen, keyboard) = terminal();
    let mut server = command_on(data_dir)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(input.unwrap_or_else(|| keyboard.try_clone().expect("a descriptor").into()))
        .stdout(keyboard)
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    // The last line of the welcome; a server that dies ends the terminal instead.
    while !String::from_utf8_lossy(&shown).contains("user list") {
        match screen.read(&mut bytes) {
            Ok(count) if count > 0 => shown.extend_from_slice(&bytes[..count]),
            _ => break,
        }
    }
    let shown = String::from_utf8_lossy(&shown).into_owned();
    look(&shown);
    assert!(stop(&mut server).is_some_and(|status| status.success()));
    shown
}

/// A terminal: what is seen of it, and the end that a program has.
fn terminal() -> (fs::File, fs::File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("a terminal");
    grantpt(&screen)
        .and_then(|()| unlockpt(&screen))
        .expect("ours");
    let name = ptsname(&screen, Vec::new()).expect("a name");
    let name = name.into_string().expect("ASCII");
    let other_end = fs::File::options().read(true).write(true).open(name);
    (screen.into(), other_end.expect("the other end"))
}
