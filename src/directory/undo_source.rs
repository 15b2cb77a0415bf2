//! Reads the changes to undo from the audit trail, as reversals of a slice of users. Verifies that
//! the rows are as they were written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::Error;
use super::audit::{self, UserEvent};
use super::history::{Reach, Then};
use super::reversal::Reversal;
use super::trail::is_by;
use super::undo::{Beginning, ToUndo};
use crate::clock::Instant;
use crate::limits;
use crate::scim::{self, ErrorType};
use crate::store::Snapshot;

/// The reversals of a slice of users.
#[derive(Default)]
pub(super) struct Gathered {
    /// The reversals, by the users' sequences.
    pub(super) reversals: BTreeMap<u32, Reversal>,
    /// The last user of the slice; `None` if no more users follow.
    pub(super) next: Option<u32>,
}

/// Refuses a selection that begins before the trail, because some of the changes would be missed.
pub(super) fn reaches(snapshot: &Snapshot, selection: &ToUndo, now: Instant) -> Result<(), Error> {
    let ToUndo::Since { since, .. } = selection else {
        return Ok(());
    };
    let reach = Reach::read(snapshot, now)?;
    let then = match since {
        Beginning::Moment(moment) => Then::At(*moment),
        Beginning::Change(change) => Then::Before(*change),
    };
    if !reach.falls_short_of(then) {
        return Ok(());
    }
    let before = match (since, reach.oldest) {
        (Beginning::Moment(_), Some(oldest)) => {
            format!("{oldest} were removed: give that time or a later one")
        }
        _ => format!(
            "change {} were removed: give that change (--from) or a later one",
            reach.first
        ),
    };
    let what = format!(
        "the audit trail's rows before {before}; --force undoes what is left of the changes, and \
         overwrites what others have changed since"
    );
    Err(scim::Error::new(ErrorType::InvalidValue, what).into())
}

/// Gathers the reversals of users after the sequence `after`.
pub(super) fn gather(
    snapshot: &Snapshot,
    selection: &ToUndo,
    after: Option<u32>,
    now: Instant,
) -> Result<Gathered, Error> {
    let mut times = Times::default();
    let first = match selection {
        ToUndo::Change(sequence) => {
            let row = snapshot.audit(*sequence)?.ok_or(Error::NotFound)?;
            UserEvent::read(&row).ok_or(Error::NotFound)?;
            *sequence
        }
        ToUndo::Since {
            since: Beginning::Change(sequence),
            ..
        } => {
            if *sequence == 0 || *sequence >= snapshot.audit_extent()?.next {
                return Err(Error::NotFound);
            }
            *sequence
        }
        ToUndo::Since {
            since: Beginning::Moment(since),
            ..
        } => {
            times = Times::read(snapshot, *since, now)?;
            let Some(first) = first_since(snapshot, &times)? else {
                return Ok(Gathered::default());
            };
            first
        }
    };
    let mut gathering = Gathering {
        selection,
        times,
        after,
        before: None,
        reversals: BTreeMap::new(),
        bytes: 0,
    };
    // Values from tampered rows must not get into users. Rows before the selected ones are not
    // used, so they are not checked.
    snapshot
        .check_audits(first, u64::MAX, |sequence, text| {
            gathering.take(sequence, text);
        })?
        .map_err(|broken| Error::BrokenTrail(broken.to_string()))?;
    let last = gathering.reversals.last_key_value().map(|(last, _)| *last);
    Ok(Gathered {
        next: gathering.before.and(last),
        reversals: gathering.reversals,
    })
}

/// Decides which rows were written before a moment. The default says none.
#[derive(Default)]
struct Times {
    since: String,
    now: String,
    /// The last row about any user that has a time before the moment. An earlier row with a time
    /// in the future was also written before the moment, while the clock was ahead.
    last_before: u64,
}

impl Times {
    fn read(snapshot: &Snapshot, since: Instant, now: Instant) -> Result<Self, Error> {
        let mut times = Self {
            since: since.to_string(),
            now: now.to_string(),
            last_before: 0,
        };
        snapshot.audits_before(u64::MAX, |sequence, text| {
            // The time first: it is found at once, and decides for nearly all rows.
            if !times.is_before(sequence, text) || audit::user_of(text).is_none() {
                return ControlFlow::Continue(());
            }
            times.last_before = sequence;
            ControlFlow::Break(())
        })?;
        Ok(times)
    }

    /// Whether a row was written before the moment.
    fn is_before(&self, sequence: u64, row: &str) -> bool {
        let is_ahead = |time: &str| sequence < self.last_before && time > &*self.now;
        audit::time_text(row).is_none_or(|time| time < &*self.since || is_ahead(time))
    }
}

