//! Whole users: what is kept of a body, what is ignored, and how each mode reads a body that
//! departs from the RFC.

use golinks_scim::columns::{Empty, Row};
use golinks_scim::limits;
use golinks_scim::scim::user::Echo;
use golinks_scim::scim::{Budget, ErrorType, Leniency, Patch, Tolerance, User};
use serde_json::{Value, json};

use super::{
    CORE, ENTERPRISE, PATCH_OP, check_parse, check_patch, has_used, operation, patched, user,
};

#[test]
fn values_are_kept_as_sent_and_in_order() {
    let members = json!({
        "externalId": "00u1", "displayName": " Bob  Ünal ", "title": "Äx",
        "emails": [{"value": "Z@x", "type": "WORK"}, {"value": "a@x", "primary": true, "display": "A"}],
        "addresses": [{"country": "DE", "postalCode": "01234"}],
        "active": false
    });
    check_parse(&members, &members, None);
    // Members in another order give the same user, shown in the order of the schema.
    let shuffled = user(&json!({"active": false, "title": "Äx", "externalId": "00u1"}));
    let names: Vec<&String> = shuffled.attributes().keys().collect();
    assert_eq!(names, ["externalId", "userName", "title", "active"]);
}

#[test]
fn what_the_service_provider_sets_is_ignored_and_a_password_dropped() {
    for members in [
        json!({"id": "x", "meta": {"version": "1"}, "groups": []}),
        json!({"groups": [{"value": "g"}], "ID": "y", "Meta": null}),
        json!({"password": "secret"}),
        json!({"middleName": null, "name": {"middleName": ""}, "emails": [], "roles": null}),
    ] {
        let mut leniency = Leniency::compatible();
        let mut body = json!({"schemas": [CORE], "userName": "bob"});
        for (name, value) in members.as_object().expect("members") {
            body[name] = value.clone();
        }
        let user = User::parse(body, &mut leniency).expect("ignored");
        assert_eq!(user, self::user(&json!({})), "{members}");
    }
}

/// Null means unassigned (RFC 7643 section 2.5).
#[test]
fn schemas_need_not_name_an_extension_without_values() {
    check_parse(
        &json!({"schemas": [CORE], ENTERPRISE: {"department": null}}),
        &json!({}),
        None,
    );
}

#[test]
fn a_password_is_dropped_whatever_it_is() {
    for password in [
        json!("secret"),
        json!(12_345_678),
        json!(1.5),
        json!(null),
        json!(""),
    ] {
        let body = json!({"schemas": [CORE], "userName": "bob", "password": password});
        if let Ok(user) = User::parse(body, &mut Leniency::compatible()) {
            assert_eq!(user, self::user(&json!({})), "{password}");
        }
        let operations = json!([{"op": "replace", "path": "password", "value": password}]);
        if let Ok(user) = patched(&user(&json!({})), &operations, Leniency::compatible()) {
            assert_eq!(user, self::user(&json!({})), "{password}");
        }
    }
}

#[test]
fn names_are_read_in_any_case() {
    let members = json!({"DISPLAYNAME": "B", "Name": {"GIVENNAME": "B"}, "Emails": [{"Value": "b@x", "Primary": true}]});
    let kept = json!({"name": {"givenName": "B"}, "displayName": "B", "emails": [{"value": "b@x", "primary": true}]});
    check_parse(&members, &kept, None);
}

