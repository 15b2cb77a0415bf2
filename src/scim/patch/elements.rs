//! Operations on the values of a list: on all of them, on those that a filter selects, or on those
//! that are named (RFC 7644 sections 3.5.2.1 to 3.5.2.3, where the path names a multi-valued
//! attribute).

use serde_json::Value;

use super::assign::{
    Work, assign_part, assign_parts, comparisons, ignore_part, is_exact, keep_one_primary,
    take_list, text_bytes,
};
use super::{Op, Operation, is_nothing};
use crate::limits;
use crate::scim::error::{Error, ErrorType};
use crate::scim::filter::{CompValue, CompareOp, Filter};
use crate::scim::path::AttributePath;
use crate::scim::schema::Attribute;
use crate::scim::tolerance::Tolerance;
use crate::scim::{Object, member, value};

impl Operation {
    /// Applies a `remove` that names the values to remove from a list.
    pub(super) fn remove_values(
        &self,
        attribute: &'static Attribute,
        members: &mut Object,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        work.leniency.allow(
            Tolerance::RemoveWithValue,
            "a remove operation selects values by its path, not by a value",
        )?;
        let unwanted = value::normalise(attribute, self.value.clone(), work.leniency)?;
        let unwanted = match &unwanted {
            Some(Value::Array(unwanted)) => unwanted.as_slice(),
            _ => &[],
        };
        let mut is_gone = false;
        if let Some(Value::Array(elements)) = members.get_mut(attribute.name) {
            let looks: usize = unwanted.iter().map(|gone| 2 * comparisons(gone)).sum();
            work.spend(elements.len().saturating_mul(looks))?;
            let before = elements.len();
            // If several elements have the same value, the one that agrees in everything else is
            // meant.
            let is_there = |gone| {
                let is_it = |element: &Value| describes(gone, attribute, element, true);
                elements.iter().any(is_it)
            };
            let unwanted: Vec<_> = unwanted.iter().map(|gone| (gone, is_there(gone))).collect();
            elements.retain(|element| {
                let mut unwanted = unwanted.iter();
                !unwanted.any(|(gone, wholly)| describes(gone, attribute, element, *wholly))
            });
            is_gone = elements.len() < before;
        }
        if !is_gone {
            work.leniency.note(Tolerance::RemoveSelectsNothing);
        }
        Ok(())
    }

    /// Applies an operation to the matching elements of a list, or to all of them.
    pub(super) fn apply_to_elements(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        members: &mut Object,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let mut elements = take_list(members, path.attribute.name);
        let clauses = filter.map_or(1, Filter::clauses);
        let texts: usize = elements
            .iter()
            // The filter folds these texts, which costs more if they are not ASCII.
            .map(|element| text_bytes(element, limits::FOLDED_BYTES_COST))
            .sum();
        let looks = elements.len().max(texts / limits::PATCH_COMPARED_BYTES);
        work.spend(looks.saturating_mul(clauses))?;
        let selected: Vec<usize> = elements
            .iter()
            .enumerate()
            .filter(|(_, element)| is_selected(element, filter))
            .map(|(index, _)| index)
            .collect();
        // Writing null, or an empty text or list, removes as well.
        let removes = self.op == Op::Remove || is_nothing(&self.value);
        if removes && filter.is_some() && selected.is_empty() {
            work.leniency
                .allow(Tolerance::RemoveSelectsNothing, &no_match(path))?;
        }
        if self.op == Op::Remove {
            remove(path, &selected, &mut elements);
        } else if !selected.is_empty() {
            let new = self.new_value(path, work)?;
            check_copies(new.as_ref(), selected.len())?;
            for index in &selected {
                self.change_element(path, filter, new.as_ref(), &mut elements[*index], work)?;
            }
            keep_one_primary(&mut elements, &selected);
        } else if !removes {
            elements.push(self.created_element(path, filter, work)?);
            let last = elements.len() - 1;
            keep_one_primary(&mut elements, &[last]);
        }
        // An element that has lost all its parts is removed.
        elements.retain(|element| element.as_object().is_none_or(|parts| !parts.is_empty()));
        if !elements.is_empty() {
            members.insert(path.attribute.name.to_owned(), Value::Array(elements));
        }
        Ok(())
    }

