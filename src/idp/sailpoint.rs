//! What SailPoint's SCIM 2.0 connector sends: it reads everything that the service provider says
//! about itself, including the configuration under the plural name, then aggregates accounts page
//! by page, creates and modifies.
//!
//! Sources in the steps: `SAILPOINT` is its documentation of the connector. It calls a server
//! *Compliant* if discovery works; the answers are those of RFC 7643 and 7644. It also requests the
//! resource type of groups, which does not exist without groups.

use serde_json::{Value, json};

use super::check::{Check, ENTERPRISE_SCHEMA, USER_SCHEMA};
use super::common_checks::{
    DEPARTMENT, conflict, created, list, one_match_in_state, patch, provider_config, user,
    user_in_state,
};
use super::person::Person;
use super::step::{Headers, Step, Suite, USER};

/// Discovery, an aggregation, and the life of an account.
pub fn sailpoint(person: &Person) -> Suite {
    let mut steps = discover().to_vec();
    steps.extend(create());
    steps.extend(aggregate());
    steps.extend(modify());
    Suite::new("SAILPOINT", person, steps).headers(Headers::Plain)
}

/// What the connector builds its account schema from. Both configurations are the same.
fn discover() -> [Step; 6] {
    let user_type = json!({"name": "User", "endpoint": "/Users", "schema": USER_SCHEMA});
    [
        Step::get(
            "read the configurations",
            "SAILPOINT",
            "/ServiceProviderConfigs",
        )
        .checks(provider_config()),
        Step::get(
            "read the configuration",
            "SAILPOINT",
            "/ServiceProviderConfig",
        )
        .checks(provider_config()),
        Step::get("read the resource types", "SAILPOINT", "/ResourceTypes").checks(list([
            Check::HasItem("Resources", user_type),
            Check::Contains("Resources[0].schemas", RESOURCE_TYPE_SCHEMA),
        ])),
        Step::get("read the type of users", "SAILPOINT", "/ResourceTypes/User").checks([
            Check::Status(200),
            Check::MediaType("application/scim+json"),
            Check::Contains("schemas", RESOURCE_TYPE_SCHEMA),
            Check::equals("name", "User"),
            Check::equals("endpoint", "/Users"),
            Check::equals("schema", USER_SCHEMA),
            Check::HasItem("schemaExtensions", json!({"schema": ENTERPRISE_SCHEMA})),
        ]),
        Step::get("read the schemas", "SAILPOINT", "/Schemas").checks(list([
            Check::HasItem("Resources", json!({"id": USER_SCHEMA})),
            Check::HasItem("Resources", json!({"id": ENTERPRISE_SCHEMA})),
            Check::NotEmpty("Resources[0].name"),
            Check::NotEmpty("Resources[0].attributes"),
            Check::NotEmpty("Resources[1].attributes"),
        ])),
        read_user_schema(),
    ]
}

/// The characteristics that a client relies on (RFC 7643 section 8.7.1).
fn read_user_schema() -> Step {
    Step::get(
        "read the schema of users",
        "RFC 7644 4",
        "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
    )
    .checks([
        Check::Status(200),
        Check::MediaType("application/scim+json"),
        Check::equals("id", USER_SCHEMA),
        Check::HasItem(
            "attributes",
            json!({
                "name": "userName", "type": "string", "multiValued": false, "required": true,
                "caseExact": false, "mutability": "readWrite", "returned": "default",
                "uniqueness": "server",
            }),
        ),
        Check::HasItem(
            "attributes",
            json!({"name": "active", "type": "boolean", "multiValued": false}),
        ),
        Check::HasItem(
            "attributes",
            json!({"name": "emails", "type": "complex", "multiValued": true}),
        ),
        Check::HasItem(
            "attributes",
            json!({"name": "name", "type": "complex", "multiValued": false}),
        ),
        Check::HasItem(
            "attributes",
            json!({"name": "groups", "mutability": "readOnly"}),
        ),
    ])
}

fn create() -> [Step; 2] {
    [
        Step::post("create", "SAILPOINT", "/Users", new_user())
            .checks(created([
                Check::equals("userName", "{userName}"),
                Check::equals("name.givenName", "{givenName}"),
                Check::equals("name.familyName", "{familyName}"),
                Check::equals("emails[0].value", "{userName}"),
                Check::equals("active", true),
                Check::equals(DEPARTMENT, "Sales"),
            ]))
            .saves("id", "id"),
        Step::post("create again", "RFC 7644 3.3", "/Users", new_user()).checks(conflict()),
    ]
}

fn new_user() -> Value {
    json!({
        "schemas": [USER_SCHEMA, ENTERPRISE_SCHEMA],
        "userName": "{userName}",
        "name": {"givenName": "{givenName}", "familyName": "{familyName}"},
        "displayName": "{givenName} {familyName}",
        "emails": [{"type": "work", "value": "{userName}", "primary": true}],
        "password": "{password}",
        "active": true,
        ENTERPRISE_SCHEMA: {"department": "Sales"},
    })
}

/// All accounts, the page after the last one, and one account again.
fn aggregate() -> [Step; 3] {
    [
        Step::get("aggregate", "SAILPOINT", "/Users?startIndex=1&count=100").checks(list([
            Check::equals("startIndex", 1),
            Check::NotEmpty("Resources[0].id"),
            Check::NotEmpty("Resources[0].userName"),
            Check::Absent("Resources[0].password"),
        ])),
        Step::get(
            "aggregate past the end",
            "RFC 7644 3.4.2.4",
            "/Users?startIndex=1000000001&count=100",
        )
        .checks(list([
            Check::equals("itemsPerPage", 0),
            Check::equals("Resources", json!([])),
        ])),
        Step::get(
            "look for the name",
            "SAILPOINT",
            "/Users?filter=userName%20eq%20%22{userName}%22&startIndex=1&count=100",
        )
        .checks(one_match_in_state(true)),
    ]
}

/// Attributes replaced, added and removed in one request; then the account is disabled and enabled.
fn modify() -> [Step; 4] {
    let set = |name, is_active: bool| {
        let operation = json!([{"op": "replace", "path": "active", "value": is_active}]);
        Step::patch(name, "SAILPOINT", patch(&operation)).checks(user_in_state(is_active))
    };
    let operations = json!([
        {"op": "replace", "path": "name.givenName", "value": "{newGivenName}"},
        {"op": "add", "path": "title", "value": "Engineer"},
        {
            "op": "add", "path": "emails",
            "value": [{"type": "home", "value": "home.{userName}"}],
        },
        {"op": "remove", "path": format!("{ENTERPRISE_SCHEMA}:department")},
    ]);
    let modified = || {
        user([
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("title", "Engineer"),
            Check::HasItem("emails", json!({"value": "{userName}", "primary": true})),
            Check::HasItem(
                "emails",
                json!({"type": "home", "value": "home.{userName}"}),
            ),
            Check::Absent("emails[2]"),
            Check::Unassigned(DEPARTMENT),
        ])
    };
    [
        Step::patch("modify", "SAILPOINT", patch(&operations)).checks(modified()),
        Step::get("refresh the account", "SAILPOINT", USER).checks(modified()),
        set("disable", false),
        set("enable", true),
    ]
}

const RESOURCE_TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
