//! A User as a value: the attributes that a client may set, under canonical names, in the order of
//! the schema (RFC 7643 sections 4.1 and 4.3). It excludes what the service provider adds (`id`,
//! `meta`: section 3.1).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{Error, ErrorType, Why, quoted};
use super::fold::{is_unseen, lone_joiner};
use super::patch::{Budget, Patch};
use super::path::Target;
use super::schema::{self, Attribute, ENTERPRISE, ENTERPRISE_URN, USER, USER_URN};
use super::tolerance::{Leniency, Tolerance};
use super::{Object, USUAL_ATTRIBUTES, earlier, member, message, value, whole_name};
use crate::limits;

/// The attributes of one User. A clone shares them until one of the two changes: copying them was a
/// tenth of the work on a replace before its commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    attributes: Arc<Object>,
}

impl User {
    /// Reads the body of a create or a replace (RFC 7644 sections 3.3, 3.5.1).
    ///
    /// Read-only members are ignored, a password is dropped, and everything else keeps its value as
    /// sent. Fails if `userName` is missing or a value has the wrong type.
    pub fn parse(body: Value, leniency: &mut Leniency) -> Result<Self, Error> {
        Self::parse_within(body, leniency, &mut Budget::default())
    }

    /// Like [`Self::parse`]. The comparisons that members with paths as names need are taken from
    /// `budget`.
    pub fn parse_within(
        body: Value,
        leniency: &mut Leniency,
        budget: &mut Budget,
    ) -> Result<Self, Error> {
        let Value::Object(mut body) = body else {
            return Err(Error::new(
                ErrorType::InvalidSyntax,
                "the body must be a JSON object: one User",
            ));
        };
        earlier::rename(&mut body, leniency)?;
        message::check_user_schemas(&body, leniency)?;
        let paths = take_paths(&mut body);
        let mut user = Self::from_members(body, leniency)?;
        if !paths.is_empty() {
            user = Patch::of_members(paths, leniency)?.change(&user, leniency, budget)?;
        }
        user.drop_hollow(None, leniency);
        user.require_user_name()?;
        Ok(user)
    }

    /// Brings members into canonical form. They come from a client or a file.
    pub(crate) fn from_members(body: Object, leniency: &mut Leniency) -> Result<Self, Error> {
        let mut external_id = None;
        let mut extension = Object::new();
        let mut core = Vec::with_capacity(body.len());
        for (name, member) in body {
            if name.eq_ignore_ascii_case("externalId") {
                let attribute = schema::find(schema::COMMON, "externalId")
                    .expect("the common attributes hold externalId");
                external_id = value::normalise(attribute, member, leniency)?;
            } else if schema::is_server_managed(&name) {
                // Clients echo these members: they carry no change.
            } else if name.eq_ignore_ascii_case(ENTERPRISE_URN) {
                extension = extension_members(member, leniency)?;
            } else if name.eq_ignore_ascii_case(USER_URN) {
                // `take_paths` has already removed an object.
                value::require_unassigned(USER_URN, &member, leniency)?;
            } else if name.contains(':') {
                leniency.allow_ignoring(
                    Tolerance::UnknownSchema,
                    &name,
                    &format!("the schema {} is not known", quoted(&name)),
                )?;
            } else {
                core.push((name, member));
            }
        }
        let core = value::members(USER.attributes, core, leniency, "")?;
        let mut attributes = Object::with_capacity(core.len() + 2);
        if let Some(external_id) = external_id {
            attributes.insert("externalId".to_owned(), external_id);
        }
        attributes.extend(core);
        if !extension.is_empty() {
            attributes.insert(ENTERPRISE_URN.to_owned(), Value::Object(extension));
        }
        Ok(Self {
            attributes: Arc::new(attributes),
        })
    }

    /// A stored user after some of its attributes were touched. Only those are checked again like
    /// new input, for types, lengths of lists and empty values: reading all attributes again would
    /// be a quarter of the cost of a patch.
    pub(super) fn from_touched(
        mut attributes: Object,
        touched: BTreeSet<&'static str>,
        leniency: &mut Leniency,
    ) -> Result<Self, Error> {
        for name in touched {
            let Some(value) = attributes.get_mut(name).map(Value::take) else {
                continue;
            };
            let value = if name == ENTERPRISE_URN {
                let members = extension_members(value, leniency)?;
                (!members.is_empty()).then_some(Value::Object(members))
            } else {
                let attribute = USER
                    .attribute(name)
                    .or_else(|| schema::find(schema::COMMON, name));
                match attribute {
                    Some(attribute) => value::normalise(attribute, value, leniency)?,
                    None => Some(value),
                }
            };
            match value {
                Some(value) => attributes.insert(name.to_owned(), value),
                None => attributes.shift_remove(name),
            };
        }
        Ok(Self::from_attributes(attributes))
    }

