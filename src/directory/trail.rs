//! Searches the audit trail. The trail has no index: a search reads rows one after the other, and
//! rejects most of them by a few bytes. One request reads [`limits::AUDIT_SCAN_ROWS_MAX`] rows at
//! most, and says where the next one continues. The whole trail is read only to find who once had a
//! userName, in `history.rs`, `undo_source.rs` and `verification.rs`, and by a restore
//! (`returned_users.rs`): none of it for callers from the network.
//! `audit` describes the content of rows; the store reads the bare rows (`store/trail.rs`).

use std::mem;
use std::ops::ControlFlow;

use memchr::memmem;
use serde_json::{Value, json};

use super::audit;
use super::selection::with_name;
use super::user_id::UserId;
use super::{Directory, Error, Record};
use crate::clock::Instant;
use crate::limits;
use crate::locks::ignore_poison;
use crate::scim::fold::fold;
use crate::store::{Extent, Snapshot};

/// Which rows are wanted. A row must satisfy every condition that is set.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Rows written at this time or later.
    pub since: Option<Instant>,
    /// Rows written before this time.
    pub until: Option<Instant>,
    /// Rows about one of these users.
    pub users: Option<Vec<UserId>>,
    /// The userName that was resolved to these users. [`TrailPage::namesakes`] lists others who had
    /// it.
    pub name: Option<String>,
    /// Rows by the token with this name or id, or about it.
    pub token: Option<String>,
    /// Rows of this request.
    pub request: Option<String>,
}

/// Where a search begins, and in which direction it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At this sequence, oldest first.
    From(u64),
    /// At the row before this sequence, newest first.
    Before(u64),
}

/// The wanted rows that a search found.
#[derive(Debug)]
pub struct TrailPage {
    /// The rows with their `sequence`, in the order of the search.
    pub rows: Vec<Value>,
    /// The sequence at which the next search continues, for the same [`Way`]; `None` at the end of
    /// the trail.
    pub next: Option<u64>,
    /// Other users, not wanted, who had the userName that was asked for, each with the time of the
    /// newest row that shows it: the last [`limits::PREVIOUS_HOLDERS_TOLD_MAX`] that the search
    /// met.
    pub namesakes: Vec<(UserId, String)>,
    /// The range of the rows that are kept.
    pub extent: Extent,
}

impl Wanted {
    /// A test for rows, prepared so that it can be applied to many.
    pub(super) fn test(&self) -> Test<'_> {
        let moment = |instant: Instant| instant.to_string();
        Test {
            since: self.since.map(moment),
            until: self.until.map(moment),
            name: self.name.as_deref().map(fold),
            marks: [
                self.users.as_deref().and_then(|users| match users {
                    [user] => Some(format!("\"{user}\"")),
                    _ => None,
                }),
                self.request
                    .as_ref()
                    .map(|request| format!("\"requestId\":{}", json!(request))),
                self.token.as_ref().map(|_| "\"token".to_owned()),
            ]
            .into_iter()
            .flatten()
            .map(|mark| memmem::Finder::new(mark.as_bytes()).into_owned())
            .collect(),
            wanted: self,
        }
    }
}

/// Tests whether a row is wanted.
pub(super) struct Test<'a> {
    since: Option<String>,
    until: Option<String>,
    name: Option<String>,
    /// Texts that a wanted row must contain.
    marks: Vec<memmem::Finder<'static>>,
    wanted: &'a Wanted,
}

