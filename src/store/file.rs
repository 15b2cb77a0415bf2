//! The store's file: how it is created and how it is opened. A new file gets its name only when it
//! is complete, so that an interrupted start leaves no half-made store.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev};
use rustix::io::Errno;

use super::audit::ChainPosition;
use super::backend::Backend;
use super::holes::WithoutHoles;
use super::tables::Tables;
use super::{OpenError, ReadError};
use crate::{files, limits};

const MODE: u32 = 0o600;

/// How every file of redb begins (section *Database header* of its design).
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Opens the storage of a store, at the start and again after each failure.
pub type Opener = Box<dyn Fn() -> Result<Backend, OpenError> + Send + Sync>;

/// Where a store is, and how it is opened.
pub(super) struct Site {
    pub(super) opener: Opener,
    /// Opens a storage that takes no writes.
    pub(super) reader: Opener,
    /// The path of the file. `None` for any other storage, which is not backed up before an
    /// upgrade.
    pub(super) path: Option<PathBuf>,
}

impl Site {
    /// The file at `path`, which must be a store.
    pub(super) fn file(path: &Path) -> Self {
        Self {
            opener: opener(path),
            reader: reader(path),
            path: Some(path.to_owned()),
        }
    }

    /// The identity of the file that is at the path now; `None` if the storage is not a file.
    pub(super) fn identity(&self) -> io::Result<Option<Identity>> {
        self.path.as_deref().map(identity).transpose()
    }

    /// The storage that `opener` opens.
    pub(super) fn of(opener: Opener) -> Self {
        let opener = Arc::new(opener);
        let again = Arc::clone(&opener);
        Self {
            opener: Box::new(move || opener()),
            reader: Box::new(move || again()),
            path: None,
        }
    }
}

/// Identifies a file independently of its path.
#[derive(Debug, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// The identity of the file that is at the path now. It changes when a restore puts another file
/// there.
///
/// Asks for nothing else. Since Linux 6.13, whoever asks for the times of a file has the next write
/// change them, and on ext4 without a journal each sync then also writes the inode: asked for at
/// each commit, that was a tenth of a sync.
pub(super) fn identity(path: &Path) -> io::Result<Identity> {
    match rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => Ok(Identity {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        }),
        // Linux before 4.11, or a sandbox that is older than this call.
        Err(Errno::NOSYS) => {
            let found = fs::metadata(path)?;
            Ok(Identity {
                device: found.dev(),
                inode: found.ino(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the file at `path`, which must be a store.
pub(super) fn opener(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || open(&path))
}

/// Opens the file at `path`. If its file system is read-only, opens it for reading only.
fn reader(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || match open(&path) {
        Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            Ok(Box::new(Readable::open(&path)?))
        }
        other => other,
    })
}

fn open(path: &Path) -> Result<Backend, OpenError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    require_store(&file)?;
    Ok(Box::new(WithoutHoles::new(file)?))
}

/// Refuses an empty file, since redb would make a new database of it, and all users would be gone.
/// Also refuses any other file that is no database, in words for people.
fn require_store(file: &File) -> Result<(), OpenError> {
    let mut start = [0; MAGIC.len()];
    let what = match file.read_exact_at(&mut start, 0) {
        Ok(()) if start == *MAGIC => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
        _ if file.metadata()?.len() == 0 => "the file is empty",
        _ => "the file does not begin like a store of golinks-scim",
    };
    Err(OpenError::Damaged(what.to_owned()))
}

/// Locks the store at `path` without reading it, as a server that has it open would.
pub(super) fn lock(path: &Path) -> Result<FileBackend, OpenError> {
    let before = identity(path)?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let backend = FileBackend::new(file)?;
    match backend.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        Ok(true) if identity(path)? == before => Ok(backend),
        Ok(_) => Err(OpenError::Locked),
        Err(error) => Err(io::Error::other(error.to_string()).into()),
    }
}

/// A file that is only read, and not locked: this process may lack write access to a backup.
#[derive(Debug)]
pub(super) struct Readable(File);

impl Readable {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path)?;
        require_store(&file)?;
        Ok(Self(file))
    }
}

