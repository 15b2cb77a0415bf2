//! The other parameters of a query: sorting, projection, search; queries that are POSTed or
//! contradict themselves (sections 3.4.2.3, 3.4.3, 3.9).

use golinks_scim::limits;
use serde_json::{Value, json};

use super::{ENTERPRISE, directory, names};
use crate::support::{CORE, Talk, escaped, scim_error};

#[test]
fn section_3_4_2_3_sorting() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for (name, title, email) in [
        ("d", Some("b"), "2@x"),
        ("B", None, "4@x"),
        ("a", Some("B"), "1@x"),
        ("É", Some("a"), "3@x"),
    ] {
        let mut user = json!({"schemas": [CORE], "userName": name,
            "emails": [{"value": "0@x"}, {"value": email, "primary": true}]});
        if let Some(title) = title {
            user["title"] = json!(title);
        }
        talk.json("POST", "/Users", Some(&user), 201);
    }
    for (query, wanted) in [
        ("sortBy=userName", ["a", "B", "d", "É"]),
        ("sortBy=userName&sortOrder=descending", ["É", "d", "B", "a"]),
        // Titles that differ only in case stay in order of creation, also when descending.
        ("sortBy=title&sortOrder=ascending", ["É", "d", "a", "B"]),
        ("sortBy=title&sortOrder=Descending", ["B", "d", "a", "É"]),
        // A list sorts by its primary value.
        ("sortBy=emails", ["a", "d", "É", "B"]),
        (
            "sortBy=emails.value&sortOrder=descending",
            ["B", "É", "d", "a"],
        ),
        ("sortBy=meta.created", ["d", "B", "a", "É"]),
        (
            "sortBy=urn:ietf:params:scim:schemas:core:2.0:User:userName",
            ["a", "B", "d", "É"],
        ),
        // sortOrder alone sorts nothing.
        ("sortOrder=descending", ["d", "B", "a", "É"]),
    ] {
        let page = talk.json("GET", &format!("/Users?{query}"), None, 200);
        assert_eq!(names(&page), wanted, "{query}");
        for (index, name) in wanted.iter().enumerate() {
            let target = format!("/Users?{query}&startIndex={}&count=1", index + 1);
            let page = talk.json("GET", &target, None, 200);
            assert_eq!(names(&page), [*name], "{target}");
            assert_eq!(page["totalResults"], 4, "{target}");
        }
    }
    for query in [
        "sortBy=nothing",
        "sortBy=name",
        "sortBy=userName&sortOrder=up",
    ] {
        let response = talk.send("GET", &format!("/Users?{query}"), None);
        let error = scim_error(&response, query);
        assert_eq!(
            (response.status, &error["scimType"]),
            (400, &json!("invalidValue")),
            "{query}"
        );
    }
}

/// Users are the only resources that can be queried.
#[test]
fn section_3_4_2_1_the_root_answers_like_users() {
    let mut talk = directory();
    for query in ["", "?filter=title%20pr&attributes=userName", "?count=1"] {
        let users = talk.json("GET", &format!("/Users{query}"), None, 200);
        for root in ["", "/"] {
            let page = talk.json("GET", &format!("{root}{query}"), None, 200);
            assert_eq!(page, users, "{root}{query}");
        }
    }
    for filter in ["nosuch%20eq%20%221%22", "title%20pr%20and"] {
        let refused = talk.json("GET", &format!("/?filter={filter}"), None, 400);
        assert_eq!(refused["scimType"], "invalidFilter", "{filter}");
    }
}

