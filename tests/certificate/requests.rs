//! Certificate signing requests, and the installation of the chains issued for them.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    CustomExtension, DnType, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
    SanType,
};

use serde_json::json;

use super::{Customer, PRIVATE, put, put_as};
use crate::audit::{left_behind, of_kind};
use crate::support::{Output, Server, cli_in, status};

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

/// An email address is no host.
#[test]
fn a_certificate_that_names_no_host_is_refused() {
    let server = Server::start();
    let customer = Customer::new();
    let key = KeyPair::generate().expect("a key");
    let mut nameless = CertificateParams::new(Vec::new()).expect("no names");
    let email = "it@example.com".try_into().expect("an email address");
    nameless.subject_alt_names = vec![SanType::Rfc822Name(email)];
    let alone = nameless.self_signed(&key).expect("a certificate").pem();
    let issued = nameless.signed_by(&key, &customer.authority);
    let issued = issued.expect("a certificate").pem() + &customer.authority.pem();
    for (chain, words) in [
        (
            alone,
            &[
                "names no host",
                "hint: set base_url",
                "cert request --name NAME",
            ][..],
        ),
        (issued, &["names no host", "hint: set base_url"]),
    ] {
        let refused = install(&server, &customer, &chain, &key.serialize_pem());
        assert_eq!(refused.status, Some(1), "{refused:?}");
        for words in words {
            assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        }
    }
}

/// `openssl req -x509` makes one. `check` would fail for it, with these words.
#[test]
fn a_cas_own_certificate_is_not_installed() {
    let server = Server::start();
    let customer = Customer::new();
    let top = || IsCa::Ca(BasicConstraints::Unconstrained);
    // With a key usage of its own, `openssl req -x509` makes a CA that may sign nothing.
    for (is_ca, usages, status) in [
        (top(), vec![], 1),
        (top(), vec![KeyUsagePurpose::DigitalSignature], 1),
        (IsCa::NoCa, vec![], 0),
    ] {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut parameters = CertificateParams::new(names).expect("names");
        (parameters.is_ca, parameters.key_usages) = (is_ca, usages);
        let chain = parameters.self_signed(&key).expect("a certificate").pem();
        let installed = install(&server, &customer, &chain, &key.serialize_pem());
        assert_eq!(installed.status, Some(status), "{installed:?}");
        let words = "it is a CA's own certificate, which some clients do not accept as a server's";
        let is_told = installed.stderr.contains(words);
        assert_eq!(is_told, status == 1, "{installed:?}");
    }
}

/// Runs `cert install` on a chain and a key among the customer's files.
fn install(server: &Server, customer: &Customer, chain: &str, key: &str) -> Output {
    put(&customer.chain(), chain);
    put_as(PRIVATE, &customer.key(), key);
    let [chain, key] = [customer.chain(), customer.key()];
    let [chain, key] = [&chain, &key].map(|path| path.to_str().expect("text"));
    server.cli(&["cert", "install", chain, "--key", key])
}

/// A certificate with its key, for localhost unless `set` says otherwise.
fn issued_by(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    subject: &str,
    set: impl FnOnce(&mut CertificateParams),
) -> CertifiedIssuer<'static, KeyPair> {
    let names = vec!["localhost".to_owned()];
    let mut parameters = CertificateParams::new(names).expect("a name");
    let name = &mut parameters.distinguished_name;
    name.push(DnType::CommonName, subject);
    set(&mut parameters);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::signed_by(parameters, key, issuer).expect("a certificate")
}

