//! What a user was: the attributes at a moment of the past, or before a change, found by taking back, newest
//! first, what the audit trail says of the user since.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::audit::{self, CREATE, DELETE, UserEvent};
use super::record::{Record, version_number};
use super::trail::{known_as, once_known_as};
use super::user_id::UserId;
use super::{Directory, Error, matching};
use crate::clock::Instant;
use crate::scim::User;
use crate::scim::fold::fold;
use crate::store::{Extent, Snapshot};

/// A point of the past.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// This moment, everything that was changed in it included.
    At(Instant),
    /// Before the change with this sequence: nothing else distinguishes changes of the same moment.
    Before(u64),
}

/// A user at a point of the past.
#[derive(Debug)]
pub enum Past {
    /// As it was.
    Was(Box<Record>),
    /// Nobody of this name or id was there then.
    Absent,
    /// The trail does not go back so far: the oldest row kept is of this time.
    Forgotten(Option<Instant>),
}

impl Directory {
    /// The user whom a name or an id stands for ([`Directory::known_as`]), as it was then; if that
    /// one was not there, whoever had the name. [`Error::NotFound`] if it is before a change that was never made.
    pub fn at(&self, who: &str, then: Then) -> Result<Past, Error> {
        self.read(|snapshot| {
            let extent = snapshot.audit_extent()?;
            if let Then::Before(change) = then
                && (change == 0 || change >= extent.next)
            {
                return Err(Error::NotFound);
            }
            // If the trail no longer mentions the user, the answer is not known.
            let mut answer = forgotten(&snapshot, &extent, then)?.unwrap_or(Past::Absent);
            let known = known_as(&snapshot, who)?;
            for &id in &known {
                answer = at(&snapshot, &extent, id, then)?;
                if matches!(answer, Past::Was(_)) {
                    return Ok(answer);
                }
            }
            if UserId::parse(who).is_some() {
                return Ok(answer);
            }
            let name = fold(who);
            for id in once_known_as(&snapshot, who)? {
                if known.contains(&id) {
                    continue;
                }
                if let Past::Was(record) = at(&snapshot, &extent, id, then)?
                    && fold(record.user().user_name()) == name
                {
                    return Ok(Past::Was(record));
                }
            }
            Ok(answer)
        })
    }
}

fn at(snapshot: &Snapshot, extent: &Extent, id: UserId, then: Then) -> Result<Past, Error> {
    let record = match snapshot.user(id.sequence())? {
        Some(row) => matching(id, &row)?,
        None => None,
    };
    match (record, then) {
        (Some(record), Then::At(moment)) if record.last_modified() <= moment => {
            Ok(Past::Was(Box::new(record)))
        }
        (Some(record), Then::At(moment)) if record.created_at() > moment => Ok(Past::Absent),
        (record, _) => way_back(snapshot, extent, id, record, then),
    }
}

/// The answer if the rows that would tell were removed.
fn forgotten(snapshot: &Snapshot, extent: &Extent, then: Then) -> Result<Option<Past>, Error> {
    if extent.first == 1 {
        return Ok(None);
    }
    let oldest = time_of(snapshot, extent.first)?;
    let is_forgotten = match then {
        Then::At(moment) => oldest.is_some_and(|oldest| oldest > moment),
        Then::Before(change) => extent.first > change,
    };
    Ok(is_forgotten.then_some(Past::Forgotten(oldest)))
}

/// When a row was written, if it is kept.
fn time_of(snapshot: &Snapshot, sequence: u64) -> Result<Option<Instant>, Error> {
    let row = snapshot.audit(sequence)?;
    Ok(row.as_deref().and_then(audit::time_of))
}

fn way_back(
    snapshot: &Snapshot,
    extent: &Extent,
    id: UserId,
    record: Option<Record>,
    then: Then,
) -> Result<Past, Error> {
    let mut way = WayBack::from(record);
    let until = match then {
        Then::At(moment) => moment.to_string(),
        Then::Before(_) => String::new(),
    };
    snapshot.audits_before(u64::MAX, |sequence, text| {
        if audit::user_of(text) != Some(id) {
            return ControlFlow::Continue(());
        }
        match UserEvent::read(text) {
            Some(event) => {
                let is_later = match then {
                    Then::At(_) => event.time > until,
                    Then::Before(change) => sequence >= change,
                };
                way.take(&event, is_later)
            }
            None => ControlFlow::Continue(()),
        }
    })?;
    way.end(snapshot, extent, id, then)
}

/// On the way back through a user's changes.
struct WayBack {
    attributes: Option<Map<String, Value>>,
    created: Option<Instant>,
    /// Version and time of the newest change that is not taken back.
    reached: Option<(u64, Instant)>,
    /// The version before the oldest change that was taken back.
    version: u64,
    /// A later creation was taken back.
    is_later: bool,
}

impl WayBack {
    fn from(record: Option<Record>) -> Self {
        Self {
            created: record.as_ref().map(Record::created_at),
            attributes: record.map(|record| record.user().attributes().clone()),
            reached: None,
            version: 0,
            is_later: false,
        }
    }

    /// Goes past one change; later ones are taken back.
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
        // Of a user who is gone the trail alone knows when it was created.
        if self.created.is_some() || self.attributes.is_none() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn take_back(&mut self, event: &UserEvent) {
        if event.kind == CREATE {
            self.attributes = None;
            self.is_later = true;
            return;
        }
        let version = version_number(&event.version).unwrap_or_default();
        // A deletion makes no version.
        let made = u64::from(event.kind != DELETE);
        self.version = version.saturating_sub(made);
        let attributes = self.attributes.get_or_insert_default();
        for change in &event.changes {
            if change.before.is_null() {
                attributes.shift_remove(&change.attribute);
            } else {
                attributes.insert(change.attribute.clone(), change.before.clone());
            }
        }
    }

    fn end(
        self,
        snapshot: &Snapshot,
        extent: &Extent,
        id: UserId,
        then: Then,
    ) -> Result<Past, Error> {
        let is_known = self.reached.is_some() || self.is_later;
        if !is_known && let Some(forgotten) = forgotten(snapshot, extent, then)? {
            return Ok(forgotten);
        }
        let Some(attributes) = self.attributes else {
            return Ok(Past::Absent);
        };
        // The time of the last change before the trail begins is not known.
        let (version, last_modified) = match self.reached {
            Some((version, time)) => (version, Some(time)),
            None => (self.version, self.created),
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
