//! The directory, compared with a model that is too simple to be wrong: ten thousand random
//! operations on both, including queries and pages, must have the same results.

use std::collections::BTreeMap;
use std::sync::Arc;

use golinks_scim::clock::SystemClock;
use golinks_scim::directory::{Directory, Ending, Error, Page, Query, ScanCaller, Start, describe};
use golinks_scim::scim::{Filter, Leniency, Patch, Preconditions, Search, Sort, User};
use golinks_scim::store::{Opener, Store};
use serde_json::{Value, json};

use crate::support::{caller, record_of};

const OPERATIONS: usize = 10_000;
/// The number of names: few, so that operations often concern the same name.
const NAMES: usize = 150;

/// A user in the model.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    id: String,
    name: String,
    title: Option<String>,
    active: bool,
    email: Option<String>,
    version: u64,
}

/// Pseudo-random numbers, the same in each run (Knuth's MMIX generator).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }
}

struct Both {
    directory: Directory,
    /// The users by sequence number, which is the order of creation.
    model: BTreeMap<u32, Known>,
    random: Random,
}

impl Both {
    fn new(seed: u64) -> Self {
        let opener: Opener = Box::new(|| Ok(Box::new(redb::backends::InMemoryBackend::new())));
        let store = Store::open_with(opener, describe).expect("a store in memory");
        Self {
            directory: Directory::new(Arc::new(store), Arc::new(SystemClock)),
            model: BTreeMap::new(),
            random: Random(seed),
        }
    }

    fn name(&mut self) -> String {
        let case = self.random.below(2);
        let name = format!("user{}", self.random.below(NAMES));
        if case == 0 { name } else { name.to_uppercase() }
    }

    fn optional(&mut self, word: &str) -> Option<String> {
        let number = self.random.below(8);
        (number > 1).then(|| format!("{word}{number}"))
    }

    /// A random user, if there is any.
    fn somebody(&mut self) -> Option<(u32, Known)> {
        if self.model.is_empty() {
            return None;
        }
        let place = self.random.below(self.model.len());
        let (sequence, known) = self.model.iter().nth(place)?;
        Some((*sequence, known.clone()))
    }

