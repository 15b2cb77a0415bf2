//! The rows of the audit trail. Each row carries the digest of the row before it, so a row that is
//! changed, dropped or inserted afterwards breaks the chain at that place. The writer of a row
//! decides what its text says (`directory/audit.rs`); `trail` reads the rows.
//!
//! ```text
//! byte 0        version, 1
//! bytes 1..33   SHA-256 of the row before (zeros in the first)
//! bytes 33..    the row's text, JSON as its writer wrote it
//!
//! digest of a row = SHA-256(sequence, 8 bytes big-endian, then the whole row)
//! ```
//!
//! The digest of the last row is also stored apart (the head), so that the last row cannot be
//! changed or dropped unnoticed either. So is the digest of the last row that retention removed
//! (the anchor): the chain of the remaining rows continues from it.
//!
//! ```text
//! removed … │ anchor ──▶ row ──▶ row ──▶ … ──▶ row ──▶ head
//! ```
//!
//! After a restore, the next row gets a number above all numbers of the replaced store, because
//! someone may have noted those. The numbers in between were never rows of this chain, as the
//! digests prove.

use crate::secret::{Digest, sha256_of_parts};

const VERSION: u8 = 1;
const TEXT_AT: usize = 33;
/// Bytes that a row takes besides its text; they count in [`super::Extent::bytes`].
pub const ROW_BYTES: u64 = TEXT_AT as u64;
/// Bytes of a position in the file.
const POSITION_BYTES: usize = 48;

/// A place in the chain: before the first row, between two rows, or after the last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChainPosition {
    /// The sequence of the row that comes next.
    pub(super) next_sequence: u64,
    /// The digest of the row before it.
    previous: Digest,
    /// Bytes of all kept rows before it.
    pub(super) bytes: u64,
}

impl Default for ChainPosition {
    fn default() -> Self {
        Self {
            next_sequence: 1,
            previous: Digest::default(),
            bytes: 0,
        }
    }
}

impl ChainPosition {
    /// The stored form of the position: the next sequence (8 bytes big-endian), the digest and,
    /// since format 4, the bytes of the rows (8 bytes big-endian).
    pub(super) fn to_bytes(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [0; POSITION_BYTES];
        bytes[..8].copy_from_slice(&self.next_sequence.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.previous);
        bytes[40..].copy_from_slice(&self.bytes.to_be_bytes());
        bytes
    }

    /// Reads what [`ChainPosition::to_bytes`] wrote; `None` for anything else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (next_sequence, rest) = bytes.split_first_chunk()?;
        let (previous, rest) = rest.split_first_chunk::<32>()?;
        Some(Self {
            next_sequence: u64::from_be_bytes(*next_sequence),
            previous: Digest::from(*previous),
            bytes: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// The position after `row`, which is written at `next_sequence`.
    pub(super) fn after(&self, row: &[u8]) -> Self {
        Self {
            bytes: self.bytes.saturating_add(row.len() as u64),
            ..Self::after_row(self.next_sequence, row)
        }
    }

    /// The position after a row, without knowledge of the rows before it; its `bytes` are 0.
    pub(super) fn after_row(sequence: u64, row: &[u8]) -> Self {
        Self {
            next_sequence: sequence.saturating_add(1),
            previous: sha256_of_parts(&[&sequence.to_be_bytes(), row]),
            bytes: 0,
        }
    }

    /// Whether both are the same position of the same chain.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        (self.next_sequence, self.previous) == (other.next_sequence, other.previous)
    }

    /// Whether `row` was written at this position.
    fn is_before(&self, row: &[u8]) -> bool {
        row.first() == Some(&VERSION) && row.get(1..TEXT_AT) == Some(&self.previous[..])
    }
}

/// Encodes the row that comes next at `position`.
pub(super) fn encode(position: &ChainPosition, text: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(TEXT_AT + text.len());
    row.push(VERSION);
    row.extend_from_slice(&position.previous);
    row.extend_from_slice(text.as_bytes());
    row
}

/// Where the audit chain is broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {sequence} of the audit trail {how}")]
pub struct ChainBroken {
    /// The row that was changed or is missing.
    pub sequence: u64,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum How {
    #[error("is damaged or was altered")]
    Changed,
    #[error("is missing")]
    Missing,
    /// Damaged or cut off: a gap in the numbers may come from dropped rows or from a restore that
    /// skipped those numbers.
    #[error("is damaged or was altered, or rows after it are missing")]
    ChangedOrCutOff,
}

impl How {
    fn at(self, sequence: u64) -> ChainBroken {
        ChainBroken {
            sequence,
            how: self,
        }
    }
}

/// The text of a stored row. Does not check the row's place in the chain.
pub(super) fn text_of(row: &[u8]) -> Option<&str> {
    std::str::from_utf8(row.get(TEXT_AT..)?).ok()
}

/// Follows the chain from one position to another.
pub(super) struct Walk {
    at: ChainPosition,
    /// The sequence of the last row taken, if any.
    last: Option<u64>,
    doubted: Option<Doubt>,
}

/// A row that does not follow from the one before it. The next row shows which of the two was
/// changed.
struct Doubt {
    /// The error if the next row does not follow either: this row was changed.
    row: ChainBroken,
    /// The error if the next row follows: the row before this one was changed.
    before: ChainBroken,
}

impl Walk {
    pub(super) fn from(anchor: ChainPosition) -> Self {
        Self {
            at: anchor,
            last: None,
            doubted: None,
        }
    }