impl Test<'_> {
    /// The row, if it is wanted.
    pub(super) fn read(&self, text: &str) -> Option<Value> {
        self.time_within(text)?;
        let has = |mark: &memmem::Finder<'_>| mark.find(text.as_bytes()).is_some();
        if !self.marks.iter().all(has) {
            return None;
        }
        let row: Value = serde_json::from_str(text).ok()?;
        self.is_wanted(&row).then_some(row)
    }

    /// The time of the row as text, if it is within the wanted times.
    fn time_within<'t>(&self, text: &'t str) -> Option<&'t str> {
        // All times have the same length, so their text sorts in order of time.
        let time = audit::time_text(text)?;
        let is_early = self.since.as_deref().is_some_and(|since| time < since);
        let is_late = self.until.as_deref().is_some_and(|until| time >= until);
        (!is_early && !is_late).then_some(time)
    }

    /// Adds the user of a row to `namesakes` if the user had the wanted name and is not wanted.
    fn add_namesake(&self, text: &str, namesakes: &mut Vec<(UserId, String)>) {
        let wanted = self.wanted.users.as_deref().unwrap_or_default();
        let named = self
            .name
            .as_ref()
            .and_then(|name| audit::had_name(text, name));
        let other = named.filter(|user| !wanted.contains(user));
        let Some((user, time)) = other.zip(self.time_within(text)) else {
            return;
        };
        namesakes.retain(|(known, _)| *known != user);
        if namesakes.len() >= limits::PREVIOUS_HOLDERS_TOLD_MAX {
            namesakes.remove(0);
        }
        namesakes.push((user, time.to_owned()));
    }

    fn is_wanted(&self, row: &Value) -> bool {
        let wanted = self.wanted;
        let of_user = |users: &Vec<UserId>| {
            // A row about a refusal names its user as the `parameter`.
            let mut named = ["user", "parameter"]
                .into_iter()
                .filter_map(|member| row[member].as_str());
            named.any(|id| UserId::parse(id).is_some_and(|user| users.contains(&user)))
        };
        wanted.users.as_ref().is_none_or(of_user)
            && wanted
                .token
                .as_ref()
                .is_none_or(|token| is_of_token(row, token))
            && wanted
                .request
                .as_ref()
                .is_none_or(|request| row["requestId"] == request.as_str())
    }
}

/// Whether a row is by the token with this name or id, or about its issue, rotation or end.
fn is_of_token(row: &Value, token: &str) -> bool {
    let mut replaced = row["replaces"].as_array().into_iter().flatten();
    let is_about = ["token", "name"].iter().any(|name| row[name] == token)
        || replaced.any(|old| old["token"] == token);
    let kind = row["kind"].as_str().unwrap_or_default();
    (is_about && kind.starts_with("token."))
        || is_by(row["principal"].as_str().unwrap_or_default(), token)
}

/// Whether a principal is the token with this name or id.
pub(super) fn is_by(principal: &str, token: &str) -> bool {
    let mut parts = principal.splitn(3, ':');
    parts.next() == Some("token") && parts.any(|part| part == token)
}

impl Directory {
    /// The rows that are wanted, `count` at most.
    pub fn trail(&self, wanted: &Wanted, way: Way, count: usize) -> Result<TrailPage, Error> {
        self.read(|snapshot| found(&snapshot, wanted, way, count))
    }

