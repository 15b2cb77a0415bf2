//! What is done at which tick, what the log says of it, and which settings are reloaded.

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::access::{Issue, Scope, Tokens};
use crate::api::Options;
use crate::certificate::{Names, Source};
use crate::clock::Instant;
use crate::directory::describe;
use crate::files;
use crate::http1::{Body, Head};
use crate::store::{Change, Store};

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

/// The lines that this thread logs during a task.
fn logged_by(task: impl FnOnce()) -> Vec<String> {
    // Another test may have set the logger, and may not have set the level yet.
    let _ = log::set_logger(&Log);
    log::set_max_level(log::LevelFilter::Info);
    LOGGED.take();
    task();
    LOGGED.take()
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("users.redb"), Duration::ZERO, describe).expect("a store")
}

fn private(folder: &Path, now: Instant) -> Arc<Cell> {
    let source = Source::DataDirectory {
        directory: folder.join("tls"),
        names: Names::new("machine", None),
        host: "localhost".to_owned(),
    };
    Cell::open(source, now).expect("a leaf")
}

fn api(folder: &Path) -> Api {
    Api::new(open(folder), Options::without_server(folder)).expect("an API")
}

/// Issues a token in the closed store, and returns the request that uses it.
fn request(folder: &Path, scope: Scope, target: &str) -> String {
    let tokens = Tokens::load(Arc::new(open(folder))).expect("none");
    let issue = Issue::new("okta", scope);
    let issued = tokens.issue(issue, SystemClock.now(), |_| "{}".to_owned());
    let (_, text) = issued.expect("issued");
    format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
        text.reveal()
    )
}

/// The answer's body.
fn answered(api: &Api, request: &str) -> String {
    let parsed = Head::parse(request.as_bytes()).expect("good");
    let (head, _) = parsed.expect("whole");
    let admitted = api.admit(&head, IpAddr::from(Ipv4Addr::LOCALHOST));
    let admitted = admitted.ok().expect("a good token");
    let Body::Bytes(body) = api.answer(admitted, None).body else {
        panic!("it is short");
    };
    String::from_utf8(body).expect("text")
}

/// An API whose token was used once; the use is not stored yet.
fn api_with_use(folder: &Path) -> Api {
    let request = request(folder, Scope::Full, "/scim/v2/Users");
    let api = api(folder);
    answered(&api, &request);
    api
}

/// Whether the store's file says that the token was used. Reads a copy of the file, since the
/// store is open.
fn is_use_stored(folder: &Path) -> bool {
    let copied = tempfile::tempdir().expect("a folder");
    let name = "users.redb";
    fs::copy(folder.join(name), copied.path().join(name)).expect("copied");
    let tokens = Tokens::load(Arc::new(open(copied.path()))).expect("tokens");
    let listed = tokens.list(SystemClock.now());
    assert_eq!(listed.len(), 1);
    listed[0].last_used().is_some()
}

#[test]
fn each_setting_that_is_reloaded_changes_what_holds() {
    let holds = |name: &str, value: &str| {
        let variables = [("GOLINKS_SCIM_DATA_DIR", "/d"), (name, value)];
        let sources = Sources {
            environment: variables
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..Sources::default()
        };
        let serve = Configuration::load(&sources).ok()?.serve;
        Some((tuning(&serve), serve.log_level))
    };
    let before = holds("HOME", "/").expect("the defaults can be used");
    for setting in SETTINGS.iter().filter(|it| it.is_reloaded) {
        let variable = setting.key.variable();
        let values = ["7", "off", "debug", "30d", "1MiB", "::1"];
        let mut after = values.iter().filter_map(|value| holds(&variable, value));
        assert!(after.any(|after| after != before), "{}", setting.name);
    }
}

#[test]
fn uses_are_stored_and_the_leaf_is_renewed_when_their_turn_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = api_with_use(folder.path());
    let cell = private(folder.path(), SystemClock.now().plus_days(-80));
    let old = cell.summary().fingerprint;
    // A copy whose command was killed before fetching it.
    let copy = files::draft_of(&config::store_path(folder.path()));
    let made = fs::File::create_new(&copy).expect("made");
    made.set_modified(SystemTime::UNIX_EPOCH).expect("ours");
    maintain(&api, &cell, TICKS_PER_LEAF_LOOK - 1, &mut None);
    assert_eq!(cell.summary().fingerprint, old);
    maintain(&api, &cell, TICKS_PER_FLUSH - 1, &mut None);
    assert!(!is_use_stored(folder.path()) && copy.exists());
    maintain(&api, &cell, TICKS_PER_LEAF_LOOK, &mut None);
    assert_ne!(cell.summary().fingerprint, old, "it was not renewed");
    maintain(&api, &cell, TICKS_PER_FLUSH, &mut None);
    assert!(is_use_stored(folder.path()) && !copy.exists());
}