    /// Reads the stored text of a resource, which was checked before it was stored. Fails if it is
    /// not a JSON object.
    pub fn from_stored(resource: &str) -> serde_json::Result<Self> {
        let Attributes(attributes) = serde_json::from_str(resource)?;
        Ok(Self {
            attributes: Arc::new(attributes),
        })
    }

    /// A user with the attributes of a stored user, in any order.
    pub fn from_attributes(attributes: Object) -> Self {
        Self {
            attributes: Arc::new(in_schema_order(attributes)),
        }
    }

    /// Removes [hollow](value::is_hollow) elements at the end of a request in compatible mode. They
    /// occur because an identity provider may say that an address is primary before it sends the
    /// address, or may clear only the address; a `pr` filter would find what is left. If a hollow
    /// element has taken `primary`, the element that was primary `before` gets it back. A list that
    /// has not changed is left alone.
    pub(crate) fn drop_hollow(&mut self, before: Option<&Self>, leniency: &mut Leniency) {
        let has_hollow = |value: &Value| {
            let elements = value.as_array();
            elements.is_some_and(|elements| elements.iter().any(value::is_hollow))
        };
        if leniency.is_strict() || !self.attributes.values().any(has_hollow) {
            return;
        }
        Arc::make_mut(&mut self.attributes).retain(|name, value| {
            let was = before.and_then(|before| before.attributes.get(name));
            if !has_hollow(value) || was == Some(&*value) {
                return true;
            }
            leniency.note(Tolerance::HollowValue);
            let elements = value.as_array_mut().expect("it is a list");
            let was_primary =
                |element: &Value| value::is_hollow(element) && value::is_primary(element);
            let has_taken = elements.iter().any(was_primary);
            elements.retain(|element| !value::is_hollow(element));
            if has_taken && !elements.iter().any(value::is_primary) {
                let was = was.and_then(Value::as_array).into_iter().flatten();
                restore_primary(elements, was);
            }
            !elements.is_empty()
        });
    }

    /// Fails if the userName is only white space, which is not a name (RFC 7643 section 4.1.1:
    /// non-empty).
    pub(crate) fn require_user_name(&self) -> Result<(), Error> {
        if self.user_name().trim().is_empty() {
            let detail =
                "userName is required: map it in the identity provider, usually to the email";
            return Err(Error {
                why: Why::NoUserName,
                ..Error::new(ErrorType::InvalidValue, detail)
            });
        }
        Ok(())
    }

    /// Fails unless a new userName is visible, typeable, and short enough to filter for. Otherwise
    /// one person could have two users that nobody can tell apart (RFC 7644 section 5, RFC 8265
    /// section 3.3). A user may keep a name that is older than this rule.
    pub(crate) fn require_seen_user_name(&self) -> Result<(), Error> {
        let name = self.user_name();
        let what = if name.len() > limits::USER_NAME_BYTES_MAX {
            format!("more than {} bytes", limits::USER_NAME_BYTES_MAX)
        } else if name.trim() != name {
            "white space around it".to_owned()
        } else if let Some(unseen) =
            (name.chars().find(|c| is_unseen(*c))).or_else(|| lone_joiner(name))
        {
            format!("the invisible character U+{:04X}", u32::from(unseen))
        } else {
            return Ok(());
        };
        let detail = format!("the userName has {what}: fix it where the name comes from");
        Err(Error::new(ErrorType::InvalidValue, detail))
    }

    /// The attributes, under canonical names, in the schema's order.
    pub fn attributes(&self) -> &Object {
        &self.attributes
    }

    pub(super) fn into_attributes(self) -> Object {
        Arc::unwrap_or_clone(self.attributes)
    }

