//! What somebody is told in time, under a clock that the test moves: the ends of tokens and
//! certificates, an hour of deactivations across a restart; how it is told while the store cannot
//! be read, and what is told of a bug. The router and the store are the real ones, in the test's own process.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use golinks_scim::access::Administrator;
use golinks_scim::api::{Api, Options, Tuning};
use golinks_scim::certificate::{Cell, Names, Source};
use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::fix::filled;
use golinks_scim::http1::{Body, Head};
use golinks_scim::limits;
use golinks_scim::store::{Change, Facts, Keys, Store};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::body;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// Moved by this, a clock is a bug for whoever asks it.
const BROKEN: i64 = i64::MIN;

/// The machine's clock at the start of the test, moved by so many milliseconds.
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
    /// What was logged in this thread since somebody looked.
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged, apart for each thread, as tests run beside each other.
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

/// A router on a store.
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

    /// The same after the end of the process and a new start.
    fn start_again(self) -> Self {
        self.start_again_at("https://localhost/scim/v2")
    }

    fn start_again_at(self, url: &str) -> Self {
        self.api.close();
        drop(self.api);
        Self::at(url, self.folder, self.clock, self.cell)
    }

    /// The same, if this was written to the store meanwhile.
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

    /// Asks as the administrator.
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

    /// Asks as the administrator, and reads the answer until it ends or is cut.
    fn ask_to_the_end(&self, method: &str, target: &str) {
        let head = Head::new(method, target, &[]).expect("a head");
        let who = Administrator::from_local_socket("test");
        let Ok(admission) = self.api.admit_administrator(&head, &who) else {
            panic!("{target} is refused");
        };
        match self.api.answer(admission, None).body {
            Body::Stream(pieces) => assert!(pieces.last().is_some_and(|last| last.is_err())),
            Body::Bytes(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                assert!(text.contains("\"status\":\"500\""), "{text}");
            }
            Body::Empty => panic!("{target} is empty"),
        }
    }

    /// Asks with a token through the network door; the status.
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
                let fix = filled(text(&warning["fix"]), "golinks-scim");
                format!("{}; {fix}", text(&warning["what"]))
            })
            .collect()
    }

    /// What the log is told of when it is looked whether there is something to tell.
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

