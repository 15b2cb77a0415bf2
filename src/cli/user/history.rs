//! `user history`: every change to one user, attribute by attribute.

use serde_json::Value;

use super::super::audit::each_page;
use super::super::output::{self, Format, Listing, elements, second, text_of};
use super::super::previous_holders::PreviousHolders;
use super::super::{Failure, SEARCH, named, status};
use crate::local::Client;
use crate::scim::differences;

pub(super) fn run(client: &mut Client, who: &str, format: Format) -> Result<(), Failure> {
    let mut listing = Listing::for_programs(format);
    let (mut is_told, mut oldest) = (false, 1);
    let mut previous_holders = PreviousHolders::default();
    let user = format!("&user={}", named(who)?);
    each_page(client, &user, ("first", 1), usize::MAX, |page| {
        oldest = page["first"].as_u64().unwrap_or(oldest);
        previous_holders.note(page);
        let rows = page["rows"].as_array_mut().map(std::mem::take);
        let mut rows = rows.unwrap_or_default();
        // A row without `changes` is a refused request, which changed nothing.
        rows.retain(|row| row["changes"].is_array());
        // Nothing can come before a user's creation.
        let begins_midway = rows.first().is_some_and(|row| row["kind"] != "create");
        if !is_told && oldest > 1 && begins_midway {
            output::say("older changes may have been removed: see `golinks-scim manual audit`");
        }
        is_told |= !rows.is_empty();
        match &mut listing {
            Some(listing) => listing.page(&rows),
            None => rows.iter().try_for_each(|row| print(row, who)),
        }
    })?;
    if let Some(listing) = listing {
        listing.end()?;
    }
    previous_holders.tell();
    if is_told {
        return Ok(());
    }
    let what = format!("the audit trail has no changes of a user {who}");
    let removed = if oldest > 1 {
        format!("; the rows before {oldest} were removed: older backups have them")
    } else {
        String::new()
    };
    Err(Failure::new(status::REFUSED, what).hint(format!("{SEARCH}{removed}")))
}

/// Prints one change: a line about it, then a line for each attribute.
fn print(row: &Value, who: &str) -> Result<(), Failure> {
    let name = text_of(row, "userName");
    let named = if name == who {
        String::new()
    } else {
        format!("  {name}")
    };
    let undoes = match row["undoes"].as_array() {
        Some(changes) => format!(" of {}", numbers(changes)),
        None => String::new(),
    };
    let mut lines = vec![format!(
        "{}  {}Z  {}{undoes}  by {}  request {}{named}",
        row["sequence"],
        second(row, "time"),
        text_of(row, "kind"),
        text_of(row, "principal"),
        text_of(row, "requestId"),
    )];
    for change in elements(&row["changes"]) {
        let attribute = text_of(change, "attribute");
        tell(&attribute, &change["before"], &change["after"], &mut lines);
    }
    lines
        .iter()
        .try_for_each(|line| output::line(&output::printable(line)))
}

/// Lists numbers; a very long list is cut short.
pub(super) fn numbers(numbers: &[Value]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = numbers
        .iter()
        .take(SHOWN_MAX)
        .map(Value::to_string)
        .collect();
    let more = if numbers.len() > SHOWN_MAX {
        ", …"
    } else {
        ""
    };
    shown.join(", ") + more
}

/// Adds a line for each value that differs.
fn tell(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    differences(path, after, before, &mut |path, after, before| {
        lines.push(format!("    {path}: {} -> {}", shown(before), shown(after)));
    });
}

/// A value in the form in which people read it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema;
    use serde_json::json;

    #[test]
    fn differences_are_told_one_by_one() {
        let check_of = |path: &str, before: Value, after: Value, wanted: &[&str]| {
            let mut lines = Vec::new();
            tell(path, &before, &after, &mut lines);
            assert_eq!(lines, wanted);
        };
        check_of(
            schema::ENTERPRISE_URN,
            Value::Null,
            json!({"manager": {"value": "m"}}),
            &[
                "    urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value: \
               (none) -> m",
            ],
        );
        let check = |before, after, wanted: &[&str]| check_of("name", before, after, wanted);
        check(json!("a"), json!("b"), &["    name: a -> b"]);
        check(json!(true), Value::Null, &["    name: true -> (none)"]);
        check(
            json!({"givenName": "Jane", "familyName": "Doe"}),
            json!({"givenName": "Jane", "familyName": "Roe", "middleName": "M"}),
            &[
                "    name.familyName: Doe -> Roe",
                "    name.middleName: (none) -> M",
            ],
        );
        check(
            Value::Null,
            json!({"givenName": "Jane"}),
            &["    name.givenName: (none) -> Jane"],
        );
    }
}
