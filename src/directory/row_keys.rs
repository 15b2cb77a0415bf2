//! The data that the store keeps about a user besides the row: the keys under which the user is
//! found, and the facts that are used without the row. Both are read from a row without building
//! the rest of it.

use std::borrow::Cow;

use serde::Deserialize;

use super::row_header::{RowHeader, TEXT_AT};
use crate::scim::fold::fold;
use crate::scim::search::searchable;
use crate::store::{Facts, Keys};

/// The attributes that [`keys`] uses. A change of any other attribute leaves the keys as they are.
pub(super) const KEYED: [&str; 3] = ["userName", "externalId", "emails"];

/// The attributes in which people are searched ([`crate::scim::User::searched_values`]). A change
/// of any other attribute leaves the text of the facts as it is.
pub(super) const SEARCHED: [&str; 4] = ["userName", "displayName", "name", "emails"];

/// The keys of a user with these attributes.
pub(super) fn keys<'a>(
    user_name: &str,
    external_id: Option<&str>,
    emails: impl Iterator<Item = &'a str>,
) -> Keys {
    let name = fold(user_name).into_bytes();
    let mut emails: Vec<Vec<u8>> = emails
        .map(|email| fold(email).into_bytes())
        .filter(|email| *email != name)
        .collect();
    emails.sort_unstable();
    emails.dedup();
    Keys {
        name,
        external: external_id.map(|external| external.as_bytes().to_vec()),
        emails,
    }
}

/// Reads the keys and facts of a stored row without building the rest of it, because opening a
/// store does this for every user. The error says whose row cannot be read, if its header can.
pub fn describe(row: &[u8]) -> Result<(Keys, Facts), String> {
    let header = RowHeader::read(row)?;
    let attributes: KeyAttributes<'_> = serde_json::from_slice(&row[TEXT_AT..])
        .map_err(|error| format!("the row of user {} cannot be read: {error}", header.id))?;
    let emails: Vec<&str> = attributes
        .emails
        .iter()
        .filter_map(|email| email.value.as_deref())
        .collect();
    let keys = keys(
        &attributes.user_name,
        attributes.external_id.as_deref(),
        emails.iter().copied(),
    );
    let name = attributes.name.iter().flat_map(|name| {
        [
            &name.formatted,
            &name.family_name,
            &name.given_name,
            &name.middle_name,
            &name.honorific_prefix,
            &name.honorific_suffix,
        ]
    });
    let values = std::iter::once(attributes.user_name.as_ref())
        .chain(attributes.display_name.as_deref())
        .chain(name.filter_map(|part| part.as_deref()))
        .chain(emails.iter().copied());
    let facts = Facts {
        active: attributes.active,
        modified: header.last_modified.millis(),
        text: Some(searchable(values)),
    };
    Ok((keys, facts))
}

/// The attributes that [`describe`] reads, borrowed where they contain no escapes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyAttributes<'a> {
    #[serde(borrow)]
    user_name: Cow<'a, str>,
    #[serde(borrow)]
    external_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    display_name: Option<Cow<'a, str>>,
    active: Option<bool>,
    #[serde(borrow)]
    name: Option<Parts<'a>>,
    #[serde(borrow, default)]
    emails: Vec<Email<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts<'a> {
    #[serde(borrow)]
    formatted: Option<Cow<'a, str>>,
    #[serde(borrow)]
    family_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    given_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    middle_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    honorific_prefix: Option<Cow<'a, str>>,
    #[serde(borrow)]
    honorific_suffix: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Email<'a> {
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
}
