//! Whether the audit trail is whole and agrees with the users. One state of the store is checked in
//! steps, so that no caller waits longer than one step for an answer.
//!
//! ```text
//! chain      oldest to newest: each row follows from the one before it
//! agreement  newest to oldest: a user's newest row has its version; the newest row that names
//!            an attribute has its value; versions count down to the creation, or to where
//!            removed rows stood; the rows of a user who is gone end in a deletion
//! users      each has rows, down to its creation where no rows were removed
//! ```
//!
//! Twelve bytes are kept for each user: the version that the next older row must have, and which
//! attributes were compared. Users next to each other are kept together, because nearly all have
//! rows; a number far from all others costs one such group, and not all the numbers before it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use serde_json::{Value, json};

use super::record::{Record, version_number};
use super::row_header::count_of;
use super::user_id::UserId;
use super::{Directory, Error};
use crate::limits;
use crate::locks::ignore_poison;
use crate::store::Snapshot;

/// The findings of a verification so far.
#[derive(Debug)]
pub struct Report {
    /// The number to pass to continue the verification.
    pub run: u64,
    /// Whether the verification is finished.
    pub is_done: bool,
    /// What is being checked.
    pub stage: &'static str,
    /// Rows checked so far, in both passes.
    pub rows: u64,
    /// The number of kept rows. The first pass checks each, and so does the second if the chain is
    /// whole.
    pub kept: u64,
    /// The number of users.
    pub users: u64,
    /// The sequence of the oldest row that is kept.
    pub first: u64,
    /// The problems found: each is an object with `what`, a text. It also has `row`, a sequence,
    /// and `user`, an id, if the problem concerns one.
    pub findings: Vec<Value>,
    /// How many problems were found, which may be more than are listed.
    pub found: u64,
}

/// A verification that is underway.
pub(super) struct Verification {
    run: u64,
    snapshot: Arc<Snapshot>,
    touched: Monotonic,
    stage: Stage,
    rows: u64,
    first: u64,
    end: u64,
    kept: u64,
    of_user: HashMap<u32, Box<[Known; GROUP as usize]>>,
    attributes: HashMap<String, u32>,
    findings: Vec<Value>,
    found: u64,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The next row to check.
    Chain(u64),
    /// The sequence after the next row to check, going backwards.
    Agreement(u64),
    Users,
    Done,
}

/// Users that are kept together.
const GROUP: u32 = 16;

/// What the newer rows of a user have shown.
#[derive(Clone, Copy, Default)]
struct Known {
    older: Older,
    /// Attributes that were compared, by bit.
    compared: u32,
}

/// What the next older row of a user must be.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Older {
    /// Anything: no row was seen yet.
    #[default]
    Unseen,
    /// A row of the version with this count, of any era.
    Version(u32),
    /// There must be none: the user was created.
    Nothing,
}

/// A row about a user.
struct UserRow {
    sequence: u64,
    id: UserId,
    version: u64,
    row: Value,
}

impl UserRow {
    fn read(sequence: u64, text: &str) -> Option<Self> {
        let row: Value = serde_json::from_str(text).ok()?;
        let version = version_number(row["version"].as_str()?)?;
        row["changes"].as_array()?;
        Some(Self {
            sequence,
            id: UserId::parse(row["user"].as_str()?)?,
            version,
            row,
        })
    }

    fn is_deletion(&self) -> bool {
        self.row["kind"] == "delete"
    }

    /// The first version is a creation, whatever kind of change made it. A deletion repeats the
    /// last version.
    fn is_creation(&self) -> bool {
        self.version == 1 && !self.is_deletion()
    }
}

impl Directory {
    /// Runs one step of the verification `run`, or of a new one. `None` if `run` is gone.
    pub fn verify(&self, run: Option<u64>) -> Result<Option<Report>, Error> {
        let mut current = ignore_poison(self.verification.lock());
        let mut verification = match (run, current.take()) {
            (None, _) => {
                let number = u64::from_be_bytes(crate::secret::random());
                // The number must pass every JSON reader unchanged.
                Verification::begin(number >> 16, self.read(Ok)?)?
            }
            (Some(run), Some(known)) if known.run == run => known,
            (Some(_), other) => {
                *current = other;
                return Ok(None);
            }
        };
        let until = Monotonic::now() + limits::VERIFICATION_STEP_DURATION_MAX;
        while !matches!(verification.stage, Stage::Done) && Monotonic::now() < until {
            verification.step()?;
        }
        verification.touched = Monotonic::now();
        let report = verification.report();
        *current = (!report.is_done).then_some(verification);
        Ok(Some(report))
    }

