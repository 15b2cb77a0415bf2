//! What a user was, who changed it, and taking changes back: against what answers said at
//! the time, and against a model that keeps every state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::{
    Caller, Directory, Keep, Manner, Obstacle, Past, Then, Thresholds, ToUndo, Undone, describe,
};
use golinks_scim::scim::{Leniency, Patch, Preconditions, User};
use golinks_scim::store::{Opener, Store};
use serde_json::{Value, json};

use crate::model::Random;
use crate::support::{CORE, Output, Talk, body, cli_in, command_on, number, record_of};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn patch(path: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": path, "value": value}]})
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// Lines of JSON.
fn rows(output: &Output) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{output:?}"));
    output.stdout.lines().map(line).collect()
}

fn without_meta(user: &Value) -> Value {
    let mut user = user.clone();
    user.as_object_mut().expect("a user").remove("meta");
    user
}

/// The moment now, and nothing happens within its millisecond.
fn moment() -> String {
    std::thread::sleep(Duration::from_millis(5));
    let now = SystemClock.now().to_string();
    std::thread::sleep(Duration::from_millis(5));
    now
}

#[test]
fn a_mistake_of_an_identity_provider_is_taken_back_by_one_command() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let okta = talk.server.token("okta");
    let administrators = talk.authorization.clone();
    talk.use_token(&okta);
    let mut users = Vec::new();
    for number in 0..60 {
        let mut user = body(&format!("user{number}@example.com"));
        user["externalId"] = json!(format!("00u{number}"));
        user["title"] = json!("Chef");
        users.push(talk.json("POST", "/Users", Some(&user), 201));
    }
    let left = text(&users[7], "userName").to_owned();
    let done = talk.server.cli(&["user", "deactivate", &left]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let since = moment();

    // As an application of the wizard does it: GET, then PUT with everything.
    for user in &users {
        let target = format!("/Users/{}", text(user, "id"));
        let mut echo = talk.json("GET", &target, None, 200);
        echo["active"] = json!(false);
        talk.json("PUT", &target, Some(&echo), 200);
    }
    let active = "/Users?filter=active%20eq%20true&count=0";
    let count = |talk: &mut Talk| talk.json("GET", active, None, 200)["totalResults"].clone();
    assert_eq!(count(&mut talk), 0);

    let undo = |more: &[&str]| {
        let base = ["user", "undo", "--since", &since, "--token", "okta"];
        talk.server.cli(&[&base, more].concat())
    };
    let rehearsed = undo(&["--dry-run", "-o", "jsonl"]);
    assert_eq!(rehearsed.status, Some(0), "{rehearsed:?}");
    // Whom the administrator had deactivated, Okta did not.
    let rehearsed_rows = rows(&rehearsed);
    let values = json!([{"attribute": "active", "before": false, "after": true}]);
    assert_eq!(rehearsed_rows.len(), 59, "{rehearsed:?}");
    assert!(
        rehearsed_rows
            .iter()
            .all(|row| row["attributes"] == json!(["active"]) && row["values"] == values)
    );
    assert!(
        rehearsed.stderr.contains("59 users would be"),
        "{rehearsed:?}"
    );

    let done = undo(&[]);
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (Some(0), ""),
        "{done:?}"
    );
    assert!(done.stderr.contains("59 users changed back"), "{done:?}");
    talk.authorization = administrators;
    assert_eq!(count(&mut talk), 59);
    for user in &users {
        let now = talk.json("GET", &format!("/Users/{}", text(user, "id")), None, 200);
        let mut wanted = without_meta(user);
        wanted["active"] = json!(text(user, "userName") != left);
        assert_eq!(without_meta(&now), wanted);
    }

    let again = talk
        .server
        .cli(&["user", "undo", "--since", &since, "--token", "okta"]);
    assert_eq!(again.status, Some(0), "{again:?}");
    assert!(
        again.stderr.contains("0 users changed back, 59 needed no"),
        "{again:?}"
    );

    // Without the token it would take the users themselves back.
    let whole = talk
        .server
        .cli(&["user", "undo", "--since", "1h", "--dry-run"]);
    assert!(
        whole.stdout.contains("  active: true -> false\n"),
        "{whole:?}"
    );
    for words in [
        "\n59 of them were created since then, and would be deactivated\n",
        "hint: --token NAME",
    ] {
        assert!(whole.stderr.contains(words), "{whole:?}");
    }
    assert_eq!(count(&mut talk), 59);

    // The identity provider errs again: what was taken back does not stand in the way.
    talk.use_token(&okta);
    let target = format!("/Users/{}", text(&users[3], "id"));
    talk.json("PATCH", &target, Some(&patch("active", json!(false))), 200);
    let third = talk
        .server
        .cli(&["user", "undo", "--since", &since, "--token", "okta"]);
    assert!(
        third.stderr.contains("1 user changed back, 58 needed no"),
        "{third:?}"
    );
    assert_eq!(talk.json("GET", &target, None, 200)["active"], true);
}

