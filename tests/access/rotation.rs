//! Rotating, revoking and changing tokens.

use std::sync::Arc;

use golinks_scim::access::{Issue, Scope, TokenId, Tokens};
use golinks_scim::clock::{Clock as _, Instant as Moment, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::secret::Secret;
use golinks_scim::store::{Opener, Store};
use serde_json::{Value, json};

use super::issue;
use crate::support::{Server, Talk};

#[test]
fn rotation_and_revocation_take_effect_on_the_next_request() {
    let mut talk = Talk::start(&[]);
    let old = issue(&talk.server, &["okta"]);
    let rotate = |server: &Server, overlap: &str| {
        let output = server.cli(&["token", "rotate", "okta", "--overlap", overlap]);
        assert_eq!(output.status, Some(0), "{output:?}");
        Secret::new(output.stdout.trim().to_owned())
    };
    let status = |talk: &mut Talk, token: &Secret| {
        talk.use_token(token);
        talk.send("GET", "/Users", None).status
    };
    let new = rotate(&talk.server, "7d");
    assert_eq!(
        (status(&mut talk, &old), status(&mut talk, &new)),
        (200, 200)
    );
    let newest = rotate(&talk.server, "0s");
    // All these requests use one connection, which the server keeps open after each answer.
    talk.use_token(&newest);
    let kept = talk.send("GET", "/Users", None);
    assert!(!kept.closes_connection(), "{:?}", kept.headers);
    assert_eq!(
        (
            status(&mut talk, &old),
            status(&mut talk, &new),
            status(&mut talk, &newest)
        ),
        (401, 401, 200)
    );
    assert_eq!(
        talk.server.cli(&["token", "revoke", "okta"]).status,
        Some(0)
    );
    assert_eq!(status(&mut talk, &newest), 401);
    assert_eq!(
        talk.server.cli(&["token", "revoke", "okta"]).status,
        Some(1)
    );
}

/// A rotation replaces only the secret: the new token has the old one's rights and the same
/// lifetime.
#[test]
fn rotation_keeps_what_a_token_may_do_and_for_how_long() {
    const MONTH: i64 = 30 * 86_400;
    let server = Server::start();
    let bounds = ["--scope", "read", "--mode", "strict", "--rate-limit", "7"];
    let more = ["--allow-from", "127.0.0.0/8", "--expires", "30d"];
    issue(&server, &[&["bound"], &bounds[..], &more].concat());
    let shown = || -> Vec<Value> {
        let output = server.cli(&["token", "show", "bound", "-o", "jsonl"]);
        let lines = output.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    let life = |token: &Value| {
        let [expires, created] = ["expires", "created"].map(|name| {
            let moment = token[name].as_str().and_then(Moment::parse);
            moment.expect("a moment").seconds()
        });
        expires - created
    };
    let before = shown();
    let [old] = &before[..] else {
        panic!("one token was issued: {before:?}")
    };
    let rotated = server.cli(&["token", "rotate", "bound", "--overlap", "1h"]);
    assert_eq!(rotated.status, Some(0), "{rotated:?}");
    let after = shown();
    assert_eq!(after.len(), 2, "{after:?}");
    let new = after.iter().find(|token| token["id"] != old["id"]);
    let new = new.expect("another one");
    for (name, wanted) in [
        ("scope", json!("read")),
        ("mode", json!("strict")),
        ("rateLimit", json!(7)),
        ("allowFrom", json!(["127.0.0.0/8"])),
    ] {
        assert_eq!((&old[name], &new[name]), (&wanted, &wanted), "{name}");
    }
    // The new token is issued by whoever rotates the old one.
    let who = |token: &Value| token["issuedBy"].as_str().map(str::to_owned);
    let administrator = |by: Option<String>| by.is_some_and(|by| by.starts_with("administrator:"));
    assert!(administrator(who(old)) && administrator(who(new)), "{new}");
    let table = server.cli(&["token", "show", "bound"]).stdout;
    assert!(table.contains("ISSUED BY"), "{table}");
    assert!(who(new).is_some_and(|by| table.contains(&by)), "{table}");
    // The command computes the end before the server notes the time of issue.
    assert!((MONTH - 60..=MONTH).contains(&life(old)), "{old}");
    assert_eq!(life(new), life(old), "{new}");
}

/// This holds even if the clock was ahead when the first token was issued.
#[test]
fn a_rotation_gives_a_whole_life_and_prolongs_no_old_token() {
    const HOUR: i64 = 3600;
    let opener: Opener = Box::new(|| Ok(Box::new(redb::backends::InMemoryBackend::new())));
    let store = Store::open_with(opener, describe).expect("a store in memory");
    let store = Arc::new(store);
    let tokens = Tokens::load(Arc::clone(&store)).expect("none");
    let now = SystemClock.now();
    let (ahead, later) = (now.plus_days(10), now.plus_seconds(60));
    let ends = ahead.plus_days(30);
    let like = |name: &str, expires| Issue {
        expires,
        ..Issue::new(name, Scope::Full)
    };
    let issue = |issue, now| tokens.issue(issue, now, |_| "{}".to_owned());
    let issued = issue(like("okta", Some(ends)), ahead);
    let (oldest, _) = issued.expect("issued");
    let rotate = |overlap, now| {
        let rotated = tokens.rotate("okta", overlap, now, "test", |_, _| "{}".to_owned());
        rotated.expect("rotated")
    };
    let first = rotate(HOUR, now);
    assert_eq!(
        first.token.expires,
        Some(ends),
        "no earlier than the old one"
    );
    let second = rotate(24 * HOUR, later);
    assert_eq!(second.token.expires, Some(later.plus_days(40)));
    let end_of = |id: &TokenId| {
        second
            .old
            .iter()
            .find(|old| old.id == *id)
            .expect("old")
            .expires
    };
    assert_eq!(end_of(&oldest.id), Some(now.plus_seconds(HOUR)));
    assert_eq!(end_of(&first.token.id), Some(later.plus_days(1)));

    // The newest token was given to the wrong place and revoked; the remaining ones end soon.
    let newest = second.token.id.as_str();
    let revoked = tokens.revoke(newest, later, |_| "{}".to_owned());
    assert_eq!(revoked.expect("revoked").len(), 1);
    let third = rotate(HOUR, later.plus_seconds(60));
    let whole = later.plus_seconds(60).plus_days(40);
    assert_eq!(third.token.expires, Some(whole));

    // Tokens that were revoked before it was issued do not matter, whatever their times are.
    issue(like("other", None), ahead).expect("issued");
    let gone = tokens.revoke("other", ahead, |_| "{}".to_owned());
    assert_eq!(gone.expect("revoked").len(), 1);
    issue(like("other", Some(later.plus_days(60))), later).expect("issued");
    let at = ahead.plus_days(1);
    let rotated = tokens.rotate("other", HOUR, at, "test", |_, _| "{}".to_owned());
    assert_eq!(
        rotated.expect("rotated").token.expires,
        Some(at.plus_days(60))
    );

    // The time at which its successor was revoked does not matter, nor does a restart of the
    // server.
    issue(like("endless", None), now).expect("issued");
    let rotate = |tokens: &Tokens, now| {
        let rotated = tokens.rotate("endless", HOUR, now, "test", |_, _| "{}".to_owned());
        rotated.expect("rotated").token
    };
    let successor = rotate(&tokens, ahead);
    let gone = tokens.revoke(successor.id.as_str(), ahead, |_| "{}".to_owned());
    assert_eq!(gone.expect("revoked").len(), 1);
    let again = Tokens::load(store).expect("tokens");
    assert_eq!(rotate(&again, now).expires, None);
}

/// A change keeps the secret, so nothing has to be typed into the identity provider again.
#[test]
fn what_a_token_may_do_is_changed_at_once_and_for_good() {
    let mut talk = Talk::start(&[]);
    let token = issue(&talk.server, &["okta-2", "--expires", "30d"]);
    talk.use_token(&token);
    let jane = talk.create("jane");
    let shown = |server: &Server| -> Value {
        let output = server.cli(&["token", "show", "okta-2", "-o", "jsonl"]);
        serde_json::from_str(&output.stdout).expect("one JSON object")
    };
    let before = shown(&talk.server);
    let change = |server: &Server, arguments: &[&str]| {
        let arguments = [&["token", "change", "okta-2"], arguments].concat();
        let changed = server.cli(&arguments);
        assert_eq!(changed.status, Some(0), "{changed:?}");
        changed.stdout
    };
    let user = format!("/Users/{}", jane["id"].as_str().expect("text"));
    assert_eq!(talk.send("DELETE", &user, None).status, 403);
    let full = change(&talk.server, &["--scope", "full"]);
    assert!(full.contains("okta-2") && full.contains("full"), "{full}");
    assert_eq!(talk.send("DELETE", &user, None).status, 204);

    let elsewhere = "203.0.113.0/24,2001:db8::/32";
    let more = ["--rate-limit", "7", "--mode", "strict"];
    change(
        &talk.server,
        &[&["--allow-from", elsewhere], &more[..]].concat(),
    );
    assert_eq!(talk.send("GET", "/Users", None).status, 401);
    let last = |talk: &Talk| {
        let rows = talk
            .server
            .cli(&["audit", "list", "--last", "1", "-o", "jsonl"]);
        serde_json::from_str::<Value>(&rows.stdout).expect("one JSON object")
    };
    let networks: Vec<&str> = elsewhere.split(',').collect();
    let changed = shown(&talk.server);
    let row = last(&talk);
    assert_eq!(row["kind"], "token.change");
    for of in [&changed, &row] {
        let has = ["scope", "mode", "rateLimit", "allowFrom"].map(|name| of[name].clone());
        let wanted = [json!("full"), json!("strict"), json!(7), json!(networks)];
        assert_eq!(has, wanted);
    }
    for name in ["id", "expires", "created", "issuedBy"] {
        assert_eq!(changed[name], before[name], "{name}");
    }
    talk.server.restart();
    talk.reconnect();
    assert_eq!(talk.send("GET", "/Users", None).status, 401);
    change(
        &talk.server,
        &["--allow-from", "everywhere", "--rate-limit", "server"],
    );
    assert_eq!(talk.send("GET", "/Users", None).status, 200);
    let lifted = shown(&talk.server);
    let left = ["rateLimit", "allowFrom", "mode"].map(|name| lifted[name].clone());
    assert_eq!(left, [Value::Null, json!([]), json!("strict")]);

    for (arguments, status) in [
        (&["okta-2"][..], 64),
        (&["okta-2", "--rate-limit", "0"], 64),
        (&["okta-2", "--allow-from", "everywhere,::1"], 64),
        (&["nobody", "--scope", "read"], 1),
    ] {
        let refused = talk.server.cli(&[&["token", "change"], arguments].concat());
        assert_eq!(refused.status, Some(status), "{refused:?}");
    }
    assert_eq!(shown(&talk.server)["scope"], "full");
}
