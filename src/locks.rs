//! Locks whose holder may have panicked.

use std::sync::LockResult;

/// Returns the value that a lock guards, even after a holder has panicked. Holders keep the guarded
/// value consistent at every step; and if one bug could close every lock forever, the server could
/// not serve anybody.
pub fn ignore_poison<G>(taken: LockResult<G>) -> G {
    taken.unwrap_or_else(std::sync::PoisonError::into_inner)
}
