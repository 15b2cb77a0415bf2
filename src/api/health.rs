//! The state of the server, for `/readyz`, metrics, the log and `check`. Nothing here may fail or
//! wait: it is needed most when something else does.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]

use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use super::warnings::{self, Step, Warning};
use crate::access::{Administrator, Principal};
use crate::clock::Instant;
use crate::config;
use crate::files;
use crate::fix::Fix;
use crate::http1::accept_header;
use crate::limits;
use crate::metrics::{self, Format, Process};
use crate::store::StorageFault;

/// `GET /metrics`, in the format that the caller reads.
pub(super) fn metrics(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let format = if admission.accepts_openmetrics() {
        Format::OpenMetrics
    } else {
        Format::Classic
    };
    let text = api.metrics.text(&state(api), format);
    let mut answer = reply::text(format.media_type(), text);
    answer.headers.push(("Vary", "Accept".to_owned()));
    Ok(answer)
}

/// Whether an `Accept` names OpenMetrics. `*/*` does not count: clients that read only the older
/// format send it, too.
pub(super) fn accepts_openmetrics(accept: Option<&str>) -> bool {
    accept_header::members(accept.unwrap_or_default()).any(|range| {
        let is_named = range
            .name
            .eq_ignore_ascii_case("application/openmetrics-text");
        is_named && !range.is_refused
    })
}

/// `GET /readyz`: whether the server is fit to serve, and if not, why.
pub(super) fn readyz(api: &Api, _: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let reasons = reasons(api);
    if reasons.is_empty() {
        return Ok(reply::json(200, &json!({"status": "ready"})));
    }
    let reasons: Vec<String> = reasons.into_iter().map(|reason| reason.what).collect();
    Err(Problem::new(503, reasons.join("; ")))
}

/// `GET /admin/status`: everything that `check` must know about a running server.
pub(super) fn status(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let now = api.clock.now();
    let reasons = reasons(api);
    let alarm = api.directory.alarm(api.tuned.get().alarm);
    let disk = disk(&api.data_dir);
    // A command without a server has no connections, and its limits and start time do not matter.
    let is_served = api.address.is_some();
    let users = api.directory.counts_by_status();
    let newest = api.store.snapshot().ok();
    let newest = newest.and_then(|snapshot| snapshot.newest_audit().ok().flatten());
    let newest: Option<Value> = newest.and_then(|row| serde_json::from_str(&row).ok());
    Ok(reply::json(
        200,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": is_served.then(std::process::id),
            "startedAt": is_served.then(|| api.started.to_string()),
            "dataDirectory": api.data_dir,
            "ready": reasons.is_empty(),
            "reasons": reasons
                .iter()
                .map(|reason| json!({"what": reason.what, "fix": reason.fix.template()}))
                .collect::<Vec<_>>(),
            "users": users.map(|(active, inactive)| json!({
                "active": active,
                "inactive": inactive,
            })),
            "connections": is_served.then(|| api.metrics.connections()),
            "descriptors": is_served.then(Process::now).map(|process| json!({
                "limit": process.descriptors_max,
                "used": process.descriptors_open,
            })),
            "disk": disk.map(|disk| json!({
                "freeBytes": disk.free_bytes,
                "totalBytes": disk.total_bytes,
                "kind": kind_of(&api.data_dir),
            })),
            "storeBytes": store_bytes(&api.data_dir),
            "newestChange": newest.map(|row| row["time"].clone()),
            "alarm": {
                "deactivationsLastHour": alarm.deactivations,
                "threshold": alarm.threshold,
                "isRaised": alarm.raised.is_some(),
                "since": alarm.raised.map(|since| since.to_string()),
            },
            "ignored": api.ignored_names.to_json(),
            "certificate": certificate_days_left(api, now).map(|days| json!({"daysLeft": days})),
            "warnings": warnings::all(api, &alarm, now)
                .iter()
                .map(Warning::to_json)
                .collect::<Vec<_>>(),
        }),
    ))
}

/// Why changes cannot be made, or soon cannot, and what fixes it.
struct Reason {
    what: String,
    fix: Fix,
}

