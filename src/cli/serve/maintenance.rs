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
mod tests {
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::access::{Issue, Scope, Tokens};
    use crate::api::Options;
    use crate::certificate::{Names, Source};
    use crate::clock::Instant;
    use crate::directory::describe;
    use crate::files;
    use crate::http1::{Body, Head};
    use crate::store::{Change, Store};

    fn open(folder: &Path) -> Store {
        Store::open(&folder.join("users.redb"), Duration::ZERO, describe).expect("a store")
    }

    fn private(folder: &Path, now: Instant) -> Arc<Cell> {
        let source = Source::DataDirectory {
            directory: folder.join("tls"),
            names: Names::new("machine", None),
            host: "localhost".to_owned(),
        };
        Cell::open(source, now).expect("a leaf")
    }

    fn api(folder: &Path) -> Api {
        Api::new(open(folder), Options::without_server(folder)).expect("an API")
    }

    /// Issues a token in the closed store, and returns the request that uses it.
    fn request(folder: &Path, scope: Scope, target: &str) -> String {
        let tokens = Tokens::load(Arc::new(open(folder))).expect("none");
        let issue = Issue::new("okta", scope);
        let issued = tokens.issue(issue, SystemClock.now(), |_| "{}".to_owned());
        let (_, text) = issued.expect("issued");
        format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            text.reveal()
        )
    }

    /// The answer's body.
    fn answered(api: &Api, request: &str) -> String {
        let parsed = Head::parse(request.as_bytes()).expect("good");
        let (head, _) = parsed.expect("whole");
        let admitted = api.admit(&head, IpAddr::from(Ipv4Addr::LOCALHOST));
        let admitted = admitted.ok().expect("a good token");
        let Body::Bytes(body) = api.answer(admitted, None).body else {
            panic!("it is short");
        };
        String::from_utf8(body).expect("text")
    }

    /// An API whose token was used once; the use is not stored yet.
    fn api_with_use(folder: &Path) -> Api {
        let request = request(folder, Scope::Full, "/scim/v2/Users");
        let api = api(folder);
        answered(&api, &request);
        api
    }

    /// Whether the store's file says that the token was used. Reads a copy of the file, since the
    /// store is open.
    fn is_use_stored(folder: &Path) -> bool {
        let copied = tempfile::tempdir().expect("a folder");
        let name = "users.redb";
        fs::copy(folder.join(name), copied.path().join(name)).expect("copied");
        let tokens = Tokens::load(Arc::new(open(copied.path()))).expect("tokens");
        let listed = tokens.list(SystemClock.now());
        assert_eq!(listed.len(), 1);
        listed[0].last_used().is_some()
    }

    #[test]
    fn each_setting_that_is_reloaded_changes_what_holds() {
        let holds = |name: &str, value: &str| {
            let variables = [("GOLINKS_SCIM_DATA_DIR", "/d"), (name, value)];
            let sources = Sources {
                environment: variables
                    .map(|(name, value)| (name.into(), value.into()))
                    .into(),
                ..Sources::default()
            };
            let serve = Configuration::load(&sources).ok()?.serve;
            Some((tuning(&serve), serve.log_level))
        };
        let before = holds("HOME", "/").expect("the defaults can be used");
        for setting in SETTINGS.iter().filter(|it| it.is_reloaded) {
            let variable = setting.key.variable();
            let values = ["7", "off", "debug", "30d", "1MiB", "::1"];
            let mut after = values.iter().filter_map(|value| holds(&variable, value));
            assert!(after.any(|after| after != before), "{}", setting.name);
        }
    }

    #[test]
    fn uses_are_stored_and_the_leaf_is_renewed_when_their_turn_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let api = api_with_use(folder.path());
        let cell = private(folder.path(), SystemClock.now().plus_days(-80));
        let old = cell.summary().fingerprint;
        // A copy whose command was killed before fetching it.
        let copy = files::draft_of(&config::store_path(folder.path()));
        let made = fs::File::create_new(&copy).expect("made");
        made.set_modified(SystemTime::UNIX_EPOCH).expect("ours");
        maintain(&api, &cell, TICKS_PER_LEAF_LOOK - 1, &mut None);
        assert_eq!(cell.summary().fingerprint, old);
        maintain(&api, &cell, TICKS_PER_FLUSH - 1, &mut None);
        assert!(!is_use_stored(folder.path()) && copy.exists());
        maintain(&api, &cell, TICKS_PER_LEAF_LOOK, &mut None);
        assert_ne!(cell.summary().fingerprint, old, "it was not renewed");
        maintain(&api, &cell, TICKS_PER_FLUSH, &mut None);
        assert!(is_use_stored(folder.path()) && !copy.exists());
    }

    /// After the clock was wrong, clients refuse the leaf, so its renewal must not wait for the
    /// next interval.
    #[test]
    fn a_leaf_that_is_out_of_date_is_renewed_at_any_tick() {
        let now = SystemClock.now();
        for made in [now.plus_days(-200), now.plus_days(200)] {
            let folder = tempfile::tempdir().expect("a folder");
            let api = api(folder.path());
            // The authority is valid at both times.
            private(folder.path(), now.plus_days(-200));
            let cell = private(folder.path(), made);
            assert!(cell.summary().out_of_date(now).is_some());
            maintain(&api, &cell, 1, &mut None);
            assert_eq!(cell.summary().out_of_date(SystemClock.now()), None);
        }
    }

    #[test]
    fn what_hinders_a_renewal_is_told_once_and_again_after_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = SystemClock.now();
        // An authority that was made while the clock was fast.
        private(folder.path(), now.plus_days(1));
        let cell = private(folder.path(), now);
        let mut last_renewal_error = None;
        renew(&cell, false, &mut last_renewal_error);
        assert_eq!(last_renewal_error, None, "it is no look");
        renew(&cell, true, &mut last_renewal_error);
        let told = last_renewal_error.clone();
        assert!(told.is_some());
        thread::sleep(Duration::from_millis(2));
        renew(&cell, true, &mut last_renewal_error);
        assert_eq!(last_renewal_error, told, "it is told anew");
        let other = tempfile::tempdir().expect("a folder");
        renew(&private(other.path(), now), true, &mut last_renewal_error);
        assert_eq!(last_renewal_error, None, "the next one is not told");
    }

    #[test]
    fn changed_files_are_read_again_at_any_tick() {
        let folder = tempfile::tempdir().expect("a folder");
        let api = api(folder.path());
        private(folder.path(), SystemClock.now());
        let files = folder.path().join("tls");
        let source = Source::Files {
            chain: files.join("leaf.pem"),
            key: files.join("leaf.key"),
            host: "localhost".to_owned(),
        };
        let cell = Cell::open(source, SystemClock.now()).expect("a leaf");
        let old = cell.summary().fingerprint;
        maintain(&api, &cell, 1, &mut None);
        assert_eq!(cell.summary().fingerprint, old);
        // Make another leaf of the same authority.
        fs::remove_file(files.join("leaf.pem")).expect("it was there");
        let new = private(folder.path(), SystemClock.now());
        maintain(&api, &cell, 1, &mut None);
        assert_eq!(cell.summary().fingerprint, new.summary().fingerprint);
        assert_ne!(cell.summary().fingerprint, old);
    }

    #[test]
    fn deactivations_are_recalled_at_any_tick() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let time = SystemClock.now();
        let off = format!(
            "{{\"time\":\"{time}\",\"principal\":\"token:0a:okta\",\"userName\":\"jane\",\"changes\":\
             [{{\"attribute\":\"active\",\"before\":true,\"after\":false}}]}}"
        );
        let newer = 0..limits::ALARM_ROWS_MAX;
        let rows = newer.fold(Change::none().audit(off), |all, _| {
            all.audit("{}".to_owned())
        });
        store.commit(rows).expect("written");
        drop(store);
        let request = request(folder.path(), Scope::Metrics, "/metrics");
        let options = Options {
            address: Some(([127, 0, 0, 1], 1).into()),
            ..Options::without_server(folder.path())
        };
        let api = Api::new(open(folder.path()), options).expect("an API");
        let has = |count: usize| {
            let wanted = format!("golinks_scim_deactivations_last_hour {count}\n");
            answered(&api, &request).contains(&wanted)
        };
        assert!(has(0));
        maintain(&api, &private(folder.path(), time), 1, &mut None);
        assert!(has(1));
    }
}
