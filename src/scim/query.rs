//! A query, sent either as the parameters of a GET (RFC 7644 section 3.4.2, RFC 9865 section 2) or
//! as a POSTed SearchRequest (RFC 7644 section 3.4.3). The request is only read here;
//! `directory/query.rs` answers it.

use serde_json::Value;

use super::error::{Error, ErrorType};
use super::filter::CompareOp;
use super::message::{self, SEARCH_URN};
use super::search::Search;
use super::sort::Sort;
use super::tolerance::{Leniency, Tolerance};
use super::{Filter, Object, Projection, member};
use crate::limits;

/// A query over Users.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The filter that users must match; `None` selects all users.
    pub filter: Option<Filter>,
    /// The words that users must contain.
    pub search: Option<Search>,
    /// The order of the users; `None` is the order of creation.
    pub sort: Option<Sort>,
    /// The page to return.
    pub paging: Paging,
    /// The greatest number of users on the page, as requested.
    pub count: Option<usize>,
    /// The attributes to show of each user.
    pub projection: Projection,
}

/// The two ways to page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// From the user at this position in the whole result, counted from 1: the default.
    Index(usize),
    /// From the position that a cursor holds; from the first user if there is none yet.
    Cursor(Option<String>),
}

/// The parameters as texts, from the query or the body.
#[derive(Default)]
struct Parameters {
    filter: Option<String>,
    search: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    cursor: Option<String>,
}

impl SearchRequest {
    /// Reads the parameters of a GET; `parameter` gives the value for a name. A blank number counts
    /// as missing, like a blank filter.
    pub fn from_parameters<'a>(
        parameter: impl Fn(&str) -> Result<Option<&'a str>, Error>,
        projection: Projection,
        leniency: &mut Leniency,
    ) -> Result<Self, Error> {
        let text = |name: &str| Ok(parameter(name)?.map(str::to_owned));
        let number = |name: &str| {
            let told = parameter(name)?.filter(|text| !text.trim().is_empty());
            Ok(told.map(str::to_owned))
        };
        let parameters = Parameters {
            filter: text("filter")?,
            search: text("search")?,
            sort_by: text("sortBy")?,
            sort_order: text("sortOrder")?,
            start_index: number("startIndex")?,
            count: number("count")?,
            cursor: text("cursor")?,
        };
        parameters.read(projection, leniency)
    }

    /// Reads a SearchRequest message.
    pub fn from_message(body: Value, leniency: &mut Leniency) -> Result<Self, Error> {
        let body = &message::members(body, SEARCH_URN, leniency)?;
        let cursor =
            text_member(body, "cursor").map_err(|error| error.of_kind(ErrorType::InvalidCursor))?;
        let count = number_member(body, "count", leniency)
            .map_err(|error| error.of_kind(bad_count(cursor.as_ref())))?;
        let parameters = Parameters {
            filter: text_member(body, "filter")?,
            search: text_member(body, "search")?,
            sort_by: text_member(body, "sortBy")?,
            sort_order: text_member(body, "sortOrder")?,
            start_index: number_member(body, "startIndex", leniency)?,
            count,
            cursor,
        };
        let projection = Projection::parse(
            list_member(body, "attributes", leniency)?.as_deref(),
            list_member(body, "excludedAttributes", leniency)?.as_deref(),
            leniency,
        );
        let request = parameters.read(projection, leniency);
        // The message is in a body, so nothing sensitive is in the URI.
        request.map_err(|error| match error.kind {
            ErrorType::Sensitive => error.of_kind(ErrorType::InvalidFilter),
            _ => error,
        })
    }

    /// Whether at most one user can match, so that there is never a second page: the lookup that an
    /// identity provider begins with.
    pub fn selects_one_at_most(&self) -> bool {
        matches!(&self.filter, Some(Filter::Compare(path, CompareOp::Eq, _))
            if path.attribute.unique)
    }

    /// The part of the request that must stay the same from page to page. Requests with the same
    /// meaning have the same identity. A cursor is bound to it.
    pub fn identity(&self) -> String {
        let filter = self.filter.as_ref().map(ToString::to_string);
        let words = self.search.as_ref().map(|search| search.words().join(" "));
        let sort = self.sort.as_ref().map(ToString::to_string);
        [filter, words, sort]
            .map(Option::unwrap_or_default)
            .join("\n")
    }
}

