//! The alarm over an hour of deactivations, which each start counts again from the audit trail.

use golinks_scim::clock::Clock;
use golinks_scim::limits;
use golinks_scim::store::Change;
use serde_json::{Value, json};

use super::{DAY, HOUR, Here, text, users};

fn deactivate(here: &Here, id: &str) {
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}],
    });
    here.json("PATCH", &format!("/scim/v2/Users/{id}"), &off);
}

#[test]
fn a_restart_does_not_hide_the_last_hour() {
    const MINUTE: i64 = 60 * 1000;
    let here = Here::open();
    let ids = users(&here, 60);
    // Fifty deactivations do not exceed the threshold of fifty.
    for (number, id) in ids[..50].iter().enumerate() {
        here.move_to(if number < 10 { 0 } else { 30 * MINUTE });
        deactivate(&here, id);
    }
    let here = here.start_again();
    let alarm = here.status()["alarm"].clone();
    let wanted = json!({
        "deactivationsLastHour": 50, "threshold": 50, "isRaised": false, "since": null,
    });
    assert_eq!(alarm, wanted);
    // The deletion of an inactive user does not count, but the deletion of an active one does.
    for id in [&ids[0], &ids[50]] {
        let target = format!("/scim/v2/Users/{id}");
        assert_eq!(here.ask("DELETE", &target, &Value::Null).0, 204);
    }
    let here = here.start_again();
    let alarm = here.status()["alarm"].clone();
    assert_eq!(alarm["deactivationsLastHour"], 51);
    assert_eq!(alarm["isRaised"], true);
    assert_eq!(here.metric("mass_deactivation_alarm").as_deref(), Some("1"));
    let warned = here.warned("deactivations");
    let words = "51 deactivations within an hour, 51 by administrator:test; the alarm threshold is 50 (since ";
    assert!(warned[0].starts_with(words), "{warned:?}");
    assert!(warned[0].contains("golinks-scim user list --inactive"));

    // Deactivations older than an hour no longer count, not even for a new process.
    here.move_to(65 * MINUTE);
    let here = here.start_again();
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 41);
    assert_eq!(here.status()["alarm"]["isRaised"], false);
    // For a clock that was set back, they are all in the future, and nobody knows when they
    // happened.
    here.move_to(-400 * DAY);
    let here = here.start_again();
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 0);
}

/// An import may deactivate as many users as an identity provider.
#[test]
fn who_is_deactivated_by_an_import_is_counted() {
    let here = Here::open();
    let ids = users(&here, 3);
    let rows = ids[..2].iter().enumerate().map(|(line, id)| {
        let user = json!({"id": id, "active": false});
        json!({"line": line, "user": user})
    });
    let rows: Vec<Value> = rows.collect();
    for (is_dry_run, wanted) in [(true, 0), (false, 2)] {
        let import = json!({"rows": rows, "dryRun": is_dry_run});
        let done = here.json("POST", "/admin/users/import", &import);
        assert_eq!(done["rows"][1]["outcome"], "updated", "{done}");
        let counted = here.status()["alarm"]["deactivationsLastHour"].clone();
        assert_eq!(counted, wanted, "{is_dry_run}");
    }
}

/// It is written with the first change after it, but has its own, earlier time.
#[test]
fn a_refusal_that_waited_hides_no_deactivation() {
    let here = Here::open();
    let ids = users(&here, 60);
    let token = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    let refused = here.ask_with(text(&token["token"]), "/scim/v2/Users/nobody");
    assert_eq!(refused, 404);
    here.move_to(2 * 60 * 60 * 1000);
    for id in &ids[..51] {
        deactivate(&here, id);
    }
    let here = here.start_again();
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 51);
}

/// A start does not read that many rows; the server reads on in the background.
#[test]
fn deactivations_before_very_many_other_rows_are_counted_behind_the_start() {
    let here = Here::open();
    for id in &users(&here, 60)[..51] {
        deactivate(&here, id);
    }
    let first = here.clock.now();
    here.move_to(HOUR / 2);
    let row = format!("{{\"time\":\"{}\"}}", here.clock.now());
    let all = (0..limits::ALARM_ROWS_MAX).fold(Change::none(), |all, _| all.audit(row.clone()));
    let here = here.start_again_after(all);
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 0);
    for _ in 0..2 {
        here.api.recall_deactivations();
        assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 51);
    }
    let warned = here.warned("deactivations");
    let since = format!("user undo --since {}", first.plus_seconds(-60));
    assert!(warned[0].contains(&since), "{warned:?}");
}

/// Given a time instead, it would include creations with rows from a clock that was ahead, and miss
/// changes made while the clock was behind.
#[test]
fn its_undo_begins_with_the_first_of_them_whatever_the_clock_said() {
    let here = Here::open();
    here.move_to(10 * DAY);
    let ids = users(&here, 61);
    here.move_to(-DAY);
    deactivate(&here, &ids[60]);
    here.move_to(2 * HOUR);
    let here = here.start_again();
    for (number, id) in ids[..55].iter().enumerate() {
        here.move_to(if (20..23).contains(&number) {
            -10 * DAY
        } else {
            2 * HOUR
        });
        deactivate(&here, id);
    }
    assert_eq!(here.logs().len(), 1);
    let warned = here.warned("deactivations");
    let since = warned[0].split("user undo --from ").nth(1);
    let since = since.and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
    let undo = json!({"since": since.expect("a change"), "dryRun": true});
    let undone = here.json("POST", "/admin/undo", &undo);
    let users = undone["users"].as_array().expect("users");
    let changed: Vec<_> = users.iter().map(|user| text(&user["user"])).collect();
    assert_eq!(changed, ids[..55], "{undone}");

    // A time selects rows with a later time, but not rows that were written before with a future
    // time.
    let since = here.clock.start.plus_seconds(90 * 60).to_string();
    let undo = json!({"since": since, "dryRun": true});
    let undone = here.json("POST", "/admin/undo", &undo);
    let users = undone["users"].as_array().expect("users");
    let are_created = users.iter().any(|user| user["isCreation"] == true);
    assert_eq!((users.len(), are_created), (52, false), "{undone}");
}
