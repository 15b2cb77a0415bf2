//! What a running server tells of itself: metrics, readiness, warnings, the alarm over very
//! many deactivations.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use golinks_scim::access::TokenText;
use golinks_scim::http1::client::Response;
use golinks_scim::idp::client::Client;
use golinks_scim::metrics::Format;
use golinks_scim::secret::Secret;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::slow::size;
use crate::support::exposition;
use crate::support::wire::{self, Door};
use crate::support::{Server, Talk, body, send_bytes};

/// Metrics as they stand in the exposition.
struct Scrape {
    /// By name and labels.
    values: BTreeMap<String, f64>,
    /// The types of the families, by their names without prefix.
    types: BTreeMap<String, String>,
}

impl Scrape {
    /// What Prometheus reads with a token of scope `metrics`. Anything that is not OpenMetrics fails.
    fn of(talk: &Talk) -> Self {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        Self::accepting(talk, accept, Format::OpenMetrics)
    }

    /// What a reader is answered that sends this `Accept`, read strictly in this format.
    fn accepting(talk: &Talk, accept: &str, format: Format) -> Self {
        let token = talk.server.token_with("scrape", &["--scope", "metrics"]);
        let read = read(&talk.server, &token, "/metrics", ("Accept", accept));
        talk.server.cli(&["token", "revoke", "scrape"]);
        assert_eq!(read.status, 200);
        let kind = match format {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
        };
        assert_eq!(read.header("content-type"), Some(kind), "{accept}");
        assert_eq!(read.header("vary"), Some("Accept"));
        let text = std::str::from_utf8(&read.body).expect("text");
        let exposition = exposition::read(text, format);
        let values = exposition.samples.into_iter();
        Self {
            values: values.map(|(series, value)| (series, value.0)).collect(),
            types: exposition.types,
        }
    }

    fn get(&self, series: &str) -> f64 {
        let names = || self.values.keys().cloned().collect::<Vec<_>>().join("\n");
        *self
            .values
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in\n{}", names()))
    }

    /// The types by the names that are asked for, where the types name families.
    fn named(&self) -> BTreeMap<String, String> {
        let named = self.types.iter().map(|(family, kind)| {
            let name = match kind.as_str() {
                "counter" => format!("{family}_total"),
                "info" => format!("{family}_info"),
                _ => family.clone(),
            };
            (name, kind.clone())
        });
        named.collect()
    }

    /// Zero where nothing was counted yet.
    fn count(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }
}

/// What is outside of the SCIM base URL.
fn read(server: &Server, token: &Secret, target: &str, header: (&str, &str)) -> Response {
    let pem = std::fs::read(server.data_dir().join("tls/ca.pem")).expect("the CA");
    let base = format!("https://{}", server.address());
    let mut client = Client::new(&base, &pem).expect("a client");
    let authorization = format!("Bearer {}", token.reveal());
    send_bytes(&mut client, &authorization, "GET", target, header, None).expect("an answer")
}

fn requests(route: &str, method: &str, status: u16) -> String {
    format!("http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}")
}

