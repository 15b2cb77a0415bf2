//! The header of a user's row, which stands before the text, and what is shown of it: `meta`.
//!
//! ```text
//! byte  0       version of the row's layout, 1
//! bytes 1..17   id, the 16 bytes of a UUID
//! bytes 17..25  created,      milliseconds since the epoch, i64 little-endian
//! bytes 25..33  lastModified, likewise
//! bytes 33..41  version, u64 little-endian: the lower half is counted from 1, the upper half is
//!               the era of the store in which it was made
//! ```
//!
//! After a restore the count continues from where the backup stood, and would repeat tags that
//! somebody still has of contents that are gone. The new era makes the tags differ.

use serde_json::{Value, json};

use super::user_id::UserId;
use crate::clock::{Instant, TEXT_BYTES, Times};
use crate::scim::json;

const ROW_VERSION: u8 = 1;
/// Where the text of a row begins.
pub(super) const TEXT_AT: usize = 41;
/// Room for an [`Ending`] without its base URL.
const ENDING_BYTES: usize = 192;

/// What the service provider keeps of a user. As a whole it distinguishes all states of a user. The
/// version alone does not, if the file was reopened and a commit of unknown outcome is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RowHeader {
    pub(super) id: UserId,
    pub(super) created: Instant,
    pub(super) last_modified: Instant,
    pub(super) version: u64,
}

impl RowHeader {
    pub(super) fn read(row: &[u8]) -> Result<Self, String> {
        if row.first() != Some(&ROW_VERSION) || row.len() < TEXT_AT {
            return Err("a user's row has an unknown form".to_owned());
        }
        let eight = |at: usize| -> [u8; 8] {
            row[at..at + 8]
                .try_into()
                .expect("the slice is eight bytes long")
        };
        let id: [u8; 16] = row[1..17].try_into().expect("the slice is 16 bytes long");
        Ok(Self {
            id: UserId(id),
            created: Instant::from_millis(i64::from_le_bytes(eight(17))),
            last_modified: Instant::from_millis(i64::from_le_bytes(eight(25))),
            version: u64::from_le_bytes(eight(33)),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; TEXT_AT] {
        let mut bytes = [ROW_VERSION; TEXT_AT];
        bytes[1..17].copy_from_slice(&self.id.0);
        bytes[17..25].copy_from_slice(&self.created.millis().to_le_bytes());
        bytes[25..33].copy_from_slice(&self.last_modified.millis().to_le_bytes());
        bytes[33..41].copy_from_slice(&self.version.to_le_bytes());
        bytes
    }

    /// The version after this one, made in an era of the store.
    pub(super) fn next_version(&self, era: u32) -> u64 {
        u64::from(era) << 32 | u64::from(count_of(self.version).saturating_add(1))
    }

    /// The entity tag (RFC 7644 section 3.14): weak, because it says nothing about the bytes.
    pub(super) fn tag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// `meta` (RFC 7643 section 3.1). The location comes from the configured base URL,
    /// never from what a client says the host is.
    pub(super) fn meta(&self, base_url: &str) -> Value {
        json!({
            "resourceType": "User",
            "created": self.created.to_string(),
            "lastModified": self.last_modified.to_string(),
            "location": format!("{base_url}/Users/{}", self.id),
            "version": self.tag(),
        })
    }
}

/// The count in a version, whatever its era.
pub(super) fn count_of(version: u64) -> u32 {
    u32::try_from(version & u64::from(u32::MAX)).expect("it is the lower half")
}

/// The end of each resource in an answer: `meta` as bytes. Every user that is shown has one.
/// Building it as a value would be most of the work, and writing it piece by piece a quarter of a
/// page's instructions. So the text is written once, and only the differences are overwritten for
/// each user: a page takes a tenth less (`tests/bench/counts`).
pub(super) struct Ending<'a> {
    base_url: &'a str,
    text: Vec<u8>,
    created_at: usize,
    last_modified_at: usize,
    id_at: usize,
    times: Times,
}

impl<'a> Ending<'a> {
    /// The ending of resources below `base_url`.
    pub(super) fn new(base_url: &'a str) -> Self {
        let mut text = Vec::with_capacity(ENDING_BYTES + base_url.len());
        let mut leave = |before: &[u8], length: usize| {
            text.extend_from_slice(before);
            let at = text.len();
            text.resize(at + length, b'0');
            at
        };
        let created_at = leave(
            b",\"meta\":{\"resourceType\":\"User\",\"created\":\"",
            TEXT_BYTES,
        );
        let last_modified_at = leave(b"\",\"lastModified\":\"", TEXT_BYTES);
        leave(b"\",\"location\":\"", 0);
        // Escaped as in a JSON string, without the quotes.
        let mut quoted = Vec::with_capacity(base_url.len() + 2);
        json::append(base_url, &mut quoted);
        leave(&quoted[1..quoted.len() - 1], 0);
        let id_at = leave(b"/Users/", UserId::TEXT_BYTES);
        leave(b"\",\"version\":\"W/\\\"", 0);
        Self {
            base_url,
            text,
            created_at,
            last_modified_at,
            id_at,
            times: Times::default(),
        }
    }

    /// The URL below which the resources are.
    pub(super) fn base_url(&self) -> &'a str {
        self.base_url
    }

    /// Writes the ending of one user.
    pub(super) fn write(&mut self, header: &RowHeader, out: &mut Vec<u8>) {
        let created = self.times.text_of(header.created);
        // Most users were never changed.
        let last_modified = if header.last_modified == header.created {
            created
        } else {
            self.times.text_of(header.last_modified)
        };
        let mut put = |at: usize, part: &[u8]| {
            self.text[at..at + part.len()].copy_from_slice(part);
        };
        put(self.created_at, &created);
        put(self.last_modified_at, &last_modified);
        put(self.id_at, &header.id.to_text());
        out.extend_from_slice(&self.text);
        json::append(&header.version, out);
        out.extend_from_slice(b"\\\"\"}}");
    }
}
