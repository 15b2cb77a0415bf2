//! RFC 7644 section 3.4 and 3.9, clause by clause, against the real binary: retrieving,
//! filtering, sorting, paging, projecting. `DIFFERENCE` marks a deviation.

use golinks_scim::limits;
use serde_json::{Value, json};

use crate::support::{CORE, Talk, escaped, scim_error};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Three people in whom the filters of this file find differences.
fn directory() -> Talk {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for user in [
        json!({
            "schemas": [CORE, ENTERPRISE], "userName": "Bjensen", "externalId": "Ext-1",
            "name": {"familyName": "O'Malley", "givenName": "Barbara"}, "title": "Guide",
            "userType": "Employee", "active": true, "displayName": "Ångström",
            "emails": [{"value": "Bjensen@Example.com", "type": "work", "primary": true},
                       {"value": "babs@example.org", "type": "home"}],
            "ims": [{"type": "xmpp", "value": "babs@foo.com"}],
            ENTERPRISE: {"department": "Tours", "employeeNumber": "7",
                         "manager": {"value": "boss-1"}}
        }),
        json!({
            "schemas": [CORE], "userName": "carl@example.com", "externalId": "ext-1",
            "name": {"familyName": "Zett"}, "userType": "Intern", "active": false,
            "emails": [{"value": "carl@example.com", "type": "home"}]
        }),
        json!({
            "schemas": [CORE], "userName": "dora", "title": "guide", "active": true,
            "emails": [{"value": "bjensen@example.com", "type": "other"}]
        }),
    ] {
        talk.json("POST", "/Users", Some(&user), 201);
    }
    talk
}

fn names(page: &Value) -> Vec<String> {
    let users = page["Resources"].as_array().expect("Resources");
    let name = |user: &Value| user["userName"].as_str().unwrap_or("?").to_owned();
    users.iter().map(name).collect()
}

/// The three, in order of creation.
const ALL: [&str; 3] = ["Bjensen", "carl@example.com", "dora"];

/// A filter, and whom it finds.
type Row = (&'static str, Vec<&'static str>);

