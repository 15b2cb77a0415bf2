//! The public id of a token. It is no secret, and another than the name, which a rotation hands on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret;

/// Eight characters that stand for a token in lists, in logs and in commands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(String);

impl TokenId {
    /// An id that may be another token's already.
    pub(super) fn random() -> Self {
        Self(secret::hex(&secret::random::<4>()))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
