//! The only code that prints: data to standard output, messages to standard error. A closed stream
//! does not make a command fail, unless the command has done something that must be reported.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::{Failure, status};
// Makes an untrusted text safe for a terminal and puts it on one line.
pub(super) use crate::logging::escape as printable;
use crate::logging::is_dangerous;

/// The output format of a command that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// One JSON array.
    Json,
    /// One JSON object per line.
    Jsonl,
}

/// Prints one line of data.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// Prints names, each with its description.
pub(super) fn list(names: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<(), Failure> {
    let widths = names.iter().map(|(name, _)| name.as_ref().width());
    let width = widths.max().unwrap_or_default();
    for (name, about) in names {
        let (name, about) = (name.as_ref(), about.as_ref());
        line(format!("{name:width$}  {about}").trim_end())?;
    }
    Ok(())
}

/// Prints the possible values of an argument, each with its help.
pub(super) fn choices<V: ValueEnum>() -> Result<(), Failure> {
    let values = V::value_variants().iter();
    let names = values
        .filter_map(ValueEnum::to_possible_value)
        .map(|value| {
            let about = value.get_help().map(ToString::to_string);
            (value.get_name().to_owned(), about.unwrap_or_default())
        });
    list(&names.collect::<Vec<_>>())
}

/// Whether only errors are printed to standard error.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

pub(super) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

pub(super) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Prints a message for the user, on one line, unless only errors are wanted. Failing to print it
/// is ignored, since perhaps nobody reads it.
pub(super) fn say(text: &str) {
    if !is_quiet() {
        complain(&printable(text));
    }
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints clap's message about a usage error.
pub(super) fn usage(rendered: &str) {
    let what = rendered.strip_prefix("error: ").unwrap_or(rendered);
    complain(&format!("golinks-scim: {}", what.trim_end()));
}

/// Prints what went wrong and what to do about it.
pub(super) fn failure(what: &str, hint: Option<&str>) {
    complain(&format!("golinks-scim: {}", printable(what)));
    if let Some(hint) = hint {
        complain(&format!("hint: {}", printable(hint)));
    }
}

/// The elements of a JSON array; none for any other value.
pub(super) fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// A value as JSON, on one line and safe for a terminal. The escapes do not change the value.
pub(super) fn json(value: &Value) -> String {
    escaped(&value.to_string(), |_| false)
}

/// Makes rows of CSV safe for a terminal: dangerous characters other than line ends are escaped as
/// in JSON.
pub(super) fn rows_for_terminal(rows: &str) -> String {
    escaped(rows, |c| c == '\n')
}

/// Escapes dangerous characters as `\u` and four digits, which suffice for each of them. In JSON
/// such characters occur only within strings, where the escape has the same meaning (RFC 8259
/// section 7).
fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    if !text.contains(is_dangerous) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if is_dangerous(c) && !stays(c) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn write(text: &str) -> Result<(), Failure> {
    data(text.as_bytes())
}

/// Writes data. If the reader is gone, the command ends without a message.
pub(super) fn data(bytes: &[u8]) -> Result<(), Failure> {
    written(io::stdout().lock().write_all(bytes))
}

/// Prints the help or the version, which clap takes for errors.
pub(super) fn help(asked: &clap::Error) -> Result<(), Failure> {
    written(asked.print())
}

fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            status::IO,
            format!("standard output cannot be written: {error}"),
        )),
        Err(_) => Err(Failure {
            is_reader_gone: true,
            ..Failure::new(status::IO, "standard output was closed")
        }),
        Ok(()) => Ok(()),
    }
}

/// Fails if standard output is `/dev/null`, which also stands for a closed one, because `what` can
/// be printed only once. `where_to` names suitable outputs.
pub(super) fn refuse_dev_null(what: &str, where_to: &str) -> Result<(), Failure> {
    let nowhere = std::fs::metadata("/dev/null").map(|it| it.rdev()).ok();
    let output = rustix::fs::fstat(io::stdout()).ok();
    let kept = output.is_some_and(|it| Some(it.st_rdev) != nowhere);
    if kept {
        return Ok(());
    }
    let what = format!("standard output is closed, or /dev/null: {what} would be lost");
    Err(Failure::new(status::USAGE, what).hint(format!("send standard output to {where_to}")))
}

/// Prints one document in a format for programs: as an array with one element, or as a line.
pub(super) fn document(format: Format, document: &Value) -> Result<(), Failure> {
    rows(format, &[], std::slice::from_ref(document))
}

