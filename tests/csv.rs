//! Files of users: in, out and back, with the real binary, a running server and without one.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use golinks_scim::limits;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Output, Server, Talk, body, cli_in, command_on, number, wait_until, without_settings,
};

/// A server and a folder for files.
struct Desk {
    server: Server,
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            server: Server::start(),
            folder: TempDir::new().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn import(&self, name: &str, more: &[&str]) -> Output {
        let path = self.path(name);
        let path = path.to_str().expect("text");
        self.server.cli(&[&["user", "import", path], more].concat())
    }

    fn diff(&self, name: &str, more: &[&str]) -> Output {
        let path = self.path(name);
        let path = path.to_str().expect("text");
        self.server.cli(&[&["user", "diff", path], more].concat())
    }

    fn export(&self, more: &[&str]) -> String {
        let output = self.server.cli(&[&["user", "export"], more].concat());
        assert_eq!(output.status, Some(0), "{output:?}");
        output.stdout
    }

    fn user(&self, who: &str) -> Value {
        let output = self.server.cli(&["user", "show", who, "-o", "jsonl"]);
        assert_eq!(output.status, Some(0), "{output:?}");
        serde_json::from_str(&output.stdout).expect("JSON")
    }
}

fn check(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status, Some(status), "{output:?}");
    for word in words {
        let is_there = output.stdout.contains(word) || output.stderr.contains(word);
        assert!(is_there, "{word}: {output:?}");
    }
}

#[test]
fn a_file_goes_in_and_comes_out_and_changes_nothing() {
    let desk = Desk::new();
    desk.write(
        "staff.csv",
        "Email,First name,Last name,Status,Department,Phone,Mobile,emails,title\r\n\
         jane@x.example,Jane,\"Doe, \"\"JD\"\"\",ACTIVE,Sales,+1 5,+1 6,,=1+1\r\n\
         \r\n\
         joe@x.example,Joe,\"O\nneil\",SUSPENDED,,,,\"[{\"\"value\"\":\"\"joe@y\"\",\"\"type\"\":\"\"home\"\",\"\"display\"\":\"\"J\"\"}]\",'=x\r\n",
    );
    check(
        &desk.import("staff.csv", &[]),
        0,
        &[
            "2 created, 0 updated, 0 unchanged, 0 rejected",
            "user undo --since 2",
        ],
    );
    let jane = desk.user("jane@x.example");
    assert_eq!(
        jane["emails"],
        json!([{"value": "jane@x.example", "type": "work", "primary": true}])
    );
    assert_eq!(
        (&jane["title"], &jane["active"]),
        (&json!("=1+1"), &json!(true))
    );
    assert_eq!(desk.user("joe@x.example")["title"], "=x");
    assert_eq!(desk.user("joe@x.example")["active"], false);
    let exported = desk.export(&[]);
    assert!(
        exported.contains(",'=1+1,") && exported.contains("'+1 5"),
        "{exported}"
    );
    let listed = |more: &[&str]| {
        let listed = desk
            .server
            .cli(&[&["user", "list", "-o", "csv"], more].concat());
        assert_eq!(listed.status, Some(0), "{listed:?}");
        listed.stdout
    };
    assert_eq!(listed(&[]), exported);
    let limited = listed(&["--limit", "1"]);
    assert!(
        exported.starts_with(&limited) && !limited.is_empty(),
        "{limited}"
    );
    assert_ne!(limited, exported);
    assert_eq!(listed(&["--limit", "0"]).lines().count(), 1);
    let unreadable = ["user", "list", "-o", "csv", "--filter", "title xx 1"];
    let refused = desk.server.cli(&unreadable);
    assert_eq!(
        (refused.status, &*refused.stdout),
        (Some(1), ""),
        "{refused:?}"
    );
    desk.write("out.csv", &exported);
    desk.write("out.jsonl", desk.export(&["-o", "jsonl"]));
    for name in ["out.csv", "out.jsonl", "staff.csv"] {
        for empty in ["keep", "clear"] {
            if name == "staff.csv" && empty == "clear" {
                continue;
            }
            check(
                &desk.import(name, &["--empty", empty]),
                0,
                &["0 created, 0 updated, 2 unchanged, 0 rejected"],
            );
        }
    }
    assert_eq!(desk.user("jane@x.example"), jane, "nothing was written");
    // Into another directory.
    let other = Desk::new();
    other.write("out.csv", &exported);
    check(&other.import("out.csv", &[]), 1, &["--ignore id"]);
    check(
        &other.import("out.csv", &["--ignore", "ID"]),
        0,
        &["2 created"],
    );
    let same = |mut user: Value| {
        user.as_object_mut()
            .map(|user| (user.remove("id"), user.remove("meta")));
        user
    };
    for who in ["jane@x.example", "joe@x.example"] {
        assert_eq!(same(other.user(who)), same(desk.user(who)));
    }
}

#[test]
fn a_rehearsal_tells_and_changes_nothing() {
    let desk = Desk::new();
    desk.write("a.csv", "userName,title\na@x,One\nb@x,Two\n");
    check(&desk.import("a.csv", &[]), 0, &["2 created"]);
    desk.write(
        "b.csv",
        "userName;title;Status\na@x;Two;\nb@x;Two;yes\nc@x;;no\nd@x;;maybe\nA@X;;\n",
    );
    let told = desk.import("b.csv", &["--dry-run"]);
    check(
        &told,
        1,
        &[
            "1 would be created, 1 would be updated, 1 would be unchanged, 2 would be rejected",
            "\"maybe\" is not a status",
            "another row is about the same user: A@X",
        ],
    );
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert!(lines[1].starts_with("2     updated    a@x"), "{told:?}");
    assert!(lines[4].starts_with("5     refused    d@x"), "{told:?}");
    assert_eq!(desk.user("a@x")["title"], "One");
    assert!(!desk.path("b.rejects.csv").exists());
}

