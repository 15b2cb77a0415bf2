//! The end of each resource in an answer, written from the header of the user's row: `meta` (RFC
//! 7643 section 3.1) as bytes.

use super::row_header::RowHeader;
use super::user_id::UserId;
use crate::clock::{TEXT_BYTES, Times};
use crate::scim::json;

/// Room for an [`Ending`] without its base URL.
const ENDING_BYTES: usize = 192;

/// The bytes of `meta` and of the end of each resource below one base URL, with room
/// for what differs between users. Every user that is shown has such an ending. Building it as a
/// value would be most of the work, and writing it piece by piece a quarter of a page's
/// instructions. So the text is made once, and only the differences are overwritten for each user.
pub struct Ending {
    base_url: String,
    text: Vec<u8>,
    created_at: usize,
    last_modified_at: usize,
    id_at: usize,
}

impl Ending {
    /// The ending of resources below `base_url`.
    pub fn new(base_url: String) -> Self {
        let mut text = Vec::with_capacity(ENDING_BYTES + base_url.len());
        let leave = |text: &mut Vec<u8>, before: &[u8], length: usize| {
            text.extend_from_slice(before);
            let at = text.len();
            text.resize(at + length, b'0');
            at
        };
        let before_created = b",\"meta\":{\"resourceType\":\"User\",\"created\":\"";
        let created_at = leave(&mut text, before_created, TEXT_BYTES);
        let last_modified_at = leave(&mut text, b"\",\"lastModified\":\"", TEXT_BYTES);
        text.extend_from_slice(b"\",\"location\":");
        json::append(&base_url, &mut text);
        // The URL goes on, so its closing quote is taken back.
        text.pop();
        let id_at = leave(&mut text, b"/Users/", UserId::TEXT_BYTES);
        text.extend_from_slice(b"\",\"version\":\"W/\\\"");
        Self {
            base_url,
            text,
            created_at,
            last_modified_at,
            id_at,
        }
    }

    /// The base URL of the resources.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Writes the ending of one user. `times` is kept from one user of an answer to the next.
    pub(super) fn write(&self, header: &RowHeader, times: &mut Times, out: &mut Vec<u8>) {
        let created = times.text_of(header.created);
        // Most users were never changed.
        let last_modified = if header.last_modified == header.created {
            created
        } else {
            times.text_of(header.last_modified)
        };
        let start = out.len();
        out.extend_from_slice(&self.text);
        let mut put = |at: usize, part: &[u8]| {
            out[start + at..start + at + part.len()].copy_from_slice(part);
        };
        put(self.created_at, &created);
        put(self.last_modified_at, &last_modified);
        put(self.id_at, &header.id.to_text());
        json::append(&header.version, out);
        out.extend_from_slice(b"\\\"\"}}");
    }

    /// Room for the ending of any user.
    pub(super) fn bytes_max(&self) -> usize {
        self.text.len() + ENDING_BYTES
    }
}
