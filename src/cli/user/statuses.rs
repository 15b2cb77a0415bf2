//! For `user diff`: the users to deactivate and to reactivate, as commands or as a file for an
//! import.

use std::path::{Path, PathBuf};

use super::super::output;
use super::super::{Failure, program, status};
use super::args::ExportFormat;
use super::export::{Target, record};
use super::file_name::{beside, export_format, has_place_beside, quoted_file};
use crate::limits;

/// The number of users in one printed command.
const IDS_PER_COMMAND: usize = 50;

/// The users to deactivate and to reactivate, by id. By the time the commands run, a name may
/// belong to another user, and a name may contain characters that a shell cannot take.
#[derive(Default)]
pub(super) struct Statuses {
    /// If a file was typed, it gets all of the users.
    file: Option<StatusFile>,
    deactivate: Vec<String>,
    reactivate: Vec<String>,
    /// The number of users that did not fit into commands.
    more: u64,
}

impl Statuses {
    /// A value without users. If a file was typed, it gets all users.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self {
            file: file.map(StatusFile::open).transpose()?,
            ..Self::default()
        })
    }

    pub(super) fn note(&mut self, is_active: bool, id: &str) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            return file.add(is_active, id);
        }
        let ids = if is_active {
            &mut self.reactivate
        } else {
            &mut self.deactivate
        };
        if ids.len() < limits::DIFF_COMMANDS_USERS_MAX {
            ids.push(id.to_owned());
        } else {
            self.more += 1;
        }
        Ok(())
    }

    /// Fails if a signal has arrived that ends commands and there is a file, since only then are
    /// they caught.
    pub(super) fn refuse_interrupted(&mut self) -> Result<(), Failure> {
        let file = self.file.as_mut();
        file.map_or(Ok(()), |file| file.target.write(&[]))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.count == 0)
            && self.deactivate.is_empty()
            && self.reactivate.is_empty()
    }

    /// Prints how to deactivate and reactivate the users: by commands or, for many users, by a
    /// file, which is much faster. The rows come from `compared`, and `words` name it and how it was
    /// read.
    pub(super) fn say(self, compared: &Path, words: &str) -> Result<(), Failure> {
        if let Some(file) = self.file {
            return file.end();
        }
        let program = program();
        if self.more > 0 {
            let place = if has_place_beside(compared) {
                compared
            } else {
                Path::new("users")
            };
            let file = beside(place, ".statuses", Some(".csv"))?;
            let file = quoted_file(&file);
            output::say(&format!("  {program} user diff {words} --statuses {file}"));
            output::say(&format!("  {program} user import {file}"));
            return Ok(());
        }
        for (word, ids) in [
            ("deactivate", &self.deactivate),
            ("reactivate", &self.reactivate),
        ] {
            for some in ids.chunks(IDS_PER_COMMAND) {
                output::say(&format!("  {program} user {word} {}", some.join(" ")));
            }
        }
        Ok(())
    }
}

/// A file for an import that contains each user's id and the status to set.
struct StatusFile {
    path: PathBuf,
    target: Target,
    count: u64,
}

impl StatusFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let is_csv = export_format(path).is_ok_and(|format| format == ExportFormat::Csv);
        if path == Path::new("-") || !is_csv {
            let what = format!("{}: statuses are written as CSV", path.display());
            let hint = "end its name with .csv, so that it can be imported";
            return Err(Failure::new(status::USAGE, what).hint(hint));
        }
        let mut target = Target::open(Some(path))?;
        target.write(&record(b',', &["id", "Status"])?)?;
        Ok(Self {
            path: path.to_owned(),
            target,
            count: 0,
        })
    }

    fn add(&mut self, is_active: bool, id: &str) -> Result<(), Failure> {
        self.count += 1;
        let status = if is_active { "active" } else { "inactive" };
        self.target.write(&record(b',', &[id, status])?)
    }

    /// Completes the file and prints how to import it. Without users there is no file.
    fn end(self) -> Result<(), Failure> {
        let file = quoted_file(&self.path);
        if self.count == 0 {
            let what = "nobody is to be deactivated or reactivated";
            output::say(&format!("{what}: {file} is not written"));
            return Ok(());
        }
        self.target.end()?;
        output::say(&format!("  {} user import {file}", program()));
        Ok(())
    }
}
