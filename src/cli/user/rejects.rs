//! The file of rejected rows: each row as it was in the input, with the reason why it was rejected,
//! so that it can be fixed there and imported again.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde_json::{Value, json};

use super::super::{Failure, output, status, unusable};
use super::args;
use super::file::{Line, RowFormat, UserFile, keep_whole, rejects_beside};
use super::file_check::BOM;
use super::input::has_place_beside;
use crate::columns::{self, REASON};
use crate::files;

/// The file of rejected rows, created with the first one.
pub(super) struct Rejects {
    /// `None` if rejected rows are only shown.
    pub(super) path: Option<PathBuf>,
    /// Whether `--rejects` named it.
    pub(super) is_named: bool,
    /// Whether the next import needs another path.
    pub(super) must_be_another: bool,
    rows: RejectedRows,
}

/// Writes rejected rows in the format of the input; the file is created with the first one.
enum RejectedRows {
    Csv {
        header: Vec<String>,
        delimiter: u8,
        reason_at: Option<usize>,
        /// Whether the input begins with a byte order mark: then a spreadsheet needs one here too.
        has_bom: bool,
        writer: Option<Box<csv::Writer<File>>>,
    },
    Json {
        writer: Option<File>,
    },
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
            None if has_place_beside(&typed.file) => Some(rejects_beside(&typed.file)?),
            None => None,
        };
        let path = path
            .map(|path| checked(path, typed, user_file))
            .transpose()?;
        Ok(Self {
            path: path.flatten().filter(|_| !typed.dry_run),
            must_be_another: false,
            is_named: typed.rejects.is_some(),
            rows: RejectedRows::like(user_file),
        })
    }

    pub(super) fn is_begun(&self) -> bool {
        match &self.rows {
            RejectedRows::Csv { writer, .. } => writer.is_some(),
            RejectedRows::Json { writer } => writer.is_some(),
        }
    }

    /// Writes rows with the reasons why they were rejected.
    pub(super) fn take(&mut self, rejected: &[(&Line, String)]) -> Result<(), Failure> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if rejected.is_empty() {
            return Ok(());
        }
        // If writing fails, it would fail at this path again. If it succeeds, the file exists, and
        // its path cannot be given again.
        self.must_be_another = true;
        for (line, reason) in rejected {
            self.rows.add(path, line, reason)?;
        }
        self.rows.flush(path)?;
        self.must_be_another = self.is_named;
        Ok(())
    }
}

/// Checks before the work what would fail at its end. A file that cannot be created is an error
/// only if a real import named it; otherwise it is `None`, since there may be no rejected rows.
fn checked(
    path: PathBuf,
    typed: &args::Import,
    user_file: &UserFile,
) -> Result<Option<PathBuf>, Failure> {
    if std::fs::symlink_metadata(&path).is_ok() {
        let what = format!("{}: the file exists already", path.display());
        return Err(Failure::new(status::USAGE, what).hint("name another one with --rejects"));
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
        output::say(&output::printable(&format!("{}: {hint}", failure.what)));
    }
    Ok(None)
}

impl RejectedRows {
    fn add(&mut self, path: &Path, line: &Line, reason: &str) -> Result<(), Failure> {
        let written = match self {
            Self::Csv {
                header,
                delimiter,
                reason_at,
                has_bom,
                writer,
            } => {
                let writer = match writer {
                    Some(writer) => writer,
                    None => writer.insert({
                        let header = with_reason(header, header.len(), *reason_at, REASON);
                        begin_csv(path, &header, *delimiter, *has_bom)?
                    }),
                };
                let cells = with_reason(&line.cells, header.len(), *reason_at, reason);
                writer
                    .write_record(&cells)
                    .map_err(|error| error.to_string())
            }
            Self::Json { writer } => {
                let writer = match writer {
                    Some(writer) => writer,
                    None => writer.insert(create(path)?),
                };
                let text = with_member(&line.cells[0], reason);
                writeln!(writer, "{text}").map_err(|error| error.to_string())
            }
        };
        written.map_err(|error| unwritten(path, &error))
    }

    fn flush(&mut self, path: &Path) -> Result<(), Failure> {
        match self {
            Self::Csv {
                writer: Some(writer),
                ..
            } => writer
                .flush()
                .map_err(|error| unwritten(path, &error.to_string())),
            _ => Ok(()),
        }
    }

    fn like(user_file: &UserFile) -> Self {
        match &user_file.format {
            RowFormat::Csv {
                header,
                delimiter,
                reason_at,
                ..
            } => Self::Csv {
                header: header.clone(),
                delimiter: *delimiter,
                reason_at: *reason_at,
                has_bom: user_file.has_bom,
                writer: None,
            },
            RowFormat::Json { .. } => Self::Json { writer: None },
        }
    }
}

/// Creates the file with its header.
fn begin_csv(
    path: &Path,
    header: &[String],
    delimiter: u8,
    has_bom: bool,
) -> Result<Box<csv::Writer<File>>, Failure> {
    let mut file = create(path)?;
    if has_bom {
        file.write_all(BOM)
            .map_err(|error| unwritten(path, &error.to_string()))?;
    }
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_writer(file);
    writer
        .write_record(header)
        .map_err(|error| unwritten(path, &error.to_string()))?;
    Ok(Box::new(writer))
}

fn create(path: &Path) -> Result<File, Failure> {
    files::create_own(path, 0o600).map_err(|error| unusable(path, &error))
}

fn unwritten(path: &Path, error: &str) -> Failure {
    Failure::new(status::IO, format!("{}: {error}", path.display()))
}

/// Puts the reason before the cells, and drops that of an earlier import. A row with too many or
/// too few cells stays as it is until it is fixed: the old reason's cell may have been removed, so
/// that another is in its place.
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
    // A line that cannot be parsed is kept whole, and refused again until it is fixed.
    let Ok(Value::Object(mut object)) = crate::scim::json::parse_line(line) else {
        return keep_whole(line, reason).to_string();
    };
    // A password is never kept, and an import would ignore it.
    let is_kept = |name: &str| !columns::is_reason(name) && !name.eq_ignore_ascii_case("password");
    object.retain(|name, _| is_kept(name));
    object.insert(REASON.to_owned(), json!(reason));
    Value::Object(object).to_string()
}
