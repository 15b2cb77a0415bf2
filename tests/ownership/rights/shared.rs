//! Servers on a data directory that belongs to another user, as Kubernetes volumes do. The tests
//! type what `serve` and `check` advise about its rights, and start the server again: it must not
//! be locked out. Needs root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{SERVE, STRANGER, USER, as_user, is_root, open_to_all};
use crate::support::{Output, Server, cli_on, command_on, run_to_its_end, without_settings};

const GROUP: u32 = 65_533;

/// A directory that the server can use, and the command that is advised for it if only this server
/// uses it, in which `DIR` stands for its path.
struct Shared {
    owner: (u32, u32),
    mode: u32,
    /// The server's supplementary groups.
    groups: &'static [u32],
    /// The command of those who know the server's groups: the server itself, and `check` when its
    /// user runs it.
    known: Option<&'static str>,
    /// The command of `check` to root.
    unknown: Option<&'static str>,
}

const GIVE: Option<&str> = Some("chown 65532:65532 DIR && chmod 700 DIR");
/// If new files get the directory's group, root's `check` assumes that it is the server's group.
const GIVE_WITH_GROUP: Option<&str> = Some("chown 65532:65533 DIR && chmod 700 DIR");
const CLOSE_TO_OTHERS: Option<&str> = Some("chmod o-rwx DIR");
const CLOSE: Option<&str> = Some("chmod 700 DIR");

const fn shared(
    owner: (u32, u32),
    mode: u32,
    groups: &'static [u32],
    known: Option<&'static str>,
    unknown: Option<&'static str>,
) -> Shared {
    Shared {
        owner,
        mode,
        groups,
        known,
        unknown,
    }
}

const SHARED: [Shared; 11] = [
    // As k3s creates a local path.
    shared((0, 0), 0o777, &[], GIVE, GIVE),
    // An emptyDir with an `fsGroup`.
    shared(
        (0, GROUP),
        0o2777,
        &[GROUP],
        CLOSE_TO_OTHERS,
        GIVE_WITH_GROUP,
    ),
    shared((0, GROUP), 0o2777, &[], GIVE, GIVE_WITH_GROUP),
    shared((0, GROUP), 0o777, &[GROUP], CLOSE_TO_OTHERS, GIVE),
    shared((0, USER), 0o777, &[], CLOSE_TO_OTHERS, CLOSE_TO_OTHERS),
    shared(
        (STRANGER, GROUP),
        0o2777,
        &[GROUP],
        CLOSE_TO_OTHERS,
        GIVE_WITH_GROUP,
    ),
    shared((STRANGER, GROUP), 0o777, &[], GIVE, GIVE),
    // Another volume with an `fsGroup`: the manual says to leave it.
    shared((0, GROUP), 0o2775, &[GROUP], None, None),
    shared((0, GROUP), 0o770, &[GROUP], None, None),
    shared((STRANGER, GROUP), 0o2770, &[GROUP], None, None),
    shared((USER, GROUP), 0o755, &[], CLOSE, CLOSE),
];

/// `command`, run by the server's user with these supplementary groups.
fn in_groups(command: &Command, folder: &Path, groups: &[u32]) -> Command {
    let ours = as_user(command, folder);
    let groups = match groups {
        [] => "--clear-groups".to_owned(),
        [group] => format!("--groups={group}"),
        _ => unreachable!("one is enough"),
    };
    let mut command = Command::new("setpriv");
    without_settings(&mut command)
        .args(["--reuid", &USER.to_string(), "--regid", &USER.to_string()])
        .arg(groups)
        .arg(ours.get_program())
        .args(ours.get_args())
        .stdin(Stdio::null());
    command
}

fn start(folder: TempDir, groups: &[u32]) -> Server {
    let address = ["--base-url", "https://localhost:1"];
    Server::start_on_by(folder, &address, |ours, folder| {
        in_groups(&ours, folder, groups)
    })
}

fn made(owner: (u32, u32), mode: u32) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a directory for the test");
    open_to_all(folder.path());
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    chown(&data, Some(owner.0), Some(owner.1)).expect("root may do that");
    fs::set_permissions(&data, fs::Permissions::from_mode(mode)).expect("set");
    (folder, data)
}

