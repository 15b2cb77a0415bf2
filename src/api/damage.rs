//! Damage that is found while requests are answered. A server that finds damage at its start does
//! not serve.

use std::sync::{Arc, OnceLock};

use super::problem::Problem;
use super::request_id::RequestId;

/// The data that is not as it was written; the text says where, for administrators only.
pub(super) enum Damage {
    /// The store.
    Store(String),
    /// The chain of the audit trail, in rows that can be read.
    Trail(String),
}

/// The damage that makes the server unready until it stops.
#[derive(Clone, Default)]
pub(super) struct Damages(Arc<OnceLock<String>>);

impl Damages {
    /// Logs the damage that a problem reports, and keeps the first damage to the store, which is
    /// logged only once.
    pub(super) fn note(&self, id: RequestId, problem: &Problem) {
        match &problem.damage {
            Some(Damage::Store(how)) if self.first() == Some(how) => {}
            Some(Damage::Store(how)) => {
                log::error!(request = id.to_string().as_str(); "{id} the store is damaged: {how}");
                self.0.get_or_init(|| how.clone());
            }
            Some(Damage::Trail(place)) => {
                log::error!(
                    request = id.to_string().as_str();
                    "{id} the audit trail is damaged or was altered: {place}"
                );
            }
            None => {}
        }
    }

    /// The first damage to the store.
    pub(super) fn first(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
