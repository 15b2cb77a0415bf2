//! `/Users`: translates between HTTP and the directory. Queries are in `query`.

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Principal;
use crate::directory::Written;
use crate::scim::user::Echo;
use crate::scim::{Patch, Projection, User, json};

/// `GET /Users/{id}` (RFC 7644 section 3.4.1).
pub(super) fn retrieve(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    api.directory.retrieve(admission.parameter(), |user| {
        let (version, preconditions) = (user.version(), admission.preconditions());
        if !preconditions.allow_match(&version) {
            return Ok(Err(Problem::precondition_failed()));
        }
        if preconditions.is_not_modified(&version) {
            return Ok(Ok(reply::not_modified(version)));
        }
        let body = user.rendered(&api.ending, &projection(api, admission))?;
        let mut answer = reply::scim(200, body);
        answer.headers.push(("ETag", version.into()));
        Ok(Ok(answer))
    })?
}

/// `POST /Users` (RFC 7644 section 3.3).
pub(super) fn create(api: &Api, admission: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let (user, _) = user(api, admission, body)?;
    let written = api.directory.create(user, &admission.caller())?;
    let location = written.record.location(api.base_url());
    let mut answer = shown(api, admission, 201, written)?;
    answer.headers.push(("Location", location.into()));
    Ok(answer)
}

/// `PUT /Users/{id}` (RFC 7644 section 3.5.1).
pub(super) fn replace(api: &Api, admission: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let (user, echo) = user(api, admission, body)?;
    let written = api.directory.replace(
        admission.parameter(),
        user,
        echo,
        admission.preconditions(),
        &admission.caller(),
    )?;
    shown(api, admission, 200, written)
}

/// `PATCH /Users/{id}` (RFC 7644 section 3.5.2). Always answers with the user: some
/// clients look for the change in it.
pub(super) fn modify(api: &Api, admission: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let mut leniency = admission.leniency();
    let patch = Patch::parse(json::parse(body)?, &mut leniency)?;
    let written = api.directory.modify(
        admission.parameter(),
        patch,
        admission.preconditions(),
        leniency,
        &admission.caller(),
    )?;
    api.note(admission, &written.tolerances);
    shown(api, admission, 200, written)
}

/// `DELETE /Users/{id}` (RFC 7644 section 3.6).
pub(super) fn delete(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    api.directory.delete(
        admission.parameter(),
        admission.preconditions(),
        &admission.caller(),
    )?;
    Ok(reply::no_content())
}

fn shown(api: &Api, admission: &Admission, status: u16, written: Written) -> Outcome {
    let user = written.stored()?;
    let body = user.rendered(&api.ending, &projection(api, admission))?;
    let mut answer = reply::scim(status, body);
    answer.headers.push(("ETag", user.version().into()));
    Ok(answer)
}

fn projection(api: &Api, admission: &Admission) -> Projection {
    let mut leniency = admission.leniency();
    let projection = admission.projection(&mut leniency);
    api.note(admission, leniency.tolerated());
    projection
}

/// The user in a body, and the [`Echo`] mark if the body repeats what the server has shown.
fn user(api: &Api, admission: &Admission, body: &[u8]) -> Result<(User, Option<Echo>), Problem> {
    let mut leniency = admission.leniency();
    let body = json::parse(body)?;
    let echo = Echo::of(&body, &leniency);
    let user = User::parse(body, &mut leniency)?;
    api.note(admission, leniency.tolerated());
    Ok((user, echo))
}
