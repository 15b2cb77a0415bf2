//! The customer's certificate: it is requested, installed, and replaced while the server runs, by a
//! change of the files or by SIGHUP, under load, without a failed request. An unusable certificate
//! changes nothing. `requests` tests `cert request` and `cert install`.

mod requests;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::idp::client::Client;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::wire::{Door, PATIENCE, read};
use crate::support::{Server, cli_in, number, status};

/// The log's words about a new certificate that is now served, and about one that is not.
const READ_AGAIN: &str = "the certificate was read again";
const STAYS: &str = "the old one stays";
/// The mode of a key that only its owner can read.
const PRIVATE: u32 = 0o600;

/// A certificate authority of the customer, and the folder with its leaf.
struct Customer {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Customer {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(parameters, key).expect("an authority");
        let customer = Self {
            authority,
            folder: tempfile::tempdir().expect("a folder"),
        };
        customer.issue();
        customer
    }

    fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// The leaf in the folder.
    fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.chain()).expect("a leaf")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Replaces the leaf and its key by new ones, each file in one step.
    fn issue(&self) {
        self.issue_with(PRIVATE);
    }

    /// [`Self::issue`] with this mode for the file of the key.
    fn issue_with(&self, key_mode: u32) {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)
            .and_then(|parameters| parameters.signed_by(&key, &self.authority))
            .expect("a leaf");
        let chain = format!("{}{}", leaf.pem(), self.authority.pem());
        put_as(key_mode, &self.key(), &key.serialize_pem());
        put(&self.chain(), &chain);
    }

    fn serve(&self) -> Server {
        let (chain, key) = (self.chain(), self.key());
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        Server::start_with(&[
            "--rate-limit",
            "off",
            "--tls-cert",
            &text(&chain),
            "--tls-key",
            &text(&key),
        ])
    }

    fn client(&self, server: &Server) -> Client {
        let base = format!("https://{}/scim/v2", server.address());
        Client::new(&base, self.authority.pem().as_bytes()).expect("a client")
    }
}

#[test]
fn what_is_served_is_told_to_programs_too() {
    let server = Server::start();
    let shown = server.cli(&["cert", "show"]);
    let told = server.cli(&["cert", "show", "-o", "json"]).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let ends = told[0]["certificate"]["notAfter"].as_str().expect("text");
    let ends = format!("\nends         {}Z, in ", &ends[..19]);
    assert!(shown.stdout.contains(&ends), "{shown:?}");
    assert!(!shown.stdout.contains(".000Z"), "{shown:?}");
    let days = told[0]["certificate"]["daysLeft"].as_i64();
    assert!(days.is_some_and(|days| (88..=90).contains(&days)), "{told}");
    let fingerprint = told[0]["authority"]["fingerprint"].as_str().expect("text");
    assert!(shown.stdout.contains(fingerprint), "{told}");
    assert!(!told.to_string().contains("\"der\""), "{told}");
}