    /// The schemas that this user's attributes belong to (RFC 7643 section 3, "schemas").
    pub fn schemas(&self) -> Vec<&'static str> {
        let mut urns = vec![USER_URN];
        if self.attributes.contains_key(ENTERPRISE_URN) {
            urns.push(ENTERPRISE_URN);
        }
        urns
    }

    /// `userName` as sent; empty only if it has not been checked.
    pub fn user_name(&self) -> &str {
        self.text("userName").unwrap_or_default()
    }

    /// `externalId` as sent.
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId")
    }

    /// `active`, if it is assigned.
    pub fn active(&self) -> Option<bool> {
        self.attributes.get("active").and_then(Value::as_bool)
    }

    /// The email addresses as sent.
    pub fn emails(&self) -> impl Iterator<Item = &str> {
        let emails = self.attributes.get("emails").and_then(Value::as_array);
        let emails = emails.map_or(&[][..], Vec::as_slice);
        emails
            .iter()
            .filter_map(|email| email.get("value")?.as_str())
    }

    /// The values in which people are searched: userName, displayName, the parts of the name, the
    /// email addresses.
    pub fn searched_values(&self) -> impl Iterator<Item = &str> {
        let parts = self.name().into_iter().flat_map(|name| name.values());
        [self.text("userName"), self.text("displayName")]
            .into_iter()
            .flatten()
            .chain(parts.filter_map(Value::as_str))
            .chain(self.emails())
    }

    /// Sets `active`.
    pub fn set_active(&mut self, active: bool) {
        let mut attributes = std::mem::take(self).into_attributes();
        attributes.insert("active".to_owned(), Value::Bool(active));
        *self = Self::from_attributes(attributes);
    }

    /// Keeps `name.formatted` from going stale when a client changes the parts of a name, but
    /// echoes or omits `formatted`. In an [outdated](Echo::is_outdated) echo, `formatted` may be
    /// older than in `before`.
    pub fn refresh_formatted_name(&mut self, before: &Self, is_outdated: bool) {
        let Some(now) = self.name() else { return };
        if let Some(whole) = whole_name::refreshed(before.name(), now, is_outdated)
            && let Some(Value::Object(name)) = Arc::make_mut(&mut self.attributes).get_mut("name")
        {
            name.insert("formatted".to_owned(), Value::String(whole));
        }
    }

    /// Drops `name` if a patch has removed all its parts, and the remaining `formatted` consisted
    /// only of them.
    pub fn drop_left_over_name(&mut self, before: &Self) {
        let is_left_over = match (before.name(), self.name()) {
            (Some(then), Some(now)) => whole_name::is_left_over(then, now),
            _ => false,
        };
        if is_left_over {
            // Nothing else is left in it.
            Arc::make_mut(&mut self.attributes).shift_remove("name");
        }
    }

    /// The attributes with known names.
    pub(crate) fn known(&self) -> Object {
        let mut attributes = Object::clone(&self.attributes);
        attributes.retain(|name, _| is_known(name));
        attributes
    }

    /// Keeps what was stored `before` under unknown names.
    pub fn keep_unknown(&mut self, before: &Self) {
        for (name, value) in before.attributes() {
            if !is_known(name) {
                Arc::make_mut(&mut self.attributes).insert(name.clone(), value.clone());
            }
        }
    }

    fn name(&self) -> Option<&Object> {
        self.attributes.get("name")?.as_object()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }
}

/// Marks a replace whose body repeats, with changes, what the service provider has shown: the body
/// contains members that only the service provider sets. The client may have changed parts of the
/// name without adapting `name.formatted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// `meta.version`: the entity tag of what was shown.
    version: Option<String>,
}

impl Echo {
    /// `None` if the body is to be taken literally: because it repeats nothing, or because the mode
    /// is strict, where a replace follows RFC 7644 section 3.5.1.
    pub fn of(body: &Value, leniency: &Leniency) -> Option<Self> {
        let body = body.as_object().filter(|_| !leniency.is_strict())?;
        let meta = member(body, "meta");
        if meta.is_none() && member(body, "id").is_none() {
            return None;
        }
        let version = meta.and_then(|meta| member(meta.as_object()?, "version")?.as_str());
        Some(Self {
            version: version.map(str::to_owned),
        })
    }

    /// Whether the echo may repeat an older state than the one with this entity tag.
    pub fn is_outdated(&self, version: &str) -> bool {
        self.version.as_deref() != Some(version)
    }
}

/// The attributes of a stored resource. Members that are derived from them or also stored elsewhere
/// are skipped.
struct Attributes(Object);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributesVisitor).map(Self)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
        let mut attributes = Object::with_capacity(USUAL_ATTRIBUTES);
        while let Some(name) = members.next_key::<String>()? {
            if matches!(name.as_str(), "schemas" | "id") {
                members.next_value::<IgnoredAny>()?;
            } else {
                attributes.insert(name, members.next_value()?);
            }
        }
        Ok(attributes)
    }
}