/// The manual's page on identity providers says who sends them.
#[test]
fn each_tolerance_of_a_body_is_strict_modes_error() {
    for (members, kept, tolerance) in [
        (
            json!({"active": "False"}),
            json!({"active": false}),
            Tolerance::BooleanAsText,
        ),
        (
            json!({"title": 7}),
            json!({"title": "7"}),
            Tolerance::ScalarAsText,
        ),
        (
            json!({"shoeSize": 7}),
            json!({}),
            Tolerance::UnknownAttribute,
        ),
        (
            json!({"urn:x:y": {"a": 1}}),
            json!({}),
            Tolerance::UnknownSchema,
        ),
        (
            json!({"emails": {"value": "b@x"}}),
            json!({"emails": [{"value": "b@x"}]}),
            Tolerance::SingleValueForList,
        ),
        (
            json!({"emails": ["b@x"]}),
            json!({"emails": [{"value": "b@x"}]}),
            Tolerance::PlainValueForComplex,
        ),
        (
            json!({"name": [{"givenName": "B"}]}),
            json!({"name": {"givenName": "B"}}),
            Tolerance::ListForSingleValue,
        ),
        (
            json!({"title": []}),
            json!({}),
            Tolerance::ListForSingleValue,
        ),
        (
            json!({ENTERPRISE: []}),
            json!({}),
            Tolerance::ListForSingleValue,
        ),
        (json!({ENTERPRISE: ""}), json!({}), Tolerance::EmptyText),
        (json!({"schemas": []}), json!({}), Tolerance::MissingSchemas),
        (
            json!({"schemas": null}),
            json!({}),
            Tolerance::MissingSchemas,
        ),
        (
            json!({"schemas": [CORE], ENTERPRISE: {"department": "R"}}),
            json!({ENTERPRISE: {"department": "R"}}),
            Tolerance::MissingSchemas,
        ),
        (
            json!({"schemas": CORE}),
            json!({}),
            Tolerance::SingleValueForList,
        ),
        (
            json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
            json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": false}]}),
            Tolerance::SeveralPrimaries,
        ),
    ] {
        check_parse(&members, &kept, Some(tolerance));
    }
}

#[test]
fn what_a_body_has_under_the_schema_of_today_counts_more_than_under_the_earlier_one() {
    const EARLIER: &str = "urn:scim:schemas:extension:enterprise:1.0";
    let members = json!({EARLIER: {"manager": {"managerId": "a", "value": "b"}}});
    let kept = json!({ENTERPRISE: {"manager": {"value": "b"}}});
    check_parse(&members, &kept, Some(Tolerance::EarlierSchema));
    // Upper and lower case count as the same (RFC 7643 section 2.1).
    let members = json!({EARLIER: {"Manager": {"ManagerId": "a", "Value": "b"}}});
    check_parse(&members, &kept, Some(Tolerance::EarlierSchema));
    let members = json!({EARLIER: {"Manager": {"ManagerId": "b"}}});
    check_parse(&members, &kept, Some(Tolerance::EarlierSchema));
    let body = json!({"schemas": ["URN:scim:schemas:core:1.0", ENTERPRISE], "userName": "bob",
        ENTERPRISE: {"department": "S"}, EARLIER: {"department": "R"}});
    let read = User::parse(body, &mut Leniency::compatible()).expect("a user");
    assert_eq!(read, user(&json!({ENTERPRISE: {"department": "S"}})));
}

/// Bodies, members of patches and lines of a file alike.
#[test]
fn the_earlier_schemas_are_understood_wherever_a_member_is_named() {
    const CORE_1: &str = "urn:scim:schemas:core:1.0";
    const ENTERPRISE_1: &str = "urn:scim:schemas:extension:enterprise:1.0";
    let kept = json!({"title": "T", ENTERPRISE: {"department": "D", "manager": {"value": "m"}}});
    let manager = format!("{ENTERPRISE_1}:manager");
    let department = format!("{ENTERPRISE_1}:department");
    let extension = json!({"department": "D", "manager": {"managerId": "m"}});
    for members in [
        json!({CORE_1: {"title": "T"}, ENTERPRISE_1: extension}),
        json!({format!("{CORE_1}:title"): "T", &department: "D", &manager: {"managerId": "m"}}),
        json!({"title": "T", ENTERPRISE_1: {"department": "D", "manager": [{"managerId": "m"}]}}),
        json!({"title": "T", &department: "D", &manager: [{"managerId": "m"}]}),
        json!({"title": "T", ENTERPRISE: {"department": "D"},
            format!("{manager}.managerId"): "m"}),
    ] {
        let body = {
            let mut body = members.clone();
            body["schemas"] = json!([CORE_1, ENTERPRISE_1]);
            body["userName"] = json!("bob");
            body
        };
        let mut leniency = Leniency::compatible();
        let read = User::parse(body.clone(), &mut leniency).expect("a user");
        assert_eq!(read, user(&kept), "{body}");
        assert!(has_used(&leniency, Tolerance::EarlierSchema), "{body}");
        let error = User::parse(body, &mut Leniency::strict()).expect_err("it is strict");
        let told = format!("{CORE_1:?} must be written {CORE} (earlier-schema)");
        assert!(error.detail.starts_with(&told), "{error:?}");
        let operations = json!([{"op": "add", "value": members}]);
        check_patch(&json!({}), &operations, &kept, false);
        let within = json!([{"op": "replace", "path": CORE_1, "value": members}]);
        check_patch(&json!({}), &within, &kept, false);
    }
    let line =
        json!({"schemas": [CORE_1], "userName": "bob", "title": "T", ENTERPRISE_1: extension});
    let line = line.as_object().cloned().expect("an object");
    let row = Row::from_resource(line).expect("a row");
    let read = row.apply(None, Empty::Keep).expect("a user");
    assert_eq!(read, user(&kept), "a line of a file");
}

