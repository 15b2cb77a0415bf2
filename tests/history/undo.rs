//! `user undo` on the command line: of one change, of all since a moment, of all by a token; and
//! what it prints.

use std::process::Command;

use serde_json::{Value, json};

use super::{moment, newest_change, patch, rows, text, without_meta};
use crate::support::{Talk, body, cli_in, command_on, number, without_settings};

#[test]
fn a_mistake_of_an_identity_provider_is_taken_back_by_one_command() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let okta = talk.server.token("okta");
    let administrators = talk.authorization.clone();
    talk.use_token(&okta);
    let mut users = Vec::new();
    for number in 0..60 {
        let mut user = body(&format!("user{number}@example.com"));
        user["externalId"] = json!(format!("00u{number}"));
        user["title"] = json!("Chef");
        users.push(talk.json("POST", "/Users", Some(&user), 201));
    }
    let left = text(&users[7], "userName").to_owned();
    let done = talk.server.cli(&["user", "deactivate", &left]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let since = moment();

    // An app made with Okta's wizard does it like this: GET, then PUT of the whole user.
    for user in &users {
        let target = format!("/Users/{}", text(user, "id"));
        let mut echo = talk.json("GET", &target, None, 200);
        echo["active"] = json!(false);
        talk.json("PUT", &target, Some(&echo), 200);
    }
    let active = "/Users?filter=active%20eq%20true&count=0";
    let count = |talk: &mut Talk| talk.json("GET", active, None, 200)["totalResults"].clone();
    assert_eq!(count(&mut talk), 0);

    let undo = |more: &[&str]| {
        let base = ["user", "undo", "--since", &since, "--token", "okta"];
        talk.server.cli(&[&base, more].concat())
    };
    let rehearsed = undo(&["--dry-run", "-o", "jsonl"]);
    assert_eq!(rehearsed.status, Some(0), "{rehearsed:?}");
    // Okta did not deactivate the user whom the administrator had deactivated.
    let rehearsed_rows = rows(&rehearsed);
    let values = json!([{"attribute": "active", "before": false, "after": true}]);
    assert_eq!(rehearsed_rows.len(), 59, "{rehearsed:?}");
    assert!(
        rehearsed_rows
            .iter()
            .all(|row| row["attributes"] == json!(["active"]) && row["values"] == values)
    );
    assert!(
        rehearsed.stderr.contains("59 users would be"),
        "{rehearsed:?}"
    );

    let done = undo(&[]);
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (Some(0), ""),
        "{done:?}"
    );
    assert!(done.stderr.contains("59 users changed back"), "{done:?}");
    talk.authorization = administrators;
    assert_eq!(count(&mut talk), 59);
    for user in &users {
        let now = talk.json("GET", &format!("/Users/{}", text(user, "id")), None, 200);
        let mut wanted = without_meta(user);
        wanted["active"] = json!(text(user, "userName") != left);
        assert_eq!(without_meta(&now), wanted);
    }

    let again = talk
        .server
        .cli(&["user", "undo", "--since", &since, "--token", "okta"]);
    assert_eq!(again.status, Some(0), "{again:?}");
    assert!(
        again.stderr.contains("0 users changed back, 59 needed no"),
        "{again:?}"
    );

    // Without --token, the undo would include the creation of the users.
    let whole = talk
        .server
        .cli(&["user", "undo", "--since", "1h", "--dry-run"]);
    assert!(
        whole.stdout.contains("  active: true -> false\n"),
        "{whole:?}"
    );
    for words in [
        "\n59 of them were created since then, and would be deactivated\n",
        "hint: --token NAME",
    ] {
        assert!(whole.stderr.contains(words), "{whole:?}");
    }
    assert_eq!(count(&mut talk), 59);

    // The identity provider makes the mistake again: the earlier undo is no obstacle.
    talk.use_token(&okta);
    let target = format!("/Users/{}", text(&users[3], "id"));
    talk.json("PATCH", &target, Some(&patch("active", json!(false))), 200);
    let third = talk
        .server
        .cli(&["user", "undo", "--since", &since, "--token", "okta"]);
    assert!(
        third.stderr.contains("1 user changed back, 58 needed no"),
        "{third:?}"
    );
    assert_eq!(talk.json("GET", &target, None, 200)["active"], true);
}