#[test]
fn requests_commits_and_users_are_counted() {
    let mut talk = Talk::start(&[]);
    let before = Scrape::of(&talk);
    let jane = talk.create("jane@example.com");
    let id = jane["id"].as_str().expect("an id").to_owned();
    talk.create("john@example.com");
    for _ in 0..3 {
        talk.send("GET", &format!("/Users/{id}"), None);
    }
    talk.send("GET", "/Users/nobody", None);
    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}],
    });
    talk.send("PATCH", &format!("/Users/{id}"), Some(&off));
    talk.send("GET", "/Nothing", None);
    let after = Scrape::of(&talk);

    let users = "/scim/v2/Users";
    let one = "/scim/v2/Users/{}";
    for (series, wanted) in [
        (requests(users, "POST", 201), 2.0),
        (requests(one, "GET", 200), 3.0),
        (requests(one, "GET", 404), 1.0),
        (requests(one, "PATCH", 200), 1.0),
        (requests("none", "GET", 404), 1.0),
        (
            format!("http_request_duration_seconds_count{{route=\"{one}\"}}"),
            5.0,
        ),
        ("deactivations_last_hour".to_owned(), 1.0),
    ] {
        let grown = after.count(&series) - before.count(&series);
        assert!((grown - wanted).abs() < 0.1, "{series}: {grown}");
    }
    // Two users, a patch, the end of the first scrape's token, the second's; and when tokens
    // were last used may have been written meanwhile.
    let grown = |series: &str| after.get(series) - before.get(series);
    let commits = grown("commits_total");
    assert!((5.0..=6.0).contains(&commits), "{commits}");
    for series in [
        "commit_changes_count",
        "commit_changes_sum",
        "commit_duration_seconds_count",
    ] {
        assert!((grown(series) - commits).abs() < 0.1, "{series}");
    }
    for (series, wanted) in [
        ("users{status=\"active\"}", 1.0),
        ("users{status=\"inactive\"}", 1.0),
        ("ready", 1.0),
        ("mass_deactivation_alarm", 0.0),
        ("writes_waiting", 0.0),
        ("certificate_days_left", 89.0),
    ] {
        assert!((after.get(series) - wanted).abs() < 0.1, "{series}");
    }
    assert!(after.get("connections") >= 1.0);
    assert!(after.get("disk_free_bytes") > 0.0 && after.get("store_bytes") > 0.0);
    assert!(after.get("start_time_seconds") > 1.7e9);
    after.get(&format!(
        "build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    ));
    // Nothing that a caller has sent is a label.
    let token = talk.authorization.trim_start_matches("Bearer ");
    for series in after.values.keys() {
        for sent in ["jane", "john", &id, "Nothing", "nobody", token] {
            assert!(!series.contains(sent), "{series} has {sent}");
        }
    }
}

#[test]
fn refusals_are_counted_by_their_reason() {
    let mut talk = Talk::start(&["--rate-limit", "1"]);
    let authorization = talk.authorization.clone();
    for (credential, reason) in [
        (String::new(), "absent"),
        ("Bearer what".to_owned(), "malformed"),
        (
            format!("{}x", authorization.trim_end_matches(|c: char| c != '_')),
            "malformed",
        ),
    ] {
        talk.authorization = credential;
        assert_eq!(talk.send("GET", "/Users", None).status, 401, "{reason}");
    }
    let gone = talk.server.token("gone");
    talk.server.cli(&["token", "revoke", "gone"]);
    let elsewhere = ["--allow-from", "192.0.2.0/24"];
    let elsewhere = talk.server.token_with("elsewhere", &elsewhere);
    let never = Secret::new(TokenText::generate().reveal().to_owned());
    for token in [&gone, &elsewhere, &never] {
        talk.use_token(token);
        assert_eq!(talk.send("GET", "/Users", None).status, 401);
    }
    // Twenty failures of an address are told 401.
    for number in 6..30 {
        let wanted = if number < 20 { 401 } else { 429 };
        let answered = talk.send("GET", "/Users", None).status;
        assert_eq!(answered, wanted, "{number}");
    }
    talk.authorization = authorization;
    let throttled = (0..8)
        .filter(|_| talk.send("GET", "/Users", None).status == 429)
        .count();
    assert!(throttled > 0);
    let scrape = Scrape::of(&talk);
    let throttled = f64::from(u32::try_from(throttled).expect("small"));
    for (series, wanted) in [
        ("authentication_failures_total{reason=\"absent\"}", 1.0),
        ("authentication_failures_total{reason=\"malformed\"}", 2.0),
        ("authentication_failures_total{reason=\"revoked\"}", 1.0),
        ("authentication_failures_total{reason=\"address\"}", 1.0),
        ("authentication_failures_total{reason=\"unknown\"}", 25.0),
        ("authentication_failures_total{reason=\"expired\"}", 0.0),
        ("throttled_requests_total{reason=\"address\"}", 10.0),
        ("throttled_requests_total{reason=\"token\"}", throttled),
        (&requests("/scim/v2/Users", "GET", 401), 20.0),
        (&requests("/scim/v2/Users", "GET", 429), 10.0 + throttled),
    ] {
        let counted = scrape.get(series);
        assert!((counted - wanted).abs() < 0.1, "{series}: {counted}");
    }
}

#[test]
fn what_is_not_a_request_is_counted_too() {
    let door = Door::open();
    let mut tls = door.connect();
    tls.write_all(b"GET /secret-path HTTP/9.9\r\nHost: x\r\n\r\n")
        .expect("sent");
    let status = wire::read(&mut tls, false).status;
    assert!(status >= 400, "{status}");
    let scrape = Scrape::of(&Talk::with(door.server));
    let counted = scrape.get(&requests("none", "none", status));
    assert!((counted - 1.0).abs() < 0.1, "{counted}");
    assert!(scrape.values.keys().all(|it| !it.contains("secret-path")));
}

#[test]
fn tokens_tell_when_they_end_and_when_they_last_spoke() {
    let talk = Talk::start(&[]);
    talk.server.token_with("short", &["--expires", "2d"]);
    talk.server.token_with("endless", &["--expires", "never"]);
    let scrape = Scrape::of(&talk);
    let labelled = |metric: &str, name: &str| {
        let found = scrape.values.iter().find(|(series, _)| {
            series.starts_with(&format!("{metric}{{"))
                && series.contains(&format!("name=\"{name}\""))
        });
        found.map(|(_, value)| *value)
    };
    assert_eq!(labelled("token_days_left", "short"), Some(1.0));
    assert_eq!(labelled("token_days_left", "endless"), None);
    assert!(labelled("token_idle_seconds", "endless").is_some_and(|idle| idle < 60.0));
    let log = talk.server.log_with("the token short ends at");
    assert_eq!(log.matches("the token short ends at").count(), 1, "{log}");
    assert!(
        log.contains("fix: golinks-scim token rotate short"),
        "{log}"
    );
    let check = talk.server.cli(&["check"]).stdout;
    assert!(
        check.contains("warn     tokens          the token short ends at"),
        "{check}"
    );
    // The old one of a rotation need not be rotated again.
    talk.server
        .cli(&["token", "rotate", "short", "--overlap", "1d"]);
    // Each has its series: an alert takes the best of the name.
    let scrape = Scrape::of(&talk);
    let series = |metric: &str| {
        let begins = format!("{metric}{{");
        let all = scrape.values.keys().filter(|it| it.starts_with(&begins));
        all.filter(|it| it.contains("name=\"short\"")).count()
    };
    assert_eq!(
        (series("token_days_left"), series("token_idle_seconds")),
        (2, 2)
    );
    let mut pages = golinks_scim::manual::PAGES.iter();
    let page = pages.find(|page| page.name == "metrics").expect("a page");
    for alert in [
        "`max by (instance, name) (golinks_scim_token_days_left) <",
        "`min by (instance, name) (golinks_scim_token_idle_seconds{",
        // Both have the same labels.
        "`golinks_scim_token_days_left < 3 and golinks_scim_token_idle_seconds < 86400`",
    ] {
        assert!(page.text.contains(alert), "{alert}");
    }
    let check = talk.server.cli(&["check"]).stdout;
    assert_eq!(
        check.matches("the token short ends at").count(),
        1,
        "{check}"
    );
    assert!(check.contains("in 1 days"), "{check}");
}

#[test]
fn the_manual_names_every_metric_and_no_other() {
    let mut pages = golinks_scim::manual::PAGES.iter();
    let page = pages.find(|page| page.name == "metrics");
    let page = page.expect("a page").text;
    // Two tables: the product's own, and what is usual of a process.
    let tables = page.split("| type |").skip(1);
    let tables = tables.map(|table| table.split_once("\n\n").expect("its end").0);
    let named: BTreeMap<String, String> = tables
        .flat_map(str::lines)
        .filter_map(|line| {
            let mut cells = line.split('|').skip(1).map(str::trim);
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((name.to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    assert_eq!(named, Scrape::of(&Talk::start(&[])).named());
}

#[test]
fn the_process_is_told_of_as_by_any_program() {
    let talk = Talk::start(&[]);
    let scrape = Scrape::of(&talk);
    let (_, resident_kib) = size(&talk.server);
    let path = format!("/proc/{}/limits", talk.server.pid().as_raw_nonzero());
    let limits = std::fs::read_to_string(path).expect("it runs");
    let mut limits = limits.lines();
    let files = limits.find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|values| values.split_whitespace().next());
    let files: f64 = files.expect("a limit").parse().expect("a number");
    // Memory may grow and shrink between the two looks, but it is neither KiB nor pages.
    let resident = scrape.get("process_resident_memory_bytes");
    let ratio = resident / f64::from(u32::try_from(resident_kib).expect("small")) / 1024.0;
    assert!((0.5..2.0).contains(&ratio), "{resident} {resident_kib}");
    assert!((scrape.get("process_max_fds") - files).abs() < 0.1);
    let open = scrape.get("process_open_fds");
    assert!(open > 3.0 && open <= files, "{open}");
    assert!(scrape.get("process_threads") >= 2.0);
    let seconds = scrape.get("process_cpu_seconds_total");
    assert!(seconds > 0.0 && seconds < 600.0, "{seconds}");
    let started = ["process_start_time_seconds", "start_time_seconds"];
    let [usual, own] = started.map(|name| scrape.get(name));
    assert!((usual - own).abs() < 0.1, "{usual} {own}");
}

#[test]
fn who_does_not_know_openmetrics_reads_the_same_in_the_older_format() {
    let mut talk = Talk::start(&[]);
    talk.create("jane@example.com");
    // What Telegraf's `inputs.prometheus` has long sent, and curl.
    let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
        encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3";
    // Each look is counted as a request: the second finds the series of the first.
    Scrape::of(&talk);
    let open = Scrape::of(&talk);
    for accept in [telegraf, "*/*"] {
        let classic = Scrape::accepting(&talk, accept, Format::Classic);
        let series = |scrape: &Scrape| {
            let names = scrape.values.keys().filter(|it| !it.starts_with("token_"));
            names.cloned().collect::<Vec<_>>()
        };
        assert_eq!(series(&open), series(&classic));
        let mut named = open.named();
        // The type `info` came with OpenMetrics.
        named.insert("build_info".to_owned(), "gauge".to_owned());
        assert_eq!(named, classic.types);
        for name in ["ready", "users{status=\"active\"}", "start_time_seconds"] {
            let differ = open.get(name) - classic.get(name);
            assert!(differ.abs() < 0.1, "{name}");
        }
    }
}

/// A directory of so many active users, made in one request.
fn populate(talk: &mut Talk, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for first in (0..count).step_by(100) {
        let create = |number: usize| {
            let name = format!("user{number}@example.com");
            json!({"method": "POST", "path": "/Users", "bulkId": name, "data": body(&name)})
        };
        let operations: Vec<Value> = (first..count.min(first + 100)).map(create).collect();
        let done = bulk(talk, &operations);
        let locations = done["Operations"].as_array().expect("a list");
        ids.extend(locations.iter().map(|one| {
            let location = one["location"].as_str().expect("created");
            location.rsplit('/').next().expect("an id").to_owned()
        }));
    }
    ids
}

fn bulk(talk: &mut Talk, operations: &[Value]) -> Value {
    let wanted = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations,
    });
    let answer = talk.send("POST", "/Bulk", Some(&wanted));
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn off(id: &str) -> Value {
    json!({"method": "PATCH", "path": format!("/Users/{id}"), "data": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}],
    }})
}

