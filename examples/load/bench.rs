//! One run: the directory, the server on it, and the workloads that are wanted, in order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::drive::{self, Pace};
use crate::lane::Turn;
use crate::report::{self, Facts, Line, Side};
use crate::server::{self, Launch, Server, cpu_time, memory};
use crate::wire::Target;
use crate::work::{self, BESIDE_A_SCAN, Clients, HANDSHAKES, IMPORTS, Kind, Known, WORKLOADS};
use crate::{Typed, seed};

pub(crate) struct Bench {
    pub(crate) typed: Typed,
    pub(crate) launch: Launch,
    pub(crate) server: Server,
    pub(crate) target: Target,
    pub(crate) known: Arc<Known>,
    /// The token with which the server's metrics are read.
    pub(crate) metrics: String,
    pub(crate) facts: Facts,
}

impl Bench {
    pub(crate) fn prepare(typed: Typed) -> Self {
        std::fs::create_dir_all(&typed.folder).expect("a folder");
        let data_dir = seed::copy(&typed.folder, typed.users);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("bound");
        drop(listener);
        let launch = Launch {
            program: typed.program.clone(),
            data_dir,
            address,
        };
        // The first start makes the certificates.
        launch.start().stop();
        let server = launch.start();
        let mut facts = Facts::default();
        facts.tell("program", mib(server::size(&launch.program)), "MiB");
        facts.tell("store", mib(server::size(&launch.store())), "MiB");
        let name = format!("load-{}", std::process::id());
        let token = launch.token(&name, "full");
        let metrics = launch.token(&format!("{name}-metrics"), "metrics");
        let authority = std::fs::read(launch.authority()).expect("the CA");
        let target = Target::new(launch.address, &authority, true);
        let ids = seed::ids(&target, &token, typed.users);
        server::await_rest(server.pid());
        let known = Arc::new(Known {
            token,
            users: typed.users,
            ids,
            created: AtomicUsize::new(usize::try_from(std::process::id()).unwrap_or(0) << 24),
            modified: [const { AtomicUsize::new(0) }; work::OWNERS],
        });
        Self {
            typed,
            launch,
            server,
            target,
            known,
            metrics,
            facts,
        }
    }

    /// Measures all workloads that are wanted, and says each as soon as it is measured.
    pub(crate) fn run(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let is_json = self.typed.json;
        let say = |text: &str| {
            if is_json {
                eprintln!("{text}");
            } else {
                println!("{text}");
            }
        };
        say(report::HEADER);
        let mut tell = |line: Line| {
            say(&report::text(&line));
            lines.push(line);
        };
        let is_wanted = |name: &str| self.typed.wants(name);
        let is_writing = |clients| !matches!(clients, Clients::Readers);
        let alone = WORKLOADS
            .iter()
            .any(|(name, _, clients)| is_writing(*clients) && is_wanted(name))
            .then(|| self.alone());
        for (name, count) in IMPORTS {
            if is_wanted(name) {
                tell(self.imported(name, count));
            }
        }
        let wanted: Vec<_> = WORKLOADS.iter().filter(|it| is_wanted(it.0)).collect();
        let is_page = |kind| matches!(kind, Kind::Page(_));
        let mut has_written = false;
        // Pages are compared with each other, so they take turns.
        for group in wanted.chunk_by(|one, next| is_page(one.1) && is_page(next.1)) {
            let &(name, kind, clients) = group[0];
            if is_writing(clients) && !has_written {
                self.facts.tell_memory("before creates", &self.server);
                has_written = true;
            }
            match (clients, &alone) {
                (Clients::Writers, Some(alone)) => {
                    tell(self.written(name, kind, self.typed.writers, alone));
                }
                (Clients::OneWriter, Some(alone)) => tell(self.written(name, kind, 1, alone)),
                _ => self.read(group).into_iter().for_each(&mut tell),
            }
        }
        if is_wanted(BESIDE_A_SCAN) {
            tell(self.beside_a_scan(BESIDE_A_SCAN));
        }
        for (name, resumes) in HANDSHAKES {
            if is_wanted(name) {
                tell(self.shaken(name, resumes));
            }
        }
        lines
    }

    /// How long a turn takes.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs(self.typed.seconds)
    }

    pub(crate) fn pace(&self) -> Pace {
        self.typed.rate.map_or(Pace::Closed, Pace::Open)
    }

    pub(crate) fn clients(&self, kind: Kind, count: usize) -> Vec<Box<dyn Turn>> {
        (0..count).map(|it| kind.client(&self.known, it)).collect()
    }
}

impl Facts {
    pub(crate) fn tell_memory(&mut self, when: &str, server: &Server) {
        let (now, most) = memory(server.pid());
        self.tell(&format!("memory {when}"), mib(now), "MiB");
        self.tell(&format!("memory {when}, at most"), mib(most), "MiB");
    }
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    drive::to_f64(usize::try_from(bytes).unwrap_or(usize::MAX)) / 1_048_576.0
}

impl Side {
    /// Adds a turn, and the CPU time that the process used for it.
    pub(crate) fn take(&mut self, pid: u32, turn: impl FnOnce() -> drive::Samples) {
        let own = std::process::id();
        let (before, own_before) = (cpu_time(pid), cpu_time(own));
        let samples = turn();
        self.cpu += cpu_time(pid).saturating_sub(before).as_secs_f64();
        self.generator += cpu_time(own).saturating_sub(own_before).as_secs_f64();
        self.samples.add(samples);
    }
}
