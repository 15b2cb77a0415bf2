//! Finds the differences between two states of a user. The sub-attributes of complex attributes are
//! compared one by one, lists as a whole.

use serde_json::Value;

use super::Object;
use super::schema::path_within;

/// Calls `found` with the path of each value that differs, and with both values; a missing value is
/// `null`. The members of `one` come first, in their order.
pub fn differences(
    path: &str,
    one: &Value,
    other: &Value,
    found: &mut impl FnMut(&str, &Value, &Value),
) {
    let nothing = Object::new();
    let (one, other) = match (one, other) {
        (Value::Object(one), Value::Object(other)) => (one, other),
        (Value::Object(one), Value::Null) => (one, &nothing),
        (Value::Null, Value::Object(other)) => (&nothing, other),
        _ => return found(path, one, other),
    };
    differences_of_members(path, one, other, found);
}

/// Like [`differences`], but for the members of two objects at the path `whole`, which is empty for
/// users.
pub fn differences_of_members(
    whole: &str,
    one: &Object,
    other: &Object,
    found: &mut impl FnMut(&str, &Value, &Value),
) {
    let rest = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(rest) {
        let [one, other] = [one, other].map(|members| members.get(name).unwrap_or(&Value::Null));
        if one != other {
            // A resource is four levels deep at most.
            differences(&path_within(whole, name), one, other, found);
        }
    }
}
