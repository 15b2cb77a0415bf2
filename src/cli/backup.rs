//! `backup`: copies the directory while it is served, checks a copy, and puts one back.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Map, Value, json};

use super::args::{Backup, Output};
use super::{
    Failure, ask, from_local, login_name, output, status, store_status, unusable, with_client,
};
use crate::access::{RestoreDiff, live_in};
use crate::api::described_backup;
use crate::certificate;
use crate::clock::{Clock, Instant, SystemClock};
use crate::config;
use crate::directory::{Caller, ReturnedUsers, describe, event};
use crate::fix::{filled, quoted};
use crate::local::{self, Client};
use crate::store::{self, Change, Extent, OpenError, Restore, RestoreError, Restoring};
use crate::{files, limits, secret};

pub(super) fn run(config: &config::Serve, command: Backup, program: &str) -> Result<(), Failure> {
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
            output::document(format, described)
        }
        Backup::Restore { file } => {
            refuse_dash(&file)?;
            restore(config, &file, program)
        }
    }
}

/// Whether the file stands for a standard stream; `./-` is a file named `-`.
fn is_dash(file: &Path) -> bool {
    file == Path::new("-")
}

/// Refuses to read from a pipe: a backup is read in any order, beginning at its end.
fn refuse_dash(file: &Path) -> Result<(), Failure> {
    if !is_dash(file) {
        return Ok(());
    }
    let what = "a backup is not read from standard input";
    Err(Failure::new(status::USAGE, what)
        .hint("save it to a file first, and name that file; ./- means a file called -"))
}

/// The server may be confined to its data directory, so it makes the copy there, and this command
/// moves it to where its own user may write.
fn create(data_dir: &Path, file: &Path) -> Result<(), Failure> {
    let file = std::path::absolute(file).map_err(|error| not_moved(file, &error))?;
    // Check before the work whatever would refuse the file at its end.
    if fs::symlink_metadata(&file).is_ok() {
        return Err(not_moved(&file, &io::ErrorKind::AlreadyExists.into()));
    }
    let directory = files::need_room(&file, 0).and_then(|()| files::Directory::of(&file));
    let directory = directory.map_err(|error| not_moved(&file, &error))?;
    with_client(data_dir, |client| {
        let made = copied(client, &file)?;
        take(data_dir, &made, &file, &directory).map_err(|error| not_moved(&file, &error))?;
        output::say(&format!("{} is written", file.display()));
        tell(&made)
    })
}

/// Writes the server's copy to standard output, and a summary of it to standard error. Before the
/// first byte the copy is whole and already unlinked: nothing is left behind, however this ends.
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
        let (copy, from) = opened(data_dir, &made).map_err(|error| not_moved(stdout, &error))?;
        fs::remove_file(&copy).map_err(|error| not_moved(&copy, &error))?;
        written_out(from).map_err(|failure| {
            // A reader that took less than all of it has no backup.
            if failure.is_reader_gone() {
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
    // Only a file can be synced here; behind a pipe that is up to the reader.
    let is_file = rustix::fs::fstat(io::stdout())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    if is_file {
        rustix::fs::fsync(io::stdout()).map_err(|error| Failure::new(status::IO, error))?;
    }
    Ok(())
}

/// [`copied_for`], after a quick request: a server that hangs is reported as soon as by other
/// commands.
fn copied(client: &mut Client, file: &Path) -> Result<Value, Failure> {
    ask(client, "GET", "/admin/installation", None)?;
    if io::stderr().is_terminal() {
        output::say("the copy is being made: of a large directory it takes minutes");
    }
    copied_for(client, file)
}

/// Has the server make a copy, however long it takes. The audit trail says that it goes to `file`.
fn copied_for(client: &mut Client, file: &Path) -> Result<Value, Failure> {
    client.set_patience(limits::WHOLE_STORE_WAIT_MAX);
    let body = json!({"path": file.to_string_lossy()});
    ask(client, "POST", "/admin/backup", Some(&body))
}

/// Opens the server's copy; returns its path, too.
fn opened(data_dir: &Path, made: &Value) -> io::Result<(PathBuf, File)> {
    let name = made["copy"].as_str().unwrap_or_default();
    let store = config::store_path(data_dir);
    // A compromised server may name any file, and this command may run as root.
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

/// Moves the server's copy to `file` in `directory`, owned by this command's user and readable by
/// nobody else.
fn take(
    data_dir: &Path,
    made: &Value,
    file: &Path,
    directory: &files::Directory,
) -> io::Result<()> {
    let (copy, from) = opened(data_dir, made)?;
    // Link the open file: its name may be another file's by now. Where links cannot be made, above
    // all across file systems, the bytes are copied.
    let by_descriptor = format!("/proc/self/fd/{}", from.as_raw_fd());
    let linked = rustix::fs::linkat(CWD, by_descriptor, CWD, file, AtFlags::SYMLINK_FOLLOW);
    // From here on no copy is left behind, however this ends.
    let removed = fs::remove_file(&copy);
    match linked {
        Ok(()) => {
            let owned = removed.and_then(|()| give_to_this_user(&from));
            if owned.is_err() {
                // The error that matters is the first one.
                let _ = fs::remove_file(file);
            }
            owned?;
            directory.confirm()
        }
        Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => removed.and_then(|()| copy_to(from, file)),
    }
}

fn give_to_this_user(file: &File) -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if file.metadata()?.uid() != user.as_raw() {
        rustix::fs::fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}

fn copy_to(mut from: File, file: &Path) -> io::Result<()> {
    files::remove_drafts_of(
        file,
        SystemClock.now().seconds() - limits::LEFT_BEHIND_SECONDS,
    );
    files::need_room(file, from.metadata()?.len())?;
    let draft = files::draft_of(file);
    let copied = files::create_own(&draft, 0o600).and_then(|mut to| {
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        files::publish(&draft, file)
    });
    if copied.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&draft);
    }
    copied
}

fn not_moved(file: &Path, error: &io::Error) -> Failure {
    let shown = file.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            status::REFUSED,
            format!("{shown}: the file exists already, and a backup overwrites nothing"),
        ),
        io::ErrorKind::PermissionDenied => {
            Failure::new(status::PERMISSION, format!("{shown}: {error}"))
        }
        _ => Failure::new(status::IO, format!("{shown}: {error}")),
    }
}

