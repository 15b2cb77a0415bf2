//! The state of the server, for `/readyz`, the log and `check`. Nothing here may fail, and only what
//! is for `check` may wait for the disk: the rest is needed most when something else does.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Api;
use super::disk::{self, Disk};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use super::warnings::{self, Step, Warning};
use crate::access::{Administrator, Principal};
use crate::clock::Instant;
use crate::fix::Fix;
use crate::limits;
use crate::metrics::Process;
use crate::store::{self, StorageFault};

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
    // `check` must not hear what was true at the last tick of maintenance.
    api.store.look();
    let reasons = reasons(api);
    let alarm = api.directory.alarm(api.tuned.get().alarm);
    let disk = Disk::of(&api.data_dir);
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
                "kind": disk::kind_of(&api.data_dir),
            })),
            "storeBytes": disk::store_bytes(&api.data_dir),
            "isStoreLost": api.store.fault() == Some(StorageFault::Lost),
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

/// Why changes are impossible, or may soon be impossible, and what fixes that.
struct Reason {
    what: String,
    fix: Fix,
}

pub(super) fn is_ready(api: &Api) -> bool {
    reasons(api).is_empty()
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
        Some(StorageFault::Lost) => add(
            "the store's file was removed or replaced: users can be read, not changed".to_owned(),
            store::RESCUE,
        ),
        Some(StorageFault::Damaged) => add(
            "the store is damaged: users can be read, as far as they are whole, not changed"
                .to_owned(),
            store::RESTORE,
        ),
    }
    if let Some(how) = api.damages.first() {
        add(format!("the store is damaged: {how}"), store::RESTORE);
    }
    if let Some(disk) = Disk::of(&api.data_dir)
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
        fix: Fix::new("free some space; no restart is needed"),
    }
}

/// Warnings of the reasons that nothing else logs when they arise.
pub(super) fn unready(api: &Api) -> Vec<Warning> {
    let warning = |about: &str, reason: Reason, step| Warning {
        kind: "readiness",
        what: reason.what,
        fix: reason.fix,
        steps: vec![(about.to_owned(), step)],
    };
    let mut warnings = Vec::new();
    if let Some(disk) = Disk::of(&api.data_dir)
        && let Some(step) = step_of_space(disk.free_bytes, api.store.fault())
    {
        warnings.push(warning("disk", little_space(&disk), step));
    }
    let certificate = certificate_out_of_date(api);
    warnings.extend(certificate.map(|it| warning(warnings::CERTIFICATE, it, Step::Reached)));
    warnings
}

/// The step of the warning about free space. It is forgotten only at twice the limit, since free
/// space may hover around the limit. The store itself reports a full disk.
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
    let what = if summary.out_of_date(now).is_some() {
        let (begins, ends) = (summary.not_before, summary.not_after);
        format!("the certificate is valid from {begins:.0} to {ends:.0}, but it is now {now:.0}")
    } else if !summary.is_interrupted(now) {
        return None;
    } else if let Some(ends) = summary.authority_ends().filter(|ends| *ends <= now) {
        format!("an authority in the certificate's chain ended at {ends:.0}: clients refuse it")
    } else {
        "an authority in the certificate's chain is not valid yet: clients refuse it".to_owned()
    };
    let fix = cell.fix(now);
    Some(Reason { what, fix })
}

pub(super) fn certificate_days_left(api: &Api, now: Instant) -> Option<i64> {
    let summary = api.certificate.as_ref()?.summary();
    Some(now.days_until(summary.accepted_until()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