/// Prints a whole list at once.
pub(super) fn rows(
    format: Format,
    columns: &'static [Column],
    rows: &[Value],
) -> Result<(), Failure> {
    let mut listing = Listing::new(format, columns);
    listing.page(rows)?;
    listing.end()
}

/// One column of a table.
pub(super) struct Column {
    title: &'static str,
    cell: fn(&Value) -> String,
    /// Whether a terminal that is too narrow for the table does without it.
    is_spare: bool,
}

impl Column {
    fn text(&self, row: &Value) -> String {
        printable(&(self.cell)(row))
    }

    /// Leaves the column out on a terminal that would have no room for it.
    pub(super) const fn spare(self) -> Self {
        Self {
            is_spare: true,
            ..self
        }
    }
}

/// A column with this title; `cell` gives its text for a row.
pub(super) const fn column(title: &'static str, cell: fn(&Value) -> String) -> Column {
    Column {
        title,
        cell,
        is_spare: false,
    }
}

/// The width of the terminal that standard output is, if it is one and says so.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok()
        .map(|size| size.ws_col.into())
        .filter(|it| *it > 0)
}

/// The maximum width of a table's column, in terminal columns.
const WIDTH_MAX: usize = 64;

/// Prints rows page by page as they arrive. The first page determines the widths of a table's
/// columns, up to [`WIDTH_MAX`]; a wider cell shifts only the rest of its own line. It also
/// determines which columns a terminal has no room for.
pub(super) struct Listing {
    format: Format,
    columns: &'static [Column],
    /// Whether no column is spare after all.
    is_whole: bool,
    left_out: Vec<&'static str>,
    /// The widths of the columns; `None` for one that is left out.
    widths: Vec<Option<usize>>,
    /// The number of rows in an array so far.
    rows: usize,
    /// Whether a page could not be written.
    is_torn: bool,
}

/// Reports what a command does to several users or tokens: a message or a document for each.
pub(super) struct Report {
    listing: Option<Listing>,
    /// Why writing has stopped. The command itself goes on, since the user asked for it.
    unwritten: Option<Failure>,
    count: u64,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self {
            listing: Listing::for_programs(format),
            unwritten: None,
            count: 0,
        }
    }

    pub(super) fn print(&mut self, words: &str, document: &Value) {
        self.count += 1;
        match &mut self.listing {
            Some(listing) if self.unwritten.is_none() => {
                self.unwritten = listing.page(std::slice::from_ref(document)).err();
            }
            Some(_) => {}
            None => say(words),
        }
    }

    /// Combines the outcome of the command with the outcome of reporting it.
    pub(super) fn end(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let told = match (self.unwritten, self.listing) {
            (Some(failure), _) => Err(failure),
            (None, Some(listing)) => listing.end(),
            (None, None) => Ok(()),
        };
        if self.count == 0 {
            // Nothing was done, so the reason is all there is to report.
            return outcome;
        }
        let told = done(told);
        if let (Err(_), Err(untold)) = (&outcome, &told) {
            failure(&untold.what, None);
        }
        outcome.and(told)
    }
}

/// The outcome of reporting something that was done.
pub(super) fn done(told: Result<(), Failure>) -> Result<(), Failure> {
    told.map_err(|Failure { what, .. }| {
        let what = format!("it was done, but could not be reported: {what}");
        Failure::new(status::IO, what)
    })
}

impl Listing {
    pub(super) fn new(format: Format, columns: &'static [Column]) -> Self {
        Self {
            format,
            columns,
            is_whole: false,
            left_out: Vec::new(),
            widths: Vec::new(),
            rows: 0,
            is_torn: false,
        }
    }

    /// A listing of whole documents; `None` for the format for people, who need words instead.
    pub(super) fn for_programs(format: Format) -> Option<Self> {
        (format != Format::Table).then(|| Self::new(format, &[]))
    }

    /// Leaves out no column, for a command that shows everything about something.
    pub(super) fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    pub(super) fn page(&mut self, rows: &[Value]) -> Result<(), Failure> {
        let mut text = String::new();
        match self.format {
            Format::Table => self.table(rows, &mut text),
            Format::Json => {
                for row in rows {
                    text.push_str(if self.rows == 0 { "[\n" } else { ",\n" });
                    text.push_str(&json(row));
                    self.rows += 1;
                }
            }
            Format::Jsonl => {
                for row in rows {
                    text.push_str(&json(row));
                    text.push('\n');
                }
            }
        }
        let written = write(&text);
        self.is_torn |= written.is_err();
        written
    }

