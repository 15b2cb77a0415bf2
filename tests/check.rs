//! `check`: each failure that it knows is provoked, and the line that it prints mends it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use golinks_scim::clock::{Clock, SystemClock};
use golinks_scim::directory::{Caller, Directory, describe};
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::Store;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Server;

/// A data directory, and how a server is started on it by whoever types a command.
struct Place {
    folder: TempDir,
    /// Settings in the environment, for the server that a printed line starts too.
    settings: Vec<(&'static str, String)>,
    running: Option<Child>,
}

/// One thing that `check` has found.
#[derive(Debug)]
struct Finding {
    topic: String,
    outcome: String,
    what: String,
    mend: String,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        Self {
            folder,
            settings: vec![
                ("GOLINKS_SCIM_LISTEN", free_address()),
                ("GOLINKS_SCIM_CONFIG", String::new()),
            ],
            running: None,
        }
    }

    /// The same with a server and a token for Okta: nothing to complain about.
    fn sound() -> Self {
        let mut place = Self::new();
        place.set_base_url("localhost");
        place.serve();
        place.run("golinks-scim token issue okta");
        place
    }

    fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.settings.retain(|(set, _)| *set != name);
        self.settings.push((name, value));
    }

    fn port(&self) -> String {
        let (_, listen) = &self
            .settings
            .iter()
            .find(|(name, _)| *name == "GOLINKS_SCIM_LISTEN")
            .expect("set");
        listen.rsplit_once(':').expect("a port").1.to_owned()
    }

    /// This host, at the port where the server listens.
    fn set_base_url(&mut self, host: &str) {
        let url = format!("https://{host}:{}", self.port());
        self.set("GOLINKS_SCIM_BASE_URL", url);
    }

    /// A shell where the program is found, and finds this place.
    fn shell(&self, line: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_golinks-scim"));
        let folder = binary.parent().expect("in a folder").display();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-c", line])
            .env_remove("STATE_DIRECTORY")
            .env("PATH", format!("{folder}:{path}"))
            .env("GOLINKS_SCIM_DATA_DIR", self.data_dir())
            .envs(self.settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> String {
        let output = self.shell(line).output().expect("bash");
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a line that starts a server, and waits until the server answers.
    fn start(&mut self, line: &str) {
        let started = self.try_start(line);
        started.unwrap_or_else(|log| panic!("{line}: {log}"));
    }

    /// The same; the log if it did not start.
    fn try_start(&mut self, line: &str) -> Result<(), String> {
        self.stop();
        let mut command = self.shell(&format!("exec {}", line.replace("; then ", "; exec ")));
        if line.contains("; then ") {
            command = self.shell(&line.replace("; then ", "; exec "));
        }
        let log = fs::File::create(self.folder.path().join("log")).expect("created");
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = self.running.insert(child.expect("bash"));
        let deadline = Instant::now() + Duration::from_secs(30);
        let socket = self.folder.path().join("data/admin.sock");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let has_ended = child.try_wait().expect("ours").is_some();
            if has_ended || Instant::now() > deadline {
                return Err(self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn serve(&mut self) {
        self.start("golinks-scim serve");
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            kill_process(Pid::from_child(&running), Signal::TERM).ok();
            running.wait().expect("it is ours");
        }
    }

    fn check(&self) -> Vec<Finding> {
        let output = self
            .shell("golinks-scim check -o json")
            .output()
            .expect("bash");
        let found: Vec<Value> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings: Vec<Finding> = found
            .iter()
            .map(|finding| Finding {
                topic: text(&finding["check"]),
                outcome: text(&finding["outcome"]),
                what: text(&finding["what"]),
                mend: text(&finding["mend"]),
            })
            .collect();
        let has_failed = findings.iter().any(|finding| finding.outcome == "fail");
        assert_eq!(
            output.status.code(),
            Some(i32::from(has_failed)),
            "{findings:#?}"
        );
        findings
    }

    /// The one that is not well, with these words.
    fn finds(&self, outcome: &str, topic: &str, words: &str) -> Finding {
        let mut findings = self.check();
        let found = findings.iter().position(|finding| {
            finding.outcome == outcome && finding.topic == topic && finding.what.contains(words)
        });
        let found = found.unwrap_or_else(|| {
            let ill = findings.iter().filter(|finding| finding.outcome != "pass");
            panic!(
                "no {outcome} of {topic} with {words:?} in {:#?}\n{}",
                ill.collect::<Vec<_>>(),
                self.log()
            )
        });
        findings.swap_remove(found)
    }

    /// What fails, and what mends it.
    fn fails(&self, topic: &str, words: &str) -> String {
        self.finds("fail", topic, words).mend
    }

    fn is_well(&self) {
        let failed: Vec<Finding> = self
            .check()
            .into_iter()
            .filter(|finding| finding.outcome == "fail")
            .collect();
        assert!(failed.is_empty(), "{failed:#?}\n{}", self.log());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An address that nobody listens at.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_sound_server_passes_with_every_request() {
    let place = Place::sound();
    let findings = place.check();
    for (topic, words) in [
        ("server", "runs version"),
        ("store", "sound: 0 users, 1 tokens"),
        ("tokens", "okta is good; it was never used"),
        ("Okta app", "test credentials"),
        ("Okta agent", "read the configurations"),
        ("Entra", "test the connection"),
        ("Okta suite SPEC", "list groups"),
    ] {
        let passes = |finding: &Finding| {
            finding.outcome == "pass" && finding.topic == topic && finding.what.contains(words)
        };
        assert!(
            findings.iter().any(passes),
            "{topic} {words}: {findings:#?}"
        );
    }
    place.is_well();
    // Nobody was made, and no token stays.
    assert_eq!(place.run("golinks-scim user list -o jsonl"), "");
    assert_eq!(
        place
            .run("golinks-scim token list -o jsonl")
            .lines()
            .count(),
        1
    );
}

#[test]
fn a_user_is_created_changed_and_deleted_on_request_and_leftovers_go() {
    let place = Place::sound();
    place.run("golinks-scim user add golinks-scim-check-left@invalid --given L --family O");
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let told = place.run("golinks-scim check --write");
    for line in [
        "golinks-scim-check-left@invalid of an earlier run is deleted",
        "pass     life of a user  create",
        "pass     life of a user  deactivate",
        "pass     life of a user  reactivate",
        "pass     life of a user  see it gone",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let left = place.run("golinks-scim user list -o jsonl");
    assert_eq!(left.lines().count(), 1, "{left}");
    assert!(left.contains("jane@example.com"), "{left}");
}

#[test]
fn a_configuration_that_cannot_be_used() {
    let mut place = Place::sound();
    let path = place.folder.path().join("config.toml");
    fs::write(&path, "rate_limt = 100\n").expect("written");
    place.set("GOLINKS_SCIM_CONFIG", path.display().to_string());
    let mend = place.fails(
        "configuration",
        "config.toml:1: there is no setting rate_limt",
    );
    let meant = mend
        .strip_prefix("did you mean ")
        .expect("a suggestion")
        .trim_end_matches('?');
    fs::write(&path, format!("{meant} = 100\n")).expect("written");
    place.is_well();
}

#[test]
fn no_data_directory_no_server_no_token() {
    let mut place = Place::new();
    place.set_base_url("localhost");
    let mend = place.fails("data directory", "No such file");
    place.start(&mend);
    let mend = place.fails("tokens", "ever issued");
    place.run(&mend);
    place.is_well();

    place.stop();
    let mend = place.fails("server", "no server runs");
    place.start(&mend);
    place.is_well();

    place.run("golinks-scim token revoke okta");
    let mend = place.fails("tokens", "good any more");
    place.run(&mend);
    place.is_well();
}

#[test]
fn files_that_others_can_read_or_that_are_anothers() {
    let place = Place::sound();
    let key = place.data_dir().join("tls/ca.key");
    for path in [place.data_dir(), place.data_dir().join("users.redb"), key] {
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, open).expect("ours");
        let mend = place.fails("data directory", path.to_str().expect("text"));
        place.run(&mend);
        place.is_well();
    }
    if is_root() {
        let path = place.data_dir().join("tls/leaf.pem");
        chown(&path, Some(12345), None).expect("root may");
        let mend = place.fails("data directory", "belongs to another user");
        place.run(&mend);
        place.is_well();
    }
}

#[test]
fn a_server_that_lost_its_socket() {
    let mut place = Place::sound();
    fs::remove_file(place.data_dir().join("admin.sock")).expect("there");
    let mend = place.fails("server", "in use");
    assert_eq!(mend, "stop the server, and start it again");
    place.serve();
    place.is_well();
}

#[test]
fn a_port_that_another_has() {
    // The port that is suggested is free then; another test may be quicker to take it.
    let mut tries = (0..5).map(|_| another_has_the_port());
    assert!(tries.any(|is_mended| is_mended), "no port stays free");
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
    let mend = place.fails("port", "in use");
    let other = mend.rsplit(' ').next().expect("an address").to_owned();
    if place.try_start(&mend).is_err() {
        return false;
    }
    TcpStream::connect(&other).expect("it listens there");
    // The base URL has the old port, where somebody else does not speak TLS or nobody answers.
    let (_, port) = other.rsplit_once(':').expect("a port");
    let url = format!("https://localhost:{port}");
    place.set("GOLINKS_SCIM_BASE_URL", url);
    if place.try_start(&mend).is_err() {
        return false;
    }
    place.is_well();
    true
}

#[test]
fn a_base_url_that_leads_nowhere() {
    let mut place = Place::sound();
    for (host, words) in [
        ("nowhere.invalid", "nowhere.invalid has no address"),
        ("a_b.invalid", "underscore"),
    ] {
        place.set_base_url(host);
        place.serve();
        let mend = place.fails("name", words);
        assert!(
            mend.starts_with("set base_url in the configuration"),
            "{mend}"
        );
        place.set_base_url("localhost");
        place.serve();
        place.is_well();
    }
    place.set("GOLINKS_SCIM_BASE_URL", "https://localhost:1".to_owned());
    place.serve();
    let mend = place.fails("port", "the server listens at");
    let (_, url) = mend.rsplit_once("set base_url to ").expect("a URL");
    place.set(
        "GOLINKS_SCIM_BASE_URL",
        url.trim_end_matches(" and restart").to_owned(),
    );
    place.serve();
    place.is_well();
}

/// A chain for a host and its key, of an authority that nobody knows.
fn chain_for(host: &str, ends: Option<Duration>) -> (String, String) {
    let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(parameters, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    parameters.not_before = date_time_ymd(2026, 1, 1);
    if let Some(ends) = ends {
        parameters.not_after = (std::time::SystemTime::now() + ends).into();
    }
    let leaf = parameters.signed_by(&key, &authority).expect("a leaf");
    (
        format!("{}{}", leaf.pem(), authority.pem()),
        key.serialize_pem(),
    )
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
            chain_for("localhost", Some(Duration::from_secs(5))),
            5,
            "expired",
        ),
    ] {
        put(made);
        place.serve();
        std::thread::sleep(Duration::from_secs(pause));
        let mend = place.fails("certificate", words);
        let wanted = format!(
            "put the full chain for localhost and its key into {} and {}",
            chain.display(),
            key.display()
        );
        assert_eq!(mend, wanted);
        put(chain_for("localhost", None));
        // The server looks at its files every two seconds.
        std::thread::sleep(Duration::from_secs(3));
        place.is_well();
    }
}

/// `check`, `config check` and `serve` refuse the same files, before a start and beside a server.
#[test]
fn a_certificate_with_which_no_server_starts() {
    let mut place = Place::sound();
    place.stop();
    let (chain, key) = (
        place.folder.path().join("chain.pem"),
        place.folder.path().join("key.pem"),
    );
    place.set("GOLINKS_SCIM_TLS_CERT", chain.display().to_string());
    place.set("GOLINKS_SCIM_TLS_KEY", key.display().to_string());
    let (chain_text, key_text) = chain_for("localhost", None);
    let (_, other_key) = chain_for("localhost", None);
    let ended = chain_for("localhost", Some(Duration::from_secs(0)));
    let good = || {
        fs::write(&chain, &chain_text).expect("written");
        fs::write(&key, &key_text).expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    };
    let refused = |words: &str| {
        let mend = place.fails("certificate", words);
        for command in ["config check", "serve"] {
            let line = format!("golinks-scim {command}");
            let output = place.shell(&line).output().expect("bash");
            assert_eq!(output.status.code(), Some(78), "{line}: {output:?}");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains(words), "{line}: {told}");
        }
        mend
    };
    good();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    place.run(&refused("can be read by others"));
    place.run("golinks-scim config check");
    fs::write(&key, other_key).expect("written");
    assert!(refused("the key does not fit").contains("tls_key its key"));
    fs::remove_file(&key).expect("there");
    refused("No such file");
    good();
    fs::write(&chain, &ended.0).expect("written");
    fs::write(&key, &ended.1).expect("written");
    refused("has ended");
    good();
    if is_root() {
        // Root may read it, the user that owns the data directory may not.
        chown(place.data_dir(), Some(12345), None).expect("root may");
        let mend = place.fails("certificate", "may not read it");
        assert!(mend.contains("install -o 12345 "), "{mend}");
        chown(place.data_dir(), Some(0), None).expect("root may");
    }
    place.run("golinks-scim config check");
    place.serve();
    place.is_well();
}

#[test]
fn too_few_descriptors() {
    let mut place = Place::sound();
    place.start("ulimit -Sn 300; ulimit -Hn 300; then golinks-scim serve");
    let mend = place.fails("descriptors", "300 may be open");
    place.start(&mend);
    place.is_well();
}

#[test]
fn a_store_that_is_damaged() {
    let mut place = Place::sound();
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let backup = place.folder.path().join("backup.redb");
    place.run(&format!("golinks-scim backup create {}", backup.display()));
    place.stop();
    let store = place.data_dir().join("users.redb");
    let mut bytes = fs::read(&store).expect("there");
    let name = b"jane@example.com";
    let hits: Vec<usize> = bytes
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| window == name)
        .map(|(at, _)| at)
        .collect();
    assert!(!hits.is_empty());
    for at in hits {
        bytes[at] ^= 1;
    }
    fs::write(&store, bytes).expect("ours");
    let mend = place.fails("store", "");
    place.run(&mend.replace("FILE", &backup.display().to_string()));
    place.serve();
    place.is_well();
}

/// Two days ahead of the machine.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> golinks_scim::clock::Instant {
        SystemClock.now().plus_days(2)
    }
}

/// The line that mends it sets the machine's clock, which a test must not.
#[test]
fn a_clock_that_is_behind_what_was_written() {
    let mut place = Place::sound();
    place.stop();
    let store = Store::open(
        &place.data_dir().join("users.redb"),
        Duration::ZERO,
        describe,
    );
    let store = Arc::new(store.expect("it is free"));
    let directory = Directory::new(Arc::clone(&store), Arc::new(Ahead));
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "jane@example.com",
    });
    let user = User::parse(user, &mut Leniency::compatible()).expect("a user");
    let caller = Caller {
        principal: "test".to_owned(),
        request_id: "test".to_owned(),
    };
    directory.create(user, &caller).expect("created");
    store.close();
    place.serve();
    let mend = place.fails("clock", "but a change was made at");
    assert_eq!(mend, "timedatectl set-ntp true");
}

