//! Keeps `name.formatted`, here called the whole, in step with the parts of the name: identity
//! providers change the parts, but echo the whole or omit it.

use unicode_normalization::char::is_combining_mark;

use super::Object;
use super::fold::plain;
use super::search::beginning;
use crate::limits;

/// The parts, in the order in which a whole is composed (RFC 7643 section 4.1.1).
const PARTS: [&str; 5] = [
    "honorificPrefix",
    "givenName",
    "middleName",
    "familyName",
    "honorificSuffix",
];

/// The whole that the name `now` should have; `None` if it already has it. `then` is the stored
/// name.
///
/// An echo of an older or unknown state may contain an older whole. A whole counts as older if it
/// lacks a part that the stored whole contains once it is brought up to date; so the same echo,
/// sent twice, gives the same name. This test fails if the older whole contains all the new parts
/// as well: because parts were exchanged with each other, a part was removed, or a part is a word
/// of its predecessor. In these cases the whole from the echo is stored when the echo is sent for
/// the second time. An import must give the same result each time, and stores that whole the first
/// time. In an echo of the stored state, a different whole was written on purpose.
pub(super) fn refreshed(then: Option<&Object>, now: &Object, is_outdated: bool) -> Option<String> {
    let whole = text(now, "formatted")?;
    let then = then?;
    let was = text(then, "formatted")?;
    if then == now {
        // Most changes concern other attributes.
        return None;
    }
    let follows = follow(was, then, now);
    let lacks = |part: &str| holds(&follows, part) && !holds(whole, part);
    let is_older = || is_outdated && PARTS.iter().filter_map(|it| text(now, it)).any(lacks);
    (follows != whole && (was == whole || is_older())).then_some(follows)
}

/// Whether the whole is all that is left of a name, and consisted of the removed parts.
pub(super) fn is_left_over(then: &Object, now: &Object) -> bool {
    let whole = text(then, "formatted");
    // Most changes concern other attributes, and composing takes longer than comparing.
    then != now
        && !composed(then).is_empty()
        && composed(now).is_empty()
        && whole == text(now, "formatted")
        && whole.is_some_and(|whole| is_made_of(whole, then))
}

/// Whether a whole contains only the parts of this name, in any order, and separators.
fn is_made_of(whole: &str, name: &Object) -> bool {
    let mut parts: Vec<&str> = PARTS.iter().filter_map(|part| text(name, part)).collect();
    // Longest first, because a part may be a word of another.
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

/// The whole without the removed parts; `None` if their places in it are unclear, or if nothing
/// else is in it.
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

/// Joins the texts before and after a removed part, and removes the comma that belonged to the
/// part.
fn closed(before: &str, after: &str, then: &Object) -> String {
    let next = after.trim_start_matches(is_between);
    let starts_next =
        |part: &&str| text(then, part).is_some_and(|it| places(next, it).next() == Some(0));
    let has_comma = before.trim_end().ends_with(',');
    if after.starts_with(',') && !has_comma && ["givenName", "middleName"].iter().any(starts_next) {
        // The comma separated the family name from the other names; before a title it would still
        // be needed.
        return format!("{} {next}", before.trim_end());
    }
    // One comma is enough, and none belongs before a bracket or a dash.
    let before = if after.starts_with(',') || !next.starts_with(char::is_alphanumeric) {
        before.trim_end_matches(is_between)
    } else {
        before.trim_end()
    };
    format!("{before}{after}")
}

/// Whether a character only separates parts.
fn is_between(letter: char) -> bool {
    letter.is_whitespace() || letter == ','
}

fn text<'a>(name: &'a Object, part: &str) -> Option<&'a str> {
    name.get(part)?.as_str()
}

fn holds(whole: &str, part: &str) -> bool {
    places(whole, part).next().is_some()
}

/// A text in the spelling in which parts are looked for. Only the beginning of a long text is
/// spelt out, which is longer than any name: a letter may become eighteen, and in a bulk request
/// other requests would have to wait.
fn spelt(text: &str) -> String {
    plain(beginning(text, limits::SEARCHED_VALUE_BYTES_MAX)).replace('\u{2019}', "'")
}

/// Whether the whole contains a part in any spelling.
fn shows(whole: &str, part: &str) -> bool {
    holds(&spelt(whole), &spelt(part))
}

/// Whether the whole contains a word of a part, or its initial.
fn hints(whole: &str, part: &str) -> bool {
    let whole = spelt(whole);
    let is_there = |word: &str| {
        let initial = word.chars().take(1).collect::<String>();
        holds(&whole, word) || holds(&whole, &initial)
    };
    // Only so many words of the part are searched for: in a text of thousands of words, more would
    // tell nothing new, and other requests would have to wait.
    let part = spelt(part);
    part.split_whitespace()
        .take(limits::NAME_WORDS_SEARCHED_MAX)
        .any(is_there)
}

/// The whole composed from the parts; empty if there are none.
fn composed(name: &Object) -> String {
    let parts = PARTS.iter().filter_map(|part| text(name, part));
    parts.collect::<Vec<_>>().join(" ")
}

/// The whole with changed parts replaced and removed parts taken out; the order and the titles that
/// its author chose stay. A part that the author left out stays out, except for a new given or
/// family name. If the place of any other part is unclear, the whole is composed anew. It stays as
/// it is if there is nothing to compose it from, or if the name had parts and the whole shows
/// neither these nor the new ones in any spelling: then its author meant something else.
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

/// Whether an author may have left this part out of the whole on purpose.
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
                // The whole may have been changed first, and the part afterwards.
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
        // `None` if two of the parts overlap.
        whole.push_str(was.get(end..at)?);
        whole.push_str(new);
        end = at + old.len();
    }
    whole.push_str(was.get(end..)?);
    Some(whole)
}

/// The place of a part in the whole, if there is exactly one.
fn only_place(whole: &str, part: &str) -> Option<usize> {
    let mut places = places(whole, part);
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

/// The places of a part in the whole as a word of its own; if there is none, those within a word in
/// scripts that put no space between names.
fn places(whole: &str, part: &str) -> impl Iterator<Item = usize> {
    let is_within = !is_word(whole, part);
    places_between(whole, part, move |c| {
        goes_on(c) && !(is_within && has_no_spaces(c))
    })
    .filter(move |at| {
        let after = whole[at + part.len()..].chars().next();
        !after.is_some_and(|c| CONTINUING.contains(c))
    })
}

fn is_word(whole: &str, part: &str) -> bool {
    places_between(whole, part, goes_on).next().is_some()
}

/// The places of a part where `goes_on` holds for no letter beside it.
fn places_between(
    whole: &str,
    part: &str,
    goes_on: impl Fn(char) -> bool,
) -> impl Iterator<Item = usize> {
    whole.match_indices(part).filter_map(move |(at, part)| {
        let before = whole[..at].chars().next_back();
        let after = whole[at + part.len()..].chars().next();
        (!before.is_some_and(&goes_on) && !after.is_some_and(&goes_on)).then_some(at)
    })
}

fn goes_on(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c) || "-'\u{2019}".contains(c)
}

/// Marks that repeat, lengthen or voice the letter before them, which is incomplete without them.
const CONTINUING: &str = "々ーゝゞヽヾｰﾞﾟ";

/// Whether a letter belongs to a script that puts no space between names: kana, ideographs and
/// their marks, Hangul.
fn has_no_spaces(letter: char) -> bool {
    matches!(letter, '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests;
