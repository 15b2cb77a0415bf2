//! Makes the program's files: private, complete by the time they get their name, never replacing
//! another file, and owned by the user who must read them.
//!
//! The server owns its data directory, but commands are often run by root. A file that root makes
//! in another user's directory is given to that user; otherwise the server could not read it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, Uid};
use rustix::io::Errno;

use crate::secret;

/// Separates the name from the random part in the name of a draft.
const DRAFT_MARK: &str = ".new-";
const DRAFT_DIGITS: usize = 16;

/// Makes a new file that belongs to the owner of its directory. `mode` is its permission bits, such
/// as `0o600`. Fails with [`io::ErrorKind::AlreadyExists`] if the path is taken.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = create_own(path, mode)?;
    if let Err(error) = give_to_owner_of(directory_of(path), &file) {
        // The file is useless now. Report the first error, not a failure to remove it.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Like [`create`], but the new file belongs to the user of this process.
pub fn create_own(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// Makes the directory, private to its owner, and its parents if necessary. Does nothing if it
/// exists, but refuses a symbolic link that the server's user may have put in its place
/// ([`refuse_link_of_another`]).
pub fn make_directory(path: &Path) -> io::Result<()> {
    let above = directory_of(path);
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder.recursive(true).create(above)?;
    match builder.recursive(false).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return refuse_link_of_another(path);
        }
        other => other?,
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let given = rustix::fs::open(path, flags, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|made| give_to_owner_of(above, &File::from(made)));
    if given.is_err() {
        // The directory would be useless if it still belonged to root. Report the first error, not
        // a failure to remove it.
        let _ = fs::remove_dir(path);
    }
    given
}

/// Fails with [`io::ErrorKind::PermissionDenied`] if root would write through another user's link.
/// For a user other than root, a link gives access to nothing that the user could not write anyway.
pub fn refuse_link_of_another(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let is_root = rustix::process::geteuid().is_root();
    if is_root && found.is_symlink() && found.uid() != 0 {
        let text = format!(
            "a symbolic link made by user {}, not a directory",
            found.uid()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Gives a file to the owner of the directory. Does nothing unless run by root: other users cannot
/// give files away, and need not.
fn give_to_owner_of(directory: &Path, file: &File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(directory)?;
    if file.metadata()?.uid() != owner.uid() {
        let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        rustix::fs::fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}

/// A name beside `path` for a file that is renamed to `path` once it is complete.
pub fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(
        "{DRAFT_MARK}{}",
        secret::hex(&secret::random::<{ DRAFT_DIGITS / 2 }>())
    ));
    path.with_file_name(name)
}

/// The final name of the file that `name` is a draft of.
pub fn of_draft(name: &str) -> Option<&str> {
    let (of, digits) = name.rsplit_once(DRAFT_MARK)?;
    let is_random = digits.len() == DRAFT_DIGITS
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_random.then_some(of)
}

/// Removes drafts in `directory` that killed processes left: those whose names `is_ours` accepts
/// and, if `before` is given (seconds since the epoch), that were not written to since then.
pub fn remove_drafts(directory: &Path, before: Option<i64>, is_ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_draft = name.to_str().and_then(of_draft).is_some_and(&is_ours);
        let is_old = |metadata: Metadata| {
            metadata.is_file() && before.is_none_or(|before| metadata.mtime() < before)
        };
        if !is_draft || !entry.metadata().is_ok_and(is_old) {
            continue;
        }
        let path = entry.path();
        match fs::remove_file(&path) {
            Ok(()) => log::info!("{} was left behind and is now removed", path.display()),
            Err(error) => log::warn!("cannot remove leftover {}: {error}", path.display()),
        }
    }
}

/// Removes drafts of `path` that killed processes left and that were not written to since `before`,
/// in seconds since the epoch.
pub fn remove_drafts_of(path: &Path, before: i64) {
    let name = path.file_name().and_then(|name| name.to_str());
    remove_drafts(directory_of(path), Some(before), |of| Some(of) == name);
}

/// Gives a complete, synced draft its name. Fails with [`io::ErrorKind::AlreadyExists`] if the name
/// is taken. The name is on disk when this returns.
pub fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    let directory = Directory::of(path)?;
    rename_no_replace(draft, path)?;
    directory.confirm()
}

/// Like [`publish`], but does not wait for the disk.
pub fn rename_no_replace(draft: &Path, path: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            // A file system that lacks this operation may support links.
            fs::hard_link(draft, path)?;
            fs::remove_file(draft)
        }
        other => Ok(other?),
    }
}

/// A directory in which a file gets its name. Open it first: a process that may write there but not
/// read learns so before anything is made.
pub struct Directory(File);

impl Directory {
    /// The directory that contains `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        File::open(directory_of(path)).map(Self)
    }

    /// Makes sure that the new name survives a power failure. The error is an [`Unconfirmed`].
    pub fn confirm(&self) -> io::Result<()> {
        let synced = self.0.sync_all();
        synced.map_err(|error| io::Error::other(Unconfirmed(error)))
    }
}

