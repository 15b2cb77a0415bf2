//! A server that runs as its own user, and an administrator who is root: files that commands create
//! in the data directory belong to the server's user, files that the server creates for commands
//! belong to root. Needs root. `rights` tests users without rights.

mod rights;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use golinks_scim::certificate::{self, Cell, Names, Source};
use golinks_scim::clock::{Clock, SystemClock};
use golinks_scim::directory::describe;
use golinks_scim::store;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair,
};
use tempfile::TempDir;

use crate::support::place::chain_for;
use crate::support::{Output, Server, Talk, cli_in, command_on, copy_program, without_settings};

const USER: u32 = 65_532;
const FORMAT_2: &[u8] = include_bytes!("fixtures/format-2.redb");

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: only root has other users' files to make");
    }
    is_root
}

/// The program and arguments of `command`, run by the server's user, with a copy of the program
/// that this user may execute.
fn as_user(command: &Command, folder: &Path) -> Command {
    let binary = folder.join("golinks-scim");
    if !binary.exists() {
        copy_program(&binary);
    }
    chown(folder, Some(USER), Some(USER)).expect("root may do that");
    let mut ours = Command::new(binary);
    without_settings(&mut ours)
        .args(command.get_args())
        .stdin(Stdio::null())
        .uid(USER)
        .gid(USER);
    ours
}

fn start(directory: TempDir) -> Server {
    Server::start_on_by(
        directory,
        &["--base-url", "https://localhost:1"],
        |ours, folder| as_user(&ours, folder),
    )
}

/// Asserts that everything in the data directory has the server's user and group, and that nobody
/// else can read it.
fn assert_owned(data: &Path) {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("there");
            assert_eq!(
                (metadata.uid(), metadata.gid()),
                (USER, USER),
                "{}",
                path.display()
            );
            assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
}

fn assert_done(output: &Output) {
    assert_eq!(output.status, Some(0), "{output:?}");
}

