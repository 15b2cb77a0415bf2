//! A customer's chain whose authorities do not carry it: one is missing, or ends before the leaf.

use std::fs;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::super::*;
use super::now;

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

/// A root, an intermediate authority that ends after so many days, and a leaf of 90 days.
fn issued(days: u64) -> [Made; 3] {
    let key = || KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(parameters("root", 900), key()).expect("a root");
    let between = CertifiedIssuer::signed_by(parameters("between", days), key(), &root);
    let between = between.expect("an authority");
    let leaf = CertifiedIssuer::signed_by(parameters("leaf", 90), key(), &between);
    [leaf.expect("a leaf"), between, root]
}

/// A cell for a chain of these, and what puts another pair into its files.
fn served(chain: &[&Made]) -> (tempfile::TempDir, Arc<Cell>) {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder, chain);
    let given = Source::Files {
        chain: folder.path().join("chain.pem"),
        key: folder.path().join("key.pem"),
        host: "localhost".to_owned(),
    };
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
    // At a start there is no other.
    let (_, begun) = served(&[&leaf, &root]);
    assert!(begun.summary().warnings[0].contains("not by its issuer"));
    // What else is there, and in which order, is left to the clients.
    put(&folder, &[&leaf, &root, &between]);
    let summary = cell.reload(now()).expect("it leads to a root");
    assert_eq!((summary.fingerprint, summary.warnings.len()), (good, 0));
}

#[test]
fn an_authority_that_ends_before_the_leaf_is_told_of_and_nothing_refused() {
    let [leaf, between, root] = issued(20);
    for chain in [&[&leaf, &between][..], &[&leaf, &between, &root]] {
        let (folder, cell) = served(chain);
        let summary = cell.summary();
        let days = summary.authority_ends.map(|ends| now().days_until(ends));
        assert!(
            days.is_some_and(|days| (19..=20).contains(&days)),
            "{days:?}"
        );
        assert!(
            summary.warnings[0].contains("before the leaf"),
            "{summary:?}"
        );
        // Clients may have its successor.
        let later = now().plus_days(21);
        assert_eq!(summary.out_of_date(later), None);
        cell.reload(later).expect("served");
        let [renewed, above, _] = issued(90);
        put(&folder, &[&renewed, &above]);
        let summary = cell.reload(now()).expect("good");
        assert_eq!((summary.authority_ends, summary.warnings.len()), (None, 0));
    }
}

/// Of an old authority and its successor of the same name clients take the one that is good, and an
/// old root is not asked for its end.
#[test]
fn what_nobody_needs_any_more_is_no_fault() {
    let key = || KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(parameters("root", 5), key()).expect("a root");
    let signed = |name, days| CertifiedIssuer::signed_by(parameters(name, days), key(), &root);
    let [old, new] = [10, 900].map(|days| signed("between", days).expect("an authority"));
    let leaf = CertifiedIssuer::signed_by(parameters("leaf", 90), key(), &new).expect("a leaf");
    let direct = signed("leaf", 90).expect("a leaf");
    for chain in [
        &[&leaf, &old, &new][..],
        &[&leaf, &new, &old, &root],
        &[&direct, &root],
        &[&direct, &direct],
    ] {
        let (_folder, cell) = served(chain);
        let summary = cell.reload(now()).expect("good");
        assert_eq!(
            (summary.authority_ends, &*summary.warnings),
            (None, &[][..])
        );
    }
}