    /// Changes one element. If the path names a sub-attribute, only that part is set. Otherwise a
    /// replace replaces the element (RFC 7644 section 3.5.2.3), and an add extends it.
    fn change_element(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        new: Option<&Value>,
        element: &mut Value,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let Some(parts) = element.as_object_mut() else {
            return Ok(());
        };
        match (path.sub_attribute, new, self.op) {
            (Some(sub), Some(new), op) => {
                assign_part(parts, path.attribute, sub, new.clone(), op, work)
            }
            (None, Some(Value::Object(said)), Op::Add) => {
                assign_parts(parts, path.attribute, said, self.op, work)
            }
            // Adding nothing changes nothing.
            (_, _, Op::Add) => Ok(()),
            (None, Some(Value::Object(said)), _) => self.exchange(path, filter, parts, said, work),
            _ => {
                parts.clear();
                Ok(())
            }
        }
    }

    /// Replaces an element with `said`. The parts by which the filter found the element stay,
    /// unless the value sets them or strict mode takes the replace literally: otherwise the same
    /// request sent again would find nothing, and create a second element. If the result would say
    /// only what the element is used for, the value is merged into the element instead. If the
    /// value clears `value`, nothing of the element stays, since nothing would be left to find.
    fn exchange(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        parts: &mut Object,
        said: &Object,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let is_kept = !work.leniency.is_strict() && !clears_value(said, path);
        let mut kept = match filter {
            Some(filter) if is_kept => found_by(filter, parts),
            _ => Object::new(),
        };
        kept.retain(|name, _| member(said, name).is_none());
        let new = value::single(path.attribute, Value::Object(said.clone()), work.leniency)?;
        let mut new = into_parts(new);
        let says_use = !said.is_empty() && value::is_only_use(said);
        new.extend(kept);
        if is_kept && (says_use || value::is_only_use(&new)) {
            return assign_parts(parts, path.attribute, said, self.op, work);
        }
        *parts = new;
        Ok(())
    }

    /// What to write into each element. For a part of elements it is the value as sent. For whole
    /// elements it is an object without unknown parts: a text stands for its `value`, and a list of
    /// one for its element.
    fn new_value(&self, path: &AttributePath, work: &mut Work<'_>) -> Result<Option<Value>, Error> {
        let said = match (&self.value, self.value.as_array().map(Vec::as_slice)) {
            (value, _) if path.sub_attribute.is_some() => return Ok(Some(value.clone())),
            (Value::Object(said), _) => said,
            (_, Some([Value::Object(said)])) => {
                value::allow_list_of_one(path.attribute, work.leniency)?;
                said
            }
            (other, _) => return value::single(path.attribute, other.clone(), work.leniency),
        };
        let mut known = Object::new();
        for (name, part) in said {
            if path.attribute.sub_attribute(name).is_some() {
                known.insert(name.clone(), part.clone());
            } else {
                ignore_part(path.attribute, name, work)?;
            }
        }
        Ok(Some(Value::Object(known)))
    }

    /// The element that a value path describes when none matches: its `eq` conditions and the value
    /// (RFC 7644 erratum 8097; Entra relies on it). No element is created if the filter has any
    /// other condition, contradictory conditions, a condition on `value`, or one that demands
    /// another value for the part to be set: then the element that was meant no longer exists.
    fn created_element(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        work: &mut Work<'_>,
    ) -> Result<Value, Error> {
        let mut parts = Object::new();
        if let Some(filter) = filter {
            let is_described = describe(filter, &mut parts);
            let mut tells_another = false;
            if let Some(sub) = path.sub_attribute
                && let Some(told) = parts.get(sub.name)
            {
                let new = value::normalise(sub, self.value.clone(), work.leniency)
                    .map_err(|error| error.of_part(path.attribute.name))?;
                tells_another = new.as_ref() != Some(told);
            }
            if !is_described || parts.contains_key("value") || tells_another {
                return Err(Error::new(ErrorType::NoTarget, no_match(path)));
            }
            work.leniency
                .allow(Tolerance::ValuePathCreates, &no_match(path))?;
        }
        let described = value::single(path.attribute, Value::Object(parts), work.leniency)?;
        let mut element = Value::Object(into_parts(described));
        let new = self.new_value(path, work)?;
        if path.sub_attribute.is_some() {
            self.change_element(path, filter, new.as_ref(), &mut element, work)?;
            return Ok(element);
        }
        // The parts that the filter names stay, even if the value does not mention them.
        match (new, element.as_object_mut()) {
            (Some(Value::Object(new)), Some(parts)) if !clears_value(&new, path) => {
                assign_parts(parts, path.attribute, &new, Op::Add, work)?;
                // The same request sent again would not find this element and would create another.
                if filter.is_some_and(|filter| !filter.matches(parts)) {
                    return Err(Error::new(ErrorType::NoTarget, no_match(path)));
                }
                Ok(element)
            }
            // An element without parts, or one whose value is cleared, is not created.
            _ => Ok(Value::Object(Object::new())),
        }
    }
}

