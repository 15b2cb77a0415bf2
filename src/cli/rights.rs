//! The permissions of the data directory: as which user the server uses it, and what is wrong with
//! its permissions for that user. Both `serve` and `check` report this. The command they show must
//! not lock out a server that uses another user's directory through its group, or only because
//! everybody may use it.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

use super::quoted;
use crate::certificate;
use crate::config;
use crate::local::{self, Peer};

const NAME_ANOTHER: &str = "name a directory of the server's own with --data-dir";

/// The user as which a server uses a data directory.
pub(super) struct User {
    pub(super) id: u32,
    pub(super) group: u32,
    /// Whether this user is certainly a member of the directory's group.
    is_member: bool,
    /// Whether this user has access to the directory. True if in doubt.
    gets_in: bool,
}

/// What is wrong with the permissions of a data directory, and the command that fixes them.
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) fix: String,
}

impl User {
    /// The user of this process, which is about to serve. If it runs as root, the user to whom the
    /// files belong.
    pub(super) fn at_start(data_dir: &Path, directory: &Metadata) -> Self {
        if geteuid().is_root() {
            Self::of_server(data_dir, directory)
        } else {
            Self::this(data_dir, directory)
        }
    }

    /// The user of the server that keeps its files there, whether it runs or not: the directory's
    /// owner, unless everything that a server creates belongs to one other user.
    pub(super) fn of_server(data_dir: &Path, directory: &Metadata) -> Self {
        let owner = Self {
            id: directory.uid(),
            group: directory.gid(),
            is_member: true,
            gets_in: true,
        };
        let Some(store) = store_of_maker(data_dir).filter(|it| it.uid() != owner.id) else {
            return owner;
        };
        let user = match Self::running(data_dir, directory) {
            // The server runs as root, on behalf of the directory's owner.
            Some(server) if server.id != store.uid() => return owner,
            Some(server) => server,
            None if geteuid().as_raw() == store.uid() => Self::this(data_dir, directory),
            None => Self::of_store(&store, directory),
        };
        // If the directory belongs to root, it was made for the store's owner. If it belongs to
        // another user, the files were probably put there by mistake.
        if directory.uid() == 0 || user.gets_in {
            user
        } else {
            owner
        }
    }

    fn this(data_dir: &Path, directory: &Metadata) -> Self {
        let groups = getgroups().unwrap_or_default();
        let mut groups = groups.into_iter().chain([getegid()]);
        let needed = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        // The modes are not the whole truth: there may be an access control list.
        let access = rustix::fs::accessat(CWD, data_dir, needed, AtFlags::EACCESS);
        Self {
            id: geteuid().as_raw(),
            group: getegid().as_raw(),
            is_member: groups.any(|it| it.as_raw() == directory.gid()),
            gets_in: access != Err(Errno::ACCESS),
        }
    }

    /// The user of the server that answers there, if its process can be inspected.
    fn running(data_dir: &Path, directory: &Metadata) -> Option<Self> {
        let Peer(process) = local::server_of(data_dir)?;
        let status = fs::read_to_string(format!("/proc/{}/status", process?)).ok()?;
        let ids = |name: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        // The real id comes first, then the effective one.
        let group = *ids("Gid:").get(1)?;
        Some(Self {
            id: *ids("Uid:").get(1)?,
            group,
            is_member: group == directory.gid() || ids("Groups:").contains(&directory.gid()),
            gets_in: true,
        })
    }

    /// The store's owner, whose other groups are unknown.
    fn of_store(store: &Metadata, directory: &Metadata) -> Self {
        let mode = directory.mode();
        // With this bit set, new files get the directory's group, no matter who creates them.
        let is_inherited = mode & 0o2000 != 0;
        Self {
            id: store.uid(),
            group: store.gid(),
            is_member: store.gid() == directory.gid() && !is_inherited,
            gets_in: mode & 0o070 == 0o070 || mode & 0o007 == 0o007,
        }
    }

    /// The command that gives a path, quoted for a shell, to this user.
    pub(super) fn give(&self, path: &str) -> String {
        format!("chown {}:{} {path}", self.id, self.group)
    }

    /// The command prefix that runs a command as this user, with the user's own group and, if
    /// needed, the one that gives access to the directory, but no others.
    pub(super) fn setpriv(&self, directory: &Metadata) -> String {
        let (id, group) = (self.id, self.group);
        let is_by_group = id != directory.uid() && directory.mode() & 0o007 != 0o007;
        let groups = if is_by_group && group != directory.gid() {
            format!("--groups {}", directory.gid())
        } else {
            "--clear-groups".to_owned()
        };
        format!("setpriv --reuid {id} --regid {group} {groups}")
    }

