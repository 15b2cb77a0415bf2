//! The part of every user that is kept in memory: whether the user exists and is active, when it
//! was last changed, and the text by which it is found. The index is made when the file is opened
//! (see `saved_index`) and updated with every commit, so that a [`super::Snapshot`] and its index
//! agree.
//!
//! ```text
//! sequences  0 … 511 │ 512 … 1023 │ …        one chunk each, shared by all states until a
//!            ───────   ──────────            commit changes a user in it
//! texts      jane@x.org jane doe\0bob…\0     one after the other, and where each ends
//! modified   1795465800000 …                 milliseconds since the epoch
//! ```
//!
//! A million users take some 60 MB, most of it for their texts. Searching all texts takes
//! milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::memmem::Finder;
use roaring::RoaringBitmap;

use super::chunk::{CHUNK, Chunk, Facts, place};

/// The index of one state. Cloning it is cheap.
#[derive(Clone, Default)]
pub(super) struct Index {
    live: Arc<RoaringBitmap>,
    active: Arc<RoaringBitmap>,
    inactive: Arc<RoaringBitmap>,
    chunks: Arc<Vec<Arc<Chunk>>>,
}

impl Index {
    /// Brings the index to the state after these changes.
    pub(super) fn apply(&mut self, changes: Changes) {
        let difference = self.difference(changes);
        self.put(&difference);
    }

    /// What these changes change in this state.
    pub(super) fn difference(&self, changes: Changes) -> Difference {
        let changes: Vec<(u32, Option<Facts>)> = changes.into_iter().collect();
        let statuses = changes.iter();
        let statuses = statuses.map(|(sequence, facts)| (*sequence, Status::of(facts.as_ref())));
        let by_chunk = changes.chunk_by(|(one, _), (next, _)| one / CHUNK == next / CHUNK);
        let chunks = by_chunk.map(|changes| {
            let number = changes[0].0 / CHUNK;
            let chunk = match self.chunk(number) {
                Some(chunk) => chunk.after(changes),
                None => Chunk::empty().after(changes),
            };
            (number, Arc::new(chunk))
        });
        Difference {
            chunks: chunks.collect(),
            statuses: statuses.collect(),
        }
    }

    /// Brings the index to the state that [`Self::difference`] found.
    pub(super) fn put(&mut self, difference: &Difference) {
        for &(sequence, status) in &difference.statuses {
            let is = |wanted| status == wanted;
            set(&mut self.live, sequence, !is(Status::Nobody));
            set(&mut self.active, sequence, is(Status::Active));
            set(&mut self.inactive, sequence, is(Status::Inactive));
        }
        for (number, chunk) in &difference.chunks {
            *self.chunk_mut(*number) = Arc::clone(chunk);
        }
    }

    /// Adds a chunk that was made elsewhere, and the status of each of its slots.
    pub(super) fn load(
        &mut self,
        number: u32,
        chunk: Chunk,
        statuses: impl Iterator<Item = Status>,
    ) {
        let live = Arc::make_mut(&mut self.live);
        let active = Arc::make_mut(&mut self.active);
        let inactive = Arc::make_mut(&mut self.inactive);
        for (status, sequence) in statuses.zip(number * CHUNK..) {
            match status {
                Status::Nobody => continue,
                Status::Unsaid => false,
                Status::Active => active.insert(sequence),
                Status::Inactive => inactive.insert(sequence),
            };
            live.insert(sequence);
        }
        *self.chunk_mut(number) = Arc::new(chunk);
    }

    fn chunk_mut(&mut self, number: u32) -> &mut Arc<Chunk> {
        let (chunks, at) = (Arc::make_mut(&mut self.chunks), place(number));
        if chunks.len() <= at {
            chunks.resize_with(at + 1, || Arc::new(Chunk::empty()));
        }
        &mut chunks[at]
    }

    /// Whether a chunk has exactly these users and the same facts about them.
    pub(super) fn agrees(&self, number: u32, users: &Changes) -> bool {
        let mut slots = (number * CHUNK..).take(place(CHUNK));
        slots.all(|sequence| {
            let facts = users.get(&sequence).and_then(Option::as_ref);
            self.facts(sequence).as_ref() == facts
        })
    }

    pub(super) fn facts(&self, sequence: u32) -> Option<Facts> {
        let modified = self.modified(sequence)?;
        Some(Facts {
            active: match self.status(sequence) {
                Status::Nobody | Status::Unsaid => None,
                Status::Active => Some(true),
                Status::Inactive => Some(false),
            },
            modified,
            text: Some(self.chunk(sequence / CHUNK)?.text(sequence).to_owned()),
        })
    }

