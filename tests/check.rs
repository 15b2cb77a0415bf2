//! `check`: each failure that it knows is provoked, and the line that it prints fixes it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use golinks_scim::clock::{Clock, SystemClock};
use golinks_scim::directory::{Caller, Directory, describe};
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::Store;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::place::{Finding, Place, chain_for, is_root};
use crate::support::{Server, wait_until};

#[test]
fn a_sound_server_passes_with_every_request() {
    let place = Place::sound();
    let findings = place.check();
    for (topic, words) in [
        ("server", "runs version"),
        ("store", "sound: 0 users, 1 token"),
        ("tokens", "okta is valid; it was never used"),
        ("Okta app", "test credentials"),
        ("Okta agent", "read the configurations"),
        ("Entra", "test the connection"),
        ("Okta suite SPEC", "list groups"),
    ] {
        let passes = |finding: &Finding| {
            finding.outcome == "pass" && finding.topic == topic && finding.what.contains(words)
        };
        assert!(
            findings.iter().any(passes),
            "{topic} {words}: {findings:#?}"
        );
    }
    place.is_well();
    // Nobody was made, and no token stays.
    assert_eq!(place.run("golinks-scim user list -o jsonl"), "");
    assert_eq!(
        place
            .run("golinks-scim token list -o jsonl")
            .lines()
            .count(),
        1
    );
}

#[test]
fn a_user_is_created_changed_and_deleted_on_request_and_leftovers_go() {
    let place = Place::sound();
    place.run("golinks-scim user add left.golinks-scim-check@invalid --given L --family O");
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let told = place.run("golinks-scim check --write");
    for line in [
        "left.golinks-scim-check@invalid of an earlier run is deleted",
        "pass     life of a user  create",
        "pass     life of a user  deactivate",
        "pass     life of a user  reactivate",
        "pass     life of a user  see it gone",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let left = place.run("golinks-scim user list -o jsonl");
    assert_eq!(left.lines().count(), 1, "{left}");
    assert!(left.contains("jane@example.com"), "{left}");
}

#[test]
fn leftovers_are_told_of() {
    let place = Place::sound();
    place.run("golinks-scim user add left.golinks-scim-check@invalid --given L --family O");
    let fix = place
        .finds("warn", "users made", "left.golinks-scim-check@invalid")
        .fix;
    place.run(&fix);
    let findings = place.check();
    let is_told = |it: &Finding| it.topic == "users made";
    assert!(!findings.iter().any(is_told), "{findings:#?}");
}

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
fn no_data_directory_no_server_no_token() {
    let mut place = Place::new();
    place.set_base_url("localhost");
    let fix = place.fails("data directory", "No such file");
    place.start(&fix);
    let fix = place.fails("tokens", "ever issued");
    place.run(&fix);
    place.is_well();

    place.stop();
    let fix = place.fails("server", "no server is running");
    place.start(&fix);
    place.is_well();

    place.run("golinks-scim token revoke okta");
    let fix = place.fails("tokens", "valid any more");
    place.run(&fix);
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
    assert!(of("Okta app") > 0 && of("store") == 1, "{findings:#?}");
    for line in [
        "token revoke okta",
        "user list",
        "guide okta",
        "audit verify",
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
        ("user list --limit x", 64),
    ] {
        let output = place.shell(&format!("golinks-scim {line}")).output();
        let output = output.expect("bash");
        assert_eq!(output.status.code(), Some(status), "{line}: {output:?}");
    }
    // A file that is named must be there: what it would say is not known.
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

/// Root looks at what it forbids to others.
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
        let failed = told.as_array().expect("findings").iter();
        let mut failed = failed.filter(|it| it["outcome"] == "fail");
        failed.next().cloned()
    };
    let may_pass = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.folder.path(), mode).expect("ours");
    };
    for (mode, topic) in [(0o700, "data directory"), (0o755, "server")] {
        may_pass(mode);
        let failed = found_by(12_345).expect("it may not look");
        assert_eq!(failed["check"], topic, "{failed}");
        let fix = "run this as root, or as the user that runs the server";
        assert_eq!(failed["fix"], fix, "{failed}");
    }
    assert_eq!(found_by(0), None);
}

#[test]
fn a_server_that_hangs() {
    let mut place = Place::sound();
    let mut hung = place.running.take().expect("it runs");
    kill_process(Pid::from_child(&hung), Signal::STOP).expect("ours");
    let fix = place.fails("server", "the server did not answer");
    let (kill, serve) = fix.split_once(" && ").expect("two steps");
    place.run(kill);
    hung.wait().expect("it is ours");
    place.start(serve);
    place.is_well();
}

