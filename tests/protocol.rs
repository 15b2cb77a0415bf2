//! Promises of the protocol that identity providers do not use: discovery, paging, projections,
//! deletion, groups, and pages too large to be held in memory.

use std::io::Write;

use golinks_scim::http1::client::read_response;
use golinks_scim::limits;
use serde_json::{Value, json};

use crate::support::wire::Door;
use crate::support::{CORE, Talk, body};

#[test]
fn discovery_says_what_is_there() {
    let mut talk = Talk::start(&["--base-url", "https://scim.example.com"]);
    let config = talk.json("GET", "/ServiceProviderConfig", None, 200);
    assert_eq!(config["patch"]["supported"], true);
    assert_eq!(
        config["meta"]["location"],
        "https://scim.example.com/scim/v2/ServiceProviderConfig"
    );
    let okta = talk.json("GET", "/ServiceProviderConfigs", None, 200);
    let capabilities =
        &okta["urn:okta:schemas:scim:providerconfig:1.0"]["userManagementCapabilities"];
    for wanted in [
        "IMPORT_NEW_USERS",
        "IMPORT_PROFILE_UPDATES",
        "PUSH_NEW_USERS",
        "PUSH_PROFILE_UPDATES",
        "PUSH_USER_DEACTIVATION",
        "REACTIVATE_USERS",
    ] {
        assert!(
            capabilities
                .as_array()
                .is_some_and(|all| all.contains(&json!(wanted))),
            "{wanted}"
        );
    }
    let types = talk.json("GET", "/ResourceTypes", None, 200);
    assert_eq!(types["Resources"][0]["schema"], CORE);
    assert_eq!(
        talk.json("GET", "/ResourceTypes/User", None, 200)["endpoint"],
        "/Users"
    );
    talk.json("GET", "/ResourceTypes/Group", None, 404);
    let schemas = talk.json("GET", "/Schemas", None, 200);
    assert_eq!(schemas["totalResults"], 2, "the core one, one extension");
    let core = talk.json("GET", &format!("/Schemas/{CORE}"), None, 200);
    let attributes = core["attributes"].as_array().expect("a list");
    let of = |name: &str| {
        attributes
            .iter()
            .find(|attribute| attribute["name"] == name)
    };
    let user_name = of("userName").expect("userName");
    assert_eq!(user_name["required"], true);
    assert_eq!(user_name["uniqueness"], "server");
    assert_eq!(user_name["caseExact"], false);
    assert_eq!(of("password").expect("password")["returned"], "never");
    assert!(
        !schemas.to_string().contains("null"),
        "Entra takes no nulls"
    );
    talk.json("GET", "/Schemas/urn:nothing", None, 404);
}

#[test]
fn groups_are_empty_and_writes_to_them_tell_what_to_untick() {
    let mut talk = Talk::start(&[]);
    let list = talk.json("GET", "/Groups?startIndex=1&count=100", None, 200);
    assert_eq!(
        (&list["totalResults"], &list["Resources"]),
        (&json!(0), &json!([]))
    );
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    let found = talk.json("POST", "/Groups/.search", Some(&search), 200);
    assert_eq!(found["totalResults"], 0);
    talk.json("GET", "/Groups/1", None, 404);
    for (method, target) in [
        ("POST", "/Groups"),
        ("PUT", "/Groups/1"),
        ("PATCH", "/Groups/1"),
        ("DELETE", "/Groups/1"),
    ] {
        let error = talk.json(method, target, Some(&json!({"displayName": "x"})), 501);
        let detail = error["detail"].as_str().expect("a detail");
        assert!(detail.contains("untick Push Groups"), "{detail}");
    }
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        talk.json(method, "/Me", Some(&json!({})), 501);
    }
    talk.json("BREW", "/Users", None, 501);
}

