//! Removal of rows by age and by size, with a clock that is right or wrong, and the remaining
//! trail.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant as Monotonic};

use golinks_scim::clock::{Clock as _, SystemClock};
use golinks_scim::directory::{Keep, event};
use golinks_scim::limits;
use golinks_scim::scim::Preconditions;
use golinks_scim::store::Change;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    DAY_MS, by_a_clock, caller, create, empty, extent, of_hundred_days, store_file, verified,
};
use crate::audit::{listed, of_kind};
use crate::crash::{images_of_opening, open_image};
use crate::support::{Server, Talk, body, cli_in, wait_until};

#[test]
fn retention_by_age_takes_what_is_old_and_a_clock_that_jumps_takes_little() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, clock) = of_hundred_days(&folder);
    let keep = Keep {
        days: Some(95),
        bytes: None,
    };
    let extent = || extent(&store);
    let start = Monotonic::now();
    let hours = |hours: u64| start + Duration::from_secs(hours * 3600);
    assert_eq!(
        directory.trim(keep, start).expect("done"),
        0,
        "not in the first hour"
    );
    assert_eq!(
        directory.trim(keep, hours(1)).expect("done"),
        5,
        "older than 95 days"
    );
    assert_eq!((extent().first, extent().rows), (6, 96));
    let newest = store
        .snapshot()
        .expect("open")
        .newest_audit()
        .expect("read")
        .expect("a row");
    assert!(
        newest.contains(
            "\"kind\":\"audit.trim\",\"first\":1,\"through\":5,\"why\":\"age\",\"keep\":"
        ),
        "{newest}"
    );
    assert_eq!(verified(&directory), Vec::<Value>::new());

    clock.0.store(20 * 365 * DAY_MS, Ordering::SeqCst);
    create(&directory, "later");
    assert_eq!(
        directory.trim(keep, hours(2)).expect("done"),
        0,
        "once a day"
    );
    assert_eq!(
        directory.trim(keep, hours(25)).expect("done"),
        97 / 8,
        "an eighth"
    );
    assert_eq!(directory.trim(keep, hours(26)).expect("done"), 0);
    assert!(extent().rows > 85);
    clock.0.store(0, Ordering::SeqCst);
    assert_eq!(
        directory.trim(keep, hours(50)).expect("done"),
        0,
        "the clock is right again"
    );
    assert_eq!(verified(&directory), Vec::<Value>::new());
}

#[test]
fn the_last_few_rows_are_not_kept_for_ever() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, clock) = empty(&folder);
    for name in ["a", "b", "c"] {
        create(&directory, name);
    }
    clock.0.store(500 * DAY_MS, Ordering::SeqCst);
    let keep = Keep {
        days: Some(400),
        bytes: None,
    };
    let start = Monotonic::now();
    for day in 0..4_u64 {
        let at = start + Duration::from_secs((day * 25 + 1) * 3600);
        directory.trim(keep, start).expect("done");
        directory.trim(keep, at).expect("done");
    }
    assert_eq!(extent(&store).first, 4, "the rows of the removals are new");
}

/// If they waited for their own time, they and all rows after them would be kept until then.
#[test]
fn rows_of_a_clock_that_was_ahead_go_with_those_around_them() {
    let folder = TempDir::new().expect("a folder");
    let ahead = |day| {
        if [1, 2].contains(&day) {
            5000
        } else {
            day - 99
        }
    };
    let (_store, directory, _clock) = by_a_clock(&folder, ahead);
    let keep = Keep {
        days: Some(95),
        bytes: None,
    };
    let start = Monotonic::now();
    assert_eq!(directory.trim(keep, start).expect("done"), 0);
    let later = start + Duration::from_secs(3_600);
    assert_eq!(directory.trim(keep, later).expect("done"), 5);
    assert_eq!(verified(&directory), Vec::<Value>::new());

    // A clock that is behind now also removes an eighth, since the last rows are even older.
    let folder = TempDir::new().expect("a folder");
    let (_store, directory, clock) = by_a_clock(&folder, |day| if day < 90 { 0 } else { -9000 });
    clock.0.store(-5000 * DAY_MS, Ordering::SeqCst);
    assert_eq!(directory.trim(keep, start).expect("done"), 0);
    assert_eq!(directory.trim(keep, later).expect("done"), 100 / 8);
}

