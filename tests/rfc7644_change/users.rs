//! Creating, replacing and deleting users; their versions, and simultaneous changes of one user
//! (sections 3.3, 3.5.1, 3.6, 3.14).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use golinks_scim::http1::client::Response;
use serde_json::{Value, json};

use super::{json_of, patch, target};
use crate::support::{Talk, body, scim_error};

fn send(
    talk: &mut Talk,
    method: &str,
    target: &str,
    header: (&str, &str),
    body: Option<&Value>,
) -> Response {
    let body = body.map(|body| body.to_string().into_bytes());
    talk.send_bytes(method, target, header, body.as_deref())
}

#[test]
fn section_3_3_a_create_answers_with_the_user_and_where_it_is() {
    let mut talk = Talk::start(&[]);
    let response = talk.send("POST", "/Users", Some(&body("u")));
    assert_eq!(response.status, 201);
    let user = json_of(&response);
    let location = user["meta"]["location"].as_str();
    assert_eq!(response.header("location"), location);
    assert_eq!(response.header("etag"), user["meta"]["version"].as_str());
    let again = talk.send("POST", "/Users", Some(&body("U")));
    let error = scim_error(&again, "the same name in another case");
    assert_eq!(
        (again.status, &error["scimType"]),
        (409, &json!("uniqueness"))
    );
    // A name is refused if it is too long or could look like another one.
    let (longest, too_long) = ("u".repeat(1024), "u".repeat(1025));
    talk.create(&longest);
    let filter = format!("/Users?filter=userName%20eq%20%22{longest}%22");
    assert_eq!(talk.json("GET", &filter, None, 200)["totalResults"], 1);
    for name in [
        too_long.as_str(),
        "u ",
        "\u{a0}u",
        "u\n",
        "u\u{200b}",
        "\u{ad}u",
        "u\u{202e}",
        "u\0",
        "\u{feff}",
        "u\u{fe0f}",
        "u\u{e0061}",
        "u\u{200d}",
        "\u{200c}u",
        "\u{438}\u{200d}\u{432}",
        "\u{639}\u{200c}\u{200c}\u{631}",
    ] {
        let error = talk.json("POST", "/Users", Some(&body(name)), 400);
        assert_eq!(error["scimType"], "invalidValue", "{name:?}");
        let target = format!("/Users/{}", user["id"].as_str().expect("text"));
        let error = talk.json("PUT", &target, Some(&body(name)), 400);
        assert_eq!(error["scimType"], "invalidValue", "{name:?}");
    }
    // But a non-joiner between joining letters, as in Persian names, is accepted.
    talk.create("\u{639}\u{644}\u{6cc}\u{200c}\u{631}");
}

#[test]
fn section_3_5_1_a_replace_takes_away_what_it_does_not_hold() {
    let mut talk = Talk::start(&[]);
    let mut first = body("u");
    first["title"] = json!("T");
    first["active"] = json!(false);
    let user = talk.json("POST", "/Users", Some(&first), 201);
    let replaced = talk.json("PUT", &target(&user), Some(&body("v")), 200);
    assert!(replaced.get("title").is_none(), "{replaced}");
    assert_eq!(replaced["userName"], "v");
    assert_eq!(replaced["id"], user["id"]);
    // DIFFERENCE(active-stays): `active` stays when it is left out, because identity providers that
    // leave it out do not mean to reactivate the user.
    assert_eq!(replaced["active"], false);
    // A replace and a patch meet the same conflict.
    talk.create("other");
    let conflict = patch(&json!([{"op": "replace", "path": "userName", "value": "OTHER"}]));
    for (method, body) in [("PUT", body("Other")), ("PATCH", conflict)] {
        let error = talk.json(method, &target(&user), Some(&body), 409);
        assert_eq!(error["scimType"], "uniqueness", "{method}");
    }
    let mut nameless = body("v");
    nameless.as_object_mut().expect("a body").remove("userName");
    let error = talk.json("PUT", &target(&user), Some(&nameless), 400);
    assert_eq!(error["scimType"], "invalidValue");
    // A replace never creates a user.
    talk.json(
        "PUT",
        "/Users/00000000-0000-8000-8000-000000000000",
        Some(&body("w")),
        404,
    );
}

#[test]
fn section_3_6_deleted_is_gone() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    talk.json("DELETE", &target(&user), None, 204);
    for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(body("u")))] {
        talk.json(method, &target(&user), body.as_ref(), 404);
    }
    let again = talk.create("u");
    assert_ne!(again["id"], user["id"]);
}

