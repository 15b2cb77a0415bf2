//! The schemas of SCIM 1.1, read as those of SCIM 2.0 wherever a user's schema or attribute is named.
//! OneLogin documents templates with them, and its administrators copy those for a server of SCIM
//! 2.0 too.

use serde_json::Value;

use super::error::{Error, quoted};
use super::schema::{ENTERPRISE_URN, USER_URN};
use super::tolerance::{Leniency, Tolerance};
use super::{Object, member, take_member};

/// Each URN of SCIM 1.1, and the one that has taken its place.
const URNS: [(&str, &str); 2] = [
    ("urn:scim:schemas:core:1.0", USER_URN),
    (EXTENSION, ENTERPRISE_URN),
];
const EXTENSION: &str = "urn:scim:schemas:extension:enterprise:1.0";

/// The URN of today for that of an earlier schema. Any other text stays as it is.
pub(super) fn schema<'a>(urn: &'a str, leniency: &mut Leniency) -> Result<&'a str, Error> {
    Ok(successor(urn, leniency)?.unwrap_or(urn))
}

/// The URN that has taken the place of this one.
fn successor(urn: &str, leniency: &mut Leniency) -> Result<Option<&'static str>, Error> {
    let found = URNS.iter().find(|(was, _)| was.eq_ignore_ascii_case(urn));
    let Some((_, now)) = found else {
        return Ok(None);
    };
    let what = format!("{} must be written {now}", quoted(urn));
    leniency.allow(Tolerance::EarlierSchema, &what)?;
    Ok(Some(now))
}

/// The path of today for `URN:name[.sub]` with the URN of an earlier schema.
pub(super) fn path(text: &str) -> Option<String> {
    let (now, name) = URNS
        .iter()
        .find_map(|(was, now)| Some((now, after(text, was)?.strip_prefix(':')?)))?;
    if name.eq_ignore_ascii_case("manager.managerId") {
        return Some(format!("{now}:manager.value"));
    }
    Some(format!("{now}:{name}"))
}

/// Gives the schemas of a user's body their names of today, and likewise the manager's `managerId`.
/// What a body has under the name of today as well, it keeps.
pub(crate) fn rename(body: &mut Object, leniency: &mut Leniency) -> Result<(), Error> {
    let mut members = body.iter_mut();
    if let Some((_, schemas)) = members.find(|(name, _)| name.eq_ignore_ascii_case("schemas")) {
        for urn in elements(schemas) {
            if let Some(was) = urn.as_str()
                && let Some(now) = successor(was, leniency)?
            {
                *urn = Value::String(now.to_owned());
            }
        }
    }
    for (was, now) in URNS {
        if member(body, now).is_none()
            && let Some(mut value) = take_member(body, was)
        {
            rename_manager(was, &mut value);
            body.insert(schema(was, leniency)?.to_owned(), value);
        }
    }
    Ok(())
}

/// Gives the manager's `managerId` its name of today in the value of the member of this name, which
/// is the earlier extension or its `manager`.
pub(super) fn rename_manager(name: &str, value: &mut Value) {
    let is_manager = |name: &str| name.eq_ignore_ascii_case("manager");
    let manager = match after(name, EXTENSION) {
        Some("") => {
            let mut members = value.as_object_mut().into_iter().flatten();
            members.find_map(|(name, value)| is_manager(name).then_some(value))
        }
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(is_manager)
            .then_some(value),
        None => None,
    };
    for manager in manager.map_or(&mut [][..], elements) {
        if let Value::Object(manager) = manager
            && let Some(id) = take_member(manager, "managerId")
            && member(manager, "value").is_none()
        {
            manager.insert("value".to_owned(), id);
        }
    }
}

/// The elements of a list, or the one value that stands where a list could.
fn elements(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Array(elements) => elements,
        one => std::slice::from_mut(one),
    }
}

/// What follows this URN in a text that begins with it.
fn after<'a>(text: &'a str, urn: &str) -> Option<&'a str> {
    let (first, rest) = text.split_at_checked(urn.len())?;
    first.eq_ignore_ascii_case(urn).then_some(rest)
}