/// This holds however many of them there are. One step reads a bounded number, since a stop waits
/// for it, and the next one goes on, unless rows were to be kept forever in between.
#[test]
fn very_many_rows_of_a_clock_that_was_ahead_go_too() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = empty(&folder);
    let of_day = |day| format!("{{\"time\":\"{}\"}}", SystemClock.now().plus_days(day));
    let ahead = (0..=limits::AUDIT_SCAN_ROWS_MAX).map(|_| of_day(5000));
    let rows = ahead.chain([of_day(-100)]);
    let written = store.commit(rows.fold(Change::none(), Change::audit));
    written.expect("written");
    let keep = Keep {
        days: Some(95),
        bytes: None,
    };
    let start = Monotonic::now();
    assert_eq!(directory.trim(keep, start).expect("done"), 0);
    let later = start + limits::AUDIT_TRIM_FIRST_PAUSE;
    let steps = [keep, Keep::default(), keep, keep];
    let removed = steps.map(|keep| directory.trim(keep, later).expect("done"));
    assert_eq!(removed, [0, 0, 0, limits::AUDIT_TRIM_ROWS_MAX]);
}

#[test]
fn retention_by_size_leaves_a_trail_that_is_verified_backed_up_and_restored() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    let extent = || extent(&store);
    let most = extent().bytes / 2;
    let keep = Keep {
        days: None,
        bytes: Some(most),
    };
    assert!(directory.trim(keep, Monotonic::now()).expect("done") > 50);
    assert!(extent().bytes <= most, "{:?}", extent());
    let (first, rows) = (extent().first, extent().rows);
    for _ in 0..3 {
        assert_eq!(
            directory.trim(keep, Monotonic::now()).expect("done"),
            0,
            "there is room"
        );
    }
    assert_eq!(verified(&directory), Vec::<Value>::new());
    store.close();
    drop((directory, store));
    let (output, copy) = (
        cli_in(&folder, &["audit", "verify"]),
        folder.path().join("copy"),
    );
    let wanted = format!("sound: {rows} rows from row {first} on");
    assert!(output.stdout.starts_with(&wanted), "{output:?}");
    let copy = copy.to_str().expect("text");
    for arguments in [
        ["backup", "create", copy],
        ["backup", "verify", copy],
        ["backup", "restore", copy],
    ] {
        let output = cli_in(&folder, &arguments);
        assert_eq!(output.status, Some(0), "{output:?}");
    }
    let output = cli_in(&folder, &["audit", "verify"]);
    assert_eq!(output.status, Some(0), "{output:?}");
}

