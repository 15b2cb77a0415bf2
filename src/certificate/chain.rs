//! A certificate chain and its key, read from PEM files and checked. Whatever would make a client
//! refuse the chain is found here, before it is served.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::error_text::{words_of, words_of_pem};
use super::ways::Window;
use super::{Error, canonical, file_format, files};
use crate::clock::Instant;
use crate::secret;

/// A chain, its key and what the leaf says.
pub(super) struct Chain {
    pub(super) key: CertifiedKey,
    pub(super) leaf: Facts,
    pub(super) fingerprint: String,
}

impl Chain {
    /// Reads a chain, leaf first, and the leaf's key.
    pub(super) fn load(chain: &Path, key: &Path) -> Result<Self, Error> {
        let pem = files::read(chain)?;
        Self::read((chain, &pem), (key, &files::read_key(key)?))
    }

    /// Like [`Self::load`], but from the content of the files. The paths are for error messages.
    pub(super) fn read(
        (chain, pem): (&Path, &[u8]),
        (key, key_pem): (&Path, &[u8]),
    ) -> Result<Self, Error> {
        let certificates = certificates(chain, pem)?;
        let bad_key = |what: String| Error::Bad(key.to_owned(), what);
        let key_pem = without_mark(key_pem);
        // Check this first, since an encrypted key in the older format begins like a plain one.
        let private = match file_format::conversion_hint_for_key(key, key_pem) {
            Some(what) => return Err(bad_key(what)),
            None => PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| {
                let why = words_of_pem(&error);
                bad_key(format!("there is no private key in PEM form: {why}"))
            })?,
        };
        let bad = |what: String| Error::Bad(chain.to_owned(), what);
        let leaf = Facts::of(&certificates[0]).map_err(bad)?;
        let fingerprint = fingerprint(&certificates[0]);
        if let Some(number) = certificate_of(&private, &certificates)
            && number > 1
        {
            let what = format!(
                "the key belongs to certificate {number}, not to the first: the order seems to be \
                 reversed; the leaf must come first"
            );
            return Err(bad(what));
        }
        let key = CertifiedKey::from_der(certificates, private, &aws_lc_rs::default_provider())
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => bad_key(
                    "the key does not match the first certificate, which must be the leaf"
                        .to_owned(),
                ),
                // The library that will serve the leaf parses it once more here.
                error @ rustls::Error::InvalidCertificate(_) => bad(words_of(&error)),
                _ => bad_key(
                    "the key cannot be used: it must be RSA with 2048 to 8192 bits (not RSA-PSS), \
                     ECDSA on P-256, P-384 or P-521, or Ed25519"
                        .to_owned(),
                ),
            })?;
        Ok(Self {
            key,
            leaf,
            fingerprint,
        })
    }

    /// Checks that the leaf is valid at `now`.
    pub(super) fn check_validity(&self, now: Instant) -> Result<(), String> {
        check_dates(self.leaf.not_before, self.leaf.not_after, now)
    }

    /// Whether a client that asks for this host, a DNS name or an IP address, accepts the leaf for
    /// it.
    pub(super) fn covers(&self, host: &str) -> bool {
        let asked = || {
            let leaf = ParsedCertificate::try_from(self.key.cert.first()?).ok()?;
            let name = ServerName::try_from(canonical(host)).ok()?;
            verify_server_name(&leaf, &name).ok()
        };
        asked().is_some()
    }

    /// Whether a client that trusts only `authority` would accept the leaf for each of these names,
    /// considering its signature, validity and usage.
    pub(super) fn is_good_for(
        &self,
        names: &[String],
        authority: &CertificateDer<'static>,
        now: Instant,
    ) -> bool {
        let path = roots_of(authority).and_then(|roots| self.verify(&[], &roots, now));
        path.is_ok() && names.iter().all(|name| self.covers(name))
    }

    /// Checks that a client that trusts `roots` accepts the leaf, whatever host it asks for.
    pub(super) fn verify(
        &self,
        between: &[CertificateDer<'static>],
        roots: &RootCertStore,
        now: Instant,
    ) -> Result<(), String> {
        let leaf = self.key.cert.first().ok_or("there is no certificate")?;
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        ParsedCertificate::try_from(leaf)
            .and_then(|leaf| {
                let all = algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&leaf, roots, between, now, all)
            })
            .map_err(|error| words_of(&error))
    }

    /// The certificates of the chain in readable form, leaf first, except any that cannot be
    /// parsed. `accepted` has the [`Link::accepted`] of each certificate.
    pub(super) fn links(&self, accepted: Vec<Vec<Window>>) -> Vec<Link> {
        let links = self.key.cert.iter().zip(accepted);
        let links = links.map(|(certificate, accepted)| {
            let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
            Some(Link {
                subject: parsed.subject().to_string(),
                issuer: parsed.issuer().to_string(),
                not_after: moment(parsed.validity().not_after),
                accepted,
                der: certificate.to_vec(),
            })
        });
        links.flatten().collect()
    }
}

