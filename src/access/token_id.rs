//! The public id of a token. It is not secret, and differs from the name, which passes to a new
//! token by rotation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret;

/// Eight characters that identify a token in lists, logs and commands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(String);

impl TokenId {
    /// A random id, which another token may already have.
    pub(super) fn random() -> Self {
        Self(secret::hex(&secret::random::<4>()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
