//! The certificate with which `serve` starts: where it comes from, whether it can be used, and what
//! to do if it cannot. `serve`, `config check` and `check` share this code, so that none of them
//! accepts what another refuses. The exception is a chain that clients refuse because of its dates,
//! or because nothing in it leads to an authority that they trust: a starting server serves it, but
//! the other commands refuse it, and so does a running server that serves a better one.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::rights::User;
use super::{Failure, not_a_directory, quoted, status};
use crate::certificate::{self, Error, Names, Source};
use crate::clock::{Clock, SystemClock};
use crate::{config, files};

/// The attribute of a file that contains its access control list.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Where the certificate for a host comes from.
pub(super) fn source(config: &config::Serve, machine: &str, host: &str) -> Source {
    match &config.tls_files {
        Some((chain, key)) => Source::Files {
            chain: chain.clone(),
            key: key.clone(),
            host: host.to_owned(),
        },
        None => Source::DataDirectory {
            directory: certificate::directory(&config.data_dir),
            names: Names::new(machine, Some(host)),
            host: host.to_owned(),
        },
    }
}

/// Checks that the next start could use the existing files, and that clients would accept the
/// certificate. Returns what only some of them might object to. Creates and changes nothing.
pub(super) fn examine(config: &config::Serve) -> Result<Vec<String>, Failure> {
    let host = config.base_url.as_ref().map_or("", |url| url.host());
    let source = source(config, "", host);
    let examined = certificate::examine(&source, SystemClock.now());
    let Some((chain, key)) = &config.tls_files else {
        return examined.map_err(|error| failure(&error, true));
    };
    // This command often runs as root, who can read everything, but the server runs as another
    // user.
    let Ok(directory) = fs::metadata(&config.data_dir) else {
        return examined.map_err(|error| failure(&error, false));
    };
    let server = User::of_server(&config.data_dir, &directory);
    let warnings = examined.map_err(|error| match error {
        Error::Exposed { path, .. } => {
            let error = certificate::exposed(&path, server.id, server.group);
            failure(&error, false)
        }
        error => failure(&error, false),
    })?;
    for path in [chain, key] {
        let Some((closed, found)) = closed_to(server.id, server.group, path) else {
            continue;
        };
        let what = format!(
            "{}: the user that runs the server ({}) may not read it: {} belongs to {}:{} and has \
             mode {:o}",
            path.display(),
            server.id,
            closed.display(),
            found.uid(),
            found.gid(),
            found.mode() & 0o7777
        );
        let fix = certificate::let_read(&closed, server.id, server.group);
        return Err(Failure::new(status::CONFIGURATION, what).hint(fix));
    }
    Ok(warnings)
}

/// What keeps a user from reading a file, as far as owners and modes show: a directory above it or
/// the file itself. The user's other groups are unknown, so a path counts as open if any group
/// except root's may use it, or if it has an access control list (`setfacl`), which may name that
/// user.
fn closed_to(user: u32, group: u32, file: &Path) -> Option<(PathBuf, Metadata)> {
    let closed = |path: &Path, bit: u32| {
        let metadata = fs::metadata(path).ok()?;
        let is_allowed = |shift: u32| (metadata.mode() >> shift) & bit != 0;
        let is_of_other_group = metadata.gid() != group && metadata.gid() == 0;
        let has_list = || rustix::fs::getxattr(path, ACCESS_LIST, &mut [0_u8; 0]).is_ok();
        let is_open = if metadata.uid() == user {
            is_allowed(6)
        } else {
            user == 0 || is_allowed(0) || !is_of_other_group && is_allowed(3) || has_list()
        };
        (!is_open).then(|| (path.to_owned(), metadata))
    };
    // Reading follows links, so the directories above both the link and its target count.
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut above = file.ancestors().skip(1).chain(real.ancestors().skip(1));
    let directory = above.find_map(|it| closed(it, 1));
    directory.or_else(|| closed(&real, 4))
}

