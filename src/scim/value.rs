//! Normalizes values from outside into the form of their attribute: canonical names, checked types
//! (RFC 7643 section 2.3), nothing unassigned (section 2.5). The values themselves stay as sent.

use std::collections::HashSet;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::{Error, ErrorType, quoted};
use super::schema::{Attribute, Kind, Mutability};
use super::tolerance::{Leniency, Tolerance};
use super::{Object, member};
use crate::limits;

/// The stored form of `value`. `None` if the value counts as unassigned: null, empty lists and
/// objects (RFC 7643 section 2.5), and empty texts, because identity providers clear an attribute
/// that way. `None` also for values that a client may not set or nobody may see.
pub(super) fn normalise(
    attribute: &Attribute,
    value: Value,
    leniency: &mut Leniency,
) -> Result<Option<Value>, Error> {
    if attribute.mutability == Mutability::ReadOnly || value.is_null() {
        return Ok(None);
    }
    if !attribute.multi_valued {
        return single(attribute, value, leniency);
    }
    match value {
        Value::Array(elements) => list(attribute, elements, leniency),
        Value::String(text) if text.is_empty() => empty_text(attribute, leniency),
        other => {
            // This comes first, because a value that no mode accepts is an error in any case.
            let list = list(attribute, vec![other], leniency)?;
            leniency.allow(
                Tolerance::SingleValueForList,
                &format!("{} must be a list", attribute.name),
            )?;
            Ok(list)
        }
    }
}

/// The stored form of one value, which is either a singular attribute or one element of a list.
pub(super) fn single(
    attribute: &Attribute,
    value: Value,
    leniency: &mut Leniency,
) -> Result<Option<Value>, Error> {
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (Kind::Complex, value) => complex(attribute, value, leniency),
        (_, Value::Array(elements)) => list_of_one(attribute, &elements, leniency),
        (Kind::Boolean, value) => boolean(attribute, value, leniency),
        // A password: only its type is checked.
        (_, Value::String(_) | Value::Number(_))
            if attribute.mutability == Mutability::WriteOnly =>
        {
            Ok(None)
        }
        (_, Value::String(text)) if text.is_empty() => empty_text(attribute, leniency),
        (kind, Value::String(text)) => {
            if let Some(wanted) = malformed(kind, &text) {
                leniency.allow(
                    Tolerance::MalformedText,
                    &format!("{} must be {wanted}", attribute.name),
                )?;
            }
            Ok(Some(Value::String(text)))
        }
        // Other numbers might not be shown again as they were written.
        (_, Value::Number(number)) if number.is_i64() || number.is_u64() => {
            leniency.allow(
                Tolerance::ScalarAsText,
                &format!("{} must be a string", attribute.name),
            )?;
            Ok(Some(Value::String(number.to_string())))
        }
        (_, other) => Err(wrong_type(attribute, &other)),
    }
}

/// Reads a simple attribute that was sent as a list of at most one value.
fn list_of_one(
    attribute: &Attribute,
    elements: &[Value],
    leniency: &mut Leniency,
) -> Result<Option<Value>, Error> {
    let Some(value) = only(elements) else {
        let list = Value::Array(Vec::new());
        return Err(wrong_type(attribute, &list));
    };
    // This comes first, because a value that no mode accepts is an error with or without the list.
    let value = single(attribute, value, leniency)?;
    not_a_list(attribute.name, leniency)?;
    Ok(value)
}

/// The single value in a list: as it is, or as the `value` of an object; null for an empty list.
/// `None` if it is a list or another object.
pub(super) fn only(elements: &[Value]) -> Option<Value> {
    let value = match elements {
        [] => Some(&Value::Null),
        [Value::Object(parts)] => member(parts, "value"),
        [one] => Some(one),
        _ => None,
    };
    let value = value.filter(|value| !value.is_array() && !value.is_object());
    value.cloned()
}

/// What a text of this kind should be; `None` if it is well-formed.
fn malformed(kind: Kind, text: &str) -> Option<&'static str> {
    // Padding may be left out (RFC 7643 section 2.3.6).
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    // The characters allowed in a URI (RFC 3986 section 2).
    let is_of_uri = |byte: u8| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte);
    match kind {
        Kind::Binary if BASE64.decode(text).is_err() => Some("base64"),
        Kind::Reference if !text.bytes().all(is_of_uri) => Some("a URI"),
        _ => None,
    }
}

