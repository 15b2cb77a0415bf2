//! The process as the system sees it: memory, descriptors, threads, processor time. The metrics
//! have the names that Prometheus's own client libraries use, so that common dashboards work.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The system's data about this process; a value is `None` if the system does not provide it, for
/// example if `/proc` cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Memory that is not swapped out.
    pub resident_bytes: Option<u64>,
    /// The number of threads.
    pub threads: Option<u64>,
    /// How many descriptors are open.
    pub descriptors_open: Option<u64>,
    /// How many descriptors may be open; `None` also if there is no limit.
    pub descriptors_max: Option<u64>,
    /// Processor time of the program itself and of the system on its behalf.
    pub cpu_seconds: Option<f64>,
}

impl Process {
    /// Reads the values of this process.
    pub fn now() -> Self {
        // Lossy, because the process name in it may be cut within a character.
        let status = fs::read("/proc/self/status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let status = Status(&status);
        Self {
            resident_bytes: status.number("VmRSS:").map(|kib| kib.saturating_mul(1024)),
            threads: status.number("Threads:"),
            descriptors_open: descriptors_open(),
            descriptors_max: getrlimit(Resource::Nofile).current,
            cpu_seconds: Some(cpu_seconds()),
        }
    }

    /// The metrics of the process. `started_seconds` also appears in the program's own metric.
    pub(super) fn registry(&self, started_seconds: i64) -> Registry {
        let mut registry = Registry::default();
        let mut gauge = |name: &str, help: &str, value: Option<u64>| {
            if let Some(value) = value {
                registry.register(name, help, ConstGauge::new(value));
            }
        };
        gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is not swapped out",
            self.resident_bytes,
        );
        gauge(
            "process_open_fds",
            "Descriptors that are open",
            self.descriptors_open,
        );
        gauge(
            "process_max_fds",
            "Descriptors that may be open",
            self.descriptors_max,
        );
        gauge("process_threads", "Threads of the process", self.threads);
        if let Some(seconds) = self.cpu_seconds {
            registry.register(
                "process_cpu_seconds",
                "Processor time of the process, with the system's for it",
                ConstCounter::new(seconds),
            );
        }
        registry.register(
            "process_start_time_seconds",
            "When the program was started, since the epoch",
            ConstGauge::new(started_seconds),
        );
        registry
    }
}

/// The text of `/proc/self/status` (`proc_pid_status(5)`).
struct Status<'a>(&'a str);

impl Status<'_> {
    /// The number after this name, without its unit.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse().ok()
    }
}

/// The number of open descriptors, without the one that reading the directory uses.
fn descriptors_open() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(open.saturating_sub(1)).ok()
}

/// The processor time, from the clock for it, which always works. `/proc/self/stat` counts in
/// ticks, and rustix panics when asked for the length of a tick if the system does not tell.
#[allow(
    clippy::cast_precision_loss,
    reason = "it is exact for more seconds than there were since the epoch"
)]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_process_is_read() {
        let text = "Name:\tgolinks-scim\nVmHWM:\t   72012 kB\nVmRSS:\t   61440 kB\nThreads:\t14\n";
        let status = Status(text);
        assert_eq!(status.number("VmRSS:"), Some(61_440));
        assert_eq!(status.number("Threads:"), Some(14));
        assert_eq!(Status("").number("Threads:"), None);
        assert_eq!(Status("Threads:\n").number("Threads:"), None);
        assert_eq!(Status("Threads:\tmany\n").number("Threads:"), None);
    }
}
