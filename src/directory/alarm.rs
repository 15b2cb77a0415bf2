//! The alarm about very many deactivations. A mistake in an identity provider can take away
//! everybody's access within minutes. The deactivations still take effect, but a warning is given.
//!
//! Time is monotonic, so that setting the clock neither raises the alarm nor hides it. The time of
//! day is recorded as well, as the clock showed it: an undo looks for it in the audit trail, and a
//! new process counts the last hour's deactivations from there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Instant as Monotonic;

use super::deactivations::{PART, Part, Recalled};
use crate::clock::Instant;
use crate::fix::Fix;
use crate::locks::ignore_poison;

/// When deactivations raise the alarm: both thresholds must be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// The alarm needs more deactivations than this number; 0 turns it off.
    pub deactivations: u32,
    /// The alarm needs more deactivations than this share of the active users, in percent.
    pub percent: u32,
}

/// The deactivations of the last hour.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Ordered by time. At most a few more than the window has parts, because recalled
    /// deactivations have parts of their own.
    parts: VecDeque<Part>,
    /// Active users at the last [`Alarm::look`] that could count them.
    active: u64,
    raised: Option<Raised>,
    /// The number of deactivations at the last [`Transition::Raised`].
    told: u64,
    /// See [`Alarm::take_first_due`].
    is_first_due: bool,
}

#[derive(Clone, Copy, Debug)]
struct Raised {
    since: Instant,
    /// See [`AlarmState::began`]. It is kept when the first deactivations are forgotten.
    began: Instant,
    /// See [`AlarmState::first`]. It is kept as well.
    first: Option<u64>,
}

/// The values, besides the deactivations, that determine the state of the alarm.
pub(super) struct Readings {
    /// Active users; `None` if they cannot be counted, and then the last count is used.
    pub(super) active: Option<u64>,
    pub(super) thresholds: Thresholds,
    /// The time of day, for people.
    pub(super) now: Instant,
    /// Monotonic time, to measure the hour.
    pub(super) at: Monotonic,
}

/// The state of the alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmState {
    /// Deactivations within the last hour.
    pub deactivations: u64,
    /// The alarm is raised by more deactivations than this; `None` if the alarm is off.
    pub threshold: Option<u64>,
    /// When the alarm was raised, if it is raised.
    pub raised: Option<Instant>,
    /// The principal with the most deactivations, and their number.
    pub most: Option<(String, u64)>,
    /// A time of day shortly before the earliest deactivation since the alarm was raised or in the
    /// hour before that.
    pub began: Instant,
    /// The sequence of the first of these deactivations; known once the alarm has been looked at.
    pub first: Option<u64>,
}

impl AlarmState {
    /// The state in words.
    pub fn words(&self) -> String {
        let by = |(who, count): &(String, u64)| format!(", {count} by {who}");
        let most = self.most.as_ref().map_or_else(String::new, by);
        let many = |threshold| format!("; the alarm threshold is {threshold}");
        let many = self.threshold.map_or_else(String::new, many);
        let count = self.deactivations;
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} deactivation{plural} within an hour{most}{many}")
    }

    /// How to react. If one token made more than half of the deactivations, the suggested undo
    /// covers only its changes: what others did within the hour, such as an import, was no mistake.
    pub fn fix(&self) -> Fix {
        let most = self.most.as_ref();
        let most = most.filter(|(_, count)| count.saturating_mul(2) > self.deactivations);
        let token = most.and_then(|(who, _)| who.strip_prefix("token:")?.split(':').next());
        let by = token.map_or_else(String::new, |id| format!(" --token {id}"));
        // Not "1h": that would count from the moment of typing, which may be the next morning. A
        // time is only the fallback: it may select other changes too, or miss some if the clock was
        // set meanwhile.
        let since = match (self.first, self.began) {
            (Some(first), _) => format!("--from {first}"),
            (None, began) => format!("--since {began}"),
        };
        Fix::of(format!(
            "see who: {{program}} user list --inactive; if it was a mistake, stop it in the \
             identity provider, then: {{program}} user undo {since}{by} --dry-run"
        ))
    }
}

/// A change of the alarm's state since the last [`Alarm::look`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The alarm was raised, or there are twice as many deactivations as at the last `Raised`.
    Raised,
    /// The alarm is over.
    Over,
}

impl Alarm {
    /// Counts deactivations made by `by` at `at`, when the clock showed `now`.
    pub(super) fn count(&self, by: &str, deactivations: u64, at: Monotonic, now: Instant) {
        let mut state = ignore_poison(self.state.lock());
        state.forget(at);
        let is_new = |part: &Part| at.saturating_duration_since(part.began) >= PART;
        if state.parts.back().is_none_or(is_new) {
            state.parts.push_back(Part::new(at, now));
        }
        if let Some(part) = state.parts.back_mut() {
            part.add(by, deactivations, now);
        }
    }