/// Whether the value under a schema's URN means unassigned.
pub(super) fn is_unassigned(
    name: &str,
    value: &Value,
    leniency: &mut Leniency,
) -> Result<bool, Error> {
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => allow_empty_text(name, leniency)?,
        Value::Array(elements) if elements.is_empty() => not_a_list(name, leniency)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Refuses a value under a schema's URN that is not an object, unless it means unassigned: ignoring
/// it would lose a change.
pub(super) fn require_unassigned(
    urn: &str,
    value: &Value,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    if is_unassigned(urn, value, leniency)? {
        return Ok(());
    }
    Err(Error::new(
        ErrorType::InvalidValue,
        format!("{urn} must be an object"),
    ))
}

/// Treats an empty text as unassigned, if that is tolerated: RFC 7643 allows only null and the
/// empty list for that. A required attribute is refused later for having no value, in any mode.
fn empty_text(attribute: &Attribute, leniency: &mut Leniency) -> Result<Option<Value>, Error> {
    if !attribute.required {
        allow_empty_text(attribute.name, leniency)?;
    }
    Ok(None)
}

fn allow_empty_text(name: &str, leniency: &mut Leniency) -> Result<(), Error> {
    leniency.allow(
        Tolerance::EmptyText,
        &format!("{name} must have a value, be null or be left out"),
    )
}

/// Tolerates a list where one value is expected; an empty list means unassigned only for
/// multi-valued attributes (RFC 7643 section 2.5).
fn not_a_list(name: &str, leniency: &mut Leniency) -> Result<(), Error> {
    leniency.allow(
        Tolerance::ListForSingleValue,
        &format!("{name} must not be a list"),
    )
}

fn boolean(
    attribute: &Attribute,
    value: Value,
    leniency: &mut Leniency,
) -> Result<Option<Value>, Error> {
    let told = match &value {
        Value::Bool(_) => return Ok(Some(value)),
        Value::String(text) if text.is_empty() => return empty_text(attribute, leniency),
        Value::String(text) => boolean_word(text),
        _ => None,
    };
    let told = told.ok_or_else(|| wrong_type(attribute, &value))?;
    leniency.allow(
        Tolerance::BooleanAsText,
        &format!("{} must be true or false, without quotes", attribute.name),
    )?;
    Ok(Some(Value::Bool(told)))
}

/// The boolean that a word spells, in any case; `None` for other words.
pub(super) fn boolean_word(word: &str) -> Option<bool> {
    let is = |wanted: &str| word.eq_ignore_ascii_case(wanted);
    (is("true") || is("false")).then(|| is("true"))
}

pub(super) fn allow_list_of_one(
    attribute: &Attribute,
    leniency: &mut Leniency,
) -> Result<(), Error> {
    leniency.allow(
        Tolerance::ListForSingleValue,
        &format!("{} must be one object", attribute.name),
    )
}

fn complex(
    attribute: &Attribute,
    value: Value,
    leniency: &mut Leniency,
) -> Result<Option<Value>, Error> {
    let object = match value {
        Value::Object(object) => object,
        Value::String(text) if text.is_empty() => return empty_text(attribute, leniency),
        Value::String(text) if is_encoded(&text) => return Err(encoded(attribute)),
        Value::String(_) if attribute.sub_attribute("value").is_some() => {
            leniency.allow(
                Tolerance::PlainValueForComplex,
                &format!("{} must be an object with a value", attribute.name),
            )?;
            Object::from_iter([("value".to_owned(), value)])
        }
        Value::Array(mut elements) if elements.len() <= 1 => {
            let one = match elements.pop() {
                // Only a plain element is accepted: with nested lists the sender would decide the
                // depth of the recursion.
                Some(element @ (Value::Object(_) | Value::String(_))) => {
                    complex(attribute, element, leniency)?
                }
                None | Some(Value::Null) => None,
                Some(other) => return Err(wrong_type(attribute, &other)),
            };
            allow_list_of_one(attribute, leniency)?;
            return Ok(one);
        }
        other => return Err(wrong_type(attribute, &other)),
    };
    let parts = members(
        attribute.sub_attributes,
        object,
        leniency,
        &format!("{}.", attribute.name),
    )?;
    Ok((!parts.is_empty()).then(|| Value::Object(parts.into_iter().collect())))
}

/// Whether a text is itself a JSON object or list, which a client has encoded once too often. No
/// mode accepts it as a value: it would be stored as somebody's address.
fn is_encoded(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn encoded(attribute: &Attribute) -> Error {
    let what = format!(
        "{} must not be JSON within a string: send it without the quotes around it and the \
         backslashes in it",
        attribute.name
    );
    Error::new(ErrorType::InvalidValue, what)
}

/// The members of an object that are attributes of the table, under their canonical names and in
/// the table's order.
pub(super) fn members(
    attributes: &'static [Attribute],
    object: impl IntoIterator<Item = (String, Value)>,
    leniency: &mut Leniency,
    prefix: &str,
) -> Result<Vec<(String, Value)>, Error> {
    let mut slots: Vec<Option<(String, Value)>> = vec![None; attributes.len()];
    for (name, value) in object {
        let place = attributes
            .iter()
            .position(|attribute| attribute.name.eq_ignore_ascii_case(&name));
        if let Some(place) = place {
            let attribute = &attributes[place];
            let value = normalise(attribute, value, leniency);
            let value = match prefix.strip_suffix('.') {
                Some(parent) => value.map_err(|error| error.of_part(parent))?,
                None => value?,
            };
            slots[place] = value.map(|value| (canonical(name, attribute), value));
        } else {
            let name = format!("{prefix}{name}");
            let what = format!("{} is not an attribute of a User", quoted(&name));
            leniency.allow_ignoring(Tolerance::UnknownAttribute, &name, &what)?;
        }
    }
    Ok(slots.into_iter().flatten().collect())
}

/// The name in canonical case; most names are sent that way.
fn canonical(name: String, attribute: &Attribute) -> String {
    if name == attribute.name {
        name
    } else {
        attribute.name.to_owned()
    }
}

/// The stored form of a list: its elements in the order sent, at most one of them primary. An
/// element that is equal to an earlier one is left out (RFC 7643 section 2.4: clients should not be
/// shown the same value twice).
pub(super) fn list(
    attribute: &Attribute,
    elements: Vec<Value>,
    leniency: &mut Leniency,
) -> Result<Option<Value>, Error> {
    if elements.len() > limits::VALUES_MAX {
        return Err(Error::of_size(
            ErrorType::InvalidValue,
            format!(
                "{} has more than {} values",
                attribute.name,
                limits::VALUES_MAX
            ),
        ));
    }
    let mut kept = Vec::with_capacity(elements.len());
    let may_repeat = elements.len() > 1;
    let mut seen = HashSet::new();
    let mut is_new = |element: &Value| !may_repeat || seen.insert(element.clone());
    let mut primary_seen = false;
    for element in elements {
        let Some(mut element) = single(attribute, element, leniency)? else {
            continue;
        };
        if !is_new(&element) {
            continue;
        }
        // A hollow element will be dropped, unless a later change adds to it.
        if is_primary(&element) && (leniency.is_strict() || !is_hollow(&element)) {
            if primary_seen {
                leniency.allow(
                    Tolerance::SeveralPrimaries,
                    &format!("{} has more than one primary value", attribute.name),
                )?;
                element["primary"] = Value::Bool(false);
                if !is_new(&element) {
                    continue;
                }
            }
            primary_seen = true;
        }
        kept.push(element);
    }
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

/// Whether an element of a list says only what it is used for (`type`, `primary`) and has no usable
/// value. The rest of an address whose `value` was cleared is an example.
pub(super) fn is_hollow(element: &Value) -> bool {
    element.as_object().is_some_and(is_only_use)
}

/// [`is_hollow`] for the parts of an element.
pub(super) fn is_only_use(parts: &Object) -> bool {
    parts.keys().all(|name| is_use(name))
}

fn is_use(name: &str) -> bool {
    let mut uses = ["type", "primary"].iter();
    uses.any(|part| name.eq_ignore_ascii_case(part))
}

/// Whether two elements of a list agree in all parts but `primary`, which depends on the rest of
/// the list.
pub(super) fn is_same_but_primary(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return one == other;
    };
    let count = |parts: &Object| parts.len() - usize::from(parts.contains_key("primary"));
    let mut parts = one.iter().filter(|(name, _)| *name != "primary");
    count(one) == count(other) && parts.all(|(name, part)| other.get(name) == Some(part))
}

/// Whether an element of a list says that it is the primary one.
pub(super) fn is_primary(element: &Value) -> bool {
    element
        .as_object()
        .and_then(|object| member(object, "primary"))
        .is_some_and(|primary| *primary == Value::Bool(true))
}

fn wrong_type(attribute: &Attribute, found: &Value) -> Error {
    let wanted = match attribute.kind {
        Kind::Complex => "an object",
        Kind::Boolean => "true or false",
        _ => "a string",
    };
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Error::new(
        ErrorType::InvalidValue,
        format!("{} must be {wanted}, not {found}", attribute.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_a_text_is_told_from_other_texts() {
        for (text, is_one) in [
            (r#"{"value":"b@x.example","type":"work"}"#, true),
            (" [ ] ", true),
            ("{}", true),
            ("{b@x.example}", false),
            ("[b@x.example", false),
            ("\"b@x.example\"", false),
            ("7", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_encoded(text), is_one, "{text}");
        }
        assert!(is_encoded(&("[".repeat(100_000) + &"]".repeat(100_000))));
    }

    #[test]
    fn texts_are_told_from_base64_and_uris() {
        for (kind, text, is_well_formed) in [
            (Kind::Binary, "MIIB/w==", true),
            (Kind::Binary, "MIIB/w", true),
            (Kind::Binary, "MIIB_-", false),
            (Kind::Binary, "MI IB", false),
            (Kind::Reference, "https://example.com/a?b#c", true),
            (Kind::Reference, "../photos/%20.png", true),
            (Kind::Reference, "my photo.png", false),
            (Kind::Reference, "https://example.com/<a>", false),
            (Kind::String, "my photo.png", true),
        ] {
            assert_eq!(malformed(kind, text).is_none(), is_well_formed, "{text}");
        }
    }
}
