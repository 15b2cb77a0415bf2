//! Reports of a damaged or unreadable store, and of a bug.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use golinks_scim::certificate::{Cell, Names, Source};
use golinks_scim::clock::{Clock, Instant};
use golinks_scim::directory::UserId;
use golinks_scim::http1::client::ResponseError;
use golinks_scim::https;
use golinks_scim::idp::client::{Client, Error};
use golinks_scim::limits;
use golinks_scim::store::{Change, Facts, Keys};
use serde_json::{Value, json};

use super::{BROKEN, Here, logged_by, text, users};
use crate::support::{body, send};

/// The sequence number of the user whose row is damaged.
const DAMAGED: u32 = 1000;

/// A router on a store in which the row of one user is damaged. A start would find that, so the row
/// is written after the store was opened. The users before it are so large that a page with all of
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
        text: Some(String::new()),
    };
    let spoilt = Change::none().create_user(DAMAGED, keys, facts, b"no row".to_vec());
    here.start_again_after(spoilt)
}

#[test]
fn a_row_that_is_damaged_while_it_is_served_is_told_until_it_is_fixed() {
    let damaged = format!("/Users/{}", UserId::new(DAMAGED));
    let operation = json!({"method": "PUT", "path": damaged, "data": body("jane")});
    let bulk = json!({"Operations": [operation]});
    for (method, target, body) in [
        ("GET", "/scim/v2/Users?startIndex=11", &Value::Null),
        ("GET", "/scim/v2/Users", &Value::Null),
        ("POST", "/scim/v2/Bulk", &bulk),
        ("POST", "/admin/verification", &Value::Null),
    ] {
        let here = with_a_damaged_row();
        assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 200);
        let logged = logged_by(|| here.ask_to_the_end(method, target, body));
        // The request's id, 16 characters long, stands before it.
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
fn a_page_that_breaks_off_is_not_taken_for_a_whole_one() {
    let here = with_a_damaged_row();
    let token = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    let directory = here.folder.path().join("tls");
    let ours = Source::DataDirectory {
        directory: directory.clone(),
        names: Names::new("machine", None),
        host: "localhost".to_owned(),
    };
    let cell = Cell::open(ours, here.clock.start).expect("a leaf");
    let listener = https::bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let tls = https::server_config(cell as Arc<_>);
    let door = https::Server::open(listener, tls, Arc::new(here.api)).expect("a door");
    let authority = fs::read(directory.join("ca.pem")).expect("the CA");
    let base = format!("https://{}/scim/v2", door.local_addr());
    let mut client = Client::new(&base, &authority).expect("a client");
    let authorization = format!("Bearer {}", text(&token["token"]));
    let answer = send(&mut client, &authorization, "GET", "/Users", None);
    let is_cut = matches!(answer, Err(Error::Answer(ResponseError::Truncated)));
    assert!(is_cut, "{answer:?}");
    door.close();
}

#[test]
fn it_is_told_that_the_store_cannot_be_read() {
    let here = Here::open();
    let ids = users(&here, 2);
    let status = here.status();
    assert_eq!(status["users"], json!({"active": 2, "inactive": 0}));
    let target = format!("/scim/v2/Users/{}", ids[0]);
    here.json(
        "PATCH",
        &target,
        &json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "remove", "path": "active"}],
        }),
    );
    // Somebody without a status may not use the account.
    let status = here.status();
    assert_eq!(status["users"], json!({"active": 1, "inactive": 1}));
    assert_eq!(status["ready"], true, "{status}");
    assert!(status["descriptors"]["used"].as_u64() > Some(3), "{status}");
    assert!(status["disk"]["kind"].is_string(), "{status}");
    let newest = text(&status["newestChange"]);
    assert_eq!(Instant::parse(newest), Some(here.clock.now()));
    let probe = json!({"name": "probe", "scope": "metrics"});
    let probe = here.json("POST", "/admin/tokens", &probe);

    here.api.close();
    // Probes do not wait for an unreadable store. If they did, each would wait; a busy machine
    // delays only some of them.
    let told = (0..3).map(|_| told_of_a_closed_store(&here)).min();
    let wait = limits::READ_PAUSE * limits::READ_PAUSES_MAX;
    assert!(told < Some(wait), "{told:?}");
    // The answer to a probe counts neither as a refusal nor as a server error; the answer to a
    // request does, even to the first one.
    assert_eq!(here.ask_with(text(&probe["token"]), "/readyz"), 503);
    let refused = here.metric("audited_refusals_total{kept=\"row\"}");
    assert_eq!(refused.as_deref(), Some("0"));
    let errors = || here.metric("server_errors_total");
    assert_eq!(errors().as_deref(), Some("0"));
    let asked = here.ask("GET", "/scim/v2/Users", &Value::Null);
    assert_eq!(
        (asked.0, errors().as_deref()),
        (503, Some("1")),
        "{asked:?}"
    );
}

/// Asserts the answers on a closed store, and returns how long they took.
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