    fn is_taken(&self, name: &str, but: Option<u32>) -> bool {
        self.model.iter().any(|(sequence, known)| {
            Some(*sequence) != but && known.name.eq_ignore_ascii_case(name)
        })
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=2 => self.create(),
            3 => self.replace(),
            4..=5 => self.modify(),
            6 => self.delete(),
            7 => self.retrieve(),
            _ => self.query(),
        }
    }

    fn create(&mut self) {
        let (name, title, email) = (self.name(), self.optional("t"), self.optional("e"));
        let active = self.random.below(3) > 0;
        let created = self.directory.create(
            user(&name, title.as_ref(), active, email.as_ref()),
            &caller(),
        );
        if self.is_taken(&name, None) {
            assert!(matches!(created, Err(Error::Uniqueness)), "{name}");
            return;
        }
        let record = created.expect("created").record;
        let known = Known {
            id: record.id().to_string(),
            name,
            title,
            active,
            email,
            version: 1,
        };
        let last = self.model.last_key_value().map_or(0, |(last, _)| *last);
        assert!(record.id().sequence() > last, "the order of creation");
        self.model.insert(record.id().sequence(), known);
    }

    fn replace(&mut self) {
        let Some((sequence, mut known)) = self.somebody() else {
            return;
        };
        let before = known.clone();
        known.name = self.name();
        known.title = self.optional("t");
        known.email = self.optional("e");
        let new = user(
            &known.name,
            known.title.as_ref(),
            known.active,
            known.email.as_ref(),
        );
        let replaced =
            self.directory
                .replace(&known.id, new, None, Preconditions::default(), &caller());
        if self.is_taken(&known.name, Some(sequence)) {
            assert!(matches!(replaced, Err(Error::Uniqueness)), "{known:?}");
            return;
        }
        known.version += u64::from(known != before);
        let record = replaced.expect("replaced").record;
        assert_eq!(record.version(), format!("W/\"{}\"", known.version));
        self.model.insert(sequence, known);
    }

    fn modify(&mut self) {
        let Some((sequence, mut known)) = self.somebody() else {
            return;
        };
        let before = known.clone();
        known.active = self.random.below(2) == 0;
        known.title = self.optional("t");
        let stale = self.random.below(4) == 0;
        let version = known.version + u64::from(stale);
        let preconditions = Preconditions::parse(Some(&format!("W/\"{version}\"")), None);
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [
                {"op": "replace", "path": "active", "value": known.active},
                {"op": "replace", "path": "title", "value": known.title}
            ]
        });
        let mut leniency = Leniency::strict();
        let patch = Patch::parse(body, &mut leniency).expect("a patch");
        let modified = self
            .directory
            .modify(&known.id, patch, preconditions, leniency, &caller());
        if stale {
            assert!(
                matches!(modified, Err(Error::PreconditionFailed)),
                "{known:?}"
            );
            return;
        }
        known.version += u64::from(known != before);
        let record = modified.expect("modified").record;
        assert_eq!(record.version(), format!("W/\"{}\"", known.version));
        self.model.insert(sequence, known);
    }

    fn delete(&mut self) {
        let Some((sequence, known)) = self.somebody() else {
            return;
        };
        let deleted = self
            .directory
            .delete(&known.id, Preconditions::default(), &caller());
        deleted.expect("deleted");
        self.model.remove(&sequence);
        let again = self
            .directory
            .delete(&known.id, Preconditions::default(), &caller());
        assert!(matches!(again, Err(Error::NotFound)));
    }

    fn retrieve(&mut self) {
        let Some((_, known)) = self.somebody() else {
            return;
        };
        let record = record_of(&self.directory, &known.id).expect("there");
        assert_eq!(
            record.user(),
            &user(
                &known.name,
                known.title.as_ref(),
                known.active,
                known.email.as_ref()
            )
        );
    }

    /// Runs a random query: one page by index, and a walk by cursor place, forward and back.
    fn query(&mut self) {
        let (filter, search, keep) = self.condition();
        let (sort, descending) = self.order();
        let mut wanted: Vec<(u32, &Known)> = self
            .model
            .iter()
            .filter(|(_, known)| keep(known))
            .map(|(sequence, known)| (*sequence, known))
            .collect();
        if let Some(by) = sort {
            wanted.sort_by(|left, right| compare(by, left.1, right.1, descending));
        }
        let wanted: Vec<String> = wanted.iter().map(|(_, known)| known.id.clone()).collect();
        let parse = |text: &String| Filter::parse(text, &mut Leniency::strict()).expect("a filter");
        let count = 1 + self.random.below(60);
        let parsed = filter.as_ref().map(parse);
        let words = search.as_ref();
        let words = words.and_then(|text| Search::parse(text).expect("short"));
        let mut query = Query {
            filter: parsed.as_ref(),
            search: words.as_ref(),
            sort: sort.map(|by| {
                let order = if descending {
                    "descending"
                } else {
                    "ascending"
                };
                Sort::parse(by, Some(order), &mut Leniency::strict()).expect("sortable")
            }),
            start: Start::Index(1),
            count,
            is_counted: true,
            base_url: "https://h/scim/v2",
        };
        let what = format!("{filter:?} {search:?} {sort:?} {descending} {count}");

        let skip = self.random.below(wanted.len() + 3);
        query.start = Start::Index(skip + 1);
        let page = self
            .directory
            .query(&query, &ScanCaller::ANYBODY)
            .expect("a page");
        let part: Vec<String> = wanted.iter().skip(skip).take(count).cloned().collect();
        assert_eq!(ids(&page), part, "{what} from {skip}");
        assert_eq!(page.total(), Some(wanted.len()), "{what}");

        let mut walked = Vec::new();
        query.start = Start::Index(1);
        loop {
            let page = self
                .directory
                .query(&query, &ScanCaller::ANYBODY)
                .expect("a page");
            assert_eq!(page.before().is_some(), !walked.is_empty(), "{what}");
            if let Some(place) = page.before() {
                let back = Query {
                    start: Start::Before(place.clone()),
                    ..query.clone()
                };
                let before = ids(&self
                    .directory
                    .query(&back, &ScanCaller::ANYBODY)
                    .expect("a page"));
                let from = walked.len().saturating_sub(count);
                assert_eq!(before, walked[from..], "{what}: back from {}", walked.len());
            }
            walked.extend(ids(&page));
            match page.after() {
                Some(place) => query.start = Start::After(place.clone()),
                None => break,
            }
        }
        assert_eq!(walked, wanted, "{what}: walked");
        assert_eq!(self.walk_uncounted(query), wanted, "{what}: uncounted");
    }

    fn walk_uncounted(&self, mut query: Query<'_>) -> Vec<String> {
        query.is_counted = false;
        query.start = Start::Index(1);
        let mut walked = Vec::new();
        loop {
            let page = self.directory.query(&query, &ScanCaller::ANYBODY);
            let page = page.expect("a page");
            assert_eq!(page.total(), None);
            walked.extend(ids(&page));
            match page.after() {
                Some(place) => query.start = Start::After(place.clone()),
                None => return walked,
            }
        }
    }

    /// A filter, a text to search for, and a predicate that says whether a user matches both.
    #[allow(clippy::type_complexity, reason = "a predicate in a box is what it is")]
    fn condition(&mut self) -> (Option<String>, Option<String>, Box<dyn Fn(&Known) -> bool>) {
        let number = self.random.below(8);
        let (title, email) = (format!("t{number}"), format!("e{number}@x"));
        let name = format!("user{}", self.random.below(NAMES));
        let is = |text: &Option<String>, wanted: &str| text.as_deref() == Some(wanted);
        match self.random.below(9) {
            0 => (None, None, Box::new(|_| true)),
            1 => (
                Some(format!("userName eq {}", json!(name))),
                None,
                Box::new(move |known| known.name.eq_ignore_ascii_case(&name)),
            ),
            2 => (
                Some(format!("emails eq {}", json!(email))),
                None,
                Box::new(move |known| is(&known.email, &format!("e{number}"))),
            ),
            3 => (
                Some("active eq true".to_owned()),
                None,
                Box::new(|known| known.active),
            ),
            4 => (
                Some(format!(
                    "not (active eq true) and title eq {}",
                    json!(title)
                )),
                None,
                Box::new(move |known| !known.active && is(&known.title, &title)),
            ),
            5 => (
                Some(format!(
                    "active eq false or emails[value eq {}]",
                    json!(email)
                )),
                None,
                Box::new(move |known| !known.active || is(&known.email, &format!("e{number}"))),
            ),
            6 => (
                Some(format!("title ge {}", json!(title))),
                None,
                Box::new(move |known| known.title.as_ref().is_some_and(|own| *own >= title)),
            ),
            7 => (
                Some("active eq true".to_owned()),
                Some(format!("USER{number}")),
                Box::new(move |known| {
                    known.active && known.name.to_lowercase().contains(&format!("user{number}"))
                }),
            ),
            _ => (
                None,
                Some(format!("@x user e{number}")),
                Box::new(move |known| is(&known.email, &format!("e{number}"))),
            ),
        }
    }

    fn order(&mut self) -> (Option<&'static str>, bool) {
        let by = [
            None,
            Some("userName"),
            Some("title"),
            Some("active"),
            Some("emails.value"),
        ];
        (by[self.random.below(by.len())], self.random.below(2) == 0)
    }
}

