//! RFC 7644 sections 3.4 and 3.9, clause by clause, against the real binary. `DIFFERENCE` marks a
//! deviation.
//!
//! - `filters`: what filters find, how they compare, and errors in them.
//! - `parameters`: the other parameters: sorting, projection, search; queries that are POSTed or
//!   contradict themselves.

mod filters;
mod parameters;

use serde_json::{Value, json};

use crate::support::{CORE, Talk};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Three people who differ in what the filters and parameters of these tests ask about.
fn directory() -> Talk {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for user in [
        json!({
            "schemas": [CORE, ENTERPRISE], "userName": "Bjensen", "externalId": "Ext-1",
            "name": {"familyName": "O'Malley", "givenName": "Barbara"}, "title": "Guide",
            "userType": "Employee", "active": true, "displayName": "Ångström",
            "emails": [{"value": "Bjensen@Example.com", "type": "work", "primary": true},
                       {"value": "babs@example.org", "type": "home"}],
            "ims": [{"type": "xmpp", "value": "babs@foo.com"}],
            ENTERPRISE: {"department": "Tours", "employeeNumber": "7",
                         "manager": {"value": "boss-1"}}
        }),
        json!({
            "schemas": [CORE], "userName": "carl@example.com", "externalId": "ext-1",
            "name": {"familyName": "Zett"}, "userType": "Intern", "active": false,
            "emails": [{"value": "carl@example.com", "type": "home"}]
        }),
        json!({
            "schemas": [CORE], "userName": "dora", "title": "guide", "active": true,
            "emails": [{"value": "bjensen@example.com", "type": "other"}]
        }),
    ] {
        talk.json("POST", "/Users", Some(&user), 201);
    }
    talk
}

fn names(page: &Value) -> Vec<String> {
    let users = page["Resources"].as_array().expect("Resources");
    let name = |user: &Value| user["userName"].as_str().unwrap_or("?").to_owned();
    users.iter().map(name).collect()
}
