//! Reads a file of users for an import or a comparison: CSV as spreadsheets write it, or JSON
//! lines. `file_check` first checks the whole file; then it is read batch by batch. The server
//! decides what a row does.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::{Failure, ask, quoted, status, unusable};
use super::file_check::{BOM, FileCheck, is_filler};
use super::file_name::is_json;
use super::input::Input;
use super::left_out::Managers;
use super::line_numbers::LineNumbers;
use super::seen_users::{SeenUsers, UserHash};
use crate::columns::{self, Columns, REASON, Row};
use crate::limits;
use crate::local::Client;
use crate::scim::json;

/// An open file of users, which has been checked as a whole and whose header has been read.
pub(in crate::cli) struct UserFile {
    /// The number of rows.
    pub(super) rows: u64,
    pub(super) format: RowFormat,
    /// Whether the file begins with a byte order mark, by which spreadsheets recognize UTF-8.
    pub(super) has_bom: bool,
    ignored: Vec<String>,
    pub(super) managers: Managers,
    /// The row that did not fit into the last request.
    held: Option<Line>,
    seen: SeenUsers,
}

/// The format of the rows, with its reader.
pub(super) enum RowFormat {
    Csv {
        /// The header as it is in the file.
        header: Vec<String>,
        /// The byte between two cells.
        delimiter: u8,
        columns: Arc<Columns>,
        /// The column in which an earlier import wrote its reason.
        reason_at: Option<usize>,
        records: csv::Reader<LineNumbers<File>>,
    },
    /// Each line is a resource.
    Json {
        lines: io::Lines<BufReader<File>>,
        /// The number of the line read last, counted from 1.
        number: u64,
    },
}

/// The member that holds a line that could not be read, in a file of rejected rows.
const UNREAD: &str = "text";

/// One row of the file.
pub(super) struct Line {
    /// The line on which the row begins, counted from 1.
    pub(super) number: u64,
    /// The row's cells; for JSON the line itself.
    pub(super) cells: Vec<String>,
    /// What to send for the row, until it is sent, or why nothing is sent.
    content: Result<Value, String>,
    /// The userName, or else the id, or else an empty text.
    pub(super) who: String,
    /// Whether an earlier import wrote its reason into the row, as in a file of rejected rows.
    pub(super) was_rejected: bool,
    /// The user whom the row names.
    about: Option<UserHash>,
}

impl UserFile {
    /// Checks the file as a whole and reads its header, leaving out the columns in `ignored`.
    pub(super) fn open(path: &Path, data_dir: &Path, ignored: &[String]) -> Result<Self, Failure> {
        let Input { mut file, is_json } = Input::open(path, data_dir)?;
        let check = FileCheck::of(path, &mut file, is_json)?;
        let start = if check.has_bom { BOM.len() as u64 } else { 0 };
        let go_to_start = || {
            let at = (&file).seek(SeekFrom::Start(start));
            at.map_err(|error| unusable(path, &error))
        };
        go_to_start()?;
        // A file without lines lacks every member.
        if is_json && check.rows > 0 {
            require_ignored_members(path, &file, ignored)?;
            go_to_start()?;
        }
        let format = if is_json {
            RowFormat::Json {
                lines: BufReader::new(file).lines(),
                number: 0,
            }
        } else {
            RowFormat::csv(path, file, check.delimiter, ignored)?
        };
        Ok(Self {
            rows: check.rows,
            format,
            has_bom: check.has_bom,
            ignored: ignored.to_vec(),
            managers: Managers::default(),
            held: None,
            seen: SeenUsers::default(),
        })
    }

