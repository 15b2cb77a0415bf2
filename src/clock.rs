//! The one place where the time of day is read. Everything else is given a [`Clock`] or an
//! [`Instant`], so that a test can choose the time. Deadlines are not times of day: they use std's
//! monotonic clock, imported as `Monotonic` and read where each deadline begins. Code that counts
//! over time takes its reading as an argument.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A source of the time of day.
pub trait Clock: Send + Sync + 'static {
    /// The moment now.
    fn now(&self) -> Instant;
}

/// A clock shared by many owners.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine. A machine that does not keep the time while it is off may show a time
/// before [`Instant::CLOCK_FLOOR`]. Its clock is then taken to have shown that moment at boot, so
/// that anything made meanwhile, such as a token for a year, is still valid once the clock is
/// right.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The time that the machine's clock shows, even if it is obviously wrong.
    pub fn shown() -> Instant {
        of_system(SystemTime::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let now = Self::shown();
        if now < Instant::CLOCK_FLOOR {
            // The uptime is the same for all processes.
            since_floor(clock_gettime(ClockId::Boottime))
        } else {
            now
        }
    }
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Shown as RFC 3339 in UTC with milliseconds, which is the `dateTime` of RFC 7643
/// section 2.3.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// Bytes of an instant's text.
pub const TEXT_BYTES: usize = 24;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const MS_NS: i128 = 1_000_000;
/// 0001-01-01T00:00:00Z, and the last second that lies in year 9999 in every time zone.
const RANGE_MS: (i64, i64) = (-62_135_596_800_000, 253_402_207_200_000);

impl Instant {
    /// 2026-11-01T00:00:00Z. This program was built later, so it cannot run before this moment.
    pub const CLOCK_FLOOR: Self = Self(1_793_491_200_000);

    /// From milliseconds since the epoch. A moment that RFC 3339 cannot express becomes the nearest
    /// one that it can.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(RANGE_MS.0, RANGE_MS.1))
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment plus `days` of 24 hours.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        Self::from_millis(self.0.saturating_add(days.saturating_mul(DAY_MS)))
    }

    /// This moment plus `seconds`.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_millis(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// The next representable moment, one millisecond later.
    #[must_use]
    pub fn next(self) -> Self {
        Self::from_millis(self.0.saturating_add(1))
    }

    /// Whole days from this moment to `later`; negative if `later` is in the past.
    pub fn days_until(self, later: Self) -> i64 {
        (later.0 - self.0).div_euclid(DAY_MS)
    }

    /// [`Instant::days_until`] in words, such as `in 3 days`.
    pub fn words_until(self, later: Self) -> String {
        match self.days_until(later) {
            ..0 => "in the past".to_owned(),
            0 => "in less than a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        }
    }

    /// Reads a moment in the form of RFC 3339, or in another form of ISO 8601 that includes the
    /// offset; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        // The library also accepts the name of a time zone, which may contradict the offset, and an
        // offset of a day or more.
        if text.contains('[') {
            return None;
        }
        let pieces = Pieces::parse(text).ok()?;
        let offset = pieces.to_numeric_offset()?;
        if i64::from(offset.seconds()).abs() >= DAY_MS / 1000 {
            return None;
        }
        let civil = pieces.date().to_datetime(pieces.time()?);
        let timestamp = offset.to_timestamp(civil).ok()?;
        Some(Self::from_millis(timestamp.as_millisecond()))
    }
}

impl Instant {
    /// The same text that [`fmt::Display`] writes.
    pub fn to_text(self) -> [u8; TEXT_BYTES] {
        let civil = jiff::tz::Offset::UTC.to_datetime(self.timestamp());
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[..4], civil.year().unsigned_abs().into());
        digits(&mut text[5..7], civil.month().unsigned_abs().into());
        digits(&mut text[8..10], civil.day().unsigned_abs().into());
        let (_, millis) = self.day();
        write_time(&mut text, millis);
        text
    }

    /// The date in HTTP's format (RFC 9110 section 5.6.7), to the second.
    pub fn imf_fixdate(self) -> String {
        let timestamp = self.timestamp();
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&timestamp)
            .expect("the year has four digits")
    }

    fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0)
            .expect("every Instant was clamped to what RFC 3339 can write")
    }

    /// The day since the epoch, and the millisecond of the day.
    fn day(self) -> (i64, u32) {
        let millis = self.0.rem_euclid(DAY_MS);
        let millis = u32::try_from(millis).expect("a day has fewer milliseconds");
        (self.0.div_euclid(DAY_MS), millis)
    }
}