    pub(super) fn status(&self, sequence: u32) -> Status {
        if !self.live.contains(sequence) {
            Status::Nobody
        } else if self.active.contains(sequence) {
            Status::Active
        } else if self.inactive.contains(sequence) {
            Status::Inactive
        } else {
            Status::Unsaid
        }
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("each has a user whose sequence is a u32")
    }

    pub(super) fn chunk(&self, number: u32) -> Option<&Chunk> {
        self.chunks.get(place(number)).map(AsRef::as_ref)
    }

    /// All users.
    pub(super) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// The users whose `active` has this value.
    pub(super) fn with_status(&self, active: bool) -> &RoaringBitmap {
        if active { &self.active } else { &self.inactive }
    }

    /// The users from sequence `from` on whose text contains all of the words. The search ends with
    /// the chunk in which the number of texts that contain the first word exceeds `most`.
    pub(super) fn with_words(&self, words: &[String], from: u32, most: usize) -> WordMatches {
        let mut found = WordMatches::default();
        let finders: Vec<Finder<'_>> = words.iter().map(Finder::new).collect();
        let Some((first, others)) = finders.split_first() else {
            found.users.clone_from(&self.live);
            return found;
        };
        let mut slots = Vec::new();
        for number in from / CHUNK..self.chunks() {
            if found.looked_at > most {
                found.next = Some(number * CHUNK);
                break;
            }
            let texts = &self.chunks[place(number)].texts;
            found.looked_at += texts.with_words(first, others, &mut slots);
            let begin = number * CHUNK;
            found.users.extend(slots.drain(..).map(|slot| begin + slot));
        }
        found.users.remove_range(..from);
        found
    }

    /// The users that were last changed at `millis` (since the epoch) or later.
    pub(super) fn modified_since(&self, millis: i64) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        for (number, chunk) in (0..).zip(self.chunks.iter()) {
            let slots = (0..).zip(&chunk.modified);
            let later = slots.filter(|(_, at)| **at >= millis && **at != i64::MIN);
            found.extend(later.map(|(slot, _)| number * CHUNK + slot));
        }
        found
    }

    /// When a user was last changed; `None` if the user does not exist.
    pub(super) fn modified(&self, sequence: u32) -> Option<i64> {
        let chunk = self.chunks.get(place(sequence / CHUNK))?;
        Some(chunk.modified[place(sequence % CHUNK)]).filter(|millis| *millis != i64::MIN)
    }
}

/// Changed users by sequence; `None` for a deleted user.
pub(super) type Changes = BTreeMap<u32, Option<Facts>>;

/// What the changes of a commit change in the index.
pub(super) struct Difference {
    statuses: Vec<(u32, Status)>,
    chunks: Vec<(u32, Arc<Chunk>)>,
}

/// The state of a slot. The discriminant is its byte in the file (see `saved_index`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Nobody = 0,
    /// A user without `active`.
    Unsaid = 1,
    Active = 2,
    Inactive = 3,
}

impl Status {
    fn of(facts: Option<&Facts>) -> Self {
        match facts.map(|facts| facts.active) {
            None => Self::Nobody,
            Some(None) => Self::Unsaid,
            Some(Some(true)) => Self::Active,
            Some(Some(false)) => Self::Inactive,
        }
    }

    pub(super) fn of_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Nobody,
            2 => Self::Active,
            3 => Self::Inactive,
            _ => Self::Unsaid,
        }
    }
}

/// The result of one search for words.
#[derive(Debug, Default)]
pub struct WordMatches {
    /// The users that were found.
    pub users: RoaringBitmap,
    /// How many texts contain the first word and were therefore searched for the others.
    pub looked_at: usize,
    /// The sequence from which a further search may find more; `None` if all were searched.
    pub next: Option<u32>,
}

