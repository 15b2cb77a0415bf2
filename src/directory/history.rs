//! A user's past: its attributes at an earlier moment, or before a change. They are found by
//! reverting, newest first, the changes of the user since then that the audit trail has.

use std::mem;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::audit::{self, CREATE, DELETE, UserEvent};
use super::record::{Record, version_number};
use super::trail::holder_of;
use super::user_id::UserId;
use super::{Directory, Error, record_of};
use crate::clock::Instant;
use crate::scim::User;
use crate::scim::fold::fold;
use crate::store::Snapshot;

/// A point of the past.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// At this moment, including all changes with that time.
    At(Instant),
    /// Before the change with this sequence: only sequences distinguish changes made at the same
    /// moment.
    Before(u64),
}

impl Then {
    /// Returns a test of whether a row with this sequence and time was written after this point.
    fn is_passed(self) -> impl Fn(u64, &str) -> bool {
        let moment = match self {
            // In the form that rows use.
            Self::At(moment) => moment.to_string(),
            Self::Before(_) => String::new(),
        };
        move |sequence, time| match self {
            Self::At(_) => time > moment.as_str(),
            Self::Before(change) => sequence >= change,
        }
    }
}

/// A user at a point of the past.
#[derive(Debug)]
pub enum Past {
    /// The user as it was.
    Was(Box<Record>),
    /// No user with this name or id existed then.
    Absent,
    /// The trail does not reach back that far. The time is that of the oldest kept row.
    Forgotten(Option<Instant>),
}

impl Directory {
    /// The user that `who` meant at that point, as it was then. An id means its user. A name means
    /// the user who has it now; if that user did not exist then, the user who had it then; if there
    /// was none, the user who was deleted under it. [`Error::NotFound`] if `then` is before a
    /// change that was never made.
    pub fn at(&self, who: &str, then: Then) -> Result<Past, Error> {
        self.read(|snapshot| {
            let extent = snapshot.audit_extent()?;
            // A restore skips numbers, so some were never changes.
            if let Then::Before(change) = then
                && (change == 0
                    || change >= extent.next
                    || (change > extent.first && snapshot.audit(change)?.is_none()))
            {
                return Err(Error::NotFound);
            }
            let reach = Reach::read(&snapshot, self.clock.now())?;
            match UserId::parse(who) {
                Some(id) => at(&snapshot, &reach, id, then),
                None => named_at(&snapshot, &reach, &fold(who), then),
            }
        })
    }
}

/// How far back the kept rows reach.
pub(super) struct Reach {
    pub(super) first: u64,
    /// The time of the oldest row that tells of its own moment: a row about refusals has waited,
    /// and a time in the future comes from a clock that was ahead.
    pub(super) oldest: Option<Instant>,
    now: Instant,
}

impl Reach {
    pub(super) fn read(snapshot: &Snapshot, now: Instant) -> Result<Self, Error> {
        let first = snapshot.audit_extent()?.first;
        let mut oldest = None;
        snapshot.audits_from(first, |_, text| {
            let time = audit::time_of(text).filter(|time| *time <= now);
            oldest = time.filter(|_| !audit::is_of_refusals(text));
            match oldest {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })?;
        Ok(Self { first, oldest, now })
    }

    /// Whether rows since that point were removed.
    pub(super) fn falls_short_of(&self, then: Then) -> bool {
        let is_before_all = match then {
            Then::At(moment) => self.oldest.is_none_or(|oldest| oldest > moment),
            Then::Before(change) => self.first > change,
        };
        self.first > 1 && is_before_all
    }
}

fn named_at(snapshot: &Snapshot, reach: &Reach, name: &str, then: Then) -> Result<Past, Error> {
    let holder = holder_of(snapshot, name)?;
    if let Some(id) = holder
        && let Past::Was(record) = at(snapshot, reach, id, then)?
    {
        return Ok(Past::Was(record));
    }
    let bearers = Bearers::around(snapshot, name, then)?;
    let is_named = |record: &Record| fold(record.user().user_name()) == name;
    for (id, is_by_last_name) in [
        (bearers.before, false),
        (bearers.after, false),
        (bearers.deleted, true),
    ] {
        if let Some(id) = id
            && let Past::Was(record) = at(snapshot, reach, id, then)?
            && (is_by_last_name || is_named(&record))
        {
            return Ok(Past::Was(record));
        }
    }
    // The removed rows may have been about another user with this name.
    Ok(if reach.falls_short_of(then) {
        Past::Forgotten(reach.oldest)
    } else {
        Past::Absent
    })
}

/// The users who may have had a userName at a point of the past. Names are unique, so the user who
/// had it then is in the last row with the name before that point or, if that row was removed, in
/// the first row after it that has the name or took it away.
#[derive(Default)]
struct Bearers {
    before: Option<UserId>,
    after: Option<UserId>,
    /// The user of the newest row with the name, if that row is the user's deletion.
    deleted: Option<UserId>,
}

impl Bearers {
    fn around(snapshot: &Snapshot, name: &str, then: Then) -> Result<Self, Error> {
        let mut bearers = Self::default();
        let mut has_newest = false;
        let is_later = then.is_passed();
        snapshot.audits_before(u64::MAX, |sequence, text| {
            let bearer = audit::subject_named(text, name);
            let is_deletion = || UserEvent::read(text).is_some_and(|it| it.kind == DELETE);
            if bearer.is_some() && !mem::replace(&mut has_newest, true) && is_deletion() {
                bearers.deleted = bearer;
            }
            let time = audit::time_text(text).unwrap_or_default();
            if is_later(sequence, time) {
                bearers.after = audit::had_name(text, name).or(bearers.after);
                return ControlFlow::Continue(());
            }
            bearers.before = bearer;
            match bearer {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })?;
        Ok(bearers)
    }
}

fn at(snapshot: &Snapshot, reach: &Reach, id: UserId, then: Then) -> Result<Past, Error> {
    let record = record_of(id, snapshot.user(id.sequence())?)?;
    match (record, then) {
        (Some(record), Then::At(moment)) if record.last_modified() <= moment => {
            Ok(Past::Was(Box::new(record)))
        }
        (record, _) => way_back(snapshot, reach, id, record, then),
    }
}

/// When a row was written, if it is kept.
fn time_of(snapshot: &Snapshot, sequence: u64) -> Result<Option<Instant>, Error> {
    let row = snapshot.audit(sequence)?;
    Ok(row.as_deref().and_then(audit::time_of))
}

fn way_back(
    snapshot: &Snapshot,
    reach: &Reach,
    id: UserId,
    record: Option<Record>,
    then: Then,
) -> Result<Past, Error> {
    let mut way = WayBack::from(record);
    let is_later = then.is_passed();
    snapshot.audits_before(u64::MAX, |sequence, text| {
        if audit::user_of(text) != Some(id) {
            return ControlFlow::Continue(());
        }
        match UserEvent::read(text) {
            Some(event) => way.take(&event, is_later(sequence, &event.time)),
            None => ControlFlow::Continue(()),
        }
    })?;
    way.end(snapshot, reach, id, then)
}

/// Walks back through a user's changes.
struct WayBack {
    attributes: Option<Map<String, Value>>,
    created: Option<Instant>,
    /// Version and time of the newest change that is not reverted.
    reached: Option<(u64, Instant)>,
    /// The version before the oldest reverted change, unless a restore lies between.
    version: u64,
    /// The time of that version, if it is known.
    modified: Option<Instant>,
    /// Whether the user's creation was reverted.
    was_created_later: bool,
}

impl WayBack {
    fn from(record: Option<Record>) -> Self {
        Self {
            created: record.as_ref().map(Record::created_at),
            version: record.as_ref().map_or(0, |it| it.header().version),
            modified: record.as_ref().map(Record::last_modified),
            attributes: record.map(|record| record.user().attributes().clone()),
            reached: None,
            was_created_later: false,
        }
    }

