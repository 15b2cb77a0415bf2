//! Users as they were at a moment or before a change, who had their names then, and who changed
//! them.

use std::collections::BTreeMap;
use std::time::Instant as Monotonic;

use golinks_scim::directory::{Keep, Past, Then, UserId, Wanted, Way};
use golinks_scim::limits;
use serde_json::{Value, json};

use super::{Kept, PATCH, moment, newest_change, patch, rows, text};
use crate::model::Random;
use crate::support::{Talk, command_on, number, record_of};

#[test]
fn a_user_is_shown_as_every_answer_showed_it() {
    let mut talk = Talk::start(&[]);
    let before = moment();
    let mut shown = vec![talk.create("jane@example.com")];
    let id = text(&shown[0], "id").to_owned();
    let target = format!("/Users/{id}");
    let mut moments = vec![moment()];
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    for change in [
        patch("title", json!("Chef")),
        patch("name.givenName", json!("Joan")),
        patch("emails[type eq \"work\"].value", json!("joan@example.com")),
        patch(&format!("{enterprise}:department"), json!("Kitchen")),
        patch("active", json!(false)),
        patch("userName", json!("joan@example.com")),
        json!({"schemas": [PATCH], "Operations": [{"op": "remove", "path": "title"}]}),
        patch("nickName", json!("Jo")),
    ] {
        shown.push(talk.json("PATCH", &target, Some(&change), 200));
        moments.push(moment());
    }
    let at = |talk: &Talk, who: &str, at: &str| {
        talk.server
            .cli(&["user", "show", who, "--at", at, "-o", "jsonl"])
    };
    let check = |talk: &Talk, who: &str| {
        for (user, moment) in shown.iter().zip(&moments) {
            let output = at(talk, who, moment);
            assert_eq!(
                rows(&output),
                std::slice::from_ref(user),
                "{moment}: {output:?}"
            );
        }
        let absent = at(talk, who, &before);
        assert_eq!(absent.status, Some(1), "{absent:?}");
        for words in ["there was no user", "`user history WHO` shows when"] {
            assert!(absent.stderr.contains(words), "{absent:?}");
        }
    };
    check(&talk, &id);
    check(&talk, "Joan@example.com");

    let history = talk
        .server
        .cli(&["user", "history", "joan@example.com", "-o", "jsonl"]);
    let told = rows(&history);
    assert_eq!(told.len(), shown.len(), "{history:?}");
    for (row, user) in told.iter().zip(&shown) {
        assert_eq!(row["version"], user["meta"]["version"]);
        assert!(text(row, "principal").ends_with(":all"), "{row}");
        assert!(text(row, "requestId").len() > 8, "{row}");
    }
    check_before(&talk, &id, &told, &shown);
    let table = talk.server.cli(&["user", "history", &id]).stdout;
    for line in [
        "    name.givenName: G -> Joan",
        "    title: (none) -> Chef",
        "    title: Chef -> (none)",
        "    active: true -> false",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    let department = format!("    {enterprise}:department: (none) -> Kitchen");
    assert!(table.contains(&department), "{table}");
    let now = talk.server.cli(&["user", "show", &id]).stdout;
    for line in [
        format!("{enterprise}:department  Kitchen\n"),
        "name.givenName ".to_owned(),
        "emails[0].value ".to_owned(),
    ] {
        assert!(now.contains(&line), "{line}: {now}");
    }

    // The audit trail keeps the last state of a deleted user, and finds the user by its last name.
    talk.json("DELETE", &target, None, 204);
    let after = moment();
    check(&talk, "joan@example.com");
    assert_eq!(at(&talk, &id, &after).status, Some(1));
    let history = talk
        .server
        .cli(&["user", "history", "JOAN@example.com", "-o", "jsonl"]);
    assert_eq!(rows(&history).len(), shown.len() + 1, "{history:?}");
    // If nobody is found, a hint says how to search further.
    let search = " user list --search TEXT` finds";
    for (command, hint) in [
        (&["user", "history", "nobody"][..], search),
        (&["audit", "list", "--user", "nobody"], search),
        (
            &["audit", "list", "--user", "nobody", "--last", "9"],
            search,
        ),
        (
            &["user", "show", "joan@example.com"],
            " user history 'joan@example.com'` works for deleted users too",
        ),
    ] {
        let nobody = talk.server.cli(command);
        assert_eq!(nobody.status, Some(1), "{nobody:?}");
        assert!(nobody.stderr.contains(hint), "{nobody:?}");
    }
}

/// Asserts that before each of its changes, a user was as the answer to the previous change showed.
fn check_before(talk: &Talk, id: &str, told: &[Value], shown: &[Value]) {
    let before = |change: &str| {
        let typed = ["user", "show", id, "--before", change, "-o", "jsonl"];
        talk.server.cli(&typed)
    };
    for (row, user) in told[1..].iter().zip(shown) {
        let output = before(&row["sequence"].to_string());
        assert_eq!(rows(&output), std::slice::from_ref(user), "{output:?}");
    }
    for (change, status, words) in [
        (&*told[0]["sequence"].to_string(), 1, "there was no user"),
        ("0", 64, "write the number"),
        ("99999", 1, "there is no change 99999 of a user"),
        ("x", 64, "write the number"),
    ] {
        let output = before(change);
        assert_eq!(output.status, Some(status), "{output:?}");
        assert!(output.stderr.contains(words), "{output:?}");
    }
}

#[test]
fn whoever_had_a_name_before_is_found_behind_the_one_who_has_it() {
    let mut talk = Talk::start(&[]);
    let early = moment();
    let one = text(&talk.create("bob"), "id").to_owned();
    let then = moment();
    let deleted = talk.send("DELETE", &format!("/Users/{one}"), None);
    assert_eq!(deleted.status, 204);
    let deletion = newest_change(&talk, "bob");
    let between = moment();
    let two = text(&talk.create("Bob"), "id").to_owned();
    assert_ne!(one, two);
    for (point, value) in [("--at", &then), ("--before", &deletion)] {
        let shown = talk
            .server
            .cli(&["user", "show", "bob", point, value, "-o", "jsonl"]);
        assert_eq!(shown.status, Some(0), "{point} {shown:?}");
        assert_eq!(text(&rows(&shown)[0], "id"), one);
    }
    for nobody in [&early, &between] {
        let shown = talk.server.cli(&["user", "show", "bob", "--at", nobody]);
        assert_ne!(shown.status, Some(0), "{shown:?}");
        assert!(shown.stderr.contains("there was no user bob"), "{shown:?}");
    }
    let shown = talk.server.cli(&["user", "show", &two, "--at", &then]);
    assert_ne!(shown.status, Some(0), "an id is one user's: {shown:?}");
    let data_dir = talk.server.data_dir();
    let told = format!(
        ": golinks-scim --data-dir {} user history {one}\n",
        data_dir.display()
    );
    for command in [&["user", "history"][..], &["audit", "list", "--user"]] {
        let of = |who: &str| talk.server.cli(&[command, &[who, "-o", "jsonl"]].concat());
        let listed = of("BOB");
        assert_eq!(rows(&listed).len(), 1, "{listed:?}");
        let hint = listed
            .stderr
            .strip_prefix("hint: another user had this userName until at least ");
        assert!(hint.is_some_and(|hint| hint.ends_with(&told)), "{listed:?}");
        for id in [&one, &two] {
            let listed = of(id);
            assert_eq!(
                (listed.status, &*listed.stderr),
                (Some(0), ""),
                "{listed:?}"
            );
        }
    }
}

#[test]
fn of_very_many_who_had_a_name_the_latest_are_told() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let mut had_it = Vec::new();
    for _ in 0..=limits::PREVIOUS_HOLDERS_TOLD_MAX {
        let id = text(&talk.create("bob"), "id").to_owned();
        talk.json("DELETE", &format!("/Users/{id}"), None, 204);
        had_it.push(id);
    }
    talk.create("bob");
    let history = talk.server.cli(&["user", "history", "bob"]);
    let hints = history
        .stderr
        .lines()
        .filter_map(|line| line.split_once(" user history "));
    let told: Vec<&str> = hints.map(|(_, id)| id).collect();
    assert_eq!(told, had_it[1..], "{history:?}");
}

