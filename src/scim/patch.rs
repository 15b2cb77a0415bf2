//! PATCH (RFC 7644 section 3.5.2): reading the operations and applying them to a User.
//! All of them apply or none: they work on a copy that is checked whole at the end.

use serde_json::Value;

use super::error::{Error, ErrorType, quoted};
use super::filter::{CompValue, CompareOp, Filter};
use super::message::PATCH_URN;
use super::path::{AttributePath, Target};
use super::schema::{Attribute, Mutability, Schema};
use super::tolerance::{Leniency, Tolerance};
use super::user::User;
use super::{Object, member, value};
use crate::limits;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Replace,
}

/// One operation on one target.
#[derive(Clone, Debug)]
struct Operation {
    op: Op,
    target: Target,
    value: Value,
}

/// The operations of one request.
#[derive(Clone, Debug)]
pub struct Patch {
    operations: Vec<Operation>,
}

impl Patch {
    /// Reads a PatchOp message.
    pub fn parse(body: Value, leniency: &mut Leniency) -> Result<Self, Error> {
        let syntax = |detail: &str| Error::new(ErrorType::InvalidSyntax, detail);
        let Value::Object(body) = body else {
            return Err(syntax("the body must be a JSON object: a PatchOp message"));
        };
        match member(&body, "schemas") {
            None => leniency.allow(Tolerance::MissingSchemas, "the body has no schemas")?,
            Some(Value::Array(urns))
                if urns
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|urn| urn.eq_ignore_ascii_case(PATCH_URN)) => {}
            Some(_) => return Err(syntax(&format!("schemas must contain {PATCH_URN}"))),
        }
        let Some(Value::Array(items)) = member(&body, "Operations") else {
            return Err(syntax("Operations must be a list of operations"));
        };
        if items.is_empty() || items.len() > limits::PATCH_OPERATIONS_MAX {
            return Err(Error::new(
                ErrorType::InvalidSyntax,
                format!(
                    "Operations must hold 1 to {} operations",
                    limits::PATCH_OPERATIONS_MAX
                ),
            ));
        }
        let mut operations = Vec::new();
        for item in items {
            read_operation(item, &mut operations, leniency)?;
        }
        Ok(Self { operations })
    }

    /// Whether `active` is removed by name, which is not the same as not being mentioned.
    pub fn removes_active(&self) -> bool {
        self.operations.iter().any(|operation| {
            operation.op == Op::Remove
                && matches!(&operation.target, Target::Attribute { path, .. }
                    if path.attribute.name == "active")
        })
    }

    /// The user after all operations, checked whole.
    pub fn apply(&self, user: &User, leniency: &mut Leniency) -> Result<User, Error> {
        let mut attributes = user.clone().into_attributes();
        for operation in &self.operations {
            operation.apply(&mut attributes, leniency)?;
        }
        // Once more through the front door: types, order, lists bounded, nothing empty.
        let patched = User::from_members(attributes, leniency)?;
        // RFC 7644 section 3.5.2.2: a required attribute may not become unassigned.
        patched.require_user_name().map_err(|error| Error {
            kind: ErrorType::Mutability,
            ..error
        })?;
        Ok(patched)
    }
}

fn read_operation(
    item: &Value,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    let item = item
        .as_object()
        .ok_or_else(|| Error::new(ErrorType::InvalidSyntax, "each operation must be an object"))?;
    let op = read_op(item, leniency)?;
    let value = match member(item, "value") {
        Some(value) => value.clone(),
        None if op == Op::Remove => Value::Null,
        None => {
            return Err(Error::new(
                ErrorType::InvalidValue,
                "an add or replace operation needs a value",
            ));
        }
    };
    match member(item, "path") {
        Some(Value::String(path)) if !path.trim().is_empty() => {
            let target = Target::parse(path, leniency)?;
            push(operations, op, path, target, value, leniency)
        }
        None | Some(Value::Null | Value::String(_)) => {
            if op == Op::Remove {
                return Err(Error::new(
                    ErrorType::NoTarget,
                    "a remove operation needs a path",
                ));
            }
            read_without_path(op, value, operations, leniency)
        }
        Some(_) => Err(Error::new(ErrorType::InvalidPath, "path must be a string")),
    }
}

