//! Who gets in: tokens in every form that they are sent, scopes against every route,
//! revocation, rates, and nothing secret anywhere.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use golinks_scim::access::{Issue, IssueError, Mode, Rejection, Scope, Tokens};
use golinks_scim::api::{AccessKind, route_table};
use golinks_scim::clock::{Clock, Instant as Moment, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::limits;
use golinks_scim::secret::{Secret, sha256};
use golinks_scim::store::{Change, Store};
use serde_json::{Value, json};

use crate::support::{Server, Talk, body, scim_error};

fn issue(server: &Server, arguments: &[&str]) -> Secret {
    let mut all = vec!["token", "issue"];
    all.extend(arguments);
    let output = server.cli(&all);
    assert_eq!(output.status, Some(0), "{output:?}");
    Secret::new(output.stdout.trim().to_owned())
}

/// A route's path below the base URL, or from the root for what is beside it.
fn target(path: &str) -> Option<String> {
    let path = path.replace("{}", "some-id");
    path.strip_prefix("/scim/v2").map(str::to_owned)
}

/// What the design says of scopes, told apart from how the program decides it. Writes to
/// groups and to `/Me` are refused with the same 501 to whoever may read; a query may be POSTed.
fn reaches(scope: &str, method: &str, path: &str) -> bool {
    match (scope, method) {
        ("metrics", _) => ["/metrics", "/readyz"].contains(&path),
        _ if ["/metrics", "/readyz"].contains(&path) => false,
        (_, "GET") => true,
        _ if path.ends_with("/.search") => true,
        _ if path.starts_with("/scim/v2/Groups") || path == "/scim/v2/Me" => true,
        ("read", _) | ("provision", "DELETE") => false,
        _ => true,
    }
}

#[test]
fn scopes_open_what_they_should_and_nothing_else() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let scopes = ["read", "provision", "full", "metrics"];
    let tokens: Vec<Secret> = scopes
        .iter()
        .map(|scope| issue(&talk.server, &[*scope, "--scope", *scope]))
        .collect();
    for (method, path, access) in route_table() {
        for (scope, token) in scopes.iter().zip(&tokens) {
            talk.use_token(token);
            let what = format!("{method} {path} with {scope}");
            let (Some(target), AccessKind::Scim(needed)) = (target(path), access) else {
                continue;
            };
            let response = talk.send(method, &target, Some(&json!({})));
            let covers = reaches(scope, method, path);
            assert_eq!(
                response.status != 403,
                covers,
                "{what}: {}",
                response.status
            );
            if !covers {
                let error = scim_error(&response, &what);
                let wanted = format!("--scope {needed}");
                assert!(
                    error["detail"].to_string().contains(&wanted),
                    "{what}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_refused_delete_names_the_command_that_allows_it_and_deletes_nothing() {
    let mut talk = Talk::start(&[]);
    let id = talk.create("kept")["id"].clone();
    let target = format!("/Users/{}", id.as_str().expect("an id"));
    let full = talk.authorization.clone();
    let token = issue(&talk.server, &["okta"]);
    talk.use_token(&token);
    let error = talk.json("DELETE", &target, None, 403);
    let detail = error["detail"].as_str().unwrap_or_default();
    let is_named = detail.contains("token change") && detail.contains("--scope full");
    assert!(is_named, "{error}");
    let named = format!(":okta DELETE /scim/v2{target} 403");
    talk.server.log_with(&named);
    assert_eq!(talk.json("GET", &target, None, 200)["id"], id);
    talk.authorization = full;
    talk.json("DELETE", &target, None, 204);
    talk.json("GET", &target, None, 404);
}

#[test]
fn administration_does_not_exist_on_the_network() {
    let server = Server::start();
    let token = issue(&server, &["all", "--scope", "full"]);
    let pem = std::fs::read(server.data_dir().join("tls/ca.pem")).expect("the CA");
    let root = format!("https://{}", server.address());
    let mut client = golinks_scim::idp::client::Client::new(&root, &pem).expect("a client");
    let authorization = format!("Bearer {}", token.reveal());
    let mut walked = 0;
    for (method, path, access) in route_table() {
        if access != AccessKind::Administration {
            continue;
        }
        walked += 1;
        for headers in [&[("Authorization", authorization.as_str())][..], &[]] {
            let path = path.replace("{}", "all");
            for target in [
                path.clone(),
                format!("//{path}/"),
                format!("/scim/v2{path}"),
                format!("/%61{}", &path[2..]),
            ] {
                let request = golinks_scim::http1::client::Request {
                    method,
                    target: &target,
                    headers,
                    body: Some(b"{\"name\": \"x\", \"overlapSeconds\": 0}"),
                };
                let (response, _) = client.send(&request).expect("an answer");
                let hidden = headers.is_empty() && target.starts_with("/scim");
                let wanted = if hidden { 401 } else { 404 };
                assert_eq!(response.status, wanted, "{method} {target} {headers:?}");
                scim_error(&response, &target);
            }
        }
    }
    assert!(walked >= 6, "the table was not walked");
    let live = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    assert_eq!(live.lines().count(), 1, "{live}");
    assert!(live.contains("\"state\":\"live\""), "{live}");
}

#[test]
fn without_a_token_nothing_is_told() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    talk.create("secret.person@example.com");
    talk.authorization.clear();
    let mut targets: Vec<(String, &str)> = route_table()
        .into_iter()
        .filter_map(|(method, path, _)| Some((target(path)?, method)))
        .collect();
    targets.extend(
        ["/", "/Nothing", "/Users/x/y", "/Bulk", "/%zz"].map(|path| (path.to_owned(), "GET")),
    );
    targets.push(("/Users".to_owned(), "DELETE"));
    for (number, (target, method)) in targets.into_iter().enumerate() {
        if number % 15 == 14 {
            // Whoever goes on failing is answered 429, whatever it asks for; here each path's
            // own answer is looked at.
            talk = Talk::with(Server::start_on(talk.server.stop_and_keep()));
            talk.authorization.clear();
        }
        let response = talk.send(method, &target, None);
        if target == "/ServiceProviderConfig" {
            assert_eq!(response.status, 200);
            continue;
        }
        assert_eq!(response.status, 401, "{method} {target}");
        assert_eq!(
            response.header("www-authenticate"),
            Some("Bearer realm=\"scim\"")
        );
        let error = scim_error(&response, &target);
        assert!(!error.to_string().contains("secret.person"));
    }
}

/// Beside what is the same for everybody, strangers get the files of a page, which hold
/// nothing of the directory.
#[test]
fn nothing_else_answers_without_a_token() {
    let open: Vec<_> = route_table()
        .into_iter()
        .filter(|(_, _, access)| *access == AccessKind::Open)
        .map(|(method, path, _)| (method, path))
        .collect();
    assert_eq!(
        open,
        [
            ("GET", "/healthz"),
            ("GET", "/"),
            ("GET", "/directory"),
            ("GET", "/directory/{}"),
            ("GET", "/scim/v2/ServiceProviderConfig"),
        ]
    );
}

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
    // On one connection throughout: the server keeps it open after each answer.
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

/// A rotation exchanges the secret: the new token may do no more than the old one, and no longer.
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
    // Whoever rotates it is shown the new one.
    let who = |token: &Value| token["issuedBy"].as_str().map(str::to_owned);
    let administrator = |by: Option<String>| by.is_some_and(|by| by.starts_with("administrator:"));
    assert!(administrator(who(old)) && administrator(who(new)), "{new}");
    let table = server.cli(&["token", "show", "bound"]).stdout;
    assert!(table.contains("ISSUED BY"), "{table}");
    assert!(who(new).is_some_and(|by| table.contains(&by)), "{table}");
    // The moment of its end was reckoned before that of its issue was known.
    assert!((MONTH - 60..=MONTH).contains(&life(old)), "{old}");
    assert_eq!(life(new), life(old), "{new}");
}

/// The identity provider keeps what was typed into it.
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

/// A first use writes address and User-Agent, a restart keeps them, and nothing in them reaches
/// a terminal.
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
fn over_its_rate_a_token_is_told_when_to_come_back() {
    let mut talk = Talk::start(&[]);
    let slow = issue(&talk.server, &["slow", "--rate-limit", "5"]);
    let other = issue(&talk.server, &["other"]);
    talk.use_token(&slow);
    let mut passed = 0;
    let mut waits = Vec::new();
    let began = Instant::now();
    // However slow the machine is: until many were sent away.
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
    // A burst of five seconds' worth, and what came back while we asked.
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

#[test]
fn nothing_secret_is_in_the_log_the_store_or_the_listing() {
    let mut talk = Talk::start(&["-vv"]);
    let token = issue(&talk.server, &["canary"]);
    let password = "canary-password-4711";
    talk.use_token(&token);
    let mut user = body("canary");
    user["password"] = json!(password);
    let created = talk.json("POST", "/Users", Some(&user), 201);
    user["password"] = json!([password, password]);
    talk.json("POST", "/Users", Some(&user), 400);
    let target = format!("/Users/{}", created["id"].as_str().expect("an id"));
    let sync = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"password": password}}]
    });
    let patched: Value = talk.json("PATCH", &target, Some(&sync), 200);
    assert_eq!(patched, created, "a password changed something");
    let secret = &token.reveal()["golinks_scim_".len()..];
    let basic = STANDARD.encode(format!("okta:{}", token.reveal()));
    talk.authorization = format!("Basic {basic}");
    assert_eq!(talk.send("GET", "/Users", None).status, 200);
    for wrong in [
        format!("Bearer {}", &token.reveal()[..50]),
        format!("Basic {}", token.reveal()),
        format!("{} x", token.reveal()),
        format!("Basic {}", &basic[..basic.len() - 8]),
    ] {
        talk.authorization = wrong;
        assert_eq!(talk.send("GET", "/Users", None).status, 401);
    }
    let log = talk.server.log_with("what was sent is not a token");
    let listing = talk.server.cli(&["user", "list", "-o", "json"]).stdout;
    let tokens = talk.server.cli(&["token", "list", "-o", "json"]).stdout;
    let store = std::fs::read(talk.server.data_dir().join("users.redb")).expect("the store");
    let store = String::from_utf8_lossy(&store);
    let arguments = arguments_of(&talk.server);
    assert!(arguments.contains("serve"), "{arguments}");
    assert!(log.contains("POST /scim/v2/Users 201"), "{log}");
    assert!(store.contains("canary"), "the store was not searched");
    for hidden in [&secret[..20], password, &basic[..40]] {
        for (name, place) in [
            ("log", &*log),
            ("listing", &listing),
            ("tokens", &tokens),
            ("store", &store),
            ("command line", &arguments),
        ] {
            assert!(!place.contains(hidden), "a secret is in the {name}");
        }
    }
}

