//! The server under test: started, watched from outside, ended.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a start takes.
const START_MAX: Duration = Duration::from_secs(120);

/// A running server.
pub(crate) struct Server {
    child: Child,
}

/// What is needed to start a server.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Launch {
    /// Starts it, and waits until administrators can reach it.
    pub(crate) fn start(&self) -> Server {
        let socket = self.data_dir.join("admin.sock");
        let reached = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        self.start_until(reached).0
    }

    /// Starts it, and returns how long that took until it answered.
    pub(crate) fn start_until(&self, answers: impl Fn() -> bool) -> (Server, Duration) {
        let started = Instant::now();
        let child = self
            .command()
            .args(["--quiet", "serve", "--rate-limit", "off", "--base-url"])
            .arg(format!("https://localhost:{}", self.address.port()))
            .args(["--listen", &self.address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the server starts");
        while !answers() {
            assert!(started.elapsed() < START_MAX, "the server does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        (Server { child }, started.elapsed())
    }

    /// Issues a token with this scope and name.
    pub(crate) fn token(&self, name: &str, scope: &str) -> String {
        let output = self
            .command()
            .args(["token", "issue", name, "--scope", scope])
            .output()
            .expect("the program runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "no token was issued");
        text.trim().to_owned()
    }

    /// The certificate of the server's own CA.
    pub(crate) fn authority(&self) -> PathBuf {
        self.data_dir.join("tls/ca.pem")
    }

    /// The store file.
    pub(crate) fn store(&self) -> PathBuf {
        self.data_dir.join("users.redb")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(&self.data_dir);
        command
    }
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an administrator does.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ends it as a power cut does, as far as the process can tell.
    pub(crate) fn kill(mut self) {
        kill(self.pid());
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server killed by its process id is a zombie until it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// [`Server::kill`] by process id, while others still use the server.
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let killed = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
    assert!(matches!(killed, Some(Ok(()))), "it does not run");
}

/// Makes the system forget what it has cached of a file, reads it, and returns how long that took.
pub(crate) fn read_from_disk(path: &Path) -> Duration {
    let mut file = std::fs::File::open(path).expect("the file");
    file.sync_all().expect("synced");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("forgotten");
    let started = Instant::now();
    std::io::copy(&mut file, &mut std::io::sink()).expect("read");
    started.elapsed()
}

/// Waits until a process is idle: after its start the server checks every row in the background,
/// which is not to be measured.
pub(crate) fn await_rest(pid: u32) {
    let (second, started) = (Duration::from_secs(1), Instant::now());
    loop {
        let before = cpu_time(pid);
        std::thread::sleep(second);
        if cpu_time(pid).saturating_sub(before) < second / 50 {
            return;
        }
        assert!(started.elapsed() < START_MAX, "the server does not rest");
    }
}

/// CPU time of a process so far, user and system.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, which is in parentheses, may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let field = |at: usize| -> u64 {
        let field = fields.split_whitespace().nth(at);
        field.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    // utime and stime, fields 14 and 15, in ticks of 10 ms.
    Duration::from_millis((field(11) + field(12)) * 10)
}

/// Resident memory of a process in bytes, now and at most.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or(0) * 1024
    };
    (value("VmRSS:"), value("VmHWM:"))
}

/// The size of a file.
pub(crate) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Commits over some time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Commits {
    pub(crate) count: f64,
    pub(crate) changes: f64,
}

impl Commits {
    /// Reads them from the server's metrics.
    pub(crate) fn read(metrics: &str) -> Self {
        let value = |name: &str| -> f64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.trim().parse().ok());
            number.expect("the metrics tell of commits")
        };
        Self {
            count: value("golinks_scim_commits_total "),
            changes: value("golinks_scim_commit_changes_sum "),
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            changes: self.changes - before.changes,
        }
    }

    pub(crate) fn and(self, others: Self) -> Self {
        Self {
            count: self.count + others.count,
            changes: self.changes + others.changes,
        }
    }

    /// How many changes a commit has on average.
    pub(crate) fn changes_each(self) -> f64 {
        self.changes / self.count.max(1.0)
    }

    /// That, rounded up, at least 1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the clients that wait"
    )]
    pub(crate) fn changes_each_at_most(self) -> usize {
        self.changes_each().ceil().max(1.0) as usize
    }
}
