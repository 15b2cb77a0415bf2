//! Readiness, and the alarm about very many deactivations.

use std::io::{Read as _, Write as _};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::{Scrape, read};
use crate::support::wire::{self, Door};
use crate::support::{Server, Talk, body};

/// Creates `count` active users, a hundred in each request, and returns their ids.
fn populate(talk: &mut Talk, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for first in (0..count).step_by(100) {
        let create = |number: usize| {
            let name = format!("user{number}@example.com");
            json!({"method": "POST", "path": "/Users", "bulkId": name, "data": body(&name)})
        };
        let operations: Vec<Value> = (first..count.min(first + 100)).map(create).collect();
        let done = bulk(talk, &operations);
        let locations = done["Operations"].as_array().expect("a list");
        ids.extend(locations.iter().map(|one| {
            let location = one["location"].as_str().expect("created");
            location.rsplit('/').next().expect("an id").to_owned()
        }));
    }
    ids
}

fn bulk(talk: &mut Talk, operations: &[Value]) -> Value {
    let wanted = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations,
    });
    let answer = talk.send("POST", "/Bulk", Some(&wanted));
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn off(id: &str) -> Value {
    json!({"method": "PATCH", "path": format!("/Users/{id}"), "data": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}],
    }})
}

#[test]
fn very_many_deactivations_are_done_and_told_of() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let ids = populate(&mut talk, 300);
    // A fifth of 300 is 60: that many do not raise the alarm yet.
    let mut first: Vec<Value> = ids[..58].iter().map(|id| off(id)).collect();
    first.push(json!({"method": "DELETE", "path": format!("/Users/{}", ids[58])}));
    bulk(&mut talk, &first);
    assert_eq!(
        talk.send("DELETE", &format!("/Users/{}", ids[59]), None)
            .status,
        204
    );
    let quiet = Scrape::of(&talk);
    assert!(quiet.get("mass_deactivation_alarm") < 0.5);
    assert!((quiet.get("deactivations_last_hour") - 60.0).abs() < 0.1);

    let out = talk.server.cli(&["user", "deactivate", &ids[60]]);
    assert_eq!(out.status, Some(0), "{out:?}");
    let loud = Scrape::of(&talk);
    assert!(loud.get("mass_deactivation_alarm") > 0.5);
    assert!((loud.get("users{status=\"inactive\"}") - 59.0).abs() < 0.1);
    let log = talk
        .server
        .log_with("61 deactivations within an hour, 60 by token:");
    let program = format!(
        "golinks-scim --data-dir {}",
        talk.server.data_dir().display()
    );
    let see = format!("fix: see who: {program} user list --inactive");
    for words in ["; the alarm threshold is 60", &see] {
        assert!(log.contains(words), "{log}");
    }
    // One token made most of the changes: changes by others within the hour must not be undone.
    let by = log.split("60 by token:").nth(1).expect("the alarm");
    let id = by.split(':').next().expect("an id");
    // The command names a change instead of `1h`, since the line may be read the next morning.
    let since = log.split(&format!("{program} user undo --from ")).nth(1);
    let (since, rest) = since.and_then(|it| it.split_once(' ')).expect("a command");
    assert!(since.parse::<u64>().is_ok(), "{since}");
    assert!(
        rest.starts_with(&format!("--token {id} --dry-run")),
        "{log}"
    );
    let undo = ["user", "undo", "--from", since, "--token", id, "--dry-run"];
    let told = talk.server.cli(&undo);
    // Two of them are deletions, which are undone in another way.
    assert_eq!(told.status, Some(1), "{told:?}");
    let counts = "58 users would be changed back, 0 needed no change, 2 refused";
    assert!(told.stderr.contains(counts), "{told:?}");
    let check = talk.server.cli(&["check"]).stdout;
    let line = check.lines().find(|line| line.contains("deactivations"));
    let line = line.unwrap_or_else(|| panic!("{check}"));
    assert!(
        line.starts_with("warn     deactivations   61 deactivations"),
        "{line}"
    );
    assert!(
        line.contains("60 by token:") && line.contains("the alarm threshold is 60"),
        "{line}"
    );
    // A user who is already inactive does not count again, nor does a reactivation.
    bulk(&mut talk, &first);
    talk.server.cli(&["user", "reactivate", &ids[0]]);
    assert!((Scrape::of(&talk).get("deactivations_last_hour") - 61.0).abs() < 0.1);
}

#[test]
fn the_alarm_can_be_set_while_serving() {
    let server = Server::start_by(&[], |mut command, folder| {
        let path = folder.join("config.toml");
        std::fs::write(&path, "alarm_deactivations = 0\n").expect("written");
        command.arg("--config").arg(path);
        command
    });
    let path = server.data_dir().with_file_name("config.toml");
    let mut talk = Talk::with(server);
    let ids = populate(&mut talk, 3);
    let all: Vec<Value> = ids.iter().map(|id| off(id)).collect();
    bulk(&mut talk, &all);
    assert!(Scrape::of(&talk).get("mass_deactivation_alarm") < 0.5);
    std::fs::write(&path, "alarm_deactivations = 2\n").expect("written");
    kill_process(talk.server.pid(), Signal::HUP).expect("it runs");
    talk.server.log_with("3 deactivations within an hour");
    // A number equal to the threshold does not raise the alarm.
    std::fs::write(&path, "alarm_deactivations = 3\n").expect("written");
    kill_process(talk.server.pid(), Signal::HUP).expect("it runs");
    let log = talk
        .server
        .log_with("the deactivation alarm is over: 3 deactivations");
    let told = log
        .lines()
        .filter(|line| line.contains("deactivations within an hour"));
    assert_eq!(told.count(), 2, "{log}");
    assert!(Scrape::of(&talk).get("mass_deactivation_alarm") < 0.5);
}

/// The server's interim answer to a client that waits before it sends its body.
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn a_server_that_stops_is_not_ready() {
    let server = Server::start();
    let token = server.token_with("probe", &["--scope", "metrics"]);
    let ready = read(&server, &token, "/readyz", ("Accept", "*/*"));
    let text = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(
        (ready.status, text.as_str()),
        (200, "{\"status\":\"ready\"}")
    );
    // The server does not end while it reads a request, so that it can answer.
    let door = Door::to(server);
    let mut tls = door.connect();
    let head = "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 2\r\n\
        Expect: 100-continue\r\n\r\n";
    tls.write_all(&door.with_token(head)).expect("sent");
    tls.flush().expect("sent");
    // By then the server has read the head.
    let mut interim = [0; GO_ON.len()];
    tls.read_exact(&mut interim).expect("told to go on");
    assert_eq!(interim, *GO_ON);
    tls.write_all(b"{").expect("sent");
    tls.flush().expect("sent");
    kill_process(door.server.pid(), Signal::TERM).expect("it runs");
    door.server.log_with("stopping on signal");
    let check = door.server.cli(&["check"]).stdout;
    assert!(
        check.contains("fail     readiness       the server is stopping"),
        "{check}"
    );
    tls.write_all(b"}").expect("sent");
    assert_eq!(wire::read(&mut tls, false).status, 400);
}
