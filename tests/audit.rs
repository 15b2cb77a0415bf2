//! The audit trail for administrators: refusals in it, their explanations, what is never in it;
//! listing and following.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use golinks_scim::clock::Instant;
use golinks_scim::limits;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    CORE, Output, Server, Talk, body, cli_in, command, scim_error, send, wait_until,
};

/// The rows that `audit list` prints.
fn rows(output: &Output) -> Vec<Value> {
    assert_eq!(output.status, Some(0), "{output:?}");
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

pub(crate) fn listed(server: &Server, more: &[&str]) -> Vec<Value> {
    rows(&server.cli(&[&["audit", "list", "-o", "jsonl"], more].concat()))
}

pub(crate) fn left_behind(directory: &TempDir, more: &[&str]) -> Vec<Value> {
    rows(&cli_in(
        directory,
        &[&["audit", "list", "-o", "jsonl"], more].concat(),
    ))
}

pub(crate) fn of_kind<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["kind"] == kind).collect()
}

/// How many commits the server has made, as its metrics have it.
fn commits(talk: &Talk, token: &str) -> u64 {
    let pem = fs::read(talk.server.data_dir().join("tls/ca.pem")).expect("the CA");
    let base = format!("https://{}", talk.server.address());
    let mut client = golinks_scim::idp::client::Client::new(&base, &pem).expect("a client");
    let authorization = format!("Bearer {token}");
    let answer = send(&mut client, &authorization, "GET", "/metrics", None).expect("an answer");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("golinks_scim_commits_total "));
    line.expect("counted").parse().expect("a number")
}

#[test]
fn refusals_cost_no_sync_and_go_with_the_next_commit() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let metrics = talk.server.token_with("m", &["--scope", "metrics"]);
    let authorization = talk.authorization.clone();
    let before = commits(&talk, metrics.reveal());
    for _ in 0..20 {
        talk.json("GET", "/Users/nobody", None, 404);
        talk.json("POST", "/Users", Some(&json!({})), 400);
    }
    talk.authorization = String::new();
    for _ in 0..20 {
        talk.json("GET", "/Users", None, 401);
    }
    assert_eq!(
        commits(&talk, metrics.reveal()),
        before,
        "a refusal was worth a sync"
    );
    assert!(of_kind(&listed(&talk.server, &[]), "refuse").is_empty());
    talk.authorization = authorization;
    talk.create("jane");
    assert_eq!(commits(&talk, metrics.reveal()), before + 1);
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert_eq!(refused.len(), 40, "{all:?}");
    assert_eq!(refused[0]["route"], "/scim/v2/Users/{}");
    assert_eq!(refused[0]["status"], 404);
    assert!(
        refused[0]["principal"]
            .as_str()
            .expect("text")
            .ends_with(":all")
    );
    assert_eq!(refused[1]["scimType"], "invalidValue");
    assert_eq!(refused[1]["shape"]["body"], json!({}));
    // Strangers are summed up when their minute is over, or the server.
    let directory = talk.server.stop_and_keep();
    let all = left_behind(&directory, &[]);
    let strangers = of_kind(&all, "refuse.strangers");
    assert_eq!(strangers.len(), 1, "{all:?}");
    assert_eq!(strangers[0]["count"], 20);
    assert_eq!(strangers[0]["reasons"], json!({"absent": 20}));
}

