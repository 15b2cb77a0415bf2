//! `serve`: opens the store, the certificate and both servers, prints where the server is, waits
//! for a signal, and closes everything. `maintenance` is what happens in the meantime.

mod address;
mod maintenance;

use std::fs;
use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant as Monotonic;

use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

pub(super) use self::address::{EVERY_ADDRESS, bind};
use self::address::{default_base_url, host_name, take_or_listen};
use self::maintenance::{Maintenance, Reload};
use super::rights::{Fault, User};
use super::{
    Failure, MOUNT, from_local, io_status, output, program, service, status, store_hint,
    store_status, tls, token, too_few_descriptors,
};
use crate::api::{Api, Options, StartError};
use crate::certificate::{self, Cell};
use crate::clock::{self, Clock, SystemClock};
use crate::config::{self, BaseUrl, Configuration, Sources};
use crate::directory;
use crate::files;
use crate::https;
use crate::limits;
use crate::local::{self, Client};
use crate::store::{OpenError, Store};

pub(super) fn run(
    sources: &Sources,
    configuration: Configuration,
    is_level_typed: bool,
) -> Result<(), Failure> {
    let config = &configuration.serve;
    // Set up the signals first: one that arrives while the store is being opened must not be lost.
    let is_opening = end_at_once_by([SIGTERM, SIGINT]).map_err(|error| no_signals(&error))?;
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| no_signals(&error))?;
    give_up_what_is_not_needed();
    raise_descriptor_limit();
    let socket = config::socket_path(&config.data_dir).map_err(|what| {
        Failure::new(status::CONFIGURATION, what).hint("choose a shorter --data-dir")
    })?;
    make_data_dir(&config.data_dir)?;
    let ending = signals.handle();
    let (store, listener) = open(config, &is_opening, move || ending.close())?;
    let created = store.was_created();
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(status::IO, error))?;
    let base_url = match &config.base_url {
        Some(url) => url.clone(),
        None => default_base_url(address)?,
    };
    let had_certificate = certificate::is_any_in(&config.data_dir);
    let cell = open_certificate(config, &base_url)?;
    let options = options(config, &base_url, address, &cell);
    let api = Arc::new(Api::new(store, options).map_err(not_started)?);
    let local = local::Server::open(&socket, &api).map_err(|error| unopened(&socket, &error))?;
    let tls = https::server_config(Arc::clone(&cell) as Arc<_>);
    let https = https::Server::open(listener, tls, Arc::clone(&api))
        .map_err(|error| Failure::new(status::IO, error))?;
    let maintenance = Maintenance::start(Arc::clone(&api), Arc::clone(&cell))?;

    warn_of_clock();
    if !had_certificate && !api.is_without_token() {
        warn_of_new_authority(&cell);
    }
    log::info!("serving {base_url} address={}", https.local_addr());
    service::ready(&format!("serving {base_url}"));
    let data_dir = config.data_dir.clone();
    if let Err(failure) = tell(&data_dir, created, &base_url, &cell, &api) {
        // The server works, whether or not it can print this.
        log::warn!("the welcome could not be printed: {}", failure.what);
    }
    let mut reload = Reload::new(sources, configuration, is_level_typed, &api, cell);
    let is_local_open = local.probe();
    thread::scope(|scope| {
        let watchdog = service::Watchdog::start(scope, || https.is_accepting() && is_local_open());
        maintenance::wait_for_stop(&mut signals, &mut reload);
        drop(watchdog);
    });
    service::stopping();
    let damage = close(&api, https, local, maintenance);
    log::info!("stopped");
    damage.map_or(Ok(()), |damage| Err(store_failure(&data_dir, &damage)))
}

/// Opens the store and the port. At a first start the port comes first: a start that fails at the
/// port leaves no store, so that the next start is again the first. Clears `is_opening` in between.
fn open(
    config: &config::Serve,
    is_opening: &AtomicBool,
    on_damage: impl FnOnce() + Send + 'static,
) -> Result<(Store, TcpListener), Failure> {
    let data_dir = &config.data_dir;
    let bind = || take_or_listen(config.listen);
    let is_first = !config::store_path(data_dir).exists();
    let early = is_first.then(bind).transpose()?;
    let was_used = is_first && was_used(data_dir);
    let store = open_store(data_dir, on_damage)?;
    is_opening.store(false, Ordering::SeqCst);
    // Warn at once: this start may still fail, and the next one will find this store.
    if store.was_created() && was_used {
        warn_of_new_store(data_dir);
    }
    Ok((store, early.map_or_else(bind, Ok)?))
}

