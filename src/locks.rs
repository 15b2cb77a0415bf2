//! Locks whose holder may have panicked.

use std::sync::LockResult;

/// What a lock guards, also after a holder has panicked: each leaves it whole at every step, and a
/// server whose every lock a single bug could close for ever would serve nobody.
pub fn sound<G>(taken: LockResult<G>) -> G {
    taken.unwrap_or_else(std::sync::PoisonError::into_inner)
}
