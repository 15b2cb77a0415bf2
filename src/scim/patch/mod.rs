//! PATCH (RFC 7644 section 3.5.2): reads the operations. `apply` applies them to a User, `elements`
//! to the values of a list; both set attributes with `assign`.
//!
//! All operations apply or none does: they work on a copy that is checked as a whole at the end.

mod apply;
mod assign;
mod elements;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::error::{Error, ErrorType, quoted};
use super::message::{self, PATCH_URN};
use super::path::{AttributePath, Target};
use super::schema::{Attribute, ENTERPRISE_URN, Mutability, USER_URN};
use super::tolerance::{Leniency, Tolerance};
use super::user::User;
use super::{Object, earlier, member, take_member, value};
use crate::limits;
use assign::Work;

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Replace,
}

/// One operation on one target.
#[derive(Debug)]
struct Operation {
    op: Op,
    target: Target,
    value: Value,
}

/// The operations of one request. A clone shares them.
#[derive(Clone, Debug)]
pub struct Patch {
    operations: Arc<[Operation]>,
}

/// The number of comparisons that changes may still make; other work is counted in comparisons as
/// well. All borrowers share one budget, which cannot be copied, because a copy would double it.
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(limits::PATCH_COMPARISONS_MAX)
    }
}

impl Budget {
    /// Takes this many comparisons, or fails if fewer are left.
    fn spend(&mut self, comparisons: usize) -> Result<(), Error> {
        let Some(left) = self.0.checked_sub(comparisons) else {
            return Err(Error::of_size(
                ErrorType::InvalidValue,
                format!(
                    "the request needs more than {} comparisons: send fewer operations or values at \
                     once",
                    limits::PATCH_COMPARISONS_MAX
                ),
            ));
        };
        self.0 = left;
        Ok(())
    }

    /// Takes the cost of changing a stored user of this many bytes: however small the change, the
    /// whole user is read, and most of it is written and audited.
    pub fn spend_on_user(&mut self, bytes: usize) -> Result<(), Error> {
        self.spend(bytes / limits::CHANGED_BYTES_PER_COMPARISON)
    }
}

impl Patch {
    /// Reads a PatchOp message.
    pub fn parse(body: Value, leniency: &mut Leniency) -> Result<Self, Error> {
        let mut body = message::members(body, PATCH_URN, leniency)?;
        let Some(Value::Array(items)) = take_member(&mut body, "Operations") else {
            return Err(Error::new(
                ErrorType::InvalidSyntax,
                "Operations must be a list of operations",
            ));
        };
        let bounds = || {
            let most = limits::PATCH_OPERATIONS_MAX;
            format!("Operations must hold 1 to {most} operations")
        };
        if items.is_empty() {
            leniency.allow(Tolerance::EmptyOperations, &bounds())?;
        }
        if items.len() > limits::PATCH_OPERATIONS_MAX {
            return Err(Error::of_size(ErrorType::InvalidSyntax, bounds()));
        }
        let mut operations = Vec::new();
        for item in items {
            read_operation(item, &mut operations, leniency)?;
        }
        Ok(Self {
            operations: operations.into(),
        })
    }

    /// Turns the members of a User whose names are paths into a patch of the other members.
    pub(super) fn of_members(members: Object, leniency: &mut Leniency) -> Result<Self, Error> {
        let mut operations = Vec::new();
        read_members(Op::Replace, members, &mut operations, leniency)?;
        Ok(Self {
            operations: operations.into(),
        })
    }

    /// Whether the patch unassigns `active` by its path, which differs from not mentioning it.
    /// Adding nothing to it changes nothing.
    pub fn unassigns_active(&self) -> bool {
        self.operations.iter().any(|operation| {
            let is_unassigned = match operation.op {
                Op::Add => false,
                Op::Replace => is_no_status(&operation.value),
                Op::Remove => true,
            };
            is_unassigned
                && matches!(&operation.target, Target::Attribute { path, .. }
                    if path.attribute.name == "active")
        })
    }

    fn sets_reference(&self) -> bool {
        self.operations.iter().any(|operation| {
            matches!(&operation.target, Target::Attribute { path, .. }
                if path.sub_attribute.is_some_and(|part| part.name == "$ref"))
        })
    }

    /// Whether the patch sets `name.formatted` explicitly. If so, `formatted` is not left over,
    /// whatever it says.
    pub fn sets_formatted_name(&self) -> bool {
        let tells_formatted = |name: &Value| {
            let parts = name.as_object();
            parts.is_some_and(|parts| member(parts, "formatted").is_some())
        };
        self.operations.iter().any(|operation| {
            let Target::Attribute { path, .. } = &operation.target else {
                return false;
            };
            path.attribute.name == "name"
                && match (path.sub_attribute, &operation.value) {
                    (Some(part), value) => part.name == "formatted" && !is_nothing(value),
                    (None, Value::Array(list)) => list.iter().any(tells_formatted),
                    (None, value) => tells_formatted(value),
                }
        })
    }

