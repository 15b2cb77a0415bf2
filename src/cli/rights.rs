//! The permissions of the data directory: as which user the server uses it, and what is wrong with
//! its permissions for that user. Both `serve` and `check` report this. What they advise must not
//! lock out a server that uses another user's directory through its group, or only because
//! everybody may use it. Nobody can see from here whether others need the directory as it is, so
//! what takes rights from them is advised on a condition.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

use super::quoted;
use crate::certificate;
use crate::config;

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

/// What is wrong with the permissions of a data directory, and what fixes it.
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
        let user = if geteuid().as_raw() == store.uid() {
            Self::this(data_dir, directory)
        } else {
            Self::of_store(&store, directory)
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

    /// What is wrong with the directory's permissions for a server that runs as this user.
    pub(super) fn fault(&self, data_dir: &Path, directory: &Metadata) -> Option<Fault> {
        let shown = quoted(data_dir);
        let (mode, owner) = (directory.mode() & 0o7777, directory.uid());
        let (is_owner, this) = (self.id == owner, geteuid().as_raw());
        // For example /tmp.
        if mode & 0o1002 == 0o1002 && (owner == 0 || !is_owner) {
            let what = format!("{shown} is a directory that all users share");
            let fix = NAME_ANOTHER.to_owned();
            return Some(Fault { what, fix });
        }
        let as_root = if this == 0 || this == owner {
            ""
        } else {
            "as root: "
        };
        if is_owner && mode & 0o700 != 0o700 {
            let what = format!("{shown} cannot be used by its owner (mode {mode:o})");
            let fix = format!("{as_root}chmod u+rwx {shown}");
            return Some(Fault { what, fix });
        }
        let give = format!("{} && chmod 700 {shown}", self.give(&shown));
        let (what, command) = if is_owner && mode & 0o077 != 0 {
            let what = format!("users other than its owner can access {shown} (mode {mode:o})");
            (what, Some(format!("chmod 700 {shown}")))
        } else if !self.gets_in {
            let what = format!(
                "{shown} belongs to user {owner} (mode {mode:o}) and is closed to the server's \
                 user, {}",
                self.id
            );
            // Another user's directory is most likely used.
            (what, (owner == 0).then_some(give))
        } else if !is_owner && mode & 0o002 != 0 {
            let what = format!("everybody may write to {shown} (mode {mode:o})");
            let is_by_group = self.is_member && mode & 0o070 == 0o070;
            let close = format!("chmod o-rwx {shown}");
            (what, Some(if is_by_group { close } else { give }))
        } else {
            return None;
        };
        let run = "if another user's server uses it, run this as root or as that user; ";
        let run = if self.gets_in || this == 0 { "" } else { run };
        let change = command.map_or_else(String::new, |command| {
            format!("if only this server uses the directory, {as_root}{command}; ")
        });
        let fix = format!("{run}{change}otherwise {NAME_ANOTHER}");
        Some(Fault { what, fix })
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