    /// Passes the rows of a request to `visit`, newest first, starting with the row before
    /// `before`, until `visit` breaks off. One call reads [`limits::AUDIT_SCAN_ROWS_MAX`] rows at
    /// most. If it has passed no row and there are more to read, it returns where the next call
    /// continues.
    pub fn of_request(
        &self,
        request: &str,
        before: u64,
        mut visit: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<Option<u64>, Error> {
        let wanted = Wanted {
            request: Some(request.to_owned()),
            ..Wanted::default()
        };
        let test = wanted.test();
        let snapshot = self.read(Ok)?;
        let (mut looked_at, mut has_shown, mut next) = (0, false, None);
        snapshot.audits_before(before, |sequence, text| {
            if looked_at >= limits::AUDIT_SCAN_ROWS_MAX {
                next = Some(sequence.saturating_add(1));
                return ControlFlow::Break(());
            }
            looked_at += 1;
            let Some(row) = test.read(text) else {
                return ControlFlow::Continue(());
            };
            has_shown = true;
            visit(numbered(sequence, row))
        })?;
        Ok(next.filter(|_| !has_shown))
    }

    /// The users that a name or an id means: the user who has it now, otherwise all users who had
    /// it, as far back as the trail reaches.
    pub fn known_as(&self, who: &str) -> Result<Vec<UserId>, Error> {
        if let Some(id) = UserId::parse(who) {
            return Ok(vec![id]);
        }
        let name = fold(who);
        self.read(|snapshot| match holder_of(&snapshot, &name)? {
            Some(holder) => Ok(vec![holder]),
            None => self.former_holders(&snapshot, &name),
        })
    }

    /// The users who had this folded userName.
    fn former_holders(&self, snapshot: &Snapshot, name: &str) -> Result<Vec<UserId>, Error> {
        let first = snapshot.audit_extent()?.first;
        let mut former = mem::take(&mut *ignore_poison(self.former_holders.lock()));
        if (former.first, &*former.name) != (first, name) {
            former = FormerHolders {
                name: name.to_owned(),
                first,
                last: first,
                users: Vec::new(),
            };
        }
        snapshot.audits_from(former.last, |sequence, text| {
            former.last = sequence;
            if let Some(user) = audit::had_name(text, name)
                && !former.users.contains(&user)
            {
                former.users.push(user);
            }
            ControlFlow::Continue(())
        })?;
        let users = former.users.clone();
        *ignore_poison(self.former_holders.lock()) = former;
        Ok(users)
    }
}

/// The users who had a userName that nobody has now, as far as the trail was read for them. A
/// search asks for the same name with each page, and must not read the whole trail each time.
#[derive(Default)]
pub(super) struct FormerHolders {
    name: String,
    /// The oldest and the newest row that was read.
    first: u64,
    last: u64,
    users: Vec<UserId>,
}

fn found(snapshot: &Snapshot, wanted: &Wanted, way: Way, count: usize) -> Result<TrailPage, Error> {
    let test = wanted.test();
    let extent = snapshot.audit_extent()?;
    let (mut rows, mut namesakes, mut next) = (Vec::new(), Vec::new(), None);
    let (mut looked_at, mut bytes) = (0, 0);
    let visit = |sequence: u64, text: &str| {
        let is_full = rows.len() >= count
            || bytes >= limits::AUDIT_ANSWER_BYTES_MAX
            || looked_at >= limits::AUDIT_SCAN_ROWS_MAX;
        if is_full {
            next = Some(sequence);
            return ControlFlow::Break(());
        }
        looked_at += 1;
        if let Some(row) = test.read(text) {
            bytes += text.len();
            rows.push(numbered(sequence, row));
        } else {
            test.add_namesake(text, &mut namesakes);
        }
        ControlFlow::Continue(())
    };
    match way {
        Way::From(first) => snapshot.audits_from(first, visit)?,
        Way::Before(end) => {
            snapshot.audits_before(end, visit)?;
            next = next.map(|sequence| sequence.saturating_add(1));
        }
    }
    Ok(TrailPage {
        rows,
        next,
        namesakes,
        extent,
    })
}

/// A row as JSON, with its sequence in front.
fn numbered(sequence: u64, row: Value) -> Value {
    let mut numbered = json!({"sequence": sequence});
    if let (Some(members), Value::Object(row)) = (numbered.as_object_mut(), row) {
        members.extend(row);
    }
    numbered
}

/// The user who has this folded userName now.
pub(super) fn holder_of(snapshot: &Snapshot, name: &str) -> Result<Option<UserId>, Error> {
    let Some(sequence) = with_name(snapshot, name)? else {
        return Ok(None);
    };
    let row = snapshot.user(sequence)?;
    let record = row.map(|row| Record::decode(&row).map_err(Error::Damaged));
    Ok(record.transpose()?.map(|record| record.id()))
}