fn restore(config: &config::Serve, file: &Path, program: &str) -> Result<(), Failure> {
    let data_dir = &config.data_dir;
    // Nothing is made for a file that is not there.
    fs::metadata(file).map_err(|error| unusable(file, &error))?;
    // On a new machine there is nothing yet.
    files::make_directory(data_dir).map_err(|error| not_moved(data_dir, &error))?;
    let path = config::store_path(data_dir);
    let kept_as = kept_as(&path);
    let had_one = path.exists();
    // Waiting would not help: a server keeps the store locked as long as it runs.
    refuse_beside_server(data_dir)?;
    // It reads both files whole, which takes half a minute for a million users.
    output::say("checking the backup before anything is replaced");
    let now = SystemClock.now();
    let mut advice = Vec::new();
    let told = |restoring: &Restoring<'_>| {
        advice = advice_on(restoring, had_one, now, program);
        Change::none().audit(row(file, restoring, now))
    };
    let restored = Restore {
        backup: file,
        path: &path,
        kept_as: &kept_as,
        lock_wait: limits::COMMAND_LOCK_WAIT_MAX,
        describe,
        now: now.seconds(),
    }
    .run(told);
    let restored = restored.map_err(|error| not_restored(data_dir, file, error))?;
    if had_one {
        output::say(&format!(
            "the previous store is kept as {}",
            kept_as.display()
        ));
    }
    output::say(
        "changes made since the backup are not in the directory now: let the identity provider \
         push again; users deleted since then are back",
    );
    for line in &advice {
        output::say(line);
    }
    if config.tls_files.is_none() && !certificate::is_any_in(data_dir) {
        output::say(
            "tls/ is not part of a backup and is missing here: the next start makes a new CA",
        );
    }
    let told = output::done(tell(&described_backup(&restored.backup)));
    match restored.unconfirmed {
        Some(error) => {
            let what = format!("the backup was restored, but the disk did not confirm it: {error}");
            Err(Failure::new(status::IO, what).hint("check the disk, then restore it again"))
        }
        None => told,
    }
}

fn not_restored(data_dir: &Path, file: &Path, error: RestoreError) -> Failure {
    match error {
        RestoreError::Place(error @ OpenError::Locked) => match refuse_beside_server(data_dir) {
            Ok(()) => from_local(local::Error::Store(error)),
            Err(failure) => failure,
        },
        RestoreError::Place(OpenError::Io(error)) => unusable(data_dir, &error),
        RestoreError::Backup(OpenError::Io(error)) => unusable(file, &error),
        RestoreError::Backup(error) | RestoreError::Place(error) => unsound(file, &error),
    }
}

/// The audit trail's row about a restore.
fn row(file: &Path, restoring: &Restoring<'_>, now: Instant) -> String {
    let last_of = |trail: &Extent| trail.next.saturating_sub(1);
    let mut details = Map::new();
    let path = std::path::absolute(file);
    let path = path.unwrap_or_else(|_| file.to_owned());
    let digest = secret::hex(&restoring.backup.digest);
    details.insert("path".to_owned(), json!(path.to_string_lossy()));
    details.insert("sha256".to_owned(), json!(digest));
    let through = last_of(&restoring.restored.trail);
    details.insert("through".to_owned(), json!(through));
    let replaced = restoring.replaced.map(|replaced| last_of(&replaced.trail));
    details.insert("replaced".to_owned(), json!(replaced));
    let caller = Caller {
        principal: format!("administrator:{}", login_name()),
        request_id: String::new(),
        address: None,
    };
    event(&caller, now, "backup.restore", &details)
}

