//! A user to be written, prepared before its turn. The caller's thread decides on the committed
//! state, and the writer thread only checks whether anything relevant has changed since. If the
//! writer thread decided everything, all writes would wait for it (`examples/load`, PATCH: twice
//! the time).
//!
//! ```text
//! asks:    state ──▶ decide ──▶ draft ──▶ queue
//! writes:                                   │
//!     is the user as it was? ◀──────────────┘
//!       ├─ yes: the moment, a sequence, is the name free? ──▶ put
//!       └─ no:  decided again, on what is there now
//! ```

use super::audit::{self, Difference};
use super::change::{ChangeContext, Planned, has_access};
use super::record::Record;
use super::row_header::RowHeader;
use super::row_keys::{KEYED, SEARCHED};
use super::user_id::UserId;
use super::{Error, Written};
use crate::clock::Instant;
use crate::limits;
use crate::scim::{self, Tolerated, User};
use crate::store::{Change, Facts, Keys, ReadError, View};

/// The decision on a request.
pub(super) enum Decided {
    /// Nothing to write: the user is like that already.
    Same(Written),
    /// Write this draft.
    Draft(Box<Draft>),
}

impl Decided {
    /// The change that turns `before` into `user`; `tell` makes its audit row.
    pub(super) fn of(
        before: Record,
        user: User,
        context: &ChangeContext,
        tell: impl FnOnce(&Record, &[Difference<'_>], Instant) -> String,
    ) -> Result<Self, Error> {
        let now = context.clock.now();
        let record = before.changed(user, now, context.era);
        let differences =
            audit::differences(before.user().attributes(), record.user().attributes());
        if differences.is_empty() {
            return Ok(Self::Same(Written {
                record: before,
                row: None,
                tolerances: Vec::new(),
                lost_access: false,
            }));
        }
        let audit_row = tell(&record, &differences, now);
        let touches = |names: &[&str]| differences.iter().any(|it| names.contains(&it.attribute));
        let keys = if touches(&KEYED) {
            KeysAfter::Changed {
                before: before.keys(),
                after: record.keys(),
            }
        } else {
            KeysAfter::Same
        };
        let facts = if touches(&SEARCHED) {
            record.facts()
        } else {
            record.facts_without_text()
        };
        let lost_access = has_access(&before) && !has_access(&record);
        let draft = Draft::new(record, keys, facts, audit_row)?;
        Ok(Self::Draft(Box::new(Draft {
            before: Some(before.header()),
            lost_access,
            ..draft
        })))
    }

    /// Whether the user is still in the state that this decision was based on. This is also checked
    /// if there is nothing to write, because an earlier request may have changed the user.
    pub(super) fn holds(&self, view: &View<'_>) -> Result<bool, ReadError> {
        let before = match self {
            Self::Same(written) => Some(written.record.header()),
            Self::Draft(draft) => draft.before,
        };
        let Some(before) = before else {
            return Ok(false);
        };
        let row = view.user(before.id.sequence())?;
        Ok(row.is_some_and(|row| RowHeader::read(&row) == Ok(before)))
    }

    /// Sets the time of the change to `now`, even if it was decided earlier.
    pub(super) fn stamp(&mut self, now: Instant) {
        if let Self::Draft(draft) = self {
            draft.stamp(now, None);
        }
    }

    /// The write, with its result.
    pub(super) fn put(self, view: &View<'_>) -> Planned<Written> {
        match self {
            Self::Same(written) => Ok((Change::none(), written)),
            Self::Draft(draft) => draft.put(view),
        }
    }

    /// The tolerances that the request has used.
    pub(super) fn tolerances(&mut self) -> &mut Vec<Tolerated> {
        match self {
            Self::Same(written) => &mut written.tolerances,
            Self::Draft(draft) => &mut draft.tolerances,
        }
    }
}

/// A user to be written.
pub(super) struct Draft {
    record: Record,
    /// The state that this was decided on; `None` for a new user.
    before: Option<RowHeader>,
    keys: KeysAfter,
    facts: Facts,
    row: Vec<u8>,
    audit_row: String,
    tolerances: Vec<Tolerated>,
    lost_access: bool,
}

/// How a draft changes the keys under which its user is found.
enum KeysAfter {
    /// The user is new.
    New(Keys),
    Changed {
        before: Keys,
        after: Keys,
    },
    Same,
}

impl Draft {
    /// A new user, active unless the request says otherwise.
    pub(super) fn create(
        id: UserId,
        mut user: User,
        context: &ChangeContext,
    ) -> Result<Self, Error> {
        user.require_seen_user_name()?;
        if user.active().is_none() {
            user.set_active(true);
        }
        let now = context.clock.now();
        let record = Record::created(id, user, now);
        let audit_row = audit::created(&context.caller, now, &record);
        let (keys, facts) = (KeysAfter::New(record.keys()), record.facts());
        Self::new(record, keys, facts, audit_row)
    }

    fn new(
        record: Record,
        keys: KeysAfter,
        facts: Facts,
        audit_row: String,
    ) -> Result<Self, Error> {
        let row = record.encode();
        // `active` does not count: otherwise the status of a user of the largest size could not
        // change.
        let status = match record.user().active() {
            Some(true) => ",\"active\":true".len(),
            Some(false) => ",\"active\":false".len(),
            None => 0,
        };
        if row.len() > limits::USER_BYTES_MAX + status {
            return Err(scim::Error::of_user_size().into());
        }
        Ok(Self {
            before: None,
            keys,
            facts,
            row,
            audit_row,
            record,
            tolerances: Vec::new(),
            lost_access: false,
        })
    }

    /// Sets the time of the change to `now`. A new user also gets its sequence, which is part of
    /// its id.
    pub(super) fn stamp(&mut self, now: Instant, sequence: Option<u32>) {
        if let Some(sequence) = sequence {
            self.record.number(sequence, &mut self.row);
        }
        self.record.stamp(now, self.before.as_ref(), &mut self.row);
        self.facts.modified = self.record.last_modified().millis();
        audit::restamp(&mut self.audit_row, now, self.record.id());
    }

    /// The write, unless another user has the name.
    pub(super) fn put(self, view: &View<'_>) -> Planned<Written> {
        let name = match &self.keys {
            KeysAfter::New(keys) => Some(&keys.name),
            KeysAfter::Changed { before, after } => {
                (before.name != after.name).then_some(&after.name)
            }
            KeysAfter::Same => None,
        };
        if let Some(name) = name
            && view.user_by_name(name)?.is_some()
        {
            return Err(Error::Uniqueness.into());
        }
        let sequence = self.record.id().sequence();
        let written = Written {
            record: self.record,
            row: Some(self.row.clone()),
            tolerances: self.tolerances,
            lost_access: self.lost_access,
        };
        let (facts, row) = (self.facts, self.row);
        let change = match self.keys {
            KeysAfter::New(keys) => Change::none().create_user(sequence, keys, facts, row),
            KeysAfter::Changed { before, after } => {
                Change::none().replace_user(sequence, Some((before, after)), facts, row)
            }
            KeysAfter::Same => Change::none().replace_user(sequence, None, facts, row),
        };
        Ok((change.audit(self.audit_row), written))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::audit::Caller;
    use super::super::change::{Edit, decide};
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::scim::schema::USER;
    use crate::scim::{Budget, Leniency};

    fn context() -> ChangeContext {
        let caller = Caller {
            principal: "token:\"user\":\"x\":t".to_owned(),
            request_id: "r".to_owned(),
            address: None,
        };
        let clock = Arc::new(SystemClock);
        ChangeContext {
            caller,
            clock,
            era: 0,
        }
    }

    fn user(title: &str) -> User {
        let user = json!({
            "schemas": [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
            ],
            "userName": "jane", "externalId": "\",\"id\":\"", "title": title,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "d"}
        });
        User::parse(user, &mut Leniency::strict()).expect("a user")
    }

    /// Checks that the row, the record, the facts and the audit row agree.
    fn assert_agrees(draft: &Draft, now: Instant) {
        assert_eq!(draft.row, draft.record.encode());
        let facts = match draft.before {
            // The title is not searched.
            Some(_) => draft.record.facts_without_text(),
            None => draft.record.facts(),
        };
        assert_eq!(draft.facts, facts);
        let audit_row: Value = serde_json::from_str(&draft.audit_row).expect("JSON");
        assert_eq!(audit_row["user"], draft.record.id().to_string());
        assert_eq!(audit_row["time"], now.to_string());
        assert_eq!(audit_row["principal"], context().caller.principal);
    }

    #[test]
    fn what_is_stamped_late_is_the_same_everywhere() {
        let mut draft = Draft::create(UserId::new(0), user("a"), &context()).expect("a draft");
        let random = draft.record.id().0[4..].to_vec();
        let now = draft.record.created_at().plus_days(1);
        draft.stamp(now, Some(70_000));
        assert_agrees(&draft, now);
        assert_eq!(draft.record.id().sequence(), 70_000);
        assert_eq!(draft.record.id().0[4..], random);
        assert_eq!(draft.record.created_at(), now);

        let before = draft.record;
        let tell = |after: &Record, differences: &[Difference<'_>], now| {
            audit::changed(&context().caller, now, "replace", after, differences)
        };
        let decided = Decided::of(before.clone(), user("b"), &context(), tell).expect("decided");
        let Decided::Draft(mut draft) = decided else {
            panic!("it has changed");
        };
        assert_eq!(draft.before, RowHeader::read(&before.encode()).ok());
        assert_ne!(draft.before, RowHeader::read(&draft.row).ok());
        // When the clock goes back, `lastModified` does not.
        let earlier = now.plus_days(-7);
        draft.stamp(earlier, None);
        assert_agrees(&draft, earlier);
        assert_eq!(draft.record.last_modified(), now.next());
        assert_eq!(draft.record.created_at(), now);
    }

    #[test]
    fn a_change_tells_the_searched_text_if_it_has_changed() {
        let plain = |name: &str| json!([{"value": name}]);
        let before = json!({
            "userName": "jane", "displayName": "d", "name": {"givenName": "g"}, "active": true,
            "nickName": "n", "profileUrl": "https://h/p", "title": "t", "userType": "u",
            "preferredLanguage": "en", "locale": "en-US", "timezone": "Europe/Berlin",
            "emails": plain("e@x"), "phoneNumbers": plain("1"), "ims": plain("i"),
            "photos": plain("https://h/f"), "addresses": [{"locality": "a"}],
            "entitlements": plain("e"), "roles": plain("r"), "x509Certificates": plain("YQ=="),
            "externalId": "x",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "d"}
        });
        let record = |user: &Value| {
            let user = User::parse(user.clone(), &mut Leniency::compatible()).expect("a user");
            Record::created(UserId::new(0), user, SystemClock.now())
        };
        for attribute in USER.attributes {
            let is_stored = !matches!(attribute.name, "password" | "groups");
            assert_eq!(
                before.get(attribute.name).is_some(),
                is_stored,
                "{}",
                attribute.name
            );
        }
        let record_before = record(&before);
        for name in before.as_object().expect("members").keys() {
            let mut after = before.clone();
            match name.as_str() {
                "userName" => after[name] = json!("joan"),
                _ => after[name] = Value::Null,
            }
            let user = record(&after).user().clone();
            let tell = |_: &Record, _: &[Difference<'_>], _| String::new();
            let decided =
                Decided::of(record_before.clone(), user, &context(), tell).expect("decided");
            let Decided::Draft(draft) = decided else {
                panic!("{name} has changed");
            };
            let now = draft.record.facts().text;
            let changed = now.filter(|now| record_before.facts().text.as_ref() != Some(now));
            assert_eq!(draft.facts.text, changed, "{name}");
        }
    }

    /// Otherwise nobody could deactivate a user who is older than the rule.
    #[test]
    fn a_user_keeps_a_name_that_would_be_refused_today() {
        let named = |name: &str, is_active: bool| {
            let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
            let user = json!({"schemas": schemas, "userName": name, "active": is_active});
            User::parse(user, &mut Leniency::strict()).expect("a user")
        };
        let now = SystemClock.now();
        let before = Record::created(UserId::new(0), named("jane ", true), now);
        let replaced = |user: User| {
            let edit = Edit::Replace { user, echo: None };
            let (leniency, budget) = (Leniency::strict(), &mut Budget::default());
            decide(before.clone(), edit, leniency, budget, &context())
        };
        let decided = replaced(named("jane ", false)).expect("decided");
        assert!(matches!(decided, Decided::Draft(draft) if draft.lost_access));
        assert!(replaced(named("jane\u{200b}", true)).is_err());
        assert!(replaced(named("jane", true)).is_ok());
    }

    #[test]
    fn a_user_of_the_largest_size_can_have_any_status() {
        let titled = |length: usize, active: Option<bool>| {
            let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
            let title = "x".repeat(length);
            let user = json!({
                "schemas": schemas, "userName": "jane", "title": title, "active": active
            });
            User::parse(user, &mut Leniency::strict()).expect("a user")
        };
        let now = SystemClock.now();
        let before = |length, active| Record::created(UserId::new(0), titled(length, active), now);
        let mut largest = limits::USER_BYTES_MAX;
        while before(largest, None).encode().len() > limits::USER_BYTES_MAX {
            largest -= 1;
        }
        let replaced = |length, from, to| {
            let edit = Edit::Replace {
                user: titled(length, to),
                echo: None,
            };
            let (leniency, budget) = (Leniency::strict(), &mut Budget::default());
            decide(before(largest, from), edit, leniency, budget, &context())
        };
        let all = [None, Some(true), Some(false)];
        for (from, to) in all.iter().flat_map(|from| all.map(|to| (*from, to))) {
            assert!(replaced(largest, from, to).is_ok(), "{from:?} {to:?}");
            assert!(replaced(largest + 1, from, to).is_err(), "{from:?} {to:?}");
        }
    }
}
