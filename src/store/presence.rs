//! Whether the store's file is still where it was opened. A file that was removed or replaced can
//! be read and written as long as it is open, and disappears when the server ends: later writes to
//! it would reach the disk, but nobody could ever find them. Nor could anybody in a file that was
//! overwritten: it would be part of one store and part of another.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::backend::Header;
use super::error::OpenError;
use super::file::{Identity, identity};
use crate::fix::Fix;
use crate::locks::ignore_poison;

/// How to rescue the content of a store whose file is lost.
pub const RESCUE: &str = "until the server stops, it can save what it still has: {program} backup \
                          create FILE, then stop it, and {program} backup restore FILE";

/// Where the open file was, and whether it is still there.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// `None` for a storage that is not a file, and is never lost.
    opened: Mutex<Option<Opened>>,
    is_lost: AtomicBool,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    identity: Identity,
    file: File,
    header: Arc<Header>,
}

impl Opened {
    fn is_overwritten(&self) -> bool {
        self.header.is_overwritten_in(&self.file)
    }
}

impl Presence {
    /// Notes which file is open, and where to find the header that was written to it last.
    pub(super) fn note(
        &self,
        path: &Path,
        identity: Identity,
        header: Arc<Header>,
    ) -> io::Result<()> {
        *ignore_poison(self.opened.lock()) = Some(Opened {
            path: path.to_owned(),
            identity,
            file: File::open(path)?,
            header,
        });
        Ok(())
    }

    /// Whether the open file, wherever it is, was overwritten.
    pub(super) fn is_overwritten(&self) -> bool {
        let opened = ignore_poison(self.opened.lock());
        opened.as_ref().is_some_and(Opened::is_overwritten)
    }

    /// Forgets the header: the file is being closed, and until it is noted again, it may be written
    /// by the attempts to reopen it or by another process.
    pub(super) fn forget_header(&self) {
        if let Some(opened) = &mut *ignore_poison(self.opened.lock()) {
            opened.header = Arc::default();
        }
    }

    /// Fails if `found`, the file that is at the path now, is not the file that was open: it does
    /// not hold the users that this process serves.
    pub(super) fn require_same(&self, found: Option<&Identity>) -> Result<(), OpenError> {
        let opened = ignore_poison(self.opened.lock());
        let is_same = (opened.as_ref()).is_none_or(|it| Some(&it.identity) == found);
        if is_same {
            return Ok(());
        }
        let what = "the store's file was removed or replaced while the server ran: put it back, or \
                    put the right one there and restart the server";
        Err(OpenError::Io(io::Error::other(what)))
    }

    /// Whether the file was lost at the last look.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// Looks whether the file is lost, and logs a change. A look is one `stat` and one `pread`,
    /// which take a microsecond.
    pub(super) fn look(&self) -> bool {
        let opened = ignore_poison(self.opened.lock());
        let Some(opened) = &*opened else {
            return false;
        };
        let loss = match identity(&opened.path) {
            Ok(found) if found != opened.identity => Some("was replaced by another file"),
            Ok(_) => opened.is_overwritten().then_some("was overwritten"),
            Err(error) if is_absence(&error) => Some("is gone"),
            // Any other error, for example a directory that may not be searched, says nothing about
            // the file.
            Err(_) => return self.is_lost(),
        };
        let was_lost = self.is_lost.swap(loss.is_some(), Ordering::SeqCst);
        let shown = opened.path.display();
        match loss {
            Some(how) if !was_lost => log::error!(
                "the store's file {shown} {how}: users can be read, not changed; {}",
                Fix::new(RESCUE)
            ),
            None if was_lost => log::warn!("the store's file {shown} is back: it is written again"),
            _ => {}
        }
        loss.is_some()
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;
    use std::{fs, thread};

    use redb::{BackendError, StorageBackend};

    use super::super::backend::{Backend, StorageFault, delegate_locks};
    use super::super::file::{Site, create_if_absent, opener};
    use super::super::writer::Writer;
    use super::super::{Change, Shared, Store, WriteError};
    use super::*;

    /// What a storage is to do, and what it has seen.
    #[derive(Debug, Default)]
    struct Watch {
        /// Whether the file is to be removed before the next sync.
        is_due: AtomicBool,
        writes: AtomicUsize,
        /// Whether the file counted as lost before a sync.
        has_missed_it: AtomicBool,
    }

    #[derive(Debug)]
    struct Watched {
        inner: Backend,
        path: PathBuf,
        presence: Arc<Presence>,
        watch: Arc<Watch>,
    }

    impl StorageBackend for Watched {
        fn len(&self) -> io::Result<u64> {
            self.inner.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.inner.read(offset, out)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.inner.set_len(length)
        }

        fn sync_data(&self) -> io::Result<()> {
            if self.presence.look() {
                self.watch.has_missed_it.store(true, Ordering::SeqCst);
            }
            if self.watch.is_due.swap(false, Ordering::SeqCst) {
                fs::remove_file(&self.path)?;
            }
            self.inner.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.watch.writes.fetch_add(1, Ordering::SeqCst);
            self.inner.write(offset, data)
        }

        fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
            self.inner.try_lock_range(from, to)
        }

        delegate_locks!();
    }