/// What the log is told by this thread meanwhile.
fn logged_by(task: impl FnOnce()) -> Vec<String> {
    // Another test may have done so, or be about to set the level.
    let _ = log::set_logger(&Log);
    log::set_max_level(log::LevelFilter::Warn);
    LOGGED.take();
    task();
    LOGGED.take()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn tokens_are_warned_of_from_sixty_days_on() {
    let here = Here::open();
    let ends = here.clock.start.plus_days(100);
    let wanted = json!({"name": "okta", "expires": ends.to_string()});
    here.json("POST", "/admin/tokens", &wanted);
    here.json("POST", "/admin/tokens", &json!({"name": "endless"}));
    for (left, is_warned) in [(100, false), (61, false), (60, true), (30, true), (1, true)] {
        here.move_to((100 - left) * DAY);
        let wanted: &[String] = if is_warned {
            &[format!(
                "the token okta ends at {ends}, in {left} days; golinks-scim token rotate okta"
            )]
        } else {
            &[]
        };
        assert_eq!(here.warned("tokens"), wanted, "{left}");
    }
    // A rotation leaves the old one to its end, and the new one has its own hundred days.
    here.move_to(95 * DAY);
    let overlap = json!({"overlapSeconds": 4 * DAY / 1000});
    here.json("POST", "/admin/tokens/okta/rotate", &overlap);
    assert_eq!(here.warned("tokens"), [""; 0]);
    here.move_to((95 + 40) * DAY);
    assert_eq!(here.warned("tokens").len(), 1);
    // The life of a short one is not a warning from its beginning.
    let week = here.clock.start.plus_days(95 + 40 + 7);
    let short = json!({"name": "short", "expires": week.to_string()});
    here.json("POST", "/admin/tokens", &short);
    assert_eq!(here.warned("tokens").len(), 1);
    // Revoked, and over: nothing to warn of.
    here.json("DELETE", "/admin/tokens/okta", &Value::Null);
    assert_eq!(here.warned("tokens"), [""; 0]);
}

/// Else a slip in a script would issue one that lives for ever, or may more than was meant.
#[test]
fn what_a_token_may_is_not_guessed() {
    let here = Here::open();
    for (member, value) in [
        ("expires", json!(5)),
        ("scope", json!(true)),
        ("mode", json!({})),
    ] {
        let wanted = json!({"name": "okta", member: value});
        let (status, told) = here.ask("POST", "/admin/tokens", &wanted);
        assert!(status == 400 && told.contains("must be a text"), "{told}");
    }
}

#[test]
fn a_new_token_that_was_never_typed_in_is_warned_of() {
    let here = Here::open();
    let issued = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    here.move_to(1000);
    let rotate = json!({"overlapSeconds": 7 * DAY / 1000});
    let rotated = here.json("POST", "/admin/tokens/okta/rotate", &rotate);
    let ends = text(&rotated["overlapEnds"]);
    let (old, new) = (text(&issued["token"]), text(&rotated["token"]));
    here.move_to(4 * DAY + 2000);
    // Nobody has used either of them since.
    assert_eq!(here.warned("tokens"), [""; 0]);
    for (days, left) in [(1, None), (3, None), (4, Some(2)), (6, Some(0))] {
        here.move_to(days * DAY + 2000);
        assert_eq!(here.ask_with(old, "/scim/v2/Users"), 200);
        let wanted = left.map(|left| {
            format!(
                "the old token okta expires at {ends}, in {left} days, and is still used; the new one \
                 was never used; type the new one into the identity provider; if it is lost: \
                 golinks-scim token rotate okta"
            )
        });
        assert_eq!(here.warned("tokens"), wanted.as_slice(), "{days}");
    }
    assert_eq!(here.ask_with(new, "/scim/v2/Users"), 200);
    assert_eq!(here.warned("tokens"), [""; 0]);
}

/// An alert is not over, nor `check` content, because what they spoke of has come.
#[test]
fn a_token_that_has_ended_is_told_of_until_there_is_another() {
    let here = Here::open();
    let ends = here.clock.start.plus_days(10);
    let issue = |name: &str, more: &Value| {
        let mut wanted = json!({"name": name});
        let members = more.as_object().expect("an object").clone();
        wanted.as_object_mut().expect("an object").extend(members);
        here.json("POST", "/admin/tokens", &wanted)
    };
    issue("other", &json!({}));
    let narrow = json!({
        "expires": ends.to_string(), "scope": "full", "mode": "strict", "rateLimit": 9,
        "allowFrom": ["10.0.0.0/8"],
    });
    let old = issue("okta", &narrow);
    let series = |token: &Value, metric: &str| {
        let id = text(&token["id"]);
        here.metric(&format!("{metric}{{token=\"{id}\",name=\"okta\"}}"))
    };
    here.move_to(10 * DAY - 1);
    assert_eq!(series(&old, "token_days_left").as_deref(), Some("0"));
    here.move_to(12 * DAY);
    let wanted = format!(
        "the token okta expired at {ends}, and no token of that name is valid; golinks-scim token issue \
         okta --scope full --mode strict --expires 10d --rate-limit 9 --allow-from 10.0.0.0/8; if nobody needs \
         it: golinks-scim token revoke okta"
    );
    assert_eq!(here.warned("tokens"), [wanted]);
    let logged = here.logs();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].starts_with("the token okta expired at "));
    assert_eq!(here.logs(), [""; 0]);
    assert_eq!(series(&old, "token_days_left").as_deref(), Some("-2"));
    let idle = (12 * DAY / 1000).to_string();
    assert_eq!(series(&old, "token_idle_seconds"), Some(idle));

    // Another of the name takes its place, also when that one is taken back.
    let new = issue("okta", &json!({"expires": ends.plus_days(9).to_string()}));
    assert_eq!(here.warned("tokens"), [""; 0]);
    assert_eq!(series(&old, "token_idle_seconds"), None);
    assert_eq!(series(&new, "token_days_left").as_deref(), Some("7"));
    let revoke = || here.json("DELETE", "/admin/tokens/okta", &Value::Null);
    assert_eq!(revoke()["revoked"].as_array().map(Vec::len), Some(1));
    assert_eq!(here.warned("tokens"), [""; 0]);
    assert_eq!(
        here.ask("DELETE", "/admin/tokens/okta", &Value::Null).0,
        404
    );

    // Of those that end one after the other, the last alone; and whoever needs none says so.
    let third = issue("okta", &json!({"expires": ends.plus_days(20).to_string()}));
    here.move_to(31 * DAY);
    assert_eq!(here.warned("tokens").len(), 1);
    assert_eq!(series(&third, "token_days_left").as_deref(), Some("-1"));
    assert_eq!(series(&old, "token_days_left"), None);
    assert_eq!(revoke()["revoked"], json!([third["id"]]));
    assert_eq!(here.warned("tokens"), [""; 0]);
    assert_eq!(series(&third, "token_days_left"), None);
}

