//! A customer's chain that clients cannot follow to a root: an authority in it is missing, wrong,
//! or ends before the leaf.

use std::fs;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::super::*;
use super::{given, now};

type Made = CertifiedIssuer<'static, KeyPair>;

fn parameters(name: &str, days: u64) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_after = (SystemTime::now() + Duration::from_secs(days * 24 * 3600)).into();
    if name != "leaf" {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    parameters
}

/// A root, an intermediate authority that is valid for `days` days, and a leaf for 90 days.
fn issued(days: u64) -> [Made; 3] {
    let key = || KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(parameters("root", 900), key()).expect("a root");
    let between = CertifiedIssuer::signed_by(parameters("between", days), key(), &root);
    let between = between.expect("an authority");
    let leaf = CertifiedIssuer::signed_by(parameters("leaf", 90), key(), &between);
    [leaf.expect("a leaf"), between, root]
}

/// Returns a cell that serves `chain`, and the folder in which [`put`] replaces the cell's files.
fn served(chain: &[&Made]) -> (tempfile::TempDir, Arc<Cell>) {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder, chain);
    let given = given(folder.path(), ["chain.pem", "key.pem"], "localhost");
    let cell = Cell::open(given, now()).expect("served");
    (folder, cell)
}

fn put(folder: &tempfile::TempDir, chain: &[&Made]) {
    let pem: String = chain.iter().map(|made| made.pem()).collect();
    fs::write(folder.path().join("chain.pem"), pem).expect("written");
    let key = chain[0].key().serialize_pem();
    crate::certificate::files::write(&folder.path().join("key.pem"), &key).expect("written");
}

#[test]
fn a_chain_that_lost_its_intermediate_replaces_no_good_one() {
    let [leaf, between, root] = issued(90);
    let (folder, cell) = served(&[&leaf, &between]);
    let good = cell.summary().fingerprint;
    put(&folder, &[&leaf, &root]);
    let refused = cell.reload(now()).expect_err("no client accepts it");
    assert!(
        refused.to_string().contains("not by its issuer"),
        "{refused}"
    );
    assert_eq!(cell.summary().chain.len(), 2);
    assert!(cell.hindrance().is_some());
    assert!(examine(&cell.source, now()).is_err());
    // At a start there is no other chain to serve.
    let (_, begun) = served(&[&leaf, &root]);
    assert!(begun.summary().warnings[0].contains("not by its issuer"));
    // Further certificates and their order do not matter, since clients find the path themselves.
    put(&folder, &[&leaf, &root, &between]);
    let summary = cell.reload(now()).expect("it leads to a root");
    assert_eq!((summary.fingerprint, summary.warnings.len()), (good, 0));
}

#[test]
fn an_authority_that_ends_before_the_leaf_is_told_of() {
    let [leaf, between, root] = issued(20);
    for chain in [&[&leaf, &between][..], &[&leaf, &between, &root]] {
        let (folder, cell) = served(chain);
        let summary = cell.summary();
        let days = summary.authority_ends().map(|ends| now().days_until(ends));
        assert!(
            days.is_some_and(|days| (19..=20).contains(&days)),
            "{days:?}"
        );
        assert!(
            summary.warnings[0].contains("before the leaf"),
            "{summary:?}"
        );
        // Once the authority has ended, there is nothing better to serve, and clients may have its
        // successor.
        let later = now().plus_days(21);
        assert_eq!(summary.out_of_date(later), None);
        let summary = cell.reload(later).expect("served");
        assert!(summary.warnings[0].contains("of an authority in it: the certificate ended"));
        assert!(examine(&cell.source, later).is_err());
        let [renewed, above, _] = issued(90);
        put(&folder, &[&renewed, &above]);
        let summary = cell.reload(later).expect("good");
        assert_eq!(
            (summary.authority_ends(), summary.warnings.len()),
            (None, 0)
        );
        // The ended chain would be worse than what is being served now.
        put(&folder, chain);
        let refused = cell.reload(later).expect_err("it has ended").to_string();
        assert!(refused.contains("the certificate ended"), "{refused}");
    }
}

