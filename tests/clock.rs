//! A wrong time of day: the directory, the tokens, the cursors and the HTTPS server under a clock
//! that jumps; and the private authority's leaf, renewed while the server runs. The HTTPS server,
//! the store and TLS are real; only the clock belongs to the test.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use golinks_scim::api::{Api, Options, Tuning};
use golinks_scim::certificate::{Cell, Names, Source};
use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::http1::client::{Request, Response};
use golinks_scim::https;
use golinks_scim::idp::client::{Client, Error};
use golinks_scim::limits;
use golinks_scim::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{body, cli_in, send};

/// The machine's clock plus this many milliseconds.
#[derive(Default)]
struct Jumping(AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> Instant {
        let by = self.0.load(Ordering::SeqCst);
        Instant::from_millis(SystemClock.now().millis() + by)
    }
}

/// A server in the process of the test.
struct Here {
    folder: TempDir,
    authorization: String,
    clock: Arc<Jumping>,
    cell: Arc<Cell>,
    api: Arc<Api>,
    door: https::Server,
}

impl Here {
    /// Opens a server whose leaf was issued at `leaf_made`.
    fn open(leaf_made: Instant) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path().join("data");
        fs::create_dir(&data_dir).expect("made");
        let open = || Store::open(&data_dir.join("users.redb"), Duration::ZERO, describe);
        drop(open().expect("a store"));
        let issue = [
            "token",
            "issue",
            "t",
            "--scope",
            "full",
            "--expires",
            "never",
        ];
        let issued = cli_in(&folder, &issue);
        assert_eq!(issued.status, Some(0), "{issued:?}");
        let authorization = format!("Bearer {}", issued.stdout.trim());
        let store = open().expect("a store");
        let source = Source::DataDirectory {
            directory: data_dir.join("tls"),
            names: Names::new("machine", None),
            host: "localhost".to_owned(),
        };
        let cell = Cell::open(source, leaf_made).expect("a leaf");
        let listener = https::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = listener.local_addr().expect("bound");
        let clock = Arc::new(Jumping::default());
        let options = Options {
            base_url: Some(format!("https://{address}/scim/v2")),
            address: Some(address),
            tuning: Tuning {
                rate_per_second: None,
                ..Tuning::default()
            },
            certificate: Some(Arc::clone(&cell)),
            data_dir,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let api = Arc::new(Api::new(store, options).expect("an API"));
        let tls = https::server_config(Arc::clone(&cell) as Arc<_>);
        let door = https::Server::open(listener, tls, Arc::clone(&api)).expect("a door");
        Self {
            folder,
            authorization,
            clock,
            cell,
            api,
            door,
        }
    }

    fn client(&self) -> Client {
        let pem = fs::read(self.folder.path().join("data/tls/ca.pem")).expect("the authority");
        let base = format!("https://{}/scim/v2", self.door.local_addr());
        Client::new(&base, &pem).expect("a client")
    }

