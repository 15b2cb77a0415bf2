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
    read_unless(path, |_| 0o077)
}

/// Reads the key of a chain, unless others can read it too. A file of root's may be readable by its
/// group, through which the server reads it, as those of Debian's `ssl-cert` and of Kubernetes'
/// secrets are.
pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    read_unless(path, |owner| if owner == 0 { 0o037 } else { 0o077 })
}

fn read_unless(path: &Path, of_others: impl FnOnce(u32) -> u32) -> Result<Vec<u8>, Error> {
    let io = |error| Error::Io(path.to_owned(), error);
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.mode() & of_others(metadata.uid()) != 0 {
        return Err(Error::Exposed(path.to_owned()));
    }
    fs::read(path).map_err(io)
}

/// Reads a certificate file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Io(path.to_owned(), error))
}

/// What takes a key away from others, and leaves it to the server.
pub fn mend_of_exposed(path: &Path) -> &'static str {
    // One that only its group reads, and is refused, is ours alone.
    let is_shared = |it: fs::Metadata| it.uid() == 0 && it.gid() != 0 && it.mode() & 0o037 != 0;
    if fs::metadata(path).is_ok_and(is_shared) {
        "chmod 640"
    } else {
        "chmod 600"
    }
}
