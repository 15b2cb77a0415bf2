//! Undoes changes. The audit trail records what a change did to each attribute; an undo restores
//! the previous values of the attributes, as a new change.
//!
//! ```text
//! trail, from the first change on ──▶ a reversal for each user ──▶ plan on the writer's view
//!                                       │                            │
//!                                       │ what each attribute was    ├─ it is so already: nothing
//!                                       │ before the first change    ├─ somebody else changed it
//!                                       │ that is taken back         │  since: refused
//!                                       └ who touched it since       └─ change, audit row "undo"
//! ```
//!
//! A creation is undone by deactivating the user, if it still exists; a deletion cannot be undone.
//! Many changes are undone in slices of users, in the order of their creation, so that memory use
//! is bounded.

use std::sync::Arc;
use std::time::Instant as Monotonic;

use serde_json::Value;

use super::audit::Caller;
use super::change::ChangeContext;
use super::reversal::{Reversal, givers_first};
use super::undo_source::{Gathered, gather, reaches};
use super::user_id::UserId;
use super::{Directory, Error};
use crate::clock::Instant;
use crate::limits;
use crate::store::View;

/// The changes to undo.
#[derive(Clone, Debug)]
pub enum ToUndo {
    /// The change with this sequence.
    Change(u64),
    /// All changes from a beginning on, or only those by the token with this name or id.
    Since {
        /// The beginning.
        since: Beginning,
        /// The token; `None` is any principal.
        token: Option<String>,
    },
}

/// Where the changes to undo begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// At a moment, by the recorded times of the changes.
    Moment(Instant),
    /// With the change at this sequence. Uses the order of the changes, so a wrong clock does not
    /// matter.
    Change(u64),
}

/// How changes are undone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether attributes are restored even if other changes have touched them since.
    pub is_forced: bool,
    /// Whether to only report what would be done.
    pub is_dry_run: bool,
}

/// The outcome for one user's changes.
#[derive(Debug)]
pub struct Undone {
    /// The user.
    pub user: UserId,
    /// The user's last userName in the trail.
    pub user_name: String,
    /// The sequences of the user's changes to undo.
    pub changes: Vec<u64>,
    /// Whether one of them created the user.
    pub is_creation: bool,
    /// What was done to the attributes, or why nothing was.
    pub outcome: Result<UndoEffect, Obstacle>,
}

/// The effect of an undo on a user. The default is none: the user is like that already.
#[derive(Debug, Default)]
pub struct UndoEffect {
    /// The attributes whose previous values were restored; empty if they had those already.
    pub attributes: Vec<String>,
    /// Those of them whose values are no longer than [`limits::UNDO_VALUE_BYTES_MAX`], each with
    /// the undone value and the restored one; unassigned is null.
    pub values: Vec<(String, Value, Value)>,
    /// Whether a person has lost access by the undo (see `change::has_access`).
    pub lost_access: bool,
}

/// Why a user's changes are not undone.
#[derive(Debug)]
pub enum Obstacle {
    /// Another change has touched the attribute since.
    Touched {
        /// The attribute.
        attribute: String,
        /// The sequence of that change.
        by_change: u64,
        /// Who made it.
        principal: String,
    },
    /// One of the changes is a deletion.
    Deletion {
        /// Its sequence.
        change: u64,
        /// Whether another user has the userName by now.
        is_name_taken: bool,
    },
    /// The user was deleted since.
    Gone,
    /// The user was changed while the undo was prepared.
    Meanwhile,
    /// Something else, such as a userName that another user has by now.
    Other(Error),
}

/// The outcome for one slice of users.
#[derive(Debug)]
pub struct UndoPage {
    /// The outcome for each user.
    pub undone: Vec<Undone>,
    /// The sequence of the last user of the slice; `None` if no more users follow.
    pub next: Option<u32>,
}