/// `{}` writes the milliseconds. `{:.0}` leaves them out, for people who read when a certificate
/// ends: its times are whole seconds.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text();
        let text = std::str::from_utf8(&text).expect("it is ASCII");
        if f.precision() == Some(0) {
            return write!(f, "{}Z", &text[..19]);
        }
        f.write_str(text)
    }
}

/// Writes a series of instants as text. Many of them fall on the same day, or in the same second if
/// users were imported. Finding the date is most of the work, and every user in an answer has two
/// instants.
#[derive(Debug, Default)]
pub struct Times {
    /// The day and the second since the epoch of the last instant.
    last: Option<(i64, i64)>,
    /// Its text.
    text: [u8; TEXT_BYTES],
}

impl Times {
    /// The same text as [`Instant::to_text`].
    pub fn text_of(&mut self, instant: Instant) -> [u8; TEXT_BYTES] {
        let (day, millis) = instant.day();
        let second = instant.seconds();
        match self.last {
            Some((_, last)) if last == second => digits(&mut self.text[20..23], millis % 1000),
            Some((last, _)) if last == day => write_time(&mut self.text, millis),
            _ => self.text = instant.to_text(),
        }
        self.last = Some((day, second));
        self.text
    }
}

/// A `dateTime` from a client, in nanoseconds since 1970-01-01T00:00:00Z, for comparison with
/// instants: it may lie between two of them, before the first or after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(i128);

impl DateTime {
    /// Reads an RFC 3339 `dateTime`. The time may be 24:00:00, which is the next day's midnight
    /// (XML Schema part 2 section 3.2.7, which RFC 7643 section 2.3.5 refers to). `None` for
    /// anything else. Digits beyond a nanosecond are cut off.
    pub fn parse(text: &str) -> Option<Self> {
        const NANOSECONDS: usize = ".000000000".len();
        let (seconds, fraction, zone) = date_time_parts(text)?;
        let (seconds, day) = match seconds.strip_suffix("24:00:00") {
            Some(date) => (Cow::Owned(format!("{date}00:00:00")), DAY_MS),
            None => (Cow::Borrowed(seconds), 0),
        };
        let fraction = fraction.get(..NANOSECONDS).unwrap_or(fraction);
        let text = format!("{seconds}{fraction}{zone}");
        let pieces = Pieces::parse(&text).ok()?;
        let (time, offset) = (pieces.time()?, pieces.to_numeric_offset()?);
        if day > 0 && time != Time::midnight() {
            return None;
        }
        let epoch = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let civil = pieces.date().to_datetime(time).duration_since(epoch);
        let offset = SignedDuration::from_secs(offset.seconds().into());
        Some(Self((civil - offset).as_nanos() + i128::from(day) * MS_NS))
    }

    /// The last instant that is not after this time; beyond the range of instants, the nearest one.
    pub fn instant(self) -> Instant {
        Instant::from_millis(self.millis_until())
    }

    /// The first millisecond since the epoch that is not before this time.
    pub fn millis_from(self) -> i64 {
        self.millis_until() + i64::from(self.0.rem_euclid(MS_NS) > 0)
    }

    /// The last millisecond since the epoch that is not after this time.
    pub fn millis_until(self) -> i64 {
        let millis = self.0.div_euclid(MS_NS);
        i64::try_from(millis).expect("the years that can be written have fewer milliseconds")
    }
}

