//! What `check` finds on the machine itself: the configuration, the data directory and its files,
//! the certificate in files, the clock, the disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use golinks_scim::clock::{Clock, SystemClock};
use golinks_scim::directory::{Directory, describe};
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::Store;
use serde_json::{Value, json};

use crate::support::place::{Place, chain_for, is_root};
use crate::support::{caller, wait_until};

#[test]
fn a_configuration_that_cannot_be_used() {
    let mut place = Place::sound();
    let path = place.folder.path().join("config.toml");
    fs::write(&path, "rate_limt = 100\n").expect("written");
    place.set("GOLINKS_SCIM_CONFIG", path.display().to_string());
    let fix = place.fails(
        "configuration",
        "config.toml:1: there is no setting rate_limt",
    );
    let meant = fix
        .strip_prefix("did you mean ")
        .expect("a suggestion")
        .trim_end_matches('?');
    fs::write(&path, format!("{meant} = 100\n")).expect("written");
    place.is_well();
}

#[test]
fn a_configuration_that_cannot_be_used_keeps_nobody_from_the_server() {
    let mut place = Place::sound();
    let path = place.folder.path().join("config.toml");
    fs::write(&path, "rate_limt = 100\n").expect("written");
    place.set("GOLINKS_SCIM_CONFIG", path.display().to_string());
    let findings = place.check();
    let of = |topic: &str| findings.iter().filter(|it| it.topic == topic).count();
    let backup = place.folder.path().join("copy.redb").display().to_string();
    assert!(of("Okta app") > 0 && of("store") == 1, "{findings:#?}");
    for line in [
        "token revoke okta",
        "user list",
        "guide okta",
        "audit verify",
        &format!("backup create {backup}"),
        &format!("backup verify {backup}"),
    ] {
        let output = place.shell(&format!("golinks-scim {line}")).output();
        let output = output.expect("bash");
        assert!(output.status.success(), "{line}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        let warned = "there is no setting rate_limt (did you mean rate_limit?); going on with";
        assert!(told.contains(warned), "{line}: {told}");
    }
    for (line, status) in [
        ("serve", 78),
        ("config show", 78),
        (&format!("backup restore {backup}"), 78),
        ("user list --limit x", 64),
    ] {
        let output = place.shell(&format!("golinks-scim {line}")).output();
        let output = output.expect("bash");
        assert_eq!(output.status.code(), Some(status), "{line}: {output:?}");
    }
    // A configuration file that was named must exist: nobody knows what it would have set.
    place.set("GOLINKS_SCIM_CONFIG", "/nowhere/config.toml".to_owned());
    let output = place.shell("golinks-scim token list").output();
    assert_eq!(output.expect("bash").status.code(), Some(78));
    place.fails("configuration", "/nowhere/config.toml: No such file");
}

#[test]
fn settings_that_are_odd() {
    let mut place = Place::sound();
    place.set("GOLINKS_SCIM_LISTN", "127.0.0.1:1".to_owned());
    let found = place.finds("warn", "configuration", "$GOLINKS_SCIM_LISTN is no setting");
    assert!(
        found.what.contains("did you mean $GOLINKS_SCIM_LISTEN"),
        "{found:?}"
    );
    assert!(place.run(&found.fix).contains("listen"));
}

#[test]
fn a_data_directory_that_is_a_file() {
    let mut place = Place::new();
    place.set_base_url("localhost");
    fs::write(place.data_dir(), "x").expect("written");
    let fix = place.fails("data directory", "is a file");
    assert!(fix.ends_with("move the file away"), "{fix}");
    fs::rename(place.data_dir(), place.folder.path().join("away")).expect("ours");
    place.serve();
    place.run("golinks-scim token issue okta");
    place.is_well();
}

/// Another user is told to run `check` as root, and root finds nothing wrong.
#[test]
fn a_data_directory_of_somebody_else() {
    if !is_root() {
        println!("skipped: only root can look as somebody else");
        return;
    }
    let place = Place::sound();
    let found_by = |user| {
        let mut command = place.shell("golinks-scim check -o json");
        let output = command.uid(user).gid(user).output().expect("bash");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = told.as_array().expect("findings").iter();
        let failed = found.filter(|it| it["outcome"] == "fail").cloned();
        failed.collect::<Vec<Value>>()
    };
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    for (mode, topic) in [(0o700, "data directory"), (0o755, "server")] {
        set(place.folder.path(), mode);
        let failed = &found_by(12_345)[0];
        assert_eq!(failed["check"], topic, "{failed}");
        let fix = format!(
            "run this as root, or as the user that runs the server, with --data-dir {}",
            place.data_dir().display()
        );
        assert_eq!(failed["fix"], fix, "{failed}");
    }
    assert_eq!(found_by(0), Vec::<Value>::new());
    let (data, tls) = (place.data_dir(), place.data_dir().join("tls"));
    for path in [&data, &tls] {
        set(path, 0o755);
    }
    let failed = found_by(12_345);
    let of_key = failed.iter().find(|it| it["check"] == "certificate");
    let fix = of_key.expect("it may not read the key")["fix"].to_string();
    assert!(fix.contains("; golinks-scim "), "{fix}");
}

/// The path of its socket would be longer than the path of a socket may be.
#[test]
fn a_data_directory_with_a_long_name() {
    let mut place = Place::new();
    let long = place.folder.path().join("d".repeat(120));
    fs::create_dir(&long).expect("made");
    fs::set_permissions(&long, fs::Permissions::from_mode(0o700)).expect("ours");
    place.set("GOLINKS_SCIM_DATA_DIR", long.display().to_string());
    let fix = place.fails("server", "longer than the");
    assert_eq!(fix, "choose a shorter --data-dir");
}

/// The command in advice on a directory that only the server uses.
fn if_alone(fix: &str) -> &str {
    let fix = fix.strip_prefix("if only this server uses the directory, ");
    let fix = fix.and_then(|fix| fix.split_once("; otherwise "));
    fix.expect("a condition").0
}

#[test]
fn files_that_others_can_read_or_that_are_anothers() {
    let mut place = Place::sound();
    let open = || fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.data_dir(), open()).expect("ours");
    let fix = place.fails("data directory", "users other than its owner");
    place.run(if_alone(&fix));
    place.is_well();
    for path in ["users.redb", "tls/ca.key"] {
        let path = place.data_dir().join(path);
        fs::set_permissions(&path, open()).expect("ours");
        let fix = place.fails("data directory", path.to_str().expect("text"));
        place.run(&fix);
        place.is_well();
    }
    for (path, mode) in [("", 0o500), ("users.redb", 0o400), ("tls/ca.pem", 0o200)] {
        let path = place.data_dir().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        let fix = place.fails("data directory", "cannot be used by its owner");
        place.run(&fix);
        place.is_well();
    }
    if is_root() {
        for name in ["leaf.pem", "ca.pem", "ca.key"] {
            let path = place.data_dir().join("tls").join(name);
            chown(&path, Some(12345), None).expect("root may");
            let fix = place.fails("data directory", "has another owner");
            place.run(&fix);
            place.is_well();
        }
        // A link to another user's file is that user's concern.
        let (leaf, kept) = (
            place.data_dir().join("tls/leaf.pem"),
            place.folder.path().join("kept"),
        );
        fs::rename(&leaf, &kept).expect("ours");
        symlink(&kept, &leaf).expect("linked");
        lchown(&leaf, Some(12345), None).expect("root may");
        place.is_well();
        chown(&kept, Some(12345), None).expect("root may");
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o644)).expect("ours");
        place.is_well();
        fs::rename(&kept, &leaf).expect("ours");
        fs::set_permissions(&leaf, fs::Permissions::from_mode(0o600)).expect("ours");
        chown(&leaf, Some(0), None).expect("root may");
        // The owner of the link to the store does not matter, but the owner of the store does.
        let (store, kept) = (place.data_dir().join("users.redb"), kept);
        fs::rename(&store, &kept).expect("ours");
        symlink(&kept, &store).expect("linked");
        lchown(&store, Some(12345), None).expect("root may");
        place.is_well();
        chown(&kept, Some(12345), None).expect("root may");
        let fix = place.fails("data directory", "users.redb has another owner");
        place.run(&fix);
        place.is_well();
        fs::rename(&kept, &store).expect("ours");
        // As in a folder that was restored from a copy: the files in it have kept their owner.
        place.stop();
        let inside = "users.redb tls tls/leaf.pem tls/leaf.key tls/ca.pem tls/ca.key";
        let inside: Vec<_> = inside
            .split(' ')
            .map(|name| place.data_dir().join(name))
            .collect();
        for path in &inside {
            chown(path, Some(12345), Some(12345)).expect("root may");
        }
        let fix = place.fails(
            "data directory",
            "belongs to user 0 (mode 700) and is closed to the server's user, 12345",
        );
        place.run(if_alone(&fix));
        place.serve();
        place.is_well();
        place.stop();
        chown(place.data_dir(), Some(0), Some(0)).expect("root may");
        for path in &inside[1..] {
            chown(path, Some(0), Some(0)).expect("root may");
        }
        // If only one file belongs to somebody else, it is given to root, and root's keys are given
        // to nobody.
        let fix = place.fails("data directory", "users.redb has another owner");
        assert!(fix.starts_with("chown 0:0 "), "{fix}");
        place.run(&fix);
        place.serve();
        place.is_well();
    }
}

