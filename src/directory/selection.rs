//! The users that a query selects, as a set of sequences. Conditions on keys and on the index are
//! looked up there. The rest of a filter is decided on the remaining rows, one at a time. A set of
//! a million users takes 130 KB at most, so every query is answered in bounded memory.

use std::borrow::Cow;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::page_slice::whole;
use super::partial_read::PartialReader;
use super::query::Query;
use super::record::is_named;
use super::scan::Scan;
use super::user_id::UserId;
use super::{Error, retrieve};
use crate::clock::DateTime;
use crate::scim::Filter;
use crate::scim::filter::{CompValue, CompareOp};
use crate::scim::fold::fold;
use crate::scim::path::AttributePath;
use crate::store::Snapshot;

/// How many texts are searched between two checks of the time, so that a search that finds every
/// user soon needs a turn.
const SEARCHED_AT_ONCE: usize = 16 * 1024;
/// How many userNames are read for the users whose userName starts with a text: some 3 ms. A walk
/// over the pages of more users reads each of them once, but would read all names for each page.
pub(super) const NAMES_READ_MAX: usize = 16 * 1024;

/// The users that match the query's filter and search, if given. They are limited to the query's
/// [`Query::window`] where that saves work.
pub(super) fn select<'a>(
    snapshot: &'a Snapshot,
    query: &Query<'_>,
    scan: &mut Scan<'_>,
) -> Result<Cow<'a, RoaringBitmap>, Error> {
    let narrowed = match query.filter {
        Some(filter) => narrow(snapshot, filter, scan)?,
        None => None,
    };
    let is_exact = narrowed.as_ref().is_some_and(|it| it.is_exact);
    // The filter, if deciding it requires reading rows.
    let unread = query.filter.filter(|_| !is_exact);
    let narrowed = narrowed.map(|narrowed| narrowed.users);
    let (first, most) = query.window();
    let Some(search) = query.search else {
        let mut users = narrowed.unwrap_or(Cow::Borrowed(snapshot.users()));
        if let Some(filter) = unread {
            if first > 0 {
                users.to_mut().remove_range(..first);
            }
            let matching = matching(snapshot, &users, filter, query.base_url, most, scan)?;
            users = Cow::Owned(matching);
        }
        return Ok(users);
    };
    let mut selected = RoaringBitmap::new();
    let mut next = Some(first);
    while let Some(from) = next
        && whole(selected.len()) <= most
    {
        let more = most - whole(selected.len());
        let at_once = more.min(SEARCHED_AT_ONCE);
        let found = snapshot.users_with_words(search.words(), from, at_once);
        scan.take_users(found.looked_at)?;
        next = found.next;
        let mut users = found.users;
        if let Some(narrowed) = &narrowed {
            users &= narrowed.as_ref();
        }
        if let Some(filter) = unread {
            users = matching(snapshot, &users, filter, query.base_url, more, scan)?;
        }
        selected |= users;
    }
    Ok(Cow::Owned(selected))
}

