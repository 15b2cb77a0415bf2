//! `GET /admin/explanations/{request id}`: what happened to one request, and what to do about it.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::Api;
use super::call::Admission;
use super::cause::{Cause, word_of};
use super::reply::{self, Outcome};
use crate::access::{Administrator, Rejection};

/// What memory knows of the request, and what the audit trail knows, from `before` backwards. `next`
/// is where the next request goes on, if nothing was found yet; `areMore` says that there may be
/// older changes than those shown.
pub(super) fn explanation(api: &Api, call: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let request = call.parameter();
    let is_first = call.query("before").is_none();
    let mut refusal = is_first.then(|| api.refusals.of_request(request)).flatten();
    // Other operations than the refused one may have been done.
    if let Some(mut row) = refusal.take_if(|row| row.get("operation").is_none()) {
        row["advice"] = json!(advice(&row));
        return Ok(reply::json(200, &json!({"refusal": row, "changes": []})));
    }
    let before = super::audit::sequence(call, "before")?.unwrap_or(u64::MAX);
    let mut changes = Vec::new();
    let next = api.directory.of_request(request, before, |row| {
        if row["kind"] == "refuse" {
            // Of several operations the last one, as in memory.
            refusal.get_or_insert(row);
            return ControlFlow::Continue(());
        }
        changes.push(brief(row));
        if changes.len() < crate::limits::EXPLAINED_CHANGES_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    let next = next.filter(|_| refusal.is_none());
    let are_more = changes.len() == crate::limits::EXPLAINED_CHANGES_MAX;
    changes.reverse();
    if let Some(row) = &mut refusal {
        row["advice"] = json!(advice(row));
    }
    Ok(reply::json(
        200,
        &json!({"refusal": refusal, "changes": changes, "areMore": are_more, "next": next}),
    ))
}

/// A row with the names of the changed attributes, but without their values.
fn brief(mut row: Value) -> Value {
    let names = row["changes"].as_array().map(|changes| {
        let names = changes.iter().map(|change| change["attribute"].clone());
        names.collect::<Vec<_>>()
    });
    if let Some(row) = row.as_object_mut()
        && let Some(names) = names
    {
        row.remove("changes");
        row.insert("attributes".to_owned(), json!(names));
    }
    row
}

/// What to do, in the words of the page on errors.
fn advice(row: &Value) -> &'static str {
    let scim_type = row["scimType"].as_str();
    let cause = row["cause"].as_str().unwrap_or_default();
    match (row["status"].as_u64().unwrap_or_default(), scim_type) {
        (401, _) => of_token(cause),
        (403, Some(_)) => "take password out of the filter: it is never compared",
        (403, None) if cause == Cause::Scope.as_str() => {
            "if it is to do that, type what the text says; nothing needs to be typed into the \
             identity provider again; Okta needs no more than `provision`, Entra and JumpCloud need \
             `full`"
        }
        (403, None) => "none: no identity provider filters discovery",
        (404, _) if cause == Cause::User.as_str() && is_deletion(row) => {
            "nothing: the user is gone, as was asked; perhaps the answer to an earlier try was lost; \
             `golinks-scim audit list --user ID` shows it"
        }
        (404, _) if cause == Cause::User.as_str() => {
            "the user was deleted here, or the provider knows an id of another directory: unassign \
             the person in the provider and assign it again, which looks for it by userName; \
             `golinks-scim audit list --user ID` shows what became of it"
        }
        (404, _) => {
            "compare the base URL with `golinks-scim guide okta`: it ends with /scim/v2, without \
             /Users; untick Import Groups and Push Groups"
        }
        (405 | 415, _) => "lead /scim/v2 through the proxy unchanged, methods and headers too",
        (409, Some("uniqueness")) => {
            "somebody here has this userName already: `golinks-scim user show USERNAME`; import in \
             Okta and confirm the match instead of pushing a new user, or change one of the two names; \
             if the provider itself has made this user just before \
             (`golinks-scim audit list --user USERNAME`), the answer to its first try was lost and \
             nothing is to mend: it finds the user when it looks by userName"
        }
        (409, _) => "mend the operation that failed before this one",
        (412, _) => {
            "retrieve the user again: somebody, or an earlier try of this request, has changed it"
        }
        (413, _) => {
            "take large attributes out of the mapping, photos above all; send bulk requests of fewer \
             operations"
        }
        (429 | 503, _) if cause == Cause::Load.as_str() => {
            "nothing: the provider comes back by itself; if it is always so, look who else asks at \
             those times, and send smaller bulk requests"
        }
        (429, _) => of_rate(cause),
        (501, _) if cause == Cause::Groups.as_str() => {
            "untick Push Groups in the provider: groups are not provisioned"
        }
        (503, _) => {
            "`golinks-scim check` says what is wrong; with a full disk: `golinks-scim manual disk-full`"
        }
        (501, _) if cause == Cause::Me.as_str() => "none: it is a client for people",
        // What is no request has no `scimType`.
        (408 | 414 | 417 | 431 | 501 | 505, _) | (400, None) => {
            "no identity provider sends this: look at the proxy between, or for a scanner in the network"
        }
        (500.., _) => "report the log lines of this request",
        (400, Some(scim_type)) => of_content(scim_type),
        _ => "compare the provider's mapping with `golinks-scim guide okta`",
    }
}

/// Whether it was to delete a user: the request, or the operation of it that was refused.
fn is_deletion(row: &Value) -> bool {
    let method = row.get("operation").unwrap_or(&row["method"]).as_str();
    method.is_some_and(|method| method.eq_ignore_ascii_case("DELETE"))
}

fn of_token(cause: &str) -> &'static str {
    let is = |rejection| cause == word_of(rejection);
    if is(None) {
        "set Authentication Mode to HTTP Header in the provider and type the token into it"
    } else if is(Some(Rejection::Expired)) || is(Some(Rejection::Revoked)) {
        "issue another token, `golinks-scim token rotate NAME` or `token issue NAME`, and type \
         it into the provider"
    } else if is(Some(Rejection::Address)) {
        "`golinks-scim token show NAME` has the addresses that it is bound to; if the provider has \
         others now: `golinks-scim token change NAME --allow-from`"
    } else {
        "type the whole token into the provider again, without a space or the word Bearer where \
         it adds that itself; if it is lost: `golinks-scim token rotate NAME`"
    }
}