/// Each has the life of the first, not what a rotation has left of it.
#[test]
fn after_a_clock_was_set_right_a_rotation_makes_no_token_of_hours() {
    let here = Here::open();
    here.move_to(9 * HOUR);
    let ends = here.clock.now().plus_days(20).to_string();
    let issue = json!({"name": "fast", "expires": ends});
    here.json("POST", "/admin/tokens", &issue);
    here.move_to(0);
    for _ in 0..3 {
        let rotate = json!({"overlapSeconds": 3600});
        let new = here.json("POST", "/admin/tokens/fast/rotate", &rotate);
        let [created, ends] = [&new["created"], &new["expires"]]
            .map(|time| Instant::parse(text(time)).expect("a time"));
        assert!(created <= here.clock.now(), "{new}");
        // The end of the first one, which the clock had put nine hours too late.
        let at_least = created.plus_days(20).seconds();
        assert!(
            (at_least..=at_least + 10 * 3600).contains(&ends.seconds()),
            "{new}"
        );
    }
}

/// What a rotation has cut short is missed by whoever used it, and the next is to live as long as
/// what was taken back too early.
#[test]
fn a_token_whose_successor_was_taken_back_is_told_of_with_its_whole_life() {
    for (life, wanted) in [
        (Some(365), ""),
        (Some(20), " --expires 20d"),
        (None, " --expires never"),
    ] {
        let here = Here::open();
        let ends = life.map(|days| here.clock.start.plus_days(days).to_string());
        here.json(
            "POST",
            "/admin/tokens",
            &json!({"name": "rot", "expires": ends}),
        );
        here.move_to(HOUR);
        let rotate = json!({"overlapSeconds": 4});
        let new = here.json("POST", "/admin/tokens/rot/rotate", &rotate);
        let target = format!("/admin/tokens/{}", text(&new["id"]));
        here.move_to(HOUR + 1000);
        here.json("DELETE", &target, &Value::Null);
        assert_eq!(here.warned("tokens"), [""; 0]);
        here.move_to(HOUR + 4000);
        let warned = here.warned("tokens");
        let fix = format!("name is valid; golinks-scim token issue rot{wanted}; if nobody");
        assert!(
            warned.len() == 1 && warned[0].contains(&fix),
            "{fix}: {warned:?}"
        );
    }
}

