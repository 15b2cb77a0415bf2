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
fn a_chain_ends_with_its_first_authority() {
    let [leaf, between, root] = issued(20);
    let days = |summary: &Summary| now().days_until(summary.not_after);
    for chain in [&[&leaf, &between][..], &[&leaf, &between, &root]] {
        let (folder, cell) = served(chain);
        let summary = cell.summary();
        assert!((19..=20).contains(&days(&summary)), "{summary:?}");
        assert!(
            summary.warnings[0].contains("before the leaf"),
            "{summary:?}"
        );
        let later = now().plus_days(21);
        assert!(summary.out_of_date(later).is_some());
        // It is no longer taken.
        assert!(cell.reload(later).is_err());
        let [renewed, above, _] = issued(90);
        put(&folder, &[&renewed, &above]);
        let summary = cell.reload(now()).expect("good");
        assert!((89..=90).contains(&days(&summary)), "{summary:?}");
        assert_eq!(summary.warnings, [""; 0]);
    }
}
