//! One row: which user it concerns, and how it changes that user. Its values pass the same checks
//! as the body of a request.

use std::sync::Arc;

use serde_json::Value;

use super::cells::restored;
use super::lists::ListCells;
use super::names;
use super::refusal::wrong_count;
use super::{Columns, Error, Target, wrong};
use crate::scim::earlier::rename;
use crate::scim::error::quoted;
use crate::scim::path::AttributePath;
use crate::scim::schema::{self, ENTERPRISE_URN, USER};
use crate::scim::tolerance::{Leniency, Tolerance};
use crate::scim::user::User;
use crate::scim::{Object, member};

/// The cell for `active` of a user for whom it is unassigned.
pub(super) const UNKNOWN: &str = "unknown";

/// The meaning of an empty cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Empty {
    /// The attribute stays as it is.
    #[default]
    Keep,
    /// The attribute becomes unassigned, except `active`: an empty cell is no reason to lock
    /// somebody out.
    Clear,
}

impl Empty {
    /// Reads `keep` or `clear`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "keep" => Some(Self::Keep),
            "clear" => Some(Self::Clear),
            _ => None,
        }
    }
}

/// A row that was read but not yet applied to a user.
#[derive(Clone, Debug)]
pub struct Row {
    id: Option<String>,
    user_name: Option<String>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// The cells, one per column, without white space that does not count.
    Cells(Arc<Columns>, Vec<String>),
    /// The members of a resource, each of which replaces its attribute.
    Members(Object),
}

impl Row {
    /// Reads a row of a table.
    pub fn from_cells(columns: &Arc<Columns>, cells: &[String]) -> Result<Self, Error> {
        let count = columns.targets.len();
        if cells.len() != count {
            return Err(wrong(wrong_count(cells.len(), count)));
        }
        let told = columns.targets.iter().zip(cells);
        let told = told.map(|(target, cell)| target.text_in(restored(cell)).to_owned());
        let cells: Vec<String> = told.collect();
        let some = |at: usize| Some(cells[at].clone()).filter(|cell| !cell.is_empty());
        let id_at = columns.targets.iter().position(|one| *one == Target::Id);
        Self::about(
            id_at.and_then(some),
            columns.name_at.and_then(some),
            Content::Cells(Arc::clone(columns), cells),
        )
    }

