//! Remembers where pages by index ended. An index such as "the 101st" means another user once an
//! earlier user is deleted or no longer matches a filtered or sorted list: a walk would miss a user
//! or show one twice. So the end of each page is remembered for a while, and the next page
//! continues after that same user. Nothing relies on this: if the end is forgotten, users are
//! counted. The end of the last page is remembered too: a client that reads until a page is empty
//! must not be shown that page's users again when somebody has joined the list before them.
//!
//! Two walks of one principal through one list look the same. If one walk comes after the other,
//! the second must not continue where the first was, which would show users twice. If both run at
//! once, each may show a user twice but must not miss one: a user missed in an import looks
//! unassigned. Only a page that is requested again meanwhile may miss some. Clients that stop once
//! they have seen the total number of users still fetch the rest, since the reported total is never
//! less than the next index while there is a next page (`query`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant as Monotonic;

use crate::directory::Position;
use crate::limits;
use crate::locks::ignore_poison;
use crate::scim::Sort;
use crate::secret::Digest;

/// The ends of pages by index.
#[derive(Default)]
pub(super) struct PageEnds {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    ends: BTreeMap<Key, Noted>,
    /// The ends whose next page is not due, by whose they are ([`Noted::spare`]): walks with other
    /// counts leave thousands, which a first page must not look through.
    spare: BTreeSet<Spare>,
}

/// Who asked for what. In order, the ends of a principal are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// Stands for the principal.
    pub principal: Digest,
    /// Stands for the principal and the query ([`super::cursor::binding`]).
    pub list: Digest,
}

/// Who asked for what, and the index of the next page.
type Key = (Asked, usize);

/// Who asked for what, whose walk it is by its `count`, or none if anybody's, and the index.
type Spare = (Asked, Option<usize>, usize);

/// Where a page ended.
pub(super) struct End {
    /// The last user on it.
    pub place: Position,
    /// How many users the page was to have: walks with different counts are different walks.
    pub count: usize,
    /// The page after it.
    pub next: NextPage,
}

/// The page after a remembered end. The greater it is, the longer the end is worth remembering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NextPage {
    /// There was no next page.
    Missing,
    /// The page was requested. It may be requested again if the answer was lost.
    Requested,
    /// The page was not requested yet.
    Due,
}

struct Noted {
    end: End,
    at: Monotonic,
}

impl PageEnds {
    /// Notes where the page before `next_index` of a list in this order ended.
    pub(super) fn note(
        &self,
        asked: Asked,
        next_index: usize,
        end: End,
        sort: Option<&Sort>,
        now: Monotonic,
    ) {
        let key = (asked, next_index);
        let mut known = self.lock();
        match known.ends.get(&key) {
            // The end of a finished walk does not replace the end of a walk that continues, or of a
            // page that the same walk may request again.
            Some(other) if end.next == NextPage::Missing && other.is_needed_by(end.count, now) => {
                return;
            }
            // Another walk has yet to continue from that earlier place; if this walk does too, it
            // misses nobody. The time is not renewed, or repeated requests for the first page would
            // keep the place for ever.
            Some(other) if other.is_awaited(now) && other.end.place.is_before(&end.place, sort) => {
                return;
            }
            Some(_) => known.remove(&key),
            None => known.make_room(now),
        }
        known.insert(key, Noted { end, at: now });
    }

    /// The user with whom the page before `index` ended, if that is still remembered. It stays
    /// remembered: the answer may be lost, and the client asks again.
    pub(super) fn find(&self, asked: Asked, index: usize, now: Monotonic) -> Option<Position> {
        let key = (asked, index);
        let mut known = self.lock();
        let Known { ends, spare } = &mut *known;
        let noted = ends.get_mut(&key)?;
        if noted.end.next == NextPage::Due {
            noted.end.next = NextPage::Requested;
            spare.extend(noted.spare(&key));
        }
        noted.is_fresh(now).then(|| noted.end.place.clone())
    }

