//! What `serve` does while the server runs: maintenance at intervals, reloading the configuration
//! and the certificate, and waiting for the signal to stop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Monotonic};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::access::TrustedProxies;
use crate::api::{Api, Tuning};
use crate::certificate::{self, Cell};
use crate::cli::{Failure, service, status};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Configuration, Key, SETTINGS, Sources};
use crate::directory::{Keep, Thresholds};
use crate::{limits, logging};

/// Seconds between two ticks of maintenance, which is the interval of the work due at every tick.
const TICK_SECONDS: u64 = limits::CERTIFICATE_LOOK_SECONDS;
/// Ticks between two times of storing the tokens' last uses.
const TICKS_PER_FLUSH: u64 = ticks(limits::LAST_USED_FLUSH_SECONDS);
/// Ticks between two checks whether the leaf is due for renewal.
const TICKS_PER_LEAF_LOOK: u64 = ticks(limits::LEAF_LOOK_SECONDS);

/// The number of ticks in `seconds`, which must be a multiple of a tick.
const fn ticks(seconds: u64) -> u64 {
    assert!(seconds >= TICK_SECONDS && seconds.is_multiple_of(TICK_SECONDS));
    seconds / TICK_SECONDS
}

/// The thread that renews the certificate, stores when tokens were used, and tends the audit trail.
pub(super) struct Maintenance {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Maintenance {
    pub(super) fn start(api: Arc<Api>, cell: Arc<Cell>) -> Result<Self, Failure> {
        let (stop, stopped) = channel();
        let period = Duration::from_secs(TICK_SECONDS);
        let work = move || {
            let mut last_renewal_error = None;
            for tick in 1u64.. {
                if stopped.recv_timeout(period) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                maintain(&api, &cell, tick, &mut last_renewal_error);
            }
        };
        let thread = thread::Builder::new()
            .name("maintenance".to_owned())
            .spawn(work)
            .map_err(|error| Failure::new(status::IO, error))?;
        Ok(Self { stop, thread })
    }

    /// Stops the thread and waits until it has ended.
    pub(super) fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the maintenance thread panicked");
        }
    }
}

/// Does the work due at one tick, counted from 1. `last_renewal_error` is the last logged reason
/// why the certificate cannot be renewed.
fn maintain(api: &Api, cell: &Cell, tick: u64, last_renewal_error: &mut Option<String>) {
    let reload = || {
        if let Some(reloaded) = cell.reload_if_changed(SystemClock.now()) {
            log_reload(reloaded);
        }
    };
    guarded("reading the certificate", reload);
    let is_look = tick.is_multiple_of(TICKS_PER_LEAF_LOOK);
    guarded("renewing the certificate", || {
        renew(cell, is_look, last_renewal_error);
    });
    guarded("recalling deactivations", || api.recall_deactivations());
    guarded("looking at the store's file", || api.look_at_store());
    guarded("warning", || api.warn());
    guarded("tending the audit trail", || {
        api.tend_audit(Monotonic::now());
    });
    if tick.is_multiple_of(TICKS_PER_FLUSH) {
        guarded("tending tokens", || api.tend_tokens());
        guarded("tending backups", || api.tend_backups());
    }
}

/// Runs a task so that a bug in it stops neither the others nor the next tick.
fn guarded(what: &str, task: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(task)).is_err() {
        log::error!("{what} ended by a panic");
    }
}

/// Renews the leaf if it is due. This is checked at intervals (`is_look`), and at every tick if
/// clients refuse the leaf as out of date, as they do after the clock was wrong. An obstacle is
/// logged only at those intervals, and only once.
fn renew(cell: &Cell, is_look: bool, last_renewal_error: &mut Option<String>) {
    let now = SystemClock.now();
    if !is_look && cell.summary().out_of_date(now).is_none() {
        return;
    }
    match cell.renew_if_due(now) {
        Ok(renewed) => {
            *last_renewal_error = None;
            if let Some(summary) = renewed {
                log::info!("the certificate was renewed until {:.0}", summary.not_after);
                warn_of(&summary);
            }
        }
        Err(error) if is_look => {
            let found = Some(error.to_string());
            if *last_renewal_error != found {
                log::error!("the certificate cannot be renewed: {error}");
                *last_renewal_error = found;
            }
        }
        Err(_) => {}
    }
}

