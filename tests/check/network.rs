//! What `check` finds on the way to the HTTPS server: names, ports, certificates, and other
//! programs that answer in its place.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use golinks_scim::config::is_public;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::front::Front;
use crate::support::place::{Place, chain_for};

#[test]
fn a_port_that_another_has() {
    // `check` suggests the next port, which another program may be using.
    let mut tries = (0..20).map(|_| another_has_the_port());
    assert!(tries.any(|is_fixed| is_fixed), "no port stays free");
}

fn another_has_the_port() -> bool {
    let mut place = Place::sound();
    place.stop();
    let address = place
        .settings
        .iter()
        .find(|(name, _)| *name == "GOLINKS_SCIM_LISTEN")
        .expect("set")
        .1
        .clone();
    let _other = TcpListener::bind(&address).expect("free again");
    let fix = place.fails("port", "in use");
    let other = fix.rsplit(' ').next().expect("an address").to_owned();
    if place.try_start(&fix).is_err() {
        return false;
    }
    TcpStream::connect(&other).expect("it listens there");
    // The base URL still has the old port, on which a program listens that does not speak TLS.
    let (_, port) = other.rsplit_once(':').expect("a port");
    let url = format!("https://localhost:{port}");
    place.set("GOLINKS_SCIM_BASE_URL", url);
    if place.try_start(&fix).is_err() {
        return false;
    }
    place.is_well();
    true
}

#[test]
fn a_base_url_that_leads_nowhere() {
    let mut place = Place::sound();
    let record = "make a DNS record (A or AAAA) of nowhere.invalid that leads to this machine, or";
    for (host, words, begins) in [
        (
            "nowhere.invalid",
            "nowhere.invalid does not resolve",
            record,
        ),
        ("a_b.invalid", "underscore", ""),
        ("a_b.invalid", "does not resolve", ""),
        ("0a1b2c3d4e5f", "does not resolve", ""),
    ] {
        place.set_base_url(host);
        place.serve();
        let fix = place.fails("name", words);
        let rest = fix.strip_prefix(begins).map(str::trim_start);
        let rest = rest.unwrap_or_else(|| panic!("{fix}"));
        assert!(
            rest.starts_with("set base_url in the configuration"),
            "{fix}"
        );
        place.set_base_url("localhost");
        place.serve();
        place.is_well();
    }
    place.set("GOLINKS_SCIM_BASE_URL", "https://localhost:1".to_owned());
    place.serve();
    let fix = place.fails("port", "the server listens at");
    let (_, url) = fix.rsplit_once("set base_url to ").expect("a URL");
    place.set(
        "GOLINKS_SCIM_BASE_URL",
        url.trim_end_matches(" and restart").to_owned(),
    );
    place.serve();
    place.is_well();
}

#[test]
fn a_certificate_that_no_client_accepts() {
    let mut place = Place::sound();
    let (chain, key) = (
        place.folder.path().join("chain.pem"),
        place.folder.path().join("key.pem"),
    );
    let put = |(chain_text, key_text): (String, String)| {
        fs::write(&key, key_text).expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&chain, chain_text).expect("written");
    };
    place.set("GOLINKS_SCIM_TLS_CERT", chain.display().to_string());
    place.set("GOLINKS_SCIM_TLS_KEY", key.display().to_string());
    for (made, pause, words) in [
        (chain_for("scim.example.com", None), 0, "not valid for"),
        (
            chain_for("localhost", Some(Duration::from_secs(2))),
            // A certificate is valid to the end of its last second.
            3,
            "a certificate ended at",
        ),
        (
            its_own_authority(),
            0,
            "it is a CA's own certificate, which some clients do not accept as a server's: issue one",
        ),
    ] {
        put(made);
        place.serve();
        std::thread::sleep(Duration::from_secs(pause));
        let fix = place.fails("certificate", words);
        let wanted = format!(
            "put the full chain for localhost and its key into {} and {}",
            chain.display(),
            key.display()
        );
        assert_eq!(fix, wanted);
        put(chain_for("localhost", None));
        let running = place.running.as_ref().expect("it runs");
        kill_process(Pid::from_child(running), Signal::HUP).expect("ours");
        // Each start of the server begins a new log.
        let deadline = Instant::now() + Duration::from_secs(10);
        // The lines' own times have milliseconds.
        let again = "the certificate was read again, it ends at 4096-01-01T00:00:00Z";
        while !place.log().contains(again) {
            assert!(Instant::now() < deadline, "{}", place.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        place.is_well();
    }
}

/// A CA certificate that is also the server's own, as some people make for themselves.
fn its_own_authority() -> (String, String) {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let own = parameters.self_signed(&key).expect("a certificate");
    (own.pem(), key.serialize_pem())
}

#[test]
fn a_name_that_only_this_machine_or_network_finds() {
    let mut place = Place::new();
    let everywhere = format!("0.0.0.0:{}", place.port());
    place.set("GOLINKS_SCIM_LISTEN", everywhere);
    let hosts = [
        (
            Some("localhost".to_owned()),
            "only from the machine itself",
            "only programs on this machine",
        ),
        (
            own_address(),
            "no cloud can find it",
            "agents in this network",
        ),
    ];
    for (host, words, reached_by) in hosts {
        let Some(host) = host else {
            println!("skipped: this machine has no address in a network");
            continue;
        };
        place.set_base_url(&host);
        place.serve();
        if place.run("golinks-scim token list -o jsonl").is_empty() {
            place.run("golinks-scim token issue okta");
        }
        let fix = place.finds("warn", "name", words).fix;
        assert!(
            fix.starts_with("set base_url in the configuration"),
            "{fix}"
        );
        let trusted = place.finds("warn", "certificate", "only clients that trust");
        let read_on = place.run(&trusted.fix);
        assert!(read_on.contains("cert request"), "{read_on}");
        let fix = place.finds("warn", "reachable by", reached_by).fix;
        if let Some((_, guide)) = fix.split_once("Provisioning Agent: ") {
            let (guide, _) = guide.split_once(';').expect("two ways");
            assert!(place.run(guide).contains("Okta"), "{guide}");
        }
        place.is_well();
    }
}

/// The address from which this machine reaches others, if it is private.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // This sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip().to_string();
    (!address.starts_with("127.") && !is_public(&address)).then_some(address)
}

