//! RFC 7643, clause by clause, against the real binary: the User resource, and how the service
//! provider describes it. `DIFFERENCE` marks a deviation; the manual's page on the protocol lists
//! them all.

use golinks_scim::scim::schema::{self, Kind, Returned};
use serde_json::{Value, json};

use crate::support::{CORE, Talk, body};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A user with every attribute of sections 4.1 and 4.3 that clients may set and read.
fn complete() -> Value {
    json!({
        "schemas": [CORE, ENTERPRISE],
        "externalId": "701984",
        "userName": "Bjensen@example.com",
        "name": {
            "formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen",
            "givenName": "Barbara", "middleName": "Jane",
            "honorificPrefix": "Ms.", "honorificSuffix": "III"
        },
        "displayName": "Babs Jensen",
        "nickName": "Babs",
        "profileUrl": "https://login.example.com/bjensen",
        "title": "Tour Guide",
        "userType": "Employee",
        "preferredLanguage": "en-US",
        "locale": "en-US",
        "timezone": "America/Los_Angeles",
        "active": true,
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": true},
            {"value": "babs@jensen.example", "display": "Home", "type": "home"}
        ],
        "phoneNumbers": [
            {"value": "tel:+1-201-555-0123", "type": "work"},
            {"value": "555-555-8377", "type": "mobile"}
        ],
        "ims": [{"value": "someaimhandle", "type": "aim"}],
        "photos": [{"value": "https://photos.example.com/profilephoto/F", "type": "photo"}],
        "addresses": [{
            "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA",
            "streetAddress": "100 Universal City Plaza", "locality": "Hollywood",
            "region": "CA", "postalCode": "91608", "country": "US",
            "type": "work", "primary": true
        }],
        "entitlements": [{"value": "links", "display": "Links"}],
        "roles": [{"value": "admin", "primary": true}],
        "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjEL"}],
        ENTERPRISE: {
            "employeeNumber": "701984", "costCenter": "4130", "organization": "Universal",
            "division": "Theme Park", "department": "Tour Operations",
            "manager": {"value": "26118915-6090-4610-87e4-49d8ca9f808d",
                        "$ref": "../Users/26118915-6090-4610-87e4-49d8ca9f808d"}
        }
    })
}

#[test]
fn section_4_every_attribute_is_kept_as_it_was_sent() {
    let mut talk = Talk::start(&[]);
    let sent = complete();
    let created = talk.json("POST", "/Users", Some(&sent), 201);
    let target = format!("/Users/{}", created["id"].as_str().expect("an id"));
    let shown = talk.json("GET", &target, None, 200);
    assert_eq!(shown, created);
    for (name, value) in sent.as_object().expect("members") {
        assert_eq!(shown[name], *value, "{name}");
    }
    // Section 3: the service provider adds its own attributes and no others.
    let names: Vec<&String> = shown.as_object().expect("a user").keys().collect();
    let added: Vec<&&String> = names
        .iter()
        .filter(|name| sent.get(name.as_str()).is_none())
        .collect();
    assert_eq!(added, [&"id", &"meta"]);
}

#[test]
fn section_2_1_names_of_attributes_and_schemas_are_read_in_any_case() {
    let mut talk = Talk::start(&[]);
    let sent = json!({
        "SCHEMAS": [CORE.to_uppercase()], "USERNAME": "a", "NAME": {"GIVENNAME": "A"},
        ENTERPRISE.to_uppercase(): {"DEPARTMENT": "D"}
    });
    let user = talk.json("POST", "/Users", Some(&sent), 201);
    assert_eq!(user["userName"], "a");
    assert_eq!(user["name"]["givenName"], "A");
    assert_eq!(user[ENTERPRISE]["department"], "D");
    assert_eq!(user["schemas"], json!([CORE, ENTERPRISE]));
}

#[test]
fn section_2_5_null_and_empty_lists_are_unassigned() {
    let mut talk = Talk::start(&[]);
    let mut sent = body("u");
    for (name, value) in [
        ("title", json!(null)),
        ("emails", json!([])),
        ("addresses", json!(null)),
        ("name", json!({"givenName": null, "familyName": "F"})),
        // DIFFERENCE(empty-text): an empty text too, which is a value in RFC 7643.
        ("nickName", json!("")),
    ] {
        sent[name] = value;
    }
    let user = talk.json("POST", "/Users", Some(&sent), 201);
    let names: Vec<&String> = user.as_object().expect("a user").keys().collect();
    assert_eq!(
        names,
        ["schemas", "id", "userName", "name", "active", "meta"]
    );
    assert_eq!(user["name"], json!({"familyName": "F"}));
}

#[test]
fn section_3_1_common_attributes_are_the_service_providers() {
    let mut talk = Talk::start(&["--base-url", "https://scim.example.com"]);
    let mut sent = body("u");
    sent["id"] = json!("mine");
    sent["meta"] =
        json!({"resourceType": "Group", "version": "W/\"9\"", "created": "2001-01-01T00:00:00Z"});
    let user = talk.json("POST", "/Users", Some(&sent), 201);
    let id = user["id"].as_str().expect("an id");
    assert_eq!((id.len(), id.contains("bulkId")), (36, false));
    let meta = &user["meta"];
    assert_eq!(meta["resourceType"], "User");
    assert_eq!(meta["version"], "W/\"1\"");
    assert_eq!(
        meta["location"],
        format!("https://scim.example.com/scim/v2/Users/{id}")
    );
    assert_eq!(meta["created"], meta["lastModified"]);
    assert_ne!(meta["created"], "2001-01-01T00:00:00Z");
    // The id is case-sensitive, and has one form.
    for other in [id.to_uppercase(), id.replace('-', "0")] {
        // By chance the id may have no letter.
        if other != id {
            talk.json("GET", &format!("/Users/{other}"), None, 404);
        }
    }
}

