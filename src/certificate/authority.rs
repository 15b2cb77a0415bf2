//! The private authority. The first start creates it, valid for ten years, so that clients that
//! trust it once need not care about leaf certificates again.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::chain::{self, Facts};
use super::{Error, Names, files};
use crate::clock::Instant;
use crate::files::is_taken;
use crate::limits;
use crate::secret;

/// How far in the past a new certificate's validity begins, since clocks differ.
const CLOCK_DIFFERENCE_SECONDS: i64 = 5 * 60;
/// The longest common name (RFC 5280 appendix A.1, `ub-common-name`).
pub(super) const COMMON_NAME_CHARS_MAX: usize = 64;

/// The files of the private authority and its leaf.
pub(super) struct PrivateFiles {
    /// The authority's certificate, which is given to clients.
    pub(super) authority: PathBuf,
    pub(super) authority_key: PathBuf,
    /// The leaf, followed by the authority's certificate.
    pub(super) leaf: PathBuf,
    pub(super) leaf_key: PathBuf,
}

impl PrivateFiles {
    /// The paths of the files in the directory of the certificates.
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            authority: directory.join("ca.pem"),
            authority_key: directory.join("ca.key"),
            leaf: directory.join("leaf.pem"),
            leaf_key: directory.join("leaf.key"),
        }
    }

    /// Whether there is an authority, or remains of one that clients may trust, even if they cannot
    /// be read right now. A key alone does not count: it is left by a first start that was
    /// interrupted, so nobody has ever seen its certificate.
    pub(super) fn are_there(&self) -> bool {
        is_taken(&self.authority) || is_taken(&self.leaf) && is_taken(&self.authority_key)
    }

    /// Fails if no leaf can be written because a directory is in its place or in its key's. A link
    /// to a directory is no obstacle, since it is replaced.
    pub(super) fn require_room_for_leaf(&self) -> Result<(), Error> {
        let is_directory = |path: &&PathBuf| path.symlink_metadata().is_ok_and(|it| it.is_dir());
        match [&self.leaf, &self.leaf_key].into_iter().find(is_directory) {
            Some(path) => Err(Error::Io(path.clone(), io::ErrorKind::IsADirectory.into())),
            None => Ok(()),
        }
    }
}

/// The private authority as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySummary {
    /// The file of its certificate, to be given to clients.
    pub path: PathBuf,
    /// SHA-256 of its certificate, `AA:BB:…`.
    pub fingerprint: String,
    /// When its validity begins.
    pub not_before: Instant,
    /// When its validity ends.
    pub not_after: Instant,
}

/// The authority, ready to sign.
pub(super) struct Authority {
    own: PrivateFiles,
    pem: String,
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The authority as people see it. When it ends, so does everything that it has issued.
    pub(super) summary: AuthoritySummary,
}

impl Authority {
    /// Opens the authority in `directory`, or creates it if there is none. A damaged one is an
    /// error: a new one would lock out everybody who trusts the old one.
    pub(super) fn open(directory: &Path, host_name: &str, now: Instant) -> Result<Self, Error> {
        let own = PrivateFiles::of(directory);
        let (path, key_path) = (&own.authority, &own.authority_key);
        if !own.are_there() {
            files::make_directory(directory)?;
            create(path, key_path, host_name, now)?;
        }
        let bad = |path: &Path, what: &dyn ToString| Error::Bad(path.to_owned(), what.to_string());
        let pem = files::read(path)?;
        let pem = String::from_utf8(pem).map_err(|_| bad(path, &"it is not PEM"))?;
        let key = own_key(key_path)?;
        let certificate = chain::certificates(path, pem.as_bytes())?.swap_remove(0);
        let facts = Facts::of(&certificate).map_err(|what| bad(path, &what))?;
        if !facts.is_authority {
            return Err(bad(path, &"it is not the certificate of a CA"));
        }
        if facts.public_key != key.subject_public_key_info() {
            return Err(bad(key_path, &"it is not the key of ca.pem"));
        }
        let issuer = Issuer::from_ca_cert_pem(&pem, key)
            .map_err(|_| bad(path, &"no certificate can be issued with it"))?;
        Ok(Self {
            summary: summary_of(path, &certificate, &facts),
            own,
            pem,
            certificate,
            issuer,
        })
    }