/// The error for a file that is complete and has its name, but may be gone after a power failure.
#[derive(Debug, thiserror::Error)]
#[error("it is written, but the disk did not confirm it: {0}")]
pub struct Unconfirmed(io::Error);

/// Whether the error means that the file is there, and is only unconfirmed.
pub fn is_unconfirmed(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Unconfirmed>())
}

/// Makes sure that names in the directory of `path` survive a power failure.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Sets the modification time of a file to now.
pub fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    Ok(rustix::fs::futimens(File::open(path)?, &times)?)
}

/// The disk space of a file in bytes, which is less than its length if the file has holes.
pub fn bytes_on_disk(file: &Metadata) -> u64 {
    // `stat` counts blocks of this size, even if the file system uses another block size.
    const BLOCK_BYTES: u64 = 512;
    file.len().min(file.blocks().saturating_mul(BLOCK_BYTES))
}

/// Fails with [`io::ErrorKind::StorageFull`] unless this many bytes are free on the file system of
/// `path`; the error says how many are needed and how many are free.
pub fn need_room(path: &Path, bytes: u64) -> io::Result<()> {
    const MIB: u64 = 1024 * 1024;
    let directory = directory_of(path);
    let system = rustix::fs::statvfs(directory)?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free >= bytes {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "{} MiB are needed in {}, and {} MiB are free",
            bytes.div_ceil(MIB),
            directory.display(),
            free / MIB
        ),
    ))
}

/// Whether a write failed for lack of space: on the disk, in a quota or under a limit on file
/// sizes.
pub fn is_lack_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether an error about a file may pass by itself: it is not about the file or its path, but
/// about the disk, the network to it, or the limit on open files. An unknown error counts as one
/// that may pass.
pub fn may_pass(error: &io::Error) -> bool {
    let of_the_file = matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
    );
    let of_its_path = [Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO];
    let number = Errno::from_io_error(error);
    !of_the_file && number.is_none_or(|number| !of_its_path.contains(&number))
}

/// Whether a name is taken or may be taken. A link takes the name even if its target is missing. If
/// the directory is such a link, the name may be taken, because what was there may come back. A
/// process that is not permitted to look there cannot create anything there either, so the name
/// counts as free.
pub fn is_taken(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => is_away(directory_of(path)),
        Err(error) => error.kind() != io::ErrorKind::PermissionDenied,
    }
}

/// Whether a file or directory is a link whose target is missing.
pub fn is_away(path: &Path) -> bool {
    let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    path.is_symlink() && fs::metadata(path).is_err_and(is_missing)
}

/// Reads a file of at most this length. The name may be that of a very large file or of a device
/// without an end.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > bytes_max) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is larger than {bytes_max} bytes"),
        ));
    }
    Ok(bytes)
}

/// The directory that contains `path`.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel refuses to sync its own directories.
    #[test]
    fn a_name_that_is_not_confirmed_is_told_from_one_that_was_not_given() {
        let directory = Directory::of(Path::new("/proc/self/file")).expect("open");
        let error = directory.confirm().expect_err("no sync");
        assert!(is_unconfirmed(&error) && may_pass(&error), "{error:?}");
        assert!(
            error.to_string().starts_with("it is written, but"),
            "{error}"
        );
        let other = Directory::of(Path::new("/none/file")).map(drop);
        assert!(!is_unconfirmed(&other.expect_err("no directory")));
    }

    #[test]
    fn a_draft_is_told_from_what_somebody_named() {
        let draft = draft_of(Path::new("/d/users.redb"));
        let name = draft.file_name().and_then(|name| name.to_str());
        assert_eq!(name.and_then(of_draft), Some("users.redb"));
        for other in [
            "users.redb",
            "users.redb.new-",
            "users.redb.new-monday",
            "users.redb.new-0123456789abcdeF",
            "users.redb.new-0123456789abcdef0",
        ] {
            assert_eq!(of_draft(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_overwritten_and_only_old_drafts_of_ours_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let draft = draft_of(&path);
        create(&draft, 0o600).expect("made");
        assert!(create(&draft, 0o600).is_err());
        publish(&draft, &path).expect("named");
        create(&draft, 0o600).expect("made");
        let error = publish(&draft, &path).expect_err("there is one");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let names = || fs::read_dir(folder.path()).expect("the folder").count();
        remove_drafts(folder.path(), Some(0), |_| true);
        remove_drafts(folder.path(), None, |of| of == "other.redb");
        assert_eq!(names(), 2);
        remove_drafts(folder.path(), None, |of| of == "users.redb");
        assert_eq!(names(), 1);
    }

    #[test]
    fn room_is_asked_for_with_both_numbers() {
        let here = Path::new("nothing");
        need_room(here, 1).expect("a byte");
        let error = need_room(here, u64::MAX).expect_err("too much");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("are needed in ."), "{error}");
    }
}