/// The library that checks chains only names these faults; the refusal must explain them.
#[test]
fn a_chain_that_clients_would_refuse_says_why() {
    let server = Server::start();
    let customer = Customer::new();
    let root = &customer.authority;
    let ca = |constraint| move |it: &mut CertificateParams| it.is_ca = IsCa::Ca(constraint);
    let of_other_names = |it: &mut CertificateParams| {
        it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        it.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    };
    let not_a_ca = issued_by(root, "not a CA", |_| ());
    let elsewhere = issued_by(root, "elsewhere", of_other_names);
    let last = issued_by(root, "last", ca(BasicConstraints::Constrained(0)));
    let below_last = issued_by(&last, "below", ca(BasicConstraints::Unconstrained));
    let critical = |it: &mut CertificateParams| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![]);
        unknown.set_criticality(true);
        it.custom_extensions = vec![unknown];
    };
    let ended = |it: &mut CertificateParams| {
        it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        it.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let old = issued_by(root, "old", ended);
    let of_same_name = Customer::new().authority;
    let by = |issuer| issued_by(issuer, "leaf", |_| ());
    for (leaf, above, words) in [
        (
            by(&not_a_ca),
            vec![&not_a_ca],
            "chain: one of its certificates is not a CA's",
        ),
        (
            by(&old),
            vec![&old],
            "chain: of an authority in it: the certificate ended at 2021-01-01T00:00:00Z",
        ),
        (
            by(&old),
            vec![&old, root],
            "chain: of an authority in it: the certificate ended at 2021-01-01T00:00:00Z",
        ),
        (
            by(&of_same_name),
            vec![root],
            "chain: a certificate was not signed with the key of the one named as issuer",
        ),
        (
            by(&not_a_ca),
            vec![&not_a_ca, root],
            "chain: one of its certificates is not a CA's",
        ),
        (
            by(&elsewhere),
            vec![&elsewhere, root],
            "chain: its CA may not issue certificates for this name",
        ),
        (
            by(&below_last),
            vec![&below_last, &last, root],
            "chain: its CA may not have another CA below it, but does",
        ),
        (
            issued_by(root, "leaf", critical),
            vec![root],
            "chain.pem: it has a critical extension",
        ),
    ] {
        let chain: String = [&leaf]
            .into_iter()
            .chain(above)
            .map(CertifiedIssuer::pem)
            .collect();
        let refused = install(&server, &customer, &chain, &leaf.key().serialize_pem());
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
}

/// From the signing request until the certificate is served, without a restart; and certificates
/// that must not be installed.
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
    let place = server.data_dir().join("tls");
    let place = format!("its key is kept in {}", place.display());
    assert!(request.stderr.contains(&place), "{request:?}");
    let signed = |request: &str| signed_by(&customer, request);
    // Issued by another authority of the same name.
    let forged = signed_by(&Customer::new(), &request.stdout);
    let leaf = signed(&request.stdout);
    let authority = customer.authority.pem();
    let file = |name: &str, text: &str| {
        let path = customer.folder.path().join(name);
        put(&path, text);
        path.to_str().expect("text").to_owned()
    };
    let elsewhere = server.cli(&["cert", "request", "--name", "elsewhere.example"]);
    // The warning comes before an authority signs the request; the resulting certificate is refused
    // below.
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
            "elsewhere.pem",
            format!("{}{authority}", signed(&elsewhere.stdout)),
            "localhost, the host of the base URL: clients will refuse it (nothing was changed)\nhint: \
             set base_url",
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
    assert!(
        foreign.stderr.contains("name its key: --key KEY.pem"),
        "{foreign:?}"
    );

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
    let own = [customer.chain(), customer.key()];
    let [chain, key] = own.map(|path| fs::read_to_string(path).expect("there"));
    let installed = install(&server, &customer, &chain, &key);
    assert_eq!(installed.status, Some(0), "{installed:?}");
    assert_eq!(
        status(&mut customer.client(&server), &authorization),
        Ok(200)
    );
    server.stop();
}

