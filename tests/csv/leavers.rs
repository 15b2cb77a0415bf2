//! Which users a comparison treats as having left or come back, and which not: users who have
//! another name in the file, who have two accounts, or who are created while the file is compared.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use super::diff::type_printed;
use super::{Desk, check};
use crate::support::{Output, command_on};

/// Where userNames are not emails, a list of emails matches nobody. Following it would create
/// everybody a second time and deactivate the real accounts.
#[test]
fn users_with_another_name_than_their_email_are_no_leavers() {
    let desk = Desk::new();
    desk.write(
        "here.csv",
        "userName,Email,Status\njane,Jane@x,yes\njoe,joe@x,no\nboss@x,boss@x,yes\nleft@x,,yes\n",
    );
    check(&desk.import("here.csv", &[]), 0, &["4 created"]);
    desk.write("hr.csv", "Email\njane@X\njoe@x\nboss@x\n");
    let told = desk.diff("hr.csv", &[]);
    let words = [
        "5 differences",
        "2 users with an email that the file gives to another userName",
        "let a column userName or id have what they have here",
        "to apply the changes of status only:",
    ];
    check(&told, 1, &words);
    assert!(!told.stderr.contains("user import"), "{told:?}");
    let line = "joe       not there, but this line has the email";
    check(&told, 1, &[&format!("3     {line}")]);
    assert_eq!(type_printed(&told), [Some(0)], "{told:?}");
    for (who, is_active) in [("jane", true), ("boss@x", true), ("left@x", false)] {
        assert_eq!(desk.user(who)["active"], is_active, "{who}");
    }
    // A deactivated user with an email that is another user's name does not matter.
    desk.write("old.csv", "userName,Email,Status\nboss,boss@x,no\n");
    check(&desk.import("old.csv", &[]), 0, &["1 created"]);
    desk.write("hr.csv", "Email\nboss@x\nnew@x\n");
    let told = desk.diff("hr.csv", &[]);
    check(&told, 1, &["user import", "user deactivate 0"]);
    assert!(!told.stderr.contains("another userName"), "{told:?}");
    // A second account with the same email does not matter either, and stays.
    desk.write("second.csv", "userName,Email\nadmin-boss,boss@x\n");
    check(&desk.import("second.csv", &[]), 0, &["1 created"]);
    desk.write("hr.csv", "Email,Title\nboss@x,CEO\njane,\nleft@x,\n");
    let told = desk.diff("hr.csv", &[]);
    let shares = "1 user with an email of somebody else in the file";
    check(&told, 1, &["admin-boss", "user import ", shares]);
    for words in ["another userName", "user deactivate"] {
        assert!(!told.stderr.contains(words), "{words}: {told:?}");
    }
}

/// A list of names does not find users who have another name here. Following it would create them a
/// second time and deactivate their accounts.
#[test]
fn users_with_another_name_than_the_file_gives_them_are_no_leavers() {
    let desk = Desk::new();
    desk.write(
        "here.csv",
        "userName,Email\njane@x,jane@x\njoe,joe@x\nadmin-joe,joe@x\nceo@x,\n",
    );
    check(&desk.import("here.csv", &[]), 0, &["4 created"]);
    let lists = "\"[{\"\"value\"\":\"\"jane@x\"\"}]\"";
    for (name, content) in [
        (
            "columns.csv",
            "userName,Email\njdoe,JANE@x\njoe,joe@x\nadmin-joe,\nboss,ceo@x\n".to_owned(),
        ),
        (
            "lists.csv",
            format!("userName,emails\njdoe,{lists}\njoe,\nadmin-joe,\nceo@x,\n"),
        ),
        (
            "lines.jsonl",
            "{\"userName\":\"jdoe\",\"emails\":[{\"value\":\"jane@x\"}]}\n\
             {\"userName\":\"joe\"}\n{\"userName\":\"admin-joe\"}\n{\"userName\":\"ceo@x\"}\n"
                .to_owned(),
        ),
        (
            "emails.csv",
            "userName\njane@x\njoe@x\nadmin-joe\nceo@x\n".to_owned(),
        ),
        (
            "blanks.csv",
            "userName,Email\njdoe, jane@x\njoe,joe@x\nadmin-joe,\nceo@x,\n".to_owned(),
        ),
    ] {
        desk.write(name, content);
        let told = desk.diff(name, &[]);
        check(
            &told,
            1,
            &["with an email that the file gives to another userName"],
        );
        for words in ["user import", "user deactivate"] {
            assert!(!told.stderr.contains(words), "{words}: {told:?}");
        }
    }
    // The same holds for a user whose email goes to another account.
    desk.write(
        "another.csv",
        "userName,Email\njoe,jane@x\nadmin-joe,\nceo@x,\n",
    );
    let told = desk.diff("another.csv", &[]);
    let shares = "1 user with an email of somebody else in the file";
    check(&told, 1, &["user import", shares]);
    assert!(!told.stderr.contains("user deactivate"), "{told:?}");
    // But a user whose account is not in such a file has left, whoever has the email.
    desk.write(
        "left.csv",
        "userName,Email\njane@x,jane@x\njoe,joe@x\nceo@x,\nnew,new@x\n",
    );
    let told = desk.diff("left.csv", &[]);
    check(
        &told,
        1,
        &["2 differences", "user import", "user deactivate 0"],
    );
    assert!(
        type_printed(&told).iter().all(|it| *it == Some(0)),
        "{told:?}"
    );
    assert_eq!(desk.user("admin-joe")["active"], false);
    check(&desk.diff("left.csv", &[]), 0, &["the directory matches"]);
}