/// All reasons; none when the server is ready.
fn reasons(api: &Api) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |what: String, fix| {
        let fix = Fix::new(fix);
        reasons.push(Reason { what, fix });
    };
    match api.store.fault() {
        None if api.store.snapshot().is_ok() => {}
        None => add(
            "the store is being opened".to_owned(),
            "wait a moment; if this persists, the log says why",
        ),
        Some(StorageFault::Full) => add(
            "the disk is full: users can be read, not changed".to_owned(),
            "free some space, no restart is needed; if there is space, a quota or a limit on file \
             sizes (LimitFSIZE) has been reached",
        ),
        Some(StorageFault::Failing) => add(
            "the disk cannot be written: users can be read, not changed".to_owned(),
            "look at the disk (dmesg), then: golinks-scim manual disk-full",
        ),
    }
    if let Some(how) = api.damages.first() {
        add(
            format!("the store is damaged: {how}"),
            "stop the server; then {program} backup restore FILE",
        );
    }
    if let Some(disk) = disk(&api.data_dir)
        && disk.free_bytes < limits::DISK_FREE_BYTES_MIN
    {
        reasons.push(little_space(&disk));
    }
    reasons.extend(certificate_out_of_date(api));
    if api.is_stopping.load(Ordering::Relaxed) {
        let fix = "start it again: systemctl start golinks-scim, or {program} serve";
        reasons.push(Reason {
            what: "the server is stopping".to_owned(),
            fix: Fix::new(fix),
        });
    }
    reasons
}

fn little_space(disk: &Disk) -> Reason {
    let (left, needed) = (disk.free_bytes >> 20, limits::DISK_FREE_BYTES_MIN >> 20);
    Reason {
        what: format!("the disk has only {left} MiB left, less than {needed}"),
        fix: Fix::new(MAKE_SPACE),
    }
}

/// The reasons that nothing else logs when they arise.
pub(super) fn unready(api: &Api) -> Vec<Warning> {
    let warning = |about: &str, reason: Reason, step| Warning {
        kind: "readiness",
        what: reason.what,
        fix: reason.fix,
        steps: vec![(about.to_owned(), step)],
    };
    let mut warnings = Vec::new();
    if let Some(disk) = disk(&api.data_dir)
        && let Some(step) = step_of_space(disk.free_bytes, api.store.fault())
    {
        warnings.push(warning("disk", little_space(&disk), step));
    }
    let certificate = certificate_out_of_date(api);
    warnings.extend(certificate.map(|it| warning(warnings::CERTIFICATE, it, Step::Reached)));
    warnings
}

/// The step of the warning about free space. It is forgotten at twice the limit only, since free
/// space hovers around the limit. The store itself reports a full disk.
fn step_of_space(free_bytes: u64, fault: Option<StorageFault>) -> Option<Step> {
    match fault {
        _ if free_bytes >= 2 * limits::DISK_FREE_BYTES_MIN => None,
        Some(StorageFault::Full) => Some(Step::Unlogged),
        _ if free_bytes < limits::DISK_FREE_BYTES_MIN => Some(Step::Reached),
        _ => Some(Step::Unlogged),
    }
}

fn certificate_out_of_date(api: &Api) -> Option<Reason> {
    let cell = api.certificate.as_ref()?;
    let (summary, now) = (cell.summary(), api.clock.now());
    summary.out_of_date(now)?;
    let (begins, ends) = (summary.not_before, summary.not_after);
    Some(Reason {
        what: format!("the certificate is valid from {begins} to {ends}, but it is now {now}"),
        fix: cell.fix(now),
    })
}

const MAKE_SPACE: &str = "free some space; no restart is needed";

fn state(api: &Api) -> metrics::State {
    let now = api.clock.now();
    let alarm = api.directory.alarm(api.tuned.get().alarm);
    metrics::State {
        users: api.directory.counts_by_status(),
        is_ready: reasons(api).is_empty(),
        disk_free_bytes: disk(&api.data_dir).map(|disk| disk.free_bytes),
        store_bytes: store_bytes(&api.data_dir),
        audit: audit_extent(api),
        deactivations: alarm.deactivations,
        is_alarm_raised: alarm.raised.is_some(),
        certificate_days_left: certificate_days_left(api, now),
        started_seconds: api.started.seconds(),
        tokens: tokens(api, now),
        process: Process::now(),
    }
}

