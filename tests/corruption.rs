//! Flipped bits in the store's file: a command gives the right answer, or says that the store is
//! damaged and what to do, but never gives a wrong answer.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use golinks_scim::clock::{Clock, SystemClock};
use memchr::memmem;
use redb::{Database, MultimapTableDefinition, ReadableTable, TableDefinition, WriteTransaction};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::slow::populate;
use crate::support::{Server, Talk, body, cli_in, number, scim_error, send, stored_number};

/// The size of redb's header, which holds two roots and says which of them is current.
const HEADER_BYTES: usize = 320;

const PAGE_BYTES: usize = 4096;

/// Flips `count` bits, each alone in a good file: a third of them in the header, the rest spread
/// over the bytes that are not zero. Then flips two bits at the beginning of each page: the high
/// bits of the number of its entries and of the end of the first entry. Returns how many flips were
/// reported.
fn flip(count: usize) -> usize {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for number in 0..200 {
        talk.create(&format!("user{number}"));
    }
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let good = fs::read(&path).expect("the store");
    let commands: [&[&str]; 3] = [
        &["user", "list", "-o", "jsonl"],
        &["token", "list", "-o", "jsonl"],
        &["user", "show", "user150"],
    ];
    let wanted = commands.map(|command| cli_in(&directory, command).stdout);
    assert!(wanted.iter().all(|output| !output.is_empty()));
    fs::write(&path, &good).expect("written");
    let used: &Vec<usize> = &(HEADER_BYTES..good.len())
        .filter(|&at| good[at & !7..].iter().take(8).any(|byte| *byte != 0))
        .collect();
    let in_header = count / 3;
    let places = (0..in_header)
        .map(|number| number * HEADER_BYTES * 8 / in_header)
        .map(|bit| (bit / 8, bit % 8))
        .chain((0..count - in_header).map(|number| {
            let at = number * used.len() / (count - in_header);
            (used[at], number % 8)
        }))
        .chain(
            (PAGE_BYTES..good.len())
                .step_by(PAGE_BYTES)
                .flat_map(|page| {
                    let bits = [(page + 3, 4), (page + 5, 6)];
                    bits.into_iter().filter(move |_| used.contains(&page))
                }),
        );
    let mut told = 0;
    for (number, (at, bit)) in places.enumerate() {
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        fs::write(&path, &bad).expect("written");
        let which = number % commands.len();
        let output = cli_in(&directory, commands[which]);
        let place = format!("bit {bit} of byte {at}");
        match output.status {
            Some(0) => assert!(output.stdout == wanted[which], "{place}: a wrong answer"),
            Some(65) => {
                told += 1;
                // Damage that is found only when the file is closed is reported after the answer.
                assert!(
                    ["", &wanted[which]].contains(&output.stdout.as_str()),
                    "{place}: a wrong answer"
                );
                assert!(
                    output.stderr.contains("damaged") && output.stderr.contains("restore a backup"),
                    "{place}: {}",
                    output.stderr
                );
            }
            other => panic!("{place}: {other:?} {}", output.stderr),
        }
    }
    told
}

