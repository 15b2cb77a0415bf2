//! The cell that holds the certificate being served. It is swapped whole: a handshake has
//! the old one or the new one, and after a failed renewal the old one stays.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::{self, Authority, AuthoritySummary};
use super::chain::{Chain, Link};
use super::source::{Source, Stamp};
use super::{Error, Names, request};
use crate::clock::Instant;
use crate::limits;

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
    /// The chain that is sent, the leaf first.
    pub chain: Vec<Link>,
    /// Whether a public authority has issued it.
    pub is_public: bool,
    /// What a client might not like, for the administrator.
    pub warnings: Vec<String>,
}

/// The certificate being served.
pub struct Cell {
    source: Source,
    current: RwLock<Current>,
    /// What the customer's files looked like when they were read last.
    seen: Mutex<Vec<Stamp>>,
}

struct Current {
    key: Arc<CertifiedKey>,
    summary: Summary,
}

impl Cell {
    /// Loads the certificate, or makes it, as the source says.
    pub fn open(source: Source, now: Instant) -> Result<Arc<Self>, Error> {
        let current = load(&source, now)?;
        Ok(Arc::new(Self {
            seen: Mutex::new(source.stamps()),
            source,
            current: RwLock::new(current),
        }))
    }

    /// Reads the certificate again, as the source says, and serves it from the next handshake
    /// on. After an error the one before is served further.
    pub fn reload(&self, now: Instant) -> Result<Summary, Error> {
        self.reload_as(&mut self.seen(), self.source.stamps(), now)
    }

    /// The same, if the customer's files have changed since they were read last.
    pub fn reload_if_changed(&self, now: Instant) -> Option<Result<Summary, Error>> {
        let mut seen = self.seen();
        let stamps = self.source.stamps();
        (*seen != stamps).then(|| self.reload_as(&mut seen, stamps, now))
    }

    /// `stamps` are from before the files are read: a change while they are is seen the next
    /// time.
    fn reload_as(
        &self,
        seen: &mut Vec<Stamp>,
        stamps: Vec<Stamp>,
        now: Instant,
    ) -> Result<Summary, Error> {
        let loaded = load(&self.source, now);
        if !matches!(&loaded, Err(error) if error.is_passing()) {
            *seen = stamps;
        }
        Ok(self.serve(loaded?))
    }

    fn serve(&self, loaded: Current) -> Summary {
        let summary = loaded.summary.clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        summary
    }

    /// Held while the certificate is exchanged, so that the newest stays.
    fn seen(&self) -> MutexGuard<'_, Vec<Stamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes and serves a new leaf of the private authority once two thirds of the old
    /// one's life are over, or if it was made by a clock that was fast. Gives what is then
    /// served, if it is new. The old one stays where the clock is so wrong that the authority
    /// itself is not valid.
    pub fn renew_if_due(&self, now: Instant) -> Result<Option<Summary>, Error> {
        let _exchanging = self.seen();
        let summary = self.summary();
        let Some(authority) = &summary.authority else {
            return Ok(None);
        };
        if !is_due(summary.not_after, now) && now >= summary.not_before {
            return Ok(None);
        }
        if now < authority.not_before || now >= authority.not_after {
            let what = format!(
                "it is valid from {} to {}, but the machine's clock says {now}",
                authority.not_before, authority.not_after
            );
            return Err(Error::Bad(authority.path.clone(), what));
        }
        Ok(Some(self.serve(load(&self.source, now)?)))
    }

