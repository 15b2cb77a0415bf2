//! Warnings about what clients need to reach the server: certificates and a private CA that end,
//! and a changed base URL.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use golinks_scim::certificate::{Cell, Names, Source};
use golinks_scim::clock::Clock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use super::{DAY, Here, text};

#[test]
fn a_certificate_that_is_not_ours_is_warned_of_before_its_end() {
    let here = with_our_own();
    let directory = here.folder.path().join("tls");
    here.move_to(88 * DAY);
    // The server renews its own certificate.
    assert_eq!(here.warned("certificate"), [""; 0]);
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("1"));
    here.move_to(0);

    let file = |name: &str| -> PathBuf { directory.join(name) };
    let theirs = Source::Files {
        chain: file("leaf.pem"),
        key: file("leaf.key"),
        host: "localhost".to_owned(),
    };
    let theirs = Cell::open(theirs, here.clock.start).expect("the same leaf");
    let [begins, ends] = [theirs.summary().not_before, theirs.summary().not_after];
    let here = Here {
        cell: Some(theirs),
        ..here
    }
    .start_again();
    let to_end = ends.millis() - here.clock.start.millis();
    // A certificate valid for ninety days is usually renewed when thirty are left.
    for (left, is_warned, told) in [
        (30, false, ""),
        (15, false, ""),
        (14, true, "in 14 days"),
        (7, true, "in 7 days"),
        (1, true, "in 1 day"),
    ] {
        here.move_to(to_end - left * DAY);
        let warned = here.warned("certificate");
        assert_eq!(warned.len(), usize::from(is_warned), "{left}: {warned:?}");
        let wanted = format!("the certificate ends at {ends:.0}, {told}; put a new chain");
        assert!(
            warned.iter().all(|it| it.starts_with(&wanted)),
            "{warned:?}"
        );
        assert_eq!(here.status()["certificate"]["daysLeft"], left);
        assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 200, "{left}");
    }
    assert_eq!(here.logs().len(), 1);
    assert_eq!(here.logs(), [""; 0]);
    for wrong in [to_end, -2 * DAY] {
        here.move_to(wrong);
        let (status, told) = here.ask("GET", "/readyz", &Value::Null);
        assert_eq!(status, 503);
        let now = here.clock.now();
        let words = format!("valid from {begins:.0} to {ends:.0}, but it is now {now:.0}");
        assert!(told.contains(&words), "{told}");
        // The warning about its end is over, and the present fault is logged once.
        assert_eq!(here.warned("certificate"), [""; 0]);
        let logged = here.logs();
        assert_eq!(logged.len(), usize::from(wrong == to_end), "{logged:?}");
        let words = "the certificate is valid from ";
        assert!(
            logged.iter().all(|line| line.starts_with(words)),
            "{logged:?}"
        );
        assert_eq!(here.logs(), [""; 0]);
        assert_eq!(here.metric("ready").as_deref(), Some("0"));
        assert_eq!(here.status()["ready"], false);
    }
    // A start reports this before there is a router.
    let here = here.start_again();
    assert_eq!(here.logs(), [""; 0]);
    // All reasons are given, not only the first.
    here.api.begin_stopping();
    let (status, told) = here.ask("GET", "/readyz", &Value::Null);
    assert_eq!(status, 503);
    let error: Value = serde_json::from_str(&told).expect("a SCIM Error");
    let detail = text(&error["detail"]);
    assert!(
        detail.starts_with("the certificate is valid from")
            && detail.contains("; the server is stopping (request "),
        "{detail}"
    );
    let status = here.status();
    let reasons = status["reasons"].as_array().expect("a list");
    assert!(reasons.len() == 2 && reasons.iter().all(|it| it["fix"].is_string()));
}