/// Also what is told of refusals on standard output holds none of these.
#[test]
fn no_row_holds_what_a_refused_request_said_of_anybody() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let token = talk.authorization.trim_start_matches("Bearer ").to_owned();
    let secrets = [
        "hunter2hunter2",
        "jane.roe@example.com",
        "Roe-Smith",
        &token,
    ];
    let [password, address, name, token] = secrets;
    let mut person = body("taken");
    person["password"] = json!(password);
    person["name"] = json!({"familyName": name});
    person["emails"] = json!([{"value": address, "type": token}]);
    talk.json("POST", "/Users", Some(&person), 409);
    let odd = json!({"schemas": [CORE, token], token: password, address: {"x": [name]},
        "userName": {"y": address}, "active": name});
    talk.json("POST", "/Users", Some(&odd), 400);
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": token, "path": format!("emails[value eq \"{address}\"].{token}"),
                        "value": name}]});
    let id = talk.create("other")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    talk.json("PATCH", &format!("/Users/{id}"), Some(&patch), 400);
    for filter in [
        format!("userName eq \"{address}\" and"),
        format!("{token} eq \"{name}\""),
        format!("password eq \"{password}\""),
    ] {
        let target = format!(
            "/Users?filter={}&x={token}",
            crate::support::escaped(&filter)
        );
        assert!(talk.send("GET", &target, None).status >= 400);
    }
    assert!(talk.send("GET", &format!("/Users/{token}"), None).status == 404);
    assert!(talk.send("GET", &format!("/Nothing/{token}"), None).status == 404);
    let agent = ("User-Agent", token);
    talk.send_bytes("POST", "/Users", agent, Some(address.as_bytes()));
    talk.create("more");
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert_eq!(refused.len(), 9, "{all:?}");
    for row in refused {
        let text = row.to_string();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        let request = row["requestId"].as_str().expect("an id");
        let explained = talk.server.cli(&["audit", "explain", request]);
        assert_eq!(explained.status, Some(0), "{explained:?}");
        for secret in secrets {
            assert!(!explained.stdout.contains(secret), "{explained:?}");
        }
        let explained = talk
            .server
            .cli(&["audit", "explain", request, "-o", "json"]);
        let explained: Value = serde_json::from_str(&explained.stdout).expect("an array");
        assert_eq!(explained[0]["refusal"]["requestId"], request, "{explained}");
    }
}

/// A burst of refusals by several tokens, each within its bound, is in the trail row by row, though
/// nothing is changed. Those that name a user are found by it, and a collector goes on behind any row.
#[test]
fn each_refusal_of_a_burst_has_its_row() {
    const EACH: usize = 115;
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let user = talk.create("u");
    let id = user["id"].as_str().expect("an id").to_owned();
    let wrong = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                       "Operations": [{"op": "move"}]});
    for name in ["a", "b", "c"] {
        let token = talk.server.token(name);
        talk.use_token(&token);
        for _ in 0..EACH {
            talk.json("PATCH", &format!("/Users/{id}"), Some(&wrong), 400);
        }
    }
    let rows = || listed(&talk.server, &["--user", &id]);
    wait_until("all are written", || {
        of_kind(&rows(), "refuse").len() == 3 * EACH
    });
    let all = listed(&talk.server, &[]);
    for at in [0, 1, all.len() / 2, all.len() - 1] {
        let from = all[at]["sequence"].to_string();
        assert_eq!(listed(&talk.server, &["--from", &from]), all[at..]);
    }
    let none = (all.len() + 1).to_string();
    assert!(listed(&talk.server, &["--from", &none]).is_empty());
}

