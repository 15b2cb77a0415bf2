//! Hints, kept in memory, to the user that each userName leads to. In the file's table every name
//! lies in a place of its own, and the cache holds only a few of the rows and names of a million
//! users.
//!
//! A hint is not an answer: [`super::Snapshot::user_named`] checks whether the user has that name,
//! and otherwise asks the table. Hints may therefore be missing, old or wrong, and belong to no
//! particular state of the store. They come from the check of the whole store (`integrity.rs`),
//! from each write, and from each lookup that had to ask the table.
//!
//! ```text
//! hash of a name ──▶ a group of eight slots, a cache line: half of the hash and a sequence each
//! ```

use std::hash::{BuildHasher, RandomState};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::change::{Change, Put};
use super::chunk::place;

use crate::locks::ignore_poison;

/// Slots in a group. A new hint whose group is full replaces another one.
const GROUP: usize = 8;
/// Groups of a store without users: 4 KiB.
const GROUPS_MIN: usize = 64;
/// Slots for each hundred names. With fewer slots, more than a few names in a hundred would find
/// their group full.
const SLOTS_PERCENT: u64 = 140;

/// The hints of one store.
#[derive(Default)]
pub(super) struct NameHints {
    hasher: RandomState,
    slots: RwLock<Slots>,
}

/// Each slot holds half of a name's hash, then a sequence, or 0 if it is empty: no sequence is 0.
struct Slots(Box<[AtomicU64]>);

impl NameHints {
    /// Makes room for `names` and a quarter more, so that growing is rare.
    pub(super) fn reserve(&self, names: u64) {
        let slots = ignore_poison(self.slots.read());
        if groups_for(names) <= slots.groups() {
            return;
        }
        // Lookups do not wait for this. Hints that are remembered meanwhile may be lost.
        let moved = slots.moved_to(groups_for(names / 4 * 5));
        drop(slots);
        *ignore_poison(self.slots.write()) = moved;
    }

    /// Updates the hints for a change. The change may still fail, but a wrong hint does no harm.
    pub(super) fn follow(&self, change: &Change) {
        for put in &change.puts {
            let (sequence, before, after) = match put {
                Put::CreateUser { sequence, keys, .. } => (*sequence, None, Some(keys)),
                Put::ReplaceUser {
                    sequence,
                    keys: Some((before, after)),
                    ..
                } => (*sequence, Some(before), Some(after)),
                Put::DeleteUser { sequence, before } => (*sequence, Some(before), None),
                _ => continue,
            };
            if let Some(before) = before {
                self.forget(&before.name, sequence);
            }
            if let Some(after) = after {
                self.remember(&after.name, sequence);
            }
        }
    }

    /// Remembers which user has this folded userName.
    pub(super) fn remember(&self, name: &[u8], sequence: u32) {
        let hint = self.hint(name, sequence);
        let slots = ignore_poison(self.slots.read());
        slots.put(hint);
    }

    fn forget(&self, name: &[u8], sequence: u32) {
        let hint = self.hint(name, sequence);
        let slots = ignore_poison(self.slots.read());
        if let Some(slot) = slots.group(hint).iter().find(|slot| load(slot) == hint) {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// Users that may have this folded userName: usually one or none.
    pub(super) fn of(&self, name: &[u8]) -> Vec<u32> {
        let wanted = self.hint(name, 0);
        let slots = ignore_poison(self.slots.read());
        let hints = slots.group(wanted).iter().map(load);
        hints
            .filter(|hint| *hint != 0 && hash(*hint) == hash(wanted))
            .map(sequence)
            .collect()
    }

    fn hint(&self, name: &[u8], sequence: u32) -> u64 {
        self.hasher.hash_one(name) & HASH | u64::from(sequence)
    }
}

const HASH: u64 = 0xffff_ffff_0000_0000;

fn hash(hint: u64) -> u64 {
    hint >> 32
}

fn sequence(hint: u64) -> u32 {
    u32::try_from(hint & !HASH).expect("the lower half")
}

fn load(slot: &AtomicU64) -> u64 {
    slot.load(Ordering::Relaxed)
}

fn groups_for(names: u64) -> usize {
    let slots = usize::try_from(names.saturating_mul(SLOTS_PERCENT) / 100);
    slots.unwrap_or(usize::MAX).div_ceil(GROUP).max(GROUPS_MIN)
}

impl Default for Slots {
    fn default() -> Self {
        Self::new(GROUPS_MIN)
    }
}

impl Slots {
    fn new(groups: usize) -> Self {
        Self((0..groups * GROUP).map(|_| AtomicU64::new(0)).collect())
    }

    fn groups(&self) -> usize {
        self.0.len() / GROUP
    }

    fn moved_to(&self, groups: usize) -> Self {
        let moved = Self::new(groups);
        let hints = self.0.iter().map(load).filter(|hint| *hint != 0);
        hints.for_each(|hint| moved.put(hint));
        moved
    }

    /// The slots that a hint may be in. The hashes are spread evenly over any number of groups.
    fn group(&self, hint: u64) -> &[AtomicU64] {
        let groups = u64::try_from(self.groups()).unwrap_or(u64::MAX);
        let number = u32::try_from(hash(hint).saturating_mul(groups) >> 32).unwrap_or(0);
        let first = place(number) * GROUP;
        &self.0[first..first + GROUP]
    }

    fn put(&self, hint: u64) {
        let group = self.group(hint);
        if group.iter().any(|slot| load(slot) == hint) {
            return;
        }
        let empty = group.iter().find(|slot| load(slot) == 0);
        let any = &group[place(sequence(hint)) % GROUP];
        empty.unwrap_or(any).store(hint, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> Vec<u8> {
        format!("jane.doe.{number}@example.com").into_bytes()
    }

    #[test]
    fn most_names_are_hinted_at_however_many_there_are() {
        let hints = NameHints::default();
        for number in 1..=50_000 {
            hints.reserve(number.into());
            hints.remember(&name(number), number);
            hints.remember(&name(number), number);
        }
        let is_right = |number: &u32| hints.of(&name(*number)) == [*number];
        let right = (1..=50_000).filter(is_right).count();
        assert!(right > 45_000, "{right}");
        assert!(hints.of(b"nobody").len() <= 1);
        let slots = hints.slots.read().expect("no panic").0.len();
        assert!(slots < 50_000 * 7 / 4 + GROUP, "{slots}");
    }

    #[test]
    fn what_is_forgotten_makes_room_and_what_is_not_is_bounded() {
        let hints = NameHints::default();
        for number in 1..=100_000 {
            hints.remember(&name(number), number);
            assert_eq!(hints.of(&name(number)), [number]);
            hints.forget(&name(number), number);
            hints.forget(&name(number), number);
            assert!(hints.of(&name(number)).is_empty());
        }
        for number in 1..=100_000 {
            hints.remember(&name(number), number);
        }
        assert_eq!(hints.slots.read().expect("no panic").groups(), GROUPS_MIN);
    }
}
