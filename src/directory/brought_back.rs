//! Whom a restore brings back: who was deleted after the backup, perhaps because they demanded it
//! (article 17 of the GDPR). No identity provider tells of them again.

use std::ops::ControlFlow;

use super::audit;
use super::record::Record;
use super::user_id::UserId;
use crate::limits;
use crate::store::{Outline, ReadError};

/// Users of a backup who were deleted after it.
#[derive(Debug, Default)]
pub struct BroughtBack {
    /// The first of them, [`limits::BROUGHT_BACK_TOLD_MAX`] at most, with their userNames.
    pub named: Vec<(UserId, String)>,
    /// How many more there are.
    pub more: usize,
}

impl BroughtBack {
    /// Those that `restored` has, and of whose deletion the store tells that it replaces.
    pub fn by(restored: &Outline, replaced: &Outline) -> Result<Self, ReadError> {
        let mut found = Self::default();
        let mut failed = None;
        replaced
            .snapshot
            .audits_from(restored.trail.next, |_, row| {
                if !row.contains("\"kind\":\"delete\"") {
                    return ControlFlow::Continue(());
                }
                let Some((id, name)) = audit::subject_of(row) else {
                    return ControlFlow::Continue(());
                };
                match restored.snapshot.user(id.sequence()) {
                    Ok(Some(row)) if Record::decode(&row).is_ok_and(|it| it.id() == id) => {
                        found.note(id, name);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })?;
        failed.map_or(Ok(found), Err)
    }

    fn note(&mut self, id: UserId, name: String) {
        if self.named.len() < limits::BROUGHT_BACK_TOLD_MAX {
            self.named.push((id, name));
        } else {
            self.more += 1;
        }
    }
}
