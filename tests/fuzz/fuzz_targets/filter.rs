//! Filters: a parsed filter is printed as text that parses to the same filter, and matching it
//! against a user never panics.

#![no_main]

use golinks_scim::scim::{Filter, Leniency};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let Ok(filter) = Filter::parse(text, &mut Leniency::compatible()) else {
        return;
    };
    let printed = filter.to_string();
    // A short spelling may be printed as a text that exceeds the length limit of filters.
    if let Ok(again) = Filter::parse(&printed, &mut Leniency::strict()) {
        assert_eq!(again, filter, "{printed}");
    } else {
        assert!(printed.len() > 4096, "{printed}");
    }
    let Value::Object(user) = json!({
        "id": "1", "userName": "a", "active": true, "title": "é",
        "emails": [{"value": "a", "type": "work", "primary": true}, {"value": "b"}],
        "meta": {"created": "2026-01-31T12:00:00.000Z"}
    }) else {
        return;
    };
    let _ = filter.matches(&user);
});
