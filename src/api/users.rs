//! `/Users`: translates between HTTP and the directory. Queries are in `query`.

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Principal;
use crate::directory::Written;
use crate::scim::user::Echo;
use crate::scim::{Patch, Projection, User, json};

/// Room for most users.
const BODY_BYTES: usize = 2048;

/// `GET /Users/{id}` (RFC 7644 section 3.4.1).
pub(super) fn retrieve(api: &Api, call: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    api.directory.retrieve(call.parameter(), |user| {
        let version = user.version();
        if !call.preconditions().allow_match(&version) {
            return Ok(Err(Problem::precondition_failed()));
        }
        if call.preconditions().is_not_modified(&version) {
            return Ok(Ok(reply::not_modified(version)));
        }
        let mut body = Vec::with_capacity(BODY_BYTES);
        user.render(&api.base_url, &projection(api, call), &mut body)?;
        let mut answer = reply::scim(200, body);
        answer.headers.push(("ETag", version));
        Ok(Ok(answer))
    })?
}

/// `POST /Users` (RFC 7644 section 3.3).
pub(super) fn create(api: &Api, call: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let (user, _) = user(api, call, body)?;
    let written = api.directory.create(user, &call.caller())?;
    let location = written.record.location(&api.base_url);
    let mut answer = shown(api, call, 201, written)?;
    answer.headers.push(("Location", location));
    Ok(answer)
}

/// `PUT /Users/{id}` (RFC 7644 section 3.5.1).
pub(super) fn replace(api: &Api, call: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let (user, echo) = user(api, call, body)?;
    let preconditions = call.preconditions().clone();
    let written =
        api.directory
            .replace(call.parameter(), user, echo, preconditions, &call.caller())?;
    shown(api, call, 200, written)
}

/// `PATCH /Users/{id}` (RFC 7644 section 3.5.2). Always answers with the user: some
/// clients look for the change in it.
pub(super) fn modify(api: &Api, call: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let mut leniency = call.leniency();
    let patch = Patch::parse(json::parse(body)?, &mut leniency)?;
    let preconditions = call.preconditions().clone();
    let written = api.directory.modify(
        call.parameter(),
        patch,
        preconditions,
        leniency,
        &call.caller(),
    )?;
    api.note(call, &written.tolerances);
    shown(api, call, 200, written)
}

/// `DELETE /Users/{id}` (RFC 7644 section 3.6).
pub(super) fn delete(api: &Api, call: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let preconditions = call.preconditions().clone();
    api.directory
        .delete(call.parameter(), preconditions, &call.caller())?;
    Ok(reply::no_content())
}

fn shown(api: &Api, call: &Admission, status: u16, written: Written) -> Outcome {
    let user = written.stored()?;
    let mut body = Vec::with_capacity(BODY_BYTES);
    user.render(&api.base_url, &projection(api, call), &mut body)?;
    let mut answer = reply::scim(status, body);
    answer.headers.push(("ETag", user.version()));
    Ok(answer)
}

fn projection(api: &Api, call: &Admission) -> Projection {
    let mut leniency = call.leniency();
    let projection = call.projection(&mut leniency);
    api.note(call, leniency.tolerated());
    projection
}

/// The user in a body, and the [`Echo`] mark if the body repeats what the server has shown.
fn user(api: &Api, call: &Admission, body: &[u8]) -> Result<(User, Option<Echo>), Problem> {
    let mut leniency = call.leniency();
    let body = json::parse(body)?;
    let echo = Echo::of(&body, &leniency);
    let user = User::parse(body, &mut leniency)?;
    api.note(call, leniency.tolerated());
    Ok((user, echo))
}
