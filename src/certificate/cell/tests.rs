//! What the cell accepts, refuses and keeps while its certificates change.

mod changed_files;
mod way_up;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::*;

fn now() -> Instant {
    // The handshake below reads the machine's clock, so the certificates must be valid by that
    // clock.
    crate::clock::Clock::now(&crate::clock::SystemClock)
}

fn source(directory: &Path, host: Option<&str>) -> Source {
    Source::DataDirectory {
        directory: directory.join("tls"),
        names: Names::new("Machine", host),
        host: String::new(),
    }
}

/// A folder whose private authority was made now, and the cell that serves its leaf.
fn made(host: Option<&str>) -> (TempDir, Arc<Cell>) {
    let folder = tempfile::tempdir().expect("a folder");
    let cell = Cell::open(source(folder.path(), host), now()).expect("made");
    (folder, cell)
}

/// The customer's files, with these names in a directory.
fn given(directory: &Path, [chain, key]: [&str; 2], host: &str) -> Source {
    Source::Files {
        chain: directory.join(chain),
        key: directory.join(key),
        host: host.to_owned(),
    }
}

/// Whether handshakes succeed in both versions of TLS, with the authority as the only root.
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
    let (folder, cell) = made(Some("scim.example.com"));
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
    let (folder, cell) = made(None);
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

/// Clients would refuse the leaf after the authority's end, whatever the leaf's own dates say.
#[test]
fn no_leaf_outlives_its_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let begin = now().plus_days(1 - limits::AUTHORITY_DAYS);
    drop(Cell::open(source(folder.path(), None), begin).expect("made"));
    let cell = Cell::open(source(folder.path(), None), now()).expect("opened");
    assert!(handshakes(&cell, folder.path(), "localhost"));
    let summary = cell.summary();
    let ends = summary
        .authority
        .expect("it is the authority's leaf")
        .not_after;
    assert_eq!(summary.not_after, ends);
    // A new leaf would not be valid for longer.
    let later = ends.plus_days(3);
    for at in [now(), ends, later] {
        let renewed = cell.renew_if_due(at);
        assert!(matches!(renewed, Ok(None)), "{at}: {renewed:?}");
    }
    let late = Cell::open(source(folder.path(), None), later).expect("served");
    for cell in [cell, late] {
        assert!(cell.summary().out_of_date(later).is_some());
    }
}

/// If the clock was fast when the first start made the authority, clients that trust the authority
/// accept none of its leaves yet.
#[test]
fn no_leaf_begins_before_its_authority() {
    for fast in [1, 400] {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Cell::open(source(folder.path(), None), now().plus_days(fast)).expect("made"));
        let cell = Cell::open(source(folder.path(), None), now()).expect("served");
        let summary = cell.summary();
        assert!(summary.out_of_date(now()).is_some(), "{fast}");
        assert!(summary.not_before < summary.not_after, "{fast}");
        let hinders = |at| {
            cell.renew_if_due(at)
                .expect_err("it begins later")
                .to_string()
        };
        // The log recognizes a repeated message by its text.
        assert_eq!(hinders(now()), hinders(now().plus_seconds(-60)));
        let reached = now().plus_days(fast);
        cell.renew_if_due(reached).expect("it has begun");
        assert_eq!(cell.summary().out_of_date(reached), None, "{fast}");
    }
}

#[test]
fn other_names_make_another_leaf() {
    let (folder, first) = made(None);
    let second = Cell::open(source(folder.path(), Some("new.example.com")), now()).expect("made");
    assert_ne!(first.summary().fingerprint, second.summary().fingerprint);
    assert!(
        second
            .summary()
            .names
            .contains(&"new.example.com".to_owned())
    );
    assert_eq!(second.summary().warnings, [""; 0]);
}

/// This happens weeks after the base URL was changed, so people who use the old one must be told
/// why.
#[test]
fn a_leaf_that_lacks_a_name_of_the_one_before_says_so() {
    let (folder, _) = made(Some("old.example.com"));
    let cell = Cell::open(source(folder.path(), None), now()).expect("opened");
    let is_named = |summary: &Summary| summary.names.contains(&"old.example.com".to_owned());
    assert!(is_named(&cell.summary()), "it is kept until it is renewed");
    assert_eq!(cell.summary().warnings, [""; 0]);
    let renewed = cell.renew_if_due(now().plus_days(61)).expect("renewed");
    let renewed = renewed.expect("it was due");
    assert!(!is_named(&renewed));
    let warned = renewed.warnings.concat();
    let words = "the certificate no longer covers old.example.com,";
    assert!(warned.starts_with(words), "{warned}");
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
    let ((folder, _), (other, _)) = (made(None), made(None));
    for name in ["leaf.pem", "leaf.key"] {
        let (from, to) = (other.path().join("tls"), folder.path().join("tls"));
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
    let cell = Cell::open(source(folder.path(), None), now()).expect("opened");
    assert!(handshakes(&cell, folder.path(), "localhost"));
}

#[test]
fn an_authority_that_cannot_sign_is_refused_and_its_leaf_kept() {
    let ((folder, _), (other, _)) = (made(None), made(None));
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
    let (folder, _) = made(None);
    let tls = folder.path().join("tls");
    for name in ["ca.pem", "leaf.pem", "leaf.key"] {
        fs::remove_file(tls.join(name)).expect("removed");
    }
    let cell = Cell::open(source(folder.path(), None), now()).expect("made again");
    assert!(handshakes(&cell, folder.path(), "localhost"));
}

#[test]
fn what_is_found_beforehand_is_what_a_start_finds() {
    let names = ["ca.pem", "ca.key", "leaf.pem", "leaf.key"];
    for gone in 0..1 << names.len() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = source(folder.path(), None);
        Cell::open(source.clone(), now()).expect("made");
        let gone: Vec<_> = names
            .iter()
            .enumerate()
            .filter(|(bit, _)| gone >> bit & 1 == 1)
            .map(|(_, name)| *name)
            .collect();
        for name in &gone {
            fs::remove_file(folder.path().join("tls").join(name)).expect("there");
        }
        let foreseen = examine(&source, now()).map_err(|error| error.to_string());
        let started = Cell::open(source, now()).map_err(|error| error.to_string());
        let started = started.map(|_| Vec::new());
        assert_eq!(foreseen, started, "without {gone:?}");
    }
}

#[test]
fn files_that_cannot_be_trusted_are_refused_and_kept() {
    let (folder, _) = made(None);
    let tls = folder.path().join("tls");
    for key in ["ca.key", "leaf.key"] {
        let mode = fs::metadata(tls.join(key))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    fs::set_permissions(tls.join("leaf.key"), fs::Permissions::from_mode(0o644)).expect("set");
    let foreseen = examine(&source(folder.path(), None), now());
    assert!(
        matches!(foreseen, Err(Error::Exposed { .. })),
        "{foreseen:?}"
    );
    let exposed = Cell::open(source(folder.path(), None), now());
    assert!(matches!(exposed, Err(Error::Exposed { .. })), "{exposed:?}");
    fs::set_permissions(tls.join("leaf.key"), fs::Permissions::from_mode(0o600)).expect("set");
    fs::write(tls.join("ca.pem"), "not a certificate").expect("written");
    assert!(Cell::open(source(folder.path(), None), now()).is_err());
    assert_eq!(
        fs::read(tls.join("ca.pem")).expect("there"),
        b"not a certificate"
    );
}
