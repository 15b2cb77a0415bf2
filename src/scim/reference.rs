//! References from bulk operations to users that other operations of the request create (RFC 7644
//! section 3.7.2). A reference is `bulkId:` and the client's name for the user, as a whole text or,
//! where a `$ref` belongs, at the end of a URI.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, member};

/// The prefix of a reference to something that another operation creates.
pub(super) const REFERENCE: &str = "bulkId:";
/// The attribute whose value is the URI of a resource.
const URI: &str = "$ref";

/// A `bulkId` that was referred to, although nothing was created under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved(pub String);

/// Collects the `bulkId`s that a value refers to. The JSON reader bounds the depth of the value.
pub(super) fn collect(value: &Value, found: &mut BTreeSet<String>) {
    collect_in(value, false, found);
}

fn collect_in(value: &Value, is_uri: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            if let Some((_, id)) = split(text, is_uri) {
                found.insert(id.to_owned());
            }
        }
        Value::Array(elements) => {
            for element in elements {
                collect_in(element, is_uri, found);
            }
        }
        Value::Object(members) => {
            let sets_uri = sets_uri(members);
            for (name, member) in members {
                collect_in(member, is_uri_in(name, sets_uri), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces references with the identifiers that `id_of` returns.
pub fn resolve(
    value: &mut Value,
    id_of: &impl Fn(&str) -> Option<String>,
) -> Result<(), Unresolved> {
    resolve_in(value, false, id_of)
}

fn resolve_in(
    value: &mut Value,
    is_uri: bool,
    id_of: &impl Fn(&str) -> Option<String>,
) -> Result<(), Unresolved> {
    match value {
        Value::String(text) => {
            if let Some((before, bulk_id)) = split(text, is_uri) {
                let id = id_of(bulk_id).ok_or_else(|| Unresolved(bulk_id.to_owned()))?;
                *text = match before {
                    _ if !is_uri => id,
                    absolute if absolute.contains("://") => format!("{absolute}{id}"),
                    // As in the examples of RFC 7643. A path from the root of the service, as in
                    // the operations, would resolve to something else.
                    _ => format!("../Users/{id}"),
                };
            }
        }
        Value::Array(elements) => {
            for element in elements {
                resolve_in(element, is_uri, id_of)?;
            }
        }
        Value::Object(members) => {
            let sets_uri = sets_uri(members);
            for (name, member) in members {
                resolve_in(member, is_uri_in(name, sets_uri), id_of)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Splits a reference into the text before it and the `bulkId`.
fn split(text: &str, is_uri: bool) -> Option<(&str, &str)> {
    if let Some(id) = text.strip_prefix(REFERENCE) {
        return Some(("", id));
    }
    let at = text.rfind('/').filter(|_| is_uri)? + 1;
    let (before, last) = text.split_at(at);
    let id = last.strip_prefix(REFERENCE)?;
    // Only users can be created here.
    before.ends_with("Users/").then_some((before, id))
}

/// Whether an object is a patch operation that sets a URI.
fn sets_uri(members: &Object) -> bool {
    let path = member(members, "path").and_then(Value::as_str);
    path.is_some_and(|path| is_uri_at(path.trim()))
}

/// Whether the member with this name takes a URI. `sets_uri` says whether the object that holds the
/// member is a patch operation that sets a URI.
fn is_uri_in(name: &str, sets_uri: bool) -> bool {
    is_uri_at(name) || sets_uri && name.eq_ignore_ascii_case("value")
}

/// Whether the attribute at a path takes a URI.
fn is_uri_at(path: &str) -> bool {
    let last = path.rsplit('.').next();
    last.is_some_and(|last| last.eq_ignore_ascii_case(URI))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_become_identifiers() {
        let mut value = json!({"a": ["bulkId:x", {"b": "bulkId:y"}], "c": "x", "d": "/bulkId:z"});
        let id_of = |id: &str| Some(format!("<{id}>"));
        assert_eq!(resolve(&mut value, &id_of), Ok(()));
        let wanted = json!({"a": ["<x>", {"b": "<y>"}], "c": "x", "d": "/bulkId:z"});
        assert_eq!(value, wanted);
        let mut value = json!(["bulkId:z"]);
        let unresolved = resolve(&mut value, &|_: &str| None);
        assert_eq!(unresolved, Err(Unresolved("z".to_owned())));
    }

    #[test]
    fn a_reference_ends_a_uri_where_one_belongs() {
        for (sent, wanted) in [
            ("bulkId:m", "../Users/<m>"),
            ("/Users/bulkId:m", "../Users/<m>"),
            ("../Users/bulkId:m", "../Users/<m>"),
            ("https://h/v2/Users/bulkId:m", "https://h/v2/Users/<m>"),
            ("../Users/m", "../Users/m"),
            ("/Groups/bulkId:m", "/Groups/bulkId:m"),
            ("https://h/bulkId:m", "https://h/bulkId:m"),
            ("bulkId", "bulkId"),
        ] {
            for make in [
                |uri: &str| json!({"manager": {"$REF": uri}}),
                |uri: &str| json!([{"urn:x:manager.$ref": uri}]),
                |uri: &str| json!([{"op": "add", "Path": "urn:x:manager.$ref ", "value": uri}]),
                |uri: &str| json!({"path": "manager", "value": [{"$ref": uri}]}),
            ] {
                let mut value = make(sent);
                let mut found = BTreeSet::new();
                collect(&value, &mut found);
                let id_of = |id: &str| found.contains(id).then(|| format!("<{id}>"));
                assert_eq!(resolve(&mut value, &id_of), Ok(()), "{sent}");
                assert_eq!(value, make(wanted), "{sent}");
                assert_eq!(found.is_empty(), sent == wanted, "{sent}");
            }
        }
    }
}