fn of_rate(cause: &str) -> &'static str {
    if cause == Cause::Failures.as_str() {
        "stop what fails at that address; whoever has a valid token is let in all the while"
    } else if cause == Cause::Rate.as_str() {
        "nothing: the provider comes back by itself and everybody arrives; for more at once: \
         `golinks-scim token change NAME --rate-limit N`"
    } else {
        "the provider comes back by itself; `golinks-scim check` says what the disk lacks"
    }
}

fn of_content(scim_type: &str) -> &'static str {
    match scim_type {
        "invalidValue" => {
            "the mapping gives an attribute a value of another type, or none to one that is \
             required: the text names it; userName is usually the email"
        }
        "mutability" => "take the attribute that the text names out of the mapping",
        "invalidPath" | "noTarget" => {
            "the target of a mapping is no attribute here: compare the mapping with the guide"
        }
        "invalidFilter" => {
            "choose userName as the provider's unique identifier (matching attribute)"
        }
        "tooMany" => {
            "compare what has an index: id, userName, externalId, emails, active, meta.lastModified"
        }
        "invalidVers" => "end the base URL with /scim/v2",
        "invalidCursor" | "expiredCursor" | "invalidCount" => "begin the import again",
        _ => {
            "the body is no SCIM user: look at the mapping, and at proxies between that change bodies"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;
    use crate::api::problem::Problem;
    use crate::api::refusals::put_problem;
    use crate::directory::Error;
    use crate::scim::bulk::Endpoint;
    use crate::scim::{self, ErrorType};
    use crate::store::WriteError;

    /// What the row of a refusal says of why.
    fn row(problem: impl Into<Problem>) -> Value {
        let mut row = json!({});
        put_problem(&problem.into(), &mut |name, value| row[name] = value);
        row
    }

    #[test]
    fn each_refusal_has_its_advice() {
        let rejected = |why| row(Problem::unauthorized(Some(why)));
        let scim = |kind| row(scim::Error::new(kind, "x"));
        let full = || Problem::from(WriteError::Full);
        let of = |method: &str, operation: Option<&str>| {
            let mut row = row(Error::NotFound);
            row["method"] = json!(method);
            if let Some(operation) = operation {
                row["operation"] = json!(operation);
            }
            row
        };
        for (row, wanted) in [
            (row(Problem::unauthorized(None)), "HTTP Header"),
            (rejected(Rejection::Malformed), "type the whole token"),
            (rejected(Rejection::Unknown), "type the whole token"),
            (rejected(Rejection::Expired), "issue another token"),
            (rejected(Rejection::Revoked), "issue another token"),
            (rejected(Rejection::Address), "--allow-from"),
            (
                row(Problem::insufficient_scope(Scope::Read, Scope::Full)),
                "provision",
            ),
            (row(Problem::no_filter_here()), "none"),
            (scim(ErrorType::Sensitive), "take password"),
            (row(Error::NotFound), "assign it again"),
            (row(Problem::no_such_resource("group")), "base URL"),
            (row(Problem::not_found()), "base URL"),
            (row(Error::Uniqueness), "user show"),
            (row(Error::Uniqueness), "nothing is to mend"),
            (json!({"status": 412}), "an earlier try"),
            (of("DELETE", None), "nothing: the user is gone"),
            (of("POST", Some("Delete")), "nothing: the user is gone"),
            (of("POST", Some("PATCH")), "assign it again"),
            (row(Problem::too_many_requests(1)), "--rate-limit"),
            (row(Problem::too_many_failures(1)), "stop what fails"),
            (row(full().for_identity_providers()), "what the disk lacks"),
            (row(full()), "disk-full"),
            (row(Error::Busy), "who else asks"),
            (row(WriteError::Busy), "who else asks"),
            (
                row(Problem::too_many_large_bodies().for_identity_providers()),
                "who else asks",
            ),
            (scim(ErrorType::Mutability), "mapping"),
            (json!({"status": 400}), "a scanner"),
            (json!({"status": 501}), "a scanner"),
            (
                row(Problem::endpoint_not_implemented(Endpoint::Groups)),
                "Push Groups",
            ),
            (row(Problem::endpoint_not_implemented(Endpoint::Me)), "none"),
            (json!({"status": 413}), "fewer operations"),
        ] {
            assert!(advice(&row).contains(wanted), "{row}: {}", advice(&row));
        }
    }
}