/// Without it clients refuse the chain, however long the leaf lasts.
#[test]
fn an_authority_that_ends_before_the_leaf_is_warned_of_as_well() {
    let here = with_our_own();
    let start = here.clock.start;
    let directory = here.folder.path().join("tls");
    let parameters = |name: &str, days: i64| {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        parameters.distinguished_name.push(DnType::CommonName, name);
        let end = Duration::from_secs(start.plus_days(days).seconds().unsigned_abs());
        parameters.not_after = (SystemTime::UNIX_EPOCH + end).into();
        if name != "leaf" {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters
    };
    let key = || KeyPair::generate().expect("a key");
    let root = CertifiedIssuer::self_signed(parameters("root", 900), key()).expect("a root");
    let between = CertifiedIssuer::signed_by(parameters("between", 20), key(), &root);
    let between = between.expect("an authority");
    let leaf = CertifiedIssuer::signed_by(parameters("leaf", 21), key(), &between).expect("a leaf");
    let [chain, leaf_key] = ["chain.pem", "chain.key"].map(|name| directory.join(name));
    std::fs::write(&chain, leaf.pem() + &between.pem()).expect("written");
    std::fs::write(&leaf_key, leaf.key().serialize_pem()).expect("written");
    let ours = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&leaf_key, ours).expect("ours");
    let theirs = Source::Files {
        chain,
        key: leaf_key,
        host: "localhost".to_owned(),
    };
    let theirs = Cell::open(theirs, start).expect("good");
    let here = Here {
        cell: Some(theirs),
        ..here
    }
    .start_again();
    // The leaf's own end also causes a warning.
    here.move_to(13 * DAY - 2000);
    let warned = here.warned("certificate");
    let words = [
        "the certificate ends at ",
        "an authority in the certificate's chain ends at ",
    ];
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(
        words
            .iter()
            .zip(&warned)
            .all(|(words, it)| it.starts_with(words) && !it.contains(".000Z")),
        "{warned:?}"
    );
    assert_eq!(here.logs().len(), 2);
    assert_eq!(here.status()["certificate"]["daysLeft"], 7);
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("7"));
    let (_, installed) = here.ask("GET", "/admin/installation", &Value::Null);
    let installed: Value = serde_json::from_str(&installed).expect("JSON");
    let served = &installed["certificate"];
    let [leaf, between] = [21, 20].map(|days| start.plus_days(days).to_string());
    assert_eq!(text(&served["notAfter"])[..19], leaf[..19], "{served}");
    assert_eq!(
        text(&served["acceptedUntil"])[..19],
        between[..19],
        "{served}"
    );
    assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 200);
    here.move_to(20 * DAY);
    let (status, told) = here.ask("GET", "/readyz", &Value::Null);
    assert_eq!(status, 503);
    let words = "an authority in the certificate's chain ended at ";
    assert!(told.contains(words) && !told.contains(".000Z"), "{told}");
    let logged = here.logs();
    assert!(logged.iter().any(|it| it.starts_with(words)), "{logged:?}");
}

/// A router with a certificate of the private CA, both made now.
fn with_our_own() -> Here {
    let here = Here::open();
    let ours = Source::DataDirectory {
        directory: here.folder.path().join("tls"),
        names: Names::new("machine", None),
        host: "localhost".to_owned(),
    };
    let cell = Some(Cell::open(ours, here.clock.start).expect("a leaf"));
    Here { cell, ..here }.start_again()
}

#[test]
fn a_certificate_whose_directory_is_gone_stays_in_use_until_its_end() {
    let here = with_our_own();
    let ends = here.cell.clone().expect("a leaf").summary().not_after;
    let tls = here.folder.path().join("tls");
    std::fs::remove_dir_all(&tls).expect("there");
    let told = format!("{} is gone; the certificate that ends at", tls.display());
    let wanted = format!("{told} {ends:.0} stays in use; put it back");
    let warned = here.warned("certificate");
    assert!(
        warned.len() == 1 && warned[0].starts_with(&wanted),
        "{warned:?}"
    );
}

/// Everybody who trusts the CA must be given the next one, which takes longer than a command.
#[test]
fn the_end_of_our_own_authority_is_warned_of_from_a_year_before_it() {
    let here = with_our_own();
    let cell = here.cell.clone().expect("a leaf");
    let ends = cell.summary().authority.expect("ours").not_after;
    let to_end = ends.millis() - here.clock.start.millis();
    let reach = |left: i64| {
        here.move_to(to_end - left * DAY);
        cell.renew_if_due(here.clock.now()).expect("renewed");
    };
    let manual = "golinks-scim manual certificates";
    for (left, is_warned, told) in [
        (366, false, ""),
        (365, true, "in 365 days"),
        (90, true, "in 90 days"),
        (1, true, "in 1 day"),
    ] {
        reach(left);
        let wanted = format!("the private CA ends at {ends:.0}, {told}; {manual}");
        let wanted: &[String] = if is_warned { &[wanted] } else { &[] };
        assert_eq!(here.warned("certificate"), wanted, "{left}");
        assert_eq!(here.logs().len(), wanted.len(), "{left}");
        assert_eq!(here.logs(), [""; 0], "{left}");
    }
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("1"));
    reach(-3);
    assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 503);
    assert_eq!(
        here.status()["reasons"][0]["fix"],
        "{program} manual certificates"
    );
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("-3"));
    assert_eq!(here.warned("certificate"), [""; 0]);
}