    fn try_ask(
        &self,
        client: &mut Client,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Response, Error> {
        send(client, &self.authorization, method, target, body)
    }

    fn ask(
        &self,
        client: &mut Client,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Response {
        let answered = self.try_ask(client, method, target, body);
        answered.expect("an answer")
    }

    fn close(self) {
        self.door.close();
        self.api.close();
    }
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or(Value::Null)
}

fn moment(value: &Value) -> Instant {
    let text = value.as_str().expect("a dateTime");
    Instant::parse(text).expect("a dateTime")
}

#[test]
fn a_clock_that_jumps_harms_nobody() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    /// The length of the day in a `Date`: `Sun, 06 Nov 1994`.
    const DAY_CHARS: usize = 16;
    let here = Here::open(SystemClock.now());
    let mut client = here.client();
    let jane = json_of(&here.ask(&mut client, "POST", "/Users", Some(&body("jane"))));
    let target = format!("/Users/{}", jane["id"].as_str().expect("an id"));
    let mut last = moment(&jane["meta"]["lastModified"]);
    let to_1970 = -SystemClock.now().millis();
    let jumps = [
        0,
        -DAY,
        3650 * DAY,
        to_1970,
        -1000 * 365 * DAY,
        20_000 * 365 * DAY,
        0,
    ];
    for (number, jump) in jumps.into_iter().enumerate() {
        // The cursor is made before the clock jumps and used afterwards.
        let page = json_of(&here.ask(&mut client, "GET", "/Users?cursor&count=1", None));
        here.clock.0.store(jump, Ordering::SeqCst);
        let day = || here.clock.now().imf_fixdate()[..DAY_CHARS].to_owned();
        let earliest = day();
        let created = here.ask(
            &mut client,
            "POST",
            "/Users",
            Some(&body(&format!("u{number}"))),
        );
        assert_eq!(created.status, 201, "{jump}: {}", json_of(&created));
        let date = created
            .header("date")
            .and_then(|date| date.get(..DAY_CHARS));
        let is_now = date.is_some_and(|date| [earliest, day()].contains(&date.to_owned()));
        assert!(is_now, "{jump}: {date:?}");
        let change = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "title", "value": format!("T{number}")}]
        });
        let changed = here.ask(&mut client, "PATCH", &target, Some(&change));
        assert_eq!(changed.status, 200, "{jump}");
        let changed = json_of(&changed);
        let modified = moment(&changed["meta"]["lastModified"]);
        let is_later = modified > last || last == Instant::from_millis(i64::MAX);
        assert!(is_later, "{jump}: {modified} is not after {last}");
        last = modified;
        let found = here.ask(&mut client, "GET", "/Users?filter=title%20pr", None);
        assert_eq!(json_of(&found)["totalResults"], 1, "{jump}");
        if let Some(cursor) = page["nextCursor"].as_str() {
            let next = here.ask(
                &mut client,
                "GET",
                &format!("/Users?count=1&cursor={cursor}"),
                None,
            );
            let kind = &json_of(&next)["scimType"];
            assert!(
                next.status == 200 || (next.status == 400 && *kind == "expiredCursor"),
                "{jump}: {} {kind}",
                next.status
            );
        }
        // Deadlines do not use this clock, so new connections are served like the kept one.
        assert_eq!(
            here.ask(&mut here.client(), "GET", &target, None).status,
            200,
            "{jump}"
        );
        here.api.tend_tokens();
    }
    here.close();
}

/// A client that is told that a page is unchanged goes on with the cursors that it already has.
#[test]
fn a_page_is_confirmed_only_while_its_cursors_stay_good() {
    let here = Here::open(SystemClock.now());
    let mut client = here.client();
    for name in ["a", "b"] {
        let created = here.ask(&mut client, "POST", "/Users", Some(&body(name)));
        assert_eq!(created.status, 201);
    }
    let target = "/Users?cursor&count=1";
    let period = i64::try_from(limits::CURSOR_DURATION_MIN.as_millis()).expect("an hour");
    let to_begin = -(SystemClock.now().millis() % period);
    here.clock.0.store(to_begin, Ordering::SeqCst);
    let page = here.ask(&mut client, "GET", target, None);
    let tag = page.header("etag").expect("a tag").to_owned();
    for (later, status) in [(0, 304), (period, 200)] {
        here.clock.0.store(to_begin + later, Ordering::SeqCst);
        let request = Request {
            method: "GET",
            target,
            headers: &[
                ("Authorization", &here.authorization),
                ("If-None-Match", &tag),
            ],
            body: None,
        };
        let (again, _) = client.send(&request).expect("an answer");
        assert_eq!(again.status, status, "{later}");
    }
    here.close();
}

#[test]
fn our_own_leaf_is_renewed_under_load_without_a_failed_request() {
    let here = Here::open(SystemClock.now().plus_days(-80));
    let old = here.cell.summary().fingerprint;
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed = AtomicUsize::new(0);
    let await_more = |more: usize| {
        let wanted = asked.load(Ordering::SeqCst) + more;
        while asked.load(Ordering::SeqCst) < wanted {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let renewed = thread::scope(|scope| {
        for keeps in [true, false, false] {
            let (here, is_over, asked, failed) = (&here, &is_over, &asked, &failed);
            scope.spawn(move || {
                let mut client = here.client();
                while !is_over.load(Ordering::SeqCst) {
                    if !keeps {
                        client = here.client();
                    }
                    let answered = here.try_ask(&mut client, "GET", "/Users?count=1", None);
                    let is_good = answered.is_ok_and(|response| response.status == 200);
                    failed.fetch_add(usize::from(!is_good), Ordering::SeqCst);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        await_more(100);
        let renewed = here.cell.renew_if_due(SystemClock.now());
        await_more(100);
        is_over.store(true, Ordering::SeqCst);
        renewed
    });
    let new = renewed.expect("renewed").expect("it was due").fingerprint;
    assert_ne!(new, old);
    let failed = failed.load(Ordering::SeqCst);
    let asked = asked.load(Ordering::SeqCst);
    println!("{asked} requests around a renewal, {failed} failed");
    assert_eq!(failed, 0);
    here.close();
}
