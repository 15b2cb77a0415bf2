//! A certificate chain with its key, read from PEM files and checked. What would make a client
//! refuse it is found here, before it is served.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::error_text::{words_of, words_of_pem};
use super::{Error, file_format, files};
use crate::clock::Instant;
use crate::secret;

/// A chain, its key, and what the leaf says.
pub(super) struct Chain {
    pub(super) key: CertifiedKey,
    pub(super) names: Vec<String>,
    pub(super) not_before: Instant,
    pub(super) not_after: Instant,
    pub(super) fingerprint: String,
    /// Whether the leaf names an issuer that is not in the file.
    pub(super) is_incomplete: bool,
}

impl Chain {
    /// Reads a chain, leaf first, and the key of its leaf.
    pub(super) fn load(chain: &Path, key: &Path) -> Result<Self, Error> {
        let pem = files::read(chain)?;
        Self::read((chain, &pem), (key, &files::read_key(key)?))
    }

    /// [`Self::load`] from the content of the files; the paths are for error messages.
    pub(super) fn read(
        (chain, pem): (&Path, &[u8]),
        (key, key_pem): (&Path, &[u8]),
    ) -> Result<Self, Error> {
        let certificates = certificates(chain, pem)?;
        let bad_key = |what: String| Error::Bad(key.to_owned(), what);
        let key_pem = without_mark(key_pem);
        // Checked first, since an encrypted key in the older form begins like a plain one.
        let private = match file_format::conversion_hint_for_key(key, key_pem) {
            Some(what) => return Err(bad_key(what)),
            None => PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| {
                let why = words_of_pem(&error);
                bad_key(format!("there is no private key in PEM form: {why}"))
            })?,
        };
        let leaf = &certificates[0];
        let facts = Facts::of(leaf).map_err(|what| Error::Bad(chain.to_owned(), what))?;
        let is_incomplete = certificates.len() == 1 && !facts.self_issued;
        let fingerprint = fingerprint(leaf);
        if let Some(number) = certificate_of(&private, &certificates)
            && number > 1
        {
            let what = format!(
                "the key belongs to certificate {number}, not to the first: the order seems to be \
                 reversed; the leaf must come first"
            );
            return Err(Error::Bad(chain.to_owned(), what));
        }
        let key = CertifiedKey::from_der(certificates, private, &aws_lc_rs::default_provider())
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => bad_key(
                    "the key does not match the first certificate, which must be the leaf"
                        .to_owned(),
                ),
                // The leaf is read once more here, by the library that serves it.
                error @ rustls::Error::InvalidCertificate(_) => {
                    Error::Bad(chain.to_owned(), words_of(&error))
                }
                _ => bad_key(
                    "the key cannot be used: it must be RSA with 2048 to 8192 bits (not RSA-PSS), \
                     ECDSA on P-256, P-384 or P-521, or Ed25519"
                        .to_owned(),
                ),
            })?;
        Ok(Self {
            key,
            names: facts.names,
            not_before: facts.not_before,
            not_after: facts.not_after,
            fingerprint,
            is_incomplete,
        })
    }

    /// Whether each certificate but the last is followed by its issuer.
    pub(super) fn check_order(&self) -> Result<(), String> {
        if self.is_incomplete {
            return Err(
                "it holds one certificate without its issuer: clients want the full chain, \
                        the leaf first"
                    .to_owned(),
            );
        }
        let facts: Vec<Facts> = self
            .key
            .cert
            .iter()
            .map(Facts::of)
            .collect::<Result<_, _>>()?;
        for (number, pair) in facts.windows(2).enumerate() {
            if pair[0].issuer != pair[1].subject {
                return Err(format!(
                    "certificate {} is not followed by its issuer: order them from the leaf up",
                    number + 1
                ));
            }
        }
        Ok(())
    }

    /// Whether the leaf's issuer is behind it, if anything is. Clients do not have it, unless it is a
    /// root.
    pub(super) fn check_way_up(&self) -> Result<(), String> {
        let links = self.links();
        let [leaf, others @ ..] = links.as_slice() else {
            return Ok(());
        };
        let others: Vec<&Link> = others.iter().filter(|it| it.der != leaf.der).collect();
        let is_known = others.iter().any(|it| it.has_issued(leaf));
        if others.is_empty() || is_known || leaf.has_issued(leaf) {
            return Ok(());
        }
        Err(
            "its first certificate is followed by others, but not by its issuer: clients want the \
             full chain, the leaf first"
                .to_owned(),
        )
    }

    /// When the first authority ends that leads from the leaf to a root and ends before the leaf,
    /// unless the chain is public: such a one may end with what nobody needs any more. Of those of
    /// one name the last counts; of roots, none: many clients do not ask when these end.
    pub(super) fn authority_ends(&self, now: Instant) -> Option<Instant> {
        let mut known = self.links();
        let mut below = (!known.is_empty()).then(|| known.remove(0))?;
        let mut first = self.not_after;
        // Ends, since each turn removes one.
        while !below.has_issued(&below) {
            let issuers = known.iter().enumerate();
            let issuers = issuers.filter(|(_, it)| it.has_issued(&below));
            let Some((at, _)) = issuers.max_by_key(|(_, it)| it.not_after) else {
                break;
            };
            below = known.remove(at);
            if !below.has_issued(&below) {
                first = first.min(below.not_after);
            }
        }
        (first < self.not_after && !self.is_public_within(now)).then_some(first)
    }

    /// Whether the leaf is valid now.
    pub(super) fn check_validity(&self, now: Instant) -> Result<(), String> {
        check_dates(self.not_before, self.not_after, now)
    }

    /// Whether the leaf is for this host, a DNS name or an IP address.
    pub(super) fn covers(&self, host: &str) -> bool {
        super::covers(&self.names, host)
    }

    /// Whether a client that trusts only `authority` would accept the leaf for each of these names,
    /// with its signature, validity and usage.
    pub(super) fn is_good_for(
        &self,
        names: &[String],
        authority: &CertificateDer<'static>,
        now: Instant,
    ) -> bool {
        self.verify(names, &[], only(authority), now).is_ok()
    }

    /// Whether cloud services would accept it: an authority of Mozilla's list has issued it, and
    /// all intermediate certificates are there.
    pub(super) fn is_public(&self, now: Instant) -> bool {
        let between = self.key.cert.get(1..).unwrap_or_default();
        self.verify(&self.first_name(), between, Ok(public_roots()), now)
            .is_ok()
    }

    /// [`Self::is_public`] at the moment within its dates that is nearest to now: whether it was
    /// public, or will be when the clock is right.
    pub(super) fn is_public_within(&self, now: Instant) -> bool {
        self.is_public(now.max(self.not_before).min(self.not_after))
    }

    /// Its certificates for people to read, the leaf first.
    pub(super) fn links(&self) -> Vec<Link> {
        let links = self.key.cert.iter().map(|certificate| {
            let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
            Some(Link {
                subject: parsed.subject().to_string(),
                issuer: parsed.issuer().to_string(),
                not_after: moment(parsed.validity().not_after),
                der: certificate.to_vec(),
            })
        });
        links.flatten().collect()
    }

    /// Whether a client that trusts only the chain's last certificate, or the public authorities,
    /// would accept the whole chain: signatures, validity, usage.
    pub(super) fn check_signatures(&self, now: Instant) -> Result<(), String> {
        let [_, between @ .., last] = self.key.cert.as_slice() else {
            return Ok(());
        };
        self.verify(&self.first_name(), between, only(last), now)
            // Of what is trusted, neither is asked there.
            .and_then(|()| match Facts::of(last)? {
                facts if !facts.is_authority && !facts.self_issued => {
                    Err("its last certificate is not a CA's".to_owned())
                }
                facts => check_dates(facts.not_before, facts.not_after, now).map_err(|why| {
                    format!(
                        "of its last certificate: {why}; leave it out, or put the present one \
                             in its place"
                    )
                }),
            })
            // A public one may end with an old root that nobody needs any more.
            .or_else(|why| self.is_public(now).then_some(()).ok_or(why))
            .map_err(|why| format!("clients would not accept the chain: {why}"))
    }

    /// A name that a client might ask for; for a wildcard, one that matches it.
    fn first_name(&self) -> Vec<String> {
        let names = self.names.iter().take(1);
        names.map(|name| name.replacen('*', "a", 1)).collect()
    }

    fn verify(
        &self,
        names: &[String],
        between: &[CertificateDer<'static>],
        roots: Result<RootCertStore, String>,
        now: Instant,
    ) -> Result<(), String> {
        let leaf = self.key.cert.first().ok_or("there is no certificate")?;
        let roots = roots?;
        if names.is_empty() {
            return Err("it names no host".to_owned());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for name in names {
            let name = ServerName::try_from(name.as_str()).map_err(|error| error.to_string())?;
            verifier
                .verify_server_cert(leaf, between, &name, &[], now)
                .map_err(|error| words_of(&error))?;
        }
        Ok(())
    }
}

/// The first of these certificates that the key fits, counted from 1.
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

/// Whether a certificate with these dates is valid now.
pub(super) fn check_dates(begins: Instant, ends: Instant, now: Instant) -> Result<(), String> {
    if ends <= now {
        return Err(format!("the certificate has ended at {ends}"));
    }
    if begins > now {
        return Err(format!(
            "the certificate is not valid before {begins}; is the clock right?"
        ));
    }
    Ok(())
}

/// The public authorities of Mozilla's list.
pub fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// When a certificate in DER ends, or why that cannot be read.
pub fn end_of(der: &[u8]) -> Result<Instant, String> {
    Ok(Facts::of(&CertificateDer::from(der))?.not_after)
}

/// The issuer of a certificate in DER, if it can be read.
pub fn issuer_of(der: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.issuer().to_string())
}

