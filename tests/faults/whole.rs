//! Work that reads the whole store, on a disk that hangs or fails meanwhile: a copy that is being
//! made is not taken for an abandoned one, and a store that could not be read is opened again.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::SystemTime;

use golinks_scim::access::Administrator;
use golinks_scim::api::{Api, Options};
use golinks_scim::http1::Head;
use golinks_scim::store::Change;

use super::Disk;
use crate::support::{options, wait_until};

/// An API that has nothing to write, and has not read the audit trail yet.
fn opened_again(disk: &Disk, data_dir: &Path) -> Api {
    let rows = (0..500).fold(Change::none(), |all, number| {
        all.audit(format!("{{\"number\":{number},\"more\":\"{:0200}\"}}", 0))
    });
    disk.store().commit(rows).expect("written");
    let open = || {
        let options = Options {
            data_dir: data_dir.to_owned(),
            ..options()
        };
        Api::new(disk.store(), options).expect("an API")
    };
    // The first start stores its settings.
    open().close();
    open()
}

/// The status of the answer to the administrator's request.
fn status(api: &Api, target: &str, body: &str) -> u16 {
    let head = Head::new("POST", target, &[]).expect("a head");
    let who = Administrator::from_local_socket("test");
    let Ok(admission) = api.admit_administrator(&head, &who) else {
        panic!("{target} is refused");
    };
    api.answer(admission, Some(body.as_bytes())).status
}

/// A copy's file may go unwritten for longer than an abandoned one is kept.
#[test]
fn a_copy_that_is_being_made_is_not_taken_for_an_abandoned_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::default();
    let api = opened_again(&disk, folder.path());
    let copy = folder
        .path()
        .join(format!("users.redb.new-{}", "0".repeat(16)));
    disk.holds_reads.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let made = scope.spawn(|| status(&api, "/admin/backup", "{\"path\": \"/copy.redb\"}"));
        wait_until("the store is being copied", || {
            disk.has_held_a_read.load(Ordering::SeqCst)
        });
        let file = File::create_new(&copy).expect("made");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("ours");
        api.tend_backups();
        let is_kept = copy.exists();
        disk.holds_reads.store(false, Ordering::SeqCst);
        assert_eq!(made.join().expect("no panic"), 201);
        assert!(is_kept, "it was removed");
    });
    api.tend_backups();
    assert!(!copy.exists(), "it is kept for ever");
}

/// Otherwise nobody could read anything until somebody tries to change something.
#[test]
fn a_verification_that_could_not_read_has_the_store_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::default();
    let api = opened_again(&disk, folder.path());
    let before = disk.openings.load(Ordering::SeqCst);
    disk.is_unreadable.store(true, Ordering::SeqCst);
    assert_eq!(status(&api, "/admin/verification", ""), 500);
    wait_until("it is opened again", || {
        disk.openings.load(Ordering::SeqCst) > before
    });
    wait_until("it is read again", || {
        status(&api, "/admin/verification", "") == 200
    });
}
