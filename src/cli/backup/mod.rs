//! `backup`: copies the directory while the server runs, checks a copy, and restores one.

mod restore;

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::args::{Backup, Output};
use super::interruption::Interruption;
use super::{Failure, ask, output, refuse_taken, status, store_status, unusable, with_client};
use crate::api::described_backup;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::directory::describe;
use crate::local::Client;
use crate::store::{self, OpenError};
use crate::{files, limits};

pub(super) fn run(config: &config::Serve, command: Backup) -> Result<(), Failure> {
    let data_dir = &config.data_dir;
    match command {
        Backup::Create { file } if is_dash(&file) => stream(data_dir),
        Backup::Create { file } => create(data_dir, &file),
        Backup::Verify {
            file,
            output: Output { output: format },
        } => {
            refuse_dash(&file)?;
            let checked = store::check(&file, describe).map_err(|error| unsound(&file, &error))?;
            output::say(&format!("{} is sound", file.display()));
            let described = described_backup(&checked);
            if format == output::Format::Table {
                return tell(&described);
            }
            output::document(format, &described)
        }
        Backup::Restore { file } => {
            refuse_dash(&file)?;
            restore::run(config, &file)
        }
    }
}

/// Whether the argument stands for a standard stream; `./-` is a file named `-`.
fn is_dash(file: &Path) -> bool {
    file == Path::new("-")
}

/// Refuses to read from a pipe, since a backup is read in any order, starting at its end.
fn refuse_dash(file: &Path) -> Result<(), Failure> {
    if !is_dash(file) {
        return Ok(());
    }
    let what = "a backup is not read from standard input";
    Err(Failure::new(status::USAGE, what)
        .hint("save it to a file first, and name that file; ./- means a file called -"))
}

/// Creates a backup. The server may be confined to its data directory, so it makes the copy there,
/// and this command moves the copy to a place where its own user may write.
fn create(data_dir: &Path, file: &Path) -> Result<(), Failure> {
    let file = std::path::absolute(file).map_err(|error| unusable(file, &error))?;
    // Check beforehand for whatever would prevent creating the file at the end.
    refuse_taken(&file)?;
    let directory = files::need_room(&file, 0).and_then(|()| files::Directory::of(&file));
    let directory = directory.map_err(|error| unusable(&file, &error))?;
    with_client(data_dir, |client| {
        let made = copied(client, &file)?;
        take(data_dir, &made, &file, &directory)?;
        output::say(&format!("{} is written", file.display()));
        tell(&made)
    })
}

/// Writes the server's copy to standard output and a summary of it to standard error. By the first
/// byte, the copy is complete and already unlinked, so nothing is left behind, however this ends.
fn stream(data_dir: &Path) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        let what = "a backup is not written to a terminal";
        return Err(Failure::new(status::USAGE, what)
            .hint("name a file, or let a program read it: {program} backup create - | age …"));
    }
    output::refuse_dev_null("the backup", "a file or pipe")?;
    let stdout = Path::new("/dev/stdout");
    with_client(data_dir, |client| {
        let made = copied(client, stdout)?;
        let (copy, from) = opened(data_dir, &made).map_err(|error| unusable(stdout, &error))?;
        fs::remove_file(&copy).map_err(|error| unusable(&copy, &error))?;
        written_out(from).map_err(|failure| {
            // A reader that did not read all of it has no backup.
            if failure.is_reader_gone {
                let what = "the backup is incomplete: standard output was closed";
                return Failure::new(status::IO, what);
            }
            failure
        })?;
        output::say("the backup is written to standard output");
        output::say(&summary(&made));
        Ok(())
    })
}

