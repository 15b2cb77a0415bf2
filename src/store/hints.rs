//! Where a userName probably leads, in memory: the table of names in the file has a place of its
//! own for each, and of a million users' rows and names the cache holds few.
//!
//! A hint is no answer: whoever follows one looks whether the user has that name, and asks the
//! table if not. So hints may be missing, old or wrong, and belong to no state of the store; they
//! are made by the look at everything and by whoever writes.
//!
//! ```text
//! hash of a name ──▶ a group of eight slots, a cache line: half of the hash and a sequence each
//! ```

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use super::change::{Change, Put};
use super::index::place;

/// Slots of a group: a hint that finds its group full takes the place of another.
const GROUP: usize = 8;
/// Groups of a store without users: 4 KiB.
const GROUPS_MIN: usize = 64;
/// Of each hundred slots, as many are used before there are more: then some four names of a
/// hundred have found their group full.
const PERCENT_USED_MAX: usize = 70;

/// The hints of one store.
#[derive(Default)]
pub(super) struct Hints {
    hasher: RandomState,
    slots: RwLock<Slots>,
}

struct Slots {
    /// Half of a name's hash, then a sequence; 0 is an empty one, since no sequence is 0.
    all: Box<[AtomicU64]>,
    used: AtomicUsize,
}

impl Hints {
    /// Makes room for so many names.
    pub(super) fn reserve(&self, names: usize) {
        let groups = names.saturating_mul(100) / PERCENT_USED_MAX / GROUP + 1;
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if groups > slots.groups() {
            *slots = slots.moved_to(groups);
        }
    }

    /// Takes over what a change says of names. It may yet fail: a hint that is wrong does no harm.
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
                self.note(&after.name, sequence);
            }
        }
    }

    /// That somebody has this folded userName.
    pub(super) fn note(&self, name: &[u8], sequence: u32) {
        let hint = self.hint(name, sequence);
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.put(hint);
        let (groups, is_crowded) = (slots.groups(), slots.is_crowded());
        drop(slots);
        if is_crowded {
            self.reserve(groups * GROUP * PERCENT_USED_MAX / 100 * 3 / 2);
        }
    }

    fn forget(&self, name: &[u8], sequence: u32) {
        let hint = self.hint(name, sequence);
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.group(hint).iter().find(|slot| load(slot) == hint) {
            slot.store(0, Ordering::Relaxed);
            slots.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Who may have this folded userName: nobody, or one, or hardly ever more.
    pub(super) fn of(&self, name: &[u8]) -> Vec<u32> {
        let wanted = self.hint(name, 0);
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
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

impl Default for Slots {
    fn default() -> Self {
        Self::new(GROUPS_MIN)
    }
}

impl Slots {
    fn new(groups: usize) -> Self {
        Self {
            all: (0..groups * GROUP).map(|_| AtomicU64::new(0)).collect(),
            used: AtomicUsize::new(0),
        }
    }

    fn groups(&self) -> usize {
        self.all.len() / GROUP
    }

    fn is_crowded(&self) -> bool {
        self.used.load(Ordering::Relaxed) * 100 > self.all.len() * PERCENT_USED_MAX
    }

    fn moved_to(&self, groups: usize) -> Self {
        let moved = Self::new(groups);
        let hints = self.all.iter().map(load).filter(|hint| *hint != 0);
        hints.for_each(|hint| moved.put(hint));
        moved
    }

    /// The slots that a hint may be in: the groups share the hashes evenly, however many they are.
    fn group(&self, hint: u64) -> &[AtomicU64] {
        let groups = u64::try_from(self.groups()).unwrap_or(u64::MAX);
        let number = u32::try_from(hash(hint).saturating_mul(groups) >> 32).unwrap_or(0);
        let first = place(number) * GROUP;
        &self.all[first..first + GROUP]
    }

    fn put(&self, hint: u64) {
        let group = self.group(hint);
        if group.iter().any(|slot| load(slot) == hint) {
            return;
        }
        if let Some(empty) = group.iter().find(|slot| load(slot) == 0) {
            empty.store(hint, Ordering::Relaxed);
            self.used.fetch_add(1, Ordering::Relaxed);
        } else {
            let any = place(sequence(hint)) % GROUP;
            group[any].store(hint, Ordering::Relaxed);
        }
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
        let hints = Hints::default();
        for number in 1..=50_000 {
            hints.note(&name(number), number);
            hints.note(&name(number), number);
        }
        let is_right = |number: &u32| hints.of(&name(*number)) == [*number];
        let right = (1..=50_000).filter(is_right).count();
        assert!(right > 45_000, "{right}");
        assert!(hints.of(b"nobody").len() <= 1);
        let room = hints.slots.read().expect("no panic").all.len();
        assert!(room < 150_000, "{room}");
    }

    #[test]
    fn what_was_forgotten_makes_room() {
        let hints = Hints::default();
        for number in 1..=100_000 {
            hints.note(&name(number), number);
            assert_eq!(hints.of(&name(number)), [number]);
            hints.forget(&name(number), number);
            hints.forget(&name(number), number);
            assert!(hints.of(&name(number)).is_empty());
        }
        let slots = hints.slots.read().expect("no panic");
        assert_eq!(
            (slots.groups(), slots.used.load(Ordering::Relaxed)),
            (GROUPS_MIN, 0)
        );
    }
}