/// `check`, `config check` and `serve` refuse the same files, except that `serve` accepts a
/// certificate that has ended.
#[test]
fn a_certificate_with_which_no_server_starts() {
    let mut place = Place::sound();
    place.stop();
    let (chain, key) = (
        place.folder.path().join("chain.pem"),
        place.folder.path().join("key.pem"),
    );
    place.set("GOLINKS_SCIM_TLS_CERT", chain.display().to_string());
    place.set("GOLINKS_SCIM_TLS_KEY", key.display().to_string());
    let (chain_text, key_text) = chain_for("localhost", None);
    let (_, other_key) = chain_for("localhost", None);
    let ended = chain_for("localhost", Some(Duration::from_secs(0)));
    let good = || {
        fs::write(&chain, &chain_text).expect("written");
        fs::write(&key, &key_text).expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    };
    let refused_by = |place: &Place, commands: &[&str], words: &str| {
        let fix = place.fails("certificate", words);
        for command in commands {
            let line = format!("golinks-scim {command}");
            let output = place.shell(&line).output().expect("bash");
            assert_eq!(output.status.code(), Some(78), "{line}: {output:?}");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains(words), "{line}: {told}");
        }
        fix
    };
    let refused = |words: &str| refused_by(&place, &["config check", "serve"], words);
    good();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    let close = refused("can be read by others");
    assert!(close.starts_with("chmod 600 "), "{close}");
    let told = place.shell("golinks-scim config check").output();
    let told = String::from_utf8_lossy(&told.expect("bash").stderr).into_owned();
    assert_eq!(told.matches("chmod 600 ").count(), 1, "{told}");
    place.run(&close);
    place.run("golinks-scim config check");
    fs::write(&key, other_key).expect("written");
    assert!(refused("the key does not match").contains("tls_key its key"));
    fs::remove_file(&key).expect("there");
    refused("No such file");
    good();
    fs::write(&chain, &ended.0).expect("written");
    fs::write(&key, &ended.1).expect("written");
    refused_by(&place, &["config check"], "the certificate ended");
    // Before a server runs, both commands report what only some clients refuse.
    let elsewhere = chain_for("other.example", None);
    fs::write(&chain, &elsewhere.0).expect("written");
    fs::write(&key, &elsewhere.1).expect("written");
    let words = "it is for other.example, not for localhost";
    let told = place.shell("golinks-scim config check").output();
    let told = String::from_utf8_lossy(&told.expect("bash").stderr).into_owned();
    assert!(told.contains(words), "{told}");
    let warned = place.finds("warn", "certificate", words);
    assert!(
        warned.fix.starts_with("put the full chain"),
        "{}",
        warned.fix
    );
    fs::write(&chain, &ended.0).expect("written");
    fs::write(&key, &ended.1).expect("written");
    // The server still starts with this certificate, since it has no other.
    place.serve();
    let fix = place.fails("readiness", "the certificate is valid from");
    assert!(fix.starts_with("put a new chain and key into "), "{fix}");
    let told = fs::read_to_string(place.folder.path().join("log")).expect("there");
    assert!(told.contains("it is served anyway"), "{told}");
    let now = told.split_once("if the time really is ");
    let now = now.and_then(|(_, rest)| rest.split_once(": put a new chain and key"));
    assert!(now.is_some_and(|(now, _)| !now.contains('.')), "{told}");
    place.stop();
    good();
    if is_root() {
        // Root may read the key, but the user that owns the data directory may not.
        chown(place.data_dir(), Some(12345), None).expect("root may");
        let words = format!(
            "the user that runs the server (12345) may not read it: {} belongs to 0:0 and has mode \
             600",
            key.display()
        );
        let fix = place.fails("certificate", &words);
        assert!(fix.starts_with("let user 12345 read the file"), "{fix}");
        chown(place.data_dir(), Some(0), None).expect("root may");
    }
    place.run("golinks-scim config check");
    place.serve();
    place.is_well();
}

