//! The writes that a plan asks for. A plan only describes its change and the writer applies it, so
//! a plan that refuses leaves its batch unchanged. Changes consist of rows and keys: their meaning,
//! and the change that a request amounts to, are decided in `directory/change.rs`.

use super::chunk::Facts;

/// The keys, besides its sequence, under which a user is found in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The folded userName, unique.
    pub name: Vec<u8>,
    /// The externalId as it was sent, if there is one.
    pub external: Option<Vec<u8>>,
    /// The folded email addresses, each once, in ascending order. An address equal to the name is
    /// left out: most users have no other, and are found by their name.
    pub emails: Vec<Vec<u8>>,
}

/// Reads a user's row, whose form only the store's caller knows: returns the keys under which the
/// user is found, and the facts kept in memory. The error says what is wrong with the row.
pub type RowReader = fn(&[u8]) -> Result<(Keys, Facts), String>;

pub(super) enum Put {
    CreateUser {
        sequence: u32,
        keys: Keys,
        facts: Facts,
        row: Vec<u8>,
    },
    ReplaceUser {
        sequence: u32,
        keys: Option<(Keys, Keys)>,
        facts: Facts,
        row: Vec<u8>,
    },
    DeleteUser {
        sequence: u32,
        before: Keys,
    },
    Token {
        id: String,
        row: Vec<u8>,
    },
    ForgetToken {
        id: String,
    },
    Seen {
        id: String,
        text: String,
    },
    Setting {
        name: &'static str,
        value: String,
    },
    Audit {
        text: String,
    },
    TrimAudit {
        through: u64,
    },
}

/// Writes that are committed together or not at all.
#[derive(Default)]
pub struct Change {
    pub(super) puts: Vec<Put>,
}

impl Change {
    /// Nothing to write: the answer to a request that changes nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// A new user, at the sequence that [`super::View::next_user`] gave or at a later one.
    #[must_use]
    pub fn create_user(self, sequence: u32, keys: Keys, facts: Facts, row: Vec<u8>) -> Self {
        self.with(Put::CreateUser {
            sequence,
            keys,
            facts,
            row,
        })
    }

    /// A new row for an existing user, with its keys before and after, unless they are the same.
    #[must_use]
    pub fn replace_user(
        self,
        sequence: u32,
        keys: Option<(Keys, Keys)>,
        facts: Facts,
        row: Vec<u8>,
    ) -> Self {
        self.with(Put::ReplaceUser {
            sequence,
            keys,
            facts,
            row,
        })
    }

    /// The deletion of a user, given the keys that it had.
    #[must_use]
    pub fn delete_user(self, sequence: u32, before: Keys) -> Self {
        self.with(Put::DeleteUser { sequence, before })
    }

    /// A token's row, new or replaced.
    #[must_use]
    pub fn token(self, id: &str, row: Vec<u8>) -> Self {
        self.with(Put::Token {
            id: id.to_owned(),
            row,
        })
    }

    /// The deletion of a token's row and of its last use.
    #[must_use]
    pub fn forget_token(self, id: &str) -> Self {
        self.with(Put::ForgetToken { id: id.to_owned() })
    }

    /// When and how a token was last used, in the caller's own form.
    #[must_use]
    pub fn seen(self, id: &str, text: String) -> Self {
        self.with(Put::Seen {
            id: id.to_owned(),
            text,
        })
    }

    /// A named text that is kept across restarts of the server.
    #[must_use]
    pub fn setting(self, name: &'static str, value: &str) -> Self {
        self.with(Put::Setting {
            name,
            value: value.to_owned(),
        })
    }

    /// A row of the audit trail: a JSON object.
    #[must_use]
    pub fn audit(self, text: String) -> Self {
        self.with(Put::Audit { text })
    }

    /// These rows of the audit trail.
    pub(super) fn of_audit_rows(texts: &[String]) -> Self {
        texts.iter().cloned().fold(Self::none(), Self::audit)
    }

    /// The removal of the audit trail's rows up to and including this one.
    #[must_use]
    pub fn trim_audit(self, through: u64) -> Self {
        self.with(Put::TrimAudit { through })
    }

    fn with(mut self, put: Put) -> Self {
        self.puts.push(put);
        self
    }

    /// Whether there is nothing to write.
    pub fn is_none(&self) -> bool {
        self.puts.is_empty()
    }
}
