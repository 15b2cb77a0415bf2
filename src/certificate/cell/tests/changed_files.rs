//! Files that change, disappear or become unreadable while the cell is being served.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::*;
use super::{given, handshakes, made, now, source};

/// The manual describes this way to prepare for the end of an authority.
#[test]
fn another_authority_in_the_place_of_the_old_one_needs_no_restart() {
    let ((folder, cell), (next, _)) = (made(None), made(None));
    for name in ["ca.pem", "ca.key"] {
        let (from, to) = (next.path().join("tls"), folder.path().join("tls"));
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
    cell.reload(now()).expect("served");
    assert!(handshakes(&cell, next.path(), "localhost"));
}

/// Files that cannot be read are tried again; files with wrong content only after they have
/// changed.
#[test]
fn what_could_not_be_read_is_read_again_without_a_change() {
    let (folder, _) = made(None);
    let tls = folder.path().join("tls");
    let given = given(&tls, ["leaf.pem", "leaf.key"], "localhost");
    let cell = Cell::open(given, now()).expect("good");
    let is_refused = || cell.reload_if_changed(now()).map(|it| it.is_err());
    assert_eq!(is_refused(), None);
    fs::write(tls.join("leaf.pem"), "not a certificate").expect("written");
    assert_eq!((is_refused(), is_refused()), (Some(true), None));
    fs::remove_file(tls.join("leaf.pem")).expect("there");
    fs::create_dir(tls.join("leaf.pem")).expect("made");
    assert_eq!(
        (is_refused(), is_refused()),
        (Some(true), None),
        "told once"
    );
    assert!(
        *cell.seen() != cell.source.stamps(),
        "it is never read again"
    );
}

/// A disk that disappears takes the authority with it; a new authority would lock out every client.
#[test]
fn a_server_that_serves_makes_no_other_authority() {
    let (folder, cell) = made(None);
    let (tls, away) = (folder.path().join("tls"), folder.path().join("away"));
    let leaf = cell.summary().fingerprint;
    fs::rename(&tls, &away).expect("moved");
    for outcome in [
        cell.reload(now()).map(Some),
        cell.renew_if_due(now()),
        cell.renew_if_due(now().plus_days(61)),
    ] {
        let error = outcome.expect_err("it is gone").to_string();
        assert!(error.contains("/tls: it is gone"), "{error}");
        assert!(!tls.exists());
        assert_eq!(cell.summary().fingerprint, leaf);
    }
    fs::rename(&away, &tls).expect("moved");
    assert!(cell.hindrance().is_none());
    assert!(cell.renew_if_due(now()).expect("it is back").is_none());
    for name in ["ca.pem", "leaf.pem"] {
        fs::remove_file(tls.join(name)).expect("there");
    }
    let error = cell.reload(now()).expect_err("it is gone").to_string();
    assert!(error.contains("/ca.pem: it is gone"), "{error}");

    // The same holds for an installed chain: the directory of an unmounted disk exists but is
    // empty.
    let (other, _) = made(None);
    let installed = folder.path().join("installed.pem");
    let [chain, key] = ["leaf.pem", "leaf.key"]
        .map(|name| fs::read(other.path().join("tls").join(name)).expect("there"));
    fs::write(&installed, [chain, key].concat()).expect("written");
    fs::set_permissions(&installed, fs::Permissions::from_mode(0o600)).expect("set");
    fs::remove_dir_all(&tls).expect("there");
    fs::create_dir(&tls).expect("made");
    fs::rename(&installed, tls.join("installed.pem")).expect("moved");
    let cell = Cell::open(source(folder.path(), None), now()).expect("served");
    assert!(cell.summary().authority.is_none());
    let fingerprint = cell.summary().fingerprint;
    fs::rename(&tls, &away).expect("moved");
    for is_mounted in [true, false] {
        assert!(cell.reload(now()).is_err());
        assert!(
            cell.hindrance()
                .is_some_and(|(what, _)| what.ends_with(" is gone"))
        );
        if is_mounted {
            fs::create_dir(&tls).expect("made");
        }
    }
    assert_eq!(fs::read_dir(&tls).expect("there").count(), 0);
    assert_eq!(cell.summary().fingerprint, fingerprint);

    // A file that merely cannot be read is not gone.
    symlink("ca.pem", tls.join("ca.pem")).expect("linked");
    let error = cell
        .reload(now())
        .expect_err("it leads nowhere")
        .to_string();
    assert!(
        !error.contains("gone") && cell.hindrance().is_none(),
        "{error}"
    );
}

#[test]
fn the_customers_files_are_checked() {
    let (folder, _) = made(None);
    let tls = folder.path().join("tls");
    let files = |chain, key, host| given(&tls, [chain, key], host);
    let good = Cell::open(files("leaf.pem", "leaf.key", "localhost"), now()).expect("good");
    assert!(good.summary().warnings.is_empty());
    assert!(
        good.renew_if_due(now().plus_days(89))
            .expect("not ours")
            .is_none()
    );
    let elsewhere = Cell::open(files("leaf.pem", "leaf.key", "h.example"), now()).expect("good");
    assert_eq!(elsewhere.summary().warnings.len(), 1);
    let both = fs::read_to_string(tls.join("leaf.pem")).expect("there");
    let end = both
        .find("-----END CERTIFICATE-----\n")
        .expect("a first one")
        + 26;
    fs::write(tls.join("alone.pem"), &both[..end]).expect("written");
    let alone = Cell::open(files("alone.pem", "leaf.key", "localhost"), now()).expect("served");
    let warnings = alone.summary().warnings.clone();
    assert!(warnings[0].contains("without its issuer"), "{warnings:?}");
    for (source, at) in [
        (files("leaf.pem", "ca.key", "localhost"), now()),
        (files("leaf.key", "leaf.key", "localhost"), now()),
        (files("nothing.pem", "leaf.key", "localhost"), now()),
    ] {
        let outcome = Cell::open(source.clone(), at);
        assert!(outcome.is_err(), "{source:?}");
    }
    for at in [now().plus_days(91), now().plus_days(-1)] {
        let source = files("leaf.pem", "leaf.key", "localhost");
        assert!(examine(&source, at).is_err());
        // At a start there is nothing better to serve; a running server has something better.
        let begun = Cell::open(source, at).expect("served");
        assert!(begun.summary().out_of_date(at).is_some());
        assert!(begun.reload(at).is_err());
        assert!(begun.reload(now()).is_ok());
        assert!(begun.summary().out_of_date(now()).is_none());
    }
}
