//! `GET /admin/explanations/{request id}`: what happened to one request, and what to do about it.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::Api;
use super::parameters::sequence;
use super::refusal_cause::Cause;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::{Administrator, Rejection};

/// Answers from the remembered refusals and from the audit trail, which it reads backwards from
/// `before`. If nothing was found yet, `next` says where the next request continues; `areMore` says
/// that there may be older changes than those shown.
pub(super) fn explanation(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    _: &[u8],
) -> Outcome {
    let request = admission.parameter();
    let is_first = admission.query("before").is_none();
    let mut refusal = is_first.then(|| api.refusals.of_request(request)).flatten();
    // A refusal is not all there is to know if it is of one operation of a bulk request, since
    // others may have been done; or of a change that was not confirmed in time, since it may have
    // been made.
    let is_all =
        |row: &Value| row.get("operation").is_none() && Cause::of(row) != Some(Cause::Doubt);
    if let Some(mut row) = refusal.take_if(|row| is_all(row)) {
        row["advice"] = json!(advice(&row));
        return Ok(reply::json(200, &json!({"refusal": row, "changes": []})));
    }
    let before = sequence(admission, "before")?.unwrap_or(u64::MAX);
    let mut changes = Vec::new();
    let next = api.directory.of_request(request, before, |row| {
        if row["kind"] == "refuse" {
            // Of several refused operations the last one counts, as in memory.
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

/// What to do, in the words of the manual's page on errors.
fn advice(row: &Value) -> &'static str {
    let cause = Cause::of(row);
    match row["status"].as_u64().unwrap_or_default() {
        400 => of_bad_request(row, cause),
        401 => of_token(cause),
        403 => of_forbidden(row, cause),
        404 => of_not_found(row, cause),
        405 | 415 => "make the proxy forward /scim/v2 unchanged, including methods and headers",
        408 | 414 | 417 | 431 | 505 => UNREADABLE,
        409 => of_conflict(row),
        412 => {
            "retrieve the user again: somebody, or an earlier try of this request, has changed it"
        }
        413 => {
            "take large attributes out of the mapping, photos above all; send bulk requests of fewer \
             operations"
        }
        status @ (429 | 503) => of_later(status, cause),
        501 => of_not_implemented(cause),
        507 => "export the users, and import them into a new data directory",
        500.. => {
            "do what that text says; if it speaks of an error in golinks-scim, report the log lines \
             of this request"
        }
        _ => "compare the provider's mapping with `golinks-scim guide okta`",
    }
}

/// The advice about bytes that are not a request.
const UNREADABLE: &str = "no identity provider sends this: check the proxy in between, or look for \
                          a network scanner";

fn of_bad_request(row: &Value, cause: Option<Cause>) -> &'static str {
    // Bytes that are not a request get no `scimType`.
    let Some(scim_type) = row["scimType"].as_str() else {
        return UNREADABLE;
    };
    match (cause, scim_type) {
        (Some(Cause::Size), _) => {
            "take lists of very many values out of the mapping; a client of your own sends fewer \
             operations, or fewer values, in one request"
        }
        (Some(Cause::Strictness), _) => {
            "have the provider send it as the RFC has it; if it cannot: `golinks-scim token change \
             NAME --mode compatible`"
        }
        (Some(Cause::NoUserName), _) => {
            "give the person a userName in the provider, or map userName there to what everybody \
             has, usually the email: no user is without one"
        }
        (_, "invalidValue") if is_query(row) => {
            "the text names the parameter: correct it in the client that sends it"
        }
        (_, "invalidFilter") if is_of_method(row, "PATCH") => {
            "correct what the text names: in the target of the mapping, or in the client that \
             sends it"
        }
        _ => of_content(scim_type),
    }
}

fn of_content(scim_type: &str) -> &'static str {
    match scim_type {
        "invalidValue" => {
            "the mapping gives an attribute a value of the wrong type, or gives a required one \
             none: the text names it; userName is usually the email"
        }
        "mutability" => "take the attribute that the text names out of the mapping",
        "invalidPath" => {
            "the target of a mapping is not an attribute here: compare the mapping with the guide"
        }
        "noTarget" => {
            "the request changes a value that the user does not have, or names nothing to remove: \
             compare the filter in the mapping's target with the values that `golinks-scim user \
             show USERNAME` prints; a client of your own names in `path` what it removes"
        }
        "invalidFilter" => {
            "correct what the text names in the filter: in the provider's mapping, or in the client \
             that sends it; if it names what is not an attribute: choose userName as the provider's \
             unique identifier (matching attribute)"
        }
        "tooMany" => {
            "filter on an indexed attribute: id, userName, externalId, emails, active, \
             meta.lastModified"
        }
        "invalidVers" => "end the base URL with /scim/v2",
        "invalidCursor" | "expiredCursor" | "invalidCount" => "begin the import again",
        _ => {
            "the body is not a SCIM user: check the mapping, and any proxy in between that alters \
             bodies"
        }
    }
}

/// Whether the refused request, or the refused operation of a bulk request, had this method.
fn is_of_method(row: &Value, wanted: &str) -> bool {
    let method = row.get("operation").unwrap_or(&row["method"]).as_str();
    method.is_some_and(|method| method.eq_ignore_ascii_case(wanted))
}

/// Whether the refused request was a query, whose values are parameters.
fn is_query(row: &Value) -> bool {
    let is_posted = |route: &str| route.ends_with("/.search");
    is_of_method(row, "GET") || row["route"].as_str().is_some_and(is_posted)
}

fn of_token(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::Credentials(None)) => {
            "set Authentication Mode to HTTP Header in the provider and type the token into it"
        }
        Some(Cause::Credentials(Some(Rejection::Expired))) => {
            "type the token that has replaced it into the provider, or if that is lost, one from \
             `golinks-scim token rotate NAME`; if no token of this name is live: `golinks-scim \
             token issue NAME`"
        }
        Some(Cause::Credentials(Some(Rejection::Revoked))) => {
            "if the provider is to have access: type the token that has replaced it into it, or if \
             that is lost, one from `golinks-scim token rotate NAME`; if no token of this name is \
             live: `golinks-scim token issue NAME`; `golinks-scim audit list` shows who revoked \
             this one"
        }
        Some(Cause::Credentials(Some(Rejection::Address))) => {
            "`golinks-scim token show NAME` lists the addresses that it may be used from; if the \
             provider's have changed: `golinks-scim token change NAME --allow-from`; if it came from \
             your proxy's: list that in `trusted_proxies`"
        }
        _ => {
            "type the whole token into the provider again, without a space or the word Bearer \
             where it adds that itself; if it is lost: `golinks-scim token rotate NAME`"
        }
    }
}