#[test]
fn members_may_have_paths_as_names() {
    for (members, kept) in [
        (
            json!({"name.givenName": "A", "name": {"givenName": "X", "familyName": "B"}}),
            json!({"name": {"familyName": "B", "givenName": "A"}}),
        ),
        (
            json!({format!("{ENTERPRISE}:department"): "D", ENTERPRISE: {"division": "E"}}),
            json!({ENTERPRISE: {"department": "D", "division": "E"}}),
        ),
        (
            json!({"emails[type eq \"work\"].value": "w", "emails": [{"value": "o", "type": "work"}]}),
            json!({"emails": [{"value": "w", "type": "work"}]}),
        ),
        (
            json!({CORE: {"title": "T", "externalId": "x", "id": "y"}}),
            json!({"title": "T", "externalId": "x"}),
        ),
        (json!({"meta.version": "1"}), json!({})),
    ] {
        check_parse(&members, &kept, Some(Tolerance::PathAsMember));
    }
    let nested = json!({ENTERPRISE: {"manager.value": "m", "department": "D"}});
    let kept = json!({ENTERPRISE: {"department": "D", "manager": {"value": "m"}}});
    check_parse(&nested, &kept, Some(Tolerance::PathAsMember));
    for patch in [
        json!({"op": "add", "path": ENTERPRISE, "value": nested[ENTERPRISE]}),
        json!({"op": "add", "value": nested}),
    ] {
        check_patch(&json!({}), &json!([patch]), &kept, false);
    }
    let unknown = json!({ENTERPRISE: {"manager.nosuch": "m", "title.x": "T"}});
    check_parse(&unknown, &json!({}), Some(Tolerance::UnknownAttribute));
    let unreadable = json!({"emails[type eq].value": "x", "title[0]": "x"});
    check_parse(&unreadable, &json!({}), Some(Tolerance::UnknownAttribute));
    let body = json!({"schemas": [CORE], CORE: {"userName": "bob"}});
    let named = User::parse(body, &mut Leniency::compatible()).expect("a user");
    assert_eq!(named.user_name(), "bob");
}

#[test]
fn bodies_that_nobody_can_mean() {
    for (body, kind) in [
        (
            json!({"schemas": ["urn:x"], "userName": "b"}),
            ErrorType::InvalidSyntax,
        ),
        (
            json!({"schemas": "x", "userName": "b"}),
            ErrorType::InvalidSyntax,
        ),
        (json!({"schemas": [CORE]}), ErrorType::InvalidValue),
        (
            json!({"schemas": [CORE], "name.givenName": "B"}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": ""}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": null}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": " \t\u{a0}"}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "title": [{"display": "x"}]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "title": [["x"]]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": ["b", "c"]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "active": "yes"}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "name": 1}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "name": [[{}]]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "password": {}}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", ENTERPRISE: 1}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", CORE: [{"active": false}]}),
            ErrorType::InvalidValue,
        ),
    ] {
        let error = User::parse(body.clone(), &mut Leniency::compatible()).expect_err("refused");
        assert_eq!(error.kind, kind, "{body}: {error}");
    }
}

