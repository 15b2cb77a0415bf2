//! The forms in which a token may be sent, forms that are refused, networks that a token is bound
//! to, and the record of its last use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use golinks_scim::access::{Rejection, Scope, Tokens};
use golinks_scim::clock::{Clock, Instant as Moment, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::limits;
use golinks_scim::store::Store;
use serde_json::Value;

use super::issue;
use crate::support::{Server, Talk, scim_error};

#[test]
fn the_forms_of_a_token() {
    let mut talk = Talk::start(&[]);
    let token = issue(&talk.server, &["forms"]);
    let text = token.reveal().to_owned();
    let basic = STANDARD.encode(format!("okta:{text}"));
    for (authorization, status) in [
        (format!("Bearer {text}"), 200),
        (format!("bEaReR  {text} "), 200),
        (text.clone(), 200),
        (format!("Basic {basic}"), 200),
        (format!("Bearer Bearer {text}"), 401),
        (format!("Bearer {}", &text[..40]), 401),
        (format!("Bearer {text}x"), 401),
        (format!("Digest {text}"), 401),
        ("Basic !".to_owned(), 401),
        ("non-token".to_owned(), 401),
    ] {
        talk.authorization = authorization;
        let response = talk.send("GET", "/Users", None);
        assert_eq!(
            response.status,
            status,
            "{}",
            talk.authorization.replace(&text, "TOKEN")
        );
    }
    talk.authorization.clear();
    for target in [
        format!("/Users?access_token={text}"),
        format!("/Users?token={text}"),
    ] {
        assert_eq!(talk.send("GET", &target, None).status, 401);
    }
    let cookie = format!("token={text}");
    let response = talk.send_bytes("GET", "/Users", ("Cookie", &cookie), None);
    assert_eq!(response.status, 401);
    talk.authorization = format!("Bearer {text}");
    let twice = talk.send_bytes("GET", "/Users", ("Authorization", "Bearer other"), None);
    assert_eq!(twice.status, 400);
}

#[test]
fn unknown_revoked_and_expired_tokens_are_answered_alike() {
    let mut talk = Talk::start(&[]);
    let revoked = issue(&talk.server, &["revoked"]);
    let expired = issue(&talk.server, &["expired", "--expires", "1s"]);
    assert_eq!(
        talk.server.cli(&["token", "revoke", "revoked"]).status,
        Some(0)
    );
    let unknown = golinks_scim::access::TokenText::generate();
    let deadline = Instant::now() + Duration::from_secs(10);
    talk.use_token(&expired);
    while talk.send("GET", "/Users", None).status == 200 {
        assert!(Instant::now() < deadline, "the token did not expire");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut answers = Vec::new();
    for text in [revoked.reveal(), expired.reveal(), unknown.reveal()] {
        talk.authorization = format!("Bearer {text}");
        let response = talk.send("GET", "/Users", None);
        scim_error(&response, "401");
        let id = response.header("x-request-id").expect("an id").to_owned();
        let body = String::from_utf8_lossy(&response.body).replace(&id, "ID");
        let names: Vec<String> = response
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        answers.push((
            response.status,
            names,
            body,
            response.header("www-authenticate").map(str::to_owned),
        ));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
    for reason in [
        "the token was revoked",
        "the token has expired",
        "the token was never issued here",
    ] {
        talk.server.log_with(reason);
    }
}

#[test]
fn when_a_token_was_last_used_is_known_and_kept() {
    let mut talk = Talk::start(&[]);
    let token = issue(&talk.server, &["watched"]);
    let last_used = |server: &Server| -> Value {
        let output = server.cli(&["token", "show", "watched", "-o", "jsonl"]);
        let shown: Value = serde_json::from_str(&output.stdout).expect("one JSON object");
        shown["lastUsed"].clone()
    };
    assert_eq!(last_used(&talk.server), Value::Null);
    talk.use_token(&token);
    talk.send("GET", "/Users", None);
    let used = last_used(&talk.server);
    assert!(used.is_string(), "{used}");
    talk.server.restart();
    assert_eq!(last_used(&talk.server), used, "it was not kept");
}

/// The address and the User-Agent of the last use survive a restart, and nothing in them can
/// control a terminal.
#[test]
fn who_used_a_token_last_is_known_and_kept() {
    let mut talk = Talk::start(&[]);
    let shown = |talk: &Talk| -> Value {
        let shown = talk.server.cli(&["token", "show", "all", "-o", "jsonl"]);
        serde_json::from_str(&shown.stdout).expect("one token")
    };
    for agent in ["Okta SCIM Client 1.0.0", "\u{202e}evil %s \"quoted\"", "é"] {
        let get = talk.send_bytes("GET", "/Users", ("User-Agent", agent), None);
        assert_eq!(get.status, 200);
        let token = shown(&talk);
        assert_eq!(token["lastUsedFrom"], "127.0.0.1");
        assert_eq!(token["lastUsedBy"], agent);
        talk.server.restart();
        assert_eq!(shown(&talk), token, "it was not kept");
        talk.reconnect();
        let table = talk.server.cli(&["token", "list"]).stdout;
        assert!(
            !table.contains('\u{202e}') && table.contains("127.0.0.1"),
            "{table}"
        );
    }
    let long = "x".repeat(3000);
    talk.send_bytes("GET", "/Users", ("User-Agent", &long), None);
    assert_eq!(shown(&talk)["lastUsedBy"], "x".repeat(200));
    let table = talk.server.cli(&["token", "list"]).stdout;
    assert!(table.lines().all(|line| line.len() < 200), "{table}");
}

#[test]
fn a_token_bound_to_networks_is_good_from_there_alone() {
    let mut talk = Talk::start(&[]);
    for (name, networks, status) in [
        ("here", vec!["127.0.0.0/8"], 200),
        ("both", vec!["2001:db8::/32", "127.0.0.1"], 200),
        ("listed", vec!["10.0.0.0/8,127.0.0.1", "2001:db8::/32"], 200),
        ("spaced", vec!["10.0.0.0/8, 192.168.0.0/16"], 401),
        ("there", vec!["203.0.113.0/24"], 401),
        ("mapped", vec!["::ffff:127.0.0.1"], 200),
        ("mapped-all", vec!["::ffff:127.0.0.0/104"], 200),
        ("everybody", vec!["::/0"], 401),
    ] {
        let mut arguments = vec!["token", "issue", name];
        for network in &networks {
            arguments.extend(["--allow-from", network]);
        }
        let issued = talk.server.cli(&arguments);
        talk.authorization = format!("Bearer {}", issued.stdout.trim());
        let response = talk.send("GET", "/Users", None);
        assert_eq!(response.status, status, "{name}");
        let shown = talk.server.cli(&["token", "show", name, "-o", "json"]);
        let first = networks[0].split(',').next().expect("a network");
        let first = first.trim_start_matches("::ffff:").trim_end_matches("/104");
        assert!(shown.stdout.contains(first), "{shown:?}");
    }
    talk.server
        .log_with("the token may not be used from this address");
    for bad in [
        "203.0.113.0/33",
        "here",
        "",
        "203.0.113.1-9",
        "10.0.0.0/8,,::1",
    ] {
        let refused = talk
            .server
            .cli(&["token", "issue", "x", "--allow-from", bad]);
        assert_eq!(refused.status, Some(64), "{bad}: {refused:?}");
        assert!(refused.stderr.contains("write a network"), "{refused:?}");
    }
    // These addresses share their first 96 bits, so a prefix below 96 can only be meant for IPv4.
    for command in ["issue", "change"] {
        let mapped = [
            "token",
            command,
            "here",
            "--allow-from",
            "::ffff:10.0.0.0/8",
        ];
        let refused = talk.server.cli(&mapped);
        assert_eq!(refused.status, Some(64), "{refused:?}");
        assert!(refused.stderr.contains("such as 10.0.0.0/8"), "{refused:?}");
    }
    // A rotation keeps the networks.
    let rotated = talk.server.cli(&["token", "rotate", "there"]);
    talk.authorization = format!("Bearer {}", rotated.stdout.trim());
    assert_eq!(talk.send("GET", "/Users", None).status, 401);
}

#[test]
fn a_token_that_was_let_in_is_looked_at_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let store = Store::open(&path, Duration::ZERO, describe).expect("opened");
    let tokens = Tokens::load(Arc::new(store)).expect("none yet");
    let now = SystemClock.now();
    let issue = |now| tokens.issue_temporary("t", Scope::Read, 1, now);
    let (token, _) = issue(now);
    assert_eq!(tokens.check_again(&token, now), Ok(()));
    let later = now.plus_seconds(2);
    let expired = Err(Rejection::Expired);
    assert_eq!(tokens.check_again(&token, later), expired);
    // When the next token is issued, this one is forgotten, but the answer about it stays the same.
    issue(later);
    assert_eq!(tokens.check_again(&token, later), expired);
    let (token, _) = issue(later);
    tokens.forget_temporary(token.id.as_str());
    assert_eq!(tokens.check_again(&token, later), Err(Rejection::Revoked));
    // Interrupted runs may leave any number of tokens behind: the oldest one makes room.
    let many = (0..=limits::TEMPORARY_TOKENS_MAX).map(|n| {
        let millis = later.millis() + i64::try_from(n).expect("few");
        issue(Moment::from_millis(millis)).0
    });
    let many: Vec<_> = many.collect();
    let checked = many.iter().map(|token| tokens.check_again(token, later));
    let forgotten: Vec<_> = checked.map(|it| it == Err(Rejection::Revoked)).collect();
    assert!(
        forgotten[0] && !forgotten[1..].contains(&true),
        "{forgotten:?}"
    );
}
