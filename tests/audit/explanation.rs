//! `audit explain`: it says what a request did or why it was refused, and what to do.

use golinks_scim::limits;
use serde_json::{Value, json};

use super::{listed, of_kind};
use crate::support::{CORE, Output, Server, Talk, body, scim_error};

/// The server remembers only the refused operations of a bulk request; those that succeeded are in
/// the trail. The explanation shows both, even after a restart.
#[test]
fn a_bulk_request_that_was_partly_done_is_explained_by_both() {
    let mut talk = Talk::start(&[]);
    let create = |number: usize| {
        json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(),
               "data": body(&format!("u{}", number.min(29)))})
    };
    // Creates 30 users, the last one twice, and deletes a user who does not exist.
    let mut operations: Vec<Value> = (0..31).map(create).collect();
    operations.push(json!({"method": "DELETE", "path": "/Users/nobody"}));
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                      "Operations": operations});
    let response = talk.send("POST", "/Bulk", Some(&bulk));
    assert_eq!(response.status, 200);
    let request = response.header("x-request-id").expect("an id").to_owned();
    let explained = |server: &Server| {
        let told = server.cli(&["audit", "explain", &request]);
        assert_eq!(told.status, Some(0), "{told:?}");
        for words in [
            "asked    DELETE /scim/v2/Bulk",
            "answer   404",
            "nothing: the user is already deleted, as requested",
            &format!("\nrequest {request} changed:"),
            "u29",
            "u10",
        ] {
            assert!(told.stdout.contains(words), "{words}: {told:?}");
        }
        let more = "there may be earlier refusals and older changes of this request";
        assert!(told.stderr.contains(more), "{told:?}");
        let (_, command) = told.stderr.split_once("all of them: ").expect("older ones");
        let (listing, wanted) = command.trim().split_once(" | grep ").expect("a pipe");
        let (_, arguments) = listing.split_once(" audit ").expect("a command");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let listed = server.cli(&[&["audit"], &arguments[..]].concat());
        // The rows of the refusals may not be written yet.
        let is_change = |line: &&str| line.contains(wanted) && !line.contains("\"refuse\"");
        let found = listed.stdout.lines().filter(is_change);
        assert_eq!(found.count(), 30, "each user");
    };
    explained(&talk.server);
    talk.server.restart();
    explained(&talk.server);
}

/// The text that Okta shows: the error's detail, which ends with the request's id.
fn shown(talk: &mut Talk, method: &str, target: &str, body: Option<&Value>, status: u16) -> String {
    let response = talk.send(method, target, body);
    assert_eq!(response.status, status, "{method} {target}");
    let error = scim_error(&response, target);
    error["detail"].as_str().expect("a text").to_owned()
}

/// Explains a text, and asserts that the explanation has this status and this advice.
fn check(server: &Server, text: &str, status: &str, advice: &str) -> String {
    let output = server.cli(&["audit", "explain", text]);
    assert_eq!(output.status, Some(0), "{text}: {output:?}");
    let answer = format!("answer   {status}\n");
    assert!(output.stdout.contains(&answer), "{output:?}");
    let to_do = output.stdout.lines().find(|line| line.starts_with("to do"));
    assert!(
        to_do.is_some_and(|line| line.contains(advice)),
        "{output:?}"
    );
    output.stdout
}

#[test]
fn a_refusal_is_explained_as_okta_shows_it_and_after_a_restart() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let id = talk.create("gone")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let gone = format!("/Users/{id}");
    assert_eq!(talk.send("DELETE", &gone, None).status, 204);
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}]});
    let mut cases = vec![
        (
            shown(&mut talk, "POST", "/Users", Some(&body("TAKEN")), 409),
            "409 uniqueness",
            "user show",
        ),
        (
            shown(&mut talk, "PATCH", &gone, Some(&patch), 404),
            "404",
            "assign them again",
        ),
        (
            shown(&mut talk, "DELETE", &gone, None, 404),
            "404",
            "nothing: the user is already deleted, as requested",
        ),
        (
            shown(
                &mut talk,
                "POST",
                "/Users",
                Some(&json!({"schemas": [CORE]})),
                400,
            ),
            "400 invalidValue",
            "give the person a userName in the provider",
        ),
    ];
    let reader = talk
        .server
        .token_with("reader", &["--scope", "read", "--rate-limit", "1"]);
    let full = talk.authorization.clone();
    talk.use_token(&reader);
    cases.push((
        shown(&mut talk, "POST", "/Users", Some(&body("x")), 403),
        "403",
        "provision",
    ));
    let throttled = (0..50).find_map(|_| {
        let response = talk.send("GET", "/Users", None);
        (response.status == 429).then(|| scim_error(&response, "throttled"))
    });
    let throttled = throttled.expect("throttled")["detail"]
        .as_str()
        .expect("text")
        .to_owned();
    cases.push((throttled, "429", "by itself"));
    talk.authorization = "Bearer nothing".to_owned();
    let unknown = shown(&mut talk, "GET", "/Users", None, 401);
    talk.authorization = full;
    for (text, status, advice) in &cases {
        let told = check(&talk.server, text, status, advice);
        assert!(told.contains("by       token:"), "{told}");
    }
    let told = check(&talk.server, &unknown, "401", "whole token");
    assert!(
        told.contains("because  what was sent is not a token"),
        "{told}"
    );
    let told = check(&talk.server, &cases[1].0, "404", "assign");
    assert!(
        told.contains(&format!("asked    PATCH /scim/v2/Users/{id}")),
        "{told}"
    );
    assert!(
        told.contains("\"path\": \"active\"") && told.contains("\"value\": false"),
        "{told}"
    );

    talk.server.restart();
    talk.reconnect();
    for (text, status, advice) in &cases {
        check(&talk.server, text, status, advice);
    }
    let forgotten = talk.server.cli(&["audit", "explain", &unknown]);
    assert_eq!(forgotten.status, Some(1), "{forgotten:?}");
    assert!(forgotten.stderr.contains("hint: "), "{forgotten:?}");
}