    /// Whether a directory that is closed to this user may belong to another user's server.
    fn is_for_another(&self, data_dir: &Path, directory: &Metadata) -> bool {
        match fs::symlink_metadata(config::store_path(data_dir)) {
            Ok(store) => store.uid() != self.id,
            // A directory of root's was most likely made for the server, unless it is open to a
            // group.
            Err(error) => {
                let is_roots = directory.uid() == 0 && directory.mode() & 0o070 != 0o070;
                error.kind() == ErrorKind::PermissionDenied && !is_roots
            }
        }
    }

    /// What is wrong with the directory's permissions for a server that runs as this user.
    pub(super) fn fault(&self, data_dir: &Path, directory: &Metadata) -> Option<Fault> {
        let owner = directory.uid();
        if let Some(fault) = self.wrong_directory(data_dir, directory) {
            return Some(fault);
        }
        let (mut what, command) = self.wrong_rights(&quoted(data_dir), directory)?;
        let this = geteuid().as_raw();
        let mut fix = if this == 0 || this == owner {
            command
        } else {
            format!("as root: {command}")
        };
        if let Some(other) = of_others(data_dir) {
            what = format!("{what}, and {} may be another program's", quoted(&other));
            fix =
                format!("if only this server uses the directory, {fix}; otherwise {NAME_ANOTHER}");
        }
        Some(Fault { what, fix })
    }

    /// What is wrong with a directory that others need as it is, so that no command may change it.
    fn wrong_directory(&self, data_dir: &Path, directory: &Metadata) -> Option<Fault> {
        let shown = quoted(data_dir);
        let owner = directory.uid();
        if self.id != owner && !self.gets_in && self.is_for_another(data_dir, directory) {
            let what = self.closed(&shown, owner);
            let who = match owner {
                0 => "root".to_owned(),
                _ => format!("root or as user {owner}"),
            };
            let fix = format!(
                "if it is that user's server, run this as {who}; otherwise name another directory \
                 with --data-dir"
            );
            return Some(Fault { what, fix });
        }
        // For example /tmp.
        let is_open = directory.mode() & 0o1002 == 0o1002;
        let is_shared = is_open && (owner == 0 || owner != self.id);
        is_shared.then(|| Fault {
            what: format!("{shown} is a directory that all users share"),
            fix: NAME_ANOTHER.to_owned(),
        })
    }

    /// What is wrong with the permissions of a directory that only the server uses, and the command
    /// that fixes them.
    fn wrong_rights(&self, shown: &str, directory: &Metadata) -> Option<(String, String)> {
        let (mode, owner) = (directory.mode(), directory.uid());
        let close = format!("chmod 700 {shown}");
        let give = || format!("{} && {close}", self.give(shown));
        let is_owner = self.id == owner;
        Some(if is_owner && mode & 0o700 != 0o700 {
            (format!("{shown} cannot be used by its owner"), close)
        } else if is_owner && mode & 0o077 != 0 {
            let what = format!("users other than its owner can access {shown}");
            (what, close)
        } else if !self.gets_in {
            (self.closed(shown, owner), give())
        } else if !is_owner && mode & 0o002 != 0 {
            let what = format!("everybody may write to {shown}");
            if self.is_member && mode & 0o070 == 0o070 {
                (what, format!("chmod o-rwx {shown}"))
            } else {
                (what, give())
            }
        } else {
            return None;
        })
    }

    fn closed(&self, shown: &str, owner: u32) -> String {
        format!(
            "{shown} belongs to user {owner} and is closed to the server's user, {}",
            self.id
        )
    }
}

/// The store's metadata, if everything that a server creates (the store, keys and a socket) belongs
/// to a single user other than root.
fn store_of_maker(data_dir: &Path) -> Option<Metadata> {
    let store = fs::metadata(config::store_path(data_dir)).ok()?;
    let tls = fs::metadata(certificate::directory(data_dir)).ok();
    let socket = config::socket_path(data_dir).ok();
    let socket = socket.and_then(|path| fs::metadata(path).ok());
    let mut others = [tls, socket].into_iter().flatten();
    let is_one = others.all(|it| it.uid() == store.uid());
    (store.uid() != 0 && is_one).then_some(store)
}

/// The first entry of the data directory that no server creates. If it is another program's, the
/// directory was named by mistake, and that program needs it as it is.
fn of_others(data_dir: &Path) -> Option<PathBuf> {
    // The store and everything that is created next to it, the keys, the socket, the directory
    // that an ext file system has at its top, and backups.
    const OURS: [&str; 6] = ["users", "tls", "admin", "lost+found", "backup", "backups"];
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().is_some_and(|it| OURS.contains(&it)) || name.ends_with(".redb")
    };
    let entries = fs::read_dir(data_dir).into_iter().flatten();
    let others = entries.flatten().map(|entry| entry.path());
    others.filter(|path| !is_ours(path)).min()
}
