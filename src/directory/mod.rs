//! What it means for a user to exist here: create, retrieve, query, replace, modify and
//! delete, with every rule that holds whoever asks. It knows SCIM values and the store,
//! not HTTP.
//!
//! Invariants:
//! - `userName` is unique after folding; a conflict is found on the writer's own view, so
//!   two requests at once cannot both win.
//! - Deactivation is a change of `active`; only delete removes, and its `id` never returns.
//! - A request that changes nothing writes nothing: version and `lastModified` stay.
//! - Every change leaves an audit row in the same commit.

mod audit;
mod query;
mod record;

use std::sync::Arc;

pub use audit::{Caller, event};
pub use query::{Page, Query};
pub use record::{Record, UserId};

use crate::clock::SharedClock;
use crate::limits;
use crate::scim::fold::fold;
use crate::scim::{self, Leniency, Patch, Tolerance, User};
use crate::store::{Change, Keys, ReadError, Snapshot, Store, Unavailable, View, WriteError};

/// The users, and the rules for them.
pub struct Directory {
    store: Arc<Store>,
    clock: SharedClock,
}

/// Why a request to the directory was not done.
#[derive(Debug)]
pub enum Error {
    /// No user has this id.
    NotFound,
    /// Another user has this userName.
    Uniqueness,
    /// The user would be larger than [`limits::USER_BYTES_MAX`].
    TooLarge,
    /// The request itself is wrong.
    Scim(scim::Error),
    /// A stored row cannot be read.
    Damaged(String),
    /// The store did not commit.
    Write(WriteError),
    /// The store cannot be read just now.
    Unavailable,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Damaged(error.to_string())
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

/// A user as a write left it, and what the request was forgiven on the way.
pub struct Written {
    /// The user as it now is.
    pub record: Record,
    /// What was forgiven while the change was applied.
    pub tolerances: Vec<Tolerance>,
}

impl Directory {
    /// A directory on `store`.
    pub fn new(store: Arc<Store>, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Creates a user (RFC 7644 section 3.3). A user nobody said anything else of is
    /// active.
    pub fn create(&self, mut user: User, caller: &Caller) -> Result<Record, Error> {
        if user.active().is_none() {
            user.set_active(true);
        }
        let keys = keys(&user);
        let now = self.clock.now();
        let caller = caller.clone();
        self.write(move |view| {
            if view.user_by_name(&keys.name)?.is_some() {
                return Ok(Err(Error::Uniqueness));
            }
            let Some(sequence) = view.next_user() else {
                return Ok(Err(Error::TooLarge));
            };
            let record = Record::created(UserId::new(sequence), user, now);
            let row = record.encode();
            if row.len() > limits::USER_BYTES_MAX {
                return Ok(Err(Error::TooLarge));
            }
            let audit = audit::created(&caller, now, &record);
            Ok(Ok((
                Change::none().create_user(keys, row).audit(audit),
                record,
            )))
        })
    }

    /// The user with this id.
    pub fn retrieve(&self, id: &str) -> Result<Record, Error> {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        let snapshot = self.store.snapshot()?;
        retrieve(&snapshot, id)?.ok_or(Error::NotFound)
    }

    /// Replaces a user's attributes (RFC 7644 section 3.5.1). What the request does not
    /// hold is removed, `active` excepted: identity providers that leave it out do not
    /// mean to change it.
    pub fn replace(&self, id: &str, mut user: User, caller: &Caller) -> Result<Written, Error> {
        self.change(
            id,
            caller,
            "replace",
            Leniency::compatible(),
            move |before, _| {
                if user.active().is_none() {
                    user.set_active(before.active().unwrap_or(true));
                }
                user.refresh_formatted_name(before);
                Ok(user)
            },
        )
    }

    /// Applies a patch (RFC 7644 section 3.5.2), all of it or nothing.
    pub fn modify(
        &self,
        id: &str,
        patch: Patch,
        leniency: Leniency,
        caller: &Caller,
    ) -> Result<Written, Error> {
        self.change(id, caller, "modify", leniency, move |before, leniency| {
            let mut user = patch.apply(before, leniency)?;
            if user.active().is_none() {
                user.set_active(before.active().unwrap_or(true));
            }
            user.refresh_formatted_name(before);
            Ok(user)
        })
    }

    /// Deletes a user for good (RFC 7644 section 3.6). The name is free again, the id is
    /// not.
    pub fn delete(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        let now = self.clock.now();
        let caller = caller.clone();
        self.write(move |view| {
            let record = match stored(view, id)? {
                Ok(record) => record,
                Err(error) => return Ok(Err(error)),
            };
            let change = Change::none()
                .delete_user(id.sequence(), keys(record.user()))
                .audit(audit::deleted(&caller, now, &record));
            Ok(Ok((change, ())))
        })
    }

    /// How many users there are.
    pub fn user_count(&self) -> Result<usize, Error> {
        Ok(self.store.snapshot()?.user_count())
    }

    /// One page of the users that a query selects, in order of creation.
    pub fn query(&self, query: &Query) -> Result<Page, Error> {
        Page::select(self.store.snapshot()?, query)
    }

    /// The common part of replace and modify: find, derive, compare, check, write.
    fn change(
        &self,
        id: &str,
        caller: &Caller,
        kind: &'static str,
        mut leniency: Leniency,
        derive: impl FnOnce(&User, &mut Leniency) -> Result<User, scim::Error> + Send + 'static,
    ) -> Result<Written, Error> {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        let now = self.clock.now();
        let caller = caller.clone();
        self.write(move |view| {
            let before = match stored(view, id)? {
                Ok(record) => record,
                Err(error) => return Ok(Err(error)),
            };
            let user = match derive(before.user(), &mut leniency) {
                Ok(user) => user,
                Err(error) => return Ok(Err(Error::Scim(error))),
            };
            let tolerances = leniency.used().to_vec();
            if user == *before.user() {
                let record = before;
                return Ok(Ok((Change::none(), Written { record, tolerances })));
            }
            let (old, new) = (keys(before.user()), keys(&user));
            if old.name != new.name && view.user_by_name(&new.name)?.is_some() {
                return Ok(Err(Error::Uniqueness));
            }
            let record = before.changed(user, now);
            let row = record.encode();
            if row.len() > limits::USER_BYTES_MAX {
                return Ok(Err(Error::TooLarge));
            }
            let change = Change::none()
                .replace_user(id.sequence(), old, new, row)
                .audit(audit::changed(&caller, now, kind, &before, &record));
            Ok(Ok((change, Written { record, tolerances })))
        })
    }

    fn write<T: Send + 'static>(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<Result<(Change, T), Error>, ReadError> + Send + 'static,
    ) -> Result<T, Error> {
        self.store.write(plan)?
    }
}

fn keys(user: &User) -> Keys {
    Keys {
        name: fold(user.user_name()).into_bytes(),
        external: user
            .external_id()
            .map(|external| external.as_bytes().to_vec()),
    }
}

fn retrieve(snapshot: &Snapshot, id: UserId) -> Result<Option<Record>, Error> {
    match snapshot.user(id.sequence())? {
        Some(row) => matching(id, &row),
        None => Ok(None),
    }
}

fn stored(view: &View<'_>, id: UserId) -> Result<Result<Record, Error>, ReadError> {
    Ok(match view.user(id.sequence())? {
        Some(row) => matching(id, &row).and_then(|record| record.ok_or(Error::NotFound)),
        None => Err(Error::NotFound),
    })
}

/// The record of a row, if it is this id's: the sequence alone does not make an id.
fn matching(id: UserId, row: &[u8]) -> Result<Option<Record>, Error> {
    let record = Record::decode(row).map_err(Error::Damaged)?;
    Ok((record.id() == id).then_some(record))
}