    /// Reads a resource, such as a line of a JSON export.
    pub fn from_resource(mut resource: Object) -> Result<Self, Error> {
        rename(&mut resource, &mut Leniency::compatible())?;
        let text = |name: &str| {
            let value = member(&resource, name).and_then(Value::as_str);
            value.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self::about(text("id"), text("userName"), Content::Members(resource))
    }

    fn about(
        id: Option<String>,
        user_name: Option<String>,
        content: Content,
    ) -> Result<Self, Error> {
        if id.is_none() && user_name.is_none() {
            let what = "the row does not identify the user: fill in its userName or id, or its \
                        Email if the file has neither column";
            return Err(wrong(what.to_owned()));
        }
        Ok(Self {
            id,
            user_name,
            content,
        })
    }

    /// The id, if the row has one; it identifies the user.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The userName, if the row has one; it identifies the user if there is no id.
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// Whether the row can say if the user is active.
    pub fn tells_status(&self) -> bool {
        match &self.content {
            Content::Cells(columns, _) => columns.targets.iter().any(is_active),
            Content::Members(members) => member(members, "active").is_some_and(|it| !it.is_null()),
        }
    }

    /// Whether the row says that the user has no `active`.
    pub fn unassigns_active(&self) -> bool {
        let Content::Cells(columns, cells) = &self.content else {
            return false;
        };
        let at = columns.targets.iter().position(is_active);
        at.is_some_and(|at| cells[at] == UNKNOWN)
    }

    /// Whether a user created from the row gets no `active`: the export of a user without `active`
    /// omits it.
    pub fn creates_unknown(&self) -> bool {
        let is_export = |members: &Object| {
            let has_none = member(members, "active").is_none_or(Value::is_null);
            member(members, "schemas").is_some() && has_none
        };
        match &self.content {
            Content::Cells(..) => self.unassigns_active(),
            Content::Members(members) => is_export(members),
        }
    }

    /// Whether the row may repeat a whole name that is older than its parts. The same row must give
    /// the same name each time. So the whole name is taken literally only in a resource exported in
    /// its current state, and in a row without parts of the name.
    pub fn is_outdated(&self, version: &str) -> bool {
        match &self.content {
            Content::Cells(columns, cells) => names(columns, cells, |part| part != "formatted"),
            Content::Members(members) => {
                let meta = member(members, "meta").and_then(Value::as_object);
                let shown = meta.and_then(|meta| member(meta, "version")?.as_str());
                shown != Some(version)
            }
        }
    }

    /// Whether the row sets `name.formatted` explicitly. If so, `formatted` is not left over,
    /// whatever it says.
    pub fn sets_formatted_name(&self) -> bool {
        match &self.content {
            Content::Cells(columns, cells) => names(columns, cells, |part| part == "formatted"),
            Content::Members(members) => {
                let name = member(members, "name").and_then(Value::as_object);
                name.is_some_and(|name| member(name, "formatted").is_some())
            }
        }
    }

    /// The user after this row; `before` is the existing user, if there is one.
    pub fn apply(&self, before: Option<&User>, empty: Empty) -> Result<User, Error> {
        let mut leniency = Leniency::compatible();
        let mut attributes = before.map(User::known).unwrap_or_default();
        match &self.content {
            Content::Cells(columns, cells) => {
                set_cells(&mut attributes, columns, cells, empty)?;
            }
            Content::Members(members) => set_members(&mut attributes, members, &mut leniency)?,
        }
        let mut user = User::from_members(attributes, &mut leniency)?;
        user.drop_hollow(before, &mut leniency);
        if leniency
            .used()
            .any(|used| used == Tolerance::UnknownAttribute)
        {
            return Err(wrong(
                "the row names a part that no attribute of a User has".to_owned(),
            ));
        }
        // As in a patch, a user may keep a name that would be refused today.
        if before.map(User::user_name) != Some(user.user_name()) {
            user.require_user_name()?;
        }
        if let Some(before) = before {
            user.keep_unknown(before);
        }
        Ok(user)
    }
}

pub(super) fn is_active(target: &Target) -> bool {
    matches!(target, Target::Single(path) if path.attribute.name == "active")
}

/// Whether a cell that is not empty sets a part of the name that `is_such` accepts.
fn names(columns: &Columns, cells: &[String], is_such: impl Fn(&str) -> bool) -> bool {
    let is_it = |path: &AttributePath| {
        let part = path.sub_attribute.map(|part| part.name);
        path.attribute.name == "name" && part.is_some_and(&is_such)
    };
    let mut told = columns.targets.iter().zip(cells);
    told.any(|(target, cell)| {
        !cell.is_empty() && matches!(target, Target::Single(path) if is_it(path))
    })
}

fn set_cells(
    attributes: &mut Object,
    columns: &Columns,
    cells: &[String],
    empty: Empty,
) -> Result<(), Error> {
    if columns.is_named_by_email
        && let Some(at) = columns.name_at
        && !cells[at].is_empty()
    {
        attributes.insert("userName".to_owned(), Value::String(cells[at].clone()));
    }
    let left_out = columns
        .manager_at
        .filter(|_| columns.leaves_out_manager(cells));
    // A reference comes after the value that it belongs to.
    for is_reference in [false, true] {
        for (at, (target, cell)) in columns.targets.iter().zip(cells).enumerate() {
            if let Target::Single(path) = target
                && left_out != Some(at)
                && path.sub_attribute.is_some_and(|part| part.name == "$ref") == is_reference
            {
                set_single(attributes, *path, cell, empty)?;
            }
        }
    }
    for attribute in columns.lists() {
        let mut said = ListCells::default();
        for (target, cell) in columns.targets.iter().zip(cells) {
            match target {
                Target::List(list) if *list == attribute => said.whole = Some(cell),
                Target::Element(element) if element.attribute == attribute => {
                    said.elements.push((element, cell));
                }
                _ => {}
            }
        }
        let list = said.apply(attribute, attributes.remove(attribute), empty)?;
        attributes.insert(attribute.to_owned(), Value::Array(list));
    }
    Ok(())
}

fn set_single(
    attributes: &mut Object,
    path: AttributePath,
    cell: &str,
    empty: Empty,
) -> Result<(), Error> {
    let is_active = path.attribute.name == "active";
    if cell.is_empty() && (empty == Empty::Keep || is_active) {
        return Ok(());
    }
    // A user created from such a row, or deactivated since, has no access, and this stays so.
    if is_active && cell == UNKNOWN && attributes.get("active") == Some(&Value::Bool(false)) {
        return Ok(());
    }
    let value = match cell {
        UNKNOWN if is_active => Value::Null,
        "" if path.attribute.name == "userName" => {
            return Err(wrong("userName cannot be cleared".to_owned()));
        }
        "" => Value::Null,
        cell if is_active => Value::Bool(status(cell)?),
        cell => Value::String(cell.to_owned()),
    };
    let members = match path.extension {
        Some(schema) => object_at(attributes, schema.urn),
        None => attributes,
    };
    match path.sub_attribute {
        Some(part) => {
            let parts = object_at(members, path.attribute.name);
            // The reference would point to somebody else.
            if part.name == "value" && parts.get("value").unwrap_or(&Value::Null) != &value {
                parts.shift_remove("$ref");
            }
            parts.insert(part.name.to_owned(), value);
        }
        None => {
            members.insert(path.attribute.name.to_owned(), value);
        }
    }
    Ok(())
}

/// The object of this name, which is created if necessary.
fn object_at<'a>(members: &'a mut Object, name: &str) -> &'a mut Object {
    let value = members.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Object::new());
    }
    value.as_object_mut().expect("it was just made one")
}