    /// The writer of a new store at `path`.
    fn writer(path: &Path, watch: &Arc<Watch>) -> Writer {
        create_if_absent(path).expect("made");
        let (open, of, watch) = (opener(path), path.to_owned(), Arc::clone(watch));
        let shared = Shared::default();
        let presence = Arc::clone(&shared.presence);
        let site = Site {
            opener: Box::new(move || {
                Ok(Box::new(Watched {
                    inner: open()?,
                    path: of.clone(),
                    presence: Arc::clone(&presence),
                    watch: Arc::clone(&watch),
                }))
            }),
            ..Site::file(path)
        };
        let describe = |_: &[u8]| Err("there is no user".to_owned());
        Writer::new(site, describe, shared, true)
    }

    /// A checkpoint that fails would close the lost file, and everything in it would be gone.
    #[test]
    fn no_checkpoint_is_made_of_a_lost_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let watch = Arc::<Watch>::default();
        let writer = writer(&path, &watch);
        let mut open = writer.open(Duration::ZERO).expect("it is there");
        open.unchecked = true;
        fs::remove_file(&path).expect("there");
        let before = watch.writes.load(Ordering::SeqCst);
        let is_written = || watch.writes.load(Ordering::SeqCst) > before;
        thread::scope(|scope| {
            scope.spawn(|| {
                // Either comes when the queue has been empty for a while.
                while !is_written() && !writer.shared.presence.is_lost() {
                    thread::sleep(Duration::from_millis(1));
                }
                writer.queue.close();
            });
            let next = writer.next(&mut open);
            assert!(matches!(next, Ok(None)));
        });
        assert!(!is_written());
    }

    /// A copy over the file keeps its identity.
    #[test]
    fn a_file_that_was_overwritten_is_lost() {
        let change = || Change::none().setting("name", "value");
        for is_cut_off in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("users.redb");
            let writer = writer(&path, &Arc::default());
            let other = fs::read(&path).expect("there");
            let store = Store::start(writer, Duration::ZERO).expect("open");
            assert_eq!(store.commit(change()), Ok(()));
            let own = fs::read(&path).expect("there");
            let content = if is_cut_off { &[] } else { &other[..] };
            fs::write(&path, content).expect("overwritten");
            assert_eq!(store.commit(change()), Err(WriteError::Lost));
            assert_eq!(store.fault(), Some(StorageFault::Lost));
            fs::write(&path, own).expect("put back");
            assert_eq!(store.commit(change()), Ok(()));
        }
    }

    /// The administrator may have copied the right store over it, which the next start opens.
    #[test]
    fn a_file_that_was_overwritten_is_left_as_it_is() {
        for breaks in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("users.redb");
            let writer = writer(&path, &Arc::default());
            let store = Store::start(writer, Duration::ZERO).expect("open");
            assert_eq!(
                store.commit(Change::none().setting("name", "value")),
                Ok(())
            );
            let other = folder.path().join("other.redb");
            create_if_absent(&other).expect("made");
            fs::copy(&other, &path).expect("overwritten");
            if breaks {
                let failed = store.write_anyway(|_| panic!("a bug"));
                assert_eq!(failed, Err(WriteError::Panicked));
            }
            store.close();
            let left = fs::read(&path).expect("there") == fs::read(&other).expect("there");
            assert!(left, "it was written to (breaks: {breaks})");
        }
    }

    /// Opening it again writes a new header, and may then take as long as reading all users does.
    #[test]
    fn a_file_that_is_opened_again_is_not_taken_for_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let watch = Arc::<Watch>::default();
        let store = Store::start(writer(&path, &watch), Duration::ZERO).expect("open");
        for value in ["before", "after"] {
            let change = Change::none().setting("name", value);
            assert_eq!(store.commit(change), Ok(()));
            let failed = store.write_anyway(|_| panic!("a bug"));
            assert!(failed.is_err());
        }
        store.close();
        assert!(!watch.has_missed_it.load(Ordering::SeqCst));
    }

    /// The file was there when the commit began, so it is unknown whether the change can be found
    /// in it.
    #[test]
    fn a_change_during_whose_commit_the_file_is_lost_is_not_confirmed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let watch = Arc::<Watch>::default();
        let writer = writer(&path, &watch);
        let store = Store::start(writer, Duration::ZERO).expect("open");
        let change = || Change::none().setting("name", "value");
        assert_eq!(store.commit(change()), Ok(()));
        watch.is_due.store(true, Ordering::SeqCst);
        assert_eq!(store.commit(change()), Err(WriteError::Unknown));
        assert_eq!(store.fault(), Some(StorageFault::Lost));
        assert_eq!(store.commit(change()), Err(WriteError::Lost));
    }
}
