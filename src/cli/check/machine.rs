//! Checks of the machine: configuration, data directory, clock, disk.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Findings, Halt, command, number, server};
use crate::certificate;
use crate::cli::rights::{Fault, User};
use crate::cli::{MOUNT, as_root, not_a_directory, tls};
use crate::clock::Instant;
use crate::config::{self, Blame, Configuration, Sources, default_file};
use crate::files;
use crate::fix::filled;
use crate::limits;

/// Network file systems, whose locks and syncs are unreliable.
const REMOTE: [&str; 6] = ["nfs", "cifs", "smb2", "9p", "fuse", "ceph"];

/// Checks the configuration and returns the one to use for the other checks. If the configuration
/// is unusable, that may be one with only the data directory.
pub(super) fn configuration(
    configuration: &Result<Configuration, config::Error>,
    sources: &Sources,
    findings: &mut Findings,
) -> Result<Option<Configuration>, Halt> {
    const TOPIC: &str = "configuration";
    let configuration = match configuration {
        Ok(configuration) => configuration.clone(),
        Err(problem) => {
            findings.fail(TOPIC, &problem.what, &problem.hint)?;
            let rest = Configuration::of_data_dir(sources).filter(|_| problem.blame != Blame::Flag);
            return Ok(rest);
        }
    };
    for warning in &configuration.warnings {
        let fix = command("config show");
        findings.warn(TOPIC, warning, &fix)?;
    }
    let what = if let Some(file) = &configuration.file {
        format!("{} can be used", file.display())
    } else {
        let file = default_file().display();
        format!("there is no {file}, and none is needed")
    };
    findings.pass(TOPIC, &what)?;
    // Check this even while a server runs: at its next start it would be too late.
    if let Err(failure) = tls::examine(&configuration.serve) {
        let hint = failure.hint.as_deref();
        let fix = filled(hint.unwrap_or("put a valid chain and its key there"));
        findings.fail("certificate", &failure.what, &fix)?;
    }
    Ok(Some(configuration))
}

/// Reports what clients may object to in the certificate that the next start would serve. The
/// certificate of a running server is checked as a client sees it.
pub(super) fn certificate_to_be(
    config: &config::Serve,
    findings: &mut Findings,
) -> Result<(), Halt> {
    // A certificate that cannot be served at all was already reported with the configuration.
    for warning in tls::examine(config).unwrap_or_default() {
        let fix = match &config.tls_files {
            Some(_) => {
                "put the full chain for the host of the base URL, and its key, there".to_owned()
            }
            None => command("cert install CHAIN.pem --key KEY.pem"),
        };
        findings.warn("certificate", &warning, &fix)?;
    }
    Ok(())
}

const DATA_DIRECTORY: &str = "data directory";

/// Checks that the directory exists and that nobody else can use it. Returns whether the other
/// checks are possible.
pub(super) fn data_directory(
    config: &config::Serve,
    findings: &mut Findings,
) -> Result<bool, Halt> {
    let data_dir = config.data_dir.as_path();
    let shown = crate::cli::quoted(data_dir);
    let metadata = match fs::metadata(data_dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let fix = "name another with --data-dir, or move the file away";
            findings.fail(DATA_DIRECTORY, &format!("{shown} is a file"), fix)?;
            return Ok(false);
        }
        Err(error) => {
            let fix = match error.kind() {
                ErrorKind::PermissionDenied => as_root(data_dir),
                ErrorKind::NotADirectory => not_a_directory(data_dir),
                _ if files::is_away(data_dir) => MOUNT.to_owned(),
                _ => server::first_start(config, findings),
            };
            findings.fail(DATA_DIRECTORY, &format!("{shown}: {error}"), &fix)?;
            return Ok(false);
        }
    };
    let before = findings.count(super::Outcome::Fail);
    let server = User::of_server(data_dir, &metadata);
    // The first server may run as any user, and reports itself what is wrong for that user.
    let is_empty = config::store_path(data_dir)
        .try_exists()
        .is_ok_and(|it| !it);
    let fault = server.fault(data_dir, &metadata).filter(|_| !is_empty);
    if let Some(Fault { what, fix }) = fault {
        findings.fail(DATA_DIRECTORY, &what, &fix)?;
    }
    kept_files(data_dir, &server, findings)?;
    if findings.count(super::Outcome::Fail) == before {
        let is_shared = metadata.mode() & 0o077 != 0;
        let what = if is_shared && is_empty {
            format!("there is no store in {shown} yet")
        } else if is_shared {
            format!("only its owner and its group can write to {shown}")
        } else {
            format!("only its owner can use {shown}")
        };
        findings.pass(DATA_DIRECTORY, &what)?;
    }
    Ok(true)
}

