//! Imports the rows of a file: each row creates its user, changes it, or changes nothing. All rows
//! of a request go into one commit, each sees the changes of the earlier ones, and a refused row
//! does not undo others. A dry run, which a comparison also uses, runs the same plans on the
//! committed state. Of their changes, it keeps only who would have which userName.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::audit::Caller;
use super::change::{self, ChangeContext, Edit, Planned, Unplanned};
use super::record::Record;
use super::user_id::UserId;
use super::{Directory, Error, record_of};
use crate::columns::{Empty, Row};
use crate::locks::ignore_poison;
use crate::scim::fold::fold;
use crate::scim::{Leniency, User};
use crate::store::{Change, View};

/// What a row did, or would do.
#[derive(Debug)]
pub enum Imported {
    /// There was no user of this name.
    Created(Record),
    /// The user before and after.
    Changed(Box<(Record, Record)>),
    /// The user was like that already.
    Unchanged(Record),
    /// An earlier row of the request was about the user with this userName, so nothing is done.
    Twice(String),
    /// Nothing is done: the user, and why.
    Refused(Box<(Record, Error)>),
}

/// The users that the rows of one request have been about so far. Which id and which userName
/// belong to the same user is known only when a row is planned.
#[derive(Default)]
struct Seen {
    sequences: HashSet<u32>,
    /// The folded userNames that they had and have. A dry run finds nobody under a new name, and a
    /// real import finds nobody under an old one.
    names: HashSet<String>,
}

/// The user that a row is about.
enum Whom {
    /// There is no user of this name.
    Nobody,
    Somebody(Record),
    /// An earlier row was about the user with this userName.
    Twice(String),
}

impl Seen {
    fn add(&mut self, record: &Record) {
        self.sequences.insert(record.id().sequence());
        self.add_name(record.user());
    }

    fn add_name(&mut self, user: &User) {
        self.names.insert(fold(user.user_name()));
    }

    /// Retrieves the user of the next row.
    fn retrieve(&mut self, view: &View<'_>, row: &Row) -> Result<Whom, Unplanned> {
        if let (None, Some(name)) = (row.id(), row.user_name())
            && self.names.contains(&fold(name))
        {
            return Ok(Whom::Twice(name.to_owned()));
        }
        Ok(match retrieve(view, row)? {
            None => Whom::Nobody,
            Some(record) if !self.sequences.insert(record.id().sequence()) => {
                Whom::Twice(record.user().user_name().to_owned())
            }
            Some(record) => Whom::Somebody(record),
        })
    }
}

impl Directory {
    /// Imports the rows; with `is_dry_run`, only says what would be done.
    pub fn import(
        &self,
        rows: Vec<Row>,
        empty: Empty,
        is_dry_run: bool,
        caller: &Caller,
    ) -> Result<Vec<Result<Imported, Error>>, Error> {
        self.store.await_check()?;
        let context = &self.context(caller);
        let planner = || {
            let seen = Arc::new(Mutex::new(Seen::default()));
            move |row: Row| {
                let (context, seen) = (context.clone(), Arc::clone(&seen));
                move |view: &View<'_>| change::settled(plan(view, row, empty, &context, &seen))
            }
        };
        let results = if is_dry_run {
            self.suppose_all(|| rows.iter().cloned().map(planner()))?
        } else {
            let plans = rows.into_iter().map(planner()).collect();
            self.write_all(plans, caller, |(_, lost_access)| *lost_access)?
        };
        let done = results.into_iter();
        Ok(done.map(|one| one.map(|(done, _)| done)).collect())
    }
}

/// Plans one row, and returns whether a person has lost access by it.
fn plan(
    view: &View<'_>,
    row: Row,
    empty: Empty,
    context: &ChangeContext,
    seen: &Mutex<Seen>,
) -> Planned<(Imported, bool)> {
    let mut seen = ignore_poison(seen.lock());
    match seen.retrieve(view, &row)? {
        Whom::Twice(name) => Ok((Change::none(), (Imported::Twice(name), false))),
        Whom::Nobody => {
            let (change, record) = create(view, &row, empty, context)?;
            seen.add(&record);
            Ok((change, (Imported::Created(record), false)))
        }
        Whom::Somebody(before) => {
            let edit = Edit::Import(row, empty);
            let old = before.clone();
            seen.add_name(old.user());
            let edited = change::edit_record(view, before, edit, Leniency::compatible(), context);
            let (change, written) = match edited {
                Err(Unplanned::Refused(error)) => {
                    let refused = Imported::Refused(Box::new((old, error)));
                    return Ok((Change::none(), (refused, false)));
                }
                edited => edited?,
            };
            seen.add_name(written.record.user());
            let done = if written.record == old {
                Imported::Unchanged(old)
            } else {
                Imported::Changed(Box::new((old, written.record)))
            };
            Ok((change, (done, written.lost_access)))
        }
    }
}

fn create(view: &View<'_>, row: &Row, empty: Empty, context: &ChangeContext) -> Planned<Record> {
    let mut user = row.apply(None, empty)?;
    // A user without `active` must not become active by moving to another directory.
    if row.creates_unknown() {
        user.set_active(false);
    }
    let sequence = view.next_user()?.ok_or(Error::Exhausted)?;
    let (change, written) = change::create(view, UserId::new(sequence), user, context)?;
    Ok((change, written.record))
}

/// The user that a row is about. A user with the given id must exist; a user with the given name
/// need not.
fn retrieve(view: &View<'_>, row: &Row) -> Result<Option<Record>, Unplanned> {
    if let Some(id) = row.id() {
        let id = UserId::parse(id).ok_or(Error::NotFound)?;
        let found = record_of(id, view.user(id.sequence())?)?;
        return Ok(Some(found.ok_or(Error::NotFound)?));
    }
    let name = fold(row.user_name().unwrap_or_default()).into_bytes();
    let row = match view.user_by_name(&name)? {
        Some(sequence) => view.user(sequence)?,
        None => None,
    };
    let found = row.map(|row| Record::decode(&row).map_err(Error::Damaged));
    Ok(found.transpose()?)
}
