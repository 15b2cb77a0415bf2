//! The file of the store: when it is new, damaged, or of an older format, when it is checked, and
//! after a restart.

use std::sync::Arc;
use std::time::Duration;

use golinks_scim::clock::{Clock as _, SystemClock};
use golinks_scim::directory::{Error, describe};
use golinks_scim::limits;
use golinks_scim::scim::{Leniency, Preconditions, User};
use golinks_scim::store::{Change, Facts, Keys, OpenError, Store};
use redb::{Database, MultimapTableDefinition, ReadableTable as _, TableDefinition};
use serde_json::json;

use super::{caller, directory, user};
use crate::support::record_of;

#[test]
fn a_new_file_is_complete_private_and_locked() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let store = Store::open(&path, Duration::ZERO, describe).expect("made");
    assert!(store.was_created());
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(
        Store::open(&path, Duration::ZERO, describe),
        Err(OpenError::Locked)
    ));
    store.close();
    assert!(
        !Store::open(&path, Duration::ZERO, describe)
            .expect("opened")
            .was_created()
    );
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["users.redb"], "a draft was left");
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let mut records = Vec::new();
    {
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("made"));
        let directory = directory(&store);
        for index in 0..10 {
            records.push(
                directory
                    .create(user(&format!("u{index}")), &caller("c"))
                    .expect("created")
                    .record,
            );
        }
        directory
            .delete(
                &records[3].id().to_string(),
                Preconditions::default(),
                &caller("d"),
            )
            .expect("deleted");
    }
    let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("opened"));
    let directory = directory(&store);
    assert_eq!(directory.user_count().expect("open"), 9);
    assert!(matches!(
        record_of(&directory, &records[3].id().to_string()),
        Err(Error::NotFound)
    ));
    assert_eq!(
        record_of(&directory, &records[9].id().to_string()).expect("there"),
        records[9]
    );
    // The deleted user's name is free again, but the id and the sequence number are not.
    let again = directory
        .create(user("u3"), &caller("c"))
        .expect("created")
        .record;
    assert_ne!(again.id(), records[3].id());
    assert!(again.id().sequence() > records[9].id().sequence());
    let mut chained = 0;
    let change = Change::none().audit("{\"kind\":\"test\"}".to_owned());
    store.commit(change).expect("written");
    let snapshot = store.snapshot().expect("open");
    snapshot
        .check_audits(0, u64::MAX, |_, _| chained += 1)
        .expect("readable")
        .expect("the chain goes on");
    assert_eq!(chained, 13);
    assert!(SystemClock.now().seconds() > 0);
}

#[test]
fn a_damaged_file_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let junk = folder.path().join("junk.redb");
    std::fs::write(&junk, vec![7; 8192]).expect("written");
    assert!(matches!(
        Store::open(&junk, Duration::ZERO, describe),
        Err(OpenError::Damaged(_))
    ));
    assert_eq!(
        std::fs::read(&junk).expect("there"),
        vec![7; 8192],
        "it was changed"
    );
}

#[test]
fn a_file_of_format_1_is_brought_to_the_newest() {
    const EMAILS: MultimapTableDefinition<'_, &[u8], u32> = MultimapTableDefinition::new("emails");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "Ann@x", "emails": [{"value": "ANN@x"}, {"value": "Ann@Home"}]
    });
    let mut ids = Vec::new();
    {
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("made"));
        for name in ["Ann@x", "Bob@x"] {
            body["userName"] = json!(name);
            let user = User::parse(body.clone(), &mut Leniency::strict()).expect("a user");
            let record = directory(&store)
                .create(user, &caller("c"))
                .expect("created")
                .record;
            ids.push(record.id().sequence());
        }
    }
    {
        // Turns the file into one that the first version of the program left behind.
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        txn.delete_multimap_table(EMAILS).expect("deleted");
        txn.delete_table(TableDefinition::<&str, &[u8]>::new("chain"))
            .expect("deleted");
        for sequence in &ids {
            let mut users = txn
                .open_table(TableDefinition::<u32, &[u8]>::new("users"))
                .expect("the table");
            let sealed = users.get(sequence).expect("readable").expect("there");
            let row = sealed.value()[..sealed.value().len() - 4].to_vec();
            drop(sealed);
            users.insert(sequence, row.as_slice()).expect("inserted");
        }
        {
            let mut meta = txn
                .open_table(TableDefinition::<&str, u64>::new("meta"))
                .expect("the table");
            meta.insert("format", 1).expect("inserted");
            meta.insert("users_next", 3).expect("inserted");
        }
        txn.commit().expect("committed");
    }
    for _ in 0..2 {
        let store = Store::open(&path, Duration::ZERO, describe).expect("opened");
        let snapshot = store.snapshot().expect("open");
        for (email, wanted) in [
            ("ann@home", ids.clone()),
            ("ann@x", vec![ids[1]]),
            ("bob@x", Vec::new()),
        ] {
            let found = snapshot.users_by_email(email.as_bytes()).expect("readable");
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{email}");
        }
        let found = snapshot.users_with_words(&["home".to_owned()], 0, usize::MAX);
        assert_eq!(found.users.len(), 2);
        let counts = snapshot.check(describe).expect("whole");
        assert_eq!((counts.users, counts.audit_rows), (2, 2));
    }
}

/// Reads a row so slowly that a start does not wait for the end of the check.
fn describe_late(row: &[u8]) -> Result<(Keys, Facts), String> {
    std::thread::sleep(2 * limits::CHECK_BEFORE_START_MAX);
    describe(row)
}

/// A user who is not found by name could be created a second time. Rows and chain are intact, so
/// only a look at each user finds this damage.
#[test]
fn a_check_of_a_store_that_is_open_looks_at_its_users() {
    const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    {
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("made"));
        let created = directory(&store).create(user("one"), &caller("c"));
        created.expect("created");
        let snapshot = store.snapshot().expect("open");
        assert_eq!(snapshot.check(describe).expect("whole").users, 1);
    }
    {
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        let mut names = txn.open_table(NAMES).expect("the table");
        let removed = names.remove(&b"one"[..]).expect("written").is_some();
        assert!(removed, "there was no such name");
        drop(names);
        txn.commit().expect("committed");
    }
    let store = Store::open_soon(&path, Duration::ZERO, describe_late, || ());
    let store = store.expect("what is not looked at yet is open");
    let told = store.snapshot().expect("open").check(describe);
    match told {
        Err(OpenError::Damaged(how)) if how.contains("not found by its userName") => {}
        other => panic!("{other:?}"),
    }
}
