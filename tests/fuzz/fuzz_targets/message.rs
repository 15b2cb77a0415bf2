//! Messages: bulk requests and POSTed queries. The execution order of a bulk request contains each
//! operation once.

#![no_main]

use golinks_scim::scim::{Bulk, Leniency, SearchRequest};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let _ = SearchRequest::from_message(body.clone(), &mut Leniency::compatible());
    let body = if body.is_array() {
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": body
        })
    } else {
        body
    };
    if Bulk::is_too_large(&body) {
        return;
    }
    if let Ok(bulk) = Bulk::parse(body, &mut Leniency::compatible()) {
        let mut order = bulk.order().concat();
        order.sort_unstable();
        assert!(order.into_iter().eq(0..bulk.operations.len()));
    }
});
