//! Limits: the rates of tokens and of failures, and the number of tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use golinks_scim::access::{Issue, IssueError, Scope, Tokens};
use golinks_scim::clock::{Clock, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::limits;
use golinks_scim::secret::sha256;
use golinks_scim::store::{Change, Store};
use serde_json::{Value, json};

use super::issue;
use crate::support::{Talk, body, cli_in, scim_error};

#[test]
fn over_its_rate_a_token_is_told_when_to_come_back() {
    let mut talk = Talk::start(&[]);
    let slow = issue(&talk.server, &["slow", "--rate-limit", "5"]);
    let other = issue(&talk.server, &["other"]);
    talk.use_token(&slow);
    let mut passed = 0;
    let mut waits = Vec::new();
    let began = Instant::now();
    // This loop ends after many refusals, however slow the machine is.
    while waits.len() < 40 {
        let response = talk.send("POST", "/Users", Some(&body("rate")));
        if response.status == 429 {
            scim_error(&response, "429");
            let wait: u32 = response
                .header("retry-after")
                .expect("a wait")
                .parse()
                .expect("whole seconds");
            waits.push(wait);
        } else {
            passed += 1;
            assert!(passed < 300, "no more than five a second are asked for");
        }
    }
    // A burst allows five seconds' worth of requests, and more are allowed as time passes.
    let came_back = began.elapsed().as_secs_f64() * 5.0;
    assert!(
        (25.0..=26.0 + came_back).contains(&f64::from(passed)),
        "{passed} passed, {came_back} came back"
    );
    assert_eq!(waits[0], 1);
    assert!(
        waits.last() > waits.first(),
        "callers are not spread out: {waits:?}"
    );
    talk.use_token(&other);
    assert_eq!(talk.send("GET", "/Users", None).status, 200);
}

/// One address sends 1,000 wrong tokens and a valid one: the valid one is always served, the wrong
/// ones are told to wait after some failures, and the log does not grow with each of them.
#[test]
fn whoever_fails_beside_a_valid_token_does_not_lock_it_out() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let good = talk.authorization.clone();
    let (mut told, mut sent_away) = (0, 0);
    for number in 0..1000 {
        talk.authorization = format!("Bearer golinks_scim_wrong{number}");
        let refused = talk.send("GET", "/Users", None);
        match refused.status {
            401 => told += 1,
            429 => {
                let wait = refused.header("retry-after").expect("when to come back");
                assert!(
                    wait.parse::<u32>()
                        .is_ok_and(|wait| (1..=60).contains(&wait)),
                    "{wait}"
                );
                sent_away += 1;
            }
            other => panic!("{other}"),
        }
        scim_error(&refused, "a wrong token");
        if number % 10 == 0 {
            talk.authorization.clone_from(&good);
            assert_eq!(
                talk.send("GET", "/Users", None).status,
                200,
                "after {number}"
            );
        }
    }
    assert_eq!((told, sent_away), (20, 980));
    let log = talk.server.log_with("too many failures");
    assert!(log.lines().count() < 60, "{} lines", log.lines().count());
}

/// At most [`limits::TOKENS_MAX`] tokens are live, and twice as many are kept in all. Beyond that,
/// a new token replaces the least needed dead one, of which nothing is kept.
#[test]
fn tokens_are_bounded_whether_good_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data/users.redb");
    std::fs::create_dir(path.parent().expect("a parent")).expect("made");
    let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("opened"));
    let load = || Tokens::load(Arc::clone(&store)).expect("loaded");
    let start = SystemClock.now();
    let now = start.plus_seconds(1);
    let issue = |tokens: &Tokens, name: &str, now, expires| {
        let issue = Issue {
            expires,
            ..Issue::new(name, Scope::Read)
        };
        tokens.issue(issue, now, |_| "{}".to_owned())
    };
    let tokens = load();
    let (oldest, _) = issue(&tokens, "dead", start, Some(start)).expect("issued");
    issue(&tokens, "good", now, None).expect("issued");
    oldest.remember_use(now, [127, 0, 0, 1].into(), None);
    tokens.flush_last_used().expect("written");
    fill(&store, limits::TOKENS_MAX);

    let tokens = load();
    let counted = || (tokens.list(now).len(), tokens.find("dead", now).len());
    let full = (2 * limits::TOKENS_MAX, 1);
    assert_eq!(counted(), full);
    let refused = issue(&tokens, "new", now, None);
    assert!(matches!(refused, Err(IssueError::TooMany)), "{refused:?}");
    assert_eq!(counted(), full);
    let revoked = tokens.revoke("good", now, |_| "{}".to_owned());
    assert_eq!(revoked.expect("revoked").len(), 1);
    issue(&tokens, "new", now, None).expect("there is room");
    assert_eq!(counted(), (2 * limits::TOKENS_MAX, 0));
    let snapshot = store.snapshot().expect("open");
    let rows = snapshot.tokens().expect("read");
    assert_eq!(rows.len(), 2 * limits::TOKENS_MAX);
    assert_eq!(snapshot.tokens_seen().expect("read"), []);
    store.close();
    let refused = cli_in(&folder, &["token", "issue", "one-more"]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("revoke some first"), "{refused:?}");
}

/// Copies each stored token until there are `count` of it; the copies are a little younger. Issuing
/// them one by one would take a commit each.
fn fill(store: &Store, count: usize) {
    let snapshot = store.snapshot().expect("open");
    let mut change = Change::none();
    for (id, row) in snapshot.tokens().expect("read") {
        let (version, text) = row.split_first().expect("a version");
        let mut token: Value = serde_json::from_slice(text).expect("JSON");
        let created = token["created"].as_i64().expect("a time");
        token["created"] = json!(created + 1);
        for number in 1..count {
            let id = format!("{id}{number}");
            token["id"] = json!(id);
            token["name"] = json!(format!("of-{id}"));
            token["digest"] = json!(sha256(id.as_bytes()));
            let row = [&[*version][..], token.to_string().as_bytes()].concat();
            change = change.token(&id, row);
        }
    }
    store.commit(change).expect("written");
}