/// Clients take the valid one of an old authority and its successor with the same name, do not
/// check the end of an old root, and treat a cross-certificate as only one of the paths.
#[test]
fn what_nobody_needs_any_more_is_no_fault() {
    let key = || KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(parameters("root", 5), key()).expect("a root");
    let signed = |name, days| CertifiedIssuer::signed_by(parameters(name, days), key(), &root);
    let [old, new] = [10, 900].map(|days| signed("between", days).expect("an authority"));
    let older = CertifiedIssuer::self_signed(parameters("older root", 5), key()).expect("a root");
    let same = KeyPair::from_pem(&root.key().serialize_pem()).expect("the root's key");
    let cross = CertifiedIssuer::signed_by(parameters("root", 3), same, &older);
    let cross = cross.expect("a cross-certificate");
    let leaf = CertifiedIssuer::signed_by(parameters("leaf", 90), key(), &new).expect("a leaf");
    let direct = signed("leaf", 90).expect("a leaf");
    let of_another_key = CertifiedIssuer::signed_by(parameters("root", 3), key(), &older);
    let of_another_key = of_another_key.expect("a cross-certificate");
    let olds = (0..=limits::CHAIN_AUTHORITIES_MAX).map(|_| signed("between", 10));
    let olds: Vec<Made> = olds.map(|old| old.expect("an authority")).collect();
    let many: Vec<&Made> = [&leaf].into_iter().chain(&olds).chain([&new]).collect();
    for chain in [
        &many[..],
        &[&leaf, &new, &of_another_key],
        &[&leaf, &new, &of_another_key, &older],
        &[&leaf, &old, &new],
        &[&leaf, &new, &old, &root],
        &[&leaf, &new, &cross],
        &[&leaf, &new, &cross, &older],
        &[&direct, &root],
        &[&direct, &direct, &root],
    ] {
        let (_folder, cell) = served(chain);
        let summary = cell.reload(now()).expect("good");
        assert_eq!(
            (summary.authority_ends(), &*summary.warnings),
            (None, &[][..])
        );
        assert_eq!(examine(&cell.source, now()).ok(), Some(Vec::new()));
    }
}

/// Some clients compare names by their meaning, others byte by byte.
#[test]
fn a_name_written_in_another_way_is_another_name() {
    let [_, between, root] = issued(90);
    let key = KeyPair::from_pem(&between.key().serialize_pem()).expect("its key");
    let leaf = CertifiedIssuer::signed_by(
        parameters_of_leaf(),
        KeyPair::generate().expect("a key"),
        &between,
    );
    let mut other = parameters("between", 90);
    let name = "between".try_into().expect("printable");
    let name = rcgen::DnValue::PrintableString(name);
    other.distinguished_name.push(DnType::CommonName, name);
    let other = CertifiedIssuer::signed_by(other, key, &root).expect("an authority");
    let (_folder, cell) = served(&[&leaf.expect("a leaf"), &other]);
    let refused = examine(&cell.source, now()).expect_err("another name");
    assert!(refused.to_string().contains("byte by byte"), "{refused}");
}

/// `openssl req -x509` makes such a certificate unless it is told otherwise.
#[test]
fn a_cas_own_certificate_is_warned_of() {
    let key = || KeyPair::generate().expect("a key");
    let of_a_ca = CertifiedIssuer::self_signed(parameters("ca", 90), key()).expect("a CA");
    let of_none = CertifiedIssuer::self_signed(parameters_of_leaf(), key()).expect("a leaf");
    for (made, is_warned) in [(&of_a_ca, true), (&of_none, false)] {
        let (_folder, cell) = served(&[made]);
        let warnings = cell.reload(now()).expect("served").warnings;
        assert_eq!(warnings.len(), usize::from(is_warned), "{warnings:?}");
        assert!(
            warnings.iter().all(|it| it.contains("CA:FALSE")),
            "{warnings:?}"
        );
        assert_eq!(examine(&cell.source, now()).ok(), Some(warnings));
    }
}