/// What `check` advises about the directory.
fn fix_in(output: &Output) -> Option<String> {
    let mut lines = output.stdout.lines();
    lines.find(|line| line.starts_with("fail     data directory"))?;
    let fix = lines.next().expect("each failure has a fix").trim_start();
    Some(fix.strip_prefix("fix: ").expect("a fix").to_owned())
}

/// What a server advises at its start about the directory.
fn fix_in_log(log: &str, data: &Path) -> Option<String> {
    let mut warnings = log.lines().filter(|line| line.contains("WARN"));
    let words = format!("{} (mode ", data.display());
    let warning = warnings.find(|line| line.contains(&words))?;
    let (_, fix) = warning.split_once("): ").expect("each warning has advice");
    Some(fix.to_owned())
}

fn typed_by_root(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status();
    assert!(status.expect("sh runs").success(), "{command}");
}

/// The whole advice with this command.
fn if_alone(command: &str) -> String {
    format!(
        "if only this server uses the directory, {command}; otherwise name a directory of the \
         server's own with --data-dir"
    )
}

/// Starts a server there, compares all advice, types the advice of the server or the advice to
/// root, and starts the server again.
fn check(shared: &Shared, types_known: bool) {
    let (folder, data) = made(shared.owner, shared.mode);
    let scene = format!("{:?} {:o} {:?}", shared.owner, shared.mode, shared.groups);
    let filled = |fix: Option<&str>| fix.map(|fix| fix.replace("DIR", &data.display().to_string()));
    let (known, unknown) = (filled(shared.known), filled(shared.unknown));
    let as_root = if shared.owner.0 == USER {
        ""
    } else {
        "as root: "
    };
    let to_user = known.as_ref().map(|it| if_alone(&format!("{as_root}{it}")));
    let to_root = unknown.as_deref().map(if_alone);
    let checked_by_user = |data: &Path| {
        let folder = data.parent().expect("of the test");
        let mut command = in_groups(command_on(data).arg("check"), folder, shared.groups);
        fix_in(&run_to_its_end(&mut command))
    };
    let checked_by_root = |data: &Path| fix_in(&cli_on(data, &["check"]));

    let server = start(folder, shared.groups);
    assert_eq!(fix_in_log(&server.log(), &data), to_user, "{scene}");
    assert_eq!(checked_by_user(&data), to_user, "{scene}");
    assert_eq!(checked_by_root(&data), to_root, "{scene}");
    let folder = server.stop_and_keep();
    assert_eq!(checked_by_user(&data), to_user, "{scene}");
    assert_eq!(checked_by_root(&data), to_root, "{scene}");

    if let Some(command) = if types_known { known } else { unknown } {
        typed_by_root(&command);
    }
    let server = start(folder, shared.groups);
    assert_eq!(fix_in_log(&server.log(), &data), None, "{scene}");
    assert_eq!(checked_by_user(&data), None, "{scene}");
    assert_eq!(checked_by_root(&data), None, "{scene}");
    let _folder = server.stop_and_keep();
    assert_eq!(checked_by_user(&data), None, "{scene}");
    assert_eq!(checked_by_root(&data), None, "{scene}");
}

#[test]
fn what_is_advised_about_anothers_directory_locks_no_server_out() {
    if !is_root() {
        return;
    }
    for shared in &SHARED {
        check(shared, true);
        if shared.known != shared.unknown {
            check(shared, false);
        }
    }
}

/// The server's keys may be elsewhere, as in a Kubernetes volume.
#[test]
fn a_server_without_keys_of_its_own_is_not_locked_out_either() {
    if !is_root() {
        return;
    }
    let (folder, data) = made((0, 0), 0o777);
    let server = start(folder, &[]);
    let _folder = server.stop_and_keep();
    fs::remove_dir_all(data.join("tls")).expect("removed");
    let fix = fix_in(&cli_on(&data, &["check"])).expect("everybody may write there");
    assert!(fix.contains(", chown 65532:65532 "), "{fix}");
}