/// Reads the words for a status, including Okta's. A user who cannot sign in for a while, but
/// regains access without an administrator of the directory, is active.
fn status(cell: &str) -> Result<bool, Error> {
    match names::folded(cell).as_str() {
        "true" | "yes" | "1" | "active" | "passwordexpired" | "lockedout" | "recovery"
        | "provisioned" => Ok(true),
        "false" | "no" | "0" | "inactive" | "staged" | "suspended" | "deprovisioned" => Ok(false),
        _ => Err(wrong(format!(
            "{} is not a status: use true or false, active or inactive, or one of Okta's",
            quoted(cell)
        ))),
    }
}

/// Each member replaces its attribute; a member without a value removes it, unless it is `active`.
fn set_members(
    attributes: &mut Object,
    members: &Object,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    let new = User::from_members(without_reason(members), leniency)?;
    for name in members.keys() {
        if schema::is_server_managed(name) || super::is_reason(name) {
            continue;
        }
        let canonical = if name.eq_ignore_ascii_case(ENTERPRISE_URN) {
            Some(ENTERPRISE_URN)
        } else if name.eq_ignore_ascii_case("externalId") {
            Some("externalId")
        } else {
            USER.attribute(name).map(|attribute| attribute.name)
        };
        let Some(canonical) = canonical else {
            return Err(wrong(format!(
                "{} is not an attribute of a User",
                quoted(name)
            )));
        };
        match new.attributes().get(canonical) {
            Some(value) => {
                attributes.insert(canonical.to_owned(), value.clone());
            }
            None if canonical == "active" => {}
            None => {
                attributes.shift_remove(canonical);
            }
        }
    }
    Ok(())
}

fn without_reason(members: &Object) -> Object {
    let mut members = members.clone();
    members.retain(|name, _| !super::is_reason(name));
    members
}
