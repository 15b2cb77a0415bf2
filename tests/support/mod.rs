//! Helpers of the tests: the real binary on a data directory of its own, its command line, and
//! clients of it. When something fails, [`Server::scene`] shows everything that is known: the
//! exchanges, the log, the users in the directory.

pub(crate) mod browser;
pub(crate) mod exposition;
pub(crate) mod front;
pub(crate) mod place;
mod process;
mod talk;
pub(crate) mod visit;
pub(crate) mod wire;

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::api::Options;
use golinks_scim::directory::{Caller, Directory, Error, Record};
use golinks_scim::idp::client::Client;
use golinks_scim::idp::okta::{self, Import};
use golinks_scim::idp::{Person, Report, Suite, play};
use golinks_scim::metrics::{self, Metrics};
use golinks_scim::secret::{self, Secret};
use golinks_scim::store::Store;
use tempfile::TempDir;

pub(crate) use process::Running;
pub(crate) use talk::{CORE, Talk, body, escaped, scim_error, send, send_bytes, status};

use process::Process;

/// A running server. It is killed at the end of the test unless the test stops it before.
pub(crate) struct Server {
    arguments: Vec<String>,
    process: Process,
    /// The last field, so that the process ends before its directory is removed.
    directory: TempDir,
}

/// The exit status and output of a command.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit status; `None` after a signal.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Copies the program with `cp`, not in this process: a process that another test starts meanwhile
/// would inherit the file opened for writing, and a file that is open for writing cannot be run.
pub(crate) fn copy_program(to: &Path) {
    let program = env!("CARGO_BIN_EXE_golinks-scim");
    let copied = Command::new("cp").args([Path::new(program), to]).status();
    assert!(copied.expect("cp is there").success(), "not copied");
}

