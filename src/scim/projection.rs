//! `attributes` and `excludedAttributes` (RFC 7644 section 3.4.2.5): the part of a resource that an
//! answer shows. The URN of a schema selects all its attributes, and a name that no schema has
//! selects nothing.

use serde_json::Value;

use super::path::AttributePath;
use super::schema::{self, ENTERPRISE_URN, Returned, USER, USER_URN};
use super::tolerance::Leniency;
use super::{Object, earlier};

/// The attributes to show.
#[derive(Clone, Debug, Default)]
pub struct Projection {
    only: Option<Selection>,
    without: Selection,
}

impl Projection {
    /// Reads the two query parameters, each a comma-separated list of attribute paths.
    pub fn parse(
        attributes: Option<&str>,
        excluded: Option<&str>,
        leniency: &mut Leniency,
    ) -> Self {
        let mut selection = |list| Selection::parse(list, leniency);
        Self {
            only: attributes
                .filter(|list| !list.trim().is_empty())
                .map(&mut selection),
            without: excluded.map(&mut selection).unwrap_or_default(),
        }
    }

    /// Whether everything is shown.
    pub fn is_whole(&self) -> bool {
        self.only.is_none() && self.without.paths.is_empty() && !self.without.has_extension
    }

    /// The part of `resource` that is shown. `schemas` and attributes that are always returned
    /// stay.
    pub fn apply(&self, resource: Object) -> Object {
        let mut shown = match &self.only {
            None => resource,
            Some(only) => {
                let mut shown = Object::new();
                for (name, value) in resource {
                    if always(&name) || only.has_extension && name == ENTERPRISE_URN {
                        shown.insert(name, value);
                    } else if let Some(value) = selected(&only.paths, &name, value) {
                        shown.insert(name, value);
                    }
                }
                shown
            }
        };
        if self.without.has_extension {
            shown.shift_remove(ENTERPRISE_URN);
        }
        for path in &self.without.paths {
            remove(&mut shown, path);
        }
        shown
    }
}

/// The attributes that a list of names selects.
#[derive(Clone, Debug, Default)]
struct Selection {
    paths: Vec<AttributePath>,
    /// Whether the extension is named as a whole.
    has_extension: bool,
}

impl Selection {
    fn parse(list: &str, leniency: &mut Leniency) -> Self {
        let mut selection = Self::default();
        for name in list.split(',').map(str::trim) {
            // In strict mode, no schema has such a name.
            let name = earlier::schema(name, leniency).unwrap_or_default();
            if name.eq_ignore_ascii_case(ENTERPRISE_URN) {
                selection.has_extension = true;
                continue;
            }
            if name.eq_ignore_ascii_case(USER_URN) {
                // The common attributes also belong to it (RFC 7643 section 3.1).
                for attribute in USER.attributes.iter().chain(schema::COMMON) {
                    selection.add(AttributePath::whole(attribute));
                }
                continue;
            }
            let path = AttributePath::parse(name).or_else(|| tolerated(name, leniency));
            if let Some(path) = path {
                selection.add(path);
            }
        }
        selection
    }

    /// Each path is kept once, so that there are never more than the schemas have, however long the
    /// list is.
    fn add(&mut self, path: AttributePath) {
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
    }
}

/// Reads a path that is valid only under a tolerance. In strict mode, no schema has such a name.
fn tolerated(name: &str, leniency: &mut Leniency) -> Option<AttributePath> {
    if leniency.is_strict() {
        return None;
    }
    let (path, tolerance) = AttributePath::parse_tolerantly(name)?;
    leniency.note(tolerance);
    Some(path)
}

fn always(name: &str) -> bool {
    AttributePath::parse(name).is_some_and(|path| path.attribute.returned == Returned::Always)
}

/// The part of one top-level member that the paths select.
fn selected(paths: &[AttributePath], name: &str, value: Value) -> Option<Value> {
    let of_extension: Vec<_> = paths
        .iter()
        .filter(|path| path.extension.is_some_and(|schema| schema.urn == name))
        .copied()
        .map(|path| AttributePath {
            extension: None,
            ..path
        })
        .collect();
    if !of_extension.is_empty() {
        let Value::Object(members) = value else {
            return None;
        };
        let kept: Object = members
            .into_iter()
            .filter_map(|(name, value)| {
                let value = selected(&of_extension, &name, value)?;
                Some((name, value))
            })
            .collect();
        return (!kept.is_empty()).then_some(Value::Object(kept));
    }
    let mut subs = Vec::new();
    for path in paths {
        if path.extension.is_none() && path.attribute.name == name {
            match path.sub_attribute {
                None => return Some(value),
                Some(sub) => subs.push(sub.name),
            }
        }
    }
    if subs.is_empty() {
        return None;
    }
    Some(keep_parts(value, &subs)).filter(|value| !is_empty(value))
}

fn keep_parts(value: Value, names: &[&str]) -> Value {
    match value {
        Value::Array(elements) => elements
            .into_iter()
            .map(|element| keep_parts(element, names))
            .filter(|element| !is_empty(element))
            .collect(),
        Value::Object(parts) => Value::Object(
            parts
                .into_iter()
                .filter(|(name, _)| names.contains(&name.as_str()))
                .collect(),
        ),
        simple => simple,
    }
}

/// Whether nothing is left of a value, so that it is omitted (RFC 7643 section 2.5).
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(parts) => parts.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