    /// Prints what follows the last page. If a page could not be written, an array is left open, so
    /// that no program takes a part of it for the whole.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        match (self.format, self.rows) {
            _ if self.is_torn => return Ok(()),
            (Format::Table, _) if self.widths.is_empty() => self.page(&[])?,
            (Format::Json, 0) => write("[]\n")?,
            (Format::Json, _) => write("\n]\n")?,
            _ => {}
        }
        self.tell_left_out();
        Ok(())
    }

    /// Names the columns that were left out, once.
    pub(super) fn tell_left_out(&mut self) {
        let titles = std::mem::take(&mut self.left_out).join(", ");
        if !titles.is_empty() {
            hint(&format!("a wider terminal or -o json also shows {titles}"));
        }
    }

    fn table(&mut self, rows: &[Value], text: &mut String) {
        let cells = |row| self.columns.iter().map(|column| column.text(row)).collect();
        let mut lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
        if self.widths.is_empty() {
            let titles = self.columns.iter().map(|c| c.title.to_owned()).collect();
            lines.insert(0, titles);
            let room = terminal_width().filter(|_| !self.is_whole);
            self.fit(&lines, room.unwrap_or(usize::MAX));
        }
        for cells in &lines {
            self.line(cells, text);
        }
    }

    /// Chooses the widths of the columns. If they are wider than `room` together, spare columns are
    /// left out from the right until the others fit; none if they do not fit then either, since
    /// lines that wrap anyway may as well be whole.
    fn fit(&mut self, lines: &[Vec<String>], room: usize) {
        let width = |at: usize| {
            let widths = lines.iter().map(|line| line[at].width().min(WIDTH_MAX));
            widths.max()
        };
        self.widths = (0..self.columns.len()).map(width).collect();
        let fits = |widths: &[Option<usize>]| {
            let total: usize = widths.iter().flatten().map(|width| width + 2).sum();
            total <= room.saturating_add(2)
        };
        let (mut fewer, mut left_out) = (self.widths.clone(), Vec::new());
        for (at, column) in self.columns.iter().enumerate().rev() {
            if column.is_spare && !fits(&fewer) {
                fewer[at] = None;
                left_out.insert(0, column.title);
            }
        }
        if fits(&fewer) {
            (self.widths, self.left_out) = (fewer, left_out);
        }
    }

    fn line(&self, cells: &[String], text: &mut String) {
        let start = text.len();
        for (cell, width) in cells.iter().zip(&self.widths) {
            let Some(width) = width else { continue };
            text.push_str(cell);
            let padding = width.saturating_sub(cell.width()) + 2;
            text.extend(std::iter::repeat_n(' ', padding));
        }
        let end = start + text[start..].trim_end().len();
        text.truncate(end);
        text.push('\n');
    }
}

/// A member of a JSON object as text; empty if the member is null or missing.
pub(super) fn text_of(row: &Value, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Prints a hint although nothing has failed.
pub(super) fn hint(what: &str) {
    say(&format!("hint: {what}"));
}

/// A count with its noun, such as "1 user" or "2 users".
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// The verb after a count: "was" or "were".
pub(super) fn were(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// Like [`counted`], for a member of an answer.
pub(super) fn counted_in(row: &Value, name: &str, what: &str) -> String {
    counted(row[name].as_u64().unwrap_or_default(), what)
}

/// A time to the minute, for a table column whose title says UTC.
pub(super) fn minute(row: &Value, name: &str, absent: &str) -> String {
    moment(row, name, 16).unwrap_or_else(|| absent.to_owned())
}

/// A time to the second, for a table column whose title says UTC.
pub(super) fn second(row: &Value, name: &str) -> String {
    moment(row, name, 19).unwrap_or_default()
}

/// The first bytes of an RFC 3339 time, with a space instead of its `T`.
fn moment(row: &Value, name: &str, bytes: usize) -> Option<String> {
    let text = text_of(row, name);
    Some(format!("{} {}", text.get(..10)?, text.get(11..bytes)?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_cell_moves_its_own_line_only_and_is_made_once() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        const COLUMNS: &[Column] = &[
            column("A", |row| {
                MADE.fetch_add(1, Ordering::Relaxed);
                text_of(row, "a")
            }),
            column("B", |_| "b".to_owned()),
        ];
        let mut listing = Listing::new(Format::Table, COLUMNS);
        let mut text = String::new();
        listing.table(
            &[json!({"a": "x".repeat(5000)}), json!({"a": "y"})],
            &mut text,
        );
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        let short = WIDTH_MAX + "  b".len();
        assert_eq!(lengths, [short, 5000 + "  b".len(), short]);
        assert_eq!(MADE.load(Ordering::Relaxed), 2);
    }
}