    /// Takes in the next older change, and reverts it if it is later than the point.
    fn take(&mut self, event: &UserEvent, is_later: bool) -> ControlFlow<()> {
        if self.reached.is_none() && is_later {
            self.take_back(event);
            return if event.kind == CREATE {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            };
        }
        let time = Instant::parse(&event.time);
        if self.reached.is_none() {
            self.reached = version_number(&event.version).zip(time);
            if event.kind == DELETE {
                self.attributes = None;
            }
        }
        if event.kind == CREATE {
            self.created = time;
        }
        // For a user who is gone, only the trail knows the time of creation.
        if self.created.is_some() || self.attributes.is_none() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn take_back(&mut self, event: &UserEvent) {
        if event.kind == CREATE {
            self.attributes = None;
            self.was_created_later = true;
            return;
        }
        let version = version_number(&event.version).unwrap_or_default();
        // A deletion does not make a new version.
        let made = u64::from(event.kind != DELETE);
        self.version = version.saturating_sub(made);
        // Only the next older row has the time of that version.
        self.modified = None;
        let attributes = self.attributes.get_or_insert_default();
        for change in &event.changes {
            if change.before.is_null() {
                attributes.shift_remove(&change.attribute);
            } else {
                attributes.insert(change.attribute.clone(), change.before.clone());
            }
        }
    }

    /// The answer if no row helps, unless the user was then as it is at the oldest kept row.
    fn without_rows(&self, reach: &Reach, then: Then) -> Option<Past> {
        let created_later = match then {
            Then::At(moment) => self.created.filter(|created| *created > moment),
            Then::Before(_) => None,
        };
        // A creation time in the future comes from a clock that was ahead.
        if created_later.is_some_and(|created| created <= reach.now || reach.first == 1) {
            return Some(Past::Absent);
        }
        let is_forgotten = created_later.is_some() || reach.falls_short_of(then);
        is_forgotten.then_some(Past::Forgotten(reach.oldest))
    }

    fn end(
        self,
        snapshot: &Snapshot,
        reach: &Reach,
        id: UserId,
        then: Then,
    ) -> Result<Past, Error> {
        let is_known = self.reached.is_some() || self.was_created_later;
        if !is_known && let Some(answer) = self.without_rows(reach, then) {
            return Ok(answer);
        }
        let Some(attributes) = self.attributes else {
            return Ok(Past::Absent);
        };
        let (version, last_modified) = match self.reached {
            Some((version, time)) => (version, Some(time)),
            None => (self.version, self.modified.or(self.created)),
        };
        let created = match (self.created.or(last_modified), then) {
            (Some(created), _) | (None, Then::At(created)) => created,
            (None, Then::Before(change)) => time_of(snapshot, change)?.ok_or(Error::NotFound)?,
        };
        let record = Record::of_the_past(
            id,
            created,
            last_modified.unwrap_or(created),
            version,
            User::from_attributes(attributes),
        );
        Ok(Past::Was(Box::new(record)))
    }
}
