//! What all commands have in common: exit statuses, help and man pages, and the use of the output
//! streams; and a server whose standard error is broken.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use golinks_scim::limits;
use rustix::fs::{OFlags, fcntl_setfl};
use tempfile::TempDir;

use super::{PATIENCE, check, serve, shown_on_a_terminal, stop};
use crate::support::place::chain_for;
use crate::support::{Output, Running, Server, cli_on, command_on, wait_until};

/// What a pipe holds (`pipe(7)`).
const PIPE_BYTES: usize = 65_536;

#[test]
fn exit_statuses_without_a_server() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    check(&cli_on(&data_dir, &["frobnicate"]), 64, "frobnicate");
    check(&cli_on(&data_dir, &["okta", "guide"]), 64, "guide okta`");
    check(
        &cli_on(&data_dir, &["serve", "--base-url", "http://h"]),
        64,
        "hint: ",
    );
    check(
        &cli_on(&data_dir, &["serve", "--rate-limit", "0"]),
        64,
        "hint: ",
    );
    check(
        &cli_on(&data_dir, &["serve", "--tls-cert", "x"]),
        64,
        "--tls-key",
    );
    check(
        &cli_on(Path::new(""), &["user", "list"]),
        64,
        "--data-dir must not be empty",
    );
    // Split at each space, these have an empty word.
    for command in [
        "token issue ",
        "token issue okta --expires ",
        "token show ",
        "token rotate ",
        "token rotate okta --overlap ",
        "token revoke ",
        "audit list --token ",
        "audit list --user ",
        "audit list --since ",
        "audit list --until ",
        "user undo --since 1h --token ",
        "user undo --since ",
        "user list --filter ",
        "user list --search ",
        "user export --filter ",
        "user export --search ",
        "user show ",
        "user show jane --at ",
        "user history ",
        "user deactivate jane ",
        "user add jane --given  --family Doe",
        "user add jane --given Jane --family ",
        "user add jane --given Jane --family Doe --display-name ",
        "user reactivate ",
        "user delete --yes ",
    ] {
        let command: Vec<&str> = command.split(' ').collect();
        check(&cli_on(&data_dir, &command), 64, "it must not be empty");
    }
    for command in [
        ["user", "list", "--limit", "ten"],
        ["audit", "list", "--limit", "1k"],
        ["audit", "list", "--last", "1.5"],
        ["audit", "list", "--from", ""],
    ] {
        let told = ": write a whole number, such as 10\n";
        check(&cli_on(&data_dir, &command), 64, told);
    }
    for command in [
        ["user", "list", "--limit"],
        ["audit", "list", "--limit"],
        ["audit", "list", "--last"],
        ["audit", "list", "--from"],
    ] {
        let [noun, verb, option] = command;
        let typed = [noun, verb, option, "99999999999999999999"];
        let told = ": the number is too large: at most 18446744073709551615\n";
        check(&cli_on(&data_dir, &typed), 64, told);
    }
    check(&cli_on(&data_dir, &["--version"]), 0, "");
    check(&cli_on(&data_dir, &["user", "list", "--help"]), 0, "");
    check(
        &cli_on(&data_dir, &["user", "list"]),
        69,
        &format!(
            "hint: start `golinks-scim --data-dir {} serve`",
            data_dir.display()
        ),
    );
    assert!(!data_dir.exists(), "looking made a directory");
    let long = folder.path().join("l".repeat(120));
    check(&cli_on(&long, &["serve"]), 78, "hint: choose a shorter");
    assert!(!long.exists(), "refusing made a directory");
    fs::create_dir(&data_dir).expect("made");
    fs::write(data_dir.join("users.redb"), "not a store").expect("written");
    check(
        &cli_on(&data_dir, &["user", "list"]),
        65,
        "hint: restore a backup",
    );
}

/// A command that is typed without its subcommand lists all of them, and needs no data directory
/// for that.
#[test]
fn what_can_be_chosen_is_listed() {
    let folder = TempDir::new().expect("a folder");
    let absent = cli_on(folder.path(), &["manual", "none"]);
    check(&absent, 1, "the manual has no page none\nhint: ");
    check(&cli_on(folder.path(), &["manual", "Okta"]), 0, "");
    for (command, wanted) in [
        ("guide", &["okta       Okta, from its cloud", "agent  "][..]),
        ("completions", &["bash", "fish", "zsh"]),
        ("manual", &["install  ", "csv  "]),
    ] {
        let output = cli_on(&folder.path().join("data"), &[command]);
        check(&output, 0, "");
        for words in wanted {
            let is_listed = |line: &str| line.starts_with(words);
            assert!(output.stdout.lines().any(is_listed), "{words}: {output:?}");
        }
    }
}

