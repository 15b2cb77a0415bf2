//! A part of the index: what is kept in memory of [`CHUNK`] users who were created one after the
//! other. It never changes; a changed one takes its place.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;

/// Users in one chunk: a commit that changes the text of one user copies the texts of the whole
/// chunk.
pub(super) const CHUNK: u32 = 512;

/// What the index keeps of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The value of `active`, if it is set.
    pub active: Option<bool>,
    /// When the user was last changed, in milliseconds since the epoch.
    pub modified: i64,
    /// The text by which the user is found; `None` in a change that leaves it as it was.
    pub text: Option<String>,
}

/// The users of [`CHUNK`] sequences.
pub(super) struct Chunk {
    /// Shared with the previous state until a text changes: most changes leave the texts alone, and
    /// copying them would be a third of the writer's work.
    pub(super) texts: Arc<Texts>,
    /// [`i64::MIN`] in an empty slot.
    pub(super) modified: Box<[i64]>,
}

impl Chunk {
    pub(super) fn empty() -> Self {
        let slots = place(CHUNK);
        Self {
            texts: Arc::new(Texts {
                all: Box::default(),
                ends: vec![0; slots].into_boxed_slice(),
            }),
            modified: vec![i64::MIN; slots].into_boxed_slice(),
        }
    }

    /// The chunk after changes of its users, which are in ascending order.
    pub(super) fn after(&self, changes: &[(u32, Option<Facts>)]) -> Self {
        let slot = |sequence: &u32| place(sequence % CHUNK);
        let mut modified = self.modified.clone();
        for (sequence, facts) in changes {
            let facts = facts.as_ref();
            modified[slot(sequence)] = facts.map_or(i64::MIN, |facts| facts.modified);
        }
        let told = changes.iter().filter_map(|(sequence, facts)| match facts {
            None => Some((slot(sequence), None)),
            Some(facts) => Some((slot(sequence), Some(facts.text.as_deref()?))),
        });
        let is_new =
            |(slot, text): &(usize, Option<&str>)| *text != self.texts.of(*slot).strip_suffix('\0');
        let new: Vec<_> = told.filter(is_new).collect();
        let texts = if new.is_empty() {
            Arc::clone(&self.texts)
        } else {
            Arc::new(self.texts.after(&new))
        };
        Self { texts, modified }
    }

    /// The text of a user.
    pub(super) fn text(&self, sequence: u32) -> &str {
        self.texts
            .of(place(sequence % CHUNK))
            .trim_end_matches('\0')
    }
}

/// The texts by which the users of a chunk are found.
pub(super) struct Texts {
    /// Each text is followed by a zero, so that no match spans two of them.
    pub(super) all: Box<str>,
    /// Where each text ends, its zero included.
    pub(super) ends: Box<[u32]>,
}

impl Texts {
    /// The texts after some slots have got other ones, or none.
    fn after(&self, changes: &[(usize, Option<&str>)]) -> Self {
        let mut all = String::with_capacity(self.all.len() + 64 * changes.len());
        let mut ends = Vec::with_capacity(self.ends.len());
        for (slot, text) in changes {
            self.append(ends.len()..*slot, &mut all, &mut ends);
            if let Some(text) = text {
                all.push_str(text);
                all.push('\0');
            }
            ends.push(u32::try_from(all.len()).expect("users are bounded in size"));
        }
        self.append(ends.len()..self.ends.len(), &mut all, &mut ends);
        let (all, ends) = (all.into_boxed_str(), ends.into_boxed_slice());
        Self { all, ends }
    }

    /// Appends the texts of some slots as one: one at a time would be a tenth of the writer's work.
    fn append(&self, slots: Range<usize>, all: &mut String, ends: &mut Vec<u32>) {
        let (from, to) = (self.start(slots.start), self.start(slots.end));
        let at = all.len();
        all.push_str(&self.all[from..to]);
        let moved = |end: &u32| place(*end) - from + at;
        let moved = self.ends[slots].iter().map(moved);
        ends.extend(moved.map(|end| u32::try_from(end).expect("users are bounded in size")));
    }

    /// The text of a slot with its zero; empty for an empty slot.
    fn of(&self, slot: usize) -> &str {
        &self.all[self.start(slot)..self.end(slot)]
    }

    /// Where the text of a slot begins: where that of the slot before ends.
    fn start(&self, slot: usize) -> usize {
        slot.checked_sub(1).map_or(0, |before| self.end(before))
    }

    fn end(&self, slot: usize) -> usize {
        place(self.ends[slot])
    }

    /// Finds the slots whose text contains all of the words, and returns how many contain the
    /// first.
    pub(super) fn with_words(
        &self,
        first: &Finder<'_>,
        others: &[Finder<'_>],
        found: &mut Vec<u32>,
    ) -> usize {
        let all = self.all.as_bytes();
        let (mut at, mut hits) = (0, 0);
        while let Some(hit) = first.find(&all[at..]) {
            let hit = at + hit;
            let slot = self.ends.partition_point(|end| place(*end) <= hit);
            let text = self.of(slot).as_bytes();
            if others.iter().all(|word| word.find(text).is_some()) {
                found.extend(u32::try_from(slot));
            }
            hits += 1;
            at = self.end(slot);
        }
        hits
    }
}

pub(super) fn place(number: u32) -> usize {
    usize::try_from(number).expect("a usize holds a u32 wherever this program runs")
}
