//! Reverse proxies: whose address counts for the log, the audit trail, `--allow-from` and the count
//! of failures, if the proxy in between is trusted and if it is not.

use std::io::Write;

use golinks_scim::http1::client::Response;
use golinks_scim::limits;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::support::wire::{Door, read};
use crate::support::{Server, cli_in};

/// A server behind proxies at these addresses. The tests connect from 127.0.0.1.
fn behind(proxies: &str) -> Door {
    let server = Server::start_by(&["--rate-limit", "off"], |mut command, folder| {
        let path = folder.join("config.toml");
        std::fs::write(&path, setting(proxies)).expect("the folder is the test's");
        command.arg("--config").arg(path);
        command
    });
    Door::to(server)
}

fn setting(proxies: &str) -> String {
    format!("trusted_proxies = {proxies}\n")
}

/// A query with these `X-Forwarded-For` lines, as the proxy sends it on.
fn query(door: &Door, token: &str, forwarded: &[&str]) -> Response {
    let lines = forwarded.iter();
    let lines = lines.map(|line| format!("X-Forwarded-For: {line}\r\n"));
    let lines = lines.collect::<Vec<_>>().concat();
    let mut tls = door.connect();
    let request = format!(
        "GET /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         {lines}\r\n"
    );
    tls.write_all(request.as_bytes()).expect("taken");
    read(&mut tls, false)
}

