//! The privileges that a running server has given up, and two servers on one data directory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Instant;

use golinks_scim::limits;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::place::Place;
use crate::support::{Running, Server, cli_in, command_on, wait_until};

fn proc_file(server: &Server, name: &str) -> String {
    let path = format!("/proc/{}/{name}", server.pid().as_raw_nonzero());
    fs::read_to_string(path).expect("the process runs")
}

#[test]
fn a_server_can_gain_no_privileges_and_leaves_no_core() {
    let server = Server::start();
    let status = proc_file(&server, "status");
    for line in ["NoNewPrivs:\t1", "Umask:\t0077"] {
        assert!(status.lines().any(|one| one == line), "{line}: {status}");
    }
    let limits = proc_file(&server, "limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let figures: Vec<&str> = core.map_or_else(Vec::new, |line| line.split_whitespace().collect());
    assert_eq!(figures[4..6], ["0", "0"], "{limits}");
    server.stop();
}

#[test]
fn a_second_server_says_which_process_holds_the_directory() {
    let server = Server::start();
    let pid = server.pid().as_raw_nonzero();
    let began = Instant::now();
    let second = server.cli(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status, Some(69), "{second:?}");
    assert!(
        began.elapsed() >= limits::STORE_LOCK_WAIT_MAX,
        "it did not wait for the first one to end"
    );
    assert_eq!(
        server.cli(&["user", "list"]).status,
        Some(0),
        "the first one was disturbed"
    );
    let words = format!("process {pid} is using this data directory: ");
    for what in ["waiting up to 10 s", "stop it first"] {
        let line = format!("{words}{what}");
        assert!(second.stderr.contains(&line), "{line} in {second:?}");
    }
    let directory = server.stop_and_keep();
    assert_eq!(cli_in(&directory, &["user", "list"]).status, Some(0));
}

#[test]
fn a_crowd_takes_no_descriptor_from_the_local_socket() {
    let mut place = Place::new();
    place.start("ulimit -n 200 && golinks-scim serve");
    // From eight addresses, as a crowd of clients would connect.
    let connections: Vec<_> = (0..240)
        .map(|number| {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
            let from = Ipv4Addr::new(127, 0, 0, 2 + number % 8);
            bind(&socket, &SocketAddr::from((from, 0))).expect("bound");
            let to = format!("127.0.0.1:{}", place.port());
            let to: SocketAddr = to.parse().expect("an address");
            connect(&socket, &to).expect("connected");
            if number % 24 == 0 {
                place.run("golinks-scim token list");
            }
            socket
        })
        .collect();
    place.run("golinks-scim token issue okta");
    drop(connections);
}

#[test]
fn who_waits_for_the_store_ends_when_he_is_told_to() {
    let server = Server::start();
    let second = command_on(&server.data_dir())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::null())
        .spawn();
    let mut second = Running(second.expect("the binary runs"));
    let status = format!("/proc/{}/status", second.id());
    wait_until("SIGTERM is caught", || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        caught.is_some_and(|bits| bits & 1 << (Signal::TERM.as_raw() - 1) != 0)
    });
    assert!(second.try_wait().expect("ours").is_none());
    let told = Instant::now();
    kill_process(Pid::from_child(&second), Signal::TERM).expect("it runs");
    let ended = second.wait().expect("ours");
    assert!(ended.success(), "{ended}");
    assert!(told.elapsed() < limits::STORE_LOCK_WAIT_MAX / 2);
    server.stop();
}

/// Whenever its socket is removed, the server listens at a new one. Its earlier listeners, which
/// accept no more connections, do not remove the new socket.
#[test]
fn a_socket_that_is_cleared_away_again_and_again_is_there_again() {
    let server = Server::start();
    let socket = server.data_dir().join("admin.sock");
    for turn in 0..limits::LOCAL_ENDED_MAX + 2 {
        fs::remove_file(&socket).expect("it is there");
        wait_until("there is another", || socket.exists());
        // By then the workers have looked at the earlier listeners.
        std::thread::sleep(3 * limits::LOCAL_ENDED_PAUSE);
        assert!(socket.exists(), "turn {turn}");
        assert_eq!(server.cli(&["user", "list"]).status, Some(0), "turn {turn}");
    }
    server.stop();
    assert!(!socket.exists(), "it is left");
}
