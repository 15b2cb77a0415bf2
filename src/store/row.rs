//! Rows as they lie in the file: with a checksum, so that a bit that flips there is told
//! and never answered. The audit trail's rows have their chain instead.
//!
//! ```text
//! bytes 0..n     the row as its owner wrote it
//! bytes n..n+4   CRC-32 (IEEE) of the row's key and the row, little-endian
//! ```

use redb::StorageError;

const CHECKSUM_BYTES: usize = 4;

/// The row as it is stored under `key`.
pub(super) fn seal(key: &[u8], mut row: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(key, &row);
    row.extend_from_slice(&checksum);
    row
}

/// The row that [`seal`] made for the same key.
pub(super) fn open<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StorageError> {
    match sealed.split_last_chunk::<CHECKSUM_BYTES>() {
        Some((row, found)) if *found == checksum(key, row) => Ok(row),
        _ => Err(StorageError::Corrupted(
            "a row does not have its checksum".to_owned(),
        )),
    }
}

fn checksum(key: &[u8], row: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(row);
    hasher.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_opens_only_as_it_was_sealed() {
        let sealed = seal(b"7", b"Jane".to_vec());
        assert_eq!(open(b"7", &sealed).ok(), Some(&b"Jane"[..]));
        assert!(open(b"8", &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(b"7", &flipped).is_err(), "{bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(b"7", &sealed[..length]).is_err(), "{length}");
        }
    }
}