/// Checks that the owner, and nobody else, can use the files that the server keeps there.
fn kept_files(data_dir: &Path, server: &User, findings: &mut Findings) -> Result<(), Halt> {
    for (path, inner) in contents(data_dir) {
        // The private authority's certificate is meant for everybody.
        let is_public = path.ends_with("ca.pem");
        let needed = needed_mode(data_dir, &path, &inner);
        let path = crate::cli::quoted(&path);
        let mode = if inner.is_dir() { "700" } else { "600" };
        let close = format!("chmod {mode} {path}");
        if inner.mode() & needed != needed {
            let what = format!("{path} cannot be used by its owner");
            findings.fail(DATA_DIRECTORY, &what, &close)?;
        }
        if inner.mode() & 0o077 != 0 && !is_public {
            let what = format!("{path} can be read by other users of the machine");
            findings.fail(DATA_DIRECTORY, &what, &close)?;
        }
        if inner.uid() != server.id {
            findings.fail(
                DATA_DIRECTORY,
                &format!("{path} has another owner than the other files: the server cannot use it"),
                &server.give(&path),
            )?;
        }
    }
    Ok(())
}

/// The store and the keys of the server, or the targets of links in their place. A link to a file
/// of another owner is left to the check of the certificate: how that owner lets the server read
/// the file is up to the owner.
fn contents(data_dir: &Path) -> Vec<(PathBuf, Metadata)> {
    let tls = certificate::directory(data_dir);
    let keys = fs::read_dir(&tls).into_iter().flatten().flatten();
    let keys = keys.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let keys = keys.map(|entry| entry.path());
    let paths = [config::store_path(data_dir), tls.clone()].into_iter();
    let with_metadata = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata))
    };
    paths.chain(keys).filter_map(with_metadata).collect()
}

/// The permissions that the owner needs on a path: the server writes the store and reads keys.
fn needed_mode(data_dir: &Path, path: &Path, metadata: &Metadata) -> u32 {
    match metadata {
        _ if metadata.is_dir() => 0o700,
        _ if path == config::store_path(data_dir) => 0o600,
        _ => 0o400,
    }
}

const SET_CLOCK: &str = "timedatectl set-ntp true";

/// Checks that `now`, the clock's time, is not before this program existed and not before the
/// newest change.
pub(super) fn clock(
    state: &Value,
    now: Instant,
    is_synchronised: impl Fn() -> bool,
    findings: &mut Findings,
) -> Result<(), Halt> {
    const TOPIC: &str = "clock";
    if now < Instant::CLOCK_FLOOR {
        let what = format!("the clock here says {now}, before this program existed");
        return findings.fail(TOPIC, &what, SET_CLOCK);
    }
    let newest = state["newestChange"].as_str().and_then(Instant::parse);
    let Some(newest) =
        newest.filter(|newest| *newest > now.plus_seconds(limits::CLOCK_SLACK_SECONDS))
    else {
        return findings.pass(TOPIC, &format!("it is {now}"));
    };
    if is_synchronised() {
        let what = format!("a change was made at {newest}, when the clock was ahead; it is {now}");
        let fix = "nothing to do: the clock is now synchronised over the network, and new changes \
                    get later times";
        return findings.warn(TOPIC, &what, fix);
    }
    let what = format!("the clock here says {now}, but a change was made at {newest}");
    findings.fail(TOPIC, &what, SET_CLOCK)
}

/// Whether the machine reports that its clock is synchronized over the network.
pub(super) fn is_synchronised() -> bool {
    // timedatectl asks another service, which may hang.
    Command::new("timeout")
        .args([
            "3",
            "timedatectl",
            "show",
            "--property=NTPSynchronized",
            "--value",
        ])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"yes")
}

