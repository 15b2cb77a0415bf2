//! Sets attributes as add (RFC 7644 section 3.5.2.1) and replace (section 3.5.2.3) do, and bounds
//! the work of a patch.

use std::collections::HashMap;

use serde_json::Value;

use super::{Budget, Op, too_many};
use crate::limits;
use crate::scim::error::{Error, quoted};
use crate::scim::schema::Attribute;
use crate::scim::tolerance::{Leniency, Tolerance};
use crate::scim::{Object, member, value};

/// State shared by the operations of one patch: the tolerances, and the work that is still allowed.
/// The work is bounded because a patch may be applied on the only writer thread.
pub(super) struct Work<'a> {
    pub(super) leniency: &'a mut Leniency,
    budget: &'a mut Budget,
    /// Whether a `$ref` is set without its `value`: it then belongs to the value that the patch
    /// sets.
    sets_reference: bool,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        leniency: &'a mut Leniency,
        budget: &'a mut Budget,
        sets_reference: bool,
    ) -> Self {
        Self {
            leniency,
            budget,
            sets_reference,
        }
    }

    /// Takes this many comparisons out of the budget.
    pub(super) fn spend(&mut self, comparisons: usize) -> Result<(), Error> {
        self.budget.spend(comparisons)
    }
}

/// Sets an attribute among `members` as add and replace do. A list grows or is replaced. The parts
/// of a complex attribute are set one by one (RFC 7644 sections 3.5.2.1 and 3.5.2.3: unnamed parts
/// stay). Anything else is replaced, even by nothing.
pub(super) fn assign(
    members: &mut Object,
    attribute: &'static Attribute,
    new: Value,
    op: Op,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    if let Value::Object(parts) = &new
        && !attribute.multi_valued
        && !attribute.sub_attributes.is_empty()
    {
        let mut merged = take_object(members, attribute.name);
        assign_parts(&mut merged, attribute, parts, op, work)?;
        put_object(members, attribute.name, merged);
        return Ok(());
    }
    let new = value::normalise(attribute, new, work.leniency)?;
    match new {
        // This also applies to an empty list, since the request may hold a value twice.
        Some(Value::Array(added)) if op == Op::Add => {
            let mut values = take_list(members, attribute.name);
            add(&mut values, added, attribute, work)?;
            members.insert(attribute.name.to_owned(), Value::Array(values));
        }
        Some(new) => {
            members.insert(attribute.name.to_owned(), new);
        }
        // Adding nothing leaves a list as it is, and clears nobody's status.
        None if op == Op::Add && (attribute.multi_valued || attribute.name == "active") => {}
        None => {
            members.remove(attribute.name);
        }
    }
    Ok(())
}

/// Sets one part of an attribute, as [`assign`] does.
pub(super) fn assign_part(
    parts: &mut Object,
    attribute: &Attribute,
    part: &'static Attribute,
    new: Value,
    op: Op,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    assign(parts, part, new, op, work).map_err(|error| error.of_part(attribute.name))
}

/// Sets each named part. A part named with null or "" becomes unassigned, which is why the parts
/// are not read all at once. A `$ref` that is not named is removed if its value changes.
pub(super) fn assign_parts(
    into: &mut Object,
    attribute: &'static Attribute,
    parts: &Object,
    op: Op,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let before = into.get("value").cloned();
    for (name, part) in parts {
        match attribute.sub_attribute(name) {
            Some(sub) => assign_part(into, attribute, sub, part.clone(), op, work)?,
            None => ignore_part(attribute, name, work)?,
        }
    }
    match (member(parts, "$ref"), member(parts, "value")) {
        (None, _) => drop_stale_reference(into, before.as_ref(), work),
        (Some(_), None) => work.sets_reference = true,
        (Some(_), Some(_)) => {}
    }
    Ok(())
}

/// Ignores a part that `attribute` does not have, if that is tolerated.
pub(super) fn ignore_part(
    attribute: &Attribute,
    name: &str,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    work.leniency.allow_ignoring(
        Tolerance::UnknownAttribute,
        &format!("{}.{name}", attribute.name),
        &format!("{} has no part {}", attribute.name, quoted(name)),
    )
}

/// Removes a `$ref` if the value that it belonged to has changed: it would point to somebody else.
pub(super) fn drop_stale_reference(parts: &mut Object, before: Option<&Value>, work: &Work<'_>) {
    if !work.sets_reference && parts.get("value") != before {
        parts.remove("$ref");
    }
}