    /// Asks the server what would become of the rows, or has it change their users, depending on
    /// `request`, to which the rows are added. Returns the outcome of each line, whether decided
    /// here or by the server.
    pub(super) fn outcomes(
        &mut self,
        client: &mut Client,
        target: &str,
        mut request: Value,
        lines: &mut [Line],
    ) -> Result<Vec<Value>, Failure> {
        let contents = lines.iter_mut().filter_map(|it| it.content.as_mut().ok());
        request["rows"] = contents.map(Value::take).collect();
        request["ignoresStatus"] = json!(self.ignored.iter().any(|it| columns::is_status(it)));
        if let RowFormat::Csv { header, .. } = &self.format {
            request["columns"] = json!(kept_header(header, &self.ignored));
        }
        let mut answer = ask(client, "POST", target, Some(&request))?;
        let answered = answer["rows"].as_array_mut().map(std::mem::take);
        let mut answered = answered.unwrap_or_default().into_iter();
        let mut outcomes = Vec::with_capacity(lines.len());
        for line in lines {
            let mut row = match &line.content {
                Ok(_) => match answered.next() {
                    Some(Value::Object(row)) => row,
                    _ => Map::new(),
                },
                Err(why) => {
                    let mut row = Map::new();
                    row.insert("line".to_owned(), json!(line.number));
                    columns::put_refusal(&mut row, why);
                    row
                }
            };
            row.entry("userName").or_insert_with(|| json!(line.who));
            let row = Value::Object(row);
            self.seen.note(&line.who, &row);
            self.note_manager(line, &row);
            outcomes.push(row);
        }
        Ok(outcomes)
    }

    /// The next rows, as many as fit into one request; empty at the end of the file.
    pub(super) fn batch(&mut self) -> Result<Vec<Line>, Failure> {
        let (mut batch, mut bytes, mut values) = (Vec::new(), 0, 0);
        while batch.len() < limits::IMPORT_ROWS_MAX {
            let next = match self.held.take() {
                Some(held) => Some(held),
                None => self.line()?,
            };
            let Some(line) = next else {
                break;
            };
            // A cell takes more memory than its text, even in a refused row.
            bytes += line
                .cells
                .iter()
                .map(|it| it.len() + CELL_BYTES)
                .sum::<usize>();
            if let Ok(content) = &line.content {
                bytes += content.to_string().len();
                values += 1 + json::count(content);
            }
            let is_full =
                bytes > limits::IMPORT_ROWS_BYTES_MAX || values > limits::IMPORT_ROWS_VALUES_MAX;
            if is_full && !batch.is_empty() {
                self.held = Some(line);
                break;
            }
            batch.push(self.first_about(line));
        }
        Ok(batch)
    }

    /// The line, but refused if an earlier line was about the same user.
    fn first_about(&mut self, mut line: Line) -> Line {
        let is_first = line.about.is_none_or(|user| self.seen.insert(user));
        if !is_first && line.content.is_ok() {
            line.content = Err(columns::same_user(&line.who));
        }
        line
    }

    fn line(&mut self) -> Result<Option<Line>, Failure> {
        let Some((number, cells)) = self.format.read_row()? else {
            return Ok(None);
        };
        let mut line = Line {
            number,
            cells,
            content: Ok(Value::Null),
            who: String::new(),
            was_rejected: false,
            about: None,
        };
        line.content = self.read(&mut line);
        Ok(Some(line))
    }

    /// What to send for a line. A row that was once rejected because an earlier row is about the
    /// same user stays refused in the file of rejected rows, even if reasons are ignored: alone in
    /// that file, it would be applied over the earlier row.
    fn read(&self, line: &mut Line) -> Result<Value, String> {
        let ignores_reasons = self.ignored.iter().any(|name| columns::is_reason(name));
        let (row, content, reason) = match &self.format {
            RowFormat::Csv {
                columns, reason_at, ..
            } => {
                line.was_rejected = reason_at.is_some() && !ignores_reasons;
                let row = Row::from_cells(columns, &line.cells).map_err(|error| error.detail)?;
                let reason = reason_at.and_then(|at| line.cells.get(at)).cloned();
                let content = json!({"line": line.number, "cells": line.cells});
                (row, content, reason)
            }
            RowFormat::Json { .. } => {
                let parse = |line: &str| json::parse_line(line).map_err(|error| error.detail);
                let mut value = parse(&line.cells[0])?;
                if let Some(text) = kept_whole(&value) {
                    line.was_rejected = !ignores_reasons;
                    line.cells[0] = text;
                    value = parse(&line.cells[0])?;
                }
                let Value::Object(mut user) = value else {
                    return Err("the line is no JSON object".to_owned());
                };
                let reason = user.iter().find(|(name, _)| columns::is_reason(name));
                line.was_rejected |= reason.is_some() && !ignores_reasons;
                let reason = reason.and_then(|(_, text)| text.as_str().map(str::to_owned));
                user.retain(|name, _| !is_among(&self.ignored, name));
                let row = Row::from_resource(user.clone()).map_err(|error| error.detail)?;
                (row, json!({"line": line.number, "user": user}), reason)
            }
        };
        let (name, id) = (row.user_name(), row.id());
        name.or(id).unwrap_or_default().clone_into(&mut line.who);
        line.about = self.seen.named(id, name);
        match reason {
            Some(reason) if columns::is_same_user(&reason) => {
                // This row must not block a row about the same user whose reason was emptied.
                line.about = None;
                Err(reason.trim().to_owned())
            }
            _ => Ok(content),
        }
    }

