//! The commands about tokens: issuing, rotating and revoking them, and how long they are valid.

use std::fs;
use std::process::Stdio;

use golinks_scim::limits;
use tempfile::TempDir;

use super::{assert_good_for_a_year, check};
use crate::support::{Server, cli_in, command_on};

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
    // If a name could be the id of another token, one command would revoke both.
    let named = server.cli(&["token", "issue", id]);
    check(&named, 1, "a live token has this name or id");
    check(&server.cli(&["token", "revoke", id]), 0, "revoked 1 token");
}

/// A standard output that a script has closed by mistake is opened as `/dev/null`, which takes
/// everything and keeps nothing.
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

/// Without sudo, a command uses the caller's own data directory, and the server does not know the
/// tokens there.
#[test]
fn a_token_that_no_server_knows_yet_is_told_with_its_directory() {
    let server = Server::start();
    let told = format!(
        "no server is running in {}: the token is accepted once one runs there\n\
         hint: name another data directory with --data-dir",
        server.data_dir().display()
    );
    let issued = server.cli(&["token", "issue", "served"]);
    assert!(!issued.stderr.contains("no server"), "{issued:?}");
    let directory = server.stop_and_keep();
    for arguments in [
        ["token", "issue", "unserved"],
        ["token", "rotate", "served"],
    ] {
        check(&cli_in(&directory, &arguments), 0, &told);
    }
}

/// If the old token expires before the overlap ends, the overlap ends with it.
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
    // Only the two tokens are left that end at the same time because of the same rotation.
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

/// Printed commands do not contain what was typed as a name.
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

/// Each rotation writes all live tokens of the name, so their number is bounded.
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
    for name in ["a b", "bücher"] {
        let refused = server.cli(&["token", "issue", name]);
        check(&refused, 1, "64 letters (A to Z, a to z)");
    }
    check(
        &server.cli(&["token", "issue", "--", "-x"]),
        1,
        "does not begin with a dash",
    );
    check(
        &server.cli(&["token", "issue", "x", "--expires", "5y"]),
        64,
        "hint: write 365d",
    );
    for (option, bad, told) in [
        ("--expires", "40000d", "36500d is the longest"),
        ("--rate-limit", "4294967296", "from 1 to 4294967295, or"),
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
    assert!(!rotated.stderr.contains("own expiry"), "{rotated:?}");
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
    // A token that is about to end is rotated by its id: the new token does not end with it.
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
    // An unknown token is an error: an empty list would look like good news.
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
        ("36501d", "36501d is too far away\nhint: "),
        ("99999999999999999999w", "; 36500d is the longest"),
    ] {
        check(
            &server.cli(&["token", "issue", "x", "--expires", bad]),
            64,
            told,
        );
    }
    let overlap = server.cli(&["token", "rotate", "dated", "--overlap", "36501d"]);
    check(&overlap, 64, "36501d is too long\nhint: ");
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
        "1 of 3 tokens was not revoked",
    ] {
        check(&several, 1, told);
    }
}

/// People give identity providers new tokens by hand: a token that expires earlier than expected
/// would end the provisioning.
#[test]
fn a_token_is_good_for_a_year_unless_it_is_said_otherwise() {
    let server = Server::start();
    server.token("plain");
    assert_good_for_a_year(&server.cli(&["token", "show", "plain", "-o", "jsonl"]));
}

/// The help of a command that lacks its second word is not what is wrong.
#[test]
fn a_missing_command_is_told_before_the_commands_there_are() {
    let folder = TempDir::new().expect("a folder");
    for typed in [["token"], ["backup"]] {
        let told = cli_in(&folder, &typed);
        check(&told, 64, "golinks-scim: a command is missing\n\n");
        check(&told, 64, "Commands:\n");
    }
}