#[test]
fn section_3_14_versions() {
    // DIFFERENCE(weak-if-match): the tags are weak, but match in If-Match too.
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    let target = target(&user);
    let first = "W/\"1\"";
    let got = talk.send("GET", &target, None);
    assert_eq!(got.header("etag"), Some(first));

    let unchanged = send(&mut talk, "GET", &target, ("If-None-Match", first), None);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), Some(first));
    for (header, status) in [
        (("If-None-Match", "W/\"2\""), 200),
        (("If-Match", first), 200),
        (("If-Match", "*"), 200),
        (("If-None-Match", "*"), 304),
        (("If-Match", "W/\"2\", W/\"3\""), 412),
        (("If-Match", "1"), 412),
    ] {
        let response = send(&mut talk, "GET", &target, header, None);
        assert_eq!(response.status, status, "{header:?}");
    }

    let change = patch(&json!([{"op": "replace", "path": "title", "value": "T"}]));
    let mut replaced = body("u");
    replaced["title"] = json!("R");
    for (method, body) in [
        ("PATCH", Some(&change)),
        ("PUT", Some(&replaced)),
        ("DELETE", None),
    ] {
        for header in [
            ("If-Match", "W/\"7\""),
            ("If-None-Match", first),
            ("If-None-Match", "*"),
        ] {
            let response = send(&mut talk, method, &target, header, body);
            assert_eq!(response.status, 412, "{method} {header:?}");
            scim_error(&response, method);
        }
    }
    assert_eq!(talk.json("GET", &target, None, 200), user);

    let changed = send(
        &mut talk,
        "PATCH",
        &target,
        ("If-Match", first),
        Some(&change),
    );
    assert_eq!(
        (changed.status, changed.header("etag")),
        (200, Some("W/\"2\""))
    );
    let late = send(
        &mut talk,
        "PUT",
        &target,
        ("If-Match", first),
        Some(&replaced),
    );
    assert_eq!(late.status, 412);
    let gone = send(&mut talk, "DELETE", &target, ("If-Match", "\"2\""), None);
    assert_eq!(gone.status, 204);
    let nobody = send(&mut talk, "DELETE", &target, ("If-Match", "*"), None);
    assert_eq!(nobody.status, 404);
}

/// Each writer adds one to the number that it has read, and begins again on 412. No increment is
/// lost only if comparing the version and writing the change are one step.
#[test]
fn section_3_14_of_two_changes_at_once_none_is_lost() {
    const EACH: usize = 25;
    const WRITERS: usize = 4;
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let mut counted = body("counter");
    counted["title"] = json!("0");
    let user = talk.json("POST", "/Users", Some(&counted), 201);
    let (target, refused) = (target(&user), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let mut client = talk.server.client();
            let (target, refused, authorization) = (&target, &refused, &talk.authorization);

            scope.spawn(move || {
                let mut send = |method, headers: &[(&str, &str)], body: Option<&Value>| {
                    let body = body.map(|body| body.to_string().into_bytes());
                    let mut all = vec![("Authorization", authorization.as_str())];
                    all.extend_from_slice(headers);
                    let request = golinks_scim::http1::client::Request {
                        method,
                        target,
                        headers: &all,
                        body: body.as_deref(),
                    };
                    client.send(&request).expect("an answer").0
                };
                let mut done = 0;
                while done < EACH {
                    let read = send("GET", &[], None);
                    let version = read.header("etag").expect("a version").to_owned();
                    let title: Option<usize> = json_of(&read)["title"]
                        .as_str()
                        .and_then(|number| number.parse().ok());
                    let next = title.expect("a number") + 1;
                    let change = patch(&json!([
                        {"op": "replace", "path": "title", "value": next.to_string()}
                    ]));
                    let answer = send("PATCH", &[("If-Match", &version)], Some(&change));
                    match answer.status {
                        200 => done += 1,
                        412 => drop(refused.fetch_add(1, Ordering::SeqCst)),
                        other => panic!("{other}: {}", json_of(&answer)),
                    }
                }
            });
        }
    });
    let last = talk.json("GET", &target, None, 200);
    assert_eq!(last["title"], (EACH * WRITERS).to_string());
    assert!(refused.load(Ordering::SeqCst) > 0, "they never met");
}