#[test]
fn numbers_come_back_as_they_were_sent_or_are_refused() {
    for (number, kept) in [
        ("7", true),
        ("-7", true),
        ("18446744073709551615", true),
        ("1.10", false),
        ("12345678901234567890123", false),
        ("1e3", false),
        ("1001.0", false),
        ("18446744073709551616", false),
    ] {
        let body = format!("{{\"schemas\":[\"{CORE}\"],\"userName\":\"bob\",\"title\":{number}}}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let found = User::parse(body, &mut Leniency::compatible());
        assert_eq!(found.is_ok(), kept, "{number}");
        if let Ok(user) = found {
            assert_eq!(user.attributes()["title"], number);
        }
    }
}

#[test]
fn a_list_of_one_stands_for_it_where_one_value_belongs() {
    let members = json!({"title": [{"$ref": null, "value": "T"}], "active": ["False"],
        "nickName": [7], "name": {"givenName": ["G"]}});
    let body = json!({"schemas": [CORE], "userName": ["bob"]});
    let mut body = body.as_object().cloned().expect("a body");
    body.extend(members.as_object().cloned().expect("members"));
    let mut leniency = Leniency::compatible();
    let read = User::parse(Value::Object(body), &mut leniency).expect("a user");
    let wanted = json!({"userName": "bob", "name": {"givenName": "G"}, "nickName": "7",
        "title": "T", "active": false});
    assert_eq!(json!(read.attributes()), wanted);
    assert!(has_used(&leniency, Tolerance::ListForSingleValue));
    let operations = json!([{"op": "Replace", "path": "active", "value": ["False"]}]);
    let after = json!({"active": false});
    check_patch(&json!({"active": true}), &operations, &after, false);
}

#[test]
fn a_list_of_one_user_stands_for_it_in_a_patch_without_a_path() {
    let one = json!({"title": "T", "active": false});
    for (value, is_read) in [
        (json!([one]), true),
        (json!([]), false),
        (json!([one, one]), false),
        (json!([[one]]), false),
        (json!(["T"]), false),
        (json!([null]), false),
    ] {
        let body = json!({"schemas": [PATCH_OP], "Operations": [{"op": "add", "value": value}]});
        let mut leniency = Leniency::compatible();
        let patch = Patch::parse(body, &mut leniency);
        let tolerated = has_used(&leniency, Tolerance::ListForSingleValue);
        assert_eq!((patch.is_ok(), tolerated), (is_read, is_read), "{value}");
        if let Ok(patch) = patch {
            let before = user(&json!({"active": true}));
            let after = patch.apply(&before, &mut leniency, &mut Budget::default());
            assert_eq!(after, Ok(user(&one)), "{value}");
        }
    }
}

#[test]
fn a_list_without_a_value_is_unassigned_where_one_value_belongs() {
    for nothing in [json!([]), json!([null]), json!([{"value": null}])] {
        for attribute in ["title", "active"] {
            check_parse(
                &json!({ attribute: nothing }),
                &json!({}),
                Some(Tolerance::ListForSingleValue),
            );
        }
        let operations = json!({"schemas": [PATCH_OP], "Operations": [
            {"op": "replace", "path": "active", "value": nothing}]});
        let patch = Patch::parse(operations, &mut Leniency::compatible()).expect("a patch");
        assert!(patch.unassigns_active(), "{nothing}");
        let before = user(&json!({"active": true}));
        let after = patch.apply(&before, &mut Leniency::compatible(), &mut Budget::default());
        assert_eq!(after, Ok(user(&json!({}))), "{nothing}");
    }
    let name = json!({"name": [null]});
    check_parse(&name, &json!({}), Some(Tolerance::ListForSingleValue));
    // A body that neither mode accepts has the same error in both.
    for (attribute, value) in [
        ("title", json!([true])),
        ("title", json!([1.5])),
        ("title", json!([{}])),
        ("active", json!(["yes"])),
        ("name", json!([7])),
    ] {
        let body = json!({"schemas": [CORE], "userName": "u", attribute: value});
        let errors = [Leniency::compatible(), Leniency::strict()]
            .map(|mut leniency| User::parse(body.clone(), &mut leniency).expect_err("no value"));
        assert_eq!(errors[0].detail, errors[1].detail, "{attribute}: {value}");
    }
}

#[test]
fn a_stale_formatted_name_does_not_outlive_its_parts() {
    let before =
        user(&json!({"name": {"formatted": "Ann Old", "givenName": "Ann", "familyName": "Old"}}));
    for (formatted, family, outdated, sent) in [
        (json!("Ann Old"), "New", json!("Ann New"), json!("Ann New")),
        (json!("Ann Old"), "Old", json!("Ann Old"), json!("Ann Old")),
        (
            json!("Ms. Ann B. New"),
            "New",
            json!("Ms. Ann B. New"),
            json!("Ms. Ann B. New"),
        ),
        // This `formatted` is neither the stored one nor made of these parts: in an outdated echo,
        // it is an older one.
        (
            json!("Ann Older"),
            "New",
            json!("Ann New"),
            json!("Ann Older"),
        ),
        (json!(null), "New", json!(null), json!(null)),
    ] {
        for (is_outdated, wanted) in [(true, outdated), (false, sent)] {
            let name = json!({"formatted": formatted, "givenName": "Ann", "familyName": family});
            let mut after = user(&json!({"name": name}));
            after.refresh_formatted_name(&before, is_outdated);
            let found = after.attributes()["name"].get("formatted").cloned();
            assert_eq!(found.unwrap_or_default(), wanted, "{name} {is_outdated}");
            // If the echo is outdated, the same body sent again gives the same user.
            let mut again = user(&json!({"name": name}));
            again.refresh_formatted_name(&after, is_outdated);
            assert!(!is_outdated || again == after, "{name}: {again:?}");
        }
    }
}

#[test]
fn an_echo_is_outdated_unless_it_tells_the_version_that_is_stored() {
    for (body, is_outdated) in [
        (json!({"userName": "1"}), None),
        (json!("id"), None),
        (json!({"ID": "1"}), Some(true)),
        (json!({"meta": "W/\"3\""}), Some(true)),
        (json!({"meta": {"version": 3}}), Some(true)),
        (
            json!({"id": "1", "meta": {"version": "W/\"2\""}}),
            Some(true),
        ),
        (json!({"Meta": {"Version": "W/\"3\""}}), Some(false)),
    ] {
        let found = Echo::of(&body, &Leniency::compatible());
        let found = found.map(|echo| echo.is_outdated("W/\"3\""));
        assert_eq!(found, is_outdated, "{body}");
        assert_eq!(Echo::of(&body, &Leniency::strict()), None, "{body}");
    }
}

/// Attributes that a newer release has stored must still be there when that release runs again.
#[test]
fn what_is_stored_under_a_name_that_nobody_knows_stays() {
    let stored = json!({"schemas": [CORE], "id": "x", "shoeSize": {"value": 7}, "userName": "bob",
        "title": "T", "active": true});
    let stored = User::from_stored(&stored.to_string()).expect("a user");
    let operations = json!([
        operation("replace", "title", "U"),
        operation("add", "nickName", "N")
    ]);
    for leniency in [Leniency::compatible(), Leniency::strict()] {
        let after = patched(&stored, &operations, leniency).expect("a user");
        let names: Vec<&String> = after.attributes().keys().collect();
        assert_eq!(
            names,
            ["userName", "nickName", "title", "active", "shoeSize"]
        );
        assert_eq!(after.attributes()["shoeSize"], json!({"value": 7}));
    }
    let row = |members: Value| {
        let row = Row::from_resource(members.as_object().cloned().expect("members"));
        row.expect("a row").apply(Some(&stored), Empty::Clear)
    };
    let after = row(json!({"userName": "bob", "title": null})).expect("a user");
    assert_eq!(after.attributes()["shoeSize"], json!({"value": 7}));
    assert!(after.attributes().get("title").is_none());
    let mut sent = user(&json!({"title": "U"}));
    sent.keep_unknown(&stored);
    assert_eq!(sent.attributes()["shoeSize"], json!({"value": 7}));
    // Clients cannot set such an attribute.
    assert!(row(json!({"userName": "bob", "shoeSize": 8})).is_err());
    let sent = json!([operation("replace", "shoeSize", 8)]);
    assert_eq!(
        patched(&stored, &sent, Leniency::compatible()).as_ref(),
        Ok(&stored)
    );
}

#[test]
fn of_what_is_ignored_only_so_many_names_are_kept() {
    let mut body = json!({"schemas": [CORE], "userName": "u"});
    for number in 0..limits::IGNORED_PER_REQUEST_MAX + 5 {
        body[format!("unknown{number}")] = json!("x");
    }
    let mut leniency = Leniency::compatible();
    User::parse(body, &mut leniency).expect("a user");
    let kept = leniency.tolerated().iter().map(|it| it.ignored.len());
    assert!(kept.eq([limits::IGNORED_PER_REQUEST_MAX]));
}
