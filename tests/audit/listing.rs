//! `audit list` and `audit follow`: which rows are shown, and what rows about tokens say.

use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use golinks_scim::clock::{Clock as _, Instant, SystemClock};
use golinks_scim::directory::{Directory, Wanted, Way, describe, event, itself};
use golinks_scim::store::{Change, Opener, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{listed, of_kind};
use crate::support::{Running, Server, Talk, cli_in, command, lines_of};

/// Printed times can be used as arguments.
#[test]
fn the_times_of_a_table_are_understood() {
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let table = talk.server.cli(&["audit", "list", "--user", "jane"]).stdout;
    let history = talk.server.cli(&["user", "history", "jane"]).stdout;
    assert!(table.contains("WHEN (UTC)"), "{table}");
    let told = |text: &str, line: usize| {
        let words = text.lines().nth(line).expect("a line").split_whitespace();
        words.skip(1).take(2).collect::<Vec<_>>().join(" ")
    };
    let (in_table, in_history) = (told(&table, 1), told(&history, 0));
    assert_eq!(format!("{in_table}Z"), in_history);
    for time in [&*in_table, &*in_history, &in_table[..16]] {
        let since = listed(&talk.server, &["--since", time, "--user", "jane"]);
        assert_eq!(since.len(), 1, "{time}: {since:?}");
        let until = listed(&talk.server, &["--until", time, "--user", "jane"]);
        assert!(until.is_empty(), "{time}: {until:?}");
    }
}

#[test]
fn the_newest_rows_are_listed_in_order() {
    let mut talk = Talk::start(&[]);
    for number in 0..5 {
        talk.create(&format!("user-{number}"));
    }
    talk.server.token("reader");
    let all = listed(&talk.server, &[]);
    let check = |more: &[&str], wanted: &[Value]| {
        assert_eq!(listed(&talk.server, more), wanted, "{more:?}");
    };
    check(&["--last", "2"], &all[all.len() - 2..]);
    check(&["--last", "100000"], &all);
    check(&["--last", "0"], &[]);
    let created = of_kind(&all, "create");
    let [.., before, last] = &created[..] else {
        panic!("five were created: {all:?}")
    };
    let by_token = ["--last", "2", "--token", "all"];
    check(&by_token, &[(*before).clone(), (*last).clone()]);
    check(&["--last", "9", "--user", "user-1"], &[created[1].clone()]);
    for (bad, status) in [
        (&["--last", "2", "--limit", "2"][..], 64),
        (&["--last", "-1"], 64),
        (&["--last", "2", "--token", "nobody"], 1),
    ] {
        let refused = talk.server.cli(&[&["audit", "list"], bad].concat());
        assert_eq!(refused.status, Some(status), "{bad:?}: {refused:?}");
    }
}

/// The size of an answer is bounded, however large its rows are.
#[test]
fn a_page_of_large_rows_ends_early_and_the_next_one_goes_on() {
    let opener: Opener = Box::new(|| Ok(Box::new(redb::backends::InMemoryBackend::new())));
    let store = Arc::new(Store::open_with(opener, describe).expect("a store in memory"));
    let details = json!({"what": "x".repeat(100 * 1024)});
    let details = details.as_object().expect("members");
    for _ in 0..30 {
        let row = event(&itself(), SystemClock.now(), "large", details);
        store.commit(Change::none().audit(row)).expect("written");
    }
    let directory = Directory::new(store, Arc::new(SystemClock));
    let (mut first, mut sequences) = (1, Vec::new());
    loop {
        let page = directory.trail(&Wanted::default(), Way::From(first), 1000);
        let page = page.expect("read");
        assert!((1..=11).contains(&page.rows.len()), "{}", page.rows.len());
        sequences.extend(page.rows.iter().map(|row| row["sequence"].as_u64()));
        match page.next {
            Some(next) => first = next,
            None => break,
        }
    }
    assert!(sequences.into_iter().eq((1..=30).map(Some)));
}

#[test]
fn the_list_is_narrowed_by_time_user_and_token() {
    let mut talk = Talk::start(&[]);
    let id = talk.create("jane")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // Times are stored in milliseconds, and john's must differ from jane's.
    thread::sleep(Duration::from_millis(5));
    talk.create("john");
    let other = talk.server.token_with("hr", &["--scope", "full"]);
    talk.use_token(&other);
    assert_eq!(
        talk.send("DELETE", &format!("/Users/{id}"), None).status,
        204
    );
    let kinds = |more: &[&str]| -> Vec<String> {
        let all = listed(&talk.server, more);
        let kinds = all
            .iter()
            .map(|row| row["kind"].as_str().expect("a word").to_owned());
        kinds.collect()
    };
    assert_eq!(
        kinds(&[]),
        ["token.issue", "create", "create", "token.issue", "delete"]
    );
    assert_eq!(kinds(&["--user", "JANE"]), ["create", "delete"]);
    assert_eq!(kinds(&["--user", &id, "--token", "hr"]), ["delete"]);
    assert_eq!(kinds(&["--limit", "2"]), ["token.issue", "create"]);
    assert_eq!(
        kinds(&["--since", "1h", "--token", "all"]),
        ["token.issue", "create", "create"]
    );
    // Rows also have the caller's address, which matters when a token was stolen.
    let address = |row: &Value| row.get("address").cloned();
    let [issued, created, ..] = &listed(&talk.server, &[])[..] else {
        panic!("there are five rows");
    };
    assert_eq!(
        (address(issued), address(created)),
        (None, Some(json!("127.0.0.1")))
    );
    assert!(kinds(&["--until", "2020-01-01"]).is_empty());
    let turned = ["audit", "list", "--since", "1h", "--until", "2h"];
    let turned = talk.server.cli(&turned);
    assert_eq!(turned.status, Some(64), "{turned:?}");
    let told = "--until is not after --since\nhint: a length of time counts back from now";
    assert!(turned.stderr.contains(told), "{turned:?}");
    let all = listed(&talk.server, &[]);
    let third = all[2]["time"].as_str().expect("a time");
    assert_eq!(
        kinds(&["--since", third]),
        ["create", "token.issue", "delete"]
    );
    assert_eq!(kinds(&["--until", third]), ["token.issue", "create"]);
    assert_eq!(
        all.iter()
            .map(|row| row["sequence"].as_u64())
            .collect::<Vec<_>>(),
        (1..=5).map(Some).collect::<Vec<_>>()
    );
    let unknown = talk.server.cli(&["audit", "list", "--user", "nobody"]);
    assert_eq!(unknown.status, Some(1), "{unknown:?}");
    assert_eq!(
        talk.server
            .cli(&["audit", "list", "--since", "soon"])
            .status,
        Some(64)
    );
    let table = talk.server.cli(&["audit", "list"]).stdout;
    assert!(
        table.starts_with("SEQUENCE") && table.contains("userName"),
        "{table}"
    );
}

/// The trail still shows what a token was allowed to do, and from where, after the token is gone.
#[test]
fn what_a_token_was_allowed_stands_in_the_trail() {
    let server = Server::start();
    let limits = "--scope full --mode strict --expires 30d --rate-limit 7 --allow-from 10.0.0.0/8";
    let limits: Vec<&str> = limits.split(' ').collect();
    server.token_with("wide", &limits);
    let rotated = server.cli(&["token", "rotate", "wide", "--overlap", "2d"]);
    assert_eq!(rotated.status, Some(0), "{rotated:?}");
    assert_eq!(server.cli(&["token", "revoke", "wide"]).status, Some(0));
    let rows = listed(&server, &["--token", "wide"]);
    let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str()).collect();
    let wanted = [
        "token.issue",
        "token.rotate",
        "token.revoke",
        "token.revoke",
    ];
    assert_eq!(kinds, wanted.map(Some), "{rows:?}");
    for row in &rows[..2] {
        assert_eq!(row["mode"], "strict");
        assert_eq!(row["rateLimit"], 7);
        assert_eq!(row["allowFrom"], json!(["10.0.0.0/8"]));
        let days = |from: &Value, to: &Value| {
            let [from, to] = [from, to].map(|it| Instant::parse(it.as_str().expect("a time")));
            from.expect("a time").days_until(to.expect("a time"))
        };
        assert!(
            [29, 30].contains(&days(&row["time"], &row["expires"])),
            "{row}"
        );
    }
    assert_eq!(rows[0].get("replaces"), None);
    let old = rows[0]["token"].as_str().expect("an id");
    let of_old = listed(&server, &["--token", old]);
    assert_eq!(of_old[..2], rows[..2]);
    let ends: Vec<_> = of_old[2..].iter().map(|row| &row["token"]).collect();
    assert_eq!(ends, [old]);
}

