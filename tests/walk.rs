//! Paging while others write: 2,000 users are walked by cursor and by index, in order of creation,
//! sorted and filtered. Meanwhile a user is changed every millisecond, and about one change in
//! eight touches attributes by which walks sort and filter. Every user for whom these stay the same
//! is listed exactly once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::idp::client::Client;
use serde_json::{Value, json};

use crate::support;
use crate::support::{CORE, Server, Talk};

const USERS: usize = 2000;
/// In every tenth user, the attributes change by which walks sort and filter.
const MOVER_EVERY: usize = 10;
/// Every fortieth user, none of them a mover, may be deleted meanwhile.
const VICTIM_EVERY: usize = 40;
const WRITERS: usize = 4;
const PAGE: usize = 100;

/// Walks sort by one attribute that movers change, and filter by the other.
const SORTED: &str = "sortBy=title&sortOrder=descending";
const FILTERED: &str = "filter=userType%20eq%20%22In%22";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paging {
    Cursor,
    Index,
}

/// One connection with a token.
struct Caller {
    client: Client,
    authorization: String,
}

impl Caller {
    fn new(server: &Server, authorization: &str) -> Self {
        Self {
            client: server.client(),
            authorization: authorization.to_owned(),
        }
    }

    fn send(&mut self, method: &str, target: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = support::send(&mut self.client, &self.authorization, method, target, body);
        let response = answer.expect("the server answers");
        let json = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status, json)
    }

    /// Walks to the end and returns the ids in the order in which they were listed.
    fn walk(&mut self, paging: Paging, query: &str) -> Vec<String> {
        let mut listed = Vec::new();
        let mut cursor = String::new();
        loop {
            let place = match paging {
                Paging::Cursor => format!("cursor={cursor}"),
                Paging::Index => format!("startIndex={}", listed.len() + 1),
            };
            let target = format!("/Users?attributes=id&count={PAGE}&{place}&{query}");
            let (status, page) = self.send("GET", &target, None);
            assert_eq!(status, 200, "{target}: {page}");
            let users = page["Resources"].as_array().expect("Resources");
            let id = |user: &Value| user["id"].as_str().expect("an id").to_owned();
            listed.extend(users.iter().map(id));
            match (paging, page["nextCursor"].as_str()) {
                (Paging::Cursor, Some(next)) => next.clone_into(&mut cursor),
                (Paging::Index, _) if !users.is_empty() => {}
                _ => return listed,
            }
        }
    }
}

/// The users in `stable` who were not listed exactly once, and how often they were.
fn broken_promises<'a>(listed: &[String], stable: &[&'a String]) -> Vec<(&'a String, usize)> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for id in listed {
        *times.entry(id).or_default() += 1;
    }
    let of = |id: &'a String| (id, times.get(id.as_str()).copied().unwrap_or(0));
    stable
        .iter()
        .map(|id| of(id))
        .filter(|(_, times)| *times != 1)
        .collect()
}

fn user(index: usize) -> Value {
    json!({
        "schemas": [CORE], "userName": format!("user{index:04}"),
        // Many users share a title: among them, the order of creation decides.
        "title": format!("title {:02}", (index * 7) % 40),
        "userType": if index.is_multiple_of(3) { "Out" } else { "In" },
    })
}

fn create_all(caller: &mut Caller) -> Vec<String> {
    let operation = |index: usize| json!({"method": "POST", "path": "/Users", "bulkId": index.to_string(), "data": user(index)});
    let mut ids = Vec::new();
    for start in (0..USERS).step_by(1000) {
        let operations: Vec<Value> = (start..start + 1000).map(operation).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations
        });
        let (status, answer) = caller.send("POST", "/Bulk", Some(&body));
        assert_eq!(status, 200, "{answer}");
        for result in answer["Operations"].as_array().expect("results") {
            let location = result["location"].as_str().expect("a location");
            ids.push(location.rsplit('/').next().expect("an id").to_owned());
        }
    }
    ids
}

fn is_mover(index: usize) -> bool {
    index.is_multiple_of(MOVER_EVERY)
}

fn is_victim(index: usize) -> bool {
    index % VICTIM_EVERY == 7
}

/// The data that the writers share.
struct Churn<'a> {
    ids: &'a [String],
    is_over: AtomicBool,
    changes: AtomicUsize,
    moves: AtomicUsize,
    deleted: AtomicUsize,
}