/// The first row that was not written before the moment.
fn first_since(snapshot: &Snapshot, times: &Times) -> Result<Option<u64>, Error> {
    let mut first = None;
    snapshot.audits_from(1, |sequence, text| {
        if times.is_before(sequence, text) {
            return ControlFlow::Continue(());
        }
        first = Some(sequence);
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// Collects the users with changes to undo, lowest sequences first.
struct Gathering<'a> {
    selection: &'a ToUndo,
    times: Times,
    after: Option<u32>,
    /// Users from this sequence on did not fit.
    before: Option<u32>,
    reversals: BTreeMap<u32, Reversal>,
    bytes: usize,
}

impl Gathering<'_> {
    fn take(&mut self, sequence: u64, text: &str) {
        let Some(id) = audit::user_of(text) else {
            return;
        };
        let user = id.sequence();
        if self.after.is_some_and(|after| user <= after)
            || self.before.is_some_and(|before| user >= before)
        {
            return;
        }
        let is_early = self.times.is_before(sequence, text);
        let is_known = self.reversals.contains_key(&user);
        // Most rows are about other users and need not be parsed.
        let is_other = matches!(self.selection, ToUndo::Change(wanted) if *wanted != sequence);
        if (is_early || is_other) && !is_known {
            return;
        }
        let Some(event) = UserEvent::read(text) else {
            return;
        };
        let is_selected = !is_early && self.is_selected(sequence, &event.principal);
        if !is_selected && !is_known {
            return;
        }
        let reversal = self
            .reversals
            .entry(user)
            .or_insert_with(|| Reversal::of(id));
        reversal.bytes += text.len();
        self.bytes += text.len();
        reversal.take(sequence, event, is_selected);
        self.shrink();
    }

    fn is_selected(&self, sequence: u64, principal: &str) -> bool {
        match self.selection {
            ToUndo::Change(wanted) => sequence == *wanted,
            ToUndo::Since { token, .. } => {
                token.as_ref().is_none_or(|token| is_by(principal, token))
            }
        }
    }

    fn shrink(&mut self) {
        while self.reversals.len() > 1
            && (self.reversals.len() > limits::UNDO_SLICE_USERS_MAX
                || self.bytes > limits::UNDO_SLICE_BYTES_MAX)
        {
            let Some((user, reversal)) = self.reversals.pop_last() else {
                return;
            };
            self.before = Some(user);
            self.bytes -= reversal.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, json};

    use super::super::describe;
    use super::super::user_id::UserId;
    use super::*;
    use crate::store::{Change, Store};

    fn row(time: Instant, user: Option<u32>, bytes: usize) -> String {
        json!({
            "time": time.to_string(), "principal": "token:0a:okta", "kind": "modify",
            "user": user.map(|user| UserId::new(user).to_string()), "userName": "jane",
            "version": "W/\"2\"", "changes": [], "more": "x".repeat(bytes),
        })
        .to_string()
    }

    /// Otherwise only the user's later changes would be undone, and the next slice would begin
    /// after the user.
    #[test]
    fn a_user_whose_changes_do_not_fit_is_left_to_the_next_slice_with_all_of_them() {
        let now = Instant::from_millis(0);
        let selection = ToUndo::Since {
            since: Beginning::Moment(now),
            token: None,
        };
        let half = limits::UNDO_SLICE_BYTES_MAX / 2;
        for (rows, kept, before) in [
            // No more users are left than must be.
            (
                vec![(1, 1), (2, half), (3, half), (3, 1), (2, 1)],
                vec![1, 2],
                Some(3),
            ),
            // A slice without users would be the last.
            (vec![(1, half), (1, half), (1, 1)], vec![1], None),
        ] {
            let mut gathering = Gathering {
                selection: &selection,
                times: Times::default(),
                after: None,
                before: None,
                reversals: BTreeMap::new(),
                bytes: 0,
            };
            for (sequence, (user, bytes)) in (1..).zip(rows) {
                gathering.take(sequence, &row(now, Some(user), bytes));
            }
            assert!(gathering.reversals.keys().eq(&kept), "{kept:?}");
            assert_eq!(gathering.before, before);
        }
    }

    /// Rows about no user may have waited for a commit, so their times do not tell when the rows
    /// before them were written.
    #[test]
    fn a_row_that_is_ahead_was_written_before_a_moment_if_a_later_row_of_a_user_was() {
        let [early, since, now, ahead] = [1, 2, 3, 4].map(Instant::from_millis);
        let rows = [
            (ahead, Some(1), true),
            (early, Some(1), true),
            (ahead, Some(1), false),
            (early, None, true),
        ]
        .map(|(time, user, is_before)| (row(time, user, 0), is_before));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        for (row, _) in rows.clone() {
            let written = store.write(|_| Ok(Ok::<_, ()>((Change::none().audit(row), ()))));
            written.expect("written").expect("planned");
        }
        let snapshot = store.snapshot().expect("open");
        let times = Times::read(&snapshot, since, now).expect("read");
        for (sequence, (row, is_before)) in (1..).zip(rows) {
            assert_eq!(times.is_before(sequence, &row), is_before, "{sequence}");
        }
    }

    /// Its time is from before changes whose rows come before it, and which were removed.
    #[test]
    fn the_row_of_a_refusal_does_not_tell_how_far_back_the_trail_reaches() {
        let [refused, since, changed, now] = [1, 2, 3, 4].map(Instant::from_millis);
        let refusal = audit::event(&audit::itself(), refused, "refuse", &Map::new());
        let rows = [row(changed, Some(1), 0), refusal, row(now, Some(1), 0)];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        let change = rows.into_iter().fold(Change::none(), Change::audit);
        store.commit(change.trim_audit(1)).expect("written");
        let snapshot = store.snapshot().expect("open");
        for (since, is_reached) in [(since, false), (changed, false), (now, true)] {
            let selection = ToUndo::Since {
                since: Beginning::Moment(since),
                token: None,
            };
            let reached = reaches(&snapshot, &selection, now);
            assert_eq!(reached.is_ok(), is_reached, "{since}");
        }
    }
}