/// Refers to the manual, since a service also needs permission for a different directory.
const MOVE: &str = "move the directory to a local disk: golinks-scim manual install has the lines, under \"Another data directory\"";

pub(super) fn disk(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    const TOPIC: &str = "disk";
    const MIB: u64 = 1024 * 1024;
    let Some(free) = number(state, "/disk/freeBytes") else {
        return findings.not_run(TOPIC, "free disk space is not reported");
    };
    let directory = state["dataDirectory"]
        .as_str()
        .unwrap_or("the data directory");
    let kind = state
        .pointer("/disk/kind")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    if REMOTE.contains(&kind) {
        findings.warn(
            TOPIC,
            &format!(
                "{directory} is on {kind}: locks and syncs over a network cannot be relied on"
            ),
            MOVE,
        )?;
    } else if matches!(kind, "tmpfs" | "ramfs") {
        findings.warn(
            TOPIC,
            &format!("{directory} is on {kind}: everything is lost when the machine stops"),
            MOVE,
        )?;
    }
    let store = number(state, "/storeBytes").unwrap_or(0);
    let told = format!(
        "{} MiB are free ({kind}), the store has {} MiB",
        free / MIB,
        store / MIB
    );
    let fix = format!(
        "free some space; to see what takes it up: du -xh --max-depth=2 \"$(stat -c %m {})\" | \
         sort -h | tail",
        crate::cli::quoted(Path::new(directory))
    );
    if free < limits::DISK_FREE_BYTES_MIN {
        findings.fail(TOPIC, &told, &fix)
    } else if free < store {
        // The store may double in size at once, and a backup needs the same space again.
        findings.warn(TOPIC, &told, &fix)
    } else {
        findings.pass(TOPIC, &told)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;
    use crate::clock::{Clock, SystemClock};

    /// How often each outcome was reported.
    fn told(look: impl Fn(&mut Findings) -> Result<(), Halt>) -> Vec<(Outcome, usize)> {
        let mut findings = Findings::new(None);
        look(&mut findings).expect("standard output is open");
        let all = [Outcome::Pass, Outcome::Warn, Outcome::Fail, Outcome::NotRun];
        let counts = all.map(|outcome| (outcome, findings.count(outcome)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn disk_of(kind: &str, free: u64, store: u64) -> Vec<(Outcome, usize)> {
        let state = json!({
            "dataDirectory": "/d", "storeBytes": store,
            "disk": {"kind": kind, "freeBytes": free},
        });
        told(|findings| disk(&state, findings))
    }

    #[test]
    fn file_systems_that_are_no_disks_are_warned_of() {
        const GIB: u64 = 1 << 30;
        assert_eq!(disk_of("ext4", GIB, 1), [(Outcome::Pass, 1)]);
        for kind in REMOTE.into_iter().chain(["tmpfs", "ramfs"]) {
            let wanted = [(Outcome::Pass, 1), (Outcome::Warn, 1)];
            assert_eq!(disk_of(kind, GIB, 1), wanted, "{kind}");
        }
        assert_eq!(disk_of("ext4", GIB, 2 * GIB), [(Outcome::Warn, 1)]);
        assert_eq!(disk_of("ext4", 1, 1), [(Outcome::Fail, 1)]);
        assert_eq!(
            told(|findings| disk(&json!({}), findings)),
            [(Outcome::NotRun, 1)]
        );
    }

    #[test]
    fn a_clock_behind_what_was_written_is_wrong() {
        let now = SystemClock.now();
        let at = |seconds| json!({"newestChange": now.plus_seconds(seconds).to_string()});
        for (seconds, is_synchronised, wanted) in [
            (-5, false, Outcome::Pass),
            (60, false, Outcome::Pass),
            (3600, false, Outcome::Fail),
            (3600, true, Outcome::Warn),
        ] {
            let state = at(seconds);
            assert_eq!(
                told(|findings| clock(&state, now, || is_synchronised, findings)),
                [(wanted, 1)],
                "{seconds}"
            );
        }
        let long_ago = Instant::from_millis(0);
        let found = told(|findings| clock(&json!({}), long_ago, || true, findings));
        assert_eq!(found, [(Outcome::Fail, 1)]);
    }
}
