//! Rejected rows: the file to which they are written, and what happens when it is imported.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{Desk, check};

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
    // A row with too few cells stays rejected until it has all of them.
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
    // The changes that were made are listed all the same.
    let rejects = ["--rejects", "/dev/null/none.csv", "-o", "json"];
    let listed = desk.import("s.rejects.csv", &rejects);
    check(&listed, 74, &["none.csv"]);
    let rows: Vec<Value> = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(rows.len(), 3, "{listed:?}");
    desk.write("s.rejects.csv", fixed.replace(",c@x\n", ",c@x,\n"));
    check(&desk.import("s.rejects.csv", &[]), 0, &["0 rejected"]);
    for name in ["b@x", "c@x", "d@x"] {
        assert_eq!(desk.user(name)["userName"], name);
    }
    // The same file again: the applied row changes nothing, and no file is overwritten.
    check(
        &desk.import("s.csv", &[]),
        1,
        &["1 unchanged", "s.rejects-2.csv"],
    );
    // A `--rejects` file that could not be written in the end is refused before the first row is
    // applied.
    desk.write("new.csv", "userName,active\nnew@x,yes\nbad@x,perhaps\n");
    for (rejects, status, told) in [
        ("/nowhere/new.csv", 74, "name a file that can be made"),
        ("new.rejects.jsonl", 64, "end its name with .csv"),
        ("-", 64, "rejected rows go into a file"),
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

/// As in an export: a spreadsheet may split at commas too, and quotes kept this text whole.
#[test]
fn a_rejected_text_with_the_delimiter_of_other_files_stays_in_its_cell() {
    let desk = Desk::new();
    let file = "userName;active;title\na@x;perhaps;\"x,=1\"\n";
    desk.write("s.csv", file);
    check(&desk.import("s.csv", &[]), 1, &["1 rejected"]);
    let text = fs::read_to_string(desk.path("s.rejects.csv")).expect("text");
    assert!(text.contains(";\"x,=1\"\n"), "{text}");
    desk.write("s.rejects.csv", text.replace("perhaps", "yes"));
    check(&desk.import("s.rejects.csv", &[]), 0, &["1 created"]);
}

/// Rejected rows that nobody fixed are rejected at every import, and kept as they were.
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
    desk.write("nobody.csv", "Email,Title\n,Chef\n");
    for (stem, ending, told, again) in [
        (
            "nobody",
            "csv",
            "fill in its userName or id",
            "its Email if",
        ),
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
            ",,Chef\n",
            twice.trim_end(),
        ];
        let quoted = |one: &&str| text.contains(&one.replace('"', "\\\""));
        assert!(kept.iter().any(quoted), "{text}");
    }
    // The same holds for a file whose name has no ending.
    let bare = desk.write("staff", "userName,status\ne@x.example,perhaps\n");
    check(&desk.import("staff", &[]), 1, &["staff.rejects with"]);
    assert!(bare.with_file_name("staff.rejects").exists());
    check(
        &desk.import("staff.rejects", &[]),
        1,
        &["staff.rejects-2 with"],
    );
}

/// A refused row blocks no other row, even if several such rows are too much for one request.
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

/// Each row blocks the other, however often they are imported together.
#[test]
fn whoever_exchanges_user_names_is_told_to_use_a_third_one() {
    let desk = Desk::new();
    desk.write("new.csv", "userName\na@x\nb@x\nc@x\n");
    check(&desk.import("new.csv", &[]), 0, &["3 created"]);
    let [a, b, c] = ["a@x", "b@x", "c@x"].map(|name| desk.user(name)["id"].clone());
    let id = |id: &Value| id.as_str().expect("text").to_owned();
    let [a, b, c] = [a, b, c].map(|it| id(&it));
    let advice = ": first give one of them a userName that nobody has, in an import of its own\n";
    let ring = format!("id,userName\n{a},B@x\n{b},c@x\n{c},a@x\n");
    desk.write("ring.csv", &ring);
    for (more, told) in [
        (&[][..], "3 rows rejected"),
        (&["--dry-run"], "3 rows would be rejected"),
    ] {
        check(&desk.import("ring.csv", more), 1, &[told, advice]);
    }
    // The user whose userName is wanted is not renamed, so this is no exchange of names.
    desk.write("taken.csv", format!("id,userName\n{a},b@x\n{c},d@x\n"));
    let taken = desk.import("taken.csv", &[]);
    check(&taken, 1, &["1 updated", "another user has this userName"]);
    assert!(!taken.stderr.contains(advice), "{taken:?}");
    desk.write("back.csv", format!("id,userName\n{c},c@x\n"));
    check(&desk.import("back.csv", &[]), 0, &[]);
    // The advice works.
    desk.write("third.csv", format!("id,userName\n{a},third@x\n"));
    check(&desk.import("third.csv", &[]), 0, &["1 updated"]);
    for (status, told) in [(1, "2 rejected"), (1, "1 rejected"), (0, "1 updated")] {
        let done = desk.import("ring.csv", &[]);
        check(&done, status, &[told]);
        assert!(!done.stderr.contains(advice), "{done:?}");
    }
}
