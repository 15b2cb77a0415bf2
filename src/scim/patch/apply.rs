//! Applies one operation to the attributes of a User (RFC 7644 sections 3.5.2.1 to 3.5.2.3).

use serde_json::Value;

use super::assign::{Work, assign, assign_part, drop_stale_reference, put_object, take_object};
use super::{Op, Operation, is_nothing, is_read_only, is_set_by_us};
use crate::scim::error::{Error, ErrorType, quoted};
use crate::scim::filter::Filter;
use crate::scim::path::{AttributePath, Target};
use crate::scim::schema::{ENTERPRISE, ENTERPRISE_URN, Mutability};
use crate::scim::tolerance::Tolerance;
use crate::scim::{Object, value};

impl Operation {
    pub(super) fn apply(&self, attributes: &mut Object, work: &mut Work<'_>) -> Result<(), Error> {
        match &self.target {
            Target::Extension => self.apply_to_extension(attributes, work),
            Target::Attribute { path, filter } => {
                if is_read_only(path) {
                    let what = is_set_by_us(path);
                    // A read-only part of an attribute that may be set, such as a manager, is sent
                    // along with the rest.
                    return if path.attribute.mutability == Mutability::ReadOnly {
                        Err(Error::new(ErrorType::Mutability, what))
                    } else {
                        let (tolerance, name) = (Tolerance::ReadOnlyPart, path.to_string());
                        work.leniency.allow_ignoring(tolerance, &name, &what)
                    };
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
        attributes: &mut Object,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        if self.op == Op::Remove
            || value::is_unassigned(ENTERPRISE_URN, &self.value, work.leniency)?
        {
            // Adding nothing changes nothing.
            if self.op != Op::Add {
                attributes.remove(ENTERPRISE_URN);
            }
            return Ok(());
        }
        let Value::Object(members) = &self.value else {
            return Err(Error::new(
                ErrorType::InvalidValue,
                format!("the value for {ENTERPRISE_URN} must be an object"),
            ));
        };
        let mut merged = take_object(attributes, ENTERPRISE_URN);
        for (name, member) in members {
            if name.eq_ignore_ascii_case("schemas") {
                continue;
            }
            match ENTERPRISE.attribute(name) {
                Some(attribute) => assign(&mut merged, attribute, member.clone(), self.op, work)?,
                None => work.leniency.allow_ignoring(
                    Tolerance::UnknownAttribute,
                    &format!("{ENTERPRISE_URN}:{name}"),
                    &format!("{} is not an attribute of {ENTERPRISE_URN}", quoted(name)),
                )?,
            }
        }
        put_object(attributes, ENTERPRISE_URN, merged);
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
                let before = parts.get("value").cloned();
                if op == Op::Remove {
                    parts.remove(sub.name);
                } else {
                    assign_part(&mut parts, attribute, sub, self.value.clone(), op, work)?;
                }
                drop_stale_reference(&mut parts, before.as_ref(), work);
                put_object(members, attribute.name, parts);
                Ok(())
            }
        }
    }
}