/// Somebody who came back under another userName needs no second account.
#[test]
fn whose_email_somebody_active_has_is_not_reactivated() {
    let desk = Desk::new();
    let here = "jane@x,jane@x,no\njdoe,Jane@x,yes\njoe@x,joe@x,no\nold-joe,joe@x,no\n";
    desk.write("here.csv", format!("userName,Email,Status\n{here}"));
    check(&desk.import("here.csv", &[]), 0, &["4 created"]);
    let shared = "1 user inactive, but their email is also an active user's";
    for content in [
        "Email\njane@x\njoe@x\n",
        "Email,Status\njoe@x,yes\njane@x,yes\n",
    ] {
        desk.write("hr.csv", content);
        let told = desk.diff("hr.csv", &[]);
        check(&told, 1, &["3 differences", "user reactivate 0", shared]);
        for words in ["user deactivate", "if they have left"] {
            assert!(!told.stderr.contains(words), "{words}: {told:?}");
        }
        assert_eq!(type_printed(&told), [Some(0)], "{told:?}");
        let active = ["jane@x", "jdoe", "joe@x"].map(|who| desk.user(who)["active"] == true);
        assert_eq!(active, [false, true, true]);
        desk.write("back.csv", "userName,Status\njoe@x,no\n");
        check(&desk.import("back.csv", &[]), 0, &["1 updated"]);
    }
    // Nor by an import of the whole file, which the rest of the row asks for.
    desk.write("hr.csv", "Email,Status,Title\njane@x,yes,CEO\njoe@x,no,\n");
    let told = desk.diff("hr.csv", &[]);
    check(&told, 1, &["3 differences", shared]);
    assert_eq!(type_printed(&told), [], "{told:?}");
    // Without statuses in the file an import leaves them alone.
    desk.write("hr.csv", "Email,Title\njane@x,CEO\n");
    let told = desk.diff("hr.csv", &[]);
    check(&told, 1, &["user import ", shared]);
    assert_eq!(type_printed(&told), [Some(0)], "{told:?}");
    assert_eq!(desk.user("jane@x")["active"], false);
    // A file with userNames is taken literally.
    desk.write("both.csv", "userName\njane@x\njdoe\njoe@x\n");
    let told = desk.diff("both.csv", &[]);
    assert_eq!(type_printed(&told), [Some(0)], "{told:?}");
    assert_eq!(desk.user("jane@x")["active"], true);
    check(&desk.diff("both.csv", &[]), 0, &["the directory matches"]);
}

/// The users are created while the comparison is in its first thousand rows, waiting for its
/// reader. An inactive account of the same person stays inactive.
#[test]
fn whoever_comes_while_a_file_is_compared_is_no_leaver() {
    let desk = Desk::new();
    let here = "userName,Email,Status\nleft@x,,yes\nold@x,old@x,no\n";
    desk.write("here.csv", here);
    check(&desk.import("here.csv", &[]), 0, &["2 created"]);
    let mut rows = "Email\nold@x\n".to_owned();
    // More than a pipe can hold.
    let long = "absent".repeat(20);
    for number in 0..1500 {
        let _ = writeln!(rows, "{long}{number}@x");
    }
    let file = desk.write("hr.csv", rows);
    let mut command = command_on(&desk.server.data_dir());
    let mut diff = command
        .args(["user", "diff", "-o", "jsonl"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut reader = BufReader::new(diff.stdout.take().expect("piped"));
    let mut stdout = String::new();
    reader.read_line(&mut stdout).expect("a row");
    desk.write("new.csv", "userName,Email\nnew@x,old@x\n");
    check(&desk.import("new.csv", &[]), 0, &["1 created"]);
    reader.read_to_string(&mut stdout).expect("text");
    let ended: Output = diff.wait_with_output().expect("ours").into();
    let meanwhile = "1 user came or changed their userName meanwhile: compare again";
    check(&ended, 1, &["1502 differences", meanwhile]);
    assert!(!ended.stderr.contains("user reactivate"), "{ended:?}");
    let is_only_here = |line: &&str| line.contains("not there");
    let only_here: Vec<&str> = stdout.lines().filter(is_only_here).collect();
    let [left] = only_here[..] else {
        panic!("one has left: {only_here:?}");
    };
    assert!(left.contains("left@x"), "{left}");
    let left = desk.user("left@x")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let command = format!(" user deactivate {left}\n");
    assert!(ended.stderr.contains(&command), "{ended:?}");
}
