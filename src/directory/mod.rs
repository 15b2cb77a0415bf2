//! The users and the rules for them: create, retrieve, query, replace, modify and delete, with
//! every rule that holds for all callers. This module knows SCIM values and the store, not HTTP.
//!
//! Invariants:
//! - `userName` is unique after folding. A conflict is found on the writer's own view, so that two
//!   concurrent requests cannot both win.
//! - Deactivation is a change of `active`. Only a delete removes a user, and its `id` never
//!   returns.
//! - A request that changes nothing writes nothing: version and `lastModified` stay.
//! - Every change leaves an audit row in the same commit.

mod alarm;
mod attribute_values;
mod audit;
mod bulk;
mod change;
mod deactivations;
mod draft;
mod ending;
mod history;
mod import;
mod order;
mod page_slice;
mod partial_read;
mod plans;
mod position;
mod query;
mod record;
mod retention;
mod returned_users;
mod reversal;
mod row_header;
mod row_keys;
mod scan;
mod selection;
mod trail;
mod undo;
mod undo_source;
mod user_id;
mod verification;

use std::ops::{ControlFlow, Deref};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Monotonic};

use alarm::{Alarm, Readings, Transition};
pub use alarm::{AlarmState, Thresholds};
pub use audit::{Caller, event, itself};
pub use bulk::{BulkOutcome, Done};
use deactivations::Recalled;
pub use ending::Ending;
pub use history::{Past, Then};
pub use import::Imported;
pub use position::{Position, Start};
pub use query::{Page, Query};
pub use record::{Record, Stored};
pub use retention::Keep;
pub use returned_users::ReturnedUsers;
pub use row_keys::describe;
pub use scan::ScanCaller;
pub use trail::{TrailPage, Wanted, Way};
pub use undo::{Beginning, Manner, Obstacle, ToUndo, UndoEffect, UndoPage, Undone};
pub use user_id::UserId;
pub use verification::Report;

use crate::clock::SharedClock;
use crate::limits;
use crate::scim::user::Echo;
use crate::scim::{self, Budget, Leniency, Patch, Preconditions, Tolerated, User};
use crate::store::{ReadError, Row, Snapshot, StorageFault, Store, Unavailable, View, WriteError};
use crate::turns::Turns;
use change::{ChangeContext, Edit, Planned};
use draft::Draft;
use retention::Retention;
use scan::Scan;
use trail::FormerHolders;
use verification::Verification;

/// The users, and the rules for them.
pub struct Directory {
    store: Arc<Store>,
    clock: SharedClock,
    /// Turns for queries that scan many users.
    scans: Turns,
    alarm: Alarm,
    verification: Mutex<Option<Verification>>,
    retention: Mutex<Retention>,
    former_holders: Mutex<FormerHolders>,
}

/// Why the directory did not perform a request.
#[derive(Debug)]
pub enum Error {
    /// No user has this id.
    NotFound,
    /// Another user has this userName.
    Uniqueness,
    /// The user does not have the version that the request demands.
    PreconditionFailed,
    /// All sequences are used up: no more users can be created.
    Exhausted,
    /// The operation is on an endpoint where changes are answered with 501.
    NotImplemented(scim::bulk::Endpoint),
    /// The caller may do the request's other operations, but not this one.
    Forbidden,
    /// The user that the operation refers to by this `bulkId` could not be created.
    Unresolved(String),
    /// Too many queries of this kind are running or waiting.
    Busy,
    /// The caller has lost access meanwhile, so the query was given up.
    CallerRevoked,
    /// The request itself is wrong.
    Scim(scim::Error),
    /// A stored row cannot be read.
    Damaged(String),
    /// The audit trail, which the request relies on, differs from what was written; the text says
    /// where.
    BrokenTrail(String),
    /// The store did not commit.
    Write(WriteError),
    /// The store cannot be read at the moment.
    Unavailable,
    /// The store was just started, and it is not known yet whether the user exists.
    NotYet,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        if error.is_not_yet() {
            Self::NotYet
        } else if error.is_transient() {
            Self::Unavailable
        } else {
            Self::Damaged(error.to_string())
        }
    }
}