/// The files are links to a disk that is not mounted. The server must not make a new CA, which
/// would lock out every client that trusts the old one, nor serve another certificate than the
/// customer's.
#[test]
fn a_certificate_that_is_away_is_not_replaced() {
    let server = Server::start();
    let tls = server.data_dir().join("tls");
    let kept = server.stop_and_keep();
    let away = kept.path().join("away");
    let new = "the next start makes one";
    for (files, advice) in [
        (&["ca.pem", "ca.key"][..], "restore ca.pem and ca.key"),
        (&["installed.pem"], "cert install CHAIN.pem --key KEY.pem"),
    ] {
        fs::create_dir(&away).expect("made");
        for file in files {
            fs::rename(tls.join(file), away.join(file)).ok();
            std::os::unix::fs::symlink(away.join(file), tls.join(file)).expect("linked");
        }
        fs::rename(&away, kept.path().join("elsewhere")).expect("renamed");
        let refused = cli_in(&kept, &["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(refused.status, Some(78), "{refused:?}");
        let told = format!("{}: No such file", tls.join(files[0]).display());
        assert!(refused.stderr.contains(&told), "{refused:?}");
        assert!(refused.stderr.contains(advice), "{refused:?}");
        let shown = cli_in(&kept, &["cert", "show"]);
        assert!(!shown.stderr.contains(new), "{shown:?}");
        for file in files {
            let link = fs::symlink_metadata(tls.join(file)).expect("there");
            assert!(link.is_symlink(), "{file}");
            fs::remove_file(tls.join(file)).expect("removed");
            fs::rename(kept.path().join("elsewhere").join(file), tls.join(file)).ok();
        }
        fs::remove_dir(kept.path().join("elsewhere")).expect("empty");
    }

    // Now the directory itself is such a link.
    fs::rename(&tls, &away).expect("renamed");
    std::os::unix::fs::symlink(kept.path().join("elsewhere"), &tls).expect("linked");
    let refused = cli_in(&kept, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status, Some(78), "{refused:?}");
    let told = format!("hint: bring back what {} links to", tls.display());
    assert!(refused.stderr.contains(&told), "{refused:?}");
    let shown = cli_in(&kept, &["cert", "show"]);
    assert!(!shown.stderr.contains(new), "{shown:?}");
    fs::remove_file(&tls).expect("removed");
    fs::rename(&away, &tls).expect("renamed");
    Server::start_on(kept).stop();
}

/// A disk that disappears while the server runs takes the CA with it.
#[test]
fn an_authority_that_goes_away_is_replaced_by_a_start_alone_which_says_so() {
    let server = Server::start();
    let fingerprint = |server: &Server| {
        let told = server.cli(&["cert", "show", "-o", "json"]).stdout;
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        told[0]["authority"]["fingerprint"].clone()
    };
    server.token("okta");
    let (tls, before) = (server.data_dir().join("tls"), fingerprint(&server));
    let away = server.data_dir().join("away");
    fs::rename(&tls, &away).expect("moved");
    once_more(&server, STAYS, || {
        kill_process(server.pid(), Signal::HUP).expect("it runs");
    });
    assert!(!tls.exists(), "{}", server.log());
    assert_eq!(fingerprint(&server), before);
    let told = format!("{} is gone; the certificate that ends at ", tls.display());
    let checked = server.cli(&["check"]).stdout;
    assert!(checked.contains(&told), "{checked}");
    assert!(checked.contains("fix: put it back with all"), "{checked}");
    fs::rename(&away, &tls).expect("moved");
    let checked = server.cli(&["check"]).stdout;
    assert!(!checked.contains(" is gone"), "{checked}");
    let made = "so a new one was made (fingerprint ";
    assert!(!server.log().contains(made), "{}", server.log());

    let kept = server.stop_and_keep();
    fs::remove_dir_all(&tls).expect("there");
    let server = Server::start_on(kept);
    server.log_with(made);
    assert_ne!(fingerprint(&server), before);
    server.stop();
}

/// A directory stands in the place of a file, or a file in the place of the directory: the server
/// exits and says what to move away, and starts once that is done.
#[test]
fn what_is_not_of_its_kind_is_to_be_moved_away() {
    let (server, customer) = (Server::start(), Customer::new());
    let tls = server.data_dir().join("tls");
    let mut kept = server.stop_and_keep();
    for (name, advice) in [
        ("leaf.pem", "{}: the next start makes another"),
        ("leaf.key", "{}: the next start makes another"),
        ("installed.pem", "{}, then: golinks-scim"),
        (
            "",
            "{}, which must be a directory, and restore it from a copy",
        ),
    ] {
        let path = if name.is_empty() {
            tls.clone()
        } else {
            tls.join(name)
        };
        let text = path.to_str().expect("text");
        let away = format!("hint: move away {text}");
        let moved = path.with_extension("kept");
        fs::rename(&path, &moved).ok();
        if name.is_empty() {
            fs::write(&path, "").expect("written");
            let asked = cli_in(&kept, &["cert", "request", "--name", "scim.example.com"]);
            let told = format!("{}: not a directory", path.display());
            assert!(asked.stderr.contains(&told), "{asked:?}");
            assert!(asked.stderr.contains(&away), "{asked:?}");
        } else {
            fs::create_dir(&path).expect("made");
        }
        if matches!(name, "" | "installed.pem") {
            let (chain, key) = (customer.chain(), customer.key());
            let [chain, key] = [&chain, &key].map(|path| path.to_str().expect("text"));
            let asked = cli_in(&kept, &["cert", "install", chain, "--key", key]);
            assert!(asked.stderr.contains(&away), "{asked:?}");
            // The typed path belongs to somebody else.
            let asked = cli_in(&kept, &["cert", "install", "/etc", "--key", key]);
            assert!(!asked.stderr.contains("move away"), "{asked:?}");
        }
        let told = format!("hint: move away {advice}").replace("{}", text);
        for command in ["config check", "serve --listen 127.0.0.1:0"] {
            let refused = cli_in(&kept, &command.split(' ').collect::<Vec<_>>());
            assert_eq!(refused.status, Some(78), "{refused:?}");
            assert!(refused.stderr.contains(&told), "{told}: {refused:?}");
        }
        fs::rename(&path, path.with_extension("odd")).expect("moved");
        if name.is_empty() {
            fs::rename(&moved, &path).expect("restored");
        }
        kept = Server::start_on(kept).stop_and_keep();
    }
}

fn put(path: &Path, text: &str) {
    put_as(PRIVATE, path, text);
}

fn put_as(mode: u32, path: &Path, text: &str) {
    let draft = path.with_extension("new");
    fs::write(&draft, text).expect("written");
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).expect("private");
    fs::rename(&draft, path).expect("exchanged");
}

/// A new certificate every quarter of a second (in the long form every second for a minute:
/// `SWAPS=60 SWAP_PAUSE_MS=1000`), during requests on new and on kept connections. Each certificate
/// is served before the next one is issued.
#[test]
fn certificates_are_exchanged_under_load_without_a_failed_request() {
    let customer = Customer::new();
    let authority = customer.authority.pem().into_bytes();
    let door = Door::with(customer.serve(), authority);
    let authorization = format!("Bearer {}", door.token);
    let swaps = number("SWAPS", 16);
    let pause = Duration::from_millis(number("SWAP_PAUSE_MS", 250) as u64);
    let is_over = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            // A kept connection, which is not opened again if it is closed.
            let (door, is_over, asked) = (&door, &is_over, &asked);
            scope.spawn(move || {
                let request = "GET /scim/v2/Users?count=1 HTTP/1.1\r\nHOST\r\n\r\n";
                let (request, mut tls) = (door.with_token(request), door.connect());
                while !is_over.load(Ordering::SeqCst) {
                    tls.write_all(&request).expect("it is kept");
                    assert_eq!(read(&mut tls, false).status, 200, "{}", door.server.log());
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let (customer, server, authorization) = (&customer, &door.server, &authorization);
        let (over, asked) = (&is_over, &asked);
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let mut client = customer.client(server);
                assert_eq!(
                    status(&mut client, authorization),
                    Ok(200),
                    "{}",
                    server.log()
                );
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        let over = Over(&is_over);
        for _ in 0..swaps {
            let until = Instant::now() + pause;
            customer.issue();
            kill_process(door.server.pid(), Signal::HUP).expect("it runs");
            await_leaf(&door, &customer.leaf());
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        drop(over);
    });
    let asked = asked.load(Ordering::SeqCst);
    println!("{asked} requests, {swaps} certificates");
    door.server.stop();
}

/// Stops the threads that send requests, even if an assertion fails meanwhile: otherwise they would
/// never end.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The leaf that the server presents on a new connection.
fn shown(door: &Door) -> CertificateDer<'static> {
    let tls = door.connect();
    let chain = tls.conn.peer_certificates().expect("a chain");
    chain[0].clone().into_owned()
}

/// Waits until this leaf is served.
fn await_leaf(door: &Door, leaf: &CertificateDer<'_>) {
    let deadline = Instant::now() + PATIENCE;
    while shown(door) != *leaf {
        assert!(
            Instant::now() < deadline,
            "another is served\n{}",
            door.server.log()
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `does`, and waits until the log has these words once more than before.
fn once_more(server: &Server, words: &str, does: impl FnOnce()) {
    let count = || server.log().matches(words).count();
    let before = count();
    does();
    let deadline = Instant::now() + Duration::from_secs(10);
    while count() == before {
        assert!(Instant::now() < deadline, "{words}\n{}", server.log());
        thread::sleep(Duration::from_millis(10));
    }
}

/// First by SIGHUP, and at the end without a signal: the server looks at the files itself.
#[test]
fn changed_files_are_noticed_and_bad_ones_leave_the_old_certificate() {
    let customer = Customer::new();
    let authority = customer.authority.pem().into_bytes();
    let door = Door::with(customer.serve(), authority);
    let server = &door.server;
    let authorization = format!("Bearer {}", door.token);
    let hang_up = || kill_process(server.pid(), Signal::HUP).expect("it runs");
    let first = customer.leaf();
    assert_eq!(shown(&door), first);
    customer.issue();
    hang_up();
    await_leaf(&door, &customer.leaf());
    assert_ne!(customer.leaf(), first);
    let other_key = KeyPair::generate().expect("a key").serialize_pem();
    for (what, path, bad) in [
        ("no certificate", customer.chain(), "nothing"),
        ("another key", customer.key(), other_key.as_str()),
    ] {
        let before = shown(&door);
        let good = fs::read_to_string(&path).expect("there");
        once_more(server, STAYS, || {
            put(&path, bad);
            hang_up();
        });
        // New connections are still served with the old certificate.
        let answer = status(&mut customer.client(server), &authorization);
        assert_eq!(answer, Ok(200), "{what}");
        assert_eq!(shown(&door), before, "{what}");
        once_more(server, READ_AGAIN, || {
            put(&path, &good);
            hang_up();
        });
        assert_eq!(shown(&door), before, "{what}");
    }
    // A key that others could read is used once its mode is fixed, as the log advised.
    let before = shown(&door);
    customer.issue_with(0o644);
    hang_up();
    server.log_with("chmod 600");
    assert_eq!(shown(&door), before);
    let is_told = || {
        let checked = server.cli(&["check"]).stdout;
        checked.contains("the certificate files cannot be used as they are now: ")
            && checked.contains("; the certificate that ends at ")
    };
    assert!(is_told());
    let private = fs::Permissions::from_mode(PRIVATE);
    fs::set_permissions(customer.key(), private).expect("set");
    await_leaf(&door, &customer.leaf());
    assert!(!is_told());
    door.server.stop();
}

/// Authorities and their tools also deliver certificates in formats other than PEM. The refusal of
/// such a file names its format, and prints the command that converts it into a file that can be
/// installed.
#[test]
fn other_forms_are_named_with_the_line_that_converts_them() {
    let server = Server::start();
    let customer = Customer::new();
    let folder = customer.folder.path();
    let shell = |line: &str| {
        let mut command = std::process::Command::new("sh");
        let output = command.args(["-c", line]).current_dir(folder).output();
        let output = output.expect("a shell");
        assert!(output.status.success(), "{line}: {output:?}");
    };
    if std::process::Command::new("openssl")
        .arg("version")
        .output()
        .is_err()
    {
        println!("skipped: there is no openssl");
        return;
    }
    for line in [
        "openssl x509 -in chain.pem -outform DER -out 'the leaf.der'",
        "openssl crl2pkcs7 -nocrl -certfile chain.pem -out chain.p7b",
        "openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out binary.p7b",
        "openssl pkcs12 -export -in chain.pem -inkey key.pem -passout pass: -out \"it's both.pfx\"",
        "openssl pkey -in key.pem -aes256 -passout pass:x -out locked.pem",
        "openssl ec -in key.pem -aes256 -passout pass:x -out old.pem",
        "openssl pkey -in key.pem -outform DER -out key.der",
        // The encoding that PowerShell's `>` writes.
        "iconv -f UTF-8 -t UTF-16 chain.pem > chain16.pem",
        "iconv -f UTF-8 -t UTF-16 key.pem > key16.pem",
        "chmod 600 locked.pem old.pem key.der key16.pem \"it's both.pfx\"",
    ] {
        shell(line);
    }
    let install = |chain: &str, key: &str| {
        let [chain, key] = [chain, key].map(|name| folder.join(name));
        let [chain, key] = [&chain, &key].map(|path| path.to_str().expect("text"));
        server.cli(&["cert", "install", chain, "--key", key])
    };
    for (chain, key, is) in [
        ("the leaf.der", "key.pem", "it is DER,"),
        ("chain.p7b", "key.pem", "it is PKCS #7,"),
        ("binary.p7b", "key.pem", "it is PKCS #7 in DER,"),
        ("it's both.pfx", "key.pem", "it is PKCS #12,"),
        ("chain.pem", "it's both.pfx", "it is PKCS #12,"),
        ("chain.pem", "locked.pem", "it is encrypted,"),
        ("chain.pem", "old.pem", "it is encrypted,"),
        ("chain.pem", "key.der", "it is DER,"),
        ("chain16.pem", "key.pem", "it is UTF-16,"),
        ("chain.pem", "key16.pem", "it is UTF-16,"),
    ] {
        let refused = install(chain, key);
        assert_eq!(refused.status, Some(1), "{chain} {key}: {refused:?}");
        assert!(refused.stderr.contains(is), "{chain} {key}: {refused:?}");
        // openssl reads the ciphers of older tools only with `-legacy`.
        let says_legacy = refused.stderr.contains("(add -legacy if");
        assert_eq!(says_legacy, is == "it is PKCS #12,", "{refused:?}");
        let (_, line) = refused.stderr.split_once("; run: ").expect("a line");
        let (line, _) = line.split_once(" (nothing").expect("its end");
        // On a terminal, openssl would ask for the phrase.
        let phrase = match is {
            "it is encrypted," => " -passin pass:x",
            "it is PKCS #12," => " -passin pass:",
            _ => "",
        };
        shell(&format!("{line}{phrase}"));
        let made = |name: &str| match name {
            "chain.pem" | "key.pem" => name.to_owned(),
            name => format!("{name}.pem"),
        };
        let installed = install(&made(chain), &made(key));
        assert_eq!(installed.status, Some(0), "{chain} {key}: {installed:?}");
    }
    server.stop();
}
