//! The outcome of a row: the word in the server's answer to an import or a comparison, which the
//! command line counts.

use serde_json::{Value, json};

use crate::scim::Object;

/// What an import does with a row, or how a comparison finds its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    const ALL: [Self; 7] = [
        Self::Created,
        Self::Updated,
        Self::Unchanged,
        Self::Absent,
        Self::Same,
        Self::Differs,
        Self::Refused,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Absent => "absent",
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Refused => "refused",
        }
    }

    /// Puts the outcome into the answer about a row.
    pub fn put(self, answer: &mut Object) {
        answer.insert(MEMBER.to_owned(), json!(self.as_str()));
    }

    /// The outcome in the answer about a row. A row without one, or with one that is not known here,
    /// counts as refused, so that its owner looks at it.
    pub fn of(answer: &Value) -> Self {
        let word = answer[MEMBER].as_str();
        let mut all = Self::ALL.into_iter();
        let known = all.find(|one| Some(one.as_str()) == word);
        known.unwrap_or(Self::Refused)
    }
}

/// Puts into the answer about a row that it is refused, and why.
pub fn put_refusal(answer: &mut Object, why: &str) {
    RowOutcome::Refused.put(answer);
    answer.insert("reason".to_owned(), json!(why));
}