/// What memory knows of a bulk request is not all: some of it was done. After a restart it is the
/// same.
#[test]
fn a_bulk_request_that_was_partly_done_is_explained_by_both() {
    let mut talk = Talk::start(&[]);
    let create = |number: usize| {
        json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(),
               "data": body(&format!("u{}", number.min(29)))})
    };
    // 30 users, the last one twice, and somebody who is not there.
    let mut operations: Vec<Value> = (0..31).map(create).collect();
    operations.push(json!({"method": "DELETE", "path": "/Users/nobody"}));
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                      "Operations": operations});
    let response = talk.send("POST", "/Bulk", Some(&bulk));
    assert_eq!(response.status, 200);
    let request = response.header("x-request-id").expect("an id").to_owned();
    let explained = |server: &Server| {
        let told = server.cli(&["audit", "explain", &request]);
        assert_eq!(told.status, Some(0), "{told:?}");
        for words in [
            "asked    DELETE /scim/v2/Bulk",
            "answer   404",
            "nothing: the user is already deleted, as requested",
            "u29",
            "u10",
        ] {
            assert!(told.stdout.contains(words), "{words}: {told:?}");
        }
        let (_, command) = told.stderr.split_once("all of them: ").expect("older ones");
        let (listing, wanted) = command.trim().split_once(" | grep ").expect("a pipe");
        let (_, arguments) = listing.split_once(" audit ").expect("a command");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let listed = server.cli(&[&["audit"], &arguments[..]].concat());
        // Those of the refusals may not be written yet.
        let is_change = |line: &&str| line.contains(wanted) && !line.contains("\"refuse\"");
        let found = listed.stdout.lines().filter(is_change);
        assert_eq!(found.count(), 30, "each user");
    };
    explained(&talk.server);
    talk.server.restart();
    explained(&talk.server);
}

#[test]
fn a_client_in_a_loop_leaves_a_bounded_number_of_rows() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let refused = u64::from(limits::REFUSALS_PER_WINDOW_MAX) + 80;
    for _ in 0..refused {
        talk.send("GET", "/Users/nobody", None);
    }
    let directory = talk.server.stop_and_keep();
    let all = left_behind(&directory, &[]);
    let (rows, more) = (of_kind(&all, "refuse"), of_kind(&all, "refuse.more"));
    // A minute may have ended on the way.
    let counted: u64 = more
        .iter()
        .map(|row| row["count"].as_u64().expect("a number"))
        .sum();
    assert_eq!(rows.len() as u64 + counted, refused);
    assert!(counted >= 1 && more.len() <= 2 && more[0]["statuses"]["404"].as_u64() > Some(0));
}

/// The text that Okta shows: the detail with the request's id at its end.
fn shown(talk: &mut Talk, method: &str, target: &str, body: Option<&Value>, status: u16) -> String {
    let response = talk.send(method, target, body);
    assert_eq!(response.status, status, "{method} {target}");
    let error = scim_error(&response, target);
    error["detail"].as_str().expect("a text").to_owned()
}

/// The explanation of a text has this answer and advice.
fn check(server: &Server, text: &str, status: &str, advice: &str) -> String {
    let output = server.cli(&["audit", "explain", text]);
    assert_eq!(output.status, Some(0), "{text}: {output:?}");
    let answer = format!("answer   {status}\n");
    assert!(output.stdout.contains(&answer), "{output:?}");
    let to_do = output.stdout.lines().find(|line| line.starts_with("to do"));
    assert!(
        to_do.is_some_and(|line| line.contains(advice)),
        "{output:?}"
    );
    output.stdout
}

