//! What the cells of a row change in a user, and what they leave unchanged: empty cells, parts of a
//! name, the status.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Desk, check};
use crate::support::{Talk, body};

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
    // A value that would be lost silently is refused.
    desk.write("e.csv", "userName,emails\nnew@x,new@x\n");
    let advice = "column emails[type eq \"work\"].value";
    check(
        &desk.import("e.csv", &[]),
        1,
        &["must be a JSON list", advice],
    );
    let line = json!({"userName": "new@x", "name": {"shoeSize": "7"}});
    desk.write("f.jsonl", format!("{line}\n"));
    let told = "names a part that no attribute of a User has";
    check(&desk.import("f.jsonl", &[]), 1, &[told]);
}

/// People type a blank after each comma, and cells copied from web pages contain non-breaking
/// spaces.
#[test]
fn blanks_around_an_email_do_not_count() {
    let desk = Desk::new();
    desk.write(
        "a.csv",
        "userName,Email,Home email\njane, jane@x.example\u{a0}, \njoe, \t,joe@x.example \n",
    );
    for outcome in ["2 created", "2 unchanged"] {
        check(&desk.import("a.csv", &[]), 0, &[outcome]);
    }
    let emails = |who| desk.user(who)["emails"].clone();
    let email = |value, kind| json!([{"value": value, "type": kind, "primary": true}]);
    assert_eq!(emails("jane"), email("jane@x.example", "work"));
    assert_eq!(emails("joe"), email("joe@x.example", "home"));
    desk.write("b.csv", "userName,Home email\njoe, \n");
    check(&desk.import("b.csv", &[]), 0, &["1 unchanged"]);
    let clear = ["--empty", "clear"];
    check(&desk.import("b.csv", &clear), 0, &["1 updated"]);
    assert_eq!(emails("joe"), Value::Null);
    // The same holds if the email stands for the userName.
    desk.write(
        "c.csv",
        "Email,Title\n ann@x.example,Cook\nANN@x.example ,Chef\n",
    );
    let told = "another row is about the same user: ANN@x.example";
    check(&desk.import("c.csv", &[]), 1, &["1 created", told]);
    assert_eq!(desk.user("ann@x.example")["title"], "Cook");
    // Values that an identity provider has stored are exported and imported unchanged.
    let stored =
        json!({"userName": "bob", "emails": [{"value": " bob@x.example", "type": "work"}]});
    desk.write("d.jsonl", format!("{stored}\n"));
    check(&desk.import("d.jsonl", &[]), 0, &["1 created"]);
    desk.write("all.csv", desk.export(&[]));
    check(&desk.import("all.csv", &[]), 0, &["4 unchanged"]);
    assert_eq!(emails("bob")[0]["value"], " bob@x.example");
}

/// Quotes after a blank are not quotes of CSV, and would become part of the email.
#[test]
fn an_email_in_quotes_after_a_blank_is_refused() {
    let desk = Desk::new();
    let told = "white space around the quotes of an email";
    let row = "eve, \"eve@x.example\"\n";
    desk.write("a.csv", format!("Title,Email\n{row}"));
    check(&desk.import("a.csv", &[]), 1, &["0 created", told]);
    desk.write("b.csv", format!("userName,Email\n{row}eve,eve@x.example\n"));
    let same = "another row is about the same user: eve";
    check(&desk.import("b.csv", &[]), 1, &["0 created", told, same]);
    // An address may begin with a quote, and an identity provider may have stored anything.
    desk.write("c.csv", "userName,Email\nzoe,\"\"\"z o\"\"@x.example\"\n");
    check(&desk.import("c.csv", &[]), 0, &["1 created"]);
    let emails = json!([{"value": " \"bob\"", "type": "work", "primary": true}]);
    let stored = json!({"userName": "bob", "emails": emails});
    desk.write("d.jsonl", format!("{stored}\n"));
    check(&desk.import("d.jsonl", &[]), 0, &["1 created"]);
    desk.write("all.csv", desk.export(&[]));
    check(&desk.import("all.csv", &[]), 0, &["2 unchanged"]);
    assert_eq!(desk.user("zoe")["emails"][0]["value"], "\"z o\"@x.example");
}

/// The same row again changes nothing, even if it has the old whole name beside new parts.
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
        // A whole name that contains all parts is taken literally, the first time and the second.
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
        // So is a whole name in a line that was exported in the current state, or in a row without
        // parts.
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
        // If the parts are cleared, nothing is left of the name.
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
    // Null is the same as absent (RFC 7643 section 2.5).
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let line = json!({"schemas": schemas, "userName": "null@x", "active": null});
    other.write("null.jsonl", format!("{line}\n"));
    check(&other.import("null.jsonl", &[]), 0, &["1 created"]);
    assert_eq!(other.user("null@x")["active"], false);
    check(&other.diff("null.jsonl", &[]), 0, &[same]);
}

/// Elements without a value, which strict mode stores, stay in a user if a row does not change
/// them.
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

/// An email stored as an id would name nobody, and say so to no one.
#[test]
fn an_email_in_the_column_manager_is_left_out_and_told() {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let desk = Desk::new();
    let told = "so emails in it are left out: 2, the first in line 2";
    desk.write(
        "hr.csv",
        "userName,Manager,Department\na@x,boss@x,Ops\nb@x,,Ops\nc@x,Boss@x,Ops\n,d@x,Ops\n",
    );
    check(&desk.import("hr.csv", &["--dry-run"]), 1, &[told]);
    check(&desk.import("hr.csv", &[]), 1, &["3 created", told]);
    assert_eq!(desk.user("a@x")[ENTERPRISE], json!({"department": "Ops"}));
    desk.write(
        "same.csv",
        "userName,Manager\na@x,boss@x\nb@x,\nc@x,Boss@x\n",
    );
    let apart = "matches the file, apart from the managers that were left out";
    check(&desk.diff("same.csv", &[]), 0, &[told, apart]);
    // An id is stored, and an email instead of it later does not take it away.
    desk.write("ids.csv", "userName,Manager\na@x,m1\n");
    let stored = desk.import("ids.csv", &[]);
    check(&stored, 0, &["1 updated"]);
    assert!(!stored.stderr.contains("left out"), "{stored:?}");
    check(&desk.import("same.csv", &["--empty", "clear"]), 0, &[told]);
    assert_eq!(desk.user("a@x")[ENTERPRISE]["manager"]["value"], "m1");
}