fn written_out(mut from: File) -> Result<(), Failure> {
    let mut buffer = vec![0; limits::BACKUP_STREAM_BYTES];
    loop {
        let read = from.read(&mut buffer);
        match read.map_err(|error| Failure::new(status::IO, error))? {
            0 => break,
            count => output::data(&buffer[..count])?,
        }
    }
    // Only a file can be synced here; behind a pipe, syncing is up to the reader.
    let is_file = rustix::fs::fstat(io::stdout())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    if is_file {
        rustix::fs::fsync(io::stdout()).map_err(|error| Failure::new(status::IO, error))?;
    }
    Ok(())
}

/// Like [`copied_for`], but after a quick request, so that a server that hangs is reported as soon
/// as in other commands.
fn copied(client: &mut Client, file: &Path) -> Result<Value, Failure> {
    ask(client, "GET", "/admin/installation", None)?;
    if io::stderr().is_terminal() {
        output::say("the copy is being made: of a large directory it takes minutes");
    }
    copied_for(client, file)
}

/// Asks the server for a copy, however long that takes. The audit trail records `file` as the
/// destination.
fn copied_for(client: &mut Client, file: &Path) -> Result<Value, Failure> {
    client.set_patience(limits::WHOLE_STORE_WAIT_MAX);
    let body = json!({"path": file.to_string_lossy()});
    ask(client, "POST", "/admin/backup", Some(&body))
}

/// Opens the server's copy. Also returns its path.
fn opened(data_dir: &Path, made: &Value) -> io::Result<(PathBuf, File)> {
    let name = made["copy"].as_str().unwrap_or_default();
    let store = config::store_path(data_dir);
    // A compromised server could name any file, and this command may run as root.
    if name.contains('/') || files::of_draft(name).is_none_or(|of| !store.ends_with(of)) {
        return Err(io::Error::other("the server named no copy"));
    }
    let copy = data_dir.join(name);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let from = File::from(rustix::fs::open(&copy, flags, Mode::empty())?);
    let metadata = from.metadata()?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(io::Error::other("the server made no copy"));
    }
    Ok((copy, from))
}

/// Moves the server's copy to `file` in `directory`, owned by this command's user and readable only
/// by that user.
fn take(
    data_dir: &Path,
    made: &Value,
    file: &Path,
    directory: &files::Directory,
) -> Result<(), Failure> {
    let failed = |error: io::Error| unusable(file, &error);
    let (copy, from) = opened(data_dir, made).map_err(failed)?;
    // Link the open file, since its name may belong to another file by now. Where linking fails,
    // mainly across file systems, copy the bytes.
    let by_descriptor = format!("/proc/self/fd/{}", from.as_raw_fd());
    let linked = rustix::fs::linkat(CWD, by_descriptor, CWD, file, AtFlags::SYMLINK_FOLLOW);
    // From here on no copy is left behind, however this ends.
    let removed = fs::remove_file(&copy);
    match linked {
        Ok(()) => {
            let owned = removed.and_then(|()| give_to_this_user(&from));
            if owned.is_err() {
                // The first error is the one that matters.
                let _ = fs::remove_file(file);
            }
            owned.and_then(|()| directory.confirm()).map_err(failed)
        }
        Err(Errno::EXIST) => Err(failed(io::ErrorKind::AlreadyExists.into())),
        Err(_) => {
            removed.map_err(failed)?;
            copy_to(from, file, &Interruption::catch()?)
        }
    }
}

fn give_to_this_user(file: &File) -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if file.metadata()?.uid() != user.as_raw() {
        rustix::fs::fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}

/// Copies a backup to a new `file`. One that is interrupted leaves nothing there.
fn copy_to(from: File, file: &Path, interruption: &Interruption) -> Result<(), Failure> {
    files::remove_drafts_of(
        file,
        SystemClock.now().seconds() - limits::LEFT_BEHIND_SECONDS,
    );
    let failed = |error: io::Error| unusable(file, &error);
    let bytes = from.metadata().map_err(failed)?.len();
    files::need_room(file, bytes).map_err(failed)?;
    let draft = files::draft_of(file);
    let to = files::create_own(&draft, 0o600).map_err(failed)?;
    let copied = copy_in_parts(from, &to, failed, interruption).and_then(|()| {
        let named = to.sync_all().and_then(|()| files::publish(&draft, file));
        named.map_err(failed)
    });
    if copied.is_err() {
        // The first error is the one that matters.
        let _ = fs::remove_file(&draft);
    }
    copied
}

