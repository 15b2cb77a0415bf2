//! The outcome of a row: the word in the server's answer to an import or a comparison, which the
//! command line counts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::scim::Object;

/// What an import does with a row, or how a comparison finds its user. As a word, it is its name in
/// lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RowOutcome {
    /// Imported: the user is new.
    Created,
    /// Imported: the user was changed.
    Updated,
    /// Imported: the user already was as in the row.
    Unchanged,
    /// Compared: the user is not here.
    Absent,
    /// Compared: the user is here, and is as in the row.
    Same,
    /// Compared: the user is here, but differs from the row.
    Differs,
    /// The row cannot be read or applied.
    Refused,
}

const MEMBER: &str = "outcome";

impl RowOutcome {
    /// Puts the outcome into the answer about a row.
    pub fn put(self, answer: &mut Object) {
        answer.insert(MEMBER.to_owned(), json!(self));
    }

    /// The outcome in the answer about a row. A row without one, or with one that is not known here,
    /// counts as refused, so that its owner looks at it.
    pub fn of(answer: &Value) -> Self {
        Self::deserialize(&answer[MEMBER]).unwrap_or(Self::Refused)
    }
}

/// Puts into the answer about a row that it is refused, and why.
pub fn put_refusal(answer: &mut Object, why: &str) {
    RowOutcome::Refused.put(answer);
    answer.insert("reason".to_owned(), json!(why));
}