#[test]
fn very_many_deactivations_are_done_and_told_of() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let ids = populate(&mut talk, 300);
    // A fifth of 300 is 60: that many are not yet very many.
    let mut first: Vec<Value> = ids[..58].iter().map(|id| off(id)).collect();
    first.push(json!({"method": "DELETE", "path": format!("/Users/{}", ids[58])}));
    bulk(&mut talk, &first);
    assert_eq!(
        talk.send("DELETE", &format!("/Users/{}", ids[59]), None)
            .status,
        204
    );
    let quiet = Scrape::of(&talk);
    assert!(quiet.get("mass_deactivation_alarm") < 0.5);
    assert!((quiet.get("deactivations_last_hour") - 60.0).abs() < 0.1);

    let out = talk.server.cli(&["user", "deactivate", &ids[60]]);
    assert_eq!(out.status, Some(0), "{out:?}");
    let loud = Scrape::of(&talk);
    assert!(loud.get("mass_deactivation_alarm") > 0.5);
    assert!((loud.get("users{status=\"inactive\"}") - 59.0).abs() < 0.1);
    let log = talk
        .server
        .log_with("61 deactivations within an hour, 60 by token:");
    for words in [
        "; the alarm threshold is 60",
        "fix: see who: golinks-scim user list --inactive",
    ] {
        assert!(log.contains(words), "{log}");
    }
    // One token did most of it: what others did within the hour is not to be taken back.
    let by = log.split("60 by token:").nth(1).expect("the alarm");
    let id = by.split(':').next().expect("an id");
    // A moment, since the line may be read the next morning.
    let since = log.split("golinks-scim user undo --since ").nth(1);
    let (since, rest) = since.and_then(|it| it.split_once(' ')).expect("a command");
    assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");
    assert!(
        rest.starts_with(&format!("--token {id} --dry-run")),
        "{log}"
    );
    let undo = ["user", "undo", "--since", since, "--token", id, "--dry-run"];
    let told = talk.server.cli(&undo);
    assert_eq!(told.status, Some(0), "{told:?}");
    assert!(told.stdout.matches("user").count() >= 60, "{told:?}");
    let check = talk.server.cli(&["check"]).stdout;
    let line = check.lines().find(|line| line.contains("deactivations"));
    let line = line.unwrap_or_else(|| panic!("{check}"));
    assert!(
        line.starts_with("warn     deactivations   61 deactivations"),
        "{line}"
    );
    assert!(
        line.contains("60 by token:") && line.contains("the alarm threshold is 60"),
        "{line}"
    );
    // Nobody is deactivated twice, and reactivating is none.
    bulk(&mut talk, &first);
    talk.server.cli(&["user", "reactivate", &ids[0]]);
    assert!((Scrape::of(&talk).get("deactivations_last_hour") - 61.0).abs() < 0.1);
}