/// A folder that only root may look into. If `is_elsewhere`, it is on another file system if there
/// is one.
fn of_root(is_elsewhere: bool) -> TempDir {
    let elsewhere = Path::new("/dev/shm");
    let folder = if is_elsewhere && elsewhere.is_dir() {
        TempDir::new_in(elsewhere)
    } else {
        TempDir::new()
    };
    let folder = folder.expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("set");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn what_root_writes_the_server_reads() {
    if !is_root() {
        return;
    }
    let server = start(TempDir::new().expect("a directory for the test"));
    let data = server.data_dir();
    assert_eq!(fs::metadata(&data).expect("there").uid(), USER);
    let request = server.cli(&["cert", "request", "--name", "localhost"]);
    assert_done(&request);
    assert_owned(&data);

    let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(parameters, key).expect("an authority");
    let leaf = CertificateSigningRequestParams::from_pem(&request.stdout)
        .and_then(|request| request.signed_by(&authority))
        .expect("signed");
    let folder = of_root(false);
    let chain = folder.path().join("chain.pem");
    fs::write(&chain, format!("{}{}", leaf.pem(), authority.pem())).expect("written");
    let installed = server.cli(&["cert", "install", text(&chain)]);
    assert_done(&installed);
    assert!(
        installed.stderr.contains("it is being served"),
        "{installed:?}"
    );
    assert_owned(&data);

    let directory = server.stop_and_keep();
    // `cert request` also creates the directory if there is none.
    fs::remove_dir_all(data.join("tls")).expect("removed");
    assert_done(&cli_in(
        &directory,
        &["cert", "request", "--name", "localhost"],
    ));
    assert_owned(&data);
    let server = start(directory);
    assert!(server.cli(&["cert", "show"]).stdout.contains("private CA"));
    server.stop();
}

#[test]
fn a_backup_reaches_where_only_root_may_write_and_comes_back() {
    if !is_root() {
        return;
    }
    let mut talk = Talk::with(start(TempDir::new().expect("a directory for the test")));
    talk.create("jane");
    let server = talk.server;
    let data = server.data_dir();
    let names = |folder: &Path| fs::read_dir(folder).expect("a folder").count();
    let before = names(&data);
    let mut files: Vec<(TempDir, PathBuf)> = Vec::new();
    for is_elsewhere in [false, true] {
        let folder = of_root(is_elsewhere);
        let file = folder.path().join("jane.redb");
        assert_done(&server.cli(&["backup", "create", text(&file)]));
        let metadata = fs::metadata(&file).expect("there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
        assert_eq!((names(folder.path()), names(&data)), (1, before));
        let checked = store::check(&file, describe).expect("sound");
        assert_eq!(checked.counts.users, 1);
        let again = server.cli(&["backup", "create", text(&file)]);
        assert_eq!(again.status, Some(64), "{again:?}");
        assert!(again.stderr.contains("exists already"), "{again:?}");
        assert_eq!((names(folder.path()), names(&data)), (1, before));
        let nowhere = server.cli(&["backup", "create", text(&file.join("nowhere"))]);
        assert_eq!(nowhere.status, Some(74), "{nowhere:?}");
        assert_eq!(names(&data), before, "a copy was left behind");
        files.push((folder, file));
    }
    let directory = server.stop_and_keep();
    for (_, file) in &files {
        assert_done(&cli_in(&directory, &["user", "deactivate", "jane"]));
        // The same holds without a server.
        let offline = file.with_extension("offline");
        assert_done(&cli_in(&directory, &["backup", "create", text(&offline)]));
        assert_eq!(fs::metadata(&offline).expect("there").uid(), 0);
        assert_done(&cli_in(&directory, &["backup", "restore", text(file)]));
        assert_owned(&data);
    }
    let server = start(directory);
    let listed = server.cli(&["user", "list", "-o", "jsonl"]);
    assert!(listed.stdout.contains("\"active\":true"), "{listed:?}");
    server.stop();
}

#[test]
fn what_an_upgrade_keeps_is_the_servers() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new().expect("a directory for the test");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("made");
    let path = data.join("users.redb");
    fs::write(&path, FORMAT_2).expect("written");
    for (path, mode) in [(&data, 0o700), (&path, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        chown(path, Some(USER), Some(USER)).expect("root may do that");
    }
    assert_done(&cli_in(&directory, &["user", "list"]));
    assert!(data.join("users.format-2.redb").exists());
    assert_owned(&data);
    start(directory).stop();
}

/// Debian's `ssl-cert` and Kubernetes' secrets have such keys.
#[test]
fn a_key_of_roots_that_its_group_may_read_is_served() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().expect("a folder");
    let keys = tempfile::tempdir().expect("a folder");
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let (chain, key) = (keys.path().join("chain.pem"), keys.path().join("key.pem"));
    let (chain_text, key_text) = chain_for("localhost", None);
    fs::write(&chain, chain_text).expect("written");
    fs::write(&key, key_text).expect("written");
    chown(&key, Some(0), Some(USER)).expect("root may do that");
    let set = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("ours");
    let of_pair = ["--tls-cert", text(&chain), "--tls-key", text(&key)];
    for (mode, status, said) in [
        (0o644, 78, "chmod 640"),
        (0o660, 78, "chmod 640"),
        (0o440, 0, ""),
    ] {
        set(mode);
        let command = command_on(directory.path());
        let mut checked = as_user(&command, directory.path());
        checked.args(["config", "check"]);
        for (name, value) in [("CERT", &chain), ("KEY", &key)] {
            checked.env(format!("GOLINKS_SCIM_TLS_{name}"), value);
        }
        let checked = Output::from(checked.output().expect("it runs"));
        assert_eq!(checked.status, Some(status), "{mode:o} {checked:?}");
        assert!(checked.stderr.contains(said), "{mode:o} {checked:?}");
    }
    let server = Server::start_on_by(directory, &of_pair, |ours, folder| as_user(&ours, folder));
    server.stop();
}

/// No group may read the server's own keys, whoever owns them: the advice is to remove that right.
#[test]
fn a_key_of_the_authority_that_a_group_may_read_is_taken_from_it() {
    if !is_root() {
        return;
    }
    let server = Server::start();
    let data = server.data_dir();
    let directory = server.stop_and_keep();
    let key = data.join("tls/ca.key");
    chown(&key, Some(0), Some(USER)).expect("root may do that");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o660)).expect("ours");
    let refused = cli_in(&directory, &["serve", "--listen", "127.0.0.1:0"]);
    let advice = format!("chmod 600 {}", key.display());
    assert_eq!(refused.status, Some(78), "{refused:?}");
    assert!(refused.stderr.contains(&advice), "{refused:?}");
}