/// Damage that no flipped bit causes, but a fault of the store or somebody with a tool can cause.
#[test]
fn tables_that_disagree_are_told() {
    const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
    const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
    const EMAILS: MultimapTableDefinition<'_, &[u8], u32> = MultimapTableDefinition::new("emails");
    const EXTERNALS: MultimapTableDefinition<'_, &[u8], u32> =
        MultimapTableDefinition::new("externals");
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    type Edit = fn(&WriteTransaction);
    let edits: &[(&str, Edit)] = &[
        ("a userName of nobody", |txn| {
            let mut names = txn.open_table(NAMES).expect("the table");
            names.insert(&b"nobody"[..], 1).expect("written");
        }),
        ("a userName that is gone", |txn| {
            let mut names = txn.open_table(NAMES).expect("the table");
            names
                .remove(&b"user1"[..])
                .expect("written")
                .expect("there");
        }),
        ("an address of another", |txn| {
            let mut emails = txn.open_multimap_table(EMAILS).expect("the table");
            emails.insert(&b"other@x"[..], 2).expect("written");
        }),
        ("an externalId of another", |txn| {
            let mut externals = txn.open_multimap_table(EXTERNALS).expect("the table");
            externals.insert(&b"other"[..], 2).expect("written");
        }),
        ("no table of externalIds", |txn| {
            assert!(txn.delete_multimap_table(EXTERNALS).expect("deleted"));
        }),
        ("no table of addresses", |txn| {
            assert!(txn.delete_multimap_table(EMAILS).expect("deleted"));
        }),
        ("a row of another", |txn| {
            let mut users = txn.open_table(USERS).expect("the table");
            let first = users.get(1).expect("read").expect("there").value().to_vec();
            users.insert(2, first.as_slice()).expect("written");
        }),
        ("a user that is gone", |txn| {
            let mut users = txn.open_table(USERS).expect("the table");
            users.remove(2).expect("written").expect("there");
        }),
        ("a sequence that was given already", |txn| {
            let mut meta = txn.open_table(META).expect("the table");
            let number = stored_number("users_next", 2);
            meta.insert("users_next", number).expect("written");
        }),
        ("a format without its checksum", |txn| {
            let mut meta = txn.open_table(META).expect("the table");
            meta.insert("format", golinks_scim::store::FORMAT)
                .expect("written");
        }),
        ("an audit trail without its last row", |txn| {
            let mut audit = txn.open_table(AUDIT).expect("the table");
            audit.pop_last().expect("written").expect("there");
        }),
        ("another last row of the audit trail", |txn| {
            let mut audit = txn.open_table(AUDIT).expect("the table");
            let last = audit.last().expect("read").expect("there").0.value();
            audit.insert(last, &b"{}"[..]).expect("written");
        }),
    ];
    let mut talk = Talk::start(&[]);
    for number in 0..3 {
        talk.create(&format!("user{number}"));
    }
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let good = fs::read(&path).expect("the store");
    for (what, edit) in edits {
        fs::write(&path, &good).expect("written");
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        edit(&txn);
        txn.commit().expect("committed");
        drop(database);
        let output = cli_in(&directory, &["user", "list"]);
        assert_eq!(output.status, Some(65), "{what}: {output:?}");
        assert!(
            output.stderr.contains("restore a backup"),
            "{what}: {output:?}"
        );
    }
}

/// A key that is not at its place in its table is not found, although the table has it.
#[test]
fn a_key_that_is_out_of_order_is_told() {
    let mut talk = Talk::start(&[]);
    let mut user = body("jane");
    user["emails"] = json!([{"value": "aa@example.org"}, {"value": "bb@example.org"}]);
    talk.json("POST", "/Users", Some(&user), 201);
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let mut bytes = fs::read(&path).expect("the store");
    // The keys in a page stand one after the other.
    let [good, bad] = [
        "aa@example.orgbb@example.org",
        "bb@example.orgaa@example.org",
    ];
    let places: Vec<usize> = memmem::find_iter(&bytes, good).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + bad.len()].copy_from_slice(bad.as_bytes());
    }
    fs::write(&path, &bytes).expect("written");
    let output = cli_in(&directory, &["user", "list"]);
    assert_eq!(output.status, Some(65), "{output:?}");
    let told = "the index of email addresses holds other users";
    assert!(output.stderr.contains(told), "{output:?}");
}

/// Only an undo writes values from the trail into users, so it must not trust an altered row.
#[test]
fn an_undo_believes_no_audit_row_that_was_changed() {
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let deactivated = talk.server.cli(&["user", "deactivate", "jane"]);
    assert_eq!(deactivated.status, Some(0), "{deactivated:?}");
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let undo = ["user", "undo", "--since", "1h", "--dry-run", "-o", "jsonl"];
    assert_eq!(cli_in(&directory, &undo).status, Some(0));
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    let altered = {
        let mut audit = txn.open_table(AUDIT).expect("the table");
        let rows: Vec<(u64, Vec<u8>)> = audit
            .iter()
            .expect("read")
            .map(|row| row.expect("read"))
            .map(|(sequence, row)| (sequence.value(), row.value().to_vec()))
            .collect();
        let of_jane = |row: &&(u64, Vec<u8>)| row.1.windows(4).any(|part| part == b"jane");
        let (sequence, row) = rows.iter().find(of_jane).expect("a row of hers");
        let at = row.windows(4).position(|part| part == b"jane");
        let mut other = row.clone();
        other[at.expect("a place")] = b'J';
        audit.insert(sequence, other.as_slice()).expect("written");
        *sequence
    };
    txn.commit().expect("committed");
    drop(database);
    // Whether the next row follows on the altered one, nobody can tell any more.
    let next = (altered + 1).to_string();
    let from_next = ["user", "undo", "--from", &next, "--dry-run"];
    for undo in [&undo[..], &from_next] {
        let output = cli_in(&directory, undo);
        assert_ne!(output.status, Some(0), "{output:?}");
        assert!(output.stderr.contains("nothing is undone"), "{output:?}");
    }
    // Later changes can still be undone.
    let since = SystemClock.now().to_string();
    let activated = cli_in(&directory, &["user", "reactivate", "jane"]);
    assert_eq!(activated.status, Some(0), "{activated:?}");
    let undo = ["user", "undo", "--since", &since, "-o", "jsonl"];
    let output = cli_in(&directory, &undo);
    assert_eq!(output.status, Some(0), "{output:?}");
    assert!(output.stdout.contains("jane"), "{output:?}");
}