#[test]
fn the_alarm_can_be_set_while_serving() {
    let server = Server::start_by(&[], |mut command, folder| {
        let path = folder.join("config.toml");
        std::fs::write(&path, "alarm_deactivations = 0\n").expect("written");
        command.arg("--config").arg(path);
        command
    });
    let path = server.data_dir().with_file_name("config.toml");
    let mut talk = Talk::with(server);
    let ids = populate(&mut talk, 3);
    let all: Vec<Value> = ids.iter().map(|id| off(id)).collect();
    bulk(&mut talk, &all);
    assert!(Scrape::of(&talk).get("mass_deactivation_alarm") < 0.5);
    std::fs::write(&path, "alarm_deactivations = 2\n").expect("written");
    kill_process(talk.server.pid(), Signal::HUP).expect("it runs");
    talk.server.log_with("3 deactivations within an hour");
    // As many as are many are not very many.
    std::fs::write(&path, "alarm_deactivations = 3\n").expect("written");
    kill_process(talk.server.pid(), Signal::HUP).expect("it runs");
    let log = talk
        .server
        .log_with("the deactivation alarm is over: 3 deactivations");
    let told = log
        .lines()
        .filter(|line| line.contains("deactivations within an hour"));
    assert_eq!(told.count(), 2, "{log}");
    assert!(Scrape::of(&talk).get("mass_deactivation_alarm") < 0.5);
}