#[test]
fn a_refusal_is_explained_as_okta_shows_it_and_after_a_restart() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let id = talk.create("gone")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let gone = format!("/Users/{id}");
    assert_eq!(talk.send("DELETE", &gone, None).status, 204);
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}]});
    let mut cases = vec![
        (
            shown(&mut talk, "POST", "/Users", Some(&body("TAKEN")), 409),
            "409 uniqueness",
            "user show",
        ),
        (
            shown(&mut talk, "PATCH", &gone, Some(&patch), 404),
            "404",
            "assign them again",
        ),
        (
            shown(&mut talk, "DELETE", &gone, None, 404),
            "404",
            "nothing: the user is already deleted, as requested",
        ),
        (
            shown(
                &mut talk,
                "POST",
                "/Users",
                Some(&json!({"schemas": [CORE]})),
                400,
            ),
            "400 invalidValue",
            "mapping",
        ),
    ];
    let reader = talk
        .server
        .token_with("reader", &["--scope", "read", "--rate-limit", "1"]);
    let full = talk.authorization.clone();
    talk.use_token(&reader);
    cases.push((
        shown(&mut talk, "POST", "/Users", Some(&body("x")), 403),
        "403",
        "provision",
    ));
    let throttled = (0..50).find_map(|_| {
        let response = talk.send("GET", "/Users", None);
        (response.status == 429).then(|| scim_error(&response, "throttled"))
    });
    let throttled = throttled.expect("throttled")["detail"]
        .as_str()
        .expect("text")
        .to_owned();
    cases.push((throttled, "429", "by itself"));
    talk.authorization = "Bearer nothing".to_owned();
    let unknown = shown(&mut talk, "GET", "/Users", None, 401);
    talk.authorization = full;
    for (text, status, advice) in &cases {
        let told = check(&talk.server, text, status, advice);
        assert!(told.contains("by       token:"), "{told}");
    }
    let told = check(&talk.server, &unknown, "401", "whole token");
    assert!(
        told.contains("because  what was sent is not a token"),
        "{told}"
    );
    let told = check(&talk.server, &cases[1].0, "404", "assign");
    assert!(
        told.contains(&format!("asked    PATCH /scim/v2/Users/{id}")),
        "{told}"
    );
    assert!(
        told.contains("\"path\": \"active\"") && told.contains("\"value\": false"),
        "{told}"
    );

    talk.server.restart();
    talk.reconnect();
    for (text, status, advice) in &cases {
        check(&talk.server, text, status, advice);
    }
    let forgotten = talk.server.cli(&["audit", "explain", &unknown]);
    assert_eq!(forgotten.status, Some(1), "{forgotten:?}");
    assert!(forgotten.stderr.contains("hint: "), "{forgotten:?}");
}

#[test]
fn a_request_that_was_done_is_explained_by_what_it_changed() {
    let mut talk = Talk::start(&[]);
    let created = talk.send("POST", "/Users", Some(&body("fine")));
    let request = created.header("x-request-id").expect("an id").to_owned();
    let told = talk.server.cli(&["audit", "explain", &request]);
    assert!(
        told.stdout.contains("succeeded, and changed") && told.stdout.contains("fine"),
        "{told:?}"
    );
    assert_eq!(
        talk.server.cli(&["audit", "explain", "nonsense"]).status,
        Some(64)
    );
}

/// The times that are printed can be typed.
#[test]
fn the_times_of_a_table_are_understood() {
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let table = talk.server.cli(&["audit", "list", "--user", "jane"]).stdout;
    let history = talk.server.cli(&["user", "history", "jane"]).stdout;
    assert!(table.contains("WHEN (UTC)"), "{table}");
    let told = |text: &str, line: usize| {
        let words = text.lines().nth(line).expect("a line").split_whitespace();
        words.skip(1).take(2).collect::<Vec<_>>().join(" ")
    };
    let (in_table, in_history) = (told(&table, 1), told(&history, 0));
    assert_eq!(format!("{in_table}Z"), in_history);
    for time in [&*in_table, &*in_history, &in_table[..16]] {
        let since = listed(&talk.server, &["--since", time, "--user", "jane"]);
        assert_eq!(since.len(), 1, "{time}: {since:?}");
        let until = listed(&talk.server, &["--until", time, "--user", "jane"]);
        assert!(until.is_empty(), "{time}: {until:?}");
    }
}

