//! Parses points in time and durations in arguments: `2026-11-25T08:30:00Z`, `2026-11-25 08:30`,
//! `2026-11-25`, `2h`. Every time that is printed can also be typed. The caller reads the clock.

use super::{Failure, status};
use crate::clock::{DateTime, Instant};
use crate::limits;

/// Parses a moment: an RFC 3339 time, a date (its beginning in UTC), or how long ago it was. A time
/// may have a space instead of the `T`, and may lack seconds or an offset; without an offset it is
/// in UTC.
pub(super) fn moment(text: &str, now: Instant) -> Result<Instant, Failure> {
    let ago = || Some(now.plus_seconds(-length(text)?));
    absolute(text).or_else(ago).ok_or_else(|| {
        Failure::new(status::USAGE, format!("{text} is not a time")).hint(
            "write 2026-11-25T08:30:00Z, '2026-11-25 08:30' (UTC), 2026-11-25, \
                 or how long ago: 45s, 30m, 2h, 7d, 4w",
        )
    })
}

/// Parses a moment in the future: a time or date as in [`moment`], or how long from now it is.
/// `None` if the text is neither.
pub(super) fn end(text: &str, now: Instant) -> Option<Instant> {
    absolute(text).or_else(|| Some(now.plus_seconds(length(text)?)))
}

fn absolute(text: &str) -> Option<Instant> {
    let is_date = text.len() == "2026-11-25".len();
    let in_utc = if is_date {
        format!("{text}T00:00:00Z")
    } else {
        format!("{text}Z")
    };
    // Only a `DateTime` can represent a time after the last instant; it becomes the last instant.
    let far = || DateTime::parse(text).or_else(|| DateTime::parse(&in_utc));
    Instant::parse(text)
        .or_else(|| Instant::parse(&in_utc))
        .or_else(|| far().map(DateTime::instant))
}

/// Parses a duration such as `2w`, `7d`, `12h`, `30m` or `45s` into seconds. Zero needs no unit.
pub(super) fn seconds(text: &str) -> Result<i64, Failure> {
    let none = || (text == "0").then_some(0);
    let what = match length(text).or_else(none) {
        Some(seconds) if seconds <= limits::TYPED_DAYS_MAX * 86_400 => return Ok(seconds),
        Some(_) => format!("{text} is too long"),
        None => format!("{text} is not a length of time"),
    };
    Err(Failure::new(status::USAGE, what).hint(format!(
        "write 365d, 2w, 12h, 30m or 45s; {}d is the longest",
        limits::TYPED_DAYS_MAX
    )))
}

/// A duration of any size in seconds, capped at the largest number.
fn length(text: &str) -> Option<i64> {
    let units = [
        ("w", 7 * 86_400),
        ("d", 86_400),
        ("h", 3_600),
        ("m", 60),
        ("s", 1),
    ];
    units.iter().find_map(|(unit, factor)| {
        let digits = text.strip_suffix(unit)?;
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = is_plain.then(|| digits.parse().unwrap_or(i64::MAX))?;
        Some(number.saturating_mul(*factor))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, wanted) in [
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("12h", 43_200),
            ("0s", 0),
            ("0", 0),
            ("30m", 1_800),
        ] {
            assert_eq!(seconds(text).expect(text), wanted);
        }
        for bad in [
            "",
            "d",
            "7",
            "-1d",
            "+1d",
            "1.5h",
            "99999999999d",
            "7 d",
            "99999w",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments() {
        let now = Instant::parse("2026-11-25T08:30:00Z").expect("a time");
        for (text, wanted) in [
            ("2026-11-24T07:00:00Z", "2026-11-24T07:00:00.000Z"),
            ("2026-11-24T08:00:00.5+01:00", "2026-11-24T07:00:00.500Z"),
            ("2026-11-24", "2026-11-24T00:00:00.000Z"),
            ("2026-11-24T07:00", "2026-11-24T07:00:00.000Z"),
            ("2026-11-24 07:00", "2026-11-24T07:00:00.000Z"),
            ("2026-11-24 07:00:01", "2026-11-24T07:00:01.000Z"),
            ("2026-11-24T07:00:01", "2026-11-24T07:00:01.000Z"),
            ("2026-11-24 07:00:01.25", "2026-11-24T07:00:01.250Z"),
            ("2026-11-24 07:00Z", "2026-11-24T07:00:00.000Z"),
            ("2026-11-24 08:00+01:00", "2026-11-24T07:00:00.000Z"),
            // As in the output of `date +%FT%T%z` and in log files.
            ("2026-11-24T08:00:00+0100", "2026-11-24T07:00:00.000Z"),
            ("2026-11-24 07:00:00,250", "2026-11-24T07:00:00.250Z"),
            ("2h", "2026-11-25T06:30:00.000Z"),
            ("1w", "2026-11-18T08:30:00.000Z"),
            ("7d", "2026-11-18T08:30:00.000Z"),
            ("0s", "2026-11-25T08:30:00.000Z"),
            ("99999999999999999999w", "0001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(moment(text, now).expect(text).to_string(), wanted, "{text}");
        }
        for (text, wanted) in [
            ("2027-06-30", "2027-06-30T00:00:00.000Z"),
            ("9999-12-31", "9999-12-30T22:00:00.000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.000Z"),
            ("2027-06-30T12:00:00+02:00", "2027-06-30T10:00:00.000Z"),
            ("2w", "2026-12-09T08:30:00.000Z"),
            ("99999999999999999999w", "9999-12-30T22:00:00.000Z"),
        ] {
            assert_eq!(end(text, now).expect(text).to_string(), wanted, "{text}");
        }
        assert_eq!(end("5y", now).map(|end| end.to_string()), None);
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-25 25:00",
            "2026-11-25 08:30:00 Z",
            "2026-11-25 ",
            "2026-11-25 08:3",
            "2026-11-25 08:30+25:00",
            "2026-11-25 08:30+01:60",
            "2026-11-25\u{e9}",
            "08:30",
            "2",
            "-2h",
        ] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }
}