/// A token for one run of something, and another for the next, each with its own name.
#[test]
fn a_token_that_was_meant_to_end_is_not_told_of_nor_one_for_ever() {
    let here = Here::open();
    let issue = |name: &str, millis: i64| {
        let ends = Instant::from_millis(here.clock.now().millis() + millis).to_string();
        here.json(
            "POST",
            "/admin/tokens",
            &json!({"name": name, "expires": ends}),
        )
    };
    let run = issue("run", 12 * HOUR);
    // As the command reckons it.
    issue("day", DAY - 500);
    here.move_to(2 * DAY);
    let told = here.warned("tokens");
    let words = "golinks-scim token issue day --expires 1d; if nobody";
    assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    let series = format!(
        "token_days_left{{token=\"{}\",name=\"run\"}}",
        text(&run["id"])
    );
    assert_eq!(here.metric(&series), None);
    here.move_to(31 * DAY - 1000);
    assert_eq!(here.warned("tokens").len(), 1);
    here.move_to(31 * DAY);
    assert_eq!(here.warned("tokens"), [""; 0]);
}

#[test]
fn many_tokens_that_have_ended_are_told_of_in_one_line() {
    let here = Here::open();
    let ends = |minutes: i64| {
        let millis = here.clock.start.millis() + 2 * DAY + minutes * 60 * 1000;
        Instant::from_millis(millis).to_string()
    };
    for number in 1..=12 {
        let wanted = json!({"name": format!("t{number}"), "expires": ends(number)});
        here.json("POST", "/admin/tokens", &wanted);
    }
    let after = |minutes: i64| here.move_to(2 * DAY + minutes * 60 * 1000);
    after(10);
    assert_eq!(
        here.warned("tokens")
            .iter()
            .filter(|it| it.contains("expired"))
            .count(),
        10
    );
    for (number, names) in [
        (11, "t11, t10, t9 and 8 more"),
        (12, "t12, t11, t10 and 9 more"),
    ] {
        after(number);
        let words = format!(
            "{number} tokens have expired, and no others of their names are valid: {names}"
        );
        let of_ended = |all: Vec<String>| -> Vec<String> {
            all.into_iter()
                .filter(|it| it.contains("expired"))
                .collect()
        };
        for told in [of_ended(here.warned("tokens")), of_ended(here.logs())] {
            assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
            let as_they_were = "--allow-from as they were (golinks-scim token show NAME)";
            assert!(told[0].contains(as_they_were), "{told:?}");
        }
        assert_eq!(of_ended(here.logs()), [""; 0]);
    }
    // Whoever fixes one does not hear of the others anew.
    here.json("POST", "/admin/tokens", &json!({"name": "t12"}));
    let told = here.warned("tokens");
    let words = "11 tokens have expired";
    assert!(told.iter().any(|it| it.starts_with(words)), "{told:?}");
    assert!(!here.logs().iter().any(|it| it.starts_with(words)));
}