#[test]
fn the_newest_rows_are_listed_in_order() {
    let mut talk = Talk::start(&[]);
    for number in 0..5 {
        talk.create(&format!("user-{number}"));
    }
    talk.server.token("reader");
    let all = listed(&talk.server, &[]);
    let check = |more: &[&str], wanted: &[Value]| {
        assert_eq!(listed(&talk.server, more), wanted, "{more:?}");
    };
    check(&["--last", "2"], &all[all.len() - 2..]);
    check(&["--last", "100000"], &all);
    check(&["--last", "0"], &[]);
    let created = of_kind(&all, "create");
    let [.., before, last] = &created[..] else {
        panic!("five were created: {all:?}")
    };
    let by_token = ["--last", "2", "--token", "all"];
    check(&by_token, &[(*before).clone(), (*last).clone()]);
    check(&["--last", "9", "--user", "user-1"], &[created[1].clone()]);
    for (bad, status) in [
        (&["--last", "2", "--limit", "2"][..], 64),
        (&["--last", "-1"], 64),
        (&["--last", "2", "--token", "nobody"], 1),
    ] {
        let refused = talk.server.cli(&[&["audit", "list"], bad].concat());
        assert_eq!(refused.status, Some(status), "{bad:?}: {refused:?}");
    }
}

