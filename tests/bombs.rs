//! Small requests designed to be expensive: JSON, filters, patches and bulk requests. Each is
//! refused or handled within bounds, and the server goes on serving.

use std::io::Write;
use std::time::Duration;

use golinks_scim::http1::client::Response;
use golinks_scim::limits;
use serde_json::{Value, json};

use crate::support::wire::{self, Door};
use crate::support::{CORE, Talk, body, escaped, scim_error, status_number};

const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const JSON: (&str, &str) = ("Content-Type", "application/scim+json");

/// The JSON of a user with these further members, given as text that begins with a comma.
fn user(members: &str) -> String {
    format!("{{\"schemas\":[\"{CORE}\"],\"userName\":\"bomb\"{members}}}")
}

/// The most processor time that a request may cost the server. Unlike elapsed time, it does not
/// depend on how busy the machine is: the cost of a bomb is bounded by the size of its request.
const COST_MAX: Duration = Duration::from_secs(10);

/// The processor time that the server has used. Linux counts it in hundredths of a second.
fn used(talk: &Talk) -> Duration {
    let path = format!("/proc/{}/stat", talk.server.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("behind its name");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks = ticks.map(|it| it.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn sent(talk: &mut Talk, method: &str, target: &str, body: &[u8]) -> Response {
    let what = format!(
        "{method} {target} {}",
        String::from_utf8_lossy(&body[..body.len().min(80)])
    );
    let before = used(talk);
    let response = talk.send_bytes(method, target, JSON, Some(body));
    let cost = used(talk).saturating_sub(before);
    assert!(cost < COST_MAX, "{what}: {cost:?}");
    if response.status >= 400 {
        scim_error(&response, &what);
    }
    response
}

fn assert_status(what: &str, response: &Response, wanted: &[u16]) {
    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(300)]);
    let status = response.status;
    assert!(wanted.contains(&status), "{what}: {status} {text}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn json_that_means_to_exhaust_is_refused() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let many = |count: usize, one: &str| vec![one; count].join(",");
    let rows: Vec<(&str, String, &[u16])> = vec![
        ("arrays without an end", "[".repeat(1_000_000), &[400]),
        ("objects without an end", "{\"a\":".repeat(200_000), &[400]),
        (
            "a deep value",
            user(&format!(
                ",\"title\":{}{}",
                "[".repeat(5000),
                "]".repeat(5000)
            )),
            &[400],
        ),
        (
            "a deep unknown",
            user(&format!(
                ",\"x\":{}1{}",
                "{\"a\":".repeat(120),
                "}".repeat(120)
            )),
            &[201],
        ),
        (
            "the same name twice",
            user(",\"userName\":\"other\""),
            &[400],
        ),
        (
            "the same name in other letters",
            user(",\"USERNAME\":\"other\""),
            &[400],
        ),
        (
            "the same sub-attribute twice",
            user(",\"name\":{\"givenName\":\"a\",\"givenName\":\"b\"}"),
            &[400],
        ),
        ("a number beyond all", user(",\"title\":1e999999"), &[400]),
        (
            "a number of 100,000 digits",
            user(&format!(",\"title\":{}", "9".repeat(100_000))),
            &[400],
        ),
        ("a number as a boolean", user(",\"active\":-0"), &[400]),
        (
            "a string too long",
            user(&format!(",\"title\":\"{}\"", "x".repeat(1_000_000))),
            &[413],
        ),
        (
            "escapes that grow",
            user(&format!(",\"title\":\"{}\"", "\\u0001".repeat(100_000))),
            &[413],
        ),
        (
            "half a surrogate pair",
            user(",\"title\":\"\\ud800\""),
            &[400],
        ),
        (
            "a pair the wrong way round",
            user(",\"title\":\"\\udc00\\ud800\""),
            &[400],
        ),
        (
            "half a surrogate pair in a name",
            user(",\"\\ud800\":1"),
            &[400],
        ),
        (
            "a NUL in the userName",
            user("").replace("bomb", "bo\\u0000mb"),
            &[400],
        ),
        ("a NUL in a title", user(",\"title\":\"\\u0000\""), &[201]),
        ("a byte order mark", format!("\u{feff}{}", user("")), &[201]),
        (
            "two byte order marks",
            format!("\u{feff}\u{feff}{}", user("")),
            &[400],
        ),
        (
            "80,000 unknown members",
            user(&format!(
                ",{}",
                (0..80_000)
                    .map(|n| format!("\"x{n}\":1"))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
            &[201],
        ),
        (
            "40,000 members that are paths",
            user(&format!(
                ",{}",
                (10_000..50_000)
                    .map(|n| format!("\"ims[type eq {n}]\":1"))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
            &[400],
        ),
        (
            "too many emails",
            user(&format!(",\"emails\":[{}]", many(100_000, "{}"))),
            &[400, 413],
        ),
        (
            "the same schema 10,000 times",
            user("").replace(
                &format!("\"{CORE}\""),
                &many(10_000, &format!("\"{CORE}\"")),
            ),
            &[201],
        ),
        (
            "a userName of 60,000 letters",
            user("").replace("bomb", &"b".repeat(60_000)),
            &[400],
        ),
        (
            "a title of 60,000 letters",
            user(&format!(",\"title\":\"{}\"", "b".repeat(60_000))),
            &[201],
        ),
        ("two documents", format!("{}{}", user(""), user("")), &[400]),
        ("spaces alone", " ".repeat(1_000_000), &[400]),
        ("one byte too many", " ".repeat(1024 * 1024 + 1), &[413]),
    ];
    for (number, (what, body, statuses)) in rows.into_iter().enumerate() {
        let body = body.replacen("bomb", &format!("bomb{number}"), 1);
        let response = sent(&mut talk, "POST", "/Users", body.as_bytes());
        assert_status(what, &response, statuses);
    }
    talk.create("afterwards");
    talk.server.stop();
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn filters_and_searches_that_mean_to_exhaust_are_refused() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for number in 0..50 {
        let mut user = body(&format!("user{number}"));
        user["title"] = json!("a".repeat(30_000));
        talk.json("POST", "/Users", Some(&user), 201);
    }
    let clauses = |count: usize, joint: &str| vec!["title eq \"x\""; count].join(joint);
    let quadratic = format!("title co \"{}b\"", "a".repeat(3000));
    let rows: Vec<(&str, String, u16)> = vec![
        ("parentheses", "(".repeat(4000), 400),
        (
            "pairs of them",
            format!("{}title pr{}", "(".repeat(1000), ")".repeat(1000)),
            400,
        ),
        ("negations", format!("{}title pr", "not ".repeat(900)), 400),
        (
            "negated groups",
            format!("{}title pr{}", "not (".repeat(500), ")".repeat(500)),
            400,
        ),
        (
            "value paths in value paths",
            format!("{}value pr{}", "emails[".repeat(400), "]".repeat(400)),
            400,
        ),
        ("many clauses", clauses(200, " or "), 400),
        ("as many as may be", clauses(100, " and "), 200),
        ("a long path", format!("{} pr", ".a".repeat(1900)), 400),
        ("a long URN", format!("urn:{} pr", "a:".repeat(1900)), 400),
        (
            "a long text",
            format!("title eq \"{}\"", "x".repeat(5000)),
            400,
        ),
        (
            "a text that nearly matches everywhere",
            quadratic.clone(),
            200,
        ),
        (
            "it again, negated",
            format!("not (title co \"{}b\")", "a".repeat(3500)),
            200,
        ),
        (
            "escapes",
            format!("title eq \"{}\"", "\\u0041".repeat(600)),
            200,
        ),
        (
            "half a surrogate pair",
            "title eq \"\\ud800\"".to_owned(),
            400,
        ),
        (
            "a number that is a text to us",
            "title eq 1e999999".to_owned(),
            200,
        ),
        ("a text without an end", "title eq \"".to_owned(), 400),
    ];
    for (what, filter, status) in &rows {
        let request = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": filter, "count": 1
        });
        let posted = sent(
            &mut talk,
            "POST",
            "/Users/.search",
            request.to_string().as_bytes(),
        );
        assert_eq!(posted.status, *status, "{what}");
        let target = format!("/Users?count=1&filter={}", escaped(filter));
        // The HTTPS server refuses a line of more than 8 KiB.
        let wanted: &[u16] = if target.len() > 8000 {
            &[400, 414]
        } else {
            &[*status]
        };
        let asked = sent(&mut talk, "GET", &target, b"");
        assert!(wanted.contains(&asked.status), "{what}: {}", asked.status);
    }
    for (what, query, status) in [
        ("a long search", format!("search={}", "a".repeat(3000)), 400),
        ("many words", format!("search={}", "a%20".repeat(120)), 200),
        (
            "accents upon accents",
            format!("search=a{}", "%CC%81".repeat(120)),
            200,
        ),
        (
            "a long list of attributes",
            format!("attributes={}", "a,".repeat(2500)),
            200,
        ),
        ("a long sort", format!("sortBy={}", "a.".repeat(2500)), 400),
        (
            "a cursor of nobody",
            format!("cursor={}", "A".repeat(1025)),
            400,
        ),
        ("a thousand parameters", "count=1&".repeat(900), 400),
        (
            "numbers beyond all",
            "startIndex=99999999999999999999&count=1".to_owned(),
            200,
        ),
    ] {
        let asked = sent(&mut talk, "GET", &format!("/Users?{query}"), b"");
        let text = String::from_utf8_lossy(&asked.body[..asked.body.len().min(300)]);
        assert_eq!(asked.status, status, "{what}: {text}");
    }
    talk.server.stop();
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn patches_and_bulks_that_mean_to_exhaust_are_refused() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let mut rich = body("rich");
    let emails: Vec<Value> = (0..900)
        .map(|n| json!({"value": format!("e{n}@x")}))
        .collect();
    rich["emails"] = json!(emails);
    let user = talk.json("POST", "/Users", Some(&rich), 201);
    let target = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let patch = |operations: Vec<Value>| {
        json!({"schemas": [PATCH_OP], "Operations": operations}).to_string()
    };
    let each = |operation: Value, count: usize| vec![operation; count];
    let email = |n: usize| json!({"op": "replace", "path": format!("emails[value eq \"e{n}@x\"].display"), "value": "d"});
    let slow = format!(
        "emails[{}].display",
        vec!["value co \"zz\""; 90].join(" or ")
    );
    for (what, body, statuses) in [
        (
            "as many operations as may be",
            patch((0..900).map(email).collect()),
            &[200][..],
        ),
        ("one too many", patch(each(email(1), 1001)), &[400, 413]),
        (
            "filters that look at everything, often",
            patch(each(
                json!({"op": "replace", "path": slow, "value": "d"}),
                1000,
            )),
            &[400, 413],
        ),
        (
            "values that double",
            patch(each(
                json!({"op": "add", "path": "emails", "value": emails}),
                20,
            )),
            &[200, 400, 413],
        ),
        (
            "a text in a thousand places",
            patch(each(
                json!({"op": "add", "path": "emails[value pr].display", "value": "x".repeat(800)}),
                1000,
            )),
            &[400, 413],
        ),
        (
            "a deep path",
            patch(vec![
                json!({"op": "add", "path": format!("emails{}", "[value pr".repeat(300)), "value": 1}),
            ]),
            &[400],
        ),
    ] {
        let response = sent(&mut talk, "PATCH", &target, body.as_bytes());
        assert_status(what, &response, statuses);
    }
    let create = |n: usize| json!({"method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data": body(&format!("bulk{n}"))});
    let within =
        |operations: Vec<Value>| json!({"schemas": [BULK], "Operations": operations}).to_string();
    for (what, body, statuses) in [
        (
            "one operation too many",
            within((0..1001).map(create).collect()),
            &[413][..],
        ),
        ("the same bulkId twice", within(each(create(1), 2)), &[200]),
        (
            "a bulk in a bulk",
            within(vec![
                json!({"method": "POST", "path": "/Bulk", "bulkId": "x", "data": {}}),
            ]),
            &[200, 400],
        ),
        (
            "references in a cycle",
            within(vec![
                json!({"method": "POST", "path": "/Users", "bulkId": "p", "data": manager("p", "q")}),
                json!({"method": "POST", "path": "/Users", "bulkId": "q", "data": manager("q", "p")}),
            ]),
            &[200],
        ),
    ] {
        let response = sent(&mut talk, "POST", "/Bulk", body.as_bytes());
        assert_status(what, &response, statuses);
    }
    talk.create("afterwards");
    talk.server.stop();
}

/// Each letter U+FDFA becomes eighteen where texts are compared without accents. The operations are
/// small, but each handles the whole user while all other writes wait.
#[test]
fn small_changes_to_users_that_are_costly_to_compare_are_bounded() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let text = |bytes: usize| "\u{fdfa}".repeat(bytes / 3);
    let mut named = body("named");
    named["name"] = json!({
        "formatted": text(30_000), "honorificPrefix": text(8000), "givenName": text(8000),
        "middleName": text(8000), "familyName": "Doe", "honorificSuffix": text(8000)
    });
    let mut reached = body("reached");
    let emails = (0..110).map(|n| json!({"value": text(510), "type": n.to_string()}));
    reached["emails"] = emails.collect();
    for (what, user) in [("a long name", named), ("long addresses", reached)] {
        let user = talk.json("POST", "/Users", Some(&user), 201);
        let path = format!("/Users/{}", user["id"].as_str().expect("an id"));
        let change = |n: usize| {
            let data =
                json!([{"op": "replace", "path": "name.familyName", "value": n.to_string()}]);
            json!({"method": "PATCH", "path": path, "data": data})
        };
        let operations: Vec<Value> = (0..260).map(change).collect();
        let bulk = json!({"schemas": [BULK], "Operations": operations}).to_string();
        let response = sent(&mut talk, "POST", "/Bulk", bulk.as_bytes());
        assert_status(what, &response, &[200]);
    }
    talk.server.stop();
}

fn manager(name: &str, of: &str) -> Value {
    let mut user = body(name);
    user["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] =
        json!({"manager": {"value": format!("bulkId:{of}")}});
    user
}

/// A value may take two bytes as text but many in memory, so the server bounds how much it parses
/// at a time, however many connections there are.
#[test]
fn large_bodies_at_once_stay_within_memory() {
    const AT_ONCE: usize = 40;
    let door = Door::open();
    let objects = limits::BODY_VALUES_MAX / (limits::BODY_OBJECT_VALUES + 2) - 10;
    let search = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
    let body = |objects: usize| {
        let list = vec!["{\"\":0}"; objects].join(",");
        format!("{{\"schemas\":[\"{search}\"],\"x\":[{list}]}}")
    };
    for (at_once, objects, status) in [(2, 140_000, 400), (AT_ONCE, objects, 200)] {
        let body = body(objects);
        let head = format!(
            "POST /scim/v2/.search HTTP/1.1\r\nHOST\r\nContent-Length: {}\r\n\
             Content-Type: application/scim+json\r\n\r\n",
            body.len()
        );
        let (most, last) = body.split_at(body.len() - 1);
        let mut all: Vec<_> = (0..at_once).map(|_| door.connect()).collect();
        for tls in &mut all {
            tls.write_all(&door.with_token(&head)).expect("taken");
            tls.write_all(most.as_bytes()).expect("taken");
        }
        // Now the server could handle all of them at the same moment.
        for tls in &mut all {
            tls.write_all(last.as_bytes()).expect("taken");
        }
        let answers = all.iter_mut().map(|tls| wire::read(tls, false).status);
        let answers: Vec<u16> = answers.collect();
        // On a busy machine, a request may wait for its turn in vain.
        let is_allowed = |answer: &u16| [status, 503].contains(answer);
        assert!(answers.iter().all(is_allowed), "{objects}: {answers:?}");
        let taken = answers.iter().filter(|&&answer| answer == status).count();
        let at_least = at_once.min(limits::BULK_BODIES_AT_ONCE_MAX);
        assert!(taken >= at_least, "{objects}: {answers:?}");
    }
    let mib = status_number(door.server.pid(), "VmHWM:").expect("it runs") / 1024;
    println!("{AT_ONCE} bodies at once: at most {mib} MiB");
    assert!(mib < 300, "{mib} MiB");
}
