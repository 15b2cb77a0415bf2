//! Replacing a store by a backup, and the report of what came back with it.

use serde_json::Value;
use tempfile::TempDir;

use super::{lines, rows, users};
use crate::support::{Server, Talk, cli_in};

/// This is what a backup is for.
#[test]
fn a_backup_takes_the_place_of_a_store_that_is_damaged() {
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.redb");
    let name = good.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", name]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let whole = std::fs::read(&path).expect("the store");
    let mut no_magic = whole.clone();
    no_magic[0] ^= 1;
    for bad in [no_magic, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(&path, &bad).expect("written");
        let listed = cli_in(&directory, &["user", "list"]);
        assert_eq!(listed.status, Some(65), "{listed:?}");
        let kept: Vec<u8> = std::fs::read(&path).expect("there");
        let restored = cli_in(&directory, &["backup", "restore", name]);
        assert_eq!(restored.status, Some(0), "{restored:?}");
        let kept_as = restored
            .stderr
            .lines()
            .find_map(|line| line.split_once("is kept as "))
            .map(|(_, path)| path.trim().to_owned());
        let kept_as = kept_as.expect("it is said where the old one is");
        let told = "tokens revoked since the backup are valid again, changed ones have";
        assert!(restored.stderr.contains(told), "{restored:?}");
        assert_eq!(std::fs::read(kept_as).expect("there"), kept);
        let listed = cli_in(&directory, &["user", "list"]);
        assert!(listed.stdout.contains("jane"), "{listed:?}");
    }
}

