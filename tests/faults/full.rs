//! A disk without space: writes wait or are refused, and resume without help once there is space.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use golinks_scim::directory::Error;
use golinks_scim::http1::client::Response;
use golinks_scim::limits;
use golinks_scim::scim::Preconditions;
use golinks_scim::store::{StorageFault, WriteError};
use serde_json::json;
use tempfile::TempDir;

use super::{Disk, SENT_AWAY_MAX, caller, directory, session, user};
use crate::crash::inspect;
use crate::support::{
    Output, Server, Talk, body, cli_in, command, record_of, scim_error, send, wait_until,
    without_settings,
};

/// A write that lacks space is retried until there is some. The caller of a failed sync is told
/// that the outcome is unknown.
#[test]
fn no_space_at_any_call_loses_nothing() {
    let calls = session(0, Disk::default());
    // Each session waits a quarter of a second for space, so many sessions run at once.
    std::thread::scope(|scope| {
        for first in 1..=16 {
            scope.spawn(move || {
                for call in (first..=calls).step_by(16) {
                    let kind = Disk {
                        lacks_space: true,
                        ..Disk::default()
                    };
                    session(call, kind);
                }
            });
        }
    });
    println!("no space at each of {calls} calls: nothing lost");
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = Arc::new(directory(&store));
    let kept = directory
        .create(user("kept"), &caller())
        .expect("created")
        .record;
    disk.is_full.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        // This write has begun, and is finished once there is space.
        let waiting = scope.spawn(|| directory.create(user("waiting"), &caller()));
        wait_until("it is noticed", || {
            store.fault() == Some(StorageFault::Full)
        });
        let start = Instant::now();
        let refused = directory.create(user("refused"), &caller());
        assert!(
            matches!(refused, Err(Error::Write(WriteError::Full))),
            "{refused:?}"
        );
        assert!(
            start.elapsed() < limits::DISK_FULL_WAIT_MAX / 2,
            "it was not refused at once"
        );
        store.queue_audit_row("{}".to_owned());
        assert_eq!(store.flush_audit_rows(), Err(WriteError::Full));
        assert_eq!(store.audit_rows_queued(), 1, "it waits on");
        let found = record_of(&directory, &kept.id().to_string());
        assert_eq!(found.ok(), Some(kept), "reading goes on");
        disk.is_full.store(false, Ordering::SeqCst);
        waiting
            .join()
            .expect("no panic")
            .expect("created once there was space");
    });
    wait_until("it goes on", || store.fault().is_none());
    directory
        .create(user("refused"), &caller())
        .expect("the name is free");
    assert_eq!(directory.user_count().expect("open"), 3);
    inspect(&store).expect("sound");
}

/// After a long time without space, the caller is told that the outcome is unknown. Closing the
/// store does not wait for space.
#[test]
#[ignore = "the long form: ten seconds without space"]
fn a_disk_that_stays_full_keeps_nobody_for_ever() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let kept = directory
        .create(user("kept"), &caller())
        .expect("created")
        .record;
    disk.is_full.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let refused = directory.delete(&kept.id().to_string(), Preconditions::default(), &caller());
    assert!(
        matches!(refused, Err(Error::Write(WriteError::Unknown))),
        "{refused:?}"
    );
    assert!(start.elapsed() < SENT_AWAY_MAX, "{:?}", start.elapsed());
    let start = Instant::now();
    store.close();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

