//! Scans: a filter that no index answers is decided row by row, and a sorted page needs the key of
//! every user. Only a few queries scan at a time, callers take turns, and no scan takes long.

use std::time::Instant as Monotonic;

use super::Error;
use crate::limits;
use crate::scim::fold::folded_bytes;
use crate::scim::{self, ErrorType};
use crate::turns::{Turn, Turns};

/// The caller that asks a query.
pub struct ScanCaller<'a> {
    /// Callers with different names get their turns equally often.
    pub name: &'a str,
    /// Whether the caller would be let in now: its token may have been revoked meanwhile.
    pub is_let_in: &'a dyn Fn() -> bool,
}

impl ScanCaller<'static> {
    /// A caller who is always let in.
    pub const ANYBODY: Self = Self {
        name: "",
        is_let_in: &|| true,
    };
}

/// The scan of one query.
pub(super) struct Scan<'a> {
    caller: &'a ScanCaller<'a>,
    turns: &'a Turns,
    /// The turn and the time when it is over, if there is a turn.
    turn: Option<(Turn<'a>, Monotonic)>,
    /// Bytes compared since the time was last checked.
    compared: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(caller: &'a ScanCaller<'a>, turns: &'a Turns) -> Self {
        Self {
            caller,
            turns,
            turn: None,
            compared: 0,
        }
    }

    /// Waits for a turn, if the scan has none yet.
    pub(super) fn await_turn(&mut self) -> Result<(), Error> {
        if self.turn.is_none() {
            let turn = self.turns.take_for(self.caller.name, limits::SCAN_WAIT_MAX);
            let until = Monotonic::now() + limits::SCAN_DURATION_MAX;
            self.turn = Some((turn.ok_or(Error::Busy)?, until));
            self.look_at_caller()?;
        }
        Ok(())
    }

    fn look_at_caller(&self) -> Result<(), Error> {
        let is_let_in = (self.caller.is_let_in)();
        is_let_in.then_some(()).ok_or(Error::CallerRevoked)
    }

    /// Call this before each row, with the number of comparisons on it. An error ends the scan.
    pub(super) fn go_on(&mut self, row: &[u8], comparisons: usize) -> Result<(), Error> {
        self.take(folded_bytes(row).saturating_mul(comparisons))
    }

    /// Call this before or after finding `count` users in the index. An error ends the scan.
    pub(super) fn take_users(&mut self, count: usize) -> Result<(), Error> {
        self.take(count.saturating_mul(BYTES_OF_A_USER))
    }

    /// Call this before or after work that takes as long as comparing `bytes` bytes. An error ends
    /// the scan.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.compared = self.compared.saturating_add(bytes);
        if self.compared < limits::SCAN_BYTES_WITHOUT_TURN {
            return Ok(());
        }
        self.compared = 0;
        self.await_turn()?;
        self.look_at_caller()?;
        match &self.turn {
            Some((_, until)) if Monotonic::now() > *until => Err(too_many()),
            _ => Ok(()),
        }
    }
}

/// How many bytes are compared in the time that it takes to find a user in the index (`externalId`
/// and `meta.lastModified` of 200,000 users; words and times of last change of a million).
const BYTES_OF_A_USER: usize = 64;

