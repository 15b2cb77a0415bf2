//! A disk that fails: at every single call of a session, for a moment or for long, and one
//! that is full. What was acknowledged is there afterwards, what was refused is whole or not
//! there, whoever reads goes on reading, and nothing has to be done for it to go on.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use golinks_scim::access::{Issue, IssueError, Mode, Rejection, Scope, Terms, Token, Tokens};
use golinks_scim::api::{Api, Options, StartError, Tuning};
use golinks_scim::clock::{Instant as Moment, SystemClock};
use golinks_scim::directory::{Caller, Directory, Error, Manner, ToUndo, describe};
use golinks_scim::http1::client::Response;
use golinks_scim::idp::client::Client;
use golinks_scim::limits;
use golinks_scim::scim::{Leniency, Preconditions, User};
use golinks_scim::store::{Change, Opener, StorageFault, Store, WriteError};
use redb::{ReadableDatabase, ReadableTableMetadata, StorageBackend, TableDefinition};
use serde_json::json;
use tempfile::TempDir;

use crate::crash::{self, inspect};
use crate::support::{
    Output, Server, Talk, body, cli_in, command, record_of, scim_error, send, wait_until, waiting,
    without_settings,
};

/// Whoever writes to a disk that stays full is sent away within this time, on a busy machine too.
const SENT_AWAY_MAX: Duration = Duration::from_secs(15);

/// A disk in memory that can be told to fail.
#[derive(Clone, Debug, Default)]
struct Disk {
    platter: crash::Disk,
    /// Writes, syncs and changes of length so far.
    calls: Arc<AtomicUsize>,
    /// The call that fails once; none if it is zero.
    fails_at: Arc<AtomicUsize>,
    /// Whether it fails for want of space.
    lacks_space: bool,
    /// Whether every call fails.
    is_broken: Arc<AtomicBool>,
    /// The sync, counted from now, after which it breaks; none if it is zero.
    breaks_after_sync: Arc<AtomicUsize>,
    is_full: Arc<AtomicBool>,
    /// Whether every sync takes a while and fails.
    fails_slowly: Arc<AtomicBool>,
    /// Whether every call waits until it is not so any more, or for a minute.
    hangs: Arc<AtomicBool>,
    /// Whether what fails was done all the same, as a sync that failed may have been.
    does_it_anyway: bool,
    /// Of how many pages that a failed sync has left one is not shown any more; none if zero.
    evicted: usize,
}

impl Disk {
    /// An error, and whether the call is to be done.
    fn call(&self) -> (io::Result<()>, bool) {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let begun = Instant::now();
        while self.hangs.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.is_full.load(Ordering::SeqCst) {
            return (Err(io::ErrorKind::StorageFull.into()), false);
        }
        let is_it = self.fails_at.load(Ordering::SeqCst) == number;
        if is_it && self.lacks_space {
            return (Err(io::ErrorKind::StorageFull.into()), false);
        }
        if is_it || self.is_broken.load(Ordering::SeqCst) {
            return (
                Err(io::Error::other("input/output error")),
                self.does_it_anyway,
            );
        }
        (Ok(()), true)
    }

    fn open(&self) -> Arc<Store> {
        Arc::new(self.store())
    }

    fn store(&self) -> Store {
        let disk = self.clone();
        let opener: Opener = Box::new(move || Ok(Box::new(disk.clone())));
        Store::open_with(opener, describe).expect("a store in memory opens")
    }

    /// The store, its tokens, and the moment at which they are changed.
    fn open_with_tokens(&self) -> (Arc<Store>, Tokens, Moment) {
        let store = self.open();
        let tokens = Tokens::load(Arc::clone(&store)).expect("loaded");
        (store, tokens, Moment::from_millis(1_000_000))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.platter.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.platter.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let (result, is_done) = self.call();
        if is_done {
            self.platter.set_len(length)?;
        }
        result
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails_slowly.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(200));
            self.platter.forget(self.evicted);
            return Err(io::Error::other("input/output error"));
        }
        let (result, is_done) = self.call();
        if is_done {
            self.platter.sync_data()?;
        } else {
            self.platter.forget(self.evicted);
        }
        let left = self.breaks_after_sync.load(Ordering::SeqCst);
        self.breaks_after_sync
            .store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            self.is_broken.store(true, Ordering::SeqCst);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (result, is_done) = self.call();
        if is_done {
            self.platter.write(offset, data)?;
        }
        result
    }
}

