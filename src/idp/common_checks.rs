//! The checks that every provider needs, whatever it sent: those of a list, a user, an error and a
//! deletion. Also makes the bodies of modifications.

use serde_json::{Value, json};

use super::check::{Check, ERROR_SCHEMA, LIST_SCHEMA, PATCH_SCHEMA, USER_SCHEMA};
use super::step::Body;

/// Paths of enterprise attributes in a user.
pub(super) const DEPARTMENT: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department";
pub(super) const EMPLOYEE_NUMBER: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.employeeNumber";
pub(super) const MANAGER: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value";

/// A complete list answer.
pub(super) fn list(more: impl Into<Vec<Check>>) -> Vec<Check> {
    let envelope = [
        Check::Status(200),
        Check::MediaType("application/scim+json"),
        Check::Contains("schemas", LIST_SCHEMA),
        Check::IsNumber("totalResults"),
        Check::IsNumber("startIndex"),
        Check::IsNumber("itemsPerPage"),
        Check::CountsItsPage,
    ];
    [Vec::from(envelope), more.into()].concat()
}

/// No user matches: 200 with an empty list, never 404.
pub(super) fn no_match() -> Vec<Check> {
    list([
        Check::equals("totalResults", 0),
        Check::equals("startIndex", 1),
        Check::equals("itemsPerPage", 0),
        Check::equals("Resources", json!([])),
    ])
}

/// Exactly the one known user matches.
pub(super) fn one_match(more: impl Into<Vec<Check>>) -> Vec<Check> {
    let known = [
        Check::equals("totalResults", 1),
        Check::equals("Resources[0].id", "{id}"),
    ];
    list([Vec::from(known), more.into()].concat())
}

/// The known user, complete, in a 200.
pub(super) fn user(more: impl Into<Vec<Check>>) -> Vec<Check> {
    let known = [Check::Status(200), Check::equals("id", "{id}")];
    [Vec::from(known), complete().into(), more.into()].concat()
}

/// The known user, complete and in this state.
pub(super) fn user_in_state(is_active: bool) -> Vec<Check> {
    user([Check::equals("active", is_active)])
}

/// The known user and no other matches, and is in this state.
pub(super) fn one_match_in_state(is_active: bool) -> Vec<Check> {
    one_match([Check::equals("Resources[0].active", is_active)])
}

/// A complete user in a 201.
pub(super) fn created(more: impl Into<Vec<Check>>) -> Vec<Check> {
    let status = [Check::Status(201)];
    [Vec::from(status), complete().into(), more.into()].concat()
}

/// What every user must contain (RFC 7643 sections 3.1 and 4.1, Okta's minimum schema).
pub(super) fn complete() -> [Check; 9] {
    [
        Check::MediaType("application/scim+json"),
        Check::Contains("schemas", USER_SCHEMA),
        Check::NotEmpty("id"),
        Check::NotEmpty("userName"),
        Check::equals("meta.resourceType", "User"),
        Check::NotEmpty("meta.created"),
        Check::NotEmpty("meta.lastModified"),
        Check::NotEmpty("meta.location"),
        Check::Absent("password"),
    ]
}

/// The user has not changed since the step that saved its version.
pub(super) fn unchanged() -> [Check; 2] {
    [
        Check::equals("meta.version", "{version}"),
        Check::equals("meta.lastModified", "{lastModified}"),
    ]
}

/// A SCIM Error whose status is a text (RFC 7644 section 3.12).
pub(super) fn error(status: u16) -> Vec<Check> {
    vec![
        Check::Status(status),
        Check::MediaType("application/scim+json"),
        Check::Contains("schemas", ERROR_SCHEMA),
        Check::equals("status", status.to_string()),
        Check::NotEmpty("detail"),
    ]
}

/// The service provider configuration (RFC 7643 section 5): the required members, and support for
/// PATCH and filters.
pub(super) fn provider_config() -> [Check; 11] {
    [
        Check::Status(200),
        Check::MediaType("application/scim+json"),
        Check::Contains("schemas", PROVIDER_CONFIG_SCHEMA),
        Check::equals("patch.supported", true),
        Check::equals("filter.supported", true),
        Check::IsNumber("filter.maxResults"),
        Check::IsNumber("bulk.maxOperations"),
        Check::IsNumber("bulk.maxPayloadSize"),
        Check::NotEmpty("authenticationSchemes[0].type"),
        Check::NotEmpty("authenticationSchemes[0].name"),
        Check::NotEmpty("authenticationSchemes[0].description"),
    ]
}

const PROVIDER_CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// A successful deletion: 204 without content (RFC 7644 section 3.6).
pub(super) fn deleted() -> [Check; 2] {
    [Check::Status(204), Check::NoContent]
}

/// The userName is taken (RFC 7644 section 3.3).
pub(super) fn conflict() -> Vec<Check> {
    let mut checks = error(409);
    checks.push(Check::equals("scimType", "uniqueness"));
    checks
}

/// A PatchOp message with these operations.
pub(super) fn patch(operations: &Value) -> Body {
    Body::Json(json!({"schemas": [PATCH_SCHEMA], "Operations": operations}))
}

/// One replace operation without a path.
pub(super) fn pathless(value: &Value) -> Body {
    patch(&json!([{"op": "replace", "value": value}]))
}

#[cfg(test)]
mod tests {
    use super::super::{Check, PROVIDERS, Person, Suite, okta};

    fn is_complete(suite: &Suite) {
        for step in &suite.steps {
            let at = format!("{} {} ({})", suite.name, step.name, step.source);
            assert!(!step.source.is_empty(), "{at}");
            let is_status = |one: &Check| matches!(one, Check::Status(_));
            assert!(step.checks.iter().any(is_status), "{at}");
        }
    }

    #[test]
    fn every_step_of_every_suite_has_a_source_and_checks_the_status() {
        let person = Person::from_random([7; Person::RANDOM_BYTES]);
        let suites = PROVIDERS.iter().flat_map(|it| it.suites);
        for suite in suites {
            is_complete(&suite(&person));
        }
        // These are the suites that `check` does not play.
        is_complete(&okta::leave("1"));
        is_complete(&okta::beta(&person));
        is_complete(&okta::deactivated_then_imported(&person, "1"));
    }
}
