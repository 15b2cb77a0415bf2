//! RFC 9865, clause by clause, against the real binary: pages by cursor.

use serde_json::{Value, json};

use crate::support::{Talk, body, scim_error};

const USERS: usize = 7;

fn directory() -> (Talk, Vec<String>) {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let ids = (0..USERS)
        .map(|index| {
            let mut user = body(&format!("u{index}"));
            user["title"] = json!(format!("t{}", (index * 3) % USERS));
            let created = talk.json("POST", "/Users", Some(&user), 201);
            created["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    (talk, ids)
}

fn ids(page: &Value) -> Vec<String> {
    let users = page["Resources"].as_array().expect("Resources");
    let id = |user: &Value| user["id"].as_str().expect("an id").to_owned();
    users.iter().map(id).collect()
}

fn cursor(page: &Value, name: &str) -> Option<String> {
    page.get(name)
        .map(|cursor| cursor.as_str().expect("a cursor is a string").to_owned())
}

/// Walks forward through all pages, then back again. Returns the ids of the walk forward.
fn walk(talk: &mut Talk, query: &str, count: usize) -> Vec<String> {
    let mut pages = Vec::new();
    let mut next = Some(String::new());
    let mut back = None;
    while let Some(from) = next {
        let target = format!("/Users?{query}&cursor={from}&count={count}");
        let page = talk.json("GET", &target, None, 200);
        assert_eq!(page["itemsPerPage"], ids(&page).len(), "{target}");
        assert!(page.get("startIndex").is_none(), "{page}");
        assert_eq!(
            page.get("previousCursor").is_some(),
            !pages.is_empty(),
            "{page}"
        );
        next = cursor(&page, "nextCursor");
        back = cursor(&page, "previousCursor");
        pages.push(ids(&page));
    }
    for wanted in pages.iter().rev().skip(1) {
        let from = back.expect("every page but the first has a page before it");
        let target = format!("/Users?{query}&cursor={from}&count={count}");
        let page = talk.json("GET", &target, None, 200);
        assert_eq!(ids(&page), *wanted, "{target}");
        assert!(page.get("nextCursor").is_some(), "{page}");
        back = cursor(&page, "previousCursor");
    }
    assert_eq!(back, None, "there is nothing before the first page");
    pages.concat()
}

#[test]
fn section_2_walks_forward_and_back() {
    let (mut talk, created) = directory();
    let mut by_title = created.clone();
    by_title.sort_by_key(|id| {
        let index = created.iter().position(|one| one == id).expect("created");
        (index * 3) % USERS
    });
    for count in [1, 2, 3, 6, 7, 100] {
        assert_eq!(walk(&mut talk, "x", count), created, "{count}");
        let filtered = walk(&mut talk, "filter=userName%20ne%20%22u3%22", count);
        assert_eq!(filtered.len(), USERS - 1, "{count}");
        assert!(!filtered.contains(&created[3]), "{count}");
        assert_eq!(walk(&mut talk, "search=u", count), created, "{count}");
        let sorted = walk(&mut talk, "sortBy=title", count);
        assert_eq!(sorted, by_title, "{count}");
        let mut descending = walk(&mut talk, "sortBy=title&sortOrder=descending", count);
        descending.reverse();
        assert_eq!(descending, by_title, "{count}");
    }
    let nobody = talk.json(
        "GET",
        "/Users?filter=title%20eq%20%22x%22&cursor",
        None,
        200,
    );
    assert_eq!(nobody["Resources"], json!([]));
    assert!(nobody.get("nextCursor").is_none() && nobody.get("previousCursor").is_none());
}

#[test]
fn section_2_deletions_move_nobody() {
    let (mut talk, created) = directory();
    let first = talk.json("GET", "/Users?cursor&count=3", None, 200);
    let next = cursor(&first, "nextCursor").expect("there is more");
    for id in [&created[0], &created[2], &created[3]] {
        talk.json("DELETE", &format!("/Users/{id}"), None, 204);
    }
    let second = talk.json("GET", &format!("/Users?cursor={next}&count=3"), None, 200);
    assert_eq!(ids(&second), created[4..7]);
    assert_eq!(second["totalResults"], 4);
    assert!(second.get("nextCursor").is_none(), "{second}");
    let back = cursor(&second, "previousCursor").expect("there is a page before");
    let before = talk.json("GET", &format!("/Users?cursor={back}&count=3"), None, 200);
    assert_eq!(ids(&before), [created[1].clone()]);
    // Now no user is left before or at the cursor's place.
    for id in [&created[1], &created[4]] {
        talk.json("DELETE", &format!("/Users/{id}"), None, 204);
    }
    let nobody = talk.json("GET", &format!("/Users?cursor={back}&count=3"), None, 200);
    assert_eq!(nobody["Resources"], json!([]));
    assert_eq!(nobody["totalResults"], 2);
}

#[test]
fn section_2_counts() {
    let (mut talk, _) = directory();
    for (count, shown) in [("0", 0), ("-1", 0), ("100000", USERS), ("2", 2)] {
        let page = talk.json("GET", &format!("/Users?cursor&count={count}"), None, 200);
        assert_eq!(page["itemsPerPage"], shown, "{count}");
        assert_eq!(page["totalResults"], USERS, "{count}");
        assert_eq!(page.get("nextCursor").is_some(), count == "2", "{count}");
    }
}

#[test]
fn section_2_1_errors() {
    let (mut talk, _) = directory();
    let page = talk.json("GET", "/Users?sortBy=title&cursor&count=2", None, 200);
    let cursor = cursor(&page, "nextCursor").expect("there is more");
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    assert!(cursor.chars().all(unreserved), "{cursor}");
    let mut forged = cursor.clone();
    forged.replace_range(30..31, if &cursor[30..31] == "A" { "B" } else { "A" });
    for (query, scim_type) in [
        (format!("sortBy=title&cursor={forged}"), "invalidCursor"),
        (
            format!("sortBy=title&cursor={}", &cursor[1..]),
            "invalidCursor",
        ),
        ("cursor=7".to_owned(), "invalidCursor"),
        // A cursor is sealed for its own query.
        (format!("sortBy=userName&cursor={cursor}"), "invalidCursor"),
        (format!("cursor={cursor}"), "invalidCursor"),
        (
            format!("sortBy=title&search=u&cursor={cursor}"),
            "invalidCursor",
        ),
        (
            format!("sortBy=title&startIndex=1&cursor={cursor}"),
            "invalidCursor",
        ),
        (
            format!("sortBy=title&count=two&cursor={cursor}"),
            "invalidCount",
        ),
        ("cursor&count=1.5".to_owned(), "invalidCount"),
    ] {
        let response = talk.send("GET", &format!("/Users?{query}"), None);
        let error = scim_error(&response, &query);
        assert_eq!(
            (response.status, &error["scimType"]),
            (400, &json!(scim_type)),
            "{query}"
        );
    }
    // The same query in another spelling is the same query.
    let same = format!("/Users?SORTBY=TITLE&sortOrder=ascending&count=5&cursor={cursor}");
    talk.json("GET", &same, None, 200);
    // Another principal's cursor is refused like a cursor that never existed.
    let output = talk.server.cli(&["token", "issue", "other"]);
    talk.authorization = format!("Bearer {}", output.stdout.trim());
    let target = format!("/Users?sortBy=title&cursor={cursor}");
    assert_eq!(
        talk.json("GET", &target, None, 400)["scimType"],
        "invalidCursor"
    );
}

#[test]
fn a_cursor_outlives_a_restart() {
    let (talk, created) = directory();
    let mut talk = talk;
    let page = talk.json("GET", "/Users?cursor&count=2", None, 200);
    let cursor = cursor(&page, "nextCursor").expect("there is more");
    let authorization = talk.authorization.clone();
    let mut talk = Talk::with(crate::support::Server::start_on(
        talk.server.stop_and_keep(),
    ));
    talk.authorization = authorization;
    // A deletion in the meantime does not shift the pages.
    let gone = format!("/Users/{}", created[0]);
    assert_eq!(talk.send("DELETE", &gone, None).status, 204);
    let page = talk.json("GET", &format!("/Users?cursor={cursor}&count=2"), None, 200);
    assert_eq!(ids(&page), created[2..4]);
}

#[test]
fn section_4_a_posted_query_pages_by_cursor() {
    let (mut talk, created) = directory();
    let mut message = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "attributes": ["userName"], "filter": "userName sw \"u\"", "cursor": "", "count": 5
    });
    let first = talk.json("POST", "/Users/.search", Some(&message), 200);
    assert_eq!(ids(&first), created[..5]);
    message["cursor"] = first["nextCursor"].clone();
    let second = talk.json("POST", "/.search", Some(&message), 200);
    assert_eq!(ids(&second), created[5..]);
    // A cursor from a GET is also valid for a POST of the same query.
    let page = talk.json(
        "GET",
        "/Users?filter=userName%20sw%20%22u%22&cursor&count=1",
        None,
        200,
    );
    message["cursor"] = page["nextCursor"].clone();
    let third = talk.json("POST", "/Users/.search", Some(&message), 200);
    assert_eq!(ids(&third), created[1..6]);
    // Its errors are those of a GET.
    for (member, value, scim_type) in [
        ("count", json!("two"), "invalidCount"),
        ("count", json!(1.5), "invalidCount"),
        ("cursor", json!(5), "invalidCursor"),
        ("startIndex", json!(1), "invalidCursor"),
    ] {
        let mut message = message.clone();
        message[member] = value;
        let error = talk.json("POST", "/Users/.search", Some(&message), 400);
        assert_eq!(error["scimType"], scim_type, "{message}");
    }
}