impl Churn<'_> {
    /// Changes a user every `WRITERS` milliseconds, so that all writers together change one every
    /// millisecond.
    fn write(&self, mut caller: Caller, writer: usize) {
        let start = Instant::now();
        let mut turn = writer;
        while !self.is_over.load(Ordering::SeqCst) {
            self.change(&mut caller, turn);
            if writer == 0 && turn.is_multiple_of(100) {
                self.create_or_delete(&mut caller, turn);
            }
            turn += WRITERS;
            let due = start + Duration::from_millis(u64::try_from(turn).expect("small"));
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    fn change(&self, caller: &mut Caller, turn: usize) {
        let random = turn.wrapping_mul(2_654_435_761) % USERS;
        let moves = turn.is_multiple_of(10) || turn % 10 == 5 && turn.is_multiple_of(3);
        let (index, change) = if moves {
            let index = random - random % MOVER_EVERY;
            let title = format!("title {:02}", (turn * 13) % 50);
            let user_type = if turn.is_multiple_of(4) { "In" } else { "Out" };
            (index, json!({"title": title, "userType": user_type}))
        } else {
            (random, json!({"nickName": format!("turn {turn}")}))
        };
        if is_victim(index) {
            return;
        }
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": change}]
        });
        let target = format!("/Users/{}", self.ids[index]);
        let (status, answer) = caller.send("PATCH", &target, Some(&body));
        assert_eq!(status, 200, "{answer}");
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.moves.fetch_add(usize::from(moves), Ordering::SeqCst);
    }

    fn create_or_delete(&self, caller: &mut Caller, turn: usize) {
        let (status, answer) = caller.send("POST", "/Users", Some(&user(USERS + turn)));
        assert_eq!(status, 201, "{answer}");
        let next = self.deleted.fetch_add(1, Ordering::SeqCst);
        let victim = next * VICTIM_EVERY + 7;
        if let Some(id) = self.ids.get(victim) {
            let (status, answer) = caller.send("DELETE", &format!("/Users/{id}"), None);
            assert_eq!(status, 204, "{answer}");
        }
    }
}

/// Stops the writers, however the walker ends.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn full_token(server: &Server, name: &str) -> String {
    let output = server.cli(&["token", "issue", name, "--scope", "full"]);
    format!("Bearer {}", output.stdout.trim())
}

#[test]
fn whoever_stays_is_listed_exactly_once_whatever_others_change() {
    let server = Server::start_with(&["--rate-limit", "off"]);
    let authorization = full_token(&server, "walker");
    let mut caller = Caller::new(&server, &authorization);
    let ids = create_all(&mut caller);
    let churn = Churn {
        ids: &ids,
        is_over: AtomicBool::new(false),
        changes: AtomicUsize::new(0),
        moves: AtomicUsize::new(0),
        deleted: AtomicUsize::new(0),
    };
    thread::scope(|scope| {
        let _end = EndOf(&churn.is_over);
        for writer in 0..WRITERS {
            let (caller, churn) = (Caller::new(&server, &authorization), &churn);
            scope.spawn(move || churn.write(caller, writer));
        }
        for paging in [Paging::Index, Paging::Cursor] {
            for (query, keeps_place) in [
                ("", None),
                (SORTED, Some(false)),
                (FILTERED, Some(true)),
                (&format!("{SORTED}&{FILTERED}"), Some(true)),
            ] {
                let stable: Vec<&String> = (0..USERS)
                    .filter(|index| !is_victim(*index))
                    .filter(|index| keeps_place.is_none() || !is_mover(*index))
                    .filter(|index| keeps_place != Some(true) || !index.is_multiple_of(3))
                    .map(|index| &ids[index])
                    .collect();
                let before = (
                    churn.changes.load(Ordering::SeqCst),
                    churn.moves.load(Ordering::SeqCst),
                );
                let start = Instant::now();
                let listed = caller.walk(paging, query);
                let took = start.elapsed();
                let changes = churn.changes.load(Ordering::SeqCst) - before.0;
                let moves = churn.moves.load(Ordering::SeqCst) - before.1;
                println!(
                    "{paging:?} {query:?}: {} listed, {} of them must be, {changes} changes and \
                     {moves} of keys in {} ms",
                    listed.len(),
                    stable.len(),
                    took.as_millis()
                );
                let broken = broken_promises(&listed, &stable);
                assert!(broken.is_empty(), "{paging:?} {query}: {broken:?}");
            }
        }
    });
    // This is not asserted for each walk: on a busy machine a walk may end before any user has
    // moved.
    assert!(churn.moves.load(Ordering::SeqCst) > 0, "nobody moved");
    assert!(
        churn.deleted.load(Ordering::SeqCst) > 0,
        "nobody was deleted"
    );
}

