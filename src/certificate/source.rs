//! Where the certificate comes from, and what tells that the files there were changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Names, request};

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From this directory: the chain that was installed there, or else a leaf of the private
    /// authority.
    DataDirectory {
        /// Where all of them are kept.
        directory: PathBuf,
        /// What the authority's leaf is for; the first is the machine's name.
        names: Names,
        /// The host of the base URL, which an installed leaf should be for.
        host: String,
    },
    /// From the customer's files.
    Files {
        /// The full chain, leaf first, as PEM.
        chain: PathBuf,
        /// The leaf's key, as PEM.
        key: PathBuf,
        /// The host of the base URL, which the leaf should be for.
        host: String,
    },
}

/// A file's size and when it, its mode or its name was changed, in nanoseconds; nothing for one
/// that is not there.
pub(super) type Stamp = Option<(u64, i64, i64)>;

impl Source {
    /// The customer's chain and key, where they were named.
    pub(super) fn files(&self) -> Option<[&Path; 2]> {
        match self {
            Self::Files { chain, key, .. } => Some([chain, key]),
            Self::DataDirectory { .. } => None,
        }
    }

    /// What tells a change of the customer's files; our own are changed by ourselves.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            let changed =
                |seconds: i64, nanoseconds| seconds.saturating_mul(1_000_000_000) + nanoseconds;
            Some((
                metadata.len(),
                changed(metadata.mtime(), metadata.mtime_nsec()),
                changed(metadata.ctime(), metadata.ctime_nsec()),
            ))
        };
        match self {
            Self::DataDirectory { directory, .. } => vec![stamp(&request::installed(directory))],
            Self::Files { chain, key, .. } => vec![stamp(chain), stamp(key)],
        }
    }
}
