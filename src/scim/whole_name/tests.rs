//! Tests what becomes of a whole name when its parts change, appear or disappear.

use serde_json::{Value, json};

use super::*;

fn after(then: &Value, now: &Value, is_outdated: bool) -> Option<String> {
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    refreshed(Some(&object(then)), &object(now), is_outdated)
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn a_whole_follows_its_parts_in_the_form_that_it_has() {
    for (whole, given, family, new_given, new_family, wanted) in [
        ("Ann Lee", "Ann", "Lee", "Bea", "Lee", "Bea Lee"),
        (
            "Dr Ann Lee, PhD",
            "Ann",
            "Lee",
            "Ann",
            "Kim",
            "Dr Ann Kim, PhD",
        ),
        ("Lee, Ann", "Ann", "Lee", "Bea", "Kim", "Kim, Bea"),
        // The parts are exchanged with each other, and one is inside the other.
        ("Mr Kim Lee", "Kim", "Lee", "Lee", "Kim", "Mr Lee Kim"),
        (
            "Albright, Al",
            "Al",
            "Albright",
            "Bo",
            "Albright",
            "Albright, Bo",
        ),
        ("山田太郎", "太郎", "山田", "次郎", "山田", "山田次郎"),
        // A match as a word of its own comes before one within another word.
        ("ﾀｶﾅｼ ｶﾅ", "ｶﾅ", "ﾀｶﾅｼ", "ﾕｷ", "ﾀｶﾅｼ", "ﾀｶﾅｼ ﾕｷ"),
        ("野々村 野", "野", "野々村", "花", "野々村", "野々村 花"),
        ("佐々木佐", "佐", "佐々木", "花", "佐々木", "佐々木花"),
        // The whole was changed before the part.
        (
            "Ms Maria Luisa Rossi",
            "Maria",
            "Rossi",
            "Maria Luisa",
            "Rossi",
            "Ms Maria Luisa Rossi",
        ),
        (
            "Ann Smith-Jones",
            "Ann",
            "Smith",
            "Ann",
            "Smith-Jones",
            "Ann Smith-Jones",
        ),
        // The whole does not contain the part, contains it twice, or contains it as part of
        // something else: it is composed anew.
        (
            "Bob Smith",
            "Robert",
            "Smith",
            "Alice",
            "Smith",
            "Alice Smith",
        ),
        ("Ann (Ann) Lee", "Ann", "Lee", "Bea", "Lee", "Bea Lee"),
        ("Robert Smith", "Rob", "Smith", "Bob", "Smith", "Bob Smith"),
        (
            "Dr Ann-Lee",
            "Ann",
            "Ann-Lee",
            "Bea",
            "Ann-Lee",
            "Bea Ann-Lee",
        ),
        (
            "M. de Santa Maria",
            "Maria",
            "de Santa Maria",
            "Ana",
            "de Santa Maria",
            "Ana de Santa Maria",
        ),
        (
            "Pat O'Brien",
            "Pat",
            "Brien",
            "Pat",
            "O'Brien",
            "Pat O'Brien",
        ),
        ("Lee, Ann", "Ann", "Lee", "", "Lee", "Lee"),
        ("山田太郎", "太郎", "山田", "", "山田", "山田"),
        // A title outlasts the part that is removed.
        ("Dr Ann Lee", "Ann", "Lee", "", "Lee", "Dr Lee"),
        ("Lee, Ann, PhD", "Ann", "Lee", "", "Kim", "Kim, PhD"),
        ("Ann (Ann) Lee", "Ann", "Lee", "", "Lee", "Lee"),
        ("Ann Lee (Bea)", "Ann", "Lee", "Ann", "", "Ann (Bea)"),
        ("Kim (Ann) Lee", "Ann", "Lee", "", "Lee", "Lee"),
        ("रामचन्द्र शर्मा", "राम", "शर्मा", "श्याम", "शर्मा", "श्याम शर्मा"),
        ("Jose\u{301} Lee", "Jose", "Lee", "Bea", "Lee", "Bea Lee"),
        // Spaces of any kind stay as the author wrote them.
        ("Ann  Lee ", "Ann", "Lee", "Ann", "Lee", "Ann  Lee "),
        (
            "山田\u{3000}太郎",
            "太郎",
            "山田",
            "次郎",
            "山田",
            "山田\u{3000}次郎",
        ),
        // The part is spelled differently in the whole.
        (
            "José García",
            "Jose",
            "Garcia",
            "Jose",
            "Lopez",
            "Jose Lopez",
        ),
        (
            "O\u{2019}Brien Pat",
            "Patrick",
            "O'Brien",
            "Patrick",
            "Smith",
            "Patrick Smith",
        ),
        // No part is left to compose the whole from.
        ("Dr Ann Lee", "Ann", "Lee", "", "", "Dr Ann Lee"),
    ] {
        let name = |given: &str, family: &str| {
            let mut name = json!({"formatted": whole});
            for (part, text) in [("givenName", given), ("familyName", family)] {
                if !text.is_empty() {
                    name[part] = json!(text);
                }
            }
            name
        };
        let (then, now) = (name(given, family), name(new_given, new_family));
        for is_outdated in [true, false] {
            let found = after(&then, &now, is_outdated);
            assert_eq!(found.as_deref().unwrap_or(whole), wanted, "{then} {now}");
        }
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn a_whole_keeps_its_form_when_a_part_goes_or_was_not_shown() {
    let (jane, j) = (Some("Jane"), Some("J"));
    for (whole, middle, change, wanted) in [
        // The whole does not show the part.
        (
            "Dr Ann Lee",
            jane,
            json!({"middleName": null}),
            "Dr Ann Lee",
        ),
        (
            "Dr Ann Lee, PhD",
            jane,
            json!({"middleName": null}),
            "Dr Ann Lee, PhD",
        ),
        ("Lee, Ann", jane, json!({"middleName": null}), "Lee, Ann"),
        (
            "Dr Ann Lee",
            jane,
            json!({"middleName": "June"}),
            "Dr Ann Lee",
        ),
        (
            "Dr Ann Lee",
            jane,
            json!({"familyName": "Kim"}),
            "Dr Ann Kim",
        ),
        ("Dr Ann Lee", jane, json!({"givenName": null}), "Dr Lee"),
        (
            "Ann J. Lee",
            jane,
            json!({"familyName": "Kim"}),
            "Ann J. Kim",
        ),
        // An initial, or one word of a part with two words, disappears together with the part.
        ("Lee, Ann J.", jane, json!({"middleName": null}), "Ann Lee"),
        (
            "Lee, Ann J.",
            jane,
            json!({"middleName": "Kay"}),
            "Ann Kay Lee",
        ),
        (
            "Lee, Ann Jane",
            Some("Jane Kay"),
            json!({"middleName": null}),
            "Ann Lee",
        ),
        // Without the removed part, nothing would be left of the whole.
        ("Ann", None, json!({"givenName": null}), "Lee"),
        ("Ann -", None, json!({"givenName": null}), "Lee"),
        // The author's order is kept.
        ("Lee, Ann J", j, json!({"middleName": null}), "Lee, Ann"),
        ("Lee Ann Jane", jane, json!({"middleName": null}), "Lee Ann"),
        ("Lee, Ann J", j, json!({"givenName": null}), "Lee, J"),
        // A comma disappears with the part that it was for.
        (
            "Dr Lee, Ann (HR)",
            None,
            json!({"familyName": null}),
            "Dr Ann (HR)",
        ),
        ("Dr Lee,Ann", None, json!({"familyName": null}), "Dr Ann"),
        (
            "Lee, Ann (HR)",
            None,
            json!({"givenName": null}),
            "Lee (HR)",
        ),
        (
            "Lee, Ann, PhD",
            None,
            json!({"familyName": null}),
            "Ann, PhD",
        ),
        (
            "Lee, Ann, PhD",
            None,
            json!({"givenName": null}),
            "Lee, PhD",
        ),
        (
            "Dr Ann Lee, PhD",
            None,
            json!({"familyName": null}),
            "Dr Ann, PhD",
        ),
    ] {
        let mut then = json!({"formatted": whole, "givenName": "Ann", "familyName": "Lee"});
        if let Some(middle) = middle {
            then["middleName"] = json!(middle);
        }
        let mut now = then.clone();
        for (part, text) in change.as_object().expect("parts") {
            now[part] = text.clone();
        }
        now.as_object_mut()
            .expect("a name")
            .retain(|_, text| !text.is_null());
        for is_outdated in [true, false] {
            let found = after(&then, &now, is_outdated);
            assert_eq!(found.as_deref().unwrap_or(whole), wanted, "{then} {now}");
        }
    }
}

#[test]
fn a_whole_that_was_written_stays() {
    let then = json!({"formatted": "Dr Ann Lee", "givenName": "Ann", "familyName": "Lee"});
    for now in [
        json!({"formatted": "Dr Ann Lee"}),
        json!({"formatted": "Somebody"}),
        json!({"formatted": "Prof Ann Lee", "givenName": "Ann", "familyName": "Lee"}),
        json!({"givenName": "Ann"}),
    ] {
        assert_eq!(after(&then, &now, true), None, "{now}");
        assert_eq!(after(&then, &now, false), None, "{now}");
    }
    // The whole shows none of the parts.
    for whole in ["The Boss", "Annie L."] {
        let name =
            |given: &str| json!({"formatted": whole, "givenName": given, "familyName": "Lee"});
        assert_eq!(after(&name("Ann"), &name("Bea"), false), None, "{whole}");
        assert_eq!(after(&name("Ann"), &name("Bea"), true), None, "{whole}");
    }
    // The whole shows one part in another case.
    let ann = json!({"formatted": "LEE A.", "givenName": "Ann", "familyName": "Lee"});
    let bea = json!({"formatted": "LEE A.", "givenName": "Bea", "familyName": "Lee"});
    assert_eq!(after(&ann, &bea, false).as_deref(), Some("Bea Lee"));
    // The stored name was sent as a whole without parts, and the parts follow now.
    let alone = json!({"formatted": "Dr Ann Lee"});
    assert_eq!(after(&alone, &then, true), None);
    let other = json!({"formatted": "Dr Ann Lee", "givenName": "Bea"});
    assert_eq!(after(&alone, &other, false).as_deref(), Some("Bea"));
    let ann = json!({"formatted": "Dr Ann Lee", "givenName": "Ann", "familyName": "Kim"});
    assert_eq!(after(&alone, &ann, false).as_deref(), Some("Ann Kim"));
    assert_eq!(after(&json!({}), &other, true), None);
}

#[test]
fn the_same_echo_twice_is_the_same_name() {
    let then = json!({"formatted": "Dr Ann Lee", "honorificPrefix": "Dr", "givenName": "Ann",
        "familyName": "Lee"});
    for (part, text, wanted) in [
        ("honorificPrefix", "Prof", "Prof Ann Lee"),
        ("familyName", "Kim", "Dr Ann Kim"),
        ("middleName", "J", "Dr Ann J Lee"),
        ("familyName", "LEE", "Dr Ann LEE"),
    ] {
        let mut echo = then.clone();
        echo[part] = json!(text);
        let first = after(&then, &echo, true);
        assert_eq!(first.as_deref(), Some(wanted));
        let mut stored = echo.clone();
        stored["formatted"] = json!(first);
        assert_eq!(after(&stored, &echo, true), first, "{part}");
    }
    for (whole, given, family, part, text, wanted) in [
        ("ﾏﾂﾀﾞ ﾕｷ", "ﾕｷ", "ﾏﾂﾀﾞ", "familyName", "ﾏﾂﾀ", "ﾏﾂﾀ ﾕｷ"),
        ("野々村 花", "花", "野々村", "familyName", "野", "野 花"),
    ] {
        let mut echo = json!({"formatted": whole, "givenName": given, "familyName": family});
        let then = echo.clone();
        echo[part] = json!(text);
        let first = after(&then, &echo, true);
        assert_eq!(first.as_deref(), Some(wanted));
        let mut stored = echo.clone();
        stored["formatted"] = json!(first);
        assert_eq!(after(&stored, &echo, true), first, "{whole}");
        // A client that takes the space out, or adds a title, does so on purpose.
        for meant in [
            wanted.replace(' ', ""),
            format!("{}様", wanted.replace(' ', "")),
        ] {
            echo["formatted"] = json!(meant);
            assert_eq!(after(&stored, &echo, true), None, "{meant}");
        }
    }
    // A new whole is kept, unless it lacks a part and may be an older one.
    let bob = json!({"formatted": "Bob Lee", "givenName": "Robert", "familyName": "Lee"});
    let bobby = json!({"formatted": "Bobby Lee", "givenName": "Robert", "familyName": "Lee"});
    assert_eq!(after(&bob, &bobby, true), None);
    let robert = json!({"formatted": "Robert Lee", "givenName": "Robert", "familyName": "Lee"});
    assert_eq!(after(&robert, &bobby, false), None);
    assert_eq!(after(&robert, &bobby, true).as_deref(), Some("Robert Lee"));
}
