//! `name.formatted`, and how it follows the parts of the name: identity providers change those
//! and echo, or do not mention, the whole.

use unicode_normalization::char::is_combining_mark;

use super::Object;
use super::fold::plain;

/// In the order in which a whole is composed (RFC 7643 section 4.1.1).
const PARTS: [&str; 5] = [
    "honorificPrefix",
    "givenName",
    "middleName",
    "familyName",
    "honorificSuffix",
];

/// The whole that a name should have, if that is not the one it has. `then` is the name that was
/// stored.
///
/// In an echo of an older state, or of one that it does not tell, a whole that lacks a part which
/// the stored one holds, as far as it is up to date, is an older one: so the same echo twice is the
/// same name. That cannot be told where the older whole holds all parts too: they were exchanged
/// with each other, one is gone, or one is a word of what it was. Then it is written the second
/// time. In an echo of what is stored another whole than the stored one was written on purpose.
pub(super) fn refreshed(then: Option<&Object>, now: &Object, is_outdated: bool) -> Option<String> {
    let whole = text(now, "formatted")?;
    let then = then?;
    let was = text(then, "formatted")?;
    if then == now {
        // Most changes are of something else.
        return None;
    }
    let follows = follow(was, then, now);
    let lacks = |part: &str| holds(&follows, part) && !holds(whole, part);
    let is_older = || is_outdated && PARTS.iter().filter_map(|it| text(now, it)).any(lacks);
    (follows != whole && (was == whole || is_older())).then_some(follows)
}

/// Whether a whole is all that is left of a name, and was made of the parts that are gone.
pub(super) fn is_left_over(then: &Object, now: &Object) -> bool {
    let whole = text(then, "formatted");
    !composed(then).is_empty()
        && composed(now).is_empty()
        && whole == text(now, "formatted")
        && whole.is_some_and(|whole| is_made_of(whole, then))
}

/// Whether a whole has nothing but the parts of this name in it, in whatever order, and what stands
/// between them.
fn is_made_of(whole: &str, name: &Object) -> bool {
    let mut parts: Vec<&str> = PARTS.iter().filter_map(|part| text(name, part)).collect();
    // One may be a word of another.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let mut rest = whole.to_owned();
    for part in parts {
        let at = places(&rest, part).next();
        if let Some(at) = at {
            rest.replace_range(at..at + part.len(), " ");
        }
    }
    rest.chars().all(is_between)
}

/// The whole without the parts that are gone; nothing if it does not show plainly where they stand,
/// or has nothing but them in it.
fn without_gone(was: &str, then: &Object, now: &Object) -> Option<String> {
    let mut whole = was.to_owned();
    for part in PARTS.iter().filter(|part| text(now, part).is_none()) {
        let Some(gone) = text(then, part).filter(|gone| hints(was, gone)) else {
            continue;
        };
        let at = only_place(&whole, gone)?;
        let (before, after) = (&whole[..at], &whole[at + gone.len()..]);
        let is_alone = before.chars().next_back().is_none_or(is_between)
            && after.chars().next().is_none_or(is_between);
        if !is_alone {
            return None;
        }
        let left = closed(before, after, then);
        left.trim_matches(is_between).clone_into(&mut whole);
        if !whole.contains(char::is_alphanumeric) {
            return None;
        }
    }
    Some(whole)
}

/// What stood before and after a part that is gone, with no comma of that part between them.
fn closed(before: &str, after: &str, then: &Object) -> String {
    let next = after.trim_start_matches(is_between);
    let starts_next =
        |part: &&str| text(then, part).is_some_and(|it| places(next, it).next() == Some(0));
    let has_comma = before.trim_end().ends_with(',');
    if after.starts_with(',') && !has_comma && ["givenName", "middleName"].iter().any(starts_next) {
        // It set the family name apart from those, which a title after it would need still.
        return format!("{} {next}", before.trim_end());
    }
    // One comma is enough, and none goes before a bracket or a dash.
    let before = if after.starts_with(',') || !next.starts_with(char::is_alphanumeric) {
        before.trim_end_matches(is_between)
    } else {
        before.trim_end()
    };
    format!("{before}{after}")
}

