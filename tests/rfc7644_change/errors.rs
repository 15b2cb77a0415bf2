//! Each `scimType` in a situation that causes it, other versions of the protocol, and filters on
//! discovery (sections 3.12, 3.13, 4).

use serde_json::{Value, json};

use super::{json_of, patch, target};
use crate::support;
use crate::support::{Talk, body, scim_error};

/// Each `scimType` of table 9 and of RFC 9865, except three: `invalidVers` is provoked below;
/// `tooMany` would take a query of 10 s and `expiredCursor` an hour, so unit tests cover these two.
#[test]
fn section_3_12_each_scim_type_has_its_occasion() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    talk.create("v");
    let (one, users) = (target(&user), "/Users".to_owned());
    let bad = |operation: Value| Some(patch(&json!([operation])));
    let query = |query: &str| format!("/Users?{query}");
    for (method, target, body, status, scim_type) in [
        ("GET", query("filter=shoe%20pr"), None, 400, "invalidFilter"),
        ("POST", users.clone(), Some(body("V")), 409, "uniqueness"),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "replace", "path": "meta.created", "value": "x"})),
            400,
            "mutability",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "remove", "path": "userName"})),
            400,
            "mutability",
        ),
        ("POST", users.clone(), Some(json!([])), 400, "invalidSyntax"),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "emails[type eq", "value": "x"})),
            400,
            "invalidPath",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "emails[shoe eq 7]", "value": "x"})),
            400,
            "invalidFilter",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "remove"})),
            400,
            "noTarget",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "active", "value": "maybe"})),
            400,
            "invalidValue",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "title"})),
            400,
            "invalidValue",
        ),
        (
            "GET",
            query("filter=userName%20pr%20and%20password%20eq%20%22x%22"),
            None,
            403,
            "sensitive",
        ),
        ("GET", query("cursor=x"), None, 400, "invalidCursor"),
        ("GET", query("cursor&count=x"), None, 400, "invalidCount"),
    ] {
        let response = talk.send(method, &target, body.as_ref());
        let what = format!("{method} {target} {body:?}");
        let error = scim_error(&response, &what);
        assert_eq!(
            (response.status, &error["scimType"]),
            (status, &json!(scim_type)),
            "{what}: {error}"
        );
    }
    let changed = talk.json("GET", &one, None, 200);
    assert_eq!(changed, user, "something was changed by an error");
}

#[test]
fn section_3_13_other_versions_of_the_protocol_are_not_spoken() {
    // Below `/scim/v2`, the path of another version is merely not found.
    let mut talk = Talk::start(&[]);
    for (target, status, scim_type) in [
        ("/../v1/Users", 404, Value::Null),
        ("/Users", 200, Value::Null),
    ] {
        let response = talk.send("GET", target, None);
        assert_eq!(response.status, status, "{target}");
        assert_eq!(json_of(&response)["scimType"], scim_type, "{target}");
    }
    let path = talk.server.data_dir().join("tls/ca.pem");
    let pem = std::fs::read(path).expect("the authority's certificate");
    let base = format!("https://{}/scim", talk.server.address());
    let mut client = golinks_scim::idp::client::Client::new(&base, &pem).expect("a client");
    for (target, authorization, status) in [
        ("/v1/Users", talk.authorization.as_str(), 400),
        ("/v1", &talk.authorization, 400),
        ("/v2.0/Users", &talk.authorization, 400),
        ("/v3/Bulk", &talk.authorization, 400),
        ("/vnext/Users", &talk.authorization, 404),
        ("/v1/Users", "Bearer nobody", 401),
    ] {
        let answer = support::send(&mut client, authorization, "GET", target, None);
        let response = answer.expect("an answer");
        let error = scim_error(&response, target);
        assert_eq!(response.status, status, "{target}: {error}");
        assert_eq!(
            error["scimType"] == "invalidVers",
            status == 400,
            "{target}: {error}"
        );
    }
}

#[test]
fn section_4_discovery_cannot_be_filtered() {
    let mut talk = Talk::start(&[]);
    for endpoint in [
        "ServiceProviderConfig",
        "ServiceProviderConfigs",
        "ResourceTypes",
        "Schemas",
    ] {
        talk.json(
            "GET",
            &format!("/{endpoint}?startIndex=1&count=1&x=y"),
            None,
            200,
        );
        // As in a query, a blank filter is none.
        for blank in ["filter=", "filter=%20"] {
            talk.json("GET", &format!("/{endpoint}?{blank}"), None, 200);
        }
        let target = format!("/{endpoint}?filter=id%20pr");
        let response = talk.send("GET", &target, None);
        assert_eq!(response.status, 403, "{target}");
        scim_error(&response, &target);
    }
}

#[test]
fn a_base_url_that_ends_with_users_is_not_taken_for_an_id() {
    let mut talk = Talk::start(&[]);
    for (method, target) in [
        ("GET", "/Users/Users?startIndex=1&count=2"),
        ("POST", "/Users/Users"),
        ("GET", "/Users/Users/00000001-0000-8000-8000-000000000000"),
        ("GET", "/Users/ServiceProviderConfig"),
    ] {
        let sent = (method == "POST").then(|| body("jane"));
        let response = talk.send(method, target, sent.as_ref());
        let error = scim_error(&response, target);
        let detail = error["detail"].as_str().expect("a text");
        assert_eq!(response.status, 404, "{method} {target}: {error}");
        assert!(
            detail.contains("the base URL ends with /scim/v2"),
            "{target}: {error}"
        );
    }
    talk.json("GET", "/Users/users", None, 404);
}
