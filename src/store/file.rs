//! The store's file: how it comes into being, and how it is opened. A new file appears
//! under its name only when it is complete, so that a start that is cut short leaves no
//! half-made store.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::audit::Head;
use super::backend::Backend;
use super::tables::Tables;
use super::{OpenError, ReadError};
use crate::secret;

/// Opens the storage of a store, again after each failure.
pub type Opener = Box<dyn Fn() -> Result<Backend, OpenError> + Send>;

/// Opens the file at `path`, which must exist.
pub(super) fn opener(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Box::new(FileBackend::new(file)?))
    })
}

/// Makes a complete, empty store at `path` if nothing is there. True if it did.
pub(super) fn create_if_absent(path: &Path) -> Result<bool, OpenError> {
    if path.try_exists()? {
        return Ok(false);
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let draft = path.with_extension(format!("new-{}", secret::hex(&secret::random::<8>())));
    let made = create(&draft).and_then(|()| {
        // A link, not a rename: of two processes that start at once, one makes the store
        // and the other finds it.
        match fs::hard_link(&draft, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.into()),
        }
    });
    let removed = fs::remove_file(&draft);
    let made = made?;
    removed?;
    // redb syncs the file, not the directory that names it.
    File::open(directory)?.sync_all()?;
    Ok(made)
}

fn create(draft: &Path) -> Result<(), OpenError> {
    let database = create_private(draft)?;
    initialise(&database)?;
    database.close()?;
    Ok(())
}

/// An empty database in a new file that the server's user alone may read.
/// Fails if there is a file of that name.
pub(super) fn create_private(path: &Path) -> Result<Database, OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(Builder::new().create_with_backend(FileBackend::new(file)?)?)
}

/// Makes the tables in a database that has none.
pub(super) fn initialise(database: &Database) -> Result<(), ReadError> {
    let txn = database.begin_write()?;
    Tables::open(&txn, Head::default())?.initialise()?;
    txn.commit()?;
    Ok(())
}
