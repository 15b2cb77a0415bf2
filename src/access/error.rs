//! Why a caller is refused, why a token is not issued or changed, and why a store's tokens are not
//! loaded.

use crate::store::{ReadError, WriteError};

/// Why a credential is refused. The caller gets the same answer for every reason; the log names the
/// reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It does not have the form of a token: it may be cut off, or not a token at all.
    Malformed,
    /// It was never issued here.
    Unknown,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// It may not be used from the caller's address.
    Address,
}

impl Rejection {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::Malformed,
        Self::Unknown,
        Self::Expired,
        Self::Revoked,
        Self::Address,
    ];

    /// The reason's label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Address => "address",
        }
    }
}

/// Why a token was not issued or changed.
#[derive(Debug)]
pub enum IssueError {
    /// The name is empty, too long, or contains characters that names may not have.
    BadName,
    /// A live token has this name or id.
    NameTaken,
    /// There are [`crate::limits::TOKENS_MAX`] live tokens.
    TooMany,
    /// There are [`crate::limits::TOKENS_OF_NAME_MAX`] live tokens with this name.
    TooManyOfName,
    /// No live token has this name or id.
    NotFound,
    /// Another change of tokens is waiting for the disk.
    Underway,
    /// The revocation is in effect, but may not be on disk.
    NotKept,
    /// The store did not commit.
    Write(WriteError),
}

impl From<WriteError> for IssueError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// Why a store's tokens are not loaded. `Display` is written for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store is being reopened or has been closed.
    #[error("the store is not open")]
    Unavailable,
    /// The rows could not be read; [`ReadError::is_transient`] says whether a later attempt may
    /// succeed.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The row of the token with this id was read, but is damaged or written by a newer version.
    #[error("the row of token {0} cannot be read")]
    Undecodable(String),
}
