//! Resources: what is kept of a body is kept unchanged when it is read again, and then nothing
//! needs to be forgiven.

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