/// Following the advice of a start must not take the directory away from its server.
#[test]
fn another_users_server_keeps_its_directory() {
    const RUN: &str = "if another user's server uses it, run this as root or as that user; ";
    if !is_root() {
        return;
    }
    for (owner, mode) in [((STRANGER, STRANGER), 0o700), ((STRANGER, 0), 0o755)] {
        let (folder, data) = made(owner, mode);
        let mut command = in_groups(command_on(&data).args(SERVE), folder.path(), &[]);
        let told = run_to_its_end(&mut command);
        assert_eq!(told.status, Some(77), "{told:?}");
        let words =
            format!("{RUN}otherwise name a directory of the server's own with --data-dir\n");
        assert!(told.stderr.contains(&words), "{told:?}");
    }
    let (folder, data) = made((0, GROUP), 0o770);
    let mut command = in_groups(command_on(&data).args(SERVE), folder.path(), &[]);
    let told = run_to_its_end(&mut command);
    let words = format!("{RUN}if only this server uses the directory, as root: chown 65532:65532 ");
    assert!(told.stderr.contains(&words), "{told:?}");
    // A directory that all users share is not given to one of them, either.
    let (folder, data) = made((0, 0), 0o1777);
    let server = start(folder, &[]);
    assert!(server.log().contains("is a directory that all users share"));
    assert!(!server.log().contains("chown"), "{}", server.log());
    let _folder = server.stop_and_keep();
    let told = cli_on(&data, &["check"]);
    assert!(told.stdout.contains("that all users share"), "{told:?}");
    assert!(!told.stdout.contains("chmod 700"), "{told:?}");
}

/// Where a server has access through a group, the advice on how to start it must not start it
/// without that group.
#[test]
fn a_server_is_started_by_hand_in_the_group_that_lets_it_in() {
    if !is_root() {
        return;
    }
    for (owner, mode) in [
        ((0, GROUP), 0o770),
        ((STRANGER, GROUP), 0o2770),
        ((USER, USER), 0o700),
    ] {
        let (folder, data) = made(owner, mode);
        let folder = start(folder, &[GROUP]).stop_and_keep();
        let checked = cli_on(&data, &["check"]);
        let mut lines = checked.stdout.lines().map(str::trim_start);
        let start = lines.find_map(|line| line.strip_prefix("fix: setpriv "));
        let start = start.and_then(|start| start.strip_suffix(" serve"));
        let start = start.unwrap_or_else(|| panic!("{checked:?}"));
        let ours = as_user(&Command::new("golinks-scim"), folder.path());
        let ours = format!(" {} ", ours.get_program().display());
        let start = start.replace(" golinks-scim ", &ours);
        typed_by_root(&format!("setpriv {start} user list"));
    }
}

#[test]
fn a_server_that_is_locked_out_is_let_in_by_what_it_advises() {
    if !is_root() {
        return;
    }
    for (owner, mode) in [((0, 0), 0o700), ((0, GROUP), 0o2775)] {
        let (folder, data) = made(owner, mode);
        // Root cannot know as which user a first server will run.
        assert_eq!(fix_in(&cli_on(&data, &["check"])), None);
        let mut command = in_groups(command_on(&data).args(SERVE), folder.path(), &[]);
        let told = run_to_its_end(&mut command);
        assert_eq!(told.status, Some(77), "{told:?}");
        let words = "if only this server uses the directory, as root: ";
        let (_, rest) = told.stderr.split_once(words).expect("the command");
        typed_by_root(rest.split("; ").next().expect("the command"));
        let server = start(folder, &[]);
        assert_eq!(fix_in_log(&server.log(), &data), None);
        assert_eq!(fix_in(&cli_on(&data, &["check"])), None);
        server.stop();
    }
}

/// `/srv` is such a directory, used if somebody forgets the end of a path: what is in it does not
/// show whether others need it.
#[test]
fn a_directory_that_others_may_need_is_closed_only_on_a_condition() {
    if !is_root() {
        return;
    }
    for owner in [(0, 0), (USER, USER)] {
        let (folder, data) = made(owner, 0o755);
        // Starts by root, in root's directory and in the directory of the server's user.
        let server =
            Server::start_on_by(folder, &["--base-url", "https://localhost:1"], |it, _| it);
        let fix = if_alone(&format!("chmod 700 {}", data.display()));
        assert!(server.log().contains(&fix), "{}", server.log());
        assert_eq!(fix_in(&cli_on(&data, &["check"])), Some(fix));
        server.stop();
    }
}
