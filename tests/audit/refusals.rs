//! The rows of refusals: when they are written, how many there are, and what they never contain.

use golinks_scim::limits;
use serde_json::{Map, Value, json};

use super::{left_behind, listed, of_kind};
use crate::support::{CORE, Talk, body, send, wait_until};

/// How many commits the server has made, according to its metrics.
fn commits(talk: &Talk, token: &str) -> u64 {
    let mut client = talk.server.client_at_root();
    let authorization = format!("Bearer {token}");
    let answer = send(&mut client, &authorization, "GET", "/metrics", None).expect("an answer");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("golinks_scim_commits_total "));
    line.expect("counted").parse().expect("a number")
}

#[test]
fn refusals_cost_no_sync_and_go_with_the_next_commit() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let metrics = talk.server.token_with("m", &["--scope", "metrics"]);
    let authorization = talk.authorization.clone();
    let before = commits(&talk, metrics.reveal());
    for _ in 0..20 {
        talk.json("GET", "/Users/nobody", None, 404);
        talk.json("POST", "/Users", Some(&json!({})), 400);
    }
    talk.authorization = String::new();
    for _ in 0..20 {
        talk.json("GET", "/Users", None, 401);
    }
    assert_eq!(
        commits(&talk, metrics.reveal()),
        before,
        "a refusal was worth a sync"
    );
    assert!(of_kind(&listed(&talk.server, &[]), "refuse").is_empty());
    talk.authorization = authorization;
    talk.create("jane");
    assert_eq!(commits(&talk, metrics.reveal()), before + 1);
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert_eq!(refused.len(), 40, "{all:?}");
    assert_eq!(refused[0]["route"], "/scim/v2/Users/{}");
    assert_eq!(refused[0]["status"], 404);
    assert!(
        refused[0]["principal"]
            .as_str()
            .expect("text")
            .ends_with(":all")
    );
    assert_eq!(refused[1]["scimType"], "invalidValue");
    assert_eq!(refused[1]["shape"]["body"], json!({}));
    // Requests without a valid token are summed up when the minute or the server ends.
    let directory = talk.server.stop_and_keep();
    let all = left_behind(&directory, &[]);
    let strangers = of_kind(&all, "refuse.strangers");
    assert_eq!(strangers.len(), 1, "{all:?}");
    assert_eq!(strangers[0]["count"], 20);
    assert_eq!(strangers[0]["reasons"], json!({"absent": 20}));
}

/// Neither does the output of `audit explain` about the refusal.
#[test]
fn no_row_holds_what_a_refused_request_said_of_anybody() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let token = talk.authorization.trim_start_matches("Bearer ").to_owned();
    let secrets = [
        "hunter2hunter2",
        "jane.roe@example.com",
        "Roe-Smith",
        &token,
    ];
    let [password, address, name, token] = secrets;
    let mut person = body("taken");
    person["password"] = json!(password);
    person["name"] = json!({"familyName": name});
    person["emails"] = json!([{"value": address, "type": token}]);
    talk.json("POST", "/Users", Some(&person), 409);
    let odd = json!({"schemas": [CORE, token], token: password, address: {"x": [name]},
        "userName": {"y": address}, "active": name});
    talk.json("POST", "/Users", Some(&odd), 400);
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": token, "path": format!("emails[value eq \"{address}\"].{token}"),
                        "value": name}]});
    let id = talk.create("other")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    talk.json("PATCH", &format!("/Users/{id}"), Some(&patch), 400);
    for filter in [
        format!("userName eq \"{address}\" and"),
        format!("{token} eq \"{name}\""),
        format!("password eq \"{password}\""),
    ] {
        let target = format!(
            "/Users?filter={}&x={token}",
            crate::support::escaped(&filter)
        );
        assert!(talk.send("GET", &target, None).status >= 400);
    }
    assert!(talk.send("GET", &format!("/Users/{token}"), None).status == 404);
    assert!(talk.send("GET", &format!("/Nothing/{token}"), None).status == 404);
    let agent = ("User-Agent", token);
    talk.send_bytes("POST", "/Users", agent, Some(address.as_bytes()));
    talk.create("more");
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert_eq!(refused.len(), 9, "{all:?}");
    for row in refused {
        let text = row.to_string();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        let request = row["requestId"].as_str().expect("an id");
        let explained = talk.server.cli(&["audit", "explain", request]);
        assert_eq!(explained.status, Some(0), "{explained:?}");
        for secret in secrets {
            assert!(!explained.stdout.contains(secret), "{explained:?}");
        }
        let explained = talk
            .server
            .cli(&["audit", "explain", request, "-o", "json"]);
        let explained: Value = serde_json::from_str(&explained.stdout).expect("an array");
        assert_eq!(explained[0]["refusal"]["requestId"], request, "{explained}");
    }
}

