//! What `check` finds where a proxy is in front of the server: one with a certificate of its own,
//! or one that drops or changes requests and answers.

use std::fs;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};

use super::like::{LEFT as LEFT_BEHIND, leave};
use crate::support::front::Front;
use crate::support::place::{Finding, Place, chain_for};

/// Only the person who types the command knows whether the company's own CA has issued the
/// certificate.
#[test]
fn a_proxy_with_a_certificate_of_a_company() {
    let mut place = Place::sound();
    let url = format!("https://localhost:{}", place.port());
    let pair = chain_for("localhost", None);
    let front = Front::proxy(&pair, &place.data_dir(), &url);
    place.set("GOLINKS_SCIM_BASE_URL", front.url());
    place.serve();
    let fix = place.fails("certificate", "that clients refuse");
    let (_, line) = fix
        .split_once(" certificate of your own CA: golinks-scim ")
        .expect("a line");
    let (line, _) = line
        .split_once("; otherwise forward port ")
        .expect("two ways");
    let ca = place.folder.path().join("CA.pem");
    let (_, authority) = pair.0.rsplit_once("-----BEGIN").expect("two of them");
    // Some editors begin a file with a byte order mark.
    fs::write(&ca, format!("\u{feff}-----BEGIN{authority}")).expect("written");
    let line = line.replace("CA.pem", ca.to_str().expect("text"));
    let findings = place.check_with(&line);
    let told = |outcome: &str, topic: &str, words: &str| {
        let mut all = findings.iter();
        all.any(|it| it.outcome == outcome && it.topic == topic && it.what.contains(words))
    };
    let words = format!(
        "clients that trust the CA of {} (not this server's own",
        ca.display()
    );
    assert!(told("warn", "certificate", &words), "{findings:#?}");
    assert!(
        told("pass", "Okta app", "test credentials"),
        "{findings:#?}"
    );
    let failed = findings.iter().filter(|it| it.outcome == "fail");
    assert_eq!(failed.count(), 0, "{findings:#?}");

    // If the named CA is the wrong one, the failure says which one has issued the certificate.
    let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Another CA");
    parameters.distinguished_name = name;
    let key = KeyPair::generate().expect("a key");
    let another = parameters.self_signed(&key).expect("a certificate");
    let wrong = place.folder.path().join("the wrong.pem");
    fs::write(&wrong, another.pem()).expect("written");
    let findings = place.check_with(&format!("check --ca '{}'", wrong.display()));
    let refused = findings.iter().find(|it| it.outcome == "fail");
    let refused = refused.expect("a failure");
    let issuer = "\"CN=rcgen self signed cert\"";
    let words = format!(
        "not issued by the CA in '{}', but by {issuer}",
        wrong.display()
    );
    assert!(refused.what.ends_with(&words), "{words}: {refused:?}");
    // The chain may also be incomplete.
    let words = format!(
        "if a proxy answers with a certificate of {issuer}, it may be leaving out the intermediate \
         certificate of {issuer}: make it send the full chain, or name that CA's file"
    );
    assert!(refused.fix.starts_with(&words), "{words}: {refused:?}");

    // Naming another CA does not help, even if it has the same name; and naming the right one does
    // not make a certificate for another host valid.
    let other = Front::proxy(&chain_for("localhost", None), &place.data_dir(), &url);
    let name = chain_for("scim.example.com", None);
    let (_, authority) = name.0.rsplit_once("-----BEGIN").expect("two of them");
    let named = Front::proxy(&name, &place.data_dir(), &url);
    let others = place.folder.path().join("other.pem");
    fs::write(&others, format!("-----BEGIN{authority}")).expect("written");
    for (front, ca, words) in [
        (other, &ca, "no TLS connection"),
        (named, &others, "not valid for"),
    ] {
        place.set("GOLINKS_SCIM_BASE_URL", front.url());
        place.serve();
        let findings = place.check_with(&format!("check --ca {}", ca.display()));
        let refused = findings.iter().find(|it| it.outcome == "fail");
        let refused = refused.expect("a failure");
        assert!(refused.what.contains(words), "{words}: {findings:#?}");
        assert!(!refused.fix.contains("--ca"), "{refused:?}");
    }
    let der = place.folder.path().join("ca.der");
    fs::write(&der, another.der()).expect("written");
    let converts = format!("openssl x509 -inform DER -in {}", der.display());
    let utf16 = place.folder.path().join("utf16.pem");
    let units = "\u{feff}-----BEGIN".encode_utf16();
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    fs::write(&utf16, bytes).expect("written");
    let recodes = format!("iconv -f UTF-16 -t UTF-8 {}", utf16.display());
    for (file, words) in [
        ("nowhere.pem", "No such file"),
        ("/dev/null", "no usable certificate"),
        (der.to_str().expect("text"), &converts),
        (utf16.to_str().expect("text"), &recodes),
    ] {
        let output = place
            .shell(&format!("golinks-scim check --ca {file}"))
            .output();
        let told = String::from_utf8(output.expect("bash").stderr).expect("text");
        assert!(told.contains(words), "{file}: {told}");
    }
}

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";