#[test]
fn for_a_clock_that_is_wrong_no_certificate_is_to_be_bought() {
    let here = with_our_own();
    // The certificate has ended, and the next one has not been made yet.
    here.move_to(3 * 365 * DAY);
    let fix = here.status()["reasons"][0]["fix"].clone();
    assert!(text(&fix).starts_with("correct the clock"), "{fix}");
    // The clock is slow, or was fast when the CA was made.
    here.move_to(-3 * DAY);
    let fix = here.status()["reasons"][0]["fix"].clone();
    assert!(text(&fix).contains("correct it (timedatectl)"), "{fix}");
    assert!(
        text(&fix).ends_with("{program} manual certificates"),
        "{fix}"
    );
}

/// An ACME client, for instance, renews such certificates when a third of their life is left.
#[test]
fn the_life_of_a_short_certificate_is_not_a_warning_while_it_is_renewed_in_time() {
    for (life, first) in [(100, 30), (90, 14), (45, 14), (20, 1), (6, 1)] {
        let here = Here::open();
        let cell = cell_for(&here, life);
        let here = Here {
            cell: Some(cell),
            ..here
        }
        .start_again();
        for (left, is_warned) in [(first + 1, false), (first, true), (0, true)] {
            // One second is left of the next day, or of the last one.
            here.move_to((life - left) * DAY - 1000);
            let warned = here.warned("certificate");
            assert_eq!(
                warned.len(),
                usize::from(is_warned),
                "{life}, {left}: {warned:?}"
            );
        }
    }
}

/// A certificate that the server has not issued, valid for this many days from now on.
fn cell_for(here: &Here, days: i64) -> Arc<Cell> {
    let (chain, key) = (
        here.folder.path().join("chain.pem"),
        here.folder.path().join("key.pem"),
    );
    let pair = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let begins = SystemTime::now();
    parameters.not_before = begins.into();
    let life = Duration::from_secs(24 * 60 * 60) * u32::try_from(days).expect("a few");
    parameters.not_after = (begins + life).into();
    let leaf = parameters.self_signed(&pair).expect("a leaf");
    std::fs::write(&chain, leaf.pem()).expect("written");
    std::fs::write(&key, pair.serialize_pem()).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let files = Source::Files {
        chain,
        key,
        host: "localhost".to_owned(),
    };
    Cell::open(files, here.clock.now()).expect("a chain")
}

#[test]
fn another_base_url_than_before_is_told_of_until_the_next_start() {
    let here = Here::open();
    let token = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    // As long as no token was used, no client has the base URL.
    let here = here.start_again_at("https://first.example/scim/v2");
    assert_eq!(here.warned("base URL"), [""; 0]);
    let here = here.start_again();
    assert_eq!(here.ask_with(text(&token["token"]), "/scim/v2/Users"), 200);
    assert_eq!(here.warned("base URL"), [""; 0]);
    here.move_to(1000);
    let here = here.start_again_at("https://new.example/scim/v2");
    let what = "the base URL is https://new.example/scim/v2 now, and was https://localhost/scim/v2";
    let fix = "give the new one to the identity providers that were given the old one, or set \
                base_url = \"https://localhost/scim/v2\" (or --base-url, if the server is started with \
                it) and restart the server";
    assert_eq!(here.logs(), [format!("{what}; fix: {fix}")]);
    assert_eq!(here.warned("base URL"), [format!("{what}; {fix}")]);
    // A client that sends requests may still have the old base URL.
    here.move_to(2000);
    assert_eq!(here.ask_with(text(&token["token"]), "/scim/v2/Users"), 200);
    assert_eq!(here.warned("base URL"), [format!("{what}; {fix}")]);
    assert_eq!(here.logs(), [""; 0]);
    let here = here.start_again_at("https://new.example/scim/v2");
    assert_eq!(here.warned("base URL"), [""; 0]);
    assert_eq!(here.logs(), [""; 0]);
}
