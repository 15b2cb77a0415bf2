//! The users that a list or an export is of, as the query parameters that select them.

use super::args::Selected;
use crate::http1::target::encode;
use crate::scim::{Filter, Leniency};

impl Selected {
    /// The query parameters, each preceded by an ampersand.
    pub(super) fn query(&self) -> String {
        // A user without `active` may not use the account and so counts as inactive.
        let status = match (self.active, self.inactive) {
            (true, _) => Some("active eq true"),
            (_, true) => Some("not (active eq true)"),
            _ => None,
        };
        let filter = self.filter.as_deref().map(without_controls);
        let filter = both(filter.as_deref(), status);
        parameters(self.search.as_deref(), filter.as_deref())
    }
}

/// The query parameters for search and filter, each preceded by an ampersand.
fn parameters(search: Option<&str>, filter: Option<&str>) -> String {
    let one = |name: &str, value: Option<&str>| {
        value.map_or_else(String::new, |value| format!("&{name}={}", encode(value)))
    };
    // Cells copied from a spreadsheet have a tab between them.
    let words = search.map(|text| text.replace(char::is_control, " "));
    one("search", words.as_deref()) + &one("filter", filter)
}

/// A filter with its control characters escaped as in JSON, since no request target may contain
/// them. Within quotes the escapes mean the same; elsewhere they are not valid.
fn without_controls(filter: &str) -> String {
    let escaped = |c: char| match c {
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    filter.chars().map(escaped).collect()
}

/// One filter for the typed one and that for the status.
fn both(filter: Option<&str>, status: Option<&str>) -> Option<String> {
    // The server also treats a blank filter as none.
    match (filter.filter(|text| !text.trim().is_empty()), status) {
        (None, None) => None,
        // Keep the filter as typed, so that a position in an error refers to the typed text.
        (Some(only), None) | (None, Some(only)) => Some(only.to_owned()),
        // Likewise if the filter would be refused anyway.
        (Some(filter), Some(_)) if !is_filter(filter) => Some(filter.to_owned()),
        (Some(filter), Some(status)) => Some(format!("({filter}) and {status}")),
    }
}

/// Whether the server accepts this filter.
fn is_filter(text: &str) -> bool {
    Filter::parse(text, &mut Leniency::compatible()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let check = |filter, status, wanted: Option<&str>| {
            assert_eq!(both(filter, status).as_deref(), wanted);
        };
        let active = Some("active eq true");
        check(None, None, None);
        check(Some("id pr"), None, Some("id pr"));
        check(None, active, active);
        check(
            Some("title pr or id pr"),
            active,
            Some("(title pr or id pr) and active eq true"),
        );
        check(Some("title xx"), active, Some("title xx"));
        check(Some(" "), active, active);
        assert_eq!(parameters(None, None), "");
        assert_eq!(
            parameters(Some("ü&"), Some("id pr")),
            "&search=%C3%BC%26&filter=id%20pr"
        );
        assert_eq!(parameters(Some("a\tb"), None), "&search=a%20b");
    }
}