fn read_op(item: &Object, leniency: &mut Leniency) -> Result<Op, Error> {
    let word = member(item, "op")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let op = match word.to_ascii_lowercase().as_str() {
        "add" => Op::Add,
        "remove" => Op::Remove,
        "replace" => Op::Replace,
        _ => {
            return Err(Error::new(
                ErrorType::InvalidSyntax,
                format!("op must be add, remove or replace, not {}", quoted(word)),
            ));
        }
    };
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        leniency.allow(Tolerance::OperationCase, "op must be in lower case")?;
    }
    Ok(op)
}

/// An operation whose value is an object: one operation for each of its members.
fn read_without_path(
    op: Op,
    value: Value,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    leniency.allow(Tolerance::OperationWithoutPath, "the operation has no path")?;
    let Value::Object(members) = value else {
        return Err(Error::new(
            ErrorType::InvalidSyntax,
            "an operation without path needs an object as its value",
        ));
    };
    for (name, value) in members {
        let target = Target::parse(&name, leniency)?;
        if matches!(&target, Some(Target::Attribute { path, .. }) if is_read_only(path)) {
            // Echoed, like everything else that the client was shown.
            continue;
        }
        if name.contains(['.', '[']) && !matches!(target, Some(Target::Extension(_)) | None) {
            leniency.allow(
                Tolerance::PathAsMember,
                &format!("{} is a path, not the name of a member", quoted(&name)),
            )?;
        }
        push(operations, op, &name, target, value, leniency)?;
    }
    Ok(())
}

/// Adds an operation, unless its target is one that identity providers merely echo.
fn push(
    operations: &mut Vec<Operation>,
    op: Op,
    path: &str,
    target: Option<Target>,
    value: Value,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    let Some(target) = target else {
        return leniency.allow(
            Tolerance::UnknownAttribute,
            &format!("{} is not an attribute of a User", quoted(path)),
        );
    };
    if matches!(&target, Target::Attribute { path, .. } if path.attribute.name == "schemas") {
        // It follows from the attributes that the user has, whatever a client says.
        return Ok(());
    }
    // An operation without path becomes one for each member, which must be bounded too.
    if operations.len() == limits::PATCH_OPERATIONS_MAX {
        return Err(too_many(limits::PATCH_OPERATIONS_MAX, "operations"));
    }
    operations.push(Operation { op, target, value });
    Ok(())
}

fn too_many(most: usize, what: &str) -> Error {
    Error::new(
        ErrorType::InvalidValue,
        format!("the patch has or makes more than {most} {what}"),
    )
}

