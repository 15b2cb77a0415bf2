//! Splits the attributes of a user, so that an undo restores exactly those that were changed. Each
//! attribute of the extension counts as one attribute, named by its path (RFC 7644 section 3.10). A
//! complex attribute such as `name`, or a list, counts as one attribute as a whole.

use serde_json::{Map, Value};

use super::audit::AttributeChange;
use crate::scim::schema::{ENTERPRISE, ENTERPRISE_URN};

/// Splits the change of an attribute, or of the extension, into changes of single attributes.
pub(super) fn single_changes(mut change: AttributeChange) -> Vec<AttributeChange> {
    let is_divided = change.attribute == ENTERPRISE_URN
        && [&change.before, &change.after]
            .iter()
            .all(|value| value.is_object() || value.is_null());
    if !is_divided {
        return vec![change];
    }
    let mut changes = Vec::new();
    let mut after = members(change.after.take());
    for (name, before) in members(change.before.take()) {
        let after = after.shift_remove(&name).unwrap_or_default();
        if before != after {
            changes.push(single_change(&name, before, after));
        }
    }
    let added = after.into_iter();
    changes.extend(added.map(|(name, after)| single_change(&name, Value::Null, after)));
    changes
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn single_change(name: &str, before: Value, after: Value) -> AttributeChange {
    AttributeChange {
        attribute: format!("{ENTERPRISE_URN}:{name}"),
        before,
        after,
    }
}

/// The value of the attribute with this path; null if it is unassigned.
pub(super) fn value_of<'a>(attributes: &'a Map<String, Value>, path: &str) -> &'a Value {
    let value = match in_extension(path) {
        Some(name) => attributes.get(ENTERPRISE_URN).and_then(|it| it.get(name)),
        None => attributes.get(path),
    };
    value.unwrap_or(&Value::Null)
}

/// Assigns a value to the attribute with this path; null unassigns it.
pub(super) fn assign(attributes: &mut Map<String, Value>, path: &str, value: &Value) {
    let Some(name) = in_extension(path) else {
        return insert(attributes, path, value);
    };
    let mut extension = members(value_of(attributes, ENTERPRISE_URN).clone());
    insert(&mut extension, name, value);
    let place = |name: &str| {
        let mut names = ENTERPRISE.attributes.iter().map(|attribute| attribute.name);
        names.position(|known| known == name).unwrap_or(usize::MAX)
    };
    let mut extension: Vec<_> = extension.into_iter().collect();
    extension.sort_by_key(|(name, _)| place(name));
    if extension.is_empty() {
        attributes.shift_remove(ENTERPRISE_URN);
    } else {
        let whole = Value::Object(extension.into_iter().collect());
        attributes.insert(ENTERPRISE_URN.to_owned(), whole);
    }
}

fn insert(attributes: &mut Map<String, Value>, name: &str, value: &Value) {
    if value.is_null() {
        attributes.shift_remove(name);
    } else {
        attributes.insert(name.to_owned(), value.clone());
    }
}

fn in_extension(path: &str) -> Option<&str> {
    path.strip_prefix(ENTERPRISE_URN)?.strip_prefix(':')
}