impl StorageBackend for Readable {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Makes a complete, empty store at `path` if nothing is there, and returns whether it did so.
pub(super) fn create_if_absent(path: &Path) -> Result<bool, OpenError> {
    let made = !path.try_exists()? && make(path)?;
    // redb syncs the file, not its directory. A process that made the file may also have ended
    // before the name was on disk.
    files::sync_directory_of(path)?;
    Ok(made)
}

/// Makes the store. Returns false if another process was quicker.
fn make(path: &Path) -> Result<bool, OpenError> {
    let draft = files::draft_of(path);
    let made = create(&draft).and_then(|()| {
        // A link, not a rename: of two processes that start at once, one makes the store
        // and the other finds it.
        match fs::hard_link(&draft, path) {
            Ok(()) => Ok(true),
            // A quicker process may have removed our draft as a leftover.
            Err(_) if path.try_exists()? => Ok(false),
            Err(error) => Err(error.into()),
        }
    });
    let removed = match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let made = made?;
    removed?;
    Ok(made)
}

fn create(draft: &Path) -> Result<(), OpenError> {
    let database = create_private(draft)?;
    initialise(&database)?;
    database.close()?;
    Ok(())
}

/// Makes an empty database in a new file that only the server's user may read. Fails if the file
/// exists.
pub(super) fn create_private(path: &Path) -> Result<Database, OpenError> {
    let file = files::create(path, MODE)?;
    database(FileBackend::new(file)?)
}

/// The database in a storage, or a new one if the storage is empty.
pub(super) fn database(storage: impl StorageBackend) -> Result<Database, OpenError> {
    let (least, most) = (limits::STORE_CACHE_BYTES_MIN, limits::STORE_CACHE_BYTES_MAX);
    let bytes = usize::try_from(storage.len()?).unwrap_or(usize::MAX);
    let mut builder = Builder::new();
    builder.set_cache_size((bytes / limits::STORE_CACHE_PART).clamp(least, most));
    Ok(builder.create_with_backend(storage)?)
}

/// Copies a file that nobody writes to; the copy is on disk when this returns.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let mut from = File::open(from)?;
    let mut to = files::create(to, MODE)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    Ok(())
}

/// Removes drafts that a killed process left beside the store at `path`. Only the process that
/// holds the store may call this: no other process may write there meanwhile. Keeps files written
/// since `before`, in seconds since the epoch.
pub(super) fn remove_leftovers(path: &Path, before: Option<i64>) {
    let (Some(name), Some(stem)) = (
        path.file_name().and_then(|name| name.to_str()),
        path.file_stem().and_then(|stem| stem.to_str()),
    ) else {
        return;
    };
    let of_upgrade = format!("{stem}.format-");
    let is_ours = |of: &str| of == name || of.starts_with(&of_upgrade);
    files::remove_drafts(files::directory_of(path), before, is_ours);
}

/// Makes the tables in a database that has none.
pub(super) fn initialise(database: &Database) -> Result<(), ReadError> {
    let txn = database.begin_write()?;
    Tables::new(&txn, ChainPosition::default()).initialise()?;
    txn.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A write gets the time of the last tick of the clock, or the latest that any file has got
    /// since, and the inode need not be written again at each sync. If somebody has asked for the
    /// times since the last write, it gets its own.
    #[test]
    fn who_asks_for_the_identity_does_not_have_the_next_write_change_the_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let [before, file, beside] =
            ["before", "file", "beside"].map(|name| File::create(path(name)).expect("made"));
        let write = |mut file: &File| file.write_all(b"1").expect("written");
        let time = |file: &File| {
            let found = file.metadata().expect("there");
            (found.mtime(), found.mtime_nsec())
        };
        let has_time_of_others = (0..100).any(|_| {
            // Longer than a tick, since the last turn has asked for the times.
            thread::sleep(Duration::from_millis(11));
            write(&before);
            write(&file);
            identity(&path("file")).expect("there");
            write(&beside);
            write(&file);
            // A tick may have passed meanwhile, or another test's file have got its own time.
            time(&before) == time(&beside) && time(&file) == time(&beside)
        });
        assert!(has_time_of_others);
    }
}