impl Operation {
    fn apply(&self, attributes: &mut Object, leniency: &mut Leniency) -> Result<(), Error> {
        match &self.target {
            Target::Extension(schema) => self.apply_to_extension(schema, attributes, leniency),
            Target::Attribute { path, filter } => {
                if is_read_only(path) {
                    return Err(Error::new(
                        ErrorType::Mutability,
                        format!("{path} is set by the service provider and cannot be changed"),
                    ));
                }
                match path.extension {
                    None => self.apply_to(path, filter.as_ref(), attributes, leniency),
                    Some(schema) => {
                        let mut members = take_object(attributes, schema.urn);
                        self.apply_to(path, filter.as_ref(), &mut members, leniency)?;
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
        leniency: &mut Leniency,
    ) -> Result<(), Error> {
        if self.op == Op::Remove {
            attributes.remove(schema.urn);
            return Ok(());
        }
        let Value::Object(members) = &self.value else {
            return Err(Error::new(
                ErrorType::InvalidValue,
                format!("the value for {} must be an object", schema.urn),
            ));
        };
        let mut merged = take_object(attributes, schema.urn);
        for (name, member) in members {
            if name.eq_ignore_ascii_case("schemas") {
                continue;
            }
            let Some(attribute) = schema.attribute(name) else {
                leniency.allow(
                    Tolerance::UnknownAttribute,
                    &format!("{} is not an attribute of {}", quoted(name), schema.urn),
                )?;
                continue;
            };
            assign(&mut merged, attribute, member.clone(), self.op, leniency)?;
        }
        put_object(attributes, schema.urn, merged);
        Ok(())
    }

    fn apply_to(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        members: &mut Object,
        leniency: &mut Leniency,
    ) -> Result<(), Error> {
        let attribute = path.attribute;
        if attribute.multi_valued && (filter.is_some() || path.sub_attribute.is_some()) {
            return self.apply_to_elements(path, filter, members, leniency);
        }
        match (path.sub_attribute, self.op) {
            (None, Op::Remove) if attribute.multi_valued && !is_nothing(&self.value) => {
                self.remove_values(attribute, members, leniency)
            }
            (None, Op::Remove) => {
                members.remove(attribute.name);
                Ok(())
            }
            (None, op) => assign(members, attribute, self.value.clone(), op, leniency),
            (Some(sub), op) => {
                let mut parts = take_object(members, attribute.name);
                if op == Op::Remove {
                    parts.remove(sub.name);
                } else {
                    assign(&mut parts, sub, self.value.clone(), op, leniency)?;
                }
                put_object(members, attribute.name, parts);
                Ok(())
            }
        }
    }

    /// `remove` of a list with the values to remove.
    fn remove_values(
        &self,
        attribute: &'static Attribute,
        members: &mut Object,
        leniency: &mut Leniency,
    ) -> Result<(), Error> {
        leniency.allow(
            Tolerance::RemoveWithValue,
            "a remove operation selects values by its path, not by a value",
        )?;
        let unwanted = value::normalise(attribute, self.value.clone(), leniency)?;
        let Some(Value::Array(unwanted)) = unwanted else {
            return Ok(());
        };
        if let Some(Value::Array(elements)) = members.get_mut(attribute.name) {
            elements.retain(|element| !unwanted.iter().any(|gone| describes(gone, element)));
        }
        Ok(())
    }

    /// An operation on those elements of a list that match, or on all of them.
    fn apply_to_elements(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        members: &mut Object,
        leniency: &mut Leniency,
    ) -> Result<(), Error> {
        let attribute = path.attribute;
        let mut elements = match members.remove(attribute.name) {
            Some(Value::Array(elements)) => elements,
            _ => Vec::new(),
        };
        let selected: Vec<usize> = elements
            .iter()
            .enumerate()
            .filter(|(_, element)| is_selected(element, filter))
            .map(|(index, _)| index)
            .collect();
        if self.op == Op::Remove {
            if filter.is_some() && selected.is_empty() {
                leniency.allow(
                    Tolerance::RemoveSelectsNothing,
                    &format!("no value of {} matches the filter", attribute.name),
                )?;
            }
            match path.sub_attribute {
                None => {
                    let mut index = 0;
                    elements.retain(|_| {
                        index += 1;
                        !selected.contains(&(index - 1))
                    });
                }
                Some(sub) => {
                    for index in selected {
                        if let Some(parts) = elements[index].as_object_mut() {
                            parts.remove(sub.name);
                        }
                    }
                }
            }
        } else if selected.is_empty() {
            if !is_nothing(&self.value) {
                elements.push(self.created_element(path, filter, leniency)?);
                let last = elements.len() - 1;
                keep_one_primary(&mut elements, &[last]);
            }
        } else {
            for index in &selected {
                self.change_element(path, &mut elements[*index], leniency)?;
            }
            keep_one_primary(&mut elements, &selected);
        }
        if !elements.is_empty() {
            members.insert(attribute.name.to_owned(), Value::Array(elements));
        }
        Ok(())
    }

    fn change_element(
        &self,
        path: &AttributePath,
        element: &mut Value,
        leniency: &mut Leniency,
    ) -> Result<(), Error> {
        let Some(parts) = element.as_object_mut() else {
            return Ok(());
        };
        if let Some(sub) = path.sub_attribute {
            return assign(parts, sub, self.value.clone(), self.op, leniency);
        }
        match value::single(path.attribute, self.value.clone(), leniency)? {
            Some(Value::Object(new)) => parts.extend(new),
            _ => parts.clear(),
        }
        Ok(())
    }

    /// The element that a value path describes when none matches: its `eq` conditions and
    /// the value (RFC 7644 erratum 8097; Entra relies on it).
    fn created_element(
        &self,
        path: &AttributePath,
        filter: Option<&Filter>,
        leniency: &mut Leniency,
    ) -> Result<Value, Error> {
        if filter.is_some() {
            leniency.allow(
                Tolerance::ValuePathCreates,
                &format!("no value of {} matches the filter", path.attribute.name),
            )?;
        }
        let mut parts = Object::new();
        if let Some(filter) = filter {
            describe(filter, &mut parts);
        }
        let mut element = Value::Object(parts);
        self.change_element(path, &mut element, leniency)?;
        Ok(element)
    }
}

/// Sets an attribute among `members` as add and replace do: a list grows or is exchanged,
/// the parts of a complex attribute are set one by one (RFC 7644 sections 3.5.2.1 and
/// 3.5.2.3: parts not named stay), anything else is exchanged.
fn assign(
    members: &mut Object,
    attribute: &'static Attribute,
    new: Value,
    op: Op,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    if let Value::Object(parts) = &new
        && !attribute.multi_valued
        && !attribute.sub_attributes.is_empty()
    {
        // A part that is named with null or "" is unassigned, which a merge must see.
        let mut merged = take_object(members, attribute.name);
        for (name, part) in parts {
            match attribute.sub_attribute(name) {
                Some(sub) => assign(&mut merged, sub, part.clone(), op, leniency)?,
                None => leniency.allow(
                    Tolerance::UnknownAttribute,
                    &format!("{} has no part {}", attribute.name, quoted(name)),
                )?,
            }
        }
        put_object(members, attribute.name, merged);
        return Ok(());
    }
    let new = value::normalise(attribute, new, leniency)?;
    match (new, members.get_mut(attribute.name)) {
        (Some(Value::Array(added)), Some(Value::Array(elements))) if op == Op::Add => {
            let before = elements.len();
            for element in added {
                if elements.contains(&element) {
                    continue;
                }
                // Now, not at the end: the writer compares each with all.
                if elements.len() == limits::VALUES_MAX {
                    return Err(too_many(limits::VALUES_MAX, attribute.name));
                }
                elements.push(element);
            }
            let fresh: Vec<usize> = (before..elements.len()).collect();
            keep_one_primary(elements, &fresh);
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

/// When one of the `changed` elements says it is primary, the others no longer do
/// (RFC 7644 section 3.5.2).
fn keep_one_primary(elements: &mut [Value], changed: &[usize]) {
    let Some(primary) = changed
        .iter()
        .copied()
        .find(|index| value::is_primary(&elements[*index]))
    else {
        return;
    };
    for (index, element) in elements.iter_mut().enumerate() {
        if index != primary && value::is_primary(element) {
            element["primary"] = Value::Bool(false);
        }
    }
}

fn is_read_only(path: &AttributePath) -> bool {
    let of = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
    of(path.attribute) || path.sub_attribute.is_some_and(of)
}

fn is_selected(element: &Value, filter: Option<&Filter>) -> bool {
    match (element.as_object(), filter) {
        (Some(parts), Some(filter)) => filter.matches(parts),
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

/// Writes down what `attribute eq value` conditions demand of an element.
fn describe(filter: &Filter, parts: &mut Object) {
    match filter {
        Filter::And(all) => {
            for filter in all {
                describe(filter, parts);
            }
        }
        Filter::Compare(path, CompareOp::Eq, wanted) => {
            let wanted = match wanted {
                CompValue::Text(text) => Value::String(text.clone()),
                CompValue::Boolean(value) => Value::Bool(*value),
                CompValue::Number(_) | CompValue::Null => return,
            };
            parts.insert(path.attribute.name.to_owned(), wanted);
        }
        _ => {}
    }
}

/// Whether every part of `sample` stands in `element` as well.
fn describes(sample: &Value, element: &Value) -> bool {
    match (sample, element) {
        (Value::Object(sample), Value::Object(element)) => sample
            .iter()
            .all(|(name, value)| element.get(name) == Some(value)),
        (sample, element) => sample == element,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
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