/// The given users that match a filter. Reads them one by one, until more than `most` match.
fn matching(
    snapshot: &Snapshot,
    users: &RoaringBitmap,
    filter: &Filter,
    base_url: &str,
    most: usize,
    scan: &mut Scan<'_>,
) -> Result<RoaringBitmap, Error> {
    let mut matching = RoaringBitmap::new();
    let reader = PartialReader::of_filter(filter, base_url);
    let comparisons = filter.clauses();
    snapshot.each_user(users, |sequence, row| {
        scan.go_on(row, comparisons)?;
        let resource = reader.resource(row).map_err(Error::Damaged)?;
        if filter.matches(&resource) {
            matching.insert(sequence);
        }
        Ok::<_, Error>(if whole(matching.len()) > most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(matching)
}

/// A set that contains every user that a filter matches.
struct Narrowed<'a> {
    users: Cow<'a, RoaringBitmap>,
    /// Whether the set contains no other users.
    is_exact: bool,
}

impl Narrowed<'_> {
    fn exact(users: RoaringBitmap) -> Self {
        Self {
            users: Cow::Owned(users),
            is_exact: true,
        }
    }

    fn at_most(users: RoaringBitmap) -> Self {
        Self {
            users: Cow::Owned(users),
            is_exact: false,
        }
    }
}

/// Narrows a filter down by keys and index; `None` if they say nothing about it. The recursion is
/// as deep as the filter, whose depth the parser bounds.
fn narrow<'a>(
    snapshot: &'a Snapshot,
    filter: &Filter,
    scan: &mut Scan<'_>,
) -> Result<Option<Narrowed<'a>>, Error> {
    match filter {
        Filter::And(all) => narrow_all(snapshot, all, scan),
        Filter::Or(any) => narrow_any(snapshot, any, scan),
        Filter::Not(inner) => Ok(match narrow(snapshot, inner, scan)? {
            Some(inner) if inner.is_exact => {
                Some(Narrowed::exact(snapshot.users() - inner.users.as_ref()))
            }
            _ => None,
        }),
        Filter::Compare(path, CompareOp::Sw, CompValue::Text(text) | CompValue::Number(text))
            if is(path, "userName", None) =>
        {
            with_prefix(snapshot, text.as_str(), scan)
        }
        Filter::Compare(path, op, value) => {
            let narrowed = narrow_comparison(snapshot, path, *op, value)?;
            charge(narrowed, scan)
        }
        Filter::ValuePath(path, inner) if is(path, "emails", None) => {
            let emails = demanded_value(inner).map(|email| with_email(snapshot, email));
            charge(emails.transpose()?.map(Narrowed::at_most), scan)
        }
        Filter::ValuePath(..) | Filter::Present(_) => Ok(None),
    }
}

/// Charges the scan for the users found: a hundred conditions may each find every user.
fn charge<'a>(
    narrowed: Option<Narrowed<'a>>,
    scan: &mut Scan<'_>,
) -> Result<Option<Narrowed<'a>>, Error> {
    if let Some(Cow::Owned(users)) = narrowed.as_ref().map(|narrowed| &narrowed.users) {
        scan.take_users(whole(users.len()))?;
    }
    Ok(narrowed)
}

fn narrow_all<'a>(
    snapshot: &'a Snapshot,
    all: &[Filter],
    scan: &mut Scan<'_>,
) -> Result<Option<Narrowed<'a>>, Error> {
    let mut found: Option<Narrowed<'a>> = None;
    let mut is_exact = true;
    for part in all {
        let Some(part) = narrow(snapshot, part, scan)? else {
            is_exact = false;
            continue;
        };
        is_exact &= part.is_exact;
        found = Some(match found {
            None => part,
            Some(before) => Narrowed {
                users: Cow::Owned(before.users.as_ref() & part.users.as_ref()),
                is_exact,
            },
        });
    }
    Ok(found.map(|found| Narrowed { is_exact, ..found }))
}

fn narrow_any<'a>(
    snapshot: &'a Snapshot,
    any: &[Filter],
    scan: &mut Scan<'_>,
) -> Result<Option<Narrowed<'a>>, Error> {
    let mut users = RoaringBitmap::new();
    let mut is_exact = true;
    for part in any {
        let Some(part) = narrow(snapshot, part, scan)? else {
            return Ok(None);
        };
        is_exact &= part.is_exact;
        users |= part.users.as_ref();
    }
    Ok(Some(Narrowed {
        users: Cow::Owned(users),
        is_exact,
    }))
}

