//! Entity tags, eras and numbers of audit rows are never reused across a restore.

use golinks_scim::secret::sha256;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::json;
use tempfile::TempDir;

use super::rows;
use crate::support::{Server, Talk, body, cli_in, scim_error, stored_number};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Restores the backup, and returns a conversation with a server on it that uses the token of
/// `talk`.
fn restored(talk: Talk, file: &str) -> Talk {
    let authorization = talk.authorization.clone();
    let directory = talk.server.stop_and_keep();
    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let mut talk = Talk::with(Server::start_on(directory));
    talk.authorization = authorization;
    talk
}

/// RFC 9110 section 8.8.1: a validator stands for one representation and no other.
#[test]
fn no_entity_tag_is_given_twice_on_both_sides_of_a_restore() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("jane");
    let target = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let untouched = user["meta"]["version"].as_str().expect("text").to_owned();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let titled = |title: &str| {
        let operation = json!({"op": "replace", "path": "title", "value": title});
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
               "Operations": [operation]})
    };
    let mut tags = vec![untouched.clone()];
    for title in ["before", "after", "after another"] {
        if title != "before" {
            talk = restored(talk, file);
            let got = talk.send("GET", &target, None);
            assert_eq!(got.header("etag"), Some(&*untouched), "it is what it was");
        }
        for old in tags.clone().iter().skip(1) {
            let change = titled("lost").to_string().into_bytes();
            let header = ("If-Match", old.as_str());
            let refused = talk.send_bytes("PATCH", &target, header, Some(&change));
            assert_eq!(refused.status, 412, "{old} of {tags:?}");
        }
        let changed = talk.json("PATCH", &target, Some(&titled(title)), 200);
        let tag = changed["meta"]["version"]
            .as_str()
            .expect("text")
            .to_owned();
        for old in &tags {
            let got = talk.send_bytes("GET", &target, ("If-None-Match", old), None);
            assert_eq!(got.status, 200, "{old} of {tags:?}, now {tag}");
            let change = titled("lost").to_string().into_bytes();
            let refused = talk.send_bytes("PATCH", &target, ("If-Match", old), Some(&change));
            assert_eq!(refused.status, 412, "{old} of {tags:?}, now {tag}");
        }
        tags.push(tag);
    }
    let verified = talk.server.cli(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
}

/// The new era is later than the era of the replaced store, whatever the clock says.
#[test]
fn the_era_of_a_replaced_store_is_not_begun_again() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let server = Server::start();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let directory = server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let far_ahead = 4_000_000_000;
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    {
        let mut meta = txn.open_table(META).expect("the table");
        let era = stored_number("era", far_ahead);
        meta.insert("era", era).expect("written");
    }
    txn.commit().expect("committed");
    drop(database);
    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_read().expect("a transaction");
    let meta = txn.open_table(META).expect("the table");
    let era = meta.get("era").expect("read").expect("there").value();
    assert_eq!(era, stored_number("era", far_ahead + 1));
}

