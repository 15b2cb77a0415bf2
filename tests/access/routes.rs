//! Which routes each scope opens, which are open without a token, and that the administration
//! routes are not reachable over the network.

use golinks_scim::api::{AccessKind, route_table};
use golinks_scim::secret::Secret;
use serde_json::json;

use super::issue;
use crate::support::{Server, Talk, scim_error};

/// A route's path below the base URL; `None` for a route that is not below it.
fn target(path: &str) -> Option<String> {
    let path = path.replace("{}", "some-id");
    path.strip_prefix("/scim/v2").map(str::to_owned)
}

/// Whether a scope opens a route by design, written down independently of the program's own table.
/// Writes to groups and to `/Me` are answered with the same 501 for every token that may read; a
/// query may be sent by POST.
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
    let mut client = server.client_at_root();
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
    // Neither a method that a path does not support nor a bad query reveals that the path exists.
    for headers in [&[("Authorization", authorization.as_str())][..], &[]] {
        for (method, query, status) in [("PUT", "", 404), ("GET", "?%zz", 400)] {
            for path in ["/admin/tokens", "/admin/nothing"] {
                let request = golinks_scim::http1::client::Request {
                    method,
                    target: &format!("{path}{query}"),
                    headers,
                    body: None,
                };
                let (response, _) = client.send(&request).expect("an answer");
                assert_eq!(response.status, status, "{method} {path} {headers:?}");
            }
        }
    }
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
            // An address that keeps failing gets 429 for every path. A new server forgets the
            // failures, so that each path gives its own answer.
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

/// Without a token, a client gets only answers that are the same for everybody, and the files of
/// the Team Directory's page, which contain no user data.
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
