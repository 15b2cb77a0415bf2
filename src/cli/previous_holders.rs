//! Earlier holders of a userName in a query. If they were not mentioned, the history of the name's
//! current holder would look like the whole history.

use serde_json::Value;

use super::output::{self, elements, text_of};
use super::program;
use crate::limits;

/// Other users, and when each of them last had the name.
#[derive(Default)]
pub(super) struct PreviousHolders(Vec<(String, String)>);

impl PreviousHolders {
    /// Adds the users that a page of rows names.
    pub(super) fn note(&mut self, page: &Value) {
        for other in elements(&page["namesakes"]) {
            let (user, last) = (text_of(other, "user"), text_of(other, "last"));
            self.0.retain(|(known, _)| *known != user);
            self.0.push((user, last));
        }
    }

    /// Prints a hint at the histories of the most recent ones.
    pub(super) fn tell(&self) {
        let first = self
            .0
            .len()
            .saturating_sub(limits::PREVIOUS_HOLDERS_TOLD_MAX);
        for (user, last) in &self.0[first..] {
            output::hint(&format!(
                "another user had this userName until at least {last}: {} user history \
                 {user}",
                program()
            ));
        }
    }
}
