//! Undoing deletions: the printed commands create a deleted user again.

use serde_json::{Value, json};

use super::{newest_change, patch, rows, text, without_meta};
use crate::support::{CORE, Talk};

/// The undo is refused, and prints the commands that create the user again.
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
    // A change in the same millisecond as the deletion must be in the new user, too.
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
    assert!(!refused.stderr.contains("--force"), "{refused:?}");
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
    // The printed import is only a rehearsal.
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

/// Another user has taken the deleted user's name, and an import would change that user. Also
/// asserts that the manual describes each member of the JSON that an undo prints.
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
        let manual = include_str!("../../src/manual/history.md");
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

/// A user who did not exist at that time is not created again.
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
        let is_dry_run = more.contains(&"--dry-run");
        let would = if is_dry_run { "would be " } else { "" };
        let words = format!("0 users {would}changed back, 1 needed no change, 0 refused");
        assert!(undone.stderr.contains(&words), "{undone:?}");
        assert!(!undone.stderr.contains("hint: to create"), "{undone:?}");
    }
}