/// A socket that is too long a path for any.
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

#[test]
fn somebody_else_at_the_socket() {
    use std::io::{Read, Write};
    let place = Place::sound();
    // It would look after its socket.
    let pid = Pid::from_child(place.running.as_ref().expect("it runs"));
    kill_process(pid, Signal::STOP).expect("ours");
    let stand_in = |answer: &'static str| {
        let path = place.data_dir().join("admin.sock");
        fs::remove_file(&path).expect("there");
        let listener = std::os::unix::net::UnixListener::bind(path).expect("bound");
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("it comes");
            while socket.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                socket.write_all(answer.as_bytes()).ok();
            }
        })
    };
    for (answer, words) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "is not golinks-scim",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
            "without a reason",
        ),
        ("SSH-2.0-OpenSSH\r\n", "the server did not answer"),
    ] {
        let standing_in = stand_in(answer);
        let fix = place.fails("server", words);
        assert!(
            fix.starts_with("golinks-scim check; if it says this again"),
            "{fix}"
        );
        assert!(!fix.contains("kill"), "{fix}");
        standing_in.join().expect("it has ended");
    }
}

/// A server that hangs in the middle is what is told, and nothing of what follows from that.
#[test]
fn a_server_that_stops_while_it_is_checked() {
    let mut place = Place::sound();
    let mut hung = place.running.take().expect("it runs");
    let mut checking = place.shell("golinks-scim check -o jsonl");
    let mut checking = checking
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("bash");
    let stdout = checking.stdout.take().expect("piped");
    let mut findings: Vec<Value> = Vec::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)) {
        let finding: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        if finding["check"] == "Okta app" && findings.iter().all(|it| it["check"] != "Okta app") {
            kill_process(Pid::from_child(&hung), Signal::STOP).expect("ours");
        }
        findings.push(finding);
    }
    assert_eq!(checking.wait().expect("ours").code(), Some(1));
    let failed = findings.iter().filter(|it| it["outcome"] == "fail");
    let failed: Vec<&Value> = failed.collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let last = failed.last().expect("a finding");
    assert_eq!(last["check"], "server", "{failed:#?}");
    let kill = format!("kill -KILL {} && ", hung.id());
    let fix = last["fix"].as_str().expect("text");
    assert!(fix.starts_with(&kill), "{fix}");
    kill_process(Pid::from_child(&hung), Signal::KILL).expect("ours");
    hung.wait().expect("ours");
}

/// Root starts the server as whoever owns what it keeps.
#[test]
fn a_server_of_somebody_else_is_started_by_root() {
    if !is_root() {
        println!("skipped: only root can start it as somebody else");
        return;
    }
    let mut place = Place::sound();
    place.stop();
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    place.run(&format!(
        "chown -R 12345:12345 {}",
        place.data_dir().display()
    ));
    let fix = place.fails("server", "no server is running");
    assert!(fix.starts_with("setpriv --reuid 12345 "), "{fix}");
    place.start(&fix);
    place.is_well();
}

/// While another is good, `check` would have nothing else to say.
#[test]
fn a_token_that_has_ended() {
    let place = Place::sound();
    place.run("golinks-scim token issue entra --scope full");
    // What was meant to live no longer than this is not told of; this was cut short, and what was
    // to follow it is taken back before.
    place.run("golinks-scim token rotate entra --overlap 5s");
    let list = place.run("golinks-scim token list -o json");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let tokens = list.as_array().expect("a list").iter();
    let entra = tokens.filter(|token| token["name"] == "entra");
    let new = entra.max_by_key(|token| token["expires"].to_string());
    let id = new.expect("two of them")["id"].as_str().expect("text");
    place.run(&format!("golinks-scim token revoke {id}"));
    let words = "the token entra expired at ";
    wait_until("the log is told of it", || place.log().contains(words));
    let found = place.finds("warn", "tokens", words);
    let (issue, revoke) = found
        .fix
        .split_once("; if nobody needs it: ")
        .expect("two ways");
    assert_eq!(issue, "golinks-scim token issue entra --scope full");
    place.run(revoke);
    let findings = place.check();
    let is_told = |finding: &Finding| finding.what.contains(words);
    assert!(!findings.iter().any(is_told), "{findings:#?}");
}