/// A name passes from user to user, each time in another way.
#[test]
fn a_name_stands_for_whoever_had_it_then() {
    let mut kept = Kept::new();
    let nobody = kept.now();
    let one = kept.create("bob", "a");
    let of_one = kept.now();
    kept.change(&one, "userName", &json!("x"), "a");
    let free = kept.now();
    let two = kept.create("y", "a");
    let of_y = kept.now();
    kept.change(&two, "userName", &json!("Bob"), "a");
    let of_two = kept.now();
    let deleted = kept.delete(&two);
    let three = kept.create("bob", "a");
    let of_three = kept.now();
    let was = |id: &String, name: &str| Some((id.clone(), name.to_owned()));
    let check = |kept: &Kept, since_three: Option<(String, String)>| {
        for (at, wanted) in [
            (nobody, None),
            (of_one, was(&one, "bob")),
            (free, None),
            (of_two, was(&two, "Bob")),
            (deleted, None),
            (of_three, was(&three, "bob")),
            (kept.now(), since_three),
        ] {
            assert_eq!(kept.who_was("BOB", Then::At(at)), wanted, "{at}");
        }
    };
    check(&kept, was(&three, "bob"));
    // By the number of a change: changes 1, 3 and 6 created users one, two and three.
    for (change, wanted) in [
        (1, None),
        (2, was(&one, "bob")),
        (5, was(&two, "Bob")),
        (6, None),
    ] {
        let then = Then::Before(change);
        assert_eq!(kept.who_was("bob", then), wanted, "{change}");
    }
    kept.delete(&three);
    check(&kept, None);
    // A name that its user had given up by then stands for nobody. A deleted user is found by its
    // last name, even for times when it had another.
    assert_eq!(kept.who_was("y", Then::At(of_two)), None);
    assert_eq!(kept.who_was("y", Then::At(of_y)), was(&two, "y"));
    kept.change(&one, "userName", &json!("z"), "a");
    kept.delete(&one);
    assert_eq!(kept.who_was("z", Then::At(of_one)), was(&one, "bob"));
}

