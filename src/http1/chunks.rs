//! Decodes the chunked transfer coding (RFC 9112 section 7.1) as it arrives. Strict about every
//! byte outside the data, since request smuggling exploits lenient parsing of chunk lines.

use super::{BODY_TOO_LARGE, Fault};
use crate::limits;

// A fault's text states this bound.
const _: () = assert!(limits::TRAILERS_COUNT_MAX == 32);

/// Removes the framing of a chunked body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    bytes_max: usize,
    bytes: usize,
    line: Vec<u8>,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the line with the size of a chunk.
    Size,
    /// In the data, with this many bytes still to come.
    Data(usize),
    /// After the data, with this many bytes of the CR LF seen.
    DataEnd(usize),
    /// In a trailer line.
    Trailer,
    /// Past the final empty line.
    Done,
}

impl Decoder {
    /// A decoder for a body of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            state: State::Size,
            bytes_max,
            bytes: 0,
            line: Vec::new(),
            trailers: 0,
        }
    }

    /// Whether the body is complete. Any bytes that follow do not belong to it.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes `input` into `out`, up to the end of the body. Returns the number of bytes consumed.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let take = left.min(input.len() - at);
                out.extend_from_slice(&input[at..at + take]);
                at += take;
                self.state = match left - take {
                    0 => State::DataEnd(0),
                    left => State::Data(left),
                };
            } else {
                self.byte(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        match self.state {
            State::Size => {
                if let Some(line) = self.line_byte(byte)? {
                    self.begin_chunk(&line)?;
                }
            }
            State::DataEnd(seen) => {
                if byte != b"\r\n"[seen] {
                    return Err(Fault::new(400, "a chunk is longer than its size"));
                }
                self.state = if seen == 1 {
                    State::Size
                } else {
                    State::DataEnd(1)
                };
            }
            State::Trailer => {
                if let Some(line) = self.line_byte(byte)? {
                    self.end_trailer(&line)?;
                }
            }
            State::Data(_) | State::Done => {}
        }
        Ok(())
    }

    /// Adds a byte to the current line. Returns the line without its CR LF once it is complete.
    fn line_byte(&mut self, byte: u8) -> Result<Option<Vec<u8>>, Fault> {
        let after_cr = self.line.last() == Some(&b'\r');
        if byte == b'\n' && after_cr {
            self.line.pop();
            return Ok(Some(std::mem::take(&mut self.line)));
        }
        let visible = matches!(byte, b'\r' | b'\t' | 0x20..=0x7e | 0x80..);
        if after_cr || !visible {
            return Err(Fault::new(400, "a chunk line does not end with CR LF"));
        }
        let longest = match self.state {
            State::Trailer => limits::HEADER_BYTES_MAX,
            _ => limits::CHUNK_SIZE_DIGITS_MAX + limits::CHUNK_EXTENSION_BYTES_MAX,
        };
        if self.line.len() > longest {
            return Err(Fault::new(400, "a chunk line is too long"));
        }
        self.line.push(byte);
        Ok(None)
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), Fault> {
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let bad = Fault::new(400, "a chunk size must be a hexadecimal number");
        if digits == 0 || digits > limits::CHUNK_SIZE_DIGITS_MAX {
            return Err(bad);
        }
        // An extension must follow the size directly, begin with `;` and hold only printable ASCII.
        let extension = &line[digits..];
        let plain = extension.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        if !extension.is_empty() && (extension[0] != b';' || !plain) {
            return Err(bad);
        }
        let size = std::str::from_utf8(&line[..digits])
            .ok()
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .ok_or_else(|| bad.clone())?;
        if size > self.bytes_max - self.bytes {
            return Err(BODY_TOO_LARGE);
        }
        self.bytes += size;
        self.state = match size {
            0 => State::Trailer,
            size => State::Data(size),
        };
        Ok(())
    }

    /// Checks a trailer field and drops it. Trailer fields about framing are forbidden (RFC 9110
    /// section 6.5.1): a proxy could take them for header fields.
    fn end_trailer(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        self.trailers += 1;
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let good = name.len() < line.len() && !name.is_empty() && name.iter().all(token);
        let frames = |field: &&[u8]| name.eq_ignore_ascii_case(field);
        if [&b"content-length"[..], b"transfer-encoding", b"host"]
            .iter()
            .any(frames)
        {
            return Err(Fault::new(400, "a trailer speaks of the request's framing"));
        }
        if self.trailers > limits::TRAILERS_COUNT_MAX {
            let detail = "more than 32 trailers follow the last chunk";
            return Err(Fault::new(400, detail));
        }
        if !good {
            return Err(Fault::new(
                400,
                "the trailers after the last chunk are malformed",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), u16> {
        let mut decoder = Decoder::new(limits::BODY_BYTES_MAX);
        let (mut out, mut at) = (Vec::new(), 0);
        for piece in input.chunks(step) {
            let taken = decoder
                .feed(piece, &mut out)
                .map_err(|fault| fault.status)?;
            at += taken;
            if taken < piece.len() {
                break;
            }
        }
        Ok((out, at, decoder.is_done()))
    }

    #[test]
    fn bodies_that_are_read() {
        for (input, wanted) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            (
                "A;x=\"y z\"\r\n0123456789\r\n1\r\n!\r\n0;e\r\nX: y\r\n\r\n",
                "0123456789!",
            ),
            ("0005\r\nhello\r\n000\r\n\r\n", "hello"),
        ] {
            for step in [1, 2, 3, 1000] {
                let mut longer = input.as_bytes().to_vec();
                longer.extend(b"GET /");
                let found = decode(&longer, step);
                assert_eq!(
                    found,
                    Ok((wanted.as_bytes().to_vec(), input.len(), true)),
                    "{input:?} in steps of {step}"
                );
            }
        }
    }

    #[test]
    fn bodies_that_are_refused() {
        for (input, status) in [
            ("\r\n", 400),
            ("+5\r\nhello\r\n", 400),
            ("0x5\r\nhello\r\n", 400),
            (" 5\r\nhello\r\n", 400),
            ("5 \r\nhello\r\n", 400),
            ("5\nhello\r\n", 400),
            ("5\r\nhello!\r\n", 400),
            ("5\r\nhello\n0\r\n\r\n", 400),
            ("5;a\nb\r\nhello\r\n", 400),
            ("5;a\0\r\nhello\r\n", 400),
            ("5\rX\nhello", 400),
            ("ffffffffffffffff\r\n", 413),
            ("10000000000000000\r\n", 400),
            ("100001\r\n", 413),
            ("0\r\nbad trailer\r\n\r\n", 400),
            ("0\r\n X: y\r\n\r\n", 400),
        ] {
            for step in [1, 1000] {
                assert_eq!(decode(input.as_bytes(), step), Err(status), "{input:?}");
            }
        }
        let full = "0".repeat(limits::BODY_BYTES_MAX - 1);
        let more = format!("{:x}\r\n{full}\r\n2\r\n", full.len());
        assert_eq!(decode(more.as_bytes(), 1000), Err(413));
        let long = format!("5;{}\r\n", "x".repeat(1000));
        assert_eq!(decode(long.as_bytes(), 7), Err(400));
        let long = format!("0\r\nX: {}\r\n", "y".repeat(limits::HEADER_BYTES_MAX));
        assert_eq!(decode(long.as_bytes(), 7), Err(400));
        let trailers = |count| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
        let most = trailers(limits::TRAILERS_COUNT_MAX);
        let (_, length, is_done) = decode(most.as_bytes(), 7).expect("so many are read");
        assert_eq!((length, is_done), (most.len(), true));
        let more = trailers(limits::TRAILERS_COUNT_MAX + 1);
        assert_eq!(decode(more.as_bytes(), 7), Err(400));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(0u8..=255, 0..200)) {
            let _ = decode(&bytes, 3);
        }

        #[test]
        fn what_was_encoded_is_decoded(
            parts in proptest::collection::vec(proptest::collection::vec(0u8..=255, 1..50), 0..10),
            step in 1usize..20,
        ) {
            let mut encoded = Vec::new();
            for part in &parts {
                encoded.extend(format!("{:x}\r\n", part.len()).bytes());
                encoded.extend(part);
                encoded.extend(b"\r\n");
            }
            encoded.extend(b"0\r\n\r\n");
            let length = encoded.len();
            proptest::prop_assert_eq!(decode(&encoded, step), Ok((parts.concat(), length, true)));
        }
    }
}
