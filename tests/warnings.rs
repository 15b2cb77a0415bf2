//! Warnings under a clock that the test moves: the ends of tokens and certificates, an hour of
//! deactivations across a restart; and the reports of an unreadable store and of a bug. The router
//! and the store are real, in the test's own process.
//!
//! - `tokens`: tokens that end or have ended
//! - `certificate`: certificates that end, a base URL that changes
//! - `deactivations`: the alarm across restarts
//! - `store`: a store that is damaged or cannot be read; a bug

mod certificate;
mod deactivations;
mod store;
mod tokens;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use golinks_scim::access::Administrator;
use golinks_scim::api::{Api, Options, Tuning};
use golinks_scim::certificate::Cell;
use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::fix::filled;
use golinks_scim::http1::{Body, Head};
use golinks_scim::store::{Change, Store};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::body;

const HOUR: i64 = 60 * 60 * 1000;

const DAY: i64 = 24 * HOUR;

/// A clock that is moved by this value panics when it is read, as a bug would.
const BROKEN: i64 = i64::MIN;

/// The time at the start of the test plus this many milliseconds.
struct Moved {
    start: Instant,
    by: AtomicI64,
}

impl Clock for Moved {
    fn now(&self) -> Instant {
        let by = self.by.load(Ordering::SeqCst);
        assert_ne!(by, BROKEN, "a bug");
        Instant::from_millis(self.start.millis() + by)
    }
}

thread_local! {
    /// The lines that this thread has logged since the last look.
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps log lines, separately for each thread, since tests run in parallel.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|logged| logged.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// A router on a store of its own, with a clock that the test can move.
struct Here {
    folder: TempDir,
    clock: Arc<Moved>,
    cell: Option<Arc<Cell>>,
    api: Api,
}

impl Here {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Moved {
            start: SystemClock.now(),
            by: AtomicI64::new(0),
        });
        Self::on(folder, clock, None)
    }

    fn on(folder: TempDir, clock: Arc<Moved>, cell: Option<Arc<Cell>>) -> Self {
        Self::at("https://localhost/scim/v2", folder, clock, cell)
    }

    fn at(url: &str, folder: TempDir, clock: Arc<Moved>, cell: Option<Arc<Cell>>) -> Self {
        let path = folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        Self::on_store(store, url, folder, clock, cell)
    }

    fn on_store(
        store: Store,
        url: &str,
        folder: TempDir,
        clock: Arc<Moved>,
        cell: Option<Arc<Cell>>,
    ) -> Self {
        let options = Options {
            base_url: Some(url.to_owned()),
            address: Some(([127, 0, 0, 1], 1).into()),
            tuning: Tuning::default(),
            certificate: cell.clone(),
            data_dir: folder.path().to_owned(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let api = Api::new(store, options).expect("an API");
        Self {
            folder,
            clock,
            cell,
            api,
        }
    }

    /// Ends the server and starts it again.
    fn start_again(self) -> Self {
        self.start_again_at("https://localhost/scim/v2")
    }

    fn start_again_at(self, url: &str) -> Self {
        self.api.close();
        drop(self.api);
        Self::at(url, self.folder, self.clock, self.cell)
    }

    /// [`Self::start_again`], but writes this to the store once it is open.
    fn start_again_after(self, change: Change) -> Self {
        self.api.close();
        drop(self.api);
        let path = self.folder.path().join("users.redb");
        let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
        store.commit(change).expect("written");
        let url = "https://localhost/scim/v2";
        Self::on_store(store, url, self.folder, self.clock, self.cell)
    }

    fn move_to(&self, millis: i64) {
        self.clock.by.store(millis, Ordering::SeqCst);
    }

    /// Sends a request as the administrator.
    fn ask(&self, method: &str, target: &str, body: &Value) -> (u16, String) {
        let head = Head::new(method, target, &[]).expect("a head");
        let who = Administrator::from_local_socket("test");
        let answer = match self.api.admit_administrator(&head, &who) {
            Ok(admission) => self
                .api
                .answer(admission, Some(body.to_string().as_bytes())),
            Err(refusal) => refusal.answer,
        };
        let text = match answer.body {
            Body::Bytes(bytes) => String::from_utf8(bytes).expect("text"),
            Body::Empty => String::new(),
            Body::Stream(_) => panic!("{target} is streamed"),
        };
        (answer.status, text)
    }

    /// Sends a request as the administrator, and reads the answer until it ends or is cut off.
    fn ask_to_the_end(&self, method: &str, target: &str, body: &Value) {
        let head = Head::new(method, target, &[]).expect("a head");
        let who = Administrator::from_local_socket("test");
        let Ok(admission) = self.api.admit_administrator(&head, &who) else {
            panic!("{target} is refused");
        };
        let body = body.to_string();
        match self.api.answer(admission, Some(body.as_bytes())).body {
            Body::Stream(pieces) => assert!(pieces.last().is_some_and(|last| last.is_err())),
            Body::Bytes(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                assert!(text.contains("\"status\":\"500\""), "{text}");
            }
            Body::Empty => panic!("{target} is empty"),
        }
    }

    /// Sends a request with a token, as over the network, and returns the status.
    fn ask_with(&self, token: &str, target: &str) -> u16 {
        let fields = [("authorization".to_owned(), format!("Bearer {token}"))];
        let head = Head::new("GET", target, &fields).expect("a head");
        match self.api.admit(&head, [127, 0, 0, 1].into()) {
            Ok(admission) => self.api.answer(admission, None).status,
            Err(refusal) => refusal.answer.status,
        }
    }

    fn json(&self, method: &str, target: &str, body: &Value) -> Value {
        let (status, text) = self.ask(method, target, body);
        assert!(status < 300, "{method} {target}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn status(&self) -> Value {
        self.json("GET", "/admin/status", &Value::Null)
    }

    fn warned(&self, kind: &str) -> Vec<String> {
        let status = self.status();
        let all = status["warnings"].as_array().expect("a list").iter();
        let of_kind = all.filter(|warning| warning["kind"] == kind);
        of_kind
            .map(|warning| {
                let fix = filled(text(&warning["fix"]));
                format!("{}; {fix}", text(&warning["what"]))
            })
            .collect()
    }

    /// The lines that the server logs when it looks for something to warn about.
    fn logs(&self) -> Vec<String> {
        logged_by(|| self.api.warn())
    }

    fn metric(&self, name: &str) -> Option<String> {
        let (status, text) = self.ask("GET", "/metrics", &Value::Null);
        assert_eq!(status, 200, "{text}");
        let prefix = format!("golinks_scim_{name} ");
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    }
}

/// The lines that this thread logs during a task.
fn logged_by(task: impl FnOnce()) -> Vec<String> {
    // Another test may have set the logger, and may not have set the level yet.
    let _ = log::set_logger(&Log);
    log::set_max_level(log::LevelFilter::Warn);
    LOGGED.take();
    task();
    LOGGED.take()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Creates users and returns their ids.
fn users(here: &Here, count: usize) -> Vec<String> {
    let create = |number: usize| {
        let user = here.json("POST", "/scim/v2/Users", &body(&format!("user{number}")));
        text(&user["id"]).to_owned()
    };
    (0..count).map(create).collect()
}