/// Tables are as wide as the screen, within bounds beyond which they could not be read.
#[test]
fn the_manual_fits_its_tables_into_the_terminal() {
    let folder = TempDir::new().expect("a folder");
    let manual = || {
        let mut command = command_on(folder.path());
        command.args(["manual", "errors"]);
        command
    };
    let shown = |columns| shown_on_a_terminal(columns, &mut manual());
    let in_a_pipe = manual().output().expect("the binary runs").stdout;
    assert_eq!(shown(0).into_bytes(), in_a_pipe);
    let (narrow, wide) = (shown(60), shown(120));
    assert_eq!((shown(20) == narrow, shown(999) == wide), (true, true));
    assert!(narrow.lines().count() > wide.lines().count(), "{narrow}");
}

/// The headings of a man page, in order.
fn headings(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page");
    let headings = text.lines().filter_map(|line| line.strip_prefix(".SH "));
    headings.map(|line| line.replace('"', "")).collect()
}

/// A command's own arguments and options come before those that all commands have.
#[test]
fn help_and_man_pages_tell_their_own_first() {
    let folder = TempDir::new().expect("a folder");
    let help = cli_on(folder.path(), &["user", "show", "--help"]).stdout;
    let at = |words: &str| {
        help.find(words)
            .unwrap_or_else(|| panic!("{words}: {help}"))
    };
    assert!(at("--output") < at("Global options:"), "{help}");
    assert!(at("Global options:") < at("--data-dir"), "{help}");

    let dir = folder.path().join("man");
    let dir = dir.to_str().expect("it is text");
    check(&cli_on(folder.path(), &["man", dir]), 0, "");
    for (page, wanted) in [
        (
            "golinks-scim",
            "GLOBAL OPTIONS,SUBCOMMANDS,NOTES,EXIT STATUS,VERSION",
        ),
        (
            "golinks-scim-cert-install",
            "ARGUMENTS,OPTIONS,GLOBAL OPTIONS,EXIT STATUS",
        ),
        (
            "golinks-scim-completions",
            "ARGUMENTS,GLOBAL OPTIONS,EXIT STATUS",
        ),
        (
            "golinks-scim-user-show",
            "ARGUMENTS,OPTIONS,GLOBAL OPTIONS,EXIT STATUS",
        ),
        (
            "golinks-scim-user-undo",
            "ARGUMENTS,OPTIONS,GLOBAL OPTIONS,NOTES,EXIT STATUS",
        ),
    ] {
        let found = headings(&Path::new(dir).join(format!("{page}.1"))).join(",");
        assert_eq!(
            found,
            format!("NAME,SYNOPSIS,DESCRIPTION,{wanted}"),
            "{page}"
        );
    }
}

#[test]
fn certificates_are_requested_for_hosts_alone() {
    let folder = TempDir::new().expect("a folder");
    let request = |name: &str| cli_on(folder.path(), &["cert", "request", "--name", name]);
    for good in [
        "scim.example.com",
        "*.example.com",
        "192.0.2.1",
        "2001:db8::1",
    ] {
        check(&request(good), 0, "");
    }
    for bad in [
        "",
        "bad name",
        "https://scim.example.com",
        "scim.example.com/x",
    ] {
        check(&request(bad), 64, "the name of a host");
    }
}

#[test]
fn a_reader_who_leaves_early_is_no_failure() {
    let server = Server::start();
    for number in 0..3 {
        let email = format!("u{number}@example.com");
        let added = server.cli(&["user", "add", &email, "--given", "G", "--family", "F"]);
        check(&added, 0, "");
    }
    for format in ["table", "json", "jsonl"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command_on(&server.data_dir())
            .args(["user", "list", "-o", format])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{format}");
    }
    // A command whose exit status is its answer must fail here, so that it gives no wrong answer.
    let explain = "audit explain 0123456789abcdef -o json";
    for command in ["check", "audit verify", explain] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command_on(&server.data_dir())
            .args(command.split(' '))
            .stdout(writer)
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(74), "{command}: {output:?}");
    }
    for words in ["user list", "--help", "serve --help", "--version"] {
        let full = fs::File::options().write(true).open("/dev/full");
        let mut command = command_on(&server.data_dir());
        command.args(words.split(' ')).stdout(full.expect("there"));
        let output: Output = command.output().expect("the binary runs").into();
        check(&output, 74, "standard output cannot be written: ");
    }
}