    /// Drops a verification that nobody continues.
    pub fn drop_verification(&self, at: Monotonic) {
        // A verification that is being worked on is not idle.
        let Ok(mut current) = self.verification.try_lock() else {
            return;
        };
        let is_idle = |known: &Verification| {
            at.saturating_duration_since(known.touched) > limits::VERIFICATION_IDLE_MAX
        };
        if current.as_ref().is_some_and(is_idle) {
            *current = None;
        }
    }
}

impl Verification {
    fn begin(run: u64, snapshot: Arc<Snapshot>) -> Result<Self, Error> {
        let extent = snapshot.audit_extent()?;
        Ok(Self {
            run,
            snapshot,
            touched: Monotonic::now(),
            stage: Stage::Chain(extent.first),
            rows: 0,
            first: extent.first,
            end: extent.next,
            kept: extent.rows,
            of_user: HashMap::new(),
            attributes: HashMap::new(),
            findings: Vec::new(),
            found: 0,
        })
    }

    fn report(&self) -> Report {
        Report {
            run: self.run,
            is_done: matches!(self.stage, Stage::Done),
            stage: match self.stage {
                Stage::Chain(_) => "chain",
                Stage::Agreement(_) => "agreement",
                Stage::Users | Stage::Done => "users",
            },
            rows: self.rows,
            kept: self.kept,
            users: self.snapshot.users().len(),
            first: self.first,
            findings: self.findings.clone(),
            found: self.found,
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        self.stage = match self.stage {
            Stage::Chain(first) => self.chain(first)?,
            Stage::Agreement(end) => self.agreement(end)?,
            Stage::Users => {
                self.users();
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    /// Checks the chain. If it is broken, the rows say nothing reliable about the users.
    fn chain(&mut self, first: u64) -> Result<Stage, Error> {
        let step = limits::VERIFICATION_ROWS_STEP;
        let mut rows = 0;
        let checked = self.snapshot.check_audits(first, step, |_, _| rows += 1)?;
        self.rows += rows;
        Ok(match checked {
            Ok(Some(next)) => Stage::Chain(next),
            Ok(None) => Stage::Agreement(self.end),
            Err(broken) => {
                let about = self.snapshot.audit(broken.sequence)?;
                let about = about.and_then(|text| serde_json::from_str::<Value>(&text).ok());
                let user = about.and_then(|row| row["user"].as_str().map(str::to_owned));
                self.find(Some(broken.sequence), user.as_deref(), &broken.to_string());
                Stage::Done
            }
        })
    }

    fn agreement(&mut self, end: u64) -> Result<Stage, Error> {
        let (mut rows, mut next) = (0, None);
        let snapshot = Arc::clone(&self.snapshot);
        // One row at a time: a row may contain a list of 64 KiB twice.
        snapshot.audits_before(end, |sequence, text| {
            if rows >= limits::VERIFICATION_ROWS_STEP {
                next = Some(sequence + 1);
                return ControlFlow::Break(());
            }
            rows += 1;
            if let Some(told) = UserRow::read(sequence, text) {
                self.compare(&told);
            }
            ControlFlow::Continue(())
        })?;
        self.rows += rows;
        Ok(next.map_or(Stage::Users, Stage::Agreement))
    }

    /// Compares a row with the user, and with the newer rows about it.
    fn compare(&mut self, told: &UserRow) {
        let mut known = *self.known(told.id.sequence());
        let record = match self.record(told.id) {
            Ok(record) => record,
            Err(what) => {
                if known.older == Older::Unseen {
                    self.find_in(told, &what);
                }
                None
            }
        };
        match known.older {
            Older::Unseen => self.compare_newest(told, record.as_ref()),
            Older::Version(count) if count != count_of(told.version) => {
                let what = format!(
                    "it is about version {}, where version {count} was expected",
                    count_of(told.version)
                );
                self.find_in(told, &what);
            }
            Older::Version(_) => {}
            Older::Nothing => self.find_in(told, "it is older than the user's creation"),
        }
        if let Some(record) = &record {
            self.compare_attributes(told, record, &mut known.compared);
        }
        known.older = match told.version {
            _ if told.is_creation() => Older::Nothing,
            version if told.is_deletion() => Older::Version(count_of(version)),
            version => Older::Version(count_of(version).saturating_sub(1)),
        };
        if let Some(record) = &record
            && told.is_creation()
        {
            let names = record.user().attributes().keys();
            let untold: Vec<String> = names
                .filter(|name| self.bit(name) & known.compared == 0)
                .cloned()
                .collect();
            for name in untold {
                self.find_in(told, &format!("no row mentions the user's {name}"));
            }
        }
        *self.known(told.id.sequence()) = known;
    }

    /// What is known of the user with this sequence.
    fn known(&mut self, sequence: u32) -> &mut Known {
        let group = self.of_user.entry(sequence / GROUP).or_default();
        &mut group[(sequence % GROUP) as usize]
    }

    fn compare_newest(&mut self, told: &UserRow, record: Option<&Record>) {
        match record {
            Some(_) if told.is_deletion() => self.find_in(told, "it deletes a user who exists"),
            Some(record) if record.header().version != told.version => {
                let what = format!(
                    "it makes version {} of the user, who has version {}",
                    told.version,
                    record.header().version
                );
                self.find_in(told, &what);
            }
            None if !told.is_deletion() => {
                self.find_in(told, "the user is gone, and no row mentions a deletion");
            }
            _ => {}
        }
    }

    /// Checks that each attribute has the value given by the newest row that names it.
    fn compare_attributes(&mut self, told: &UserRow, record: &Record, compared: &mut u32) {
        let changes = told.row["changes"].as_array();
        for change in changes.map_or(&[][..], Vec::as_slice) {
            let name = change["attribute"].as_str().unwrap_or_default();
            let bit = self.bit(name);
            if bit & *compared != 0 {
                continue;
            }
            *compared |= bit;
            let present = record.user().attributes().get(name);
            if present.unwrap_or(&Value::Null) != &change["after"] {
                let what = format!("the user's {name} is not what the row says it became");
                self.find_in(told, &what);
            }
        }
    }

    /// The bit of an attribute. There are fewer attributes than bits; if there were more, the rest
    /// would share the last bit.
    fn bit(&mut self, name: &str) -> u32 {
        if let Some(bit) = self.attributes.get(name) {
            return *bit;
        }
        let at = u32::try_from(self.attributes.len()).unwrap_or(u32::MAX);
        let bit = 1_u32.checked_shl(at).unwrap_or(1 << 31);
        self.attributes.insert(name.to_owned(), bit);
        bit
    }

    /// The current record of the user with this id; the error says how its row is damaged.
    fn record(&self, id: UserId) -> Result<Option<Record>, String> {
        let row = self.snapshot.user(id.sequence());
        let Some(row) = row.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let record = Record::decode(&row)?;
        if record.id() == id {
            Ok(Some(record))
        } else {
            Err(format!("in the user's place is {}", record.id()))
        }
    }

    /// Checks that every user has rows, unless its rows were removed.
    fn users(&mut self) {
        if self.first > 1 {
            return;
        }
        let snapshot = Arc::clone(&self.snapshot);
        for sequence in snapshot.users() {
            let what = match self.known(sequence).older {
                Older::Nothing => continue,
                Older::Unseen => "no row mentions the user",
                Older::Version(_) => "no row mentions the user's creation",
            };
            let record = snapshot.user(sequence).ok().flatten();
            let record = record.and_then(|row| Record::decode(&row).ok());
            let user = record.map_or_else(
                || format!("number {sequence}"),
                |record| record.id().to_string(),
            );
            self.find(None, Some(&user), what);
        }
    }

    fn find_in(&mut self, told: &UserRow, what: &str) {
        self.find(Some(told.sequence), Some(&told.id.to_string()), what);
    }

    fn find(&mut self, row: Option<u64>, user: Option<&str>, what: &str) {
        self.found += 1;
        if self.findings.len() < limits::VERIFICATION_FINDINGS_MAX {
            self.findings
                .push(json!({"row": row, "user": user, "what": what}));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::describe;
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::{Change, Store};

    /// An idle verification holds a snapshot, so that no page of that state can be reused.
    #[test]
    fn a_verification_that_nobody_continues_is_dropped_after_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        let directory = Directory::new(Arc::new(store), Arc::new(SystemClock));
        let snapshot = directory.read(Ok).expect("open");
        let begun = Verification::begin(7, snapshot).expect("read");
        let touched = begun.touched;
        *ignore_poison(directory.verification.lock()) = Some(begun);
        let longer = limits::VERIFICATION_IDLE_MAX + Duration::from_millis(1);
        for (idle, is_kept) in [(limits::VERIFICATION_IDLE_MAX, true), (longer, false)] {
            directory.drop_verification(touched + idle);
            let current = ignore_poison(directory.verification.lock());
            assert_eq!(current.is_some(), is_kept, "{idle:?}");
        }
    }

    /// Somebody who rewrites the trail may write any number into it, and users are numbered from 1.
    #[test]
    fn the_number_of_a_user_does_not_decide_how_much_memory_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        let row = json!({
            "user": UserId::new(u32::MAX).to_string(), "version": "W/\"1\"", "kind": "create",
            "changes": [],
        });
        let change = Change::none().audit(row.to_string());
        store.commit(change).expect("written");
        let directory = Directory::new(Arc::new(store), Arc::new(SystemClock));
        let snapshot = directory.read(Ok).expect("open");
        let mut verification = Verification::begin(7, snapshot).expect("read");
        while !matches!(verification.stage, Stage::Done) {
            verification.step().expect("read");
        }
        assert_eq!(verification.found, 1, "{:?}", verification.findings);
        assert_eq!(verification.of_user.len(), 1);
    }
}