#[test]
fn a_row_holds_no_shape_that_is_too_large() {
    let mut talk = Talk::start(&[]);
    let name = |number: usize| (format!("{}{number}", "x".repeat(80)), Value::Null);
    let wide: Map<String, Value> = (0..limits::SHAPE_MEMBERS_MAX).map(name).collect();
    talk.json("POST", "/Users", Some(&Value::Object(wide)), 400);
    talk.create("next");
    let all = listed(&talk.server, &[]);
    let shape = &of_kind(&all, "refuse")[0]["shape"];
    let told = shape["body"].as_str().unwrap_or_default();
    assert!(told.ends_with("whose shape is too large"), "{shape}");
}

/// When several tokens are refused in a burst, each within its limit, every refusal but the last
/// few gets its own row in the trail, even if no change follows. Refusals that name a user are
/// found by that user, and `--from` lists the rows from any row on.
#[test]
fn each_refusal_of_a_burst_has_its_row() {
    const EACH: usize = 115;
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let user = talk.create("u");
    let id = user["id"].as_str().expect("an id").to_owned();
    let wrong = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                       "Operations": [{"op": "move"}]});
    for name in ["a", "b", "c"] {
        let token = talk.server.token(name);
        talk.use_token(&token);
        for _ in 0..EACH {
            talk.json("PATCH", &format!("/Users/{id}"), Some(&wrong), 400);
        }
    }
    let written = |talk: &Talk| of_kind(&listed(&talk.server, &["--user", &id]), "refuse").len();
    // Fewer rows than this may still wait for the next change.
    wait_until("all but a few are written", || {
        written(&talk) + limits::AUDIT_ROWS_FLUSHED_AT > 3 * EACH
    });
    talk.create("next");
    assert_eq!(written(&talk), 3 * EACH);
    let all = listed(&talk.server, &[]);
    for at in [0, 1, all.len() / 2, all.len() - 1] {
        let from = all[at]["sequence"].to_string();
        assert_eq!(listed(&talk.server, &["--from", &from]), all[at..]);
    }
    let none = (all.len() + 1).to_string();
    assert!(listed(&talk.server, &["--from", &none]).is_empty());
}

#[test]
fn a_client_in_a_loop_leaves_a_bounded_number_of_rows() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let refused = u64::from(limits::REFUSALS_PER_WINDOW_MAX) + 80;
    for _ in 0..refused {
        talk.send("GET", "/Users/nobody", None);
    }
    let directory = talk.server.stop_and_keep();
    let all = left_behind(&directory, &[]);
    let (rows, more) = (of_kind(&all, "refuse"), of_kind(&all, "refuse.more"));
    // A minute may have ended in between.
    let counted: u64 = more
        .iter()
        .map(|row| row["count"].as_u64().expect("a number"))
        .sum();
    assert_eq!(rows.len() as u64 + counted, refused);
    assert!(counted >= 1 && more.len() <= 2 && more[0]["statuses"]["404"].as_u64() > Some(0));
}

#[test]
fn operations_of_bulk_requests_that_are_refused_leave_rows() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    talk.create("taken");
    let refused_by = |talk: &mut Talk, count: usize| {
        let post = |number: usize| {
            let user = body(if number < count { "taken" } else { "new" });
            json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": user})
        };
        let operations: Vec<Value> = (0..=count).map(post).collect();
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations});
        talk.json("POST", "/Bulk", Some(&bulk), 200);
        let found = talk.json("GET", "/Users?filter=userName%20eq%20%22new%22", None, 200);
        let id = found["Resources"][0]["id"].as_str().expect("created");
        // The rows are written with the next change.
        talk.json("DELETE", &format!("/Users/{id}"), None, 204);
        let all = listed(&talk.server, &[]);
        of_kind(&all, "refuse")
            .into_iter()
            .cloned()
            .collect::<Vec<Value>>()
    };
    let refused = refused_by(&mut talk, 1);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["operation"], &refused[0]["status"]),
        (&json!("POST"), &json!(409))
    );
    // One request may use only so many of the rows that its principal has.
    let most = limits::BULK_REFUSALS_NOTED_MAX;
    assert_eq!(refused_by(&mut talk, most + 5).len(), 1 + most);
}
