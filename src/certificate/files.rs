//! Certificate and key files: written completely or not at all, and keys readable only for the
//! owner.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memchr::memmem;
use rustix::process::{getegid, geteuid, getgroups};

use super::Error;
use crate::files;
use crate::fix::quoted;

/// The mode of keys and certificates. Certificates need no wider one, since nobody else can open
/// the directory.
const MODE: u32 = 0o600;

/// Creates the directory, open only to its owner.
pub(super) fn make_directory(directory: &Path) -> Result<(), Error> {
    files::make_directory(directory).map_err(|error| {
        // The system would say that the path exists, which does not say what is wrong.
        let is_file = error.kind() == io::ErrorKind::AlreadyExists && directory.is_file();
        let not_a_directory = || io::ErrorKind::NotADirectory.into();
        let error = if is_file { not_a_directory() } else { error };
        Error::Io(directory.to_owned(), error)
    })
}

/// Writes a file that only its owner can read.
pub(super) fn write(path: &Path, pem: &str) -> Result<(), Error> {
    write_by(path, pem, replace)
}

/// Like [`write`], but leaves an existing file as it is.
pub(super) fn write_once(path: &Path, pem: &str) -> Result<(), Error> {
    match write_by(path, pem, files::publish) {
        Err(Error::Io(_, error)) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    let directory = files::Directory::of(path)?;
    fs::rename(draft, path)?;
    directory.confirm()
}

/// Writes a file whose content appears under its name all at once, and is on disk when this
/// function returns. `give_name` turns the draft into that file.
fn write_by(
    path: &Path,
    text: &str,
    give_name: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<(), Error> {
    let directory = files::directory_of(path);
    files::refuse_link_of_another(directory)
        .map_err(|error| Error::Io(directory.to_owned(), error))?;
    let draft = files::draft_of(path);
    let written = (|| {
        let mut file = files::create(&draft, MODE)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        give_name(&draft, path)
    })();
    written.map_err(|error| {
        // The draft is useless, and the first error is the one that matters.
        let _ = fs::remove_file(&draft);
        Error::Io(path.to_owned(), error)
    })
}

/// Reads a key that this program made. Fails if others can read it too.
pub(super) fn read_own_key(path: &Path) -> Result<Vec<u8>, Error> {
    read_unless(path, |_| GROUP | EVERYBODY)
}

/// Reads the key of a chain. Fails if others can read it too, except that a file owned by root may
/// be readable for the group through which the server reads it, as with Debian's `ssl-cert` and
/// Kubernetes' secrets.
pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    read_unless(path, |owner| {
        let of_group = if owner == 0 {
            GROUP & !GROUP_READ
        } else {
            GROUP
        };
        of_group | EVERYBODY
    })
}

const GROUP: u32 = 0o070;
const GROUP_READ: u32 = 0o040;
const EVERYBODY: u32 = 0o007;

/// Reads a key. Fails if its mode has one of the bits that `exposing` returns for the file's owner.
fn read_unless(path: &Path, exposing: impl FnOnce(u32) -> u32) -> Result<Vec<u8>, Error> {
    let io = |error| Error::Io(path.to_owned(), error);
    let metadata = fs::metadata(path).map_err(io)?;
    let exposing = exposing(metadata.uid());
    let read = fs::read(path).map_err(io);
    // Only a regular file can expose a key: others cannot read one out of a pipe or a device, and a
    // directory holds none.
    if !metadata.is_file() || metadata.mode() & exposing == 0 {
        return read;
    }
    match read {
        // A file without a key is left to the caller, who reports what is wrong with it. It may
        // belong to the system, so nobody must be told to close it.
        Ok(text) if !holds_key(&text) => Ok(text),
        _ => {
            let groups = getgroups().unwrap_or_default();
            let is_ours = |group: u32| {
                group == getegid().as_raw() || groups.iter().any(|it| it.as_raw() == group)
            };
            let may_share =
                exposing & GROUP_READ == 0 && (geteuid().is_root() || is_ours(metadata.gid()));
            let ids = (geteuid().as_raw(), getegid().as_raw());
            Err(exposed_by(path, &metadata, may_share, ids))
        }
    }
}

/// The error for a chain's exposed key, with the command that keeps the key readable for a server
/// with this user and group. The user's other groups are unknown.
pub fn exposed(path: &Path, user: u32, group: u32) -> Error {
    match fs::metadata(path) {
        Ok(metadata) => {
            let may_share = metadata.uid() == 0 && metadata.gid() == group;
            exposed_by(path, &metadata, may_share, (user, group))
        }
        Err(error) => Error::Io(path.to_owned(), error),
    }
}

/// `may_share` says that the key may stay readable for its group, through which the server reads
/// it.
fn exposed_by(path: &Path, key: &Metadata, may_share: bool, (user, group): (u32, u32)) -> Error {
    let shown = quoted(path);
    let fix = if may_share && key.gid() != 0 {
        format!("chmod 640 {shown}")
    } else if user == 0 || key.uid() == user {
        format!("chmod 600 {shown}")
    } else if (key.uid(), key.gid()) == (0, 0) || is_in_place(path) {
        give(path, user, group)
    } else {
        // The file stays with its owner, who needs it.
        format!("chmod o-rwx {shown} && {}", copy_for(path, user, group))
    };
    Error::Exposed {
        path: path.to_owned(),
        fix,
    }
}

/// Where the files of a service belong.
const PLACE: &str = "/etc/golinks-scim";

/// Whether the file itself is in [`PLACE`], rather than a link to a file that others may need.
fn is_in_place(path: &Path) -> bool {
    let place = fs::canonicalize(PLACE).ok();
    fs::canonicalize(path).is_ok_and(|real| real.parent() == place.as_deref())
}

/// The command, with an introduction, that lets a server with this user and group read a file that
/// is closed to it.
pub fn let_read(path: &Path, user: u32, group: u32) -> String {
    if is_in_place(path) {
        format!("give it to that user: {}", give(path, user, group))
    } else {
        let copy = copy_for(path, user, group);
        format!("copy it to where that user can read it: {copy}")
    }
}

fn give(path: &Path, user: u32, group: u32) -> String {
    let shown = quoted(path);
    format!("chown {user}:{group} {shown} && chmod 600 {shown}")
}

/// The command that copies a file to where a server with this user and group can read it, and the
/// instruction for what to do next.
fn copy_for(path: &Path, user: u32, group: u32) -> String {
    let copy = quoted(&free_name(Path::new(PLACE), path));
    let path = quoted(path);
    format!("install -D -o {user} -g {group} -m 600 {path} {copy}, and name the copy")
}

/// A path in `place` for a copy of the file, under a name that no other file has.
fn free_name(place: &Path, file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default();
    let mut path = place.join(name);
    let mut number = 2;
    while fs::symlink_metadata(&path).is_ok() {
        let mut numbered = OsString::from(format!("{number}-"));
        numbered.push(name);
        path = place.join(numbered);
        number += 1;
    }
    path
}

fn holds_key(text: &[u8]) -> bool {
    memmem::find(text, b"PRIVATE KEY-----").is_some()
}

/// Reads a certificate file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Io(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_no_other_files_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = |file: &str| {
            let path = free_name(folder.path(), Path::new(file));
            fs::write(&path, "").expect("written");
            path.file_name()
                .and_then(|name| name.to_str())
                .map(str::to_owned)
        };
        for (file, wanted) in [
            ("/a/key.pem", "key.pem"),
            ("/b/key.pem", "2-key.pem"),
            ("/c/key.pem", "3-key.pem"),
            ("/a/chain.pem", "chain.pem"),
        ] {
            assert_eq!(copy(file).as_deref(), Some(wanted), "{file}");
        }
        // Writing to a dangling link would write to the link's target.
        std::os::unix::fs::symlink("/nowhere", folder.path().join("linked.pem")).expect("linked");
        assert_eq!(copy("linked.pem").as_deref(), Some("2-linked.pem"));
    }
}