#[test]
fn section_7_the_password_is_taken_and_never_shown() {
    let mut talk = Talk::start(&[]);
    let mut sent = body("u");
    sent["password"] = json!("t1meMa$heen");
    let user = talk.json(
        "POST",
        "/Users?attributes=password,userName",
        Some(&sent),
        201,
    );
    assert!(user.get("password").is_none(), "{user}");
    let target = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let shown = talk.json("GET", &format!("{target}?attributes=password"), None, 200);
    assert!(shown.get("password").is_none(), "{shown}");
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "password", "value": "other"}]
    });
    let patched = talk.json("PATCH", &target, Some(&patch), 200);
    assert!(patched.get("password").is_none(), "{patched}");
    // The patch changed nothing, since no password is kept.
    assert_eq!(patched["meta"]["version"], "W/\"1\"");
}

/// One table defines what `/Schemas` shows, filters accept and bodies may contain. This test checks
/// from outside that they agree.
#[test]
fn section_7_schemas_say_what_filters_and_bodies_take() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    talk.json("POST", "/Users", Some(&complete()), 201);
    let schemas = talk.json("GET", "/Schemas", None, 200);
    let mut seen = 0;
    for schema in schemas["Resources"].as_array().expect("schemas") {
        let urn = schema["id"].as_str().expect("a URN");
        for attribute in schema["attributes"].as_array().expect("attributes") {
            let name = attribute["name"].as_str().expect("a name");
            let filter = format!("{urn}:{name} pr").replace(' ', "%20");
            let hidden = attribute["returned"] == "never";
            let status = if hidden { 403 } else { 200 };
            let found = talk.json("GET", &format!("/Users?filter={filter}"), None, status);
            // The complete user has every attribute that is shown, except `groups`.
            let has_it = usize::from(name != "groups");
            if !hidden {
                assert_eq!(found["totalResults"], has_it, "{name} in `complete`");
            }
            seen += 1;
        }
    }
    let table: usize = schema::SCHEMAS
        .iter()
        .map(|schema| schema.attributes.len())
        .sum();
    assert_eq!(seen, table);
    let user_type = talk.json("GET", "/ResourceTypes/User", None, 200);
    let extensions = user_type["schemaExtensions"].as_array().expect("a list");
    let mut of_users = vec![&user_type["schema"]];
    of_users.extend(extensions.iter().map(|extension| &extension["schema"]));
    let shown = schemas["Resources"].as_array().expect("schemas");
    let shown: Vec<&Value> = shown.iter().map(|schema| &schema["id"]).collect();
    assert_eq!(of_users, shown, "/ResourceTypes/User and /Schemas");
    // RFC 7643 section 8.7.1.
    let ims = schema::USER.attribute("ims").expect("ims").to_json();
    let of_ims = json!(["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]);
    assert_eq!(ims["subAttributes"][2]["canonicalValues"], of_ims, "{ims}");
    let groups = schema::USER.attribute("groups").expect("groups").to_json();
    let of_groups = &groups["subAttributes"][1]["referenceTypes"];
    assert_eq!(*of_groups, json!(["User", "Group"]), "{groups}");
}

#[test]
fn section_2_2_every_simple_attribute_can_be_sorted_by() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    talk.json("POST", "/Users", Some(&complete()), 201);
    for attribute in schema::USER.attributes {
        if attribute.returned == Returned::Never {
            continue;
        }
        let has_value =
            attribute.kind != Kind::Complex || attribute.sub_attribute("value").is_some();
        let status = if has_value { 200 } else { 400 };
        let target = format!("/Users?sortBy={}", attribute.name);
        talk.json("GET", &target, None, status);
        for sub in attribute.sub_attributes {
            talk.json("GET", &format!("{target}.{}", sub.name), None, 200);
        }
    }
}

#[test]
fn section_5_the_configuration_says_what_is_supported() {
    let mut talk = Talk::start(&[]);
    let config = talk.json("GET", "/ServiceProviderConfig", None, 200);
    for feature in ["patch", "bulk", "filter", "sort", "etag"] {
        assert_eq!(config[feature]["supported"], true, "{feature}");
    }
    assert_eq!(config["changePassword"]["supported"], false);
    assert_eq!(config["bulk"]["maxOperations"], 1000);
    assert_eq!(config["bulk"]["maxPayloadSize"], 1024 * 1024);
    assert_eq!(config["filter"]["maxResults"], 500);
    assert_eq!(
        config["pagination"],
        json!({"cursor": true, "index": true, "defaultPaginationMethod": "index",
               "defaultPageSize": 100, "maxPageSize": 500, "cursorTimeout": 3600})
    );
}