/// The failure for an error, with its exit status and what to do. `are_ours` says that the files
/// belong to the data directory: other files may have the same names.
pub(super) fn failure(error: &Error, are_ours: bool) -> Failure {
    let code = match error {
        Error::Io(_, error) if error.kind() == io::ErrorKind::PermissionDenied => {
            status::PERMISSION
        }
        // This may be temporary, so a service manager should try again; nothing is wrong with the
        // file.
        Error::Io(_, io) if files::may_pass(io) => return Failure::new(status::IO, error),
        _ => status::CONFIGURATION,
    };
    let (path, kind) = match error {
        Error::Io(path, io) => (path, Some(io.kind())),
        Error::Bad(path, _) => (path, None),
        Error::Exposed { path, fix } => {
            let what = format!("{} can be read by others", path.display());
            return Failure::new(code, what).hint(fix);
        }
        // Only an installation fails because of this; a start only warns.
        Error::Elsewhere(..) | Error::Sign(_) => return Failure::new(code, error),
    };
    Failure::new(code, error).hint(hint(path, kind, are_ours))
}

/// What to do about a file that cannot be read or, if `kind` is `None`, whose content cannot be
/// used.
fn hint(path: &Path, kind: Option<io::ErrorKind>, are_ours: bool) -> String {
    let directory = files::directory_of(path);
    if kind.is_some() && files::is_away(directory) {
        return format!("bring back what {} links to", quoted(directory));
    }
    // The same goes for the authority's files: they are not lost, only unreadable.
    if kind == Some(io::ErrorKind::PermissionDenied) {
        return "make it readable for the user that runs the server, and run this as that user or \
                as root; {program} check, run as root, names the right owner"
            .to_owned();
    }
    let of_own = are_ours.then(|| hint_of_own(path, kind)).flatten();
    of_own.unwrap_or_else(|| {
        if kind.is_some() {
            "tls_cert and tls_key name a chain and its key".to_owned()
        } else {
            "tls_cert wants the full chain as PEM, tls_key its key".to_owned()
        }
    })
}