#[test]
fn a_user_is_shown_as_every_answer_showed_it() {
    let mut talk = Talk::start(&[]);
    let before = moment();
    let mut shown = vec![talk.create("jane@example.com")];
    let id = text(&shown[0], "id").to_owned();
    let target = format!("/Users/{id}");
    let mut moments = vec![moment()];
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    for change in [
        patch("title", json!("Chef")),
        patch("name.givenName", json!("Joan")),
        patch("emails[type eq \"work\"].value", json!("joan@example.com")),
        patch(&format!("{enterprise}:department"), json!("Kitchen")),
        patch("active", json!(false)),
        patch("userName", json!("joan@example.com")),
        json!({"schemas": [PATCH], "Operations": [{"op": "remove", "path": "title"}]}),
        patch("nickName", json!("Jo")),
    ] {
        shown.push(talk.json("PATCH", &target, Some(&change), 200));
        moments.push(moment());
    }
    let at = |talk: &Talk, who: &str, at: &str| {
        talk.server
            .cli(&["user", "show", who, "--at", at, "-o", "jsonl"])
    };
    let check = |talk: &Talk, who: &str| {
        for (user, moment) in shown.iter().zip(&moments) {
            let output = at(talk, who, moment);
            assert_eq!(
                rows(&output),
                std::slice::from_ref(user),
                "{moment}: {output:?}"
            );
        }
        let absent = at(talk, who, &before);
        assert_eq!(absent.status, Some(1), "{absent:?}");
        for words in ["there was no user", "`user history WHO` shows when"] {
            assert!(absent.stderr.contains(words), "{absent:?}");
        }
    };
    check(&talk, &id);
    check(&talk, "Joan@example.com");

    let history = talk
        .server
        .cli(&["user", "history", "joan@example.com", "-o", "jsonl"]);
    let told = rows(&history);
    assert_eq!(told.len(), shown.len(), "{history:?}");
    for (row, user) in told.iter().zip(&shown) {
        assert_eq!(row["version"], user["meta"]["version"]);
        assert!(text(row, "principal").ends_with(":all"), "{row}");
        assert!(text(row, "requestId").len() > 8, "{row}");
    }
    check_before(&talk, &id, &told, &shown);
    let table = talk.server.cli(&["user", "history", &id]).stdout;
    for line in [
        "    name.givenName: G -> Joan",
        "    title: (none) -> Chef",
        "    title: Chef -> (none)",
        "    active: true -> false",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    let department = format!("    {enterprise}:department: (none) -> Kitchen");
    assert!(table.contains(&department), "{table}");

    // The trail outlives the user, under the name that it had last.
    talk.json("DELETE", &target, None, 204);
    let after = moment();
    check(&talk, "joan@example.com");
    assert_eq!(at(&talk, &id, &after).status, Some(1));
    let history = talk
        .server
        .cli(&["user", "history", "JOAN@example.com", "-o", "jsonl"]);
    assert_eq!(rows(&history).len(), shown.len() + 1, "{history:?}");
    // Who does not find somebody is told how to look on.
    let search = " user list --search TEXT` finds";
    for (command, hint) in [
        (&["user", "history", "nobody"][..], search),
        (&["audit", "list", "--user", "nobody"], search),
        (
            &["audit", "list", "--user", "nobody", "--last", "9"],
            search,
        ),
        (
            &["user", "show", "joan@example.com"],
            " user history 'joan@example.com'` works for deleted users too",
        ),
    ] {
        let nobody = talk.server.cli(command);
        assert_eq!(nobody.status, Some(1), "{nobody:?}");
        assert!(nobody.stderr.contains(hint), "{nobody:?}");
    }
}

/// Before each change of a user stands what the one before it has shown.
fn check_before(talk: &Talk, id: &str, told: &[Value], shown: &[Value]) {
    let before = |change: &str| {
        let typed = ["user", "show", id, "--before", change, "-o", "jsonl"];
        talk.server.cli(&typed)
    };
    for (row, user) in told[1..].iter().zip(shown) {
        let output = before(&row["sequence"].to_string());
        assert_eq!(rows(&output), std::slice::from_ref(user), "{output:?}");
    }
    for (change, status, words) in [
        (&*told[0]["sequence"].to_string(), 1, "there was no user"),
        ("0", 1, "there is no change 0 of a user"),
        ("99999", 1, "there is no change 99999 of a user"),
        ("x", 64, "write the number"),
    ] {
        let output = before(change);
        assert_eq!(output.status, Some(status), "{output:?}");
        assert!(output.stderr.contains(words), "{output:?}");
    }
}

/// The sequence of a user's newest change.
fn newest_change(talk: &Talk, who: &str) -> String {
    let history = talk.server.cli(&["user", "history", who, "-o", "jsonl"]);
    rows(&history).last().expect("a change")["sequence"].to_string()
}

#[test]
fn one_change_is_taken_back_unless_another_came_after_it() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let target = format!("/Users/{}", text(&jane, "id"));
    let created = newest_change(&talk, "jane");
    talk.json("PATCH", &target, Some(&patch("title", json!("Chef"))), 200);
    let titled = newest_change(&talk, "jane");
    talk.json(
        "PATCH",
        &target,
        Some(&patch("nickName", json!("Jay"))),
        200,
    );
    let undo = |talk: &Talk, typed: &[&str]| talk.server.cli(&[&["user", "undo"], typed].concat());
    let title = |talk: &mut Talk| talk.json("GET", &target, None, 200)["title"].clone();

    let rehearsed = undo(&talk, &[&titled, "--dry-run"]);
    assert_eq!(rehearsed.status, Some(0), "{rehearsed:?}");
    assert_eq!(title(&mut talk), "Chef");
    let version = talk.json("GET", &target, None, 200)["meta"]["version"].clone();

    // Another attribute that was changed since does not matter.
    let done = undo(&talk, &[&titled]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert_eq!(title(&mut talk), Value::Null);
    let row = newest_change(&talk, "jane");
    let history = talk.server.cli(&["user", "history", "jane", "-o", "jsonl"]);
    let row_of_undo = rows(&history).pop().expect("a change");
    assert_eq!(row_of_undo["kind"], "undo");
    assert_eq!(row_of_undo["undoes"][0].to_string(), titled);
    assert_ne!(row_of_undo["version"], version);

    // Twice is once, and an undo is a change like any other.
    let again = undo(&talk, &[&titled]);
    assert!(again.stderr.contains(", 1 needed no change"), "{again:?}");
    let back = undo(&talk, &[&row]);
    assert_eq!(back.status, Some(0), "{back:?}");
    assert_eq!(title(&mut talk), "Chef");

    talk.json("PATCH", &target, Some(&patch("title", json!("Cook"))), 200);
    let refused = undo(&talk, &[&titled]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(
        refused.stdout.contains("title was changed again since"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("hint: --force"), "{refused:?}");
    assert_eq!(title(&mut talk), "Cook");
    assert_eq!(undo(&talk, &[&titled, "--force"]).status, Some(0));
    assert_eq!(title(&mut talk), Value::Null);

    // A creation is taken back by a deactivation.
    assert_eq!(undo(&talk, &[&created]).status, Some(0));
    let jane = talk.json("GET", &target, None, 200);
    assert_eq!(
        (&jane["active"], &jane["nickName"]),
        (&json!(false), &json!("Jay"))
    );

    // A name that somebody else has by now.
    talk.json(
        "PATCH",
        &target,
        Some(&patch("userName", json!("joan"))),
        200,
    );
    let renamed = newest_change(&talk, "joan");
    talk.create("jane");
    let taken = undo(&talk, &[&renamed]);
    assert_eq!(taken.status, Some(1), "{taken:?}");
    assert!(
        taken.stdout.contains("another user has this userName"),
        "{taken:?}"
    );

    talk.json("DELETE", &target, None, 204);
    let deleted = newest_change(&talk, "joan");
    let refused = undo(&talk, &[&deleted]);
    assert!(
        refused.stdout.contains("can be created again"),
        "{refused:?}"
    );
    let gone = undo(&talk, &[&titled]);
    assert!(gone.stdout.contains("was deleted since"), "{gone:?}");

    // What is no change of a user, and what is no change at all.
    for number in ["1", "99999"] {
        let none = undo(&talk, &[number]);
        assert_eq!(none.status, Some(1), "{none:?}");
        assert!(none.stderr.contains("there is no change"), "{none:?}");
    }
    for bad in [&["--since", "tomorrow"][..], &[], &["1", "--token", "x"]] {
        assert_eq!(undo(&talk, bad).status, Some(64), "{bad:?}");
    }
}

/// By the commands that the refused undo prints.
#[test]
fn whoever_was_deleted_is_made_again() {
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut talk = Talk::start(&[]);
    let boss = talk.create("boss@example.com");
    let jane = json!({
        "schemas": [CORE, enterprise],
        "userName": "jane@example.com",
        "externalId": "00u1",
        "active": false,
        "name": {"givenName": "Jane", "familyName": "Doe", "middleName": "Ü"},
        "displayName": "Jane Doe, \"the\" cook",
        "emails": [
            {"value": "jane@example.com", "type": "work", "primary": true},
            {"value": "j@example.org", "type": "home", "display": "at home"},
            {"value": "other@example.org"},
        ],
        "phoneNumbers": [{"value": "+7 1", "type": "work"}, {"value": "+7 2", "type": "work"}],
        "addresses": [{"type": "work", "locality": "Town", "country": "RU", "primary": true}],
        "roles": [{"value": "cook", "primary": true}, {"value": "chef", "display": "Chef"}],
        "entitlements": [{"value": "e", "type": "t"}],
        "locale": "ru-RU",
        enterprise: {
            "department": "Kitchen",
            "manager": {"value": boss["id"], "displayName": "The Boss"},
        },
    });
    let jane = talk.json("POST", "/Users", Some(&jane), 201);
    // What was changed in the millisecond of the end belongs to her too.
    let target = format!("/Users/{}", text(&jane, "id"));
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "PATCH", "path": target, "data": patch("title", "Cook")},
            {"method": "DELETE", "path": target},
        ],
    });
    let done = talk.json("POST", "/Bulk", Some(&bulk), 200);
    assert_eq!(done["Operations"][1]["status"], "204", "{done}");
    let mut wanted = without_meta(&jane);
    wanted["title"] = json!("Cook");
    let deleted = newest_change(&talk, "jane@example.com");
    let refused = talk.server.cli(&["user", "undo", &deleted]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    let hint = refused
        .stderr
        .lines()
        .find(|line| line.starts_with("hint: to create jane@"));
    let hint = hint.unwrap_or_else(|| panic!("{refused:?}"));
    let typed = |from: &str, to: &str| -> Vec<String> {
        let words = hint.split(from).nth(1).and_then(|it| it.split(to).next());
        let words = words.unwrap_or_else(|| panic!("{hint}")).split_whitespace();
        from.split_whitespace()
            .chain(words)
            .map(str::to_owned)
            .collect()
    };
    let run = |command: &[String]| {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        talk.server.cli(&words)
    };
    let shown = run(&typed("user show ", " > "));
    assert_eq!(shown.status, Some(0), "{shown:?}");
    let path = talk.server.data_dir().with_file_name("back.jsonl");
    std::fs::write(&path, &shown.stdout).expect("written");
    assert!(hint.contains("> back.jsonl && "), "{hint}");
    let mut import = typed("user import ", ";");
    assert_eq!(import[2], "back.jsonl");
    import[2] = path.display().to_string();
    // The first time is a rehearsal.
    let rehearsed = run(&import);
    assert!(
        rehearsed.stderr.contains("1 would be created"),
        "{rehearsed:?}"
    );
    import.retain(|word| word != "--dry-run");
    let imported = run(&import);
    assert_eq!(imported.status, Some(0), "{imported:?}");
    assert!(imported.stderr.contains("1 created"), "{imported:?}");

    let now = talk
        .server
        .cli(&["user", "show", "jane@example.com", "-o", "jsonl"]);
    let mut now = without_meta(&rows(&now)[0]);
    assert_ne!(now["id"], jane["id"]);
    now["id"] = jane["id"].clone();
    assert_eq!(now, wanted);

    check_taken(&talk, &deleted);
}

