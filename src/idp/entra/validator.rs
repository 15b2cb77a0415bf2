//! The user tests of the SCIM Validator. It fills every attribute of the schema with random values,
//! such as locales and time zones that do not exist, writes `primary` as a text, and removes
//! attributes at random. Its known limit: it never deactivates a user.

use serde_json::{Value, json};

use super::super::common_checks::{
    DEPARTMENT, EMPLOYEE_NUMBER, MANAGER, conflict, no_match, one_match,
};
use super::{Check, ENTERPRISE_SCHEMA, Person, QUERY_BY_GUID, QUERY_BY_NAME, Step, Suite};
use super::{USER_SCHEMA, create_manager, created, delete, delete_manager, deleted, error, modify};
use super::{suite, user};

/// The validator's tests: create, duplicate, filters, PATCH of every kind, DELETE.
pub fn entra_validator(person: &Person) -> Suite {
    let mut steps = vec![create_manager()];
    steps.extend(add_and_remove());
    steps.extend(create());
    steps.extend(filter());
    steps.push(replace());
    steps.push(nothing());
    steps.extend(rename());
    steps.extend(set_manager());
    steps.extend(delete("ENTRAV"));
    steps.push(delete_manager());
    suite("ENTRA VALIDATOR", person, steps)
}

/// A user with only a userName gets attributes and loses them again.
fn add_and_remove() -> [Step; 5] {
    let bare = json!({
        "schemas": [USER_SCHEMA],
        "userName": "bare.{userName}",
        "active": true,
        "emails": [],
        "meta": {"resourceType": "User"},
    });
    [
        Step::post("create a bare user", "ENTRAV", "/Users", bare)
            .checks(created([Check::Unassigned("emails")]))
            .saves("id", "id"),
        add(),
        remove(),
        modify(
            "remove the required name",
            "RFC 7644 3.5.2.2",
            &json!([{"op": "remove", "path": "userName"}]),
        )
        .checks(error(400))
        .checks([Check::equals("scimType", "mutability")]),
        Step::delete("delete the bare user", "ENTRAV").checks(deleted()),
    ]
}