/// Like [`hint`], for a file in the data directory.
fn hint_of_own(path: &Path, kind: Option<io::ErrorKind>) -> Option<String> {
    let shown = quoted(path);
    if certificate::is_of_authority(path) {
        return Some(format!(
            "restore ca.pem and ca.key from a backup; if there is none, move away only these two, \
             and give the new {} to every client",
            quoted(&path.with_file_name("ca.pem"))
        ));
    }
    if certificate::is_of_leaf(path) && kind == Some(io::ErrorKind::IsADirectory) {
        return Some(format!("move away {shown}: the next start makes another"));
    }
    if !certificate::is_of_installed(path) {
        return None;
    }
    let directory = files::directory_of(path);
    let data_dir = files::directory_of(directory);
    Some(match kind {
        // This file is looked for first, so the error is about a directory above it, whatever
        // should be in it.
        Some(io::ErrorKind::NotADirectory) if !data_dir.is_dir() => not_a_directory(data_dir),
        Some(io::ErrorKind::NotADirectory) => format!(
            "move away {}, which must be a directory, and restore it from a copy; if there is \
             none, the next start makes a new CA",
            quoted(directory)
        ),
        Some(io::ErrorKind::IsADirectory) => {
            format!("move away {shown}, then: {{program}} cert install CHAIN.pem --key KEY.pem")
        }
        // The file also holds the key, so nobody must be told to remove it.
        Some(_) => "bring it back, or what it links to; if it is lost, {program} cert install \
                    CHAIN.pem --key KEY.pem, or begin with cert request"
            .to_owned(),
        None => {
            "{program} cert install CHAIN.pem; with --key KEY.pem if the key is another".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::XattrFlags;
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn an_authority_that_may_not_be_read_is_not_given_up() {
        let hint = |kind: io::ErrorKind| {
            let path = certificate::directory(Path::new("/d")).join("ca.key");
            failure(&Error::Io(path, kind.into()), true)
                .hint
                .expect("a hint")
                .clone()
        };
        let denied = hint(io::ErrorKind::PermissionDenied);
        assert!(denied.contains("names the right owner"), "{denied}");
        let gone = hint(io::ErrorKind::NotFound);
        assert!(gone.contains("move away only these two"), "{gone}");
        // A customer's file may have the same name as one of ours.
        for name in ["ca.pem", "leaf.pem", "installed.pem"] {
            let path = certificate::directory(Path::new("/d")).join(name);
            let error = Error::Io(path, io::ErrorKind::IsADirectory.into());
            let (ours, theirs) = (failure(&error, true).hint, failure(&error, false).hint);
            let theirs = theirs.unwrap_or_default();
            assert_eq!(theirs, "tls_cert and tls_key name a chain and its key");
            assert_ne!(ours.unwrap_or_default(), theirs, "{name}");
        }
        for passing in [Errno::NOSPC, Errno::FBIG, Errno::MFILE, Errno::STALE] {
            let path = certificate::directory(Path::new("/d")).join("ca.pem");
            let failure = failure(&Error::Io(path, passing.into()), true);
            assert_eq!((failure.status, &failure.hint), (status::IO, &None));
        }
    }

    /// The result of `setfacl -m u:12345:r` on a key and `setfacl -m u:12345:x` on the directory
    /// above it, as certbot hooks do.
    #[test]
    fn what_an_acl_may_open_is_not_called_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let private = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        };
        private(folder.path(), 0o755);
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let path = inner.join("key.pem");
        fs::write(&path, "").expect("written");
        for (opened, bit) in [(&path, 4), (&inner, 1)] {
            private(&inner, 0o700 | if *opened == path { 0o011 } else { 0 });
            private(&path, if *opened == path { 0o600 } else { 0o604 });
            let closed = closed_to(12_345, 12_345, &path).expect("closed");
            assert_eq!(closed.0, *opened);
            // Version 2, followed by tag, permissions and id of each entry: the owner, the user,
            // the group, the mask, others.
            let mut acl = 2_u32.to_le_bytes().to_vec();
            for (tag, rights, id) in [
                (0x01_u16, 7_u16, u32::MAX),
                (0x02, bit, 12_345),
                (0x04, 0, u32::MAX),
                (0x10, bit, u32::MAX),
                (0x20, 0, u32::MAX),
            ] {
                acl.extend(tag.to_le_bytes());
                acl.extend(rights.to_le_bytes());
                acl.extend(id.to_le_bytes());
            }
            match rustix::fs::setxattr(opened, ACCESS_LIST, &acl, XattrFlags::empty()) {
                // On a file system without such lists there is nothing to test.
                Err(Errno::NOTSUP) => return,
                set => set.expect("an ACL"),
            }
            let closed = closed_to(12_345, 12_345, &path);
            assert!(closed.is_none(), "{closed:?}");
            fs::remove_file(&path).expect("removed");
            fs::write(&path, "").expect("written");
        }
    }

    #[test]
    fn files_of_others_and_below_their_directories_are_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let path = inner.join("key.pem");
        fs::write(&path, "").expect("written");
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        };
        let owner = fs::metadata(&path).expect("there");
        set(folder.path(), 0o755);
        for (directory, file, ours, theirs) in [
            (0o755, 0o644, true, true),
            (0o755, 0o600, true, false),
            (0o700, 0o644, true, false),
            (0o711, 0o604, true, true),
        ] {
            set(&path, file);
            set(&inner, directory);
            let is_read = closed_to(owner.uid(), owner.gid(), &path).is_none();
            assert_eq!(is_read, ours, "{directory:o} {file:o}");
            let is_read = closed_to(12_345, 12_345, &path).is_none();
            assert_eq!(is_read, theirs, "{directory:o} {file:o}");
        }
    }
}