fn options(
    config: &config::Serve,
    base_url: &BaseUrl,
    address: SocketAddr,
    cell: &Arc<Cell>,
) -> Options {
    Options {
        base_url: Some(base_url.as_str().to_owned()),
        address: Some(address),
        tuning: maintenance::tuning(config),
        certificate: Some(Arc::clone(cell)),
        data_dir: config.data_dir.clone(),
        clock: Arc::new(SystemClock),
    }
}

/// Makes these signals end the process at once until the flag is cleared. Until then the process
/// waits for another process's lock or upgrades a large store, which a kill does not harm, so there
/// is nothing to finish.
fn end_at_once_by(signals: [i32; 2]) -> io::Result<Arc<AtomicBool>> {
    let is_opening = Arc::new(AtomicBool::new(true));
    for signal in signals {
        flag::register_conditional_shutdown(signal, 0, Arc::clone(&is_opening))?;
    }
    Ok(is_opening)
}

fn not_started(error: StartError) -> Failure {
    let code = match &error {
        StartError::Content(_) => status::DATA,
        StartError::Read(_) | StartError::Write(_) => status::IO,
    };
    Failure::new(code, error)
}

fn unopened(socket: &Path, error: &io::Error) -> Failure {
    let what = format!("{}: {error}", socket.display());
    let failure = Failure::new(io_status(error), what);
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failure.hint("{program} check, run as root, says what prevents it")
        }
        _ => failure,
    }
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::new(status::IO, format!("signals cannot be waited for: {error}"))
}

fn make_data_dir(data_dir: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|error| {
            let hint = match error.kind() {
                _ if files::is_away(data_dir) => MOUNT,
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    "it, or a part of its path, is neither a directory nor a link to one: name \
                     another with --data-dir"
                }
                _ => "name another data directory with --data-dir",
            };
            let what = format!("{}: {error}", data_dir.display());
            Failure::new(io_status(&error), what).hint(hint)
        })?;
    let Ok(metadata) = fs::metadata(data_dir) else {
        return Ok(());
    };
    let server = User::at_start(data_dir, &metadata);
    if let Some(Fault { what, fix }) = server.fault(data_dir, &metadata) {
        log::warn!("{what}: {fix}");
    }
    Ok(())
}

fn open_store(
    data_dir: &Path,
    on_damage: impl FnOnce() + Send + 'static,
) -> Result<Store, Failure> {
    let path = config::store_path(data_dir);
    let wait = limits::STORE_LOCK_WAIT_MAX;
    if let Some(server) = local::server_of(data_dir) {
        // At a restart, the previous process may still be finishing its commits and saving its
        // index.
        log::info!(
            "{server} is using this data directory: waiting up to {} s for it to end",
            wait.as_secs()
        );
    }
    Store::open_soon(&path, wait, directory::describe, on_damage)
        .map_err(|error| store_failure(data_dir, &error))
}

fn store_failure(data_dir: &Path, error: &OpenError) -> Failure {
    let path = config::store_path(data_dir);
    if files::is_away(&path) {
        return from_local(local::Error::Away(path));
    }
    let failure = Failure::new(store_status(error), format!("{}: {error}", path.display()));
    match (error, store_hint(error)) {
        (OpenError::Locked, _) => failure.hint(format!(
            "{} is using this data directory: stop it first",
            local::server_of(data_dir)
                .map_or_else(|| "another process".to_owned(), |server| server.to_string())
        )),
        (_, Some(hint)) => failure.hint(hint),
        (_, None) => failure,
    }
}

fn open_certificate(config: &config::Serve, base_url: &BaseUrl) -> Result<Arc<Cell>, Failure> {
    let source = tls::source(config, &host_name(), base_url.host());
    let now = SystemClock.now();
    let cell = Cell::open(source, now)
        .map_err(|error| tls::failure(&error, config.tls_files.is_none()))?;
    let summary = cell.summary();
    if let Some(what) = summary.out_of_date(now) {
        let mut fix = cell.fix(now).to_string();
        // Before the authority's validity begins, the advice is about the clock anyway.
        if !summary.is_before_authority(now) {
            fix = format!("if the time really is {now:.0}: {fix}; if not, set the clock");
        }
        log::error!(
            "{what}: it is served anyway, but clients will refuse it and /readyz answers 503; \
             {fix}"
        );
    }
    for warning in summary.warnings {
        log::warn!("{warning}");
    }
    Ok(cell)
}