/// Compares two users for sorting. Users without a value come last, or first in descending order.
/// Users with equal values compare as equal, and so stay in order of creation.
fn compare(by: &str, left: &Known, right: &Known, descending: bool) -> std::cmp::Ordering {
    let key = |known: &Known| -> (bool, String) {
        let text = match by {
            "userName" => Some(known.name.to_lowercase()),
            "title" => known.title.clone(),
            "active" => Some(known.active.to_string()),
            _ => known.email.clone(),
        };
        (text.is_none(), text.unwrap_or_default())
    };
    let order = key(left).cmp(&key(right));
    if descending { order.reverse() } else { order }
}

fn user(name: &str, title: Option<&String>, active: bool, email: Option<&String>) -> User {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name, "active": active, "title": title
    });
    if let Some(email) = email {
        body["emails"] = json!([{"value": format!("{email}@x")}]);
    }
    User::parse(body, &mut Leniency::strict()).expect("a user")
}

/// The ids of the users on a page, in its order.
pub(crate) fn ids(page: &Page) -> Vec<String> {
    let projection =
        golinks_scim::scim::Projection::parse(Some("id"), None, &mut Leniency::strict());
    let ending = Ending::new("https://h/scim/v2".to_owned());
    let mut text = vec![b'['];
    let end = page
        .render_from(0, usize::MAX, &ending, &projection, &mut text)
        .expect("the users");
    assert_eq!(end, page.len());
    text.push(b']');
    let users: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    let id = |user: &Value| user["id"].as_str().expect("an id").to_owned();
    users.iter().map(id).collect()
}

#[test]
fn ten_thousand_operations_do_to_the_directory_what_they_do_to_a_map() {
    // One seed is always the same, and the other is new each time; a failure shows both.
    let fresh: [u8; 8] = golinks_scim::secret::random();
    for seed in [20_261_123, u64::from_be_bytes(fresh)] {
        println!("seed {seed}");
        let mut both = Both::new(seed);
        for _ in 0..OPERATIONS / 2 {
            both.step();
        }
        assert!(
            both.model.len() > 20,
            "too little happened: {}",
            both.model.len()
        );
        assert_eq!(both.directory.user_count().expect("open"), both.model.len());
    }
}
