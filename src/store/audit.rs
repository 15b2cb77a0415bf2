//! The audit trail's rows: each carries the digest of the one before it, so that a row
//! changed, dropped or put in afterwards breaks the chain at that place.
//!
//! ```text
//! byte 0        version, 1
//! bytes 1..33   SHA-256 of the row before (zeros in the first)
//! bytes 33..    the row's text, JSON as its writer wrote it
//!
//! digest of a row = SHA-256(sequence, 8 bytes big-endian, then the whole row)
//! ```
//!
//! The digest of the last row is kept apart, so that it cannot be changed or dropped either.

use std::fmt;

use crate::secret::{Digest, sha256_of_parts};

const VERSION: u8 = 1;
const TEXT_AT: usize = 33;
/// Bytes of a head in the file.
pub(super) const HEAD_BYTES: usize = 40;

/// Where the chain goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) next_sequence: u64,
    previous: Digest,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            next_sequence: 1,
            previous: [0; 32],
        }
    }
}

impl Head {
    /// The head before the row at `sequence`, without what came before: only good for
    /// [`Head::after`], which does not need it.
    pub(super) fn at(sequence: u64) -> Self {
        Self {
            next_sequence: sequence,
            ..Self::default()
        }
    }

    /// The head as it is kept in the file: the next sequence, 8 bytes big-endian, then the
    /// digest.
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.next_sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&self.previous);
        bytes
    }

    /// The head after `row` was written at `next_sequence`.
    pub(super) fn after(&self, row: &[u8]) -> Self {
        Self {
            next_sequence: self.next_sequence + 1,
            previous: sha256_of_parts(&[&self.next_sequence.to_be_bytes(), row]),
        }
    }
}

/// The bytes of the row that comes next.
pub(super) fn encode(head: &Head, text: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(TEXT_AT + text.len());
    row.push(VERSION);
    row.extend_from_slice(&head.previous);
    row.extend_from_slice(text.as_bytes());
    row
}

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place, from 1 without gaps.
    pub sequence: u64,
    /// What was recorded: a JSON object.
    pub text: String,
}

/// The chain does not hold at this sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainBroken {
    /// The first row that does not follow from the one before it.
    pub sequence: u64,
}

impl fmt::Display for ChainBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit chain is broken at row {}", self.sequence)
    }
}

/// The text of one stored row, whatever its chain.
pub(super) fn text_of(row: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(row.get(TEXT_AT..)?).ok()?;
    Some(text.to_owned())
}

/// Reads one stored row and moves `head` past it.
pub(super) fn follow(head: &mut Head, sequence: u64, row: &[u8]) -> Result<AuditRow, ChainBroken> {
    let broken = ChainBroken { sequence };
    let follows = sequence == head.next_sequence
        && row.first() == Some(&VERSION)
        && row.get(1..TEXT_AT) == Some(&head.previous[..]);
    if !follows {
        return Err(broken);
    }
    let text = std::str::from_utf8(&row[TEXT_AT..]).map_err(|_| broken)?;
    let read = AuditRow {
        sequence,
        text: text.to_owned(),
    };
    *head = head.after(row);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(texts: &[&str]) -> Vec<(u64, Vec<u8>)> {
        let mut head = Head::default();
        let mut rows = Vec::new();
        for text in texts {
            let row = encode(&head, text);
            rows.push((head.next_sequence, row.clone()));
            head = head.after(&row);
        }
        rows
    }

    fn walk(rows: &[(u64, Vec<u8>)]) -> Result<usize, ChainBroken> {
        let mut head = Head::default();
        for (sequence, row) in rows {
            follow(&mut head, *sequence, row)?;
        }
        Ok(rows.len())
    }

    #[test]
    fn a_chain_holds_until_a_row_is_touched() {
        let rows = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        assert_eq!(walk(&rows), Ok(3));

        let mut changed = rows.clone();
        *changed[0].1.last_mut().expect("not empty") ^= 1;
        assert_eq!(walk(&changed), Err(ChainBroken { sequence: 2 }));

        let mut dropped = rows.clone();
        dropped.remove(1);
        assert_eq!(walk(&dropped), Err(ChainBroken { sequence: 3 }));

        let mut short = rows;
        short[1].1.truncate(20);
        assert_eq!(walk(&short), Err(ChainBroken { sequence: 2 }));
    }
}