    /// Counts deactivations that are older than all counted so far.
    pub(super) fn recall(&self, earlier: Recalled) {
        let mut state = ignore_poison(self.state.lock());
        for part in earlier.into_parts() {
            state.parts.push_front(part);
        }
        state.is_first_due = state.raised.is_some();
    }

    /// The state of the alarm. The percentage refers to the active users of `readings` (or of the
    /// last look that could count them) plus the users deactivated within the hour. The alarm
    /// counts as raised as soon as there are too many deactivations, even before the look that logs
    /// it.
    pub(super) fn stands(&self, readings: &Readings) -> AlarmState {
        let state = ignore_poison(self.state.lock());
        state.stands(readings)
    }

    /// The state of the alarm, and its transition since the last look. Each transition is returned
    /// only once.
    pub(super) fn look(&self, readings: &Readings) -> (AlarmState, Option<Transition>) {
        let mut state = ignore_poison(self.state.lock());
        state.forget(readings.at);
        state.active = readings.active.unwrap_or(state.active);
        let stands = state.stands(readings);
        // After the number has fallen, twice the lower number is news.
        state.told = state.told.min(stands.deactivations);
        let transition = match (state.raised, stands.raised) {
            (None, Some(_)) => Some(Transition::Raised),
            (Some(_), Some(_)) if stands.deactivations >= state.told.saturating_mul(2) => {
                Some(Transition::Raised)
            }
            (Some(_), None) => Some(Transition::Over),
            _ => None,
        };
        if transition == Some(Transition::Raised) {
            state.told = stands.deactivations;
            state.is_first_due = true;
        }
        state.raised = stands.raised.map(|since| Raised {
            since,
            began: stands.began,
            first: stands.first,
        });
        (stands, transition)
    }

    /// Whether the caller should find out which change was the first. It becomes due when the alarm
    /// is raised and when earlier deactivations are recalled; returns true once each time.
    pub(super) fn take_first_due(&self) -> bool {
        std::mem::take(&mut ignore_poison(self.state.lock()).is_first_due)
    }

    /// Stores which change was the first, unless an earlier one is already known, and returns the
    /// stored one.
    pub(super) fn keep_first(&self, first: Option<u64>) -> Option<u64> {
        let mut state = ignore_poison(self.state.lock());
        let raised = state.raised.as_mut()?;
        raised.first = raised.first.into_iter().chain(first).min();
        raised.first
    }
}

impl State {
    fn forget(&mut self, at: Monotonic) {
        while self.parts.front().is_some_and(|part| part.is_over(at)) {
            self.parts.pop_front();
        }
    }

    fn stands(&self, readings: &Readings) -> AlarmState {
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        let parts = self.parts.iter().filter(|part| !part.is_over(readings.at));
        // If the clock was set back, the first deactivation is not the earliest by time of day.
        let earliest = parts.clone().map(Part::before).min();
        let before = self.raised.map(|raised| raised.began);
        for (who, count) in parts.flat_map(|part| &part.by) {
            *by.entry(who).or_default() += count;
        }
        let most = by.iter().max_by_key(|(_, count)| **count);
        let most = most.map(|(who, count)| ((*who).to_owned(), *count));
        let deactivations = by.values().sum();
        let active = readings.active.unwrap_or(self.active);
        let threshold = threshold(active.saturating_add(deactivations), readings.thresholds);
        let is_raised = threshold.is_some_and(|threshold| deactivations > threshold);
        AlarmState {
            deactivations,
            threshold,
            raised: is_raised.then(|| self.raised.map_or(readings.now, |raised| raised.since)),
            most,
            began: before
                .into_iter()
                .chain(earliest)
                .min()
                .unwrap_or(readings.now),
            first: self.raised.and_then(|raised| raised.first),
        }
    }
}

