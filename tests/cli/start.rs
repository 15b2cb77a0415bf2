//! How a server starts: what it shows on a terminal and without one, at which address it listens,
//! and which of its files others can read.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use golinks_scim::idp::client::Client;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use super::{PATIENCE, assert_good_for_a_year, check, stop};
use crate::support::{Running, Server, cli_on, command_on, run_to_its_end, send, without_settings};

#[test]
fn everything_that_a_server_makes_is_its_owners_alone() {
    let server = Server::start();
    let data_dir = server.data_dir();
    for (name, wanted) in [
        ("", 0o700),
        ("tls", 0o700),
        ("admin.sock", 0o600),
        ("users.redb", 0o600),
        ("tls/ca.key", 0o600),
        ("tls/leaf.key", 0o600),
    ] {
        let metadata = fs::metadata(data_dir.join(name)).expect(name);
        assert_eq!(metadata.permissions().mode() & 0o777, wanted, "{name}");
    }
}

#[test]
fn a_data_directory_that_is_open_to_others_is_warned_of() {
    let directory = TempDir::new().expect("a folder");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("ours");
    let server = Server::start_on(directory);
    let log = server.log_with("users other than its owner can access");
    assert!(
        log.contains("WARN")
            && log.contains(": if only this server uses the directory, chmod 700 "),
        "{log}"
    );
    assert!(!Server::start().log().contains("users other than its owner"));
}

/// A first start on a terminal shows the token once; no journal ever contains it.
#[test]
fn a_first_start_shows_the_token_to_a_terminal_alone() {
    let folder = TempDir::new().expect("a folder");
    let first = on_a_terminal(folder.path(), None, |shown| {
        let token = word_with(shown, "golinks_scim_");
        let base_url = word_with(shown, "https://");
        let pem = fs::read(folder.path().join("tls/ca.pem")).expect("the CA");
        let mut client = Client::new(base_url, &pem).expect("a usable base URL");
        let authorization = format!("Bearer {token}");
        let answer = send(&mut client, &authorization, "GET", "/Users", None);
        let response = answer.expect("an answer");
        assert_eq!(response.status, 200, "the token is of no use: {shown}");
        let kept = cli_on(folder.path(), &["token", "show", "okta", "-o", "jsonl"]);
        assert_good_for_a_year(&kept);
    });
    let fingerprint = fingerprint(folder.path());
    assert!(
        plain_hex(&first).contains(&fingerprint),
        "{fingerprint} is not in:\n{first}"
    );
    assert_eq!(first.matches("golinks_scim_").count(), 1, "{first}");
    for wanted in [
        "https://127.0.0.1:",
        "/scim/v2",
        "CA fingerprint",
        "ca.pem",
        &format!(
            "golinks-scim --data-dir {} guide okta  ",
            folder.path().display()
        ),
    ] {
        assert!(first.contains(wanted), "{wanted} is not in:\n{first}");
    }
    let second = on_a_terminal(folder.path(), None, |_| ());
    assert!(!second.contains("golinks_scim_"), "{second}");
    let server = Server::start();
    assert!(!server.log().contains("golinks_scim_"), "{}", server.log());
    let tokens = server.cli(&["token", "list", "-o", "jsonl"]).stdout;
    assert_eq!(tokens, "", "a start without a terminal issued a token");
}

/// The first word in a text that begins like this.
fn word_with<'a>(text: &'a str, beginning: &str) -> &'a str {
    let mut words = text.split_whitespace();
    let found = words.find(|word| word.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no {beginning} in:\n{text}"))
}

/// SHA-256 of the private authority's certificate, in lower case without colons.
fn fingerprint(data_dir: &Path) -> String {
    let pem = fs::read_to_string(data_dir.join("tls/ca.pem")).expect("the CA");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).expect("PEM holds base64");
    let digest = digest::digest(&digest::SHA256, &der);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

fn plain_hex(text: &str) -> String {
    text.replace(':', "").to_lowercase()
}