    /// Continues after a row, without checking the rows before it.
    pub(super) fn after_row(sequence: u64, row: &[u8]) -> Self {
        Self {
            last: Some(sequence),
            ..Self::from(ChainPosition::after_row(sequence, row))
        }
    }

    /// Takes the next row. If it does not follow, the row after it decides which row the error
    /// names.
    pub(super) fn step(&mut self, sequence: u64, row: &[u8]) -> Result<(), ChainBroken> {
        let follows = self.at.is_before(row);
        self.resolve_doubt(follows)?;
        if !follows {
            let next = self.at.next_sequence;
            let before = match self.last {
                Some(last) if sequence == next => How::Changed.at(last),
                Some(last) => How::ChangedOrCutOff.at(last),
                None if sequence == next => How::Changed.at(next.saturating_sub(1)),
                None => How::Missing.at(next),
            };
            let row = How::Changed.at(sequence);
            self.doubted = Some(Doubt { row, before });
        }
        self.last = Some(sequence);
        self.at.next_sequence = sequence;
        self.at = self.at.after(row);
        if text_of(row).is_none() {
            return Err(How::Changed.at(sequence));
        }
        Ok(())
    }

    /// Checks that the chain ends at the stored head `noted`.
    pub(super) fn end(self, noted: &ChainPosition) -> Result<(), ChainBroken> {
        let is_same = self.at.is_same_as(noted);
        self.resolve_doubt(is_same)?;
        if is_same {
            return Ok(());
        }
        let next = self.at.next_sequence;
        Err(if next < noted.next_sequence {
            How::Missing.at(next)
        } else {
            How::Changed.at(self.last.unwrap_or(next))
        })
    }