/// The command lines of all processes that were given the server's data directory, as
/// everybody on the machine can read them.
fn arguments_of(server: &Server) -> String {
    let data_dir = server.data_dir();
    let data_dir = data_dir.to_str().expect("the tests' directories are ASCII");
    let processes = std::fs::read_dir("/proc").expect("Linux has it");
    let lines = processes.filter_map(|entry| {
        let bytes = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        line.contains(data_dir).then_some(line)
    });
    lines.collect()
}

/// 1,000 wrong tokens and a right one from one address: the right one is always served, the
/// wrong ones are told to wait, and the log does not grow with them.
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

#[test]
fn a_token_bound_to_networks_is_good_from_there_alone() {
    let mut talk = Talk::start(&[]);
    for (name, networks, status) in [
        ("here", vec!["127.0.0.0/8"], 200),
        ("both", vec!["2001:db8::/32", "127.0.0.1"], 200),
        ("listed", vec!["10.0.0.0/8,127.0.0.1", "2001:db8::/32"], 200),
        ("spaced", vec!["10.0.0.0/8, 192.168.0.0/16"], 401),
        ("there", vec!["203.0.113.0/24"], 401),
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
    // A rotation keeps the networks.
    let rotated = talk.server.cli(&["token", "rotate", "there"]);
    talk.authorization = format!("Bearer {}", rotated.stdout.trim());
    assert_eq!(talk.send("GET", "/Users", None).status, 401);
}

/// Whatever strangers ask for, and however often: a bounded part of it is logged, and what
/// they send is not held.
#[test]
fn strangers_fill_neither_the_log_nor_the_memory() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    talk.authorization.clear();
    for number in 0..300 {
        for target in ["/ServiceProviderConfig?filter=x", "/Users", "/Nothing"] {
            let response = talk.send("GET", target, None);
            assert!(response.status >= 400, "{number} {target}");
        }
        assert_eq!(
            talk.send("HEAD", "/ServiceProviderConfig", None).status,
            200
        );
    }
    let door = crate::support::wire::Door::to(talk.server);
    // Nor does what is refused where no token is needed.
    for _ in 0..40 {
        let mut tls = door.connect();
        tls.write_all(b"GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("taken");
        assert_eq!(crate::support::wire::read(&mut tls, false).status, 404);
    }
    let mut tls = door.connect();
    let lengthy = "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nx";
    tls.write_all(lengthy.as_bytes()).expect("taken");
    // Answered without waiting for the rest, which nobody reads.
    assert_eq!(crate::support::wire::read(&mut tls, false).status, 200);
    crate::support::wire::assert_closed(&mut tls, lengthy);
    let lines = door.server.log().lines().count();
    assert!(lines < 60, "{lines} lines for 1,240 requests of a stranger");
    door.server.stop();
}

/// Reads are told at debug alone, whichever method they have.
#[test]
fn reads_are_not_in_the_log() {
    let mut talk = Talk::start(&[]);
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    for (method, target, body) in [
        ("GET", "/Users", None),
        ("HEAD", "/Users", None),
        ("POST", "/Users/.search", Some(&search)),
    ] {
        assert_eq!(
            talk.send(method, target, body).status,
            200,
            "{method} {target}"
        );
    }
    talk.create("jane");
    let log = talk.server.log_with("POST /scim/v2/Users 201");
    for read in [" GET ", " HEAD ", ".search"] {
        assert!(!log.contains(read), "{log}");
    }
}

/// Some paste a token where an id or the base URL should be.
#[test]
fn a_token_in_a_path_is_not_in_the_log() {
    let mut talk = Talk::start(&[]);
    let token = talk.authorization.split(' ').next_back().expect("a token");
    let token = token.to_owned();
    let escaped = token.replace('_', "%5F");
    let mangled = format!("{escaped}/%zz");
    let twice = escaped.replace('%', "%25");
    for part in [&token, &escaped, &mangled, &twice] {
        let response = talk.send("DELETE", &format!("/Users/{part}"), None);
        assert!(response.status >= 400, "{response:?}");
        let response = talk.send("GET", &format!("/{part}/Users"), None);
        assert!(response.status >= 400, "{response:?}");
    }
    talk.create("afterwards");
    let log = talk.server.log_with("POST /scim/v2/Users 201");
    assert!(log.matches("not shown").count() >= 3, "{log}");
    let secret = token.rsplit('_').next().expect("random characters");
    assert!(!log.contains(secret), "{log}");
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
    // The next one makes it forgotten, and it is no other for that.
    issue(later);
    assert_eq!(tokens.check_again(&token, later), expired);
    let (token, _) = issue(later);
    tokens.forget_temporary(&token.id);
    assert_eq!(tokens.check_again(&token, later), Err(Rejection::Revoked));
    // Of runs that were cut short any number is left: the oldest makes room.
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

/// So many are good at once; and so many again are kept, of which the one that is needed least goes
/// for a new one, with all that is kept of it.
#[test]
fn tokens_are_bounded_whether_good_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("opened"));
    let load = || Tokens::load(Arc::clone(&store)).expect("loaded");
    let start = SystemClock.now();
    let now = start.plus_seconds(1);
    let issue = |tokens: &Tokens, name: &str, now, expires| {
        let issue = Issue {
            name: name.to_owned(),
            scope: Scope::Read,
            mode: Mode::Compatible,
            expires,
            rate_limit: None,
            allow_from: Vec::new(),
            issued_by: None,
        };
        tokens.issue(issue, now, |_| "{}".to_owned())
    };
    let tokens = load();
    let (oldest, _) = issue(&tokens, "dead", start, Some(start)).expect("issued");
    issue(&tokens, "good", now, None).expect("issued");
    oldest.note_use(now, [127, 0, 0, 1].into(), None);
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
}

/// Makes of each stored token as many as this, the others a little younger: to issue them one by
/// one would take a commit for each.
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
