//! The header of a user's row, which comes before the text. Its visible part is `meta`.
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
//! After a restore, counting continues from the backup's version and would repeat tags that clients
//! may still have for content that is gone. The new era makes the tags differ.

use serde_json::{Value, json};

use super::user_id::UserId;
use crate::clock::Instant;

/// Every row has this version. A second version needs a step in `store/upgrade.rs` that rewrites
/// all rows, and therefore a new [`crate::store::FORMAT`], by which older programs refuse the file
/// before they read a row.
const ROW_VERSION: u8 = 1;
/// Where the text of a row begins.
pub(super) const TEXT_AT: usize = 41;

/// The service provider's own data about a user. As a whole it distinguishes all states of a user.
/// The version alone does not, if the file was reopened and a commit of unknown outcome is gone.
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

    /// The version after this one, made in the given era of the store.
    pub(super) fn next_version(&self, era: u32) -> u64 {
        u64::from(era) << 32 | u64::from(count_of(self.version).saturating_add(1))
    }

    /// The entity tag (RFC 7644 section 3.14): weak, because it says nothing about the bytes.
    pub(super) fn tag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// `meta` (RFC 7643 section 3.1). The location comes from the configured base URL, never from
    /// the host that a client names.
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

/// The count in a version, without its era.
pub(super) fn count_of(version: u64) -> u32 {
    u32::try_from(version & u64::from(u32::MAX)).expect("it is the lower half")
}