    /// The user after all operations, checked as a whole. Their comparisons are taken from
    /// `budget`, even if the patch is refused in the end.
    pub fn apply(
        &self,
        user: &User,
        leniency: &mut Leniency,
        budget: &mut Budget,
    ) -> Result<User, Error> {
        let mut patched = self.change(user, leniency, budget)?;
        patched.drop_hollow(Some(user), leniency);
        // A patch that leaves the name alone may apply to a user whose name would be refused today.
        if patched.user_name() != user.user_name() {
            patched.require_user_name().map_err(|error| Error {
                // RFC 7644 section 3.5.2.2: a required attribute may not become unassigned.
                kind: if patched.user_name().is_empty() {
                    ErrorType::Mutability
                } else {
                    error.kind
                },
                ..error
            })?;
        }
        Ok(patched)
    }

    /// Like [`Self::apply`], but for a user that may still lack a userName, since the rest of the
    /// user has not been read yet.
    pub(super) fn change(
        &self,
        user: &User,
        leniency: &mut Leniency,
        budget: &mut Budget,
    ) -> Result<User, Error> {
        let mut attributes = user.clone().into_attributes();
        let mut work = Work::new(leniency, budget, self.sets_reference());
        for operation in self.operations.iter() {
            operation.apply(&mut attributes, &mut work)?;
        }
        // Each attribute is checked once, however many operations change it, since a list may be
        // long.
        let touched: BTreeSet<&'static str> = self
            .operations
            .iter()
            .map(|operation| match &operation.target {
                Target::Extension => ENTERPRISE_URN,
                Target::Attribute { path, .. } => path.member(),
            })
            .collect();
        // The texts that the patch sets were checked when read, and the others were stored earlier.
        leniency.overlooking(Tolerance::MalformedText, |leniency| {
            User::from_touched(attributes, touched, leniency)
        })
    }
}

fn read_operation(
    item: Value,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    let Value::Object(mut item) = item else {
        let detail = "each operation must be an object";
        return Err(Error::new(ErrorType::InvalidSyntax, detail));
    };
    let op = read_op(&item, leniency)?;
    let mut value = match take_member(&mut item, "value") {
        Some(value) => value,
        None if op == Op::Remove => Value::Null,
        None => {
            let detail = "an add or replace operation needs a value";
            return Err(Error::new(ErrorType::InvalidValue, detail));
        }
    };
    let path = match member(&item, "path") {
        None | Some(Value::Null) => "",
        Some(Value::String(path)) => path.trim(),
        Some(_) => return Err(Error::new(ErrorType::InvalidPath, "path must be a string")),
    };
    // A path of only the core schema's URN means the user itself.
    if path.is_empty() || is_core(path, leniency).map_err(of_path)? {
        let what = match path {
            "" => "the operation has no path",
            _ => "the path names the whole User",
        };
        if op == Op::Remove {
            let detail = format!("{what}: a remove operation needs the path of an attribute");
            return Err(Error::new(ErrorType::NoTarget, detail));
        }
        leniency.allow(Tolerance::OperationWithoutPath, what)?;
        return read_whole(op, value, operations, leniency);
    }
    let Some(target) = target_of(path, leniency)? else {
        return Ok(());
    };
    if let Target::Attribute { path, .. } = &target
        && path.attribute.name == "schemas"
    {
        return check_schemas(op, path, value, leniency);
    }
    earlier::rename_manager(path, &mut value);
    push_target(op, target, value, operations, leniency)
}

/// The target of a path; `None` if no schema has it, which is tolerated.
fn target_of(path: &str, leniency: &mut Leniency) -> Result<Option<Target>, Error> {
    let target = Target::parse(path, leniency).map_err(of_path)?;
    if target.is_none() && !Target::is_well_formed(path) {
        let detail = format!("the path {} cannot be read", quoted(path));
        return Err(Error::new(ErrorType::InvalidPath, detail));
    }
    if target.is_none() {
        allow_unknown(path, leniency).map_err(of_path)?;
    }
    Ok(target)
}

fn of_path(error: Error) -> Error {
    match error.kind {
        ErrorType::InvalidFilter => error,
        _ => error.of_kind(ErrorType::InvalidPath),
    }
}

/// Whether this is the URN of the core schema.
fn is_core(urn: &str, leniency: &mut Leniency) -> Result<bool, Error> {
    Ok(earlier::schema(urn, leniency)?.eq_ignore_ascii_case(USER_URN))
}

