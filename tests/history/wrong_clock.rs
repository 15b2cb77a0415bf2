//! The past of users with times from a clock that was ahead or behind, and has been corrected
//! since.

use std::sync::atomic::Ordering;
use std::time::Instant as Monotonic;

use golinks_scim::clock::Instant;
use golinks_scim::directory::{Beginning, Keep, Manner, Past, Then, ToUndo};
use golinks_scim::limits;
use serde_json::json;

use super::{Kept, all_since, caller};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn advance(kept: &Kept, days: i64) {
    kept.clock.0.fetch_add(days * DAY, Ordering::SeqCst);
}

fn title_at(kept: &Kept, who: &str, then: Instant) -> String {
    match kept.directory.at(who, Then::At(then)).expect("read") {
        Past::Was(was) => was.user().attributes()["title"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        other => panic!("{who}: {other:?}"),
    }
}

#[test]
fn a_user_is_there_from_its_first_change_under_the_right_clock_on() {
    let mut kept = Kept::new();
    let before = kept.now();
    advance(&kept, 1000);
    let id = kept.create("bob", "a");
    advance(&kept, -1000);
    kept.change(&id, "title", &json!("Cook"), "a");
    let then = kept.now();
    kept.change(&id, "title", &json!("Chef"), "a");
    for who in [&*id, "bob"] {
        assert_eq!(title_at(&kept, who, then), "Cook");
        let absent = kept.directory.at(who, Then::At(before)).expect("read");
        assert!(matches!(absent, Past::Absent), "{absent:?}");
    }
    kept.delete(&id);
    for who in [&*id, "bob"] {
        assert_eq!(title_at(&kept, who, then), "Cook");
    }
}

/// A directory with a trail whose oldest row has a later time than most other rows; and the time
/// before those.
fn with_the_oldest_row_ahead() -> (Kept, String, Instant) {
    let mut kept = Kept::new();
    kept.create("old", "a");
    advance(&kept, 100);
    let since = kept.now();
    advance(&kept, 1000);
    let id = kept.create("bob", "a");
    advance(&kept, -1000);
    kept.change(&id, "title", &json!("Cook"), "a");
    let keep = Keep {
        days: Some(limits::AUDIT_KEEP_DAYS_MIN),
        bytes: None,
    };
    let now = Monotonic::now();
    let removed = [now, now + limits::AUDIT_TRIM_FIRST_PAUSE]
        .map(|at| kept.directory.trim(keep, at).expect("done"));
    assert_eq!(removed, [0, 1]);
    (kept, id, since)
}

#[test]
fn a_trail_whose_oldest_row_is_ahead_reaches_back_to_the_others() {
    let (mut kept, id, since) = with_the_oldest_row_ahead();
    let then = kept.now();
    kept.change(&id, "title", &json!("Chef"), "a");
    assert_eq!(title_at(&kept, &id, then), "Cook");
    let at = |who: &str, then| kept.directory.at(who, Then::At(then)).expect("read");
    assert!(matches!(at("nobody", then), Past::Absent));
    // The reported time is not the time of the oldest row.
    for who in ["nobody", "bob"] {
        match at(who, since) {
            Past::Forgotten(Some(oldest)) => assert!(oldest < then, "{oldest}"),
            other => panic!("{who}: {other:?}"),
        }
    }
    // The row of the user's creation is there.
    assert!(matches!(at(&id, since), Past::Absent));
}

/// A creation time in the future does not tell when the user was created.
#[test]
fn a_user_whose_rows_were_removed_is_not_told_to_be_younger_than_it_is() {
    let mut kept = Kept::new();
    advance(&kept, 1000);
    let id = kept.create("eve", "a");
    advance(&kept, -1000);
    let then = kept.now();
    kept.change(&id, "title", &json!("Cook"), "a");
    let keep = Keep {
        days: None,
        bytes: Some(450),
    };
    let removed = kept.directory.trim(keep, Monotonic::now());
    assert_eq!(removed.expect("done"), 1);
    for who in ["eve", &id] {
        let past = kept.directory.at(who, Then::At(then)).expect("read");
        assert!(matches!(past, Past::Forgotten(Some(_))), "{who}: {past:?}");
    }
}

/// A row with an early time says nothing about what was removed.
#[test]
fn a_trail_does_not_reach_back_to_the_time_of_a_row_that_is_behind() {
    let mut kept = Kept::new();
    let id = kept.create("bob", "a");
    advance(&kept, 100);
    let then = kept.now();
    kept.change(&id, "title", &json!("Cook"), "a");
    let newcomer = kept.create("newcomer", "a");
    let keep = Keep {
        days: None,
        bytes: Some(500),
    };
    let removed = kept.directory.trim(keep, Monotonic::now()).expect("done");
    assert!(removed >= 2, "{removed}");
    kept.change(&id, "title", &json!("Chef"), "a");
    advance(&kept, -200);
    kept.create("zed", "a");
    advance(&kept, 200);
    let at = |who: &str| kept.directory.at(who, Then::At(then)).expect("read");
    for who in ["bob", &id, "nobody"] {
        assert!(matches!(at(who), Past::Forgotten(Some(_))), "{who}");
    }
    // A user who was created later was not there, whatever else is unknown.
    assert!(matches!(at(&newcomer), Past::Absent));
}

/// The time that the refusal of an undo says to give.
fn time_given(refused: &str) -> Instant {
    let oldest = refused.split("rows before ").nth(1).expect("a time");
    let oldest = oldest.split(' ').next().and_then(Instant::parse);
    oldest.unwrap_or_else(|| panic!("no time: {refused}"))
}

#[test]
fn an_undo_may_begin_behind_a_row_that_is_ahead() {
    let (mut kept, id, early) = with_the_oldest_row_ahead();
    let since = kept.now();
    kept.change(&id, "title", &json!("Chef"), "a");
    let undo = |since, is_dry_run| {
        let manner = Manner {
            is_forced: false,
            is_dry_run,
        };
        let selection = all_since(since, None);
        kept.directory.undo(&selection, manner, None, &caller("c"))
    };
    let refused = undo(early, true).expect_err("rows of that time were removed");
    let oldest = time_given(&format!("{refused:?}"));
    assert!(oldest < since, "not the time of the row that is ahead");
    assert!(undo(oldest, true).is_ok());
    let undone = undo(since, false).expect("done").undone;
    assert_eq!(undone.len(), 1, "{undone:?}");
    assert_eq!(title_at(&kept, &id, kept.now()), "Cook");
}

/// What a refusal says to give is accepted.
#[test]
fn an_undo_may_begin_with_the_oldest_row() {
    let mut kept = Kept::new();
    let early = kept.now();
    let id = kept.create("eve", "a");
    kept.change(&id, "title", &json!("Cook"), "a");
    let undo = |since, is_forced| {
        let manner = Manner {
            is_forced,
            is_dry_run: true,
        };
        let selection = ToUndo::Since { since, token: None };
        let undone = kept.directory.undo(&selection, manner, None, &caller("c"));
        undone
            .map(|page| page.undone.len())
            .map_err(|error| format!("{error:?}"))
    };
    let change = |sequence| undo(Beginning::Change(sequence), false);
    assert_eq!([1, 2].map(change), [Ok(1), Ok(1)]);
    for sequence in [0, 3] {
        assert_eq!(change(sequence), Err("NotFound".to_owned()));
    }
    let keep = Keep {
        days: None,
        bytes: Some(450),
    };
    let removed = kept.directory.trim(keep, Monotonic::now());
    assert_eq!(removed.expect("done"), 1);
    assert!(change(1).is_err_and(|why| why.contains("before change 2 were")));
    assert_eq!(change(2), Ok(1));
    let refused = undo(Beginning::Moment(early), false).expect_err("too early");
    let oldest = Beginning::Moment(time_given(&refused));
    assert_eq!(undo(oldest, false), Ok(1));
    assert_eq!(undo(Beginning::Moment(early), true), Ok(1), "it is forced");
}
