//! The service manager, if there is one. It is told when the server is ready, reloads its
//! configuration or stops, and that it is alive. It may also have opened the listening socket, so
//! that port 443 needs no privilege and no connection is refused during a restart.
//!
//! The protocols are those of `sd_notify(3)` and `sd_listen_fds(3)`. Without `NOTIFY_SOCKET` and
//! `LISTEN_FDS`, nothing here has an effect.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope};

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::{Failure, status};
use crate::config::{Key, Sources};
use crate::locks::ignore_poison;

/// Whether systemd runs on this machine and has a unit for the server.
fn is_installed() -> bool {
    let units = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let has_unit = |folder: &&str| Path::new(folder).join("golinks-scim.service").exists();
    Path::new("/run/systemd/system").is_dir() && units.iter().any(has_unit)
}

/// Whether a data directory or configuration other than the service's was named.
fn is_elsewhere(sources: &Sources) -> bool {
    let is_set = |name: &str| sources.environment.contains_key(OsStr::new(name));
    sources.file.is_some()
        || sources.flags.iter().any(|(key, _)| *key == Key::DataDir)
        || is_set("GOLINKS_SCIM_CONFIG")
        || is_set("GOLINKS_SCIM_DATA_DIR")
}

/// Whether the command is meant for the service.
pub(super) fn is_meant(sources: &Sources) -> bool {
    !is_elsewhere(sources) && is_installed()
}

/// Whether the command is meant for the service, which only root can inspect: the default data
/// directory of any other user is a different one.
pub(super) fn is_out_of_sight(sources: &Sources) -> bool {
    !rustix::process::geteuid().is_root() && is_meant(sources)
}

/// The listening socket that the service manager has opened, if there is one.
pub(super) fn listener() -> Result<Option<TcpListener>, Failure> {
    let mut opened = ListenFd::from_env();
    if opened.len() > 1 {
        let what = format!("the service manager passed {} sockets", opened.len());
        return Err(Failure::new(status::CONFIGURATION, what)
            .hint("the socket unit must have only one ListenStream; [::]:443 includes IPv4"));
    }
    opened.take_tcp_listener(0).map_err(|error| {
        let what = format!("the socket of the service manager cannot be used: {error}");
        Failure::new(status::CONFIGURATION, what).hint("it must be a TCP socket that listens")
    })
}

/// Tells the service manager that the server answers requests from now on.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Tells the service manager that the configuration is being read again, until [`reloaded`].
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => log::debug!("the service manager cannot be notified of a reload: {error}"),
    }
}

/// Tells the service manager that the server ends once it has answered the requests it has read.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The socket to the service manager, which stays open from the first message on. A live server
/// that ran out of descriptors could not open another one to say that it is alive, and would be
/// killed.
static MANAGER: Mutex<Option<UnixDatagram>> = Mutex::new(None);

fn tell(state: &[NotifyState<'_>]) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let lines: Vec<String> = state.iter().map(ToString::to_string).collect();
    let message = lines.join("\n");
    let mut manager = ignore_poison(MANAGER.lock());
    if let Err(error) = send(&mut manager, &name, message.as_bytes()) {
        log::warn!("the service manager cannot be notified: {error}");
    }
}

fn send(manager: &mut Option<UnixDatagram>, name: &OsStr, message: &[u8]) -> io::Result<()> {
    if let Some(open) = manager
        && open.send(message).is_ok()
    {
        return Ok(());
    }
    // No socket is open yet, or the manager has replaced its own.
    let new = UnixDatagram::unbound()?;
    new.connect_addr(&address(name)?)?;
    new.send(message)?;
    *manager = Some(new);
    Ok(())
}

/// The address for a path or, if it begins with `@`, for a name in the abstract namespace, as in
/// `sd_notify(3)`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// Tells the service manager twice per watchdog interval that the server is alive, until this value
/// is dropped. If the server is not alive, no message is sent.
pub(super) struct Watchdog(#[allow(dead_code, reason = "its drop is the message")] Sender<()>);

impl Watchdog {
    /// Starts the watchdog if the service manager asks for it.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        is_alive: impl Fn() -> bool + Send + 'scope,
    ) -> Option<Self> {
        let pause = sd_notify::watchdog_enabled()? / 2;
        let (stop, stopped) = channel();
        let watch = move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                if is_alive() {
                    tell(&[NotifyState::Watchdog]);
                } else {
                    log::error!(
                        "connections are no longer accepted: the service manager should restart \
                         the server"
                    );
                }
            }
        };
        let started = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn_scoped(scope, watch);
        if let Err(error) = started {
            log::error!("the service manager cannot be notified that the server is alive: {error}");
        }
        Some(Self(stop))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_is_named_by_any_way_is_elsewhere() {
        let of = |file: Option<&str>, flag: Option<&str>, variable: Option<&str>| Sources {
            file: file.map(PathBuf::from),
            flags: flag
                .map(|text| (Key::DataDir, text.to_owned()))
                .into_iter()
                .collect(),
            environment: variable
                .map(|name| (name.into(), "/srv/x".into()))
                .into_iter()
                .collect(),
        };
        for (sources, wanted) in [
            (of(None, None, None), false),
            (of(None, None, Some("HOME")), false),
            (of(Some("/srv/x.toml"), None, None), true),
            (of(None, Some("/srv/x"), None), true),
            (of(None, None, Some("GOLINKS_SCIM_CONFIG")), true),
            (of(None, None, Some("GOLINKS_SCIM_DATA_DIR")), true),
        ] {
            assert_eq!(is_elsewhere(&sources), wanted, "{sources:?}");
        }
    }
}