fn directory(store: &Arc<Store>) -> Directory {
    Directory::new(Arc::clone(store), Arc::new(SystemClock))
}

fn caller() -> Caller {
    Caller {
        principal: "faults".to_owned(),
        request_id: "0".to_owned(),
        address: None,
    }
}

fn user(name: &str) -> User {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
        "title": "x".repeat(2000), "emails": [{"value": format!("{name}@x")}]
    });
    User::parse(body, &mut Leniency::strict()).expect("a user")
}

/// Ten users are created while one call of the disk fails; returns how many calls there were.
fn session(fails_at: usize, kind: Disk) -> usize {
    let disk = kind;
    let store = disk.open();
    let directory = directory(&store);
    let first = disk.calls.load(Ordering::SeqCst);
    disk.fails_at.store(
        if fails_at == 0 { 0 } else { first + fails_at },
        Ordering::SeqCst,
    );
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let name = format!("user{number}");
        match directory.create(user(&name), &caller()) {
            Ok(written) => acknowledged.push(written.record),
            Err(Error::Write(WriteError::Unavailable)) => refused.push(name),
            Err(Error::Write(WriteError::Unknown)) => {}
            Err(error) => panic!("call {fails_at}: {error:?}"),
        }
    }
    let calls = disk.calls.load(Ordering::SeqCst) - first;
    let state = inspect(&store).unwrap_or_else(|how| panic!("call {fails_at}: {how}"));
    for record in &acknowledged {
        let found = record_of(&directory, &record.id().to_string());
        assert_eq!(found.as_ref().ok(), Some(record), "call {fails_at}");
    }
    // What was said not to be there can be made again.
    for name in &refused {
        directory.create(user(name), &caller()).expect("not there");
    }
    assert!(
        acknowledged.len() >= 8,
        "call {fails_at}: {} of 10",
        acknowledged.len()
    );
    // If the power is cut, it is as it was.
    let left = disk.platter.after_a_cut().open().map(Arc::new);
    let left = left.map_err(|error| error.to_string());
    let left = left.and_then(|store| inspect(&store));
    let left = left.unwrap_or_else(|how| panic!("call {fails_at}, then a power cut: {how}"));
    assert_eq!(left.users.len(), state.users.len() + refused.len());
    assert!(left.audit_rows >= acknowledged.len());
    // After a restart it is the same.
    store.close();
    drop((directory, store));
    disk.fails_at.store(0, Ordering::SeqCst);
    let again = inspect(&disk.open()).unwrap_or_else(|how| panic!("call {fails_at}: {how}"));
    assert_eq!(again.users.len(), state.users.len() + refused.len());
    calls
}

#[test]
fn an_error_at_any_call_loses_nothing_acknowledged() {
    let calls = session(0, Disk::default());
    assert!(calls > 50, "{calls} calls are too few to be a session");
    for call in 1..=calls {
        for (does_it_anyway, evicted) in [(false, call % 3), (true, 0)] {
            let kind = Disk {
                does_it_anyway,
                evicted,
                ..Disk::default()
            };
            session(call, kind);
        }
    }
    println!("an error at each of {calls} calls, done or not done: nothing lost");
}

/// A write that wants space is tried again until there is some: nobody is refused for it.
#[test]
fn no_space_at_any_call_loses_nothing() {
    let calls = session(0, Disk::default());
    // Each waits for a quarter of a second: they wait beside each other.
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
fn whoever_reads_goes_on_while_the_disk_takes_no_writes() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let kept = directory
        .create(user("kept"), &caller())
        .expect("created")
        .record;
    disk.is_broken.store(true, Ordering::SeqCst);
    // Which it is depends on whether the file had to grow before the commit.
    let refused = directory.create(user("new"), &caller());
    assert!(
        matches!(
            refused,
            Err(Error::Write(WriteError::Unknown | WriteError::Unavailable))
        ),
        "{refused:?}"
    );
    let id = kept.id().to_string();
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        waits.push(wait_until("a read", || {
            directory.retrieve(&id, |_| Ok(())).is_ok()
        }));
        let refused = directory.create(user("newer"), &caller());
        assert!(refused.is_err(), "{refused:?}");
    }
    waits.sort_unstable();
    let (usual, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    assert!(
        usual < Duration::from_secs(1),
        "nobody could read for {usual:?}"
    );
    // As long as whoever writes, no reader ever waits.
    assert!(
        worst < limits::DISK_FULL_WAIT_MAX / 2,
        "nobody could read for {worst:?}"
    );
    assert_eq!(store.fault(), Some(StorageFault::Failing));
    disk.is_broken.store(false, Ordering::SeqCst);
    let took = wait_until("it comes back", || {
        directory.create(user("newest"), &caller()).is_ok()
    });
    println!("read again after {worst:?} at most, written again after {took:?}");
    assert_eq!(store.fault(), None);
    inspect(&store).expect("sound");
}

