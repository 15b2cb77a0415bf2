//! How much of the audit trail is kept. The oldest rows are removed first, in steps of one commit
//! each. The chain then begins at its anchor after them, and a new row says what was removed and
//! why.
//!
//! Removal by age depends on a clock, and a clock that jumps years ahead must not destroy the
//! history. So rows are removed by age at most once a day, not in the first hour of a server, and
//! never more than an eighth of them, or one if there are few. A day's rows are normally far fewer
//! ([`limits::AUDIT_KEEP_DAYS_MIN`]), and if the clock is set right within days, little is lost.

use std::ops::ControlFlow;
use std::time::Instant as Monotonic;

use serde_json::{Map, json};

use super::{Directory, Error, audit};
use crate::clock::Instant;
use crate::limits;
use crate::locks::ignore_poison;
use crate::store::{self, Change, Snapshot, WriteError};

/// Why rows are removed.
const SIZE: &str = "size";
const AGE: &str = "age";

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Days; `None` keeps rows forever.
    pub days: Option<i64>,
    /// Bytes of all rows together; `None` is unlimited.
    pub bytes: Option<u64>,
}

/// The removal under way, and when to look for the next.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// When rows are next removed by age.
    by_age: Option<Monotonic>,
    /// The row at which an unfinished look by age goes on; all rows before it are from the future.
    from: Option<u64>,
    /// When to try again after a failure.
    not_before: Option<Monotonic>,
    run: Option<Run>,
}

/// Rows that are to be removed.
#[derive(Debug)]
struct Run {
    through: u64,
    why: &'static str,
    is_told: bool,
}

impl Directory {
    /// Removes some of the rows that need not be kept any more, if there are any. Called at
    /// intervals; `at` is the monotonic time, which spaces removals by age.
    pub fn tend_trail(&self, keep: Keep, at: Monotonic) {
        match self.trim(keep, at) {
            Ok(_) | Err(Error::Unavailable) => {}
            Err(error) if is_temporary(&error) => {}
            Err(error) => log::warn!("old rows of the audit trail cannot be removed: {error:?}"),
        }
    }

    /// Removes rows in one step, and returns how many numbers they covered. It returns 0 if there
    /// are none to remove, or if the next call goes on looking for them. A step reads
    /// [`limits::AUDIT_SCAN_ROWS_MAX`] rows or little more, since a stop waits for it.
    pub fn trim(&self, keep: Keep, at: Monotonic) -> Result<u64, Error> {
        let mut retention = ignore_poison(self.retention.lock());
        if retention.not_before.is_some_and(|it| at < it) {
            return Ok(0);
        }
        let snapshot = self.store.snapshot()?;
        let trimmed = self.trim_step(&mut retention, &snapshot, keep, at);
        // Trying again at every tick would report damaged rows each time. A sector that cannot be
        // read or written would fail again, and each time the store must be reopened.
        if trimmed.as_ref().is_err_and(|error| !is_temporary(error)) {
            retention.not_before = Some(at + limits::AUDIT_TRIM_FIRST_PAUSE);
        }
        trimmed
    }

    fn trim_step(
        &self,
        retention: &mut Retention,
        snapshot: &Snapshot,
        keep: Keep,
        at: Monotonic,
    ) -> Result<u64, Error> {
        if retention.run.is_none() {
            retention.run = retention.plan(snapshot, keep, self.clock.now(), at)?;
        }
        let Some(run) = &mut retention.run else {
            return Ok(0);
        };
        let first = snapshot.audit_extent()?.first;
        let step = first.saturating_add(limits::AUDIT_TRIM_ROWS_MAX - 1);
        let through = run.through.min(step);
        let mut change = Change::none().trim_audit(through);
        if !run.is_told {
            let mut details = Map::new();
            details.insert("first".to_owned(), json!(first));
            details.insert("through".to_owned(), json!(run.through));
            details.insert("why".to_owned(), json!(run.why));
            let kept = match run.why {
                SIZE => json!(keep.bytes),
                _ => json!(keep.days),
            };
            details.insert("keep".to_owned(), kept);
            let now = self.clock.now();
            change = change.audit(audit::event(&audit::itself(), now, "audit.trim", &details));
        }
        self.store.commit(change)?;
        if !run.is_told {
            log::info!(
                "rows {first} to {} of the audit trail are being removed by {}",
                run.through,
                run.why
            );
            run.is_told = true;
        }
        if through == run.through {
            retention.run = None;
        }
        Ok((through + 1).saturating_sub(first))
    }
}