fn warn_of(summary: &certificate::Summary) {
    for warning in &summary.warnings {
        log::warn!("{warning}");
    }
}

fn log_reload(reloaded: Result<certificate::Summary, certificate::Error>) {
    match reloaded {
        Ok(summary) => {
            log::info!(
                "the certificate was read again, it ends at {:.0}",
                summary.not_after
            );
            warn_of(&summary);
        }
        Err(error) => {
            log::error!("the new certificate cannot be used, the old one stays in use: {error}");
        }
    }
}

/// The settings of a configuration that can be changed in a running server.
pub(super) fn tuning(config: &config::Serve) -> Tuning {
    Tuning {
        trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
        rate_per_second: config.rate_per_second,
        alarm: Thresholds {
            deactivations: config.alarm_deactivations,
            percent: config.alarm_percent,
        },
        keep: Keep {
            days: config.audit_keep_days,
            bytes: config.audit_keep_bytes,
        },
        is_explained: config.audit_explain,
        serves_page: config.serves_page,
    }
}

/// Reloads the certificate and the configuration on SIGHUP.
pub(super) struct Reload<'a> {
    sources: &'a Sources,
    /// The configuration with which this server was started.
    started: Configuration,
    /// The configuration read last; its settings are in force as far as a running server can change
    /// them.
    in_force: Configuration,
    is_level_typed: bool,
    api: &'a Api,
    cell: Arc<Cell>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(
        sources: &'a Sources,
        started: Configuration,
        is_level_typed: bool,
        api: &'a Api,
        cell: Arc<Cell>,
    ) -> Self {
        Self {
            sources,
            in_force: started.clone(),
            started,
            is_level_typed,
            api,
            cell,
        }
    }

    /// Reads the certificate and the configuration again. Whichever cannot be used changes nothing.
    fn run(&mut self) {
        service::reloading();
        log_reload(self.cell.reload(SystemClock.now()));
        match Configuration::load(self.sources) {
            Ok(read) => self.apply(read),
            Err(problem) => log::error!(
                "the configuration cannot be used, the old one stays in effect: {}; {}",
                problem.what,
                problem.hint
            ),
        }
        service::reloaded();
    }

    fn apply(&mut self, read: Configuration) {
        // Apply the settings before logging, so that what the log says is already true.
        self.api.tune(tuning(&read.serve));
        for warning in &read.warnings {
            log::warn!("{warning}");
        }
        for setting in &SETTINGS {
            let (value, origin) = read.shown(setting.key);
            let compared = if setting.is_reloaded {
                &self.in_force
            } else {
                &self.started
            };
            let is_moot = setting.key == Key::LogLevel && self.is_level_typed;
            if is_moot || compared.shown(setting.key).0 == value {
                continue;
            }
            if setting.is_reloaded {
                log::info!("{} is {value} now ({origin})", setting.name);
            } else {
                let name = setting.name;
                log::warn!(
                    "{name} was changed to {value} ({origin}): it takes effect after a restart"
                );
            }
        }
        if !self.is_level_typed {
            logging::set_level(read.serve.log_level);
        }
        self.in_force = read;
    }
}

/// Waits for a signal, or for damage to the store; SIGHUP only reloads. After the wait, another
/// signal ends the process at once.
pub(super) fn wait_for_stop(signals: &mut Signals, reload: &mut Reload<'_>) {
    let first = signals.forever().find(|signal| {
        if *signal == SIGHUP {
            reload.run();
        }
        *signal != SIGHUP
    });
    match first {
        Some(signal) => log::info!("stopping on signal {signal}"),
        None => log::error!("stopping, since the store is damaged"),
    }
    let again = Signals::new([SIGTERM, SIGINT]);
    signals.handle().close();
    let waiting = again.and_then(|mut again| {
        thread::Builder::new().spawn(move || {
            if again.forever().next().is_some() {
                leave_at_once();
            }
        })
    });
    if let Err(error) = waiting {
        log::debug!("a second signal will not be noticed: {error}");
    }
}

#[allow(
    clippy::exit,
    reason = "whoever sends a second signal wants no more waiting; the store survives a kill"
)]
fn leave_at_once() {
    std::process::exit(i32::from(status::INTERRUPTED));
}

#[cfg(test)]
mod tests;