fn remove(resource: &mut Object, path: &AttributePath) {
    if path.attribute.returned == Returned::Always {
        return;
    }
    let Some(schema) = path.extension else {
        remove_from(resource, path);
        return;
    };
    if let Some(Value::Object(members)) = resource.get_mut(schema.urn) {
        remove_from(members, path);
        if members.is_empty() {
            resource.shift_remove(schema.urn);
        }
    }
}

fn remove_from(members: &mut Object, path: &AttributePath) {
    let Some(sub) = path.sub_attribute else {
        members.shift_remove(path.attribute.name);
        return;
    };
    match members.get_mut(path.attribute.name) {
        Some(Value::Object(parts)) => {
            parts.shift_remove(sub.name);
        }
        Some(Value::Array(elements)) => {
            for element in elements.iter_mut().filter_map(Value::as_object_mut) {
                element.shift_remove(sub.name);
            }
            elements.retain(|element| !is_empty(element));
        }
        _ => {}
    }
    if members.get(path.attribute.name).is_some_and(is_empty) {
        members.shift_remove(path.attribute.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::tolerance::Tolerance;
    use serde_json::json;

    fn check(attributes: Option<&str>, excluded: Option<&str>, wanted: &Value) {
        let resource = json!({
            "schemas": ["s"], "id": "1", "userName": "bob",
            "name": {"givenName": "B", "familyName": "S"},
            "emails": [{"value": "a", "type": "work"}, {"value": "b"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "R", "division": "D"
            }
        });
        let Value::Object(resource) = resource else {
            unreachable!("an object was written above")
        };
        let mut leniency = Leniency::compatible();
        let shown = Projection::parse(attributes, excluded, &mut leniency).apply(resource);
        assert_eq!(Value::Object(shown), *wanted, "{attributes:?} {excluded:?}");
    }

    #[test]
    fn a_long_list_of_names_is_a_short_one() {
        let names = format!("emails.type,EMAILS.TYPE,{ENTERPRISE_URN},x,").repeat(10_000);
        let selection = Selection::parse(&names, &mut Leniency::strict());
        assert_eq!((selection.paths.len(), selection.has_extension), (1, true));
    }

    #[test]
    fn a_dot_after_the_urn_selects_only_in_compatible_mode() {
        let name = format!("{ENTERPRISE_URN}.Department");
        let whole = format!("{ENTERPRISE_URN}:department");
        let (mut compatible, mut strict) = (Leniency::compatible(), Leniency::strict());
        let selected = Selection::parse(&name, &mut compatible).paths;
        assert_eq!(selected, [AttributePath::parse(&whole).expect("a path")]);
        assert!(compatible.used().eq([Tolerance::DotAfterUrn]));
        assert_eq!(Selection::parse(&name, &mut strict).paths, []);
        assert_eq!(strict.used().count(), 0);
    }

    #[test]
    fn the_earlier_schemas_select_what_those_of_today_select() {
        const LIST: &str = "urn:scim:schemas:extension:enterprise:1.0,\
                            urn:scim:schemas:core:1.0:name.givenName";
        let (mut compatible, mut strict) = (Leniency::compatible(), Leniency::strict());
        let selected = Selection::parse(LIST, &mut compatible);
        let paths: Vec<String> = selected.paths.iter().map(ToString::to_string).collect();
        assert!(selected.has_extension && paths == ["name.givenName"]);
        assert!(compatible.used().eq([Tolerance::EarlierSchema]));
        let selected = Selection::parse(LIST, &mut strict);
        assert!(!selected.has_extension && selected.paths.is_empty());
    }

    #[test]
    fn attributes_and_excluded_attributes() {
        check(
            Some("username"),
            None,
            &json!({"schemas": ["s"], "id": "1", "userName": "bob"}),
        );
        check(
            Some("name.givenName, emails.value"),
            None,
            &json!({"schemas": ["s"], "id": "1", "name": {"givenName": "B"},
                   "emails": [{"value": "a"}, {"value": "b"}]}),
        );
        check(
            Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"),
            None,
            &json!({"schemas": ["s"], "id": "1",
                   "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R"}}),
        );
        check(Some("nothing"), None, &json!({"schemas": ["s"], "id": "1"}));
        // A schema's URN alone stands for all its attributes.
        check(
            Some(USER_URN),
            Some("emails.type"),
            &json!({"schemas": ["s"], "id": "1", "userName": "bob",
                   "name": {"givenName": "B", "familyName": "S"},
                   "emails": [{"value": "a"}, {"value": "b"}]}),
        );
        check(
            None,
            Some(&USER_URN.to_uppercase()),
            &json!({"schemas": ["s"], "id": "1", ENTERPRISE_URN: {"department": "R", "division": "D"}}),
        );
        // An attribute is omitted if nothing is left of it.
        check(
            Some(&format!(
                "name.middleName,emails.display,emails.type,{ENTERPRISE_URN}:costCenter"
            )),
            None,
            &json!({"schemas": ["s"], "id": "1", "emails": [{"type": "work"}]}),
        );
        check(
            Some("name,emails"),
            Some("name.givenName,name.familyName,emails.value"),
            &json!({"schemas": ["s"], "id": "1", "emails": [{"type": "work"}]}),
        );
        check(
            None,
            Some(
                "id,emails,name.familyName,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division",
            ),
            &json!({"schemas": ["s"], "id": "1", "userName": "bob", "name": {"givenName": "B"},
                   "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R"}}),
        );
    }
}