    /// Whether the rows name users by email.
    pub(super) fn is_named_by_email(&self) -> bool {
        matches!(&self.format, RowFormat::Csv { columns, .. } if columns.is_named_by_email())
    }

    /// Whether there is a column for the status.
    pub(super) fn has_status_column(&self) -> bool {
        let RowFormat::Csv { header, .. } = &self.format else {
            return false;
        };
        let mut kept = kept_header(header, &self.ignored).into_iter().flatten();
        kept.any(columns::is_status)
    }
}

impl RowFormat {
    /// Reads the header, which comes next in `file`.
    fn csv(path: &Path, file: File, delimiter: u8, ignored: &[String]) -> Result<Self, Failure> {
        let mut records = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(LineNumbers::new(file));
        let Some((number, header)) = read_record(&mut records)? else {
            let what = format!("{}: there is no header", path.display());
            return Err(Failure::new(status::DATA, what).hint(
                "its first line names the columns, such as Email,First name,Last name; \
                 golinks-scim manual csv lists them",
            ));
        };
        require_ignored(path, &header, ignored)?;
        let kept = kept_header(&header, ignored);
        let columns = Columns::parse(&kept).map_err(|error| {
            let (what, advice) = about_header(&kept, error.detail);
            let what = format!("{}:{number}: {what}", path.display());
            let names = "golinks-scim manual csv lists the names that columns may have";
            Failure::new(status::DATA, what).hint(format!("{names}; {advice}"))
        })?;
        Ok(Self::Csv {
            reason_at: header.iter().position(|name| columns::is_reason(name)),
            header,
            delimiter,
            columns: Arc::new(columns),
            records,
        })
    }

