//! `name.formatted`, and how it follows the parts of the name: identity providers change those
//! and echo, or do not mention, the whole.

use super::Object;
use super::fold::fold;

/// In the order in which a whole is composed (RFC 7643 section 4.1.1).
const PARTS: [&str; 5] = [
    "honorificPrefix",
    "givenName",
    "middleName",
    "familyName",
    "honorificSuffix",
];

/// The whole that a name should have, if that is not the one it has. `then` is the name that was
/// stored; in an echo of what was shown, a whole that is neither the stored one nor holds the
/// given and the family name is an older one, so that the same echo twice is the same name.
pub(super) fn refreshed(then: Option<&Object>, now: &Object, is_echo: bool) -> Option<String> {
    let whole = text(now, "formatted")?;
    let none = Object::new();
    let then = then.unwrap_or(&none);
    let was = text(then, "formatted");
    let is_older = is_echo && was != Some(whole) && !holds_its_parts(whole, now);
    let follows = match was {
        Some(was) if was == whole || is_older => follow(was, then, now),
        _ if is_older => composed(now),
        _ => return None,
    };
    (!follows.is_empty() && follows != whole).then_some(follows)
}

fn text<'a>(name: &'a Object, part: &str) -> Option<&'a str> {
    name.get(part)?.as_str()
}

fn holds_its_parts(whole: &str, name: &Object) -> bool {
    let whole = fold(whole);
    ["givenName", "familyName"]
        .iter()
        .filter_map(|part| text(name, part))
        .all(|part| whole.contains(&fold(part)))
}

/// The whole name out of its parts; empty if it has none.
fn composed(name: &Object) -> String {
    let parts = PARTS.iter().filter_map(|part| text(name, part));
    parts.collect::<Vec<_>>().join(" ")
}

/// The whole with the parts exchanged that were changed, which leaves the order and the titles
/// that its author gave it. Where a part cannot be found in it, it is composed anew; where there
/// is nothing to compose it from, it stays.
fn follow(was: &str, then: &Object, now: &Object) -> String {
    let anew = composed(now);
    if anew.is_empty() {
        return was.to_owned();
    }
    let mut places = Vec::new();
    for part in PARTS {
        match (text(then, part), text(now, part)) {
            (old, new) if old == new => {}
            (None, Some(new)) if was.contains(new) => {}
            (Some(old), new) => match place(was, old) {
                Some(at) => places.push((at, old.len(), new.unwrap_or_default())),
                None => return anew,
            },
            (None, _) => return anew,
        }
    }
    places.sort_unstable();
    let (mut whole, mut end) = (String::new(), 0);
    for (at, length, new) in places {
        // Two parts that share letters: which is which cannot be told.
        let Some(between) = was.get(end..at) else {
            return anew;
        };
        whole.push_str(between);
        whole.push_str(new);
        end = at + length;
    }
    whole.push_str(&was[end..]);
    // What was between a part and one that is gone.
    whole.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where a part stands in the whole: as a word, or within one if it is no word there, as in
/// languages that put no space between names. Nothing if that could be several places.
fn place(whole: &str, part: &str) -> Option<usize> {
    let is_word = |at: usize| {
        let before = whole[..at].chars().next_back();
        let after = whole[at + part.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    };
    let places = || whole.match_indices(part).map(|(at, _)| at);
    only(places().filter(|at| is_word(*at))).or_else(|| only(places()))
}

fn only(mut places: impl Iterator<Item = usize>) -> Option<usize> {
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn after(then: &Value, now: &Value, is_echo: bool) -> Option<String> {
        let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
        refreshed(Some(&object(then)), &object(now), is_echo)
    }

    #[test]
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
            // Exchanged with each other, and one inside the other.
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
            // Gone: the spaces around it too.
            ("Dr Ann Lee", "Ann", "Lee", "", "Lee", "Dr Lee"),
            // Not told by the whole, or told twice.
            (
                "Bob Smith",
                "Robert",
                "Smith",
                "Alice",
                "Smith",
                "Alice Smith",
            ),
            ("Ann (Ann) Lee", "Ann", "Lee", "Bea", "Lee", "Bea Lee"),
            ("Anna", "Ann", "nna", "Bea", "Bo", "Bea Bo"),
            // Nothing is left to compose it from.
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
            for is_echo in [true, false] {
                let found = after(&then, &now, is_echo);
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
        // Parts for a whole that has been told alone.
        let alone = json!({"formatted": "Dr Ann Lee"});
        assert_eq!(after(&alone, &then, true), None);
        let other = json!({"formatted": "Dr Ann Lee", "givenName": "Bea"});
        assert_eq!(after(&alone, &other, false).as_deref(), Some("Bea"));
    }
}