/// A user's number is not reused, even when there are no more numbers.
#[test]
fn a_store_that_has_given_all_numbers_creates_nobody_and_serves_the_rest() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let mut talk = Talk::start(&[]);
    let jane = talk.create("jane");
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let database = Database::open(&path).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    {
        let mut meta = txn.open_table(META).expect("the table");
        let all = stored_number("users_next", u64::from(u32::MAX));
        meta.insert("users_next", all).expect("written");
    }
    txn.commit().expect("committed");
    drop(database);
    let authorization = talk.authorization;
    let mut talk = Talk::with(Server::start_on(directory));
    talk.authorization = authorization;
    let refused = talk.send("POST", "/Users", Some(&body("joe")));
    let told = scim_error(&refused, "without a number");
    assert_eq!(refused.status, 507, "{told}");
    let text = told["detail"].as_str().expect("a text");
    assert!(text.starts_with("no more users can be created"), "{told}");
    let explained = talk.server.cli(&["audit", "explain", text]);
    let advice = "export the users, and import them into a new data directory";
    assert!(explained.stdout.contains(advice), "{explained:?}");
    let title = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "title", "value": "T"}]});
    let target = format!("/Users/{}", jane["id"].as_str().expect("an id"));
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "joe", "data": body("joe")},
            {"method": "PATCH", "path": "/Users/bulkId:joe", "data": title},
            {"method": "PATCH", "path": target, "data": title}]});
    let done = talk.json("POST", "/Bulk", Some(&bulk), 200);
    let statuses = [0, 1, 2].map(|at| done["Operations"][at]["status"].clone());
    assert_eq!(statuses, ["507", "409", "200"], "{done}");
    let managed = |name: &str, by: &str| {
        let mut data = body(name);
        data["schemas"] = json!([data["schemas"][0], ENTERPRISE]);
        data[ENTERPRISE] = json!({"manager": {"value": format!("bulkId:{by}")}});
        json!({"method": "POST", "path": "/Users", "bulkId": name, "data": data})
    };
    for (cycle, wanted) in [
        (json!([managed("a", "a")]), vec!["507"]),
        (
            json!([managed("a", "b"), managed("b", "a")]),
            vec!["507", "409"],
        ),
    ] {
        let bulk = json!({"schemas": bulk["schemas"], "Operations": cycle});
        let done = talk.json("POST", "/Bulk", Some(&bulk), 200);
        let operations = done["Operations"].as_array().expect("an array");
        let statuses: Vec<&str> = operations
            .iter()
            .filter_map(|it| it["status"].as_str())
            .collect();
        assert_eq!(statuses, wanted, "{done}");
    }
    let all = talk.json("GET", "/Users", None, 200);
    assert_eq!(all["totalResults"], 1, "{all}");
}

/// The restored store does not take over the next row number of a damaged store.
#[test]
fn no_number_is_taken_from_a_store_whose_trail_is_damaged() {
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");
    let mut talk = Talk::start(&[]);
    talk.create("jane");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = talk.server.cli(&["backup", "create", file]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let good = std::fs::read(&path).expect("the store");
    // First only the head is damaged; then the last row has a number that no program can have
    // reached.
    for (number, is_row) in [(u64::MAX, false), (1 << 60, false), (1 << 60, true)] {
        std::fs::write(&path, &good).expect("written");
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        {
            let mut chain = txn.open_table(CHAIN).expect("the table");
            let head = chain
                .get("head")
                .expect("read")
                .expect("there")
                .value()
                .to_vec();
            let mut head = [&number.to_be_bytes(), &head[8..]].concat();
            if is_row {
                let mut audit = txn.open_table(AUDIT).expect("the table");
                let row = audit
                    .pop_last()
                    .expect("read")
                    .expect("there")
                    .1
                    .value()
                    .to_vec();
                let last = number - 1;
                audit.insert(last, row.as_slice()).expect("written");
                let digest = sha256(&[&last.to_be_bytes(), row.as_slice()].concat());
                head[8..40].copy_from_slice(&digest);
            }
            chain.insert("head", head.as_slice()).expect("written");
        }
        txn.commit().expect("committed");
        drop(database);
        let restored = cli_in(&directory, &["backup", "restore", file]);
        assert_eq!(restored.status, Some(0), "{restored:?}");
        let told = rows(&directory);
        let last = told.last().expect("rows");
        assert_eq!(last["kind"], "backup.restore");
        let sequence = last["sequence"].as_u64().expect("a number");
        assert!(sequence < 1 << 53, "{number} {is_row}: {last}");
        let more = cli_in(&directory, &["user", "deactivate", "jane"]);
        assert_eq!(more.status, Some(0), "{more:?}");
        assert_eq!(rows(&directory).len(), told.len() + 1);
        let verified = cli_in(&directory, &["audit", "verify"]);
        assert_eq!(verified.status, Some(0), "{verified:?}");
    }
}

/// Numbers can be skipped only after a row, and an empty trail has no row.
#[test]
fn a_trail_without_rows_begins_with_the_first_number() {
    let server = Server::start();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("copy.redb");
    let file = file.to_str().expect("text");
    let made = server.cli(&["backup", "create", file]);
    assert!(made.stdout.contains(", 0 audit rows, "), "{made:?}");
    server.token("okta");
    let directory = server.stop_and_keep();
    assert!(rows(&directory).len() > 1);
    let restored = cli_in(&directory, &["backup", "restore", file]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    let told = rows(&directory);
    assert_eq!(
        (told.len(), &told[0]["sequence"]),
        (1, &json!(1)),
        "{told:?}"
    );
    let verified = cli_in(&directory, &["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
}