fn narrow_comparison<'a>(
    snapshot: &'a Snapshot,
    path: &AttributePath,
    op: CompareOp,
    value: &CompValue,
) -> Result<Option<Narrowed<'a>>, Error> {
    let text = match value {
        CompValue::Text(text) | CompValue::Number(text) => text.as_str(),
        CompValue::Boolean(active) if op == CompareOp::Eq && is(path, "active", None) => {
            return Ok(Some(with_status(snapshot, *active)));
        }
        // No text is equal to a boolean.
        CompValue::Boolean(_) | CompValue::Null => return Ok(None),
    };
    if path.attribute.name == "meta"
        && let Some(time) = DateTime::parse(text)
    {
        return Ok(narrow_time(snapshot, path, op, time));
    }
    if op != CompareOp::Eq {
        return Ok(None);
    }
    Ok(if is(path, "id", None) {
        Some(Narrowed::exact(with_id(snapshot, text)?))
    } else if is(path, "userName", None) {
        let named = with_name(snapshot, &fold(text))?;
        Some(Narrowed::exact(named.into_iter().collect()))
    } else if is(path, "externalId", None) {
        Some(Narrowed::exact(
            snapshot.users_by_external(text.as_bytes())?,
        ))
    } else if is(path, "emails", None) || is(path, "emails", Some("value")) {
        Some(Narrowed::at_most(with_email(snapshot, text)?))
    } else {
        None
    })
}

/// Narrows by the times of the last change.
fn narrow_time<'a>(
    snapshot: &Snapshot,
    path: &AttributePath,
    op: CompareOp,
    time: DateTime,
) -> Option<Narrowed<'a>> {
    let since = match op {
        CompareOp::Gt | CompareOp::Le => time.millis_until() + 1,
        CompareOp::Ge | CompareOp::Lt => time.millis_from(),
        _ => return None,
    };
    let users = || snapshot.users_modified_since(since);
    let is_since = matches!(op, CompareOp::Gt | CompareOp::Ge);
    if is(path, "meta", Some("lastModified")) {
        let found = if is_since {
            users()
        } else {
            snapshot.users() - users()
        };
        Some(Narrowed::exact(found))
    } else if is_since && is(path, "meta", Some("created")) {
        // Nobody was changed last before being created.
        Some(Narrowed::at_most(users()))
    } else {
        None
    }
}

fn with_status(snapshot: &Snapshot, active: bool) -> Narrowed<'_> {
    Narrowed {
        users: Cow::Borrowed(snapshot.users_with_status(active)),
        is_exact: true,
    }
}

fn is(path: &AttributePath, attribute: &str, sub_attribute: Option<&str>) -> bool {
    path.extension.is_none()
        && path.attribute.name == attribute
        && path.sub_attribute.map(|sub| sub.name) == sub_attribute
}

fn with_id(snapshot: &Snapshot, id: &str) -> Result<RoaringBitmap, Error> {
    match UserId::parse(id) {
        Some(id) if retrieve(snapshot, id)?.is_some() => Ok([id.sequence()].into_iter().collect()),
        _ => Ok(RoaringBitmap::new()),
    }
}

/// The user with this folded userName.
pub(super) fn with_name(snapshot: &Snapshot, name: &str) -> Result<Option<u32>, Error> {
    Ok(snapshot.user_named(name.as_bytes(), |row| is_named(row, name))?)
}

/// The users whose userName starts with this text; `None` if there are very many, or if the rows
/// can tell and the table of names cannot yet.
fn with_prefix<'a>(
    snapshot: &Snapshot,
    text: &str,
    scan: &mut Scan<'_>,
) -> Result<Option<Narrowed<'a>>, Error> {
    let users = snapshot.users_by_prefix(fold(text).as_bytes(), NAMES_READ_MAX + 1)?;
    let Some(users) = users else {
        return Ok(None);
    };
    let found = whole(users.len());
    scan.take_users(found)?;
    Ok((found <= NAMES_READ_MAX).then(|| Narrowed::exact(users)))
}

/// The users with an address, including a user whose userName it is.
fn with_email(snapshot: &Snapshot, email: &str) -> Result<RoaringBitmap, Error> {
    let email = fold(email);
    let mut users = snapshot.users_by_email(email.as_bytes())?;
    users.extend(with_name(snapshot, &email)?);
    Ok(users)
}

/// The `value` that an element must have, if the filter in brackets requires one.
fn demanded_value(filter: &Filter) -> Option<&str> {
    match filter {
        Filter::And(all) => all.iter().find_map(demanded_value),
        Filter::Compare(path, CompareOp::Eq, CompValue::Text(text) | CompValue::Number(text))
            if is(path, "value", None) =>
        {
            Some(text.as_str())
        }
        _ => None,
    }
}