#[test]
fn each_request_that_is_named_is_explained() {
    let mut talk = Talk::start(&[]);
    let created = talk.send("POST", "/Users", Some(&body("fine")));
    let done = created.header("x-request-id").expect("an id").to_owned();
    let refused = shown(&mut talk, "POST", "/Users", Some(&body("FINE")), 409);
    let unknown = "0123456789abcdef";
    let told = talk.server.cli(&["audit", "explain", &done, &refused]);
    assert_eq!(told.status, Some(0), "{told:?}");
    let done_at = told.stdout.find(&format!("request {done} succeeded"));
    let refused_at = told.stdout.find("answer   409 uniqueness");
    assert!(done_at.is_some() && done_at < refused_at, "{told:?}");
    let documents = |output: &Output| -> Vec<Value> {
        let documents: Value = serde_json::from_str(&output.stdout).expect("JSON");
        documents.as_array().expect("an array").clone()
    };
    let told = talk
        .server
        .cli(&["audit", "explain", &done, unknown, &refused, "-o", "json"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(
        told.stderr.contains(&format!("of the request {unknown}\n")),
        "{told:?}"
    );
    let [first, second] = &documents(&told)[..] else {
        panic!("two are known: {told:?}")
    };
    assert_eq!(first["requestId"], done, "{first}");
    assert!(refused.contains(second["requestId"].as_str().expect("an id")));
    let told = talk
        .server
        .cli(&["audit", "explain", unknown, "-o", "json"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert_eq!(documents(&told), [] as [Value; 0], "none is known");
}

/// Who could do what from where is known when the token is long gone.
#[test]
fn what_a_token_was_allowed_stands_in_the_trail() {
    let server = Server::start();
    let limits = "--scope full --mode strict --expires 30d --rate-limit 7 --allow-from 10.0.0.0/8";
    let limits: Vec<&str> = limits.split(' ').collect();
    server.token_with("wide", &limits);
    let rotated = server.cli(&["token", "rotate", "wide", "--overlap", "2d"]);
    assert_eq!(rotated.status, Some(0), "{rotated:?}");
    assert_eq!(server.cli(&["token", "revoke", "wide"]).status, Some(0));
    let rows = listed(&server, &["--token", "wide"]);
    let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str()).collect();
    let wanted = [
        "token.issue",
        "token.rotate",
        "token.revoke",
        "token.revoke",
    ];
    assert_eq!(kinds, wanted.map(Some), "{rows:?}");
    for row in &rows[..2] {
        assert_eq!(row["mode"], "strict");
        assert_eq!(row["rateLimit"], 7);
        assert_eq!(row["allowFrom"], json!(["10.0.0.0/8"]));
        let days = |from: &Value, to: &Value| {
            let [from, to] = [from, to].map(|it| Instant::parse(it.as_str().expect("a time")));
            from.expect("a time").days_until(to.expect("a time"))
        };
        assert!(
            [29, 30].contains(&days(&row["time"], &row["expires"])),
            "{row}"
        );
    }
    assert_eq!(rows[0].get("replaces"), None);
    let old = rows[0]["token"].as_str().expect("an id");
    let of_old = listed(&server, &["--token", old]);
    assert_eq!(of_old[..2], rows[..2]);
    let ends: Vec<_> = of_old[2..].iter().map(|row| &row["token"]).collect();
    assert_eq!(ends, [old]);
}

/// A rotation never makes a token last longer, and its row says so.
#[test]
fn the_row_of_a_rotation_says_when_each_token_that_it_replaces_ends() {
    let server = Server::start();
    server.token_with("short", &["--expires", "1d"]);
    let told = server.cli(&["token", "rotate", "short", "--overlap", "30d"]);
    assert_eq!(told.status, Some(0), "{told:?}");
    let rows = listed(&server, &["--token", "short"]);
    let old = json!([{"token": rows[0]["token"], "ends": rows[0]["expires"]}]);
    assert_eq!(rows[1]["replaces"], old);
    let end = rows[1]["expires"].as_str().expect("a time");
    let end = format!("the new one is valid until {}Z", &end[..19]);
    assert!(told.stderr.contains(&end), "{told:?}");
}

/// What the list tells of a row, its explanation tells too.
#[test]
fn requests_about_tokens_and_backups_are_explained_in_full() {
    let server = Server::start();
    server.token_with("reporting", &["--scope", "read"]);
    let file = server.data_dir().with_file_name("copy.backup");
    let file = file.to_str().expect("it is text");
    assert_eq!(server.cli(&["backup", "create", file]).status, Some(0));
    let list = server.cli(&["audit", "list"]).stdout;
    let rows = listed(&server, &[]);
    for (kind, tells) in [
        ("token.issue", ["reporting", "read"]),
        ("backup.create", ["copy.backup", file]),
    ] {
        let row = of_kind(&rows, kind)[0].clone();
        let request = row["requestId"].as_str().expect("an id");
        let told = server.cli(&["audit", "explain", request]).stdout;
        for text in [&list, &told] {
            let line = text.lines().find(|line| line.contains(kind));
            let line = line.unwrap_or_else(|| panic!("{kind}: {text}"));
            for word in [tells[0], tells[1], request] {
                assert!(line.contains(word), "{word}: {text}");
            }
        }
    }
}

#[test]
fn without_explanations_rows_have_no_shape_and_nothing_is_remembered() {
    let server = Server::start_by(&[], |mut command, _| {
        command.env("GOLINKS_SCIM_AUDIT_EXPLAIN", "off");
        command
    });
    let mut talk = Talk::with(server);
    let text = shown(
        &mut talk,
        "POST",
        "/Users",
        Some(&json!({"schemas": [CORE]})),
        400,
    );
    assert_eq!(
        talk.server.cli(&["audit", "explain", &text]).status,
        Some(1)
    );
    talk.create("x");
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert!(
        refused.len() == 1 && refused[0].get("shape").is_none(),
        "{refused:?}"
    );
    assert_eq!(
        talk.server.cli(&["audit", "explain", &text]).status,
        Some(0)
    );
}

#[test]
fn operations_of_bulk_requests_that_are_refused_leave_rows() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": body("taken")},
            {"method": "POST", "path": "/Users", "bulkId": "b", "data": body("new")}]});
    talk.json("POST", "/Bulk", Some(&bulk), 200);
    talk.create("last");
    let all = listed(&talk.server, &[]);
    let refused = of_kind(&all, "refuse");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["operation"], &refused[0]["status"]),
        (&json!("POST"), &json!(409))
    );
}