    /// Forgets the ends that an earlier walk with this `count` left after the page at `index`, which
    /// is the first or the last page. Those of other walks stay if they may be requested again: a
    /// connection test that reads one user must not forget them.
    pub(super) fn forget_after(&self, asked: Asked, index: usize, count: usize) {
        let mut known = self.lock();
        for whose in [Some(count), None] {
            let beyond = (asked, whose, index.saturating_add(1))..=(asked, whose, usize::MAX);
            let left: Vec<Spare> = known.spare.range(beyond).copied().collect();
            for (_, _, index) in left {
                known.remove(&(asked, index));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        ignore_poison(self.known.lock())
    }
}

impl Known {
    fn insert(&mut self, key: Key, noted: Noted) {
        self.spare.extend(noted.spare(&key));
        self.ends.insert(key, noted);
    }

    fn remove(&mut self, key: &Key) {
        let spare = self.ends.remove(key).and_then(|noted| noted.spare(key));
        if let Some(spare) = spare {
            self.spare.remove(&spare);
        }
    }

    /// If there are too many, forgets those that are too old, and the least useful quarter of the
    /// principal with most ends: looking for a single one at each page would take longer than the
    /// page itself. A quick walk through everything must not take the place of a slow one, so that
    /// what it has used goes before what is awaited; nor may whoever can read make another's walk
    /// miss users, so that others lose none.
    fn make_room(&mut self, now: Monotonic) {
        if self.ends.len() < limits::PAGE_ENDS_MAX {
            return;
        }
        let principals = self.ends.keys().map(|(asked, _)| asked.principal);
        let principals: Vec<Digest> = principals.collect();
        let by_principal = principals.chunk_by(|one, next| one == next);
        let Some([whose, ..]) = by_principal.max_by_key(|its| its.len()) else {
            return;
        };
        let usefulness = |noted: &Noted| (noted.is_fresh(now), noted.end.next, noted.at);
        let is_its = |(asked, _): &Key| asked.principal == *whose;
        let its = self.ends.iter().filter(|(key, _)| is_its(key));
        let mut its: Vec<_> = its.map(|(_, noted)| usefulness(noted)).collect();
        let quarter = its.len() / 4;
        let (_, most_useful_to_go, _) = its.select_nth_unstable(quarter);
        let is_to_go = |(key, noted): &(&Key, &Noted)| {
            !noted.is_fresh(now) || is_its(key) && usefulness(noted) <= *most_useful_to_go
        };
        let to_go = self.ends.iter().filter(is_to_go);
        for key in to_go.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.remove(&key);
        }
    }
}

impl Noted {
    fn is_fresh(&self, now: Monotonic) -> bool {
        now.saturating_duration_since(self.at) <= limits::PAGE_END_DURATION_MAX
    }

    /// Whether some walk may still continue from here, or a walk with this `count` may request the
    /// next page again.
    fn is_needed_by(&self, count: usize, now: Monotonic) -> bool {
        self.is_fresh(now)
            && match self.end.next {
                NextPage::Due => true,
                NextPage::Requested => self.end.count == count,
                NextPage::Missing => false,
            }
    }

    /// Where this end stands among those whose next page is not due, if it is one.
    fn spare(&self, (asked, index): &Key) -> Option<Spare> {
        match self.end.next {
            NextPage::Due => None,
            NextPage::Requested => Some((*asked, Some(self.end.count), *index)),
            NextPage::Missing => Some((*asked, None, *index)),
        }
    }

    fn is_awaited(&self, now: Monotonic) -> bool {
        self.end.next == NextPage::Due && self.is_fresh(now)
    }
}

#[cfg(test)]
mod tests {
    use super::NextPage::{Due, Missing};
    use super::*;
    use std::time::Duration;

    fn place(sequence: u8) -> Position {
        Position::decode(&[0, 0, 0, 0, sequence]).expect("a place")
    }

