//! The requests of the catalogue in both modes: understood and counted, or refused.

use std::collections::BTreeSet;

use golinks_scim::idp::client::Client;
use golinks_scim::scim::Tolerance;
use serde_json::{Value, json};

use super::catalogue::Sent::{self, Bare, Create, NoOperation, Patch, Query, Search};
use super::catalogue::all;
use super::{ENTERPRISE, PATCH_OP, count, token, user};
use crate::support::{CORE, Talk, scim_error};

fn request(
    sent: &Sent,
    number: usize,
    existing: &Value,
) -> (&'static str, String, Option<Value>, u16) {
    let one = format!("/Users/{}", existing["id"].as_str().expect("an id"));
    match sent {
        Create(members) => {
            let mut body =
                json!({"schemas": [CORE, ENTERPRISE], "userName": format!("new{number}")});
            for (name, value) in members.as_object().expect("members") {
                body[name] = value.clone();
            }
            ("POST", "/Users".to_owned(), Some(body), 201)
        }
        Bare => {
            let body = json!({"userName": format!("new{number}")});
            ("POST", "/Users".to_owned(), Some(body), 201)
        }
        Patch(operation) => {
            let body = json!({"schemas": [PATCH_OP], "Operations": [operation]});
            ("PATCH", one, Some(body), 200)
        }
        NoOperation => {
            let body = json!({"schemas": [PATCH_OP], "Operations": []});
            ("PATCH", one, Some(body), 200)
        }
        Query(query) => ("GET", format!("/Users?{query}"), None, 200),
        Search(members) => {
            let mut body =
                json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
            for (name, value) in members.as_object().expect("members") {
                body[name] = value.clone();
            }
            ("POST", "/Users/.search".to_owned(), Some(body), 200)
        }
    }
}

/// A hollow value is no departure from the RFC, so strict mode keeps it; compatible mode drops and
/// counts it.
fn dropped(talk: &mut Talk, metrics: &mut Client, [compatible, strict, reader]: [&String; 3]) {
    let mut sent = user("hollow");
    sent["emails"] = json!([{"type": "work", "primary": true}]);
    talk.authorization.clone_from(strict);
    let kept = talk.json("POST", "/Users", Some(&sent), 201);
    assert_eq!(kept["emails"], sent["emails"]);
    talk.authorization.clone_from(compatible);
    let counted = count(metrics, reader, Tolerance::HollowValue);
    let target = format!("/Users/{}", kept["id"].as_str().expect("an id"));
    let clear =
        |path: &str| json!({"schemas": [PATCH_OP], "Operations": [{"op": "remove", "path": path}]});
    // A patch of another attribute leaves the hollow value alone.
    let same = talk.json("PATCH", &target, Some(&clear("title")), 200);
    assert_eq!(same["emails"], sent["emails"]);
    sent["emails"] = json!([{"type": "work"}, {"value": "h@x"}]);
    let put = talk.json("PUT", &target, Some(&sent), 200);
    assert_eq!(put["emails"], json!([{"value": "h@x"}]));
    let cleared = talk.json("PATCH", &target, Some(&clear("emails.value")), 200);
    assert!(cleared.get("emails").is_none(), "{cleared}");
    // The last patch left no element that could be hollow, so only the PUT counts.
    let now = count(metrics, reader, Tolerance::HollowValue);
    assert_eq!(now, counted + 1, "the counter");
    talk.json("DELETE", &target, None, 204);
}

#[test]
fn each_is_understood_and_counted_or_refused_as_the_mode_says() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let strict = token(
        &talk.server,
        &["strict", "--scope", "full", "--mode", "strict"],
    );
    let compatible = talk.authorization.clone();
    let reader = token(&talk.server, &["metrics", "--scope", "metrics"]);
    let mut metrics = talk.server.client_at_root();

    let mut seen = BTreeSet::new();
    for (number, forgiven) in all().enumerate() {
        let what = format!("{}: {}", forgiven.tolerance.name(), forgiven.source);
        seen.insert(forgiven.tolerance.name());
        let existing = talk.json("POST", "/Users", Some(&user(&format!("user{number}"))), 201);
        let (method, target, body, status) = request(&forgiven.request, number, &existing);

        talk.authorization.clone_from(&strict);
        let before = talk.json("GET", "/Users?count=500", None, 200);
        let refused = talk.send(method, &target, body.as_ref());
        let error = scim_error(&refused, &what);
        assert_eq!(
            (refused.status, &error["scimType"]),
            (400, &json!(forgiven.scim_type)),
            "{what}: {error}"
        );
        // An operation without a path is refused for that before its members are looked at.
        let first = match (forgiven.tolerance, &forgiven.request) {
            (Tolerance::PathAsMember, Patch(_)) => Tolerance::OperationWithoutPath,
            (other, _) => other,
        };
        let named = format!("({})", first.name());
        assert!(
            error["detail"].to_string().contains(&named),
            "{what}: {error}"
        );
        assert_eq!(
            talk.json("GET", "/Users?count=500", None, 200),
            before,
            "{what}"
        );

        talk.authorization.clone_from(&compatible);
        let counted = count(&mut metrics, &reader, forgiven.tolerance);
        let answer = talk.json(method, &target, body.as_ref(), status);
        let found = answer.pointer(forgiven.pointer).cloned();
        assert_eq!(
            found.unwrap_or(Value::Null),
            forgiven.wanted,
            "{what}: {answer}"
        );
        let now = count(&mut metrics, &reader, forgiven.tolerance);
        assert_eq!(now, counted + 1, "{what}: the counter");
        let target = format!("/Users/{}", existing["id"].as_str().expect("an id"));
        talk.json("DELETE", &target, None, 204);
    }
    dropped(&mut talk, &mut metrics, [&compatible, &strict, &reader]);
    seen.insert(Tolerance::HollowValue.name());
    let all: BTreeSet<&str> = Tolerance::ALL.into_iter().map(Tolerance::name).collect();
    assert_eq!(seen, all, "a tolerance has no test");
}
