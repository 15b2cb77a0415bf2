//! The cell that holds the certificate being served. It is swapped whole: a handshake has
//! the old one or the new one, and after a failed renewal the old one stays.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::{self, Authority, AuthoritySummary};
use super::chain::Chain;
use super::{Error, Names};
use crate::clock::Instant;
use crate::limits;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From the private authority in this directory.
    PrivateAuthority {
        /// Where authority and leaf are kept.
        directory: PathBuf,
        /// What the leaf is for; the first is the machine's name.
        names: Names,
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

/// What is being served.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The names in the leaf.
    pub names: Vec<String>,
    /// When the leaf begins.
    pub not_before: Instant,
    /// When the leaf ends.
    pub not_after: Instant,
    /// SHA-256 of the leaf, `AA:BB:…`.
    pub fingerprint: String,
    /// The private authority, if it is its leaf.
    pub authority: Option<AuthoritySummary>,
    /// What a client might not like, for the administrator.
    pub warnings: Vec<String>,
}

/// The certificate being served.
pub struct Cell {
    source: Source,
    current: RwLock<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    summary: Summary,
}

impl Cell {
    /// Loads the certificate, or makes it, as the source says.
    pub fn open(source: Source, now: Instant) -> Result<Arc<Self>, Error> {
        let current = match &source {
            Source::PrivateAuthority { directory, names } => private(directory, names, now)?,
            Source::Files { chain, key, host } => from_files(chain, key, host, now)?,
        };
        Ok(Arc::new(Self {
            source,
            current: RwLock::new(current),
        }))
    }

    /// Makes and serves a new leaf of the private authority once two thirds of the old
    /// one's life are over. Gives what is then served, if it is new.
    pub fn renew_if_due(&self, now: Instant) -> Result<Option<Summary>, Error> {
        let Source::PrivateAuthority { directory, names } = &self.source else {
            return Ok(None);
        };
        if !is_due(self.summary().not_after, now) {
            return Ok(None);
        }
        let renewed = private(directory, names, now)?;
        let summary = renewed.summary.clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(Some(summary))
    }

    /// What is being served.
    pub fn summary(&self) -> Summary {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.summary.clone()
    }
}

impl ResolvesServerCert for Cell {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.key))
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

fn is_due(not_after: Instant, now: Instant) -> bool {
    now.days_until(not_after) < limits::LEAF_RENEW_DAYS_LEFT
}

/// The authority's leaf, made anew when it is due, for other names, or not usable.
fn private(directory: &Path, names: &Names, now: Instant) -> Result<Current, Error> {
    let host_name = names.as_slice().first().map_or("", String::as_str);
    let authority = Authority::open(directory, host_name, now)?;
    let summary = authority::summary(directory)?;
    let (chain, key) = (directory.join("leaf.pem"), directory.join("leaf.key"));
    let usable = match Chain::load(&chain, &key) {
        Ok(leaf) => {
            let fits = names.as_slice().iter().all(|name| leaf.covers(name));
            fits && leaf.not_before <= now && !is_due(leaf.not_after, now)
        }
        // An exposed key is not quietly replaced: somebody may have it.
        Err(error @ Error::Exposed(_)) => return Err(error),
        Err(_) => false,
    };
    if !usable {
        authority.issue_leaf(names, now)?;
    }
    Ok(current(Chain::load(&chain, &key)?, summary, Vec::new()))
}

fn from_files(chain: &Path, key: &Path, host: &str, now: Instant) -> Result<Current, Error> {
    let loaded = Chain::load(chain, key)?;
    if loaded.not_after <= now {
        let what = format!("the certificate has ended at {}", loaded.not_after);
        return Err(Error::Bad(chain.to_owned(), what));
    }
    if loaded.not_before > now {
        let what = format!(
            "the certificate begins at {}; is the clock right?",
            loaded.not_before
        );
        return Err(Error::Bad(chain.to_owned(), what));
    }
    let mut warnings = Vec::new();
    if !loaded.covers(host) {
        warnings.push(format!(
            "the certificate is not for {host}, the host of the base URL: clients will refuse it"
        ));
    }
    if loaded.is_incomplete {
        warnings.push(format!(
            "{} holds one certificate without its issuer: clients want the full chain",
            chain.display()
        ));
    }
    Ok(current(loaded, None, warnings))
}

fn current(chain: Chain, authority: Option<AuthoritySummary>, warnings: Vec<String>) -> Current {
    Current {
        summary: Summary {
            names: chain.names,
            not_before: chain.not_before,
            not_after: chain.not_after,
            fingerprint: chain.fingerprint,
            authority,
            warnings,
        },
        key: Arc::new(chain.key),
    }
}
