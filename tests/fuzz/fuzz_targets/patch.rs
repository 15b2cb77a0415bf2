//! Patches: a patched user is a valid user, who is read back unchanged.

#![no_main]

use golinks_scim::scim::{Budget, Leniency, Patch, User};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    // An array stands for the operations alone, since the message around them is always the same.
    let body = if body.is_array() {
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": body
        })
    } else {
        body
    };
    let before = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a",
        "name": {"givenName": "A"}, "active": true,
        "emails": [{"value": "a@x", "type": "work", "primary": true}, {"value": "b@x"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "D"}
    });
    let before = User::parse(before, &mut Leniency::strict()).expect("a user");
    let mut leniency = Leniency::compatible();
    let Ok(patch) = Patch::parse(body, &mut leniency) else {
        return;
    };
    if let Ok(after) = patch.apply(&before, &mut leniency, &mut Budget::default()) {
        let mut shown = after.attributes().clone();
        shown.insert("schemas".to_owned(), json!(after.schemas()));
        let read = User::parse(Value::Object(shown), &mut Leniency::strict());
        assert_eq!(read, Ok(after));
    }
});