    /// Whether a file with this name would be read in this format.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        matches!(self, Self::Json { .. }) == is_json(path)
    }

    /// The format's name for people, and the extension of its files.
    pub(super) fn name_and_ending(&self) -> (&'static str, &'static str) {
        match self {
            Self::Csv { .. } => ("CSV", ".csv"),
            Self::Json { .. } => ("JSON lines", ".jsonl"),
        }
    }

    /// The next row that is not empty: the line on which it begins, and its cells; for JSON the
    /// line itself.
    fn read_row(&mut self) -> Result<Option<(u64, Vec<String>)>, Failure> {
        match self {
            Self::Csv { records, .. } => return read_record(records),
            Self::Json { lines, number } => {
                for text in lines {
                    let text = text.map_err(|error| Failure::new(status::IO, error))?;
                    *number += 1;
                    if !text.trim().is_empty() {
                        return Ok(Some((*number, vec![text])));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The next CSV row that is not empty: the line on which it begins, and its cells. Spreadsheets
/// leave empty rows before the header and at the end.
fn read_record(
    records: &mut csv::Reader<LineNumbers<File>>,
) -> Result<Option<(u64, Vec<String>)>, Failure> {
    let mut record = csv::StringRecord::new();
    loop {
        let read = records.read_record(&mut record);
        if !read.map_err(|error| Failure::new(status::IO, error))? {
            return Ok(None);
        }
        let ended = record.position().map_or(0, csv::Position::byte);
        let number = records.get_mut().line_after(ended);
        if !record.iter().all(|cell| is_filler(cell.trim().as_bytes())) {
            return Ok(Some((number, record.iter().map(str::to_owned).collect())));
        }
    }
}

/// The header, with `None` for each ignored column.
fn kept_header<'a>(header: &'a [String], ignored: &[String]) -> Vec<Option<&'a str>> {
    let is_kept = |name: &&str| !is_among(ignored, name);
    let names = header.iter();
    names
        .map(|name| Some(name.as_str()).filter(is_kept))
        .collect()
}

/// Fails if an ignored column does not exist, since its name must be misspelled.
fn require_ignored(path: &Path, header: &[String], ignored: &[String]) -> Result<(), Failure> {
    let Some(missing) = ignored.iter().find(|one| !is_among(header, one)) else {
        return Ok(());
    };
    let missing = quoted(Path::new(missing));
    let what = format!("{}: there is no column {missing} to ignore", path.display());
    let hint = format!("the columns are {}", header.join(", "));
    Err(Failure::new(status::DATA, what).hint(hint))
}

/// Like [`require_ignored`], for a file of JSON lines. A line need not have every member, so only a
/// name that may be a misspelled one must be in some line. Rows with an unknown member that was meant
/// instead are refused anyway.
fn require_ignored_members(path: &Path, file: &File, ignored: &[String]) -> Result<(), Failure> {
    let is_known =
        |name: &str| columns::is_reason(name) || columns::members().any(|one| is_same(one, name));
    let may_be_misspelled = |name: &&String| {
        !is_known(name) && (name.trim().is_empty() || columns::member_like(name).is_some())
    };
    let mut missing: Vec<&String> = ignored.iter().filter(may_be_misspelled).collect();
    for line in BufReader::new(file).lines() {
        if missing.is_empty() {
            return Ok(());
        }
        let line = line.map_err(|error| unusable(path, &error))?;
        if let Ok(Value::Object(line)) = json::parse_line(&line) {
            missing.retain(|name| !line.keys().any(|member| is_same(member, name)));
        }
    }
    let Some(missing) = missing.first() else {
        return Ok(());
    };
    let shown = quoted(Path::new(missing));
    let what = format!("{}: no line has a member {shown} to ignore", path.display());
    let hint = if let Some(meant) = columns::member_like(missing) {
        format!("did you mean {meant}?")
    } else {
        let members: Vec<&str> = columns::members().collect();
        format!("they can have {}", members.join(", "))
    };
    Err(Failure::new(status::DATA, what).hint(hint))
}

/// What is wrong with an unusable header, and what to do. `detail` is about one column.
fn about_header(header: &[Option<&str>], detail: String) -> (String, String) {
    let unknown = Columns::unknown(header);
    let names: Vec<&str> = header.iter().copied().flatten().collect();
    if unknown.len() == names.len() && names.iter().any(|name| name.contains('@')) {
        let what = "this looks like a row, but the first line must be a header".to_owned();
        return (
            what,
            "begin the file with such a line, like userName,givenName,familyName".to_owned(),
        );
    }
    let is_twice = |(at, name): (usize, &&str)| {
        !columns::is_reason(name) && names[..at].iter().any(|one| is_same(one, name))
    };
    let advice = if unknown.is_empty() && names.iter().enumerate().any(is_twice) {
        "give one of the two another name, or remove it: --ignore would leave out both".to_owned()
    } else {
        ignoring(&unknown)
    };
    (detail, advice)
}

/// The options that leave out these columns, ready to be typed.
fn ignoring(names: &[&str]) -> String {
    let mut typed: Vec<String> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if !names[..at].iter().any(|one| is_same(one, name)) {
            typed.push(format!("--ignore={}", quoted(Path::new(name))));
        }
    }
    // A name with control characters cannot be typed.
    let can_be_typed = !names.iter().any(|name| name.contains(char::is_control));
    match typed.as_slice() {
        [one] if can_be_typed => format!("{one} leaves this one out"),
        [_, ..] if can_be_typed => format!("to ignore all unknown columns: {}", typed.join(" ")),
        _ => "--ignore COLUMN leaves a column out".to_owned(),
    }
}

/// The memory that a cell takes in addition to its text.
const CELL_BYTES: usize = 24;

fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|one| is_same(one, name))
}

fn is_same(one: &str, name: &str) -> bool {
    one.trim().eq_ignore_ascii_case(name.trim())
}

/// The form in which the file of rejected rows keeps a line that could not be read.
pub(super) fn keep_whole(line: &str, reason: &str) -> Value {
    json!({UNREAD: line, REASON: reason})
}

fn kept_whole(value: &Value) -> Option<String> {
    let members = value.as_object()?;
    let is_kept = members.len() == 2 && members.keys().any(|name| columns::is_reason(name));
    let text = members.get(UNREAD).filter(|_| is_kept)?;
    text.as_str().map(str::to_owned)
}