#[test]
fn a_certificate_that_is_not_ours_is_warned_of_before_its_end() {
    let here = with_our_own();
    let directory = here.folder.path().join("tls");
    here.move_to(88 * DAY);
    // Ours is renewed.
    assert_eq!(here.warned("certificate"), [""; 0]);
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("1"));
    here.move_to(0);

    let file = |name: &str| -> PathBuf { directory.join(name) };
    let theirs = Source::Files {
        chain: file("leaf.pem"),
        key: file("leaf.key"),
        host: "localhost".to_owned(),
    };
    let theirs = Cell::open(theirs, here.clock.start).expect("the same leaf");
    let ends = theirs.summary().not_after;
    let here = Here {
        cell: Some(theirs),
        ..here
    }
    .start_again();
    let to_end = ends.millis() - here.clock.start.millis();
    // Of ninety days, thirty left are when it is renewed.
    for (left, is_warned) in [(30, false), (15, false), (14, true), (7, true), (1, true)] {
        here.move_to(to_end - left * DAY);
        let warned = here.warned("certificate");
        assert_eq!(warned.len(), usize::from(is_warned), "{left}: {warned:?}");
        let wanted = format!("the certificate ends at {ends}, in {left} days; put a new chain");
        assert!(
            warned.iter().all(|it| it.starts_with(&wanted)),
            "{warned:?}"
        );
        assert_eq!(here.status()["certificate"]["daysLeft"], left);
        assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 200, "{left}");
    }
    assert_eq!(here.logs().len(), 1);
    assert_eq!(here.logs(), [""; 0]);
    for wrong in [to_end, -2 * DAY] {
        here.move_to(wrong);
        let (status, told) = here.ask("GET", "/readyz", &Value::Null);
        assert_eq!(status, 503);
        assert!(told.contains("the certificate is valid from"), "{told}");
        // That it is near its end is over, and nothing is told twice.
        assert_eq!(here.warned("certificate"), [""; 0]);
        let logged = here.logs();
        assert_eq!(logged.len(), usize::from(wrong == to_end), "{logged:?}");
        let words = "the certificate is valid from ";
        assert!(
            logged.iter().all(|line| line.starts_with(words)),
            "{logged:?}"
        );
        assert_eq!(here.logs(), [""; 0]);
        assert_eq!(here.metric("ready").as_deref(), Some("0"));
        assert_eq!(here.status()["ready"], false);
    }
    // Whoever starts says so before there is a router.
    let here = here.start_again();
    assert_eq!(here.logs(), [""; 0]);
    // Every reason is told, not the first alone.
    here.api.begin_stopping();
    let (status, told) = here.ask("GET", "/readyz", &Value::Null);
    assert_eq!(status, 503);
    let error: Value = serde_json::from_str(&told).expect("a SCIM Error");
    let detail = text(&error["detail"]);
    assert!(
        detail.starts_with("the certificate is valid from")
            && detail.contains("; the server is stopping (request "),
        "{detail}"
    );
    let status = here.status();
    let reasons = status["reasons"].as_array().expect("a list");
    assert!(reasons.len() == 2 && reasons.iter().all(|it| it["fix"].is_string()));
}

/// A router with a leaf of the private authority, both made now.
fn with_our_own() -> Here {
    let here = Here::open();
    let ours = Source::DataDirectory {
        directory: here.folder.path().join("tls"),
        names: Names::new("machine", None),
        host: "localhost".to_owned(),
    };
    let cell = Some(Cell::open(ours, here.clock.start).expect("a leaf"));
    Here { cell, ..here }.start_again()
}

/// Whoever trusts it must be given the next one, which takes longer than a command.
#[test]
fn the_end_of_our_own_authority_is_warned_of_from_a_year_before_it() {
    let here = with_our_own();
    let cell = here.cell.clone().expect("a leaf");
    let ends = cell.summary().authority.expect("ours").not_after;
    let to_end = ends.millis() - here.clock.start.millis();
    let reach = |left: i64| {
        here.move_to(to_end - left * DAY);
        cell.renew_if_due(here.clock.now()).expect("renewed");
    };
    let manual = "golinks-scim manual certificates";
    for (left, is_warned) in [(366, false), (365, true), (90, true), (1, true)] {
        reach(left);
        let wanted = format!("the private CA ends at {ends}, in {left} days; {manual}");
        let wanted: &[String] = if is_warned { &[wanted] } else { &[] };
        assert_eq!(here.warned("certificate"), wanted, "{left}");
        assert_eq!(here.logs().len(), wanted.len(), "{left}");
        assert_eq!(here.logs(), [""; 0], "{left}");
    }
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("1"));
    reach(-3);
    assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 503);
    assert_eq!(
        here.status()["reasons"][0]["fix"],
        "{program} manual certificates"
    );
    assert_eq!(here.metric("certificate_days_left").as_deref(), Some("-3"));
    assert_eq!(here.warned("certificate"), [""; 0]);
}

#[test]
fn for_a_clock_that_is_wrong_no_certificate_is_to_be_bought() {
    let here = with_our_own();
    // Nobody has made the next one yet.
    here.move_to(3 * 365 * DAY);
    let fix = here.status()["reasons"][0]["fix"].clone();
    assert!(text(&fix).starts_with("correct the clock"), "{fix}");
    // The clock is slow, or was fast when the CA was made.
    here.move_to(-3 * DAY);
    let fix = here.status()["reasons"][0]["fix"].clone();
    assert!(text(&fix).contains("correct it (timedatectl)"), "{fix}");
    assert!(
        text(&fix).ends_with("{program} manual certificates"),
        "{fix}"
    );
}

