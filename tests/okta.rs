//! Okta's published test suites and the life cycle of its users, over TLS against the real binary.
//! The tables and their expected values are in `golinks_scim::idp::okta`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use golinks_scim::idp::client::Client;
use golinks_scim::idp::{Suite, okta};
use golinks_scim::secret::Secret;
use serde_json::{Value, json};

use crate::support;
use crate::support::{Server, person};

/// Plays a suite on a directory that holds one complete user.
fn check(suite: &Suite) {
    let server = Server::start();
    let token = server.token("okta");
    server.play(&okta::seed(&person()), &token);
    let report = server.play(suite, &token);
    assert_eq!(
        report.counts(),
        (suite.checks_count(), suite.checks_count())
    );
    server.stop();
}

#[test]
fn the_spec_suite_passes_with_53_of_53() {
    let suite = okta::spec(&person());
    assert_eq!(suite.checks_count(), 53);
    check(&suite);
}

#[test]
fn a_custom_app_walks_a_life_by_get_and_put() {
    check(&okta::aiw_walk(&person()));
}

#[test]
fn a_catalogue_app_walks_a_life_by_patch() {
    check(&okta::oin_walk(&person()));
}

#[test]
fn the_suite_of_2016_passes_within_its_time_limits() {
    check(&okta::beta(&person()));
}

#[test]
fn a_user_deactivated_here_is_imported_inactive_and_comes_back_when_assigned() {
    let server = Server::start();
    let token = server.token("okta");
    let person = person();
    let report = server.play(&okta::seed(&person), &token);
    let id = report.value("id").expect("the create brought it");

    let output = server.cli(&["user", "deactivate", &person.email]);
    assert_eq!(output.status, Some(0), "{output:?}");
    assert!(output.stderr.contains("hint:"), "{output:?}");

    let import = server.import(&token);
    let listed: Vec<_> = import.users.iter().filter(|user| user.id == id).collect();
    assert_eq!(listed.len(), 1, "{import:?}");
    assert!(!listed[0].is_active, "{import:?}");

    server.play(&okta::deactivated_then_imported(&person, id), &token);
    server.stop();
}

#[test]
fn users_and_tokens_outlive_a_kill_and_a_restart() {
    let mut server = Server::start();
    let token = server.token("okta");
    let person = person();
    server.play(&okta::seed(&person), &token);
    server.kill_and_restart();
    let import = server.import(&token);
    assert_eq!(import.users.len(), 1, "{}", server.log());
    assert_eq!(import.users[0].user_name, person.email);
    server.restart();
    assert_eq!(server.import(&token).users, import.users);
    server.stop();
}

/// The number of users for the import, and of connections that create them.
const USERS: usize = 2500;
const CREATORS: usize = 8;

#[test]
fn an_import_lists_everybody_once_while_others_write() {
    let server = Server::start_with(&["--rate-limit", "off"]);
    let token = server.token("okta");
    let ids = create_many(&server, &token);
    assert_eq!(ids.len(), USERS);

    let is_over = AtomicBool::new(false);
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        let _end = RaiseAtEnd(&is_over);
        let writer = scope.spawn(|| write_until(&is_over, &written, &server, &token, &ids));
        // The imports begin once the writer has begun, and the writer must not end before them.
        while written.load(Ordering::SeqCst) == 0 && !writer.is_finished() {
            thread::yield_now();
        }
        let mut beside = 0;
        // On a busy disk, an import may end before anything is written; then it does not count.
        while beside < 3 {
            assert!(!writer.is_finished(), "the writer has ended");
            let before = written.load(Ordering::SeqCst);
            let import = server.import(&token);
            let during = written.load(Ordering::SeqCst) - before;
            // The import itself asserts that nobody is listed twice.
            let listed: HashSet<_> = import.users.iter().map(|user| &user.id).collect();
            let missed: Vec<_> = ids.iter().filter(|id| !listed.contains(id)).collect();
            assert!(missed.is_empty(), "{missed:?} missed\n{}", server.log());
            assert!(import.pages > USERS / 100, "{} pages", import.pages);
            beside += usize::from(during > 0);
        }
    });
    server.stop();
}

/// Stops the writer however the imports end, so that a failure is reported instead of hanging the
/// test.
struct RaiseAtEnd<'a>(&'a AtomicBool);

impl Drop for RaiseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Creates all users on several connections at once, and returns their ids.
fn create_many(server: &Server, token: &Secret) -> Vec<String> {
    thread::scope(|scope| {
        let creator = |creator: usize| {
            let mut client = server.client();
            let mine = (creator..USERS).step_by(CREATORS);
            let create = |number| create(&mut client, token, &format!("user{number:04}"));
            mine.map(create).collect::<Vec<_>>()
        };
        let spawn = |number| scope.spawn(move || creator(number));
        let threads: Vec<_> = (0..CREATORS).map(spawn).collect();
        let ids = threads
            .into_iter()
            .flat_map(|one| one.join().expect("it created"));
        ids.collect()
    })
}

/// Creates new users and changes old ones in turn, until `is_over`.
fn write_until(
    is_over: &AtomicBool,
    written: &AtomicUsize,
    server: &Server,
    token: &Secret,
    ids: &[String],
) {
    let mut client = server.client();
    // Every seventh user, again and again, so that all pages are touched.
    for (turn, id) in ids.iter().cycle().step_by(7).enumerate() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        create(&mut client, token, &format!("late{turn:05}"));
        let change = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": {
                "active": turn % 2 == 0, "displayName": format!("Turn {turn}"),
            }}],
        });
        let target = format!("/Users/{id}");
        let (status, answer) = send(&mut client, token, "PATCH", &target, &change);
        assert_eq!(status, 200, "{answer}");
        written.fetch_add(1, Ordering::SeqCst);
    }
}

fn create(client: &mut Client, token: &Secret, name: &str) -> String {
    let user_name = format!("{name}@example.com");
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name,
        "name": {"givenName": name, "familyName": "Example"},
        "emails": [{"primary": true, "value": user_name, "type": "work"}],
        "active": true,
    });
    let (status, answer) = send(client, token, "POST", "/Users", &user);
    assert_eq!(status, 201, "{answer}");
    let id = answer["id"].as_str().expect("a user has an id");
    id.to_owned()
}

fn send(
    client: &mut Client,
    token: &Secret,
    method: &str,
    target: &str,
    body: &Value,
) -> (u16, Value) {
    let authorization = format!("Bearer {}", token.reveal());
    let answer = support::send(client, &authorization, method, target, Some(body));
    let response = answer.expect("the server answers");
    let json = serde_json::from_slice(&response.body).expect("every answer is JSON");
    (response.status, json)
}