/// A rotation never extends the life of the old token, and its row says when the old token ends.
#[test]
fn the_row_of_a_rotation_says_when_each_token_that_it_replaces_ends() {
    let server = Server::start();
    server.token_with("short", &["--expires", "1d"]);
    let told = server.cli(&["token", "rotate", "short", "--overlap", "30d"]);
    assert_eq!(told.status, Some(0), "{told:?}");
    let rows = listed(&server, &["--token", "short"]);
    let old = json!([{"token": rows[0]["token"], "ends": rows[0]["expires"]}]);
    assert_eq!(rows[1]["replaces"], old);
    let end = rows[1]["expires"].as_str().expect("a time");
    let end = format!("the new one is valid until {}Z", &end[..19]);
    assert!(told.stderr.contains(&end), "{told:?}");
}

#[test]
fn following_shows_each_row_once_also_across_a_restart() {
    let mut talk = Talk::start(&[]);
    let directory = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink(talk.server.data_dir(), directory.path().join("data"))
        .expect("linked");
    let follower = command(&directory)
        .args(["audit", "follow", "-o", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut follower = Running(follower.expect("started"));
    let rows = lines_of(follower.stdout.take().expect("piped"));
    let next = |patience| {
        let row: Value = serde_json::from_str(&rows.recv_timeout(patience).ok()?).expect("JSON");
        Some(row["userName"].as_str().unwrap_or_default().to_owned())
    };
    // `audit follow` shows only rows that are written after it has begun.
    let mut number = 0;
    let first = loop {
        talk.create(&format!("early{number}"));
        if let Some(name) = next(Duration::from_secs(1)) {
            break name;
        }
        number += 1;
        assert!(number < 60, "nothing is followed");
    };
    assert!(first.starts_with("early"));
    talk.create("before");
    talk.server.restart();
    talk.reconnect();
    talk.create("after");
    let mut seen = vec![first];
    while seen.last().is_none_or(|name| name != "after") {
        let name = next(Duration::from_secs(30));
        seen.push(name.unwrap_or_else(|| panic!("{seen:?}")));
    }
    follower.kill().expect("ended");
    let told = follower.last_words();
    let is_told =
        told.contains("; waiting for the server\n") && told.ends_with("the server answers again\n");
    assert!(is_told, "{told}");
    let count = |name: &str| seen.iter().filter(|one| *one == name).count();
    assert_eq!((count("before"), count("after")), (1, 1), "{seen:?}");
    let kept = talk.server.stop_and_keep();
    let alone = cli_in(&kept, &["audit", "follow"]);
    assert_eq!(alone.status, Some(69), "{alone:?}");
}