/// What it was to bring to the disk is written again beside the readers.
#[test]
fn nobody_waits_to_read_while_syncs_take_their_time_to_fail() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let kept = directory.create(user("kept"), &caller());
    let id = kept.expect("created").record.id().to_string();
    disk.fails_slowly.store(true, Ordering::SeqCst);
    let refused = directory.create(user("new"), &caller());
    assert!(refused.is_err(), "{refused:?}");
    wait_until("it is read", || {
        store.fault().is_some() && directory.retrieve(&id, |_| Ok(())).is_ok()
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        // Who reads through the directory would wait a second for it.
        assert!(store.snapshot().is_ok(), "after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    disk.fails_slowly.store(false, Ordering::SeqCst);
    wait_until("it comes back", || {
        directory.create(user("newest"), &caller()).is_ok()
    });
    let left = disk.platter.after_a_cut().open().expect("a store");
    let left = inspect(&Arc::new(left)).expect("sound");
    assert_eq!(left, inspect(&store).expect("sound"));
}

/// The next start is quick again, whether or not anything was written meanwhile.
#[test]
fn the_index_is_put_back_after_the_file_was_reopened() {
    const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    directory.create(user("kept"), &caller()).expect("created");
    disk.is_broken.store(true, Ordering::SeqCst);
    assert!(directory.create(user("new"), &caller()).is_err());
    wait_until("it is told", || {
        store.fault() == Some(StorageFault::Failing)
    });
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it comes back", || store.fault().is_none());
    store.close();
    let database = redb::Builder::new().create_with_backend(disk);
    let database = database.expect("a file");
    let txn = database.begin_read().expect("a state");
    let chunks = txn.open_table(CHUNKS).expect("the table");
    assert!(!chunks.is_empty().expect("read"), "it was not put back");
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
        // This one was begun, and is done when there is space.
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
        store.note("{}".to_owned());
        assert_eq!(store.flush_notes(), Err(WriteError::Full));
        assert_eq!(store.notes_waiting(), 1, "it waits on");
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

/// The server ended between a failed sync and the writing of what it left: its mark is found.
#[test]
fn what_a_failed_sync_has_left_is_written_again_by_the_next_server() {
    let server = Server::start();
    let added = server.cli(&["user", "add", "jane@example.com", "--given", "Jane"]);
    assert_eq!(added.status, Some(0), "{}", added.stderr);
    let mark = server.data_dir().join("users.unsynced");
    let directory = server.stop_and_keep();
    std::fs::write(&mark, "").expect("a mark");
    let server = Server::start_on(directory);
    server.log_with("that failed has been written to disk again");
    let shown = server.cli(&["user", "show", "jane@example.com"]);
    assert_eq!(shown.status, Some(0), "{}", shown.stderr);
    assert!(!mark.exists());
}

/// The real binary on files that may not grow any more, as on a disk that is full: refused
/// with 429 in compatible mode and 503 in strict, nobody kept for ever, read all the while, red in
/// `/readyz`, and by itself again once there is space.
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
    // Whatever status its caller understands, whoever watches hears of it.
    assert_eq!(errors_of(&talk.server, &reader), 1);
    talk.authorization = strict;
    // By now it is known: nobody else waits for space.
    let begun = Instant::now();
    assert_eq!(talk.send("POST", "/Users", Some(&body("s"))).status, 503);
    let took = begun.elapsed();
    assert!(took < limits::DISK_FULL_WAIT_MAX, "{took:?}");
    assert_eq!(errors_of(&talk.server, &reader), 2);
    talk.authorization = compatible;
    assert_eq!(ready(&talk.server, &reader), 503);
    let listed = talk.json("GET", "/Users?count=1", None, 200)["totalResults"].clone();
    assert_eq!(listed, made, "reading goes on");
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

/// Commands without a server, on a store whose file may not grow: what is written is refused in
/// words, what is read is read, and nothing that was there is lost.
#[test]
fn commands_on_a_full_disk_say_so_and_lose_nothing() {
    let mut talk = Talk::start(&[]);
    talk.create("kept");
    let issued = talk.server.cli(&["token", "issue", "spare"]);
    assert_eq!(issued.status, Some(0), "{issued:?}");
    let folder = talk.server.stop_and_keep();
    let listed = cli_in(&folder, &["user", "list", "-o", "jsonl"]);
    // Each waits for space, beside the others.
    std::thread::scope(|scope| {
        for (arguments, status, words) in [
            (&["user", "reactivate", "kept"][..], 0, ["", ""]),
            (
                &["backup", "create", "copy.redb"],
                74,
                ["File too large", ""],
            ),
            (
                &["user", "deactivate", "kept"],
                1,
                ["disk failed, is full", ""],
            ),
            (
                &["token", "revoke", "spare"],
                1,
                ["and revoke again", ":spare was not confirmed"],
            ),
        ] {
            let (folder, listed) = (&folder, &listed);
            scope.spawn(move || {
                let folder = copy_of(folder);
                let output = limited(&folder, arguments);
                assert_eq!(output.status, Some(status), "{output:?}");
                let is_told = words.iter().all(|words| output.stderr.contains(words));
                assert!(is_told, "{output:?}");
                let still = limited(&folder, &["user", "list", "-o", "jsonl"]);
                assert_eq!(still.stdout, listed.stdout, "{still:?}");
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

/// Another server's directory with the same in it.
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

/// Runs a command whose files may not grow beyond half of the store.
fn limited(folder: &TempDir, arguments: &[&str]) -> Output {
    let size = std::fs::metadata(folder.path().join("data/users.redb")).expect("the store");
    let command = command(folder);
    let mut limited = Command::new("prlimit");
    without_settings(&mut limited)
        .arg(format!("--fsize={}", size.len() / 2))
        .arg(command.get_program())
        .args(command.get_args())
        .args(arguments)
        .current_dir(folder.path());
    limited.output().expect("prlimit is there").into()
}

/// What `/readyz` answers.
fn ready(server: &Server, authorization: &str) -> u16 {
    asked(server, authorization, "/readyz").status
}

/// Asks beside whoever else is connected.
fn asked(server: &Server, authorization: &str, target: &str) -> Response {
    let pem = std::fs::read(server.data_dir().join("tls/ca.pem")).expect("a certificate");
    let base = format!("https://{}", server.address());
    let mut client = Client::new(&base, &pem).expect("a client");
    let answer = send(&mut client, authorization, "GET", target, None);
    answer.expect("an answer")
}

/// The requests that the server says it has failed.
fn errors_of(server: &Server, authorization: &str) -> u32 {
    let answer = asked(server, authorization, "/metrics");
    let text = String::from_utf8(answer.body).expect("text");
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("golinks_scim_server_errors_total "));
    count.expect("it is counted").parse().expect("a number")
}

/// Long enough without space the caller is told that nobody knows; closing does not wait.
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

#[test]
fn what_was_undone_before_the_disk_failed_is_told() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let users = limits::UNDO_BATCH_USERS + 1;
    for number in 0..users {
        let created = directory.create(user(&number.to_string()), &caller());
        created.expect("created");
    }
    let selection = ToUndo::Since {
        since: Moment::from_millis(0),
        token: None,
    };
    let manner = Manner {
        is_forced: true,
        is_rehearsed: false,
    };
    let undo = |after| directory.undo(&selection, manner, after, &caller());
    // The first batch is so large that the file grows, which is synced before.
    disk.breaks_after_sync.store(2, Ordering::SeqCst);
    let page = undo(None).expect("some were undone");
    let next = page.next.expect("one is left");
    assert_eq!(page.undone.len(), limits::UNDO_BATCH_USERS);
    disk.is_broken.store(false, Ordering::SeqCst);
    let mut left = None;
    wait_until("the last one is undone", || {
        left = undo(Some(next)).ok();
        left.is_some()
    });
    let left = left.expect("undone");
    assert_eq!((left.undone.len(), left.next), (1, None));
}

/// Rows that wait for a commit go on waiting if it cannot be made.
#[test]
fn rows_that_wait_are_not_lost_with_a_commit() {
    let disk = Disk::default();
    let store = disk.open();
    // So large that the file grows, which fails before the commit begins.
    for number in 0..limits::AUDIT_NOTES_MAX {
        store.note(format!("{number} {}", "x".repeat(8000)));
    }
    let next = disk.calls.load(Ordering::SeqCst) + 1;
    disk.fails_at.store(next, Ordering::SeqCst);
    let commit = || store.commit(Change::none().audit("{}".to_owned()));
    assert_eq!(commit(), Err(WriteError::Unavailable));
    wait_until("it comes back", || commit().is_ok());
    assert_eq!(audit_rows(&store), limits::AUDIT_NOTES_MAX as u64 + 1);
}

fn wanted(name: &str) -> Issue {
    Issue {
        name: name.to_owned(),
        scope: Scope::Full,
        mode: Mode::Compatible,
        expires: None,
        rate_limit: None,
        allow_from: Vec::new(),
        issued_by: None,
    }
}

/// An audit row, whatever is in it.
fn row(_: &Token) -> String {
    "{}".to_owned()
}

#[test]
fn a_use_that_could_not_be_kept_is_kept_later() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (token, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    token.note_use(now, [127, 0, 0, 1].into(), None);
    disk.is_broken.store(true, Ordering::SeqCst);
    assert!(tokens.flush_last_used().is_err());
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it is kept", || tokens.flush_last_used().is_ok());
    let kept = Tokens::load(store).expect("loaded").list(now);
    assert_eq!(kept[0].last_used().map(|last| last.at), Some(now));
}

/// What memory and store must agree on of each token: id, when it ends, whether it is revoked.
fn known(tokens: &Tokens, now: Moment) -> Vec<(String, Option<Moment>, Option<u32>, bool)> {
    let all = tokens.list(now).into_iter();
    let known = all.map(|token| {
        let is_revoked = token.revoked.is_some();
        (
            token.id.clone(),
            token.expires,
            token.rate_limit,
            is_revoked,
        )
    });
    let mut known: Vec<_> = known.collect();
    known.sort();
    known
}

fn audit_rows(store: &Store) -> u64 {
    let snapshot = store.snapshot().expect("open");
    snapshot.check(describe).expect("sound").audit_rows
}

/// Waits until the store is open for writing again; nothing is settled by it.
fn await_writes(store: &Store) {
    wait_until("it comes back", || store.commit(Change::none()).is_ok());
}

/// Leaves an issue of which nobody knows whether it was made, on a disk that works again.
fn leave_in_doubt(disk: &Disk, store: &Store, tokens: &Tokens, now: Moment) {
    disk.is_broken.store(true, Ordering::SeqCst);
    let issued = tokens.issue(wanted("spare"), now, row);
    assert!(is_unknown(&issued), "{issued:?}");
    disk.is_broken.store(false, Ordering::SeqCst);
    await_writes(store);
}

fn is_unknown<T>(outcome: &Result<T, IssueError>) -> bool {
    matches!(outcome, Err(IssueError::Write(WriteError::Unknown)))
}

type Deed = fn(&Tokens, Moment) -> Result<(), IssueError>;

/// Changes tokens while one call of the disk fails; how many calls there were. What is in memory
/// afterwards is what is in the store, now and after a restart.
fn deed(name: &str, deed: Deed, fails_at: usize, disk: &Disk) -> usize {
    let what = format!("{name}, a failure at call {fails_at}");
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    let first = disk.calls.load(Ordering::SeqCst);
    if fails_at > 0 {
        disk.fails_at.store(first + fails_at, Ordering::SeqCst);
    }
    let outcome = deed(&tokens, now);
    let calls = disk.calls.load(Ordering::SeqCst) - first;
    let is_refused = matches!(outcome, Err(IssueError::Write(WriteError::Unavailable)));
    let is_pending = matches!(outcome, Err(IssueError::NotKept));
    assert!(
        outcome.is_ok() || is_refused || is_pending || is_unknown(&outcome),
        "{what}: {outcome:?}"
    );
    // By who was let in before.
    okta.note_use(now, [127, 0, 0, 1].into(), None);
    let is_revoked = |tokens: &Tokens| tokens.find(&okta.id, now)[0].revoked.is_some();
    let was_revoked = is_revoked(&tokens);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert!(!was_revoked || is_revoked(&tokens), "{what}: let in again");
    let stored = Tokens::load(Arc::clone(&store)).expect("loaded");
    let left = known(&tokens, now);
    assert_eq!(left, known(&stored, now), "{what}");
    // One row for each that was issued, changed or revoked.
    let changed = left.iter().filter(|(_, _, rate, _)| rate.is_some());
    let revoked = left.iter().filter(|(.., is_revoked)| *is_revoked);
    let rows = left.len() + changed.count() + revoked.count();
    assert_eq!(audit_rows(&store), rows as u64, "{what}");
    wait_until("uses are kept", || tokens.flush_last_used().is_ok());
    drop((stored, tokens));
    store.close();
    drop(store);
    let again = Tokens::load(disk.open()).expect("loaded");
    assert_eq!(left, known(&again, now), "{what}: after a restart");
    let last = again.find(&okta.id, now)[0].last_used();
    assert_eq!(last.map(|last| last.at), Some(now), "{what}");
    calls
}

/// Who is let in is who is on disk, a token that was refused once is not let in again, and its last
/// use is not lost.
#[test]
fn after_an_error_at_any_call_tokens_are_those_of_the_store() {
    let deeds: [(&str, Deed); 4] = [
        ("change", |tokens, now| {
            let terms = Terms {
                rate_limit: Some(Some(1)),
                ..Terms::default()
            };
            tokens.change("okta", &terms, now, row).map(drop)
        }),
        ("issue", |tokens, now| {
            tokens.issue(wanted("spare"), now, row).map(drop)
        }),
        ("rotate", |tokens, now| {
            tokens
                .rotate("okta", 60, now, "test", |token, _| row(token))
                .map(drop)
        }),
        ("revoke", |tokens, now| {
            tokens.revoke("okta", now, row).map(drop)
        }),
    ];
    for (name, change) in deeds {
        let calls = deed(name, change, 0, &Disk::default());
        assert!(calls > 1, "{calls} calls are too few for {name}");
        for call in 1..=calls {
            for does_it_anyway in [false, true] {
                let disk = Disk {
                    does_it_anyway,
                    ..Disk::default()
                };
                deed(name, change, call, &disk);
            }
        }
    }
}

/// While the disk takes nothing nobody can know. Who was refused stays so, though the revocation
/// was not made; and what may have been issued is seen, can be revoked, and is not issued twice.
#[test]
fn what_may_be_of_tokens_is_seen_until_the_store_can_tell() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    let spare = || tokens.issue(wanted("spare"), now, row);
    let is_seen = || tokens.find("spare", now).len() == 1;

    disk.is_broken.store(true, Ordering::SeqCst);
    let revoked = tokens.revoke("okta", now, row);
    assert!(matches!(revoked, Err(IssueError::NotKept)), "{revoked:?}");
    assert!(tokens.check_again(&okta, now).is_err());
    assert!(tokens.settle().is_err());
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert!(tokens.check_again(&okta, now).is_err(), "let in again");
    let stored = Tokens::load(Arc::clone(&store)).expect("loaded");
    assert_eq!(known(&stored, now), known(&tokens, now));

    disk.is_broken.store(true, Ordering::SeqCst);
    let issued = spare();
    assert!(is_unknown(&issued), "{issued:?}");
    assert!(is_seen());
    let again = spare();
    assert!(
        matches!(again, Err(IssueError::Write(WriteError::Unavailable))),
        "{again:?}"
    );
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert!(!is_seen(), "it was not made");
    spare().expect("issued");
    assert!(is_seen());
}

/// A token that was taken back is good for nobody from then on, whoever else waits for the disk, and
/// so is the one that a rotation makes meanwhile.
#[test]
fn a_revoked_token_is_refused_while_the_disk_hangs() {
    let deeds: [(Deed, bool); 3] = [
        (
            |tokens, now| tokens.issue(wanted("spare"), now, row).map(drop),
            false,
        ),
        (
            |tokens, now| {
                let rotated = tokens.rotate("okta", 60, now, "test", |token, _| row(token))?;
                assert!(rotated.old[0].revoked.is_some(), "let in again");
                Ok(())
            },
            false,
        ),
        (|tokens, _| Ok(tokens.settle()?), true),
    ];
    for (deed, is_in_doubt) in deeds {
        let disk = Disk::default();
        let (store, tokens, now) = disk.open_with_tokens();
        let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
        if is_in_doubt {
            leave_in_doubt(&disk, &store, &tokens, now);
        }
        let first = disk.calls.load(Ordering::SeqCst);
        disk.hangs.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| deed(&tokens, now));
            wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
            let revoking = scope.spawn(|| tokens.revoke("okta", now, row));
            let begun = Instant::now();
            while tokens.check_again(&okta, now).is_ok() && begun.elapsed() < SENT_AWAY_MAX {
                std::thread::yield_now();
            }
            let is_refused = tokens.check_again(&okta, now).is_err();
            let is_over = revoking.is_finished();
            disk.hangs.store(false, Ordering::SeqCst);
            assert!(is_refused && !is_over, "let in, or told too early");
            other.join().expect("no panic").expect("done");
            let revoked = revoking.join().expect("no panic").expect("revoked");
            assert!(revoked.iter().any(|token| token.id == okta.id));
        });
        wait_until("it is settled", || tokens.settle().is_ok());
        let live = tokens.find("okta", now).into_iter();
        assert_eq!(live.filter(|token| token.revoked.is_none()).count(), 0);
        let stored = Tokens::load(Arc::clone(&store)).expect("loaded");
        assert_eq!(known(&tokens, now), known(&stored, now));
    }
}

/// Nor do the stored tokens let it in, when they are read again before its revocation is written.
#[test]
fn a_revocation_that_is_to_be_written_outlives_a_look_at_the_store() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    leave_in_doubt(&disk, &store, &tokens, now);
    let first = disk.calls.load(Ordering::SeqCst);
    disk.hangs.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| store.commit(Change::none().audit("{}".to_owned())));
        wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
        let settling = scope.spawn(|| {
            tokens.settle().expect("the store can tell");
            tokens.check_again(&okta, now)
        });
        wait_until("it waits to be settled", || waiting(&store) > 0);
        let revoking = scope.spawn(|| tokens.revoke("okta", now, row));
        wait_until("it is refused", || tokens.check_again(&okta, now).is_err());
        disk.hangs.store(false, Ordering::SeqCst);
        let found = settling.join().expect("no panic");
        assert_eq!(found, Err(Rejection::Revoked), "let in again");
        writing.join().expect("no panic").expect("written");
        revoking.join().expect("no panic").expect("revoked");
    });
}

