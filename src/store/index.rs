//! What is kept in memory of every user, beside the file: who exists, who is active, when
//! each was last changed, and the text that each is found by. It is made from the rows at
//! each opening and goes along with every commit, so that a [`super::Snapshot`] and its
//! index say the same.
//!
//! ```text
//! sequences  0 … 511 │ 512 … 1023 │ …        one chunk each, shared by all states until a
//!            ───────   ──────────            commit changes a user in it
//! texts      jane@x.org jane doe\0bob…\0     one after the other, ends in `ends`
//! modified   1795465800000 …                 milliseconds since the epoch
//! ```
//!
//! A million users take some 60 MB, most of it their texts; looking at all texts takes
//! milliseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::memmem::Finder;
use roaring::RoaringBitmap;

/// Users of one chunk: a commit that changes one copies the texts of as many.
const CHUNK: u32 = 512;

/// What the index keeps of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the account may be used, if anything is said of that.
    pub active: Option<bool>,
    /// When it was last changed, in milliseconds since the epoch.
    pub modified: i64,
    /// What it is found by.
    pub text: String,
}

/// The index of one state. Cloning it is cheap.
#[derive(Clone, Default)]
pub(super) struct Index {
    live: Arc<RoaringBitmap>,
    active: Arc<RoaringBitmap>,
    inactive: Arc<RoaringBitmap>,
    chunks: Arc<Vec<Arc<Chunk>>>,
}

/// Users by sequence; `None` for one that was deleted.
pub(super) type Changes = BTreeMap<u32, Option<Facts>>;

impl Index {
    /// Brings the index to the state after a commit.
    pub(super) fn apply(&mut self, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        let live = Arc::make_mut(&mut self.live);
        let active = Arc::make_mut(&mut self.active);
        let inactive = Arc::make_mut(&mut self.inactive);
        let mut by_chunk: BTreeMap<u32, Vec<(usize, Option<Facts>)>> = BTreeMap::new();
        for (sequence, facts) in changes {
            let status = facts.as_ref().and_then(|facts| facts.active);
            set(live, sequence, facts.is_some());
            set(active, sequence, status == Some(true));
            set(inactive, sequence, status == Some(false));
            let slot = place(sequence % CHUNK);
            let of_chunk = by_chunk.entry(sequence / CHUNK).or_default();
            of_chunk.push((slot, facts));
        }
        let chunks = Arc::make_mut(&mut self.chunks);
        for (chunk, changes) in by_chunk {
            let chunk = place(chunk);
            if chunks.len() <= chunk {
                chunks.resize_with(chunk + 1, || Arc::new(Chunk::empty()));
            }
            chunks[chunk] = Arc::new(chunks[chunk].after(&changes));
        }
    }

    /// All users.
    pub(super) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// The users that are active, or those that are not.
    pub(super) fn with_status(&self, active: bool) -> &RoaringBitmap {
        if active { &self.active } else { &self.inactive }
    }

    /// The users whose text holds all of the words.
    pub(super) fn with_words(&self, words: &[String]) -> RoaringBitmap {
        let finders: Vec<Finder<'_>> = words.iter().map(Finder::new).collect();
        let Some((first, others)) = finders.split_first() else {
            return self.live.as_ref().clone();
        };
        self.collect(|chunk, found| chunk.with_words(first, others, found))
    }

    /// The users that were last changed at this moment or later.
    pub(super) fn modified_since(&self, millis: i64) -> RoaringBitmap {
        self.collect(|chunk, found| chunk.modified_since(millis, found))
    }

    /// When a user was last changed; `None` for one that is not there.
    pub(super) fn modified(&self, sequence: u32) -> Option<i64> {
        let chunk = self.chunks.get(place(sequence / CHUNK))?;
        Some(chunk.modified[place(sequence % CHUNK)]).filter(|millis| *millis != i64::MIN)
    }

    fn collect(&self, look: impl Fn(&Chunk, &mut Vec<u32>)) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        let mut found = Vec::new();
        for (number, chunk) in (0..).zip(self.chunks.iter()) {
            look(chunk, &mut found);
            let first = number * CHUNK;
            all.extend(found.drain(..).map(|slot| first + slot));
        }
        all
    }
}

fn set(bitmap: &mut RoaringBitmap, sequence: u32, is_in: bool) {
    if is_in {
        bitmap.insert(sequence);
    } else {
        bitmap.remove(sequence);
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number).expect("a usize holds a u32 wherever this program runs")
}

/// The users of [`CHUNK`] sequences.
struct Chunk {
    /// Each followed by a zero, so that nothing is found across two of them.
    texts: String,
    /// Where each text ends, its zero included.
    ends: Box<[usize]>,
    /// The least number for nobody.
    modified: Box<[i64]>,
}

impl Chunk {
    fn empty() -> Self {
        let slots = place(CHUNK);
        Self {
            texts: String::new(),
            ends: vec![0; slots].into_boxed_slice(),
            modified: vec![i64::MIN; slots].into_boxed_slice(),
        }
    }

    /// The chunk with some slots changed; they are in ascending order.
    fn after(&self, changes: &[(usize, Option<Facts>)]) -> Self {
        let mut next = Self {
            texts: String::with_capacity(self.texts.len() + 64 * changes.len()),
            ends: self.ends.clone(),
            modified: self.modified.clone(),
        };
        let mut changes = changes.iter().peekable();
        for slot in 0..self.ends.len() {
            match changes.next_if(|(changed, _)| *changed == slot) {
                None => next
                    .texts
                    .push_str(&self.texts[self.start(slot)..self.ends[slot]]),
                Some((_, None)) => next.modified[slot] = i64::MIN,
                Some((_, Some(facts))) => {
                    next.texts.push_str(&facts.text);
                    next.texts.push('\0');
                    next.modified[slot] = facts.modified;
                }
            }
            next.ends[slot] = next.texts.len();
        }
        next
    }

    fn start(&self, slot: usize) -> usize {
        slot.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn with_words(&self, first: &Finder<'_>, others: &[Finder<'_>], found: &mut Vec<u32>) {
        let texts = self.texts.as_bytes();
        let mut at = 0;
        while let Some(hit) = first.find(&texts[at..]) {
            let hit = at + hit;
            let slot = self.ends.partition_point(|end| *end <= hit);
            let text = &texts[self.start(slot)..self.ends[slot]];
            if others.iter().all(|word| word.find(text).is_some()) {
                found.extend(u32::try_from(slot));
            }
            at = self.ends[slot];
        }
    }

    fn modified_since(&self, millis: i64, found: &mut Vec<u32>) {
        for (slot, modified) in (0..).zip(&self.modified) {
            if *modified >= millis && *modified != i64::MIN {
                found.push(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(active: bool, modified: i64, text: &str) -> Facts {
        let text = text.to_owned();
        Facts {
            active: Some(active),
            modified,
            text,
        }
    }

    fn found(index: &Index, words: &[&str]) -> Vec<u32> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        index.with_words(&words).iter().collect()
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
        // The state before is as it was.
        assert_eq!(found(&before, &["jane"]), [1, 511, 5000]);
        assert_eq!(before.live().len(), 4);
    }
}