fn threshold(active: u64, thresholds: Thresholds) -> Option<u64> {
    let share = active.saturating_mul(u64::from(thresholds.percent)) / 100;
    let fixed = u64::from(thresholds.deactivations);
    (fixed > 0).then(|| fixed.max(share))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::time::Duration;

    use super::super::deactivations::{MARGIN_SECONDS, OTHERS, WINDOW};
    use super::*;
    use crate::limits;

    const USUAL: Thresholds = Thresholds {
        deactivations: 50,
        percent: 20,
    };

    fn epoch() -> Instant {
        Instant::from_millis(0)
    }

    fn of(active: Option<u64>, thresholds: Thresholds, at: Monotonic) -> Readings {
        Readings {
            active,
            thresholds,
            now: epoch(),
            at,
        }
    }

    fn look(alarm: &Alarm, active: u64, at: Monotonic) -> (AlarmState, Option<Transition>) {
        alarm.look(&of(Some(active), USUAL, at))
    }

    #[test]
    fn it_is_raised_by_more_than_both_thresholds_and_over_after_an_hour() {
        for (active_before, wanted) in [(60, 50), (250, 50), (1000, 200), (10_000, 2000)] {
            let (alarm, start) = (Alarm::default(), Monotonic::now());
            alarm.count("okta", wanted, start, epoch());
            let (state, transition) = look(&alarm, active_before - wanted, start);
            assert_eq!(
                (state.threshold, transition),
                (Some(wanted), None),
                "{active_before}"
            );

            alarm.count("jane", 1, start + Duration::from_secs(30), epoch());
            let (state, transition) = look(&alarm, active_before - wanted - 1, start);
            assert_eq!(transition, Some(Transition::Raised), "{active_before}");
            assert_eq!(state.deactivations, wanted + 1);
            assert_eq!(state.most, Some(("okta".to_owned(), wanted)));
            assert_eq!(
                state.words(),
                format!(
                    "{} deactivations within an hour, {wanted} by okta; the alarm threshold is {wanted}",
                    wanted + 1
                )
            );
            let (again, transition) = look(
                &alarm,
                active_before - wanted - 1,
                start + Duration::from_secs(600),
            );
            assert!(again.raised.is_some() && transition.is_none());

            let later = start + WINDOW;
            let (state, transition) = look(&alarm, active_before, later);
            assert_eq!(
                (state.deactivations, transition),
                (0, Some(Transition::Over))
            );
        }
    }

    /// The trail has the times that the clock showed then, right or wrong.
    #[test]
    fn it_names_the_moment_of_the_first_however_long_it_lasts_and_whatever_the_clock_does() {
        let (alarm, start) = (Alarm::default(), Monotonic::now());
        let first = epoch().plus_days(3);
        let before = first.plus_seconds(-MARGIN_SECONDS);
        alarm.count("okta", 100, start, first);
        assert_eq!(look(&alarm, 0, start).0.began, before);
        let half = start + WINDOW / 2;
        alarm.count("okta", 100, half, first.plus_days(1));
        assert_eq!(look(&alarm, 0, half).0.began, before);
        let (later, _) = look(&alarm, 0, start + WINDOW);
        assert_eq!((later.deactivations, later.began), (100, before));
        // After an alarm is over, the next one has a beginning of its own.
        let end = half + WINDOW;
        assert_eq!(look(&alarm, 0, end).1, Some(Transition::Over));
        alarm.count("okta", 100, end, first.plus_days(2));
        let (next, _) = look(&alarm, 0, end);
        assert_eq!(next.began, before.plus_days(2));
        // An undo that begins there must find all deactivations, including those made after the
        // clock was set back, in the same minute or later.
        for (passed, days) in [(0, 1), (300, 0)] {
            let at = end + Duration::from_secs(passed);
            alarm.count("okta", 100, at, first.plus_days(days));
            assert_eq!(look(&alarm, 0, at).0.began, before.plus_days(days));
        }
    }

    #[test]
    fn it_is_told_again_of_twice_as_many() {
        let (alarm, at) = (Alarm::default(), Monotonic::now());
        let mut told = Vec::new();
        for count in 1..=408 {
            alarm.count("okta", 1, at, epoch());
            if look(&alarm, 0, at).1 == Some(Transition::Raised) {
                told.push(count);
            }
        }
        assert_eq!(told, [51, 102, 204, 408]);
        // Sixty deactivations keep the alarm raised while the others are forgotten.
        let later = at + WINDOW / 2;
        alarm.count("okta", 60, later, epoch());
        assert_eq!(look(&alarm, 0, later).1, None);
        let end = at + WINDOW;
        assert_eq!(look(&alarm, 0, end).1, None);
        alarm.count("okta", 60, end, epoch());
        assert_eq!(look(&alarm, 0, end).1, Some(Transition::Raised));
    }

    #[test]
    fn who_asks_how_it_stands_takes_no_turn_from_the_log() {
        let (alarm, start) = (Alarm::default(), Monotonic::now());
        let now = Instant::from_millis(0);
        alarm.count("okta", 51, start, epoch());
        for _ in 0..2 {
            let state = alarm.stands(&of(Some(0), USUAL, start));
            assert_eq!((state.deactivations, state.raised), (51, Some(now)));
        }
        assert_eq!(look(&alarm, 0, start).1, Some(Transition::Raised));
        let later = start + WINDOW;
        for _ in 0..2 {
            let state = alarm.stands(&of(Some(51), USUAL, later));
            assert_eq!((state.deactivations, state.raised), (0, None));
        }
        assert_eq!(look(&alarm, 51, later).1, Some(Transition::Over));
    }

    #[test]
    fn what_one_token_did_alone_is_taken_back() {
        let check = |by: &[(&str, u64)], wanted: &str| {
            let (alarm, at) = (Alarm::default(), Monotonic::now());
            for (who, count) in by {
                alarm.count(who, *count, at, epoch());
            }
            let fix = look(&alarm, 0, at).0.fix().to_string();
            let since = Instant::from_millis(if by.is_empty() { 0 } else { -60_000 });
            let command = format!("golinks-scim user undo --since {since}{wanted} --dry-run");
            assert!(fix.ends_with(&command), "{fix}");
        };
        let entra = "token:d377c51a:entra: the new one";
        check(
            &[(entra, 1163), ("administrator:jane", 2)],
            " --token d377c51a",
        );
        check(&[(entra, 50), ("token:0a1b2c3d:okta", 50)], "");
        check(&[(entra, 1), ("administrator:jane", 1163)], "");
        check(&[], "");
    }

    #[test]
    fn an_hour_moves_on_minute_by_minute() {
        let (alarm, start) = (Alarm::default(), Monotonic::now());
        for minute in 0..120 {
            let at = start + PART * minute;
            alarm.count("okta", 1, at, epoch());
            let (state, transition) = look(&alarm, 0, at);
            assert_eq!(state.deactivations, u64::from(minute + 1).min(60));
            assert_eq!(
                transition,
                (minute == 50).then_some(Transition::Raised),
                "{minute}"
            );
        }
        assert!(alarm.state.lock().expect("whole").parts.len() <= 61);
    }

    /// Half an hour of deactivations before the start; the newest are recalled first.
    #[test]
    fn what_is_recalled_is_the_earliest_and_forgotten_first() {
        let (alarm, start) = (Alarm::default(), Monotonic::now());
        let recall = |seconds: Range<u32>| {
            let mut recalled = Recalled::default();
            for second in seconds {
                let time = epoch().plus_seconds(-i64::from(second));
                recalled.count("okta", Duration::from_secs(second.into()), start, time);
            }
            alarm.recall(recalled);
        };
        recall(0..100);
        alarm.count("okta", 1, start, epoch());
        let (state, transition) = look(&alarm, 0, start);
        assert_eq!(
            (state.deactivations, transition),
            (101, Some(Transition::Raised))
        );
        assert_eq!(state.began, epoch().plus_seconds(-99 - MARGIN_SECONDS));
        recall(100..1801);
        let (state, transition) = look(&alarm, 0, start);
        assert_eq!(
            (state.deactivations, transition),
            (1802, Some(Transition::Raised))
        );
        assert_eq!(state.began, epoch().plus_seconds(-1800 - MARGIN_SECONDS));
        assert!(alarm.state.lock().expect("whole").parts.len() <= 33);
        let (later, _) = look(&alarm, 0, start + WINDOW / 2);
        assert_eq!(later.deactivations, 1801);
        let (later, _) = look(&alarm, 0, start + 59 * PART);
        assert_eq!(later.deactivations, 61);
    }

    #[test]
    fn who_did_it_is_bounded_and_nobody_is_left_out() {
        let (alarm, at) = (Alarm::default(), Monotonic::now());
        let many = limits::ALARM_PRINCIPALS_MAX as u64 + 100;
        for number in 0..many {
            alarm.count(&number.to_string(), 1, at, epoch());
        }
        let (state, _) = look(&alarm, 0, at);
        assert_eq!(state.deactivations, many);
        assert_eq!(state.most, Some((OTHERS.to_owned(), 100)));
    }

    #[test]
    fn users_that_cannot_be_counted_are_as_many_as_before() {
        let (alarm, at) = (Alarm::default(), Monotonic::now());
        alarm.count("okta", 100, at, epoch());
        let (state, _) = alarm.look(&of(Some(900), USUAL, at));
        assert_eq!(state.threshold, Some(200));
        assert_eq!(alarm.look(&of(None, USUAL, at)).0, state);
    }

    #[test]
    fn it_can_be_off() {
        let alarm = Alarm::default();
        alarm.count("okta", 1_000_000, Monotonic::now(), epoch());
        let off = Thresholds {
            deactivations: 0,
            percent: 20,
        };
        let (state, transition) = alarm.look(&of(None, off, Monotonic::now()));
        assert_eq!(
            (state.threshold, state.raised, transition),
            (None, None, None)
        );
    }
}