/// The exit status tells a script that only another user's rights are missing.
#[test]
fn a_file_that_only_root_may_read_is_no_fault_of_its_content() {
    if !is_root() {
        return;
    }
    let server = start(TempDir::new().expect("a directory for the test"));
    let data = server.data_dir();
    let folder = data.parent().expect("of the test");
    let typed = |arguments: &[&str]| -> Output {
        let command = as_user(command_on(&data).args(arguments), folder).output();
        command.expect("the binary runs").into()
    };
    let settings = folder.join("config.toml");
    let people = folder.join("people.csv");
    for (file, content, arguments) in [
        (
            &settings,
            "rate_limit = 7\n",
            &["--config", text(&settings), "config", "check"][..],
        ),
        (
            &people,
            "userName\njane@example.com\n",
            &["user", "import", text(&people)],
        ),
    ] {
        fs::write(file, content).expect("written");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("set");
        let refused = typed(arguments);
        assert_eq!(refused.status, Some(77), "{refused:?}");
        assert!(refused.stderr.contains(text(file)), "{refused:?}");
        chown(file, Some(USER), Some(USER)).expect("root may do that");
        assert_done(&typed(arguments));
    }
    server.stop();
}

/// A command that ignored an unreadable configuration file might use another data directory or CA.
#[test]
fn a_file_of_settings_that_cannot_be_looked_at_is_told() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let ours = as_user(&Command::new("golinks-scim"), folder.path());
    for (made, status, why) in [
        (
            "mkdir -m 700 golinks-scim && echo 'rate_limit = 7' > golinks-scim/config.toml",
            77,
            "Permission denied",
        ),
        (
            "mkdir -m 755 golinks-scim && ln -s /away/config.toml golinks-scim/config.toml",
            78,
            "No such file",
        ),
        ("ln -s /away golinks-scim", 78, "No such file"),
    ] {
        let script = format!(
            "mount -t tmpfs tmpfs /etc && cd /etc && {made} || exit 99; \
             exec setpriv --reuid {USER} --clear-groups {} --data-dir {} config check",
            text(Path::new(ours.get_program())),
            text(folder.path()),
        );
        let Some(output) = with_own_mounts(&script) else {
            return;
        };
        assert_eq!(output.status, Some(status), "{output:?}");
        let told = format!("/etc/golinks-scim/config.toml: {why}");
        assert!(output.stderr.contains(&told), "{output:?}");
    }
}

/// Runs a script in its own mount namespace, where it mounts what it needs. It exits with 99 if it
/// may not mount.
fn with_own_mounts(script: &str) -> Option<Output> {
    let output: Output = without_settings(&mut Command::new("unshare"))
        .args(["--mount", "sh", "-c", script])
        .output()
        .expect("unshare runs")
        .into();
    // A program that exits with 1 has run.
    let has_run = !output.stderr.starts_with("unshare: ");
    let may_mount = has_run && output.status != Some(99);
    if !may_mount {
        println!("skipped: nothing can be mounted here: {output:?}");
    }
    may_mount.then_some(output)
}

/// A drop box: a user who may write but not read there cannot make sure that a name is on disk.
#[test]
fn nothing_is_left_where_a_name_cannot_be_confirmed() {
    if !is_root() {
        return;
    }
    let server = start(TempDir::new().expect("a directory for the test"));
    let data = server.data_dir();
    let folder = data.parent().expect("of the test");
    let drop_box = folder.join("drop");
    fs::create_dir(&drop_box).expect("made");
    fs::set_permissions(&drop_box, fs::Permissions::from_mode(0o1733)).expect("set");
    let file = drop_box.join("copy");
    for arguments in [
        ["backup", "create", text(&file)],
        ["user", "export", text(&file)],
    ] {
        let command = as_user(command_on(&data).args(arguments), folder).output();
        let refused: Output = command.expect("the binary runs").into();
        assert_eq!(refused.status, Some(77), "{refused:?}");
        let left = fs::read_dir(&drop_box).expect("root may").count();
        assert_eq!(left, 0, "{refused:?}");
    }
}

