//! Configuration and service manager: file, environment and flags, what SIGHUP changes in a running
//! server, and the messages and sockets that server and service manager exchange.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use golinks_scim::clock;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;

use crate::support::{
    Output, Server, Talk, body, command, command_on, run_to_its_end, wait_until, without_settings,
};

fn with_file(file: &str, arguments: &[&str]) -> Server {
    let file = file.to_owned();
    Server::start_by(arguments, move |mut command, folder| {
        let path = folder.join("config.toml");
        std::fs::write(&path, file).expect("the folder is the test's");
        command.arg("--config").arg(path);
        command
    })
}

fn config_path(server: &Server) -> std::path::PathBuf {
    let data_dir = server.data_dir();
    data_dir
        .parent()
        .expect("below the folder")
        .join("config.toml")
}

#[test]
fn the_file_is_read_and_flags_win() {
    let server = with_file(
        "base_url = \"https://file.example.com\"\nrate_limit = 7\nlisten = \"127.0.0.1:1\"\n",
        &["--rate-limit", "9"],
    );
    let path = config_path(&server);
    let guide = server.cli(&["guide", "okta"]).stdout;
    assert!(
        guide.contains("https://file.example.com/scim/v2"),
        "{guide}"
    );
    assert!(guide.contains("Above 9 requests a second"), "{guide}");

    let path = path.to_str().expect("UTF-8");
    let shown = server.cli(&["--config", path, "config", "show", "-o", "jsonl"]);
    let lines: Vec<Value> = shown
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let rate = lines.iter().find(|line| line["name"] == "rate_limit");
    let rate = rate.expect("every setting is shown");
    assert_eq!(rate["value"], "7");
    assert_eq!(rate["origin"], format!("{path}:2"));
    let checked = server.cli(&["--config", path, "config", "check"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_line() {
    let server = Server::start();
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("config.toml");
    let path = path.to_str().expect("UTF-8");
    for (text, status, what) in [
        (
            "\nrate_limt = 1",
            78,
            "config.toml:2: there is no setting rate_limt\nhint: did you mean rate_limit?",
        ),
        (
            "listen = 8443",
            78,
            "config.toml:1: listen cannot be 8443\nhint: write an address and a port",
        ),
        (
            "tls_cert = \"/none.pem\"\ntls_key = \"/none.key\"",
            78,
            "/none.pem: No such file",
        ),
    ] {
        std::fs::write(path, text).expect("written");
        let checked = server.cli(&["--config", path, "config", "check"]);
        assert_eq!(checked.status, Some(status), "{checked:?}");
        assert!(checked.stderr.contains(what), "{checked:?}");
    }
    // The limit lies within a letter.
    let long = "\u{e9}".repeat(40_000).into_bytes();
    for (bytes, what) in [
        (
            b"# Z\xfcrich".to_vec(),
            "config.toml: it is not UTF-8\nhint: write it as UTF-8",
        ),
        (long, "config.toml: it is larger than 65536 bytes\n"),
    ] {
        std::fs::write(path, bytes).expect("written");
        let refused = server.cli(&["--config", path, "config", "check"]);
        assert_eq!(refused.status, Some(78), "{refused:?}");
        assert!(refused.stderr.contains(what), "{refused:?}");
    }
    let absent = server.cli(&["--config", "/none.toml", "user", "list"]);
    assert_eq!(absent.status, Some(78), "{absent:?}");
    // Reading this file is an I/O error, which may pass, so a service manager should try again.
    let failing = server.cli(&["--config", "/proc/self/mem", "config", "check"]);
    assert_eq!(failing.status, Some(74), "{failing:?}");
}

#[test]
fn the_default_file_can_be_used_as_it_is() {
    let server = Server::start();
    let text = server.cli(&["config", "default"]).stdout;
    let again = with_file(&text, &[]);
    let path = config_path(&again);
    let shown = again.cli(&["--config", path.to_str().expect("UTF-8"), "config", "show"]);
    assert_eq!(shown.status, Some(0), "{shown:?}");
    // Everything has its default except the data directory, which every command of the tests gets.
    let set = shown
        .stdout
        .lines()
        .skip(1)
        .filter(|line| !line.ends_with("default"));
    assert_eq!(set.count(), 1, "{}", shown.stdout);
}

/// A log collector can read each line, whatever a client puts into it.
#[test]
fn a_log_of_json_has_the_parts_of_a_request_as_members() {
    let mut talk = Talk::with(with_file("log_format = \"json\"\n", &["-v"]));
    let created = talk.send("POST", "/Users", Some(&body("jane\"{}@example.com")));
    let id = created.header("x-request-id").expect("an id").to_owned();
    let refused = talk.send("GET", "/Users/%22%7b", None);
    assert_eq!((created.status, refused.status), (201, 404));
    talk.server.log_with("/Users/%22%7b");
    let log = talk.server.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let of_levels = |it: &Value| it["level"].is_string() && it["message"].is_string();
    assert!(lines.iter().all(of_levels), "{log}");
    let line = lines.iter().find(|line| line["request"] == id.as_str());
    let line = line.expect("the creation is logged");
    assert_eq!(line["level"], "info");
    assert_eq!(line["address"], "127.0.0.1");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/scim/v2/Users");
    assert_eq!(line["status"], 201);
    assert!(
        line["duration_us"].as_u64().is_some_and(|it| it > 0),
        "{line}"
    );
    let (principal, message) = (&line["principal"], &line["message"]);
    let [principal, message] = [principal, message].map(|it| it.as_str().expect("a text"));
    assert!(principal.starts_with("token:"), "{line}");
    let wanted = format!("{id} 127.0.0.1 {principal} POST /scim/v2/Users 201 ");
    assert!(message.starts_with(&wanted), "{line}");
    assert!(
        clock::Instant::parse(line["time"].as_str().expect("a time")).is_some(),
        "{line}"
    );
    // The line of a request without a token omits the members that have no value.
    let mut stranger = talk.server.client();
    let sent = golinks_scim::http1::client::Request {
        method: "GET",
        target: "/scim/v2/Users",
        headers: &[],
        body: None,
    };
    assert_eq!(stranger.send(&sent).expect("an answer").0.status, 401);
    let log = talk.server.log_with("no token was sent");
    let last = log.lines().rfind(|line| line.contains("no token was sent"));
    let last: Value = serde_json::from_str(last.expect("it is told")).expect("JSON");
    assert_eq!(last["address"], "127.0.0.1");
    assert_eq!(
        (
            last["status"].as_u64(),
            last.get("duration_us"),
            last.get("principal")
        ),
        (Some(401), None, None),
        "{last}"
    );
    // What commands print stays readable for people.
    let told = talk.server.cli(&["user", "show", "nobody"]);
    assert!(!told.stderr.contains('{'), "{told:?}");
}

#[test]
fn a_start_that_fails_says_so_in_json_where_the_log_is_json() {
    let failed = command_on(Path::new("/dev/null/none"))
        .env("GOLINKS_SCIM_LOG_FORMAT", "json")
        .arg("serve")
        .output()
        .expect("the binary runs");
    assert_ne!(failed.status.code(), Some(0));
    let told: Value = serde_json::from_slice(&failed.stderr).expect("one line of JSON");
    assert_eq!(told["level"], "error");
    let message = told["message"].as_str().expect("a text");
    assert!(message.contains("/dev/null/none"), "{told}");
}

#[test]
fn a_hangup_changes_what_can_be_changed_and_tells_the_rest() {
    let server = with_file("rate_limit = 1000\n", &[]);
    let path = config_path(&server);
    let hang_up = |text: &str| {
        std::fs::write(&path, text).expect("written");
        kill_process(server.pid(), Signal::HUP).expect("it runs");
    };
    hang_up("rate_limit = 1\nlog_level = \"debug\"\nbase_url = \"https://h.example\"\n");
    // Waits for the last line, because the log is read while it grows.
    let log = server.log_with("log_level is debug now (");
    assert!(
        log.contains("base_url was changed to https://h.example"),
        "{log}"
    );
    assert!(log.contains("rate_limit is 1 now ("), "{log}");
    assert!(log.contains("it takes effect after a restart"), "{log}");

    hang_up("rate_limit = 0\n");
    server.log_with("the configuration cannot be used, the old one stays in effect");

    // The rate allows five requests at once, and then one per second.
    let mut talk = Talk::with(server);
    let statuses: Vec<u16> = (0..8)
        .map(|_| talk.send("GET", "/Users", None).status)
        .collect();
    assert!(
        statuses[..5].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    assert!(statuses[5..].contains(&429), "{statuses:?}");
}

/// An administrator who turns this memory off wants no refused request to be kept.
#[test]
fn a_hangup_forgets_what_is_no_longer_to_be_explained() {
    let server = with_file("audit_explain = \"on\"\n", &[]);
    let path = config_path(&server);
    let mut talk = Talk::with(server);
    let refused = talk.send("GET", "/Users/nobody", None);
    let request = refused.header("x-request-id").expect("an id").to_owned();
    let explain = ["audit", "explain", &*request];
    let explained = talk.server.cli(&explain);
    assert_eq!(explained.status, Some(0), "{explained:?}");
    std::fs::write(&path, "audit_explain = \"off\"\n").expect("written");
    kill_process(talk.server.pid(), Signal::HUP).expect("it runs");
    talk.server.log_with("audit_explain is off now (");
    let forgotten = talk.server.cli(&explain);
    assert_eq!(forgotten.status, Some(1), "{forgotten:?}");
}

/// What is typed overrides the file.
#[test]
fn a_level_that_was_typed_outlives_a_hangup() {
    let server = with_file("", &["--verbose"]);
    std::fs::write(config_path(&server), "log_level = \"error\"\n").expect("written");
    // If the first reload set the level, the line about the second one would not be written.
    for times in 1..=2 {
        kill_process(server.pid(), Signal::HUP).expect("it runs");
        let is_done = || server.log().matches("was read again").count() == times;
        wait_until("it is reloaded", is_done);
    }
}

/// A service manager that listens to the server's messages.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

fn listening(path: &Path) -> UnixDatagram {
    listening_at(&SocketAddr::from_pathname(path).expect("a path"))
}

fn listening_at(address: &SocketAddr) -> UnixDatagram {
    let socket = UnixDatagram::bind_addr(address).expect("bound");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("set");
    socket
}

fn supervised(socket: &OsStr, variables: &[(&str, &str)]) -> Server {
    Server::start_by(&[], |mut command, _| {
        command.env("NOTIFY_SOCKET", socket);
        command.envs(variables.iter().copied());
        command
    })
}

impl Manager {
    fn supervise(variables: &[(&str, &str)]) -> (Self, Server) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("notify");
        let socket = listening(&path);
        let server = supervised(path.as_os_str(), variables);
        let manager = Self { socket, folder };
        (manager, server)
    }

    fn hears(&self) -> String {
        let mut message = [0; 512];
        let length = self.socket.recv(&mut message).expect("something is told");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    fn hears_of(&self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let message = self.hears();
            if message.contains(words) {
                return message;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no {words}");
        }
    }
}

#[test]
fn a_service_manager_hears_of_every_turn() {
    let (manager, server) = Manager::supervise(&[]);
    let ready = manager.hears();
    assert!(ready.contains("READY=1"), "{ready}");
    assert!(ready.contains("STATUS=serving https://"), "{ready}");
    kill_process(server.pid(), Signal::HUP).expect("it runs");
    let reloading = manager.hears();
    assert!(reloading.contains("RELOADING=1"), "{reloading}");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(manager.hears().contains("READY=1"));
    server.stop();
    assert!(manager.hears().contains("STOPPING=1"));
}

#[test]
fn a_service_manager_may_have_a_socket_without_a_file() {
    let name = format!("golinks-scim-test-{}", std::process::id());
    let socket = listening_at(&SocketAddr::from_abstract_name(&name).expect("a name"));
    let _server = supervised(format!("@{name}").as_ref(), &[]);
    let mut message = [0; 512];
    let length = socket.recv(&mut message).expect("something is told");
    assert!(message[..length].starts_with(b"READY=1"));
}

#[test]
fn a_service_manager_hears_that_the_server_is_alive() {
    let (manager, _server) = Manager::supervise(&[("WATCHDOG_USEC", "200000")]);
    for _ in 0..3 {
        manager.hears_of("WATCHDOG=1");
    }
}

/// A server that has used up its descriptors is alive, and must be able to say so, even to a
/// service manager that was restarted meanwhile.
#[test]
fn a_server_without_descriptors_is_alive() {
    let (mut manager, server) = Manager::supervise(&[("WATCHDOG_USEC", "200000")]);
    let path = manager.folder.path().join("notify");
    std::fs::remove_file(&path).expect("there");
    manager.socket = listening(&path);
    manager.hears_of("WATCHDOG=1");
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    prlimit(Some(server.pid()), Resource::Nofile, none).expect("it is ours");
    // One or two messages may have been on their way.
    for _ in 0..4 {
        manager.hears_of("WATCHDOG=1");
    }
}

/// Once tiny_http had no descriptor for a connection, it accepts no further connection.
#[test]
fn the_local_socket_opens_again_when_there_are_descriptors() {
    let server = Server::start();
    let pid = Some(server.pid());
    let listed = || server.cli(&["user", "list"]).status == Some(0);
    let none = Rlimit {
        current: Some(0),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let socket = server.data_dir().join("admin.sock");
    let mut conversation = UnixStream::connect(&socket).expect("it listens");
    conversation
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("set");
    let mut goes_on = || {
        let head = b"GET /admin/tokens HTTP/1.1\r\nHost: x\r\n\r\n";
        conversation.write_all(head).expect("it is open");
        let mut status = [0; 12];
        conversation.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        let mut rest = Vec::new();
        let mut byte = [0];
        while !rest.ends_with(b"]}") && conversation.read_exact(&mut byte).is_ok() {
            rest.extend(byte);
        }
    };
    goes_on();
    for _ in 0..2 {
        let before = prlimit(pid, Resource::Nofile, none).expect("it is ours");
        assert!(!listed());
        prlimit(pid, Resource::Nofile, before).expect("it is ours");
        wait_until("the door is open", listed);
    }
    goes_on();
    std::fs::remove_file(&socket).expect("it is there");
    wait_until("the door is there", listed);
    goes_on();
    server.log_with("the local socket is open again");
    server.stop();
}

#[test]
fn a_descriptor_limit_far_too_low_is_told() {
    let server = Server::start_by(&[], |command, _| {
        let mut limited = Command::new("prlimit");
        without_settings(&mut limited)
            .arg("--nofile=300:300")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        limited
    });
    server.log_with("only 300 may be open, but 640 are needed for 512 connections");
}

#[test]
fn a_socket_of_the_service_manager_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = Server::start_by(&[], |command, _| hand_over(&command, 1, listener));
    assert_eq!(server.address(), address);
    let told = format!("listen is 127.0.0.1:0, but the service manager has opened {address}");
    server.log_with(&told);
    let mut talk = Talk::with(server);
    assert_eq!(talk.send("GET", "/Users", None).status, 200);
}

/// The exit status tells the service manager that another try would not help.
#[test]
fn sockets_that_cannot_be_served_are_refused() {
    let refused = |count, socket: OwnedFd| -> Output {
        let folder = tempfile::TempDir::new().expect("a folder");
        let mut serve = command(&folder);
        serve.args(["serve", "--listen", "127.0.0.1:0"]);
        run_to_its_end(&mut hand_over(&serve, count, socket))
    };
    let two = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for (output, words) in [
        (
            refused(2, two.into()),
            "the service manager passed 2 sockets\nhint: ",
        ),
        (
            refused(1, datagrams.into()),
            "it must be a TCP socket that listens",
        ),
    ] {
        assert_eq!(output.status, Some(78), "{output:?}");
        assert!(output.stderr.contains(words), "{output:?}");
    }
}

/// The command, started with this socket as the first of `count` sockets, as in `sd_listen_fds(3)`.
/// The socket is passed as standard input, so that no other child of these tests can inherit it.
fn hand_over(command: &Command, count: usize, socket: impl Into<OwnedFd>) -> Command {
    let script = format!("exec 3<&0 4<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\"");
    let mut shell = Command::new("sh");
    without_settings(&mut shell)
        .args(["-c", &script, "sh"])
        .arg(Path::new(command.get_program()))
        .args(command.get_args())
        .stdin(Stdio::from(socket.into()));
    shell
}

/// In the README, scripts keep their token in a variable whose name looks like a setting's.
#[test]
fn a_token_in_the_environment_is_no_setting() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut command = command(&folder);
    command.env("GOLINKS_SCIM_TOKEN", "golinks_scim_x");
    let checked = command.args(["config", "check"]).output();
    let checked = Output::from(checked.expect("it runs"));
    assert_eq!(checked.status, Some(0), "{checked:?}");
    assert!(!checked.stderr.contains("is no setting"), "{checked:?}");
}
