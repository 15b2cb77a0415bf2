//! Filters: whom they find, how they compare, and texts that are not filters (section 3.4.2.2).

use serde_json::json;

use super::{directory, names};
use crate::support::{CORE, Talk, escaped, scim_error};

/// The three, in order of creation.
const ALL: [&str; 3] = ["Bjensen", "carl@example.com", "dora"];

/// A filter and the people it finds.
type Row = (&'static str, Vec<&'static str>);

fn examples_of_the_rfc() -> Vec<Row> {
    let [b, c, d] = ALL;
    vec![
        // The examples of the RFC and some like them, with the values of these people.
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
        // The last moment that a text can express, and the end of a day.
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
        // A sub-attribute after a value path is one of the selected element.
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
        // caseExact: case matters in externalId and id, but not in userName.
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
        ("meta.lastModified eq null", vec![]),
        ("title eq null", vec![c]),
        ("title ne null", vec![b, d]),
        ("not (title pr)", vec![c]),
        ("emails[primary eq true]", vec![b]),
        // RFC 7643 section 2.4: `primary` is false where it is not given.
        ("emails[primary eq false]", vec![b, c, d]),
        ("emails.primary eq false", vec![b, c, d]),
        (r#"emails[type eq "work" and primary eq "False"]"#, vec![]),
        ("emails.primary ne true", vec![b, c, d]),
        ("emails[primary ne false]", vec![b]),
        ("emails.primary pr", vec![b]),
        // But an assumed value does not count as present.
        ("emails.primary eq null", vec![c, d]),
        ("photos.primary eq false", vec![]),
        ("name.givenName pr", vec![b]),
        // Texts have an order.
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
        // Matches are selected before pages are cut.
        let second = talk.json("GET", &format!("{target}&startIndex=2&count=1"), None, 200);
        let rest: Vec<&str> = wanted.iter().copied().skip(1).take(1).collect();
        assert_eq!(names(&second), rest, "{filter}");
        assert_eq!(second["totalResults"], wanted.len(), "{filter}");
    }
}

/// Clients that encode by RFC 3986, or leave that to a URL library, send `+` as it is.
#[test]
fn section_3_4_2_2_a_plus_is_itself_beside_percent_encoded_spaces() {
    let mut talk = Talk::start(&[]);
    talk.create("jane+test@example.com");
    for (filter, found) in [
        ("userName%20eq%20%22jane+test@example.com%22", 1),
        ("userName%20eq%20%22jane%2Btest@example.com%22", 1),
        ("userName+eq+%22jane%2Btest%40example.com%22", 1),
        ("userName+eq+%22jane+test%40example.com%22", 0),
        ("meta.created%20gt%20%222011-05-13T04:42:34+02:00%22", 1),
    ] {
        let page = talk.json("GET", &format!("/Users?filter={filter}"), None, 200);
        assert_eq!(page["totalResults"], found, "{filter}");
    }
}

/// Stored moments are whole milliseconds; a filter may give finer ones.
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
        ("active eq \"maybe\"", 18),
        ("active ne 5", 12),
        ("displayName eq “Ångström”", 16),
        // Not at the next word, which would be taken for an attribute.
        ("title eq 'this and that'", 10),
        ("userName eq 'bob", 13),
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

/// A text that looks like a number is compared by its spelling, with or without quotes.
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

/// Some clients leave out the quotes whatever the text is. Strict mode then reads a boolean, which
/// equals no text, whether the attribute is looked up in an index or compared.
#[test]
fn section_3_4_2_2_a_boolean_beside_a_text_is_a_text_without_quotes() {
    let mut talk = Talk::start(&[]);
    for (name, external_id) in [("true", "False"), ("other", "true")] {
        let user = json!({"schemas": [CORE], "userName": name, "externalId": external_id,
            "title": name, "emails": [{"value": name}]});
        talk.json("POST", "/Users", Some(&user), 201);
    }
    let (one, other) = (vec!["true"], vec!["other"]);
    let rows = [
        ("userName eq true", one.clone(), false),
        ("userName eq TRUE", one.clone(), false),
        ("externalId eq False", one.clone(), false),
        ("externalId eq false", vec![], false),
        ("title eq true", one.clone(), false),
        ("title co true", one.clone(), false),
        ("title ne true", other.clone(), true),
        ("emails.value ne true", other.clone(), true),
        ("emails[value eq true]", one, false),
        ("id ne false", vec!["true", "other"], true),
    ];
    let search = |talk: &mut Talk, filter: &str| {
        let target = format!("/Users?filter={}", escaped(filter));
        talk.json("GET", &target, None, 200)
    };
    for (filter, wanted, _) in &rows {
        assert_eq!(names(&search(&mut talk, filter)), *wanted, "{filter}");
    }
    let strict = ["token", "change", "all", "--mode", "strict"];
    assert_eq!(talk.server.cli(&strict).status, Some(0));
    for (filter, _, is_everybody) in rows {
        let found = search(&mut talk, filter)["totalResults"].clone();
        assert_eq!(found, if is_everybody { 2 } else { 0 }, "{filter}");
    }
}