#[test]
fn rejected_rows_are_fixed_and_imported() {
    let desk = Desk::new();
    desk.write(
        "s.csv",
        "userName,active\na@x,yes\nb@x,perhaps\nc@x\n,yes\n",
    );
    check(
        &desk.import("s.csv", &[]),
        1,
        &["1 created", "3 rejected", "s.rejects.csv", "line 3:"],
    );
    let rejects = desk.path("s.rejects.csv");
    let mode = fs::metadata(&rejects).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&rejects).expect("text");
    assert!(
        text.starts_with("rejected because,userName,active\n") && text.contains(",b@x,perhaps\n"),
        "{text}"
    );
    // A row with too few cells stays refused until it has them.
    let fixed = text
        .replace("perhaps", "no")
        .replace(",,yes\n", ",d@x,yes\n");
    desk.write("s.rejects.csv", &fixed);
    check(
        &desk.import("s.rejects.csv", &["--rejects", "/dev/null/none.csv"]),
        74,
        &[
            "none.csv",
            "2 created",
            "1 rejected",
            "after 3 rows",
            "another --rejects",
        ],
    );
    desk.write("s.rejects.csv", fixed.replace(",c@x\n", ",c@x,\n"));
    check(&desk.import("s.rejects.csv", &[]), 0, &["0 rejected"]);
    for name in ["b@x", "c@x", "d@x"] {
        assert_eq!(desk.user(name)["userName"], name);
    }
    // Again: the applied row is a no-op, and nothing is overwritten.
    check(
        &desk.import("s.csv", &[]),
        1,
        &["1 unchanged", "s.rejects-2.csv"],
    );
    // What cannot be written in the end is found before the first row is applied.
    desk.write("new.csv", "userName,active\nnew@x,yes\nbad@x,perhaps\n");
    for (rejects, status, told) in [
        ("/nowhere/new.csv", 74, "name a file that can be made"),
        ("new.rejects.jsonl", 64, "end its name with .csv"),
    ] {
        let refused = desk.import("new.csv", &["--rejects", rejects]);
        check(&refused, status, &[told]);
        let applied = desk.server.cli(&["user", "show", "new@x"]);
        assert_eq!(applied.status, Some(1), "{applied:?}");
    }
    let taken = desk.write("taken.csv", "mine");
    let taken = taken.to_str().expect("text");
    check(
        &desk.import("s.csv", &["--rejects", taken]),
        64,
        &["exists already"],
    );
    desk.write(
        "l.jsonl",
        "{\"userName\":\"e@x\",\"shoe\":1,\"password\":\"hunter2\"}\nnonsense\n{\"userName\":\"f@x\"}\n",
    );
    check(
        &desk.import("l.jsonl", &[]),
        1,
        &["1 created", "2 rejected", "\"shoe\""],
    );
    let kept = fs::read_to_string(desk.path("l.rejects.jsonl")).expect("text");
    assert!(
        kept.contains("\"shoe\":1") && !kept.contains("hunter2"),
        "{kept}"
    );
}

/// Rejected rows that no file is for are all told, and stop no other.
#[test]
fn what_comes_by_a_pipe_is_imported_and_rejected_rows_need_no_file() {
    let desk = Desk::new();
    let rows = |bad: usize| {
        let bad: Vec<String> = (0..bad).map(|at| format!("b{at}@x,perhaps\n")).collect();
        let bad = bad.concat();
        format!("userName,active\nfirst@x,yes\n{bad}last@x,yes\n")
    };
    desk.write("many.csv", rows(30));
    let lines = "\n {\"userName\":\"first@x\"}\nnonsense\n{\"userName\":\"last@x\"}\n";
    let before = fs::read_dir(desk.folder.path()).expect("a folder").count();
    let piped = |words: &[&str], text: &str| {
        let mut command = command_on(&desk.server.data_dir());
        fed(command.args(words), text)
    };
    let by_name = desk.import("many.csv", &["--rejects", "/dev/null"]);
    for (outcome, words) in [
        (by_name, "2 created"),
        (piped(&["user", "import", "-"], &rows(30)), "2 unchanged"),
        (
            piped(&["user", "import", "/dev/stdin"], &rows(30)),
            "2 unchanged",
        ),
    ] {
        check(
            &outcome,
            1,
            &[words, "30 rejected", "line 3: ", "line 32: "],
        );
        assert!(!outcome.stderr.contains("hint: "), "{outcome:?}");
    }
    let json = piped(&["user", "import", "-"], lines);
    check(&json, 1, &["2 unchanged, 1 rejected", "line 3: "]);
    let named = desk.path("named.csv");
    let named = named.to_str().expect("text");
    let kept = piped(&["user", "import", "-", "--rejects", named], &rows(1));
    check(&kept, 1, &["1 rejected", "named.csv"]);
    check(&piped(&["user", "diff", "-"], &rows(0)), 0, &[]);
    check(
        &piped(&["user", "import", "-"], ""),
        65,
        &["there is no header"],
    );
    let after = fs::read_dir(desk.folder.path()).expect("a folder").count();
    assert_eq!(after, before + 1, "the named file alone is new");
    let mut left = fs::read_dir(desk.server.data_dir()).expect("a folder");
    let is_draft = |name: &str| name.starts_with("users.new");
    assert!(!left.any(|entry| entry.is_ok_and(|it| is_draft(&it.file_name().to_string_lossy()))));
}