/// What was not confirmed before the end is named, and may be undone by it; who is told so at every
/// try takes it back once more.
#[test]
fn a_revocation_that_was_not_kept_before_the_end_is_named_and_made_again() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    disk.is_broken.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let revoked = tokens.revoke("okta", now, row);
        assert!(matches!(revoked, Err(IssueError::NotKept)), "{revoked:?}");
    }
    let named = [(okta.id.clone(), "okta".to_owned())];
    assert_eq!(tokens.revocations_in_doubt(), named);
    drop(tokens);
    store.close();
    drop(store);
    disk.is_broken.store(false, Ordering::SeqCst);
    let store = disk.open();
    let again = Tokens::load(Arc::clone(&store)).expect("loaded");
    assert!(again.check_again(&okta, now).is_ok(), "nothing was kept");
    let revoked = again.revoke("okta", now, row).expect("revoked");
    assert_eq!((revoked.len(), audit_rows(&store)), (1, 2));
    assert!(again.revocations_in_doubt().is_empty());
}

/// That nobody knows is said of what the caller wanted, not of a revocation before it.
#[test]
fn what_was_in_doubt_before_is_not_told_as_the_callers() {
    let mut told = [0; 3];
    for call in 1.. {
        let disk = Disk::default();
        let (store, tokens, now) = disk.open_with_tokens();
        tokens.issue(wanted("okta"), now, row).expect("issued");
        disk.is_broken.store(true, Ordering::SeqCst);
        tokens.revoke("okta", now, row).expect_err("not kept");
        disk.is_broken.store(false, Ordering::SeqCst);
        await_writes(&store);
        let at = disk.calls.load(Ordering::SeqCst) + call;
        disk.fails_at.store(at, Ordering::SeqCst);
        let issued = tokens.issue(wanted("spare"), now, row);
        let is_seen = !tokens.find("spare", now).is_empty();
        match issued {
            Ok(_) => told[0] += 1,
            Err(IssueError::Write(WriteError::Unavailable)) => {
                assert!(!is_seen, "call {call}");
                told[1] += 1;
            }
            Err(IssueError::Write(WriteError::Unknown)) => {
                assert!(is_seen, "call {call}");
                told[2] += 1;
            }
            Err(error) => panic!("call {call}: {error:?}"),
        }
        if disk.calls.load(Ordering::SeqCst) < at {
            break;
        }
    }
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
}

