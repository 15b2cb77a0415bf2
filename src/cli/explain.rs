//! `audit explain`: says what happened to a request, given the id that an identity provider shows.

use serde_json::{Value, json};

use super::audit::COLUMNS;
use super::output::{self, Format, elements, text_of};
use super::{Failure, ask, program, status};
use crate::local::Client;

/// Explains each request about which something is known, and fails if any request is unknown.
pub(super) fn run(client: &mut Client, requests: &[String], format: Format) -> Result<(), Failure> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for request in requests {
        match explanation(client, request)? {
            Some(found) => known.push(found),
            None => unknown.push(request.as_str()),
        }
    }
    if format == Format::Table {
        for (at, found) in known.iter().enumerate() {
            if at > 0 {
                output::line("")?;
            }
            tell_explanation(found)?;
        }
    } else {
        output::rows(format, &[], &known)?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let plural = if unknown.len() == 1 { "" } else { "s" };
    let what = format!(
        "nothing is known of the request{plural} {}",
        unknown.join(", ")
    );
    Err(Failure::new(status::REFUSED, what).hint(
        "a request that only read, or changed nothing, leaves no row; refused commands are only in \
         the server's log; requests without a valid token are remembered only while the server \
         runs; with audit_explain = \"off\" these are not, and other refusals are found a minute \
         later: see `golinks-scim manual audit`",
    ))
}

/// The document about one request; `None` if nothing is known about it.
fn explanation(client: &mut Client, request: &str) -> Result<Option<Value>, Failure> {
    let mut target = format!("/admin/explanations/{request}");
    let mut found = loop {
        let found = ask(client, "GET", &target, None)?;
        let Some(next) = found["next"].as_u64() else {
            break found;
        };
        target = format!("/admin/explanations/{request}?before={next}");
    };
    let has_changes = found["changes"]
        .as_array()
        .is_some_and(|rows| !rows.is_empty());
    if found["refusal"].is_null() && !has_changes {
        return Ok(None);
    }
    if let Some(found) = found.as_object_mut() {
        // `next` only serves to continue the search, which is over.
        found.remove("next");
        found.insert("requestId".to_owned(), json!(request));
    }
    Ok(Some(found))
}

fn tell_explanation(found: &Value) -> Result<(), Failure> {
    let request = text_of(found, "requestId");
    let changes = elements(&found["changes"]);
    let refusal = &found["refusal"];
    if !refusal.is_null() {
        explain_refusal(&request, refusal)?;
    }
    if !changes.is_empty() {
        let outcome = if refusal.is_null() {
            "succeeded, and changed"
        } else {
            "changed"
        };
        output::line(&format!("request {request} {outcome}:"))?;
        output::rows(Format::Table, COLUMNS, changes)?;
    }
    let are_more = [
        (refusal.get("operation").is_some(), "earlier refusals"),
        (found["areMore"] == true, "older changes"),
    ];
    let are_more: Vec<&str> = are_more
        .into_iter()
        .filter_map(|(may_be, what)| may_be.then_some(what))
        .collect();
    if !are_more.is_empty() {
        output::say(&format!(
            "there may be {} of this request; all of them: {} audit list -o jsonl \
             | grep {request}",
            are_more.join(" and "),
            program()
        ));
    }
    Ok(())
}

fn explain_refusal(request: &str, refusal: &Value) -> Result<(), Failure> {
    let method = refusal.get("operation").unwrap_or(&refusal["method"]);
    let path = text_of(refusal, "route").replace(
        "{}",
        &match refusal.get("parameter") {
            Some(Value::String(id)) => id.clone(),
            _ => "…".to_owned(),
        },
    );
    let asked = format!("{} {path}", method.as_str().unwrap_or_default());
    let answer = format!(
        "{} {}",
        text_of(refusal, "status"),
        text_of(refusal, "scimType")
    );
    // The server's advice lacks the options that were typed here, such as --data-dir.
    let advice = text_of(refusal, "advice").replace("`golinks-scim ", &format!("`{} ", program()));
    let lines = [
        ("request", request.to_owned()),
        ("when", text_of(refusal, "time")),
        ("by", text_of(refusal, "principal")),
        ("from", text_of(refusal, "address")),
        ("asked", asked),
        ("answer", answer.trim_end().to_owned()),
        ("text", text_of(refusal, "detail")),
        ("because", text_of(refusal, "reason")),
        ("client", text_of(refusal, "userAgent")),
        ("to do", advice),
    ];
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        output::line(&format!("{name:8} {}", output::printable(text)))?;
    }
    let shape = refusal["shape"].as_object().into_iter().flatten();
    for (part, shape) in shape {
        let pretty = serde_json::to_string_pretty(shape).unwrap_or_default();
        for (at, text) in pretty.lines().enumerate() {
            let name = if at == 0 { part.as_str() } else { "" };
            output::line(&format!("{name:8} {}", output::printable(text)))?;
        }
    }
    Ok(())
}

/// The request ids in the arguments, each once. An argument may be an id, a text that an identity
/// provider shows, such as "… (request 0123456789abcdef)", or one word of such a text if it was
/// typed without quotes.
pub(super) fn request_ids(typed: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for id in typed.iter().filter_map(|text| request_id(text)) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        let what = "this contains no request id";
        return Err(Failure::new(status::USAGE, what)
            .hint("it has 16 characters and is at the end of the text: (request …)"));
    }
    Ok(ids)
}

/// The last id in a text: anybody may have written what comes before it.
fn request_id(text: &str) -> Option<String> {
    const DIGITS: usize = 16;
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit());
    let id = words.rfind(|word| word.len() == DIGITS);
    id.map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_what_okta_shows() {
        let id = "0123456789abcdef";
        for text in [
            id,
            "0123456789ABCDEF",
            "another user has this userName (request 0123456789abcdef)",
            "Error code: 409, (request 0123456789abcdef).\" for user 00u1",
            "of fedcba9876543210 (request 0123456789abcdef)",
        ] {
            assert_eq!(request_id(text).expect(text), id);
        }
        for bad in ["", "request", "0123456789abcde", "0123456789abcdef0"] {
            assert_eq!(request_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_id_that_is_typed_is_meant() {
        let check = |typed: &[&str], wanted: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(request_ids(&typed).ok().unwrap_or_default(), wanted);
        };
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");
        check(&[other, one], &[other, one]);
        check(&[one, "0123456789ABCDEF"], &[one]);
        check(&["refused", "(request", "0123456789abcdef)"], &[one]);
        check(&["a (request 0123456789abcdef)", other], &[one, other]);
        check(&["refused", "(request"], &[]);
    }
}