/// Adds or removes a bit. The previous state keeps its bitmap, so the bitmap is copied if this
/// changes anything.
fn set(bitmap: &mut Arc<RoaringBitmap>, sequence: u32, is_in: bool) {
    if bitmap.contains(sequence) == is_in {
        return;
    }
    let bitmap = Arc::make_mut(bitmap);
    if is_in {
        bitmap.insert(sequence);
    } else {
        bitmap.remove(sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(active: bool, modified: i64, text: &str) -> Facts {
        Facts {
            active: Some(active),
            modified,
            text: Some(text.to_owned()),
        }
    }

    fn found(index: &Index, words: &[&str]) -> Vec<u32> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let found = index.with_words(&words, 0, usize::MAX);
        assert_eq!(found.next, None);
        found.users.iter().collect()
    }

    /// If each page of a search looked at all users, the time would grow with the square of the
    /// directory.
    #[test]
    fn a_look_for_words_ends_when_it_has_enough_and_goes_on_there() {
        let mut index = Index::default();
        let texts = ["jane", "bob", "jane doe"].into_iter().cycle();
        let users = (0..10 * CHUNK).step_by(place(CHUNK / 4)).zip(texts);
        index.apply(
            users
                .map(|(it, text)| (it, Some(facts(true, 1, text))))
                .collect(),
        );
        for (words, most) in [
            (["jane", ""], 0),
            (["jane", ""], 5),
            (["jane", "doe"], 3),
            (["jane", "doe"], 1000),
        ] {
            let words: Vec<String> = words.map(str::to_owned).into();
            let whole = index.with_words(&words, 0, usize::MAX);
            let (mut users, mut looked_at, mut next) = (RoaringBitmap::new(), 0, Some(0));
            while let Some(from) = next {
                let part = index.with_words(&words, from, most);
                // No chunk in this test has more than three texts with the first word.
                assert!(part.looked_at <= most + 3 && part.users.is_disjoint(&users));
                looked_at += part.looked_at;
                users |= part.users;
                next = part.next;
            }
            assert_eq!(
                (users, looked_at),
                (whole.users, whole.looked_at),
                "{words:?} {most}"
            );
        }
        let rest = index.with_words(&["jane".to_owned()], CHUNK / 2 + 1, 0);
        assert_eq!(rest.users.iter().collect::<Vec<_>>(), [3 * CHUNK / 4]);
        assert_eq!(rest.next, Some(CHUNK));
    }

    #[test]
    fn users_are_found_wherever_they_are() {
        let mut index = Index::default();
        index.apply(Changes::from([
            (1, Some(facts(true, 10, "jane doe"))),
            (511, Some(facts(false, 20, "janet"))),
            (512, Some(facts(true, 30, "doe"))),
            (5000, Some(facts(true, 40, "doe jane jane"))),
        ]));
        let before = index.clone();
        assert_eq!(found(&index, &["jane"]), [1, 511, 5000]);
        assert_eq!(found(&index, &["jane", "doe"]), [1, 5000]);
        assert_eq!(found(&index, &["tdoe"]), Vec::<u32>::new());
        assert_eq!(found(&index, &[]), [1, 511, 512, 5000]);
        assert_eq!(
            index.modified_since(20).iter().collect::<Vec<_>>(),
            [511, 512, 5000]
        );
        assert_eq!(index.modified_since(i64::MIN).len(), 4);
        assert_eq!(
            [1, 2, 512, 5000, 9_999_999].map(|sequence| index.modified(sequence)),
            [Some(10), None, Some(30), Some(40), None]
        );
        assert_eq!(
            index.with_status(true).iter().collect::<Vec<_>>(),
            [1, 512, 5000]
        );

        assert_eq!(index.with_status(false).iter().collect::<Vec<_>>(), [511]);

        index.apply(Changes::from([
            (1, None),
            (511, Some(facts(true, 50, "bob"))),
            (2, Some(facts(true, 5, "jane"))),
        ]));
        assert_eq!(found(&index, &["jane"]), [2, 5000]);
        assert_eq!(found(&index, &["bob"]), [511]);
        assert_eq!(index.modified_since(41).iter().collect::<Vec<_>>(), [511]);
        assert_eq!(index.live().iter().collect::<Vec<_>>(), [2, 511, 512, 5000]);
        // A user whose text stays the same, and a new one without text.
        index.apply(Changes::from([
            (2, Some(facts(false, 60, "jane"))),
            (3, Some(facts(true, 61, ""))),
        ]));
        index.apply(Changes::from([(2, Some(facts(true, 70, "jane")))]));
        assert_eq!(found(&index, &["jane"]), [2, 5000]);
        assert_eq!(index.facts(2), Some(facts(true, 70, "jane")));
        assert_eq!(index.facts(3), Some(facts(true, 61, "")));
        assert_eq!(index.facts(4), None);
        // The earlier state has not changed.
        assert_eq!(found(&before, &["jane"]), [1, 511, 5000]);
        assert_eq!(before.live().len(), 4);
    }
}
