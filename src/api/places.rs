//! Where pages by index ended. An index says "the 101st", which becomes another user when an
//! earlier one is deleted, or leaves a filtered or sorted list: the walk would miss a user or show
//! one twice. So the end of each page is remembered for a while, and the page that begins there
//! goes on from the same user. Nothing depends on it: if the end is forgotten, users are counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::directory::Position;
use crate::limits;
use crate::secret::Digest;

/// The ends of pages, by who asked for what and by the index that comes next.
#[derive(Default)]
pub(super) struct Places {
    known: Mutex<HashMap<(Digest, usize), (Position, Instant)>>,
}

impl Places {
    /// Notes that the page before `next_index` ended with the user at `place`.
    pub(super) fn note(&self, binding: Digest, next_index: usize, place: Position, now: Instant) {
        let mut known = self.lock();
        if known.len() >= limits::PLACES_MAX && !known.contains_key(&(binding, next_index)) {
            known.retain(|_, (_, noted)| is_fresh(*noted, now));
            let oldest = known.iter().min_by_key(|(_, (_, noted))| *noted);
            let oldest = oldest.map(|(key, _)| *key);
            if known.len() >= limits::PLACES_MAX
                && let Some(oldest) = oldest
            {
                known.remove(&oldest);
            }
        }
        known.insert((binding, next_index), (place, now));
    }

    /// The user that the page before `index` ended with, if that is still known.
    pub(super) fn find(&self, binding: Digest, index: usize, now: Instant) -> Option<Position> {
        let known = self.lock();
        let (place, noted) = known.get(&(binding, index))?;
        is_fresh(*noted, now).then(|| place.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Digest, usize), (Position, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(noted: Instant, now: Instant) -> bool {
    now.saturating_duration_since(noted) <= limits::PLACE_DURATION_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn place(sequence: u8) -> Position {
        Position::decode(&[0, 0, 0, 0, sequence]).expect("a place")
    }

    #[test]
    fn places_are_known_for_a_while_and_not_too_many() {
        let places = Places::default();
        let start = Instant::now();
        places.note([1; 32], 101, place(1), start);
        assert_eq!(places.find([1; 32], 101, start), Some(place(1)));
        assert_eq!(places.find([1; 32], 201, start), None);
        assert_eq!(places.find([2; 32], 101, start), None);
        let late = start + limits::PLACE_DURATION_MAX + Duration::from_secs(1);
        assert_eq!(places.find([1; 32], 101, late), None);

        for index in 0..limits::PLACES_MAX {
            let when = start + Duration::from_millis(u64::try_from(index).expect("small") + 1);
            places.note([3; 32], index, place(2), when);
        }
        assert_eq!(places.lock().len(), limits::PLACES_MAX);
        assert_eq!(places.find([1; 32], 101, start), None, "the oldest went");
        assert_eq!(places.find([3; 32], 0, start), Some(place(2)));
    }
}
