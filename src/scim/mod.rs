//! RFC 7643 and RFC 7644 as pure values: schema, path, filter, patch, projection, error. Nothing
//! here does I/O, reads a clock or knows where a resource is stored, so that all of it can be
//! tested and fuzzed alone.
//!
//! ```text
//! schema (attribute tables) ◀── path ◀─▶ filter ◀── patch
//!            ▲                                        ▲
//!            └── value (types, tolerance) ◀── user ◀──┘      projection: the way out
//!                                              └──▶ whole_name (name.formatted)
//!
//! message (recognized in bodies, and made for answers)
//!
//! query (filter, search, sort, page)      bulk (operations) ──▶ reference, cycle
//!
//! json (a body is read once)   shape (what a refused body looked like)   version (entity tags)
//! fold (texts that count as the same)   difference (between two states of a user)
//! earlier (the schemas of SCIM 1.1)
//! ```
//!
//! Two pairs of modules use each other. A path holds the filter in its brackets, and a filter
//! compares paths. A patch changes a user, and some members of a user's body are read as a patch.

pub mod bulk;
mod cycle;
pub mod difference;
pub(crate) mod earlier;
pub mod error;
pub mod filter;
pub mod fold;
pub mod json;
pub mod message;
pub mod patch;
pub mod path;
pub mod projection;
pub mod query;
pub mod reference;
pub mod schema;
pub mod search;
pub mod shape;
pub mod sort;
pub mod tolerance;
pub mod user;
mod value;
pub mod version;

mod filter_literal;
mod filter_parse;
mod whole_name;

pub use bulk::Bulk;
pub use difference::{differences, differences_of_members};
pub use error::{Error, ErrorType, Why};
pub use filter::Filter;
pub use patch::{Budget, Patch};
pub use path::AttributePath;
pub use projection::Projection;
pub use query::{Paging, SearchRequest};
pub use search::Search;
pub use sort::Sort;
pub use tolerance::{Leniency, Tolerance, Tolerated};
pub use user::User;
pub use version::Preconditions;

/// A JSON object that keeps the order of its members.
pub(crate) type Object = serde_json::Map<String, serde_json::Value>;

/// Most users have no more attributes than this. An object with room for them need not grow, which
/// would hash all names again.
const USUAL_ATTRIBUTES: usize = 14;

/// The member of `object` whose name equals `name` without regard to case: attribute names
/// are case-insensitive (RFC 7643 section 2.1).
pub(crate) fn member<'a>(object: &'a Object, name: &str) -> Option<&'a serde_json::Value> {
    object.get(name).or_else(|| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// Removes a member and returns its value, instead of copying it. The order of the others changes.
fn take_member(object: &mut Object, name: &str) -> Option<serde_json::Value> {
    let key = object.keys().find(|key| key.eq_ignore_ascii_case(name))?;
    let key = key.clone();
    object.swap_remove(&key)
}