/// Lines of the server's own are for the data directory that was typed.
#[test]
fn very_many_deactivations() {
    let server = Server::start_with(&["--rate-limit", "off"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("people.csv");
    let rows: Vec<String> = (0..60)
        .map(|n| format!("p{n}@example.com,true\n"))
        .collect();
    let rows = rows.concat();
    fs::write(&path, format!("userName,active\n{rows}")).expect("written");
    let path = path.to_str().expect("text");
    let import = || server.cli(&["user", "import", path]);
    assert_eq!(import().status, Some(0));
    fs::write(
        path,
        format!("userName,active\n{}", rows.replace("true", "false")),
    )
    .expect("ours");
    assert_eq!(import().status, Some(0));
    let told = server.cli(&["check", "-o", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&told.stdout).expect("JSON");
    let mut raised = findings.iter().filter(|it| it["check"] == "deactivations");
    let fix = raised.next().expect("the alarm")["fix"].clone();
    let program = format!(
        "golinks-scim --data-dir {} user",
        server.data_dir().display()
    );
    let fix = fix.as_str().expect("text");
    assert_eq!(fix.matches(&program).count(), 2, "{fix}");
    let since = fix.split(" user undo --since ").nth(1);
    let since = since.and_then(|it| it.strip_suffix(" --dry-run"));
    let words = ["user", "undo", "--since", since.expect("a moment")];
    let undone = server.cli(&words);
    assert_eq!(undone.status, Some(0), "{undone:?}");
}

#[test]
fn files_that_others_can_read_or_that_are_anothers() {
    let mut place = Place::sound();
    let key = place.data_dir().join("tls/ca.key");
    for path in [place.data_dir(), place.data_dir().join("users.redb"), key] {
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, open).expect("ours");
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
        // As a restored folder may be: what is in it has kept its owner.
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
            "belongs to root, but the store in it does not",
        );
        assert!(fix.starts_with("chown 12345:12345 "), "{fix}");
        for path in &inside[1..] {
            chown(path, Some(0), Some(0)).expect("root may");
        }
        // One file that somebody else has is given back, and no key of root's is given to anybody.
        let fix = place.fails("data directory", "users.redb has another owner");
        assert!(fix.starts_with("chown 0:0 "), "{fix}");
        place.run(&fix);
        place.serve();
        place.is_well();
    }
}

#[test]
fn a_server_that_lost_its_socket() {
    let place = Place::sound();
    let pid = Pid::from_child(place.running.as_ref().expect("it runs"));
    kill_process(pid, Signal::STOP).expect("ours");
    let socket = place.data_dir().join("admin.sock");
    fs::remove_file(&socket).expect("there");
    let fix = place.fails("server", "in use");
    let wanted = "golinks-scim check; if it says this again: stop the server, and start it again";
    assert_eq!(fix, wanted);
    kill_process(pid, Signal::CONT).expect("ours");
    wait_until("it has another one", || socket.exists());
    place.is_well();
}

/// `check`, `config check` and `serve` refuse the same files, before a start and beside a server;
/// a start alone takes those that are out of date.
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
    place.run(&refused("can be read by others"));
    place.run("golinks-scim config check");
    fs::write(&key, other_key).expect("written");
    assert!(refused("the key does not match").contains("tls_key its key"));
    fs::remove_file(&key).expect("there");
    refused("No such file");
    good();
    fs::write(&chain, &ended.0).expect("written");
    fs::write(&key, &ended.1).expect("written");
    refused_by(&place, &["config check"], "has ended");
    // Whoever has no other is not kept down by it.
    place.serve();
    let fix = place.fails("readiness", "the certificate is valid from");
    assert!(fix.starts_with("put a new chain and key into "), "{fix}");
    let told = fs::read_to_string(place.folder.path().join("log")).expect("there");
    assert!(told.contains("it is served anyway"), "{told}");
    place.stop();
    good();
    if is_root() {
        // Root may read it, the user that owns the data directory may not.
        chown(place.data_dir(), Some(12345), None).expect("root may");
        let fix = place.fails("certificate", "may not read it");
        assert!(fix.contains("install -o 12345 "), "{fix}");
        chown(place.data_dir(), Some(0), None).expect("root may");
    }
    place.run("golinks-scim config check");
    place.serve();
    place.is_well();
}

#[test]
fn too_few_descriptors() {
    let mut place = Place::sound();
    place.start("ulimit -Sn 300 && ulimit -Hn 300 && golinks-scim serve");
    let fix = place.fails("descriptors", "300 may be open");
    place.start(&fix);
    place.is_well();
}

