//! Requests for each tolerance, sent in both modes; a new tolerance gets its row here. The modules
//! `okta` and `entra` of `golinks_scim::idp` explain most short names of sources.

use std::collections::BTreeSet;

use golinks_scim::idp::client::Client;
use golinks_scim::scim::Tolerance;
use serde_json::{Value, json};

use super::{ENTERPRISE, PATCH_OP, at_the_root, count, token, user};
use crate::support::{CORE, Talk, scim_error};

/// One thing that is forgiven: a request, most of them about a user with two emails and a manager,
/// and what the answer must hold at `pointer`.
struct Forgiven {
    tolerance: Tolerance,
    /// Who sends it, and where that is documented.
    source: &'static str,
    request: Sent,
    pointer: &'static str,
    wanted: Value,
    /// The `scimType` with which strict mode refuses it.
    scim_type: &'static str,
}

enum Sent {
    /// A create with these members.
    Create(Value),
    /// A create without `schemas`.
    Bare,
    /// A patch with this operation.
    Patch(Value),
    /// A patch without operations.
    NoOperation,
    /// A query.
    Query(&'static str),
    /// A query that is POSTed with these members.
    Search(Value),
}

use Sent::{Bare, Create, NoOperation, Patch, Query, Search};

fn row(
    tolerance: Tolerance,
    source: &'static str,
    request: Sent,
    (pointer, wanted): (&'static str, Value),
    scim_type: &'static str,
) -> Forgiven {
    Forgiven {
        tolerance,
        source,
        request,
        pointer,
        wanted,
        scim_type,
    }
}

fn bodies() -> Vec<Forgiven> {
    use Tolerance::{
        BooleanAsText, EmptyText, MissingSchemas, PathAsMember, PlainValueForComplex, ScalarAsText,
        SeveralPrimaries, SingleValueForList, UnknownAttribute, UnknownSchema,
    };
    vec![
        row(
            BooleanAsText,
            "Entra: ENTRAC, \"False\" with a capital",
            Create(json!({"active": "False"})),
            ("/active", json!(false)),
            "invalidValue",
        ),
        row(
            ScalarAsText,
            "Okta: FAQ, values are not validated before they are pushed",
            Create(json!({"title": 7})),
            ("/title", json!("7")),
            "invalidValue",
        ),
        row(
            UnknownAttribute,
            "Okta: REF, members that a mapping adds; MSREF, misspelt ones",
            Create(json!({"shoeSize": 44})),
            ("/shoeSize", Value::Null),
            "invalidSyntax",
        ),
        row(
            UnknownSchema,
            "Entra: a schema of Microsoft's own",
            Create(
                json!({"http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User": {"x": 1}}),
            ),
            ("/schemas", json!([CORE])),
            "invalidSyntax",
        ),
        row(
            MissingSchemas,
            "Entra: MSREF, bodies without schemas",
            Bare,
            ("/schemas", json!([CORE])),
            "invalidSyntax",
        ),
        row(
            SingleValueForList,
            "OneLogin: emails as an object",
            Create(json!({"emails": {"value": "one@x"}})),
            ("/emails", json!([{"value": "one@x"}])),
            "invalidValue",
        ),
        row(
            PlainValueForComplex,
            "Entra: manager as a bare id",
            Create(json!({ENTERPRISE: {"manager": "m-1"}})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager",
                json!({"value": "m-1"}),
            ),
            "invalidValue",
        ),
        row(
            SeveralPrimaries,
            "Entra: ENTRAV, random values of the validator",
            Create(
                json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
            ),
            ("/emails/1/primary", json!(false)),
            "invalidValue",
        ),
        row(
            PathAsMember,
            "Entra: ENTRAC, flat dotted keys with aadOptscim062020",
            Create(json!({"name.givenName": "G2"})),
            ("/name/givenName", json!("G2")),
            "invalidSyntax",
        ),
        row(
            EmptyText,
            "Okta: PLAN C9337, push of empty values",
            Create(json!({"nickName": "", "name": {"middleName": ""}})),
            ("/nickName", Value::Null),
            "invalidValue",
        ),
    ]
}

fn lists() -> Vec<Forgiven> {
    use Tolerance::ListForSingleValue;
    vec![
        row(
            ListForSingleValue,
            "Entra: manager as a list",
            Create(json!({ENTERPRISE: {"manager": [{"$ref": "r", "value": "m-1"}]}})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager",
                json!({"value": "m-1", "$ref": "r"}),
            ),
            "invalidValue",
        ),
        row(
            ListForSingleValue,
            "Entra: ENTRA, [{\"$ref\":null,\"value\":\"x\"}] for any attribute",
            Create(json!({"title": [{"$ref": null, "value": "x"}], "active": ["False"]})),
            ("/title", json!("x")),
            "invalidValue",
        ),
    ]
}

fn malformed() -> Vec<Forgiven> {
    let sent = [
        ("/x509Certificates", json!([{"value": "not base64!"}])),
        ("/profileUrl", json!("see the wiki")),
    ];
    let rows = sent.into_iter().map(|(pointer, value)| {
        row(
            Tolerance::MalformedText,
            "Okta: FAQ, values are not validated before they are pushed",
            Create(json!({ &pointer[1..]: value })),
            (pointer, value),
            "invalidValue",
        )
    });
    rows.collect()
}

fn patches() -> Vec<Forgiven> {
    use Tolerance::{
        EmptyOperations, EmptyText, OperationCase, OperationWithoutPath, PathAsMember,
        RemoveSelectsNothing, RemoveWithValue, UnknownAttribute, UnknownSchema, UnquotedText,
        ValuePathCreates,
    };
    vec![
        row(
            OperationCase,
            "Entra: ENTRAC, Add, Replace, Remove",
            Patch(json!({"op": "Replace", "path": "title", "value": "T"})),
            ("/title", json!("T")),
            "invalidSyntax",
        ),
        // DIFFERENCE(path-less-in-strict): RFC 7644 allows it; the interoperability profile that
        // strict mode follows does not.
        row(
            OperationWithoutPath,
            "Okta: REF, deactivation by an OIN app",
            Patch(json!({"op": "replace", "value": {"active": false}})),
            ("/active", json!(false)),
            "invalidSyntax",
        ),
        // DIFFERENCE(empty-operations): RFC 7644 section 3.5.2 demands one or more.
        row(
            EmptyOperations,
            "Microsoft's SCIM Validator: AzureAD/SCIMReferenceCode issue 112",
            NoOperation,
            ("/meta/version", json!("W/\"1\"")),
            "invalidSyntax",
        ),
        row(
            UnknownAttribute,
            "Entra: ENTRA, a mapping onto an attribute that no schema has",
            Patch(json!({"op": "add", "path": "name.nosuch", "value": "x"})),
            ("/name", json!({"givenName": "G"})),
            "invalidPath",
        ),
        row(
            UnknownSchema,
            "a schema that is to be added",
            Patch(json!({"op": "replace", "path": "schemas", "value": [CORE, "urn:x"]})),
            ("/schemas", json!([CORE, ENTERPRISE])),
            "invalidSyntax",
        ),
        row(
            PathAsMember,
            "Entra: ENTRAC, flat dotted keys with aadOptscim062020",
            Patch(json!({"op": "replace", "value": {"name.givenName": "G2"}})),
            ("/name/givenName", json!("G2")),
            "invalidSyntax",
        ),
        row(
            PathAsMember,
            "Entra: ENTRAC, URN-qualified keys with aadOptscim062020",
            Patch(json!({"op": "replace", "value": {
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "D"}})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
                json!("D"),
            ),
            "invalidSyntax",
        ),
        row(
            ValuePathCreates,
            "Entra: erratum 8097 and SCIM-SDK issue 416",
            Patch(json!({"op": "add", "path": "emails[type eq \"other\"].value", "value": "o@x"})),
            ("/emails/2", json!({"value": "o@x", "type": "other"})),
            "noTarget",
        ),
        row(
            RemoveWithValue,
            "Entra: section 3.2 of its reference, value arrays in remove",
            Patch(json!({"op": "remove", "path": "emails", "value": [{"value": "h@x"}]})),
            ("/emails/1", Value::Null),
            "invalidSyntax",
        ),
        row(
            RemoveSelectsNothing,
            "Entra: a removal repeated after a cycle that broke off",
            Patch(json!({"op": "remove", "path": "emails[type eq \"other\"]"})),
            ("/emails/1/value", json!("h@x")),
            "noTarget",
        ),
        row(
            EmptyText,
            "Entra: ory/polis tests, Replace with an empty text clears the manager",
            Patch(json!({"op": "replace",
                "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": ""})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                Value::Null,
            ),
            "invalidValue",
        ),
        row(
            UnquotedText,
            "Entra: ENTRA, externalId eq jyoung; MSREF",
            Query("filter=externalId%20eq%20jyoung"),
            ("/Resources/0/externalId", json!("jyoung")),
            "invalidFilter",
        ),
    ]
}

fn extensions() -> Vec<Forgiven> {
    use Tolerance::{DotAfterUrn, ExtensionWithoutUrn, ReadOnlyPart};
    vec![
        row(
            DotAfterUrn,
            "ConnId: SCIMAttributeUtils of ConnIdSCIMBundle, names of the enterprise extension",
            Patch(json!({"op": "replace", "value": "D",
                "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department"})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
                json!("D"),
            ),
            "invalidPath",
        ),
        row(
            DotAfterUrn,
            "ConnId: the same of a part",
            Patch(json!({"op": "replace", "value": "m-2",
                "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value"})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value",
                json!("m-2"),
            ),
            "invalidPath",
        ),
        row(
            DotAfterUrn,
            "whoever writes one schema so writes the other so: nobody must stay active",
            Patch(json!({"op": "replace", "value": false,
                "path": "urn:ietf:params:scim:schemas:core:2.0:User.active"})),
            ("/active", json!(false)),
            "invalidPath",
        ),
        row(
            DotAfterUrn,
            "whoever writes paths so writes members so",
            Create(json!({"urn:ietf:params:scim:schemas:core:2.0:User.active": false})),
            ("/active", json!(false)),
            "invalidSyntax",
        ),
        row(
            DotAfterUrn,
            "whoever writes paths so writes filters so",
            Query(
                "filter=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager%20eq%20%22boss%22",
            ),
            ("/totalResults", json!(1)),
            "invalidFilter",
        ),
        row(
            DotAfterUrn,
            "whoever writes paths so writes sortBy so",
            Query(
                "sortBy=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value&count=1&filter=userName%20sw%20%22user%22",
            ),
            (
                "/Resources/0/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value",
                json!("boss"),
            ),
            "invalidValue",
        ),
        row(
            ExtensionWithoutUrn,
            "Entra: ENTRA, Add and Replace on the path manager",
            Patch(json!({"op": "add", "path": "manager", "value": {"value": "m-2"}})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value",
                json!("m-2"),
            ),
            "invalidPath",
        ),
        row(
            ExtensionWithoutUrn,
            "Entra: ENTRA, id eq and manager eq with attributes=id",
            Query("filter=manager%20eq%20%22boss%22"),
            ("/totalResults", json!(1)),
            "invalidFilter",
        ),
        row(
            ExtensionWithoutUrn,
            "whoever filters on manager sorts by it too",
            Query("sortBy=manager&count=1&filter=userName%20sw%20%22user%22"),
            (
                "/Resources/0/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value",
                json!("boss"),
            ),
            "invalidValue",
        ),
        row(
            ReadOnlyPart,
            "a mapping onto the manager's name, which no provider checks before it pushes",
            Patch(json!({"op": "replace", "value": "B",
                "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName"})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager",
                json!({"value": "boss"}),
            ),
            "mutability",
        ),
    ]
}

fn searches() -> Vec<Forgiven> {
    use Tolerance::{NumberAsText, SingleValueForList};
    vec![
        row(
            NumberAsText,
            "SCIM-SDK: ListBuilder.java, whose parameters are texts also when it POSTs them",
            Search(json!({"startIndex": "1"})),
            ("/startIndex", json!(1)),
            "invalidValue",
        ),
        row(
            NumberAsText,
            "SCIM-SDK: the same",
            Search(json!({"count": "0"})),
            ("/itemsPerPage", json!(0)),
            "invalidValue",
        ),
        row(
            SingleValueForList,
            "SCIM-SDK: ListBuilder.java joins the names with commas",
            Search(
                json!({"attributes": "name.givenName,emails.type", "filter": "userName sw \"user\""}),
            ),
            (
                "/Resources/0/emails",
                json!([{"type": "work"}, {"type": "home"}]),
            ),
            "invalidValue",
        ),
        row(
            SingleValueForList,
            "SCIM-SDK: the same",
            Search(json!({"excludedAttributes": "emails, name", "filter": "userName sw \"user\""})),
            ("/Resources/0/emails", Value::Null),
            "invalidValue",
        ),
    ]
}

fn request(
    sent: &Sent,
    number: usize,
    existing: &Value,
) -> (&'static str, String, Option<Value>, u16) {
    let one = format!("/Users/{}", existing["id"].as_str().expect("an id"));
    match sent {
        Create(members) => {
            let mut body = json!({"schemas": [CORE], "userName": format!("new{number}")});
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
    // A patch of something else leaves it alone.
    let same = talk.json("PATCH", &target, Some(&clear("title")), 200);
    assert_eq!(same["emails"], sent["emails"]);
    sent["emails"] = json!([{"type": "work"}, {"value": "h@x"}]);
    let put = talk.json("PUT", &target, Some(&sent), 200);
    assert_eq!(put["emails"], json!([{"value": "h@x"}]));
    let cleared = talk.json("PATCH", &target, Some(&clear("emails.value")), 200);
    assert!(cleared.get("emails").is_none(), "{cleared}");
    // The last patch left no element that could be hollow: only the PUT counts.
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
    let mut metrics = at_the_root(&talk.server);

    let mut seen = BTreeSet::new();
    let all = [
        bodies(),
        lists(),
        malformed(),
        patches(),
        extensions(),
        searches(),
    ];
    let all = all.into_iter().flatten();
    for (number, forgiven) in all.enumerate() {
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
