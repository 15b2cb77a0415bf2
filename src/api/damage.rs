//! What is found not to be as it was written while requests are answered. A start looks at
//! everything and would not serve it.

use std::sync::{Arc, OnceLock};

use super::problem::Problem;

/// What is not as it was written; the text says where, for the administrator alone.
pub(super) enum Damage {
    /// The store.
    Store(String),
    /// The chain of the audit trail, in rows that can be read.
    Trail(String),
}

/// What makes the server unready until its end.
#[derive(Clone, Default)]
pub(super) struct Damages(Arc<OnceLock<String>>);

impl Damages {
    /// Logs what is damaged, and keeps it if it is the first of the store.
    pub(super) fn note(&self, request_id: &str, problem: &Problem) {
        match &problem.damage {
            Some(Damage::Store(how)) => {
                log::error!(request = request_id; "{request_id} the store is damaged: {how}");
                self.0.get_or_init(|| how.clone());
            }
            Some(Damage::Trail(place)) => {
                log::error!(
                    request = request_id;
                    "{request_id} the audit trail is not as it was written: {place}"
                );
            }
            None => {}
        }
    }

    /// The first of the store.
    pub(super) fn first(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
