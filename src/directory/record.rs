//! A user as it is stored: its identity, times and attributes, and their encoding as bytes.
//!
//! ```text
//! bytes 0..41    id, times and version (see `row_header`)
//! bytes 41..    {"schemas":[…],"id":"…", attributes in schema order}: the resource as it is
//!               shown, without `meta`, which depends on the base URL
//! ```
//!
//! The text is copied into answers as it is. Only projections and filters parse it.

use std::ops::Deref;
use std::sync::LazyLock;

use memchr::{memchr2, memmem};
use serde_json::{Map, Value, json};

use super::Error;
use super::ending::Ending;
use super::row_header::{RowHeader, TEXT_AT};
use super::row_keys::keys;
use super::user_id::UserId;
use crate::clock::{Instant, Times};
use crate::scim::fold::fold;
use crate::scim::json::append;
use crate::scim::search::searchable;
use crate::scim::{Projection, User};
use crate::store::{Facts, Keys};

/// The text before the id.
const BEFORE_ID: &[u8] = b",\"id\":\"";
/// The text before the userName. It occurs nowhere earlier: quotes in values are escaped.
const BEFORE_NAME: &[u8] = b",\"userName\":\"";
/// Made once: making it takes longer than one search.
static NAME: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(BEFORE_NAME));

/// One user: the attributes that clients set, and those that the service provider adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    header: RowHeader,
    user: User,
}

impl Record {
    pub(super) fn created(id: UserId, user: User, now: Instant) -> Self {
        Self::of_the_past(id, now, now, 1, user)
    }

    /// A past state of a user, reassembled.
    pub(super) fn of_the_past(
        id: UserId,
        created: Instant,
        last_modified: Instant,
        version: u64,
        user: User,
    ) -> Self {
        let header = RowHeader {
            id,
            created,
            last_modified,
            version,
        };
        Self { header, user }
    }

    /// The record after a change in this era of the store. `lastModified` always increases, even if
    /// the clock does not, so that a search for changes since then finds this one.
    pub(super) fn changed(&self, user: User, now: Instant, era: u32) -> Self {
        let header = RowHeader {
            last_modified: now.max(self.header.last_modified.next()),
            version: self.header.next_version(era),
            ..self.header
        };
        Self { header, user }
    }

    pub(super) fn header(&self) -> RowHeader {
        self.header
    }

    /// Sets the time of the change, in the row as well. It is made later than the time of `before`;
    /// without `before` it is also the time of the creation.
    pub(super) fn stamp(&mut self, now: Instant, before: Option<&RowHeader>, row: &mut [u8]) {
        if let Some(before) = before {
            self.header.last_modified = now.max(before.last_modified.next());
        } else {
            (self.header.created, self.header.last_modified) = (now, now);
        }
        row[..TEXT_AT].copy_from_slice(&self.header.to_bytes());
    }

    /// Puts the sequence of a new user into its id, in the row as well.
    pub(super) fn number(&mut self, sequence: u32, row: &mut [u8]) {
        self.header.id = self.header.id.with_sequence(sequence);
        row[..TEXT_AT].copy_from_slice(&self.header.to_bytes());
        // Only the URNs of `schemas` come before the id, and they contain nothing like it.
        let at = memmem::find(row, BEFORE_ID).expect("a row was written with its id");
        let at = at + BEFORE_ID.len();
        row[at..at + UserId::TEXT_BYTES].copy_from_slice(&self.header.id.to_text());
    }

    /// The `id`.
    pub fn id(&self) -> UserId {
        self.header.id
    }

    /// The attributes that clients set.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// When the user was created.
    pub fn created_at(&self) -> Instant {
        self.header.created
    }

    /// When the user was last changed.
    pub fn last_modified(&self) -> Instant {
        self.header.last_modified
    }

    /// The entity tag (RFC 7644 section 3.14): weak, because it says nothing about the bytes.
    pub fn version(&self) -> String {
        self.header.tag()
    }

    /// The URI of the user below `base_url`.
    pub fn location(&self, base_url: &str) -> String {
        format!("{base_url}/Users/{}", self.header.id)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(1024);
        row.extend_from_slice(&self.header.to_bytes());
        self.write_text(&mut row);
        row.push(b'}');
        row
    }

