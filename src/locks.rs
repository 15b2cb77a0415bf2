//! Locks whose holder may have panicked.

use std::sync::LockResult;

/// Returns what a lock guards, even after a holder has panicked. Every holder leaves the guarded
/// value whole at every step; and if one bug could close every lock for ever, the server would
/// serve nobody.
pub fn ignore_poison<G>(taken: LockResult<G>) -> G {
    taken.unwrap_or_else(std::sync::PoisonError::into_inner)
}