/// After the clock was wrong, clients refuse the leaf, so its renewal must not wait for the
/// next interval.
#[test]
fn a_leaf_that_is_out_of_date_is_renewed_at_any_tick() {
    let now = SystemClock.now();
    for made in [now.plus_days(-200), now.plus_days(200)] {
        let folder = tempfile::tempdir().expect("a folder");
        let api = api(folder.path());
        // The authority is valid at both times.
        private(folder.path(), now.plus_days(-200));
        let cell = private(folder.path(), made);
        assert!(cell.summary().out_of_date(now).is_some());
        let logged = logged_by(|| maintain(&api, &cell, 1, &mut None));
        let renewed = cell.summary();
        assert_eq!(renewed.out_of_date(SystemClock.now()), None);
        let told = format!("the certificate was renewed until {:.0}", renewed.not_after);
        assert!(logged.contains(&told), "{logged:?}");
    }
}

#[test]
fn what_hinders_a_renewal_is_told_once_and_again_after_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemClock.now();
    // An authority that was made while the clock was fast.
    private(folder.path(), now.plus_days(1));
    let cell = private(folder.path(), now);
    let mut last_renewal_error = None;
    let mut told = |cell: &Cell, is_look: bool| {
        let logged = logged_by(|| renew(cell, is_look, &mut last_renewal_error));
        let told = |line: &&String| line.starts_with("the certificate cannot be renewed: ");
        logged.iter().filter(told).count()
    };
    assert_eq!(told(&cell, false), 0, "it is no look");
    assert_eq!(told(&cell, true), 1);
    thread::sleep(Duration::from_millis(2));
    assert_eq!(told(&cell, true), 0, "it is told anew");
    let other = tempfile::tempdir().expect("a folder");
    assert_eq!(told(&private(other.path(), now), true), 0);
    assert_eq!(told(&cell, true), 1, "the next one is not told");
}

#[test]
fn changed_files_are_read_again_at_any_tick() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = api(folder.path());
    private(folder.path(), SystemClock.now());
    let files = folder.path().join("tls");
    let source = Source::Files {
        chain: files.join("leaf.pem"),
        key: files.join("leaf.key"),
        host: "localhost".to_owned(),
    };
    let cell = Cell::open(source, SystemClock.now()).expect("a leaf");
    let old = cell.summary().fingerprint;
    maintain(&api, &cell, 1, &mut None);
    assert_eq!(cell.summary().fingerprint, old);
    // Make another leaf of the same authority.
    fs::remove_file(files.join("leaf.pem")).expect("it was there");
    let new = private(folder.path(), SystemClock.now());
    maintain(&api, &cell, 1, &mut None);
    assert_eq!(cell.summary().fingerprint, new.summary().fingerprint);
    assert_ne!(cell.summary().fingerprint, old);
}

#[test]
fn deactivations_are_recalled_at_any_tick() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let time = SystemClock.now();
    let off = format!(
        "{{\"time\":\"{time}\",\"principal\":\"token:0a:okta\",\"userName\":\"jane\",\"changes\":\
         [{{\"attribute\":\"active\",\"before\":true,\"after\":false}}]}}"
    );
    let newer = 0..limits::ALARM_ROWS_MAX;
    let rows = newer.fold(Change::none().audit(off), |all, _| {
        all.audit("{}".to_owned())
    });
    store.commit(rows).expect("written");
    drop(store);
    let request = request(folder.path(), Scope::Metrics, "/metrics");
    let options = Options {
        address: Some(([127, 0, 0, 1], 1).into()),
        ..Options::without_server(folder.path())
    };
    let api = Api::new(open(folder.path()), options).expect("an API");
    let has = |count: usize| {
        let wanted = format!("golinks_scim_deactivations_last_hour {count}\n");
        answered(&api, &request).contains(&wanted)
    };
    assert!(has(0));
    maintain(&api, &private(folder.path(), time), 1, &mut None);
    assert!(has(1));
}
