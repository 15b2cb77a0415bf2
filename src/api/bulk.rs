//! `POST /Bulk` (RFC 7644 section 3.7): many operations in one commit, with an answer for each.

use std::collections::HashMap;
use std::time::Instant as Monotonic;

use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use super::refused::Refused;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::{Principal, Scope};
use crate::directory::{Done, UserId};
use crate::limits;
use crate::scim::bulk::{Action, Operation, Who};
use crate::scim::{Bulk, json, message};

/// `POST /Bulk`.
pub(super) fn bulk(
    api: &Api,
    admission: &Admission,
    principal: &Principal,
    body: &[u8],
) -> Outcome {
    let body = json::parse(body)?;
    if Bulk::is_too_large(&body) {
        return Err(Problem::new(
            413,
            format!(
                "a bulk request has at most {} operations: send several requests",
                limits::BULK_OPERATIONS_MAX
            ),
        ));
    }
    let mut leniency = admission.leniency();
    let bulk = Bulk::parse(body, &mut leniency)?;
    api.note(admission, leniency.tolerated());
    if let Some(token) = principal.token() {
        // The request itself was counted when it was admitted.
        let more = bulk.operations.len().saturating_sub(1);
        let rate = api.tuned.get().rate_per_second;
        let charged = token.charge(rate, more, Monotonic::now());
        charged.map_err(|seconds| api.throttled(seconds))?;
    }
    let heads: Vec<OperationHead> = bulk.operations.iter().map(OperationHead::of).collect();
    let may = |action: &Action| match action {
        Action::Delete(_) => principal.may(Scope::Full),
        Action::Create(_) | Action::Replace(..) | Action::Modify(..) => true,
    };
    let outcomes = api
        .directory
        .bulk(bulk, may, &admission.leniency(), &admission.caller())?;
    let created = created(&heads, &outcomes);
    let (mut results, mut refused) = (Vec::with_capacity(outcomes.len()), 0);
    for (head, outcome) in heads.into_iter().zip(outcomes) {
        match outcome {
            Some(Ok((done, tolerances))) => {
                api.note(admission, &tolerances);
                results.push(head.done(&done, api.base_url()));
            }
            Some(Err(error)) => {
                let problem = Problem::from(error);
                api.damages.note(admission.request_id(), &problem);
                refused += 1;
                if refused <= limits::BULK_REFUSALS_NOTED_MAX {
                    let operation = Refused::operation(admission, &head.method);
                    api.note_refusal(principal, &operation, &problem);
                }
                results.push(head.failed(&problem, admission, api.base_url(), &created));
            }
            None => {}
        }
    }
    Ok(reply::scim_value(&json!({
        "schemas": [message::BULK_RESPONSE_URN],
        "Operations": results,
    })))
}

/// The created users by `bulkId`.
fn created<T, E>(
    heads: &[OperationHead],
    outcomes: &[Option<Result<(Done, T), E>>],
) -> HashMap<String, UserId> {
    let pairs = heads.iter().zip(outcomes);
    let made = pairs.filter_map(|(head, outcome)| match outcome {
        Some(Ok((Done::Created(user), _))) => Some((head.bulk_id.clone()?, user.id)),
        _ => None,
    });
    made.collect()
}

/// The parts of an operation that its answer repeats.
struct OperationHead {
    method: String,
    bulk_id: Option<String>,
    who: Option<Who>,
}

impl OperationHead {
    fn of(operation: &Operation) -> Self {
        Self {
            method: operation.method.clone(),
            bulk_id: operation.bulk_id.clone(),
            who: operation.who.clone(),
        }
    }

    fn done(self, done: &Done, base_url: &str) -> Value {
        let (status, id, version) = match done {
            Done::Created(user) => (201, user.id, Some(&user.version)),
            Done::Changed { user, .. } => (200, user.id, Some(&user.version)),
            Done::Deleted { id, .. } => (204, *id, None),
        };
        let mut result = self.begin();
        let location = format!("{base_url}/Users/{id}");
        result.insert("location".to_owned(), json!(location));
        if let Some(version) = version {
            result.insert("version".to_owned(), json!(version));
        }
        result.insert("status".to_owned(), json!(status.to_string()));
        Value::Object(result)
    }

    fn failed(
        self,
        problem: &Problem,
        admission: &Admission,
        base_url: &str,
        created: &HashMap<String, UserId>,
    ) -> Value {
        let id = match &self.who {
            Some(Who::Id(id)) => Some(id.clone()),
            Some(Who::BulkId(id)) => created.get(id).map(UserId::to_string),
            None => None,
        };
        let location = id.map(|id| format!("{base_url}/Users/{id}"));
        let mut result = self.begin();
        // "REQUIRED in all responses, except in the event of a POST failure".
        if let Some(location) = location {
            result.insert("location".to_owned(), json!(location));
        }
        result.insert("status".to_owned(), json!(problem.status.to_string()));
        result.insert(
            "response".to_owned(),
            problem.document(admission.request_id()),
        );
        Value::Object(result)
    }

    fn begin(self) -> Map<String, Value> {
        let mut result = Map::new();
        if let Some(bulk_id) = self.bulk_id {
            result.insert("bulkId".to_owned(), json!(bulk_id));
        }
        result.insert("method".to_owned(), json!(self.method));
        result
    }
}