#[test]
fn the_advice_fits_what_was_refused() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let jane = format!("/Users/{}", jane["id"].as_str().expect("an id"));
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "emails[", "value": "x"}]});
    let of_mapping = "the target of a mapping is not an attribute here";
    let members: serde_json::Map<_, _> = (0..=limits::PATCH_OPERATIONS_MAX)
        .map(|number| (format!("emails[value eq \"{number}\"].type"), json!("work")))
        .collect();
    let large = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "value": members}]});
    let of_name = "give the person a userName in the provider";
    let [emptied, removed, blank, fixed, unmatched, pathless] = [
        json!({"op": "replace", "path": "userName", "value": ""}),
        json!({"op": "remove", "path": "userName"}),
        json!({"op": "replace", "path": "userName", "value": " "}),
        json!({"op": "replace", "path": "meta.created", "value": "x"}),
        json!({"op": "replace", "path": "emails[value eq \"x\"].type", "value": "work"}),
        json!({"op": "remove"}),
    ]
    .map(|operation| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [operation]})
    });
    for (method, target, body, status, advice) in [
        ("PATCH", &*jane, Some(&patch), "400 invalidPath", of_mapping),
        ("PATCH", &*jane, Some(&emptied), "400 mutability", of_name),
        ("PATCH", &*jane, Some(&removed), "400 mutability", of_name),
        ("PATCH", &*jane, Some(&blank), "400 invalidValue", of_name),
        (
            "PATCH",
            &*jane,
            Some(&fixed),
            "400 mutability",
            "take the attribute that the text names out of the mapping",
        ),
        (
            "PATCH",
            &*jane,
            Some(&unmatched),
            "400 noTarget",
            "a value that the user does not have",
        ),
        (
            "PATCH",
            &*jane,
            Some(&pathless),
            "400 noTarget",
            "names in `path` what it removes",
        ),
        (
            "PATCH",
            &*jane,
            Some(&large),
            "400 invalidValue",
            "a client of your own sends fewer operations",
        ),
        (
            "GET",
            "/Users?count=ten",
            None,
            "400 invalidValue",
            "names the parameter",
        ),
        (
            "PUT",
            "/Users",
            Some(&patch),
            "405",
            "make the proxy forward",
        ),
    ] {
        let number = status[..3].parse().expect("a number");
        let text = shown(&mut talk, method, target, body, number);
        check(&talk.server, &text, status, advice);
    }
    // The advice is also right for requests that the other mode would accept.
    let strict = ["token", "change", "all", "--mode", "strict"];
    assert_eq!(talk.server.cli(&strict).status, Some(0));
    let unknown = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "favouriteColour", "value": "x"}]});
    let filter = "/Users?filter=department%20eq%20%22x%22";
    for (method, target, body, status) in [
        ("PATCH", &*jane, Some(&unknown), "400 invalidPath"),
        ("GET", filter, None, "400 invalidFilter"),
    ] {
        let text = shown(&mut talk, method, target, body, 400);
        check(
            &talk.server,
            &text,
            status,
            "token change NAME --mode compatible",
        );
    }
}

/// The attribute by which a provider looks up users is not always the cause.
#[test]
fn whoever_sends_a_bad_filter_is_told_to_correct_it() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let jane = format!("/Users/{}", jane["id"].as_str().expect("an id"));
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations":
        [{"op": "add", "path": "emails[type eq “work”].value", "value": "x"}]});
    let of_filter = "correct what the text names in the filter";
    for (method, target, body, advice) in [
        (
            "PATCH",
            &*jane,
            Some(&patch),
            "correct what the text names: in the target of the mapping",
        ),
        (
            "GET",
            "/Users?filter=userName%20eq%20%E2%80%9Cx%E2%80%9D",
            None,
            of_filter,
        ),
        ("GET", "/Users?filter=active%20ne%205", None, of_filter),
        (
            "GET",
            "/Users?filter=email%20eq%20%22x%22",
            None,
            "what is not an attribute: choose userName",
        ),
    ] {
        let text = shown(&mut talk, method, target, body, 400);
        check(&talk.server, &text, "400 invalidFilter", advice);
    }
}

