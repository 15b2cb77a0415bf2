//! `backup restore`: replaces the store with a backup, and says which changes that undoes.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{Access, access};
use serde_json::{Map, json};

use super::super::{Failure, from_local, login_name, output, program, status, unusable};
use super::{tell, unsound};
use crate::access::{RestoreDiff, live_in};
use crate::api::described_backup;
use crate::certificate;
use crate::clock::{Clock, Instant, SystemClock};
use crate::config;
use crate::directory::{Caller, ReturnedUsers, describe, event};
use crate::fix::{filled, quoted};
use crate::local;
use crate::store::{Change, Extent, OpenError, Restore, RestoreError, Restoring};
use crate::{files, limits, secret};

pub(super) fn run(config: &config::Serve, file: &Path) -> Result<(), Failure> {
    let data_dir = &config.data_dir;
    // Create nothing if the file does not exist or may not be read.
    fs::metadata(file)
        .and_then(|_| Ok(access(file, Access::READ_OK)?))
        .map_err(|error| unusable(file, &error))?;
    let path = config::store_path(data_dir);
    make_data_dir(data_dir, &path)?;
    let kept_as = kept_as(&path);
    let had_one = path.exists();
    // Waiting would not help: a server keeps the store locked as long as it runs.
    refuse_beside_server(data_dir)?;
    // This reads both files completely, which takes half a minute for a million users.
    output::say("checking the backup before anything is replaced");
    let now = SystemClock.now();
    let mut advice = Vec::new();
    let told = |restoring: &Restoring<'_>| {
        advice = advice_on(restoring, had_one, now);
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
    // Without sudo, this may be a different directory from the service's.
    output::say(&format!("restored into {}", data_dir.display()));
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

/// Creates the data directory, which does not exist yet on a new machine. A directory that is
/// merely unavailable, for example because its disk is not mounted, is not replaced by a new one.
fn make_data_dir(data_dir: &Path, store: &Path) -> Result<(), Failure> {
    let mut places = data_dir.ancestors().chain([store]);
    if let Some(link) = places.find(|it| files::is_away(it)) {
        return Err(from_local(local::Error::Away(link.to_owned())));
    }
    files::make_directory(data_dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            let what = format!("{} is not a directory", data_dir.display());
            Failure::new(status::IO, what).hint("name another with --data-dir")
        }
        _ => unusable(data_dir, &error),
    })
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

/// What to do about tokens and users after a restore. `had_one` says that there was a store before,
/// even one that cannot be read.
fn advice_on(restoring: &Restoring<'_>, had_one: bool, now: Instant) -> Vec<String> {
    let on_tokens = advice_on_tokens(restoring, now);
    let on_tokens = on_tokens.iter().map(|line| filled(line));
    let mut advice: Vec<String> = on_tokens.collect();
    advice.extend(advice_on_users(restoring));
    if had_one && restoring.replaced.is_none() {
        let what = "the previous directory cannot be read, so it is not known who was deleted \
                    or which tokens were revoked since the backup";
        advice.push(what.to_owned());
    }
    advice
}

/// What to do about tokens. An administrator who revoked a token does not expect it to be valid
/// again.
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

/// What to do about users. Nobody expects deleted users to be back, and no identity provider
/// mentions them again.
fn advice_on_users(restoring: &Restoring<'_>) -> Vec<String> {
    let Some(replaced) = restoring.replaced else {
        return Vec::new();
    };
    let back = match ReturnedUsers::by(restoring.restored, replaced) {
        Ok(back) => back,
        Err(error) => {
            return vec![format!(
                "it is not known who was deleted since the backup: {error}"
            )];
        }
    };
    let count = back.named.len() + back.more;
    if count == 0 {
        return Vec::new();
    }
    let were = output::were(count);
    let ids: Vec<String> = back.named.iter().map(|(id, _)| id.to_string()).collect();
    let names = back.named.iter();
    let names: Vec<String> = names.map(|(_, name)| quoted(Path::new(name))).collect();
    let more = if back.more > 0 {
        format!(
            ", and {} more, listed in the `delete` rows of the previous store's audit trail",
            back.more
        )
    } else {
        String::new()
    };
    // Two messages, so that long names cannot cut off the command.
    vec![
        format!(
            "{} {were} deleted since the backup and restored by it: {}{more}",
            output::counted(count as u64, "user"),
            names.join(", ")
        ),
        format!(
            "if they had asked for deletion, run {} user delete {} --yes",
            program(),
            ids.join(" ")
        ),
    ]
}

fn refuse_beside_server(data_dir: &Path) -> Result<(), Failure> {
    if local::server_of(data_dir).is_none() {
        return Ok(());
    }
    let what = "a server is using the directory, which cannot be replaced while it runs";
    Err(Failure::new(status::UNAVAILABLE, what).hint("stop the server first"))
}

/// The name for the replaced store, next to the new one and unique by its time.
fn kept_as(path: &Path) -> PathBuf {
    let now = SystemClock.now().to_string().replace([':', '.'], "-");
    path.with_extension(format!("before-{now}.redb"))
}