#[test]
fn section_3_4_3_a_query_can_be_posted() {
    let mut talk = directory();
    let message = |members: &Value| {
        let mut message =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
        for (name, value) in members.as_object().expect("members") {
            message[name] = value.clone();
        }
        message
    };
    let query = message(&json!({
        "attributes": ["userName", "name.familyName"], "filter": "title pr or active eq false",
        "sortBy": "userName", "sortOrder": "descending", "startIndex": 2, "count": 10
    }));
    for target in ["/Users/.search", "/.search"] {
        let page = talk.json("POST", target, Some(&query), 200);
        assert_eq!(names(&page), ["carl@example.com", "Bjensen"], "{target}");
        assert_eq!(
            (
                &page["totalResults"],
                &page["startIndex"],
                &page["itemsPerPage"]
            ),
            (&json!(3), &json!(2), &json!(2))
        );
        let user = page["Resources"][0].as_object().expect("a user");
        let members: Vec<&String> = user.keys().collect();
        assert_eq!(members, ["schemas", "id", "userName", "name"], "{target}");
    }
    let page = talk.json("POST", "/Users/.search", Some(&message(&json!({}))), 200);
    assert_eq!(page["totalResults"], 3);
    let page = talk.json("GET", "?filter=title%20pr", None, 200);
    assert_eq!(page["totalResults"], 2, "at the root");
    // A whole number in any notation of JSON.
    for (start, count, shown) in [
        (json!(2.0), json!(1e0), (2, 1)),
        (json!(1e30), json!(10), (limits::START_INDEX_MAX, 0)),
        (json!(-1e30), json!(1e30), (1, 3)),
        (json!(1), json!(-0.0), (1, 0)),
    ] {
        let query = message(&json!({"startIndex": start, "count": count}));
        let page = talk.json("POST", "/Users/.search", Some(&query), 200);
        let found = [&page["startIndex"], &page["itemsPerPage"]];
        assert_eq!(found, [&json!(shown.0), &json!(shown.1)], "{query}");
    }
    // Numbers as texts, like in a GET.
    let texts = message(
        &json!({"startIndex": "2", "count": "+1", "sortBy": "userName",
        "attributes": "userName, name.familyName", "excludedAttributes": "name"}),
    );
    for target in ["/Users/.search", "/.search"] {
        let page = talk.json("POST", target, Some(&texts), 200);
        let found = [&page["startIndex"], &page["itemsPerPage"]];
        assert_eq!(found, [&json!(2), &json!(1)], "{target}");
        let user = page["Resources"][0].as_object().expect("a user");
        let members: Vec<&String> = user.keys().collect();
        assert_eq!(members, ["schemas", "id", "userName"], "{target}");
    }
    for (members, scim_type) in [
        (json!({"filter": "shoeSize pr"}), "invalidFilter"),
        (json!({"filter": 7}), "invalidValue"),
        (json!({"count": "ten"}), "invalidValue"),
        (json!({"startIndex": 1.5}), "invalidValue"),
        (json!({"startIndex": "1.5"}), "invalidValue"),
        (json!({"count": ""}), "invalidValue"),
        (json!({"attributes": 7}), "invalidValue"),
        (
            json!({"attributes": vec!["userName"; limits::VALUES_MAX + 1]}),
            "invalidValue",
        ),
        (json!({"sortBy": "shoeSize"}), "invalidValue"),
        (json!({"schemas": [CORE]}), "invalidSyntax"),
        // A body does not expose a secret in a URI, but nobody may filter on a password.
        (json!({"filter": "password pr"}), "invalidFilter"),
    ] {
        let response = talk.send("POST", "/Users/.search", Some(&message(&members)));
        let error = scim_error(&response, &members.to_string());
        assert_eq!(
            (response.status, &error["scimType"]),
            (400, &json!(scim_type)),
            "{members}"
        );
    }
}

#[test]
fn section_3_9_projections_keep_what_is_always_returned() {
    let mut talk = directory();
    let first = |page: &Value| -> Vec<String> {
        let user = page["Resources"][0].as_object().expect("a user");
        user.keys().cloned().collect()
    };
    for (query, wanted) in [
        ("attributes=userName", vec!["schemas", "id", "userName"]),
        ("attributes=id", vec!["schemas", "id"]),
        ("attributes=nothing", vec!["schemas", "id"]),
        (
            "attributes=meta.version,TITLE",
            vec!["schemas", "id", "title", "meta"],
        ),
        (
            "attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            vec!["schemas", "id", ENTERPRISE],
        ),
        (
            "attributes=urn:ietf:params:scim:schemas:core:2.0:User&excludedAttributes=emails,name",
            vec![
                "schemas",
                "id",
                "externalId",
                "userName",
                "displayName",
                "title",
                "userType",
                "active",
                "ims",
                "meta",
            ],
        ),
        (
            "excludedAttributes=urn:ietf:params:scim:schemas:core:2.0:User",
            vec!["schemas", "id", ENTERPRISE],
        ),
        (
            "excludedAttributes=id,schemas,meta,emails,name,displayName,title,userType,ims,active",
            vec!["schemas", "id", "externalId", "userName", ENTERPRISE],
        ),
        (
            "attributes=userName,externalId&excludedAttributes=externalId,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            vec!["schemas", "id", "userName"],
        ),
        // A list may be given in several parameters.
        (
            "attributes=userName&attributes=title&Attributes=externalId&excludedAttributes=title&excludedAttributes=nothing",
            vec!["schemas", "id", "externalId", "userName"],
        ),
    ] {
        let page = talk.json("GET", &format!("/Users?count=1&{query}"), None, 200);
        assert_eq!(first(&page), wanted, "{query}");
    }
}

