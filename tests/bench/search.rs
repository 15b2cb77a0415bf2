//! The costs and benefits of the search index: how long a directory takes to open, how much memory
//! it needs, and how fast a search is, alone and while users are changed.
//!
//! ```text
//! cargo bench --bench search -- 1000000
//! ```

#![allow(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use golinks_scim::clock::SystemClock;
use golinks_scim::directory::{Caller, Directory, Ending, Query, ScanCaller, Start, describe};
use golinks_scim::scim::{Bulk, Filter, Leniency, Patch, Preconditions, Search};
use golinks_scim::store::Store;
use serde_json::{Value, json};

const GIVEN: [&str; 12] = [
    "Jane", "José", "Łukasz", "Anna", "Wei", "Fatima", "Søren", "Olga", "Amir", "Chloé", "Ravi",
    "Mia",
];
const FAMILY: [&str; 11] = [
    "Smith", "Núñez", "Müller", "Chen", "Kowalski", "Okafor", "Haddad", "Ivanova", "Larsen",
    "Sato", "Dubois",
];
const ROUNDS: usize = 200;

fn main() {
    let users = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let start = Instant::now();
    fill(&open(&path).1, users);
    println!(
        "{users} users made in {:.1} s",
        start.elapsed().as_secs_f64()
    );

    let before = resident_kib();
    let start = Instant::now();
    let (store, directory) = open(&path);
    println!(
        "opened in {:.2} s; resident memory {} MiB before and {} MiB after, of which up to 64 MiB are the store's cache",
        start.elapsed().as_secs_f64(),
        before / 1024,
        resident_kib() / 1024
    );
    println!("alone:");
    measure(&directory);
    let is_over = AtomicBool::new(false);
    let changes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| change(&directory, users, &is_over, &changes));
        let start = Instant::now();
        println!("while users are changed:");
        measure(&directory);
        is_over.store(true, Ordering::SeqCst);
        println!(
            "  {} changes meanwhile, in {:.1} s",
            changes.load(Ordering::SeqCst),
            start.elapsed().as_secs_f64()
        );
    });
    drop(store);
}

fn open(path: &std::path::Path) -> (Arc<Store>, Directory) {
    let store = Store::open(path, Duration::ZERO, describe).expect("a store");
    let store = Arc::new(store);
    let directory = Directory::new(Arc::clone(&store), Arc::new(SystemClock));
    (store, directory)
}

fn caller() -> Caller {
    Caller {
        principal: "bench".to_owned(),
        request_id: "0".to_owned(),
        address: None,
    }
}

fn fill(directory: &Directory, users: usize) {
    let create = |index: usize| {
        let (given, family) = (GIVEN[index % GIVEN.len()], FAMILY[index % FAMILY.len()]);
        let email = format!("{given}.{family}{index}@example.com").to_lowercase();
        json!({"method": "POST", "path": "/Users", "bulkId": index.to_string(), "data": {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": email, "displayName": format!("{given} {family}"),
            "name": {"givenName": given, "familyName": family}, "active": !index.is_multiple_of(10),
            "title": "Engineer", "externalId": format!("00u{index:017}"),
            "emails": [{"value": email, "type": "work", "primary": true}]
        }})
    };
    for start in (0..users).step_by(1000) {
        let operations: Vec<Value> = (start..users.min(start + 1000)).map(create).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations
        });
        let leniency = Leniency::compatible();
        let bulk = Bulk::parse(body, &mut leniency.clone()).expect("a bulk request");
        let outcomes = directory
            .bulk(bulk, |_| true, &leniency, &caller())
            .expect("written");
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Some(Ok(_))))
        );
    }
}

fn measure(directory: &Directory) {
    for (what, search, filter) in [
        ("one of a kind", "ivanova77777@", ""),
        ("two words", "soren larsen", ""),
        ("a common word", "smith", ""),
        ("nobody", "zzzzzz", ""),
        ("words and status", "jane", "active eq false"),
        ("status alone", "", "active eq false"),
        (
            "changed since",
            "",
            "meta.lastModified gt \"2026-01-31T12:00:00Z\"",
        ),
        (
            "created since",
            "",
            "meta.created ge \"2038-01-01T00:00:00Z\"",
        ),
        ("names that start so", "", "userName sw \"jane.smith13\""),
        (
            "an address",
            "",
            "emails.value eq \"jane.smith0@example.com\"",
        ),
    ] {
        let filter = (!filter.is_empty())
            .then(|| Filter::parse(filter, &mut Leniency::strict()).expect("a filter"));
        let words = Search::parse(search).expect("short");
        let query = Query {
            filter: filter.as_ref(),
            search: words.as_ref(),
            sort: None,
            start: Start::Index(1),
            count: 100,
            is_counted: true,
            base_url: "https://h/scim/v2",
        };
        let mut total = 0;
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                total = directory
                    .query(&query, &ScanCaller::ANYBODY)
                    .expect("a page")
                    .total()
                    .expect("counted");
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!(
            "  {what}: {total} found, p50 {:.3} ms, p99 {:.3} ms",
            times[ROUNDS / 2].as_secs_f64() * 1e3,
            times[ROUNDS * 99 / 100].as_secs_f64() * 1e3
        );
    }
}

/// Changes up to 500 users in turn until `is_over`.
fn change(directory: &Directory, users: usize, is_over: &AtomicBool, changes: &AtomicUsize) {
    let page = directory
        .query(
            &Query {
                filter: None,
                search: None,
                sort: None,
                start: Start::Index(users / 2),
                count: 500,
                is_counted: true,
                base_url: "https://h/scim/v2",
            },
            &ScanCaller::ANYBODY,
        )
        .expect("a page");
    let projection =
        golinks_scim::scim::Projection::parse(Some("id"), None, &mut Leniency::strict());
    let ending = Ending::new("https://h/scim/v2".to_owned());
    let mut text = vec![b'['];
    page.render_from(0, usize::MAX, &ending, &projection, &mut text)
        .expect("the users");
    text.push(b']');
    drop(page);
    let shown: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    let ids: Vec<&str> = shown
        .iter()
        .map(|user| user["id"].as_str().expect("an id"))
        .collect();
    for (turn, id) in ids.iter().cycle().enumerate() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "displayName", "value": format!("Turn {turn}")}]
        });
        let mut leniency = Leniency::strict();
        let patch = Patch::parse(body, &mut leniency).expect("a patch");
        directory
            .modify(id, patch, Preconditions::default(), leniency, &caller())
            .expect("modified");
        changes.fetch_add(1, Ordering::SeqCst);
    }
}

/// The resident memory of this process; zero without /proc.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap_or(0)
}
