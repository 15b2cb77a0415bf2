//! The schemas of SCIM 1.1 in the body of a user, read as those of SCIM 2.0. OneLogin documents
//! templates with them, and its administrators copy those for a server of SCIM 2.0 too.

use serde_json::Value;

use super::error::Error;
use super::schema::{ENTERPRISE_URN, USER_URN};
use super::tolerance::{Leniency, Tolerance};
use super::{Object, member, take_member};

/// Each URN of SCIM 1.1, and the one that has taken its place.
const URNS: [(&str, &str); 2] = [
    ("urn:scim:schemas:core:1.0", USER_URN),
    ("urn:scim:schemas:extension:enterprise:1.0", ENTERPRISE_URN),
];

/// Gives the schemas of a user's body their names of today, and likewise the manager's `managerId`.
/// What a body has under the name of today as well, it keeps.
pub(super) fn rename(body: &mut Object, leniency: &mut Leniency) -> Result<(), Error> {
    let schemas = member(body, "schemas").map_or(&[][..], elements);
    let is_listed = schemas.iter().any(|urn| successor(urn).is_some());
    let (was, now) = URNS[1];
    let has_extension = member(body, was).is_some() && member(body, now).is_none();
    if !is_listed && !has_extension {
        return Ok(());
    }
    let what = format!("schemas must contain {USER_URN}, not a schema of SCIM 1.1");
    leniency.allow(Tolerance::EarlierSchema, &what)?;
    if let Some(mut schemas) = take_member(body, "schemas") {
        let elements = match &mut schemas {
            Value::Array(urns) => &mut urns[..],
            one => std::slice::from_mut(one),
        };
        for urn in elements {
            if let Some(now) = successor(urn) {
                *urn = Value::String(now.to_owned());
            }
        }
        body.insert("schemas".to_owned(), schemas);
    }
    if has_extension && let Some(mut extension) = take_member(body, was) {
        let mut members = extension.as_object_mut().into_iter().flatten();
        let manager = members.find(|(name, _)| name.eq_ignore_ascii_case("manager"));
        if let Some((_, Value::Object(manager))) = manager
            && let Some(id) = take_member(manager, "managerId")
            && member(manager, "value").is_none()
        {
            manager.insert("value".to_owned(), id);
        }
        body.insert(now.to_owned(), extension);
    }
    Ok(())
}

fn elements(schemas: &Value) -> &[Value] {
    match schemas {
        Value::Array(urns) => urns,
        one => std::slice::from_ref(one),
    }
}

/// The URN that has taken the place of this one.
fn successor(urn: &Value) -> Option<&'static str> {
    let urn = urn.as_str()?;
    let found = URNS.iter().find(|(was, _)| was.eq_ignore_ascii_case(urn));
    found.map(|(_, now)| *now)
}