const USERS: usize = 240;

/// A store larger than what a server keeps in memory, a token for it, and where its users are.
fn more_than_is_kept() -> (TempDir, String, Vec<String>) {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let authorization = talk.authorization.clone();
    populate(&mut talk.server.client(), &authorization, USERS, 60_000);
    let page = format!("/Users?count={USERS}&attributes=id");
    let all = talk.json("GET", &page, None, 200)["Resources"].take();
    let ids = (0..USERS).filter_map(|at| all[at]["id"].as_str());
    let targets = ids.map(|id| format!("/Users/{id}")).collect();
    (talk.server.stop_and_keep(), authorization, targets)
}

/// Damages every page but the first, which holds the header.
fn damage_pages(path: &Path, damage: impl FnMut(&mut [u8])) {
    let mut bad = fs::read(path).expect("the store");
    bad.chunks_mut(PAGE_BYTES).skip(1).for_each(damage);
    let file = fs::OpenOptions::new().write(true).open(path);
    let file = file.expect("the store");
    let at = PAGE_BYTES as u64;
    file.write_all_at(&bad[PAGE_BYTES..], at).expect("written");
}

/// The store's library panics over a page that is neither a leaf nor a branch.
#[test]
fn a_panic_over_a_damaged_page_is_told_as_damage() {
    let (directory, authorization, targets) = more_than_is_kept();
    let server = Server::start_on(directory);
    let token = server.token_with("monitor", &["--scope", "metrics"]);
    let monitor = format!("Bearer {}", token.reveal());
    let ready = || {
        send(
            &mut server.client_at_root(),
            &monitor,
            "GET",
            "/readyz",
            None,
        )
    };
    assert_eq!(ready().expect("an answer").status, 200);
    damage_pages(&server.data_dir().join("users.redb"), |page| page.fill(0));
    let mut client = server.client();
    let mut details = targets.iter().filter_map(|target| {
        let answer = send(&mut client, &authorization, "GET", target, None);
        let answer = answer.expect("an answer");
        (answer.status == 500).then(|| scim_error(&answer, target)["detail"].to_string())
    });
    for _ in 0..2 {
        let detail = details.next().expect("most is not in memory");
        assert!(detail.contains("restore a backup"), "{detail}");
    }
    let told = "the store is damaged: reading it ended by a panic";
    let log = server.log_with(told);
    assert!(!log.contains("bug at"), "{log}");
    assert_eq!(log.matches(told).count(), 1, "{log}");
    let answer = ready().expect("an answer");
    let error = scim_error(&answer, "/readyz").to_string();
    assert!(
        answer.status == 503 && error.contains("the store is damaged"),
        "{error}"
    );
}

/// Such a store cannot be opened again, since that verifies every page.
#[test]
fn a_change_that_meets_damage_takes_the_store_from_no_reader() {
    let (directory, authorization, targets) = more_than_is_kept();
    let server = Server::start_on(directory);
    let token = server.token_with("monitor", &["--scope", "metrics"]);
    let mut client = server.client();
    let mut ask = |method: &str, target: &str, body: Option<&Value>| {
        let answer = send(&mut client, &authorization, method, target, body);
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    };
    let mut leaves = 0;
    damage_pages(&server.data_dir().join("users.redb"), |page| {
        leaves += usize::from(page[0] == 1);
        if page[0] == 1 && leaves % 2 == 1 {
            page.fill(0);
        }
    });
    let read: Vec<_> = targets.iter().map(|it| ask("GET", it, None)).collect();
    let (whole, damaged): (Vec<_>, Vec<_>) =
        (targets.iter().zip(&read)).partition(|(_, answer)| answer.status == 200);
    assert!(whole.len() > 50 && damaged.len() > 50, "{}", whole.len());
    let told = "the server's store is damaged and nothing was changed";
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "title", "value": "other"}],
    });
    for (method, target, body) in [
        ("DELETE", damaged[0].0, None),
        ("PATCH", whole[0].0, Some(&patch)),
    ] {
        let answer = ask(method, target, body);
        let error = scim_error(&answer, method).to_string();
        assert!(answer.status == 429 && error.contains(told), "{error}");
    }
    let log = server.log_with("what can be read of it is served until the server stops");
    assert!(!log.contains("cannot be reopened"), "{log}");
    for (target, before) in whole {
        let answer = ask("GET", target, None);
        assert!(
            answer.status == 200 && answer.body == before.body,
            "{target}"
        );
    }
    let monitor = format!("Bearer {}", token.reveal());
    let ready = send(
        &mut server.client_at_root(),
        &monitor,
        "GET",
        "/readyz",
        None,
    );
    let ready = scim_error(&ready.expect("an answer"), "/readyz").to_string();
    assert!(ready.contains("as far as they are whole"), "{ready}");
    let directory = server.stop_and_keep();
    assert_eq!(cli_in(&directory, &["user", "list"]).status, Some(65));
}