fn of_forbidden(row: &Value, cause: Option<Cause>) -> &'static str {
    match cause {
        _ if row["scimType"].is_string() => "take password out of the filter: it is never compared",
        Some(Cause::Scope) => {
            "if the token should be allowed to, run the command in that text: a token that is issued \
             anew must be typed into the provider, one that is changed need not; Okta needs no more \
             than `provision`, Entra and JumpCloud need `full`"
        }
        _ => "nothing: no identity provider filters discovery endpoints",
    }
}

fn of_not_found(row: &Value, cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::User) if is_of_method(row, "DELETE") => {
            "nothing: the user is already deleted, as requested, or was never here: \
             `golinks-scim audit list --user ID` shows which; perhaps the answer to an earlier try \
             was lost"
        }
        Some(Cause::User) => {
            "the user was deleted here, or the provider has an id from another directory: unassign \
             the person in the provider and assign them again, so that it searches by userName; \
             `golinks-scim audit list --user ID` shows what happened to the user"
        }
        _ => {
            "compare the base URL with `golinks-scim guide okta`: it ends with /scim/v2, without \
             /Users; untick Import Groups and Push Groups"
        }
    }
}

fn of_conflict(row: &Value) -> &'static str {
    if row["scimType"] == "uniqueness" {
        "somebody here has this userName already: `golinks-scim user show USERNAME`; import in Okta \
         and confirm the match instead of pushing a new user, or change one of the two names; if \
         the provider itself has made this user just before (`golinks-scim audit list --user \
         USERNAME`), the answer to its first try was lost and there is nothing to fix: it will find \
         the user by userName"
    } else {
        "fix the failed operation that this one refers to"
    }
}

