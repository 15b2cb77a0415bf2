//! Where the certificate comes from, and how a change to its files is noticed.

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
        /// The directory of the certificates and keys.
        directory: PathBuf,
        /// The names for the authority's leaf, the machine's name first.
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

/// What a source provides, considering the files that exist now.
pub(super) enum SourceState<'a> {
    /// The customer's chain and its key, in the customer's files or, as installed, in one file.
    Customer {
        chain: PathBuf,
        key: PathBuf,
        host: &'a str,
    },
    /// The private authority, which replaces its leaf if the leaf is not usable.
    Private {
        directory: &'a Path,
        names: &'a Names,
        /// Whether there is nothing yet, so that a start makes the authority.
        is_new: bool,
    },
}

/// Shows whether a file has changed.
#[derive(PartialEq)]
pub(super) struct Stamp {
    bytes: u64,
    /// When its content last changed, in nanoseconds since the epoch.
    content_ns: i64,
    /// When its inode last changed, in nanoseconds since the epoch.
    inode_ns: i64,
}

impl Source {
    /// Decides what there is to serve. The server and the checks beforehand both use this function,
    /// so that neither accepts what the other refuses.
    pub(super) fn found(&self) -> SourceState<'_> {
        match self {
            Self::Files { chain, key, host } => SourceState::Customer {
                chain: chain.clone(),
                key: key.clone(),
                host,
            },
            Self::DataDirectory {
                directory,
                names,
                host,
            } => {
                if request::is_installed(directory) {
                    let path = request::installed(directory);
                    return SourceState::Customer {
                        chain: path.clone(),
                        key: path,
                        host,
                    };
                }
                SourceState::Private {
                    directory,
                    names,
                    is_new: !PrivateFiles::of(directory).are_there(),
                }
            }
        }
    }

    /// The customer's chain and key files, if they are configured.
    pub(super) fn files(&self) -> Option<[&Path; 2]> {
        match self {
            Self::Files { chain, key, .. } => Some([chain, key]),
            Self::DataDirectory { .. } => None,
        }
    }

    /// The stamps of the customer's files; `None` for a file that does not exist. Files in the data
    /// directory need none, since only this program changes them.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            let changed =
                |seconds: i64, nanoseconds| seconds.saturating_mul(1_000_000_000) + nanoseconds;
            Some(Stamp {
                bytes: metadata.len(),
                content_ns: changed(metadata.mtime(), metadata.mtime_nsec()),
                inode_ns: changed(metadata.ctime(), metadata.ctime_nsec()),
            })
        };
        match self {
            Self::DataDirectory { directory, .. } => vec![stamp(&request::installed(directory))],
            Self::Files { chain, key, .. } => vec![stamp(chain), stamp(key)],
        }
    }
}
