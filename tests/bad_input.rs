//! Bad input: each kind gets its own clear SCIM Error and changes nothing.

use serde_json::{Value, json};

use crate::support::{CORE, Talk, body, scim_error};

const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The target of a well-formed id that no user has.
const UNKNOWN: &str = "/Users/00000001-0000-8000-8000-000000000000";

fn listing(talk: &mut Talk) -> Value {
    talk.json("GET", "/Users?count=500", None, 200)
}

fn patch(operations: &Value) -> Vec<u8> {
    json!({"schemas": [PATCH_OP], "Operations": operations})
        .to_string()
        .into_bytes()
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn each_bad_body_has_its_own_error_and_changes_nothing() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let user = talk.create("one");
    talk.create("two");
    let target = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let with = |name: &str, value: Value| {
        let mut user = body("new");
        user[name] = value;
        user.to_string().into_bytes()
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200)).into_bytes();
    let before = listing(&mut talk);
    let version = &before["Resources"][0]["meta"]["version"];
    assert!(version.is_string(), "no versions to compare: {before}");
    let many: Vec<Value> = (0..900)
        .map(|index| json!({"value": format!("{index:03}{}", "x".repeat(997))}))
        .collect();
    let rows: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        (
            "POST",
            "/Users",
            b"{\"schemas\": [".to_vec(),
            400,
            "invalidSyntax",
        ),
        ("POST", "/Users", b"".to_vec(), 400, "invalidSyntax"),
        (
            "POST",
            "/Users",
            b"{\"userName\": \"\xff\"}".to_vec(),
            400,
            "invalidSyntax",
        ),
        ("POST", "/Users", deep, 400, "invalidSyntax"),
        ("POST", "/Users", b"[]".to_vec(), 400, "invalidSyntax"),
        (
            "POST",
            "/Users",
            with("schemas", json!(["urn:x"])),
            400,
            "invalidSyntax",
        ),
        (
            "POST",
            "/Users",
            with("userName", Value::Null),
            400,
            "invalidValue",
        ),
        (
            "POST",
            "/Users",
            with("active", json!("perhaps")),
            400,
            "invalidValue",
        ),
        (
            "POST",
            "/Users",
            with("emails", json!(7)),
            400,
            "invalidValue",
        ),
        (
            "POST",
            "/Users",
            with("name", json!(["G"])),
            400,
            "invalidValue",
        ),
        (
            "POST",
            "/Users",
            with("userName", json!({"a": 1})),
            400,
            "invalidValue",
        ),
        (
            "PUT",
            &target,
            with("title", json!("x".repeat(70_000))),
            413,
            "",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "add", "path": "title", "value": "x".repeat(70_000)}])),
            413,
            "",
        ),
        (
            // Each value alone would fit, but not all of them together.
            "PATCH",
            &target,
            patch(&json!([{"op": "add", "path": "emails", "value": many}])),
            413,
            "",
        ),
        (
            // Each value would fit once, but not into every element.
            "PATCH",
            &target,
            patch(&json!([
                {"op": "add", "path": "emails", "value": [{"value": "a@x"}, {"value": "b@x"}]},
                {"op": "replace", "path": "emails.display", "value": "x".repeat(40_000)}
            ])),
            413,
            "",
        ),
        ("POST", "/Users", vec![b' '; 1024 * 1024 + 1], 413, ""),
        (
            "POST",
            "/Users",
            with("title", json!("x".repeat(70_000))),
            413,
            "",
        ),
        (
            "POST",
            "/Users",
            with("userName", json!("ONE")),
            409,
            "uniqueness",
        ),
        (
            "PUT",
            &target,
            with("userName", json!("Two")),
            409,
            "uniqueness",
        ),
        (
            "PUT",
            &target,
            json!({"schemas": [CORE]}).to_string().into_bytes(),
            400,
            "invalidValue",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "replace", "path": "userName", "value": "TWO"}])),
            409,
            "uniqueness",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "replace", "path": "id", "value": "x"}])),
            400,
            "mutability",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "remove"}])),
            400,
            "noTarget",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "remove", "path": "userName"}])),
            400,
            // RFC 7644 section 3.5.2.2: a required attribute that becomes unassigned.
            "mutability",
        ),
        (
            "PATCH",
            &target,
            patch(&json!({"op": "remove", "path": "title"})),
            400,
            "invalidSyntax",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "replace", "path": "active", "value": "perhaps"}])),
            400,
            "invalidValue",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "replace", "path": "meta.created", "value": "x"}])),
            400,
            "mutability",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "move", "path": "title"}])),
            400,
            "invalidSyntax",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "add", "path": "emails[", "value": 1}])),
            400,
            "invalidPath",
        ),
        (
            "PATCH",
            &target,
            patch(&json!([{"op": "replace", "path": "title", "value": "T"}, {"op": "remove"}])),
            400,
            "noTarget",
        ),
        (
            "PATCH",
            &target,
            json!({"schemas": [PATCH_OP]}).to_string().into_bytes(),
            400,
            "invalidSyntax",
        ),
        (
            "PATCH",
            UNKNOWN,
            patch(&json!([{"op": "add", "path": "title", "value": "T"}])),
            404,
            "",
        ),
        (
            "PUT",
            "/Users/none",
            body("none").to_string().into_bytes(),
            404,
            "",
        ),
        ("DELETE", "/Users/none", Vec::new(), 404, ""),
        ("GET", "/Users/none", Vec::new(), 404, ""),
        ("DELETE", UNKNOWN, Vec::new(), 404, ""),
        ("GET", UNKNOWN, Vec::new(), 404, ""),
        (
            "PUT",
            UNKNOWN,
            body("none").to_string().into_bytes(),
            404,
            "",
        ),
        ("POST", "/Nothing", b"{}".to_vec(), 404, ""),
    ];
    for (method, target, body, status, scim_type) in rows {
        let what = format!(
            "{method} {target} {}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
        let json = ("Content-Type", "application/scim+json");
        let response = talk.send_bytes(method, target, json, Some(&body));
        assert_eq!(
            response.status,
            status,
            "{what}: {}",
            String::from_utf8_lossy(&response.body)
        );
        let error = scim_error(&response, &what);
        assert_eq!(
            error["scimType"].as_str().unwrap_or_default(),
            scim_type,
            "{what}: {error}"
        );
        assert_eq!(listing(&mut talk), before, "{what} changed something");
    }
}

