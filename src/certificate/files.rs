//! Certificate and key files: written completely or not at all, and keys readable only for the
//! owner.

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use memchr::memmem;
use rustix::process::{getegid, geteuid, getgroups};

use super::Error;
use crate::files;
use crate::fix::quoted;
use crate::limits;

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
    let read = read(path);
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
        // The file stays with its owner, who needs it, and with its group.
        let close = match key.mode() & EVERYBODY {
            0 => "",
            _ => "close it to others, and ",
        };
        format!(
            "{close}name a copy that belongs to user {user} and has mode 600: golinks-scim manual \
             certificates"
        )
    };
    Error::Exposed {
        path: path.to_owned(),
        fix,
    }
}

/// Where the files of a service belong.
const PLACE: &str = "/etc/golinks-scim";

/// Whether it is a file in [`PLACE`], rather than a link to one that others may need.
fn is_in_place(path: &Path) -> bool {
    let place = fs::canonicalize(PLACE).ok();
    let real = fs::canonicalize(path);
    real.is_ok_and(|real| real.is_file() && real.parent() == place.as_deref())
}

/// How to let a server with this user and group read a file if `closed`, which is the file itself
/// or a directory above it, is closed to that user.
pub fn let_read(closed: &Path, user: u32, group: u32) -> String {
    if is_in_place(closed) {
        return give(closed, user, group);
    }
    format!(
        "let user {user} read the file and enter each directory above it, or name a copy for which \
         this holds; nobody else may read a key: golinks-scim manual certificates"
    )
}

fn give(path: &Path, user: u32, group: u32) -> String {
    let shown = quoted(path);
    format!("chown {user}:{group} {shown} && chmod 600 {shown}")
}

fn holds_key(text: &[u8]) -> bool {
    memmem::find(text, b"PRIVATE KEY-----").is_some()
}

/// Reads a certificate file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    files::read_bounded(path, limits::CERTIFICATE_FILE_BYTES_MAX)
        .map_err(|error| Error::Io(path.to_owned(), error))
}