/// A server with a user, stopped, and a backup of it.
fn backed_up() -> (Place, std::path::PathBuf) {
    let mut place = Place::sound();
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let backup = place.folder.path().join("backup.redb");
    place.run(&format!("golinks-scim backup create {}", backup.display()));
    place.stop();
    (place, backup)
}

#[test]
fn a_store_that_is_damaged() {
    let (mut place, backup) = backed_up();
    let store = place.data_dir().join("users.redb");
    let mut bytes = fs::read(&store).expect("there");
    let name = b"jane@example.com";
    let hits: Vec<usize> = bytes
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| window == name)
        .map(|(at, _)| at)
        .collect();
    assert!(!hits.is_empty());
    for at in hits {
        bytes[at] ^= 1;
    }
    fs::write(&store, bytes).expect("ours");
    let fix = place.fails("store", "");
    place.run(&fix.replace("FILE", &backup.display().to_string()));
    place.serve();
    place.is_well();
}

/// One that no start reads: a server runs on it.
#[test]
fn a_store_that_is_damaged_under_a_server() {
    let (mut place, backup) = backed_up();
    let store = place.data_dir().join("users.redb");
    let mut bytes = fs::read(&store).expect("there");
    // Its last row is looked at by each start, the others are not.
    let trail = place.run("golinks-scim audit list -o jsonl");
    let row: Value = trail
        .lines()
        .next()
        .map(serde_json::from_str)
        .expect("the oldest")
        .expect("JSON");
    let words = format!(
        "{{\"time\":{},\"requestId\":{}",
        row["time"], row["requestId"]
    );
    let bytes_of_it = memchr::memmem::find(&bytes, words.as_bytes()).expect("its text");
    bytes[bytes_of_it + words.len() - 2] ^= 1;
    fs::write(&store, bytes).expect("ours");
    place.serve();
    let fix = place.fails("store", "");
    let (stop, restore) = fix.split_once("; then ").expect("two steps");
    assert_eq!(stop, "stop the server");
    place.stop();
    place.run(&restore.replace("FILE", &backup.display().to_string()));
    place.serve();
    place.is_well();
}

/// Two days ahead of the machine.
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
    let caller = Caller {
        principal: "test".to_owned(),
        request_id: "test".to_owned(),
        address: None,
    };
    directory.create(user, &caller).expect("created");
    store.close();
    place.serve();
    // A stand-in for timedatectl, which a test must not let set the machine's clock.
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
    std::os::unix::fs::symlink(disk.join("data"), place.data_dir()).expect("linked");
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
    // A start that finds it so says it too.
    place.serve();
    wait_until("the log is told at the start", || is_told(&place));
    fs::remove_file(&ballast).expect("there");
    place.is_well();
    place.stop();
}

/// Unmounted in the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn what_is_found_can_be_read_by_programs_and_by_people() {
    let server = Server::start();
    let table = server.cli(&["check"]);
    assert_eq!(table.status, Some(1), "{table:?}");
    assert!(
        table.stdout.contains("fail     tokens          no token"),
        "{}",
        table.stdout
    );
    let data_dir = server.data_dir();
    let fix = format!(
        "         fix: golinks-scim --data-dir {} token issue okta",
        data_dir.display()
    );
    assert!(table.stdout.contains(&fix), "{}", table.stdout);
    assert!(
        table.stderr.contains("begin with the first failure"),
        "{}",
        table.stderr
    );
    let lines = server.cli(&["check", "-o", "jsonl"]);
    for line in lines.stdout.lines() {
        let finding: Value = serde_json::from_str(line).expect("JSON");
        assert!(
            finding["check"].is_string() && finding["what"].is_string(),
            "{line}"
        );
        assert_eq!(
            finding["outcome"] == "fail" || finding["outcome"] == "warn",
            finding["fix"].is_string(),
            "{line}"
        );
    }
}