/// The name of whoever was deleted has another user now, whom an import would change.
fn check_taken(talk: &Talk, deleted: &str) {
    let undo = |more: &[&str]| {
        let typed = [&["user", "undo", deleted], more].concat();
        talk.server.cli(&typed)
    };
    let taken = undo(&[]);
    assert_eq!(taken.status, Some(1), "{taken:?}");
    let words = "refused: a deletion cannot be undone, and another user has this userName by now";
    assert!(taken.stdout.contains(words), "{taken:?}");
    assert!(!taken.stderr.contains("to make"), "{taken:?}");
    let told = rows(&undo(&["-o", "jsonl"]));
    assert_eq!(told[0]["deletion"].to_string(), deleted, "{told:?}");
    assert_eq!(told[0]["isNameTaken"], true, "{told:?}");
    let typed = ["user", "undo", "--since", "1h", "--dry-run", "-o", "jsonl"];
    let others = rows(&talk.server.cli(&typed));
    assert!(
        others.iter().any(|it| it["values"].is_array()),
        "{others:?}"
    );
    for member in told.iter().chain(&others).flat_map(members) {
        let manual = include_str!("../src/manual/history.md");
        let is_told = manual.contains(&format!("`{member}`"));
        assert!(
            is_told,
            "golinks-scim manual history tells nothing of {member}"
        );
    }
}

