//! What differs between two states of a user: the sub-attributes of complex attributes one by one,
//! lists as a whole.

use serde_json::Value;

use super::Object;
use super::schema::path_within;

/// Gives `found` the path of each value that differs, and both values; `null` if there is none.
/// What is in `one` comes first, in its order.
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

/// [`differences`] of the members of two objects, whose own path is `whole`: empty for users.
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