fn examples_of_the_rfc() -> Vec<Row> {
    let [b, c, d] = ALL;
    vec![
        // The examples of the RFC, with values of these people.
        (r#"userName eq "bjensen""#, vec![b]),
        (r#"name.familyName co "O'Malley""#, vec![b]),
        (r#"userName sw "B""#, vec![b]),
        (
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B""#,
            vec![b],
        ),
        ("title pr", vec![b, d]),
        (
            r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
            ALL.to_vec(),
        ),
        (
            r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
            ALL.to_vec(),
        ),
        (r#"meta.lastModified lt "2011-05-13T04:42:34Z""#, vec![]),
        (
            r#"meta.lastModified le "2999-05-13T04:42:34+02:00""#,
            ALL.to_vec(),
        ),
        // The end of the time that can be written, and of a day.
        (
            r#"meta.lastModified lt "9999-12-31T23:59:59Z""#,
            ALL.to_vec(),
        ),
        (r#"meta.created ge "9999-12-31T23:59:59.999-23:59""#, vec![]),
        (
            r#"meta.lastModified gt "2011-05-13T24:00:00Z""#,
            ALL.to_vec(),
        ),
        (r#"title pr and userType eq "Employee""#, vec![b]),
        (r#"title pr or userType eq "Intern""#, ALL.to_vec()),
        (
            r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
            vec![b],
        ),
        (
            r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
            vec![b],
        ),
        (
            r#"userType ne "Employee" and not (emails co "example.org" or emails.value co "xyz")"#,
            vec![c, d],
        ),
        (
            r#"userType eq "Employee" and (emails.type eq "work")"#,
            vec![b],
        ),
        (
            r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
            vec![b],
        ),
        (
            r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
            vec![b],
        ),
    ]
}

fn grammar_and_comparisons() -> Vec<Row> {
    let [b, c, d] = ALL;
    vec![
        // Precedence: not, and, or (erratum 4690).
        (
            r#"userName eq "dora" or userName eq "x" and active eq false"#,
            vec![d],
        ),
        (
            r#"(userName eq "dora" or userName eq "x") and active eq false"#,
            vec![],
        ),
        (
            r#"not (active eq true) and userName pr or title eq "guide""#,
            vec![b, c, d],
        ),
        // A value path followed by a sub-attribute: of the same element.
        (
            r#"emails[type eq "work"].value eq "bjensen@example.com""#,
            vec![b],
        ),
        (
            r#"emails[type eq "home"].value eq "bjensen@example.com""#,
            vec![],
        ),
        (r#"emails[value eq "BJENSEN@example.com"]"#, vec![b, d]),
        (
            r#"emails[type eq "other" or value eq "babs@example.org"]"#,
            vec![b, d],
        ),
        (r#"emails[not (type eq "home")]"#, vec![b, d]),
        // A complex attribute alone stands for its value.
        (r#"emails eq "bjensen@EXAMPLE.com""#, vec![b, d]),
        (r#"emails.value eq "carl@example.com""#, vec![c]),
        (
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "boss-1""#,
            vec![b],
        ),
        (
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value sw "boss""#,
            vec![b],
        ),
        // caseExact: externalId and id regard case, userName does not.
        (r#"externalId eq "Ext-1""#, vec![b]),
        (r#"externalId eq "ext-1""#, vec![c]),
        (r#"EXTERNALID EQ "EXT-1""#, vec![]),
        (r#"uSeRnAmE eQ "DORA""#, vec![d]),
        (r#"displayName eq "ÅNGSTRÖM""#, vec![b]),
        (r#"displayName eq "Angstrom""#, vec![]),
        // Booleans, null, presence.
        ("active eq true", vec![b, d]),
        ("active ne true", vec![c]),
        (r#"active eq "False""#, vec![c]),
        ("title eq null", vec![c]),
        ("title ne null", vec![b, d]),
        ("not (title pr)", vec![c]),
        ("emails[primary eq true]", vec![b]),
        // RFC 7643 section 2.4: false is assumed where nothing is said.
        ("emails[primary eq false]", vec![b, c, d]),
        ("emails.primary eq false", vec![b, c, d]),
        (r#"emails[type eq "work" and primary eq "False"]"#, vec![]),
        ("emails.primary ne true", vec![b, c, d]),
        ("emails[primary ne false]", vec![b]),
        ("emails.primary pr", vec![b]),
        // What is assumed is not assigned.
        ("emails.primary eq null", vec![c, d]),
        ("photos.primary eq false", vec![]),
        // No text is equal to a boolean, neither by index nor by looking.
        ("userName eq true", vec![]),
        ("not (userName eq true)", vec![b, c, d]),
        ("externalId eq false", vec![]),
        ("name.givenName pr", vec![b]),
        // Order among texts.
        (r#"userName gt "bjensen" and userName lt "dora""#, vec![c]),
        (
            r#"userName ge "bjensen" and userName le "DORA""#,
            vec![b, c, d],
        ),
        (
            r#"meta.resourceType eq "User" and userName ew "A""#,
            vec![d],
        ),
    ]
}

#[test]
fn section_3_4_2_2_filters_find_whom_they_describe() {
    let mut talk = directory();
    for (filter, wanted) in examples_of_the_rfc()
        .into_iter()
        .chain(grammar_and_comparisons())
    {
        let target = format!("/Users?filter={}", escaped(filter));
        let page = talk.json("GET", &target, None, 200);
        assert_eq!(names(&page), wanted, "{filter}");
        assert_eq!(page["totalResults"], wanted.len(), "{filter}");
        // Pages are cut from what matches, not the other way round.
        let second = talk.json("GET", &format!("{target}&startIndex=2&count=1"), None, 200);
        let rest: Vec<&str> = wanted.iter().copied().skip(1).take(1).collect();
        assert_eq!(names(&second), rest, "{filter}");
        assert_eq!(second["totalResults"], wanted.len(), "{filter}");
    }
}

/// What is stored are whole milliseconds; what it is compared with may be finer.
#[test]
fn section_3_4_2_2_moments_are_compared_with_what_lies_between_them() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    for attribute in ["created", "lastModified"] {
        let stored = user["meta"][attribute].as_str().expect("a dateTime");
        let stored = stored.strip_suffix('Z').expect("of UTC");
        for (rest, matching) in [
            ("Z", vec!["eq", "ge", "le"]),
            ("0000Z", vec!["eq", "ge", "le"]),
            ("5000Z", vec!["ne", "lt", "le"]),
            ("000001Z", vec!["ne", "lt", "le"]),
        ] {
            for op in ["eq", "ne", "gt", "ge", "lt", "le"] {
                let filter = format!("meta.{attribute} {op} \"{stored}{rest}\"");
                let target = format!("/Users?filter={}", escaped(&filter));
                let page = talk.json("GET", &target, None, 200);
                let found = usize::from(matching.contains(&op));
                assert_eq!(page["totalResults"], found, "{filter}");
            }
        }
    }
}

#[test]
fn section_3_4_2_2_what_is_no_filter_is_an_error_that_says_where() {
    let mut talk = directory();
    for (filter, position) in [
        ("shoeSize eq 7", 1),
        ("userName", 9),
        ("userName eq", 12),
        ("title pr and", 13),
        ("title pr title pr", 10),
        ("(title pr", 10),
        ("active gt true", 15),
        ("name eq \"x\"", 12),
        ("emails[shoe eq 1]", 8),
        ("userName[value eq 1]", 10),
        ("meta.created gt \"soon\"", 23),
        ("meta.created gt \"2011-05-13 04:42:34Z\"", 39),
    ] {
        let target = format!("/Users?filter={}", escaped(filter));
        let response = talk.send("GET", &target, None);
        let error = scim_error(&response, filter);
        assert_eq!(
            (response.status, &error["scimType"]),
            (400, &json!("invalidFilter")),
            "{filter}"
        );
        let detail = error["detail"].to_string();
        let wanted = format!("position {position}:");
        assert!(detail.contains(&wanted), "{filter}: {detail}");
        let is_inside = filter.contains("[shoe");
        let of_the_list = "\\\"shoe\\\" is not a part of emails";
        assert_eq!(
            detail.contains(of_the_list),
            is_inside,
            "{filter}: {detail}"
        );
    }
}

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
        // The same title in another case: in order of creation, also when it descends.
        ("sortBy=title&sortOrder=ascending", ["É", "d", "a", "B"]),
        ("sortBy=title&sortOrder=Descending", ["B", "d", "a", "É"]),
        // The primary value of a list.
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
    // A whole number, however JSON has it.
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
    for (members, scim_type) in [
        (json!({"filter": "shoeSize pr"}), "invalidFilter"),
        (json!({"filter": 7}), "invalidValue"),
        (json!({"count": "ten"}), "invalidValue"),
        (json!({"startIndex": 1.5}), "invalidValue"),
        (json!({"startIndex": "1"}), "invalidValue"),
        (json!({"attributes": "userName"}), "invalidValue"),
        (json!({"sortBy": "shoeSize"}), "invalidValue"),
        (json!({"schemas": [CORE]}), "invalidSyntax"),
        // In a body it is no secret in a URI, and still nothing to filter on.
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
            "excludedAttributes=id,schemas,meta,emails,name,displayName,title,userType,ims,active",
            vec!["schemas", "id", "externalId", "userName", ENTERPRISE],
        ),
        (
            "attributes=userName,externalId&excludedAttributes=externalId,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            vec!["schemas", "id", "userName"],
        ),
        // A list may come in several pieces.
        (
            "attributes=userName&attributes=title&Attributes=externalId&excludedAttributes=title&excludedAttributes=nothing",
            vec!["schemas", "id", "externalId", "userName"],
        ),
    ] {
        let page = talk.json("GET", &format!("/Users?count=1&{query}"), None, 200);
        assert_eq!(first(&page), wanted, "{query}");
    }
}

/// Whatever of the two were taken, the other was meant as well.
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
        // One that is blank alone is none; a cursor that is empty is the first page.
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

/// A text that looks like a number is found by how it is spelled, with quotes or without.
#[test]
fn section_3_4_2_2_a_number_is_compared_as_it_was_spelled() {
    let mut talk = Talk::start(&[]);
    for (name, external_id) in [
        ("1.50", "1.10"),
        ("two", "1e5"),
        ("three", "123456789012345678901"),
    ] {
        let user = json!({"schemas": [CORE], "userName": name, "externalId": external_id});
        talk.json("POST", "/Users", Some(&user), 201);
        for filter in [
            format!("externalId eq {external_id}"),
            format!("externalId eq \"{external_id}\""),
            format!("not (externalId ne {external_id})"),
            format!("externalId co {external_id}"),
        ] {
            let target = format!("/Users?filter={}", escaped(&filter));
            assert_eq!(
                names(&talk.json("GET", &target, None, 200)),
                [name],
                "{filter}"
            );
        }
    }
    let cased = json!({"schemas": [CORE], "userName": "1e9", "emails": [{"value": "7"}]});
    talk.json("POST", "/Users", Some(&cased), 201);
    for (filter, wanted) in [
        ("userName+eq+1.50", "1.50"),
        ("userName+eq+1E9", "1e9"),
        ("userName+sw+1E9", "1e9"),
        ("emails%5Bvalue+eq+7%5D", "1e9"),
    ] {
        let page = talk.json("GET", &format!("/Users?filter={filter}"), None, 200);
        assert_eq!(names(&page), [wanted], "{filter}");
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
        // A variable that is not set is no search for everybody.
        let lines = if search.is_empty() { 0 } else { wanted.len() };
        assert_eq!(listed.stdout.lines().count(), lines, "{search}");
    }
    let target =
        "/Users?search=example&filter=active%20eq%20true&sortBy=userName&sortOrder=descending";
    assert_eq!(names(&talk.json("GET", target, None, 200)), [d, b]);
    // What changes is found by its new words and not by the old ones.
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