#[test]
fn a_request_that_was_done_is_explained_by_what_it_changed() {
    let mut talk = Talk::start(&[]);
    let created = talk.send("POST", "/Users", Some(&body("fine")));
    let request = created.header("x-request-id").expect("an id").to_owned();
    let told = talk.server.cli(&["audit", "explain", &request]);
    assert!(
        told.stdout.contains("succeeded, and changed") && told.stdout.contains("fine"),
        "{told:?}"
    );
    assert_eq!(
        talk.server.cli(&["audit", "explain", "nonsense"]).status,
        Some(64)
    );
}

#[test]
fn each_request_that_is_named_is_explained() {
    let mut talk = Talk::start(&[]);
    let created = talk.send("POST", "/Users", Some(&body("fine")));
    let done = created.header("x-request-id").expect("an id").to_owned();
    let refused = shown(&mut talk, "POST", "/Users", Some(&body("FINE")), 409);
    let unknown = "0123456789abcdef";
    let told = talk.server.cli(&["audit", "explain", &done, &refused]);
    assert_eq!(told.status, Some(0), "{told:?}");
    let done_at = told.stdout.find(&format!("request {done} succeeded"));
    let refused_at = told.stdout.find("answer   409 uniqueness");
    assert!(done_at.is_some() && done_at < refused_at, "{told:?}");
    let documents = |output: &Output| -> Vec<Value> {
        let documents: Value = serde_json::from_str(&output.stdout).expect("JSON");
        documents.as_array().expect("an array").clone()
    };
    let told = talk
        .server
        .cli(&["audit", "explain", &done, unknown, &refused, "-o", "json"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(
        told.stderr.contains(&format!("of the request {unknown}\n")),
        "{told:?}"
    );
    let [first, second] = &documents(&told)[..] else {
        panic!("two are known: {told:?}")
    };
    assert_eq!(first["requestId"], done, "{first}");
    assert!(refused.contains(second["requestId"].as_str().expect("an id")));
    let told = talk
        .server
        .cli(&["audit", "explain", unknown, "-o", "json"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert_eq!(documents(&told), [] as [Value; 0], "none is known");
}

/// The explanation says the same about a row as the list does.
#[test]
fn requests_about_tokens_and_backups_are_explained_in_full() {
    let server = Server::start();
    server.token_with("reporting", &["--scope", "read"]);
    let file = server.data_dir().with_file_name("copy.backup");
    let file = file.to_str().expect("it is text");
    assert_eq!(server.cli(&["backup", "create", file]).status, Some(0));
    let list = server.cli(&["audit", "list"]).stdout;
    let rows = listed(&server, &[]);
    for (kind, tells) in [
        ("token.issue", ["reporting", "read"]),
        ("backup.create", ["copy.backup", file]),
    ] {
        let row = of_kind(&rows, kind)[0].clone();
        let request = row["requestId"].as_str().expect("an id");
        let told = server.cli(&["audit", "explain", request]).stdout;
        for text in [&list, &told] {
            let line = text.lines().find(|line| line.contains(kind));
            let line = line.unwrap_or_else(|| panic!("{kind}: {text}"));
            for word in [tells[0], tells[1], request] {
                assert!(line.contains(word), "{word}: {text}");
            }
        }
    }
}

/// Anybody can cause refusals, so what is remembered about strangers is bounded.
#[test]
fn of_strangers_the_latest_refusals_are_remembered() {
    let mut talk = Talk::start(&[]);
    talk.authorization.clear();
    let mut refused = || {
        let response = talk.send("GET", "/Users", None);
        response.header("x-request-id").expect("an id").to_owned()
    };
    let forgotten = refused();
    let remembered = refused();
    for _ in 1..limits::STRANGERS_REMEMBERED_MAX {
        refused();
    }
    for (request, status) in [(&forgotten, 1), (&remembered, 0)] {
        let explained = talk.server.cli(&["audit", "explain", request]);
        assert_eq!(explained.status, Some(status), "{explained:?}");
    }
}

#[test]
fn without_explanations_rows_have_no_shape_and_nothing_is_remembered() {
    let server = Server::start_by(&[], |mut command, _| {
        command.env("GOLINKS_SCIM_AUDIT_EXPLAIN", "off");
        command
    });
    let mut talk = Talk::with(server);
    let text = shown(
        &mut talk,
        "POST",
        "/Users",
        Some(&json!({"schemas": [CORE]})),
        400,
    );
    assert_eq!(
        talk.server.cli(&["audit", "explain", &text]).status,
        Some(1)
    );
    talk.create("x");
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert!(
        refused.len() == 1 && refused[0].get("shape").is_none(),
        "{refused:?}"
    );
    assert_eq!(
        talk.server.cli(&["audit", "explain", &text]).status,
        Some(0)
    );
}
