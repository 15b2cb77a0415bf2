//! What the log contains, and the secrets that neither the log nor anything else shows.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::issue;
use crate::support::{Server, Talk, body};

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

/// The command lines of all processes that were given the server's data directory. Everybody on the
/// machine can read them.
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

/// Whatever strangers send, and however often, only a bounded part of it is logged, and it is not
/// held in memory.
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
    // Refusals other than 401 do not fill the log either.
    for _ in 0..40 {
        let mut tls = door.connect();
        tls.write_all(b"GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("taken");
        assert_eq!(crate::support::wire::read(&mut tls, false).status, 404);
    }
    let mut tls = door.connect();
    let lengthy = "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nx";
    tls.write_all(lengthy.as_bytes()).expect("taken");
    // The answer does not wait for the rest of the body, which is never read.
    assert_eq!(crate::support::wire::read(&mut tls, false).status, 200);
    crate::support::wire::assert_closed(&mut tls, lengthy);
    let lines = door.server.log().lines().count();
    assert!(lines < 60, "{lines} lines for 1,240 requests of a stranger");
    door.server.stop();
}

/// Successful reads are logged only at level debug, whichever method they use.
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

/// Some people paste a token where an id or the base URL belongs.
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