/// What a server that waits for a body says to whoever asks.
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn a_server_that_stops_is_not_ready() {
    let server = Server::start();
    let token = server.token_with("probe", &["--scope", "metrics"]);
    let ready = read(&server, &token, "/readyz", ("Accept", "*/*"));
    let text = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(
        (ready.status, text.as_str()),
        (200, "{\"status\":\"ready\"}")
    );
    // A request that is being read holds the server open for its answer.
    let door = Door::to(server);
    let mut tls = door.connect();
    let head = "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 2\r\n\
        Expect: 100-continue\r\n\r\n";
    tls.write_all(&door.with_token(head)).expect("sent");
    tls.flush().expect("sent");
    // The head was looked at by then.
    let mut interim = [0; GO_ON.len()];
    tls.read_exact(&mut interim).expect("told to go on");
    assert_eq!(interim, *GO_ON);
    tls.write_all(b"{").expect("sent");
    tls.flush().expect("sent");
    kill_process(door.server.pid(), Signal::TERM).expect("it runs");
    door.server.log_with("stopping on signal");
    let check = door.server.cli(&["check"]).stdout;
    assert!(
        check.contains("fail     readiness       the server is stopping"),
        "{check}"
    );
    tls.write_all(b"}").expect("sent");
    assert_eq!(wire::read(&mut tls, false).status, 400);
}