fn audit_extent(api: &Api) -> Option<(u64, u64)> {
    let extent = api.store.snapshot().ok()?.audit_extent().ok()?;
    Some((extent.rows, extent.bytes))
}

fn certificate_days_left(api: &Api, now: Instant) -> Option<i64> {
    let summary = api.certificate.as_ref()?.summary();
    Some(now.days_until(summary.not_after))
}

fn tokens(api: &Api, now: Instant) -> Vec<metrics::TokenGauges> {
    let live = api.tokens.list(now).into_iter();
    let live = live.filter(|token| token.is_live(now));
    // An alert about a token near its end must not clear when the token ends.
    let told = live.chain(api.tokens.ended(now));
    told.map(|token| metrics::TokenGauges {
        id: token.id.to_string(),
        name: token.name.clone(),
        days_left: token.expires.map(|expires| now.days_until(expires)),
        idle_seconds: {
            let spoke = token.last_used().map_or(token.created, |used| used.at);
            // If the clock was set back, the last use must not lie in the future.
            now.seconds().saturating_sub(spoke.seconds()).max(0)
        },
    })
    .collect()
}

struct Disk {
    free_bytes: u64,
    total_bytes: u64,
}

/// The file system of the data directory, with the space that this process's user may use.
fn disk(data_dir: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(data_dir).ok()?;
    Some(Disk {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// The name of the data directory's file system, or its magic number.
fn kind_of(data_dir: &Path) -> Option<String> {
    let magic = rustix::fs::statfs(data_dir).ok()?.f_type;
    // On some machines the field is signed.
    let magic = u32::try_from(magic & 0xFFFF_FFFF).ok()?;
    let name = name_of(magic).map(str::to_owned);
    Some(name.unwrap_or_else(|| format!("{magic:#x}")))
}

/// The name of the file system with a magic number (`statfs(2)`). All are from `linux/magic.h`,
/// except that of zfs, which is not there.
fn name_of(magic: u32) -> Option<&'static str> {
    let name = match magic {
        0x0000_EF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x2FC1_2FC1 => "zfs",
        0xF2F5_2010 => "f2fs",
        0x0102_1994 => "tmpfs",
        0x8584_58F6 => "ramfs",
        0x794C_7630 => "overlay",
        0x0000_6969 => "nfs",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb2",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        0x00C3_6400 => "ceph",
        _ => return None,
    };
    Some(name)
}

fn store_bytes(data_dir: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(config::store_path(data_dir)).ok()?;
    Some(files::bytes_on_disk(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_whoever_names_it() {
        // As Prometheus 2 and 3 send it.
        let two = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,\
            */*;q=0.1";
        // As the older Telegraf sends it.
        let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
            encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3";
        for (header, wanted) in [
            (Some(two), true),
            (Some(three), true),
            (Some("Application/OpenMetrics-Text"), true),
            (
                Some("text/plain, application/openmetrics-text ; q=0.1"),
                true,
            ),
            (Some("application/openmetrics-text;q=0, */*"), false),
            (Some("application/openmetrics-texts"), false),
            (Some(telegraf), false),
            (Some("text/plain"), false),
            (Some("*/*"), false),
            (Some("application/*"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(accepts_openmetrics(header), wanted, "{header:?}");
        }
    }

    /// The store's file has a hole: its end is reserved in large steps.
    #[test]
    fn holes_of_the_store_take_nothing_of_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = std::fs::File::create(config::store_path(folder.path())).expect("made");
        store.set_len(1 << 40).expect("a hole");
        assert!(store_bytes(folder.path()) < Some(1 << 20));
    }

    #[test]
    fn little_space_is_told_of_where_the_store_does_not() {
        let least = limits::DISK_FREE_BYTES_MIN;
        for (free, fault, wanted) in [
            (2 * least, None, None),
            (2 * least - 1, None, Some(Step::Unlogged)),
            (least, None, Some(Step::Unlogged)),
            (least - 1, None, Some(Step::Reached)),
            (least - 1, Some(StorageFault::Failing), Some(Step::Reached)),
            (0, Some(StorageFault::Full), Some(Step::Unlogged)),
        ] {
            assert_eq!(step_of_space(free, fault), wanted, "{free} {fault:?}");
        }
    }
}
