//! The bounds on rows about refusals: each principal has a number of rows per minute and per day.
//! Refusals without a row are counted, and summed up when their minute is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant as Monotonic;

use crate::clock::Instant;
use crate::limits;

/// The rows of each principal within a day: when the day began, and how many there are since. There
/// is an entry for each token that was refused within a day.
#[derive(Default)]
pub(super) struct Days(BTreeMap<String, (Monotonic, u32)>);

impl Days {
    /// Counts a row of this principal, and returns whether there is room for it. Days that are over
    /// are dropped.
    pub(super) fn take_place(&mut self, principal: &str, at: Monotonic) -> bool {
        let is_on = |began: Monotonic| at.saturating_duration_since(began) < limits::REFUSAL_DAY;
        self.0.retain(|_, (began, _)| is_on(*began));
        let (_, rows) = self.0.entry(principal.to_owned()).or_insert((at, 0));
        *rows = rows.saturating_add(1);
        *rows <= limits::REFUSALS_PER_DAY_MAX
    }
}

/// The refusals of one minute.
#[derive(Default)]
pub(super) struct Minute {
    began: Option<(Monotonic, Instant)>,
    /// Rows by principal.
    rows: BTreeMap<String, u32>,
    /// Principals told to come back later, and for which cause.
    told_to_wait: BTreeSet<(String, Option<&'static str>)>,
    /// Counts of refusals without a row, by what distinguishes them.
    counted: BTreeMap<String, u64>,
}

/// What was counted in a minute that is over.
pub(super) struct Sum {
    pub(super) since: Instant,
    pub(super) counted: BTreeMap<String, u64>,
}

impl Minute {
    /// Begins a minute at the first refusal after the previous minute ended. Returns what the
    /// previous minute counted.
    pub(super) fn begin(&mut self, at: Monotonic, now: Instant) -> Option<Sum> {
        let over = self.end(Some(at));
        self.began.get_or_insert((at, now));
        over
    }

    /// Ends the minute if it is over at `at`, or in any case if `at` is `None`. Returns what it
    /// counted, if anything.
    pub(super) fn end(&mut self, at: Option<Monotonic>) -> Option<Sum> {
        let (began, since) = self.began?;
        let is_over =
            at.is_none_or(|at| at.saturating_duration_since(began) >= limits::REFUSAL_WINDOW);
        if !is_over {
            return None;
        }
        let counted = std::mem::take(self).counted;
        (!counted.is_empty()).then_some(Sum { since, counted })
    }

    /// Counts a row of this principal, and returns whether there is room for it.
    pub(super) fn take_place(&mut self, principal: &str) -> bool {
        let rows = self.rows.entry(principal.to_owned()).or_default();
        *rows = rows.saturating_add(1);
        *rows <= limits::REFUSALS_PER_WINDOW_MAX
    }

    /// Notes that a principal was told to come back later, and returns whether it was for the first
    /// time for this cause.
    pub(super) fn is_first_wait(&mut self, principal: &str, cause: Option<&'static str>) -> bool {
        self.told_to_wait.insert((principal.to_owned(), cause))
    }

    /// Counts a refusal without a row.
    pub(super) fn count(&mut self, key: impl Into<String>) {
        *self.counted.entry(key.into()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_takes_so_many_rows_and_the_next_day_again() {
        let (mut days, start) = (Days::default(), Monotonic::now());
        let most = limits::REFUSALS_PER_DAY_MAX;
        let mut taken = |at| {
            let places = 0..2 * most;
            places.filter(|_| days.take_place("okta", at)).count()
        };
        assert_eq!(taken(start), most as usize);
        assert_eq!(taken(start + limits::REFUSAL_DAY / 2), 0);
        assert_eq!(taken(start + limits::REFUSAL_DAY), most as usize);
    }

    #[test]
    fn a_minute_is_summed_up_once_it_is_over() {
        let mut minute = Minute::default();
        let (start, now) = (Monotonic::now(), Instant::from_millis(0));
        assert!(minute.end(None).is_none());
        for _ in 0..3 {
            assert!(minute.begin(start, now).is_none());
            minute.count("absent");
        }
        assert!(minute.end(Some(start)).is_none());
        let later = start + limits::REFUSAL_WINDOW;
        let over = minute.begin(later, Instant::from_millis(60_000));
        let over = over.map(|sum| (sum.since.millis(), sum.counted));
        assert_eq!(over, Some((0, [("absent".to_owned(), 3)].into())));
        assert!(minute.end(None).is_none(), "nothing was counted since");
    }
}