/// A start that fails because of its port does not count: the next one is still the first.
#[test]
fn a_first_start_at_a_port_that_another_has_is_done_again() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let failed = cli_on(&data_dir, &["serve", "--listen", &taken]);
    check(&failed, 74, "`ss -ltnp`, as root, names the program");
    check(&failed, 74, "choose another port with --listen");
    let shown = on_a_terminal(&data_dir, None, |_| {});
    assert!(shown.contains("golinks_scim_"), "{shown}");
}

/// No machine has an address in 192.0.2.0/24, which is reserved for documentation (RFC 5737).
#[test]
fn an_address_that_no_interface_has_is_told() {
    let folder = TempDir::new().expect("a folder");
    let output =
        run_to_its_end(command_on(folder.path()).args(["serve", "--listen", "192.0.2.1:8443"]));
    check(&output, 74, "cannot listen at 192.0.2.1:8443");
    check(
        &output,
        74,
        "hint: no interface of this machine has that address",
    );
}

/// Somebody may take the store's file for the data directory.
#[test]
fn a_file_in_the_place_of_the_data_directory_is_told() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("users.redb");
    fs::write(&file, "").expect("written");
    for command in [["user", "list"], ["cert", "show"]] {
        let output = cli_on(&file, &command);
        let what = format!("there is no user directory in {}", file.display());
        check(&output, 69, &what);
        check(&output, 69, "name another data directory with --data-dir");
    }
    let advice = format!("{} is not a directory: name another", file.display());
    check(&cli_on(&file, &["config", "check"]), 78, &advice);
    let checked = cli_on(&file, &["check"]);
    assert!(checked.stdout.contains(&advice), "{checked:?}");
    // A part of the path may be a file as well.
    for data_dir in [&file, &file.join("data"), &file.join("x/data")] {
        let advice = format!("{} is not a directory: name another", data_dir.display());
        let asked = cli_on(data_dir, &["cert", "request", "--name", "scim.example.com"]);
        check(
            &asked,
            74,
            &format!("(nothing was changed)\nhint: {advice}"),
        );
        if data_dir != &file {
            let checked = cli_on(data_dir, &["check"]);
            assert_eq!(checked.stdout.matches(&advice).count(), 2, "{checked:?}");
        }
    }
}

/// No directory can be made there, but nothing is in its place either.
#[test]
fn a_data_directory_that_is_not_there_is_told_as_no_file() {
    let asked = cli_on(
        Path::new("/proc/nowhere/data"),
        &["cert", "request", "--name", "scim.example.com"],
    );
    assert_ne!(asked.status, Some(0), "{asked:?}");
    assert!(!asked.stderr.contains("is not a directory"), "{asked:?}");
}

/// A file of the wrong kind is not read whole, which may be very large.
#[test]
fn a_device_without_an_end_is_not_read_to_it() {
    let server = Server::start();
    let large = "/dev/zero: it is larger than 4194304 bytes";
    for (command, status, words) in [
        ("cert install /dev/zero", 74, large),
        ("check --ca /dev/zero", 74, large),
        ("backup verify /dev/zero", 65, "is not a sound backup"),
    ] {
        let typed: Vec<&str> = command.split(' ').collect();
        check(&server.cli(&typed), status, words);
    }
}

/// The link may lead to a disk that is not mounted.
#[test]
fn a_link_to_what_is_not_there_is_told() {
    let folder = TempDir::new().expect("a folder");
    let [data, link, file] = ["data", "link", "file"].map(|name| folder.path().join(name));
    let backup = file.to_str().expect("text");
    fs::write(&file, "").expect("written");
    let store = data.join("users.redb");
    fs::create_dir(&data).expect("made");
    for link in [&store, &link] {
        std::os::unix::fs::symlink(folder.path().join("away"), link).expect("linked");
    }
    for (data_dir, arguments, status, words) in [
        (
            &data,
            &["user", "list"][..],
            74,
            store.display().to_string(),
        ),
        (&link, &["user", "list"], 74, link.display().to_string()),
        (
            &link,
            &["serve", "--listen", "127.0.0.1:0"],
            74,
            "File exists".to_owned(),
        ),
        (
            &data,
            &["serve", "--listen", "127.0.0.1:0"],
            74,
            format!("{} is a link to what is not there", store.display()),
        ),
        (&link, &["check"], 1, "No such file".to_owned()),
        (
            &data,
            &["backup", "restore", backup],
            74,
            format!("{} is a link to what is not there", store.display()),
        ),
        (
            &link,
            &["backup", "restore", backup],
            74,
            format!("{} is a link to what is not there", link.display()),
        ),
    ] {
        let output = run_to_its_end(command_on(data_dir).args(arguments));
        let told = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.status, Some(status), "{output:?}");
        assert!(told.contains(&words), "{output:?}");
        assert!(told.contains("mount what the link leads to"), "{output:?}");
    }
    let restored = cli_on(&file, &["backup", "restore", backup]);
    check(
        &restored,
        74,
        &format!("{backup} is not a directory\nhint: "),
    );
}

