//! Decides what a create, replace, modification or delete does to one user, on the writer's view of
//! the store. These functions only decide; the store writes the [`Change`] that they return
//! (`store/change.rs`), or nothing. Most of the decision was made before, in the caller's thread
//! (see `draft`).

use super::audit::{self, Caller, Difference};
use super::draft::{Decided, Draft};
use super::record::Record;
use super::user_id::UserId;
use super::{Error, Written, record_of};
use crate::clock::SharedClock;
use crate::columns::{Empty, Row};
use crate::scim::fold::folded_bytes;
use crate::scim::user::Echo;
use crate::scim::{self, Budget, Leniency, Patch, Preconditions, User};
use crate::store::{Change, ReadError, View};
use crate::test_user::is_test_user;

/// A change and its result.
pub(super) type Planned<T> = Result<(Change, T), Unplanned>;

/// Why a plan writes nothing.
pub(super) enum Unplanned {
    /// The plan refuses the request.
    Refused(Error),
    /// A row could not be read.
    Unread(ReadError),
}

impl From<ReadError> for Unplanned {
    fn from(error: ReadError) -> Self {
        Self::Unread(error)
    }
}

impl From<Error> for Unplanned {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<scim::Error> for Unplanned {
    fn from(error: scim::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Unplanned> for Error {
    fn from(unplanned: Unplanned) -> Self {
        match unplanned {
            Unplanned::Refused(error) => error,
            Unplanned::Unread(error) => error.into(),
        }
    }
}

/// Converts the result for the store. An unreadable row is an error of this request alone, but a
/// transient failure is an error of the whole batch.
pub(super) fn settled<T>(planned: Result<T, Unplanned>) -> Result<Result<T, Error>, ReadError> {
    match planned {
        Ok(done) => Ok(Ok(done)),
        Err(Unplanned::Unread(error)) if error.is_transient() => Err(error),
        Err(unplanned) => Ok(Err(unplanned.into())),
    }
}

/// The caller, the clock, and the era of the store. The clock is read when the change is made, not
/// when it was requested, so that a search for changes since a moment does not miss one that
/// waited.
#[derive(Clone)]
pub(super) struct ChangeContext {
    pub(super) caller: Caller,
    pub(super) clock: SharedClock,
    pub(super) era: u32,
}

/// Creates a user under an id whose sequence the view has not given away yet.
pub(super) fn create(
    view: &View<'_>,
    id: UserId,
    user: User,
    context: &ChangeContext,
) -> Planned<Written> {
    Draft::create(id, user, context)?.put(view)
}

/// How a change alters a user.
#[derive(Clone)]
pub(super) enum Edit {
    /// The user has these attributes and no others, except for `active`.
    Replace {
        /// The attributes.
        user: User,
        /// Set if the attributes echo the values that the client was shown.
        echo: Option<Echo>,
    },
    /// The operations of a patch.
    Modify(Patch),
    /// A row of an imported table.
    Import(Row, Empty),
}

impl Edit {
    fn kind(&self) -> &'static str {
        match self {
            Self::Replace { .. } => "replace",
            Self::Modify(_) => "modify",
            Self::Import(..) => "import",
        }
    }

    fn apply(
        self,
        before: &Record,
        leniency: &mut Leniency,
        budget: &mut Budget,
    ) -> Result<User, scim::Error> {
        let version = || before.version();
        let before = before.user();
        let mut unassigns_active = false;
        let mut user = match self {
            Self::Replace { mut user, echo } => {
                if let Some(echo) = echo {
                    user.refresh_formatted_name(before, echo.is_outdated(&version()));
                }
                // A client that leaves out an attribute that a newer release has stored does not
                // mean to remove it.
                user.keep_unknown(before);
                user
            }
            Self::Modify(patch) => {
                unassigns_active = patch.unassigns_active();
                let mut user = patch.apply(before, leniency, budget)?;
                if !patch.sets_formatted_name() {
                    user.refresh_formatted_name(before, false);
                    user.drop_left_over_name(before);
                }
                user
            }
            Self::Import(row, empty) => {
                unassigns_active = row.unassigns_active();
                imported(&row, empty, before, &version())?
            }
        };
        if user.user_name() != before.user_name() {
            user.require_seen_user_name()?;
        }
        // Identity providers that leave out `active` do not mean to change it.
        if user.active().is_none()
            && !unassigns_active
            && let Some(active) = before.active()
        {
            user.set_active(active);
        }
        Ok(user)
    }
}

/// Applies a row of a table to the user `before`, which has this `version`.
fn imported(row: &Row, empty: Empty, before: &User, version: &str) -> Result<User, scim::Error> {
    let applied = |before: &User, is_outdated: bool| {
        let mut user = row.apply(Some(before), empty)?;
        user.refresh_formatted_name(before, is_outdated);
        Ok::<_, scim::Error>(user)
    };
    let mut user = applied(before, row.is_outdated(version))?;
    if row.sets_formatted_name() {
        // Applied twice, so that importing the same row again changes nothing.
        user = applied(&user, true)?;
    } else {
        user.drop_left_over_name(before);
    }
    Ok(user)
}

/// Edits a user. An edit that changes nothing writes nothing.
pub(super) fn edit(
    view: &View<'_>,
    id: UserId,
    edit: Edit,
    preconditions: &Preconditions,
    leniency: Leniency,
    budget: &mut Budget,
    context: &ChangeContext,
) -> Planned<Written> {
    let before = stored(view, id, preconditions, budget)?;
    decide(before, edit, leniency, budget, context)?.put(view)
}

/// Like [`edit`], for a user that was already read, and with a budget of its own.
pub(super) fn edit_record(
    view: &View<'_>,
    before: Record,
    edit: Edit,
    leniency: Leniency,
    context: &ChangeContext,
) -> Planned<Written> {
    let budget = &mut Budget::default();
    decide(before, edit, leniency, budget, context)?.put(view)
}

/// What an edit does to a user, regardless of other users.
pub(super) fn decide(
    before: Record,
    edit: Edit,
    mut leniency: Leniency,
    budget: &mut Budget,
    context: &ChangeContext,
) -> Result<Decided, Error> {
    let kind = edit.kind();
    let user = edit.apply(&before, &mut leniency, budget)?;
    let tell = |after: &Record, differences: &[Difference<'_>], now| {
        audit::changed(&context.caller, now, kind, after, differences)
    };
    let mut decided = Decided::of(before, user, context, tell)?;
    *decided.tolerances() = leniency.tolerated().to_vec();
    Ok(decided)
}

/// Whether a person has access through this user. Test users do not count: deactivating very many
/// of them is no mistake. A user who is renamed to a test user therefore loses access too, because
/// later changes to it would not be noticed.
pub(super) fn has_access(record: &Record) -> bool {
    let user = record.user();
    user.active() == Some(true) && !is_test_user(user.user_name())
}

/// Deletes a user, and returns whether a person has lost access by it.
pub(super) fn delete(
    view: &View<'_>,
    id: UserId,
    preconditions: &Preconditions,
    budget: &mut Budget,
    context: &ChangeContext,
) -> Planned<bool> {
    let record = stored(view, id, preconditions, budget)?;
    let change = Change::none()
        .delete_user(id.sequence(), record.keys())
        .audit(audit::deleted(
            &context.caller,
            context.clock.now(),
            &record,
        ));
    Ok((change, has_access(&record)))
}

/// The user to be changed, in its current state, if the preconditions allow the change.
pub(super) fn stored(
    view: &View<'_>,
    id: UserId,
    preconditions: &Preconditions,
    budget: &mut Budget,
) -> Result<Record, Unplanned> {
    let row = view.user(id.sequence())?.ok_or(Error::NotFound)?;
    budget.spend_on_user(folded_bytes(&row))?;
    let record = record_of(id, Some(row))?.ok_or(Error::NotFound)?;
    if !preconditions.allow_change(&record.version()) {
        return Err(Error::PreconditionFailed.into());
    }
    Ok(record)
}
