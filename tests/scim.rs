//! Users and patches as values, without a server: what is kept, tolerated or refused.
//!
//! - `bodies`: whole users: what is kept of a body, and how each mode reads it.
//! - `patches`: what the operations of a patch do to attributes.
//! - `elements`: patches of elements of lists: added once, found, selected by a filter, created.
//! - `hollow`: elements without a value, which only say what they are used for.
//! - `refusals`: refused patches, and how much work one patch may cause.

mod bodies;
mod elements;
mod hollow;
mod patches;
mod refusals;

use golinks_scim::scim::{Budget, ErrorType, Leniency, Patch, Tolerance, User};
use serde_json::{Value, json};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn user(members: &Value) -> User {
    let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": "bob"});
    for (name, value) in members.as_object().expect("members") {
        body[name] = value.clone();
    }
    User::parse(body, &mut Leniency::compatible()).expect("a user")
}

fn has_used(leniency: &Leniency, tolerance: Tolerance) -> bool {
    leniency.used().any(|used| used == tolerance)
}

/// Reads a body in both modes, and asserts that compatible mode keeps `kept` and uses only
/// `tolerance`, for which strict mode refuses the body. Without a tolerance, both modes must accept
/// it.
fn check_parse(members: &Value, kept: &Value, tolerance: Option<Tolerance>) {
    let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": "bob"});
    for (name, value) in members.as_object().expect("members") {
        body[name] = value.clone();
    }
    let mut leniency = Leniency::compatible();
    let user = User::parse(body.clone(), &mut leniency).expect("forgiven");
    let mut found = Value::Object(user.attributes().clone());
    found.as_object_mut().expect("members").remove("userName");
    assert_eq!(found, *kept, "{members}");
    assert!(leniency.used().eq(tolerance), "{members}: {leniency:?}");
    let strict = User::parse(body, &mut Leniency::strict());
    assert_eq!(
        strict.is_err(),
        tolerance.is_some(),
        "{members}: {strict:?}"
    );
}

fn patched(user: &User, operations: &Value, mut leniency: Leniency) -> Result<User, ErrorType> {
    let body = json!({"schemas": [PATCH_OP], "Operations": operations});
    let patch = Patch::parse(body, &mut leniency).map_err(|error| error.kind)?;
    let after = patch.apply(user, &mut leniency, &mut Budget::default());
    after.map_err(|error| error.kind)
}

/// Applies operations in both modes, and asserts that compatible mode turns the user into `after`,
/// and that strict mode either does the same or refuses them.
fn check_patch(before: &Value, operations: &Value, after: &Value, strict_too: bool) {
    let (before, after) = (user(before), user(after));
    let found = patched(&before, operations, Leniency::compatible());
    assert_eq!(found.as_ref(), Ok(&after), "{operations}");
    let strict = patched(&before, operations, Leniency::strict());
    if strict_too {
        assert_eq!(strict, Ok(after), "{operations} in strict mode");
    } else {
        assert!(strict.is_err(), "{operations} is no tolerance: {strict:?}");
    }
}

fn operation(op: &str, path: &str, value: impl Into<Value>) -> Value {
    json!({"op": op, "path": path, "value": value.into()})
}
