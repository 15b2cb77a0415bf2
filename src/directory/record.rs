//! A user as it is stored: its identity, its times, its attributes, and the bytes of all
//! that.
//!
//! ```text
//! byte  0       version, 1
//! bytes 1..17   id, the 16 bytes of a UUID
//! bytes 17..25  created,      milliseconds since the epoch, i64 little-endian
//! bytes 25..33  lastModified, likewise
//! bytes 33..41  version, counted from 1, u64 little-endian
//! bytes 41..    {"schemas":[…],"id":"…", attributes in schema order}: the resource as it is
//!               shown, without `meta`, which depends on the base URL
//! ```
//!
//! The text is copied into answers as it stands; only projections and filters parse it.

use std::ops::Deref;

use memchr::memmem;
use serde_json::{Map, Value, json};

use super::Error;
use super::brief::keys;
use super::user_id::UserId;
use crate::clock::Instant;
use crate::scim::json::append;
use crate::scim::search::searchable;
use crate::scim::{Projection, User};
use crate::store::{Facts, Keys, Row};

const VERSION: u8 = 1;
const ID_AT: usize = 1;
const CREATED_AT: usize = 17;
const MODIFIED_AT: usize = 25;
const VERSION_AT: usize = 33;
/// Where the text of a row begins.
pub(super) const TEXT_AT: usize = 41;
/// What stands before the id in the text.
const ID_NAME: &[u8] = b",\"id\":\"";

/// One user: what clients set and what the service provider adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    id: UserId,
    created: Instant,
    last_modified: Instant,
    version: u64,
    user: User,
}

impl Record {
    pub(super) fn created(id: UserId, user: User, now: Instant) -> Self {
        Self {
            id,
            created: now,
            last_modified: now,
            version: 1,
            user,
        }
    }

    /// A user as it was, put together again.
    pub(super) fn of_the_past(
        id: UserId,
        created: Instant,
        last_modified: Instant,
        version: u64,
        user: User,
    ) -> Self {
        Self {
            id,
            created,
            last_modified,
            version,
            user,
        }
    }

    /// The record after a change. `lastModified` never goes back, whatever the clock does.
    pub(super) fn changed(&self, user: User, now: Instant) -> Self {
        Self {
            last_modified: now.max(self.last_modified),
            version: self.version + 1,
            user,
            ..*self
        }
    }

    /// Whether a row is this user in this state.
    pub(super) fn is_in(&self, row: &[u8]) -> bool {
        self.head().is_in(row)
    }

    pub(super) fn head(&self) -> Head {
        Head {
            id: self.id,
            version: self.version,
            last_modified: self.last_modified,
        }
    }

    /// Changed at this moment, but not earlier than `before` was, or created; in its row too.
    pub(super) fn stamp(&mut self, now: Instant, before: Option<&Head>, row: &mut [u8]) {
        if let Some(before) = before {
            self.last_modified = now.max(before.last_modified);
        } else {
            (self.created, self.last_modified) = (now, now);
        }
        row[CREATED_AT..MODIFIED_AT].copy_from_slice(&self.created.millis().to_le_bytes());
        row[MODIFIED_AT..VERSION_AT].copy_from_slice(&self.last_modified.millis().to_le_bytes());
    }

    /// A new user with this sequence in its id; in its row too.
    pub(super) fn number(&mut self, sequence: u32, row: &mut [u8]) {
        self.id = self.id.with_sequence(sequence);
        row[ID_AT..CREATED_AT].copy_from_slice(&self.id.0);
        // The URNs of `schemas`, which alone stand before it, hold nothing like it.
        let at = memmem::find(&row[TEXT_AT..], ID_NAME).expect("a row was written with its id");
        let at = TEXT_AT + at + ID_NAME.len();
        row[at..at + 36].copy_from_slice(&self.id.to_text());
    }

    /// The `id`.
    pub fn id(&self) -> UserId {
        self.id
    }

    /// The attributes that clients set.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// When it was created.
    pub fn created_at(&self) -> Instant {
        self.created
    }

    /// When it was changed last.
    pub fn last_modified(&self) -> Instant {
        self.last_modified
    }