    fn end(sequence: u8, next: NextPage) -> End {
        End {
            place: place(sequence),
            count: 100,
            next,
        }
    }

    fn assert_spare_are_right(ends: &PageEnds) {
        let known = ends.lock();
        let spare = known
            .ends
            .iter()
            .filter_map(|(key, noted)| noted.spare(key));
        assert_eq!(known.spare, spare.collect());
    }

    fn who(number: u8) -> Asked {
        asked(1, number)
    }

    fn asked(principal: u8, list: u8) -> Asked {
        Asked {
            principal: Digest::from([principal; 32]),
            list: Digest::from([list; 32]),
        }
    }

    #[test]
    fn places_are_known_for_a_while_and_not_too_many() {
        let ends = PageEnds::default();
        let start = Monotonic::now();
        ends.note(who(1), 101, end(1, Due), None, start);
        assert_eq!(ends.find(who(1), 101, start), Some(place(1)));
        assert_eq!(ends.find(who(1), 201, start), None);
        assert_eq!(ends.find(who(2), 101, start), None);
        let late = start + limits::PAGE_END_DURATION_MAX + Duration::from_secs(1);
        assert_eq!(ends.find(who(1), 101, late), None);

        for index in 0..limits::PAGE_ENDS_MAX {
            let when = start + Duration::from_millis(u64::try_from(index).expect("small") + 1);
            ends.note(who(3), index, end(2, Due), None, when);
        }
        assert_eq!(ends.find(who(1), 101, start), None, "the oldest went");
        let kept = ends.lock().ends.len();
        let (most, least) = (limits::PAGE_ENDS_MAX / 4 * 3, limits::PAGE_ENDS_MAX / 2);
        assert!((least..=most).contains(&kept), "{kept}");
        for index in [limits::PAGE_ENDS_MAX / 2, limits::PAGE_ENDS_MAX - 1] {
            assert_eq!(ends.find(who(3), index, start), Some(place(2)), "{index}");
        }
        // However many come in one moment.
        for index in 0..2 * limits::PAGE_ENDS_MAX {
            ends.note(who(4), index, end(2, Due), None, start);
            assert!(ends.lock().ends.len() <= limits::PAGE_ENDS_MAX);
        }
        assert_spare_are_right(&ends);
    }

    #[test]
    fn the_least_useful_ends_go_first() {
        let ends = PageEnds::default();
        let start = Monotonic::now();
        let late = start + limits::PAGE_END_DURATION_MAX + Duration::from_secs(1);
        for index in 0..=limits::PAGE_ENDS_MAX / 4 {
            ends.note(who(1), index, end(1, Due), None, start);
        }
        for index in 0..limits::PAGE_ENDS_MAX / 4 * 3 {
            ends.note(who(2), index, end(2, Missing), None, late);
        }
        assert!(!ends.lock().ends.contains_key(&(who(1), 0)), "no room made");
        assert_eq!(ends.find(who(2), 0, late), Some(place(2)), "late ones left");

        // One walk reads everything while another works through its first page.
        ends.note(who(3), 101, end(3, Due), None, late);
        for index in 1..=2 * limits::PAGE_ENDS_MAX {
            let when = late + Duration::from_millis(u64::try_from(index).expect("small"));
            ends.note(who(4), index, end(4, Due), None, when);
            assert_eq!(ends.find(who(4), index, when), Some(place(4)));
        }
        assert_eq!(ends.find(who(3), 101, late), Some(place(3)), "awaited");
        assert_spare_are_right(&ends);
    }

    #[test]
    fn nobody_loses_a_place_to_another_who_reads_very_much() {
        let ends = PageEnds::default();
        let now = Monotonic::now();
        ends.note(asked(1, 1), 101, end(1, Due), None, now);
        ends.note(asked(3, 1), 101, end(3, Due), None, now);
        for index in 0..2 * limits::PAGE_ENDS_MAX {
            ends.note(asked(2, 9), index, end(2, Due), None, now);
            assert!(ends.lock().ends.len() <= limits::PAGE_ENDS_MAX);
        }
        assert_eq!(ends.find(asked(1, 1), 101, now), Some(place(1)));
        assert_eq!(ends.find(asked(3, 1), 101, now), Some(place(3)));
        assert_spare_are_right(&ends);
    }

