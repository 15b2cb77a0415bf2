//! What a command says of the parts of a user file that it leaves out without being asked to.

use super::super::output;
use super::file::{RowFormat, UserFile};

impl UserFile {
    /// Says which columns are left out, before the first row is read.
    pub(super) fn tell_left_out(&self) {
        let RowFormat::Csv { columns, .. } = &self.format else {
            return;
        };
        let names = columns.left_out();
        if !names.is_empty() {
            output::say(&format!(
                "these columns of a list from Entra are left out: {} (its id is not the id here)",
                output::printable(&names.join(", "))
            ));
        }
    }
}
