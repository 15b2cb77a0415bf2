//! A file of users is checked once as a whole before anything is done with it, so that a wrong
//! encoding, an open quote or another form is reported before the first row is applied.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::super::{Failure, status};
use super::file::unreadable;
use crate::limits;

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What a file is, found by reading it once.
pub(super) struct Survey {
    pub(super) rows: u64,
    pub(super) delimiter: u8,
    pub(super) has_bom: bool,
}

/// The place of a CSV reader in a record.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote that ends the cell or is the first of two.
    Quote,
}

/// The end of this row is not known, so no later row can be read.
const CLOSE_QUOTES: &str =
    "is a quote not closed? Inside of a quoted cell it is written twice, and once at the end";

impl Survey {
    pub(super) fn make(path: &Path, file: &mut File, is_json: bool) -> Result<Self, Failure> {
        let bound = limits::IMPORT_ROW_BYTES_MAX;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut survey = Self {
            rows: 0,
            delimiter: b',',
            has_bom: false,
        };
        let (mut at, mut line, mut begun, mut bytes) = (At::Start, 0_u64, 1, 0);
        let (mut text, mut is_first) = (Vec::new(), true);
        loop {
            text.clear();
            let most = u64::try_from(bound).unwrap_or(u64::MAX) + 1;
            let read = reader.by_ref().take(most).read_until(b'\n', &mut text);
            if read.map_err(|error| unreadable(path, &error))? == 0 {
                break;
            }
            line += 1;
            if line == 1 {
                survey.has_bom = text.starts_with(BOM);
                check_first(path, &text)?;
                if survey.has_bom {
                    text.drain(..BOM.len());
                }
                check_form(path, &text, is_json)?;
                survey.delimiter = delimiter(&text);
            }
            if std::str::from_utf8(&text).is_err() && text.len() <= bound {
                return Err(not_utf8(path, line));
            }
            bytes += text.len();
            if bytes > bound {
                let kib = bound / 1024;
                let what = format!(
                    "{}:{begun}: the row is longer than {kib} KiB",
                    path.display()
                );
                let failure = Failure::new(status::REFUSED, what);
                return Err(if is_json {
                    failure
                } else {
                    failure.hint(CLOSE_QUOTES)
                });
            }
            at = if is_json {
                At::Start
            } else {
                survey.walk(at, &text)
            };
            if at == At::Quoted {
                continue;
            }
            if !text.trim_ascii().is_empty() {
                survey.rows += u64::from(!is_first || is_json);
                is_first = false;
            }
            (at, begun, bytes) = (At::Start, line + 1, 0);
        }
        if at == At::Quoted {
            let what = format!(
                "{}:{begun}: the row has a quote that is not closed before the end of the file",
                path.display()
            );
            return Err(Failure::new(status::REFUSED, what).hint(CLOSE_QUOTES));
        }
        Ok(survey)
    }

    /// Where a reader is after these bytes.
    fn walk(&self, mut at: At, text: &[u8]) -> At {
        for &byte in text {
            at = match (at, byte) {
                (At::Quoted, b'"') => At::Quote,
                (At::Start | At::Quote, b'"') | (At::Quoted, _) => At::Quoted,
                (_, b'\n' | b'\r') => At::Start,
                (_, byte) if byte == self.delimiter => At::Start,
                _ => At::Plain,
            };
        }
        at
    }
}

/// The separator that occurs most often in a header outside of quotes.
fn delimiter(header: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for &byte in header {
        is_quoted ^= byte == b'"';
        if let Some(count) = counts
            .iter_mut()
            .find(|(mark, _)| *mark == byte && !is_quoted)
        {
            count.1 += 1;
        }
    }
    // Among equally many the first: with only one column it does not matter.
    counts
        .iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |it| it.0)
}

fn check_first(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let is_wide = text.starts_with(b"\xff\xfe")
        || text.starts_with(b"\xfe\xff")
        || text.iter().take(4).any(|byte| *byte == 0);
    if !is_wide {
        return Ok(());
    }
    let what = "the text is UTF-16, not UTF-8";
    let what = format!("{}:1: {what}", path.display());
    let hint = format!(
        "in Excel save it as `CSV UTF-8`, or: iconv -f UTF-16 -t UTF-8 {} > utf8.csv",
        super::super::quoted(path)
    );
    Err(Failure::new(status::REFUSED, what).hint(hint))
}

/// Refuses a file that is JSON under another name or in another form.
fn check_form(path: &Path, text: &[u8], is_json: bool) -> Result<(), Failure> {
    let what = match text.trim_ascii_start().first() {
        Some(b'{') if !is_json => "this is JSON, whose file must end with .jsonl",
        Some(b'[') => "this is a JSON array, not one object a line as in `user export FILE.jsonl`",
        _ if !is_json && is_for_excel(text) => {
            "this line is for Excel alone: take it away, the delimiter is found without it"
        }
        _ => return Ok(()),
    };
    let failure = Failure::new(status::REFUSED, format!("{}:1: {what}", path.display()));
    Err(failure.hint("golinks-scim manual csv tells what a file may hold"))
}

/// Whether a line is `sep=;`, which some programs write before the header.
fn is_for_excel(line: &[u8]) -> bool {
    let (name, delimiter) = line
        .trim_ascii_end()
        .split_at_checked(4)
        .unwrap_or_default();
    name.eq_ignore_ascii_case(b"sep=") && delimiter.len() <= 1
}

fn not_utf8(path: &Path, line: u64) -> Failure {
    let what = format!("{}:{line}: the text is not UTF-8", path.display());
    let hint = format!(
        "in Excel save it as `CSV UTF-8`, or: iconv -f WINDOWS-1252 -t UTF-8 {} > utf8.csv",
        super::super::quoted(path)
    );
    Failure::new(status::REFUSED, what).hint(hint)
}
