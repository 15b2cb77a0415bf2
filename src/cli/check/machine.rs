//! The machine: configuration, data directory, clock, disk.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Failure, Findings, number};
use crate::certificate;
use crate::cli::tls;
use crate::clock::{Clock, Instant, SystemClock};
use crate::config::{self, Configuration, default_file};
use crate::limits;

/// File systems over a network, whose locks and syncs cannot be relied on.
const REMOTE: [&str; 6] = ["nfs", "cifs", "smb2", "9p", "fuse", "ceph"];

pub(super) fn configuration(
    configuration: &Configuration,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for warning in &configuration.warnings {
        findings.warn("configuration", warning, "golinks-scim config show")?;
    }
    let told = if let Some(file) = &configuration.file {
        format!("{} can be used", file.display())
    } else {
        let file = default_file().display();
        format!("there is no {file}, and none is needed")
    };
    findings.pass("configuration", &told)?;
    // With a server that runs too: its next start must not be where somebody learns of it.
    match tls::examine(&configuration.serve) {
        Ok(()) => Ok(()),
        Err(failure) => {
            let mend = failure.hint.as_deref().unwrap_or(EXCHANGE);
            findings.fail("certificate", &failure.what, mend)
        }
    }
}

const EXCHANGE: &str = "put a chain and its key there that can be used";

/// Whether it is there, and nobody else's. Whether the rest can be looked at.
pub(super) fn data_directory(data_dir: &Path, findings: &mut Findings) -> Result<bool, Failure> {
    const TOPIC: &str = "data directory";
    let shown = crate::cli::quoted(data_dir);
    let metadata = match fs::metadata(data_dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let mend = "name another with --data-dir, or move the file away";
            findings.fail(TOPIC, &format!("{shown} is a file"), mend)?;
            return Ok(false);
        }
        Err(error) => {
            let mend = super::server::start(findings);
            findings.fail(TOPIC, &format!("{shown}: {error}"), &mend)?;
            return Ok(false);
        }
    };
    let before = findings.count(super::Outcome::Fail);
    if metadata.mode() & 0o077 != 0 {
        findings.fail(
            TOPIC,
            &format!("{shown} can be looked into by other users of the machine"),
            &format!("chmod 700 {shown}"),
        )?;
    }
    for (path, inner) in contents(data_dir) {
        let path = crate::cli::quoted(&path);
        if inner.mode() & 0o077 != 0 && !inner.is_symlink() {
            let mode = if inner.is_dir() { "700" } else { "600" };
            let what = format!("{path} can be read by other users of the machine");
            findings.fail(TOPIC, &what, &format!("chmod {mode} {path}"))?;
        }
        if inner.uid() != metadata.uid() {
            findings.fail(
                TOPIC,
                &format!(
                    "{path} belongs to another user than the directory: the server cannot use it"
                ),
                &format!("chown {}:{} {path}", metadata.uid(), metadata.gid()),
            )?;
        }
    }
    if findings.count(super::Outcome::Fail) == before {
        findings.pass(TOPIC, &format!("{shown} is its owner's alone"))?;
    }
    Ok(true)
}

/// What the server keeps: store and keys.
fn contents(data_dir: &Path) -> Vec<(PathBuf, Metadata)> {
    let tls = certificate::directory(data_dir);
    let mut paths = vec![config::store_path(data_dir), tls.clone()];
    let keys = fs::read_dir(&tls).into_iter().flatten().flatten();
    paths.extend(keys.map(|entry| entry.path()));
    let with_metadata = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).ok()?;
        Some((path, metadata))
    };
    let mut found: Vec<_> = paths.into_iter().filter_map(with_metadata).collect();
    // The certificate of the private authority is for everybody.
    found.retain(|(path, _)| !path.ends_with("ca.pem"));
    found
}

/// Whether it is as late as it has been already.
pub(super) fn clock(state: &Value, findings: &mut Findings) -> Result<(), Failure> {
    const MEND: &str = "timedatectl set-ntp true";
    let now = SystemClock.now();
    let newest = state["newestChange"].as_str().and_then(Instant::parse);
    let Some(newest) =
        newest.filter(|newest| *newest > now.plus_seconds(limits::CLOCK_SLACK_SECONDS))
    else {
        return findings.pass("clock", &format!("it is {now}"));
    };
    let what = format!("it is {now} here, but a change was made at {newest}");
    findings.fail("clock", &what, MEND)
}

pub(super) fn disk(state: &Value, findings: &mut Findings) -> Result<(), Failure> {
    const TOPIC: &str = "disk";
    const MIB: u64 = 1024 * 1024;
    let Some(free) = number(state, "/disk/freeBytes") else {
        return findings.not_run(TOPIC, "the file system does not tell");
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
            "stop the server, move the directory to a local disk, and name it with data_dir",
        )?;
    } else if matches!(kind, "tmpfs" | "ramfs") {
        findings.warn(
            TOPIC,
            &format!("{directory} is on {kind}: everything is lost when the machine stops"),
            "stop the server, move the directory to a disk, and name it with data_dir",
        )?;
    }
    let store = number(state, "/storeBytes").unwrap_or(0);
    let told = format!(
        "{} MiB are free ({kind}), the store has {} MiB",
        free / MIB,
        store / MIB
    );
    let mend =
        format!("free space: du -xh --max-depth=2 \"$(stat -c %m {directory})\" | sort -h | tail");
    if free < limits::DISK_FREE_BYTES_MIN {
        findings.fail(TOPIC, &told, &mend)
    } else if free < store {
        // The store grows by as much as it has, and a backup takes as much.
        findings.warn(TOPIC, &told, &mend)
    } else {
        findings.pass(TOPIC, &told)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    /// How often each outcome was told.
    fn told(look: impl Fn(&mut Findings) -> Result<(), Failure>) -> Vec<(Outcome, usize)> {
        let mut findings = Findings::new(None, "golinks-scim".to_owned());
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
        for kind in ["nfs", "cifs", "9p", "fuse", "tmpfs"] {
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
        let at =
            |seconds| json!({"newestChange": SystemClock.now().plus_seconds(seconds).to_string()});
        for (seconds, wanted) in [
            (-5, Outcome::Pass),
            (60, Outcome::Pass),
            (3600, Outcome::Fail),
        ] {
            let state = at(seconds);
            assert_eq!(
                told(|findings| clock(&state, findings)),
                [(wanted, 1)],
                "{seconds}"
            );
        }
    }
}
