//! The local socket, with requests that no command of this program sends: a request that cannot be
//! handled gets an error that says what was expected, and changes nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use golinks_scim::limits;
use golinks_scim::local::Client;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::wire::PATIENCE;

/// A request's target and body, and the status of its answer with some words from it.
type Case = (&'static str, Value, u16, &'static str);

fn issues() -> Vec<Case> {
    let networks = vec!["203.0.113.0/24"; limits::ALLOWED_NETWORKS_MAX + 1];
    let cases = [
        (json!({"name": 7}), "name must be a text"),
        (json!({"expires": "soon"}), "an RFC 3339 time"),
        (
            json!({"expires": "2001-01-01T00:00:00Z"}),
            "expired already",
        ),
        (json!({"rateLimit": 0}), "a whole number from 1"),
        (json!({"allowFrom": networks}), "a list of at most 64"),
        (json!({"allowFrom": "::1"}), "a list of at most 64"),
        (json!({"allowFrom": ["::1/129"]}), "is not a network"),
    ];
    let named = cases.map(|(mut body, words)| {
        if body.get("name").is_none() {
            body["name"] = json!("entra");
        }
        ("/admin/tokens", body, 400, words)
    });
    named.to_vec()
}

fn others() -> Vec<Case> {
    let (rotation, import) = ("/admin/tokens/okta/rotate", "/admin/users/import");
    let (undo, verification) = ("/admin/undo", "/admin/audit/verification");
    let rows = vec![json!({}); limits::IMPORT_ROWS_MAX + 1];
    let most = "a list of at most 1000 rows";
    let cells = json!({"rows": [7], "columns": ["id"]});
    let never = json!({"since": "2999-01-01T00:00:00Z"});
    vec![
        (rotation, json!({}), 400, "a number from 0"),
        (
            rotation,
            json!({"overlapSeconds": -1}),
            400,
            "a number from 0",
        ),
        (
            "/admin/backup",
            json!({"path": "a.redb"}),
            400,
            "an absolute path",
        ),
        (
            "/admin/audit",
            json!({"kind": "create", "user": "1"}),
            400,
            "kind must be one of those",
        ),
        (
            "/admin/audit",
            json!({"kind": "user.export", "path": [{"user": "1"}]}),
            400,
            "no object",
        ),
        (verification, json!({"run": 1}), 409, "start again"),
        (import, json!({"rows": rows}), 400, most),
        (import, json!({"rows": {}}), 400, most),
        (
            import,
            json!({"rows": [], "empty": "zero"}),
            400,
            "keep or clear",
        ),
        (
            import,
            json!({"rows": [7]}),
            200,
            "the row is no JSON object",
        ),
        (import, cells, 200, "the row has 0 cells"),
        (undo, json!({"since": "soon"}), 400, "an RFC 3339 time"),
        (undo, never, 200, r#"{"users":[],"next":null}"#),
    ]
}

#[test]
fn each_bad_request_of_an_administrator_has_its_own_error_and_changes_nothing() {
    let server = Server::start();
    server.token("okta");
    let everything = || {
        let shown = [["token", "list"], ["user", "list"], ["audit", "list"]];
        shown.map(|command| server.cli(&command).stdout)
    };
    let before = everything();
    let client = Client::connect_to_server(&server.data_dir(), "jane");
    let mut client = client.expect("it answers").expect("it is there");
    let mut check = |method: &str, (target, body, status, words): Case| {
        let text = body.to_string();
        let sent = (!body.is_null()).then_some(text.as_bytes());
        let answer = client.request(method, target, sent).expect("an answer");
        let told = String::from_utf8(answer.body).expect("text");
        assert!(told.contains(words), "{target} {body}: {told}");
        assert_eq!(answer.status, status, "{target} {body}: {told}");
    };
    for case in issues().into_iter().chain(others()) {
        check("POST", case);
    }
    let renaming = json!({"name": "entra"});
    check(
        "PATCH",
        ("/admin/tokens/okta", renaming, 400, "changes nothing"),
    );
    for (target, words) in [
        ("/admin/users/jane/past", "at must be an RFC 3339 time"),
        (
            "/admin/users/jane/past?before=x",
            "before must be a whole number",
        ),
    ] {
        check("GET", (target, Value::Null, 400, words));
    }
    client.close();
    assert_eq!(everything(), before);
}

/// Without chunked encoding, the client could not tell a complete list from a truncated one.
#[test]
fn what_is_no_request_of_ours_is_refused() {
    let server = Server::start();
    for (line, status) in [
        ("GET /admin/tokens HTTP/1.0", "505"),
        ("GET /admin/tokens#x HTTP/1.1", "400"),
    ] {
        let socket = server.data_dir().join("admin.sock");
        let mut stream = UnixStream::connect(socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let request = format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an end");
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&wanted), "{line}: {answer}");
    }
    // Without a server, the router in this process is asked.
    let folder = server.stop_and_keep();
    let mut client = Client::connect(&folder.path().join("data"), "jane").expect("a store");
    let answer = client.request("GET", "/admin/tokens#x", None);
    assert_eq!(answer.expect("an answer").status, 400);
    client.close();
}