impl From<Unavailable> for Error {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<scim::Error> for Error {
    fn from(error: scim::Error) -> Self {
        Self::Scim(error)
    }
}

/// A user after a write, and the tolerances that the request has used.
#[derive(Debug)]
pub struct Written {
    /// The user after the write.
    pub record: Record,
    /// The user's row, if it was written.
    row: Option<Vec<u8>>,
    /// The tolerances used while the change was applied.
    pub tolerances: Vec<Tolerated>,
    /// Whether a person has lost access by the write (see `change::has_access`).
    lost_access: bool,
}

impl Written {
    /// The user as it is stored.
    pub fn stored(self) -> Result<Stored<Vec<u8>>, Error> {
        let row = self.row.unwrap_or_else(|| self.record.encode());
        Stored::of(row).map_err(Error::Damaged)
    }
}

impl Directory {
    /// A directory on `store`.
    pub fn new(store: Arc<Store>, clock: SharedClock) -> Self {
        Self {
            store,
            clock,
            scans: Turns::new(limits::SCANS_AT_ONCE_MAX)
                .of_one(limits::SCANS_OF_ONE_MAX, limits::SCANS_WAITING_MAX),
            alarm: Alarm::default(),
            verification: Mutex::default(),
            retention: Mutex::default(),
            former_holders: Mutex::default(),
        }
    }

    /// Creates a user (RFC 7644 section 3.3), active unless the request says otherwise.
    pub fn create(&self, user: User, caller: &Caller) -> Result<Written, Error> {
        self.store.await_check()?;
        let context = self.context(caller);
        let mut draft = Draft::create(UserId::new(0), user, &context)?;
        self.write(move |view| {
            let sequence = view.next_user()?.ok_or(Error::Exhausted)?;
            draft.stamp(context.clock.now(), Some(sequence));
            draft.put(view)
        })
    }

