//! `backup`: copies of the directory, made while it is served, checked, and put back.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::Backup;
use super::{Failure, ask, output, status, store_status, with_client};
use crate::api::described_backup;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::directory::describe;
use crate::store::{self, OpenError};

pub(super) fn run(data_dir: &Path, command: Backup) -> Result<(), Failure> {
    match command {
        Backup::Create { file } => create(data_dir, &file),
        Backup::Verify { file } => {
            let checked = store::check(&file, describe).map_err(|error| unusable(&file, &error))?;
            output::say(&format!("{} is sound", file.display()));
            tell(&described_backup(&checked))
        }
        Backup::Restore { file } => restore(data_dir, &file),
    }
}

/// The server writes the file, so it is named by its whole path.
fn create(data_dir: &Path, file: &Path) -> Result<(), Failure> {
    let file = std::path::absolute(file).map_err(|error| Failure::new(status::IO, error))?;
    with_client(data_dir, |client| {
        let made = ask(
            client,
            "POST",
            "/admin/backup",
            Some(&json!({"path": file})),
        )?;
        output::say(&format!("{} is written", file.display()));
        tell(&made)
    })
}

fn restore(data_dir: &Path, file: &Path) -> Result<(), Failure> {
    let path = config::store_path(data_dir);
    let kept_as = kept_as(&path);
    let had_one = path.exists();
    let restored =
        store::restore(file, &path, &kept_as, describe).map_err(|error| match error {
            OpenError::Locked => Failure::new(
                status::UNAVAILABLE,
                "a server is using the directory, which cannot be exchanged under it",
            )
            .hint("stop the server first"),
            error => unusable(file, &error),
        })?;
    if had_one {
        output::say(&format!(
            "what was there before is kept as {}",
            kept_as.display()
        ));
    }
    output::say(
        "what was changed since the backup is not in it: let the identity provider push again",
    );
    tell(&described_backup(&restored))
}

/// A name of its own beside the store, by the time of day.
fn kept_as(path: &Path) -> PathBuf {
    let now = SystemClock.now().to_string().replace([':', '.'], "-");
    path.with_extension(format!("before-{now}.redb"))
}

fn unusable(file: &Path, error: &OpenError) -> Failure {
    let what = match error {
        OpenError::Damaged(how) => format!("{} is no sound backup: {how}", file.display()),
        _ => format!("{}: {error}", file.display()),
    };
    Failure::new(store_status(error), what)
}

fn tell(counts: &Value) -> Result<(), Failure> {
    output::line(&format!(
        "{} users, {} tokens, {} audit rows, sha256 {}",
        counts["users"],
        counts["tokens"],
        counts["auditRows"],
        counts["sha256"].as_str().unwrap_or_default()
    ))
}
