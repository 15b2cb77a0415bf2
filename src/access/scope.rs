//! What a token may do, and how tolerant the server is of its requests. The route table in `api`
//! says which scope a route needs; `scim/tolerance.rs` says what is tolerated.

use std::fmt;
use std::str::FromStr;

/// What a token may do: each more than the one before, except [`Scope::Metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Retrieve and query.
    Read,
    /// Also create, replace and modify: what identity providers need.
    Provision,
    /// Also delete.
    Full,
    /// Read metrics, but nothing in the directory.
    Metrics,
}

impl Scope {
    /// Whether a token with this scope may do something that needs the scope `needed`.
    pub fn covers(self, needed: Self) -> bool {
        match (self, needed) {
            (Self::Metrics, _) | (_, Self::Metrics) => self == needed,
            _ => self as u8 >= needed as u8,
        }
    }

    /// The word used on the command line and in stored rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Provision => "provision",
            Self::Full => "full",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Read, Self::Provision, Self::Full, Self::Metrics]
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| "scope must be read, provision, full or metrics".to_owned())
    }
}

/// How tolerant the server is of a token's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Accepts what identity providers send beyond the RFCs.
    Compatible,
    /// Refuses what identity providers send beyond the RFCs.
    Strict,
}

impl Mode {
    /// The word used on the command line and in stored rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Strict => "strict",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Compatible, Self::Strict]
            .into_iter()
            .find(|mode| mode.as_str() == word)
            .ok_or_else(|| "mode must be compatible or strict".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_cover_what_is_below_them() {
        use Scope::{Full, Metrics, Provision, Read};
        for (scope, needed, wanted) in [
            (Read, Read, true),
            (Read, Provision, false),
            (Provision, Read, true),
            (Provision, Full, false),
            (Full, Provision, true),
            (Full, Metrics, false),
            (Metrics, Metrics, true),
            (Metrics, Read, false),
        ] {
            assert_eq!(scope.covers(needed), wanted, "{scope} {needed}");
        }
    }
}