#[test]
fn one_change_is_taken_back_unless_another_came_after_it() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let target = format!("/Users/{}", text(&jane, "id"));
    let created = newest_change(&talk, "jane");
    talk.json("PATCH", &target, Some(&patch("title", json!("Chef"))), 200);
    let titled = newest_change(&talk, "jane");
    talk.json(
        "PATCH",
        &target,
        Some(&patch("nickName", json!("Jay"))),
        200,
    );
    let undo = |talk: &Talk, typed: &[&str]| talk.server.cli(&[&["user", "undo"], typed].concat());
    let title = |talk: &mut Talk| talk.json("GET", &target, None, 200)["title"].clone();

    let rehearsed = undo(&talk, &[&titled, "--dry-run"]);
    assert_eq!(rehearsed.status, Some(0), "{rehearsed:?}");
    assert_eq!(title(&mut talk), "Chef");
    let version = talk.json("GET", &target, None, 200)["meta"]["version"].clone();

    // A later change of another attribute does not matter.
    let done = undo(&talk, &[&titled]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert_eq!(title(&mut talk), Value::Null);
    let row = newest_change(&talk, "jane");
    let history = talk.server.cli(&["user", "history", "jane", "-o", "jsonl"]);
    let row_of_undo = rows(&history).pop().expect("a change");
    assert_eq!(row_of_undo["kind"], "undo");
    assert_eq!(row_of_undo["undoes"][0].to_string(), titled);
    assert_ne!(row_of_undo["version"], version);

    // A second undo changes nothing, and an undo can itself be undone.
    let again = undo(&talk, &[&titled]);
    assert!(again.stderr.contains(", 1 needed no change"), "{again:?}");
    let back = undo(&talk, &[&row]);
    assert_eq!(back.status, Some(0), "{back:?}");
    assert_eq!(title(&mut talk), "Chef");

    talk.json("PATCH", &target, Some(&patch("title", json!("Cook"))), 200);
    let refused = undo(&talk, &[&titled]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(
        refused.stdout.contains("title was changed again since"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("hint: --force"), "{refused:?}");
    assert_eq!(title(&mut talk), "Cook");
    assert_eq!(undo(&talk, &[&titled, "--force"]).status, Some(0));
    assert_eq!(title(&mut talk), Value::Null);

    // Undoing a creation deactivates the user.
    assert_eq!(undo(&talk, &[&created]).status, Some(0));
    let jane = talk.json("GET", &target, None, 200);
    assert_eq!(
        (&jane["active"], &jane["nickName"]),
        (&json!(false), &json!("Jay"))
    );

    // The old name is taken by somebody else.
    talk.json(
        "PATCH",
        &target,
        Some(&patch("userName", json!("joan"))),
        200,
    );
    let renamed = newest_change(&talk, "joan");
    talk.create("jane");
    let taken = undo(&talk, &[&renamed]);
    assert_eq!(taken.status, Some(1), "{taken:?}");
    assert!(
        taken.stdout.contains("another user has this userName"),
        "{taken:?}"
    );

    talk.json("DELETE", &target, None, 204);
    let deleted = newest_change(&talk, "joan");
    let refused = undo(&talk, &[&deleted]);
    assert!(
        refused.stdout.contains("can be created again"),
        "{refused:?}"
    );
    let gone = undo(&talk, &[&titled]);
    assert!(gone.stdout.contains("was deleted since"), "{gone:?}");

    // The first is a change, but not of a user; the second does not exist.
    for named in [&["1"][..], &["99999"], &["--from", "99999"]] {
        let none = undo(&talk, named);
        assert_eq!(none.status, Some(1), "{none:?}");
        assert!(none.stderr.contains("there is no change"), "{none:?}");
    }
    for bad in [
        &["--since", "tomorrow"][..],
        &["--since", "30"],
        &["--from", "2", "--since", "1h"],
        // Numbers count from 1.
        &["--from", "0"],
        &["0"],
        &["1", "--from", "2"],
        &[],
        &["1", "--token", "x"],
    ] {
        assert_eq!(undo(&talk, bad).status, Some(64), "{bad:?}");
    }
}

/// If nobody reads standard output any more, standard error says what was done.
#[test]
fn an_undo_that_nobody_reads_says_what_it_did() {
    let mut talk = Talk::start(&[]);
    let since = moment();
    talk.create("bob");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command_on(&talk.server.data_dir())
        .args(["user", "undo", "--since", &since, "-o", "jsonl"])
        .stdout(writer)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in ["1 user changed back", "standard output was closed"] {
        assert!(told.contains(words), "{told}");
    }
    let active = talk.json("GET", "/Users?filter=active%20eq%20true", None, 200);
    assert_eq!(active["totalResults"], 0, "{active}");

    // The same holds if only the end of the list cannot be written.
    let again = ["user", "undo", "--since", &since, "-o", "json"];
    let whole = talk.server.cli(&again);
    assert_eq!(whole.status, Some(0), "{whole:?}");
    let command = command_on(&talk.server.data_dir());
    let output = without_settings(&mut Command::new("prlimit"))
        .arg(format!("--fsize={}", whole.stdout.len() - 1))
        .arg(command.get_program())
        .args(command.get_args())
        .args(again)
        .stdout(tempfile::tempfile().expect("a file"))
        .output()
        .expect("prlimit is there");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("1 needed no change"), "{told}");
}

/// An undo of more users than fit into one of its slices; `UNDO_ROWS` sets their number.
#[test]
fn a_whole_import_is_taken_back() {
    let count = number("UNDO_ROWS", 10_500);
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    // One user existed before, and the file changes it.
    let mut old = body("user7@example.com");
    old["title"] = json!("Chef");
    let old = talk.json("POST", "/Users", Some(&old), 201);
    let rows = (0..count).map(|number| format!("user{number}@example.com,Engineer\n"));
    let file = std::iter::once("userName,title\n".to_owned()).chain(rows);
    let path = talk.server.data_dir().join("../import.csv");
    std::fs::write(&path, file.collect::<String>()).expect("written");
    let since = moment();
    let begun = std::time::Instant::now();
    let path = path.to_str().expect("text");
    let imported = talk.server.cli(&["user", "import", path]);
    assert_eq!(imported.status, Some(0), "{imported:?}");
    assert!(imported.stderr.contains("undo --from"), "{imported:?}");
    let took = begun.elapsed();
    let begun = std::time::Instant::now();
    let undone = talk.server.cli(&["user", "undo", "--since", &since]);
    assert_eq!(undone.status, Some(0), "{undone:?}");
    println!(
        "{count} rows imported in {:.1} s and taken back in {:.1} s",
        took.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    // The audit trail has more rows now than one page.
    let newest = format!("{}", count + 500);
    let typed = ["audit", "list", "-o", "jsonl"];
    let all = talk.server.cli(&typed).stdout;
    for last in [&*newest, "1000000"] {
        let output = talk.server.cli(&[&typed[..], &["--last", last]].concat());
        let last = last.parse().expect("a number");
        let skipped = all.lines().count().saturating_sub(last);
        let wanted = all.lines().skip(skipped);
        assert!(output.stdout.lines().eq(wanted), "{}", output.stderr);
    }
    // A slow machine undoes less in the time of one step.
    let so_far = format!(" users so far; to go on later: --since {since}\n");
    let (first, _) = undone
        .stderr
        .split_once(&so_far)
        .expect("more than one step");
    assert!(
        first.parse().is_ok_and(|it: usize| it <= 10_000),
        "{undone:?}"
    );
    let wanted = format!("{count} users changed back, 0 needed no change, 0 refused");
    assert!(undone.stderr.contains(&wanted), "{undone:?}");
    let active = talk.json("GET", "/Users?filter=active%20eq%20true", None, 200);
    assert_eq!(active["totalResults"], 1, "{active}");
    assert_eq!(without_meta(&active["Resources"][0]), without_meta(&old));
    let verified = talk.server.cli(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
}

#[test]
fn it_works_without_a_server_too() {
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let target = format!("/Users/{}", text(&jane, "id"));
    talk.json("PATCH", &target, Some(&patch("title", json!("Chef"))), 200);
    let change = newest_change(&talk, "jane");
    let directory = talk.server.stop_and_keep();
    let cli = |typed: &[&str]| cli_in(&directory, typed);
    let future = cli(&["user", "undo", "--since", "9999-12-31"]);
    assert_eq!(future.status, Some(64), "{future:?}");
    let told = "--since 9999-12-31 is in the future";
    assert!(future.stderr.contains(told), "{future:?}");
    assert_eq!(cli(&["user", "undo", &change]).status, Some(0));
    let shown = cli(&["user", "show", "jane", "-o", "jsonl"]);
    assert_eq!(rows(&shown)[0]["title"], Value::Null, "{shown:?}");
    let told = cli(&["user", "history", "jane", "-o", "jsonl"]);
    let by = rows(&told).pop().expect("a change");
    assert!(text(&by, "principal").starts_with("administrator:"), "{by}");
}

/// The server dies when it is asked for the second slice of an undo. The command says what was done
/// and how to go on, and prints a moment, because `2h` would then mean another one.
#[test]
fn an_undo_that_breaks_off_says_how_to_go_on() {
    use std::io::{Read, Write};
    for form in ["table", "json"] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("data")).expect("made");
        let socket = folder.path().join("data/admin.sock");
        let listener = std::os::unix::net::UnixListener::bind(socket).expect("bound");
        let dying = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"}") && stream.read_exact(&mut byte).is_ok() {
                asked.extend_from_slice(&byte);
            }
            let page = json!({"next": 1, "users": [
            {"userName": "jane", "changes": [2], "attributes": ["title"]}]});
            let page = page.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
            stream.write_all((head + &page).as_bytes()).expect("read");
            stream.read_exact(&mut byte).expect("the next slice");
        });
        let broken = cli_in(&folder, &["user", "undo", "--since", "2h", "-o", form]);
        dying.join().expect("it has ended");
        assert!(broken.status.is_some_and(|status| status > 1), "{broken:?}");
        assert!(
            broken.stderr.starts_with("1 user changed back"),
            "{broken:?}"
        );
        let (_, fix) = broken
            .stderr
            .split_once("hint: run it again with --since ")
            .expect("a hint");
        let time = fix.split(':').next().unwrap_or_default();
        let is_moment = time.len() == "2026-11-25T08".len() && time.contains('T');
        assert!(is_moment, "{broken:?}");
        assert!(
            fix.ends_with(": users already changed back are left alone\n"),
            "{broken:?}"
        );
        // The list of what was done is whole.
        let listed = serde_json::from_str::<Vec<Value>>(&broken.stdout);
        assert_eq!(
            listed.is_ok_and(|it| it.len() == 1),
            form == "json",
            "{broken:?}"
        );
    }
}
