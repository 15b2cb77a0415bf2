//! An installation on which a test types commands: a data directory, settings in the environment, a
//! server that printed commands start and stop, and the findings of `check`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::{Running, without_settings};

/// A data directory, and the server that typed commands have started on it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    /// Environment variables for all commands, also for a server that a printed command starts.
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) running: Option<Running>,
}

/// One finding of `check`.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) topic: String,
    pub(crate) outcome: String,
    pub(crate) what: String,
    pub(crate) fix: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        Self {
            folder,
            settings: vec![("GOLINKS_SCIM_LISTEN", free_address())],
            running: None,
        }
    }

    /// [`Self::new`] with a server and a token for Okta, so that `check` finds nothing wrong.
    pub(crate) fn sound() -> Self {
        let mut place = Self::new();
        place.set_base_url("localhost");
        place.serve();
        place.run("golinks-scim token issue okta");
        place
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.settings.retain(|(set, _)| *set != name);
        self.settings.push((name, value));
    }

    pub(crate) fn port(&self) -> String {
        let (_, listen) = &self
            .settings
            .iter()
            .find(|(name, _)| *name == "GOLINKS_SCIM_LISTEN")
            .expect("set");
        listen.rsplit_once(':').expect("a port").1.to_owned()
    }

    /// Sets the base URL to this host, at the port where the server listens.
    pub(crate) fn set_base_url(&mut self, host: &str) {
        let url = format!("https://{host}:{}", self.port());
        self.set("GOLINKS_SCIM_BASE_URL", url);
    }

    /// A shell with the program on its `PATH` and this installation's settings in its environment.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_golinks-scim"));
        let folder = binary.parent().expect("in a folder").display();
        let set = self.settings.iter().find(|(name, _)| *name == "PATH");
        let inherited = || std::env::var("PATH").unwrap_or_default();
        let path = set.map_or_else(inherited, |(_, path)| path.clone());
        let mut command = Command::new("bash");
        without_settings(&mut command)
            .args(["-c", line])
            .env("GOLINKS_SCIM_DATA_DIR", self.data_dir())
            .envs(self.settings.iter().map(|(name, value)| (*name, value)))
            .env("PATH", format!("{folder}:{path}"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.shell(line).output().expect("bash");
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a line that starts a server, and waits until the server answers.
    pub(crate) fn start(&mut self, line: &str) {
        let started = self.try_start(line);
        started.unwrap_or_else(|log| panic!("{line}: {log}"));
    }

    /// [`Self::start`], but returns the log if the server did not start.
    pub(crate) fn try_start(&mut self, line: &str) -> Result<(), String> {
        self.stop();
        // `exec`, so that the child is the server and not the shell.
        let (before, serve) = line.rsplit_once(" && ").unwrap_or((":", line));
        let mut command = self.shell(&format!("{before} && exec {serve}"));
        let log = fs::File::create(self.folder.path().join("log")).expect("created");
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = self.running.insert(Running(child.expect("bash")));
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

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn serve(&mut self) {
        self.start("golinks-scim serve");
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // A server that is suspended must continue before it can end.
            for signal in [Signal::TERM, Signal::CONT] {
                kill_process(Pid::from_child(&running), signal).ok();
            }
            running.wait().expect("it is ours");
        }
    }

    pub(crate) fn check(&self) -> Vec<Finding> {
        self.check_with("check")
    }

    pub(crate) fn check_with(&self, words: &str) -> Vec<Finding> {
        let line = format!("golinks-scim {words} -o json");
        let output = self.shell(&line).output().expect("bash");
        let found: Vec<Value> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings: Vec<Finding> = found
            .iter()
            .map(|finding| Finding {
                topic: text(&finding["check"]),
                outcome: text(&finding["outcome"]),
                what: text(&finding["what"]),
                fix: text(&finding["fix"]),
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

    /// Runs `check`, and returns the finding with this outcome and topic whose text contains these
    /// words.
    pub(crate) fn finds(&self, outcome: &str, topic: &str, words: &str) -> Finding {
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

    /// Runs `check`, and returns the fix that it prints for this failure.
    pub(crate) fn fails(&self, topic: &str, words: &str) -> String {
        self.finds("fail", topic, words).fix
    }

    pub(crate) fn is_well(&self) {
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

/// An unused address that no connection of another test takes meanwhile: the system chooses the
/// ports of connections from 32768 on, which is above these. Each test process begins at another
/// port and uses only every second one, because `check` suggests the next port where one is in use,
/// and a test follows that advice.
pub(crate) fn free_address() -> String {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let begins = std::process::id() % 1000 * 10;
    let tries = (0..PORTS / 2).map(|_| TRIED.fetch_add(1, Ordering::Relaxed));
    let mut addresses =
        tries.map(|tried| format!("127.0.0.1:{}", FIRST + (begins + 2 * tried) % PORTS));
    addresses.find(|it| is_free(it)).expect("a free port")
}

/// Binds without listening: a program that another test is just starting holds a copy of the socket
/// until it runs, and a listening copy would keep others from listening at the address.
fn is_free(address: &str) -> bool {
    let address: SocketAddr = address.parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    socket.bind(&address.into()).is_ok()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A certificate chain for a host and its key, issued by a new authority that no client trusts.
pub(crate) fn chain_for(host: &str, ends: Option<Duration>) -> (String, String) {
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