fn copy_in_parts(
    mut from: File,
    mut to: &File,
    failed: impl Fn(io::Error) -> Failure,
    interruption: &Interruption,
) -> Result<(), Failure> {
    loop {
        let mut part = (&mut from).take(limits::BACKUP_PART_BYTES);
        if io::copy(&mut part, &mut to).map_err(&failed)? == 0 {
            return Ok(());
        }
        interruption.refuse()?;
    }
}

fn unsound(file: &Path, error: &OpenError) -> Failure {
    let (code, shown) = (store_status(error), file.display());
    match error {
        OpenError::Damaged(how) => {
            Failure::new(code, format!("{shown} is not a sound backup: {how}"))
                .hint("name another file, one that {program} backup create has made")
        }
        _ => Failure::new(code, format!("{shown}: {error}")),
    }
}

fn tell(counts: &Value) -> Result<(), Failure> {
    output::line(&summary(counts))
}

fn summary(counts: &Value) -> String {
    format!(
        "{}, {}, {}, format {}, sha256 {}",
        output::counted_in(counts, "users", "user"),
        output::counted_in(counts, "tokens", "token"),
        output::counted_in(counts, "auditRows", "audit row"),
        counts["format"],
        counts["sha256"].as_str().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// The next backup may be to another name, so nothing would remove what this one leaves.
    #[test]
    fn a_copy_to_another_disk_that_is_interrupted_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, mut writer) = io::pipe().expect("a pipe");
        let from = File::from(std::os::fd::OwnedFd::from(from));
        writer.write_all(b"a part").expect("written");
        let interruption = Interruption::default();
        interruption.set(15);
        drop(writer);
        let file = folder.path().join("copy.redb");
        let failure = copy_to(from, &file, &interruption).expect_err("interrupted");
        assert_eq!(failure.status, 143, "{failure:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("it").count(), 0);
    }

    /// A compromised server must not make root read for it what it may not read itself.
    #[test]
    fn only_a_copy_of_its_own_in_the_data_directory_itself_is_taken() {
        const COPY: &str = "users.redb.new-0123456789abcdef";
        let folder = tempfile::tempdir().expect("a folder");
        // A link may lead anywhere.
        let data_dir = folder.path().join("data");
        let below = format!("data/{COPY}");
        fs::create_dir_all(data_dir.join("data")).expect("made");
        let is_taken = |name: &str| opened(&data_dir, &json!({"copy": name})).is_ok();
        for name in [COPY, &below] {
            fs::write(data_dir.join(name), "").expect("written");
        }
        assert!(is_taken(COPY) && !is_taken(&below));
        fs::hard_link(data_dir.join(COPY), data_dir.join("other")).expect("linked");
        assert!(!is_taken(COPY), "it is another file, too");
    }

    #[test]
    fn a_copy_may_take_longer_than_any_other_answer() {
        const PATIENCE: Duration = Duration::from_millis(1);
        let folder = tempfile::tempdir().expect("a folder");
        let socket = config::socket_path(folder.path()).expect("short");
        let listener = UnixListener::bind(socket).expect("bound");
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it comes");
            let mut head = BufReader::new(&stream).lines();
            head.find(|line| line.as_ref().is_ok_and(String::is_empty));
            thread::sleep(50 * PATIENCE);
            // A client that gave up does not read the answer.
            let _ = stream
                .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{\"users\": 1}");
        });
        let mut client = Client::connect_within(PATIENCE, folder.path(), "somebody");
        let client = client.as_mut().expect("it listens");
        let made = copied_for(client, Path::new("/copy.redb"));
        serving.join().expect("no panic");
        assert_eq!(made.expect("a copy")["users"], 1);
    }
}
