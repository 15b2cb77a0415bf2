//! What is said of a store that is damaged or cannot be read, and of a bug.

use std::time::Duration;

use golinks_scim::clock::{Clock, Instant};
use golinks_scim::limits;
use golinks_scim::store::{Change, Facts, Keys};
use serde_json::{Value, json};

use super::{BROKEN, Here, logged_by, text, users};
use crate::support::body;

/// A router on a store in which the row of one user is not a row. A start would find that, so it is
/// written after the store was opened. The users before it are so large that a page with all of
/// them is streamed.
fn with_a_damaged_row() -> Here {
    let here = Here::open();
    let photo = "x".repeat(40_000);
    for number in 0..10 {
        let mut user = body(&format!("user{number}"));
        user["photos"] = json!([{"value": format!("https://h.example/{photo}")}]);
        here.json("POST", "/scim/v2/Users", &user);
    }
    let keys = Keys {
        name: b"jane".to_vec(),
        external: None,
        emails: Vec::new(),
    };
    let facts = Facts {
        active: Some(true),
        modified: 0,
        text: String::new(),
    };
    let spoilt = Change::none().create_user(1000, keys, facts, b"no row".to_vec());
    here.start_again_after(spoilt)
}

#[test]
fn a_row_that_is_damaged_while_it_is_served_is_told_until_it_is_fixed() {
    for (method, target) in [
        ("GET", "/scim/v2/Users?startIndex=11"),
        ("GET", "/scim/v2/Users"),
        ("POST", "/admin/verification"),
    ] {
        let here = with_a_damaged_row();
        assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 200);
        let logged = logged_by(|| here.ask_to_the_end(method, target));
        // Before it stands the request's id, 16 characters long.
        let told = logged
            .iter()
            .filter(|line| line.find(" the store is damaged: ") == Some(16));
        assert_eq!(told.count(), 1, "{method} {target}: {logged:?}");
        let (status, why) = here.ask("GET", "/readyz", &Value::Null);
        assert!(
            status == 503 && why.contains("the store is damaged: "),
            "{why}"
        );
        let reasons = here.status()["reasons"].clone();
        assert!(
            text(&reasons[0]["fix"]).contains("backup restore FILE"),
            "{reasons}"
        );
    }
}

#[test]
fn it_is_told_that_the_store_cannot_be_read() {
    let here = Here::open();
    users(&here, 2);
    let status = here.status();
    assert_eq!(status["users"], json!({"active": 2, "inactive": 0}));
    assert_eq!(status["ready"], true, "{status}");
    assert!(status["descriptors"]["used"].as_u64() > Some(3), "{status}");
    assert!(status["disk"]["kind"].is_string(), "{status}");
    let newest = text(&status["newestChange"]);
    assert_eq!(Instant::parse(newest), Some(here.clock.now()));

    here.api.close();
    // Probes do not wait for a store that cannot be read. If they did, they would wait each time; a
    // busy machine delays only some of them.
    let told = (0..3).map(|_| told_of_a_closed_store(&here)).min();
    let wait = limits::READ_PAUSE * limits::READ_PAUSES_MAX;
    assert!(told < Some(wait), "{told:?}");
    // The answer to a probe does not count as an error of the server; that to a request does, even
    // to the first.
    let errors = || here.metric("server_errors_total");
    assert_eq!(errors().as_deref(), Some("0"));
    let asked = here.ask("GET", "/scim/v2/Users", &Value::Null);
    assert_eq!(
        (asked.0, errors().as_deref()),
        (503, Some("1")),
        "{asked:?}"
    );
}

/// Returns how long the answers took.
fn told_of_a_closed_store(here: &Here) -> Duration {
    let began = std::time::Instant::now();
    let (status, told) = here.ask("GET", "/readyz", &Value::Null);
    assert_eq!(status, 503, "{told}");
    assert_eq!(here.metric("ready").as_deref(), Some("0"));
    assert_eq!(here.metric("users{status=\"active\"}"), None);
    let status = here.status();
    assert_eq!(
        (&status["ready"], &status["users"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(status["reasons"].as_array().map(Vec::len), Some(1));
    began.elapsed()
}

#[test]
fn only_where_nothing_is_written_a_bug_is_said_to_have_changed_nothing() {
    let here = Here::open();
    here.move_to(BROKEN);
    for (method, wanted) in [("GET", "nothing was changed"), ("POST", "is not known")] {
        let (status, told) = here.ask(method, "/admin/tokens", &json!({"name": "okta"}));
        assert!(
            status == 500 && told.contains(wanted),
            "{method}: {status} {told}"
        );
    }
}