    #[test]
    fn a_place_that_is_awaited_gives_way_to_earlier_ones_alone() {
        let ends = PageEnds::default();
        let start = Monotonic::now();
        let late = start + limits::PAGE_END_DURATION_MAX + Duration::from_secs(1);
        let note = |index, sequence, sort: Option<&Sort>, now| {
            ends.note(who(1), index, end(sequence, Due), sort, now);
        };
        let find = |index, now| ends.find(who(1), index, now);
        for (first, second, wanted) in [(4, 6, 4), (6, 4, 4)] {
            note(101, first, None, start);
            note(101, second, None, start);
            assert_eq!(find(101, start), Some(place(wanted)));
            assert_eq!(find(101, start), Some(place(wanted)), "asked for again");
        }
        // The end was used, and then nobody asked for it in time, so that it can be replaced.
        for (second, now) in [(5, start), (6, late)] {
            note(101, second, None, now);
            assert_eq!(ends.lock().ends[&(who(1), 101)].end.place, place(second));
            assert_spare_are_right(&ends);
        }

        note(201, 8, None, late);
        note(301, 9, None, late);
        assert_eq!(find(301, late), Some(place(9)));
        ends.forget_after(who(2), 1, 100);
        ends.forget_after(who(1), 301, 100);
        assert!(find(301, late).is_some());
        ends.forget_after(who(1), 1, 1);
        assert!(find(301, late).is_some(), "a test of the connection");
        ends.forget_after(who(1), 1, 100);
        assert_eq!(find(301, late), None);
        assert_eq!(find(201, late), Some(place(8)), "somebody awaits it");

        // Repeated requests for the page before do not keep it for ever.
        note(401, 8, None, start);
        note(401, 9, None, start + limits::PAGE_END_DURATION_MAX / 2);
        note(401, 9, None, late);
        assert_eq!(ends.lock().ends[&(who(1), 401)].end.place, place(9));
        assert_spare_are_right(&ends);
    }

    #[test]
    fn the_end_of_a_last_page_stands_in_nobodys_way() {
        let ends = PageEnds::default();
        let now = Monotonic::now();
        let note = |index, sequence, next| {
            ends.note(who(1), index, end(sequence, next), None, now);
        };
        note(101, 4, Missing);
        note(101, 6, Due);
        assert_eq!(ends.find(who(1), 101, now), Some(place(6)), "a later walk");
        note(201, 4, Missing);
        ends.forget_after(who(1), 150, 1);
        assert_eq!(ends.find(who(1), 201, now), None, "an earlier walk's");

        note(101, 5, Due);
        note(101, 4, Missing);
        let crowd = || {
            for index in 0..limits::PAGE_ENDS_MAX {
                ends.note(who(2), index, end(7, Missing), None, now);
            }
        };
        crowd();
        assert_eq!(ends.find(who(1), 101, now), Some(place(5)), "it is awaited");
        crowd();
        note(101, 4, Missing);
        assert_eq!(ends.find(who(1), 101, now), Some(place(5)), "asked again");
        let other = End {
            count: 1,
            ..end(4, Missing)
        };
        ends.note(who(1), 101, other, None, now);
        assert_eq!(ends.find(who(1), 101, now), Some(place(4)), "a later walk");
        note(301, 5, Due);
        let late = now + limits::PAGE_END_DURATION_MAX + Duration::from_secs(1);
        ends.note(who(1), 301, end(4, Missing), None, late);
        assert_eq!(ends.find(who(1), 301, late), Some(place(4)), "given up");
        assert_spare_are_right(&ends);
    }
}
