//! A certificate of the customer's in the data directory: the request for one, whose key
//! waits here, and the chain that an authority made of it.
//!
//! ```text
//! request ──▶ pending.key, CSR ──▶ somebody's CA ──▶ chain ──▶ install
//!                                                               │ checks, all of them first
//!                                                               ▼
//!                                              installed.key, installed.pem ──▶ served
//! ```

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::authority::san;
use super::chain::Chain;
use super::{Error, Names, files};
use crate::clock::Instant;

/// Where an installed chain and its key are.
pub(super) fn installed(directory: &Path) -> (PathBuf, PathBuf) {
    (
        directory.join("installed.pem"),
        directory.join("installed.key"),
    )
}

/// Whether a chain was installed.
pub(super) fn is_installed(directory: &Path) -> bool {
    installed(directory).0.exists()
}

fn pending_key(directory: &Path) -> PathBuf {
    directory.join("pending.key")
}

/// A certificate request (PKCS #10) for these names, as PEM. Its key is made at the first
/// request and kept until a chain for it is installed, so that asking twice does no harm.
pub fn request(directory: &Path, names: &Names) -> Result<String, Error> {
    let sign = |error: rcgen::Error| Error::Sign(error.to_string());
    files::make_directory(directory)?;
    let path = pending_key(directory);
    if !path.exists() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(sign)?;
        files::write_key(&path, &key.serialize_pem())?;
    }
    let bad = |what: String| Error::Bad(path.clone(), what);
    let pem = String::from_utf8(files::read_key(&path)?).map_err(|error| bad(error.to_string()))?;
    let key = KeyPair::from_pem(&pem).map_err(|error| bad(error.to_string()))?;
    let mut params = CertificateParams::default();
    if let Some(first) = names.as_slice().first() {
        params
            .distinguished_name
            .push(DnType::CommonName, first.clone());
    }
    params.subject_alt_names = names
        .as_slice()
        .iter()
        .filter_map(|name| san(name))
        .collect();
    let request = params.serialize_request(&key).map_err(sign)?;
    request.pem().map_err(sign)
}

/// What was installed.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The names in the leaf.
    pub names: Vec<String>,
    /// When the leaf ends.
    pub not_after: Instant,
    /// SHA-256 of the leaf, `AA:BB:…`.
    pub fingerprint: String,
}

/// Checks a chain, leaf first, with the key given, the pending one or the one that is
/// installed, and puts both where a server of this data directory finds them. Nothing is
/// changed unless every check holds: the key fits, each certificate is followed by its
/// issuer, the leaf is for `host`, and it is valid now.
pub fn install(
    directory: &Path,
    chain: &Path,
    key: Option<&Path>,
    host: Option<&str>,
    now: Instant,
) -> Result<Installed, Error> {
    let (to_chain, to_key) = installed(directory);
    let pending = pending_key(directory);
    let candidates: Vec<PathBuf> = match key {
        Some(key) => vec![key.to_owned()],
        None => [pending.clone(), to_key.clone()]
            .into_iter()
            .filter(|path| path.exists())
            .collect(),
    };
    let bad = |what: String| Error::Bad(chain.to_owned(), what);
    let mut fitting = Err(bad(
        "there is no key for it: give --key, or begin with `cert request`".to_owned(),
    ));
    for candidate in candidates {
        fitting = Chain::load(chain, &candidate).map(|loaded| (loaded, candidate));
        if fitting.is_ok() {
            break;
        }
    }
    let (loaded, key) = fitting?;
    loaded.check_order().map_err(bad)?;
    loaded.check_validity(now).map_err(bad)?;
    if let Some(host) = host
        && !loaded.covers(host)
    {
        return Err(bad(format!(
            "it is for {}, not for {host}, the host of the base URL",
            loaded.names.join(", ")
        )));
    }
    let text = |path: &Path, bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|error| Error::Bad(path.to_owned(), error.to_string()))
    };
    let key_pem = text(&key, files::read_key(&key)?)?;
    let chain_pem = text(chain, files::read(chain)?)?;
    // The key first: a server that looks in between finds that they do not fit, and keeps
    // what it has.
    files::write_key(&to_key, &key_pem)?;
    files::write_certificate(&to_chain, &chain_pem)?;
    if key == pending {
        std::fs::remove_file(&pending).map_err(|error| Error::Io(pending, error))?;
    }
    Ok(Installed {
        names: loaded.names,
        not_after: loaded.not_after,
        fingerprint: loaded.fingerprint,
    })
}
