//! Checks a file of users as a whole before anything is done with it, so that a wrong encoding, an
//! unclosed quote or the wrong format is reported before the first row is applied. The content of
//! the rows is not checked here.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr2};

use super::super::{Failure, quoted, status, unusable};
use super::file_name::beside;
use crate::limits;

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the first pass over a file found.
pub(super) struct FileCheck {
    pub(super) rows: u64,
    pub(super) delimiter: u8,
    pub(super) has_bom: bool,
}

/// Where a CSV reader is within a record.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted cell, which either ends the cell or is the first of two.
    Quote,
}

/// The hint for an unclosed quote. The end of its row is unknown, so no later row can be read.
const CLOSE_QUOTES: &str = "is a closing quote missing? in a quoted cell, write each quote twice; \
                            a single one ends the cell";

impl FileCheck {
    pub(super) fn of(path: &Path, file: &mut File, is_json: bool) -> Result<Self, Failure> {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut pass = Pass::new(path, is_json);
        let mut text = Vec::new();
        loop {
            text.clear();
            let most = limits::IMPORT_ROW_BYTES_MAX;
            read_line(&mut reader, is_json, most, &mut text)
                .map_err(|error| unusable(path, &error))?;
            if text.is_empty() {
                return pass.end();
            }
            pass.line(&text)?;
        }
    }
}

/// The first pass over a file, of which it sees each line.
struct Pass<'a> {
    path: &'a Path,
    is_json: bool,
    check: FileCheck,
    /// The number of lines so far.
    lines: u64,
    /// The line on which the current row begins.
    begun: u64,
    /// The length of the current row so far.
    bytes: usize,
    /// Whether the current row is blank so far.
    is_blank: bool,
    at: At,
    /// Whether no row has come yet, so that this is the header of a CSV file.
    is_first: bool,
    delimiters: Delimiters,
}

impl<'a> Pass<'a> {
    fn new(path: &'a Path, is_json: bool) -> Self {
        Self {
            path,
            is_json,
            check: FileCheck {
                rows: 0,
                delimiter: b',',
                has_bom: false,
            },
            lines: 0,
            begun: 1,
            bytes: 0,
            is_blank: true,
            at: At::Start,
            is_first: true,
            delimiters: Delimiters::default(),
        }
    }

    fn line(&mut self, mut text: &[u8]) -> Result<(), Failure> {
        let (path, is_json, most) = (self.path, self.is_json, limits::IMPORT_ROW_BYTES_MAX);
        self.lines += 1;
        if self.lines == 1 {
            check_first(path, text, is_json)?;
            if let Some(rest) = text.strip_prefix(BOM) {
                self.check.has_bom = true;
                text = rest;
            }
        }
        if self.is_first && self.bytes == 0 && !text.trim_ascii().is_empty() {
            check_format(path, self.lines, text, is_json)?;
        }
        if std::str::from_utf8(text).is_err() && text.len() <= most {
            return Err(not_utf8(path, self.lines, is_json));
        }
        self.bytes += text.len();
        if self.bytes > most {
            return Err(too_long(path, self.begun, is_json));
        }
        if is_json {
            self.is_blank = text.trim_ascii().is_empty();
        } else {
            self.is_blank &= is_filler(text);
            self.at = if self.is_first {
                walk(self.at, text, |byte| self.delimiters.count(byte))
            } else {
                walk(self.at, text, |byte| byte == self.check.delimiter)
            };
        }
        if self.at != At::Quoted {
            self.end_row();
        }
        Ok(())
    }

    fn end_row(&mut self) {
        if self.is_blank {
            self.delimiters = Delimiters::default();
        } else {
            if self.is_first {
                self.check.delimiter = self.delimiters.most();
            }
            self.check.rows += u64::from(!self.is_first || self.is_json);
            self.is_first = false;
        }
        self.begun = self.lines + 1;
        self.bytes = 0;
        self.is_blank = true;
        self.at = At::Start;
    }

    fn end(self) -> Result<FileCheck, Failure> {
        if self.at == At::Quoted {
            return Err(not_closed(self.path, self.begun));
        }
        Ok(self.check)
    }
}

/// Reads a line with its end into `text`, which stays empty at the end of the file. A line ends
/// with LF, CR or both, but in JSON, where CR is white space, only with LF. If a line is longer
/// than `most` bytes, only slightly more than `most` bytes are read.
fn read_line(
    reader: &mut impl BufRead,
    is_json: bool,
    most: usize,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    while text.len() <= most && !text.ends_with(b"\n") {
        let buffer = reader.fill_buf()?;
        if text.ends_with(b"\r") && !is_json {
            if buffer.starts_with(b"\n") {
                text.push(b'\n');
                reader.consume(1);
            }
            break;
        }
        let end = if is_json {
            memchr(b'\n', buffer)
        } else {
            memchr2(b'\n', b'\r', buffer)
        };
        let count = end.map_or(buffer.len(), |at| at + 1);
        if count == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..count]);
        reader.consume(count);
    }
    Ok(())
}

/// Where a reader is after these bytes. `is_delimiter` is called only for bytes outside quotes.
fn walk(mut at: At, text: &[u8], mut is_delimiter: impl FnMut(u8) -> bool) -> At {
    for &byte in text {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Start | At::Quote, b'"') | (At::Quoted, _) => At::Quoted,
            (_, b'\n' | b'\r') => At::Start,
            (_, byte) if is_delimiter(byte) => At::Start,
            _ => At::Plain,
        };
    }
    at
}