/// Only certificates that lead from the leaf upward say which authorities clients must trust.
#[test]
fn what_leads_nowhere_is_not_for_clients_to_trust() {
    let [leaf, between, root] = issued(90);
    let [_, other, _] = issued(90);
    let (_folder, cell) = served(&[&leaf, &other, &between, &root]);
    let chain = cell.summary().chain;
    let accepted: Vec<bool> = chain.iter().map(|link| !link.accepted.is_empty()).collect();
    assert_eq!(accepted, [false, false, true, true]);
}

#[test]
fn what_clients_object_to_replaces_nothing_that_they_accept() {
    let key = || KeyPair::generate().expect("a key");
    let [leaf, between, root] = issued(90);
    let [_, stranger, _] = issued(90);
    let under = |parameters: CertificateParams| {
        let above = CertifiedIssuer::signed_by(parameters, key(), &root).expect("an authority");
        let leaf = CertifiedIssuer::signed_by(parameters_of_leaf(), key(), &above);
        [leaf.expect("a leaf"), above]
    };
    let mut later = parameters("between", 90);
    later.not_before = (SystemTime::now() + Duration::from_secs(3600)).into();
    let mut no_authority = parameters("between", 90);
    no_authority.is_ca = IsCa::ExplicitNoCa;
    let mut for_clients = parameters_of_leaf();
    for_clients.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let for_clients = CertifiedIssuer::signed_by(for_clients, key(), &between).expect("a leaf");
    let mut elsewhere = parameters_of_leaf();
    elsewhere.subject_alt_names = vec![rcgen::SanType::DnsName("other".try_into().expect("it"))];
    let elsewhere = CertifiedIssuer::signed_by(elsewhere, key(), &between).expect("a leaf");
    let ([future, begins], [useless, ordinary]) = (under(later), under(no_authority));
    let mut of_no_key = parameters("between", 90);
    of_no_key.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    let [useless_key, keyless] = under(of_no_key);
    let mut alone = parameters_of_leaf();
    alone.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let alone = CertifiedIssuer::self_signed(alone, key()).expect("a leaf");
    // The authority on one path has ended, and the one on the other path has not begun.
    let mut later = parameters("gap", 90);
    later.not_before = (SystemTime::now() + Duration::from_secs(3600)).into();
    let mut before = parameters("gap", 90);
    before.not_after = (SystemTime::now() - Duration::from_secs(3600)).into();
    let gap_future = CertifiedIssuer::signed_by(later, key(), &root).expect("an authority");
    let same = KeyPair::from_pem(&gap_future.key().serialize_pem()).expect("a key");
    let gap_ended = CertifiedIssuer::signed_by(before, same, &root).expect("an authority");
    let gap = CertifiedIssuer::signed_by(parameters_of_leaf(), key(), &gap_future).expect("a leaf");
    for (chain, words) in [
        (&[&leaf, &stranger][..], "clients would not accept"),
        (&[&future, &begins], "not valid before"),
        (&[&useless, &ordinary], "not a CA's"),
        (&[&for_clients, &between], "clients would not accept"),
        (&[&useless_key, &keyless], "not a CA's"),
        (&[&alone], "may not be a server's"),
        (
            &[&gap, &gap_ended, &gap_future, &root],
            "clients would not accept",
        ),
        (&[&elsewhere, &between], "not for localhost"),
        (&[&leaf], "without its issuer"),
        (&[&leaf, &leaf], "without its issuer"),
    ] {
        let (folder, cell) = served(&[&leaf, &between]);
        put(&folder, chain);
        let refused = cell.reload(now()).expect_err(words).to_string();
        assert!(refused.contains(words), "{words}: {refused}");
        assert!(!refused.contains(".000Z"), "{refused}");
        // If there is no better chain, this one is served, and may be replaced by a similar one.
        let (folder, begun) = served(chain);
        assert!(begun.summary().warnings[0].contains(words), "{words}");
        put(&folder, chain);
        assert!(begun.reload(now()).is_ok(), "{words}");
    }
}

