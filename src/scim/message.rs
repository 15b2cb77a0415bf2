//! The protocol's own messages (RFC 7644 section 8.2): recognizes them in bodies, and makes list
//! and error documents.

use std::fmt::Write as _;
use std::slice;

use serde_json::{Value, json};

use super::error::{Error, ErrorType, quoted};
use super::schema::{self, ENTERPRISE_URN, USER_URN};
use super::tolerance::{Leniency, Tolerance};
use super::{Object, earlier, member};

/// URN of a list response.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// URN of an error.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// URN of a patch.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// URN of a query that is POSTed.
pub const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// URN of a bulk request.
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// URN of the answer to a bulk request.
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// The members of a body, which must be the message with this URN.
pub(super) fn members(body: Value, urn: &str, leniency: &mut Leniency) -> Result<Object, Error> {
    let syntax = |detail: String| Error::new(ErrorType::InvalidSyntax, detail);
    let Value::Object(body) = body else {
        return Err(syntax(format!(
            "the body must be a JSON object: a message {urn}"
        )));
    };
    if let Some(urns) = schemas(&body, leniency)? {
        let mut urns = urns.iter().filter_map(Value::as_str);
        if !urns.any(|one| one.eq_ignore_ascii_case(urn)) {
            return Err(syntax(format!("schemas must contain {urn}")));
        }
    }
    Ok(body)
}

/// The content of `schemas`; `None` if it is missing or unassigned, and that is tolerated.
pub(super) fn schemas<'a>(
    body: &'a Object,
    leniency: &mut Leniency,
) -> Result<Option<&'a [Value]>, Error> {
    match member(body, "schemas") {
        None | Some(Value::Null) => {}
        Some(Value::Array(urns)) if urns.is_empty() => {}
        Some(Value::Array(urns)) => return Ok(Some(urns)),
        Some(one) => {
            leniency.allow(Tolerance::SingleValueForList, "schemas must be a list")?;
            return Ok(Some(slice::from_ref(one)));
        }
    }
    leniency.allow(Tolerance::MissingSchemas, "the body has no schemas")?;
    Ok(None)
}

/// Checks that `schemas` names the core User and an extension that the body has, and tolerates
/// unknown schemas (RFC 7643 sections 3 and 3.1, RFC 7644 section 3.3).
pub(super) fn check_user_schemas(body: &Object, leniency: &mut Leniency) -> Result<(), Error> {
    let Some(schemas) = schemas(body, leniency)? else {
        return Ok(());
    };
    let urns: Option<Vec<&str>> = schemas.iter().map(Value::as_str).collect();
    let urns = urns.ok_or_else(|| {
        Error::new(
            ErrorType::InvalidSyntax,
            "schemas must be a list of schema URNs",
        )
    })?;
    if !urns.iter().any(|urn| urn.eq_ignore_ascii_case(USER_URN)) {
        return Err(Error::new(
            ErrorType::InvalidSyntax,
            format!("schemas must contain {USER_URN}: only Users can be written here"),
        ));
    }
    let extension = member(body, ENTERPRISE_URN).and_then(Value::as_object);
    let is_used = extension.is_some_and(|members| members.values().any(|value| !value.is_null()));
    if is_used
        && !urns
            .iter()
            .any(|urn| urn.eq_ignore_ascii_case(ENTERPRISE_URN))
    {
        leniency.allow(
            Tolerance::MissingSchemas,
            &format!("schemas must contain {ENTERPRISE_URN}, whose attributes the body has"),
        )?;
    }
    urns.into_iter()
        .try_for_each(|urn| check_known(urn, leniency))
}

/// Accepts a known schema, and tolerates an unknown one.
pub(super) fn check_known(urn: &str, leniency: &mut Leniency) -> Result<(), Error> {
    if schema::by_urn(earlier::schema(urn, leniency)?).is_some() {
        return Ok(());
    }
    leniency.allow_ignoring(
        Tolerance::UnknownSchema,
        urn,
        &format!("the schema {} is not known", quoted(urn)),
    )
}

/// An Error document (RFC 7644 section 3.12), in which `status` is a string.
pub fn error(status: u16, scim_type: Option<&str>, detail: &str) -> Value {
    let mut document = json!({
        "schemas": [ERROR_URN],
        "status": status.to_string(),
        "detail": detail,
    });
    if let Some(scim_type) = scim_type {
        document["scimType"] = json!(scim_type);
    }
    document
}

/// A ListResponse of these resources.
pub fn list(resources: &[Value]) -> Value {
    json!({
        "schemas": [LIST_URN],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// The position of a page in the whole result.
pub enum Place {
    /// By index: the position of its first resource, from 1.
    Index(usize),
    /// By cursor (RFC 9865 section 2): the cursors of the pages before and after it.
    Cursor {
        /// The cursor of the previous page; `None` on the first.
        previous: Option<String>,
        /// The cursor of the next page; `None` on the last.
        next: Option<String>,
    },
}

/// Writes a ListResponse up to its resources. The caller then appends the resources, separated by
/// commas, and `]}`. Only lists for the command line have no total.
pub fn write_list_head(
    total_results: Option<usize>,
    place: &Place,
    items_per_page: usize,
    out: &mut String,
) {
    // Writing to a String does not fail, and cursors contain only characters that JSON does not
    // escape.
    let _ = write!(out, "{{\"schemas\":[\"{LIST_URN}\"]");
    if let Some(total) = total_results {
        let _ = write!(out, ",\"totalResults\":{total}");
    }
    let _ = match place {
        Place::Index(start) => write!(out, ",\"startIndex\":{start}"),
        Place::Cursor { previous, next } => [("previousCursor", previous), ("nextCursor", next)]
            .into_iter()
            .filter_map(|(name, cursor)| Some((name, cursor.as_ref()?)))
            .try_for_each(|(name, cursor)| write!(out, ",\"{name}\":\"{cursor}\"")),
    };
    let _ = write!(out, ",\"itemsPerPage\":{items_per_page},\"Resources\":[");
}
