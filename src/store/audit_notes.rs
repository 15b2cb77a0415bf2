//! Rows for the audit trail that wait for the next commit, because they are not worth a sync of
//! their own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use crate::limits;
use crate::locks::ignore_poison;

#[derive(Debug, Default)]
pub(super) struct AuditNotes(Mutex<VecDeque<String>>);

impl AuditNotes {
    /// Adds a row, dropping the oldest ones beyond the bound.
    pub(super) fn add(&self, text: String) {
        let mut notes = self.lock();
        while notes.len() >= limits::AUDIT_NOTES_MAX {
            notes.pop_front();
        }
        notes.push_back(text);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Takes all rows, oldest first.
    pub(super) fn take(&self) -> Vec<String> {
        self.lock().drain(..).collect()
    }

    /// Puts back the rows of a failed commit, to wait for the next one.
    pub(super) fn give_back(&self, texts: Vec<String>) {
        let mut notes = self.lock();
        for text in texts.into_iter().rev() {
            if notes.len() < limits::AUDIT_NOTES_MAX {
                notes.push_front(text);
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
        let notes = AuditNotes::default();
        for number in 0..limits::AUDIT_NOTES_MAX + 2 {
            notes.add(number.to_string());
        }
        let taken = notes.take();
        assert_eq!(taken.len(), limits::AUDIT_NOTES_MAX);
        assert_eq!(taken[0], "2");
        notes.add("new".to_owned());
        notes.give_back(taken);
        let taken = notes.take();
        assert_eq!(taken.len(), limits::AUDIT_NOTES_MAX);
        assert_eq!(
            (taken[0].as_str(), taken.last()),
            ("3", Some(&"new".to_owned()))
        );
        assert!(notes.take().is_empty());
    }
}