/// A clock that is two days ahead of the machine's clock.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> golinks_scim::clock::Instant {
        SystemClock.now().plus_days(2)
    }
}

#[test]
fn a_clock_that_is_behind_what_was_written() {
    let mut place = Place::sound();
    place.stop();
    let store = Store::open(
        &place.data_dir().join("users.redb"),
        Duration::ZERO,
        describe,
    );
    let store = Arc::new(store.expect("it is free"));
    let directory = Directory::new(Arc::clone(&store), Arc::new(Ahead));
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "jane@example.com",
    });
    let user = User::parse(user, &mut Leniency::compatible()).expect("a user");
    directory.create(user, &caller()).expect("created");
    store.close();
    place.serve();
    // A stand-in for timedatectl, because a test must not set the machine's clock.
    let folder = place.folder.path().join("bin");
    fs::create_dir(&folder).expect("made");
    let stand_in = folder.join("timedatectl");
    let is_set = place.folder.path().join("is_set").display().to_string();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n\"set-ntp true\") touch {is_set} ;;\n\
         \"show --property=NTPSynchronized --value\") test -e {is_set} && echo yes ;;\nesac\n"
    );
    fs::write(&stand_in, text).expect("written");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").unwrap_or_default();
    place.set("PATH", format!("{}:{path}", folder.display()));

    let fix = place.fails("clock", "but a change was made at");
    place.run(&fix);
    place.finds("warn", "clock", "when the clock was ahead");
    place.is_well();
}