fn members(document: &Value) -> impl Iterator<Item = &String> {
    document.as_object().expect("an object").keys()
}

/// Nobody is made again who was not there at that time.
#[test]
fn a_user_who_came_and_went_since_is_as_before() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane@example.com");
    talk.json(
        "DELETE",
        &format!("/Users/{}", text(&jane, "id")),
        None,
        204,
    );
    for more in [&["--dry-run"][..], &[], &["--force"]] {
        let typed = [&["user", "undo", "--since", "1h"], more].concat();
        let undone = talk.server.cli(&typed);
        assert_eq!(undone.status, Some(0), "{undone:?}");
        let is_rehearsal = more.contains(&"--dry-run");
        let would = if is_rehearsal { "would be " } else { "" };
        let words = format!("0 users {would}changed back, 1 needed no change, 0 refused");
        assert!(undone.stderr.contains(&words), "{undone:?}");
        assert!(!undone.stderr.contains("hint: to create"), "{undone:?}");
    }
}

/// Whoever reads no more learns on standard error what was done.
#[test]
fn an_undo_that_nobody_reads_says_what_it_did() {
    let mut talk = Talk::start(&[]);
    let since = moment();
    talk.create("bob");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command_on(&talk.server.data_dir())
        .args(["user", "undo", "--since", &since, "-o", "jsonl"])
        .stdout(writer)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in ["1 user changed back", "standard output was closed"] {
        assert!(told.contains(words), "{told}");
    }
    let active = talk.json("GET", "/Users?filter=active%20eq%20true", None, 200);
    assert_eq!(active["totalResults"], 0, "{active}");
}