/// An answer from the remaining rows would be wrong.
#[test]
fn whoever_asks_for_more_than_is_kept_is_told_where_the_trail_begins() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    let extent = || extent(&store);
    let keep = Keep {
        days: None,
        bytes: Some(extent().bytes / 2),
    };
    assert!(directory.trim(keep, Monotonic::now()).expect("done") > 50);
    let (kept, oldest) = (extent().rows, extent().first);
    let first = directory.known_as("user00").expect("read")[0].to_string();
    let unconditional = Preconditions::default();
    let deleted = directory.delete(&first, unconditional, &caller());
    deleted.expect("deleted");
    let deletion = extent().next - 1;
    store.close();
    drop((directory, store));
    let early = SystemClock.now().plus_seconds(-80 * 24 * 3600).to_string();
    let show = ["user", "show", "nobody", "--at", &early];
    let undo = ["user", "undo", "--dry-run", "--since", &early];
    // One of the rows reports the removal.
    let those_left = format!("{} users would be changed back", kept - 1);
    for (asked, words) in [
        (&show[..], "were removed: older backups have"),
        (&undo, "were removed: give that time or a later one"),
        (&[&undo[..], &["--force"]].concat(), &those_left),
    ] {
        let told = cli_in(&folder, asked);
        assert_eq!(told.status, Some(1), "{told:?}");
        assert!(told.stderr.contains(words), "{told:?}");
    }
    for (who, is_cut) in [(&*first, true), ("user99", false)] {
        let told = cli_in(&folder, &["user", "history", who]);
        assert_eq!(told.status, Some(0), "{told:?}");
        let is_told = told.stderr.contains("older changes may have been removed");
        assert_eq!(is_told, is_cut, "{told:?}");
    }
    let told = cli_in(&folder, &["user", "history", "user01"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    let words = format!("rows before {oldest} were removed: older backups have them");
    assert!(told.stderr.contains(&words), "{told:?}");
    // The row of its deletion remains, and tells its last state.
    let before = deletion.to_string();
    let show = ["user", "show", &first, "--before", &before, "-o", "jsonl"];
    let was: Value = serde_json::from_str(&cli_in(&folder, &show).stdout).expect("a user");
    assert_eq!(was["userName"], "user00", "{was}");
    assert_eq!(was["meta"]["version"], "W/\"1\"", "{was}");
}

/// A removal leaves one row in the trail, however many commits it takes.
#[test]
fn a_removal_is_told_of_once() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = empty(&folder);
    let rows = limits::AUDIT_TRIM_ROWS_MAX + 100;
    let change = (0..rows).fold(Change::none(), |change, _| change.audit("{}".to_owned()));
    store.commit(change).expect("written");
    let keep = Keep {
        days: None,
        bytes: Some(1),
    };
    let trim = || directory.trim(keep, Monotonic::now()).expect("done");
    assert_eq!(trim(), limits::AUDIT_TRIM_ROWS_MAX);
    assert!(trim() > 0, "it is done in one step");
    let snapshot = store.snapshot().expect("open");
    let mut told = 0;
    let checked = snapshot.check_audits(0, u64::MAX, |_, row| {
        told += usize::from(row.contains("\"kind\":\"audit.trim\""));
    });
    checked.expect("read").expect("the chain holds");
    assert_eq!(told, 1);
}

/// A running server removes rows by itself.
#[test]
fn a_server_trims_its_trail_while_it_serves() {
    let server = Server::start_by(&["--rate-limit", "off"], |mut command, _| {
        command.env("GOLINKS_SCIM_AUDIT_KEEP_BYTES", "1MiB");
        command
    });
    let mut talk = Talk::with(server);
    for batch in 0..3 {
        let operations: Vec<Value> = (0..1000)
            .map(|at| {
                let name = format!("user{batch}-{at:03}");
                json!({"method": "POST", "path": "/Users", "bulkId": name, "data": body(&name)})
            })
            .collect();
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations});
        talk.json("POST", "/Bulk", Some(&bulk), 200);
    }
    talk.server
        .log_with("of the audit trail are being removed by size");
    let verified = talk.server.cli(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    // The row about a removal is written when it begins.
    wait_until("all of it is removed", || {
        let all = listed(&talk.server, &[]);
        let trims = of_kind(&all, "audit.trim");
        assert!(
            trims.iter().all(|trim| trim["principal"] == "server"),
            "{trims:?}"
        );
        let last = trims.last().and_then(|trim| trim["through"].as_u64());
        all[0]["sequence"].as_u64() == last.map(|it| it + 1)
    });
}

#[test]
fn a_power_cut_while_rows_are_removed_leaves_a_chain_that_holds() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    store.close();
    drop((directory, store));
    let bytes = fs::read(store_file(&folder)).expect("the store");
    let (images, ()) = images_of_opening(bytes, 4, |store| {
        for step in 1..8_u64 {
            let row = event(&caller(), SystemClock.now(), "audit.trim", &Map::new());
            let change = Change::none().trim_audit(step * 10).audit(row);
            store.commit(change).expect("written");
        }
    });
    assert!(images.len() > 20, "{} images", images.len());
    let firsts: Mutex<Vec<u64>> = Mutex::default();
    for image in images {
        let store = open_image(image);
        let snapshot = store.snapshot().expect("open");
        let mut rows = 0;
        snapshot
            .check_audits(0, u64::MAX, |_, _| rows += 1)
            .expect("read")
            .expect("the chain holds");
        let extent = extent(&store);
        assert_eq!(extent.rows, rows);
        assert_eq!(extent.first % 10, 1, "{extent:?}");
        firsts.lock().expect("whole").push(extent.first);
    }
    let mut firsts = firsts.into_inner().expect("whole");
    firsts.dedup();
    assert!(firsts.len() > 4, "{firsts:?}");
}
