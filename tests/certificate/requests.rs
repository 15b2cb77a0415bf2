//! Signing requests, and the chains that are installed for them.

use std::fs;

use rcgen::{CertificateParams, CertificateSigningRequestParams, DnType, KeyPair};

use super::{Customer, PRIVATE, put, put_as};
use crate::support::{Server, status};

/// RFC 5280 appendix A.1: a common name has 64 characters at most.
#[test]
fn a_request_for_a_long_name_has_it_in_one_field_alone() {
    let server = Server::start();
    let long = format!("{}.example.com", "a".repeat(60));
    for (name, wanted) in [("a.example.com", true), (&long, false)] {
        let made = server.cli(&["cert", "request", "--name", name]);
        let asked = CertificateSigningRequestParams::from_pem(&made.stdout).expect("a request");
        let subject = asked.params.distinguished_name;
        assert_eq!(
            subject.get(&DnType::CommonName).is_some(),
            wanted,
            "{made:?}"
        );
        assert_eq!(subject.iter().count(), usize::from(wanted));
    }
}

/// Only a single certificate comes so far: with an issuer, the chain is refused before.
#[test]
fn a_certificate_that_names_no_host_is_refused() {
    let server = Server::start();
    let customer = Customer::new();
    let key = KeyPair::generate().expect("a key");
    let nameless = CertificateParams::new(Vec::new()).expect("no names");
    let nameless = nameless.self_signed(&key).expect("a certificate");
    put(&customer.chain(), &nameless.pem());
    put_as(PRIVATE, &customer.key(), &key.serialize_pem());
    let (chain, key) = (customer.chain(), customer.key());
    let (chain, key) = (chain.to_str().expect("text"), key.to_str().expect("text"));
    let refused = server.cli(&["cert", "install", chain, "--key", key]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    for words in [
        "names no host",
        "hint: set base_url",
        "cert request --name NAME",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
}

/// From the request until it is served, without a restart; and what must not be installed.
#[test]
fn a_request_becomes_a_certificate_that_is_served() {
    let customer = Customer::new();
    let server = Server::start_with(&["--base-url", "https://localhost:1"]);
    let authorization = format!("Bearer {}", server.token("t").reveal());
    let shown = server.cli(&["cert", "show"]);
    let words = "does not accept it: no public authority";
    assert!(shown.stdout.contains(words), "{shown:?}");
    let typed = "cert request --name localhost --name 127.0.0.1";
    let request = server.cli(&typed.split(' ').collect::<Vec<_>>());
    assert_eq!(request.status, Some(0), "{request:?}");
    assert!(
        request
            .stdout
            .starts_with("-----BEGIN CERTIFICATE REQUEST-----"),
        "{request:?}"
    );
    let signed = |request: &str| signed_by(&customer, request);
    // From another authority of the same name.
    let forged = signed_by(&Customer::new(), &request.stdout);
    let leaf = signed(&request.stdout);
    let authority = customer.authority.pem();
    let file = |name: &str, text: &str| {
        let path = customer.folder.path().join(name);
        put(&path, text);
        path.to_str().expect("text").to_owned()
    };
    let elsewhere = server.cli(&["cert", "request", "--name", "elsewhere.example"]);
    // The warning comes before an authority signs the request; its certificate is refused below.
    let warning = "warning: none of the names is localhost, the host of the base URL";
    assert!(elsewhere.stderr.contains(warning), "{elsewhere:?}");
    assert!(!request.stderr.contains("warning"), "{request:?}");
    let fix = "hint: set base_url to https://NAME/scim/v2";
    assert!(elsewhere.stderr.contains(fix), "{elsewhere:?}");
    for (name, text, words) in [
        ("alone.pem", leaf.clone(), "without its issuer"),
        (
            "turned.pem",
            format!("{authority}{leaf}"),
            "turned.pem: the key belongs to certificate 2, not to the first: the order seems",
        ),
        (
            "again.pem",
            format!("{leaf}{authority}{leaf}"),
            "certificate 2 is not followed by its issuer: order them from the leaf up",
        ),
        (
            "elsewhere.pem",
            format!("{}{authority}", signed(&elsewhere.stdout)),
            "the host of the base URL (nothing was changed)\nhint: set base_url",
        ),
        ("nothing.pem", String::new(), "no certificate"),
        (
            "forged.pem",
            format!("{forged}{authority}"),
            "would not accept",
        ),
    ] {
        let refused = server.cli(&["cert", "install", &file(name, &text)]);
        assert_eq!(refused.status, Some(1), "{name}: {refused:?}");
        assert!(refused.stderr.contains(words), "{name}: {refused:?}");
        assert!(
            refused.stderr.contains("nothing was changed"),
            "{name}: {refused:?}"
        );
    }
    let foreign = server.cli(&["cert", "install", customer.chain().to_str().expect("text")]);
    assert_eq!(foreign.status, Some(1), "another key: {foreign:?}");

    let chain = as_some_editors_save(&file("good.pem", ""), &[&leaf, &authority]);
    let installed = server.cli(&["cert", "install", &chain]);
    assert_eq!(installed.status, Some(0), "{installed:?}");
    assert!(
        installed.stderr.contains("it is being served"),
        "{installed:?}"
    );
    assert_eq!(
        status(&mut customer.client(&server), &authorization),
        Ok(200)
    );
    let shown = server.cli(&["cert", "show"]);
    assert!(shown.stdout.contains("localhost, 127.0.0.1"), "{shown:?}");
    for words in [
        "chain        CN=localhost",
        "no public authority",
        "keytool -importcert",
    ] {
        assert!(shown.stdout.contains(words), "{words}: {shown:?}");
    }
    // The pending key is installed now. A chain can also be installed with a key of its own.
    let (chain, key) = (customer.chain(), customer.key());
    let own = [
        "cert",
        "install",
        chain.to_str().expect("text"),
        "--key",
        key.to_str().expect("text"),
    ];
    assert_eq!(server.cli(&own).status, Some(0));
    assert_eq!(
        status(&mut customer.client(&server), &authorization),
        Ok(200)
    );
    server.stop();
}

/// The certificate that a customer's authority issues for a request, as PEM.
fn signed_by(customer: &Customer, request: &str) -> String {
    let request = CertificateSigningRequestParams::from_pem(request).expect("a request");
    let leaf = request.signed_by(&customer.authority).expect("signed");
    leaf.pem()
}

/// Writes certificates as some editors do, with a byte order mark and a comment in an old encoding,
/// and returns the path.
fn as_some_editors_save(path: &str, parts: &[&str]) -> String {
    let [first, rest @ ..] = parts else {
        panic!("no certificate");
    };
    let mut text = [
        b"\xef\xbb\xbf",
        first.as_bytes(),
        b"friendlyName: Z\xfcrich\n",
    ]
    .concat();
    text.extend(rest.concat().into_bytes());
    fs::write(path, text).expect("written");
    path.to_owned()
}