impl Directory {
    /// Undoes changes of a slice of the users after the sequence `after`. [`Error::NotFound`] if a
    /// single change was named that is not a change of a user, or does not exist yet.
    pub fn undo(
        &self,
        selection: &ToUndo,
        manner: Manner,
        after: Option<u32>,
        caller: &Caller,
    ) -> Result<UndoPage, Error> {
        let began = Monotonic::now();
        let gathered = self.read(|snapshot| {
            let now = self.clock.now();
            if !manner.is_forced {
                reaches(&snapshot, selection, now)?;
            }
            gather(&snapshot, selection, after, now)
        })?;
        let until = began + limits::UNDO_STEP_DURATION_MAX;
        self.reverse_until(until, gathered, manner, &self.context(caller))
    }

    /// Undoes the changes of a slice of users in batches. Begins none after `until` but the first.
    fn reverse_until(
        &self,
        until: Monotonic,
        gathered: Gathered,
        manner: Manner,
        context: &ChangeContext,
    ) -> Result<UndoPage, Error> {
        let (mut undone, all) = (Vec::new(), gathered.reversals.len());
        let mut reversals = gathered.reversals.into_values();
        while reversals.len() > 0 && (undone.is_empty() || Monotonic::now() < until) {
            let batch = reversals.by_ref().take(limits::UNDO_BATCH_USERS_MAX);
            match self.reverse(batch.collect(), manner, context) {
                Ok(these) => undone.extend(these),
                Err(error) if undone.is_empty() => return Err(error),
                // The changes made so far are reported; the next call will meet the error.
                Err(_) => break,
            }
        }
        let next = match undone.last() {
            Some(last) if undone.len() < all => Some(last.user.sequence()),
            _ => gathered.next,
        };
        Ok(UndoPage { undone, next })
    }

    /// Undoes the changes of some users in one commit, or reports what that would do.
    fn reverse(
        &self,
        reversals: Vec<Reversal>,
        manner: Manner,
        context: &ChangeContext,
    ) -> Result<Vec<Undone>, Error> {
        let reversals = givers_first(reversals).into_iter().map(Arc::new);
        let reversals: Vec<Arc<Reversal>> = reversals.collect();
        let plans = || {
            reversals.iter().map(|reversal| {
                let (reversal, context) = (Arc::clone(reversal), context.clone());
                move |view: &View<'_>| reversal.plan(view, manner, &context)
            })
        };
        let outcomes = if manner.is_dry_run {
            self.suppose_all(plans)?
        } else {
            self.write_all(plans().collect(), &context.caller, |it: &UndoEffect| {
                it.lost_access
            })?
        };
        let undone = reversals.iter().zip(outcomes);
        let mut undone: Vec<_> = undone
            .map(|(reversal, outcome)| reversal.undone(outcome))
            .collect();
        undone.sort_by_key(|it| it.user.sequence());
        Ok(undone)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{audit, describe};
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::Store;

    /// The client waits for the answer, and asks for the next slice.
    #[test]
    fn a_slice_that_takes_long_ends_after_a_batch() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        let directory = Directory::new(Arc::new(store), Arc::new(SystemClock));
        let (now, batch) = (Monotonic::now(), limits::UNDO_BATCH_USERS_MAX);
        for (until, users, undone, next) in [
            (
                now + limits::UNDO_STEP_DURATION_MAX,
                batch + 1,
                batch + 1,
                None,
            ),
            (now, batch + 1, batch, u32::try_from(batch).ok()),
            (now, batch, batch, None),
        ] {
            // None of the users exists any more.
            let reversals = (1..).take(users);
            let reversals = reversals.map(|user| (user, Reversal::of(UserId::new(user))));
            let gathered = Gathered {
                reversals: reversals.collect(),
                next: None,
            };
            let context = directory.context(&audit::itself());
            let page = directory.reverse_until(until, gathered, Manner::default(), &context);
            let page = page.expect("done");
            assert_eq!((page.undone.len(), page.next), (undone, next));
        }
    }
}