/// Whether a letter is no more than what stands between the parts.
fn is_between(letter: char) -> bool {
    letter.is_whitespace() || letter == ','
}

fn text<'a>(name: &'a Object, part: &str) -> Option<&'a str> {
    name.get(part)?.as_str()
}

fn holds(whole: &str, part: &str) -> bool {
    places(whole, part).next().is_some()
}

fn spelt(text: &str) -> String {
    plain(text).replace('\u{2019}', "'")
}

/// Whether a part stands in the whole, however it is spelt.
fn shows(whole: &str, part: &str) -> bool {
    holds(&spelt(whole), &spelt(part))
}

/// Whether a word of a part, or its initial, stands in the whole.
fn hints(whole: &str, part: &str) -> bool {
    let whole = spelt(whole);
    let is_there = |word: &str| {
        let initial = word.chars().take(1).collect::<String>();
        holds(&whole, word) || holds(&whole, &initial)
    };
    spelt(part).split_whitespace().any(is_there)
}

/// The whole name out of its parts; empty if it has none.
fn composed(name: &Object) -> String {
    let parts = PARTS.iter().filter_map(|part| text(name, part));
    parts.collect::<Vec<_>>().join(" ")
}

/// The whole with those parts exchanged that were changed, which leaves it the order and the
/// titles that its author gave it, and without those that are gone. A part that its author left out
/// stays out, except a new given or family name. If it does not show plainly where each of the
/// others stands, it is composed anew; if there is nothing to compose it from, or if there were
/// parts and it shows none of them, nor of the new ones, however they are spelt, so that its author
/// meant something else, it stays.
fn follow(was: &str, then: &Object, now: &Object) -> String {
    let has_changed = |part: &&str| text(then, part) != text(now, part);
    let anew = composed(now);
    if anew.is_empty() || !PARTS.iter().any(has_changed) {
        return was.to_owned();
    }
    let shows_any = |name| {
        let mut parts = PARTS.iter().filter_map(move |part| text(name, part));
        parts.any(|part| shows(was, part))
    };
    let left = without_gone(was, then, now);
    let follows = left.and_then(|left| exchanged(&left, then, now));
    follows.unwrap_or_else(|| {
        if composed(then).is_empty() || shows_any(then) || shows_any(now) {
            anew
        } else {
            was.to_owned()
        }
    })
}

/// Whether a whole without this part can be meant to be so when the part changes.
fn is_optional(part: &str) -> bool {
    !["givenName", "familyName"].contains(&part)
}

fn exchanged(was: &str, then: &Object, now: &Object) -> Option<String> {
    let mut found = Vec::new();
    for part in PARTS {
        match (text(then, part), text(now, part)) {
            (_, None) => {}
            (Some(old), Some(new)) if old == new && !shows(was, old) => {}
            (Some(old), Some(_)) if is_optional(part) && !hints(was, old) => {}
            (Some(old), Some(new)) => {
                // The whole may have been told first, and the part after it.
                let told = only_place(was, new).filter(|_| new.contains(old));
                found.push(match told {
                    Some(at) => (at, new, new),
                    None => (only_place(was, old)?, old, new),
                });
            }
            (None, Some(new)) => found.push((only_place(was, new)?, new, new)),
        }
    }
    found.sort_unstable();
    let (mut whole, mut end) = (String::new(), 0);
    for (at, old, new) in found {
        // Nothing, if two of them share letters.
        whole.push_str(was.get(end..at)?);
        whole.push_str(new);
        end = at + old.len();
    }
    whole.push_str(was.get(end..)?);
    Some(whole)
}