/// Whichever value the server used, the client also meant the other one.
#[test]
fn section_3_4_2_a_parameter_that_says_two_things_is_refused() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let strict = ["token", "issue", "strict", "--mode", "strict"];
    let strict = talk.server.cli(&strict).stdout;
    let compatible = talk.authorization.clone();
    for authorization in [format!("Bearer {}", strict.trim()), compatible] {
        talk.authorization = authorization;
        for (query, scim_type) in [
            ("filter=userName+pr&FILTER=title+pr", "invalidFilter"),
            ("filter=&filter=title+pr", "invalidFilter"),
            ("cursor&cursor=x", "invalidCursor"),
            ("count=1&count=2", "invalidValue"),
            ("startIndex=1&startIndex=", "invalidValue"),
            ("sortBy=title&sortBy=userName", "invalidValue"),
            ("sortOrder=ascending&sortOrder=descending", "invalidValue"),
            ("search=a&search=b", "invalidValue"),
        ] {
            let error = talk.json("GET", &format!("/Users?{query}"), None, 400);
            assert_eq!(error["scimType"], scim_type, "{query}: {error}");
            let detail = error["detail"].as_str().expect("a detail");
            assert!(detail.contains("is given twice"), "{query}: {detail}");
        }
        // A parameter that is only blank counts as absent; an empty cursor asks for the first page.
        let blank = "filter=+&search=+&sortBy=+&sortOrder=+&startIndex=+&count=+&count=+";
        let all = talk.json("GET", &format!("/Users?{blank}"), None, 200);
        assert_eq!(all["startIndex"], 1);
        let first = talk.json("GET", "/Users?cursor=&count=", None, 200);
        assert!(first.get("startIndex").is_none(), "{first}");
        let error = talk.json("GET", "/Users?cursor=+", None, 400);
        assert_eq!(error["scimType"], "invalidCursor");
        for (number, status) in [(Value::Null, 200), (json!(""), 400)] {
            let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
                "count": number});
            talk.json("POST", "/Users/.search", Some(&message), status);
        }
    }
}

/// DIFFERENCE(search): `search` is no parameter of RFC 7644. It finds people by words, whatever
/// their case and accents.
#[test]
fn search_finds_people_by_words() {
    let mut talk = directory();
    let [b, c, d] = ["Bjensen", "carl@example.com", "dora"];
    for (search, wanted) in [
        ("bjens", vec![b, d]),
        ("ANGSTROM", vec![b]),
        ("ångstr", vec![b]),
        ("malley barb", vec![b]),
        ("barbara zett", vec![]),
        ("example.org", vec![b]),
        ("c", vec![b, c, d]),
        ("ZETT", vec![c]),
        ("nobody", vec![]),
        ("", vec![b, c, d]),
    ] {
        let target = format!("/Users?search={}", escaped(search));
        let page = talk.json("GET", &target, None, 200);
        assert_eq!(names(&page), wanted, "{search}");
        assert_eq!(page["totalResults"], wanted.len(), "{search}");
        let listed = talk
            .server
            .cli(&["user", "list", "--search", search, "-o", "jsonl"]);
        // On the command line an empty text, perhaps an unset variable, does not list everybody.
        let lines = if search.is_empty() { 0 } else { wanted.len() };
        assert_eq!(listed.stdout.lines().count(), lines, "{search}");
    }
    let target =
        "/Users?search=example&filter=active%20eq%20true&sortBy=userName&sortOrder=descending";
    assert_eq!(names(&talk.json("GET", target, None, 200)), [d, b]);
    // A changed user is found by the new words and no longer by the old ones.
    let carl = talk.json("GET", "/Users?search=carl", None, 200)["Resources"][0].clone();
    let mut changed = carl.clone();
    changed["userName"] = json!("Søren");
    changed["emails"] = json!([]);
    let target = format!("/Users/{}", carl["id"].as_str().expect("an id"));
    talk.json("PUT", &target, Some(&changed), 200);
    assert_eq!(
        talk.json("GET", "/Users?search=carl", None, 200)["totalResults"],
        0
    );
    assert_eq!(
        names(&talk.json("GET", "/Users?search=soren", None, 200)),
        ["Søren"]
    );
    talk.json("DELETE", &target, None, 204);
    assert_eq!(
        talk.json("GET", "/Users?search=soren", None, 200)["totalResults"],
        0
    );
    let long = format!("/Users?search={}", "x".repeat(257));
    assert_eq!(
        talk.json("GET", &long, None, 400)["scimType"],
        "invalidValue"
    );
}
