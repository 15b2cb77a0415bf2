//! The users whom a restore brings back: those deleted after the backup, perhaps because they
//! requested it (article 17 of the GDPR). No identity provider mentions them again.

use std::ops::ControlFlow;

use super::audit;
use super::record::Record;
use super::user_id::UserId;
use crate::limits;
use crate::store::{OpenError, Summary};

/// Users of a backup who were deleted after it.
#[derive(Debug, Default)]
pub struct ReturnedUsers {
    /// The first of them with their userNames, at most [`limits::RETURNED_USERS_TOLD_MAX`].
    pub named: Vec<(UserId, String)>,
    /// How many more there are.
    pub more: usize,
}

impl ReturnedUsers {
    /// The users in `restored` that were deleted according to the replaced store's audit trail. No
    /// id is given twice, not even by two stores.
    pub fn by(restored: &Summary, replaced: &Summary) -> Result<Self, OpenError> {
        let deleted = replaced.read(|snapshot| {
            let mut deleted = Vec::new();
            snapshot.audits_from(1, |_, row| {
                let is_deletion = row.contains("\"kind\":\"delete\"");
                deleted.extend(is_deletion.then(|| audit::subject_of(row)).flatten());
                ControlFlow::Continue(())
            })?;
            Ok(deleted)
        })?;
        restored.read(|snapshot| {
            let mut found = Self::default();
            for (id, name) in deleted {
                let row = snapshot.user(id.sequence())?;
                if row.is_some_and(|row| Record::decode(&row).is_ok_and(|it| it.id() == id)) {
                    found.add(id, name);
                }
            }
            Ok(found)
        })
    }

    fn add(&mut self, id: UserId, name: String) {
        if self.named.len() < limits::RETURNED_USERS_TOLD_MAX {
            self.named.push((id, name));
        } else {
            self.more += 1;
        }
    }
}
