//! Checks the lines of a head as bytes (RFC 9112 section 2.2), before a parser sees them. A lone
//! LF, a lone CR, NUL and other control bytes never reach the parser, however lenient it may be. A
//! bound is enforced as soon as it is exceeded.

use memchr::memchr;

use super::Fault;
use crate::limits;

/// The detail of the fault for too many header fields.
const TOO_MANY_HEADERS: &str = "the request has more than 100 header fields";
// The texts of the faults state these bounds.
const _: () = assert!(limits::HEADERS_COUNT_MAX == 100);
const _: () = assert!(limits::REQUEST_LINE_BYTES_MAX == 8 * 1024);
const _: () = assert!(limits::HEADER_BYTES_MAX == 8 * 1024);
const _: () = assert!(limits::HEAD_BYTES_MAX == 16 * 1024);

/// Finds the end of the head and checks every byte before it. Returns the head's length, including
/// the empty line, or `None` if more bytes must arrive.
pub(super) fn scan(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let mut start = 0;
    for number in 0.. {
        let rest = &bytes[start..];
        let end = memchr(b'\n', rest);
        let line = Line {
            bytes: &rest[..end.unwrap_or(rest.len())],
            is_whole: end.is_some(),
            start,
            number,
        };
        // Nearly all lines are plain. Checking them byte by byte took half of the time needed to
        // admit a request.
        if !line.is_plain()
            && let Some(fault) = line.first_fault()
        {
            return Err(fault);
        }
        let Some(end) = end else { break };
        start += end + 1;
        if line.bytes == b"\r" {
            return Ok(Some(start));
        }
    }
    Ok(None)
}

/// A line of a head, as far as it has arrived, without its LF.
struct Line<'a> {
    bytes: &'a [u8],
    /// Whether the LF has arrived.
    is_whole: bool,
    /// The line's offset in the head.
    start: usize,
    /// The line's number; 0 is the request line.
    number: usize,
}

impl Line<'_> {
    /// Whether the line is within all bounds, has only visible characters and spaces, and has a CR
    /// before its LF. [`Line::first_fault`] handles tabs.
    fn is_plain(&self) -> bool {
        let text = match self.bytes.strip_suffix(b"\r") {
            Some(text) => text,
            None if self.is_whole => return false,
            None => self.bytes,
        };
        let is_inside = text.len() <= self.bytes_max()
            && self.start + self.bytes.len() < limits::HEAD_BYTES_MAX
            && self.number <= limits::HEADERS_COUNT_MAX;
        let is_begun = self.number > 0 || !text.is_empty() || !self.is_whole;
        // Not `all`, which stops at the first failure and so cannot be vectorized.
        let is_visible = |byte: &u8| *byte >= b' ' && *byte != 0x7f;
        is_inside
            && is_begun
            && text.first() != Some(&b' ')
            && text.iter().fold(true, |all, byte| all & is_visible(byte))
    }

    fn bytes_max(&self) -> usize {
        if self.number == 0 {
            limits::REQUEST_LINE_BYTES_MAX
        } else {
            limits::HEADER_BYTES_MAX
        }
    }

    /// The fault of the first bad byte.
    fn first_fault(&self) -> Option<Fault> {
        let line_feed = self.is_whole.then_some(&b'\n');
        let mut all = self.bytes.iter().chain(line_feed).enumerate();
        all.find_map(|(at, &byte)| {
            let before = at.checked_sub(1).map(|before| self.bytes[before]);
            self.fault_at(at, before, byte)
        })
    }

    fn fault_at(&self, at: usize, before: Option<u8>, byte: u8) -> Option<Fault> {
        let bad = |detail| Some(Fault::new(400, detail));
        // The CR LF is not part of the length.
        if at >= self.bytes_max() && !matches!(byte, b'\r' | b'\n') {
            return Some(if self.number == 0 {
                Fault::new(414, "the request line is longer than 8 KiB")
            } else {
                Fault::new(431, "a header field is longer than 8 KiB")
            });
        }
        if self.start + at >= limits::HEAD_BYTES_MAX {
            let detail = "the request head is longer than 16 KiB";
            return Some(Fault::new(431, detail));
        }
        let after_cr = before == Some(b'\r');
        match byte {
            b'\n' if after_cr && at == 1 && self.number == 0 => bad("the request line is empty"),
            b'\n' if after_cr && at > 1 && self.number > limits::HEADERS_COUNT_MAX => {
                Some(Fault::new(431, TOO_MANY_HEADERS))
            }
            b'\n' if after_cr => None,
            _ if after_cr || byte == b'\n' => bad("a line of the head does not end with CR LF"),
            b'\r' => None,
            b'\t' if self.number > 0 && at > 0 => None,
            b' ' | b'\t' if at == 0 => bad("a line of the head begins with white space"),
            0..=0x1f | 0x7f => bad("the head holds a control character"),
            _ => None,
        }
    }
}