fn of_system(time: SystemTime) -> Instant {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn since_floor(uptime: Timespec) -> Instant {
    let millis = uptime.tv_sec.saturating_mul(1000) + uptime.tv_nsec / 1_000_000;
    Instant::from_millis(Instant::CLOCK_FLOOR.millis().saturating_add(millis))
}

/// Overwrites the time of day, in milliseconds.
fn write_time(text: &mut [u8; TEXT_BYTES], millis: u32) {
    let seconds = millis / 1000;
    let minutes = seconds / 60;
    digits(&mut text[11..13], minutes / 60);
    digits(&mut text[14..16], minutes % 60);
    digits(&mut text[17..19], seconds % 60);
    digits(&mut text[20..23], millis % 1000);
}

/// Writes a number into the whole of `place`, padded with leading zeros.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

/// Splits `dddd-dd-ddTdd:dd:dd[.d+](Z|±dd:dd)` before the fraction of a second and before the zone,
/// whose offset must be under a day. This check is needed because the library accepts more forms.
fn date_time_parts(text: &str) -> Option<(&str, &str, &str)> {
    const SECONDS: &str = "0000-00-00T00:00:00";
    let (seconds, rest) = text.split_at_checked(SECONDS.len())?;
    let (fraction, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let is_fraction =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_distance = |distance: &str| has_form(distance, "00:00") && distance < "24:00";
    let is_one = has_form(seconds, SECONDS)
        && (fraction.is_empty() || fraction.strip_prefix('.').is_some_and(is_fraction))
        && (zone.eq_ignore_ascii_case("Z")
            || zone.strip_prefix(['+', '-']).is_some_and(is_distance));
    is_one.then_some((seconds, fraction, zone))
}

/// Whether a text has the form `form`, in which a zero stands for any digit.
fn has_form(text: &str, form: &str) -> bool {
    let is_like = |(byte, like): (u8, u8)| match like {
        b'0' => byte.is_ascii_digit(),
        _ => byte.eq_ignore_ascii_case(&like),
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(is_like)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_instant_reads_what_it_writes() {
        for text in ["2026-11-23T20:30:00.125Z", "1970-01-01T00:00:00.000Z"] {
            assert_eq!(Instant::parse(text).expect("valid").to_string(), text);
        }
        let east = Instant::parse("2026-11-23T21:30:00+01:00").expect("valid");
        assert_eq!(east.to_string(), "2026-11-23T20:30:00.000Z");
        assert_eq!(format!("{east:.0}"), "2026-11-23T20:30:00Z");
        assert_eq!(Instant::parse("yesterday"), None);
        let two_zones = "2026-11-23T21:30:00+05:00[Europe/Paris]";
        assert_eq!(Instant::parse(two_zones), None);
        for zone in ["+23:59", "-23:59", "+2359", "-00:00"] {
            let text = format!("2026-11-23T21:30:00{zone}");
            assert!(Instant::parse(&text).is_some(), "{text}");
        }
        for zone in [
            "+24:00", "-24:30", "+25:00", "+25", "+2500", "-01:60", "+99:00",
        ] {
            let text = format!("2026-11-23T21:30:00{zone}");
            assert_eq!(Instant::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn days_are_told_in_words() {
        let now = Instant::from_millis(0);
        for (days, part, wanted) in [
            (2, 0, "in 2 days"),
            (1, 1, "in 1 day"),
            (0, DAY_MS - 1, "in less than a day"),
            (0, -1, "in the past"),
        ] {
            let later = Instant::from_millis(days * DAY_MS + part);
            assert_eq!(now.words_until(later), wanted);
        }
    }

    #[test]
    fn whatever_the_machine_says_is_a_time_to_live_with() {
        const SECOND: Duration = Duration::from_secs(1);
        let before_floor = UNIX_EPOCH + Duration::from_secs(1_793_491_200);
        assert_eq!(Instant::CLOCK_FLOOR.to_string(), "2026-11-01T00:00:00.000Z");
        assert_eq!(of_system(before_floor), Instant::CLOCK_FLOOR);
        assert!(of_system(before_floor - SECOND) < Instant::CLOCK_FLOOR);
        assert_eq!(of_system(UNIX_EPOCH - SECOND), Instant::from_millis(0));
        // A time that is too late for the library.
        let late = of_system(UNIX_EPOCH + Duration::from_secs(400_000_000_000));
        assert_eq!(late, Instant::from_millis(i64::MAX));
        let uptime = Timespec {
            tv_sec: 1,
            tv_nsec: 500_000_000,
        };
        assert_eq!(
            since_floor(uptime).millis(),
            Instant::CLOCK_FLOOR.millis() + 1500
        );
        assert!(SystemClock::shown() > Instant::CLOCK_FLOOR);
    }

    #[test]
    fn dates_are_written_as_http_has_them() {
        let date = |millis| Instant::from_millis(millis).imf_fixdate();
        assert_eq!(date(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(1_795_465_800_000), "Mon, 23 Nov 2026 20:30:00 GMT");
        assert_eq!(date(i64::MIN), "Mon, 01 Jan 0001 00:00:00 GMT");
        assert_eq!(date(i64::MAX), "Thu, 30 Dec 9999 22:00:00 GMT");
        // A fraction of a second before 1970 belongs to the preceding second.
        assert_eq!(date(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    }

    #[test]
    fn a_date_time_may_lie_between_instants_or_beyond_them() {
        let date_time = |text| DateTime::parse(text).expect(text);
        for (text, from, until) in [
            ("1970-01-01T00:00:00.001Z", 1, 1),
            ("1970-01-01T00:00:00.0015+00:00", 2, 1),
            ("1969-12-31T23:59:59.9985Z", -1, -2),
            ("1970-01-01T00:00:00+01:00", -3_600_000, -3_600_000),
            ("1969-12-31T24:00:00Z", 0, 0),
            ("1969-12-31T24:00:00.000-01:00", 3_600_000, 3_600_000),
            ("1969-12-31t24:00:00z", 0, 0),
            ("1970-01-01T14:00:00+14:00", 0, 0),
            ("1970-01-01T00:00:00-00:00", 0, 0),
            // Digits beyond a nanosecond are cut off.
            ("1970-01-01T00:00:00.0010000009Z", 1, 1),
            ("1970-01-01T00:00:00.0010000019Z", 2, 1),
            ("1969-12-31T24:00:00.00000000000Z", 0, 0),
            (
                "9999-12-31T23:59:59Z",
                253_402_300_799_000,
                253_402_300_799_000,
            ),
        ] {
            let found = (
                date_time(text).millis_from(),
                date_time(text).millis_until(),
            );
            assert_eq!(found, (from, until), "{text}");
        }
        for bad in [
            "",
            "soon",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T24:00:01Z",
            "1970-01-01T24:00:00.5Z",
            "1970-01-01T25:00:00Z",
            "1970-13-01T00:00:00Z",
            "24:00:00",
            "T24:00:00",
            // Forms that the library accepts but we do not.
            "19700101T000000Z",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00,5Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.\u{665}Z",
            "1970-01-01T00:00:00+01",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+25:00",
            "1970-01-01T00:00:00+01:60",
            "1970-01-01T00:00:00Z[Europe/Paris]",
            "1970-01-01T00:00:00+01:00[Europe/Paris]",
            "+001970-01-01T00:00:00Z",
            " 1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z ",
            "1970-01-01T00:00:0\u{665}Z",
        ] {
            assert_eq!(DateTime::parse(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_date_time_reads_what_an_instant_writes(millis in RANGE_MS.0..RANGE_MS.1) {
            let instant = Instant::from_millis(millis);
            let date_time = DateTime::parse(&instant.to_string()).expect("a dateTime");
            let found = (date_time.millis_from(), date_time.millis_until());
            proptest::prop_assert_eq!(found, (millis, millis));
        }

        #[test]
        fn the_text_is_that_of_the_library(millis in RANGE_MS.0..RANGE_MS.1) {
            let instant = Instant::from_millis(millis);
            let timestamp = jiff::Timestamp::from_millisecond(millis).expect("in range");
            proptest::prop_assert_eq!(instant.to_string(), format!("{timestamp:.3}"));
            proptest::prop_assert_eq!(Instant::parse(&instant.to_string()), Some(instant));
        }

        #[test]
        fn one_after_the_other_they_are_the_same(
            first in RANGE_MS.0..RANGE_MS.1,
            later in proptest::collection::vec(
                proptest::prop_oneof![0..3 * DAY_MS, 0_i64..2000],
                0..9,
            ),
        ) {
            let mut times = Times::default();
            for millis in later {
                let instant = Instant::from_millis(first.saturating_add(millis));
                proptest::prop_assert_eq!(times.text_of(instant), instant.to_text());
            }
        }
    }

    #[test]
    fn an_instant_beyond_rfc_3339_stays_printable() {
        assert_eq!(
            Instant::from_millis(i64::MAX).to_string(),
            "9999-12-30T22:00:00.000Z"
        );
        assert_eq!(
            Instant::from_millis(i64::MIN).to_string(),
            "0001-01-01T00:00:00.000Z"
        );
        assert_eq!(
            Instant::from_millis(i64::MAX).plus_days(i64::MAX),
            Instant::from_millis(i64::MAX)
        );
    }
}
