//! The id of a request. Its answer, its log line and its rows of the audit trail share the id, so
//! that an administrator can find one from another.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::secret;

/// An id that no other request has, short enough to read out: sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(u64);

impl RequestId {
    /// The id of the next request. It is a count from a random start, mixed by the finisher of
    /// SplitMix64, which maps each number to a different one. It is not secret; drawing it at
    /// random each time would take a thirtieth of a retrieval's CPU time.
    pub(super) fn next() -> Self {
        static NEXT: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(u64::from_le_bytes(secret::random())));
        let mut id = NEXT.fetch_add(1, Ordering::Relaxed);
        for (shift, factor) in [(30, 0xBF58_476D_1CE4_E5B9_u64), (27, 0x94D0_49BB_1331_11EB)] {
            id = (id ^ (id >> shift)).wrapping_mul(factor);
        }
        Self(id ^ (id >> 31))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
