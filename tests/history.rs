//! Past states of users, who changed them, and undoing changes: compared with the answers of that
//! time, and with a model that keeps every state.
//!
//! - `past`: users as they were at a time, who had a name then, who made a change
//! - `undo`: `user undo` on the command line, and what it prints
//! - `deletion`: undoing where users were deleted
//! - `conflict`: undoing where others have changed the same users, or have taken their names
//! - `wrong_clock`: the same with times from a clock that was ahead or behind

mod conflict;
mod deletion;
mod past;
mod undo;
mod wrong_clock;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::{Beginning, Caller, Directory, Past, Then, ToUndo, describe};
use golinks_scim::scim::schema::ENTERPRISE_URN;
use golinks_scim::scim::{Leniency, Patch, Preconditions, User};
use golinks_scim::store::{Opener, Store};
use serde_json::{Value, json};

use crate::support::{CORE, Output, Talk, record_of};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn patch(path: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": path, "value": value}]})
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// The JSON lines that a command has printed.
fn rows(output: &Output) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{output:?}"));
    output.stdout.lines().map(line).collect()
}

fn without_meta(user: &Value) -> Value {
    let mut user = user.clone();
    user.as_object_mut().expect("a user").remove("meta");
    user
}

/// The current time. Nothing else happens in its millisecond: there is a pause before and after it.
fn moment() -> String {
    std::thread::sleep(Duration::from_millis(5));
    let now = SystemClock.now().to_string();
    std::thread::sleep(Duration::from_millis(5));
    now
}

/// The sequence number of a user's newest change.
fn newest_change(talk: &Talk, who: &str) -> String {
    let history = talk.server.cli(&["user", "history", who, "-o", "jsonl"]);
    rows(&history).last().expect("a change")["sequence"].to_string()
}

/// A clock that advances by a millisecond each time it is read.
pub(crate) struct Ticking(pub(crate) AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Who made a state by undoing nothing but changes that are to be undone again.
const OWN_UNDO: &str = "own undo";

/// A directory in memory, with every state of its users, and when and by whom each was made.
struct Kept {
    directory: Directory,
    clock: Arc<Ticking>,
    states: BTreeMap<String, Vec<(Instant, &'static str, Value)>>,
}

impl Kept {
    fn new() -> Self {
        let opener: Opener = Box::new(|| Ok(Box::new(redb::backends::InMemoryBackend::new())));
        let store = Store::open_with(opener, describe).expect("a store in memory");
        let clock = Arc::new(Ticking(AtomicI64::new(1_700_000_000_000)));
        Self {
            directory: Directory::new(Arc::new(store), Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            states: BTreeMap::new(),
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn note(&mut self, id: &str, who: &'static str) {
        let record = record_of(&self.directory, id).expect("there");
        let attributes = Value::Object(record.user().attributes().clone());
        let now = self.now();
        let states = self.states.entry(id.to_owned()).or_default();
        states.push((now, who, attributes));
    }

    fn create(&mut self, name: &str, who: &'static str) -> String {
        let user = json!({"schemas": [CORE], "userName": name, "active": true});
        let user = User::parse(user, &mut Leniency::strict()).expect("a user");
        let record = self
            .directory
            .create(user, &caller(who))
            .expect("created")
            .record;
        let id = record.id().to_string();
        self.note(&id, who);
        id
    }

    fn change(&mut self, id: &str, attribute: &str, value: &Value, who: &'static str) {
        let patch = Patch::parse(patch(attribute, value.clone()), &mut Leniency::compatible());
        let patch = patch.expect("a patch");
        let leniency = Leniency::compatible();
        self.directory
            .modify(id, patch, Preconditions::default(), leniency, &caller(who))
            .expect("changed");
        self.note(id, who);
    }

    /// Deletes a user, and returns the time after that.
    fn delete(&self, id: &str) -> Instant {
        self.directory
            .delete(id, Preconditions::default(), &caller("a"))
            .expect("deleted");
        self.now()
    }

    /// The user that a name stood for at that time: its id, and its userName then.
    fn who_was(&self, name: &str, then: Then) -> Option<(String, String)> {
        match self.directory.at(name, then).expect("read") {
            Past::Was(record) => {
                let id = record.id().to_string();
                Some((id, record.user().user_name().to_owned()))
            }
            Past::Absent => None,
            Past::Forgotten(_) => panic!("nothing was removed"),
        }
    }

    /// The expected state of a user after `who`'s changes since a moment are undone by force; and
    /// whether that takes force, unless one of them created the user.
    fn wanted(&self, id: &str, since: Instant, who: &str) -> (Value, bool) {
        let states = &self.states[id];
        let (mut wanted, mut takes_force) = (states.last().expect("a state").2.clone(), false);
        let extension = |name: &str| format!("/{ENTERPRISE_URN}/{name}");
        for attribute in [
            "/title",
            "/nickName",
            "/active",
            &extension("department"),
            &extension("costCenter"),
        ] {
            // The value before the first of those changes; if somebody else has changed it in
            // between, the value before the next of them.
            let (mut target, mut is_touched) = (None, false);
            for pair in states.windows(2) {
                let ((_, _, before), (time, by, after)) = (&pair[0], &pair[1]);
                let before = before.pointer(attribute).unwrap_or(&Value::Null);
                if before == after.pointer(attribute).unwrap_or(&Value::Null) {
                    continue;
                }
                if *by == OWN_UNDO {
                    continue;
                }
                if *time < since || *by != who {
                    is_touched = target.is_some();
                } else if target.is_none() || is_touched {
                    (target, is_touched) = (Some(before.clone()), false);
                }
            }
            if let Some(target) = target {
                let now = wanted.pointer(attribute).unwrap_or(&Value::Null);
                takes_force |= is_touched && *now != target;
                let (parent, name) = attribute.rsplit_once('/').expect("a pointer");
                if parent.len() > 1 && wanted.pointer(parent).is_none() {
                    wanted[&parent[1..]] = json!({});
                }
                wanted.pointer_mut(parent).expect("there")[name] = target;
            }
        }
        let (time, by, _) = &states[0];
        if *time >= since && *by == who {
            wanted = states.last().expect("a state").2.clone();
            wanted["active"] = json!(false);
        }
        let assigned = |members: &mut Value| {
            let members = members.as_object_mut().expect("an object");
            members.retain(|_, value| !value.is_null() && *value != json!({}));
        };
        wanted
            .get_mut(ENTERPRISE_URN)
            .into_iter()
            .for_each(assigned);
        assigned(&mut wanted);
        (wanted, takes_force)
    }
}

fn caller(who: &str) -> Caller {
    Caller {
        principal: format!("token:{who}{who}:{who}"),
        request_id: "0".to_owned(),
        address: None,
    }
}

/// All changes since a moment, or only those by this token, as a selection for an undo.
fn all_since(moment: Instant, token: Option<&str>) -> ToUndo {
    ToUndo::Since {
        since: Beginning::Moment(moment),
        token: token.map(str::to_owned),
    }
}
