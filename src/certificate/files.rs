//! Certificate and key files: written whole or not at all, keys for the owner alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Error;
use crate::files;

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Makes the directory, for the owner alone.
pub(super) fn make_directory(directory: &Path) -> Result<(), Error> {
    files::make_directory(directory).map_err(|error| Error::Io(directory.to_owned(), error))
}

/// Writes a file that nobody but us may read.
pub(super) fn write_key(path: &Path, pem: &str) -> Result<(), Error> {
    write(path, pem, KEY_MODE, replace)
}

/// [`write_key`] unless there is such a file: then that stays.
pub(super) fn write_key_once(path: &Path, pem: &str) -> Result<(), Error> {
    match write(path, pem, KEY_MODE, files::appear) {
        Err(Error::Io(_, error)) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Writes a file that anybody may have.
pub(super) fn write_certificate(path: &Path, pem: &str) -> Result<(), Error> {
    write(path, pem, CERTIFICATE_MODE, replace)
}

fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    files::sync_directory_of(path)
}

/// The new content appears under the name all at once, and is on disk when this returns.
/// `give_name` makes a file of its draft.
fn write(
    path: &Path,
    text: &str,
    mode: u32,
    give_name: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<(), Error> {
    let directory = files::directory_of(path);
    files::refuse_link_of_another(directory)
        .map_err(|error| Error::Io(directory.to_owned(), error))?;
    let draft = files::draft_of(path);
    let written = (|| {
        let mut file = files::create(&draft, mode)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        give_name(&draft, path)
    })();
    written.map_err(|error| {
        // The draft is of no use; the error that matters is the first one.
        let _ = fs::remove_file(&draft);
        Error::Io(path.to_owned(), error)
    })
}

/// Reads a key that is ours alone, unless others can read it too.
pub(super) fn read_own_key(path: &Path) -> Result<Vec<u8>, Error> {
    read_unless(path, |_| GROUP | EVERYBODY)
}

/// Reads the key of a chain, unless others can read it too. A file of root's may be readable by its
/// group, through which the server reads it, as those of Debian's `ssl-cert` and of Kubernetes'
/// secrets are.
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

/// Reads a key, unless its mode has one of the bits that must not be set for its owner.
fn read_unless(path: &Path, exposing: impl FnOnce(u32) -> u32) -> Result<Vec<u8>, Error> {
    let io = |error| Error::Io(path.to_owned(), error);
    let metadata = fs::metadata(path).map_err(io)?;
    let exposing = exposing(metadata.uid());
    if metadata.mode() & exposing == 0 {
        return fs::read(path).map_err(io);
    }
    // If the group may read it, the server may be in the group: it must not lose the key.
    let is_shared = exposing & GROUP_READ == 0 && metadata.gid() != 0;
    Err(Error::Exposed {
        path: path.to_owned(),
        chmod: if is_shared { "chmod 640" } else { "chmod 600" },
    })
}

/// Reads a certificate file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Io(path.to_owned(), error))
}