    /// Passes the user with this id to `look`, without copying its row.
    pub fn retrieve<T>(
        &self,
        id: &str,
        look: impl Fn(&Stored<Row<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        self.read(|snapshot| look(&retrieve(&snapshot, id)?.ok_or(Error::NotFound)?))
    }

    /// Replaces a user's attributes (RFC 7644 section 3.5.1). Attributes that the request lacks are
    /// removed, except for `active`: identity providers that leave it out do not mean to change it.
    /// `echo` is set if the body echoes the values that the client was shown.
    pub fn replace(
        &self,
        id: &str,
        user: User,
        echo: Option<Echo>,
        preconditions: Preconditions,
        caller: &Caller,
    ) -> Result<Written, Error> {
        // All tolerances were used, or refused, while the body was read.
        let leniency = Leniency::compatible();
        let edit = Edit::Replace { user, echo };
        self.edit(id, edit, preconditions, leniency, caller)
    }

    /// Applies a patch (RFC 7644 section 3.5.2), either completely or not at all.
    pub fn modify(
        &self,
        id: &str,
        patch: Patch,
        preconditions: Preconditions,
        leniency: Leniency,
        caller: &Caller,
    ) -> Result<Written, Error> {
        self.edit(id, Edit::Modify(patch), preconditions, leniency, caller)
    }

    /// Deletes a user permanently (RFC 7644 section 3.6). Its name becomes free again, but not its
    /// id.
    pub fn delete(
        &self,
        id: &str,
        preconditions: Preconditions,
        caller: &Caller,
    ) -> Result<(), Error> {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        let context = self.context(caller);
        let lost_access = self.write(move |view| {
            change::delete(view, id, &preconditions, &mut Budget::default(), &context)
        })?;
        self.count_lost_access(caller, usize::from(lost_access));
        Ok(())
    }

    /// How many users are active and how many are inactive, in one state. Does not wait for a store
    /// that is being reopened, because that is when monitoring needs an answer most.
    pub fn counts_by_status(&self) -> Option<(u64, u64)> {
        let snapshot = self.store.snapshot().ok()?;
        let active = snapshot.users_with_status(true).len();
        Some((active, snapshot.users().len() - active))
    }

    /// The state of the alarm about very many deactivations.
    pub fn alarm(&self, thresholds: Thresholds) -> AlarmState {
        self.alarm.stands(&self.readings(thresholds))
    }

    /// The state of the alarm. A transition since the last call is logged.
    pub fn look_at_alarm(&self, thresholds: Thresholds) -> AlarmState {
        let (mut state, transition) = self.alarm.look(&self.readings(thresholds));
        if state.raised.is_some() && self.alarm.take_first_due() {
            let first = self.first_of_deactivations(&state);
            state.first = self.alarm.keep_first(first);
        }
        match transition {
            Some(Transition::Raised) => log::warn!("{}; fix: {}", state.words(), state.fix()),
            Some(Transition::Over) => {
                log::warn!("the deactivation alarm is over: {}", state.words());
            }
            None => {}
        }
        state
    }

    /// The first of the counted deactivations, found by counting back from the newest; `None` if it
    /// is not among the newest [`limits::ALARM_ROWS_MAX`] rows. Some of the newest may not be
    /// counted yet, so earlier deactivations whose time is recent enough belong to the alarm, too.
    fn first_of_deactivations(&self, state: &AlarmState) -> Option<u64> {
        let now = self.clock.now();
        // If the clock was behind for one deactivation, those of other days must not be included.
        let window = deactivations::WINDOW.as_secs().cast_signed() + deactivations::MARGIN_SECONDS;
        let began = state.began.max(now.plus_seconds(-window));
        let (mut rows, mut left, mut first) = (0, state.deactivations, None);
        let read = self
            .store
            .snapshot()
            .ok()?
            .audits_before(u64::MAX, |sequence, row| {
                rows += 1;
                let is_of_it = left > 0
                    || audit::time_of(row).is_some_and(|time| (began..=now).contains(&time));
                match audit::deactivated_by(row) {
                    Some(_) if is_of_it => {
                        left = left.saturating_sub(1);
                        first = Some(sequence);
                    }
                    Some(_) => return ControlFlow::Break(()),
                    None => {}
                }
                if rows < limits::ALARM_ROWS_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        read.ok()?;
        first.filter(|_| left == 0)
    }

    fn readings(&self, thresholds: Thresholds) -> Readings {
        Readings {
            active: self.counts_by_status().map(|(active, _)| active),
            thresholds,
            now: self.clock.now(),
            at: Monotonic::now(),
        }
    }

    /// Counts the deactivations of the last hour in the audit trail, so that a restart does not
    /// hide them. Reads the rows before `end`, newest first, until `may_go_on` returns false for
    /// the number of rows read. Returns the `end` from which to continue, if there may be more.
    pub fn recall_deactivations(&self, end: u64, may_go_on: impl Fn(usize) -> bool) -> Option<u64> {
        let Ok(snapshot) = self.store.snapshot() else {
            return Some(end);
        };
        let (now, at) = (self.clock.now(), Monotonic::now());
        let (mut rows, mut left, mut recalled) = (0, None, Recalled::default());
        let read = snapshot.audits_before(end, |sequence, row| {
            rows += 1;
            // A row from the future was written under a wrong clock, or the clock is wrong now.
            if let Some(time) = audit::time_of(row)
                && let Ok(age) = u64::try_from(now.millis() - time.millis())
            {
                let age = Duration::from_millis(age);
                if age < deactivations::WINDOW {
                    if let Some(by) = audit::deactivated_by(row) {
                        recalled.count(&by, age, at, time);
                    }
                } else if audit::subject_of(row).is_some() {
                    // Changes are in the order of their times. Refusals are not, because they wait
                    // to be written with the next change.
                    return ControlFlow::Break(());
                }
            }
            if may_go_on(rows) {
                return ControlFlow::Continue(());
            }
            left = Some(sequence);
            ControlFlow::Break(())
        });
        if let Err(error) = read {
            log::warn!("the last hour's deactivations cannot be counted: {error}");
        }
        self.alarm.recall(recalled);
        left
    }

    /// Tells the alarm how many users have lost access by the caller's changes.
    fn count_lost_access(&self, caller: &Caller, users: usize) {
        // Without this, the alarm would begin a part for nothing.
        if users == 0 {
            return;
        }
        let (at, now) = (Monotonic::now(), self.clock.now());
        self.alarm.count(&caller.principal, users as u64, at, now);
    }

    /// How many users there are.
    pub fn user_count(&self) -> Result<usize, Error> {
        self.read(|snapshot| Ok(page_slice::whole(snapshot.users().len())))
    }

    /// One page of the users that a query selects.
    pub fn query(&self, query: &Query<'_>, caller: &ScanCaller<'_>) -> Result<Page, Error> {
        self.read(|snapshot| Page::select(snapshot, query, Scan::new(caller, &self.scans)))
    }

    /// The number of the newest state, see [`Snapshot::state`].
    pub fn state(&self) -> Result<u64, Error> {
        self.read(|snapshot| Ok(snapshot.state()))
    }

    /// Runs `look` on the newest state. Waits a moment while the store is being reopened: it is
    /// back before most callers would have asked again.
    fn read<T>(&self, look: impl Fn(Arc<Snapshot>) -> Result<T, Error>) -> Result<T, Error> {
        let (mut pauses, mut is_told) = (0, false);
        loop {
            let snapshot = self.store.snapshot();
            let is_open = snapshot.is_ok();
            let outcome = snapshot.map_err(Error::from).and_then(&look);
            if !matches!(outcome, Err(Error::Unavailable)) || pauses == limits::READ_PAUSES_MAX {
                return outcome;
            }
            if !is_open && self.store.fault() == Some(StorageFault::Damaged) {
                return Err(Error::Damaged("it cannot be opened again".to_owned()));
            }
            // Only the writer can reopen the file, and without a write it would not notice the
            // failure. While no snapshot is published, the writer is already at work.
            if is_open && !is_told {
                self.store.suspect();
                is_told = true;
            }
            std::thread::sleep(limits::READ_PAUSE);
            pauses += 1;
        }
    }

    fn edit(
        &self,
        id: &str,
        edit: Edit,
        preconditions: Preconditions,
        leniency: Leniency,
        caller: &Caller,
    ) -> Result<Written, Error> {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        let context = self.context(caller);
        let mut decided = self.read(|snapshot| {
            let (view, budget) = (View::of_committed(&snapshot), &mut Budget::default());
            let before = change::stored(&view, id, &preconditions, budget)?;
            let (edit, leniency) = (edit.clone(), leniency.clone());
            change::decide(before, edit, leniency, budget, &context)
        })?;
        let written = self.write(move |view| {
            if decided.holds(view)? {
                decided.stamp(context.clock.now());
                return decided.put(view);
            }
            // The budget spent on the previous state does not count.
            let budget = &mut Budget::default();
            change::edit(view, id, edit, &preconditions, leniency, budget, &context)
        })?;
        self.count_lost_access(caller, usize::from(written.lost_access));
        Ok(written)
    }

    fn context(&self, caller: &Caller) -> ChangeContext {
        ChangeContext {
            caller: caller.clone(),
            clock: Arc::clone(&self.clock),
            era: self.store.era(),
        }
    }

    fn write<T: Send + 'static>(
        &self,
        plan: impl FnOnce(&View<'_>) -> Planned<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.store.write(move |view| change::settled(plan(view)))?
    }
}

/// The row of the user with this id. Compares the whole id, because an id is more than its
/// sequence.
fn retrieve(snapshot: &Snapshot, id: UserId) -> Result<Option<Stored<Row<'_>>>, Error> {
    let stored = snapshot.user(id.sequence())?.map(Stored::of);
    let stored = stored.transpose().map_err(Error::Damaged)?;
    Ok(stored.filter(|stored| stored.id() == id))
}

/// The record in the row at the sequence of this id, if it has this id.
fn record_of(id: UserId, row: Option<impl Deref<Target = [u8]>>) -> Result<Option<Record>, Error> {
    let record = row.map(|row| Record::decode(&row).map_err(Error::Damaged));
    Ok(record.transpose()?.filter(|record| record.id() == id))
}