#[test]
fn each_bad_query_has_its_own_error() {
    let mut talk = Talk::start(&[]);
    for (filter, words) in [
        ("userName", "position 9"),
        ("shoeSize eq 7", "position 1"),
        ("userName eq \"x", "position 13"),
        ("userName zz \"x\"", "position 9"),
    ] {
        let encoded = filter.replace(' ', "%20").replace('"', "%22");
        let response = talk.send("GET", &format!("/Users?filter={encoded}"), None);
        let error = scim_error(&response, filter);
        assert_eq!(
            (response.status, &error["scimType"]),
            (400, &json!("invalidFilter")),
            "{filter}"
        );
        assert!(
            error["detail"].to_string().contains(words),
            "{filter}: {error}"
        );
    }
    // A value that is not a number is refused, unless it is empty; RFC 7644 section 3.4.2.4 says
    // how numbers below the minimum are read.
    for (query, status) in [
        ("startIndex=one", 400),
        ("startIndex=1.5", 400),
        ("startIndex=-", 400),
        ("startIndex=&count=", 200),
        ("count=ten", 400),
        ("count=%31%30x", 400),
        ("startIndex=-3&count=-1", 200),
    ] {
        let response = talk.send("GET", &format!("/Users?{query}"), None);
        assert_eq!(response.status, status, "{query}");
        if status == 400 {
            let error = scim_error(&response, query);
            assert_eq!(error["scimType"], "invalidValue", "{query}: {error}");
        }
    }
    let bad_escape = talk.send("GET", "/Users/%zz", None);
    assert_eq!(bad_escape.status, 400);
    scim_error(&bad_escape, "%zz");
}

#[test]
fn methods_and_media_types_that_do_not_fit() {
    let mut talk = Talk::start(&[]);
    let response = talk.send("DELETE", "/Users", None);
    assert_eq!(
        (response.status, response.header("allow")),
        (405, Some("GET, POST, HEAD"))
    );
    scim_error(&response, "405");
    // What a client sends that has forgotten `/Users`.
    let response = talk.send("POST", "/", Some(&json!({})));
    assert_eq!(response.status, 405);
    let error = scim_error(&response, "base URL");
    let detail = error["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains(": POST a user to /scim/v2/Users"),
        "{detail}"
    );
    for (method, target, allowed) in [
        ("POST", UNKNOWN, &["GET", "PUT", "PATCH", "DELETE"][..]),
        ("PUT", "/Users", &["GET", "POST"]),
        ("PATCH", "/Users", &["GET", "POST"]),
        ("POST", "/Schemas", &["GET"]),
        ("DELETE", "/ServiceProviderConfig", &["GET"]),
        ("GET", "/Users/.search", &["POST"]),
        ("DELETE", "/Users/.search", &["POST"]),
        ("PUT", "/Groups/.search", &["POST"]),
    ] {
        let response = talk.send(method, target, Some(&json!({})));
        assert_eq!(response.status, 405, "{method} {target}");
        scim_error(&response, target);
        let allow = response.header("allow").unwrap_or_default();
        let methods: Vec<&str> = allow.split(", ").filter(|one| *one != "HEAD").collect();
        assert_eq!(methods, allowed, "{method} {target}");
    }
    for (media_type, status) in [
        ("application/scim+json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("application/json ; charset=UTF-8", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/json", 201),
        ("application/xml", 415),
    ] {
        let user = body(&format!("user.{}", media_type.len()))
            .to_string()
            .into_bytes();
        let header = ("Content-Type", media_type);
        let response = talk.send_bytes("POST", "/Users", header, Some(&user));
        assert_eq!(response.status, status, "{media_type}");
        if status >= 400 {
            scim_error(&response, media_type);
        }
    }
    for (coding, status) in [("X-Gzip", 415), ("identity", 201), ("utf-8", 201)] {
        let user = body(coding).to_string().into_bytes();
        let header = ("Content-Encoding", coding);
        let response = talk.send_bytes("POST", "/Users", header, Some(&user));
        assert_eq!(response.status, status, "{coding}");
        let accepted = (status == 415).then_some("identity");
        assert_eq!(response.header("accept-encoding"), accepted);
    }
    let large = vec![b' '; 1024 * 1024 + 1];
    let json = ("Content-Type", "application/json");
    let response = talk.send_bytes("POST", "/Users", json, Some(&large));
    assert_eq!(response.status, 413);
    scim_error(&response, "413");
}