/// Fails if a value, copied into so many elements, cannot fit into a user.
fn check_copies(new: Option<&Value>, copies: usize) -> Result<(), Error> {
    let size = match new {
        Some(Value::String(text)) => text.len(),
        Some(new @ (Value::Object(_) | Value::Array(_))) => new.to_string().len(),
        _ => 0,
    };
    if size.saturating_mul(copies) > limits::USER_BYTES_MAX {
        return Err(Error::of_user_size());
    }
    Ok(())
}

fn no_match(path: &AttributePath) -> String {
    format!("no value of {} matches the filter", path.attribute.name)
}

/// Whether a new value, as sent, unassigns the `value` of an element.
fn clears_value(said: &Object, path: &AttributePath) -> bool {
    path.attribute.sub_attribute("value").is_some() && member(said, "value").is_some_and(is_nothing)
}

fn into_parts(element: Option<Value>) -> Object {
    match element {
        Some(Value::Object(parts)) => parts,
        _ => Object::new(),
    }
}

fn remove(path: &AttributePath, selected: &[usize], elements: &mut Vec<Value>) {
    let Some(sub) = path.sub_attribute else {
        // Starting from the end keeps earlier indexes valid.
        for index in selected.iter().rev() {
            elements.remove(*index);
        }
        return;
    };
    for index in selected {
        if let Some(parts) = elements[*index].as_object_mut() {
            parts.remove(sub.name);
        }
    }
}

fn is_selected(element: &Value, filter: Option<&Filter>) -> bool {
    match (element.as_object(), filter) {
        (Some(parts), Some(filter)) => filter.matches(parts),
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

/// Collects the parts that `attribute eq value` conditions demand of an element; false if the
/// filter has any other condition.
fn describe(filter: &Filter, parts: &mut Object) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|filter| describe(filter, parts)),
        Filter::Compare(path, CompareOp::Eq, wanted) => {
            let wanted = match wanted {
                CompValue::Text(text) | CompValue::Number(text) => {
                    Value::String(text.as_str().to_owned())
                }
                CompValue::Boolean(value) => Value::Bool(*value),
                CompValue::Null => return false,
            };
            // An attribute cannot have two values at once.
            let before = parts.insert(path.attribute.name.to_owned(), wanted.clone());
            before.is_none_or(|before| before == wanted)
        }
        _ => false,
    }
}

/// The parts of an element that a filter found it by: those that it compares with `eq`.
fn found_by(filter: &Filter, parts: &Object) -> Object {
    match filter {
        Filter::And(all) => all.iter().flat_map(|one| found_by(one, parts)).collect(),
        Filter::Compare(path, CompareOp::Eq, _) => {
            let found = parts.get_key_value(path.attribute.name);
            found
                .map(|(name, part)| (name.clone(), part.clone()))
                .into_iter()
                .collect()
        }
        _ => Object::new(),
    }
}

/// Whether an element agrees with all of `sample`. Unless `wholly`, a sample with a `value` must
/// agree only in `value` and `type`, because the rest may have changed since. `primary` matters
/// only in a hollow sample.
fn describes(sample: &Value, attribute: &Attribute, element: &Value, wholly: bool) -> bool {
    let Some(parts) = sample.as_object() else {
        return sample == element;
    };
    let tells_value = parts.contains_key("value");
    let mut telling = parts
        .keys()
        .filter(|part| match part.as_str() {
            "primary" => value::is_hollow(sample),
            "value" | "type" => true,
            _ => wholly || !tells_value,
        })
        .peekable();
    let agree = |part: &String| match part.as_str() {
        // An absent `primary` means false (RFC 7643 section 2.4).
        "primary" => value::is_primary(sample) == value::is_primary(element),
        part => agree_in(part, attribute, sample, element),
    };
    telling.peek().is_some() && telling.all(agree)
}

/// Whether two elements agree in a part. Non-ASCII letters that differ only in case count as
/// different: folding each pair would cost more than it is worth.
fn agree_in(part: &str, attribute: &Attribute, one: &Value, other: &Value) -> bool {
    match (one.get(part), other.get(part)) {
        (Some(Value::String(one)), Some(Value::String(other))) => {
            one.eq_ignore_ascii_case(other) && (one == other || !is_exact(attribute, part))
        }
        (one, other) => one == other,
    }
}
