//! Applying one operation to the attributes of a User.

use serde_json::Value;

use super::elements;
use super::{Op, Operation, is_nothing, is_read_only, too_many};
use crate::limits;
use crate::scim::error::{Error, ErrorType, quoted};
use crate::scim::filter::Filter;
use crate::scim::path::{AttributePath, Target};
use crate::scim::schema::{Attribute, Schema};
use crate::scim::tolerance::{Leniency, Tolerance};
use crate::scim::{Object, value};

/// What the operations of one patch share: what they are forgiven, and how much they may
/// still look at. A patch is applied on the one thread that writes.
pub(super) struct Work<'a> {
    pub(super) leniency: &'a mut Leniency,
    left: usize,
}

impl<'a> Work<'a> {
    pub(super) fn new(leniency: &'a mut Leniency) -> Self {
        Self {
            leniency,
            left: limits::PATCH_COMPARISONS_MAX,
        }
    }

    /// Takes so many comparisons from what is left.
    pub(super) fn spend(&mut self, comparisons: usize) -> Result<(), Error> {
        let left = self.left.checked_sub(comparisons);
        self.left = left.ok_or_else(|| too_many(limits::PATCH_COMPARISONS_MAX, "comparisons"))?;
        Ok(())
    }
}

impl Operation {
    pub(super) fn apply(&self, attributes: &mut Object, work: &mut Work<'_>) -> Result<(), Error> {
        match &self.target {
            Target::Extension(schema) => self.apply_to_extension(schema, attributes, work),
            Target::Attribute { path, filter } => {
                if is_read_only(path) {
                    return Err(Error::new(
                        ErrorType::Mutability,
                        format!("{path} is set by the service provider and cannot be changed"),
                    ));
                }
                match path.extension {
                    None => self.apply_to(path, filter.as_ref(), attributes, work),
                    Some(schema) => {
                        let mut members = take_object(attributes, schema.urn);
                        self.apply_to(path, filter.as_ref(), &mut members, work)?;
                        put_object(attributes, schema.urn, members);
                        Ok(())
                    }
                }
            }
        }
    }

    fn apply_to_extension(
        &self,
        schema: &'static Schema,
        attributes: &mut Object,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        // Null is unassigned (RFC 7643 section 2.5); to add nothing changes nothing.
        if self.op == Op::Remove || (self.op == Op::Replace && self.value.is_null()) {
            attributes.remove(schema.urn);
            return Ok(());
        }
        let members = match &self.value {
            Value::Object(members) => members,
            Value::Null => return Ok(()),
            _ => {
                return Err(Error::new(
                    ErrorType::InvalidValue,
                    format!("the value for {} must be an object", schema.urn),
                ));
            }
        };
        let mut merged = take_object(attributes, schema.urn);
        for (name, member) in members {
            if name.eq_ignore_ascii_case("schemas") {
                continue;
            }
            match schema.attribute(name) {
                Some(attribute) => assign(&mut merged, attribute, member.clone(), self.op, work)?,
                None => work.leniency.allow(
                    Tolerance::UnknownAttribute,
                    &format!("{} is not an attribute of {}", quoted(name), schema.urn),
                )?,
            }
        }
        put_object(attributes, schema.urn, merged);
        Ok(())
    }

    fn apply_to(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        members: &mut Object,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let attribute = path.attribute;
        if attribute.multi_valued && (filter.is_some() || path.sub_attribute.is_some()) {
            return self.apply_to_elements(path, filter, members, work);
        }
        match (path.sub_attribute, self.op) {
            (None, Op::Remove) if attribute.multi_valued && !is_nothing(&self.value) => {
                self.remove_values(attribute, members, work)
            }
            (None, Op::Remove) => {
                members.remove(attribute.name);
                Ok(())
            }
            (None, op) => assign(members, attribute, self.value.clone(), op, work),
            (Some(sub), op) => {
                let mut parts = take_object(members, attribute.name);
                if op == Op::Remove {
                    parts.remove(sub.name);
                } else {
                    assign(&mut parts, sub, self.value.clone(), op, work)?;
                }
                put_object(members, attribute.name, parts);
                Ok(())
            }
        }
    }
}

/// Sets an attribute among `members` as add and replace do: a list grows or is exchanged,
/// the parts of a complex attribute are set one by one (RFC 7644 sections 3.5.2.1 and
/// 3.5.2.3: parts not named stay), anything else is exchanged.
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
    match (new, members.get_mut(attribute.name)) {
        (Some(Value::Array(added)), Some(Value::Array(values))) if op == Op::Add => {
            elements::add(values, added, attribute, work)?;
        }
        (Some(new), _) => {
            members.insert(attribute.name.to_owned(), new);
        }
        (None, _) if op == Op::Add && attribute.multi_valued => {}
        (None, _) => {
            members.remove(attribute.name);
        }
    }
    Ok(())
}

/// Sets each part that is named. One that is named with null or "" is unassigned, which is
/// why they are not read all at once.
pub(super) fn assign_parts(
    into: &mut Object,
    attribute: &'static Attribute,
    parts: &Object,
    op: Op,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    for (name, part) in parts {
        match attribute.sub_attribute(name) {
            Some(sub) => assign(into, sub, part.clone(), op, work)?,
            None => work.leniency.allow(
                Tolerance::UnknownAttribute,
                &format!("{} has no part {}", attribute.name, quoted(name)),
            )?,
        }
    }
    Ok(())
}

fn take_object(members: &mut Object, name: &str) -> Object {
    match members.remove(name) {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

fn put_object(members: &mut Object, name: &str, object: Object) {
    if !object.is_empty() {
        members.insert(name.to_owned(), Value::Object(object));
    }
}
