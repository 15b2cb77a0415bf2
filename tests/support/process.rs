//! Server processes, killed at the end of the test unless the test stops them before. Starting a
//! [`Process`] waits until it listens. A thread reads its standard error for as long as it runs, so
//! that the server never blocks on a full pipe.

use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Far longer than a server takes to start or to end, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is killed when its test ends, even if the test fails.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Reads standard error, which must be piped, until the process ends.
    pub(crate) fn last_words(&mut self) -> String {
        let mut told = Vec::new();
        let stderr = self.stderr.as_mut().expect("it is piped");
        stderr.read_to_end(&mut told).expect("the pipe is open");
        String::from_utf8_lossy(&told).into_owned()
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // This has no effect on a process that has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A process that listens at an address.
pub(super) struct Process {
    child: Running,
    address: SocketAddr,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Process {
    /// Starts the command and waits until its log names an address.
    pub(super) fn start(mut command: Command) -> Self {
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = Running(spawned.expect("the binary runs"));
        let stderr = child.stderr.take().expect("it is piped");
        let log = Log::default();
        let (found, address) = mpsc::channel();
        let reader_log = log.clone();
        thread::spawn(move || reader_log.read(stderr, &found));
        let Some(address) = wait_for(&address) else {
            drop(child);
            panic!("the server told no address:\n{}", log.text());
        };
        Self {
            child,
            address,
            log,
        }
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn log(&self) -> String {
        self.log.text()
    }

    /// Sends SIGTERM, and asserts success within [`PATIENCE`].
    pub(super) fn terminate(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("the server still runs");
        self.await_end();
    }

    /// Waits for the end of a process that was already told to stop, and asserts success.
    pub(super) fn await_end(&mut self) {
        let status = self.wait();
        let log = self.log();
        assert!(status.is_some_and(|it| it.success()), "{status:?}\n{log}");
    }

    /// Sends SIGKILL.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("the server still runs");
        self.child.wait().expect("it is a child of this process");
    }

    /// Waits for the end of the process, at most [`PATIENCE`].
    pub(super) fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let status = self.child.try_wait();
            if let Some(status) = status.expect("it is a child of this process") {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Log {
    fn read(&self, stderr: ChildStderr, found: &Sender<SocketAddr>) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = address_in(&line) {
                found.send(address).ok();
            }
            let mut log = self.0.lock().expect("no holder panics");
            log.push_str(&line);
            log.push('\n');
        }
    }

    fn text(&self) -> String {
        self.0.lock().expect("no holder panics").clone()
    }
}

/// The address, or `None` if the process ends or takes too long before it names one.
fn wait_for(address: &Receiver<SocketAddr>) -> Option<SocketAddr> {
    address.recv_timeout(PATIENCE).ok()
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("address=")?;
    // In a JSON log, a quotation mark ends the text.
    rest.split([' ', '"', '\n']).next()?.parse().ok()
}
