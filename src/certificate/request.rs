//! A customer's certificate in the data directory: the request for it, whose key is stored here,
//! and the chain that a CA issued for it.
//!
//! ```text
//! request ──▶ pending.key, CSR ──▶ somebody's CA ──▶ chain ──▶ install
//!                                                               │ checks, all of them first
//!                                                               ▼
//!                                         installed.pem: key and chain ──▶ served
//! ```
//!
//! Key and chain are in one file, which is replaced at once, so that a key is never next to a chain
//! that it does not fit.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::{COMMON_NAME_CHARS_MAX, own_key, san};
use super::chain::{Chain, certificates, without_mark};
use super::error_text::{OWN_OF_AUTHORITY, words_of_pem};
use super::ways::{Objection, Ways};
use super::{Error, Names, files};
use crate::clock::Instant;
use crate::files::is_taken;

/// The file with an installed chain and its key.
pub(super) fn installed(directory: &Path) -> PathBuf {
    directory.join("installed.pem")
}

/// Whether a chain has been installed.
pub(super) fn is_installed(directory: &Path) -> bool {
    is_taken(&installed(directory))
}

fn pending_key(directory: &Path) -> PathBuf {
    directory.join("pending.key")
}

/// Creates a certificate request (PKCS #10) for these names, as PEM. The first request makes a key,
/// which is kept until a chain for it is installed. So a second request does no harm, even at the
/// same time.
pub fn request(directory: &Path, names: &Names) -> Result<String, Error> {
    files::make_directory(directory)?;
    let path = pending_key(directory);
    if !path.exists() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        files::write_once(&path, &key.serialize_pem())?;
    }
    let key = own_key(&path)?;
    let mut params = CertificateParams::default();
    // Replace the library's own common name. A name that is too long is left out, since a part of
    // it would name another host; the alternative names contain all names.
    params.distinguished_name = DistinguishedName::new();
    let is_short = |name: &&String| name.len() <= COMMON_NAME_CHARS_MAX;
    if let Some(first) = names.as_slice().first().filter(is_short) {
        params
            .distinguished_name
            .push(DnType::CommonName, first.clone());
    }
    params.subject_alt_names = names
        .as_slice()
        .iter()
        .filter_map(|name| san(name))
        .collect();
    Ok(params.serialize_request(&key)?.pem()?)
}

/// The chain that was installed.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The names in the leaf.
    pub names: Vec<String>,
    /// When the leaf's validity ends.
    pub not_after: Instant,
    /// SHA-256 of the leaf, `AA:BB:…`.
    pub fingerprint: String,
}

/// Checks a chain, leaf first, against a key: the given one, or else the pending one, or else the
/// installed one. Then puts both where a server with this data directory finds them. Nothing is
/// changed unless every check passes: the key fits, each certificate is followed by its issuer and
/// signed by it, the leaf is for `host` and not a CA's own certificate, and it is valid now.
pub fn install(
    directory: &Path,
    chain: &Path,
    key: Option<&Path>,
    host: Option<&str>,
    now: Instant,
) -> Result<Installed, Error> {
    let to = installed(directory);
    let pending = pending_key(directory);
    let candidates = match key {
        Some(key) => vec![key.to_owned()],
        None => [pending.clone(), to.clone()]
            .into_iter()
            .filter(|path| path.exists())
            .collect(),
    };
    let bad = |what: String| Error::Bad(chain.to_owned(), what);
    // Read once, so that what is installed is what was checked, even if the files change in the
    // meantime.
    let chain_pem = files::read(chain)?;
    certificates(chain, &chain_pem)?;
    let (loaded, key, key_pem) = with_fitting_key((chain, &chain_pem), candidates)?;
    let ways = Ways::of(&loaded);
    ways.check_order().map_err(bad)?;
    loaded.check_validity(now).map_err(bad)?;
    if let Some(objection) = ways.judge(host, now).objections.into_iter().next() {
        return Err(match objection {
            Objection::Elsewhere(what) => Error::Elsewhere(chain.to_owned(), what),
            objection => bad(objection.to_string()),
        });
    }
    if loaded.leaf.is_own_of_authority() {
        return Err(bad(OWN_OF_AUTHORITY.to_owned()));
    }
    let text = key_text(&key, &key_pem)? + &certificates_text(&loaded.key.cert);
    files::write(&to, &text)?;
    if key == pending {
        // If the pending key stays, the next request uses it; nothing depends on its removal.
        let _ = std::fs::remove_file(&pending);
    }
    Ok(Installed {
        names: loaded.leaf.names,
        not_after: loaded.leaf.not_after,
        fingerprint: loaded.fingerprint,
    })
}