    /// The entity tag (RFC 7644 section 3.14): weak, since it says nothing of the bytes.
    pub fn version(&self) -> String {
        tag(self.version)
    }

    /// The URI of the user below `base_url`.
    pub fn location(&self, base_url: &str) -> String {
        format!("{base_url}/Users/{}", self.id)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(1024);
        row.push(VERSION);
        row.extend_from_slice(&self.id.0);
        row.extend_from_slice(&self.created.millis().to_le_bytes());
        row.extend_from_slice(&self.last_modified.millis().to_le_bytes());
        row.extend_from_slice(&self.version.to_le_bytes());
        self.write_text(&mut row);
        row.push(b'}');
        row
    }

    /// The resource without `meta` and without its end, in the order in which it is shown.
    fn write_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"schemas\":");
        append(&self.user.schemas(), out);
        out.extend_from_slice(ID_NAME);
        out.extend_from_slice(&self.id.to_text());
        out.push(b'"');
        for (name, value) in self.user.attributes() {
            out.push(b',');
            append(name, out);
            out.push(b':');
            append(value, out);
        }
    }

    /// Reads a row; the error says what is wrong with it.
    pub(super) fn decode(row: &[u8]) -> Result<Self, String> {
        let header = Header::read(row)?;
        let resource: Value = serde_json::from_slice(&row[TEXT_AT..])
            .map_err(|error| format!("the row of user {} is not JSON: {error}", header.id))?;
        let Value::Object(resource) = resource else {
            return Err(format!("the row of user {} is not an object", header.id));
        };
        Ok(Self {
            id: header.id,
            created: header.created,
            last_modified: header.last_modified,
            version: header.version,
            user: User::from_stored(resource),
        })
    }

    /// The keys under which the user is found.
    pub(super) fn keys(&self) -> Keys {
        keys(
            self.user.user_name(),
            self.user.external_id(),
            self.user.emails(),
        )
    }

    /// What is kept in memory of the user.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            active: self.user.active(),
            modified: self.last_modified.millis(),
            text: searchable(self.user.searched_values()),
        }
    }

    /// Writes the resource as it is shown.
    pub fn render(&self, base_url: &str, projection: &Projection, out: &mut Vec<u8>) {
        if projection.is_whole() {
            self.write_text(out);
            Header::of(self).write_end(base_url, out);
        } else {
            let resource = projection.apply(self.resource(base_url));
            append(&resource, out);
        }
    }

    /// The resource as it is shown, whole.
    pub fn resource(&self, base_url: &str) -> Map<String, Value> {
        let mut resource = Map::new();
        resource.insert("schemas".to_owned(), json!(self.user.schemas()));
        resource.insert("id".to_owned(), json!(self.id.to_string()));
        resource.extend(self.user.attributes().clone());
        let meta = Header::of(self).meta(base_url);
        resource.insert("meta".to_owned(), meta);
        resource
    }
}

/// What tells one state of a user from another. The version alone does not where the file was
/// opened again and a commit of unknown outcome is gone.
pub(super) struct Head {
    id: UserId,
    version: u64,
    last_modified: Instant,
}

impl Head {
    /// Whether a row is in this state.
    pub(super) fn is_in(&self, row: &[u8]) -> bool {
        Header::read(row).is_ok_and(|row| {
            (row.id, row.version, row.last_modified) == (self.id, self.version, self.last_modified)
        })
    }
}

/// The number in an entity tag that [`Record::version`] made.
pub(super) fn version_number(tag: &str) -> Option<u64> {
    tag.strip_prefix("W/\"")?.strip_suffix('"')?.parse().ok()
}

/// Writes the resource of a stored row as it is shown. A whole one is copied, not parsed.
pub(super) fn render(
    row: &[u8],
    base_url: &str,
    projection: &Projection,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if !projection.is_whole() {
        Record::decode(row)?.render(base_url, projection, out);
        return Ok(());
    }
    let header = Header::read(row)?;
    let text = row[TEXT_AT..]
        .strip_suffix(b"}")
        .ok_or_else(|| format!("the row of user {} is cut short", header.id))?;
    out.extend_from_slice(text);
    header.write_end(base_url, out);
    Ok(())
}