/// The position, counted from 1, of the first certificate that the key fits.
fn certificate_of(
    key: &PrivateKeyDer<'static>,
    certificates: &[CertificateDer<'static>],
) -> Option<usize> {
    let provider = aws_lc_rs::default_provider();
    let fits = |one: &CertificateDer<'static>| {
        CertifiedKey::from_der(vec![one.clone()], key.clone_key(), &provider).is_ok()
    };
    certificates.iter().position(fits).map(|at| at + 1)
}

/// Checks that a certificate with these dates is valid at `now`.
pub(super) fn check_dates(begins: Instant, ends: Instant, now: Instant) -> Result<(), String> {
    if ends <= now {
        return Err(format!("the certificate ended at {ends:.0}"));
    }
    if begins > now {
        return Err(format!(
            "the certificate is not valid before {begins:.0}; is the clock right?"
        ));
    }
    Ok(())
}

/// The public authorities in Mozilla's list.
pub fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// When a DER certificate ends, or why that cannot be read.
pub fn end_of(der: &[u8]) -> Result<Instant, String> {
    Ok(Facts::of(&CertificateDer::from(der))?.not_after)
}

/// The issuer of a DER certificate, if it can be read.
pub fn issuer_of(der: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.issuer().to_string())
}

/// The roots of a client that trusts only this certificate.
pub(super) fn roots_of(root: &CertificateDer<'static>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(|error| error.to_string())?;
    Ok(roots)
}

fn moment(time: ASN1Time) -> Instant {
    Instant::from_millis(time.timestamp().saturating_mul(1000))
}

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The subject's name.
    pub subject: String,
    /// The issuer's name.
    pub issuer: String,
    /// When it ends.
    pub not_after: Instant,
    /// When a client accepts the chain if it trusts this certificate's issuer, or this certificate
    /// itself if it is a root.
    pub accepted: Vec<Window>,
    /// The whole certificate in DER.
    pub der: Vec<u8>,
}

/// The first certificate in a PEM file.
pub(super) fn first_certificate(path: &Path) -> Result<CertificateDer<'static>, Error> {
    Ok(certificates(path, &files::read(path)?)?.swap_remove(0))
}

/// All certificates in a PEM file, at least one.
pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |what: String| Error::Bad(path.to_owned(), what);
    let pem = without_mark(pem);
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("it is not PEM: {}", words_of_pem(&error))))?;
    if found.is_empty() {
        let converted = file_format::conversion_hint_for_certificates(path, pem);
        return Err(bad(
            converted.unwrap_or_else(|| "there is no certificate".to_owned())
        ));
    }
    Ok(found)
}

/// A PEM text without the byte order mark that some editors put at the start of a file. With it,
/// the first block would not begin its line.
pub fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(pem)
}

/// The SHA-256 of a certificate in the form in which people compare it: `AA:BB:…`.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    secret::sha256(certificate)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// What a certificate says about itself.
pub(super) struct Facts {
    pub(super) names: Vec<String>,
    pub(super) not_before: Instant,
    pub(super) not_after: Instant,
    /// The names of the subject and of the issuer, in DER.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// Whether it calls itself a CA's (basicConstraints).
    is_ca: bool,
    /// Whether it may issue certificates.
    pub(super) is_authority: bool,
    /// Whether a server may use it.
    pub(super) is_for_servers: bool,
    /// The maximum number of authorities below this one.
    pub(super) path_length: Option<u32>,
    /// The `SubjectPublicKeyInfo` in DER.
    pub(super) public_key: Vec<u8>,
}

impl Facts {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let Ok(([], parsed)) = X509Certificate::from_der(certificate) else {
            return Err("the certificate cannot be read: it is damaged, or not X.509".to_owned());
        };
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension
                .value
                .general_names
                .iter()
                .filter_map(host_of)
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            names,
            not_before: moment(parsed.validity().not_before),
            not_after: moment(parsed.validity().not_after),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            is_ca: parsed.is_ca(),
            is_authority: parsed.is_ca() && {
                let usage = parsed.key_usage().ok().flatten();
                usage.is_none_or(|usage| usage.value.key_cert_sign())
            },
            is_for_servers: {
                let usage = parsed.extended_key_usage().ok().flatten();
                usage.is_none_or(|usage| usage.value.any || usage.value.server_auth)
            },
            path_length: match parsed.basic_constraints() {
                Ok(Some(constraints)) => constraints.value.path_len_constraint,
                _ => None,
            },
            public_key: parsed.public_key().raw.to_vec(),
        })
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether it is the certificate of an authority at the top, rather than a server's. Clients
    /// that refuse it do not look at what else its key may be used for.
    pub(super) fn is_own_of_authority(&self) -> bool {
        self.is_self_issued() && self.is_ca
    }
}

fn host_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?),
                16 => IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?),
                _ => return None,
            };
            Some(address.to_string())
        }
        _ => None,
    }
}
