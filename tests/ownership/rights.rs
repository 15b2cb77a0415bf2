//! Commands and servers of users who lack the necessary rights: the exit status says so to a
//! script, and the hint says who has the rights. Needs root. `shared` tests data directories that
//! belong to others and that the server may use.

mod shared;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{USER, as_user, is_root, of_root, start, text, with_own_mounts};
use crate::support::place::chain_for;
use crate::support::{Output, Running, command_on, lines_of, run_to_its_end, wait_until};

/// A user who is neither root nor the server's user.
const STRANGER: u32 = 65_531;
const AS_ROOT: &str = "hint: run this as root, or as the user that runs the server";
const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// Runs a command as `user`, with the copy of the program in `folder`.
fn typed_by(user: u32, folder: &Path, data: &Path, arguments: &[&str]) -> Output {
    let mut command = as_user(command_on(data).args(arguments), folder);
    run_to_its_end(command.uid(user).gid(user))
}

fn check(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status, Some(status), "{output:?}");
    let is_told = words.iter().all(|words| output.stderr.contains(words));
    assert!(is_told, "{words:?}: {output:?}");
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn who_may_not_use_a_data_directory_is_told_who_may() {
    if !is_root() {
        return;
    }
    let server = start(TempDir::new().expect("a directory for the test"));
    let data = server.data_dir();
    let folder = data.parent().expect("of the test");
    open_to_all(folder);
    let list = ["user", "list"];
    // Root's default is another directory.
    let as_root = format!("{AS_ROOT}, with --data-dir {}", text(&data));
    let told = typed_by(STRANGER, folder, &data, &list);
    check(&told, 77, &[&as_root]);
    let told = typed_by(STRANGER, folder, &data, &["check"]);
    assert!(told.stdout.contains(&as_root["hint: ".len()..]), "{told:?}");
    let _directory = server.stop_and_keep();
    let told = typed_by(STRANGER, folder, &data, &["user", "import", "-"]);
    check(&told, 77, &[&as_root]);
    chown(data.join("users.redb"), Some(0), Some(0)).expect("root may do that");
    let told = typed_by(USER, folder, &data, &list);
    check(&told, 77, &[AS_ROOT]);
    let told = typed_by(USER, folder, &data, &SERVE);
    let access = "hint: give the user that runs this read and write access";
    check(&told, 77, &[access]);
}

/// `sudo openssl` leaves such a key. If only root could read it, the server could not read it
/// either.
#[test]
fn a_key_of_roots_that_everybody_may_read_is_given_to_the_server() {
    if !is_root() {
        return;
    }
    let (directory, keys) = (TempDir::new(), TempDir::new());
    let (directory, keys) = (directory.expect("a folder"), keys.expect("a folder"));
    open_to_all(keys.path());
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| keys.path().join(name));
    let (chain_text, key_text) = chain_for("localhost", None);
    fs::write(&chain, chain_text).expect("written");
    fs::write(&key, key_text).expect("written");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("made");
    chown(&data, Some(USER), Some(USER)).expect("root may do that");
    let checked = |user, key: &str| {
        let mut command = as_user(
            command_on(&data).args(["config", "check"]),
            directory.path(),
        );
        command
            .env("GOLINKS_SCIM_DATA_DIR", &data)
            .env("GOLINKS_SCIM_TLS_CERT", &chain)
            .env("GOLINKS_SCIM_TLS_KEY", key);
        run_to_its_end(command.uid(user).gid(user))
    };
    let advice = format!("chown {USER}:{USER} {0} && chmod 600 {0}", text(&key));
    for user in [USER, 0] {
        chown(&key, Some(0), Some(0)).expect("root may do that");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
        check(
            &checked(user, text(&key)),
            78,
            &[&format!("hint: {advice}\n")],
        );
        let done = Command::new("sh").args(["-c", &advice]).status();
        assert!(done.expect("it runs").success(), "{advice}");
        for user in [USER, 0] {
            check(&checked(user, text(&key)), 0, &[]);
        }
    }
    let no_key = checked(0, "/etc/passwd");
    check(&no_key, 78, &["/etc/passwd: there is no private key"]);
    assert!(!no_key.stderr.contains("chmod"), "{no_key:?}");
}

