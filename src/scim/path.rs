//! Attribute paths (RFC 7644 section 3.10) and the paths of patch operations (section 3.5.2, figure
//! 7), resolved against the attribute tables as they are read.

use std::fmt;

use serde_json::Value;

use super::error::{Error, ErrorType, quoted};
use super::filter::Filter;
use super::filter_parse;
use super::schema::{self, Attribute, Kind, Returned, Schema};
use super::tolerance::{Leniency, Tolerance};
use super::{Object, earlier};

/// `attrPath`: an attribute, possibly of an extension, or a sub-attribute.
#[derive(Clone, Copy)]
pub struct AttributePath {
    /// The extension that it belongs to; `None` for core and common attributes.
    pub extension: Option<&'static Schema>,
    /// The attribute.
    pub attribute: &'static Attribute,
    /// The sub-attribute, if one is named.
    pub sub_attribute: Option<&'static Attribute>,
}

impl AttributePath {
    /// Reads `[URN:]name[.sub]`, with names in any case. `None` if no schema has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (extension, rest) = split_urn(text, ':');
        Self::of_schema(extension, rest)
    }

    /// Reads a path that is valid only under a tolerance, and returns that tolerance as well.
    /// `None` if [`AttributePath::parse`] can read the path, or if no schema has the attribute.
    pub(super) fn parse_tolerantly(text: &str) -> Option<(Self, Tolerance)> {
        if let (Some(schema), rest) = split_urn(text, '.') {
            let path = Self::of_schema(Some(schema), rest)?;
            return Some((path, Tolerance::DotAfterUrn));
        }
        if let Some(now) = earlier::path(text) {
            return Some((Self::parse(&now)?, Tolerance::EarlierSchema));
        }
        let path = Self::parse_without_urn(text)?;
        Some((path, Tolerance::ExtensionWithoutUrn))
    }

    /// Reads `name[.sub]` after a schema's URN, or without a URN.
    fn of_schema(schema: Option<&'static Schema>, rest: &str) -> Option<Self> {
        // The common attributes also belong to the core schema (RFC 7643 section 3.1).
        let extension = schema.filter(|schema| schema.urn != schema::USER_URN);
        Self::within(extension, rest)
    }

    /// Reads the path of an extension's attribute without the URN. `None` if
    /// [`AttributePath::parse`] can read it, or if the extension does not have it.
    pub fn parse_without_urn(text: &str) -> Option<Self> {
        if Self::parse(text).is_some() {
            return None;
        }
        Self::within(Some(&schema::ENTERPRISE), text)
    }

    /// Reads `name[.sub]` of an extension, or of the core and common attributes.
    fn within(extension: Option<&'static Schema>, text: &str) -> Option<Self> {
        let (name, sub) = match text.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (text, None),
        };
        let attribute = match extension {
            Some(schema) => schema.attribute(name)?,
            None => schema::find(schema::COMMON, name).or_else(|| schema::USER.attribute(name))?,
        };
        let sub_attribute = match sub {
            Some(sub) => Some(attribute.sub_attribute(sub)?),
            None => None,
        };
        Some(Self {
            extension,
            attribute,
            sub_attribute,
        })
    }

    /// The path of a whole attribute.
    pub fn whole(attribute: &'static Attribute) -> Self {
        Self {
            extension: None,
            attribute,
            sub_attribute: None,
        }
    }

    /// The attribute that a comparison looks at: a complex attribute without a sub-attribute stands
    /// for its `value`.
    pub fn compared(&self) -> &'static Attribute {
        self.sub_attribute
            .or_else(|| self.attribute.sub_attribute("value"))
            .unwrap_or(self.attribute)
    }

    /// Whether a filter in brackets may follow. A sub-attribute has none of its own, so there are no
    /// brackets within brackets.
    pub(super) fn can_have_brackets(&self) -> bool {
        self.sub_attribute.is_none() && !self.attribute.sub_attributes.is_empty()
    }

    /// The name of the resource's top-level member that holds the value.
    pub fn member(&self) -> &'static str {
        self.extension
            .map_or(self.attribute.name, |schema| schema.urn)
    }

    /// The value of the whole attribute in `resource`, before the sub-attribute is applied.
    pub fn attribute_value<'a>(&self, resource: &'a Object) -> Option<&'a Value> {
        let member = resource.get(self.member());
        match self.extension {
            Some(_) => member?.get(self.attribute.name),
            None => member,
        }
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.extension {
            write!(f, "{}:", schema.urn)?;
        }
        f.write_str(self.attribute.name)?;
        if let Some(sub) = self.sub_attribute {
            write!(f, ".{}", sub.name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for AttributePath {
    /// Shows only the path: the definitions behind it fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for AttributePath {
    fn eq(&self, other: &Self) -> bool {
        let name = |attribute: &Attribute| attribute.name;
        self.extension.map(|schema| schema.urn) == other.extension.map(|schema| schema.urn)
            && self.attribute.name == other.attribute.name
            && self.sub_attribute.map(name) == other.sub_attribute.map(name)
    }
}

/// Reads a path as well as [`AttributePath::parse`] and [`AttributePath::parse_tolerantly`] can.
/// Fails if the path needs a tolerance that is not allowed.
pub(super) fn read(text: &str, leniency: &mut Leniency) -> Result<Option<AttributePath>, Error> {
    if let Some(path) = AttributePath::parse(text) {
        return Ok(Some(path));
    }
    let Some((path, tolerance)) = AttributePath::parse_tolerantly(text) else {
        return Ok(None);
    };
    let what = format!("{} must be written {path}", quoted(text));
    leniency.allow(tolerance, &what)?;
    Ok(Some(path))
}

/// What is wrong with a path that names nothing, and which path was probably meant. `is_filtered`
/// says that a filter in brackets follows.
pub(super) fn unknown(text: &str, is_filtered: bool) -> String {
    let meant = similar(text, is_filtered).map(|path| format!(": did you mean {path}?"));
    let meant = meant.unwrap_or_default();
    format!("{} is not an attribute of a User{meant}", quoted(text))
}

/// The path that was probably meant by an unknown `name[.sub]`: in the singular or the plural, or
/// within `name`. Of an attribute without a value of its own it is the text of the whole. A path
/// that is never returned is not offered, since it could not be used.
fn similar(text: &str, is_filtered: bool) -> Option<AttributePath> {
    if text.contains(':') {
        return None;
    }
    let end = text.find('.').unwrap_or(text.len());
    let (name, sub) = text.split_at(end);
    let singular = |ending| Some(format!("{}{sub}", name.strip_suffix(ending)?));
    let within = match &*text.to_ascii_lowercase() {
        "first" | "firstname" | "name.first" | "name.firstname" => "givenName",
        "last" | "lastname" | "surname" | "name.last" | "name.lastname" => "familyName",
        _ => text,
    };
    let guesses = [
        Some(format!("{name}s{sub}")),
        Some(format!("{name}es{sub}")),
        singular("s"),
        singular("es"),
        Some(format!("name.{within}")),
    ];
    let known = |guess: String| {
        let mut path = AttributePath::parse(&guess)?;
        if is_filtered {
            return path.can_have_brackets().then_some(path);
        }
        if path.compared().kind == Kind::Complex {
            path.sub_attribute = Some(path.attribute.sub_attribute("formatted")?);
        }
        Some(path)
    };
    (guesses.into_iter().flatten().filter_map(known))
        .find(|path| path.attribute.returned != Returned::Never)
}

/// Splits a known schema's URN and the separator after it off the front. URNs contain dots and
/// colons themselves, so only comparison with the known ones shows where they end.
fn split_urn(text: &str, separator: char) -> (Option<&'static Schema>, &str) {
    for schema in schema::SCHEMAS {
        let length = schema.urn.len();
        if let (Some(urn), Some(rest)) = (text.get(..length), text.get(length..))
            && urn.eq_ignore_ascii_case(schema.urn)
            && let Some(rest) = rest.strip_prefix(separator)
        {
            return (Some(schema), rest);
        }
    }
    (None, text)
}

/// The target of a patch operation.
#[derive(Clone, Debug)]
pub enum Target {
    /// The whole extension.
    Extension,
    /// An attribute or a part of it; for a list, possibly only the matching elements.
    Attribute {
        /// The attribute, and the sub-attribute if one is named.
        path: AttributePath,
        /// `[filter]` on the elements of a list.
        filter: Option<Filter>,
    },
}

impl Target {
    /// Whether a text could be the path of an attribute of some schema: `[URN:]name[.sub]` with the
    /// characters of RFC 7643 section 2.1, possibly with a filter in brackets followed by `.sub`.
    pub fn is_well_formed(text: &str) -> bool {
        let is_name = |name: &str| {
            let rest = name.strip_prefix('$').unwrap_or(name);
            rest.starts_with(|c: char| c.is_ascii_alphabetic())
                && rest
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        let (path, is_complete) = match text.trim().split_once('[') {
            Some((path, rest)) => {
                let after = rest.rsplit_once(']').map(|(_, after)| after);
                let sub = after.and_then(|after| after.strip_prefix('.'));
                (path, after == Some("") || sub.is_some_and(is_name))
            }
            None => (text.trim(), true),
        };
        let name = match (split_urn(path, '.'), path.rsplit_once(':')) {
            ((Some(_), name), _) => name,
            (_, Some((urn, name))) if urn.contains(':') && !urn.contains(char::is_whitespace) => {
                name
            }
            _ => path,
        };
        let (name, sub) = match name.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (name, None),
        };
        is_complete && is_name(name) && sub.is_none_or(is_name)
    }

    /// Reads `attrPath / valuePath [subAttr]`. `Ok(None)` if no schema has the attribute. An error
    /// in the brackets is an error of the filter (RFC 7644 table 9, "invalidFilter").
    pub fn parse(text: &str, leniency: &mut Leniency) -> Result<Option<Self>, Error> {
        let text = text.trim();
        let urn = earlier::schema(text, leniency)?;
        if urn.eq_ignore_ascii_case(schema::ENTERPRISE_URN) {
            return Ok(Some(Self::Extension));
        }
        let Some((before, rest)) = text.split_once('[') else {
            let path = read(text, leniency)?;
            return Ok(path.map(|path| Self::Attribute { path, filter: None }));
        };
        let malformed = || {
            Error::new(
                ErrorType::InvalidPath,
                format!("the path {} cannot be read", quoted(text)),
            )
        };
        let path = if before.contains(':') {
            read(before, leniency)?
        } else {
            // No extension has a list.
            AttributePath::parse(before)
        };
        let Some(mut path) = path else {
            return Ok(None);
        };
        if path.sub_attribute.is_some() || !path.attribute.multi_valued {
            return Err(Error::new(
                ErrorType::InvalidFilter,
                format!("{before} is not a list, a filter in brackets cannot follow it"),
            ));
        }
        // A quoted value may contain a bracket, so the closing one is the last.
        let (inside, after) = rest.rsplit_once(']').ok_or_else(malformed)?;
        if !after.is_empty() {
            let sub = after.strip_prefix('.').ok_or_else(malformed)?;
            let Some(sub) = path.attribute.sub_attribute(sub) else {
                return Ok(None);
            };
            path.sub_attribute = Some(sub);
        }
        let at = before.len() + 1;
        let text = &text[..at + inside.len()];
        let filter = filter_parse::parse_value_filter(text, at, path.attribute, leniency)?;
        Ok(Some(Self::Attribute {
            path,
            filter: Some(filter),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        for (text, meant) in [
            ("email", Some("emails")),
            ("Email.value", Some("emails.value")),
            ("phoneNumber", Some("phoneNumbers")),
            ("address.locality", Some("addresses.locality")),
            ("address", Some("addresses.formatted")),
            ("names", Some("name.formatted")),
            ("metas", None),
            ("firstName", Some("name.givenName")),
            ("lastname", Some("name.familyName")),
            ("name.first", Some("name.givenName")),
            ("userNames", Some("userName")),
            ("FAMILYNAME", Some("name.familyName")),
            ("passwords", None),
            ("nothing", None),
            ("", None),
        ] {
            let found = similar(text, false).map(|path| path.to_string());
            assert_eq!(found.as_deref(), meant, "{text}");
        }
        let filtered = |text| similar(text, true).map(|path| path.to_string());
        assert_eq!(filtered("address").as_deref(), Some("addresses"));
        assert_eq!(filtered("names").as_deref(), Some("name"));
        assert_eq!(filtered("titles"), None, "it has no parts");
        assert_eq!(filtered("email.value"), None, "a part has no parts");
    }

    #[test]
    fn attribute_paths_are_read_in_any_case_and_with_urns() {
        for (text, wanted) in [
            ("USERNAME", Some("userName")),
            ("name.givenname", Some("name.givenName")),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:name.familyName",
                Some("name.familyName"),
            ),
            (
                "URN:ietf:params:scim:schemas:extension:enterprise:2.0:user:manager.value",
                Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"),
            ),
            ("meta.lastModified", Some("meta.lastModified")),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:externalId",
                Some("externalId"),
            ),
            ("department", None),
            ("name.nothing", None),
            ("", None),
            ("urn:unknown:User:x", None),
        ] {
            let found = AttributePath::parse(text).map(|path| path.to_string());
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_dot_stands_for_the_colon_after_a_known_urn() {
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (text, wanted) in [
            (format!("{core}.active"), Some("active".to_owned())),
            (
                format!("{core}.name.givenName"),
                Some("name.givenName".to_owned()),
            ),
            (
                format!("{}.Department", enterprise.to_uppercase()),
                Some(format!("{enterprise}:department")),
            ),
            (
                format!("{enterprise}.manager.value"),
                Some(format!("{enterprise}:manager.value")),
            ),
            (format!("{enterprise}.active"), None),
            (format!("{core}.nosuch"), None),
            (format!("{core}."), None),
            ("urn:unknown:User.active".to_owned(), None),
        ] {
            assert_eq!(AttributePath::parse(&text), None, "{text}");
            let found = AttributePath::parse_tolerantly(&text);
            let found = found.map(|(path, tolerance)| (path.to_string(), tolerance));
            let wanted = wanted.map(|path| (path, Tolerance::DotAfterUrn));
            assert_eq!(found, wanted, "{text}");
        }
        let mut leniency = Leniency::compatible();
        let text = format!("{core}.emails[type eq \"work\"].value");
        let target = Target::parse(&text, &mut leniency);
        let Ok(Some(Target::Attribute { path, filter })) = target else {
            panic!("{target:?}");
        };
        assert_eq!(path.to_string(), "emails.value");
        assert!(filter.is_some() && leniency.used().eq([Tolerance::DotAfterUrn]));
        assert!(Target::parse(&text, &mut Leniency::strict()).is_err());
    }

    #[test]
    fn targets_have_filters_and_parts() {
        let mut leniency = Leniency::strict();
        let target = Target::parse("emails[type eq \"a]b\"].value", &mut leniency);
        let Ok(Some(Target::Attribute { path, filter })) = target else {
            panic!("{target:?}");
        };
        assert_eq!(path.to_string(), "emails.value");
        assert!(filter.is_some());
        for bad in [
            "emails[type eq",
            "emails[]",
            "userName[a eq 1]",
            "emails[type eq 1]x",
        ] {
            assert!(Target::parse(bad, &mut leniency).is_err(), "{bad}");
        }
        assert!(matches!(Target::parse("nothing", &mut leniency), Ok(None)));
        for (text, position) in [
            ("emails[nothing pr]", "position 8:"),
            ("emails[type eq \"work\" and].value", "position 26:"),
            ("emails[]", "position 8:"),
        ] {
            let error = Target::parse(text, &mut leniency).expect_err(text);
            assert!(error.detail.contains(position), "{text}: {error}");
        }
    }

    #[test]
    fn what_could_be_a_path_of_some_schema_is_told_from_what_could_not() {
        for (text, is_path) in [
            ("shoe", true),
            ("shoe.size", true),
            ("urn:x:y:shoe.$ref", true),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.ref",
                true,
            ),
            ("urn:ietf:params:scim:schemas:core:2.0:User.a.b.c", false),
            ("shoes[side eq \"]\"].size", true),
            ("shoes[side eq \"left\"]", true),
            (" shoes[side eq \"left\"].size ", true),
            ("shoe.", false),
            ("shoe.size.x", false),
            ("7", false),
            ("a shoe", false),
            ("shoes[side eq \"left\"", false),
            ("shoes[side eq \"left\"].", false),
            ("shoes[side eq \"left\"].size.x", false),
            ("shoes[side eq \"left\"]size", false),
        ] {
            assert_eq!(Target::is_well_formed(text), is_path, "{text}");
        }
    }
}
