//! Resources: a user that was parsed from a body is read back unchanged, and then needs no
//! tolerance.

#![no_main]

use golinks_scim::scim::{Leniency, User};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let Ok(user) = User::parse(body, &mut Leniency::compatible()) else {
        return;
    };
    assert!(!user.user_name().is_empty());
    assert!(user.attributes().get("password").is_none());
    let mut shown = user.attributes().clone();
    shown.insert("schemas".to_owned(), json!(user.schemas()));
    let again = User::parse(Value::Object(shown), &mut Leniency::strict());
    assert_eq!(again, Ok(user));
});