/// What to do after a restore, about tokens and users. `had_one`: there was a store before, even if
/// one that cannot be read.
fn advice_on(restoring: &Restoring<'_>, had_one: bool, now: Instant, program: &str) -> Vec<String> {
    let on_tokens = advice_on_tokens(restoring, now);
    let on_tokens = on_tokens.iter().map(|line| filled(line, program));
    let mut advice: Vec<String> = on_tokens.collect();
    advice.extend(advice_on_users(restoring, program));
    if had_one && restoring.replaced.is_none() {
        let what = "the previous directory cannot be read, so it is not known who was deleted \
                    or which tokens were revoked since the backup";
        advice.push(what.to_owned());
    }
    advice
}

/// What to do about tokens. An administrator who revoked one does not expect it to be good again.
fn advice_on_tokens(restoring: &Restoring<'_>, now: Instant) -> Vec<String> {
    let Some(replaced) = restoring.replaced else {
        let general = "tokens revoked since the backup are valid again, changed ones have their \
                       earlier rights back, and those issued since no longer exist: see {program} \
                       token list";
        let has_some = !live_in(restoring.restored, now).is_empty();
        return has_some.then(|| general.to_owned()).into_iter().collect();
    };
    let turned = RestoreDiff::by(restoring.restored, replaced, now);
    let revived = turned.revived.iter().map(|token| {
        let (name, id) = (&token.name, &token.id);
        format!(
            "token {name} ({id}) is now valid for longer than before the restore: if it was \
             revoked or rotated since the backup, run {{program}} token revoke {id}"
        )
    });
    let changed = turned.changed.iter().map(|token| {
        let (name, id) = (&token.name, &token.id);
        format!(
            "token {name} ({id}) has the rights it had at the time of the backup: check with \
             {{program}} token show {id}, adjust with {{program}} token change"
        )
    });
    let lost = turned.lost.iter().map(|token| {
        let (name, id) = (&token.name, &token.id);
        format!("token {name} ({id}) was valid, but no longer exists: issue a new one")
    });
    revived.chain(changed).chain(lost).collect()
}

/// What to do about users. Those who were deleted do not expect to be back, and no identity
/// provider mentions them again.
fn advice_on_users(restoring: &Restoring<'_>, program: &str) -> Option<String> {
    let back = match ReturnedUsers::by(restoring.restored, restoring.replaced?) {
        Ok(back) => back,
        Err(error) => {
            return Some(format!(
                "it is not known who was deleted since the backup: {error}"
            ));
        }
    };
    let count = back.named.len() + back.more;
    let were = match count {
        0 => return None,
        1 => "was",
        _ => "were",
    };
    let ids: Vec<String> = back.named.iter().map(|(id, _)| id.to_string()).collect();
    let names = back.named.iter();
    let names: Vec<String> = names
        .map(|(_, name)| output::printable(&quoted(Path::new(name))))
        .collect();
    let more = if back.more > 0 {
        format!(
            ", and {} more, listed in the `delete` rows of the previous store's audit trail",
            back.more
        )
    } else {
        String::new()
    };
    Some(format!(
        "{} {were} deleted since the backup and restored by it: {}{more}; if they had asked for \
         deletion, run {program} user delete {} --yes",
        output::counted(count as u64, "user"),
        names.join(", "),
        ids.join(" ")
    ))
}

fn refuse_beside_server(data_dir: &Path) -> Result<(), Failure> {
    if local::server_of(data_dir).is_none() {
        return Ok(());
    }
    let what = "a server is using the directory, which cannot be replaced while it runs";
    Err(Failure::new(status::UNAVAILABLE, what).hint("stop the server first"))
}

/// The name for the replaced store: beside the new one, and made unique by the time.
fn kept_as(path: &Path) -> PathBuf {
    let now = SystemClock.now().to_string().replace([':', '.'], "-");
    path.with_extension(format!("before-{now}.redb"))
}

fn unsound(file: &Path, error: &OpenError) -> Failure {
    let what = match error {
        OpenError::Damaged(how) => format!("{} is not a sound backup: {how}", file.display()),
        _ => format!("{}: {error}", file.display()),
    };
    Failure::new(store_status(error), what)
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

    /// The server may be compromised, and root would read for it what it may not read itself.
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
            // A client that gave up does not read it.
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