/// The roots of a client that trusts this certificate alone.
fn only(root: &CertificateDer<'static>) -> Result<RootCertStore, String> {
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
    /// The whole certificate.
    pub der: Vec<u8>,
}

impl Link {
    /// Whether this is the issuer, by its name. Upper and lower case and the kind of text count as
    /// the same (RFC 5280 section 7.1).
    fn has_issued(&self, other: &Self) -> bool {
        self.subject.to_lowercase() == other.issuer.to_lowercase()
    }
}

/// The first certificate of a PEM file.
pub(super) fn first_certificate(path: &Path) -> Result<CertificateDer<'static>, Error> {
    Ok(certificates(path, &files::read(path)?)?.swap_remove(0))
}

/// All certificates of a PEM file, at least one.
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

/// A PEM text without the mark with which some editors begin a file: its first block would not begin
/// its line.
pub fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(pem)
}

/// SHA-256 of a certificate as people compare it: `AA:BB:…`.
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
    pub(super) self_issued: bool,
    /// The names of the subject and of the issuer, in DER.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) is_authority: bool,
    /// The `SubjectPublicKeyInfo` in DER.
    pub(super) public_key: Vec<u8>,
}

impl Facts {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|_| "the certificate cannot be read: it is damaged, or not X.509")?;
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
            self_issued: parsed.subject() == parsed.issuer(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            is_authority: parsed.is_ca(),
            public_key: parsed.public_key().raw.to_vec(),
        })
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