    /// The customer's chain and key, where they were named.
    pub fn files(&self) -> Option<[&Path; 2]> {
        self.source.files()
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

fn load(source: &Source, now: Instant) -> Result<Current, Error> {
    match source {
        Source::DataDirectory {
            directory, host, ..
        } if request::is_installed(directory) => {
            let installed = request::installed(directory);
            from_files(&installed, &installed, host, now)
        }
        Source::DataDirectory {
            directory, names, ..
        } => private(directory, names, now),
        Source::Files { chain, key, host } => from_files(chain, key, host, now),
    }
}

/// Whether what is there could be served. Where the next start would make something, nothing is
/// wrong; nothing is made here.
pub fn examine(source: &Source, now: Instant) -> Result<(), Error> {
    match source {
        Source::DataDirectory {
            directory, names, ..
        } if !request::is_installed(directory) => examine_private(directory, names, now),
        _ => load(source, now).map(drop),
    }
}

fn examine_private(directory: &Path, names: &Names, now: Instant) -> Result<(), Error> {
    let (chain, key) = (directory.join("leaf.pem"), directory.join("leaf.key"));
    // With both of these there, opening the authority makes none.
    if !chain.exists() || !directory.join("ca.key").exists() {
        return Ok(());
    }
    let host_name = names.as_slice().first().map_or("", String::as_str);
    Authority::open(directory, host_name, now)?;
    match Chain::load(&chain, &key) {
        Err(error @ Error::Exposed(_)) => Err(error),
        // Any other leaf is replaced.
        _ => Ok(()),
    }
}

fn is_due(not_after: Instant, now: Instant) -> bool {
    now.days_until(not_after) < limits::LEAF_RENEW_DAYS_LEFT
}

/// The authority's leaf, made anew when it is due or when a client that trusts the authority
/// would not accept it: other names, another authority, a key that does not fit.
fn private(directory: &Path, names: &Names, now: Instant) -> Result<Current, Error> {
    let host_name = names.as_slice().first().map_or("", String::as_str);
    let authority = Authority::open(directory, host_name, now)?;
    let summary = authority::summary(directory)?;
    let (chain, key) = (directory.join("leaf.pem"), directory.join("leaf.key"));
    let usable = match Chain::load(&chain, &key) {
        Ok(leaf) => {
            !is_due(leaf.not_after, now)
                && leaf.is_good_for(names.as_slice(), authority.certificate(), now)
        }
        // An exposed key is not quietly replaced: somebody may have it.
        Err(error @ Error::Exposed(_)) => return Err(error),
        Err(_) => false,
    };
    if !usable {
        authority.issue_leaf(names, now)?;
    }
    Ok(current(
        Chain::load(&chain, &key)?,
        summary,
        Vec::new(),
        now,
    ))
}

fn from_files(chain: &Path, key: &Path, host: &str, now: Instant) -> Result<Current, Error> {
    let loaded = Chain::load(chain, key)?;
    loaded
        .check_validity(now)
        .map_err(|what| Error::Bad(chain.to_owned(), what))?;
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
    Ok(current(loaded, None, warnings, now))
}

fn current(
    chain: Chain,
    authority: Option<AuthoritySummary>,
    warnings: Vec<String>,
    now: Instant,
) -> Current {
    Current {
        summary: Summary {
            chain: chain.links(),
            is_public: chain.is_public(now),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    fn now() -> Instant {
        // The handshake below looks at the machine's clock, so the certificates must fit it.
        crate::clock::Clock::now(&crate::clock::SystemClock)
    }

    fn source(directory: &Path, host: Option<&str>) -> Source {
        Source::DataDirectory {
            directory: directory.join("tls"),
            names: Names::new("Machine", host),
            host: String::new(),
        }
    }

    /// In both versions of TLS, with the authority as the only root.
    fn handshakes(cell: &Arc<Cell>, directory: &Path, name: &str) -> bool {
        [&rustls::version::TLS12, &rustls::version::TLS13]
            .map(|version| handshakes_in(version, cell, directory, name))
            .into_iter()
            .all(|done| done)
    }

    fn handshakes_in(
        version: &'static rustls::SupportedProtocolVersion,
        cell: &Arc<Cell>,
        directory: &Path,
        name: &str,
    ) -> bool {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let pem = fs::read(directory.join("tls/ca.pem")).expect("the CA");
        roots
            .add(CertificateDer::from_pem_slice(&pem).expect("PEM"))
            .expect("a CA");
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(cell) as Arc<_>);
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
        for _ in 0..10 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("memory");
            server.read_tls(&mut wire.as_slice()).expect("memory");
            if server.process_new_packets().is_err() {
                return false;
            }
            let mut wire = Vec::new();
            server.write_tls(&mut wire).expect("memory");
            client.read_tls(&mut wire.as_slice()).expect("memory");
            if client.process_new_packets().is_err() {
                return false;
            }
            if !client.is_handshaking() && !server.is_handshaking() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_client_that_trusts_the_authority_trusts_the_leaf() {
        let folder = tempfile::tempdir().expect("a folder");
        let cell =
            Cell::open(source(folder.path(), Some("scim.example.com")), now()).expect("made");
        for name in [
            "machine",
            "localhost",
            "127.0.0.1",
            "::1",
            "scim.example.com",
        ] {
            assert!(handshakes(&cell, folder.path(), name), "{name}");
        }
        assert!(!handshakes(&cell, folder.path(), "elsewhere.example.com"));
        let summary = cell.summary();
        let life = summary.not_before.days_until(summary.not_after);
        assert_eq!(life, limits::LEAF_DAYS);
        let authority = summary.authority.expect("it is the authority's leaf");
        assert!(
            (limits::AUTHORITY_DAYS - 1..=limits::AUTHORITY_DAYS)
                .contains(&now().days_until(authority.not_after))
        );
    }

    #[test]
    fn a_leaf_is_kept_until_two_thirds_of_its_life_are_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = now();
        let first = Cell::open(source(folder.path(), None), begin).expect("made");
        let leaf = first.summary().fingerprint;
        let again = Cell::open(source(folder.path(), None), begin.plus_days(59)).expect("opened");
        assert_eq!(
            again.summary().fingerprint,
            leaf,
            "it was made anew at a start"
        );
        assert!(
            again
                .renew_if_due(begin.plus_days(59))
                .expect("looked")
                .is_none()
        );
        let renewed = again
            .renew_if_due(begin.plus_days(61))
            .expect("renewed")
            .expect("it was due");
        assert_ne!(renewed.fingerprint, leaf);
        assert_eq!(
            again.summary().fingerprint,
            renewed.fingerprint,
            "it is not served"
        );
        assert_eq!(
            renewed.authority.map(|authority| authority.fingerprint),
            first
                .summary()
                .authority
                .map(|authority| authority.fingerprint),
            "the authority changed"
        );
    }

    #[test]
    fn a_swapped_leaf_is_trusted_like_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = now().plus_days(-80);
        let cell = Cell::open(source(folder.path(), None), old).expect("made");
        assert!(handshakes(&cell, folder.path(), "localhost"));
        assert!(cell.renew_if_due(now()).expect("looked").is_some());
        assert!(handshakes(&cell, folder.path(), "localhost"));
    }

    #[test]
    fn a_clock_that_jumps_costs_no_leaf() {
        let folder = tempfile::tempdir().expect("a folder");
        let cell = Cell::open(source(folder.path(), None), now()).expect("made");
        let leaf = cell.summary().fingerprint;
        for wrong in [now().plus_days(3660), Instant::from_millis(0)] {
            let outcome = cell.renew_if_due(wrong);
            assert!(matches!(outcome, Err(Error::Bad(..))), "{outcome:?}");
            assert_eq!(cell.summary().fingerprint, leaf, "{wrong}");
        }
        let fast = cell.renew_if_due(now().plus_days(80)).expect("renewed");
        assert!(fast.is_some());
        assert!(!handshakes(&cell, folder.path(), "localhost"));
        assert!(cell.renew_if_due(now()).expect("renewed").is_some());
        assert!(handshakes(&cell, folder.path(), "localhost"));
    }

    #[test]
    fn other_names_make_another_leaf() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Cell::open(source(folder.path(), None), now()).expect("made");
        let second =
            Cell::open(source(folder.path(), Some("new.example.com")), now()).expect("made");
        assert_ne!(first.summary().fingerprint, second.summary().fingerprint);
        assert!(
            second
                .summary()
                .names
                .contains(&"new.example.com".to_owned())
        );
    }

    #[test]
    fn a_name_written_in_another_way_makes_no_other_leaf() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Cell::open(source(folder.path(), Some("scim.example.com")), now());
        let leaf = first.expect("made").summary().fingerprint;
        for host in [
            "SCIM.example.com.",
            "[0:0:0:0:0:0:0:1]",
            "127.0.0.1",
            "no name",
        ] {
            let names = Names(
                [
                    Names::new("machine", Some("scim.example.com")).0,
                    Names::new("", Some(host)).0,
                ]
                .concat(),
            );
            let directory = folder.path().join("tls");
            let again = Cell::open(
                Source::DataDirectory {
                    directory,
                    names,
                    host: String::new(),
                },
                now(),
            );
            assert_eq!(again.expect("opened").summary().fingerprint, leaf, "{host}");
        }
    }