#[test]
fn pages_are_exact_at_their_edges() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let ids: Vec<Value> = (0..7)
        .map(|index| talk.create(&format!("u{index}"))["id"].clone())
        .collect();
    for (query, start, shown) in [
        ("", 1, 0..7),
        ("?startIndex=1&count=2", 1, 0..2),
        ("?startIndex=6&count=100", 6, 5..7),
        ("?startIndex=8&count=100", 8, 7..7),
        (
            "?startIndex=99999999999999999999&count=1",
            limits::START_INDEX_MAX,
            7..7,
        ),
        ("?startIndex=0&count=1", 1, 0..1),
        ("?startIndex=-5", 1, 0..7),
        ("?count=0", 1, 0..0),
        ("?count=-1", 1, 0..0),
        ("?count=100000", 1, 0..7),
        ("?aadOptscim062020&unknown=x&unknown=y", 1, 0..7),
        // A blank parameter counts as absent, and a parameter that is repeated with the same value
        // counts once.
        ("?startIndex=&count=%20&filter=&sortBy=", 1, 0..7),
        ("?startIndex=2&count=1&startindex=2", 2, 1..2),
        ("/?startIndex=2&count=1", 2, 1..2),
    ] {
        let page = talk.json("GET", &format!("/Users{query}"), None, 200);
        assert_eq!(page["totalResults"], 7, "{query}");
        assert_eq!(page["startIndex"], start, "{query}");
        assert_eq!(page["itemsPerPage"], shown.len(), "{query}");
        let found: Vec<&Value> = page["Resources"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|user| &user["id"])
            .collect();
        assert_eq!(found, ids[shown].iter().collect::<Vec<_>>(), "{query}");
    }
    let filtered = talk.json(
        "GET",
        "//Users//?filter=userName+sw+%22U%22&startIndex=7&count=5",
        None,
        200,
    );
    assert_eq!(
        (&filtered["totalResults"], &filtered["itemsPerPage"]),
        (&json!(7), &json!(1))
    );
    for bad in ["startIndex=x", "count=-", "count=1.5"] {
        let error = talk.json("GET", &format!("/Users?{bad}"), None, 400);
        assert_eq!(error["scimType"], "invalidValue", "{bad}");
    }
}

#[test]
fn projections_hold_for_every_answer_with_a_user() {
    let mut talk = Talk::start(&[]);
    let created = talk.json("POST", "/Users?attributes=userName", Some(&body("p")), 201);
    let names: Vec<&String> = created.as_object().expect("a user").keys().collect();
    assert_eq!(names, ["schemas", "id", "userName"]);
    let target = format!("/Users/{}", created["id"].as_str().expect("an id"));
    let shown = talk.json(
        "GET",
        &format!("{target}?excludedAttributes=name,emails,meta"),
        None,
        200,
    );
    assert!(
        shown.get("name").is_none() && shown.get("emails").is_none() && shown.get("meta").is_none()
    );
    let page = talk.json("GET", "/Users?attributes=emails.value", None, 200);
    assert_eq!(
        page["Resources"][0]["emails"],
        json!([{"value": "p@example.com"}])
    );
}

#[test]
fn a_deleted_user_is_gone_and_its_name_is_free() {
    let mut talk = Talk::start(&[]);
    let first = talk.create("gone");
    let target = format!("/Users/{}", first["id"].as_str().expect("an id"));
    let deleted = talk.send("DELETE", &target, None);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(
        deleted.header("content-length"),
        None,
        "RFC 9110 section 8.6"
    );
    for method in ["GET", "DELETE"] {
        talk.json(method, &target, None, 404);
    }
    talk.json("PUT", &target, Some(&body("gone")), 404);
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 0);
    let second = talk.create("GONE");
    assert_ne!(second["id"], first["id"]);
}

#[test]
fn locations_come_from_the_base_url() {
    let mut talk = Talk::start(&["--base-url", "https://scim.example.com/golinks/scim/v2/"]);
    let created = talk.send("POST", "/Users", Some(&body("l")));
    let user: Value = serde_json::from_slice(&created.body).expect("JSON");
    let wanted = format!(
        "https://scim.example.com/golinks/scim/v2/Users/{}",
        user["id"].as_str().expect("an id")
    );
    assert_eq!(created.header("location"), Some(wanted.as_str()));
    assert_eq!(user["meta"]["location"], wanted.as_str());
}

#[test]
fn a_page_too_large_to_be_held_is_streamed_whole() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let long = "x".repeat(60_000);
    for index in 0..40 {
        let mut user = body(&format!("large{index}"));
        user["title"] = json!(format!("{index}{long}"));
        talk.json("POST", "/Users?attributes=id", Some(&user), 201);
    }
    let response = talk.send("GET", "/Users?count=100", None);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    let page: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(page["itemsPerPage"], 40);
    let users = page["Resources"].as_array().expect("a list");
    for (index, user) in users.iter().enumerate() {
        assert_eq!(user["userName"], format!("large{index}"));
        assert_eq!(
            user["title"].as_str().map(str::len),
            Some(60_000 + index.to_string().len())
        );
    }
    assert_eq!(users.len(), 40);
    // The connection can still be used, and the command line reads such a page too.
    talk.json("GET", "/Users?count=1", None, 200);
    let listed = talk.server.cli(&["user", "list", "-o", "jsonl"]);
    assert_eq!(
        (listed.status, listed.stdout.lines().count()),
        (Some(0), 40)
    );
    // HTTP/1.0 has no chunks.
    let door = Door::to(talk.server);
    let mut old = door.connect();
    let request = "GET /scim/v2/Users?count=10 HTTP/1.0\r\nHOST\r\n\r\n";
    old.write_all(&door.with_token(request)).expect("taken");
    let response = read_response(&mut old, false, 1 << 20).expect("an answer");
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.header("content-length"), None);
    let page: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(page["Resources"].as_array().map(Vec::len), Some(10));
}
