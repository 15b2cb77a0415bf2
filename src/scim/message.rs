//! The protocol's own messages (RFC 7644 section 8.2): list and error documents.

use serde_json::{Value, json};

/// URN of a list response.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// URN of an error.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// URN of a patch.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// An Error document (RFC 7644 section 3.12). `status` is a string in it.
pub fn error(status: u16, scim_type: Option<&str>, detail: &str) -> Value {
    let mut document = json!({
        "schemas": [ERROR_URN],
        "status": status.to_string(),
        "detail": detail,
    });
    if let Some(scim_type) = scim_type {
        document["scimType"] = json!(scim_type);
    }
    document
}

/// A ListResponse of resources that are at hand.
pub fn list(resources: &[Value]) -> Value {
    json!({
        "schemas": [LIST_URN],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// A ListResponse up to its resources, which follow separated by commas and are closed
/// with `]}`.
pub fn list_head(total_results: usize, start_index: usize, items_per_page: usize) -> String {
    format!(
        "{{\"schemas\":[\"{LIST_URN}\"],\"totalResults\":{total_results},\
         \"startIndex\":{start_index},\"itemsPerPage\":{items_per_page},\"Resources\":["
    )
}
