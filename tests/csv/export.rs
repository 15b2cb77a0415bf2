//! What an export writes and where, and that an import accepts it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{BY_DEFAULT, Desk, check, with_signal};
use crate::audit::{left_behind, of_kind};
use crate::support::{Output, cli_in, command_on, wait_until};

#[test]
fn a_file_goes_in_and_comes_out_and_changes_nothing() {
    let desk = Desk::new();
    desk.write(
        "staff.csv",
        "Email,First name,Last name,Status,Department,Phone,Mobile,emails,title\r\n\
         jane@x.example,Jane,\"Doe, \"\"JD\"\"\",ACTIVE,Sales,+1 5,+1 6,,=1+1\r\n\
         \r\n\
         joe@x.example,Joe,\"O\nneil\",SUSPENDED,,,,\"[{\"\"value\"\":\"\"joe@y\"\",\"\"type\"\":\"\"home\"\",\"\"display\"\":\"\"J\"\"}]\",'=x\r\n",
    );
    check(
        &desk.import("staff.csv", &[]),
        0,
        &[
            "2 created, 0 updated, 0 unchanged, 0 rejected",
            "user undo --from ",
        ],
    );
    let jane = desk.user("jane@x.example");
    assert_eq!(
        jane["emails"],
        json!([{"value": "jane@x.example", "type": "work", "primary": true}])
    );
    assert_eq!(
        (&jane["title"], &jane["active"]),
        (&json!("=1+1"), &json!(true))
    );
    assert_eq!(desk.user("joe@x.example")["title"], "=x");
    assert_eq!(desk.user("joe@x.example")["active"], false);
    let exported = desk.export(&[]);
    assert!(
        exported.contains(",'=1+1,") && exported.contains("'+1 5"),
        "{exported}"
    );
    let listed = |more: &[&str]| {
        let listed = desk
            .server
            .cli(&[&["user", "list", "-o", "csv"], more].concat());
        assert_eq!(listed.status, Some(0), "{listed:?}");
        listed.stdout
    };
    assert_eq!(listed(&[]), exported);
    let limited = listed(&["--limit", "1"]);
    assert!(
        exported.starts_with(&limited) && !limited.is_empty(),
        "{limited}"
    );
    assert_ne!(limited, exported);
    assert_eq!(listed(&["--limit", "0"]).lines().count(), 1);
    let unreadable = ["user", "list", "-o", "csv", "--filter", "title xx 1"];
    let refused = desk.server.cli(&unreadable);
    assert_eq!(
        (refused.status, &*refused.stdout),
        (Some(1), ""),
        "{refused:?}"
    );
    desk.write("out.csv", &exported);
    desk.write("out.jsonl", desk.export(&["-o", "jsonl"]));
    for name in ["out.csv", "out.jsonl", "staff.csv"] {
        for empty in ["keep", "clear"] {
            if name == "staff.csv" && empty == "clear" {
                continue;
            }
            check(
                &desk.import(name, &["--empty", empty]),
                0,
                &["0 created, 0 updated, 2 unchanged, 0 rejected"],
            );
        }
    }
    assert_eq!(desk.user("jane@x.example"), jane, "nothing was written");
    // Imports it into the directory of another server.
    let other = Desk::new();
    other.write("out.csv", &exported);
    check(&other.import("out.csv", &[]), 1, &["--ignore id"]);
    check(
        &other.import("out.csv", &["--ignore", "ID"]),
        0,
        &["2 created"],
    );
    let same = |mut user: Value| {
        user.as_object_mut()
            .map(|user| (user.remove("id"), user.remove("meta")));
        user
    };
    for who in ["jane@x.example", "joe@x.example"] {
        assert_eq!(same(other.user(who)), same(desk.user(who)));
    }
}

/// LibreOffice splits at commas, semicolons and tabs unless it is told otherwise. Quotes alone keep
/// a formula from beginning within a text.
#[test]
fn a_text_with_the_delimiter_of_other_files_stays_in_its_cell() {
    let desk = Desk::new();
    let users = [("a@x", "x;=1"), ("b@x", "x\t=1"), ("c@x", "x=1")]
        .map(|(name, title)| json!({"userName": name, "title": title}).to_string());
    desk.write("staff.jsonl", users.join("\n"));
    check(&desk.import("staff.jsonl", &[]), 0, &["3 created"]);
    let exported = desk.export(&[]);
    for cell in [",\"x;=1\",", ",\"x\t=1\",", ",x=1,"] {
        assert!(exported.contains(cell), "{cell}: {exported}");
    }
    desk.write("again.csv", exported);
    check(&desk.import("again.csv", &[]), 0, &["3 unchanged"]);
}