/// A user's row as it lies in the store: what is shown of it is copied, not read.
pub struct Stored<R = Row> {
    row: R,
    header: Header,
}

impl<R: Deref<Target = [u8]>> Stored<R> {
    pub(super) fn of(row: R) -> Result<Self, String> {
        let header = Header::read(&row)?;
        Ok(Self { row, header })
    }

    /// The `id`.
    pub fn id(&self) -> UserId {
        self.header.id
    }

    /// The entity tag, as [`Record::version`].
    pub fn version(&self) -> String {
        tag(self.header.version)
    }

    /// Writes the resource as it is shown.
    pub fn render(
        &self,
        base_url: &str,
        projection: &Projection,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        render(&self.row, base_url, projection, out).map_err(Error::Damaged)
    }

    /// Reads it whole.
    pub fn record(&self) -> Result<Record, Error> {
        Record::decode(&self.row).map_err(Error::Damaged)
    }
}

/// Writes what stands between the quotes of a JSON string. A base URL hardly ever needs more
/// than being copied.
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    // Not `all`, which ends at the first and so looks at one after the other.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        out.extend_from_slice(text.as_bytes());
    } else {
        let quoted = json!(text).to_string();
        out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
    }
}

fn tag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// What stands before the text.
pub(super) struct Header {
    pub(super) id: UserId,
    pub(super) created: Instant,
    pub(super) last_modified: Instant,
    pub(super) version: u64,
}

impl Header {
    fn of(record: &Record) -> Self {
        Self {
            id: record.id,
            created: record.created,
            last_modified: record.last_modified,
            version: record.version,
        }
    }

    pub(super) fn read(row: &[u8]) -> Result<Self, String> {
        if row.first() != Some(&VERSION) || row.len() < TEXT_AT {
            return Err("a user's row has an unknown form".to_owned());
        }
        let eight = |at: usize| -> [u8; 8] {
            row[at..at + 8]
                .try_into()
                .expect("the slice is eight bytes long")
        };
        let id = row[ID_AT..CREATED_AT].try_into();
        let id: [u8; 16] = id.expect("the slice is 16 bytes long");
        Ok(Self {
            id: UserId(id),
            created: Instant::from_millis(i64::from_le_bytes(eight(CREATED_AT))),
            last_modified: Instant::from_millis(i64::from_le_bytes(eight(MODIFIED_AT))),
            version: u64::from_le_bytes(eight(VERSION_AT)),
        })
    }

    /// `meta` (RFC 7643 section 3.1). The location comes from the configured base URL,
    /// never from what a client says the host is.
    pub(super) fn meta(&self, base_url: &str) -> Value {
        json!({
            "resourceType": "User",
            "created": self.created.to_string(),
            "lastModified": self.last_modified.to_string(),
            "location": format!("{base_url}/Users/{}", self.id),
            "version": tag(self.version),
        })
    }

    /// The end of a resource: `meta` as bytes. Every user that is shown has one: made by way of
    /// a value, or number by number, it would be most of the work.
    fn write_end(&self, base_url: &str, out: &mut Vec<u8>) {
        let created = self.created.to_text();
        // Most users are as they were created.
        let last_modified = if self.last_modified == self.created {
            created
        } else {
            self.last_modified.to_text()
        };
        out.extend_from_slice(b",\"meta\":{\"resourceType\":\"User\",\"created\":\"");
        out.extend_from_slice(&created);
        out.extend_from_slice(b"\",\"lastModified\":\"");
        out.extend_from_slice(&last_modified);
        out.extend_from_slice(b"\",\"location\":\"");
        write_escaped(base_url, out);
        out.extend_from_slice(b"/Users/");
        out.extend_from_slice(&self.id.to_text());
        out.extend_from_slice(b"\",\"version\":\"W/\\\"");
        write_number(self.version, out);
        out.extend_from_slice(b"\\\"\"}}");
    }
}