impl Server {
    /// Starts a server with the program's defaults, on a free port of 127.0.0.1.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// [`Self::start`] with more arguments for `serve`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory for the test");
        Self::launch(directory, arguments)
    }

    /// [`Self::start`] on a directory whose `data` already holds a store.
    pub(crate) fn start_on(directory: TempDir) -> Self {
        Self::launch(directory, &[])
    }

    /// Starts a server as another user of the machine, with at most `threads_max` threads. Only
    /// root can do that.
    pub(crate) fn start_as(user: u32, threads_max: u64, arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory for the test");
        // That user may have no access to the directory in which the binary was built.
        let binary = directory.path().join("golinks-scim");
        copy_program(&binary);
        for path in [directory.path(), &binary] {
            std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root may do that");
        }
        let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
        let ours = serve(&directory, &arguments);
        let mut command = Command::new("prlimit");
        without_settings(&mut command)
            .arg(format!("--nproc={threads_max}"))
            .arg(binary)
            .args(ours.get_args())
            .stdin(Stdio::null())
            .uid(user)
            .gid(user);
        Self {
            process: Process::start(command),
            arguments,
            directory,
        }
    }

    /// Starts a server with the command that `prepare` makes from the usual command and the test's
    /// folder.
    pub(crate) fn start_by(
        arguments: &[&str],
        prepare: impl FnOnce(Command, &Path) -> Command,
    ) -> Self {
        let directory = TempDir::new().expect("a directory for the test");
        Self::start_on_by(directory, arguments, prepare)
    }

    /// [`Self::start_by`] on a directory whose `data` already holds a store.
    pub(crate) fn start_on_by(
        directory: TempDir,
        arguments: &[&str],
        prepare: impl FnOnce(Command, &Path) -> Command,
    ) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
        let command = prepare(serve(&directory, &arguments), directory.path());
        Self {
            process: Process::start(command),
            arguments,
            directory,
        }
    }

    fn launch(directory: TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
        let process = Process::start(serve(&directory, &arguments));
        Self {
            arguments,
            process,
            directory,
        }
    }

    /// The address at which the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        self.process.pid()
    }

    /// The server's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        data_dir(&self.directory)
    }

    /// A client of the SCIM base URL that trusts the server's private authority.
    pub(crate) fn client(&self) -> Client {
        self.client_of("/scim/v2")
    }

    /// A client of all paths, not only those of the SCIM API: `/metrics`, `/directory/`.
    pub(crate) fn client_at_root(&self) -> Client {
        self.client_of("")
    }

    fn client_of(&self, base: &str) -> Client {
        let path = self.data_dir().join("tls/ca.pem");
        let pem = std::fs::read(&path).expect("a running server has its authority's certificate");
        let base_url = format!("https://{}{base}", self.address());
        Client::new(&base_url, &pem).expect("the authority's certificate is usable")
    }

    /// Issues a token with the command line's defaults.
    pub(crate) fn token(&self, name: &str) -> Secret {
        self.token_with(name, &[])
    }

    /// [`Self::token`] with more arguments.
    pub(crate) fn token_with(&self, name: &str, arguments: &[&str]) -> Secret {
        let output = self.cli(&[&["token", "issue", name], arguments].concat());
        assert_eq!(output.status, Some(0), "{output:?}\n{}", self.log());
        let token = output.stdout.trim();
        let is_alone = !token.is_empty() && !token.contains(char::is_whitespace);
        assert!(is_alone, "the token is not alone on stdout: {output:?}");
        Secret::new(token.to_owned())
    }

    /// Runs a command on the server's data directory.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        cli_in(&self.directory, arguments)
    }

    /// Plays a suite on a new connection, and asserts that every check holds.
    pub(crate) fn play(&self, suite: &Suite, token: &Secret) -> Report {
        let report = play(suite, &mut self.client(), token, &mut |_| ());
        assert!(report.passed(), "{}", self.scene(&report));
        report
    }

    /// Imports all users as Okta does, 100 per page.
    pub(crate) fn import(&self, token: &Secret) -> Import {
        match okta::import(&mut self.client(), token, 100) {
            Ok(import) => import,
            Err(error) => panic!("the import failed: {error}\n\n{}", self.surroundings()),
        }
    }

    /// A report with its failures, the server's log and its users.
    pub(crate) fn scene(&self, report: &Report) -> String {
        let failures: String = report.failures().map(ToString::to_string).collect();
        format!("{report}\n{failures}\n{}", self.surroundings())
    }

    /// Everything that the server wrote to standard error.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the log contains these words, and returns it. Another thread writes the log,
    /// perhaps after the answer was sent.
    pub(crate) fn log_with(&self, words: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.log();
            if log.contains(words) {
                return log;
            }
            assert!(
                Instant::now() < deadline,
                "the log has not {words:?}:\n{log}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the server with SIGTERM, as an administrator does, and asserts success.
    pub(crate) fn stop(mut self) {
        self.process.terminate();
    }

    /// Stops the server and returns its folder, with the data directory in `data`.
    pub(crate) fn stop_and_keep(mut self) -> TempDir {
        self.process.terminate();
        self.directory
    }

    /// [`Self::stop_and_keep`] for a server that was already sent a signal.
    pub(crate) fn await_end_and_keep(mut self) -> TempDir {
        self.process.await_end();
        self.directory
    }

    /// Waits for the end of a server that was already told to stop, and returns its exit status.
    pub(crate) fn await_status(mut self) -> Option<i32> {
        self.process.wait()?.code()
    }

    /// Kills the server without warning, and starts it again on what it left.
    pub(crate) fn kill_and_restart(&mut self) {
        self.process.kill();
        self.start_again();
    }

    /// Stops the server and starts it again.
    pub(crate) fn restart(&mut self) {
        self.process.terminate();
        self.start_again();
    }

    /// The new server has another port.
    fn start_again(&mut self) {
        self.process = Process::start(serve(&self.directory, &self.arguments));
    }

    fn surroundings(&self) -> String {
        let users = self.cli(&["user", "list"]);
        let users = [users.stdout, users.stderr].concat();
        format!("log:\n{}\n\nuser list:\n{users}", self.log())
    }
}

/// Runs a command on the data directory in a test's folder, with or without a server.
pub(crate) fn cli_in(directory: &TempDir, arguments: &[&str]) -> Output {
    cli_on(&data_dir(directory), arguments)
}

/// [`cli_in`] for the path of a data directory.
pub(crate) fn cli_on(data_dir: &Path, arguments: &[&str]) -> Output {
    let output = command_on(data_dir).args(arguments).output();
    output.expect("the binary runs").into()
}

/// Runs a command that should end by itself. If it does not, such as a server that should have
/// refused to start, it is killed.
pub(crate) fn run_to_its_end(command: &mut Command) -> Output {
    const PATIENCE: Duration = Duration::from_secs(60);
    let spawned = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.expect("it runs");
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    // This has no effect on a process that has ended.
    child.kill().ok();
    let output = child.wait_with_output();
    output.expect("it is a child of this process").into()
}

/// The lines that a process prints, as they arrive.
pub(crate) fn lines_of(out: impl Read + Send + 'static) -> Receiver<String> {
    let (line_came, lines) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        for line in lines {
            if line_came.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits until a condition holds, and returns how long that took.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(1));
    }
    start.elapsed()
}