/// The userNames on a page of three; an `order` begins with `&`.
fn page(talk: &mut Talk, start: usize, order: &str) -> Vec<String> {
    let target = format!("/Users?count=3&startIndex={start}{order}");
    names(&talk.json("GET", &target, None, 200))
}

fn names(page: &Value) -> Vec<String> {
    let users = page["Resources"].as_array().expect("Resources");
    users
        .iter()
        .map(|user| user["userName"].as_str().expect("a name").to_owned())
        .collect()
}

fn create_nine(talk: &mut Talk) -> Vec<String> {
    let names = (1..10).map(|number| format!("u{number}"));
    names
        .map(|name| {
            let user = talk.create(&name);
            user["id"].as_str().expect("an id").to_owned()
        })
        .collect()
}

fn delete(talk: &mut Talk, ids: &[String]) {
    for id in ids {
        talk.json("DELETE", &format!("/Users/{id}"), None, 204);
    }
}

/// Between the walks the list shrinks by a page, and then to a single page.
#[test]
fn a_walk_begun_again_does_not_go_on_from_where_the_last_one_was() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let ids = create_nine(&mut talk);
    for gone in [0..0, 0..3, 3..6] {
        delete(&mut talk, &ids[gone.clone()]);
        let mut listed = Vec::new();
        loop {
            let shown = page(&mut talk, listed.len() + 1, "");
            if shown.is_empty() {
                break;
            }
            listed.extend(shown);
        }
        let wanted: Vec<String> = (gone.end + 1..10).map(|at| format!("u{at}")).collect();
        assert_eq!(listed, wanted, "{gone:?} have gone");
    }
}

/// A client that reads until a page is empty requests one page more. That page repeats nobody when
/// a user has joined the list before its end, and its total does not call for yet another page.
#[test]
fn who_reads_beyond_the_last_page_sees_nobody_again() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for name in ["u2", "u3", "u4", "u5"] {
        talk.create(name);
    }
    let order = "&sortBy=userName";
    assert_eq!(page(&mut talk, 1, order), ["u2", "u3", "u4"]);
    assert_eq!(page(&mut talk, 4, order), ["u5"]);
    talk.create("u1");
    let target = format!("/Users?count=3&startIndex=5{order}");
    let beyond = talk.json("GET", &target, None, 200);
    assert!(names(&beyond).is_empty(), "{beyond}");
    assert_eq!(beyond["totalResults"], 4, "{beyond}");
    talk.create("u6");
    assert_eq!(page(&mut talk, 5, order), ["u6"]);
    assert_eq!(page(&mut talk, 1, order), ["u1", "u2", "u3"], "a new walk");
    assert_eq!(page(&mut talk, 4, order), ["u4", "u5", "u6"], "goes on");
}

/// An answer is lost, and its page is requested again. Meanwhile a user listed before was deleted,
/// and the client tested the connection.
#[test]
fn a_page_that_is_requested_again_misses_nobody() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let ids = create_nine(&mut talk);
    page(&mut talk, 1, "");
    assert_eq!(page(&mut talk, 4, ""), ["u4", "u5", "u6"]);
    delete(&mut talk, &ids[..1]);
    talk.json("GET", "/Users?startIndex=1&count=1", None, 200);
    assert_eq!(page(&mut talk, 4, ""), ["u4", "u5", "u6"]);
}

/// A client may learn the total from the first page, and then request the others in any order.
#[test]
fn a_new_walk_finds_everybody_whatever_its_order() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for number in 1..=6 {
        talk.create(&format!("b{number}"));
    }
    let order = "&sortBy=userName";
    for start in [1, 4] {
        assert_eq!(page(&mut talk, start, order).len(), 3);
    }
    for number in 1..=3 {
        talk.create(&format!("a{number}"));
    }
    assert_eq!(page(&mut talk, 1, order), ["a1", "a2", "a3"]);
    assert_eq!(page(&mut talk, 7, order), ["b4", "b5", "b6"]);
    assert_eq!(page(&mut talk, 4, order), ["b1", "b2", "b3"]);
}

/// Walks on until it has listed as many as `totalResults` says, as Okta does.
fn walk_to_the_total(talk: &mut Talk, mut listed: Vec<String>) -> Vec<String> {
    loop {
        let target = format!("/Users?count=3&startIndex={}", listed.len() + 1);
        let page = talk.json("GET", &target, None, 200);
        listed.extend(names(&page));
        if listed.len() as u64 >= page["totalResults"].as_u64().expect("a total") {
            return listed;
        }
    }
}

