//! Why a server or a command cannot begin to answer requests from an open store.

use crate::access::LoadError;
use crate::store::{ReadError, WriteError};

/// Why a router cannot be made on a store.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's content cannot be used; the text says why.
    #[error("{0}")]
    Content(String),
    /// The store cannot be read just now, which says nothing about its content; the text says why.
    #[error("{0}")]
    Read(String),
    /// The store does not accept a write that the start needs.
    #[error("{}", start_fault(*.0))]
    Write(WriteError),
}

fn start_fault(error: WriteError) -> &'static str {
    match error {
        WriteError::Full => "the disk is full",
        _ => "the disk takes no change: the log says why",
    }
}

impl From<ReadError> for StartError {
    fn from(error: ReadError) -> Self {
        if error.is_transient() {
            Self::Read(error.to_string())
        } else {
            Self::Content(error.to_string())
        }
    }
}

impl From<LoadError> for StartError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read(error) => error.into(),
            LoadError::Unavailable => Self::Read(error.to_string()),
            LoadError::Undecodable(_) => Self::Content(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The service is started again after a fault that may pass, but not after damage.
    #[test]
    fn what_may_pass_is_told_from_damage() {
        let unavailable = StartError::from(LoadError::Unavailable);
        assert!(matches!(unavailable, StartError::Read(_)));
        let damaged = StartError::from(LoadError::Undecodable("0a1b".to_owned()));
        assert!(matches!(damaged, StartError::Content(what) if what.contains("0a1b")));
    }
}
