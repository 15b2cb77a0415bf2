//! Where the certificate comes from, and what tells that the files there were changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::authority::PrivateFiles;
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

/// What a source comes to, as its files are now.
pub(super) enum Found<'a> {
    /// The customer's files.
    Given {
        chain: &'a Path,
        key: &'a Path,
        host: &'a str,
    },
    /// What was installed in the data directory, chain and key in one file.
    Installed { path: PathBuf, host: &'a str },
    /// The private authority, whose leaf is made anew where it is not good.
    Private {
        directory: &'a Path,
        names: &'a Names,
    },
    /// Nothing yet: a start makes both.
    Nothing {
        directory: &'a Path,
        names: &'a Names,
    },
}

/// A file's size and when it, its mode or its name was changed, in nanoseconds; nothing for one
/// that is not there.
pub(super) type Stamp = Option<(u64, i64, i64)>;

impl Source {
    /// The one decision about what there is to serve: both the server and checks beforehand ask
    /// here, so that neither accepts what the other refuses.
    pub(super) fn found(&self) -> Found<'_> {
        match self {
            Self::Files { chain, key, host } => Found::Given { chain, key, host },
            Self::DataDirectory {
                directory,
                names,
                host,
            } => {
                if request::is_installed(directory) {
                    let path = request::installed(directory);
                    Found::Installed { path, host }
                } else if PrivateFiles::of(directory).are_there() {
                    Found::Private { directory, names }
                } else {
                    Found::Nothing { directory, names }
                }
            }
        }
    }

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