fn too_many() -> Error {
    Error::Scim(scim::Error::new(
        ErrorType::TooMany,
        format!(
            "the query was stopped after {} s: also filter on id, userName, externalId, emails, \
             active or meta.lastModified, or use fewer conditions",
            limits::SCAN_DURATION_MAX.as_secs()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;
    use std::time::Duration;

    use super::super::order;
    use super::super::page_slice::{PageSlice, in_order_of_creation};
    use super::super::position::{Position, Start};
    use super::super::query::Query;
    use super::super::selection::{NAMES_READ_MAX, select};
    use super::*;
    use crate::scim::{Filter, Leniency, Search, Sort};
    use crate::store::{Change, Facts, Keys, Store};

    const ROW: &[u8] = &[b'x'; 1024];

    /// Scans as many rows as need no turn, each compared ten times, and one more.
    fn a_stretch(scan: &mut Scan<'_>) -> Result<(), Error> {
        let rows = limits::SCAN_BYTES_WITHOUT_TURN / (10 * ROW.len());
        (0..=rows).try_for_each(|_| scan.go_on(ROW, 10))
    }

    #[test]
    fn a_scan_ends_when_its_time_is_over_and_when_its_caller_is_let_in_no_more() {
        let turns = Turns::new(1);
        let is_let_in = Cell::new(true);
        let caller = ScanCaller {
            name: "a",
            is_let_in: &|| is_let_in.get(),
        };
        let mut scan = Scan::new(&caller, &turns);
        scan.go_on(ROW, 10).expect("a little");
        assert!(scan.turn.is_none());
        a_stretch(&mut scan).expect("in time");
        assert!(turns.take(Duration::ZERO).is_none(), "it has the turn");
        let (_, until) = scan.turn.as_mut().expect("taken");
        *until = Monotonic::now();
        let ended = a_stretch(&mut scan);
        // RFC 7644 table 9.
        assert!(matches!(ended, Err(Error::Scim(why)) if why.kind.as_str() == "tooMany"));
        drop(scan);

        is_let_in.set(false);
        let mut scan = Scan::new(&caller, &turns);
        let ended = scan.await_turn();
        assert!(matches!(ended, Err(Error::CallerRevoked)));
        let ended = a_stretch(&mut scan);
        assert!(matches!(ended, Err(Error::CallerRevoked)));
    }

    /// 6,000 keys of a kilobyte each, of letters that become eighteen, took two seconds.
    #[test]
    fn what_takes_long_to_fold_needs_a_turn_sooner() {
        let row = "\u{fdfa}".repeat(340);
        let rows = limits::SCAN_BYTES_WITHOUT_TURN / row.len();
        for (row, most) in [
            (ROW, rows),
            (row.as_bytes(), rows / limits::FOLDED_BYTES_COST),
        ] {
            let turns = Turns::new(1);
            let mut scan = Scan::new(&ScanCaller::ANYBODY, &turns);
            let is_without =
                (0..).take_while(|_| scan.go_on(row, 1).is_ok() && scan.turn.is_none());
            let count = is_without.take(2 * rows).count();
            assert!(count <= most && count > most * 9 / 10, "{count} of {most}");
        }
    }

    /// Users who lie so far apart in the index. "jane doe" finds all of them, except the last, whom
    /// "jane roe" finds. Every other user is active. None has a row that could be read.
    fn sparse(path: &Path, users: u32, apart: u32) -> Store {
        let describe = |_: &[u8]| Err("there is no user".to_owned());
        let store = Store::open(path, Duration::ZERO, describe).expect("a store");
        let create = |change: Change, number: u32| {
            let keys = Keys {
                name: number.to_be_bytes().to_vec(),
                external: None,
                emails: Vec::new(),
            };
            let family = if number + 1 == users { "roe" } else { "doe" };
            let facts = Facts {
                active: Some(number.is_multiple_of(2)),
                modified: i64::from(number),
                text: Some(format!("jane {family}")),
            };
            change.create_user(1 + number * apart, keys, facts, Vec::new())
        };
        let change = (0..users).fold(Change::none(), create);
        store.commit(change).expect("written");
        store
    }

    /// The number of users found in the index that the query is charged for, and its page.
    fn charged(store: &Store, query: &Query<'_>) -> (usize, PageSlice) {
        let turns = Turns::new(1);
        let mut scan = Scan::new(&ScanCaller::ANYBODY, &turns);
        let snapshot = store.snapshot().expect("open");
        let users = select(&snapshot, query, &mut scan).expect("selected");
        let slice = match query.sort {
            Some(sort) => order::slice(&snapshot, &users, sort, query, &mut scan).expect("sorted"),
            None => in_order_of_creation(&users, &query.start, query.count),
        };
        (scan.compared / BYTES_OF_A_USER, slice)
    }

    #[test]
    fn a_search_is_charged_whom_it_looks_at_and_an_uncounted_page_looks_at_few() {
        const USERS: usize = 40;
        const COUNT: usize = 4;
        let folder = tempfile::tempdir().expect("a folder");
        let store = sparse(&folder.path().join("users.redb"), 40, 1000);
        let active = Filter::parse("active eq true", &mut Leniency::strict()).expect("a filter");
        let by_time = Sort::parse("meta.lastModified", None, &mut Leniency::strict());
        let words = |text| Search::parse(text).expect("short").expect("words");
        let (everybody, last) = (words("jane"), words("jane roe"));
        let mut query = Query {
            filter: None,
            search: Some(&everybody),
            sort: by_time.ok(),
            start: Start::Index(1),
            count: COUNT,
            is_counted: true,
            base_url: "",
        };
        assert_eq!(charged(&store, &query).0, 2 * USERS, "searched and sorted");
        query.sort = None;
        assert_eq!(charged(&store, &query).0, USERS);
        // Everybody has the first word.
        query.search = Some(&last);
        let (looked_at, page) = charged(&store, &query);
        assert_eq!((looked_at, page.sequences.len()), (USERS, 1));
        query.is_counted = false;
        query.search = Some(&everybody);
        for (filter, of_them) in [(None, 1), (Some(&active), 2)] {
            query.filter = filter;
            query.start = Start::Index(1);
            let mut walked = Vec::new();
            loop {
                let (looked_at, page) = charged(&store, &query);
                // One more user shows that there is a next page, and the first position is counted
                // from 1.
                let most = of_them * (COUNT + 2);
                assert!(looked_at <= most, "{looked_at} after {}", walked.len());
                walked.extend(page.sequences.iter().copied());
                assert_eq!(page.has_after, walked.len() < USERS / of_them, "{of_them}");
                let Some(&sequence) = page.sequences.last() else {
                    break;
                };
                let key = None;
                query.start = Start::After(Position { key, sequence });
            }
            assert_eq!(walked.len(), USERS / of_them);
            assert!(walked.is_sorted());
        }
    }

    /// A page near the end, or beyond it, takes hardly any memory.
    #[test]
    fn a_sorted_page_near_the_end_holds_few_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = u32::try_from(2 * limits::SORT_KEYS_WITHOUT_TURN).expect("few") + 2;
        let store = sparse(&folder.path().join("users.redb"), all, 1);
        let snapshot = store.snapshot().expect("open");
        for order in ["ascending", "descending"] {
            let sort = Sort::parse("meta.lastModified", Some(order), &mut Leniency::strict());
            let sort = sort.expect("sortable");
            for (behind, needs_turn) in [(0, false), (1, false), (7, false), (1001, true)] {
                let skip = all - behind;
                let query = Query {
                    filter: None,
                    search: None,
                    sort: Some(sort),
                    start: Start::Index(skip as usize + 1),
                    count: 5,
                    is_counted: true,
                    base_url: "",
                };
                let turns = Turns::new(1);
                let mut scan = Scan::new(&ScanCaller::ANYBODY, &turns);
                let users = select(&snapshot, &query, &mut scan).expect("selected");
                let page = order::slice(&snapshot, &users, sort, &query, &mut scan);
                let page = page.expect("sorted");
                let mut wanted: Vec<u32> = snapshot.users().iter().collect();
                if sort.descending {
                    wanted.reverse();
                }
                let wanted: Vec<u32> = wanted.into_iter().skip(skip as usize).take(5).collect();
                assert_eq!(page.sequences, wanted, "{order} {behind}");
                assert_eq!((page.has_before, page.has_after), (true, behind > 5));
                assert_eq!(scan.turn.is_some(), needs_turn, "{order} {behind}");
            }
        }
    }

    #[test]
    fn names_that_start_with_a_text_are_looked_up_unless_they_are_very_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let most = u32::try_from(NAMES_READ_MAX).expect("few");
        let store = sparse(&folder.path().join("users.redb"), most + 1, 1);
        let snapshot = store.snapshot().expect("open");
        // A name is a number of four bytes, and no row can be read.
        for (start, found) in [
            ("\0\0\u{1}", Some(256)),
            ("\0\0@", Some(1)),
            ("\0\0\u{1}\0\0", Some(0)),
            ("\u{1}", Some(0)),
            ("\0", None),
        ] {
            let filter = format!("userName sw {}", serde_json::json!(start));
            let filter = Filter::parse(&filter, &mut Leniency::strict()).expect("a filter");
            let query = Query {
                filter: Some(&filter),
                search: None,
                sort: None,
                start: Start::Index(1),
                count: 1,
                is_counted: true,
                base_url: "",
            };
            let turns = Turns::new(1);
            let mut scan = Scan::new(&ScanCaller::ANYBODY, &turns);
            let users = select(&snapshot, &query, &mut scan);
            assert_eq!(users.ok().map(|users| users.len()), found, "{start:?}");
        }
    }
}