/// A kernel accepts names that no URL can have.
#[test]
fn a_machine_whose_name_is_no_host_is_called_localhost() {
    let rename = [
        "--uts",
        "sh",
        "-c",
        "echo 1234 >/proc/sys/kernel/hostname && exec \"$@\"",
        "sh",
    ];
    let renamed = |program: &OsStr| {
        let mut command = Command::new("unshare");
        without_settings(&mut command).args(rename).arg(program);
        command.stdin(Stdio::null());
        command
    };
    let can = renamed(OsStr::new("true")).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: no process can have another host name here");
        return;
    }
    let server = Server::start_by(&[], |ours, folder| {
        let mut command = renamed(ours.get_program());
        command.arg("--data-dir").arg(folder.join("data"));
        command.args(["serve", "--listen", "0.0.0.0:0"]);
        command
    });
    server.log_with(&format!(
        "serving https://localhost:{}/",
        server.address().port()
    ));
}

#[test]
fn a_first_start_without_a_terminal_says_how_to_make_a_token() {
    assert_it_says_how_to_make_a_token(&TempDir::new().expect("a folder"));
}

/// Perhaps nobody sits at that terminal.
#[test]
fn a_terminal_without_a_keyboard_is_told_everything_but_the_token() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    let shown = on_a_terminal(&data_dir, Some(Stdio::null()), |_| {});
    let advice = format!("--data-dir {} token issue okta", data_dir.display());
    for what in ["Base URL", &advice, "CA fingerprint"] {
        assert!(shown.contains(what), "{what} in {shown}");
    }
    assert!(!shown.contains("golinks_scim_"), "{shown}");
    let listed = cli_on(&data_dir, &["token", "list", "-o", "jsonl"]);
    assert_eq!((listed.status, &*listed.stdout), (Some(0), ""));
}

/// The first process of a container makes no token either, since its terminal is a log.
#[test]
fn process_1_shows_no_token_on_its_terminal() {
    let folder = TempDir::new().expect("a folder");
    let (data_dir, log) = (folder.path().join("data"), folder.path().join("log"));
    let (mut screen, keyboard) = terminal();
    let server = without_settings(&mut Command::new("unshare"))
        .args(["--pid", "--fork", "--kill-child"])
        .arg(env!("CARGO_BIN_EXE_golinks-scim"))
        .arg("--data-dir")
        .arg(&data_dir)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(keyboard.try_clone().expect("a descriptor"))
        .stdout(keyboard)
        .stderr(fs::File::create(&log).expect("a file"))
        .spawn();
    let mut server = Running(server.expect("unshare runs"));
    let told = || fs::read_to_string(&log).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    while !told().contains("token issue okta") {
        if let Some(status) = server.try_wait().expect("it is a child") {
            println!(
                "skipped: no process can be the first here: {status}: {}",
                told()
            );
            return;
        }
        assert!(Instant::now() < deadline, "{}", told());
        thread::sleep(Duration::from_millis(5));
    }
    let listed = cli_on(&data_dir, &["token", "list", "-o", "jsonl"]);
    assert_eq!((listed.status, &*listed.stdout), (Some(0), ""));
    server.kill().expect("it is a child");
    server.wait().expect("it is a child");
    let mut shown = Vec::new();
    // Reading fails once nobody has the other end of the terminal open.
    screen.read_to_end(&mut shown).ok();
    assert_eq!(String::from_utf8_lossy(&shown), "");
}