#[test]
fn nobody_waits_for_the_store_while_a_pipe_is_read() {
    let server = Server::start();
    let directory = server.stop_and_keep();
    let mut waiting = command_on(&directory.path().join("data"))
        .args(["user", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut stdin = waiting.stdin.take().expect("piped");
    stdin.write_all(b"userName\n").expect("it is read");
    let draft = || {
        let mut open = fs::read_dir(format!("/proc/{}/fd", waiting.id())).expect("it runs");
        let is_draft = |it: fs::DirEntry| {
            fs::read_link(it.path()).is_ok_and(|it| it.to_string_lossy().contains("users.new"))
        };
        open.any(|it| it.is_ok_and(is_draft))
    };
    wait_until("it reads", draft);
    let listed = cli_in(&directory, &["user", "list"]);
    assert_eq!(listed.status, Some(0), "{listed:?}");
    stdin.write_all(b"a@x\n").expect("it is read");
    drop(stdin);
    assert!(waiting.wait().expect("it ends").success());
}

/// A command with this text as its standard input.
fn fed(command: &mut Command, text: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("read");
    drop(stdin);
    child.wait_with_output().expect("it ends").into()
}

/// One who comes back alone, from the file of rejected rows, would be applied over the first one.
#[test]
fn a_second_row_about_one_user_stays_out_until_somebody_decides() {
    let desk = Desk::new();
    for (name, first, second) in [
        (
            "a.csv",
            "Email,title,active\nann@x,Boss,yes\n",
            "Ann@x,Clerk,no\n",
        ),
        (
            "b.jsonl",
            "{\"userName\":\"bob@x\",\"title\":\"Boss\"}\n",
            "{\"userName\":\"BOB@x\",\"title\":\"Clerk\",\"active\":false}\n",
        ),
    ] {
        let (stem, ending) = name.split_once('.').expect("an ending");
        let who = if stem == "a" { "ann@x" } else { "bob@x" };
        let rejects = format!("{stem}.rejects.{ending}");
        desk.write(name, format!("{first}{second}"));
        let told = desk.import(name, &[]);
        check(&told, 1, &["1 created", "1 rejected", "cleared its reason"]);
        let again = desk.import(&rejects, &[]);
        check(
            &again,
            1,
            &["0 updated", "another row is about the same user: "],
        );
        assert_eq!(desk.user(who)["title"], "Boss");
        let text = fs::read_to_string(desk.path(&rejects)).expect("text");
        let typed = if stem == "a" { "Ann@x" } else { "BOB@x" };
        let reason = format!("another row is about the same user: {typed}");
        assert!(text.contains(&reason), "{text}");
        // Nor does it matter how the column is written, or whether it is left out.
        let respelt = text.replace("rejected because", "Rejected_Because");
        desk.write(&format!("{stem}-respelt.{ending}"), respelt);
        let ignored = ["--ignore", "Rejected_Because"];
        let again = desk.import(&format!("{stem}-respelt.{ending}"), &ignored);
        check(&again, 1, &["0 updated", "1 rejected"]);
        // Without its reason it counts.
        desk.write(&format!("{stem}-taken.{ending}"), text.replace(&reason, ""));
        check(
            &desk.import(&format!("{stem}-taken.{ending}"), &[]),
            0,
            &["1 updated"],
        );
        assert_eq!(desk.user(who)["title"], "Clerk");
    }
}

/// A row that still waits for a decision stands in the way of none that was decided.
#[test]
fn of_several_rows_about_one_user_the_chosen_one_counts() {
    let desk = Desk::new();
    desk.write(
        "a.csv",
        "userName,title\nann@x,One\nann@x,Two\nann@x,Three\n",
    );
    check(&desk.import("a.csv", &[]), 1, &["1 created", "2 rejected"]);
    let text = fs::read_to_string(desk.path("a.rejects.csv")).expect("text");
    let (before, three) = text.rsplit_once("another row is").expect("the third");
    let (_, three) = three.split_once(',').expect("behind its reason");
    desk.write("chosen.csv", format!("{before},{three}"));
    check(
        &desk.import("chosen.csv", &[]),
        1,
        &["1 updated", "1 rejected"],
    );
    assert_eq!(desk.user("ann@x")["title"], "Three");
}

/// In earnest the second row would find somebody else, or nobody and make a second user.
#[test]
fn a_name_that_a_row_has_changed_is_nobody_elses_in_the_same_request() {
    let desk = Desk::new();
    desk.write("a.csv", "userName\nann@x\n");
    check(&desk.import("a.csv", &[]), 0, &["1 created"]);
    let id = desk.user("ann@x")["id"].as_str().expect("an id").to_owned();
    for (number, second) in ["ann@x", "bea@x"].iter().enumerate() {
        let name = format!("{number}.csv");
        let new = ["bea@x", "ann@x"][number];
        desk.write(
            &name,
            format!("id,userName,title\n{id},{new},One\n,{second},Two\n"),
        );
        let told = "1 would be updated, 0 would be unchanged, 1 would be rejected";
        check(&desk.import(&name, &["--dry-run"]), 1, &[told]);
        check(
            &desk.import(&name, &[]),
            1,
            &["0 created, 1 updated", "1 rejected"],
        );
        assert_eq!(desk.user(new)["title"], "One");
    }
}

#[test]
fn a_user_is_the_same_by_id_and_by_name() {
    let desk = Desk::new();
    desk.write("a.csv", "userName\nann@x\n");
    check(&desk.import("a.csv", &[]), 0, &["1 created"]);
    let id = desk.user("ann@x")["id"].as_str().expect("an id").to_owned();
    let told = "another row is about the same user: ";
    let mut many = format!("id,userName,title\n{id},,One\n");
    // So many that the second row about her is in another request.
    for number in 0..1500 {
        writeln!(many, ",u{number}@x,").expect("written");
    }
    for (name, rows) in [
        (
            "near.csv",
            format!("id,userName,title\n{id},,One\n,ANN@x,Two\n"),
        ),
        (
            "back.csv",
            format!("id,userName,title\n,ann@x,One\n{id},,Two\n"),
        ),
        (
            "both.csv",
            format!("id,userName,title\n{id},ann@x,One\n{id},new@x,Two\n"),
        ),
        ("far.csv", format!("{many},ANN@x,Two\n")),
    ] {
        desk.write(name, rows);
        if name == "near.csv" {
            check(&desk.diff(name, &[]), 1, &["refused: ", told]);
        }
        if name != "far.csv" {
            check(
                &desk.import(name, &["--dry-run"]),
                1,
                &["1 would be rejected"],
            );
        }
        let output = desk.import(name, &[]);
        check(&output, 1, &["1 rejected", told]);
        assert_eq!(desk.user("ann@x")["title"], "One", "{name}");
        let rejects = name.replace(".csv", ".rejects.csv");
        check(&desk.import(&rejects, &[]), 1, &["1 rejected", told]);
        assert_eq!(desk.user("ann@x")["title"], "One", "{name}");
    }
    // The first row that does not fit into a request is read before that is answered.
    let pad = "z".repeat(50_000);
    for rows in 6..=12 {
        let mut many = format!("id,userName,title,pad\n{id},,One,\n");
        for number in 0..rows {
            writeln!(many, ",p{number}@x,,{pad}").expect("written");
        }
        writeln!(many, ",ANN@x,Two,{pad}").expect("written");
        desk.write(&format!("{rows}.csv"), many);
        let output = desk.import(&format!("{rows}.csv"), &["--ignore", "pad"]);
        check(&output, 1, &["1 rejected", told]);
        assert_eq!(desk.user("ann@x")["title"], "One", "{rows}");
    }
    // Also one whose first row was refused.
    let mut many = format!("id,userName,Status,title\n{id},,maybe,One\n");
    for number in 0..1500 {
        writeln!(many, ",u{number}@x,,").expect("written");
    }
    desk.write("first.csv", format!("{many},ANN@x,,Two\n"));
    check(&desk.diff("first.csv", &[]), 1, &["is not a status", told]);
    let output = desk.import("first.csv", &[]);
    check(&output, 1, &["2 rejected", "is not a status", told]);
    assert_eq!(desk.user("ann@x")["title"], "One");
    // A name that somebody was refused stands for whoever has it.
    desk.write(
        "refused.csv",
        format!("id,userName,title\n{id},u1@x,Two\n,u1@x,Three\n"),
    );
    let output = desk.import("refused.csv", &[]);
    check(
        &output,
        1,
        &["1 updated", "1 rejected", "another user has this userName"],
    );
    assert_eq!(desk.user("u1@x")["title"], "Three");
    // So does the name that somebody had before an earlier request.
    let id = desk.user("u1@x")["id"].as_str().expect("an id").to_owned();
    let mut many = format!("id,userName,title\n{id},late@x,Four\n");
    for number in 2..1002 {
        writeln!(many, ",u{number}@x,").expect("written");
    }
    desk.write("late.csv", format!("{many},u1@x,Five\n"));
    check(&desk.diff("late.csv", &[]), 1, &["refused: ", told]);
    let output = desk.import("late.csv", &[]);
    check(&output, 1, &["0 created, 1 updated", "1 rejected", told]);
}

#[test]
fn all_columns_that_stand_for_nothing_are_told_at_once_and_marks_are_kept() {
    let desk = Desk::new();
    desk.write(
        "hr.csv",
        "\u{feff}userName;Shoe size;active;Badge\nsøren@x;43;perhaps;7\n",
    );
    let told = desk.import("hr.csv", &[]);
    check(
        &told,
        65,
        &[
            "\"Shoe size\"",
            "all unknown columns: --ignore='Shoe size' --ignore=Badge",
        ],
    );
    check(
        &desk.import("hr.csv", &["--ignore", "Shoe size", "--ignore", "Badge"]),
        1,
        &["1 rejected"],
    );
    let rejects = fs::read_to_string(desk.path("hr.rejects.csv")).expect("text");
    assert!(
        rejects.starts_with("\u{feff}rejected because;userName;"),
        "{rejects}"
    );
    assert!(rejects.contains(";søren@x;43;"), "{rejects}");
    // As spreadsheets leave them; each is left out as it is told.
    desk.write("empty.csv", "Email,-x,,-X,\na@x,1,,,\n");
    let told = desk.import("empty.csv", &[]);
    check(&told, 65, &["unknown columns: --ignore=-x --ignore=''\n"]);
    check(
        &desk.import("empty.csv", &["--ignore=-x", "--ignore="]),
        0,
        &["1 created"],
    );
}

/// Rejected rows that nobody fixed are refused as often as they go in.
#[test]
fn a_rejected_row_is_no_other_row_for_being_rejected_again() {
    let desk = Desk::new();
    desk.write(
        "short.csv",
        "Email,First name,Last name\njane@x.example,Jane\n",
    );
    desk.write("long.csv", "Email,Title\njoe@x.example,Cook,Chef\n");
    let twice = "{\"userName\":\"d@x.example\",\"title\":\"x\",\"title\":\"y\"}\n";
    desk.write("twice.jsonl", twice);
    for (stem, ending, told, again) in [
        ("short", "csv", "has 2 cells, and there are 3", "3 cells"),
        ("long", "csv", "has 3 cells, and there are 2", "4 cells"),
        ("twice", "jsonl", "a member twice", "a member twice"),
    ] {
        let mut name = format!("{stem}.{ending}");
        check(&desk.import(&name, &[]), 1, &["1 rejected", told]);
        for mark in ["", "-2", "-3"] {
            name = format!("{stem}.rejects{mark}.{ending}");
            let words = ["0 created", "1 rejected", again];
            check(&desk.import(&name, &[]), 1, &words);
        }
        let text = fs::read_to_string(desk.path(&name)).expect("text");
        assert!(text.len() < 500, "{text}");
        let kept = [
            "jane@x.example,Jane\n",
            "joe@x.example,Cook,Chef\n",
            twice.trim_end(),
        ];
        let quoted = |one: &&str| text.contains(&one.replace('"', "\\\""));
        assert!(kept.iter().any(quoted), "{text}");
    }
    // Also in a file whose name has no ending.
    let bare = desk.write("staff", "userName,status\ne@x.example,perhaps\n");
    check(&desk.import("staff", &[]), 1, &["staff.rejects with"]);
    assert!(bare.with_file_name("staff.rejects").exists());
    check(
        &desk.import("staff.rejects", &[]),
        1,
        &["staff.rejects-2 with"],
    );
}

/// What an import says whose standard output nobody reads.
fn unread(desk: &Desk, arguments: &[&str]) -> String {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command_on(&desk.server.data_dir())
        .args(["user", "import"])
        .args(arguments)
        .stdout(writer)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_import_that_breaks_off_tells_what_it_did_and_how_to_go_on() {
    let desk = Desk::new();
    let file = desk.write("s.csv", "userName\na@x\n");
    let file = file.to_str().expect("text");
    let named = desk.path("r.csv");
    let named = named.to_str().expect("text");
    // Nothing was rejected, so the same file can be named again.
    let told = unread(&desk, &[file, "-o", "jsonl", "--rejects", named]);
    for words in [
        "1 created",
        "user undo --since",
        "after 1 row: standard output was closed",
        "the same import again: rows",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // What stands after the last row is written too.
    let nobody = desk.write("n.csv", "userName\n");
    let told = unread(&desk, &[nobody.to_str().expect("text"), "-o", "json"]);
    assert!(told.contains("0 created"), "{told}");
    // A name beside it would be longer than names may be.
    let long = format!("{}.csv", "l".repeat(246));
    desk.write(&long, "userName,active\nb@x,yes\nc@x,perhaps\n");
    let told = desk.import(&long, &[]);
    check(
        &told,
        74,
        &["1 created", "again and name a file with --rejects: rows"],
    );
}

#[test]
fn what_other_programs_write_is_named_as_it_stands_there() {
    let desk = Desk::new();
    for (name, content, words) in [
        (
            "excel.csv",
            "sep=;\r\nuserName;title\r\n",
            "excel.csv:1: this line is for Excel only",
        ),
        (
            "zwsp.csv",
            "userName,status\na@x,active\u{200b}\n",
            "\"active\\u{200b}\" is not a status",
        ),
        (
            "nfd.csv",
            "userName,status\na@x,active\u{301}\n",
            "\"active\u{301}\" is not a status",
        ),
    ] {
        desk.write(name, content);
        let status = if name == "excel.csv" { 65 } else { 1 };
        check(&desk.import(name, &[]), status, &[words]);
    }
}

#[test]
fn encodings_quotes_and_headers() {
    let desk = Desk::new();
    let wide: Vec<u8> = "userName\na@x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let long = format!("userName,title\na@x,\"{}\n", "x\n".repeat(100_000));
    let table: &[(&str, Vec<u8>, i32, &str)] = &[
        (
            "bom",
            b"\xef\xbb\xbfuserName\na@x\n".to_vec(),
            0,
            "1 created",
        ),
        ("crlf", b"userName\r\na@x\r\n".to_vec(), 0, "1 unchanged"),
        ("tab", b"userName\ttitle\na@x\tT\n".to_vec(), 0, "1 updated"),
        ("no end", b"userName;title\na@x;U".to_vec(), 0, "1 updated"),
        (
            "latin",
            b"userName\na@x\n\xe9@x\n".to_vec(),
            65,
            "latin.csv:3: the text is not UTF-8",
        ),
        ("wide", wide, 65, "UTF-16"),
        (
            "wide with mark",
            b"\xff\xfeu\0".to_vec(),
            65,
            "iconv -f UTF-16",
        ),
        (
            "open",
            b"userName\na@x\n\"b@x\nc@x\n".to_vec(),
            65,
            "open.csv:3: the row has a quote that is not closed",
        ),
        (
            "long",
            long.into_bytes(),
            65,
            "long.csv:2: the row is longer than 128 KiB",
        ),
        ("empty", Vec::new(), 65, "there is no header"),
        (
            "lines",
            b"{\"userName\":\"a@x\"}\n".to_vec(),
            65,
            "lines.csv:1: this is JSON: the file's name must end with .jsonl",
        ),
        ("array", b"[{}]\n".to_vec(), 65, "this is a JSON array"),
        (
            "unknown",
            b"userName,Titel\n".to_vec(),
            65,
            "did you mean title?",
        ),
        (
            "nobody",
            b"title\nx\n".to_vec(),
            65,
            "no column identifies the user",
        ),
        ("alone", b"userName\n".to_vec(), 0, "0 created"),
        (
            "lines that nobody counts",
            b"\xef\xbb\xbf\r\nuserName,title\r\n\r\na@x,\"U\r\nV\"\r\nb@x\r\n".to_vec(),
            1,
            "line 6: ",
        ),
    ];
    for (name, content, status, words) in table {
        let name = format!("{name}.csv");
        desk.write(&name, content);
        check(&desk.import(&name, &[]), *status, &[words]);
    }
    desk.write("array.jsonl", b"[{}]\n");
    let array = "array.jsonl:1: this is a JSON array";
    check(&desk.import("array.jsonl", &[]), 65, &[array]);
    check(&desk.import("nothing.csv", &[]), 74, &["nothing.csv"]);
    let fix = "hint: golinks-scim manual csv lists";
    check(
        &desk.import("unknown.csv", &[]),
        65,
        &[fix, "--ignore=Titel leaves this one out"],
    );
    check(
        &desk.import("unknown.csv", &["--ignore", "titel"]),
        0,
        &["0 created"],
    );
}

#[test]
fn a_header_and_line_ends_as_spreadsheets_write_them() {
    let desk = Desk::new();
    desk.write("a.csv", "userName\na@x\n");
    check(&desk.import("a.csv", &[]), 0, &["1 created"]);
    for (name, content, status, words) in [
        (
            "blank",
            b"\n\r\nuserName;title\na@x;V\n".to_vec(),
            0,
            "1 updated",
        ),
        (
            "blank cells",
            b",,,,\r\n   \n\"\",\"\"\nuserName;title;nickName\na@x;W;\n".to_vec(),
            0,
            "1 updated",
        ),
        (
            "heading",
            b"\"E-\nMail\";\"Ti,t,le\"\na@x;V\n".to_vec(),
            65,
            "the column \"Ti,t,le\"",
        ),
        (
            "mac",
            b"userName;title\ra@x;a, b, c\r".to_vec(),
            0,
            "1 updated",
        ),
        (
            "long mac",
            [&b"userName;title\r"[..], &b"a@x;\xe9\r".repeat(30_000)].concat(),
            65,
            "long mac.csv:2: the text is not UTF-8",
        ),
    ] {
        let name = format!("{name}.csv");
        desk.write(&name, content);
        check(&desk.import(&name, &[]), status, &[words]);
    }
}

#[test]
fn oktas_own_export_goes_in() {
    let desk = Desk::new();
    let header = "login,firstName,lastName,middleName,honorificPrefix,honorificSuffix,email,title,\
        displayName,nickName,profileUrl,secondEmail,mobilePhone,primaryPhone,streetAddress,city,\
        state,zipCode,countryCode,postalAddress,preferredLanguage,locale,timezone,userType,\
        employeeNumber,costCenter,organization,division,department,managerId,manager,status";
    let row = "o@x,Olga,Orlova,,,,o@x,Boss,Olga O,,,,+7,,Street 1,Town,,123,RU,,,,,,17,,,,Ops,m1,Max,PROVISIONED";
    desk.write("okta.csv", format!("{header}\n{row}\n"));
    check(&desk.import("okta.csv", &[]), 0, &["1 created"]);
    let olga = desk.user("o@x");
    assert_eq!(olga["addresses"][0]["locality"], "Town");
    assert_eq!(
        olga["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["manager"]["value"],
        "m1"
    );
}

#[test]
fn empty_cells_keep_or_clear() {
    let desk = Desk::new();
    desk.write(
        "a.csv",
        "userName,Email,title,First name,Status\na@x,a@x,T,Ann,yes\n",
    );
    check(&desk.import("a.csv", &[]), 0, &["1 created"]);
    desk.write("b.csv", "userName,Email,title,First name,Status\na@x,,,,\n");
    check(&desk.import("b.csv", &[]), 0, &["1 unchanged"]);
    check(
        &desk.import("b.csv", &["--empty", "clear"]),
        0,
        &["1 updated"],
    );
    let user = desk.user("a@x");
    assert_eq!(
        (&user["title"], &user["emails"], &user["name"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(user["active"], true, "an empty status locks nobody out");
    let id = user["id"].as_str().expect("an id");
    desk.write("c.csv", format!("id,userName\n{id},\n"));
    check(
        &desk.import("c.csv", &["--empty", "clear"]),
        1,
        &["userName cannot be cleared"],
    );
    desk.write("d.csv", format!("id,userName\n{id},new@x\n"));
    check(&desk.import("d.csv", &[]), 0, &["1 updated"]);
}

/// Rows that were applied change nothing, also where the whole name beside new parts is the old one.
#[test]
fn a_whole_name_follows_its_parts_however_often_the_file_goes_in() {
    let desk = Desk::new();
    for name in ["a.jsonl", "b.csv"] {
        let who = format!("{name}@x");
        let parts = json!({"formatted": "Ann Lee", "givenName": "Ann", "familyName": "Lee"});
        let user = json!({"userName": who, "name": parts, "active": true});
        desk.write("new.jsonl", format!("{user}\n"));
        check(&desk.import("new.jsonl", &[]), 0, &["1 created"]);
        let goes_in = |name: &str, more: &[&str], whole: &Value| {
            for outcome in ["1 updated", "1 unchanged"] {
                check(&desk.import(name, more), 0, &[outcome]);
                assert_eq!(&desk.user(&who)["name"]["formatted"], whole, "{name}");
                let told = desk.diff(name, more);
                assert!(!told.stdout.contains("name."), "{told:?}");
            }
        };
        let (_, form) = name.split_once('.').expect("an ending");
        let filter = format!("userName eq \"{who}\"");
        let exported = || desk.export(&["-o", form, "--filter", &filter]);
        let [old, new] = match form {
            "csv" => [",Lee,", ",Roe,"],
            _ => ["\"Lee\"", "\"Roe\""],
        };
        let changed = exported().replace(old, new);
        assert!(changed.contains("Ann Lee"), "{changed}");
        desk.write(name, changed);
        goes_in(name, &[], &json!("Ann Roe"));
        // What holds all parts is taken at its word, the first time and the second.
        let parts = "userName,First name,Last name,name.formatted";
        for (given, family, whole) in [
            ("Ann Marie", "Roe", "Ann Marie Roe"),
            ("Ann", "Roe", "Ann Marie Roe"),
            ("Roe", "Ann", "Ann Marie Roe"),
            ("Ann", "Roe", "Ann Roe"),
        ] {
            desk.write(
                "whole.csv",
                format!("{parts}\n{who},{given},{family},{whole}\n"),
            );
            goes_in("whole.csv", &[], &json!(whole));
        }
        // One who was exported as it is now is taken at its word, and one without the parts.
        if form == "jsonl" {
            desk.write(name, exported().replace("Ann Roe", "A. Roe"));
            goes_in(name, &[], &json!("A. Roe"));
        }
        desk.write(
            "whole.csv",
            format!("userName,name.formatted\n{who},Boss\n"),
        );
        goes_in("whole.csv", &[], &json!("Boss"));
        desk.write(
            "whole.csv",
            format!("userName,name.formatted\n{who},Ann Roe\n"),
        );
        goes_in("whole.csv", &[], &json!("Ann Roe"));
        // Nothing is left of a name without its parts.
        desk.write(
            "none.csv",
            format!("userName,First name,Last name\n{who},,\n"),
        );
        goes_in("none.csv", &["--empty", "clear"], &Value::Null);
    }
}

#[test]
fn a_status_that_nobody_has_said_is_compared_as_it_is_imported() {
    let desk = Desk::new();
    desk.write("yes.csv", "userName,Status\na@x,yes\n");
    check(&desk.import("yes.csv", &[]), 0, &["1 created"]);
    desk.write("unknown.csv", "userName,Status\na@x,unknown\nb@x,unknown\n");
    let told = desk.diff("unknown.csv", &[]);
    check(&told, 1, &["2 differences", "user import"]);
    assert!(!told.stderr.contains("user deactivate"), "{told:?}");
    let same = "the directory matches the file";
    for outcome in ["1 created, 1 updated", "2 unchanged"] {
        check(&desk.import("unknown.csv", &[]), 0, &[outcome]);
        check(&desk.diff("unknown.csv", &[]), 0, &[same]);
    }
    let active = |who| desk.user(who)["active"].clone();
    assert_eq!((active("a@x"), active("b@x")), (Value::Null, json!(false)));
    let exported = desk.export(&["-o", "jsonl"]);
    let other = Desk::new();
    for (desk, outcome) in [(&desk, "2 unchanged"), (&other, "2 created")] {
        desk.write("all.jsonl", &exported);
        let ignored = ["--ignore", "id"];
        check(&desk.import("all.jsonl", &ignored), 0, &[outcome]);
        check(&desk.diff("all.jsonl", &ignored), 0, &[same]);
    }
    // Null is as if it were not there (RFC 7643 section 2.5).
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let line = json!({"schemas": schemas, "userName": "null@x", "active": null});
    other.write("null.jsonl", format!("{line}\n"));
    check(&other.import("null.jsonl", &[]), 0, &["1 created"]);
    assert_eq!(other.user("null@x")["active"], false);
    check(&other.diff("null.jsonl", &[]), 0, &[same]);
}

/// A row that is refused keeps no other out, also where several of its kind are too much at once.
#[test]
fn rows_with_very_many_values_are_refused_one_by_one() {
    let desk = Desk::new();
    let many = vec!["{}"; 40_000].join(",");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let mut lines = String::new();
    for number in 0..3 {
        let _ = writeln!(lines, "{{\"userName\":\"m{number}@x\",\"roles\":[{many}]}}");
    }
    let _ = writeln!(lines, "{{\"userName\":\"d@x\",\"title\":{deep}}}");
    let _ = writeln!(lines, "{{\"userName\":\"a@x\",\"USERNAME\":\"b@x\"}}\n[]");
    let _ = writeln!(lines, "{{\"userName\":\"good@x\"}}");
    desk.write("many.jsonl", lines);
    let words = [
        "1 created, 0 updated, 0 unchanged, 6 rejected",
        "line 3: ",
        "line 4: the line is nested too deeply at",
        "line 5: the line has a member twice",
        "line 6: the line is no JSON object",
    ];
    check(&desk.import("many.jsonl", &[]), 1, &words);
}

#[test]
fn a_difference_is_fixed_by_the_printed_commands() {
    let desk = Desk::new();
    desk.write(
        "here.csv",
        "userName,Status,title\nsame@x,yes,\ngone@x,yes,\nold@x,no,\nback@x,no,\nit's@x,yes,A\n",
    );
    check(&desk.import("here.csv", &[]), 0, &["5 created"]);
    // Names that a shell would run, and one too long for a line of the log.
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

/// Types the commands that a comparison has printed; their exit statuses.
fn type_printed(told: &Output) -> Vec<Option<i32>> {
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

/// Thousands of ids are too much to type, and one command each for fifty users takes long.
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
    check(
        &desk.diff("hr list.csv", &["--statuses", &nobody]),
        0,
        &[same],
    );
    assert!(!Path::new(&nobody).exists(), "it would have no row");
    for (name, words) in [
        (path("hr list.statuses.csv"), "the file exists already"),
        (path("statuses.jsonl"), "end its name with .csv"),
        ("-".to_owned(), "end its name with .csv"),
    ] {
        let refused = desk.diff("hr list.csv", &["--statuses", &name]);
        check(&refused, 64, &[words]);
    }
}

/// Whether a line tells the status is its own: a refused line before it said nothing.
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

/// A comparison refuses what an import would, and then tells nobody to be deactivated.
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
        check(&compared, 1, &["refused: ", told, "fix the refused rows"]);
        assert!(!compared.stderr.contains("user deactivate"), "{compared:?}");
        check(&desk.import(name, &[]), 1, &["1 rejected", told]);
    }
    // A name that an earlier row gives up is free, for a rehearsal as for the import itself.
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

#[test]
fn an_export_overwrites_nothing_and_appears_whole() {
    let desk = Desk::new();
    desk.write("a.csv", "userName,Status\na@x,yes\nb@x,no\n");
    let typo = desk.import("a.csv", &["--ignore", "State"]);
    check(&typo, 65, &["no column State", "userName, Status"]);
    check(&desk.import("a.csv", &[]), 0, &["2 created"]);
    let path = desk.path("out.csv");
    let path_text = path.to_str().expect("text");
    check(
        &desk.server.cli(&["user", "export", path_text, "--active"]),
        0,
        &["1 user in"],
    );
    // A file's name says what is in it, unless something else is typed.
    let lines = desk.path("out.jsonl");
    let lines_text = lines.to_str().expect("text");
    check(
        &desk.server.cli(&["user", "export", lines_text]),
        0,
        &["2 users in"],
    );
    check(&desk.import("out.jsonl", &[]), 0, &["2 unchanged"]);
    fs::remove_file(&lines).expect("removed");
    for name in ["out.json", "out.XLSX", "out.yaml", ".json"] {
        let other = desk.path(name);
        let export = ["user", "export", other.to_str().expect("text")];
        check(
            &desk.server.cli(&export),
            64,
            &[name, "hint: end its name with .csv", ".jsonl"],
        );
        let typed = desk.server.cli(&[&export[..], &["-o", "jsonl"]].concat());
        check(&typed, 0, &["2 users in"]);
        fs::remove_file(&other).expect("the only one, under its name");
    }
    assert!(desk.export(&["-"]).starts_with("id,"));
    // What a killed export left goes with the next of that name.
    let old = desk.write("out.csv.new-0123456789abcdef", "half of it");
    let minutes_ago = SystemTime::now() - Duration::from_secs(300);
    let left = fs::File::options().append(true).open(&old).expect("opened");
    left.set_modified(minutes_ago).expect("set");
    check(
        &desk.server.cli(&["user", "export", path_text]),
        64,
        &["exists"],
    );
    assert!(old.exists(), "nothing was exported");
    fs::rename(&path, desk.path("one.csv")).expect("renamed");
    check(
        &desk.server.cli(&["user", "export", path_text]),
        0,
        &["2 users in"],
    );
    assert!(!old.exists());
    fs::rename(desk.path("one.csv"), &path).expect("renamed");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    check(
        &desk.server.cli(&["user", "export", path_text]),
        64,
        &["exists", "hint: name a file"],
    );
    assert_eq!(
        fs::read_dir(desk.folder.path())
            .expect("the folder")
            .count(),
        2
    );
    let directory = desk.server.stop_and_keep();
    let exported = cli_in(
        &directory,
        &["user", "export", "--filter", "userName eq \"b@x\""],
    );
    assert_eq!(exported.stdout.lines().count(), 2, "{exported:?}");
    let again = cli_in(&directory, &["user", "import", path_text]);
    check(&again, 0, &["1 unchanged"]);
}

/// A file of so many people.
fn people(count: usize) -> String {
    let mut text = "userName,Email,First name,Last name,Department,Status\n".to_owned();
    for at in 0..count {
        let _ = writeln!(
            text,
            "p{at}@x.example,p{at}@x.example,Pat{at},Person,Dept {},active",
            at % 40
        );
    }
    text
}

#[test]
fn an_import_that_was_killed_is_finished_by_the_next() {
    let desk = Desk::new();
    let count = 14_000;
    let path = desk.write("many.csv", people(count));
    let mut child = command_on(&desk.server.data_dir())
        .args(["user", "import"])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // It tells of each 10,000 rows: there are more to come then.
    let mut progress = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    progress.read_line(&mut line).expect("text");
    child.kill().expect("ours");
    child.wait().expect("ours");
    assert!(line.contains("10000"), "{line}");
    let done = desk.export(&[]).lines().count() - 1;
    assert!(done >= 10_000 && done < count, "{done} rows were applied");
    let told = desk.import("many.csv", &[]);
    check(
        &told,
        0,
        &["0 updated", "0 rejected", "10000 of 14000 rows"],
    );
    check(&desk.import("many.csv", &[]), 0, &["14000 unchanged"]);
    assert_eq!(desk.export(&[]).lines().count(), count + 1);
}

/// What strict mode has stored without a value is no matter of a row that says nothing else of it.
#[test]
fn a_row_leaves_what_it_does_not_change() {
    let mut talk = Talk::start(&[]);
    let strict = [
        "token", "issue", "strict", "--scope", "full", "--mode", "strict",
    ];
    let strict = talk.server.cli(&strict).stdout;
    talk.authorization = format!("Bearer {}", strict.trim());
    let mut jane = body("jane");
    jane["emails"] = json!([{"type": "work", "primary": true}, {"value": "h@x", "type": "home"}]);
    jane["roles"] = json!([{"type": "admin"}]);
    let jane = talk.json("POST", "/Users", Some(&jane), 201);
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["all.csv", "all.jsonl"] {
        let path = &path(name);
        talk.server.cli(&["user", "export", path]);
        let told = talk.server.cli(&["user", "diff", path]);
        check(&told, 0, &["matches the file"]);
    }
    let path = &path("title.csv");
    fs::write(path, "userName,title\njane,Engineer\n").expect("written");
    check(
        &talk.server.cli(&["user", "import", path]),
        0,
        &["1 updated"],
    );
    let target = format!("/Users/{}", jane["id"].as_str().expect("an id"));
    let after = talk.json("GET", &target, None, 200);
    assert_eq!(after["title"], "Engineer");
    for attribute in ["emails", "roles"] {
        assert_eq!(after[attribute], jane[attribute], "{after}");
    }
}

/// Rows a second, and what server and command need of memory: set `CSV_ROWS`.
#[test]
#[ignore = "long: 100,000 rows unless CSV_ROWS says otherwise"]
fn a_large_file_in_bounded_memory() {
    let desk = Desk::new();
    let count = number("CSV_ROWS", 100_000);
    let path = desk.write("large.csv", people(count));
    let told = |what: &str, arguments: &[&str]| {
        let begun = Instant::now();
        let directory = desk.server.data_dir();
        let mut child = command_on(&directory)
            .args(["user", what])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut peak = 0;
        while child.try_wait().expect("ours").is_none() {
            peak = peak.max(peak_kib(child.id()));
            thread::sleep(Duration::from_millis(20));
        }
        let seconds = begun.elapsed().as_secs_f64();
        let server = peak_kib(desk.server.pid().as_raw_nonzero().get().unsigned_abs());
        println!(
            "{what}: {count} rows in {seconds:.1} s, {:.0} a second; peak {} MiB here, {} MiB in the server",
            number_of(count) / seconds,
            peak / 1024,
            server / 1024
        );
    };
    let text = path.to_str().expect("text");
    told("import", &[text]);
    told("import", &[text]);
    let out = desk.path("out.csv");
    let out = out.to_str().expect("text");
    told("export", &[out]);
    told("diff", &[out]);
    told("import", &[out, "--empty", "clear"]);
    check(&desk.diff("out.csv", &[]), 0, &["matches the file"]);
}

#[allow(clippy::cast_precision_loss, reason = "it is printed to whole rows")]
fn number_of(count: usize) -> f64 {
    count as f64
}

/// The most memory that a process has had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