/// A new machine has no data directory yet.
#[test]
fn a_backup_is_restored_where_nothing_was() {
    let mut talk = Talk::start(&[]);
    talk.create("ann");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("good.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let verified = talk.server.cli(&["backup", "verify", file, "-o", "json"]);
    let counts: Value = serde_json::from_str(&verified.stdout).expect("JSON");
    assert_eq!(counts[0]["users"], 1, "{verified:?}");
    let digest = counts[0]["sha256"].as_str().expect("text");
    assert!(made.stdout.contains(digest), "{verified:?}");
    let new = tempfile::tempdir().expect("a folder");
    let mistyped = cli_in(&new, &["backup", "restore", "/nope.redb"]);
    assert_eq!(mistyped.status, Some(74), "{mistyped:?}");
    let there = std::fs::read_dir(new.path()).expect("the folder").count();
    assert_eq!(there, 0, "nothing is made for a file that is not there");
    let restored = cli_in(&new, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert_eq!(restored.stdout, made.stdout);
    assert!(!restored.stderr.contains("is kept as"), "{restored:?}");
    let told = "tls/ is not part of a backup and is missing here: the next start makes a new CA\n";
    assert!(restored.stderr.contains(told), "{restored:?}");
    let place = format!("restored into {}", new.path().join("data").display());
    assert!(restored.stderr.contains(&place), "{restored:?}");
    let shown = cli_in(&new, &["cert", "show"]);
    assert_eq!(
        (shown.status, &*shown.stdout, &*shown.stderr),
        (
            Some(0),
            "",
            "there is no certificate yet: the next start makes one\n"
        )
    );
    let shown = cli_in(&new, &["cert", "show", "-o", "jsonl"]);
    assert_eq!(shown.stdout, "{\"certificate\":null,\"authority\":null}\n");
    let server = Server::start_on(new);
    assert_eq!(users(&server).len(), 1);
    let store = server.data_dir().join("users.redb");
    let stopped = server.stop_and_keep();
    // This mark says that a sync of the old store has failed, which does not concern its
    // replacement.
    let mark = store.with_extension("unsynced");
    std::fs::write(&mark, "").expect("a mark");
    let store = store.to_str().expect("text");
    let verified = cli_in(&stopped, &["backup", "verify", store]);
    let told = "a sync to disk has failed";
    assert!(verified.stderr.contains(told), "{verified:?}");
    let again = cli_in(&stopped, &["backup", "restore", file]);
    assert!(!again.stderr.contains("a new CA"), "{again:?}");
    assert!(!mark.exists());
    let shown = cli_in(&stopped, &["cert", "show"]);
    assert!(shown.stdout.contains("private CA"), "{shown:?}");
}

/// A server with this many users and a backup of them in `file`. Also returns their names.
fn backed_up(users: usize, file: &str) -> (Talk, Vec<String>) {
    let mut talk = Talk::start(&[]);
    let names: Vec<String> = (0..users).map(|at| format!("u{at}")).collect();
    for name in &names {
        talk.create(name);
    }
    assert_eq!(talk.server.cli(&["backup", "create", file]).status, Some(0));
    (talk, names)
}

/// A user who was erased on demand can be erased again with the command that the restore prints.
#[test]
fn a_restore_names_who_is_back() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let (mut talk, names) = backed_up(23, file);
    talk.create("later");
    let erased = names.iter().skip(1).map(String::as_str).chain(["later"]);
    let command: Vec<&str> = ["user", "delete", "--yes"]
        .into_iter()
        .chain(erased)
        .collect();
    assert_eq!(talk.server.cli(&command).status, Some(0));
    let directory = talk.server.stop_and_keep();
    for wanted in [
        "22 users were deleted since the backup and restored by it: u1, u2, ",
        "2 users were deleted since the backup and restored by it: u21, u22",
    ] {
        let restored = cli_in(&directory, &["backup", "restore", file]);
        let told = restored
            .stderr
            .lines()
            .find(|line| line.contains("since the backup and restored by it"));
        let told = told.unwrap_or_else(|| panic!("{restored:?}"));
        assert!(told.starts_with(wanted), "{told}");
        assert_eq!(
            told.contains(", and 2 more, "),
            wanted.starts_with("22"),
            "{told}"
        );
        let mut lines = restored.stderr.lines();
        let command = lines.find_map(|line| {
            line.split_once("deletion, run ")?
                .1
                .split_once(" user delete ")
        });
        let (_, command) = command.expect("a command");
        let ids: Vec<&str> = command.split(' ').collect();
        let again = cli_in(&directory, &[&["user", "delete"], &ids[..]].concat());
        assert_eq!(again.status, Some(0), "{again:?}");
        let left = cli_in(&directory, &["user", "list", "-o", "jsonl"]).stdout;
        // The next backup contains `u0`, who was not deleted, and the two users that the command
        // does not name.
        let wanted_left = if wanted.starts_with("22") { 3 } else { 1 };
        assert_eq!(left.lines().count(), wanted_left, "{left}");
        if wanted.starts_with("22") {
            std::fs::remove_file(file).expect("there");
            assert_eq!(
                cli_in(&directory, &["backup", "create", file]).status,
                Some(0)
            );
            let rest = cli_in(&directory, &["user", "delete", "--yes", "u21", "u22"]);
            assert_eq!(rest.status, Some(0), "{rest:?}");
        }
    }
}

/// Different users may get the same number before and after a restore.
#[test]
fn a_restore_takes_nobody_for_another_with_the_same_number() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (first, other, list) = (path("first.redb"), path("other.redb"), path("list.csv"));
    let (mut talk, _) = backed_up(1, &first);
    let gone = talk.create("later")["id"].to_string();
    let deleted = talk.server.cli(&["user", "delete", "later", "--yes"]);
    assert_eq!(deleted.status, Some(0), "{deleted:?}");
    let directory = talk.server.stop_and_keep();
    let done = |words: &[&str]| {
        let output = cli_in(&directory, words);
        assert_eq!(output.status, Some(0), "{output:?}");
        output
    };
    let restored = done(&["backup", "restore", &first]);
    let kept_as = restored
        .stderr
        .lines()
        .find_map(|it| it.split_once("is kept as "));
    let (_, kept_as) = kept_as.expect("it is said where the old one is");
    std::fs::write(&list, "userName\nnewcomer\n").expect("written");
    done(&["user", "import", &list]);
    let shown = lines(&done(&["user", "show", "newcomer", "-o", "jsonl"]).stdout);
    let id = shown[0]["id"].to_string();
    assert!(id != gone && id[..9] == gone[..9], "{id} {gone}");
    done(&["backup", "create", &other]);
    done(&["backup", "restore", kept_as]);
    let restored = done(&["backup", "restore", &other]);
    assert!(!restored.stderr.contains("restored by it"), "{restored:?}");
}

/// A restore must work on damage: the backup replaces a store wherever that is damaged.
#[test]
fn a_restore_reads_nothing_of_a_damaged_store_that_it_needs() {
    const PAGE: usize = 4096;
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let (talk, names) = backed_up(60, file);
    let command: Vec<&str> = ["user", "delete", "--yes"]
        .into_iter()
        .chain(names.iter().skip(5).map(String::as_str))
        .collect();
    assert_eq!(talk.server.cli(&command).status, Some(0));
    let directory = talk.server.stop_and_keep();
    let store = directory.path().join("data/users.redb");
    let sound = std::fs::read(&store).expect("there");
    let (mut told, mut untold) = (0, 0);
    for page in (1..sound.len() / PAGE).step_by(7) {
        let mut damaged = sound.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0);
        std::fs::write(&store, damaged).expect("written");
        let restored = cli_in(&directory, &["backup", "restore", file]);
        assert_eq!(restored.status, Some(0), "page {page}: {restored:?}");
        told += usize::from(
            restored
                .stderr
                .contains("since the backup and restored by it"),
        );
        untold += usize::from(restored.stderr.contains("it is not known who was deleted"));
        let kept = std::fs::read_dir(store.parent().expect("a folder")).expect("a folder");
        for entry in kept.map(|entry| entry.expect("an entry").path()) {
            if entry.to_string_lossy().contains("users.before-") {
                std::fs::remove_file(entry).expect("removed");
            }
        }
    }
    assert!(told > 0 && untold > 0, "{told} {untold}");
}

