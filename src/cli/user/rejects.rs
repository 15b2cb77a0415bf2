//! The file of rejected rows: each row as it was in the input, with the reason for its rejection,
//! so that it can be corrected there and imported again.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde_json::{Value, json};

use super::super::{Failure, output, status, unusable};
use super::args;
use super::export::record;
use super::file::{Line, RowFormat, UserFile, keep_whole};
use super::file_check::BOM;
use super::file_name::{beside, has_place_beside};
use crate::columns::{self, REASON};
use crate::files;

/// The file of rejected rows, which is created with the first one.
pub(super) struct Rejects {
    /// `None` if rejected rows are only shown.
    pub(super) path: Option<PathBuf>,
    /// Whether `--rejects` named it.
    is_named: bool,
    file: Option<File>,
    /// Whether rows could not be written.
    has_failed: bool,
}

impl Rejects {
    pub(super) fn new(typed: &args::Import, user_file: &UserFile) -> Result<Self, Failure> {
        let path = match &typed.rejects {
            Some(path) if path == Path::new("/dev/null") => None,
            Some(path) if path == Path::new("-") => {
                let what = "--rejects: rejected rows go into a file";
                let hint = "name a file, or /dev/null; -o jsonl reports each row";
                return Err(Failure::new(status::USAGE, what).hint(hint));
            }
            Some(path) => Some(path.clone()),
            None if has_place_beside(&typed.file) => Some(beside(&typed.file, ".rejects", None)?),
            None => None,
        };
        let path = path
            .map(|path| checked(path, typed, user_file))
            .transpose()?;
        Ok(Self {
            path: path.flatten().filter(|_| !typed.dry_run),
            is_named: typed.rejects.is_some(),
            file: None,
            has_failed: false,
        })
    }

    /// The path of the file, if it exists and contains all rows rejected so far.
    pub(super) fn complete_path(&self) -> Option<&Path> {
        let is_complete = self.file.is_some() && !self.has_failed;
        self.path.as_deref().filter(|_| is_complete)
    }

    /// What file the next import has to name: one that does not exist and can be written.
    pub(super) fn advice(&self) -> &'static str {
        match (self.is_named, self.file.is_some() || self.has_failed) {
            (true, true) => " with another --rejects",
            (false, _) if self.has_failed => " and name a file with --rejects",
            _ => "",
        }
    }

    /// Writes rows in the format of the input, with the reasons why they were rejected.
    pub(super) fn take(
        &mut self,
        user_file: &UserFile,
        rejected: &[(&Line, String)],
    ) -> Result<(), Failure> {
        let Some(path) = self.path.as_deref().filter(|_| !rejected.is_empty()) else {
            return Ok(());
        };
        // True until the rows have been written.
        self.has_failed = true;
        let mut text = Vec::new();
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            text = header(user_file)?;
            let made = files::create_own(path, 0o600);
            let made = made.map_err(|error| unusable(path, &error))?;
            self.file.insert(made)
        };
        for (line, reason) in rejected {
            text.extend(row(user_file, line, reason)?);
        }
        let written = file.write_all(&text);
        written.map_err(|error| unusable(path, &error))?;
        self.has_failed = false;
        Ok(())
    }
}

/// Checks beforehand for what would fail at the end. A file that cannot be created is an error only
/// if a real import named it. Otherwise the result is `None`, since there may be no rejected rows.
fn checked(
    path: PathBuf,
    typed: &args::Import,
    user_file: &UserFile,
) -> Result<Option<PathBuf>, Failure> {
    if std::fs::symlink_metadata(&path).is_ok() {
        let failure = unusable(&path, &ErrorKind::AlreadyExists.into());
        return Err(failure.hint("name another one with --rejects"));
    }
    if !user_file.format.is_of(&path) {
        let (form, ending) = user_file.format.name_and_ending();
        let what = format!(
            "{}: rejected rows are {form} like the others",
            path.display()
        );
        let hint = format!("end its name with {ending}, so that it can be imported");
        return Err(Failure::new(status::USAGE, what).hint(hint));
    }
    let access = rustix::fs::access(files::directory_of(&path), Access::WRITE_OK);
    let Err(error) = access else {
        return Ok(Some(path));
    };
    let hint = "rejected rows go there: name a file that can be made with --rejects";
    let failure = unusable(&path, &error.into());
    if typed.rejects.is_some() && !typed.dry_run {
        return Err(failure.hint(hint));
    }
    if !typed.dry_run {
        output::say(&format!("{}: {hint}", failure.what));
    }
    Ok(None)
}

/// The start of the file, which is like that of the input: for spreadsheets it includes the byte
/// order mark.
fn header(user_file: &UserFile) -> Result<Vec<u8>, Failure> {
    let RowFormat::Csv {
        header,
        delimiter,
        reason_at,
        ..
    } = &user_file.format
    else {
        return Ok(Vec::new());
    };
    let mark = if user_file.has_bom { BOM } else { b"" };
    let names = with_reason(header, header.len(), *reason_at, REASON);
    Ok([mark, &record(*delimiter, &names)?].concat())
}

fn row(user_file: &UserFile, line: &Line, reason: &str) -> Result<Vec<u8>, Failure> {
    match &user_file.format {
        RowFormat::Csv {
            header,
            delimiter,
            reason_at,
            ..
        } => {
            let cells = with_reason(&line.cells, header.len(), *reason_at, reason);
            record(*delimiter, &cells)
        }
        RowFormat::Json { .. } => Ok((with_member(&line.cells[0], reason) + "\n").into_bytes()),
    }
}

/// Puts the reason before the cells and removes the reason of an earlier import. A row with too
/// many or too few cells stays as it is until it is fixed: the old reason's cell may have been
/// removed, so that another cell is in its place.
fn with_reason(cells: &[String], count: usize, at: Option<usize>, reason: &str) -> Vec<String> {
    let is_count = |at: usize| cells.get(at).is_some_and(|it| columns::is_wrong_count(it));
    let old = at.filter(|at| cells.len() == count || is_count(*at));
    let kept = cells
        .iter()
        .enumerate()
        .filter(|(place, _)| Some(*place) != old);
    let reason = std::iter::once(reason.to_owned());
    reason.chain(kept.map(|(_, cell)| cell.clone())).collect()
}

fn with_member(line: &str, reason: &str) -> String {
    // A line that cannot be parsed is kept whole, and is refused again until it is fixed.
    let Ok(Value::Object(mut object)) = crate::scim::json::parse_line(line) else {
        return keep_whole(line, reason).to_string();
    };
    // A password is never stored, and an import would ignore it.
    let is_kept = |name: &str| !columns::is_reason(name) && !name.eq_ignore_ascii_case("password");
    object.retain(|name, _| is_kept(name));
    object.insert(REASON.to_owned(), json!(reason));
    Value::Object(object).to_string()
}