    /// The resource without `meta` and without its end, in the order in which it is shown.
    fn write_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"schemas\":");
        append(&self.user.schemas(), out);
        out.extend_from_slice(BEFORE_ID);
        out.extend_from_slice(&self.header.id.to_text());
        out.push(b'"');
        for (name, value) in self.user.attributes() {
            out.push(b',');
            append(name, out);
            out.push(b':');
            append(value, out);
        }
    }

    /// Reads a row; the error says what is wrong with the row.
    pub(super) fn decode(row: &[u8]) -> Result<Self, String> {
        let header = RowHeader::read(row)?;
        // UTF-8 is checked for the whole text at once: checking each value would take longer.
        let resource = std::str::from_utf8(&row[TEXT_AT..])
            .map_err(|error| format!("the row of user {} is not text: {error}", header.id))?;
        let user = User::from_stored(resource)
            .map_err(|error| format!("the row of user {} is not JSON: {error}", header.id))?;
        Ok(Self { header, user })
    }

    /// The keys under which the user is found.
    pub(super) fn keys(&self) -> Keys {
        keys(
            self.user.user_name(),
            self.user.external_id(),
            self.user.emails(),
        )
    }

    /// The facts about the user that are kept in memory.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            text: Some(searchable(self.user.searched_values())),
            ..self.facts_without_text()
        }
    }

    /// The facts after a change that leaves the text as it was.
    pub(super) fn facts_without_text(&self) -> Facts {
        Facts {
            active: self.user.active(),
            modified: self.header.last_modified.millis(),
            text: None,
        }
    }

    /// The whole resource as it is shown.
    pub fn resource(&self, base_url: &str) -> Map<String, Value> {
        let mut resource = Map::new();
        resource.insert("schemas".to_owned(), json!(self.user.schemas()));
        resource.insert("id".to_owned(), json!(self.header.id.to_string()));
        resource.extend(self.user.attributes().clone());
        let meta = self.header.meta(base_url);
        resource.insert("meta".to_owned(), meta);
        resource
    }
}

/// Whether a row belongs to the user with this folded userName, as far as that can be seen without
/// parsing it. False if the name contains escapes.
pub(super) fn is_named(row: &[u8], name: &str) -> bool {
    let is_it = || {
        let text = row.get(TEXT_AT..)?;
        let text = &text[NAME.find(text)? + BEFORE_NAME.len()..];
        let end = memchr2(b'"', b'\\', text)?;
        let stored = std::str::from_utf8(&text[..end]).ok()?;
        Some(text[end] == b'"' && fold(stored) == name)
    };
    is_it().unwrap_or(false)
}

/// The number in an entity tag that [`Record::version`] made.
pub(super) fn version_number(tag: &str) -> Option<u64> {
    tag.strip_prefix("W/\"")?.strip_suffix('"')?.parse().ok()
}

/// Writes the resource of a stored row as it is shown. A whole resource is copied, not parsed.
pub(super) fn render(
    row: &[u8],
    ending: &Ending,
    times: &mut Times,
    projection: &Projection,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if !projection.is_whole() {
        let resource = Record::decode(row)?.resource(ending.base_url());
        append(&projection.apply(resource), out);
        return Ok(());
    }
    let header = RowHeader::read(row)?;
    let text = row[TEXT_AT..]
        .strip_suffix(b"}")
        .ok_or_else(|| format!("the row of user {} is cut short", header.id))?;
    out.extend_from_slice(text);
    ending.write(&header, times, out);
    Ok(())
}

/// A user's row as it is stored. It is copied into answers without being parsed.
pub struct Stored<R> {
    row: R,
    header: RowHeader,
}

impl<R: Deref<Target = [u8]>> Stored<R> {
    pub(super) fn of(row: R) -> Result<Self, String> {
        let header = RowHeader::read(&row)?;
        Ok(Self { row, header })
    }

    /// The `id`.
    pub fn id(&self) -> UserId {
        self.header.id
    }

    /// The entity tag, as [`Record::version`].
    pub fn version(&self) -> String {
        self.header.tag()
    }