    /// Creates a new leaf certificate and its key. The leaf's dates lie within the authority's,
    /// because clients refuse it at any other time and its dates should say so. If the authority is
    /// not valid now, neither is the leaf; it is created all the same, so that a start has
    /// something to serve.
    pub(super) fn issue_leaf(&self, names: &Names, now: Instant) -> Result<(), Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let own = &self.summary;
        let (begins, ends) = life(now.max(own.not_before), limits::LEAF_DAYS);
        let clamped = |instant: Instant| instant.max(own.not_before).min(own.not_after);
        let mut params = params(names.first(), clamped(begins), clamped(ends))?;
        params.subject_alt_names = names
            .as_slice()
            .iter()
            .filter_map(|name| san(name))
            .collect();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer)?;
        // Write the key first: if the new leaf is not written, the old one does not fit the key,
        // which the next load notices and mends.
        files::write(&self.own.leaf_key, &key.serialize_pem())?;
        let chain = format!("{}{}", leaf.pem(), self.pem);
        files::write(&self.own.leaf, &chain)
    }
}

/// The summary of the authority in `directory`, if there is one.
pub(super) fn summary(directory: &Path) -> Result<Option<AuthoritySummary>, Error> {
    let path = PrivateFiles::of(directory).authority;
    if !is_taken(&path) {
        return Ok(None);
    }
    let certificate = chain::first_certificate(&path)?;
    let facts = Facts::of(&certificate).map_err(|what| Error::Bad(path.clone(), what))?;
    Ok(Some(summary_of(&path, &certificate, &facts)))
}

fn summary_of(path: &Path, certificate: &CertificateDer<'_>, facts: &Facts) -> AuthoritySummary {
    AuthoritySummary {
        path: path.to_owned(),
        fingerprint: chain::fingerprint(certificate),
        not_before: facts.not_before,
        not_after: facts.not_after,
    }
}

fn create(certificate: &Path, key: &Path, host_name: &str, now: Instant) -> Result<(), Error> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let name = format!("GoLinks SCIM private CA ({host_name})");
    let (begins, ends) = life(now, limits::AUTHORITY_DAYS);
    let mut params = params(&name, begins, ends)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let made = params.self_signed(&pair)?;
    files::write(key, &pair.serialize_pem())?;
    files::write(certificate, &made.pem())
}

/// When the validity of a certificate made at `now` begins, and when it ends after `days` days.
fn life(now: Instant, days: i64) -> (Instant, Instant) {
    (
        now.plus_seconds(-CLOCK_DIFFERENCE_SECONDS),
        now.plus_days(days),
    )
}

/// The parameters that all our certificates share. Many clients refuse the library's default
/// validity, from 1975 to 4096.
fn params(name: &str, begins: Instant, ends: Instant) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let name: String = name.chars().take(COMMON_NAME_CHARS_MAX).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = moment(begins)?;
    params.not_after = moment(ends)?;
    let mut serial: [u8; 16] = secret::random();
    // A serial number must be positive (RFC 5280 section 4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn moment(instant: Instant) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(instant.seconds())
        .map_err(|error| Error::Sign(error.to_string()))
}

/// A host as a subject alternative name; `None` if no certificate can contain it.
pub(super) fn san(name: &str) -> Option<SanType> {
    match name.parse() {
        Ok(address) => Some(SanType::IpAddress(address)),
        Err(_) => Some(SanType::DnsName(name.to_owned().try_into().ok()?)),
    }
}

/// Reads a key that this program made.
pub(super) fn own_key(path: &Path) -> Result<KeyPair, Error> {
    let pem = files::read_own_key(path)?;
    let pem = std::str::from_utf8(&pem).ok();
    pem.and_then(|pem| KeyPair::from_pem(pem).ok())
        .ok_or_else(|| {
            let what = "there is no private key that can be used";
            Error::Bad(path.to_owned(), what.to_owned())
        })
}
