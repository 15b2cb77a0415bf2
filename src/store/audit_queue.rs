//! Audit rows that wait for the next commit, because they are not worth a sync of their own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use crate::limits;
use crate::locks::ignore_poison;

#[derive(Debug, Default)]
pub(super) struct AuditQueue(Mutex<VecDeque<String>>);

impl AuditQueue {
    /// Adds a row, dropping the oldest ones beyond the bound.
    pub(super) fn add(&self, row: String) {
        let mut rows = self.lock();
        while rows.len() >= limits::AUDIT_ROWS_QUEUED_MAX {
            rows.pop_front();
        }
        rows.push_back(row);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Takes all rows, oldest first.
    pub(super) fn take(&self) -> Vec<String> {
        self.lock().drain(..).collect()
    }

    /// Puts back the rows of a failed commit, to wait for the next one.
    pub(super) fn give_back(&self, taken: Vec<String>) {
        let mut rows = self.lock();
        for row in taken.into_iter().rev() {
            if rows.len() < limits::AUDIT_ROWS_QUEUED_MAX {
                rows.push_front(row);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        ignore_poison(self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way() {
        let queue = AuditQueue::default();
        for number in 0..limits::AUDIT_ROWS_QUEUED_MAX + 2 {
            queue.add(number.to_string());
        }
        let taken = queue.take();
        assert_eq!(taken.len(), limits::AUDIT_ROWS_QUEUED_MAX);
        assert_eq!(taken[0], "2");
        queue.add("new".to_owned());
        queue.give_back(taken);
        let taken = queue.take();
        assert_eq!(taken.len(), limits::AUDIT_ROWS_QUEUED_MAX);
        assert_eq!(
            (taken[0].as_str(), taken.last()),
            ("3", Some(&"new".to_owned()))
        );
        assert!(queue.take().is_empty());
    }
}
