//! `user export`: writes all users, or those that a query selects, as CSV or JSON lines. A file
//! appears only once it is complete, and never overwrites another.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::mem;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::interruption::Interruption;
use super::super::{Failure, audit, output, refuse_taken, status, unusable};
use super::args::{Export, ExportFormat};
use super::each_page;
use super::file_name::export_format;
use crate::clock::{Clock, SystemClock};
use crate::columns;
use crate::files;
use crate::limits;
use crate::local::Client;

pub(super) fn run(client: &mut Client, typed: &Export) -> Result<(), Failure> {
    // `-` means standard output, where the data goes anyway.
    let file = typed.file.as_deref().filter(|file| *file != Path::new("-"));
    let format = match (typed.output, file) {
        (Some(typed), _) => typed,
        (None, Some(file)) => export_format(file)?,
        (None, None) => ExportFormat::Csv,
    };
    let mut target = Target::open(file)?;
    let (query, mut count) = (typed.selected.query(), 0);
    let written = write(client, &query, usize::MAX, format, &mut target, &mut count);
    let written = written.and_then(|()| target.end());
    // Users may have left even if not all of them have.
    if written.is_ok() || count > 0 {
        audit::record(client, "user.export", file, json!({"count": count}));
    }
    written?;
    if let Some(file) = file {
        let who = output::counted(count, "user");
        output::say(&format!("{who} in {}", file.display()));
    }
    Ok(())
}

/// Prints up to `limit` users that a query selects, as CSV.
pub(super) fn print(client: &mut Client, query: &str, limit: usize) -> Result<(), Failure> {
    let target = &mut Target::Output;
    write(client, query, limit, ExportFormat::Csv, target, &mut 0)
}

/// Writes up to `limit` users that a query selects, and counts them.
fn write(
    client: &mut Client,
    query: &str,
    limit: usize,
    format: ExportFormat,
    target: &mut Target,
    count: &mut u64,
) -> Result<(), Failure> {
    let (header, columns) = columns::exported();
    // The header is written with the first page, so that nothing is printed if the filter is
    // refused.
    let mut text = match format {
        ExportFormat::Csv => record(b',', &header)?,
        ExportFormat::Jsonl => Vec::new(),
    };
    each_page(client, query, limit, |users| {
        for user in users {
            if let (ExportFormat::Csv, Value::Object(user)) = (format, user) {
                text.extend(record(b',', &columns.cells(user))?);
            } else {
                text.extend(output::json(user).into_bytes());
                text.push(b'\n');
            }
            *count += 1;
        }
        target.write(&mem::take(&mut text))
    })?;
    // If the limit is 0, no page was visited and the header is still unwritten.
    target.write(&text)
}

/// Encodes one row of CSV. If a cell has the delimiter of other files, all are quoted: in a
/// spreadsheet that splits there as well, a text could otherwise go on as a formula in a cell of its
/// own.
pub(super) fn record(delimiter: u8, cells: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, Failure> {
    let splits = |byte: &u8| *byte != delimiter && b",;\t".contains(byte);
    let style = if cells.iter().any(|it| it.as_ref().iter().any(splits)) {
        csv::QuoteStyle::Always
    } else {
        csv::QuoteStyle::Necessary
    };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .quote_style(style)
        .from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Failure::new(status::IO, error);
    writer.write_record(cells).map_err(|error| failed(&error))?;
    writer.into_inner().map_err(|error| failed(&error))
}

/// The destination of an export.
pub(super) enum Target {
    Output,
    File(Draft),
}

/// A file under a temporary name, which is removed unless [`Target::end`] is called. If the command
/// is killed, the next export to the same name removes it.
pub(super) struct Draft {
    interruption: Interruption,
    path: PathBuf,
    written_at: PathBuf,
    file: BufWriter<File>,
}

impl Target {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Output);
        };
        // Check this beforehand, so that the work does not fail at its end.
        refuse_taken(path)?;
        files::remove_drafts_of(
            path,
            SystemClock.now().seconds() - limits::LEFT_BEHIND_SECONDS,
        );
        let interruption = Interruption::catch()?;
        let draft = files::draft_of(path);
        let file = files::create_own(&draft, 0o600).map_err(|error| unusable(path, &error))?;
        Ok(Self::File(Draft {
            interruption,
            path: path.to_owned(),
            written_at: draft,
            file: BufWriter::new(file),
        }))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Output if io::stdout().is_terminal() => {
                output::data(output::rows_for_terminal(&String::from_utf8_lossy(bytes)).as_bytes())
            }
            Self::Output => output::data(bytes),
            Self::File(draft) => {
                draft.interruption.refuse()?;
                let written = draft.file.write_all(bytes);
                written.map_err(|error| unusable(&draft.path, &error))
            }
        }
    }

    pub(super) fn end(self) -> Result<(), Failure> {
        let Self::File(mut draft) = self else {
            return Ok(());
        };
        let appeared = draft
            .file
            .flush()
            .and_then(|()| draft.file.get_ref().sync_all())
            .and_then(|()| files::publish(&draft.written_at, &draft.path));
        appeared.map_err(|error| unusable(&draft.path, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // This fails, as it should, once the file has its own name.
        let _ = fs::remove_file(&self.written_at);
    }
}