/// Whether the store refused the removal for now, without a failure of its own.
fn is_temporary(error: &Error) -> bool {
    use WriteError::{Busy, Full, Lost};
    matches!(error, Error::Write(Busy | Full | Lost))
}

impl Retention {
    fn plan(
        &mut self,
        snapshot: &Snapshot,
        keep: Keep,
        now: Instant,
        at: Monotonic,
    ) -> Result<Option<Run>, Error> {
        let run = |through: u64, why| Run {
            through,
            why,
            is_told: false,
        };
        if let Some(bytes) = keep.bytes
            && let Some(through) = beyond_bytes(snapshot, bytes)?
        {
            return Ok(Some(run(through, SIZE)));
        }
        let due = *self
            .by_age
            .get_or_insert(at + limits::AUDIT_TRIM_FIRST_PAUSE);
        let Some(days) = keep.days.filter(|_| at >= due) else {
            // By the time rows are removed by age again, those seen may no longer be from the future.
            self.from = None;
            return Ok(None);
        };
        let through = beyond_age(snapshot, &mut self.from, now, days)?;
        if self.from.is_none() {
            self.by_age = Some(at + limits::AUDIT_TRIM_PAUSE);
        }
        Ok(through.map(|through| run(through, AGE)))
    }
}

/// The last row to remove, so that a sixteenth of `most` becomes free and not every new row causes
/// a removal. `None` while the rows take no more than `most`.
fn beyond_bytes(snapshot: &Snapshot, most: u64) -> Result<Option<u64>, Error> {
    let extent = snapshot.audit_extent()?;
    if extent.bytes <= most {
        return Ok(None);
    }
    let mut excess = extent.bytes - (most - most / 16);
    let (mut through, mut rows) = (None, 0);
    snapshot.audits_from(extent.first, |sequence, text| {
        if excess == 0 || rows >= limits::AUDIT_SCAN_ROWS_MAX {
            return ControlFlow::Break(());
        }
        excess = excess.saturating_sub(text.len() as u64 + store::ROW_BYTES);
        (through, rows) = (Some(sequence), rows + 1);
        ControlFlow::Continue(())
    })?;
    Ok(through)
}

/// The last row to remove: the oldest rows written more than `days` before `now`, at most an eighth
/// of all. A row from the future was written while the clock was ahead, or the clock is behind now.
/// It is removed along with the rows around it, which would otherwise be kept until its time. There
/// may be any number of such rows: if one call does not get past them, `from` becomes the row at
/// which the next call goes on.
fn beyond_age(
    snapshot: &Snapshot,
    from: &mut Option<u64>,
    now: Instant,
    days: i64,
) -> Result<Option<u64>, Error> {
    let horizon = now.plus_days(-days);
    let extent = snapshot.audit_extent()?;
    // At least one, so that no row is kept forever.
    let most = (extent.rows / limits::AUDIT_TRIM_SHARE).clamp(1, limits::AUDIT_SCAN_ROWS_MAX);
    let last = extent.first.saturating_add(most - 1);
    let first = from.take().unwrap_or(extent.first);
    let end = first.saturating_add(limits::AUDIT_SCAN_ROWS_MAX);
    let mut through = None;
    snapshot.audits_from(first, |sequence, text| {
        let time = audit::time_of(text);
        let is_old = time.is_some_and(|time| time < horizon);
        let is_ahead = time.is_some_and(|time| time > now);
        if is_old {
            through = Some(sequence.min(last));
        }
        if (is_old && sequence < last) || (is_ahead && sequence < end) {
            return ControlFlow::Continue(());
        }
        // Without an old row, nothing is removed.
        *from = Some(sequence).filter(|_| is_ahead && through.is_none());
        ControlFlow::Break(())
    })?;
    Ok(through)
}