/// A token with any rights is not sent to a proxy that does not pass it on to this server.
#[test]
fn a_proxy_that_lets_nothing_through() {
    let mut place = Place::sound();
    for answer in [Some(FORBIDDEN), None] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let front = Front::as_server_of(&place.data_dir(), move |head| {
            told.lock().expect("whole").push(head.to_owned());
            answer.map(str::to_owned)
        });
        place.set("GOLINKS_SCIM_BASE_URL", front.url());
        place.serve();
        let fix = place.fails("way", "does not arrive at this server");
        assert!(fix.contains("forward /scim/v2 to it unchanged"), "{fix}");
        let seen = seen.lock().expect("whole");
        let shown = seen.iter().filter(|head| head.contains("Bearer ")).count();
        assert!(shown == 1 || answer.is_none(), "{seen:#?}");
        let targets = seen
            .iter()
            .filter(|head| !head.contains("/ServiceProviderConfig "));
        assert_eq!(targets.count(), 0, "{seen:#?}");
    }
    place.set_base_url("localhost");
    place.serve();
    place.is_well();
}

const LEFT: &str = "left over from the requests, now deleted: ";

#[test]
fn a_proxy_that_lets_no_deletion_through() {
    let mut place = Place::sound();
    leave(&place, [LEFT_BEHIND]);
    place.set_base_url("localhost");
    let url = format!("https://localhost:{}", place.port());
    let mut leftovers = vec!["left.golinks-scim-check@invalid of an earlier run is deleted"];
    for answer in [FORBIDDEN, ""] {
        let front = Front::before(&place.data_dir(), &url, move |head| {
            head.starts_with("DELETE").then(|| answer.to_owned())
        });
        place.set("GOLINKS_SCIM_BASE_URL", front.url());
        place.serve();
        let findings = place.check_with("check --write");
        let is_told = |outcome: &str, words: &str| {
            let mut all = findings.iter().filter(|it| it.topic == "life of a user");
            all.any(|it| it.outcome == outcome && it.what.contains(words))
        };
        assert!(is_told("fail", "delete: DELETE /Users/"), "{findings:#?}");
        for words in leftovers.drain(..).chain([LEFT]) {
            assert!(is_told("pass", words), "{words}: {findings:#?}");
        }
        assert_eq!(place.run("golinks-scim user list -o jsonl"), "");
    }
}

/// The changed answers do not show that a user was created, but the user is deleted all the same.
#[test]
fn a_proxy_that_changes_answers() {
    let mut place = Place::sound();
    let url = format!("https://localhost:{}", place.port());
    let as_ok = |answer: String| answer.replacen("HTTP/1.1 201 -", "HTTP/1.1 200 -", 1);
    let cut_short = |answer: String| {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let head = head.replace("Content-Length: ", "X-Length: ");
        let head = head.replace("content-length: ", "X-Length: ");
        format!("{head}\r\n\r\n{}", &body[..body.len() / 2])
    };
    let changes: [fn(String) -> String; 2] = [as_ok, cut_short];
    for (changed, command) in changes.iter().flat_map(|changed| {
        let commands = ["check --write", "check --write --like okta"];
        commands.map(|command| (*changed, command))
    }) {
        let front = Front::answering(&place.data_dir(), &url, changed);
        place.set("GOLINKS_SCIM_BASE_URL", front.url());
        place.serve();
        let findings = place.check_with(command);
        let failed = findings.iter().filter(|it| it.outcome == "fail").count();
        assert!(failed > 0, "{command}: {findings:#?}");
        // No number is printed that might not match the names.
        let is_told = |it: &Finding| it.outcome == "pass" && it.what.starts_with(LEFT);
        assert!(findings.iter().any(is_told), "{command}: {findings:#?}");
        assert_eq!(place.run("golinks-scim user list -o jsonl"), "");
    }
}

/// A search that has lost its filter finds another user, whom `check` leaves alone.
#[test]
fn a_proxy_that_drops_the_query() {
    let mut place = Place::sound();
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let before = place.run("golinks-scim user show jane@example.com -o json");
    let url = format!("https://localhost:{}", place.port());
    let without_query = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    let front = Front::changing(&place.data_dir(), &url, |_| None, without_query);
    place.set("GOLINKS_SCIM_BASE_URL", front.url());
    place.serve();
    let findings = place.check_with("check --write");
    let mut failed = findings.iter().filter(|it| it.outcome == "fail");
    let withheld = failed.any(|it| {
        it.topic == "life of a user" && it.what.contains("nothing was sent: it is not a user")
    });
    assert!(withheld, "{findings:#?}");
    place.set_base_url("localhost");
    place.serve();
    let after = place.run("golinks-scim user show jane@example.com -o json");
    assert_eq!(after, before);
}

/// Requests for users never reach the server.
#[test]
fn a_proxy_that_answers_by_itself() {
    let mut place = Place::sound();
    let url = format!("https://localhost:{}", place.port());
    let front = Front::before(&place.data_dir(), &url, |head| {
        let page = "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>";
        head.contains("/Users").then(|| page.to_owned())
    });
    place.set("GOLINKS_SCIM_BASE_URL", front.url());
    place.serve();
    let fix = place.fails("Okta app", "found 404");
    assert!(fix.contains("the proxy's routes for /scim/v2"), "{fix}");
}
