//! The `id` of a user, which tells where its row is. It is neither the userName nor the
//! `externalId`, which clients choose.

use std::fmt;

use crate::secret;

/// A user's `id`: a UUID (version 8, RFC 9562 section 5.8) whose first four bytes are the user's
/// sequence in the store and whose rest is random. It needs no index, and no id is given twice,
/// even if the restore of an old backup sets the sequence back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub(super) [u8; 16]);

impl UserId {
    /// The length of an id as text.
    pub(super) const TEXT_BYTES: usize = 36;

    /// A new id for the user at `sequence`.
    pub fn new(sequence: u32) -> Self {
        let mut bytes: [u8; 16] = secret::random();
        bytes[..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[6] = 0x80 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }

    /// The same random part with another sequence. Only for an id that nobody has seen yet.
    pub(super) fn with_sequence(mut self, sequence: u32) -> Self {
        self.0[..4].copy_from_slice(&sequence.to_be_bytes());
        self
    }

    /// Reads the form that [`fmt::Display`] writes; `id` is case-sensitive (RFC 7643
    /// section 3.1), so nothing else is an id.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != Self::TEXT_BYTES {
            return None;
        }
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (at, &byte) in text.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
            digits += 1;
        }
        Some(Self(bytes))
    }

    /// The user's place in the order of creation, which is the sequence of its row in the store:
    /// the first four bytes, big-endian.
    pub fn sequence(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl UserId {
    pub(super) fn to_text(self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [b'-'; Self::TEXT_BYTES];
        for (byte, at) in self.0.into_iter().zip(PLACES) {
            text[at..at + 2].copy_from_slice(&PAIRS[usize::from(byte)]);
        }
        text
    }
}

/// The position of each byte in the text.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The hexadecimal digits of each byte. A table, because every user that is shown has sixteen
/// bytes.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).expect("it is ASCII"))
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