/// Adds values to a list. If the list already holds a value, only new parts of it are taken over,
/// such as that it is primary now (RFC 7644 section 3.5.2.1).
fn add(
    values: &mut Vec<Value>,
    added: Vec<Value>,
    attribute: &Attribute,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    work.spend(values.iter().chain(&added).map(comparisons).sum())?;
    // The place of each value: searching the list for each added value would take too long.
    let mut places = HashMap::new();
    for (at, held) in values.iter().enumerate() {
        places.entry(identity(attribute, held)).or_insert(at);
    }
    // The added values were read as a list, of which at most one element is primary.
    let mut primary = None;
    for value in added {
        let place = places.entry(identity(attribute, &value));
        let at = *place.or_insert(values.len());
        let is_primary = value::is_primary(&value);
        // A hollow element is dropped in the end, and then no element would be primary.
        if is_primary && (primary.is_none() || !value::is_hollow(&value)) {
            primary = Some(at);
        }
        match (values.get_mut(at), value) {
            (Some(Value::Object(held)), Value::Object(parts)) => {
                // An element that is named twice is primary if either occurrence is.
                let more = parts.into_iter().filter(|(name, _)| match name.as_str() {
                    "value" | "type" => false,
                    "primary" => is_primary || primary != Some(at),
                    _ => true,
                });
                held.extend(more);
            }
            (Some(_), _) => {}
            (None, _) if at == limits::VALUES_MAX => {
                return Err(too_many(limits::VALUES_MAX, attribute.name));
            }
            (None, value) => values.push(value),
        }
    }
    keep_one_primary(values, primary.as_slice());
    Ok(())
}

/// What identifies an element: a list must not hold the same "type" and "value" twice (RFC 7643
/// section 2.4). Elements without a "value", such as addresses, are the same if they agree in
/// everything but `primary`. Non-ASCII letters that differ only in case count as different.
fn identity(attribute: &Attribute, element: &Value) -> Value {
    let Some(parts) = element.as_object() else {
        return element.clone();
    };
    if !parts.contains_key("value") {
        let telling = parts.iter().filter(|(name, _)| *name != "primary");
        return telling
            .map(|(name, part)| (name.clone(), part.clone()))
            .collect();
    }
    let told = ["value", "type"].map(|name| match parts.get(name) {
        Some(Value::String(text)) if !is_exact(attribute, name) => {
            Value::String(text.to_ascii_lowercase())
        }
        part => part.cloned().unwrap_or_default(),
    });
    Value::Array(told.into())
}

/// Whether upper and lower case differ in a part of a value.
pub(super) fn is_exact(attribute: &Attribute, part: &str) -> bool {
    let part = attribute.sub_attribute(part);
    part.is_some_and(|part| part.case_exact)
}

/// The cost of comparing a value with another one, byte by byte.
pub(super) fn comparisons(value: &Value) -> usize {
    1 + text_bytes(value, 1) / limits::PATCH_COMPARED_BYTES
}

/// The bytes of the texts in a value, which is no deeper than an element of a list. Those of a
/// non-ASCII text count as `non_ascii_cost` each.
pub(super) fn text_bytes(value: &Value, non_ascii_cost: usize) -> usize {
    match value {
        Value::String(text) if text.is_ascii() => text.len(),
        Value::String(text) => text.len() * non_ascii_cost,
        Value::Object(parts) => {
            let parts = parts.values();
            parts.map(|part| text_bytes(part, non_ascii_cost)).sum()
        }
        _ => 0,
    }
}

/// If one of the `changed` elements is primary, makes all others not primary (RFC 7644 section
/// 3.5.2).
pub(super) fn keep_one_primary(elements: &mut [Value], changed: &[usize]) {
    let is_primary = |index: &usize| value::is_primary(&elements[*index]);
    let Some(primary) = changed.iter().copied().find(is_primary) else {
        return;
    };
    for (index, element) in elements.iter_mut().enumerate() {
        if index != primary && value::is_primary(element) {
            element["primary"] = Value::Bool(false);
        }
    }
}

pub(super) fn take_list(members: &mut Object, name: &str) -> Vec<Value> {
    match members.remove(name) {
        Some(Value::Array(elements)) => elements,
        _ => Vec::new(),
    }
}

pub(super) fn take_object(members: &mut Object, name: &str) -> Object {
    match members.remove(name) {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

pub(super) fn put_object(members: &mut Object, name: &str, object: Object) {
    if !object.is_empty() {
        members.insert(name.to_owned(), Value::Object(object));
    }
}