/// The real binary with files that must not grow, as on a full disk: writes get 429 in compatible
/// mode and 503 in strict mode, nobody waits forever, reads go on, `/readyz` answers 503, and
/// writes resume without help once there is space.
#[test]
fn a_server_whose_disk_is_full_says_so_and_goes_on_by_itself() {
    use rustix::process::{Resource, Rlimit, prlimit};
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let strict = talk
        .server
        .cli(&["token", "issue", "strict", "--mode", "strict"]);
    let strict = format!("Bearer {}", strict.stdout.trim());
    let reader = talk
        .server
        .cli(&["token", "issue", "reader", "--scope", "metrics"]);
    let reader = format!("Bearer {}", reader.stdout.trim());
    assert_eq!(ready(&talk.server, &reader), 200);
    let leaked = ["one", "two"].map(|name| {
        let issued = talk.server.cli(&["token", "issue", name]);
        format!("Bearer {}", issued.stdout.trim())
    });
    let compatible = talk.authorization.clone();
    let mut large = body("large");
    let mut made = 0;
    let limit = |server: &Server, current: Option<u64>| {
        let limit = Rlimit {
            current,
            maximum: None,
        };
        prlimit(Some(server.pid()), Resource::Fsize, limit).expect("the limit can be set");
    };
    let size = std::fs::metadata(talk.server.data_dir().join("users.redb")).expect("the store");
    limit(&talk.server, Some(size.len() + 512 * 1024));
    let refused = loop {
        large["userName"] = json!(format!("user{made}"));
        large["title"] = json!("x".repeat(60_000));
        let begun = Instant::now();
        let response = talk.send("POST", "/Users?attributes=id", Some(&large));
        assert!(begun.elapsed() < SENT_AWAY_MAX, "{:?}", begun.elapsed());
        if response.status != 201 {
            break response;
        }
        made += 1;
        assert!(made < 2000, "the disk never filled");
    };
    assert_eq!(refused.status, 429, "{}", talk.server.log());
    assert_eq!(refused.header("retry-after"), Some("30"));
    let detail = scim_error(&refused, "full")["detail"].to_string();
    assert!(detail.contains("full"), "{detail}");
    // Whatever status the caller gets, the metrics count a server error.
    assert_eq!(errors_of(&talk.server, &reader), 1);
    talk.authorization = strict;
    // The server knows by now that the disk is full, so no other write waits for long.
    let begun = Instant::now();
    assert_eq!(talk.send("POST", "/Users", Some(&body("s"))).status, 503);
    let took = begun.elapsed();
    assert!(took < limits::DISK_FULL_WAIT_MAX, "{took:?}");
    assert_eq!(errors_of(&talk.server, &reader), 2);
    talk.authorization = compatible;
    assert_eq!(ready(&talk.server, &reader), 503);
    let listed = talk.json("GET", "/Users?count=1", None, 200)["totalResults"].clone();
    assert_eq!(listed, made, "reading goes on");
    // The revocation of a leaked token does not wait for space, nor do those of the tokens named
    // after it.
    let revoked = talk.server.cli(&["token", "revoke", "one", "two"]);
    assert_eq!(revoked.status, Some(74), "{revoked:?}");
    for (name, leaked) in ["one", "two"].into_iter().zip(&leaked) {
        let told = format!("{name}: the server's disk");
        assert!(revoked.stderr.contains(&told), "{revoked:?}");
        assert_eq!(ready(&talk.server, leaked), 401, "{name}");
    }
    limit(&talk.server, None);
    let start = Instant::now();
    while talk.send("POST", "/Users", Some(&body("after"))).status != 201 {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{}",
            talk.server.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    println!(
        "{made} users fitted; written again {:?} after there was space",
        start.elapsed()
    );
    assert_eq!(ready(&talk.server, &reader), 200);
    let count = talk.json("GET", "/Users?count=1", None, 200)["totalResults"].clone();
    talk.server.restart();
    let listed = talk.server.cli(&["user", "list", "-o", "jsonl"]);
    assert_eq!(
        listed.stdout.lines().count(),
        count
            .as_u64()
            .map_or(0, |n| usize::try_from(n).expect("small"))
    );
}

/// Commands without a server, on a store whose file must not grow: changes are refused with the
/// reason, reads work, and nothing is lost.
#[test]
fn commands_on_a_full_disk_say_so_and_lose_nothing() {
    let mut talk = Talk::start(&[]);
    talk.create("kept");
    let issued = talk.server.cli(&["token", "issue", "spare"]);
    assert_eq!(issued.status, Some(0), "{issued:?}");
    let folder = talk.server.stop_and_keep();
    let listed = cli_in(&folder, &["user", "list", "-o", "jsonl"]);
    let store = folder.path().join("data/users.redb");
    let half = std::fs::metadata(store).expect("the store").len() / 2;
    // The commands wait for space at the same time.
    std::thread::scope(|scope| {
        for (arguments, status, words) in [
            (&["user", "reactivate", "kept"][..], 0, ["", ""]),
            (
                &["user", "export"],
                0,
                [
                    "the audit trail may have no row of this",
                    "disk failed, is full",
                ],
            ),
            (
                &["backup", "create", "copy.redb"],
                74,
                ["File too large", ""],
            ),
            (
                &["user", "deactivate", "kept"],
                74,
                ["disk failed, is full", ""],
            ),
            (
                &["token", "revoke", "spare"],
                74,
                ["and revoke again", ":spare was not confirmed"],
            ),
        ] {
            let (folder, listed) = (&folder, &listed);
            scope.spawn(move || {
                let folder = copy_of(folder);
                let output = limited(&folder, half, arguments);
                assert_eq!(output.status, Some(status), "{output:?}");
                let is_told = words.iter().all(|words| output.stderr.contains(words));
                assert!(is_told, "{output:?}");
                let still = limited(&folder, half, &["user", "list", "-o", "jsonl"]);
                assert_eq!(still.stdout, listed.stdout, "{still:?}");
                // A command does not hang even if it cannot write the first page.
                let unopened = limited(&folder, 0, &["user", "list"]);
                assert_eq!(unopened.status, Some(74), "{unopened:?}");
                let verified = cli_in(&folder, &["audit", "verify"]);
                assert_eq!(verified.status, Some(0), "{verified:?}");
                for again in [["user", "deactivate", "kept"], ["token", "revoke", "spare"]] {
                    let again = cli_in(&folder, &again);
                    assert_eq!(again.status, Some(0), "{again:?}");
                }
            });
        }
    });
}

/// A copy of a server's directory.
fn copy_of(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().expect("a folder");
    let mut command = Command::new("cp");
    let done = command
        .arg("-a")
        .arg(folder.path().join("data"))
        .arg(copy.path());
    assert!(done.status().expect("cp is there").success());
    copy
}

/// Runs a command that cannot write beyond this many bytes in any file.
fn limited(folder: &TempDir, bytes: u64, arguments: &[&str]) -> Output {
    let command = command(folder);
    let mut limited = Command::new("prlimit");
    without_settings(&mut limited)
        .arg(format!("--fsize={bytes}"))
        .arg(command.get_program())
        .args(command.get_args())
        .args(arguments)
        .current_dir(folder.path());
    limited.output().expect("prlimit is there").into()
}

/// The status of `/readyz`.
fn ready(server: &Server, authorization: &str) -> u16 {
    asked(server, authorization, "/readyz").status
}

/// Sends a request on a connection of its own.
pub(super) fn asked(server: &Server, authorization: &str, target: &str) -> Response {
    let answer = send(
        &mut server.client_at_root(),
        authorization,
        "GET",
        target,
        None,
    );
    answer.expect("an answer")
}

/// The number of server errors that `/metrics` counts.
fn errors_of(server: &Server, authorization: &str) -> u32 {
    let answer = asked(server, authorization, "/metrics");
    let text = String::from_utf8(answer.body).expect("text");
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("golinks_scim_server_errors_total "));
    count.expect("it is counted").parse().expect("a number")
}
