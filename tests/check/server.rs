//! What `check` finds out about the server: whether it runs and answers, its tokens, its store, its
//! alarm.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::place::{Finding, Place, is_root};
use crate::support::{Server, wait_until};

#[test]
fn no_data_directory_no_server_no_token() {
    let mut place = Place::new();
    place.set_base_url("localhost");
    let fix = place.fails("data directory", "No such file");
    let (elsewhere, start) = fix.split_once("; otherwise: ").expect("two ways");
    let wanted = "if a server runs already, name another data directory with --data-dir";
    assert!(elsewhere.starts_with(wanted), "{fix}");
    place.start(start);
    let fix = place.fails("tokens", "ever issued");
    place.run(&fix);
    place.is_well();

    place.stop();
    let told = format!("no server is running in {}", place.data_dir().display());
    let fix = place.fails("server", &told);
    place.start(&fix);
    place.is_well();

    place.run("golinks-scim token revoke okta");
    let fix = place.fails("tokens", "valid any more");
    place.run(&fix);
    place.is_well();
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

#[test]
fn somebody_else_at_the_socket() {
    use std::io::{Read, Write};
    let place = Place::sound();
    // It would replace its missing socket.
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

/// This is what a command sees in another container on the same volume, which cannot know the
/// server's process id.
#[test]
fn a_server_in_another_pid_namespace() {
    let (mut place, backup) = backed_up();
    place.serve();
    let apart = |line: &str| {
        let mut shell = place.shell(&format!("unshare --pid --fork {line}"));
        shell.output().expect("bash")
    };
    if !apart("true").status.success() {
        println!("skipped: no process can be in another PID namespace here");
        return;
    }
    let checked = apart("golinks-scim check");
    let told = String::from_utf8_lossy(&checked.stdout);
    let words = "a process in another PID namespace runs version";
    assert!(told.contains(words), "{checked:?}");
    assert!(checked.status.success(), "{checked:?}");
    let restore = format!("golinks-scim backup restore {}", backup.display());
    let refused = apart(&restore);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    assert!(told.contains("stop the server first"), "{refused:?}");
}

/// `check` reports only that the server hangs, and none of the consequences.
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

/// Root starts the server as the user that owns its data directory.
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
    let listens = place.settings.iter();
    let listens = listens.filter(|(name, _)| *name == "GOLINKS_SCIM_LISTEN");
    let address = listens.map(|(_, address)| address.clone()).next();
    let other = TcpListener::bind(address.expect("set")).expect("free again");
    let fix = place.fails("port", "in use");
    assert!(fix.starts_with("setpriv --reuid 12345 "), "{fix}");
    drop(other);
    let fix = place.fails("server", "no server is running");
    assert!(fix.starts_with("setpriv --reuid 12345 "), "{fix}");
    place.start(&fix);
    place.is_well();
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

#[test]
fn too_few_descriptors() {
    let mut place = Place::sound();
    place.start("ulimit -Sn 300 && ulimit -Hn 300 && golinks-scim serve");
    let fix = place.fails("descriptors", "300 may be open");
    place.start(&fix);
    place.is_well();
}

#[test]
fn tokens_that_are_strict_alone() {
    let place = Place::sound();
    place.run("golinks-scim token change okta --mode strict");
    let fix = place.finds("warn", "tokens", "okta is strict").fix;
    place.run(&fix);
    place.is_well();
    // An in-house client may have such a token beside the provider's.
    place.run("golinks-scim token issue own --mode strict");
    let findings = place.check();
    assert!(
        !findings.iter().any(|it| it.what.contains("is strict")),
        "{findings:#?}"
    );
}

/// While another token is valid, `check` has nothing else to report.
#[test]
fn a_token_that_has_ended() {
    let place = Place::sound();
    place.run("golinks-scim token issue entra --scope full");
    // A token that was issued for such a short time would not be reported. This one is cut short by
    // its rotation, and its successor is revoked before it ends.
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

/// Commands in the server's own warnings name the data directory that was typed.
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
    let beginning = fix.split(" user undo ").nth(1);
    let beginning = beginning.and_then(|it| it.strip_suffix(" --dry-run"));
    let words = beginning.expect("a command").split(' ');
    let words: Vec<&str> = ["user", "undo"].into_iter().chain(words).collect();
    let undone = server.cli(&words);
    assert_eq!(undone.status, Some(0), "{undone:?}");
}

/// A stopped server with one user, and a backup of its store.
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

/// The damage is where a start does not read, so a server runs on the store.
#[test]
fn a_store_that_is_damaged_under_a_server() {
    let (mut place, backup) = backed_up();
    let store = place.data_dir().join("users.redb");
    let mut bytes = fs::read(&store).expect("there");
    // A start reads only the last row of the audit trail.
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