/// The chain with the first key that fits it, that key's file, and the file's content.
fn with_fitting_key(
    chain: (&Path, &[u8]),
    keys: Vec<PathBuf>,
) -> Result<(Chain, PathBuf, Vec<u8>), Error> {
    let what = "there is no key for it: give --key, or begin with `cert request`";
    let mut fitting = Err(Error::Bad(chain.0.to_owned(), what.to_owned()));
    for (at, key) in keys.into_iter().enumerate() {
        let tried = files::read_key(&key).and_then(|key_pem| {
            let loaded = Chain::read(chain, (&key, &key_pem))?;
            Ok((loaded, key, key_pem))
        });
        let fits = tried.is_ok();
        // If no key fits, report the error about the first, which is the one that was meant.
        if fits || at == 0 {
            fitting = tried;
        }
        if fits {
            break;
        }
    }
    fitting
}

/// The private key in a file's content, as PEM and without anything else from the file.
fn key_text(path: &Path, content: &[u8]) -> Result<String, Error> {
    let key = PrivateKeyDer::from_pem_slice(without_mark(content));
    let key = key.map_err(|error| Error::Bad(path.to_owned(), words_of_pem(&error)))?;
    let label = match &key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Ok(block(label, key.secret_der()))
}

/// The certificates as PEM, each of them once.
fn certificates_text(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for (at, certificate) in certificates.iter().enumerate() {
        if !certificates[..at].contains(certificate) {
            text += &block("CERTIFICATE", certificate);
        }
    }
    text
}

/// A PEM block (RFC 7468).
fn block(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    use super::super::{Cell, Source};
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn requests_made_at_once_are_for_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = Names::exactly(&["scim.example.com".to_owned()]);
        let key_of = |pem: String| {
            let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
            let (_, request) = X509CertificationRequest::from_der(&block.contents).expect("DER");
            let info = request.certification_request_info;
            info.subject_pki.subject_public_key.data.to_vec()
        };
        let keys: Vec<_> = std::thread::scope(|scope| {
            let ask = || key_of(request(folder.path(), &names).expect("a request"));
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            let answered = asking.into_iter().map(|one| one.join().expect("no panic"));
            answered.collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn of_several_keys_that_do_not_fit_the_pending_one_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let names = Names::exactly(&["scim.example.com".to_owned()]);
        let now = SystemClock.now();
        let source = Source::DataDirectory {
            directory: theirs.clone(),
            names: names.clone(),
            host: "scim.example.com".to_owned(),
        };
        drop(Cell::open(source, now).expect("made"));
        request(&ours, &names).expect("a request");
        std::fs::copy(theirs.join("ca.key"), installed(&ours)).expect("copied");
        let refused = install(&ours, &theirs.join("leaf.pem"), None, None, now);
        let told = refused.expect_err("no key fits").to_string();
        let path = pending_key(&ours).display().to_string();
        assert!(told.starts_with(&path), "{told}");
    }

    #[test]
    fn a_kept_key_that_is_damaged_is_not_told_in_the_librarys_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = Names::exactly(&["scim.example.com".to_owned()]);
        for damaged in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let path = pending_key(folder.path());
            files::write(&path, damaged).expect("written");
            let refused = request(folder.path(), &names).expect_err("no key");
            let told = format!(
                "{}: there is no private key that can be used",
                path.display()
            );
            assert_eq!(refused.to_string(), told);
        }
    }

    #[test]
    fn of_a_key_and_its_chain_nothing_else_is_kept() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (key, certificate) = (pair.signing_key.serialize_pem(), pair.cert.pem());
        let said = "about the -----BEGIN X----- line\n";
        let content = format!("\u{feff}{said}{certificate}{said}{key}{said}");
        let text = key_text(Path::new("key.pem"), content.as_bytes()).expect("a key");
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&text), lines(&key));
        let der = pair.cert.der().clone();
        let text = certificates_text(&[der.clone(), der]);
        assert_eq!(lines(&text), lines(&certificate));
    }
}