/// Where a part stands in the whole, if that is one place.
fn only_place(whole: &str, part: &str) -> Option<usize> {
    let mut places = places(whole, part);
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

/// Where a part stands in the whole as a word; within one, where names have no space between them.
fn places(whole: &str, part: &str) -> impl Iterator<Item = usize> {
    let goes_on = |c: char| {
        c.is_alphanumeric() && !has_no_spaces(c) || is_combining_mark(c) || "-'\u{2019}".contains(c)
    };
    whole.match_indices(part).filter_map(move |(at, part)| {
        let before = whole[..at].chars().next_back();
        let after = whole[at + part.len()..].chars().next();
        (!before.is_some_and(goes_on) && !after.is_some_and(goes_on)).then_some(at)
    })
}

/// Whether a letter is of a script that puts no space between names: kana, ideographs, Hangul.
fn has_no_spaces(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
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
            // Told before the part.
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
            // Not told by the whole, told twice, or as a part of something else: composed anew.
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
            // A title is more than the part that is left.
            ("Dr Ann Lee", "Ann", "Lee", "", "Lee", "Dr Lee"),
            ("Lee, Ann, PhD", "Ann", "Lee", "", "Kim", "Kim, PhD"),
            ("Ann (Ann) Lee", "Ann", "Lee", "", "Lee", "Lee"),
            ("Ann Lee (Bea)", "Ann", "Lee", "Ann", "", "Ann (Bea)"),
            ("Kim (Ann) Lee", "Ann", "Lee", "", "Lee", "Lee"),
            ("रामचन्द्र शर्मा", "राम", "शर्मा", "श्याम", "शर्मा", "श्याम शर्मा"),
            ("Jose\u{301} Lee", "Jose", "Lee", "Bea", "Lee", "Bea Lee"),
            // Spaces of any kind are the author's.
            ("Ann  Lee ", "Ann", "Lee", "Ann", "Lee", "Ann  Lee "),
            (
                "山田\u{3000}太郎",
                "太郎",
                "山田",
                "次郎",
                "山田",
                "山田\u{3000}次郎",
            ),
            // Spelt in another way.
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
            // Not shown.
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
            // An initial, or one word of two, does not outlive the part.
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
            // Nothing else would be left.
            ("Ann", None, json!({"givenName": null}), "Lee"),
            ("Ann -", None, json!({"givenName": null}), "Lee"),
            // The order is the author's.
            ("Lee, Ann J", j, json!({"middleName": null}), "Lee, Ann"),
            ("Lee Ann Jane", jane, json!({"middleName": null}), "Lee Ann"),
            ("Lee, Ann J", j, json!({"givenName": null}), "Lee, J"),
            // A comma goes with the part that it was for.
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
        // It shows none of the parts.
        for whole in ["The Boss", "Annie L."] {
            let name =
                |given: &str| json!({"formatted": whole, "givenName": given, "familyName": "Lee"});
            assert_eq!(after(&name("Ann"), &name("Bea"), false), None, "{whole}");
            assert_eq!(after(&name("Ann"), &name("Bea"), true), None, "{whole}");
        }
        // It shows one in another case.
        let ann = json!({"formatted": "LEE A.", "givenName": "Ann", "familyName": "Lee"});
        let bea = json!({"formatted": "LEE A.", "givenName": "Bea", "familyName": "Lee"});
        assert_eq!(after(&ann, &bea, false).as_deref(), Some("Bea Lee"));
        // Parts for a whole that has been told alone.
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
        // One whose whole is new has it, unless that lacks a part and may be an older one.
        let bob = json!({"formatted": "Bob Lee", "givenName": "Robert", "familyName": "Lee"});
        let bobby = json!({"formatted": "Bobby Lee", "givenName": "Robert", "familyName": "Lee"});
        assert_eq!(after(&bob, &bobby, true), None);
        let robert = json!({"formatted": "Robert Lee", "givenName": "Robert", "familyName": "Lee"});
        assert_eq!(after(&robert, &bobby, false), None);
        assert_eq!(after(&robert, &bobby, true).as_deref(), Some("Robert Lee"));
    }
}
