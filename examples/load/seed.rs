//! The directory under load: made once for each size, without a server.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use golinks_scim::clock::SystemClock;
use golinks_scim::config::store_path;
use golinks_scim::directory::{Caller, Directory, describe};
use golinks_scim::files;
use golinks_scim::scim::{Bulk, Leniency};
use golinks_scim::store::Store;
use serde_json::{Value, json};

use crate::wire::{Target, request};
use crate::work;

const BATCH: usize = 1000;
/// How many ids the clients know.
pub(crate) const IDS: usize = 6400;
/// The ids come from pages of this many neighboring users.
const PAGE: usize = 100;

/// A fresh data directory for this run with this many users. It is a copy, so that the writes of
/// one run do not enlarge what the next one reads.
pub(crate) fn copy(folder: &Path, users: usize) -> PathBuf {
    let seed = folder.join(format!("seed-{users}"));
    if !seed.exists() {
        let unfinished = folder.join("seed-unfinished");
        // Left by a run that was stopped.
        let _ = std::fs::remove_dir_all(&unfinished);
        fill(&unfinished, users);
        std::fs::rename(&unfinished, &seed).expect("renamed");
    }
    let run = folder.join("run");
    // Left by a run that was stopped.
    let _ = std::fs::remove_dir_all(&run);
    files::make_directory(&run).expect("a folder");
    std::fs::copy(store_path(&seed), store_path(&run)).expect("a copy");
    run
}

/// Fills a directory with users.
fn fill(data_dir: &Path, users: usize) {
    files::make_directory(data_dir).expect("a folder");
    let store = Store::open(&store_path(data_dir), Duration::ZERO, describe).expect("a store");
    let directory = Directory::new(Arc::new(store), Arc::new(SystemClock));
    let caller = Caller {
        principal: "administrator:load".to_owned(),
        request_id: "load".to_owned(),
        address: None,
    };
    let (started, is_watched) = (Instant::now(), std::io::stderr().is_terminal());
    for start in (0..users).step_by(BATCH) {
        let create = |number: usize| {
            json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(),
                   "data": serde_json::from_str::<Value>(&work::user(number, "Engineer")).expect("JSON")})
        };
        let operations: Vec<Value> = (start..users.min(start + BATCH)).map(create).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations
        });
        let leniency = Leniency::compatible();
        let bulk = Bulk::parse(body, &mut leniency.clone()).expect("a bulk request");
        let done = directory.bulk(bulk, |_| true, &leniency, &caller);
        let done = done.expect("written");
        assert!(
            done.iter().all(|it| matches!(it, Some(Ok(_)))),
            "a user was refused"
        );
        if is_watched && start % 100_000 == 0 && start > 0 {
            eprintln!(
                "{start} users made, {:.0} s",
                started.elapsed().as_secs_f64()
            );
        }
    }
}

/// Ids of users from all over the directory.
pub(crate) fn ids(target: &Target, token: &str, users: usize) -> Vec<String> {
    let mut connection = target.connect().expect("the server answers");
    let mut ids = Vec::new();
    for page in 0..IDS / PAGE {
        let start = number_at(page * PAGE, users) + 1;
        let path = format!("/scim/v2/Users?startIndex={start}&count={PAGE}&attributes=id");
        let status = connection.exchange(&request("GET", &path, token, None));
        assert_eq!(status.expect("an answer"), 200, "a page");
        let body: Value = serde_json::from_slice(connection.body()).expect("JSON");
        let found = body["Resources"].as_array().into_iter().flatten();
        ids.extend(found.filter_map(|user| user["id"].as_str().map(str::to_owned)));
    }
    ids
}

/// The number of the user whose id is at this place in [`ids`].
pub(crate) fn number_at(place: usize, users: usize) -> usize {
    users / (IDS / PAGE) * (place / PAGE) + place % PAGE
}