/// Where `check` finds that something is wrong: the words, and the test that provokes it. A test
/// of the module itself stands where the real thing cannot be had: another version of this
/// program, file systems of other machines, a token after a week, public names.
const FOUND: &[(&str, &[(&str, &str)])] = &[
    (
        "machine",
        &[
            ("&problem.what", "a_configuration_that_cannot_be_used"),
            ("warning", "settings_that_are_odd"),
            ("tls::examine", "a_certificate_with_which_no_server_starts"),
            ("is a file", "a_data_directory_that_is_a_file"),
            ("{shown}: {error}", "a_data_directory_of_somebody_else"),
            (
                "can look into",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "{shown} cannot be used by its owner",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "{path} cannot be used by its owner",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "can be read by",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "belongs to root, but",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "has another owner",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "when the clock was ahead",
                "a_clock_that_is_behind_what_was_written",
            ),
            (
                "before this program existed",
                "a_clock_behind_what_was_written_is_wrong",
            ),
            (
                "but a change was made at",
                "a_clock_that_is_behind_what_was_written",
            ),
            (
                "cannot be relied on",
                "file_systems_that_are_no_disks_are_warned_of",
            ),
            ("everything is lost", "a_disk_that_is_full"),
            ("free < limits::DISK_FREE_BYTES_MIN", "a_disk_that_is_full"),
            (
                "free < store",
                "file_systems_that_are_no_disks_are_warned_of",
            ),
        ],
    ),
    (
        "server",
        &[
            ("&error.to_string(), &fix", "a_server_that_lost_its_socket"),
            ("&failure.what, &hint", "a_data_directory_with_a_long_name"),
            ("fn odd", "somebody_else_at_the_socket"),
            (
                "no server is running",
                "no_data_directory_no_server_no_token",
            ),
            (
                "this is {ours}",
                "a_server_of_another_version_is_to_be_restarted",
            ),
            ("fn silent", "a_server_that_hangs"),
            ("{address}: {error}", "a_port_that_another_has"),
            ("\"descriptors\", &what", "too_few_descriptors"),
            ("\"readiness\"", "a_disk_that_is_full"),
            (
                "\"store\", &failure.what",
                "a_store_that_is_damaged_under_a_server",
            ),
            ("was ever issued", "no_data_directory_no_server_no_token"),
            (
                "was never used",
                "a_token_that_nobody_uses_is_told_of_after_a_week",
            ),
            (
                "has not been used since",
                "a_token_that_nobody_uses_is_told_of_after_a_week",
            ),
            ("&kind, &what", "very_many_deactivations"),
        ],
    ),
    (
        "network",
        &[
            (
                "no identity provider",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            (
                "no cloud\"",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            ("underscore", "a_base_url_that_leads_nowhere"),
            ("does not resolve: ", "a_base_url_that_leads_nowhere"),
            (
                "only from the machine itself",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            (
                "exists only in this network",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            ("the server listens at", "a_base_url_that_leads_nowhere"),
        ],
    ),
    (
        "peer",
        &[
            ("does not speak TLS", "something_else_that_answers"),
            ("&error.to_string()", "somebody_who_is_silent"),
            (
                "no client accepts it",
                "a_certificate_that_no_client_accepts",
            ),
            ("something else answers", "something_else_that_answers"),
            (
                "no cloud accepts it",
                "a_name_that_only_this_machine_or_network_finds",
            ),
        ],
    ),
    (
        "leftovers",
        &[
            ("was cut short", "leftovers_are_told_of"),
            ("but not made by one", "whoever_was_only_named_so_stays"),
        ],
    ),
    // The rest it tells as `trial` does.
    (
        "suites",
        &[(
            "findings.fail(topic, &what, fix)",
            "a_proxy_that_knows_no_patch_and_no_delete",
        )],
    ),
    (
        "trial",
        &[
            (
                "not provisioning",
                "a_first_user_as_oktas_suite_does_not_want_it",
            ),
            (
                "too many wrong tokens",
                "an_address_that_has_shown_too_many_wrong_tokens",
            ),
            ("&fix_of(step, ", "a_proxy_that_answers_by_itself"),
            (
                "does not arrive at this server",
                "a_proxy_that_lets_nothing_through",
            ),
        ],
    ),
];

#[test]
fn each_finding_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("there");
    let tests = ["check", "check_network", "check_like"];
    let mut tests = tests.map(|name| read(&format!("tests/{name}.rs"))).concat();
    for (module, _) in FOUND {
        tests += &read(&format!("src/cli/check/{module}.rs"));
    }
    for (module, found) in FOUND {
        let source = read(&format!("src/cli/check/{module}.rs"));
        let code = source.split("#[cfg(test)]").next().expect("code");
        let sites = code.matches("findings.fail(").count() + code.matches("findings.warn(").count();
        assert_eq!(
            sites,
            found.len(),
            "{module}: findings on the left, in the table on the right"
        );
        for (words, test) in *found {
            assert!(
                code.contains(words),
                "{module} finds nothing with {words:?}"
            );
            assert!(
                tests.contains(&format!("fn {test}()")),
                "there is no test {test}"
            );
        }
    }
}
