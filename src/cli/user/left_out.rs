//! What a command says of the parts of a user file that it leaves out without being asked to.

use serde_json::Value;

use super::super::output;
use super::file::{Line, RowFormat, UserFile};
use crate::columns::RowOutcome;

/// The rows whose manager is an email, which is left out.
#[derive(Default)]
pub(super) struct Managers {
    count: u64,
    first: Option<u64>,
}

impl UserFile {
    /// Says which columns are left out, before the first row is read.
    pub(super) fn tell_left_out(&self) {
        let RowFormat::Csv { columns, .. } = &self.format else {
            return;
        };
        let names = columns.left_out();
        if !names.is_empty() {
            output::say(&format!(
                "these columns of a list from Entra are left out: {}",
                names.join(", ")
            ));
        }
    }

    /// Counts a row whose manager is left out. A refused row is in the file of rejected rows, and is
    /// counted when that is imported.
    pub(super) fn note_manager(&mut self, line: &Line, outcome: &Value) {
        let RowFormat::Csv { columns, .. } = &self.format else {
            return;
        };
        let is_refused = RowOutcome::of(outcome) == RowOutcome::Refused;
        if !is_refused && columns.leaves_out_manager(&line.cells) {
            self.managers.count += 1;
            self.managers.first.get_or_insert(line.number);
        }
    }

    /// Whether the manager of some row was left out.
    pub(super) fn lacks_managers(&self) -> bool {
        self.managers.count > 0
    }

    /// Says in how many rows the manager is left out, after the last row.
    pub(super) fn tell_managers(&self) {
        if let Some(line) = self.managers.first {
            output::hint(&format!(
                "the column Manager takes the id that the manager has here, so emails in it are left \
                 out: {}, the first in line {line}",
                self.managers.count
            ));
        }
    }
}