fn last_used_from(door: &Door, token: &str) -> Value {
    let shown = door.server.cli(&["token", "show", token, "-o", "jsonl"]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    shown["lastUsedFrom"].clone()
}

/// The client's address is 203.0.113.7. Whatever it writes into the header stands to the left of
/// what the proxy appends.
#[test]
fn behind_a_trusted_proxy_the_client_counts_and_nothing_that_it_made_up() {
    let door = behind("[\"127.0.0.1\", \"192.0.2.0/24\"]");
    let of_client = ["--allow-from", "203.0.113.7,2001:db8::/32"];
    let of_client = door.server.token_with("client", &of_client);
    let of_office = ["--allow-from", "198.51.100.0/24"];
    let of_office = door.server.token_with("office", &of_office);
    let of_proxy = ["--allow-from", "127.0.0.1,192.0.2.20"];
    let of_proxy = door.server.token_with("proxy", &of_proxy);
    for (forwarded, from) in [
        (&["203.0.113.7"][..], "203.0.113.7"),
        (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1, 203.0.113.7", "192.0.2.20"], "203.0.113.7"),
        (&["198.51.100.1,127.0.0.1,203.0.113.7:5678"], "203.0.113.7"),
        (&["198.51.100.1, 2001:db8::1"], "2001:db8::1"),
        (&["198.51.100.1, [2001:db8::1]:5678"], "2001:db8::1"),
    ] {
        let office = query(&door, of_office.reveal(), forwarded);
        assert_eq!(office.status, 401, "{forwarded:?}");
        let proxy = query(&door, of_proxy.reveal(), forwarded);
        assert_eq!(proxy.status, 401, "{forwarded:?}");
        let client = query(&door, of_client.reveal(), forwarded);
        assert_eq!(client.status, 200, "{forwarded:?}");
        assert_eq!(last_used_from(&door, "client"), from, "{forwarded:?}");
    }
    for (forwarded, from) in [
        (&[][..], "127.0.0.1"),
        (&["203.0.113.7, unknown"], "127.0.0.1"),
        (&["203.0.113.7", ""], "127.0.0.1"),
        (&["203.0.113.7, nonsense, 192.0.2.20"], "192.0.2.20"),
        (&["192.0.2.20, 192.0.2.21"], "192.0.2.20"),
    ] {
        let client = query(&door, of_client.reveal(), forwarded);
        assert_eq!(client.status, 401, "{forwarded:?}");
        let proxy = query(&door, of_proxy.reveal(), forwarded);
        assert_eq!(proxy.status, 200, "{forwarded:?}");
        assert_eq!(last_used_from(&door, "proxy"), from, "{forwarded:?}");
    }
    assert_eq!(last_used_from(&door, "office"), Value::Null);
}

/// Whoever is not listed may have made up the whole header. SIGHUP changes whom the server trusts,
/// from the next request on.
#[test]
fn from_anyone_else_the_header_is_ignored_until_a_hangup_lists_them() {
    let door = behind("[\"192.0.2.0/24\", \"::1\"]");
    let bound = ["--allow-from", "203.0.113.7"];
    let bound = door.server.token_with("bound", &bound);
    let listed = door.server.data_dir().with_file_name("config.toml");
    for (proxies, told, status, address) in [
        (None, "", 401, "127.0.0.1"),
        (
            Some("[\"::1\", \"127.0.0.0/8\"]"),
            "trusted_proxies is ::1, 127.0.0.0/8 now (",
            200,
            "203.0.113.7",
        ),
        (
            Some("[]"),
            "trusted_proxies is none now (",
            401,
            "127.0.0.1",
        ),
    ] {
        if let Some(proxies) = proxies {
            std::fs::write(&listed, setting(proxies)).expect("written");
            kill_process(door.server.pid(), Signal::HUP).expect("it runs");
            door.server.log_with(told);
        }
        let answer = query(&door, bound.reveal(), &["203.0.113.7"]);
        assert_eq!(answer.status, status, "{proxies:?}");
        // A request that is refused for its framing has the same address.
        let mut tls = door.connect();
        let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\n\
                       Transfer-Encoding: gzip\r\n\r\n";
        tls.write_all(request.as_bytes()).expect("taken");
        let refused = read(&mut tls, false);
        let id = refused.header("x-request-id").expect("an id");
        let told = format!("{id} {address} invalid request");
        door.server.log_with(&told);
    }
}

/// As many failures as an address may have say nothing about other clients of the same proxy.
#[test]
fn failures_behind_a_trusted_proxy_count_against_their_client() {
    let door = behind("[\"127.0.0.1\"]");
    let wrong = |client: &str| query(&door, "golinks_scim_wrong", &["203.0.113.99", client]);
    for number in 0..limits::FAILURES_PER_WINDOW_MAX {
        let answer = wrong("203.0.113.7");
        assert_eq!(answer.status, 401, "{number}");
    }
    assert_eq!(wrong("203.0.113.7").status, 429);
    let other = wrong("203.0.113.8");
    assert_eq!(other.status, 401);
    // The log, and the explanation of a refusal, name the client.
    let id = other.header("x-request-id").expect("an id");
    door.server.log_with(&format!("{id} 203.0.113.8 GET"));
    let explained = door.server.cli(&["audit", "explain", id]);
    assert!(explained.stdout.contains("203.0.113.8"), "{explained:?}");
}

#[test]
fn a_row_of_the_audit_trail_has_the_address_of_the_client() {
    let door = behind("\"192.0.2.20, 127.0.0.1\"");
    let body = "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"x\"}";
    let request = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nX-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tls = door.connect();
    tls.write_all(&door.with_token(&request)).expect("taken");
    assert_eq!(read(&mut tls, false).status, 201);
    let rows = door.server.cli(&["audit", "list", "-o", "jsonl"]).stdout;
    let rows = rows
        .lines()
        .map(|row| serde_json::from_str(row).expect("JSON"));
    let created = rows.filter(|row: &Value| row["kind"] == "create");
    let addresses: Vec<Value> = created.map(|row| row["address"].clone()).collect();
    assert_eq!(addresses, ["203.0.113.7"]);
}

#[test]
fn what_is_no_network_is_told_with_what_to_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    let path_text = path.to_str().expect("UTF-8");
    for (proxies, what) in [
        (
            "[\"::1\", \"10.0.0.0/33\"]",
            "config.toml:1: trusted_proxies cannot be ::1, 10.0.0.0/33\nhint: \"10.0.0.0/33\" is \
             not a network: write a network or an address, such as 203.0.113.0/24",
        ),
        (
            "\"0.0.0.0/0\"",
            "hint: everyone is in 0.0.0.0/0: list only your own proxies",
        ),
        ("[[]]", "trusted_proxies must be a list of texts"),
    ] {
        std::fs::write(&path, setting(proxies)).expect("written");
        for command in [&["config", "check"][..], &["serve"]] {
            let refused = cli_in(&folder, &[&["--config", path_text], command].concat());
            assert_eq!(refused.status, Some(78), "{refused:?}");
            assert!(refused.stderr.contains(what), "{refused:?}");
        }
    }
    // The environment overrides the file, with commas in place of a list.
    for (variable, value) in [("10.0.0.1,::1", "10.0.0.1,::1"), ("none", "none")] {
        std::fs::write(&path, setting("[\"192.0.2.1\"]")).expect("written");
        let mut command = crate::support::command(&folder);
        command.env("GOLINKS_SCIM_TRUSTED_PROXIES", variable);
        command.args(["--config", path_text, "config", "show", "-o", "jsonl"]);
        let shown = crate::support::run_to_its_end(&mut command);
        let rows = shown.stdout.lines();
        let mut rows = rows.map(|row| serde_json::from_str::<Value>(row).expect("JSON"));
        let row = rows.find(|row| row["name"] == "trusted_proxies");
        let row = row.expect("every setting is shown");
        assert_eq!(row["value"], value, "{row}");
        assert_eq!(row["origin"], "$GOLINKS_SCIM_TRUSTED_PROXIES", "{row}");
    }
}