/// What cannot be known of a change keeps nobody from writing down who came.
#[test]
fn last_uses_are_kept_while_a_change_stays_in_doubt() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    leave_in_doubt(&disk, &store, &tokens, now);
    let unreadable = Change::none().token("0", b"no token".to_vec());
    store.commit(unreadable).expect("written");
    assert_eq!(tokens.settle(), Err(WriteError::Unavailable));
    okta.note_use(now, [127, 0, 0, 1].into(), None);
    tokens.tend();
    let snapshot = store.snapshot().expect("open");
    let seen = snapshot.tokens_seen().expect("read");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].0, okta.id);
}

/// Whoever asks for a token hears of it before a command gives up, or it is not made.
#[test]
#[ignore = "a disk that hangs for a minute"]
fn a_change_of_tokens_on_a_disk_that_hangs_is_answered_in_time() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    tokens.issue(wanted("okta"), now, row).expect("issued");
    let timed = |deed: Deed| {
        let begun = Instant::now();
        let outcome = deed(&tokens, now);
        let took = begun.elapsed();
        println!("{outcome:?} after {took:?}");
        assert!(took < limits::LOCAL_ANSWER_WAIT_MAX, "{took:?}");
        outcome
    };
    let first = disk.calls.load(Ordering::SeqCst);
    disk.hangs.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let timed = &timed;
        let issuing =
            scope.spawn(move || timed(|tokens, now| tokens.issue(wanted("a"), now, row).map(drop)));
        wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
        let revoking =
            scope.spawn(move || timed(|tokens, now| tokens.revoke("okta", now, row).map(drop)));
        let outcome = timed(|tokens, now| tokens.issue(wanted("b"), now, row).map(drop));
        assert!(
            matches!(outcome, Err(IssueError::Write(WriteError::Unavailable))),
            "{outcome:?}"
        );
        let outcome = issuing.join().expect("no panic");
        assert!(is_unknown(&outcome), "{outcome:?}");
        let outcome = revoking.join().expect("no panic");
        assert!(matches!(outcome, Err(IssueError::NotKept)), "{outcome:?}");
        // It is known too late.
        let issuing =
            scope.spawn(move || timed(|tokens, now| tokens.issue(wanted("c"), now, row).map(drop)));
        std::thread::sleep(limits::TOKEN_CHANGE_WAIT_MAX + Duration::from_secs(2));
        disk.hangs.store(false, Ordering::SeqCst);
        let outcome = issuing.join().expect("no panic");
        assert!(
            matches!(outcome, Err(IssueError::Write(WriteError::Unavailable))),
            "{outcome:?}"
        );
    });
    wait_until("it is settled", || tokens.settle().is_ok());
    let stored = Tokens::load(store).expect("loaded");
    assert_eq!(known(&tokens, now), known(&stored, now));
    assert!(tokens.find("c", now).is_empty());
    assert!(tokens.revocations_in_doubt().is_empty());
}