    #[test]
    fn the_leaf_of_another_authority_is_replaced() {
        let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, other) = (folder.expect("a folder"), other.expect("a folder"));
        drop(Cell::open(source(folder.path(), None), now()).expect("made"));
        drop(Cell::open(source(other.path(), None), now()).expect("made"));
        for name in ["leaf.pem", "leaf.key"] {
            let (from, to) = (other.path().join("tls"), folder.path().join("tls"));
            fs::copy(from.join(name), to.join(name)).expect("copied");
        }
        let cell = Cell::open(source(folder.path(), None), now()).expect("opened");
        assert!(handshakes(&cell, folder.path(), "localhost"));
    }

    #[test]
    fn an_authority_that_cannot_sign_is_refused_and_its_leaf_kept() {
        let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, other) = (folder.expect("a folder"), other.expect("a folder"));
        drop(Cell::open(source(folder.path(), None), now()).expect("made"));
        drop(Cell::open(source(other.path(), None), now()).expect("made"));
        let tls = folder.path().join("tls");
        let leaf = fs::read(tls.join("leaf.pem")).expect("there");
        let key = fs::read(tls.join("ca.key")).expect("there");
        fs::copy(other.path().join("tls/ca.key"), tls.join("ca.key")).expect("copied");
        let outcome = Cell::open(source(folder.path(), None), now().plus_days(80));
        assert!(matches!(outcome, Err(Error::Bad(..))), "{outcome:?}");
        fs::write(tls.join("ca.key"), key).expect("written");
        fs::remove_file(tls.join("ca.pem")).expect("removed");
        let outcome = Cell::open(source(folder.path(), None), now());
        assert!(matches!(outcome, Err(Error::Io(..))), "{outcome:?}");
        assert_eq!(fs::read(tls.join("leaf.pem")).expect("there"), leaf);
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_done_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = folder.path().join("tls");
        drop(Cell::open(source(folder.path(), None), now()).expect("made"));
        for name in ["ca.pem", "leaf.pem", "leaf.key"] {
            fs::remove_file(tls.join(name)).expect("removed");
        }
        let cell = Cell::open(source(folder.path(), None), now()).expect("made again");
        assert!(handshakes(&cell, folder.path(), "localhost"));
    }

    #[test]
    fn files_that_cannot_be_trusted_are_refused_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Cell::open(source(folder.path(), None), now()).expect("made"));
        let tls = folder.path().join("tls");
        for key in ["ca.key", "leaf.key"] {
            let mode = fs::metadata(tls.join(key))
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        fs::set_permissions(tls.join("leaf.key"), fs::Permissions::from_mode(0o644)).expect("set");
        let exposed = Cell::open(source(folder.path(), None), now());
        assert!(matches!(exposed, Err(Error::Exposed(_))), "{exposed:?}");
        fs::set_permissions(tls.join("leaf.key"), fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(tls.join("ca.pem"), "not a certificate").expect("written");
        assert!(Cell::open(source(folder.path(), None), now()).is_err());
        assert_eq!(
            fs::read(tls.join("ca.pem")).expect("there"),
            b"not a certificate"
        );
    }

    #[test]
    fn the_customers_files_are_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Cell::open(source(folder.path(), None), now()).expect("made"));
        let tls = folder.path().join("tls");
        let files = |chain: &str, key: &str, host: &str| Source::Files {
            chain: tls.join(chain),
            key: tls.join(key),
            host: host.to_owned(),
        };
        let good = Cell::open(files("leaf.pem", "leaf.key", "localhost"), now()).expect("good");
        assert!(good.summary().warnings.is_empty());
        assert!(
            good.renew_if_due(now().plus_days(89))
                .expect("not ours")
                .is_none()
        );
        let elsewhere =
            Cell::open(files("leaf.pem", "leaf.key", "h.example"), now()).expect("good");
        assert_eq!(elsewhere.summary().warnings.len(), 1);
        for (source, at) in [
            (files("leaf.pem", "ca.key", "localhost"), now()),
            (files("leaf.key", "leaf.key", "localhost"), now()),
            (files("nothing.pem", "leaf.key", "localhost"), now()),
            (
                files("leaf.pem", "leaf.key", "localhost"),
                now().plus_days(91),
            ),
            (
                files("leaf.pem", "leaf.key", "localhost"),
                now().plus_days(-1),
            ),
        ] {
            let outcome = Cell::open(source.clone(), at);
            assert!(outcome.is_err(), "{source:?}");
        }
    }
}