/// The content of removed rows is unknown, no matter who has the name now.
#[test]
fn nobody_is_denied_by_a_trail_that_does_not_go_back_so_far() {
    let mut kept = Kept::new();
    let one = kept.create("bob", "a");
    let of_one = kept.now();
    kept.delete(&one);
    let two = kept.create("bob", "a");
    let keep = Keep {
        days: None,
        bytes: Some(1000),
    };
    for number in 0..20 {
        kept.create(&format!("user{number}"), "a");
    }
    let removed = kept.directory.trim(keep, Monotonic::now());
    assert!(removed.expect("done") > 3);
    let three = kept.create("bea", "a");
    let check = |kept: &Kept, name: &str| {
        let past = kept.directory.at(name, Then::At(of_one)).expect("read");
        assert!(matches!(past, Past::Forgotten(Some(_))), "{name}: {past:?}");
    };
    check(&kept, "bob");
    kept.delete(&two);
    kept.delete(&three);
    for name in ["bob", "bea", "nobody"] {
        check(&kept, name);
    }
}

/// A user's own rows were removed, but it has not changed since then, so its past state is its
/// current state. The rows of others say nothing about it.
#[test]
fn whoever_is_as_before_is_known_without_rows() {
    let mut kept = Kept::new();
    let one = kept.create("bob", "a");
    kept.change(&one, "title", &json!("Cook"), "a");
    for number in 0..20 {
        kept.create(&format!("user{number}"), "a");
    }
    let keep = Keep {
        days: None,
        bytes: Some(1000),
    };
    let removed = kept.directory.trim(keep, Monotonic::now());
    let oldest = removed.expect("done") + 1;
    let then = kept.now();
    let last = kept.create("last", "a");
    let now = record_of(&kept.directory, &one).expect("there");
    // This holds before the oldest kept row, too: that row and all later ones are there.
    for change in [oldest, oldest + 1] {
        match kept
            .directory
            .at("bob", Then::Before(change))
            .expect("read")
        {
            Past::Was(was) => assert_eq!(
                (was.version(), was.last_modified()),
                (now.version(), now.last_modified())
            ),
            other => panic!("{change}: {other:?}"),
        }
    }
    // Even a name that was given up since then is known.
    kept.change(&one, "userName", &json!("robert"), "a");
    kept.change(&last, "userName", &json!("bob"), "a");
    let was = Some((one.clone(), "bob".to_owned()));
    assert_eq!(kept.who_was("Bob", Then::At(then)), was);
    // Nobody was changed before then at a time after it.
    match kept.directory.at(&one, Then::At(then)).expect("read") {
        Past::Was(was) => assert!(was.last_modified() < then, "{was:?}"),
        other => panic!("{other:?}"),
    }
}

/// If an environment variable with a login name is empty, the next one is used.
#[test]
fn an_administrator_is_recorded_under_any_login_name() {
    let mut talk = Talk::start(&[]);
    for (sudo_user, login, wanted) in [
        ("", "jane", "administrator:jane"),
        ("müller иван%41", "jane", "administrator:müller иван%41"),
        ("\t ", "ja\tne", "administrator:jane"),
        ("", "", "administrator:uid-"),
    ] {
        talk.create("somebody");
        let deleted = command_on(&talk.server.data_dir())
            .args(["user", "delete", "somebody", "--yes"])
            .env("SUDO_USER", sudo_user)
            .env("LOGNAME", login)
            .env("USER", "")
            .output()
            .expect("the binary runs");
        assert!(deleted.status.success(), "{deleted:?}");
        let told = talk
            .server
            .cli(&["audit", "list", "--last", "1", "-o", "jsonl"]);
        let by = rows(&told).pop().expect("a row");
        assert!(text(&by, "principal").starts_with(wanted), "{by}");
    }
}

