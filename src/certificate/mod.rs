//! Certificates: the private authority that issues one at the first start, the customer's own chain
//! that replaces it, and the cell that holds the served certificate and swaps it while serving.
//! This module reads no clock; callers pass `now`.

mod authority;
mod cell;
mod chain;
mod error_text;
pub mod file_format;
mod files;
mod request;
mod source;
mod ways;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

pub use authority::AuthoritySummary;
pub use cell::{Cell, NEW_AUTHORITY, Summary, examine};
pub use chain::{Link, end_of, issuer_of, public_roots, without_mark};
pub use error_text::words_of;
pub use files::{exposed, let_read};
pub use request::{Installed, install, request};
pub use source::Source;
pub use ways::Elsewhere;

/// The names that a leaf certificate of the private authority is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// The machine's name, the loopback names and the host of the base URL. Names that no
    /// certificate can contain are left out.
    pub fn new(host_name: &str, base_url_host: Option<&str>) -> Self {
        let mut names = Vec::new();
        let all = [host_name, "localhost", "127.0.0.1", "::1"]
            .into_iter()
            .chain(base_url_host);
        for name in all {
            let name = canonical(name);
            if ServerName::try_from(name.as_str()).is_ok() && !names.contains(&name) {
                names.push(name);
            }
        }
        Self(names)
    }

    /// Exactly these names.
    pub fn exactly(names: &[String]) -> Self {
        Self(names.iter().map(|name| canonical(name)).collect())
    }

    /// Whether a certificate with these names is for this host, a DNS name or an IP address: one of
    /// them is the host, or a wildcard for its parent domain.
    pub fn cover(&self, host: &str) -> bool {
        let host = canonical(host);
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let is_for = |name: &String| match name.strip_prefix("*.") {
            Some(domain) => Some(domain) == parent,
            None => *name == host,
        };
        self.0.iter().any(is_for)
    }

    /// The first name: the machine's, if it is usable. Empty if there are no names.
    fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The DNS names and IP addresses.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// What is wrong with a certificate or its files, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A key file can be read by others.
    #[error("{path} can be read by others: {fix}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// How to close it to others but not to the server.
        fix: String,
    },
    /// A file does not contain what it should; the text says why.
    #[error("{0}: {1}")]
    Bad(PathBuf, String),
    /// The chain in the file is not for the host of the base URL.
    #[error("{0}: {1}")]
    Elsewhere(PathBuf, Elsewhere),
    /// The private authority could not sign.
    #[error("the private authority cannot sign: {0}")]
    Sign(String),
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Sign(error.to_string())
    }
}

impl Error {
    /// Whether reading the same files again may succeed.
    fn is_transient(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        matches!(self, Self::Io(_, error) if !matches!(error.kind(), NotFound | PermissionDenied))
    }
}

/// The private authority in the data directory, for commands when no server runs. `None` before the
/// first start, and if a customer's chain is installed.
pub fn authority_summary(data_dir: &Path) -> Result<Option<AuthoritySummary>, Error> {
    if is_installed(data_dir) {
        return Ok(None);
    }
    authority::summary(&directory(data_dir))
}

/// Whether the path belongs to a private authority's certificate or key in a data directory.
pub fn is_of_authority(path: &Path) -> bool {
    let own = authority::PrivateFiles::of(&directory(Path::new("")));
    path.ends_with(own.authority) || path.ends_with(own.authority_key)
}

/// Whether the path belongs to the private authority's leaf or its key in a data directory.
pub fn is_of_leaf(path: &Path) -> bool {
    let own = authority::PrivateFiles::of(&directory(Path::new("")));
    path.ends_with(own.leaf) || path.ends_with(own.leaf_key)
}

/// Whether the path belongs to an installed chain in a data directory.
pub fn is_of_installed(path: &Path) -> bool {
    path.ends_with(request::installed(&directory(Path::new(""))))
}

/// Whether a customer's chain is installed in the data directory.
pub fn is_installed(data_dir: &Path) -> bool {
    request::is_installed(&directory(data_dir))
}

/// Whether the data directory has a chain, either an installed one or the private authority's.
pub fn is_any_in(data_dir: &Path) -> bool {
    is_installed(data_dir) || authority::PrivateFiles::of(&directory(data_dir)).are_there()
}

/// The directory for the certificates in a data directory.
pub fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// A host in the form in which certificates write it: in lower case and without a dot at the end;
/// an IP address in its short form and without brackets.
fn canonical(host: &str) -> String {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.to_ascii_lowercase(),
    }
}
