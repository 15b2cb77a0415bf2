//! The seal of stored values: each value has a checksum, so that a flipped bit is reported and
//! never served. The rows of the audit trail have their chain instead, and keys are checked when
//! the file is opened.
//!
//! ```text
//! row      bytes 0..n     as its owner wrote it
//!          bytes n..n+4   CRC-32 (IEEE) of key and row, little-endian
//! text     as a row, with the checksum in front, as eight hexadecimal digits
//! number   bits 0..44     the number
//!          bits 44..64    the low bits of the CRC-32 of key and number
//! ```

use std::sync::LazyLock;

use crc32fast::Hasher;
use redb::StorageError;

use crate::secret::hex;

const CHECKSUM_BYTES: usize = 4;
/// Enough bits for milliseconds until the year 2527.
const NUMBER_BITS: u32 = 44;
const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;

/// Made once: making it asks what the processor can do, for every user of a page.
static HASHER: LazyLock<Hasher> = LazyLock::new(Hasher::new);

/// The stored form of a row under `key`.
pub(super) fn seal_row(key: &[u8], mut row: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(key, &row);
    row.extend_from_slice(&checksum);
    row
}

/// The row that [`seal_row`] sealed under the same key.
pub(super) fn open_row<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StorageError> {
    match sealed.split_last_chunk::<CHECKSUM_BYTES>() {
        Some((row, found)) if *found == checksum(key, row) => Ok(row),
        _ => Err(StorageError::Corrupted(format!(
            "the row at {} does not have its checksum",
            hex(key)
        ))),
    }
}

/// The row, without verifying its checksum.
pub(super) fn row_unchecked(sealed: &[u8]) -> &[u8] {
    sealed
        .split_last_chunk::<CHECKSUM_BYTES>()
        .map_or(&[], |(row, _)| row)
}

/// The stored form of a text under `key`.
pub(super) fn seal_text(key: &str, text: &str) -> String {
    let checksum = crc(key.as_bytes(), text.as_bytes());
    format!("{checksum:08x}{text}")
}

/// The text that [`seal_text`] sealed under the same key.
pub(super) fn open_text<'a>(key: &str, sealed: &'a str) -> Result<&'a str, StorageError> {
    let text = sealed.get(8..).unwrap_or_default();
    if sealed == seal_text(key, text) {
        Ok(text)
    } else {
        Err(damaged(key))
    }
}

/// The stored form of a number under `key`. A number that needs more bits is stored as the greatest
/// possible one.
pub(super) fn seal_number(key: &str, number: u64) -> u64 {
    let number = number.min(NUMBER_MAX);
    let checksum = crc(key.as_bytes(), &number.to_be_bytes());
    number | u64::from(checksum) << NUMBER_BITS
}

/// The number that [`seal_number`] sealed under the same key.
pub(super) fn open_number(key: &str, sealed: u64) -> Result<u64, StorageError> {
    let number = sealed & NUMBER_MAX;
    if sealed == seal_number(key, number) {
        Ok(number)
    } else {
        Err(damaged(key))
    }
}

fn damaged(key: &str) -> StorageError {
    StorageError::Corrupted(format!("what is kept as {key} does not have its checksum"))
}

fn checksum(key: &[u8], row: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc(key, row).to_le_bytes()
}

fn crc(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = HASHER.clone();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_opens_only_as_it_was_sealed() {
        let sealed = seal_row(b"7", b"Jane".to_vec());
        assert_eq!(open_row(b"7", &sealed).ok(), Some(&b"Jane"[..]));
        assert!(open_row(b"8", &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open_row(b"7", &flipped).is_err(), "{bit}");
        }
        for length in 0..sealed.len() {
            assert!(open_row(b"7", &sealed[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_number_and_a_text_open_only_as_they_were_sealed() {
        for number in [0, 1, 2, 1_795_465_800_000, NUMBER_MAX, u64::MAX] {
            let sealed = seal_number("key", number);
            assert_eq!(
                open_number("key", sealed).ok(),
                Some(number.min(NUMBER_MAX))
            );
            assert!(open_number("other", sealed).is_err());
            for bit in 0..64 {
                assert!(
                    open_number("key", sealed ^ 1 << bit).is_err(),
                    "{number} {bit}"
                );
            }
        }
        for text in ["", "https://h/scim/v2", "é"] {
            let sealed = seal_text("key", text);
            assert_eq!(open_text("key", &sealed).ok(), Some(text));
            assert!(open_text("other", &sealed).is_err());
            assert!(open_text("key", &format!("{sealed}x")).is_err());
            assert!(
                open_text("key", &sealed.replacen('0', "1", 1)).is_err() || !sealed.contains('0')
            );
        }
        assert!(open_text("key", "é").is_err() && open_text("key", "").is_err());
    }
}