/// The base URL has an address of this machine at which the server does not listen.
#[test]
fn an_address_that_is_left_out() {
    // Meanwhile, another test may have taken the same port at another address.
    let mut tries = (0..5).map(|_| is_let_in());
    assert!(tries.any(|is_fixed| is_fixed), "no port stays free");
}

fn is_let_in() -> bool {
    let mut place = Place::sound();
    place.set_base_url("127.0.0.2");
    place.serve();
    let fix = place.fails("port", "the server listens at 127.0.0.1");
    let listen = fix
        .split_once("set listen to ")
        .and_then(|(_, rest)| rest.strip_suffix(" and restart"))
        .expect("an address");
    place.set("GOLINKS_SCIM_LISTEN", listen.to_owned());
    if place.try_start("golinks-scim serve").is_err() {
        return false;
    }
    place.is_well();
    true
}

#[test]
fn something_else_that_answers() {
    let mut place = Place::sound();
    let plain = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let plain_port = plain.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        // Answers as a web server does when it is sent something other than HTTP.
        for socket in plain.incoming().flatten() {
            let mut socket = socket;
            // A caller that only tests whether the port is open sends nothing.
            if !socket.read(&mut [0; 512]).is_ok_and(|read| read > 0) {
                continue;
            }
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        }
    });
    let told = |answer: &str| answer.to_owned();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    let other = Front::start(&chain_for("localhost", None), move |head| {
        heads.lock().expect("whole").push(head.to_owned());
        Some(told("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    });
    for (url, words) in [
        (
            format!("https://localhost:{plain_port}"),
            "does not speak TLS",
        ),
        (other.url(), "something else answers at localhost:"),
    ] {
        place.set("GOLINKS_SCIM_BASE_URL", url);
        place.serve();
        let fix = place.fails("certificate", words);
        let (_, url) = fix.rsplit_once("set base_url to ").expect("a URL");
        let url = url.trim_end_matches(" and restart").to_owned();
        place.set("GOLINKS_SCIM_BASE_URL", url);
        place.serve();
        place.is_well();
    }
    let seen = seen.lock().expect("whole");
    let has_token = |head: &String| head.contains("Bearer");
    assert!(
        !seen.iter().any(has_token),
        "a token goes to nobody unknown: {seen:?}"
    );
}

/// This test takes as long as a client waits for a handshake.
#[test]
fn somebody_who_is_silent() {
    let mut place = Place::sound();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    place.set("GOLINKS_SCIM_BASE_URL", format!("https://localhost:{port}"));
    place.serve();
    let fix = place.fails("certificate", "no answer within");
    assert!(fix.contains("any proxy in front of the server"), "{fix}");
}

/// Another client that sends wrong tokens may have the same address, above all behind a proxy.
#[test]
fn an_address_that_has_shown_too_many_wrong_tokens() {
    let place = Place::sound();
    let pem = fs::read(place.data_dir().join("tls/ca.pem")).expect("the CA");
    let base = format!("https://localhost:{}", place.port());
    let mut client = golinks_scim::idp::client::Client::new(&base, &pem).expect("a client");
    let request = golinks_scim::http1::client::Request {
        method: "GET",
        target: "/scim/v2/Users",
        headers: &[("Authorization", "Bearer wrong")],
        body: None,
    };
    for _ in 0..golinks_scim::limits::FAILURES_PER_WINDOW_MAX + 5 {
        client.send(&request).expect("an answer");
    }
    let found = place.finds("warn", "Okta app", "429");
    assert!(found.fix.contains("too many wrong tokens"), "{found:?}");
    place.is_well();
}
