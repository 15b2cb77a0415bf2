//! The store's file is removed, moved or replaced under a running server: the server acknowledges
//! nothing that would be lost, and everything acknowledged before can be saved.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::full::asked;
use crate::support::place::Place;
use crate::support::{Output, Server, Talk, body, cli_in, wait_until};

/// Asserts that a change is refused, and that reads go on.
fn is_refused(talk: &mut Talk, users: u64) {
    let answer = talk.send("POST", "/Users", Some(&body("refused")));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 429, "{text}");
    let told = text.contains("was removed or replaced and nothing was changed");
    assert!(told, "{text}");
    assert_eq!(answer.header("Retry-After"), Some("30"), "{text}");
    let listed = talk.json("GET", "/Users", None, 200);
    assert_eq!(listed["totalResults"], users, "{listed}");
}

fn store_of(server: &Server) -> PathBuf {
    server.data_dir().join("users.redb")
}

/// Asserts that a command succeeds.
fn done(output: &Output) {
    assert_eq!(output.status, Some(0), "{output:?}");
}

/// How often the log contains these words.
fn count(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

/// The file is removed, another one appears, and a backup saves the content.
#[test]
fn what_is_acknowledged_is_in_a_file_that_can_be_found() {
    let mut talk = Talk::start(&[]);
    talk.create("kept");
    let strict = talk.server.token_with("strict", &["--mode", "strict"]);
    let metrics = talk.server.token_with("metrics", &["--scope", "metrics"]);
    let monitoring = format!("Bearer {}", metrics.reveal());
    let backup = talk.server.data_dir().with_file_name("first.redb");
    let first = backup.to_str().expect("text");
    done(&talk.server.cli(&["backup", "create", first]));
    talk.create("newer");
    let store = store_of(&talk.server);

    fs::remove_file(&store).expect("there");
    // The refusal comes at once, whether or not the server had noticed the loss.
    is_refused(&mut talk, 2);
    let ready = asked(&talk.server, &monitoring, "/readyz");
    let told = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(ready.status, 503, "{told}");
    assert!(told.contains("the store's file was removed"), "{told}");
    let check = talk.server.cli(&["check"]);
    let fails = "fail     readiness       the store's file was removed or replaced";
    assert!(check.stdout.contains(fails), "{check:?}");
    assert!(check.stdout.contains(" backup create FILE"), "{check:?}");
    assert!(!check.stdout.contains("sound"), "{check:?}");
    assert!(check.stdout.contains("not run  store "), "{check:?}");
    // Another file in its place is not the open store.
    fs::copy(&backup, &store).expect("copied");
    is_refused(&mut talk, 2);
    let all = talk.authorization.clone();
    talk.use_token(&strict);
    let status = talk.send("POST", "/Users", Some(&body("refused"))).status;
    assert_eq!(status, 503);
    talk.authorization = all;

    let rescue = backup.with_file_name("rescue.redb");
    let rescue = rescue.to_str().expect("text");
    done(&talk.server.cli(&["backup", "create", rescue]));
    let log = talk.server.log();
    assert_eq!(count(&log, "users.redb is gone"), 1, "{log}");
    let program = format!(
        "golinks-scim --data-dir {}",
        talk.server.data_dir().display()
    );
    let words = format!("{program} backup create FILE, then stop it, and {program} backup restore");
    assert!(log.contains(&words), "{log}");
    let folder = talk.server.stop_and_keep();
    done(&cli_in(&folder, &["backup", "restore", rescue]));
    let listed = cli_in(&folder, &["user", "list", "-o", "jsonl"]);
    assert_eq!(listed.stdout.lines().count(), 2, "{listed:?}");
}

/// `check` does not say what was true two seconds ago. Monitoring hears of it when the server next
/// looks, since its requests must not wait for a disk.
#[test]
fn check_tells_at_once_that_the_file_is_away() {
    let talk = Talk::start(&[]);
    let store = store_of(&talk.server);
    let away = store.with_file_name("away.redb");
    for _ in 0..3 {
        for (from, to, is_lost) in [(&store, &away, true), (&away, &store, false)] {
            fs::rename(from, to).expect("moved");
            let check = talk.server.cli(&["check"]);
            let is_told = check.stdout.contains("not run  store ");
            assert_eq!(is_told, is_lost, "{check:?}");
        }
    }
}

/// The server notices the loss without any write, and recovers without help when the same file
/// comes back. Links to the data directory and to the store are followed.
#[test]
fn a_file_that_comes_back_is_written_again() {
    let folder = TempDir::new().expect("a folder");
    let elsewhere = folder.path().join("elsewhere");
    DirBuilder::new()
        .mode(0o700)
        .create(&elsewhere)
        .expect("made");
    symlink("elsewhere", folder.path().join("data")).expect("made");
    let folder = Server::start_on(folder).stop_and_keep();
    let real = folder.path().join("real.redb");
    fs::rename(elsewhere.join("users.redb"), &real).expect("moved");
    symlink("../real.redb", elsewhere.join("users.redb")).expect("made");

    let mut talk = Talk::with(Server::start_on(folder));
    talk.create("before");
    let away = real.with_file_name("away.redb");
    fs::rename(&real, &away).expect("moved");
    talk.server.log_with("users.redb is gone");
    is_refused(&mut talk, 1);
    fs::rename(&away, &real).expect("moved");
    talk.create("after");
    let log = talk.server.log();
    assert_eq!(count(&log, "users.redb is gone"), 1, "{log}");
    assert_eq!(count(&log, "users.redb is back"), 1, "{log}");
    let folder = talk.server.stop_and_keep();
    let listed = cli_in(&folder, &["user", "list", "-o", "jsonl"]);
    assert_eq!(listed.stdout.lines().count(), 2, "{listed:?}");
}

/// A copy over the file leaves it where it is. The server still has a small store in memory.
#[test]
fn a_file_that_is_overwritten_is_not_written_to() {
    let other = Server::start().stop_and_keep();
    let mut talk = Talk::start(&[]);
    talk.create("kept");
    let other = other.path().join("data/users.redb");
    fs::copy(&other, store_of(&talk.server)).expect("copied");
    talk.server.log_with("users.redb was overwritten");
    is_refused(&mut talk, 1);
    let rescue = talk.server.data_dir().with_file_name("rescue.redb");
    let rescue = rescue.to_str().expect("text");
    done(&talk.server.cli(&["backup", "create", rescue]));
    let store = store_of(&talk.server);
    let folder = talk.server.stop_and_keep();
    let is_left = fs::read(store).expect("there") == fs::read(other).expect("there");
    assert!(is_left, "it was written to");
    done(&cli_in(&folder, &["backup", "restore", rescue]));
    let listed = cli_in(&folder, &["user", "list", "-o", "jsonl"]);
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:?}");
}