/// A link there may lead to a key that another service needs, and a key in a closed directory is
/// not readable for whomever it is given to.
#[test]
fn a_key_among_the_services_own_files_is_given_to_it_but_no_key_of_anothers() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (chain, key) = chain_for("localhost", None);
    fs::write(folder.path().join("chain.pem"), chain).expect("written");
    fs::write(folder.path().join("key.pem"), key).expect("written");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    chown(&data, Some(USER), Some(USER)).expect("root may do that");
    let ours = as_user(&Command::new("golinks-scim"), folder.path());
    let checked = |made: &str, then: &str| {
        let script = format!(
            "mount -t tmpfs tmpfs /etc && mkdir /etc/golinks-scim && cd /etc/golinks-scim && \
             cp {home}/*.pem . && chmod 600 key.pem && {made} || exit 99; \
             export GOLINKS_SCIM_TLS_CERT=$PWD/chain.pem GOLINKS_SCIM_TLS_KEY=$PWD/key.pem; \
             check() {{ {program} --data-dir {home}/data config check; }}; {then}",
            home = text(folder.path()),
            program = text(Path::new(ours.get_program())),
        );
        with_own_mounts(&script)
    };
    let typed = "sh -ec \"$(check 2>&1 | sed -n 's/^hint: //p')\"; check && stat -c %u key.pem";
    let Some(given) = checked("true", typed) else {
        return;
    };
    check(&given, 0, &[]);
    assert!(given.stdout.ends_with(&format!("{USER}\n")), "{given:?}");
    for (made, what, hint) in [
        (
            "mkdir ../other && mv key.pem ../other && ln -s ../other/key.pem && \
             chown 65531:65531 key.pem",
            "/etc/other/key.pem belongs to 65531:65531 and has mode 600",
            "let user 65532 read the file and enter each directory above it, or name a copy",
        ),
        (
            "chown 65531:65531 key.pem && chmod 644 key.pem && mv key.pem .. && ln -s ../key.pem",
            "key.pem can be read by others",
            "close it to others, and name a copy that belongs to user 65532 and has mode 600",
        ),
        (
            "chown 65531:65531 key.pem && chmod 640 key.pem && mv key.pem .. && ln -s ../key.pem",
            "key.pem can be read by others",
            "name a copy that belongs to user 65532 and has mode 600",
        ),
        (
            "chown 65532 key.pem && chmod 700 .",
            "/etc/golinks-scim belongs to 0:0 and has mode 700",
            "let user 65532 read the file and enter each directory above it, or name a copy",
        ),
    ] {
        let refused = checked(made, "check").expect("it could be mounted before");
        check(&refused, 78, &[what, &format!("hint: {hint}")]);
    }
}

#[test]
fn who_may_not_make_a_data_directory_or_take_a_port_is_told_what_to_do() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let of_root = of_root(false);
    open_to_all(of_root.path());
    let none = of_root.path().join("none");
    let told = typed_by(USER, folder, &none, &SERVE);
    let another = "hint: name another data directory with --data-dir";
    check(&told, 77, &[text(&none), another]);
    let told = typed_by(USER, folder, &none, &["user", "list"]);
    check(&told, 69, &["put sudo in front and leave --data-dir out"]);
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() == "1024") {
        let listen = ["serve", "--listen", "127.0.0.1:443"];
        let told = typed_by(USER, folder, &folder.join("new"), &listen);
        check(&told, 77, &["hint: ports below 1024 need"]);
    }
}