/// This happens behind a proxy that has its own name.
#[test]
fn a_chain_for_another_host_is_replaced_by_one_for_this_host_but_by_none_that_is_useless() {
    let key = || KeyPair::generate().expect("a key");
    let [leaf, between, root] = issued(90);
    let [_, stranger, _] = issued(90);
    let named = |name: &str, issuer: &Made| {
        let mut parameters = parameters_of_leaf();
        let name = name.try_into().expect("ASCII");
        parameters.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
        CertifiedIssuer::signed_by(parameters, key(), issuer).expect("a leaf")
    };
    let (inner, direct) = (named("inner", &between), named("localhost", &root));
    let (folder, cell) = served(&[&inner, &between]);
    put(&folder, &[&leaf, &stranger]);
    assert!(cell.reload(now()).is_err(), "no client accepts it");
    put(&folder, &[&named("inner", &root)]);
    assert!(cell.reload(now()).is_err(), "fewer clients accept it");
    put(&folder, &[&direct]);
    assert!(cell.reload(now()).is_ok(), "it is for this host");
}

fn parameters_of_leaf() -> CertificateParams {
    parameters("leaf", 90)
}

#[test]
fn a_chain_is_installed_in_order_and_each_certificate_once() {
    let [leaf, between, root] = issued(90);
    let folder = tempfile::tempdir().expect("a folder");
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    let tls = folder.path().join("tls");
    fs::create_dir(&tls).expect("made");
    let install = |of: &[&Made]| {
        put(&folder, of);
        crate::certificate::install(&tls, &chain, Some(&key), Some("localhost"), now())
    };
    let refused = install(&[&leaf, &root, &between]).expect_err("out of order");
    let words = "certificate 1 is not followed by its issuer: order them from the leaf up";
    assert!(refused.to_string().contains(words), "{refused}");
    install(&[&leaf, &leaf, &between, &root, &leaf]).expect("good");
    let text = fs::read_to_string(request::installed(&tls)).expect("written");
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 3);
    assert!(text.ends_with(&root.pem().replace('\r', "")), "{text}");
}

/// Each client asks for one host, so the other names do not matter to it.
#[test]
fn a_name_that_no_client_can_ask_for_spoils_no_other() {
    let [_, between, root] = issued(90);
    let dns = |name: &str| rcgen::SanType::DnsName(name.try_into().expect("ASCII"));
    let mut parameters = parameters_of_leaf();
    parameters.subject_alt_names = ["my host", "*.lan", "127.0.0.1", "localhost"]
        .map(dns)
        .into();
    let key = KeyPair::generate().expect("a key");
    let leaf = CertifiedIssuer::signed_by(parameters, key, &between).expect("a leaf");
    let (folder, cell) = served(&[&leaf, &between, &root]);
    assert_eq!(cell.reload(now()).expect("good").warnings, [""; 0]);
    let by_address = given(folder.path(), ["chain.pem", "key.pem"], "127.0.0.1");
    // An IP address does not match a DNS name.
    let cell = Cell::open(by_address, now()).expect("served");
    assert!(cell.summary().warnings[0].contains("not for 127.0.0.1"));
    // A certificate that cannot be parsed is still sent, and breaks the handshake.
    let mut text = leaf.pem() + &between.pem();
    text += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(folder.path().join("chain.pem"), text).expect("written");
    let damaged = examine(&cell.source, now()).expect_err("damaged");
    assert!(damaged.to_string().contains("cannot be read"), "{damaged}");
}
