//! Cursors (RFC 9865): a place in a query's result, sealed. The server keeps nothing for a
//! cursor, and nobody can read one, make one, or use one for another query or as another
//! principal.
//!
//! ```text
//! cursor   = base64url( sealed with the store's key, bound to principal and query )
//! content  = byte 0      1 forward, 2 backward
//!            bytes 1..9  when it was given, milliseconds since the epoch, i64 big-endian
//!            bytes 9..   the place, see `directory::Position`
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::access::Principal;
use crate::clock::Instant;
use crate::directory::{Position, Start};
use crate::limits;
use crate::scim::{Error, ErrorType, SearchRequest};
use crate::secret::{Digest, SealKey, Sealer, sha256_of_parts};

/// Makes cursors and reads them.
pub(super) struct Cursors {
    sealer: Sealer,
}

/// A digest of the principal and the query: the same for all pages of one walk.
pub(super) fn binding(principal: &Principal, request: &SearchRequest) -> Digest {
    let principal = principal.to_string();
    sha256_of_parts(&[
        principal.as_bytes(),
        b"\0Users\0",
        request.identity().as_bytes(),
    ])
}

/// The least time for which a cursor can be used, in seconds.
#[allow(clippy::cast_possible_wrap, reason = "an hour has few seconds")]
const PERIOD_SECONDS: i64 = limits::CURSOR_DURATION_MIN.as_secs() as i64;

/// The number of the period in which a page is made. An unchanged page is confirmed (304) only in
/// the same period, but its cursors are valid for two periods: so they stay valid for at least one
/// more period after a confirmation.
pub(super) fn period(now: Instant) -> i64 {
    now.seconds().div_euclid(PERIOD_SECONDS)
}

const FORWARD: u8 = 1;
const BACKWARD: u8 = 2;

impl Cursors {
    pub(super) fn new(key: &SealKey) -> Self {
        Self {
            sealer: Sealer::new(key),
        }
    }

    /// The cursor of the page after a place.
    pub(super) fn after(&self, binding: &Digest, place: &Position, now: Instant) -> String {
        self.seal(binding, FORWARD, place, now)
    }

    /// The cursor of the page before a place.
    pub(super) fn before(&self, binding: &Digest, place: &Position, now: Instant) -> String {
        self.seal(binding, BACKWARD, place, now)
    }

    fn seal(&self, binding: &Digest, direction: u8, place: &Position, now: Instant) -> String {
        let mut content = vec![direction];
        content.extend_from_slice(&now.millis().to_be_bytes());
        content.extend_from_slice(&place.encode());
        URL_SAFE_NO_PAD.encode(self.sealer.seal(binding, &content))
    }

    /// Opens a cursor, and returns where its page begins or ends. A cursor of another principal or
    /// another query gets the same error as one that never existed.
    pub(super) fn open(
        &self,
        binding: &Digest,
        cursor: &str,
        now: Instant,
    ) -> Result<Start, Error> {
        let (given, start) = self.read(binding, cursor).ok_or_else(|| {
            Error::new(
                ErrorType::InvalidCursor,
                "this cursor does not belong to this query: begin again with an empty cursor, and \
                 send the same filter, search, sortBy and sortOrder with each page",
            )
        })?;
        let lifetime = 2 * PERIOD_SECONDS;
        if now > given.plus_seconds(lifetime) {
            return Err(Error::new(
                ErrorType::ExpiredCursor,
                format!("this cursor is older than {lifetime} s: begin again with an empty cursor"),
            ));
        }
        Ok(start)
    }

    fn read(&self, binding: &Digest, cursor: &str) -> Option<(Instant, Start)> {
        if cursor.len() > limits::CURSOR_BYTES_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let content = self.sealer.open(binding, &sealed)?;
        let (direction, rest) = content.split_first()?;
        let (given, place) = rest.split_first_chunk::<8>()?;
        let given = Instant::from_millis(i64::from_be_bytes(*given));
        let place = Position::decode(place)?;
        let start = match *direction {
            FORWARD => Start::After(place),
            BACKWARD => Start::Before(place),
            _ => return None,
        };
        Some((given, start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_query_and_its_time() {
        let cursors = Cursors::new(&SealKey::new([1; 32]));
        let ours = Digest::from([2; 32]);
        let place = Position::decode(&[0, 0, 0, 0, 7]).expect("a place");
        let given = Instant::from_millis(1_000_000);
        let cursor = cursors.after(&ours, &place, given);
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert!(cursor.chars().all(unreserved), "{cursor}");
        let kind = |binding: &Digest, cursor: &str, now| {
            cursors
                .open(binding, cursor, now)
                .map_err(|error| error.kind)
        };
        let last = given.plus_seconds(2 * 3600);
        // A cursor that was given at the beginning of a period, and confirmed at its end, is valid
        // for one more period.
        let [first, end] = [0, 3_599_999].map(Instant::from_millis);
        assert_eq!([period(first), period(end)], [0, 0]);
        assert_eq!(period(end.plus_seconds(1)), 1);
        let old = cursors.after(&ours, &place, first);
        let next = end.plus_seconds(3600);
        assert!(cursors.open(&ours, &old, next).is_ok());
        let Ok(Start::After(found)) = kind(&ours, &cursor, last) else {
            panic!("{cursor}");
        };
        assert_eq!(found, place);
        let back = cursors.before(&ours, &place, given);
        assert!(matches!(kind(&ours, &back, last), Ok(Start::Before(_))));
        let late = Instant::from_millis(last.millis() + 1);
        assert!(matches!(
            kind(&ours, &cursor, late),
            Err(ErrorType::ExpiredCursor)
        ));
        for (binding, cursor) in [
            (&Digest::from([3; 32]), cursor.as_str()),
            (&ours, &cursor[1..]),
            (&ours, "7"),
            (&ours, "!"),
            (&ours, &"A".repeat(limits::CURSOR_BYTES_MAX + 1)),
        ] {
            // A cursor that cannot be opened is invalid, not "expired", however old it is.
            assert!(
                matches!(kind(binding, cursor, late), Err(ErrorType::InvalidCursor)),
                "{cursor}"
            );
        }
    }
}