#[test]
fn a_pair_is_installed_without_a_server_and_only_if_it_can_be_served() {
    let customer = Customer::new();
    let directory = Server::start().stop_and_keep();
    let [chain, key] = [customer.chain(), customer.key()];
    let good = fs::read_to_string(&key).expect("a key");
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_key = "key.pem: there is no private key in PEM form";
    for (text, status, words) in [
        (&*customer.authority.pem(), 1, no_key),
        (broken, 1, "key.pem: the key cannot be used: it must be RSA"),
        (&good[..good.len() / 2], 1, "form: it is cut short"),
        (
            // With a byte order mark, as some editors save it.
            &format!("\u{feff}{good}"),
            0,
            "no server is running; the next start will serve it",
        ),
    ] {
        put_as(PRIVATE, &key, text);
        let [chain, key] = [&chain, &key].map(|path| path.to_str().expect("text"));
        let output = cli_in(&directory, &["cert", "install", chain, "--key", key]);
        assert_eq!(output.status, Some(status), "{output:?}");
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }
    let rows = left_behind(&directory, &[]);
    let [row] = of_kind(&rows, "cert.install")[..] else {
        panic!("one was installed: {rows:?}")
    };
    assert_eq!(row["path"], chain.to_str().expect("text"), "{row}");
    assert_eq!(row["names"], json!(["localhost", "127.0.0.1"]), "{row}");
    let broken = customer.folder.path().join("config.toml");
    fs::write(&broken, "rate_limt = 7\n").expect("written");
    let typed = [&broken, &chain, &key].map(|path| path.to_str().expect("text"));
    let typed = [
        "--config", typed[0], "cert", "install", typed[1], "--key", typed[2],
    ];
    let output = cli_in(&directory, &typed);
    assert_eq!(output.status, Some(0), "{output:?}");
    let words = "no server is running, and none starts until the configuration is corrected";
    assert!(output.stderr.contains(words), "{output:?}");
    // From the next start on, the served certificate is not from the private CA.
    for (arguments, wanted) in [
        (["cert", "show"], "no server is running"),
        (["guide", "agent"], "the CA of your own certificate"),
    ] {
        let shown = cli_in(&directory, &arguments);
        let told = shown.stdout + &shown.stderr;
        assert!(told.contains(wanted), "{told}");
        assert!(!told.contains("tls/ca.pem"), "{told}");
        assert!(!told.contains("not accept"), "{told}");
    }
    let folder = customer.folder.path().to_str().expect("text");
    let chain = chain.to_str().expect("text");
    let refused = cli_in(&directory, &["cert", "install", chain, "--key", folder]);
    assert!(refused.stderr.contains("Is a directory"), "{refused:?}");
    assert!(!refused.stderr.contains("chmod"), "{refused:?}");
    let server = Server::start_on(directory);
    assert_eq!(status(&mut customer.client(&server), ""), Ok(401));
    let absent = server.cli(&["cert", "install", "/none.pem"]);
    assert_eq!(absent.status, Some(74), "{absent:?}");
}

#[test]
fn a_file_of_another_kind_is_named() {
    let (server, customer) = (Server::start(), Customer::new());
    let [chain, key] = [customer.chain(), customer.key()];
    let request = customer.folder.path().join("request.pem");
    let asked = server.cli(&["cert", "request", "--name", "scim.example.com"]);
    put(&request, &asked.stdout);
    for (file, words) in [
        (
            &key,
            "key.pem: it holds a private key and no certificate (nothing",
        ),
        (
            &request,
            "request.pem: it is a request: use the chain that the authority returns for it",
        ),
    ] {
        let [file, key] = [file, &chain].map(|path| path.to_str().expect("text"));
        let refused = server.cli(&["cert", "install", file, "--key", key]);
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    server.stop();
}

/// The base URL is taken from the configuration for the next start, or else from the last start.
#[test]
fn without_a_server_the_next_start_decides_which_names_are_good() {
    let customer = Customer::new();
    let kept = Server::start_with(&["--base-url", "https://scim.example.com"]).stop_and_keep();
    let settings = customer.folder.path().join("config.toml");
    let [chain, key, file] = [customer.chain(), customer.key(), settings.clone()];
    let text = |path: &std::path::PathBuf| path.to_str().expect("text").to_owned();
    let [chain, key, file] = [text(&chain), text(&key), text(&file)];
    let files = format!("tls_cert = {chain:?}\ntls_key = {key:?}\n");
    for (host, files, told) in [
        ("", "", "not for scim.example.com, the host of the base URL"),
        (
            "elsewhere.example",
            "",
            "not for elsewhere.example, the host",
        ),
        (
            "localhost",
            &files,
            "tls_cert is set: the next start will serve that file, not this",
        ),
        (
            "localhost",
            "",
            "no server is running; the next start will serve it",
        ),
    ] {
        let base_url = match host {
            "" => String::new(),
            host => format!("base_url = \"https://{host}\"\n"),
        };
        fs::write(&settings, base_url + files).expect("written");
        let asked = cli_in(
            &kept,
            &["--config", &file, "cert", "request", "--name", "localhost"],
        );
        let is_good = host == "localhost";
        let warns = asked.stderr.contains("warning: none of the names is");
        assert_eq!(warns, !is_good, "{asked:?}");
        let typed = ["--config", &file, "cert", "install", &chain, "--key", &key];
        let installed = cli_in(&kept, &typed);
        assert_eq!(installed.status, Some(i32::from(!is_good)), "{installed:?}");
        assert!(installed.stderr.contains(told), "{told}: {installed:?}");
    }
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
