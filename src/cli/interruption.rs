//! The signals that end a command, for one that has something to report or to remove first: SIGINT
//! (Ctrl-C), SIGTERM, and SIGHUP, by which a closed terminal or connection ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::{Failure, status};

/// Whether one of the signals has arrived, and which.
#[derive(Clone, Default)]
pub(super) struct Interruption(Arc<AtomicUsize>);

impl Interruption {
    /// Catches the signals from now on. SIGINT after any of them ends the process at once; the
    /// others do not, since `timeout` and a closed terminal may send theirs twice. A process that
    /// was started with a signal ignored keeps ignoring it.
    pub(super) fn catch() -> Result<Self, Failure> {
        let (caught, is_second) = (Self::default(), Arc::new(AtomicBool::new(false)));
        let ignored = ignored();
        let register = |signal: i32| {
            if signal == SIGINT {
                let (code, second) = (i32::from(status::INTERRUPTED), Arc::clone(&is_second));
                flag::register_conditional_shutdown(signal, code, second)?;
            }
            let number = signal.unsigned_abs() as usize;
            flag::register_usize(signal, Arc::clone(&caught.0), number)?;
            flag::register(signal, Arc::clone(&is_second))
        };
        let heard = [SIGINT, SIGTERM, SIGHUP].into_iter();
        for signal in heard.filter(|signal| ignored & 1 << (signal - 1) == 0) {
            register(signal).map_err(|error| Failure::new(status::IO, error))?;
        }
        Ok(caught)
    }

    /// Fails if a signal has arrived, with the status of a shell for a command that it ended.
    pub(super) fn refuse(&self) -> Result<(), Failure> {
        let number = self.0.load(Ordering::Relaxed);
        let (code, what) = match i32::try_from(number).unwrap_or_default() {
            0 => return Ok(()),
            SIGTERM => (status::TERMINATED, "ended by SIGTERM"),
            SIGHUP => (status::HUNG_UP, "ended by SIGHUP"),
            _ => (status::INTERRUPTED, "interrupted"),
        };
        Err(Failure::new(code, what))
    }

    /// As after this signal.
    #[cfg(test)]
    pub(super) fn set(&self, signal: usize) {
        self.0.store(signal, Ordering::Relaxed);
    }
}

/// The signals that this process ignores, as a mask (`proc_pid_status(5)`): SIGINT in the background
/// of a script, SIGHUP under `nohup`.
fn ignored() -> u64 {
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ignored = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.unwrap_or_default()
}