/// More users than one slice of an undo holds; `UNDO_ROWS` sets how many.
#[test]
fn a_whole_import_is_taken_back() {
    let count = number("UNDO_ROWS", 10_500);
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    // One who was there before, and whom the file changes.
    let mut old = body("user7@example.com");
    old["title"] = json!("Chef");
    let old = talk.json("POST", "/Users", Some(&old), 201);
    let rows = (0..count).map(|number| format!("user{number}@example.com,Engineer\n"));
    let file = std::iter::once("userName,title\n".to_owned()).chain(rows);
    let path = talk.server.data_dir().join("../import.csv");
    std::fs::write(&path, file.collect::<String>()).expect("written");
    let since = moment();
    let begun = std::time::Instant::now();
    let path = path.to_str().expect("text");
    let imported = talk.server.cli(&["user", "import", path]);
    assert_eq!(imported.status, Some(0), "{imported:?}");
    assert!(imported.stderr.contains("undo --since"), "{imported:?}");
    let took = begun.elapsed();
    let begun = std::time::Instant::now();
    let undone = talk.server.cli(&["user", "undo", "--since", &since]);
    assert_eq!(undone.status, Some(0), "{undone:?}");
    println!(
        "{count} rows imported in {:.1} s and taken back in {:.1} s",
        took.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    // Its trail has more rows than one page of them.
    let newest = format!("{}", count + 500);
    let typed = ["audit", "list", "-o", "jsonl"];
    let all = talk.server.cli(&typed).stdout;
    for last in [&*newest, "1000000"] {
        let output = talk.server.cli(&[&typed[..], &["--last", last]].concat());
        let last = last.parse().expect("a number");
        let skipped = all.lines().count().saturating_sub(last);
        let wanted = all.lines().skip(skipped);
        assert!(output.stdout.lines().eq(wanted), "{}", output.stderr);
    }
    let so_far = format!("10000 users so far; to go on later: --since {since}\n");
    assert!(undone.stderr.starts_with(&so_far), "{undone:?}");
    let wanted = format!("{count} users changed back, 0 needed no change, 0 refused");
    assert!(undone.stderr.contains(&wanted), "{undone:?}");
    let active = talk.json("GET", "/Users?filter=active%20eq%20true", None, 200);
    assert_eq!(active["totalResults"], 1, "{active}");
    assert_eq!(without_meta(&active["Resources"][0]), without_meta(&old));
    let verified = talk.server.cli(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
}

#[test]
fn whoever_had_a_name_before_is_found_behind_the_one_who_has_it() {
    let mut talk = Talk::start(&[]);
    let early = moment();
    let one = text(&talk.create("bob"), "id").to_owned();
    let then = moment();
    let deleted = talk.send("DELETE", &format!("/Users/{one}"), None);
    assert_eq!(deleted.status, 204);
    let deletion = newest_change(&talk, "bob");
    let between = moment();
    let two = text(&talk.create("Bob"), "id").to_owned();
    assert_ne!(one, two);
    for (point, value) in [("--at", &then), ("--before", &deletion)] {
        let shown = talk
            .server
            .cli(&["user", "show", "bob", point, value, "-o", "jsonl"]);
        assert_eq!(shown.status, Some(0), "{point} {shown:?}");
        assert_eq!(text(&rows(&shown)[0], "id"), one);
    }
    for nobody in [&early, &between] {
        let shown = talk.server.cli(&["user", "show", "bob", "--at", nobody]);
        assert_ne!(shown.status, Some(0), "{shown:?}");
        assert!(shown.stderr.contains("there was no user bob"), "{shown:?}");
    }
    let shown = talk.server.cli(&["user", "show", &two, "--at", &then]);
    assert_ne!(shown.status, Some(0), "an id is one user's: {shown:?}");
    let data_dir = talk.server.data_dir();
    let told = format!(
        ": golinks-scim --data-dir {} user history {one}\n",
        data_dir.display()
    );
    for command in [&["user", "history"][..], &["audit", "list", "--user"]] {
        let of = |who: &str| talk.server.cli(&[command, &[who, "-o", "jsonl"]].concat());
        let listed = of("BOB");
        assert_eq!(rows(&listed).len(), 1, "{listed:?}");
        let hint = listed
            .stderr
            .strip_prefix("hint: another user had this userName until at least ");
        assert!(hint.is_some_and(|hint| hint.ends_with(&told)), "{listed:?}");
        for id in [&one, &two] {
            let listed = of(id);
            assert_eq!(
                (listed.status, &*listed.stderr),
                (Some(0), ""),
                "{listed:?}"
            );
        }
    }
}

/// A name that goes from one to the other, each time in another way.
#[test]
fn a_name_stands_for_whoever_had_it_then() {
    let mut kept = Kept::new();
    let nobody = kept.now();
    let one = kept.create("bob", "a");
    let of_one = kept.now();
    kept.change(&one, "userName", &json!("x"), "a");
    let free = kept.now();
    let two = kept.create("y", "a");
    let of_y = kept.now();
    kept.change(&two, "userName", &json!("Bob"), "a");
    let of_two = kept.now();
    let deleted = kept.delete(&two);
    let three = kept.create("bob", "a");
    let of_three = kept.now();
    let was = |id: &String, name: &str| Some((id.clone(), name.to_owned()));
    let check = |kept: &Kept, since_three: Option<(String, String)>| {
        for (at, wanted) in [
            (nobody, None),
            (of_one, was(&one, "bob")),
            (free, None),
            (of_two, was(&two, "Bob")),
            (deleted, None),
            (of_three, was(&three, "bob")),
            (kept.now(), since_three),
        ] {
            assert_eq!(kept.who_was("BOB", Then::At(at)), wanted, "{at}");
        }
    };
    check(&kept, was(&three, "bob"));
    // By the number of a change: one, two and three were made by the first, third and sixth.
    for (change, wanted) in [
        (1, None),
        (2, was(&one, "bob")),
        (5, was(&two, "Bob")),
        (6, None),
    ] {
        let then = Then::Before(change);
        assert_eq!(kept.who_was("bob", then), wanted, "{change}");
    }
    kept.delete(&three);
    check(&kept, None);
    // Another's name of before does not count, and whoever was deleted keeps the last one.
    assert_eq!(kept.who_was("y", Then::At(of_two)), None);
    assert_eq!(kept.who_was("y", Then::At(of_y)), was(&two, "y"));
    kept.change(&one, "userName", &json!("z"), "a");
    kept.delete(&one);
    assert_eq!(kept.who_was("z", Then::At(of_one)), was(&one, "bob"));
}

/// What the rows that retention has removed told is not known, whoever has the name now.
#[test]
fn nobody_is_denied_by_a_trail_that_does_not_go_back_so_far() {
    let mut kept = Kept::new();
    let one = kept.create("bob", "a");
    let of_one = kept.now();
    kept.delete(&one);
    let two = kept.create("bob", "a");
    let keep = Keep {
        days: None,
        bytes: Some(1000),
    };
    for number in 0..20 {
        kept.create(&format!("user{number}"), "a");
    }
    let removed = kept.directory.trim(keep, std::time::Instant::now());
    assert!(removed.expect("done") > 3);
    let three = kept.create("bea", "a");
    let check = |kept: &Kept, name: &str| {
        let past = kept.directory.at(name, Then::At(of_one)).expect("read");
        assert!(matches!(past, Past::Forgotten(Some(_))), "{name}: {past:?}");
    };
    check(&kept, "bob");
    kept.delete(&two);
    kept.delete(&three);
    for name in ["bob", "bea", "nobody"] {
        check(&kept, name);
    }
}

/// Of a user whose own rows were removed, those of others tell nothing, and the user itself is known.
#[test]
fn whoever_is_as_before_is_known_without_rows() {
    let mut kept = Kept::new();
    let one = kept.create("bob", "a");
    kept.change(&one, "title", &json!("Cook"), "a");
    for number in 0..20 {
        kept.create(&format!("user{number}"), "a");
    }
    let keep = Keep {
        days: None,
        bytes: Some(1000),
    };
    let removed = kept.directory.trim(keep, std::time::Instant::now());
    let oldest = removed.expect("done") + 1;
    let then = kept.now();
    let last = kept.create("last", "a");
    let now = record_of(&kept.directory, &one).expect("there");
    match kept
        .directory
        .at("bob", Then::Before(oldest + 1))
        .expect("read")
    {
        Past::Was(was) => assert_eq!(
            (was.version(), was.last_modified()),
            (now.version(), now.last_modified())
        ),
        other => panic!("{other:?}"),
    }
    // Nor is a name forgotten that was given up since.
    kept.change(&one, "userName", &json!("robert"), "a");
    kept.change(&last, "userName", &json!("bob"), "a");
    let was = Some((one, "bob".to_owned()));
    assert_eq!(kept.who_was("Bob", Then::At(then)), was);
}

#[test]
fn it_works_without_a_server_too() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let target = format!("/Users/{}", text(&jane, "id"));
    talk.json("PATCH", &target, Some(&patch("title", json!("Chef"))), 200);
    let change = newest_change(&talk, "jane");
    let directory = talk.server.stop_and_keep();
    let cli = |typed: &[&str]| cli_in(&directory, typed);
    assert_eq!(cli(&["user", "undo", &change]).status, Some(0));
    let shown = cli(&["user", "show", "jane", "-o", "jsonl"]);
    assert_eq!(rows(&shown)[0]["title"], Value::Null, "{shown:?}");
    let told = cli(&["user", "history", "jane", "-o", "jsonl"]);
    let by = rows(&told).pop().expect("a change");
    assert!(text(&by, "principal").starts_with("administrator:"), "{by}");
}

/// The next of the names is taken where one is set to nothing.
#[test]
fn an_administrator_is_recorded_under_any_login_name() {
    let mut talk = Talk::start(&[]);
    for (sudo_user, login, wanted) in [
        ("", "jane", "administrator:jane"),
        ("müller иван%41", "jane", "administrator:müller иван%41"),
        ("\t ", "ja\tne", "administrator:jane"),
        ("", "", "administrator:uid-"),
    ] {
        talk.create("somebody");
        let deleted = command_on(&talk.server.data_dir())
            .args(["user", "delete", "somebody", "--yes"])
            .env("SUDO_USER", sudo_user)
            .env("LOGNAME", login)
            .env("USER", "")
            .output()
            .expect("the binary runs");
        assert!(deleted.status.success(), "{deleted:?}");
        let told = talk
            .server
            .cli(&["audit", "list", "--last", "1", "-o", "jsonl"]);
        let by = rows(&told).pop().expect("a row");
        assert!(text(&by, "principal").starts_with(wanted), "{by}");
    }
}

/// A clock that goes on by a millisecond with each look.
pub(crate) struct Ticking(pub(crate) AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A directory in memory, every state of its users, and who made it.
struct Kept {
    directory: Directory,
    clock: Arc<Ticking>,
    states: BTreeMap<String, Vec<(Instant, &'static str, Value)>>,
}

impl Kept {
    fn new() -> Self {
        let opener: Opener = Box::new(|| Ok(Box::new(redb::backends::InMemoryBackend::new())));
        let store = Store::open_with(opener, describe).expect("a store in memory");
        let clock = Arc::new(Ticking(AtomicI64::new(1_700_000_000_000)));
        Self {
            directory: Directory::new(Arc::new(store), Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            states: BTreeMap::new(),
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn note(&mut self, id: &str, who: &'static str) {
        let record = record_of(&self.directory, id).expect("there");
        let attributes = Value::Object(record.user().attributes().clone());
        let now = self.now();
        let states = self.states.entry(id.to_owned()).or_default();
        states.push((now, who, attributes));
    }

    fn create(&mut self, name: &str, who: &'static str) -> String {
        let user = json!({"schemas": [CORE], "userName": name, "active": true});
        let user = User::parse(user, &mut Leniency::strict()).expect("a user");
        let record = self
            .directory
            .create(user, &caller(who))
            .expect("created")
            .record;
        let id = record.id().to_string();
        self.note(&id, who);
        id
    }

    fn change(&mut self, id: &str, attribute: &str, value: &Value, who: &'static str) {
        let patch = Patch::parse(patch(attribute, value.clone()), &mut Leniency::compatible());
        let patch = patch.expect("a patch");
        let leniency = Leniency::compatible();
        self.directory
            .modify(id, patch, Preconditions::default(), leniency, &caller(who))
            .expect("changed");
        self.note(id, who);
    }

    /// Deletes a user, and gives the moment after that.
    fn delete(&self, id: &str) -> Instant {
        self.directory
            .delete(id, Preconditions::default(), &caller("a"))
            .expect("deleted");
        self.now()
    }

    /// The id of whom a name stood for, and the userName at that time.
    fn who_was(&self, name: &str, then: Then) -> Option<(String, String)> {
        match self.directory.at(name, then).expect("read") {
            Past::Was(record) => {
                let id = record.id().to_string();
                Some((id, record.user().user_name().to_owned()))
            }
            Past::Absent => None,
            Past::Forgotten(_) => panic!("nothing was removed"),
        }
    }

    /// What a user must be when `who`'s changes since a moment are taken back by force.
    fn wanted(&self, id: &str, since: Instant, who: &str) -> Value {
        let states = &self.states[id];
        let mut wanted = states.last().expect("a state").2.clone();
        for attribute in ["title", "nickName", "active"] {
            // What stood before the first of them, or before the first after somebody else's.
            let (mut target, mut is_touched) = (None, false);
            for pair in states.windows(2) {
                let ((_, _, before), (time, by, after)) = (&pair[0], &pair[1]);
                if before[attribute] == after[attribute] {
                    continue;
                }
                if *time < since || *by != who {
                    is_touched = target.is_some();
                } else if target.is_none() || is_touched {
                    (target, is_touched) = (Some(before[attribute].clone()), false);
                }
            }
            if let Some(target) = target {
                wanted[attribute] = target;
            }
        }
        let (time, by, _) = &states[0];
        if *time >= since && *by == who {
            wanted = states.last().expect("a state").2.clone();
            wanted["active"] = json!(false);
        }
        wanted
            .as_object_mut()
            .expect("attributes")
            .retain(|_, value| !value.is_null());
        wanted
    }
}

fn caller(who: &str) -> Caller {
    Caller {
        principal: format!("token:{who}{who}:{who}"),
        request_id: "0".to_owned(),
        address: None,
    }
}

/// Random histories; `UNDO_SEEDS` sets how many.
#[test]
fn taking_back_gives_what_the_first_change_found() {
    for seed in 0..number("UNDO_SEEDS", 20) as u64 {
        let mut random = Random(seed);
        let mut kept = Kept::new();
        let mut ids = Vec::new();
        for number in 0..4 {
            let who = ["a", "b"][random.below(2)];
            ids.push(kept.create(&format!("user{number}"), who));
        }
        let (mut since, at) = (kept.now(), random.below(30));
        for step in 0..30 {
            if step == at {
                since = kept.now();
            }
            let who = ["a", "b"][random.below(2)];
            if random.below(12) == 0 {
                let name = format!("new{step}");
                ids.push(kept.create(&name, who));
                continue;
            }
            let id = ids[random.below(ids.len())].clone();
            match random.below(3) {
                0 => kept.change(&id, "active", &json!(random.below(2) == 0), who),
                1 => kept.change(&id, "title", &json!(format!("t{}", random.below(3))), who),
                _ => kept.change(
                    &id,
                    "nickName",
                    &json!(format!("n{}", random.below(3))),
                    who,
                ),
            }
        }
        assert_past(&kept, &mut random);
        let wanted: Vec<_> = ids.iter().map(|id| kept.wanted(id, since, "a")).collect();
        let selection = ToUndo::Since {
            since,
            token: Some("a".to_owned()),
        };
        let undone = undo(&kept.directory, &selection, true);
        assert!(undone.iter().all(|it| it.outcome.is_ok()), "{undone:?}");
        for (id, wanted) in ids.iter().zip(&wanted) {
            let record = record_of(&kept.directory, id).expect("there");
            let now = Value::Object(record.user().attributes().clone());
            assert!(&now == wanted, "seed {seed}, {id}: {now} is not {wanted}");
        }
        let again = undo(&kept.directory, &selection, false);
        let nothing = |it: &Undone| matches!(&it.outcome, Ok(it) if it.attributes.is_empty());
        assert!(again.iter().all(nothing), "seed {seed}: {again:?}");
    }
}

/// Every state that was kept is what the directory says of that moment.
fn assert_past(kept: &Kept, random: &mut Random) {
    for (id, states) in &kept.states {
        let (time, _, wanted) = &states[random.below(states.len())];
        match kept.directory.at(id, Then::At(*time)) {
            Ok(Past::Was(record)) => {
                let was = Value::Object(record.user().attributes().clone());
                assert!(&was == wanted, "{id} at {time}: {was} is not {wanted}");
            }
            other => panic!("{id} at {time}: {other:?}"),
        }
    }
}

/// A server that dies between two slices of an undo: what was done is said, and how to go on, by
/// a time that stays the same.
#[test]
fn an_undo_that_breaks_off_says_how_to_go_on() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("made");
    let socket = folder.path().join("data/admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("bound");
    let dying = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"}") && stream.read_exact(&mut byte).is_ok() {
            asked.extend_from_slice(&byte);
        }
        let page = json!({"next": 1, "users": [
            {"userName": "jane", "changes": [2], "attributes": ["title"]}]});
        let page = page.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
        stream.write_all((head + &page).as_bytes()).expect("read");
        stream.read_exact(&mut byte).expect("the next slice");
    });
    let broken = cli_in(&folder, &["user", "undo", "--since", "2h"]);
    dying.join().expect("it has ended");
    assert!(broken.status.is_some_and(|status| status > 1), "{broken:?}");
    assert!(
        broken.stderr.starts_with("1 user changed back"),
        "{broken:?}"
    );
    let (_, fix) = broken
        .stderr
        .split_once("hint: run it again with --since ")
        .expect("a hint");
    let time = fix.split(':').next().unwrap_or_default();
    let is_moment = time.len() == "2026-11-25T08".len() && time.contains('T');
    assert!(is_moment, "{broken:?}");
    assert!(
        fix.ends_with(": users already changed back are left alone\n"),
        "{broken:?}"
    );
}

fn undo(directory: &Directory, selection: &ToUndo, is_forced: bool) -> Vec<Undone> {
    let manner = Manner {
        is_forced,
        is_rehearsed: false,
    };
    let page = directory
        .undo(selection, manner, None, &caller("c"))
        .expect("done");
    assert_eq!(page.next, None);
    page.undone
}

/// To take back a creation is to deactivate.
#[test]
fn who_is_deactivated_by_an_undo_is_counted() {
    let mut kept = Kept::new();
    let since = kept.now();
    kept.create("jane", "a");
    let everything = ToUndo::Since { since, token: None };
    undo(&kept.directory, &everything, false);
    let thresholds = Thresholds {
        deactivations: 50,
        percent: 20,
    };
    assert_eq!(kept.directory.alarm(thresholds).deactivations, 1);
}

/// What somebody else has switched on stays; what somebody else has switched off and a push on again
/// is off again.
#[test]
fn the_undo_of_a_creation_goes_back_to_what_others_have_said_of_the_status() {
    for (steps, wanted) in [
        ("b off, a on", Ok(())),
        ("b off, a on, b off, a on", Ok(())),
        ("a off, b on", Err(3)),
        ("a off, b on, a off, a on", Err(3)),
        ("b off, b on", Err(2)),
        ("b off, b on, a off, a on", Err(2)),
    ] {
        let mut kept = Kept::new();
        let since = kept.now();
        let id = kept.create("jane", "a");
        for step in steps.split(", ") {
            let (who, status) = step.split_once(' ').expect("two words");
            let who = if who == "a" { "a" } else { "b" };
            kept.change(&id, "active", &json!(status == "on"), who);
        }
        let token = Some("a".to_owned());
        let undone = undo(&kept.directory, &ToUndo::Since { since, token }, false);
        let record = record_of(&kept.directory, &id).expect("there");
        match (&undone[0].outcome, wanted) {
            (Ok(_), Ok(())) => assert_eq!(record.user().active(), Some(false), "{steps}"),
            (Err(Obstacle::Touched { by_change, .. }), Err(wanted)) => {
                assert_eq!(*by_change, wanted, "{steps}");
            }
            _ => panic!("{steps}: {undone:?}"),
        }
    }
}

/// One that takes back none but these changes does not.
#[test]
fn an_undo_of_others_changes_too_counts_as_somebody_elses_change() {
    let mut kept = Kept::new();
    let id = kept.create("jane", "b");
    let since = kept.now();
    kept.change(&id, "title", &json!("mine"), "a");
    let later = kept.now();
    kept.change(&id, "title", &json!("yours"), "b");
    kept.change(&id, "title", &json!("mine again"), "a");
    let both = ToUndo::Since {
        since: later,
        token: None,
    };
    undo(&kept.directory, &both, false);
    let mine = ToUndo::Since {
        since,
        token: Some("a".to_owned()),
    };
    let undone = undo(&kept.directory, &mine, false);
    assert!(
        matches!(undone[0].outcome, Err(Obstacle::Touched { .. })),
        "{undone:?}"
    );
}

#[test]
fn what_somebody_else_has_changed_since_is_left_alone() {
    let mut kept = Kept::new();
    let id = kept.create("jane", "b");
    let since = kept.now();
    kept.change(&id, "title", &json!("mine"), "a");
    kept.change(&id, "nickName", &json!("mine"), "a");
    kept.change(&id, "title", &json!("yours"), "b");
    let selection = ToUndo::Since {
        since,
        token: Some("a".to_owned()),
    };
    let undone = undo(&kept.directory, &selection, false);
    let [one] = undone.as_slice() else {
        panic!("{undone:?}");
    };
    match &one.outcome {
        Err(Obstacle::Touched {
            attribute,
            by_change,
            principal,
        }) => {
            assert_eq!((attribute.as_str(), *by_change), ("title", 4));
            assert_eq!(principal, "token:bb:b");
        }
        other => panic!("{other:?}"),
    }
    // All of a user or nothing.
    let record = record_of(&kept.directory, &id).expect("there");
    assert_eq!(record.user().attributes()["nickName"], "mine");
    // Whoever takes back everything takes back that as well.
    let everything = ToUndo::Since { since, token: None };
    let undone = undo(&kept.directory, &everything, false);
    assert!(undone.iter().all(|it| it.outcome.is_ok()), "{undone:?}");
    let record = record_of(&kept.directory, &id).expect("there");
    assert_eq!(record.user().attributes().get("title"), None);
}

/// What a title, or a list of addresses, comes to when the changes of `a` are taken back, the
/// first of which is change 3; or the change for which they are not.
#[test]
fn a_change_that_was_itself_taken_back_does_not_count() {
    for attribute in ["title", "emails"] {
        let value = |text: &str| match attribute {
            "title" => json!(text),
            _ => json!([{"value": format!("{text}@example.com")}]),
        };
        for (steps, wanted) in [
            ("b two, undo 4", Ok("zero")),
            ("b two, b three, undo 5, undo 4", Ok("zero")),
            ("b two, undo 4, a three", Ok("zero")),
            ("b two, a three, b four, undo 6", Ok("two")),
            ("b two, b three, undo 5", Err(4)),
            ("b two, undo 4, undo 5", Err(6)),
            ("b two, undo 4, undo 5, undo 6", Ok("zero")),
            ("b two, undo 4, b three", Err(6)),
            // Whoever sets the value again wants it.
            ("b two, b one", Err(4)),
            ("b two, b one, b two, undo 6", Err(4)),
            ("undo 3, b one", Err(5)),
            // An undo of the change itself; whoever takes that back wants the change.
            ("undo 3", Ok("zero")),
            ("undo 3, undo 4", Err(5)),
            ("undo 3, undo 4, undo 5", Ok("zero")),
            ("undo 3, undo 4, undo 5, undo 6", Err(7)),
            ("undo 3, undo 4, b two", Err(5)),
            ("undo 3, b two, undo 5, undo 4", Err(7)),
            ("b two, a three, undo 5", Ok("two")),
            ("b two, a three, force 3", Err(6)),
            // What was forced back, and put there again by the undo of that.
            ("b two, force 3, force 4", Err(4)),
            // What somebody set between two changes that were taken back together.
            ("b two, c one, b three, undo b", Err(4)),
            ("b two, c one, b three, undo b, a four", Ok("one")),
        ] {
            let mut kept = Kept::new();
            let id = kept.create("jane", "b");
            kept.change(&id, attribute, &value("zero"), "b");
            let since = kept.now();
            kept.change(&id, attribute, &value("one"), "a");
            for step in steps.split(", ") {
                match step.split_once(' ').expect("two words") {
                    (how @ ("undo" | "force"), what) => {
                        let all_of = |token: &str| ToUndo::Since {
                            since,
                            token: Some(token.to_owned()),
                        };
                        let what = what.parse().map_or_else(|_| all_of(what), ToUndo::Change);
                        let undone = undo(&kept.directory, &what, how == "force");
                        assert!(undone[0].outcome.is_ok(), "{steps}: {undone:?}");
                    }
                    (who, text) => kept.change(&id, attribute, &value(text), who),
                }
            }
            let token = Some("a".to_owned());
            let undone = undo(&kept.directory, &ToUndo::Since { since, token }, false);
            let record = record_of(&kept.directory, &id).expect("there");
            let now = &record.user().attributes()[attribute];
            match (&undone[0].outcome, wanted) {
                (Ok(_), Ok(wanted)) => assert_eq!(*now, value(wanted), "{steps}"),
                (Err(Obstacle::Touched { by_change, .. }), Err(wanted)) => {
                    assert_eq!(*by_change, wanted, "{steps}");
                }
                _ => panic!("{steps}: {undone:?}"),
            }
        }
    }
}

/// Users are done in the order of their creation, except where one waits for another's name; a
/// rehearsal says the same.
#[test]
fn names_are_given_back_in_whatever_order_they_went() {
    for (steps, wanted) in [
        ("a n2 n3, a n1 n2, a n0 n1", ""),
        ("a n0 x, a n1 n0, a n2 n1", ""),
        ("a n0 x, a n2 n0, a n1 n2", ""),
        // Whoever waits for a name that is not given back.
        ("a n0 x, a n1 y, a x n1, b n2 n0", "n1 y"),
        ("a n0 t, a n1 n0, a t n1", "n0 n1"),
        // Whoever was deleted has no name to give.
        ("a n0 z, a n2 n0, a n0 -, a n1 n0", "n0"),
    ] {
        let mut kept = Kept::new();
        for name in ["n0", "n1", "n2"] {
            kept.create(name, "b");
        }
        let since = kept.now();
        for step in steps.split(", ") {
            let [who, name, new] = step.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{step}");
            };
            let (id, _) = kept.who_was(name, Then::At(kept.now())).expect("there");
            match (who, new) {
                (_, "-") => drop(kept.delete(&id)),
                ("a", _) => kept.change(&id, "userName", &json!(new), "a"),
                _ => kept.change(&id, "userName", &json!(new), "b"),
            }
        }
        let token = Some("a".to_owned());
        let selection = ToUndo::Since { since, token };
        for is_rehearsed in [true, false] {
            let manner = Manner {
                is_forced: false,
                is_rehearsed,
            };
            let page = kept.directory.undo(&selection, manner, None, &caller("c"));
            let undone = page.expect("done").undone;
            assert!(undone.is_sorted_by_key(|it| it.user.to_string()), "{steps}");
            let refused = undone.iter().filter(|it| it.outcome.is_err());
            let mut refused: Vec<_> = refused.map(|it| it.user_name.as_str()).collect();
            refused.sort_unstable();
            assert_eq!(refused.join(" "), wanted, "{steps}: {is_rehearsed}");
        }
    }
}