/// The data directory belongs to another user, whose account may be compromised.
#[test]
fn root_takes_nothing_but_a_copy_from_the_data_directory() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new().expect("a directory for the test");
    let secret = directory.path().join("secret");
    fs::write(&secret, b"of root").expect("written");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::write(data.join("users.redb"), FORMAT_2).expect("written");
    let mut turn = 0;
    for copy in [
        "users.redb.new-0123456789abcdef",
        "../secret",
        "users.redb",
        "",
    ] {
        turn += 1;
        let link = data.join("users.redb.new-0123456789abcdef");
        fs::remove_file(&link).ok();
        symlink(&secret, &link).expect("linked");
        let server = Impostor::start(&data, copy);
        let file = directory.path().join(format!("stolen-{turn}"));
        let output = cli_in(&directory, &["backup", "create", text(&file)]);
        server.end();
        assert_eq!(output.status, Some(74), "{copy}: {output:?}");
        assert!(!file.exists(), "{copy}");
        assert_eq!(fs::read(&secret).expect("there"), b"of root");
    }
}

#[test]
fn root_makes_no_keys_where_a_link_of_the_servers_user_leads() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new().expect("a directory for the test");
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("made");
    let tls = data.join("tls");
    symlink(&elsewhere, &tls).expect("linked");
    let request = || cli_in(&directory, &["cert", "request", "--name", "a.example.com"]);
    std::os::unix::fs::lchown(&tls, Some(USER), Some(USER)).expect("root may do that");
    let refused = request();
    assert_eq!(refused.status, Some(77), "{refused:?}");
    assert!(refused.stderr.contains(text(&tls)), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("a symbolic link made by user 65532"),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(&elsewhere).expect("there").count(), 0);
    // A link that belongs to root is followed: an administrator may have moved the directory.
    std::os::unix::fs::lchown(&tls, Some(0), Some(0)).expect("root may do that");
    assert_done(&request());
    assert_eq!(fs::read_dir(&elsewhere).expect("there").count(), 1);
    // Existing files there are no reason to write more there.
    let source = Source::DataDirectory {
        directory: tls.clone(),
        names: Names::new("machine", None),
        host: String::new(),
    };
    let open = || Cell::open(source.clone(), SystemClock.now());
    open().expect("the administrator's link");
    let [chain, key] = ["leaf.pem", "leaf.key"].map(|name| {
        let moved = directory.path().join(name);
        fs::rename(elsewhere.join(name), &moved).expect("moved");
        moved
    });
    let before = fs::read_dir(&elsewhere).expect("there").count();
    std::os::unix::fs::lchown(&tls, Some(USER), Some(USER)).expect("root may do that");
    let installed = certificate::install(&tls, &chain, Some(&key), None, SystemClock.now());
    for refused in [installed.map(drop), open().map(drop)] {
        let refused = refused.expect_err("it would write there").to_string();
        let words = format!("{}: a symbolic link made by user 65532", tls.display());
        assert!(refused.starts_with(&words), "{refused}");
    }
    assert_eq!(fs::read_dir(&elsewhere).expect("there").count(), before);
}

/// Answers at the socket as a compromised server might.
struct Impostor(std::thread::JoinHandle<()>, PathBuf);

impl Impostor {
    fn start(data: &Path, copy: &str) -> Self {
        use std::io::{Read, Write};
        let path = data.join("admin.sock");
        fs::remove_file(&path).ok();
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let body = serde_json::json!({
            "users": 0, "tokens": 0, "auditRows": 0, "sha256": "", "copy": copy,
        });
        let body = body.to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = format!(
                "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("it listens");
        });
        Self(thread, path)
    }

    fn end(self) {
        self.0.join().expect("it does not panic");
        fs::remove_file(self.1).expect("removed");
    }
}
