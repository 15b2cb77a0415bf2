//! Others who had the userName that was asked about: whoever looks for a person's history would take
//! that of the present holder for all of it.

use serde_json::Value;

use super::output::{self, elements, text_of};
use crate::limits;

/// Other users, and when each had the name last.
#[derive(Default)]
pub(super) struct Namesakes(Vec<(String, String)>);

impl Namesakes {
    /// Takes those that a page of rows names.
    pub(super) fn note(&mut self, page: &Value) {
        for other in elements(&page["namesakes"]) {
            let (user, last) = (text_of(other, "user"), text_of(other, "last"));
            self.0.retain(|(known, _)| *known != user);
            self.0.push((user, last));
        }
    }

    /// Says where the histories of the last ones are; `program` begins a command.
    pub(super) fn tell(&self, program: &str) {
        let first = self.0.len().saturating_sub(limits::NAMESAKES_TOLD_MAX);
        for (user, last) in &self.0[first..] {
            output::hint(&format!(
                "another user had this userName until at least {last}: {program} user history \
                 {user}"
            ));
        }
    }
}