/// Checks a patch of `schemas`, which follows from the attributes that the user has: naming known
/// schemas changes nothing.
fn check_schemas(
    op: Op,
    path: &AttributePath,
    value: Value,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    // In compatible mode, removing some of them counts as naming them.
    let removes = op == Op::Remove && (leniency.is_strict() || is_nothing(&value));
    if removes || op == Op::Replace && is_nothing(&value) {
        return Err(Error::new(ErrorType::Mutability, is_set_by_us(path)));
    }
    let urns = match value {
        Value::Array(urns) => urns,
        // Adding nothing changes nothing.
        Value::Null => return Ok(()),
        one => {
            leniency.allow(Tolerance::SingleValueForList, "schemas must be a list")?;
            vec![one]
        }
    };
    for urn in urns {
        let urn = urn.as_str().map_or_else(|| urn.to_string(), str::to_owned);
        message::check_known(&urn, leniency)?;
    }
    Ok(())
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
                // The value is not quoted, since it may be anything and would get into the log.
                "op must be add, remove or replace",
            ));
        }
    };
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        leniency.allow(Tolerance::OperationCase, "op must be in lower case")?;
    }
    Ok(op)
}

/// Reads an operation on the whole User, whose value is an object, as one operation per member.
fn read_whole(
    op: Op,
    value: Value,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    const WANTED: &str = "an operation on the whole User needs an object as its value";
    let refused = || Error::new(ErrorType::InvalidSyntax, WANTED);
    let members = match value {
        Value::Object(members) => members,
        Value::Array(elements) => {
            let Ok([Value::Object(members)]) = <[Value; 1]>::try_from(elements) else {
                return Err(refused());
            };
            leniency.allow(Tolerance::ListForSingleValue, WANTED)?;
            members
        }
        _ => return Err(refused()),
    };
    read_members(op, members, operations, leniency)
}

/// Makes one operation per member, including those under the core schema's URN.
fn read_members(
    op: Op,
    members: Object,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    for (name, value) in members {
        if !is_core(&name, leniency)? {
            push_member(op, &name, value, operations, leniency)?;
            continue;
        }
        let Value::Object(core) = value else {
            value::require_unassigned(USER_URN, &value, leniency)?;
            continue;
        };
        allow_path(&name, leniency)?;
        for (name, value) in core {
            push_member(op, &name, value, operations, leniency)?;
        }
    }
    Ok(())
}

fn push_member(
    op: Op,
    name: &str,
    mut value: Value,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    earlier::rename_manager(name, &mut value);
    let Some(target) = Target::parse(name, leniency)? else {
        return allow_unknown(name, leniency);
    };
    if let Target::Attribute { path, .. } = &target {
        if name.contains(['.', '[']) {
            allow_path(name, leniency)?;
        }
        if is_read_only(path) {
            // The client echoes it, like everything else that it was shown.
            return Ok(());
        }
        // A profile with no value for `active` deactivates nobody, as in a PUT.
        if path.attribute.name == "active" && is_no_status(&value) {
            return value::normalise(path.attribute, value, leniency).map(drop);
        }
    }
    push_target(op, target, value, operations, leniency)
}

/// Makes one operation, and one more for each member of an extension whose name is a path in it.
fn push_target(
    op: Op,
    target: Target,
    mut value: Value,
    operations: &mut Vec<Operation>,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    let mut paths = Vec::new();
    if let (Target::Extension, Some(members)) = (&target, value.as_object_mut()) {
        members.retain(|name, value| {
            let is_path = name.contains('.') && !name.contains('[');
            if is_path {
                paths.push((format!("{ENTERPRISE_URN}:{name}"), value.take()));
            }
            !is_path
        });
    }
    push(operations, op, target, value)?;
    paths
        .into_iter()
        .try_for_each(|(name, value)| push_member(op, &name, value, operations, leniency))
}

fn allow_unknown(name: &str, leniency: &mut Leniency) -> Result<(), Error> {
    leniency.allow_ignoring(
        Tolerance::UnknownAttribute,
        name,
        &format!("{} is not an attribute of a User", quoted(name)),
    )
}

fn allow_path(name: &str, leniency: &mut Leniency) -> Result<(), Error> {
    leniency.allow(
        Tolerance::PathAsMember,
        &format!("{} is a path, not the name of a member", quoted(name)),
    )
}

/// Adds an operation, if there is room for it.
fn push(
    operations: &mut Vec<Operation>,
    op: Op,
    target: Target,
    value: Value,
) -> Result<(), Error> {
    // An operation without a path becomes one per member, which must be bounded too.
    if operations.len() == limits::PATCH_OPERATIONS_MAX {
        return Err(too_many(limits::PATCH_OPERATIONS_MAX, "operations"));
    }
    operations.push(Operation { op, target, value });
    Ok(())
}

fn too_many(most: usize, what: &str) -> Error {
    Error::of_size(
        ErrorType::InvalidValue,
        format!("the patch contains or expands to more than {most} {what}"),
    )
}

/// The error for an attribute that cannot be changed.
fn is_set_by_us(path: &AttributePath) -> String {
    format!("{path} is set by the service provider and cannot be changed")
}

fn is_read_only(path: &AttributePath) -> bool {
    let of = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
    of(path.attribute) || path.sub_attribute.is_some_and(of)
}

/// Whether a value means unassigned.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// Whether a value for `active`, possibly in a list of one, says nothing about the status.
fn is_no_status(value: &Value) -> bool {
    let one = value.as_array().and_then(|list| value::only(list));
    is_nothing(one.as_ref().unwrap_or(value))
}