#[test]
fn the_list_is_narrowed_by_time_user_and_token() {
    let mut talk = Talk::start(&[]);
    let id = talk.create("jane")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // Times are kept in milliseconds: john's is to be another one than jane's.
    thread::sleep(Duration::from_millis(5));
    talk.create("john");
    let other = talk.server.token_with("hr", &["--scope", "full"]);
    talk.use_token(&other);
    assert_eq!(
        talk.send("DELETE", &format!("/Users/{id}"), None).status,
        204
    );
    let kinds = |more: &[&str]| -> Vec<String> {
        let all = listed(&talk.server, more);
        let kinds = all
            .iter()
            .map(|row| row["kind"].as_str().expect("a word").to_owned());
        kinds.collect()
    };
    assert_eq!(
        kinds(&[]),
        ["token.issue", "create", "create", "token.issue", "delete"]
    );
    assert_eq!(kinds(&["--user", "JANE"]), ["create", "delete"]);
    assert_eq!(kinds(&["--user", &id, "--token", "hr"]), ["delete"]);
    assert_eq!(kinds(&["--limit", "2"]), ["token.issue", "create"]);
    assert_eq!(
        kinds(&["--since", "1h", "--token", "all"]),
        ["token.issue", "create", "create"]
    );
    // By whom and from where, which a token that was lost makes somebody ask.
    let address = |row: &Value| row.get("address").cloned();
    let [issued, created, ..] = &listed(&talk.server, &[])[..] else {
        panic!("there are five rows");
    };
    assert_eq!(
        (address(issued), address(created)),
        (None, Some(json!("127.0.0.1")))
    );
    assert!(kinds(&["--until", "2020-01-01"]).is_empty());
    let all = listed(&talk.server, &[]);
    let third = all[2]["time"].as_str().expect("a time");
    assert_eq!(
        kinds(&["--since", third]),
        ["create", "token.issue", "delete"]
    );
    assert_eq!(kinds(&["--until", third]), ["token.issue", "create"]);
    assert_eq!(
        all.iter()
            .map(|row| row["sequence"].as_u64())
            .collect::<Vec<_>>(),
        (1..=5).map(Some).collect::<Vec<_>>()
    );
    let unknown = talk.server.cli(&["audit", "list", "--user", "nobody"]);
    assert_eq!(unknown.status, Some(1), "{unknown:?}");
    assert_eq!(
        talk.server
            .cli(&["audit", "list", "--since", "soon"])
            .status,
        Some(64)
    );
    let table = talk.server.cli(&["audit", "list"]).stdout;
    assert!(
        table.starts_with("SEQUENCE") && table.contains("userName"),
        "{table}"
    );
}

#[test]
fn following_shows_each_row_once_also_across_a_restart() {
    let mut talk = Talk::start(&[]);
    let directory = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink(talk.server.data_dir(), directory.path().join("data"))
        .expect("linked");
    let mut follower = command(&directory)
        .args(["audit", "follow", "-o", "jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let (found, names) = channel();
    let out = BufReader::new(follower.stdout.take().expect("piped"));
    thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let row: Value = serde_json::from_str(&line).expect("JSON");
            found
                .send(row["userName"].as_str().unwrap_or_default().to_owned())
                .ok();
        }
    });
    // It shows what comes after it has begun.
    let mut number = 0;
    let first = loop {
        talk.create(&format!("early{number}"));
        if let Ok(name) = names.recv_timeout(Duration::from_secs(1)) {
            break name;
        }
        number += 1;
        assert!(number < 60, "nothing is followed");
    };
    assert!(first.starts_with("early"));
    talk.create("before");
    talk.server.restart();
    talk.reconnect();
    talk.create("after");
    let mut seen = vec![first];
    while seen.last().is_none_or(|name| name != "after") {
        let name = names.recv_timeout(Duration::from_secs(30));
        seen.push(name.unwrap_or_else(|_| panic!("{seen:?}")));
    }
    follower.kill().expect("ended");
    follower.wait().expect("ours");
    let count = |name: &str| seen.iter().filter(|one| *one == name).count();
    assert_eq!((count("before"), count("after")), (1, 1), "{seen:?}");
    let kept = talk.server.stop_and_keep();
    let alone = cli_in(&kept, &["audit", "follow"]);
    assert_eq!(alone.status, Some(69), "{alone:?}");
}