#[test]
fn what_was_done_and_cannot_be_reported_is_told_as_done() {
    let server = Server::start();
    let folder = TempDir::new().expect("a folder");
    let copy = folder.path().join("copy.redb");
    let copy = copy.to_str().expect("text");
    let prepared = [
        server.cli(&["token", "issue", "t"]),
        server.cli(&["backup", "create", copy]),
    ];
    assert!(
        prepared.iter().all(|output| output.status == Some(0)),
        "{prepared:?}"
    );
    let new = folder.path().join("new");
    for (data_dir, command) in [
        (
            &*server.data_dir(),
            "user add jane@example.com --given Jane",
        ),
        (&*server.data_dir(), "token change t --scope full"),
        (&*new, &*format!("backup restore {copy}")),
    ] {
        let full = fs::File::options().write(true).open("/dev/full");
        let output = command_on(data_dir)
            .args(command.split(' '))
            .stdout(full.expect("Linux has it"))
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(74), "{command}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            told.contains("it was done, but could not be reported"),
            "{command}: {told}"
        );
    }
}

/// Otherwise a program would take a part of the list for the whole.
#[test]
fn an_array_that_lacks_a_page_is_left_open() {
    let server = Server::start();
    for name in ["jane@example.com", "jill@example.com"] {
        check(&server.cli(&["user", "add", name, "--given", "J"]), 0, "");
    }
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("users.csv");
    fs::write(&file, "userName\njoe@example.com\njim@example.com\n").expect("written");
    let import = format!("user import {} --dry-run", file.display());
    for command in ["user undo --since 1h", &*import] {
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("set");
        // A few bytes still fit, such as the end of an array, but not a page.
        let filled = vec![b' '; PIPE_BYTES - 6];
        writer.write_all(&filled).expect("empty before");
        let output = command_on(&server.data_dir())
            .args(command.split(' '))
            .args(["-o", "json"])
            .stdout(writer)
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(74), "{command}: {output:?}");
        let mut written = String::new();
        reader.read_to_string(&mut written).expect("text");
        assert_eq!(written.trim_start(), "", "{command}");
        assert_eq!(written.len(), filled.len(), "{command}");
    }
}

/// The log is at its most detailed, and nobody reads it.
#[test]
fn a_server_outlives_its_standard_error() {
    let full = fs::File::options().write(true).open("/dev/full");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    let (_unread, blocked) = std::io::pipe().expect("a pipe");
    for (name, stderr) in [
        ("full", OwnedFd::from(full.expect("Linux has it"))),
        ("closed", closed.into()),
        ("blocked", blocked.into()),
    ] {
        let folder = TempDir::new().expect("a folder");
        let mut server = serve(folder.path(), stderr);
        // The log line of each refusal contains the path: together that is 90 KB, and a pipe holds
        // 64 KiB.
        let long = "x".repeat(3000);
        for _ in 0..30 {
            check(
                &cli_on(folder.path(), &["token", "revoke", &long]),
                1,
                "no live token",
            );
        }
        let status = stop(&mut server);
        assert!(status.is_some_and(|it| it.success()), "{name}: {status:?}");
    }
}