/// Whether an earlier start has left something in a data directory without a store: certificates,
/// or the socket of a server that was killed. The key of `cert request` does not count, since it
/// may be made before the first start.
fn was_used(data_dir: &Path) -> bool {
    let has_socket = config::socket_path(data_dir).is_ok_and(|path| path.exists());
    has_socket || certificate::is_any_in(data_dir)
}

/// Warns that this start has created the store although there was one before, whose users are gone.
fn warn_of_new_store(data_dir: &Path) {
    let (shown, program) = (data_dir.display(), program());
    log::warn!(
        "{shown} was in use, but had no store, so a new one without users and tokens was made: if \
         they are missing, stop the server, then: {program} backup restore FILE"
    );
}

/// Warns that this start has created the authority although there were tokens, so that clients may
/// trust an earlier authority.
fn warn_of_new_authority(cell: &Cell) {
    if let Some(own) = cell.summary().authority {
        log::warn!(
            "there was no CA, so a new one was made (fingerprint {}): clients that trust an earlier \
             one refuse this server until they are given {}",
            own.fingerprint,
            own.path.display()
        );
    }
}

/// Raises the limit on open descriptors to the hard limit, and warns if even that is too low.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("the descriptor limit stays as it is: {error}");
    }
    let too_few = getrlimit(Resource::Nofile)
        .current
        .and_then(too_few_descriptors);
    if let Some(what) = too_few {
        log::warn!("descriptors: {what}; raise LimitNOFILE of the service, or ulimit -n");
    }
}

fn warn_of_clock() {
    if SystemClock::shown() < clock::Instant::CLOCK_FLOOR {
        log::error!(
            "the machine's clock is before {}, when this program did not exist yet: timedatectl \
             set-ntp true",
            clock::Instant::CLOCK_FLOOR
        );
    }
}

/// Tells the user at the terminal what to do next. A token is shown only on a terminal, never in a
/// journal.
fn tell(
    data_dir: &Path,
    created: bool,
    base_url: &BaseUrl,
    cell: &Cell,
    api: &Api,
) -> Result<(), Failure> {
    let program = program();
    // The start that created the store may have failed afterwards, so `created` is not enough.
    let is_without_token = api.is_without_token();
    // Process 1 runs in a container, where the terminal is a log.
    if !io::stdout().is_terminal() || std::process::id() == 1 {
        if is_without_token {
            log::info!("make a token for the identity provider with: {program} token issue okta");
        }
        return Ok(());
    }
    let mut lines = vec![
        String::new(),
        "GoLinks SCIM is running.".to_owned(),
        String::new(),
        format!("  Base URL        {base_url}"),
    ];
    // If standard input is not a terminal, perhaps nobody is there to read the token.
    if created && io::stdin().is_terminal() {
        let mut client = Client::connect(data_dir, "first start").map_err(from_local)?;
        lines.push(format!(
            "  API token       {}",
            token::issue_first(&mut client)?
        ));
        client.close();
        lines.push("                  shown once; it is valid for a year".to_owned());
    } else if is_without_token {
        lines.push(format!(
            "  API token       make one with: {program} token issue okta"
        ));
    }
    if let Some(authority) = cell.summary().authority {
        lines.push(format!("  CA fingerprint  {}", authority.fingerprint));
        lines.push(format!("  CA certificate  {}", authority.path.display()));
    }
    lines.extend([
        String::new(),
        "Next, in another terminal:".to_owned(),
        format!("  {program} guide okta     what to type into Okta"),
        format!("  {program} check          whether it can be reached, and if not, the fix"),
        format!("  {program} user list      who is here"),
        String::new(),
    ]);
    output::line(&lines.join("\n"))
}

/// Closes the parts of the server, each before the parts that it uses. Returns the damage to the
/// store that was found while it was open.
fn close(
    api: &Api,
    https: https::Server,
    local: local::Server,
    maintenance: Maintenance,
) -> Option<OpenError> {
    api.begin_stopping();
    let until = Monotonic::now() + limits::DRAIN_DURATION_MAX;
    https.close();
    let left = until.saturating_duration_since(Monotonic::now());
    local.close(left.max(limits::LOCAL_DRAIN_DURATION_MIN));
    maintenance.end();
    let damage = api.store_damage();
    api.close();
    damage
}

/// Keeps programs started from here from gaining privileges, and tokens and keys out of core files.
fn give_up_what_is_not_needed() {
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        log::warn!("privileges could still be gained: {error}");
    }
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        log::warn!("a core file could still be written: {error}");
    }
}