/// Value paths into empty lists: each creates the element that it describes.
fn add() -> Step {
    modify(
        "add attributes",
        "ENTRAV",
        &json!([
            {"op": "add", "path": "emails[type eq \"work\"].value", "value": "bare.{userName}"},
            {"op": "add", "path": "emails[type eq \"work\"].primary", "value": "true"},
            {"op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "72-634-1548"},
            {"op": "add", "path": "addresses[type eq \"work\"].formatted", "value": "TMINZQAJQDCL"},
            {"op": "add", "path": "addresses[type eq \"work\"].country", "value": "Taiwan"},
            {"op": "add", "path": "roles[primary eq true].value", "value": "XEELVFMMWCVM"},
            {"op": "add", "value": {
                "displayName": "DPRLIJSFQMTL",
                "title": "NBZCOAXVYJUY",
                "name.givenName": "Kyler",
                format!("{ENTERPRISE_SCHEMA}:department"): "GMSBFLMNPABY",
            }},
        ]),
    )
    .checks(user([
        Check::HasItem(
            "emails",
            json!({"type": "work", "value": "bare.{userName}", "primary": true}),
        ),
        Check::Absent("emails[1]"),
        Check::HasItem(
            "phoneNumbers",
            json!({"type": "mobile", "value": "72-634-1548"}),
        ),
        Check::HasItem(
            "addresses",
            json!({"type": "work", "formatted": "TMINZQAJQDCL", "country": "Taiwan"}),
        ),
        Check::Absent("addresses[1]"),
        Check::HasItem("roles", json!({"primary": true, "value": "XEELVFMMWCVM"})),
        Check::equals("displayName", "DPRLIJSFQMTL"),
        Check::equals("title", "NBZCOAXVYJUY"),
        Check::equals("name.givenName", "Kyler"),
        Check::equals(DEPARTMENT, "GMSBFLMNPABY"),
    ]))
}

fn remove() -> Step {
    modify(
        "remove attributes",
        "ENTRAV",
        &json!([
            {"op": "remove", "path": "emails[type eq \"work\"].value"},
            {"op": "remove", "path": "phoneNumbers[type eq \"mobile\"]"},
            {"op": "remove", "path": "displayName"},
            {"op": "remove", "path": "title"},
            {"op": "remove", "path": "name.givenName"},
            {"op": "remove", "path": format!("{ENTERPRISE_SCHEMA}:department")},
        ]),
    )
    .checks(user([
        Check::Unassigned("emails[0].value"),
        Check::Unassigned("phoneNumbers"),
        Check::Unassigned("displayName"),
        Check::Unassigned("title"),
        Check::Unassigned("name.givenName"),
        Check::Unassigned(DEPARTMENT),
        Check::HasItem("roles", json!({"value": "XEELVFMMWCVM"})),
        Check::equals("userName", "bare.{userName}"),
    ]))
}

/// A user with every attribute, `primary` as a text and the manager as a bare id; creating it again
/// is refused.
fn create() -> [Step; 2] {
    [
        Step::post("create", "ENTRAV", "/Users", full_user())
            .checks(created([
                Check::equals("userName", "{userName}"),
                Check::equals("externalId", "{externalId}"),
                Check::equals("active", true),
                Check::equals("emails[0].value", "{userName}"),
                Check::equals("emails[0].primary", true),
                Check::equals("timezone", "America/Indiana/Petersburg"),
                Check::equals("locale", "PJNYJHWJILTI"),
                Check::equals("profileUrl", "HPSEOIPXMGOH"),
                Check::equals("photos[0].display", "KCONLNLSYTBP"),
                Check::equals("x509Certificates[0].value", "KOVKWGIVVEHH"),
                Check::equals(DEPARTMENT, "BKMNJVMCJUYS"),
                Check::equals(MANAGER, "{managerId}"),
            ]))
            .saves("id", "id"),
        Step::post("create again", "ENTRAV", "/Users", full_user()).checks(conflict()),
    ]
}

fn full_user() -> Value {
    json!({
        "schemas": [USER_SCHEMA, ENTERPRISE_SCHEMA],
        "userName": "{userName}",
        "externalId": "{externalId}",
        "active": true,
        "displayName": "KEFXCHKHAFOT",
        "nickName": "HTPKOXMWZKHL",
        "title": "EJWFXLHNHMCD",
        "userType": "PZFXORVSUAPU",
        "locale": "PJNYJHWJILTI",
        "timezone": "America/Indiana/Petersburg",
        "preferredLanguage": "wae",
        "profileUrl": "HPSEOIPXMGOH",
        "name": {
            "formatted": "Ladarius", "familyName": "Manley", "givenName": "Mazie",
            "middleName": "Vernon", "honorificPrefix": "Melyssa", "honorificSuffix": "Demarcus",
        },
        "emails": [{"primary": "true", "value": "{userName}"}],
        "phoneNumbers": [{"primary": "true", "value": "50-608-7660", "display": "50-608-7660"}],
        "ims": [{"primary": "true", "value": "IGWZUUMCMKXS", "display": "PJVGMMKYYHRU"}],
        "photos": [{"primary": "true", "display": "KCONLNLSYTBP"}],
        "addresses": [{
            "primary": "true", "formatted": "BLJMCNXHYLZK", "streetAddress": "7801 Jacobs Fork",
            "locality": "HZJBJWFAKXDD", "region": "GJXCXPMIIKWK", "postalCode": "pv82 8ua",
            "country": "India",
        }],
        "entitlements": [{"primary": "true", "value": "FTTUXWYDAAQC"}],
        "roles": [{"primary": "true", "value": "TLGYITOIZGKP"}],
        "x509Certificates": [{"primary": "true", "value": "KOVKWGIVVEHH"}],
        ENTERPRISE_SCHEMA: {
            "employeeNumber": "XHDMEJUURJNR", "costCenter": "RXUYBXOTRCZH",
            "organization": "CEXWXMBRYAHN", "division": "XMPFMDCLRKCW",
            "department": "BKMNJVMCJUYS", "manager": "{managerId}",
        },
    })
}

/// An existing name, one that nobody has, and one in another case.
fn filter() -> [Step; 3] {
    let found = || one_match([Check::equals("Resources[0].userName", "{userName}")]);
    [
        Step::get("look for the name", "ENTRAV", QUERY_BY_NAME).checks(found()),
        Step::get("look for a name that nobody has", "ENTRAV", QUERY_BY_GUID).checks(no_match()),
        Step::get(
            "look for the name in another case",
            "ENTRAV",
            "/Users?filter=userName+eq+%22{userNameCapitals}%22",
        )
        .checks(found()),
    ]
}

/// The largest request that the validator sends: `[primary eq true]` in every list, then a replace
/// without a path whose members are paths.
fn replace() -> Step {
    let source = "authentik test_users_patch.py";
    modify("replace attributes", source, &replacements()).checks(user(replaced()))
}

fn replacements() -> Value {
    json!([
        replace_primary("emails", "value", "new.{userName}"),
        replace_primary("phoneNumbers", "value", "72-634-1548"),
        replace_primary("phoneNumbers", "display", "72-634-1548"),
        replace_primary("ims", "value", "GXSGJKWGHVVS"),
        replace_primary("photos", "display", "TWAWLHHSUNIV"),
        replace_primary("addresses", "formatted", "TMINZQAJQDCL"),
        replace_primary("addresses", "streetAddress", "081 Wisoky Key"),
        replace_primary("addresses", "country", "Taiwan"),
        replace_primary("entitlements", "value", "NGBJMUYZVVBX"),
        replace_primary("roles", "value", "XEELVFMMWCVM"),
        replace_primary("x509Certificates", "value", "UYISMEDOXUZY"),
        {"op": "replace", "value": {
            "externalId": "{mailNickname}",
            "name.formatted": "Dell",
            "name.familyName": "Gay",
            "name.givenName": "Kyler",
            "displayName": "DPRLIJSFQMTL",
            "preferredLanguage": "as-IN",
            "locale": "JLOJHLPWZODG",
            "timezone": "America/Argentina/Rio_Gallegos",
            "active": true,
            format!("{ENTERPRISE_SCHEMA}:employeeNumber"): "PDFWRRZBQOHB",
            format!("{ENTERPRISE_SCHEMA}:department"): "GMSBFLMNPABY",
        }},
    ])
}

fn replaced() -> [Check; 21] {
    [
        Check::equals(
            "emails",
            json!([{"value": "new.{userName}", "primary": true}]),
        ),
        Check::HasItem(
            "phoneNumbers",
            json!({"value": "72-634-1548", "primary": true}),
        ),
        Check::HasItem(
            "ims",
            json!({"value": "GXSGJKWGHVVS", "display": "PJVGMMKYYHRU"}),
        ),
        Check::equals("photos[0].display", "TWAWLHHSUNIV"),
        Check::HasItem(
            "addresses",
            json!({
                "formatted": "TMINZQAJQDCL", "streetAddress": "081 Wisoky Key",
                "country": "Taiwan", "postalCode": "pv82 8ua",
            }),
        ),
        Check::Absent("addresses[1]"),
        Check::HasItem("entitlements", json!({"value": "NGBJMUYZVVBX"})),
        Check::HasItem("roles", json!({"value": "XEELVFMMWCVM"})),
        Check::HasItem("x509Certificates", json!({"value": "UYISMEDOXUZY"})),
        Check::equals("externalId", "{mailNickname}"),
        Check::equals("name.formatted", "Dell"),
        Check::equals("name.familyName", "Gay"),
        Check::equals("name.middleName", "Vernon"),
        Check::equals("displayName", "DPRLIJSFQMTL"),
        Check::equals("preferredLanguage", "as-IN"),
        Check::equals("locale", "JLOJHLPWZODG"),
        Check::equals("timezone", "America/Argentina/Rio_Gallegos"),
        Check::equals("active", true),
        Check::equals(EMPLOYEE_NUMBER, "PDFWRRZBQOHB"),
        Check::equals(DEPARTMENT, "GMSBFLMNPABY"),
        Check::equals(MANAGER, "{managerId}"),
    ]
}

/// A patch without operations: a 400 counts as a failed test (scimmyjs/scimmy issues 59 and 90).
fn nothing() -> Step {
    let source = "AzureAD/SCIMReferenceCode 112";
    modify("change nothing", source, &json!([])).checks(user([
        Check::equals("userName", "{userName}"),
        Check::equals("displayName", "DPRLIJSFQMTL"),
    ]))
}

fn replace_primary(attribute: &str, sub_attribute: &str, value: &str) -> Value {
    let path = format!("{attribute}[primary eq true].{sub_attribute}");
    json!({"op": "replace", "path": path, "value": value})
}

/// A new userName is found at once and the old one is free. A name that another user has, in any
/// case, is refused and changes nothing.
fn rename() -> [Step; 5] {
    let rename = |name, source, value: &str| {
        let operation = json!([{"op": "replace", "path": "userName", "value": value}]);
        modify(name, source, &operation)
    };
    let renamed = || Check::equals("userName", "renamed.{userName}");
    [
        rename("change the name", "ENTRAV", "renamed.{userName}").checks(user([renamed()])),
        Step::get(
            "look for the new name",
            "ENTRAV",
            "/Users?filter=userName+eq+%22renamed.{userName}%22",
        )
        .checks(one_match([])),
        Step::get("look for the old name", "ENTRAV", QUERY_BY_NAME).checks(no_match()),
        rename(
            "take a name that is taken",
            "RFC 7644 3.12",
            "Manager.{userName}",
        )
        .checks(conflict()),
        super::read("read", [renamed()]),
    ]
}

/// A different manager, none, and the first one again.
fn set_manager() -> [Step; 3] {
    let path = format!("{ENTERPRISE_SCHEMA}:manager");
    [
        modify(
            "replace the manager",
            "ENTRAV",
            &json!([{"op": "replace", "path": path, "value": "{id}"}]),
        )
        .checks(user([Check::equals(MANAGER, "{id}")])),
        modify(
            "remove the manager",
            "ENTRAV",
            &json!([{"op": "remove", "path": path}]),
        )
        .checks(user([Check::Absent(MANAGER)])),
        modify(
            "add a manager",
            "ENTRAV",
            &json!([{"op": "add", "path": path, "value": {"value": "{managerId}"}}]),
        )
        .checks(user([Check::equals(MANAGER, "{managerId}")])),
    ]
}
