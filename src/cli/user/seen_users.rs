//! The users that the rows of a file are about, so that a second row about one of them is refused.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use serde_json::Value;

use crate::columns::RowOutcome;
use crate::scim::fold::fold;

/// The users that earlier rows were about, each by id and by the userNames it had. A file may have
/// millions of rows, so only hashes are kept.
#[derive(Default)]
pub(super) struct SeenUsers {
    hashes: HashSet<UserHash>,
    hasher: RandomState,
}

/// The hash of an id or a userName.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UserHash(u64);

impl SeenUsers {
    /// The user whom a row names. Next to an id, the userName may be a new one.
    pub(super) fn named(&self, id: Option<&str>, user_name: Option<&str>) -> Option<UserHash> {
        let by_name = || user_name.map(|name| self.by_name(name));
        id.map(|id| self.by_id(id)).or_else(by_name)
    }

    /// Adds a user. Returns whether no earlier row was about that user.
    pub(super) fn insert(&mut self, user: UserHash) -> bool {
        self.hashes.insert(user)
    }

    /// Adds the user of a row that named `who`, as the server knows the user. A later row may name
    /// the same user by id instead of userName or the reverse, or by the userName from before or
    /// after this row.
    pub(super) fn note(&mut self, who: &str, outcome: &Value) {
        let Some(id) = outcome["id"].as_str() else {
            return;
        };
        self.insert(self.by_id(id));
        let told = ["userName", "previousUserName"].map(|member| outcome[member].as_str());
        // The userName of a refused row may be another user's.
        let typed = (RowOutcome::of(outcome) != RowOutcome::Refused).then_some(who);
        for name in told.into_iter().flatten().chain(typed) {
            self.insert(self.by_name(name));
        }
    }

    fn by_id(&self, id: &str) -> UserHash {
        UserHash(self.hasher.hash_one(("id", id)))
    }

    fn by_name(&self, name: &str) -> UserHash {
        UserHash(self.hasher.hash_one(("userName", fold(name))))
    }
}