/// The journal takes a line's priority, which it shows in color and filters by, from the number
/// before the line.
#[test]
fn the_journal_gets_the_priority_of_each_line() {
    let folder = TempDir::new().expect("a folder");
    let [chain, key, log] = ["chain.pem", "key.pem", "log"].map(|name| folder.path().join(name));
    // A certificate that has ended is an error, and a certificate for another host is a warning.
    let (chain_text, key_text) = chain_for("elsewhere.example", Some(Duration::ZERO));
    fs::write(&chain, chain_text).expect("written");
    fs::write(&key, key_text).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    let stderr = fs::File::create(&log).expect("a file");
    let file = stderr.metadata().expect("there");
    let data_dir = folder.path().join("data");
    let server = command_on(&data_dir)
        .args(["-vv", "serve", "--listen", "127.0.0.1:0"])
        .args([OsStr::new("--tls-cert"), chain.as_os_str()])
        .args([OsStr::new("--tls-key"), key.as_os_str()])
        .env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()))
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let mut server = Running(server.expect("the binary runs"));
    let socket = data_dir.join("admin.sock");
    wait_until("it listens", || socket.exists());
    check(&cli_on(&data_dir, &["user", "list"]), 0, "");
    assert!(stop(&mut server).is_some_and(|status| status.success()));
    let log = fs::read_to_string(log).expect("text");
    let levels = [
        ("<3>", " ERROR "),
        ("<4>", " WARN "),
        ("<6>", " INFO "),
        ("<7>", " DEBUG "),
    ];
    for line in log.lines() {
        let is_of = |(priority, level)| line.starts_with(priority) && line.contains(level);
        assert!(levels.into_iter().any(is_of), "{line}");
    }
    for (priority, level) in levels {
        let is_there = log.lines().any(|line| line.starts_with(priority));
        assert!(is_there, "no{level}in {log}");
    }
}

/// Nobody reads the log for a while, so that the pipe has no room for all of it.
#[test]
fn lost_log_lines_are_told() {
    let folder = TempDir::new().expect("a folder");
    let (mut reader, stderr) = std::io::pipe().expect("a pipe");
    let mut server = serve(folder.path(), stderr);
    let socket = folder.path().join("admin.sock");
    let mut conversation = UnixStream::connect(socket).expect("it listens");
    conversation
        .set_read_timeout(Some(PATIENCE))
        .expect("not zero");
    let mut to = conversation.try_clone().expect("a descriptor");
    let requests = limits::LOG_QUEUE_LINES_MAX + 8000;
    let asking = thread::spawn(move || {
        let request = b"GET /admin/none HTTP/1.1\r\nHost: x\r\n\r\n";
        to.write_all(&request.repeat(requests)).expect("taken");
        to.shutdown(Shutdown::Write).expect("it is open");
    });
    std::io::copy(&mut conversation, &mut std::io::sink()).expect("all answers");
    asking.join().expect("it does not panic");
    let reading = thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).map(|_| log)
    });
    assert!(stop(&mut server).is_some_and(|status| status.success()));
    let log = reading.join().expect("no panic").expect("text");
    let told = log
        .lines()
        .filter(|it| it.ends_with("were dropped: standard error was too slow"));
    assert!(told.count() > 0, "{} lines", log.lines().count());
}

/// Every refusal has a line that begins with the program's name, so that it can be found in a log.
#[test]
fn refusals_begin_with_the_programs_name() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("none");
    for (arguments, status) in [
        (&["frobnicate"][..], 64),
        (&["user", "list", "--active", "--inactive"], 64),
        (&["user", "list", "-o", "xml"], 64),
        (&["serve", "--rate-limit", "0"], 64),
        (&["token", "list"], 69),
    ] {
        let output = cli_on(&data_dir, arguments);
        check(&output, status, "");
        let mut lines = output.stderr.lines();
        let is_named = lines.any(|line| line.starts_with("golinks-scim: "));
        assert!(is_named, "{arguments:?}: {output:?}");
    }
}

/// For a user of sudo, printed commands begin with sudo, except where it would drop settings in the
/// environment.
#[test]
fn commands_to_copy_begin_with_sudo_where_it_was_typed() {
    let folder = TempDir::new().expect("a folder");
    let is_root = rustix::process::geteuid().is_root();
    for (sudo_user, config, is_by_sudo) in [
        (Some("ann"), None, is_root),
        (Some("ann"), Some(""), false),
        (None, None, false),
    ] {
        let mut command = command_on(&folder.path().join("none"));
        command
            .args(["user", "list"])
            .env_remove("GOLINKS_SCIM_CONFIG");
        command.envs(sudo_user.map(|name| ("SUDO_USER", name)));
        command.envs(config.map(|file| ("GOLINKS_SCIM_CONFIG", file)));
        let output = command.output().expect("the binary runs").into();
        check(&output, 69, "golinks-scim --data-dir ");
        let told = output.stderr.contains("`sudo golinks-scim --data-dir ");
        assert_eq!(told, is_by_sudo, "{output:?}");
    }
}