/// The advice about requests that may be accepted later.
fn of_later(status: u64, cause: Option<Cause>) -> &'static str {
    match (status, cause) {
        (_, Some(Cause::Load)) => {
            "nothing: the provider comes back by itself; if this keeps happening, see who else \
             sends requests at those times, and send smaller bulk requests"
        }
        (_, Some(Cause::Start)) => {
            "nothing: the server was still checking the directory after a start, and the provider \
             comes back by itself"
        }
        (429, Some(Cause::Failures)) => {
            "stop the failing client at that address; if it is your proxy's: list it in \
             `trusted_proxies`; requests with a valid token are still accepted"
        }
        (429, Some(Cause::Rate)) => {
            "nothing: the provider retries by itself and no user is lost; to allow more at once: \
             `golinks-scim token change NAME --rate-limit N`"
        }
        (429, _) => {
            "the provider comes back by itself; `golinks-scim check` says what the disk lacks"
        }
        _ => {
            "`golinks-scim check` says what is wrong; with a full disk: `golinks-scim manual disk-full`"
        }
    }
}

fn of_not_implemented(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::Groups) => "untick Push Groups in the provider: groups are not provisioned",
        Some(Cause::Me) => "nothing: /Me is for end-user clients",
        _ => UNREADABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;
    use crate::api::problem::Problem;
    use crate::api::refused::put_problem;
    use crate::directory::Error;
    use crate::limits;
    use crate::scim::bulk::Endpoint;
    use crate::scim::{self, Budget, ErrorType, Leniency, Tolerance};
    use crate::store::WriteError;

    /// The part of a refusal's row that says why.
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
        let early = |error: Error| row(Problem::from(error).for_identity_providers());
        let too_much = Budget::default().spend_on_user(usize::MAX);
        let too_much = too_much.expect_err("no user is that large");
        let many = format!("[{}0]", "0,".repeat(limits::BODY_VALUES_MAX));
        let too_many_values = scim::json::parse(many.as_bytes()).expect_err("too many");
        let strict = Leniency::strict().allow(Tolerance::EmptyOperations, "x");
        let strict = strict.expect_err("it tolerates nothing");
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
            (rejected(Rejection::Expired), "has replaced it"),
            (rejected(Rejection::Expired), "token issue NAME"),
            (rejected(Rejection::Revoked), "token issue NAME"),
            (rejected(Rejection::Revoked), "who revoked"),
            (rejected(Rejection::Address), "--allow-from"),
            (rejected(Rejection::Address), "trusted_proxies"),
            (
                row(Problem::insufficient_scope(Scope::Read, Scope::Full)),
                "provision",
            ),
            (row(Problem::no_filter_here()), "filters discovery"),
            (scim(ErrorType::Sensitive), "take password"),
            (row(Error::NotFound), "assign them again"),
            (row(Problem::no_such_resource("group")), "base URL"),
            (row(Problem::not_found()), "base URL"),
            (row(Error::Uniqueness), "user show"),
            (row(Error::Uniqueness), "nothing to fix"),
            (json!({"status": 412}), "an earlier try"),
            (of("DELETE", None), "nothing: the user is already deleted"),
            (
                of("POST", Some("Delete")),
                "nothing: the user is already deleted",
            ),
            (of("POST", Some("PATCH")), "assign them again"),
            (row(Problem::too_many_requests(1)), "--rate-limit"),
            (
                row(Problem::too_many_failures(1)),
                "stop the failing client",
            ),
            (row(full().for_identity_providers()), "what the disk lacks"),
            (row(full()), "disk-full"),
            (row(Error::Busy), "who else sends requests"),
            (row(WriteError::Busy), "who else sends requests"),
            (row(Error::NotYet), "nothing: the server was still"),
            (early(Error::NotYet), "nothing: the server was still"),
            (row(too_much), "fewer operations, or fewer values"),
            (row(too_many_values), "fewer operations, or fewer values"),
            (
                row(Problem::too_many_large_bodies().for_identity_providers()),
                "who else sends requests",
            ),
            (scim(ErrorType::Mutability), "mapping"),
            (row(strict), "--mode compatible"),
            (json!({"status": 400}), "network scanner"),
            (json!({"status": 501}), "network scanner"),
            (
                row(Problem::endpoint_not_implemented(Endpoint::Groups)),
                "Push Groups",
            ),
            (
                row(Problem::endpoint_not_implemented(Endpoint::Me)),
                "end-user",
            ),
            (json!({"status": 413}), "fewer operations"),
        ] {
            assert!(advice(&row).contains(wanted), "{row}: {}", advice(&row));
        }
    }
}