/// What waits for space may be made long after its caller was told that nobody knows.
#[test]
#[ignore = "ten seconds without space"]
fn a_token_that_waits_for_space_is_seen_all_the_while() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    disk.is_full.store(true, Ordering::SeqCst);
    let issued = tokens.issue(wanted("okta"), now, row);
    assert!(is_unknown(&issued), "{issued:?}");
    assert_eq!(tokens.settle(), Err(WriteError::Full));
    let seen = known(&tokens, now);
    assert_eq!(seen.len(), 1);
    disk.is_full.store(false, Ordering::SeqCst);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert_eq!(known(&tokens, now), seen);
    let again = tokens.issue(wanted("okta"), now, row);
    assert!(matches!(again, Err(IssueError::NameTaken)), "{again:?}");
    let stored = Tokens::load(store).expect("loaded");
    assert_eq!(known(&stored, now), seen);
}

/// It passes, and a service manager is to try again.
#[test]
fn a_start_on_a_disk_that_takes_nothing_does_not_blame_the_content() {
    let disk = Disk::default();
    let store = disk.store();
    disk.is_broken.store(true, Ordering::SeqCst);
    let options = Options {
        base_url: Some("https://localhost/scim/v2".to_owned()),
        address: None,
        tuning: Tuning::default(),
        certificate: None,
        data_dir: std::path::PathBuf::new(),
        clock: Arc::new(SystemClock),
    };
    let refused = Api::new(store, options).err();
    assert!(matches!(refused, Some(StartError::Write(_))), "{refused:?}");
}