impl Parameters {
    fn read(self, projection: Projection, leniency: &mut Leniency) -> Result<SearchRequest, Error> {
        let filter = match self.filter.as_deref() {
            Some(text) if !text.trim().is_empty() => Some(Filter::parse(text, leniency)?),
            _ => None,
        };
        let search = match self.search.as_deref() {
            Some(text) => Search::parse(text)?,
            None => None,
        };
        let sort = match self.sort_by.as_deref() {
            Some(by) if !by.trim().is_empty() => {
                Some(Sort::parse(by, self.sort_order.as_deref(), leniency)?)
            }
            _ => None,
        };
        if self.cursor.is_some() && self.start_index.is_some() {
            return Err(Error::new(
                ErrorType::InvalidCursor,
                "startIndex and cursor are two ways to page: send one of them",
            ));
        }
        let bad_count = bad_count(self.cursor.as_ref());
        let count = number(self.count.as_deref(), "count", bad_count)?;
        let start = number(
            self.start_index.as_deref(),
            "startIndex",
            ErrorType::InvalidValue,
        )?;
        let paging = match self.cursor {
            Some(cursor) => Paging::Cursor(Some(cursor).filter(|cursor| !cursor.is_empty())),
            None => Paging::Index(start.unwrap_or(1).clamp(1, limits::START_INDEX_MAX)),
        };
        Ok(SearchRequest {
            filter,
            search,
            sort,
            paging,
            count,
            projection,
        })
    }
}

/// The kind of error for a `count` that is no number (RFC 9865 section 2.1).
fn bad_count(cursor: Option<&String>) -> ErrorType {
    match cursor {
        Some(_) => ErrorType::InvalidCount,
        None => ErrorType::InvalidValue,
    }
}

/// An integer; a negative one counts as zero (RFC 7644 section 3.4.2.4).
fn number(text: Option<&str>, name: &str, kind: ErrorType) -> Result<Option<usize>, Error> {
    let Some(text) = text else {
        return Ok(None);
    };
    let Some(digits) = digits_of(text) else {
        return Err(Error::new(
            kind,
            format!(
                "{name} must be a whole number; a page has at most {} users",
                limits::COUNT_MAX
            ),
        ));
    };
    if text.starts_with('-') {
        return Ok(Some(0));
    }
    // A number too large to fit is beyond every page anyway.
    Ok(Some(digits.parse().unwrap_or(usize::MAX)))
}

/// The digits of a whole number, without its sign.
fn digits_of(text: &str) -> Option<&str> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then_some(digits)
}

fn text_member(body: &Object, name: &str) -> Result<Option<String>, Error> {
    match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(name, "a string")),
    }
}

fn number_member(
    body: &Object,
    name: &str,
    leniency: &mut Leniency,
) -> Result<Option<String>, Error> {
    match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        // JSON may write a whole number as 1.0 or 1e30.
        Some(Value::Number(number)) => Ok(Some(match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 => format!("{whole:.0}"),
            _ => number.to_string(),
        })),
        Some(Value::String(text)) if digits_of(text).is_some() => {
            let what = format!("{name} must be a number, without quotes");
            leniency.allow(Tolerance::NumberAsText, &what)?;
            Ok(Some(text.clone()))
        }
        Some(_) => Err(wrong(name, "a whole number")),
    }
}

/// A list of names, joined with commas as in a GET.
fn list_member(
    body: &Object,
    name: &str,
    leniency: &mut Leniency,
) -> Result<Option<String>, Error> {
    match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(elements)) if elements.len() > limits::VALUES_MAX => {
            let most = limits::VALUES_MAX;
            Err(wrong(name, &format!("a list of at most {most} strings")))
        }
        Some(Value::Array(elements)) => elements
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|names| Some(names.join(",")))
            .ok_or_else(|| wrong(name, "a list of strings")),
        Some(Value::String(text)) => {
            let what = format!("{name} must be a list of strings");
            leniency.allow(Tolerance::SingleValueForList, &what)?;
            Ok(Some(text.clone()))
        }
        Some(_) => Err(wrong(name, "a list of strings")),
    }
}

fn wrong(name: &str, wanted: &str) -> Error {
    Error::new(ErrorType::InvalidValue, format!("{name} must be {wanted}"))
}