#[test]
fn a_disk_that_is_full() {
    if !is_root() {
        println!("skipped: only root can mount a file system");
        return;
    }
    let mut place = Place::new();
    let disk = place.folder.path().join("the disk");
    fs::create_dir(&disk).expect("made");
    place.run(&format!(
        "mount -t tmpfs -o size=100m,mode=700 tmpfs '{}'",
        disk.display()
    ));
    let _mounted = Mounted(disk.clone());
    place.set_base_url("localhost");
    place.set(
        "GOLINKS_SCIM_DATA_DIR",
        disk.join("data").display().to_string(),
    );
    symlink(disk.join("data"), place.data_dir()).expect("linked");
    place.serve();
    place.run("golinks-scim token issue okta");
    place.finds("warn", "disk", "everything is lost");
    place.is_well();

    let ballast = disk.join("ballast");
    let is_told = |place: &Place| place.log().contains("MiB left, less than 64; fix: ");
    assert!(!is_told(&place));
    fs::write(&ballast, vec![1; 60 << 20]).expect("there is room");
    wait_until("the log is told of it", || is_told(&place));
    assert!(
        place
            .fails("readiness", "MiB left")
            .starts_with("free some space")
    );
    let fix = place.fails("disk", "MiB are free");
    let largest = place.run(
        fix.strip_prefix("free some space; to see what takes it up: ")
            .expect("how to see what is large"),
    );
    assert!(largest.contains(disk.to_str().expect("text")), "{largest}");
    // A server that starts on a full disk logs it too.
    place.serve();
    wait_until("the log is told at the start", || is_told(&place));
    fs::remove_file(&ballast).expect("there");
    place.is_well();
    place.stop();
}

/// A file system that is unmounted at the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
