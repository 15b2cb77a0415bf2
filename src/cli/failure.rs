//! Why a command fails: the exit status for scripts, and for people the message and what to do. Here
//! are also the failures that several commands have in common, about the store, the local socket,
//! the configuration and files.

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use super::output;
use crate::config::{self, Blame};
use crate::files;
use crate::fix::{filled, quoted};
use crate::local;
use crate::logging;
use crate::store::OpenError;

/// Why a command failed: an exit status for scripts, and a message for people.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: u8,
    pub(super) what: String,
    pub(super) hint: Option<String>,
    /// Whether it is that standard output has no reader any more. The reader has seen enough, so
    /// this is not reported, unless it was to learn what was changed.
    pub(super) is_reader_gone: bool,
}

impl Failure {
    pub(super) fn new(status: u8, what: impl Display) -> Self {
        Self {
            status,
            what: what.to_string(),
            hint: None,
            is_reader_gone: false,
        }
    }

    /// Adds what to do; `{program}` stands for the start of a command, as in `fix`.
    pub(super) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Reports the failure to the user, or through the log if the log is JSON, since its collector
    /// expects nothing else.
    pub(super) fn tell(&self) {
        let hint = self.hint.as_deref().map(filled);
        if logging::is_json() {
            log::error!(hint = hint.as_deref(); "{}", self.what);
        } else {
            output::failure(&self.what, hint.as_deref());
        }
    }
}

/// Exit statuses: those of `sysexits.h`, 1 for something refused or not found, and the shell's
/// statuses for a command ended by SIGHUP, SIGINT or SIGTERM.
pub(super) mod status {
    pub(in crate::cli) const REFUSED: u8 = 1;
    pub(in crate::cli) const USAGE: u8 = 64;
    pub(in crate::cli) const DATA: u8 = 65;
    pub(in crate::cli) const UNAVAILABLE: u8 = 69;
    pub(in crate::cli) const IO: u8 = 74;
    pub(in crate::cli) const PERMISSION: u8 = 77;
    pub(in crate::cli) const CONFIGURATION: u8 = 78;
    pub(in crate::cli) const HUNG_UP: u8 = 129;
    pub(in crate::cli) const INTERRUPTED: u8 = 130;
    pub(in crate::cli) const TERMINATED: u8 = 143;
}

pub(super) fn from_configuration(problem: config::Error) -> Failure {
    let code = match problem.blame {
        Blame::Flag => status::USAGE,
        Blame::Setting => status::CONFIGURATION,
        Blame::Permission => status::PERMISSION,
        Blame::System => status::IO,
    };
    Failure::new(code, problem.what).hint(problem.hint)
}

pub(super) fn from_local(error: local::Error) -> Failure {
    let code = match &error {
        local::Error::Forbidden { .. } => status::PERMISSION,
        local::Error::Store(error) => store_status(error),
        local::Error::Content(_) => status::DATA,
        local::Error::SocketPath(_) => status::CONFIGURATION,
        local::Error::NoDirectory(_) | local::Error::Silent(_) => status::UNAVAILABLE,
        local::Error::Away(_) | local::Error::Io(_) => status::IO,
    };
    let hint = match &error {
        local::Error::NoDirectory(_) => Some(format!(
            "start `{{program}} serve` once, or {}",
            other_data_dir()
        )),
        local::Error::Away(_) => Some(MOUNT.to_owned()),
        local::Error::Forbidden { data_dir, .. } => Some(as_root(data_dir)),
        local::Error::Store(error) => store_hint(error).map(str::to_owned),
        local::Error::SocketPath(_) => Some("choose a shorter --data-dir".to_owned()),
        local::Error::Silent(_) => {
            Some("{program} check says what to do about a server that hangs".to_owned())
        }
        local::Error::Content(_) | local::Error::Io(_) => None,
    };
    Failure {
        hint,
        ..Failure::new(code, error)
    }
}

pub(super) fn store_status(error: &OpenError) -> u8 {
    match error {
        OpenError::Locked => status::UNAVAILABLE,
        OpenError::Newer(_) | OpenError::Older(_) | OpenError::Damaged(_) => status::DATA,
        OpenError::Io(error) | OpenError::NotUpgraded { error, .. } => io_status(error),
    }
}

/// The exit status for an error of the system about a file or a socket.
pub(super) fn io_status(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::PermissionDenied => status::PERMISSION,
        _ => status::IO,
    }
}

/// The hint for a damaged store.
pub(super) const RESTORE: &str = "restore a backup: {program} backup restore FILE";

/// The hint for a link whose target does not exist.
pub(super) const MOUNT: &str =
    "mount what the link leads to, or name another data directory with --data-dir";

/// The hint for a user without permission. It names the directory, since another user has another
/// default directory.
pub(super) fn as_root(data_dir: &Path) -> String {
    format!(
        "run this as root, or as the user that runs the server, with --data-dir {}",
        quoted(data_dir)
    )
}

/// The hint for a user who has reached the wrong data directory. Root needs no sudo.
pub(super) fn other_data_dir() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "name another data directory with --data-dir"
    } else {
        "name another data directory with --data-dir; to reach that of a service, put sudo in front \
         and leave --data-dir out"
    }
}

/// The hint for a path whose data directory, or a part of it, is a file or a link to nothing.
pub(super) fn not_a_directory(data_dir: &Path) -> String {
    if files::is_away(data_dir) {
        return MOUNT.to_owned();
    }
    format!(
        "{} is not a directory: {}",
        data_dir.display(),
        other_data_dir()
    )
}

pub(super) fn store_hint(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::Newer(_) => {
            Some("install the version of golinks-scim that wrote it, or a newer one")
        }
        OpenError::Damaged(_) => Some(RESTORE),
        OpenError::Locked => Some(
            "another golinks-scim command is using it, or a server that is just starting or stopping: \
             try again in a moment; {program} check says what to do if it stays so",
        ),
        OpenError::NotUpgraded { .. } => Some(
            "nothing was changed: fix that and start again, or keep using the version that wrote \
             it",
        ),
        OpenError::Io(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Some(
            "dmesg says why the disk is read-only; if it stays so, copy the data directory to \
             another one, and name that with --data-dir",
        ),
        OpenError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(
            "give the user that runs this read and write access, or run it as root; {program} \
             check, run as root, names the right owner",
        ),
        OpenError::Older(_) | OpenError::Io(_) => None,
    }
}

/// Fails if `path` cannot become a new file: something is there, or it names no file.
pub(super) fn refuse_taken(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => return Err(unusable(path, &io::ErrorKind::AlreadyExists.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(path, &error)),
    }
    if path.as_os_str().as_bytes().ends_with(b"/") {
        let what = format!("{}: what ends with / is no name of a file", path.display());
        return Err(Failure::new(status::USAGE, what).hint("name a file in that directory"));
    }
    Ok(())
}

/// The failure for a file that cannot be used, with the system's reason.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists if path.is_dir() => {
            Failure::new(status::USAGE, format!("{shown} is a directory"))
                .hint("name a file that is not there yet, such as one in it")
        }
        io::ErrorKind::AlreadyExists => {
            let what = format!("{shown}: the file exists already");
            Failure::new(status::USAGE, what)
                .hint("name a file that is not there yet: nothing is overwritten")
        }
        _ => Failure::new(io_status(error), format!("{shown}: {error}")),
    }
}
