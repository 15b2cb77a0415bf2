//! Reads the whole store, to find damage before it is needed, and says what is in it.

use serde_json::{Value, json};

use super::Api;
use super::damage::Damage;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Administrator;
use crate::directory;
use crate::store::{Counts, OpenError};

/// `POST /admin/verification`: reads the whole store and says what is in it.
pub(super) fn verify(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let snapshot = api.store.snapshot().map_err(directory::Error::from)?;
    let counts = snapshot.check(directory::describe).map_err(|error| {
        api.store.suspect();
        unsound(error)
    })?;
    Ok(reply::json(200, &described_counts(&counts)))
}

/// The problem of a store that cannot be read as a whole.
pub(super) fn unsound(error: OpenError) -> Problem {
    let detail = error.to_string();
    match error {
        OpenError::Damaged(how) => Problem::damaged(Damage::Store(how), detail),
        _ => Problem::new(500, detail),
    }
}

pub(super) fn described_counts(counts: &Counts) -> Value {
    json!({
        "users": counts.users,
        "tokens": counts.tokens,
        "auditRows": counts.audit_rows,
    })
}
