//! Several rows about one user in one file: the first row counts, however the rows name the user,
//! until somebody decides otherwise.

use std::fmt::Write as _;
use std::fs;

use golinks_scim::limits;

use super::{Desk, check};

/// In the file of rejected rows the second row stands alone, and would be applied over the first
/// one.
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
        // The row stays rejected however the column's name is written, and even if the column is
        // ignored.
        for column in ["rejected because", "Rejected_Because"] {
            let respelt = text.replace("rejected because", column);
            let name = format!("{stem}-{}.{ending}", column.replace(' ', "-"));
            desk.write(&name, respelt);
            let again = desk.import(&name, &["--ignore", column]);
            check(&again, 1, &["0 updated", "1 rejected"]);
        }
        // Once its reason is removed, it is applied.
        desk.write(&format!("{stem}-taken.{ending}"), text.replace(&reason, ""));
        check(
            &desk.import(&format!("{stem}-taken.{ending}"), &[]),
            0,
            &["1 updated"],
        );
        assert_eq!(desk.user(who)["title"], "Clerk");
    }
}

/// A row that still has its reason does not block another row whose reason was removed.
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

/// The second row has the user's name from before the first row. If it were applied, it would find
/// nobody and create a second user.
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

/// A row that is refused because another user has its name does not block the row about that user,
/// even in a later request.
#[test]
fn a_name_that_a_refused_row_wanted_is_left_to_whoever_has_it() {
    let desk = Desk::new();
    desk.write("a.csv", "userName\nann@x\nbob@x\n");
    check(&desk.import("a.csv", &[]), 0, &["2 created"]);
    let id = desk.user("ann@x")["id"].as_str().expect("an id").to_owned();
    // All but the first of these rows are refused without being sent.
    let same = ",carl@x,\n".repeat(limits::IMPORT_ROWS_MAX);
    desk.write(
        "b.csv",
        format!("id,userName,title\n{id},bob@x,One\n{same},bob@x,Two\n"),
    );
    check(&desk.import("b.csv", &[]), 1, &["1 created, 1 updated"]);
    assert_eq!(desk.user("bob@x")["title"], "Two");
}

#[test]
fn a_user_is_the_same_by_id_and_by_name() {
    let desk = Desk::new();
    desk.write("a.csv", "userName\nann@x\n");
    check(&desk.import("a.csv", &[]), 0, &["1 created"]);
    let id = desk.user("ann@x")["id"].as_str().expect("an id").to_owned();
    let told = "another row is about the same user: ";
    let mut many = format!("id,userName,title\n{id},,One\n");
    // So many rows that the second row about her is in another request.
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
    // The row that no longer fits into a request is read before that request is answered.
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
    // The same holds if the first row was refused.
    let mut many = format!("id,userName,Status,title\n{id},,maybe,One\n");
    for number in 0..1500 {
        writeln!(many, ",u{number}@x,,").expect("written");
    }
    desk.write("first.csv", format!("{many},ANN@x,,Two\n"));
    check(&desk.diff("first.csv", &[]), 1, &["is not a status", told]);
    let output = desk.import("first.csv", &[]);
    check(&output, 1, &["2 rejected", "is not a status", told]);
    assert_eq!(desk.user("ann@x")["title"], "One");
    // A name that was refused to one user still stands for the user who has it.
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
    // A name that an earlier request has changed still stands for the user who had it.
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
