//! Requests that pretend to be something else: targets that mean other paths, and values that
//! contain headers, log lines and terminal sequences. Such a target finds nobody, and such a value
//! leaves the server only as text.

use serde_json::{Value, json};

use crate::support::{Talk, body, escaped, scim_error};

const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// Nothing but an id is accepted as an id: no target leads to another path, to a file, or to the
/// administration routes.
#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn targets_that_mean_to_be_others_are_nobody() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let jane = talk.create("jane");
    let id = jane["id"].as_str().expect("an id").to_owned();
    // The same id in its longest spelling (RFC 3986 section 6.2.2.2).
    let long = id
        .bytes()
        .fold(String::new(), |long, byte| long + &format!("%{byte:02x}"));
    assert_eq!(
        talk.send("GET", &format!("/Users/{long}"), None).status,
        200
    );
    for tail in [
        "..",
        "%2e%2e",
        "%2E%2E%2F",
        "..%2fUsers",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "..%5c..%5cetc",
        "%252e%252e%252f",
        "%00",
        "ID%00",
        "ID%20",
        "%20ID",
        "ID%0d%0a",
        "ID%0aX:%20y",
        "ID;x=y",
        "ID%3b",
        "ID%2f",
        "ID%2f..",
        "ID.json",
        "ID%23",
        "ID%3fcount=1",
        "%c0%ae%c0%ae",
        "%ff",
        "%e0%80%af",
        "%u002e",
        "%",
        "%2",
        "%zz",
        "null",
        "*",
        "me",
        "Me",
        "self",
        "0",
        "-1",
        "1",
        "{id}",
        "00000001",
        "00000001-0000-0000-0000-000000000000",
        "ID/..",
        "ID/../..",
        "../Users/ID",
        "./ID",
        "../../admin/tokens",
        "..%2f..%2fadmin%2ftokens",
        "UPPER",
        "(ID)",
        "urn:uuid:ID",
    ] {
        let tail = tail.replace("UPPER", &id.to_uppercase()).replace("ID", &id);
        // By chance the id may have no letter.
        if tail == id {
            continue;
        }
        for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(body("jane")))] {
            let target = format!("/Users/{tail}");
            let response = talk.send(method, &target, body.as_ref());
            assert!(
                [400, 404].contains(&response.status),
                "{method} {target}: {}",
                response.status
            );
            let error = scim_error(&response, &target);
            for leak in ["passwd", "/tmp", "tls", "redb", "token"] {
                let detail = error["detail"].to_string();
                assert!(
                    !detail.contains(leak) || tail.contains(leak),
                    "{target}: {detail}"
                );
            }
        }
    }
    for target in [
        "/../../admin/tokens",
        "/..%2f..%2fadmin%2ftokens",
        "/Schemas/..%2fUsers",
        "/Schemas/%2e%2e",
        "/ResourceTypes/..",
        "/ResourceTypes/User%00",
        "/Groups/..%2fUsers",
        "/Users%2f..",
        "/%2e",
    ] {
        let response = talk.send("GET", target, None);
        assert!(
            [400, 404].contains(&response.status),
            "{target}: {}",
            response.status
        );
    }
    for path in [
        "/Users/../Users",
        "/Users/..",
        "Users/x",
        "/users/%2e%2e",
        "/admin/tokens",
        "//etc/passwd",
    ] {
        let operation = json!({"method": "DELETE", "path": path});
        let bulk = json!({"schemas": [BULK], "Operations": [operation]});
        let response = talk.send("POST", "/Bulk", Some(&bulk));
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let status = told["Operations"][0]["status"].as_str().unwrap_or("400");
        assert!(["400", "404"].contains(&status), "{path}: {text}");
    }
    for arguments in [
        ["user", "show", "../../../etc/passwd"],
        ["user", "show", "%2e%2e"],
        ["token", "show", "../users"],
        ["token", "revoke", "..%2f..%2fscim%2fv2%2fUsers"],
        ["user", "show", "x\r\nHost: y"],
    ] {
        let output = talk.server.cli(&arguments);
        assert_eq!(output.status, Some(1), "{arguments:?}: {output:?}");
    }
    assert_eq!(
        talk.send("GET", &format!("/Users/{id}"), None).status,
        200,
        "jane is gone"
    );
    talk.server.stop();
}

/// A value that would be a header, a log line or a color if it were sent unchanged.
const EVIL: &str =
    "evil\r\nSet-Cookie: a=b\r\n\r\n<html>\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{85}\u{2028}x";

#[test]
fn values_never_become_heads_or_log_lines() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let mut evil = body("evil");
    evil["externalId"] = json!(EVIL);
    evil["title"] = json!(EVIL);
    let created = talk.json("POST", "/Users", Some(&evil), 201);
    assert_eq!(created["title"], EVIL, "it is kept as it came");
    let refused = talk.send("POST", "/Users", Some(&body(EVIL)));
    assert_eq!(refused.status, 400, "nobody can type that name");
    let id = created["id"].as_str().expect("an id").to_owned();
    let filter = escaped(&format!("title eq {}", json!(EVIL)));
    for target in [
        format!("/Users/{id}"),
        format!("/Users?filter={filter}"),
        format!("/Users?filter={}", escaped(EVIL)),
        format!("/Users?sortBy={}", escaped(EVIL)),
        format!("/Users?cursor={}", escaped(EVIL)),
        format!("/Users/{}", escaped(EVIL)),
        format!("/{}", escaped(EVIL)),
        format!("/Users?attributes={}", escaped(EVIL)),
    ] {
        let odd = ("User-Agent", "evil \t\u{9b}31m");
        // A split answer would be read as two answers, or not at all.
        let response = talk.send_bytes("GET", &target, odd, None);
        assert!([200, 400, 404].contains(&response.status), "{target}");
        for (name, value) in &response.headers {
            assert!(!name.eq_ignore_ascii_case("set-cookie"), "{target}: {name}");
            assert!(!value.contains("evil"), "{target}: {name}: {value}");
        }
        let text = String::from_utf8(response.body).expect("UTF-8");
        assert!(
            !text.contains(['\r', '\u{1b}', '\u{7}']),
            "{target}: {text:?}"
        );
        serde_json::from_str::<Value>(&text).expect("JSON");
    }
    let duplicate = talk.send("POST", "/Users", Some(&evil));
    assert_eq!(duplicate.status, 409);
    let change =
        json!({"schemas": [PATCH_OP], "Operations": [{"op": EVIL, "path": EVIL, "value": EVIL}]});
    assert_eq!(
        talk.send("PATCH", &format!("/Users/{id}"), Some(&change))
            .status,
        400
    );
    let odd = ("Content-Type", "text/\u{e9}vil");
    assert_eq!(
        talk.send_bytes("POST", "/Users", odd, Some(b"{}")).status,
        415
    );
    for arguments in [
        ["token", "issue", EVIL],
        ["user", "add", EVIL],
        ["user", "deactivate", EVIL],
        ["user", "show", EVIL],
    ] {
        let output = talk.server.cli(&arguments);
        let printed = [output.stdout, output.stderr].concat();
        let is_bad = |c: char| c.is_control() && c != '\n';
        assert!(!printed.contains(is_bad), "{arguments:?}: {printed:?}");
        assert!(
            !printed.contains("\nSet-Cookie"),
            "{arguments:?}: {printed:?}"
        );
    }
    talk.create("last");
    let log = talk.server.log_with("201");
    for line in log.lines() {
        assert!(
            line.starts_with("20") && line.contains("Z "),
            "no line of ours: {line:?}"
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    talk.server.stop();
}