#[test]
fn a_restore_is_told_of_and_takes_no_number_and_no_token_for_another() {
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    talk.server.token("leaked");
    talk.server.token("rotated");
    talk.server.token("wide");
    talk.server.token("both");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    talk.server.token("later");
    talk.create("ann");
    let revoked = talk.server.cli(&["token", "revoke", "leaked"]);
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    let listed = talk.server.cli(&["token", "list", "-o", "jsonl"]);
    let id_of = |name: &str| {
        let listed = lines(&listed.stdout);
        let token = listed.iter().find(|token| token["name"] == name);
        token.expect(name)["id"].as_str().expect("text").to_owned()
    };
    let (leaked, later) = (id_of("leaked"), id_of("later"));
    let (wide, both) = (id_of("wide"), id_of("both"));
    for name in ["wide", "both"] {
        let narrowed = ["token", "change", name, "--allow-from", "203.0.113.7"];
        assert_eq!(talk.server.cli(&narrowed).status, Some(0));
    }
    let rotated = talk.server.cli(&["token", "rotate", "both"]);
    assert_eq!(rotated.status, Some(0), "{rotated:?}");
    // After this rotation the old token ends soon, but the restored one does not.
    let old = id_of("rotated");
    let rotated = talk.server.cli(&["token", "rotate", "rotated"]);
    assert_eq!(rotated.status, Some(0), "{rotated:?}");
    let directory = talk.server.stop_and_keep();
    let before = rows(&directory);
    let last = before.last().expect("rows")["sequence"].as_u64();
    let bytes = std::fs::metadata(file).expect("there").len();

    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let data_dir = directory.path().join("data");
    let data_dir = data_dir.display();
    for told in [
        format!(
            "token leaked ({leaked}) is now valid for longer than before the restore: if it was "
        ),
        format!(
            "token rotated ({old}) is now valid for longer than before the restore: if it was "
        ),
        format!("golinks-scim --data-dir {data_dir} token revoke {old}\n"),
        format!("golinks-scim --data-dir {data_dir} token revoke {leaked}\n"),
        format!("token both ({both}) is now valid for longer than before the restore: if it was "),
        format!("token both ({both}) has the rights it had at the time of the backup: "),
        format!("token wide ({wide}) has the rights it had at the time of the backup: "),
        format!("token later ({later}) was valid, but no longer exists: issue a new one\n"),
    ] {
        assert!(restored.stderr.contains(&told), "{told} {restored:?}");
    }
    let about = restored
        .stderr
        .lines()
        .filter(|line| line.contains("token "));
    assert_eq!(about.count(), 8, "{restored:?}");
    let store = directory.path().join("data/users.redb");
    let now = std::fs::metadata(&store).expect("there").len();
    // The restore adds some pages, whatever the size of the store.
    let most = bytes + 64 * 1024;
    assert!(now <= most, "{now} bytes, where the backup has {bytes}");

    let after = rows(&directory);
    let (row, old) = after.split_last().expect("rows");
    assert_eq!(old, &before[..old.len()]);
    let through = old.last().expect("rows")["sequence"].as_u64();
    assert_eq!(row["kind"], "backup.restore");
    assert_eq!(row["sequence"].as_u64(), last.map(|last| last + 1));
    assert_eq!(row["path"], file);
    let digest = row["sha256"].as_str().expect("text");
    assert!(made.stdout.contains(digest), "{row}");
    assert_eq!(row["through"].as_u64(), through);
    assert_eq!(row["replaced"].as_u64(), last);
    let by = row["principal"].as_str().expect("text");
    assert!(by.starts_with("administrator:"), "{row}");
    let number = last.expect("rows").to_string();
    let undone = cli_in(&directory, &["user", "undo", &number]);
    assert!(undone.stderr.contains("there is no change"), "{undone:?}");
    // There is no state before a change whose number was skipped, either.
    let shown = cli_in(&directory, &["user", "show", "jane", "--before", &number]);
    assert_eq!(shown.status, Some(1), "{shown:?}");
    assert!(shown.stderr.contains("there is no change"), "{shown:?}");
    let table = cli_in(&directory, &["audit", "list"]).stdout;
    assert!(table.contains(&format!("  from {file}\n")), "{table}");

    // Numbers were skipped, but no row is missing: the trail is sound, and so is a backup of it.
    let verified = cli_in(&directory, &["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    let told = format!("sound: {} rows from row 1 on", after.len());
    assert!(verified.stdout.starts_with(&told), "{verified:?}");
    let again = folder.path().join("again.redb");
    let again = again.to_str().expect("text");
    for command in ["create", "verify", "restore"] {
        let done = cli_in(&directory, &["backup", command, again]);
        assert_eq!(done.status, Some(0), "{done:?}");
    }
    assert_eq!(cli_in(&directory, &["audit", "verify"]).status, Some(0));
}