/// The certificate is read after the store is made, so the failed start leaves the store behind.
#[test]
fn the_start_after_one_that_failed_says_how_to_make_a_token() {
    let folder = TempDir::new().expect("a folder");
    let data_dir = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let absent = ["--tls-cert", "/absent.pem", "--tls-key", "/absent.key"];
    check(&cli_on(&data_dir, &[&serve[..], &absent].concat()), 78, "");
    assert!(data_dir.join("users.redb").exists());
    assert_it_says_how_to_make_a_token(&folder);
}

/// Asserts that a start without a terminal makes no token, but says how to make one.
fn assert_it_says_how_to_make_a_token(folder: &TempDir) {
    let err = fs::File::create(folder.path().join("err")).expect("a file");
    let data_dir = folder.path().join("data");
    let server = command_on(&data_dir)
        .args(["-vv", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(err)
        .spawn();
    let mut server = Running(server.expect("the binary runs"));
    let log = || fs::read_to_string(folder.path().join("err")).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    let wanted = format!(
        "golinks-scim --data-dir {} token issue okta",
        data_dir.display()
    );
    while !log().contains(&wanted) {
        let is_running = matches!(server.try_wait(), Ok(None));
        assert!(is_running && Instant::now() < deadline, "{}", log());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(stop(&mut server).is_some_and(|status| status.success()));
    assert!(!log().contains("golinks_scim_"), "{}", log());
    let listed = cli_on(&data_dir, &["token", "list", "-o", "jsonl"]);
    assert_eq!((listed.status, &*listed.stdout), (Some(0), ""));
}

#[test]
fn the_guide_names_this_installation() {
    let server = Server::start();
    let guide = server.cli(&["guide", "okta"]);
    check(&guide, 0, "");
    let base_url = format!("https://{}/scim/v2", server.address());
    assert!(guide.stdout.contains(&base_url), "{guide:?}");
    let fingerprint = fingerprint(&server.data_dir());
    assert!(plain_hex(&guide.stdout).contains(&fingerprint), "{guide:?}");
}

/// Somebody may have read such a key, so it is neither used nor silently replaced.
#[test]
fn a_key_that_others_can_read_is_refused() {
    let server = Server::start();
    let folder = server.stop_and_keep();
    let data_dir = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for name in ["leaf.key", "ca.key"] {
        let key = data_dir.join("tls").join(name);
        let before = fs::read(&key).expect("a key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
        let refused = run_to_its_end(command_on(&data_dir).args(serve));
        check(&refused, 78, "chmod 600");
        assert_eq!(
            fs::read(&key).expect("a key"),
            before,
            "{name} was replaced"
        );
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    }
}

/// Starts a server on a terminal, calls `look` while it runs, stops it, and returns what it showed.
/// `input` may replace the terminal's keyboard.
fn on_a_terminal(data_dir: &Path, input: Option<Stdio>, look: impl Fn(&str)) -> String {
    let (mut screen, keyboard) = terminal();
    let server = command_on(data_dir)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(input.unwrap_or_else(|| keyboard.try_clone().expect("a descriptor").into()))
        .stdout(keyboard)
        .stderr(Stdio::null())
        .spawn();
    let mut server = Running(server.expect("the binary runs"));
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    // These words are in the last line of the welcome. If the server dies, there is nothing more to
    // read.
    while !String::from_utf8_lossy(&shown).contains("user list") {
        match screen.read(&mut bytes) {
            Ok(count) if count > 0 => shown.extend_from_slice(&bytes[..count]),
            _ => break,
        }
    }
    let shown = String::from_utf8_lossy(&shown).into_owned();
    look(&shown);
    assert!(stop(&mut server).is_some_and(|status| status.success()));
    shown
}

/// A terminal: the end that shows what is printed, and the end that a program gets.
pub(super) fn terminal() -> (fs::File, fs::File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("a terminal");
    grantpt(&screen)
        .and_then(|()| unlockpt(&screen))
        .expect("ours");
    let name = ptsname(&screen, Vec::new()).expect("a name");
    let name = name.into_string().expect("ASCII");
    let other_end = fs::File::options().read(true).write(true).open(name);
    (screen.into(), other_end.expect("the other end"))
}