#[test]
fn another_base_url_than_before_is_told_of_until_the_next_start() {
    let here = Here::open();
    let token = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    // As long as nobody has used a token, nobody was given a base URL.
    let here = here.start_again_at("https://first.example/scim/v2");
    assert_eq!(here.warned("base URL"), [""; 0]);
    let here = here.start_again();
    assert_eq!(here.ask_with(text(&token["token"]), "/scim/v2/Users"), 200);
    assert_eq!(here.warned("base URL"), [""; 0]);
    here.move_to(1000);
    let here = here.start_again_at("https://new.example/scim/v2");
    let what = "the base URL is https://new.example/scim/v2 now, and was https://localhost/scim/v2";
    let fix = "give the new one to the identity providers that were given the old one, or set \
                base_url = \"https://localhost/scim/v2\" and restart the server";
    assert_eq!(here.logs(), [format!("{what}; fix: {fix}")]);
    assert_eq!(here.warned("base URL"), [format!("{what}; {fix}")]);
    // Whoever calls may still call the old one.
    here.move_to(2000);
    assert_eq!(here.ask_with(text(&token["token"]), "/scim/v2/Users"), 200);
    assert_eq!(here.warned("base URL"), [format!("{what}; {fix}")]);
    assert_eq!(here.logs(), [""; 0]);
    let here = here.start_again_at("https://new.example/scim/v2");
    assert_eq!(here.warned("base URL"), [""; 0]);
    assert_eq!(here.logs(), [""; 0]);
}

/// As those are that an ACME client renews when a third of their life is left.
#[test]
fn the_life_of_a_short_certificate_is_not_a_warning_while_it_is_renewed_in_time() {
    for (life, first) in [(100, 30), (90, 14), (45, 14), (20, 1), (6, 1)] {
        let here = Here::open();
        let cell = cell_for(&here, life);
        let here = Here {
            cell: Some(cell),
            ..here
        }
        .start_again();
        for (left, is_warned) in [(first + 1, false), (first, true), (0, true)] {
            // Its last second is still its own.
            here.move_to((life - left) * DAY - 1000);
            let warned = here.warned("certificate");
            assert_eq!(
                warned.len(),
                usize::from(is_warned),
                "{life}, {left}: {warned:?}"
            );
        }
    }
}

/// A certificate that somebody else has made, good from now on for so many days.
fn cell_for(here: &Here, days: i64) -> Arc<Cell> {
    let (chain, key) = (
        here.folder.path().join("chain.pem"),
        here.folder.path().join("key.pem"),
    );
    let pair = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let begins = std::time::SystemTime::now();
    parameters.not_before = begins.into();
    let life = Duration::from_secs(24 * 60 * 60) * u32::try_from(days).expect("a few");
    parameters.not_after = (begins + life).into();
    let leaf = parameters.self_signed(&pair).expect("a leaf");
    std::fs::write(&chain, leaf.pem()).expect("written");
    std::fs::write(&key, pair.serialize_pem()).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let files = Source::Files {
        chain,
        key,
        host: "localhost".to_owned(),
    };
    Cell::open(files, here.clock.now()).expect("a chain")
}

/// Creates users and gives their ids.
fn users(here: &Here, count: usize) -> Vec<String> {
    let create = |number: usize| {
        let user = here.json("POST", "/scim/v2/Users", &body(&format!("user{number}")));
        text(&user["id"]).to_owned()
    };
    (0..count).map(create).collect()
}

fn deactivate(here: &Here, id: &str) {
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}],
    });
    here.json("PATCH", &format!("/scim/v2/Users/{id}"), &off);
}

