//! Requests for each tolerance (`modes` sends them); a new tolerance gets its row here. The modules
//! `okta` and `entra` of `golinks_scim::idp` explain most short names of sources.

use golinks_scim::scim::Tolerance;
use serde_json::{Value, json};

use super::ENTERPRISE;
use crate::support::CORE;

/// One tolerated request, in most cases about a user with two emails and a manager, and the value
/// that the answer must have at `pointer`.
pub(super) struct Forgiven {
    pub(super) tolerance: Tolerance,
    /// Who sends it, and where that is documented.
    pub(super) source: &'static str,
    pub(super) request: Sent,
    pub(super) pointer: &'static str,
    pub(super) wanted: Value,
    /// The `scimType` with which strict mode refuses it.
    pub(super) scim_type: &'static str,
}

pub(super) enum Sent {
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

/// All rows.
pub(super) fn all() -> impl Iterator<Item = Forgiven> {
    [
        bodies(),
        earlier(),
        lists(),
        malformed(),
        patches(),
        extensions(),
        searches(),
    ]
    .into_iter()
    .flatten()
}

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
        BooleanAsText, EmptyText, ExtensionWithoutUrn, MissingSchemas, PathAsMember,
        PlainValueForComplex, ScalarAsText, SeveralPrimaries, SingleValueForList, UnknownAttribute,
        UnknownSchema,
    };
    vec![
        row(
            ExtensionWithoutUrn,
            "whoever patches the path manager creates with such members: nothing must be lost",
            Create(json!({"department": "D"})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
                json!("D"),
            ),
            "invalidSyntax",
        ),
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

/// The templates in which OneLogin's documentation defines a user.
fn earlier() -> Vec<Forgiven> {
    const CORE_1: &str = "urn:scim:schemas:core:1.0";
    const ENTERPRISE_1: &str = "urn:scim:schemas:extension:enterprise:1.0";
    let extension = json!({"department": "D", "manager": {"managerId": "m-1", "displayName": "B"}});
    vec![
        row(
            Tolerance::EarlierSchema,
            "OneLogin: https://developers.onelogin.com/scim/define-user-schema, core",
            Create(json!({"schemas": [CORE_1]})),
            ("/schemas", json!([CORE])),
            "invalidSyntax",
        ),
        row(
            Tolerance::EarlierSchema,
            "OneLogin: the same page, enterprise",
            Create(json!({"schemas": [CORE_1, ENTERPRISE_1], ENTERPRISE_1: extension})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                json!({"department": "D", "manager": {"value": "m-1"}}),
            ),
            "invalidSyntax",
        ),
        row(
            Tolerance::EarlierSchema,
            "a path of the same templates",
            Patch(
                json!({"op": "replace", "path": format!("{CORE_1}:name.givenName"),
                "value": "H"}),
            ),
            ("/name/givenName", json!("H")),
            "invalidPath",
        ),
        row(
            Tolerance::EarlierSchema,
            "the same, enterprise",
            Patch(json!({"op": "add", "path": ENTERPRISE_1, "value": extension})),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                json!({"department": "D", "manager": {"value": "m-1"}}),
            ),
            "invalidPath",
        ),
        row(
            Tolerance::EarlierSchema,
            "a filter of the same templates",
            Query("filter=urn:scim:schemas:core:1.0:userName+eq+%22nobody%22"),
            ("/totalResults", json!(0)),
            "invalidFilter",
        ),
        row(
            Tolerance::EarlierSchema,
            "an order by the same templates",
            Query("sortBy=urn:scim:schemas:extension:enterprise:1.0:manager.managerId"),
            ("/startIndex", json!(1)),
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
            Search(json!({"startIndex": "2"})),
            ("/startIndex", json!(2)),
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