/// The rows with the old name were removed, except the row of its change.
#[test]
fn a_name_is_known_from_the_row_that_took_it_away() {
    let mut kept = Kept::new();
    let id = kept.create("bob", "a");
    kept.change(&id, "userName", &json!("Robert"), "a");
    let renamed = UserId::parse(&id).expect("an id");
    let keep = Keep {
        days: None,
        bytes: Some(450),
    };
    let removed = kept.directory.trim(keep, Monotonic::now());
    assert_eq!(removed.expect("done"), 1);
    let known = |who: &str| kept.directory.known_as(who).expect("read");
    assert_eq!(known("Bob"), [renamed]);
    assert_eq!(known("bo"), []);
    // When another user has the name now, the former one is only listed as a namesake.
    let next = kept.create("bob", "a");
    let wanted = Wanted {
        users: Some(kept.directory.known_as("bob").expect("read")),
        name: Some("bob".to_owned()),
        ..Wanted::default()
    };
    let found = kept.directory.trail(&wanted, Way::From(1), 10);
    let found = found.expect("read");
    assert_eq!(found.rows.len(), 1, "{found:?}");
    assert_eq!(found.rows[0]["user"], *next);
    let namesakes = found.namesakes.iter().map(|(user, _)| *user);
    assert_eq!(namesakes.collect::<Vec<_>>(), [renamed]);
}

/// The search for them goes on where it ended the last time.
#[test]
fn whoever_had_a_name_is_found_in_a_trail_that_grows_and_shrinks() {
    let mut kept = Kept::new();
    let known = |kept: &Kept, who: &str| kept.directory.known_as(who).expect("read");
    let mut all = Vec::new();
    for name in ["robert", "bobby"] {
        let id = kept.create("bob", "a");
        kept.change(&id, "userName", &json!(name), "a");
        all.extend(UserId::parse(&id));
        assert_eq!(known(&kept, "Bob"), all);
        assert_eq!(known(&kept, "Bob"), all, "nothing was written since");
    }
    assert_eq!(known(&kept, "bo"), []);
    assert_eq!(known(&kept, "bob"), all);
    let keep = Keep {
        days: None,
        bytes: Some(450),
    };
    let removed = kept.directory.trim(keep, Monotonic::now());
    assert_eq!(removed.expect("done"), 3);
    assert_eq!(
        known(&kept, "bob"),
        all[1..],
        "who was removed is forgotten"
    );
}

/// Random histories, from which random numbers of the oldest rows are removed.
#[test]
fn a_past_is_exact_or_forgotten_whatever_was_removed() {
    let (mut known, mut forgotten) = (0, 0);
    for seed in 0..number("PAST_SEEDS", 100) as u64 {
        let mut random = Random(seed);
        let mut kept = Kept::new();
        let (mut births, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for step in 0..40 {
            let living = kept.states.keys().filter(|id| !ends.contains_key(*id));
            let living: Vec<String> = living.cloned().collect();
            if living.is_empty() || random.below(6) == 0 {
                let before = kept.now();
                births.insert(kept.create(&format!("user{step}"), "a"), before);
                continue;
            }
            let id = &living[random.below(living.len())];
            match random.below(12) {
                0 => drop(ends.insert(id.clone(), kept.delete(id))),
                1 => trim_some(&kept, &mut random),
                name => {
                    let name = ["title", "nickName"][name % 2];
                    kept.change(id, name, &json!(format!("v{}", random.below(4))), "a");
                }
            }
        }
        for (id, states) in &kept.states {
            let states = states.iter().map(|(time, _, state)| (*time, Some(state)));
            let none = births.get(id).into_iter().chain(ends.get(id));
            for (time, state) in states.chain(none.map(|time| (*time, None))) {
                let was = match kept.directory.at(id, Then::At(time)).expect("read") {
                    Past::Was(record) => Some(Value::Object(record.user().attributes().clone())),
                    Past::Absent => None,
                    Past::Forgotten(_) => {
                        forgotten += 1;
                        continue;
                    }
                };
                known += 1;
                assert_eq!(was.as_ref(), state, "seed {seed}: {id} at {time}");
            }
        }
    }
    assert!(known > 0 && forgotten > 0, "{known} {forgotten}");
}

fn trim_some(kept: &Kept, random: &mut Random) {
    let page = kept.directory.trail(&Wanted::default(), Way::From(1), 1);
    let quarter = page.expect("read").extent.bytes / 4;
    let keep = Keep {
        days: None,
        bytes: Some(quarter * (1 + random.below(3) as u64)),
    };
    kept.directory.trim(keep, Monotonic::now()).expect("done");
}