/// How often each possible delimiter occurs in a header, outside quotes.
struct Delimiters([(u8, u64); 3]);

impl Default for Delimiters {
    fn default() -> Self {
        Self(Self::MARKS.map(|mark| (mark, 0)))
    }
}

impl Delimiters {
    const MARKS: [u8; 3] = *b",;\t";

    /// Counts a byte if it is a possible delimiter. Returns whether it is one.
    fn count(&mut self, byte: u8) -> bool {
        let count = self.0.iter_mut().find(|(mark, _)| *mark == byte);
        count.map(|(_, count)| *count += 1).is_some()
    }

    /// The most frequent delimiter, or the first of several that are equally frequent. With a
    /// single column the choice does not matter.
    fn most(&self) -> u8 {
        let counts = self.0.iter().rev();
        counts
            .max_by_key(|(_, count)| *count)
            .map_or(b',', |it| it.0)
    }
}

/// Whether a piece of CSV contains only empty cells. Such rows may come before the header, when the
/// delimiter is not known yet, so every possible delimiter counts as empty.
pub(super) fn is_filler(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| *byte == b'"' || Delimiters::MARKS.contains(byte);
    text.iter()
        .all(|byte| byte.is_ascii_whitespace() || is_mark(byte))
}

/// The first bytes of spreadsheet files: those of Excel and LibreOffice are ZIP files, older ones
/// of Excel are not.
const SPREADSHEETS: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];

fn check_first(path: &Path, text: &[u8], is_json: bool) -> Result<(), Failure> {
    if SPREADSHEETS.iter().any(|mark| text.starts_with(mark)) {
        let what = "this is a spreadsheet or another binary file, whatever its name says";
        let what = format!("{}:1: {what}", path.display());
        let hint = "open it in the spreadsheet program, and save it as `CSV UTF-8`";
        return Err(Failure::new(status::DATA, what).hint(hint));
    }
    let is_wide = text.starts_with(b"\xff\xfe")
        || text.starts_with(b"\xfe\xff")
        || text.iter().take(4).any(|byte| *byte == 0);
    if !is_wide {
        return Ok(());
    }
    let what = "the text is UTF-16, not UTF-8";
    let what = format!("{}:1: {what}", path.display());
    Err(Failure::new(status::DATA, what).hint(converting(path, "UTF-16", is_json)))
}

const AN_ARRAY: &str = "this is a JSON array, not one object a line as in `user export FILE.jsonl`";

/// Refuses JSON in a file whose name says CSV, a JSON array, and a `sep=` line.
fn check_format(path: &Path, line: u64, text: &[u8], is_json: bool) -> Result<(), Failure> {
    let what = match text.trim_ascii_start().first() {
        Some(b'{') if !is_json => "this is JSON: the file's name must end with .jsonl",
        Some(b'[') => AN_ARRAY,
        _ if !is_json && is_for_excel(text) => {
            "this line is for Excel only: remove it, the delimiter is detected without it"
        }
        _ => return Ok(()),
    };
    let failure = Failure::new(status::DATA, format!("{}:{line}: {what}", path.display()));
    Err(if what == AN_ARRAY {
        let lines = unused(path, ".lines", ".jsonl");
        failure.hint(format!("jq -c '.[]' {} > {lines}", quoted(path)))
    } else {
        failure.hint("golinks-scim manual csv says what a file may contain")
    })
}

/// Whether a line is like `sep=;`, which some programs write before the header.
fn is_for_excel(line: &[u8]) -> bool {
    let (name, delimiter) = line
        .trim_ascii_end()
        .split_at_checked(4)
        .unwrap_or_default();
    name.eq_ignore_ascii_case(b"sep=") && delimiter.len() <= 1
}

fn not_utf8(path: &Path, line: u64, is_json: bool) -> Failure {
    let what = format!("{}:{line}: the text is not UTF-8", path.display());
    Failure::new(status::DATA, what).hint(converting(path, "WINDOWS-1252", is_json))
}

/// How to convert a file from another encoding.
fn converting(path: &Path, from: &str, is_json: bool) -> String {
    let command = format!("iconv -f {from} -t UTF-8 {}", quoted(path));
    if is_json {
        return format!("{command} > {}", unused(path, ".utf8", ".jsonl"));
    }
    let csv = unused(path, ".utf8", ".csv");
    format!("in Excel save it as `CSV UTF-8`, or: {command} > {csv}")
}

/// The name of a nonexistent file next to this one, quoted for a shell.
fn unused(path: &Path, mark: &str, ending: &str) -> String {
    let beside = beside(path, mark, Some(ending));
    quoted(&beside.unwrap_or_else(|_| PathBuf::from(format!("users{mark}{ending}"))))
}

fn too_long(path: &Path, line: u64, is_json: bool) -> Failure {
    let kib = limits::IMPORT_ROW_BYTES_MAX / 1024;
    let what = format!(
        "{}:{line}: the row is longer than {kib} KiB",
        path.display()
    );
    let failure = Failure::new(status::DATA, what);
    if is_json {
        failure
    } else {
        failure.hint(CLOSE_QUOTES)
    }
}

fn not_closed(path: &Path, line: u64) -> Failure {
    let what = format!(
        "{}:{line}: the row has a quote that is not closed before the end of the file",
        path.display()
    );
    Failure::new(status::DATA, what).hint(CLOSE_QUOTES)
}
