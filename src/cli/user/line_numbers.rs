//! Determines on which line each row of a CSV file begins, counted from 1 as in an editor. The CSV
//! reader only knows where the previous row ended; the rest of a CRLF and empty lines may follow.

use std::collections::VecDeque;
use std::io::{self, Read};

/// A source that records where lines begin while it is read.
pub(super) struct LineNumbers<R> {
    source: R,
    /// Bytes read so far.
    read: u64,
    /// The line of the next byte.
    line: u64,
    is_after_break: bool,
    /// Whether an LF that comes next would belong to the same line break.
    is_after_cr: bool,
    /// The position and line of each byte that follows a line break and is not part of one. Entries
    /// before the row that was last asked for have been removed.
    begins: VecDeque<(u64, u64)>,
}

impl<R> LineNumbers<R> {
    /// Wraps a source from which nothing has been read yet.
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            read: 0,
            line: 1,
            is_after_break: true,
            is_after_cr: false,
            begins: VecDeque::new(),
        }
    }

    /// The line on which the first row after `bytes` bytes begins; the previous row ended there.
    /// Rows must be asked for in order.
    pub(super) fn line_after(&mut self, bytes: u64) -> u64 {
        while self.begins.front().is_some_and(|(at, _)| *at < bytes) {
            self.begins.pop_front();
        }
        self.begins.front().map_or(self.line, |(_, line)| *line)
    }
}

impl<R: Read> Read for LineNumbers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        for &byte in &buffer[..count] {
            let is_break = matches!(byte, b'\n' | b'\r');
            if self.is_after_break && !is_break {
                self.begins.push_back((self.read, self.line));
            }
            self.is_after_break = is_break;
            let is_rest = self.is_after_cr && byte == b'\n';
            self.line += u64::from(is_break && !is_rest);
            self.is_after_cr = byte == b'\r';
            self.read += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines on which a file's rows begin, read through a buffer of this size.
    fn lines(text: &str, buffer: usize) -> Vec<u64> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(buffer)
            .from_reader(LineNumbers::new(text.as_bytes()));
        let (mut record, mut lines) = (csv::StringRecord::new(), Vec::new());
        while reader.read_record(&mut record).expect("CSV") {
            let ended = record.position().expect("one").byte();
            lines.push(reader.get_mut().line_after(ended));
        }
        lines
    }

    #[test]
    fn rows_begin_where_an_editor_shows_them() {
        for (text, wanted) in [
            ("a\nb\nc", &[1, 2, 3][..]),
            ("a\nb\nc\n", &[1, 2, 3]),
            ("a\n\n\nb\n\nc\n\n", &[1, 4, 6]),
            ("\n\na\nb", &[3, 4]),
            ("a\n\"b\n\n1\"\nc\n", &[1, 2, 5]),
            ("a\n\"\nb\",1\n,\n\nc\n", &[1, 2, 4, 6]),
            ("a\n\"\"\"\n\n\"\"\"\n\"c\"\n", &[1, 2, 5]),
        ] {
            for buffer in [1, 2, 3, 8192] {
                assert_eq!(lines(text, buffer), wanted, "{text:?} by {buffer}");
                let windows = text.replace('\n', "\r\n");
                assert_eq!(lines(&windows, buffer), wanted, "{windows:?} by {buffer}");
                let old_mac = text.replace('\n', "\r");
                assert_eq!(lines(&old_mac, buffer), wanted, "{old_mac:?} by {buffer}");
            }
        }
    }
}