#[test]
fn an_export_overwrites_nothing_and_appears_whole() {
    let desk = Desk::new();
    desk.write("a.csv", "userName,Status\na@x,yes\nb@x,no\n");
    let typo = desk.import("a.csv", &["--ignore", "State"]);
    check(&typo, 65, &["no column State", "userName, Status"]);
    check(&desk.import("a.csv", &[]), 0, &["2 created"]);
    let path = desk.path("out.csv");
    let path_text = path.to_str().expect("text");
    check(
        &desk.server.cli(&["user", "export", path_text, "--active"]),
        0,
        &["1 user in"],
    );
    // The ending of a file's name decides the form, unless `-o` says another one.
    let lines = desk.path("out.jsonl");
    let lines_text = lines.to_str().expect("text");
    check(
        &desk.server.cli(&["user", "export", lines_text]),
        0,
        &["2 users in"],
    );
    check(&desk.import("out.jsonl", &[]), 0, &["2 unchanged"]);
    fs::remove_file(&lines).expect("removed");
    for name in ["out.json", "out.XLSX", "out.yaml", ".json"] {
        let other = desk.path(name);
        let export = ["user", "export", other.to_str().expect("text")];
        check(
            &desk.server.cli(&export),
            64,
            &[name, "hint: end its name with .csv", ".jsonl"],
        );
        let typed = desk.server.cli(&[&export[..], &["-o", "jsonl"]].concat());
        check(&typed, 0, &["2 users in"]);
        fs::remove_file(&other).expect("the only one, under its name");
    }
    assert!(desk.export(&["-"]).starts_with("id,"));
    // The next export to the same name removes what a killed export left behind.
    let old = desk.write("out.csv.new-0123456789abcdef", "half of it");
    let minutes_ago = SystemTime::now() - Duration::from_secs(300);
    let left = fs::File::options().append(true).open(&old).expect("opened");
    left.set_modified(minutes_ago).expect("set");
    check(
        &desk.server.cli(&["user", "export", path_text]),
        64,
        &["exists"],
    );
    assert!(old.exists(), "nothing was exported");
    fs::rename(&path, desk.path("one.csv")).expect("renamed");
    check(
        &desk.server.cli(&["user", "export", path_text]),
        0,
        &["2 users in"],
    );
    assert!(!old.exists());
    fs::rename(desk.path("one.csv"), &path).expect("renamed");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    check(
        &desk.server.cli(&["user", "export", path_text]),
        64,
        &["exists", "hint: name a file"],
    );
    assert_eq!(
        fs::read_dir(desk.folder.path())
            .expect("the folder")
            .count(),
        2
    );
    let directory = desk.server.stop_and_keep();
    let exported = cli_in(
        &directory,
        &["user", "export", "--filter", "userName eq \"b@x\""],
    );
    assert_eq!(exported.stdout.lines().count(), 2, "{exported:?}");
    let again = cli_in(&directory, &["user", "import", path_text]);
    check(&again, 0, &["1 unchanged"]);
}

/// The next export may never come, or be to another name.
#[test]
fn an_export_that_is_interrupted_leaves_nothing_behind() {
    let desk = Desk::new();
    let files = || fs::read_dir(desk.folder.path()).expect("there").count();
    let mut export = command_on(&desk.server.data_dir());
    export.args(["user", "export"]).arg(desk.path("out.csv"));
    for (signals, status, why) in [
        (&[Signal::INT][..], 130, "interrupted"),
        // As `timeout` sends it: to the command, and to its group.
        (&[Signal::TERM, Signal::TERM], 143, "ended by SIGTERM"),
        (&[Signal::HUP], 129, "ended by SIGHUP"),
    ] {
        kill_process(desk.server.pid(), Signal::STOP).expect("it runs");
        let exporting = with_signal(BY_DEFAULT, &export).spawn();
        let exporting = exporting.expect("the binary runs");
        wait_until("the export has begun", || files() == 1);
        for signal in signals {
            kill_process(Pid::from_child(&exporting), *signal).expect("it waits");
        }
        kill_process(desk.server.pid(), Signal::CONT).expect("it is stopped");
        let told: Output = exporting.wait_with_output().expect("ours").into();
        check(&told, status, &[&format!("golinks-scim: {why}\n")]);
        assert_eq!(files(), 0, "{told:?}");
    }
}