/// Writes a number in decimal digits.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    loop {
        digits[first] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
        first -= 1;
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::super::brief::describe;
    use super::*;
    use crate::scim::Leniency;

    fn record() -> Record {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "bob@example.com", "displayName": "Bob", "active": true,
            "emails": [{"value": "bob@example.com"}]
        });
        let user = User::parse(user, &mut Leniency::strict()).expect("a user");
        Record::created(
            UserId::new(7),
            user,
            Instant::from_millis(1_700_000_000_000),
        )
    }

    #[test]
    fn a_record_reads_what_it_writes() {
        let record = record();
        assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
        assert_eq!(record.id().sequence(), 7);
        assert_eq!(UserId::parse(&record.id().to_string()), Some(record.id()));
        for bad in ["", "7", &record.id().to_string().to_uppercase(), "0000000g"] {
            assert!(
                UserId::parse(bad).is_none()
                    || bad.bytes().all(|b| b.is_ascii_digit() || b == b'-')
            );
        }
        for cut in 0..TEXT_AT + 3 {
            assert!(Record::decode(&record.encode()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_row_is_described_as_its_record_is() {
        for more in [
            json!({}),
            json!({"externalId": "00\"u", "active": false,
                   "emails": [{"value": "BOB@example.com"}, {"value": "b@x"}, {"value": "B@x"},
                              {"type": "work"}],
                   "name": {"formatted": "Señor \"Bob\"", "familyName": "Ünal",
                            "middleName": "M\n", "honorificSuffix": "III"}}),
            json!({"displayName": null, "emails": []}),
        ] {
            let mut body = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": "bob@example.com", "displayName": "Bob", "title": "x",
            });
            for (name, value) in more.as_object().expect("members") {
                body[name] = value.clone();
            }
            let user = User::parse(body, &mut Leniency::strict()).expect("a user");
            let record = Record::created(UserId::new(7), user, Instant::from_millis(5));
            let described = describe(&record.encode()).expect("a good row");
            assert_eq!(described, (record.keys(), record.facts()), "{more}");
        }
        assert!(describe(b"").is_err() && describe(&[VERSION; TEXT_AT]).is_err());
    }

    #[test]
    fn the_copied_and_the_built_resource_are_the_same() {
        let record = record();
        let mut out = Vec::new();
        render(
            &record.encode(),
            "https://h/scim/v2",
            &Projection::default(),
            &mut out,
        )
        .expect("a good row");
        // The same text, so the same order of members too.
        let built = |record: &Record| Value::Object(record.resource("https://h/scim/v2"));
        assert_eq!(String::from_utf8_lossy(&out), built(&record).to_string());
        let read = Record::decode(&record.encode()).expect("a good row");
        assert_eq!(built(&read).to_string(), built(&record).to_string());
    }

    #[test]
    fn numbers_are_written_as_the_library_does() {
        for number in [0, 1, 9, 10, 99, 100, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
    }

    /// The key that comes out of the index is the one that comes out of the row.
    #[test]
    fn sorted_by_the_index_or_by_the_row_is_the_same() {
        use crate::scim::Sort;
        let core = "urn:ietf:params:scim:schemas:core:2.0:User:meta.lastModified";
        for by in ["meta.lastModified", "META.LASTMODIFIED", core] {
            let sort = Sort::parse(by, None).expect(by);
            for millis in [i64::MIN / 1_000_000, -1, 0, 1, 999, 1_795_465_800_123] {
                let mut record = record();
                record.last_modified = Instant::from_millis(millis);
                let (_, facts) = describe(&record.encode()).expect("a good row");
                assert_eq!(
                    sort.key_of_last_modified(facts.modified),
                    Some(sort.key(&record.resource("https://h/scim/v2"))),
                    "{by} {millis}"
                );
            }
        }
        for by in ["meta.created", "userName", "name.familyName"] {
            let sort = Sort::parse(by, None).expect(by);
            assert_eq!(sort.key_of_last_modified(0), None, "{by}");
        }
    }

    #[test]
    fn last_modified_never_goes_back() {
        let record = record();
        let later = record.changed(record.user().clone(), Instant::from_millis(0));
        assert_eq!(later.last_modified, record.last_modified);
        assert_eq!(later.version(), "W/\"2\"");
    }
}