#[test]
fn a_restart_does_not_hide_the_last_hour() {
    const MINUTE: i64 = 60 * 1000;
    let here = Here::open();
    let ids = users(&here, 60);
    // Fifty of sixty are not yet more than fifty.
    for (number, id) in ids[..50].iter().enumerate() {
        here.move_to(if number < 10 { 0 } else { 30 * MINUTE });
        deactivate(&here, id);
    }
    let here = here.start_again();
    let alarm = here.status()["alarm"].clone();
    let wanted = json!({
        "deactivationsLastHour": 50, "threshold": 50, "isRaised": false, "since": null,
    });
    assert_eq!(alarm, wanted);
    // A user who is deleted while active is one more, one who was not active is not.
    for id in [&ids[0], &ids[50]] {
        let target = format!("/scim/v2/Users/{id}");
        assert_eq!(here.ask("DELETE", &target, &Value::Null).0, 204);
    }
    let here = here.start_again();
    let alarm = here.status()["alarm"].clone();
    assert_eq!(alarm["deactivationsLastHour"], 51);
    assert_eq!(alarm["isRaised"], true);
    assert_eq!(here.metric("mass_deactivation_alarm").as_deref(), Some("1"));
    let warned = here.warned("deactivations");
    let words = "51 deactivations within an hour, 51 by administrator:test; the alarm threshold is 50 (since ";
    assert!(warned[0].starts_with(words), "{warned:?}");
    assert!(warned[0].contains("golinks-scim user list --inactive"));

    // What is older than an hour is over, also for a new process.
    here.move_to(65 * MINUTE);
    let here = here.start_again();
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 41);
    assert_eq!(here.status()["alarm"]["isRaised"], false);
    // Under a clock that was set back everything lies ahead, and nobody knows when it was.
    here.move_to(-400 * DAY);
    let here = here.start_again();
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 0);
}

/// It is written with the first change after it, and looks as old as it is.
#[test]
fn a_refusal_that_waited_hides_no_deactivation() {
    let here = Here::open();
    let ids = users(&here, 60);
    let token = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    let refused = here.ask_with(text(&token["token"]), "/scim/v2/Users/nobody");
    assert_eq!(refused, 404);
    here.move_to(2 * 60 * 60 * 1000);
    for id in &ids[..51] {
        deactivate(&here, id);
    }
    let here = here.start_again();
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 51);
}

/// So many rows a start does not read: it goes on behind.
#[test]
fn deactivations_before_very_many_other_rows_are_counted_behind_the_start() {
    let here = Here::open();
    for id in &users(&here, 60)[..51] {
        deactivate(&here, id);
    }
    let first = here.clock.now();
    here.move_to(HOUR / 2);
    let row = format!("{{\"time\":\"{}\"}}", here.clock.now());
    let all = (0..limits::ALARM_ROWS_MAX).fold(Change::none(), |all, _| all.audit(row.clone()));
    let here = here.start_again_after(all);
    assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 0);
    for _ in 0..2 {
        here.api.recall_deactivations();
        assert_eq!(here.status()["alarm"]["deactivationsLastHour"], 51);
    }
    let warned = here.warned("deactivations");
    let since = format!("user undo --since {}", first.plus_seconds(-60));
    assert!(warned[0].contains(&since), "{warned:?}");
}

/// A router on a store with one user whose row is none. A start finds such a row; this one was
/// spoilt after it. So many others come before it that a page of all is streamed.
fn with_a_damaged_row() -> Here {
    let here = Here::open();
    let photo = "x".repeat(40_000);
    for number in 0..10 {
        let mut user = body(&format!("user{number}"));
        user["photos"] = json!([{"value": format!("https://h.example/{photo}")}]);
        here.json("POST", "/scim/v2/Users", &user);
    }
    let keys = Keys {
        name: b"jane".to_vec(),
        external: None,
        emails: Vec::new(),
    };
    let facts = Facts {
        active: Some(true),
        modified: 0,
        text: String::new(),
    };
    let spoilt = Change::none().create_user(1000, keys, facts, b"no row".to_vec());
    here.start_again_after(spoilt)
}