#[test]
fn a_disk_that_is_full() {
    if !is_root() {
        println!("skipped: only root can mount a file system");
        return;
    }
    let mut place = Place::new();
    let disk = place.folder.path().join("disk");
    fs::create_dir(&disk).expect("made");
    place.run(&format!(
        "mount -t tmpfs -o size=100m,mode=700 tmpfs {}",
        disk.display()
    ));
    let _mounted = Mounted(disk.clone());
    place.set_base_url("localhost");
    place.set(
        "GOLINKS_SCIM_DATA_DIR",
        disk.join("data").display().to_string(),
    );
    std::os::unix::fs::symlink(disk.join("data"), place.data_dir()).expect("linked");
    place.serve();
    place.run("golinks-scim token issue okta");
    place.finds("warn", "disk", "everything is lost");
    place.is_well();

    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 60 << 20]).expect("there is room");
    assert!(
        place
            .fails("readiness", "MiB left")
            .starts_with("make space")
    );
    let mend = place.fails("disk", "MiB are free");
    let largest = place.run(
        mend.strip_prefix("free space: ")
            .expect("how to see what is large"),
    );
    assert!(largest.contains(disk.to_str().expect("text")), "{largest}");
    fs::remove_file(&ballast).expect("there");
    place.is_well();
    place.stop();
}

/// Unmounted in the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn what_is_found_can_be_read_by_programs_and_by_people() {
    let server = Server::start();
    let table = server.cli(&["check"]);
    assert_eq!(table.status, Some(1), "{table:?}");
    assert!(
        table.stdout.contains("fail     tokens          no token"),
        "{}",
        table.stdout
    );
    let data_dir = server.data_dir();
    let mend = format!(
        "         mend: golinks-scim --data-dir {} token issue okta",
        data_dir.display()
    );
    assert!(table.stdout.contains(&mend), "{}", table.stdout);
    assert!(
        table.stderr.contains("begin with the first that failed"),
        "{}",
        table.stderr
    );
    let lines = server.cli(&["check", "-o", "jsonl"]);
    for line in lines.stdout.lines() {
        let finding: Value = serde_json::from_str(line).expect("JSON");
        assert!(
            finding["check"].is_string() && finding["what"].is_string(),
            "{line}"
        );
        assert_eq!(
            finding["outcome"] == "fail" || finding["outcome"] == "warn",
            finding["mend"].is_string(),
            "{line}"
        );
    }
}
