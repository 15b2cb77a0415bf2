//! The store's errors, one type for each kind of operation. How callers of the API learn of them is
//! decided in `api/problem.rs`.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::FORMAT;

/// The store cannot be read just now: it is being reopened after a failure, or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// A row could not be read from the file.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("the store cannot be read: {0}")]
    File(redb::Error),
    /// Whether the row exists is unknown until everything is checked.
    #[error("the store has not been checked yet")]
    NotYet,
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self(Cause::File(error.into()))
    }
}

impl ReadError {
    pub(super) fn not_yet() -> Self {
        Self(Cause::NotYet)
    }

    /// Whether the answer is merely not known yet, because the check after a start is still
    /// running. The error then concerns only this caller, and says nothing about the file.
    pub fn is_not_yet(&self) -> bool {
        matches!(self.0, Cause::NotYet)
    }

    /// Whether the error says nothing about the rows, because the file is being reopened or the
    /// disk did not answer just now.
    pub fn is_transient(&self) -> bool {
        match &self.0 {
            Cause::File(redb::Error::Io(error)) => !tells_of_damage(error),
            Cause::File(redb::Error::PreviousIo | redb::Error::DatabaseClosed) => true,
            Cause::File(_) | Cause::NotYet => false,
        }
    }
}

/// Why a write was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// More writes wait than [`crate::limits::WRITE_QUEUE_MAX`].
    Busy,
    /// The file failed and is being reopened, or the writer did not reach this write in time. No
    /// part of the write is on disk.
    Unavailable,
    /// The disk is full. Nothing was begun.
    Full,
    /// The file is no longer where it was opened. Nothing was written.
    Lost,
    /// The file is damaged. Nothing was written.
    Damaged,
    /// The disk failed, is full, or takes longer than [`crate::limits::WRITE_WAIT_MAX`]: the write
    /// may be found on disk afterwards.
    Unknown,
    /// A bug: the batch was given up and the file reopened.
    Panicked,
    /// The store was closed.
    Closed,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds its lock.
    #[error("the store is in use by another process")]
    Locked,
    /// It was written by a newer program, with this format version.
    #[error("the store has format {0}, this program knows formats up to {FORMAT}")]
    Newer(u64),
    /// It was written by an older program, with this format version.
    #[error("the store has format {0}, of an older program")]
    Older(u64),
    /// It was written by an older program and could not be upgraded. If a backup was made, the
    /// error names it.
    #[error("the store has format {format} and was not upgraded: {error}")]
    NotUpgraded {
        /// Its format version.
        format: u64,
        /// Why.
        error: io::Error,
    },
    /// It is not a store, or it is damaged; the text says how.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The file system returned an error.
    #[error("the store cannot be opened: {0}")]
    Io(#[from] io::Error),
}

impl From<redb::DatabaseError> for OpenError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Every error that an open database returns counts as an error of reading it.
macro_rules! from_errors_of_reading {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for OpenError {
            fn from(error: redb::$error) -> Self {
                ReadError::from(error).into()
            }
        }
    )*};
}

from_errors_of_reading!(StorageError, TransactionError, TableError, CommitError);

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error.0 {
            // Its own words alone: nothing is wrong with the disk.
            Cause::File(redb::Error::Io(error)) if tells_of_damage(&error) => {
                Self::Damaged(error.to_string())
            }
            Cause::File(redb::Error::Io(error)) => Self::Io(error),
            Cause::File(other @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed)) => {
                Self::Io(io::Error::other(other.to_string()))
            }
            Cause::File(other) => Self::Damaged(other.to_string()),
            Cause::NotYet => Self::Io(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// How the store is damaged if redb panicked over it.
pub const PANICKED: &str = "reading it ended by a panic";

/// Opens something, turning a panic into an error: redb may panic on a file that was damaged from
/// outside.
pub(super) fn guarded<T>(open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(open))
        .unwrap_or_else(|_| Err(OpenError::Damaged(PANICKED.to_owned())))
}

/// Whether the error means that the file's content is wrong: a page is invalid or lies beyond the
/// end.
fn tells_of_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
