//! The deactivations of the last hour, as the alarm counts them: by minute and by principal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Monotonic};

use crate::clock::Instant;
use crate::limits;

/// The time within which deactivations are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(3600);
/// The window has parts of this length; deactivations within one part are forgotten together.
pub(super) const PART: Duration = Duration::from_secs(60);
/// A deactivation is counted at most this long after its time in the audit trail.
pub(super) const MARGIN_SECONDS: i64 = 60;
/// The common name of all principals beyond [`limits::ALARM_PRINCIPALS_MAX`].
pub(super) const OTHERS: &str = "others";

/// The deactivations in one part of the window.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) began: Monotonic,
    /// The earliest time of day in this part, as the clock showed it: it may have been set back
    /// meanwhile.
    since: Instant,
    /// The number of deactivations by principal.
    pub(super) by: BTreeMap<String, u64>,
}

/// Deactivations from before this process, by their age in parts.
#[derive(Debug, Default)]
pub(super) struct Recalled(BTreeMap<u128, Part>);

impl Recalled {
    /// Counts a deactivation by the principal `by`, made at the time of day `time`. At the
    /// monotonic time `at` it is `age` old.
    pub(super) fn count(&mut self, by: &str, age: Duration, at: Monotonic, time: Instant) {
        let began = at.checked_sub(age).unwrap_or(at);
        let parts = age.as_millis() / PART.as_millis();
        let part = self.0.entry(parts);
        let part = part.or_insert_with(|| Part::new(began, time));
        part.began = part.began.min(began);
        part.add(by, 1, time);
    }

    /// The parts, newest first.
    pub(super) fn into_parts(self) -> impl Iterator<Item = Part> {
        self.0.into_values()
    }
}

impl Part {
    pub(super) fn new(began: Monotonic, since: Instant) -> Self {
        Self {
            began,
            since,
            by: BTreeMap::new(),
        }
    }

    /// Counts deactivations by the principal `by`, made at the time of day `time`.
    pub(super) fn add(&mut self, by: &str, deactivations: u64, time: Instant) {
        self.since = self.since.min(time);
        let is_one_too_many =
            self.by.len() >= limits::ALARM_PRINCIPALS_MAX && !self.by.contains_key(by);
        let by = if is_one_too_many { OTHERS } else { by };
        *self.by.entry(by.to_owned()).or_default() += deactivations;
    }

    /// A time of day before all deactivations of this part. They are counted only once they are on
    /// disk, which may take a while.
    pub(super) fn before(&self) -> Instant {
        self.since.plus_seconds(-MARGIN_SECONDS)
    }

    pub(super) fn is_over(&self, at: Monotonic) -> bool {
        at.saturating_duration_since(self.began) >= WINDOW
    }
}