/// A number in `/proc/PID/status`, such as `VmRSS:` in KiB; `None` if the process has ended.
pub(crate) fn status_number(pid: rustix::process::Pid, name: &str) -> Option<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The number of writes that wait for the store's writer, according to the metrics.
pub(crate) fn waiting(store: &Store) -> u64 {
    let nothing = std::iter::empty;
    let metrics = Metrics::new(nothing(), nothing(), store.commits());
    let text = metrics.text(&metrics::State::default(), metrics::Format::OpenMetrics);
    let mut lines = text.lines();
    let told = lines.find_map(|line| line.strip_prefix("golinks_scim_writes_waiting "));
    told.expect("it is told").parse().expect("a number")
}

/// A user as stored in the directory.
#[allow(
    clippy::redundant_closure_for_method_calls,
    reason = "the method's name stands for one lifetime alone"
)]
pub(crate) fn record_of(directory: &Directory, id: &str) -> Result<Record, Error> {
    directory.retrieve(id, |stored| stored.record())
}

/// A caller of the directory, where it does not matter who that is.
pub(crate) fn caller() -> Caller {
    Caller {
        principal: "token:0a:okta".to_owned(),
        request_id: "0123456789abcdef".to_owned(),
        address: None,
    }
}

/// Options for a router without a server.
pub(crate) fn options() -> Options {
    Options {
        base_url: Some("https://localhost/scim/v2".to_owned()),
        ..Options::without_server(Path::new(""))
    }
}

/// A random person, different in each test.
pub(crate) fn person() -> Person {
    Person::from_random(secret::random())
}

/// A number as stored in the file under `key`: with the low bits of its CRC-32 in the topmost bits.
pub(crate) fn stored_number(key: &str, number: u64) -> u64 {
    let bytes = [key.as_bytes(), &number.to_be_bytes()].concat();
    number | u64::from(crc32fast::hash(&bytes)) << 44
}

/// A row as stored in the file under `key`: followed by its CRC-32.
pub(crate) fn sealed(key: &[u8], mut row: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&[key, &row].concat());
    row.extend_from_slice(&checksum.to_le_bytes());
    row
}

/// The size of a test: from the environment, where the long form of the test sets it, or the
/// default.
pub(crate) fn number(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}"))
    })
}

fn data_dir(directory: &TempDir) -> PathBuf {
    directory.path().join("data")
}

/// The binary on the data directory of a test.
pub(crate) fn command(directory: &TempDir) -> Command {
    command_on(&data_dir(directory))
}

/// The binary on a data directory by its path.
pub(crate) fn command_on(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_golinks-scim"));
    without_settings(&mut command)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null());
    command
}

/// Removes all settings in the environment of the tests from a command: they might lead it to
/// another data directory, or change how its server behaves.
pub(crate) fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GOLINKS_SCIM_") {
            command.env_remove(name);
        }
    }
    // An empty name means no configuration file.
    command
        .env_remove("STATE_DIRECTORY")
        .env_remove("SUDO_USER")
        .env("GOLINKS_SCIM_CONFIG", "")
}

fn serve(directory: &TempDir, arguments: &[String]) -> Command {
    let mut command = command(directory);
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(arguments);
    command
}