/// Root's default is the system's data directory; every other user has their own.
#[test]
fn who_names_no_data_directory_has_one_by_user() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let show = |user: u32, variables: &[(&str, &str)]| -> Output {
        let mut shown = Command::new("golinks-scim");
        let mut shown = as_user(shown.args(["config", "show", "-o", "jsonl"]), folder);
        shown.uid(user).gid(user).env_remove("XDG_STATE_HOME");
        shown.env_remove("HOME").envs(variables.iter().copied());
        run_to_its_end(&mut shown)
    };
    for (user, variables, wanted) in [
        (
            USER,
            [("XDG_STATE_HOME", "s"), ("HOME", "/h")],
            "\"/h/.local/state/golinks-scim\"",
        ),
        (
            USER,
            [("XDG_STATE_HOME", "/s"), ("HOME", "/h")],
            "\"/s/golinks-scim\"",
        ),
        (
            0,
            [("XDG_STATE_HOME", "/s"), ("HOME", "/h")],
            "\"/var/lib/golinks-scim\"",
        ),
    ] {
        let shown = show(user, &variables);
        assert!(shown.stdout.contains(wanted), "{wanted}: {shown:?}");
    }
    let told = show(USER, &[("XDG_STATE_HOME", "s")]);
    let words = [
        ": XDG_STATE_HOME must be an absolute path",
        "hint: name one with --data-dir",
    ];
    check(&told, 78, &words);
}

/// The result of an import must not be in doubt because of a file that was never needed.
#[test]
fn a_file_beside_which_nothing_can_be_written_is_imported() {
    if !is_root() {
        return;
    }
    let server = start(TempDir::new().expect("a directory for the test"));
    let data = server.data_dir();
    let of_root = of_root(false);
    open_to_all(of_root.path());
    let people = of_root.path().join("people.csv");
    fs::write(&people, "userName\njane@example.com\n").expect("written");
    fs::set_permissions(&people, fs::Permissions::from_mode(0o644)).expect("set");
    let folder = data.parent().expect("of the test");
    let told = typed_by(USER, folder, &data, &["user", "import", text(&people)]);
    let beside = ["people.rejects.csv: ", "with --rejects", "1 created"];
    check(&told, 0, &beside);
    server.stop();
}

/// A guide for the user's own data directory would lead to a second server beside the service.
#[test]
fn a_guide_beside_a_service_is_for_root() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a directory for the test");
    let ours = as_user(&Command::new("golinks-scim"), folder.path());
    let home = text(folder.path());
    let script = format!(
        "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc && \
         mkdir -p /run/systemd/system /etc/systemd/system && \
         touch /etc/systemd/system/golinks-scim.service || exit 99; export HOME={home}; unset GOLINKS_SCIM_CONFIG; \
         guide() {{ setpriv --reuid {USER} --clear-groups {} \"$@\" guide okta; }}; \
         guide; echo $?; guide --data-dir {home}/data",
        text(Path::new(ours.get_program())),
    );
    let Some(output) = with_own_mounts(&script) else {
        return;
    };
    check(&output, 0, &["\nhint: sudo golinks-scim guide okta\n"]);
    let named = output.stdout.strip_prefix("77\n");
    let named = named.unwrap_or_else(|| panic!("{output:?}"));
    assert!(named.contains("No server has run on this"), "{named}");
}

/// If a log shipper waited forever, it would look as if nothing happened any more.
#[test]
fn who_follows_the_trail_and_loses_the_right_to_is_told() {
    if !is_root() {
        return;
    }
    let server = start(TempDir::new().expect("a directory for the test"));
    let data = server.data_dir();
    let folder = data.parent().expect("of the test");
    let follow = ["audit", "follow", "-o", "jsonl"];
    let follower = as_user(command_on(&data).args(follow), folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut follower = Running(follower.expect("started"));
    let rows = lines_of(follower.stdout.take().expect("piped"));
    // `audit follow` shows only rows that are written after it has begun.
    wait_until("a row is shown", || {
        server.cli(&["token", "issue", "one"]);
        server.cli(&["token", "revoke", "one"]);
        rows.recv_timeout(Duration::from_secs(1)).is_ok()
    });
    let _directory = server.stop_and_keep();
    chown(&data, Some(0), Some(0)).expect("root may do that");
    wait_until("it ends", || {
        follower.try_wait().is_ok_and(|ended| ended.is_some())
    });
    let told = Output {
        status: follower.wait().expect("ours").code(),
        stdout: String::new(),
        stderr: follower.last_words(),
    };
    check(&told, 77, &["; waiting for the server\n", AS_ROOT]);
}