#[test]
fn a_row_that_is_damaged_while_it_is_served_is_told_until_it_is_fixed() {
    for (method, target) in [
        ("GET", "/scim/v2/Users?startIndex=11"),
        ("GET", "/scim/v2/Users"),
        ("POST", "/admin/verification"),
    ] {
        let here = with_a_damaged_row();
        assert_eq!(here.ask("GET", "/readyz", &Value::Null).0, 200);
        let logged = logged_by(|| here.ask_to_the_end(method, target));
        // The request's id, and what is wrong.
        let told = logged
            .iter()
            .filter(|line| line.find(" the store is damaged: ") == Some(16));
        assert_eq!(told.count(), 1, "{method} {target}: {logged:?}");
        let (status, why) = here.ask("GET", "/readyz", &Value::Null);
        assert!(
            status == 503 && why.contains("the store is damaged: "),
            "{why}"
        );
        let reasons = here.status()["reasons"].clone();
        assert!(
            text(&reasons[0]["fix"]).contains("backup restore FILE"),
            "{reasons}"
        );
    }
}

#[test]
fn it_is_told_that_the_store_cannot_be_read() {
    let here = Here::open();
    users(&here, 2);
    let status = here.status();
    assert_eq!(status["users"], json!({"active": 2, "inactive": 0}));
    assert_eq!(status["ready"], true, "{status}");
    assert!(status["descriptors"]["used"].as_u64() > Some(3), "{status}");
    assert!(status["disk"]["kind"].is_string(), "{status}");
    let newest = text(&status["newestChange"]);
    assert_eq!(Instant::parse(newest), Some(here.clock.now()));

    here.api.close();
    // Whoever watches does not wait for what is away. Whoever did would wait each time; the
    // machine makes us wait now and then.
    let told = (0..3).map(|_| told_of_a_closed_store(&here)).min();
    let wait = limits::READ_PAUSE * limits::READ_PAUSES_MAX;
    assert!(told < Some(wait), "{told:?}");
    // A probe that is told so is no error of the server's; a request is, and the first one counts.
    let errors = || here.metric("server_errors_total");
    assert_eq!(errors().as_deref(), Some("0"));
    let asked = here.ask("GET", "/scim/v2/Users", &Value::Null);
    assert_eq!(
        (asked.0, errors().as_deref()),
        (503, Some("1")),
        "{asked:?}"
    );
}

/// How long it took to be told.
fn told_of_a_closed_store(here: &Here) -> Duration {
    let began = std::time::Instant::now();
    let (status, told) = here.ask("GET", "/readyz", &Value::Null);
    assert_eq!(status, 503, "{told}");
    assert_eq!(here.metric("ready").as_deref(), Some("0"));
    assert_eq!(here.metric("users{status=\"active\"}"), None);
    let status = here.status();
    assert_eq!(
        (&status["ready"], &status["users"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(status["reasons"].as_array().map(Vec::len), Some(1));
    began.elapsed()
}

#[test]
fn a_clock_that_was_set_back_makes_no_token_speak_in_the_future() {
    let here = Here::open();
    let issued = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    let idle = format!(
        "token_idle_seconds{{token=\"{}\",name=\"okta\"}}",
        text(&issued["id"])
    );
    here.move_to(90 * 1000);
    assert_eq!(here.metric(&idle).as_deref(), Some("90"));
    here.move_to(-DAY);
    assert_eq!(here.metric(&idle).as_deref(), Some("0"));
}

#[test]
fn only_where_nothing_is_written_a_bug_is_said_to_have_changed_nothing() {
    let here = Here::open();
    here.move_to(BROKEN);
    for (method, wanted) in [("GET", "nothing was changed"), ("POST", "is not known")] {
        let (status, told) = here.ask(method, "/admin/tokens", &json!({"name": "okta"}));
        assert!(
            status == 500 && told.contains(wanted),
            "{method}: {status} {told}"
        );
    }
}