/// The names that an attribute of a User may have, in the order in which they are stored and shown.
fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once("externalId")
        .chain(USER.attributes.iter().map(|attribute| attribute.name))
        .chain(std::iter::once(ENTERPRISE_URN))
}

fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// Puts the attributes into the order in which they are stored and shown, with unknown ones last: a
/// newer release has stored those, and needs them when it runs again.
fn in_schema_order(mut attributes: Object) -> Object {
    let mut left = names();
    if attributes.keys().all(|name| left.any(|next| next == name)) {
        return attributes;
    }
    let mut ordered = Object::with_capacity(attributes.len());
    for name in names() {
        if let Some((name, value)) = attributes.shift_remove_entry(name) {
            ordered.insert(name, value);
        }
    }
    ordered.extend(attributes);
    ordered
}

/// Takes out of a body the members whose names are attribute paths or attributes of the extension,
/// the core attributes under the core schema's URN, and an extension that has such members.
fn take_paths(body: &mut Object) -> Object {
    let members = body.iter();
    let found: Vec<bool> = members
        .map(|(name, value)| is_path(body, name, value))
        .collect();
    if !found.contains(&true) {
        return Object::new();
    }
    // In the same order: looking for each name among those found would be quadratic.
    let mut found = found.into_iter();
    let members = std::mem::take(body).into_iter();
    let (paths, others) = members.partition(|_| found.next() == Some(true));
    *body = others;
    paths
}

/// Whether this member of a body is one of those that [`take_paths`] takes.
fn is_path(body: &Object, name: &str, value: &Value) -> bool {
    if name.eq_ignore_ascii_case(USER_URN) {
        return value.is_object();
    }
    if name.eq_ignore_ascii_case(ENTERPRISE_URN) {
        let members = value.as_object();
        return members.is_some_and(|members| members.keys().any(|name| name.contains('.')));
    }
    if let Some(attribute) = ENTERPRISE.attribute(name) {
        // What has a value under the extension's URN is not touched by a member beside it.
        let extension = member(body, ENTERPRISE_URN).and_then(Value::as_object);
        let under = extension.and_then(|members| member(members, attribute.name));
        let is_told = under.is_some_and(|under| has_value(attribute, under));
        // Of another type, it is a member of the client's own, which is ignored like others.
        return !is_told && has_value(attribute, value);
    }
    // A name that cannot be read as a path is an unknown attribute.
    name.contains(['.', '['])
        && matches!(
            Target::parse(name, &mut Leniency::compatible()),
            Ok(Some(Target::Attribute { .. }))
        )
}

/// Whether this is a value of the attribute, in any of the forms that are accepted: a number or a
/// list of one may be.
fn has_value(attribute: &Attribute, value: &Value) -> bool {
    let stored = value::normalise(attribute, value.clone(), &mut Leniency::compatible());
    matches!(stored, Ok(Some(_)))
}

fn extension_members(value: Value, leniency: &mut Leniency) -> Result<Object, Error> {
    match value {
        Value::Object(mut object) => {
            // Some clients also put `schemas` into the extension, where it means nothing.
            object.retain(|name, _| !name.eq_ignore_ascii_case("schemas"));
            let prefix = format!("{ENTERPRISE_URN}:");
            let members = value::members(ENTERPRISE.attributes, object, leniency, &prefix)?;
            Ok(members.into_iter().collect())
        }
        other => {
            value::require_unassigned(ENTERPRISE_URN, &other, leniency).map(|()| Object::new())
        }
    }
}

/// Makes primary again the element that was primary before, if it is still there.
fn restore_primary<'a>(elements: &mut [Value], mut was: impl Iterator<Item = &'a Value>) {
    let Some(primary) = was.find(|element| value::is_primary(element)) else {
        return;
    };
    let part = match primary.get("value") {
        Some(_) => "value",
        None => "type",
    };
    // Several elements may have the same value, or the same type.
    let is_it = |element: &Value| value::is_same_but_primary(element, primary);
    let is_like_it = |element: &Value| element.get(part) == primary.get(part);
    let it = elements.iter().position(is_it);
    if let Some(it) = it.or_else(|| elements.iter().position(is_like_it)) {
        elements[it]["primary"] = Value::Bool(true);
    }
}