/// `check` does not advise starting another server, and its advice saves everything from this one.
#[test]
fn the_directory_of_a_running_server_is_removed() {
    let mut place = Place::sound();
    place.run("golinks-scim user add jane@example.com --given Jane");
    let data_dir = place.data_dir();
    fs::remove_dir_all(&data_dir).expect("ours");
    let fix = place.fails("data directory", "No such file");
    assert!(fix.contains("in use: if by this server"), "{fix}");
    assert!(fix.contains("golinks-scim manual disk-full"), "{fix}");
    DirBuilder::new()
        .mode(0o700)
        .create(&data_dir)
        .expect("made");
    wait_until("it has a socket again", || {
        data_dir.join("admin.sock").exists()
    });
    let saved = place.folder.path().join("saved.redb");
    let saved = saved.display();
    place.run(&format!("golinks-scim backup create {saved}"));
    place.stop();
    place.run(&format!("golinks-scim backup restore {saved}"));
    let listed = place.run("golinks-scim user list -o jsonl");
    assert!(listed.contains("jane@example.com"), "{listed}");
    fs::remove_dir_all(&data_dir).expect("ours");
    let fix = place.fails("data directory", "No such file");
    assert!(!fix.contains("in use") && fix.ends_with(" serve"), "{fix}");
}

#[test]
fn a_start_that_makes_a_new_store_says_so() {
    const WORDS: &str = "was in use, but had no store";
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    // A key may be made before the first start.
    done(&cli_in(
        &folder,
        &["cert", "request", "--name", "localhost"],
    ));
    let mut server = Server::start_on(folder);
    assert!(!server.log().contains(WORDS), "{}", server.log());
    server.restart();
    assert!(!server.log().contains(WORDS), "{}", server.log());

    let folder = server.stop_and_keep();
    fs::remove_file(data_dir.join("users.redb")).expect("there");
    let mut server = Server::start_on(folder);
    let log = server.log();
    let shown = data_dir.display();
    assert!(log.contains(&format!("{shown} {WORDS}")), "{log}");
    let restore = format!("golinks-scim --data-dir {shown} backup restore FILE");
    assert!(log.contains(&restore), "{log}");
    assert_eq!(count(&log, "WARN"), 1, "{log}");
    server.restart();
    assert!(!server.log().contains(WORDS), "{}", server.log());

    // Without certificates, the socket of a killed server shows that there was a store.
    fs::remove_dir_all(data_dir.join("tls")).expect("there");
    fs::remove_file(data_dir.join("users.redb")).expect("there");
    server.kill_and_restart();
    server.log_with(WORDS);
}
