//! Tests of backup and restore, down to single files and rows.

use std::cell::Cell;
use std::time::SystemTime;

use redb::backends::InMemoryBackend;

use super::super::seal::seal_row;
use super::*;
use crate::clock::{Clock, SystemClock};

/// An empty store and its state. The state can be read as long as the database is open.
fn of_nobody() -> (Database, Snapshot) {
    let database = file::database(InMemoryBackend::new()).expect("a database");
    file::initialise(&database).expect("tables");
    let snapshot = Snapshot::begin(&database, Index::default(), &Shared::default(), 0);
    (database, snapshot.expect("a state"))
}

/// A stopping server does not wait for a copy that nobody will fetch.
#[test]
fn a_copy_that_may_not_go_on_is_not_there() {
    let (_open, snapshot) = of_nobody();
    let folder = tempfile::tempdir().expect("a folder");
    let store_path = folder.path().join("users.redb");
    let names = || fs::read_dir(folder.path()).expect("the folder").count();
    let mut looks = 0_usize;
    loop {
        let left = Cell::new(looks);
        let may_go_on = || left.replace(left.get().saturating_sub(1)) > 0;
        match snapshot.back_up(&store_path, 0, &may_go_on) {
            Ok(_) => break,
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => panic!("after {looks} looks: {error}"),
        }
        assert_eq!(names(), 0, "after {looks} looks");
        looks += 1;
    }
    assert_eq!(names(), 1);
    // Both the copying of rows and the digest of the file check whether to go on.
    assert!(looks > 2, "{looks}");
}

/// Computing a copy's digest may take longer than an unfetched copy is kept.
#[test]
fn the_age_of_a_copy_begins_when_it_is_complete() {
    let (_open, snapshot) = of_nobody();
    let folder = tempfile::tempdir().expect("a folder");
    let store_path = folder.path().join("users.redb");
    let grow_old = || {
        for entry in fs::read_dir(folder.path()).expect("the folder").flatten() {
            let file = File::open(entry.path()).expect("a copy");
            file.set_modified(SystemTime::UNIX_EPOCH).expect("ours");
        }
        true
    };
    let now = SystemClock.now().seconds();
    let (copy, _) = snapshot.back_up(&store_path, now, &grow_old).expect("made");
    remove_abandoned(&store_path, now);
    assert!(copy.exists(), "nobody had time to fetch it");
    grow_old();
    remove_abandoned(&store_path, now);
    assert!(!copy.exists());
}

/// A start and a restore read the era, so a backup with a damaged one is not sound.
#[test]
fn an_era_that_is_not_as_it_was_written_is_in_no_sound_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    file::create_if_absent(&path).expect("made");
    let describe = |_: &[u8]| Err("there is no user".to_owned());
    assert!(check(&path, describe).is_ok());
    let database = Database::open(&path).expect("a database");
    let txn = database.begin_write().expect("a transaction");
    let mut meta = txn.open_table(META).expect("the table");
    meta.insert("era", 5).expect("written");
    drop(meta);
    txn.commit().expect("committed");
    drop(database);
    assert!(check(&path, describe).is_err());
}

#[test]
fn a_store_that_could_not_be_replaced_has_no_second_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, kept_as, draft] = ["a", "b", "c"].map(|name| folder.path().join(name));
    fs::write(&path, b"a store").expect("written");
    assert!(
        replace(&draft, &path, &kept_as).is_err(),
        "there is no draft"
    );
    assert!(path.exists() && !kept_as.exists());
    fs::write(&draft, b"another").expect("written");
    replace(&draft, &path, &kept_as).expect("replaced");
    assert_eq!(fs::read(&kept_as).expect("there"), b"a store");
}

#[test]
fn holes_of_the_store_need_no_room_for_its_copy() {
    let (_open, snapshot) = of_nobody();
    let folder = tempfile::tempdir().expect("a folder");
    let store_path = folder.path().join("users.redb");
    let store = File::create(&store_path).expect("made");
    // More than any disk here has free.
    store.set_len(1 << 43).expect("a hole");
    let made = snapshot.back_up(&store_path, 0, &|| true);
    assert!(made.is_ok(), "{made:?}");
}

/// The damage is reported when the backup is made, not when it is needed.
#[test]
fn a_user_whose_row_is_damaged_is_in_no_backup() {
    let database = file::database(InMemoryBackend::new()).expect("a database");
    file::initialise(&database).expect("tables");
    let sound = seal_row(&1_u32.to_be_bytes(), b"a user".to_vec());
    let mut damaged = sound.clone();
    damaged[0] ^= 1;
    for (row, is_sound) in [(sound, true), (damaged, false)] {
        let txn = database.begin_write().expect("a transaction");
        let mut users = txn.open_table(USERS).expect("the table");
        users.insert(1, row.as_slice()).expect("written");
        drop(users);
        txn.commit().expect("committed");
        let shared = Shared::default();
        let snapshot = Snapshot::begin(&database, Index::default(), &shared, 0);
        let folder = tempfile::tempdir().expect("a folder");
        let store_path = folder.path().join("users.redb");
        let made = snapshot.expect("a state").back_up(&store_path, 0, &|| true);
        assert_eq!(made.is_ok(), is_sound, "{made:?}");
        let left = fs::read_dir(folder.path()).expect("the folder");
        assert_eq!(left.count(), usize::from(is_sound));
    }
}

/// The file that is put in place is the one that was checked, even if the backup is written to
/// meanwhile.
#[test]
fn a_backup_that_has_changed_since_it_was_checked_is_not_copied() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let backup = path("backup.redb");
    fs::write(&backup, "as it was checked").expect("written");
    let checked = digest_of(&backup).expect("read");
    copy_exactly(&backup, &path("one"), &checked).expect("the same");
    fs::write(&backup, "as it is now").expect("written");
    let refused = copy_exactly(&backup, &path("two"), &checked);
    assert!(matches!(refused, Err(OpenError::Damaged(_))), "{refused:?}");
}