/// A command under `nohup` outlives its terminal.
#[test]
fn an_export_that_is_to_outlive_its_terminal_does() {
    let desk = Desk::new();
    let mut export = command_on(&desk.server.data_dir());
    export.args(["user", "export"]).arg(desk.path("out.csv"));
    kill_process(desk.server.pid(), Signal::STOP).expect("it runs");
    let exporting = with_signal("--ignore-signal=HUP", &export).spawn();
    let exporting = exporting.expect("the binary runs");
    let files = || fs::read_dir(desk.folder.path()).expect("there").count();
    wait_until("the export has begun", || files() == 1);
    kill_process(Pid::from_child(&exporting), Signal::HUP).expect("it waits");
    kill_process(desk.server.pid(), Signal::CONT).expect("it is stopped");
    let told: Output = exporting.wait_with_output().expect("ours").into();
    check(&told, 0, &["0 users in"]);
}

/// Else everybody would be read first, and the trail would say so.
#[test]
fn an_export_to_what_is_no_name_of_a_file_does_not_begin() {
    let desk = Desk::new();
    desk.server.cli(&["user", "add", "a@x", "--given", "A"]);
    let told = desk.server.cli(&["user", "export", "nowhere/"]);
    check(&told, 64, &["golinks-scim: nowhere/: what ends with / is"]);
    let listed = desk.server.cli(&["audit", "list"]).stdout;
    assert!(!listed.contains("user.export"), "{listed}");
}

/// The name of a file may come from elsewhere, such as from a folder of downloads.
#[test]
fn the_name_of_a_file_gives_no_orders_to_the_terminal() {
    let desk = Desk::new();
    let path = desk.path("a\u{1b}[31m.csv");
    let export = ["user", "export", path.to_str().expect("text")];
    check(&desk.server.cli(&export), 0, &["a\\u{1b}[31m.csv\n"]);
    assert!(path.exists());
    let told = desk.server.cli(&["audit", "list"]);
    check(&told, 0, &["a\\u{1b}[31m.csv"]);
}

/// Data that has left cannot be called back, so the trail says who took it.
#[test]
fn an_export_leaves_a_row() {
    let desk = Desk::new();
    desk.write("a.csv", "userName,Status\na@x,yes\nb@x,no\n");
    check(&desk.import("a.csv", &[]), 0, &["2 created"]);
    let path = desk.path("out.csv");
    let path = path.to_str().expect("text");
    let export = |more: &[&str]| desk.server.cli(&[&["user", "export"], more].concat());
    check(&export(&[path]), 0, &["2 users in"]);
    // Nothing leaves these.
    check(&export(&[path]), 64, &["exists"]);
    check(&export(&["--filter", "title xx 1"]), 1, &["position 6"]);
    check(&export(&["--inactive"]), 0, &["b@x"]);
    let listed = desk.server.cli(&["audit", "list"]).stdout;
    assert!(listed.contains(&format!("2 users to {path}")), "{listed}");
    let directory = desk.server.stop_and_keep();
    let none = ["user", "export", "--search", "nobody"];
    check(&cli_in(&directory, &none), 0, &["userName"]);
    let rows = left_behind(&directory, &[]);
    let exports = of_kind(&rows, "user.export");
    let told = exports.iter().map(|row| {
        let by = row["principal"].as_str().unwrap_or_default();
        assert!(by.starts_with("administrator:"), "{row}");
        (row["path"].clone(), row["count"].clone())
    });
    let wanted = [(json!(path), 2), (Value::Null, 1), (Value::Null, 0)];
    let wanted = wanted.map(|(path, count)| (path, json!(count)));
    assert_eq!(told.collect::<Vec<_>>(), wanted, "{rows:?}");
}
