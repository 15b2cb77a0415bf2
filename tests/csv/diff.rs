//! A comparison of a file with the directory, and the commands that it prints.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use golinks_scim::limits;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{BY_DEFAULT, Desk, check, interrupted, rows_to_interrupt};
use crate::support::{Output, command_on, without_settings};

#[test]
fn a_difference_is_fixed_by_the_printed_commands() {
    let desk = Desk::new();
    desk.write(
        "here.csv",
        "userName,Status,title\nsame@x,yes,\ngone@x,yes,\nold@x,no,\nback@x,no,\nit's@x,yes,A\n",
    );
    check(&desk.import("here.csv", &[]), 0, &["5 created"]);
    // Names that a shell would execute, and a very long name: printed commands name users by their
    // ids.
    let trap = desk.path("trap");
    let hostile = format!(
        "userName\n$(touch {trap})@x\n`touch {trap}`@x\na';touch {trap};'@x\n{}@x\n",
        "L".repeat(1000),
        trap = trap.display(),
    );
    desk.write("hostile.csv", hostile);
    check(&desk.import("hostile.csv", &[]), 0, &["4 created"]);
    desk.write(
        "hr list.csv",
        "userName,title\nsame@x,\nback@x,\nit's@x,B\nnew@x,\n",
    );
    let told = desk.diff("hr list.csv", &[]);
    check(
        &told,
        1,
        &[
            "8 differences",
            "not here",
            "not there",
            "user deactivate 0",
            "user reactivate 0",
        ],
    );
    let json = desk.diff("hr list.csv", &["-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(rows.len(), 8, "{json:?}");
    let statuses = type_printed(&told);
    assert!(statuses.iter().all(|status| *status == Some(0)), "{told:?}");
    check(
        &desk.diff("hr list.csv", &[]),
        0,
        &["the directory matches the file"],
    );
    assert_eq!(desk.user("gone@x")["active"], false);
    assert!(!trap.exists(), "a name was run");
}

/// Runs the commands that a comparison has printed, and returns their exit statuses.
pub(super) fn type_printed(told: &Output) -> Vec<Option<i32>> {
    let binary = env!("CARGO_BIN_EXE_golinks-scim");
    let lines = told.stderr.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("  golinks-scim "));
    let type_one = |command: &str| {
        let mut shell = Command::new("bash");
        let typed = without_settings(&mut shell).args(["-c", &format!("{binary} {command}")]);
        let status = typed.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("bash").code()
    };
    commands.map(type_one).collect()
}

/// Thousands of ids are too many for one command line, and running a command for every fifty users
/// takes long.
#[test]
fn very_many_leavers_go_by_a_file() {
    let desk = Desk::new();
    let leavers = limits::DIFF_COMMANDS_USERS_MAX + 1;
    let names = (0..leavers).map(|number| format!("gone{number}@x,yes\n"));
    let here = names.collect::<String>();
    desk.write("here.csv", format!("userName,Status\nback@x,no\n{here}"));
    check(&desk.import("here.csv", &[]), 0, &["created"]);
    desk.write("hr list.csv", "userName\nback@x\nnew@x\n");
    let told = desk.diff("hr list.csv", &[]);
    let commands = [" user import ", " user diff ", "hr list.statuses.csv"];
    check(&told, 1, &commands);
    assert!(!told.stderr.contains("user deactivate"), "{told:?}");
    assert_eq!(type_printed(&told), [Some(0), Some(1), Some(0)], "{told:?}");
    let same = "the directory matches the file";
    check(&desk.diff("hr list.csv", &[]), 0, &[same]);
    let statuses = fs::read_to_string(desk.path("hr list.statuses.csv")).expect("written");
    assert_eq!(statuses.lines().count(), 1 + leavers + 1);
    let path = |name: &str| desk.path(name).to_string_lossy().into_owned();
    let nobody = path("nobody.csv");
    let told = desk.diff("hr list.csv", &["--statuses", &nobody]);
    check(&told, 0, &[same, "nobody.csv is not written"]);
    assert!(!Path::new(&nobody).exists(), "it would have no row");
    desk.write("titles.csv", "userName,title\nback@x,Cook\nnew@x,\n");
    let told = desk.diff("titles.csv", &["--statuses", &nobody]);
    let words = ["1 difference", "titles.csv", "nobody.csv is not written"];
    check(&told, 1, &words);
    assert!(!Path::new(&nobody).exists(), "{told:?}");
    for (name, words) in [
        (path("hr list.statuses.csv"), "the file exists already"),
        (path("statuses.jsonl"), "end its name with .csv"),
        ("-".to_owned(), "end its name with .csv"),
    ] {
        let refused = desk.diff("hr list.csv", &["--statuses", &name]);
        check(&refused, 64, &[words]);
    }
}

/// Only the line itself decides whether it gives a status, even after a line that was refused.
#[test]
fn a_refused_line_changes_no_comparison_of_the_next() {
    let desk = Desk::new();
    let old = json!({"userName": "old@x", "active": false});
    desk.write("here.jsonl", format!("{old}\n"));
    check(&desk.import("here.jsonl", &[]), 0, &["1 created"]);
    let unknown = json!({"id": "00000000-0000-4000-8000-000000000000", "title": "B"});
    desk.write("there.jsonl", format!("{unknown}\n{old}\n"));
    let told = desk.diff("there.jsonl", &["-o", "json"]);
    check(&told, 1, &["1 difference", "refused: no user has this id"]);
    let rows: Vec<Value> = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!((rows.len(), &rows[0]["line"]), (1, &json!(1)), "{told:?}");
    assert!(!told.stderr.contains("user reactivate"), "{told:?}");
}

/// The rows of the file come first, and refused ones may have no userName.
#[test]
fn the_columns_of_a_comparison_are_aligned_after_refused_rows() {
    let desk = Desk::new();
    desk.write("here.csv", "userName,title\nfirst.last@example.com,\n");
    check(&desk.import("here.csv", &[]), 0, &["1 created"]);
    desk.write("there.csv", "userName,title\nfirst.last@example.com\n");
    let told = desk.diff("there.csv", &[]);
    check(&told, 1, &["2 differences"]);
    let column = |words: &str| told.stdout.lines().find_map(|line| line.find(words));
    let columns = ["DIFFERENCE", "refused: ", "not there"].map(column);
    assert!(
        columns[0].is_some() && columns.iter().all(|it| *it == columns[0]),
        "{told:?}"
    );
}

/// A comparison notices the signal even while it has nothing to write into the file.
#[test]
fn a_comparison_that_is_interrupted_leaves_no_file_behind() {
    let desk = Desk::new();
    let mut compare = command_on(&desk.server.data_dir());
    compare
        .args(["user", "diff", "-o", "jsonl"])
        .arg(desk.write("many.csv", rows_to_interrupt()))
        .arg("--statuses")
        .arg(desk.path("statuses.csv"));
    let told = interrupted(BY_DEFAULT, Signal::HUP, &compare);
    check(&told, 129, &["golinks-scim: ended by SIGHUP\n"]);
    assert_eq!(told.stdout.lines().count(), 1000);
    let files = fs::read_dir(desk.folder.path()).expect("there").count();
    assert_eq!(files, 1, "{told:?}");
}

/// A comparison refuses the rows that an import would refuse, and then proposes to deactivate
/// nobody.
#[test]
fn what_an_import_would_refuse_is_no_difference() {
    let desk = Desk::new();
    desk.write("here.csv", "userName,Title\njane@x,Cook\nbob@x,Cook\n");
    check(&desk.import("here.csv", &[]), 0, &["2 created"]);
    let jane = desk.user("jane@x")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let long = "x".repeat(66_000);
    for (name, rows, told) in [
        (
            "unseen.csv",
            "userName,Title\njane\u{200b}@x,Cook\nbob@x,\n".to_owned(),
            "U+200B",
        ),
        (
            "large.csv",
            format!("userName,Title\njane@x,{long}\nbob@x,\n"),
            "64 KiB",
        ),
        (
            "taken.csv",
            format!("id,userName\n{jane},bob@x\n"),
            "another user has this userName",
        ),
    ] {
        desk.write(name, rows);
        let compared = desk.diff(name, &[]);
        check(&compared, 1, &["refused: ", told, "fix what was refused"]);
        assert!(!compared.stderr.contains("match the file"), "{compared:?}");
        assert!(!compared.stderr.contains("user deactivate"), "{compared:?}");
        check(&desk.import(name, &[]), 1, &["1 rejected", told]);
    }
    // The other rows can be applied, but the directory does not match the file then.
    desk.write(
        "partly.csv",
        "userName,Title\njane\u{200b}@x,Cook\nbob@x,Chef\n",
    );
    let compared = desk.diff("partly.csv", &[]);
    check(
        &compared,
        1,
        &["to apply the rows that were not refused:\n", "user import"],
    );
    // A name that an earlier row gives up is free for later rows, in a comparison and a rehearsal
    // as in an import.
    let bob = desk.user("bob@x")["id"].as_str().expect("an id").to_owned();
    let rows = format!("id,userName\n{bob},rob@x\n{jane},bob@x\n");
    desk.write("chain.csv", rows);
    let compared = desk.diff("chain.csv", &[]);
    check(&compared, 1, &["2 differences"]);
    assert!(!compared.stderr.contains("refused"), "{compared:?}");
    let rehearsed = desk.import("chain.csv", &["--dry-run"]);
    check(&rehearsed, 0, &["2 would be updated"]);
    check(&desk.import("chain.csv", &[]), 0, &["2 updated"]);
    let rows = format!("id,userName\n,fresh@x\n{jane},fresh@x\n");
    desk.write("taken.csv", rows);
    for (more, told) in [
        (
            &["--dry-run"][..],
            ["1 would be created", "1 would be rejected"],
        ),
        (&[], ["1 created", "1 rejected"]),
    ] {
        check(&desk.import("taken.csv", more), 1, &told);
    }
}

#[test]
fn the_commands_of_a_comparison_can_be_typed_as_they_stand() {
    let desk = Desk::new();
    desk.write("-d.csv", "userName,-x\na@x,1\n");
    let typed = |words: &[&str]| -> Output {
        let mut command = command_on(&desk.server.data_dir());
        command.current_dir(desk.folder.path()).arg("user");
        command
            .args(words)
            .output()
            .expect("the binary runs")
            .into()
    };
    let told = typed(&["diff", "--ignore=-x", "--", "-d.csv"]);
    check(&told, 1, &["1 difference"]);
    let mut lines = told.stderr.lines();
    let printed = lines
        .find_map(|line| line.split_once(" user "))
        .expect("a command");
    let words: Vec<&str> = printed.1.split(' ').collect();
    check(&typed(&words), 0, &["1 created"]);
}

/// An ignored status column does not count as missing: a file that says who has left reactivates
/// nobody.
#[test]
fn an_ignored_status_is_no_claim() {
    let desk = Desk::new();
    desk.write("here.csv", "userName,Status\nstays@x,yes\nleft@x,no\n");
    check(&desk.import("here.csv", &[]), 0, &["2 created"]);
    let lines = "{\"userName\":\"stays@x\"}\n{\"userName\":\"left@x\",\"active\":false}\n";
    desk.write("lines.jsonl", lines);
    desk.write(
        "okta.csv",
        "login,Status\nstays@x,ACTIVE\nleft@x,DEPROVISIONED\n",
    );
    let same = "the directory matches the file";
    for (name, column) in [
        ("here.csv", "status"),
        ("okta.csv", " STATUS"),
        ("lines.jsonl", "active"),
    ] {
        check(&desk.diff(name, &["--ignore", column]), 0, &[same]);
    }
    // A misspelled name would leave the status in.
    let actions = [Desk::import, Desk::diff];
    for (name, ignored, what) in [
        (
            "lines.jsonl",
            "staus",
            "member staus to ignore\nhint: did you mean active?",
        ),
        (
            "lines.jsonl",
            "status",
            "member status to ignore\nhint: did you mean active?",
        ),
        (
            "lines.jsonl",
            "emial",
            "member emial to ignore\nhint: did you mean emails?",
        ),
        (
            "lines.jsonl",
            "",
            "member '' to ignore\nhint: they can have schemas, id, ",
        ),
        ("here.csv", "", "there is no column '' to ignore"),
        (
            "here.csv",
            "staus",
            "column staus to ignore\nhint: the columns are userName, Status",
        ),
    ] {
        for action in actions {
            check(
                &action(&desk, name, &["--ignore", "userName", "--ignore", ignored]),
                65,
                &[what],
            );
        }
    }
    // No line has these, but others may.
    for others in ["Title", "rejected because", "badge"] {
        let told = desk.diff("lines.jsonl", &["--ignore", others, "--ignore", "active"]);
        check(&told, 0, &[same]);
    }
    desk.write("badge.jsonl", lines.replace('}', ",\"badge\":7}"));
    let ignored = ["--ignore", "BADGE"];
    check(&desk.diff("badge.jsonl", &ignored), 0, &[same]);
    let ignored = ["--ignore", "State"];
    let first = "\u{feff}{\"userName\":\"stays@x\",\"state\":7}\n";
    desk.write("first.jsonl", first);
    check(&desk.import("first.jsonl", &ignored), 0, &["1 unchanged"]);
    desk.write("none.jsonl", "\n");
    check(&desk.import("none.jsonl", &ignored), 0, &["0 created"]);
    // The same holds for a column that looks like a status.
    desk.write(
        "odd.csv",
        "userName,Employment status\nstays@x,in\nleft@x,out\n",
    );
    let ignored = desk.diff("odd.csv", &["--ignore", "Employment status"]);
    check(&ignored, 0, &[same]);
    // Other columns can be ignored, and the users in the file still count as active.
    desk.write("plain.csv", "userName,Badge\nstays@x,1\nleft@x,2\n");
    let told = desk.diff("plain.csv", &["--ignore", "Badge"]);
    check(&told, 1, &["1 difference", "user reactivate 0"]);
}

/// A failed export must not be read as an empty list of users.
#[test]
fn a_file_without_rows_deactivates_nobody() {
    let desk = Desk::new();
    desk.write("here.csv", "userName\na@x\n");
    check(&desk.import("here.csv", &[]), 0, &["1 created"]);
    for (name, content) in [
        ("none.csv", "userName,Status\n\n,\n"),
        ("spaces.csv", "userName,Status\n\u{a0},\n"),
        ("none.jsonl", "\n"),
    ] {
        desk.write(name, content);
        let told = desk.diff(name, &[]);
        check(
            &told,
            65,
            &[name, ": there are no rows: nothing to compare with"],
        );
        assert!(!told.stderr.contains("user deactivate"), "{told:?}");
    }
}

/// A file of rejected rows is a part of a list, not a list of everybody who stays.
#[test]
fn a_file_of_rejected_rows_says_nothing_of_other_users() {
    let desk = Desk::new();
    desk.write("here.csv", "userName,Title\na@x,\nb@x,\n");
    check(&desk.import("here.csv", &[]), 0, &["2 created"]);
    for (name, content) in [
        ("list.csv", "userName,Status\na@x,active\nb@x,perhaps\n"),
        (
            "list.jsonl",
            "{\"userName\":\"a@x\"}\n{\"userName\":\"b@x\",\"active\":\"perhaps\"}\n",
        ),
    ] {
        let path = desk.write(name, content);
        check(&desk.import(name, &[]), 1, &["1 rejected"]);
        let rejects = name.replace("list", "list.rejects");
        let fixed = fs::read_to_string(desk.path(&rejects)).expect("rejected rows");
        let fixed = fixed.replace("b@x,perhaps", "b@x,active");
        let fixed = fixed.replace(":\"perhaps\"", ":true");
        for column in ["rejected because", "Rejected_Because"] {
            let respelt = fixed.replace("rejected because", column);
            fs::write(path.with_file_name(&rejects), respelt).expect("written");
            let told = desk.diff(&rejects, &[]);
            let words = "it says nothing of other users";
            check(&told, 0, &[words, "the directory matches the file"]);
            let whole = desk.diff(&rejects, &["--ignore", column]);
            check(&whole, 1, &["user deactivate 0"]);
        }
    }
}

/// A comparison fails if its output cannot be written, or a file that it should write.
#[test]
fn a_file_of_statuses_that_was_not_written_is_told_of() {
    let desk = Desk::new();
    desk.write("here.csv", "userName\na@x\nb@x\n");
    check(&desk.import("here.csv", &[]), 0, &["2 created"]);
    let list = desk.write("list.csv", "userName\na@x\n");
    let statuses = desk.path("statuses.csv");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command_on(&desk.server.data_dir());
    command
        .args(["user", "diff"])
        .arg(list)
        .arg("--statuses")
        .arg(&statuses);
    let told: Output = command
        .stdout(writer)
        .output()
        .expect("the binary runs")
        .into();
    check(
        &told,
        74,
        &["standard output was closed", "statuses.csv is not written"],
    );
    assert!(!statuses.exists(), "{told:?}");
}
