//! Metrics: what is counted, under which names, in which formats.

use std::collections::BTreeMap;
use std::io::Write as _;

use golinks_scim::access::TokenText;
use golinks_scim::metrics::Format;
use golinks_scim::secret::Secret;
use serde_json::json;

use super::Scrape;
use crate::slow::size;
use crate::support::Talk;
use crate::support::wire::{self, Door};

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
    // Two users, a patch, the revocation of the first scrape's token, the second scrape's token;
    // and the times when tokens were last used may have been written meanwhile.
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
    // No label contains anything that a client has sent.
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
    // The first twenty failures of an address are answered with 401.
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
    let log = talk.server.log_with("the token short expires at");
    assert_eq!(
        log.matches("the token short expires at").count(),
        1,
        "{log}"
    );
    let data_dir = talk.server.data_dir();
    let fix = format!(
        "fix: golinks-scim --data-dir {} token rotate short",
        data_dir.display()
    );
    assert!(log.contains(&fix), "{log}");
    let check = talk.server.cli(&["check"]).stdout;
    assert!(
        check.contains("warn     tokens          the token short expires at"),
        "{check}"
    );
    // There is no warning about the old token of a rotation.
    talk.server
        .cli(&["token", "rotate", "short", "--overlap", "1d"]);
    // Each token has its own series; an alert takes the best series of a name.
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
        // Both metrics have the same labels, as `and` needs.
        "`golinks_scim_token_days_left < 3 and golinks_scim_token_idle_seconds < 86400`",
    ] {
        assert!(page.text.contains(alert), "{alert}");
    }
    let check = talk.server.cli(&["check"]).stdout;
    assert_eq!(
        check.matches("the token short expires at").count(),
        1,
        "{check}"
    );
    assert!(check.contains("in 1 day"), "{check}");
}

#[test]
fn the_manual_names_every_metric_and_no_other() {
    let mut pages = golinks_scim::manual::PAGES.iter();
    let page = pages.find(|page| page.name == "metrics");
    let page = page.expect("a page").text;
    // The page has two tables: the program's own metrics, and the standard ones of a process.
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
    // The memory may change between the two readings, but not so much that a value in KiB or pages
    // would pass for one in bytes.
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
    // This is the header of Telegraf's `inputs.prometheus`; below is that of curl.
    let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
        encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3";
    // Each scrape counts as a request, so the second one shows the series of the first.
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
        // The older format has no type `info`.
        named.insert("build_info".to_owned(), "gauge".to_owned());
        assert_eq!(named, classic.types);
        for name in ["ready", "users{status=\"active\"}", "start_time_seconds"] {
            let differ = open.get(name) - classic.get(name);
            assert!(differ.abs() < 0.1, "{name}");
        }
    }
}