    /// If the next row follows from the doubted one, the doubted row is intact, and the one before
    /// it was changed.
    fn resolve_doubt(&self, next_follows: bool) -> Result<(), ChainBroken> {
        match &self.doubted {
            Some(doubt) if next_follows => Err(doubt.before),
            Some(doubt) => Err(doubt.row),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OR_CUT_OFF: &str = "is damaged or was altered, or rows after it are missing";

    fn chain(texts: &[&str]) -> (Vec<(u64, Vec<u8>)>, ChainPosition) {
        let mut head = ChainPosition::default();
        let mut rows = Vec::new();
        for text in texts {
            let row = encode(&head, text);
            rows.push((head.next_sequence, row.clone()));
            head = head.after(&row);
        }
        (rows, head)
    }

    fn walk(
        anchor: ChainPosition,
        rows: &[(u64, Vec<u8>)],
        head: &ChainPosition,
    ) -> Result<usize, String> {
        let mut walk = Walk::from(anchor);
        let broken = |broken: ChainBroken| broken.to_string();
        for (sequence, row) in rows {
            walk.step(*sequence, row).map_err(broken)?;
        }
        walk.end(head).map_err(broken)?;
        Ok(rows.len())
    }

    #[test]
    fn the_row_that_was_changed_is_named() {
        let (rows, head) = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}"]);
        let start = ChainPosition::default();
        assert_eq!(walk(start, &rows, &head), Ok(4));
        assert_eq!(head.bytes, 4 * (TEXT_AT as u64 + 7));
        assert_eq!(ChainPosition::from_bytes(&head.to_bytes()), Some(head));
        assert_eq!(ChainPosition::from_bytes(&head.to_bytes()[..40]), None);

        for changed in 0..rows.len() {
            for byte in 0..rows[changed].1.len() {
                let mut rows = rows.clone();
                rows[changed].1[byte] ^= 1;
                let told = walk(start, &rows, &head).expect_err("it is told");
                let named = format!("row {} of the audit trail", changed + 1);
                assert!(told.starts_with(&named), "{changed} {byte}: {told}");
            }
            let mut rows = rows.clone();
            rows.remove(changed);
            let missing = if (1..rows.len()).contains(&changed) {
                format!("row {changed} of the audit trail {OR_CUT_OFF}")
            } else {
                format!("row {} of the audit trail is missing", changed + 1)
            };
            assert_eq!(walk(start, &rows, &head), Err(missing));
        }
    }

    #[test]
    fn numbers_may_be_left_out_but_no_row() {
        let (mut rows, mut head) = chain(&["{\"a\":1}", "{\"a\":2}"]);
        for text in ["{\"a\":3}", "{\"a\":4}"] {
            head.next_sequence += 5;
            let row = encode(&head, text);
            rows.push((head.next_sequence, row.clone()));
            head = head.after(&row);
        }
        let numbers: Vec<u64> = rows.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(numbers, [1, 2, 8, 14]);
        let start = ChainPosition::default();
        assert_eq!(walk(start, &rows, &head), Ok(4));
        for (missing, told) in [
            (1, format!("row 1 of the audit trail {OR_CUT_OFF}")),
            (2, format!("row 2 of the audit trail {OR_CUT_OFF}")),
            (3, "row 9 of the audit trail is missing".to_owned()),
        ] {
            let mut rows = rows.clone();
            rows.remove(missing);
            assert_eq!(walk(start, &rows, &head), Err(told), "{missing}");
        }
        // The row before or after the gap is the changed one.
        for changed in 0..rows.len() {
            for byte in 0..rows[changed].1.len() {
                let mut rows = rows.clone();
                rows[changed].1[byte] ^= 1;
                let told = walk(start, &rows, &head).expect_err("it is told");
                let named = format!("row {} of the audit trail", numbers[changed]);
                assert!(told.starts_with(&named), "{changed} {byte}: {told}");
            }
        }
        // The digest of a row covers its number.
        for at in 0..rows.len() {
            let mut rows = rows.clone();
            rows[at].0 += 1;
            assert!(walk(start, &rows, &head).is_err(), "{at}");
        }
    }

    #[test]
    fn a_chain_goes_on_from_its_anchor() {
        let (rows, head) = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        let anchor = ChainPosition::after_row(1, &rows[0].1);
        assert_eq!(walk(anchor, &rows[1..], &head), Ok(2));
        let told = "row 3 of the audit trail is missing";
        assert_eq!(walk(anchor, &rows[1..2], &head), Err(told.to_owned()));
        assert!(walk(ChainPosition::default(), &rows[1..], &head).is_err());
        let end = ChainPosition::after_row(3, &rows[2].1);
        assert_eq!(walk(end, &[], &head), Ok(0));
    }
}