/// A client that changes each listed user moves it to the end of the list, and the walk ends all
/// the same.
#[test]
fn a_sorted_walk_that_changes_whom_it_shows_ends() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    create_nine(&mut talk);
    let (mut seen, mut total) = (0, 1);
    while seen < total {
        assert!(seen < 30, "it does not end: {total}");
        let start = seen + 1;
        let target = format!("/Users?count=3&sortBy=meta.lastModified&startIndex={start}");
        let page = talk.json("GET", &target, None, 200);
        total = page["totalResults"].as_u64().expect("a total");
        for user in page["Resources"].as_array().expect("Resources") {
            seen += 1;
            let target = format!("/Users/{}", user["id"].as_str().expect("an id"));
            let change = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
                {"op": "replace", "path": "title", "value": format!("{seen}")}]});
            talk.json("PATCH", &target, Some(&change), 200);
        }
    }
}

/// Users whom a walk has passed are deleted; then the walk goes on or begins again.
#[test]
fn who_reads_until_the_total_is_reached_misses_nobody() {
    for goes_on in [true, false] {
        let mut talk = Talk::start(&["--rate-limit", "off"]);
        let ids = create_nine(&mut talk);
        let first = page(&mut talk, 1, "");
        delete(&mut talk, &ids[..3]);
        let begun = if goes_on { first } else { Vec::new() };
        let listed = walk_to_the_total(&mut talk, begun);
        for stays in 4..10 {
            let name = format!("u{stays}");
            assert!(listed.contains(&name), "{name} is missing: {listed:?}");
        }
    }
}

#[test]
fn of_two_walks_with_one_token_neither_misses_anybody() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for (order, shown) in [
        ("", ["u4", "u5", "u6"]),
        ("&sortBy=userName", ["u4", "u5", "u6"]),
        ("&sortBy=userName&sortOrder=descending", ["u6", "u5", "u4"]),
    ] {
        let ids = create_nine(&mut talk);
        let first = page(&mut talk, 1, order);
        let gone = if order.ends_with("descending") { 8 } else { 0 };
        delete(&mut talk, &ids[gone..=gone]);
        assert_eq!(page(&mut talk, 1, order)[..2], first[1..], "{order}");
        for walk in ["the first", "the second"] {
            assert_eq!(page(&mut talk, 4, order), shown, "{order}: {walk}");
        }
        let mut left = ids;
        left.remove(gone);
        delete(&mut talk, &left);
    }
}

/// The check of a walk notices a user who is missed or listed twice. And walks do break if the
/// server does not remember them: when the second page is requested with another token, the server
/// does not know where the first one ended.
#[test]
fn a_broken_promise_would_be_noticed() {
    let server = Server::start_with(&["--rate-limit", "off"]);
    let authorization = full_token(&server, "one");
    let mut one = Caller::new(&server, &authorization);
    let mut two = Caller::new(&server, &full_token(&server, "two"));
    let ids = create_all(&mut one);
    let matching: Vec<&String> = (0..USERS)
        .filter(|index| !index.is_multiple_of(3))
        .map(|index| &ids[index])
        .collect();
    let whole = one.walk(Paging::Index, FILTERED);
    assert!(broken_promises(&whole, &matching).is_empty());
    assert_eq!(whole.iter().collect::<HashSet<_>>().len(), matching.len());
    let twice = [&whole[..], &whole[5..6]].concat();
    assert_eq!(broken_promises(&twice, &matching), [(&whole[5], 2)]);
    assert_eq!(broken_promises(&whole[1..], &matching), [(&whole[0], 0)]);

    let target =
        |start: usize| format!("/Users?attributes=id&count={PAGE}&startIndex={start}&{FILTERED}");
    let listed = |page: &Value| -> Vec<String> {
        let users = page["Resources"].as_array().expect("Resources");
        users
            .iter()
            .map(|user| user["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    for (same, missed) in [(true, 0), (false, 1)] {
        let mut pages = listed(&one.send("GET", &target(1), None).1);
        // Somebody on the first page leaves the list.
        let leave = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "userType", "value": "Out"}]
        });
        let gone = pages[0].clone();
        one.send("PATCH", &format!("/Users/{gone}"), Some(&leave));
        let next = if same { &mut one } else { &mut two };
        pages.extend(listed(&next.send("GET", &target(PAGE + 1), None).1));
        let stable: Vec<&String> = matching
            .iter()
            .filter(|id| whole[..2 * PAGE].contains(id) && !whole[..2].contains(id))
            .copied()
            .collect();
        let broken = broken_promises(&pages, &stable);
        assert_eq!(broken.len(), missed, "{broken:?}");
    }
}