    /// The resource as it is shown.
    pub fn rendered(&self, ending: &Ending, projection: &Projection) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(self.row.len() + ending.bytes_max());
        let mut times = Times::default();
        render(&self.row, ending, &mut times, projection, &mut out).map_err(Error::Damaged)?;
        Ok(out)
    }

    /// Parses the whole row.
    pub fn record(&self) -> Result<Record, Error> {
        Record::decode(&self.row).map_err(Error::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_header::count_of;
    use super::super::row_keys::describe;
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
        assert!(UserId::parse("00000007-abcd-8abc-8abc-0123456789ab").is_some());
        for bad in [
            "",
            "7",
            "0000000g",
            "00000007-ABCD-8ABC-8ABC-0123456789AB",
            "00000007-abcd-8abc-8abc-0123456789ag",
            "00000007-abcd-8abc-8abc-0123456789a",
            "00000007-abcd-8abc-8abc-0123456789abc",
            "0000000-7abcd-8abc-8abc-0123456789ab",
            "00000007abcd8abc8abc0123456789ab",
        ] {
            assert_eq!(UserId::parse(bad), None, "{bad}");
        }
        for cut in 0..TEXT_AT + 3 {
            assert!(Record::decode(&record.encode()[..cut]).is_err(), "{cut}");
        }
        for text in [&b"[]"[..], b"7", b"{\"userName\":\"\xff\"}", b"{}{}"] {
            let row = [&record.encode()[..TEXT_AT], text].concat();
            assert!(Record::decode(&row).is_err(), "{text:?}");
        }
    }

    #[test]
    fn whose_row_it_is_can_be_told_at_a_glance() {
        for (name, asked, is_it) in [
            ("Bob@example.com", "bob@example.com", true),
            ("bob@example.com", "bob@example.co", false),
            ("bob@example.com", "bob@example.comm", false),
            ("\u{dc}nal", "\u{fc}nal", true),
            // Cannot be told without parsing.
            ("b\"ob", "b\"ob", false),
            ("b\"ob", "b", false),
        ] {
            let user = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "externalId": ",\"userName\":\"ann\"", "userName": name,
                "nickName": "ann",
            });
            let user = User::parse(user, &mut Leniency::strict()).expect("a user");
            let row = Record::created(UserId::new(7), user, Instant::from_millis(5)).encode();
            assert_eq!(is_named(&row, asked), is_it, "{name} {asked}");
            assert!(!is_named(&row, "ann"));
            for cut in 0..row.len() {
                let _ = is_named(&row[..cut], asked);
            }
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
        assert!(describe(b"").is_err() && describe(&[1; TEXT_AT]).is_err());
    }

    #[test]
    fn the_copied_and_the_built_resource_are_the_same() {
        let record = record();
        let stored = Stored::of(record.encode()).expect("a good row");
        let ending = Ending::new("https://h/scim/v2".to_owned());
        let out = stored.rendered(&ending, &Projection::default());
        let out = out.expect("a good row");
        // Comparing the text also compares the order of the members.
        let built = |record: &Record| Value::Object(record.resource("https://h/scim/v2"));
        assert_eq!(String::from_utf8_lossy(&out), built(&record).to_string());
        let read = Record::decode(&record.encode()).expect("a good row");
        assert_eq!(built(&read).to_string(), built(&record).to_string());
    }

    /// The key from the index is the same as the key from the row.
    #[test]
    fn sorted_by_the_index_or_by_the_row_is_the_same() {
        use crate::scim::Sort;
        let core = "urn:ietf:params:scim:schemas:core:2.0:User:meta.lastModified";
        for by in ["meta.lastModified", "META.LASTMODIFIED", core] {
            let sort = Sort::parse(by, None, &mut Leniency::strict()).expect(by);
            for millis in [i64::MIN / 1_000_000, -1, 0, 1, 999, 1_795_465_800_123] {
                let mut record = record();
                record.header.last_modified = Instant::from_millis(millis);
                let (_, facts) = describe(&record.encode()).expect("a good row");
                assert_eq!(
                    sort.key_of_last_modified(facts.modified),
                    Some(sort.key(&record.resource("https://h/scim/v2"))),
                    "{by} {millis}"
                );
            }
        }
        for by in ["meta.created", "userName", "name.familyName"] {
            let sort = Sort::parse(by, None, &mut Leniency::strict()).expect(by);
            assert_eq!(sort.key_of_last_modified(0), None, "{by}");
        }
    }

    #[test]
    fn last_modified_goes_on_whatever_the_clock_does() {
        let record = record();
        let later = record.changed(record.user().clone(), Instant::from_millis(0), 0);
        assert_eq!(
            later.header.last_modified,
            record.header.last_modified.next()
        );
        assert_eq!(later.version(), "W/\"2\"");
    }

    #[test]
    fn the_count_goes_on_in_another_era_and_no_version_is_given_twice() {
        let mut record = record();
        let mut versions = Vec::new();
        for era in [0, 0, 1, 7, 7, u32::MAX] {
            record = record.changed(record.user().clone(), Instant::from_millis(0), era);
            versions.push(record.header.version);
        }
        let counts = versions.iter().map(|&version| count_of(version));
        assert_eq!(counts.collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert!(
            versions.is_sorted_by(|one, next| one < next),
            "{versions:?}"
        );
    }
}