/// A read beyond the end of the file makes the store's library refuse all reads.
#[test]
fn a_store_that_cannot_be_read_at_all_any_more_is_told_as_damaged() {
    let (directory, authorization, targets) = more_than_is_kept();
    let server = Server::start_on(directory);
    let path = server.data_dir().join("users.redb");
    let file = fs::OpenOptions::new().write(true).open(path);
    let file = file.expect("the store");
    file.set_len(10 * PAGE_BYTES as u64).expect("cut");
    let mut client = server.client();
    let mut ask = |target: &str| {
        let answer = send(&mut client, &authorization, "GET", target, None);
        answer.unwrap_or_else(|error| panic!("{target}: {error}"))
    };
    for target in &targets[..3] {
        assert_ne!(ask(target).status, 404);
    }
    server.log_with("the store cannot be reopened yet: the store is damaged");
    let answer = ask(&targets[0]);
    let error = scim_error(&answer, "GET").to_string();
    assert!(
        answer.status == 500 && error.contains("restore a backup"),
        "{error}"
    );
    let check = server.cli(&["check"]).stdout;
    let told = "readiness       the store is damaged";
    assert!(
        check.contains(told) && check.contains("backup restore FILE"),
        "{check}"
    );
}

/// Nothing verifies the checksums of pages that are read after the start. So each damage is done to
/// every page but the header, of a store larger than what the server keeps in memory.
#[test]
fn no_answer_is_wrong_when_the_file_is_damaged_under_a_server() {
    let (mut directory, authorization, targets) = more_than_is_kept();
    let pages = (1..USERS).step_by(USERS / 8);
    let pages = pages.map(|at| format!("/Users?startIndex={at}&count=4&attributes=id"));
    let scan = "/Users?filter=not%20(title%20sw%20%22y%22)&count=500&attributes=id".to_owned();
    let targets: Vec<String> = targets.into_iter().chain(pages).chain([scan]).collect();
    let path = directory.path().join("data/users.redb");
    let good = fs::read(&path).expect("the store");
    let kinds: [fn(&mut [u8]); 5] = [
        |page| page.fill(0),
        |page| page.iter_mut().step_by(4).for_each(|byte| *byte ^= 1),
        // The number of the entries, the end of the first one, and the number of a branch's keys.
        |page| page[3] ^= 1 << 4,
        |page| page[5] ^= 1 << 6,
        |page| page[2] ^= u8::from(page[0] == 2),
    ];
    let mut told = 0;
    for (kind, damage) in kinds.iter().enumerate() {
        fs::write(&path, &good).expect("written");
        let server = Server::start_on(directory);
        let mut client = server.client();
        let mut ask = |target: &str| {
            let answer = send(&mut client, &authorization, "GET", target, None);
            answer.unwrap_or_else(|error| panic!("{kind}: {target}: {error}"))
        };
        // By then, the check that goes on after the start has ended.
        let nobody = ask("/Users?filter=userName%20eq%20%22nobody%22");
        assert_eq!(nobody.status, 200);
        let wanted: Vec<Vec<u8>> = targets.iter().map(|target| ask(target).body).collect();
        damage_pages(&path, damage);
        for (target, wanted) in targets.iter().zip(&wanted) {
            let answer = ask(target);
            let what = format!("{kind}: {target}");
            if answer.status == 200 {
                assert!(answer.body == *wanted, "{what}: a wrong answer");
                continue;
            }
            let error = scim_error(&answer, &what);
            assert!(matches!(answer.status, 500 | 503), "{what}: {error}");
            told += 1;
        }
        directory = server.stop_and_keep();
    }
    let all = targets.len() * kinds.len();
    println!("{told} of {all} answers told of damage, no wrong answer");
    assert!(told > all / 10, "most was in memory");
}

#[test]
fn bits_that_flip_are_told_or_do_no_harm() {
    let told = flip(60);
    println!("60 bits and two of each page flipped, {told} told, no wrong answer");
    assert!(told > 10, "{told} of 60 lay in something that is read");
}

#[test]
#[ignore = "the long form: BIT_FLIPS bits, 10,000 if it is not set"]
fn many_bits_that_flip_are_told_or_do_no_harm() {
    let count = number("BIT_FLIPS", 10_000);
    let told = flip(count);
    println!("{count} bits flipped, {told} told, no wrong answer");
}
