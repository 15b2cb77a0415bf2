//! Backups: copies of the store for the command line.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use super::verification::{described_counts, unsound};
use crate::access::Administrator;
use crate::config;
use crate::directory;
use crate::files;
use crate::scim::json;
use crate::secret;
use crate::store::{Backup, Change, OpenError, remove_abandoned};

/// `POST /admin/backup`: a copy of the store for the caller's file `path`. The server may be
/// confined to its data directory, so it makes the copy there, and the caller moves it.
pub(super) fn back_up(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let path = wanted.get("path").and_then(Value::as_str).map(Path::new);
    let path = path
        .filter(|path| path.is_absolute())
        .ok_or_else(|| Problem::new(400, "path must be an absolute path"))?;
    let now = api.clock.now();
    let store_path = config::store_path(&api.data_dir);
    let snapshot = api.store.snapshot().map_err(directory::Error::from)?;
    let made = {
        // A copy that is still being written must not be taken for a leftover.
        let _alone = api.backing_up.lock();
        let may_go_on = || !api.is_stopping.load(Ordering::Relaxed);
        snapshot.back_up(&store_path, now.seconds(), &may_go_on)
    };
    let (copy, backup) = made.map_err(|error| match error {
        OpenError::Io(io) if files::is_lack_of_space(&io) => {
            Problem::new(507, format!("the server has no room for the copy: {io}"))
        }
        OpenError::Io(io) if io.kind() == io::ErrorKind::Interrupted => Problem::new(
            503,
            "the server is stopping: make the backup again when it runs",
        ),
        OpenError::Io(io) => Problem::new(500, format!("the server cannot make the copy: {io}")),
        _ => unsound(error),
    })?;
    let mut details = Map::new();
    details.insert("path".to_owned(), json!(path));
    let row = directory::event(&admission.caller(), now, "backup.create", &details);
    // The backup exists, even if its row in the audit trail does not.
    if let Err(error) = api.store.commit(Change::none().audit(row)) {
        log::error!("the backup could not be recorded in the audit trail: {error:?}");
    }
    let mut described = described_backup(&backup);
    described["copy"] = json!(copy.file_name().and_then(OsStr::to_str));
    Ok(reply::json(201, &described))
}

impl Api {
    /// Periodic work on backups: removes copies whose command ended before it fetched them, but
    /// none that is being made.
    pub fn tend_backups(&self) {
        let alone = self.backing_up.try_lock();
        if !matches!(alone, Err(TryLockError::WouldBlock)) {
            let store_path = config::store_path(&self.data_dir);
            remove_abandoned(&store_path, self.clock.now().seconds());
        }
    }
}

/// What is in a backup, for the command line to show.
pub fn described_backup(backup: &Backup) -> Value {
    let mut described = described_counts(&backup.counts);
    described["format"] = json!(backup.format);
    described["sha256"] = json!(secret::hex(&backup.digest));
    described
}
