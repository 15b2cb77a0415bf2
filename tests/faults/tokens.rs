//! Changes of tokens on a disk that fails, hangs or is full: which tokens are accepted, what
//! callers are told, and what the store contains afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use golinks_scim::access::{Issue, IssueError, Rejection, Scope, Terms, Token, TokenId, Tokens};
use golinks_scim::clock::Instant as Moment;
use golinks_scim::limits;
use golinks_scim::store::{Change, Store, WriteError};

use super::{Disk, SENT_AWAY_MAX, audit_rows};
use crate::support::{wait_until, waiting};

fn wanted(name: &str) -> Issue {
    Issue::new(name, Scope::Full)
}

/// An audit row, whose content does not matter.
fn row(_: &Token) -> String {
    "{}".to_owned()
}

/// The facts about each token on which memory and store must agree: its id, its end, its rate, and
/// whether it is revoked.
fn known(tokens: &Tokens, now: Moment) -> Vec<(TokenId, Option<Moment>, Option<u32>, bool)> {
    let all = tokens.list(now).into_iter();
    let known = all.map(|token| {
        let is_revoked = token.revoked.is_some();
        (
            token.id.clone(),
            token.expires,
            token.rate_limit,
            is_revoked,
        )
    });
    let mut known: Vec<_> = known.collect();
    known.sort();
    known
}

/// Waits until the store accepts writes again, without settling any outcome in doubt.
fn await_writes(store: &Store) {
    wait_until("it comes back", || store.commit(Change::none()).is_ok());
}

/// Leaves a token that may or may not have been stored, on a disk that works again.
fn leave_in_doubt(disk: &Disk, store: &Store, tokens: &Tokens, now: Moment) {
    disk.is_broken.store(true, Ordering::SeqCst);
    let issued = tokens.issue(wanted("spare"), now, row);
    assert!(is_unknown(&issued), "{issued:?}");
    disk.is_broken.store(false, Ordering::SeqCst);
    await_writes(store);
}

fn is_unknown<T>(outcome: &Result<T, IssueError>) -> bool {
    matches!(outcome, Err(IssueError::Write(WriteError::Unknown)))
}

type Deed = fn(&Tokens, Moment) -> Result<(), IssueError>;

/// Changes tokens while one call of the disk fails (none if `fails_at` is zero); returns the number
/// of calls. Afterwards memory and store agree, now and after a restart.
fn deed(name: &str, deed: Deed, fails_at: usize, disk: &Disk) -> usize {
    let what = format!("{name}, a failure at call {fails_at}");
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    let first = disk.calls.load(Ordering::SeqCst);
    if fails_at > 0 {
        disk.fails_at.store(first + fails_at, Ordering::SeqCst);
    }
    let outcome = deed(&tokens, now);
    let calls = disk.calls.load(Ordering::SeqCst) - first;
    let is_refused = matches!(outcome, Err(IssueError::Write(WriteError::Unavailable)));
    let is_pending = matches!(outcome, Err(IssueError::NotKept));
    assert!(
        outcome.is_ok() || is_refused || is_pending || is_unknown(&outcome),
        "{what}: {outcome:?}"
    );
    // A request that was accepted before the change.
    okta.remember_use(now, [127, 0, 0, 1].into(), None);
    let is_revoked = |tokens: &Tokens| tokens.find(okta.id.as_str(), now)[0].revoked.is_some();
    let was_revoked = is_revoked(&tokens);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert!(!was_revoked || is_revoked(&tokens), "{what}: let in again");
    let stored = Tokens::load(Arc::clone(&store)).expect("loaded");
    let left = known(&tokens, now);
    assert_eq!(left, known(&stored, now), "{what}");
    // One row for each token that was issued, changed or revoked.
    let changed = left.iter().filter(|(_, _, rate, _)| rate.is_some());
    let revoked = left.iter().filter(|(.., is_revoked)| *is_revoked);
    let rows = left.len() + changed.count() + revoked.count();
    assert_eq!(audit_rows(&store), rows as u64, "{what}");
    wait_until("uses are kept", || tokens.flush_last_used().is_ok());
    drop((stored, tokens));
    store.close();
    drop(store);
    let again = Tokens::load(disk.open()).expect("loaded");
    assert_eq!(left, known(&again, now), "{what}: after a restart");
    let last = again.find(okta.id.as_str(), now)[0].last_used();
    assert_eq!(last.map(|last| last.at), Some(now), "{what}");
    calls
}

#[test]
fn a_use_that_could_not_be_kept_is_kept_later() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (token, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    token.remember_use(now, [127, 0, 0, 1].into(), None);
    disk.is_broken.store(true, Ordering::SeqCst);
    assert!(tokens.flush_last_used().is_err());
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it is kept", || tokens.flush_last_used().is_ok());
    let kept = Tokens::load(store).expect("loaded").list(now);
    assert_eq!(kept[0].last_used().map(|last| last.at), Some(now));
}

/// Memory and disk have the same tokens, a refused token is not accepted again, and the last use is
/// not lost.
#[test]
fn after_an_error_at_any_call_tokens_are_those_of_the_store() {
    let deeds: [(&str, Deed); 4] = [
        ("change", |tokens, now| {
            let terms = Terms {
                rate_limit: Some(Some(1)),
                ..Terms::default()
            };
            tokens.change("okta", &terms, now, row).map(drop)
        }),
        ("issue", |tokens, now| {
            tokens.issue(wanted("spare"), now, row).map(drop)
        }),
        ("rotate", |tokens, now| {
            tokens
                .rotate("okta", 60, now, "test", |token, _| row(token))
                .map(drop)
        }),
        ("revoke", |tokens, now| {
            tokens.revoke("okta", now, row).map(drop)
        }),
    ];
    for (name, change) in deeds {
        let calls = deed(name, change, 0, &Disk::default());
        assert!(calls > 1, "{calls} calls are too few for {name}");
        for call in 1..=calls {
            for does_it_anyway in [false, true] {
                let disk = Disk {
                    does_it_anyway,
                    ..Disk::default()
                };
                deed(name, change, call, &disk);
            }
        }
    }
}

/// While the disk accepts nothing, nobody can know what is stored. A refused token stays refused,
/// though its revocation was not stored. A token that may have been issued is listed, and no other
/// token is issued under its name.
#[test]
fn what_may_be_of_tokens_is_seen_until_the_store_can_tell() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    let spare = || tokens.issue(wanted("spare"), now, row);
    let is_seen = || tokens.find("spare", now).len() == 1;

    disk.is_broken.store(true, Ordering::SeqCst);
    let revoked = tokens.revoke("okta", now, row);
    assert!(matches!(revoked, Err(IssueError::NotKept)), "{revoked:?}");
    assert!(tokens.check_again(&okta, now).is_err());
    assert!(tokens.settle().is_err());
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert!(tokens.check_again(&okta, now).is_err(), "let in again");
    let stored = Tokens::load(Arc::clone(&store)).expect("loaded");
    assert_eq!(known(&stored, now), known(&tokens, now));

    disk.is_broken.store(true, Ordering::SeqCst);
    let issued = spare();
    assert!(is_unknown(&issued), "{issued:?}");
    assert!(is_seen());
    let again = spare();
    assert!(
        matches!(again, Err(IssueError::Write(WriteError::Unavailable))),
        "{again:?}"
    );
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert!(!is_seen(), "it was not made");
    spare().expect("issued");
    assert!(is_seen());
}

/// A revoked token is refused at once, whatever else waits for the disk; and a waiting rotation
/// leaves no valid token either.
#[test]
fn a_revoked_token_is_refused_while_the_disk_hangs() {
    let deeds: [(Deed, bool); 3] = [
        (
            |tokens, now| tokens.issue(wanted("spare"), now, row).map(drop),
            false,
        ),
        (
            |tokens, now| {
                let rotated = tokens.rotate("okta", 60, now, "test", |token, _| row(token))?;
                assert!(rotated.old[0].revoked.is_some(), "let in again");
                Ok(())
            },
            false,
        ),
        (|tokens, _| Ok(tokens.settle()?), true),
    ];
    for (deed, is_in_doubt) in deeds {
        let disk = Disk::default();
        let (store, tokens, now) = disk.open_with_tokens();
        let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
        if is_in_doubt {
            leave_in_doubt(&disk, &store, &tokens, now);
        }
        let first = disk.calls.load(Ordering::SeqCst);
        disk.hangs.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| deed(&tokens, now));
            wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
            let revoking = scope.spawn(|| tokens.revoke("okta", now, row));
            let begun = Instant::now();
            while tokens.check_again(&okta, now).is_ok() && begun.elapsed() < SENT_AWAY_MAX {
                std::thread::yield_now();
            }
            let is_refused = tokens.check_again(&okta, now).is_err();
            let is_over = revoking.is_finished();
            disk.hangs.store(false, Ordering::SeqCst);
            assert!(is_refused && !is_over, "let in, or told too early");
            other.join().expect("no panic").expect("done");
            let revoked = revoking.join().expect("no panic").expect("revoked");
            assert!(revoked.iter().any(|token| token.id == okta.id));
        });
        wait_until("it is settled", || tokens.settle().is_ok());
        let live = tokens.find("okta", now).into_iter();
        assert_eq!(live.filter(|token| token.revoked.is_none()).count(), 0);
        let stored = Tokens::load(Arc::clone(&store)).expect("loaded");
        assert_eq!(known(&tokens, now), known(&stored, now));
    }
}

/// The token stays refused even if the stored tokens are read again before its revocation is
/// written.
#[test]
fn a_revocation_that_is_to_be_written_outlives_a_look_at_the_store() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    // A temporary token exists in memory only, not in the store.
    let (temporary, _) = tokens.issue_temporary("check", Scope::Full, 60, now);
    leave_in_doubt(&disk, &store, &tokens, now);
    let first = disk.calls.load(Ordering::SeqCst);
    disk.hangs.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| store.commit(Change::none().audit("{}".to_owned())));
        wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
        let settling = scope.spawn(|| {
            tokens.settle().expect("the store can tell");
            tokens.check_again(&okta, now)
        });
        wait_until("it waits to be settled", || waiting(&store) > 0);
        let revoking = scope.spawn(|| tokens.revoke("okta", now, row));
        wait_until("it is refused", || tokens.check_again(&okta, now).is_err());
        disk.hangs.store(false, Ordering::SeqCst);
        let found = settling.join().expect("no panic");
        assert_eq!(found, Err(Rejection::Revoked), "let in again");
        writing.join().expect("no panic").expect("written");
        revoking.join().expect("no panic").expect("revoked");
    });
    assert_eq!(tokens.check_again(&temporary, now), Ok(()));
}

/// A revocation that arrives while another one is being written is written after it.
#[test]
fn of_two_revocations_on_a_disk_that_hangs_both_are_written() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    for name in ["one", "two"] {
        tokens.issue(wanted(name), now, row).expect("issued");
    }
    let first = disk.calls.load(Ordering::SeqCst);
    disk.hangs.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| tokens.revoke("one", now, row));
        wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
        let two = scope.spawn(|| tokens.revoke("two", now, row));
        wait_until("both are refused", || {
            tokens.unconfirmed_revocations().len() == 2
        });
        disk.hangs.store(false, Ordering::SeqCst);
        for revoking in [one, two] {
            revoking.join().expect("no panic").expect("revoked");
        }
    });
    let stored = Tokens::load(store).expect("loaded");
    assert!(stored.list(now).iter().all(|token| token.revoked.is_some()));
}

/// A revocation that was not confirmed before the server ended is reported by name: the token may
/// be valid again afterwards, and can then be revoked again.
#[test]
fn a_revocation_that_was_not_kept_before_the_end_is_named_and_made_again() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    disk.is_broken.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let revoked = tokens.revoke("okta", now, row);
        assert!(matches!(revoked, Err(IssueError::NotKept)), "{revoked:?}");
    }
    let named = [(okta.id.clone(), "okta".to_owned())];
    assert_eq!(tokens.unconfirmed_revocations(), named);
    drop(tokens);
    store.close();
    drop(store);
    disk.is_broken.store(false, Ordering::SeqCst);
    let store = disk.open();
    let again = Tokens::load(Arc::clone(&store)).expect("loaded");
    assert!(again.check_again(&okta, now).is_ok(), "nothing was kept");
    let revoked = again.revoke("okta", now, row).expect("revoked");
    assert_eq!((revoked.len(), audit_rows(&store)), (1, 2));
    assert!(again.unconfirmed_revocations().is_empty());
}

/// The outcome that is reported as unknown is the outcome of the caller's change, not of an earlier
/// revocation.
#[test]
fn what_was_in_doubt_before_is_not_told_as_the_callers() {
    let mut told = [0; 3];
    for call in 1.. {
        let disk = Disk::default();
        let (store, tokens, now) = disk.open_with_tokens();
        tokens.issue(wanted("okta"), now, row).expect("issued");
        disk.is_broken.store(true, Ordering::SeqCst);
        tokens.revoke("okta", now, row).expect_err("not kept");
        disk.is_broken.store(false, Ordering::SeqCst);
        await_writes(&store);
        let at = disk.calls.load(Ordering::SeqCst) + call;
        disk.fails_at.store(at, Ordering::SeqCst);
        let issued = tokens.issue(wanted("spare"), now, row);
        let is_seen = !tokens.find("spare", now).is_empty();
        match issued {
            Ok(_) => told[0] += 1,
            Err(IssueError::Write(WriteError::Unavailable)) => {
                assert!(!is_seen, "call {call}");
                told[1] += 1;
            }
            Err(IssueError::Write(WriteError::Unknown)) => {
                assert!(is_seen, "call {call}");
                told[2] += 1;
            }
            Err(error) => panic!("call {call}: {error:?}"),
        }
        if disk.calls.load(Ordering::SeqCst) < at {
            break;
        }
    }
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
}

/// A change with an unknown outcome does not prevent last uses from being stored.
#[test]
fn last_uses_are_kept_while_a_change_stays_in_doubt() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    let (okta, _) = tokens.issue(wanted("okta"), now, row).expect("issued");
    leave_in_doubt(&disk, &store, &tokens, now);
    let unreadable = Change::none().token("0", b"no token".to_vec());
    store.commit(unreadable).expect("written");
    assert_eq!(tokens.settle(), Err(WriteError::Unavailable));
    okta.remember_use(now, [127, 0, 0, 1].into(), None);
    tokens.tend();
    let snapshot = store.snapshot().expect("open");
    let seen = snapshot.tokens_seen().expect("read");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].0, okta.id.as_str());
}

/// Every caller is answered before its command gives up, and no token is issued after that.
#[test]
#[ignore = "a disk that hangs for a minute"]
fn a_change_of_tokens_on_a_disk_that_hangs_is_answered_in_time() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    tokens.issue(wanted("okta"), now, row).expect("issued");
    let timed = |deed: Deed| {
        let begun = Instant::now();
        let outcome = deed(&tokens, now);
        let took = begun.elapsed();
        println!("{outcome:?} after {took:?}");
        assert!(took < limits::LOCAL_ANSWER_WAIT_MAX, "{took:?}");
        outcome
    };
    let first = disk.calls.load(Ordering::SeqCst);
    disk.hangs.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let timed = &timed;
        let issuing =
            scope.spawn(move || timed(|tokens, now| tokens.issue(wanted("a"), now, row).map(drop)));
        wait_until("it hangs", || disk.calls.load(Ordering::SeqCst) > first);
        let revoking =
            scope.spawn(move || timed(|tokens, now| tokens.revoke("okta", now, row).map(drop)));
        let outcome = timed(|tokens, now| tokens.issue(wanted("b"), now, row).map(drop));
        assert!(
            matches!(outcome, Err(IssueError::Write(WriteError::Unavailable))),
            "{outcome:?}"
        );
        let outcome = issuing.join().expect("no panic");
        assert!(is_unknown(&outcome), "{outcome:?}");
        let outcome = revoking.join().expect("no panic");
        assert!(matches!(outcome, Err(IssueError::NotKept)), "{outcome:?}");
        // The disk answers too late for this one to begin.
        let issuing =
            scope.spawn(move || timed(|tokens, now| tokens.issue(wanted("c"), now, row).map(drop)));
        std::thread::sleep(limits::TOKEN_CHANGE_WAIT_MAX + Duration::from_secs(2));
        disk.hangs.store(false, Ordering::SeqCst);
        let outcome = issuing.join().expect("no panic");
        assert!(
            matches!(outcome, Err(IssueError::Write(WriteError::Unavailable))),
            "{outcome:?}"
        );
    });
    wait_until("it is settled", || tokens.settle().is_ok());
    let stored = Tokens::load(store).expect("loaded");
    assert_eq!(known(&tokens, now), known(&stored, now));
    assert!(tokens.find("c", now).is_empty());
    assert!(tokens.unconfirmed_revocations().is_empty());
}

/// A token that waits for space may be stored long after its caller was told that the outcome is
/// unknown.
#[test]
#[ignore = "ten seconds without space"]
fn a_token_that_waits_for_space_is_seen_all_the_while() {
    let disk = Disk::default();
    let (store, tokens, now) = disk.open_with_tokens();
    disk.is_full.store(true, Ordering::SeqCst);
    let issued = tokens.issue(wanted("okta"), now, row);
    assert!(is_unknown(&issued), "{issued:?}");
    assert_eq!(tokens.settle(), Err(WriteError::Full));
    let seen = known(&tokens, now);
    assert_eq!(seen.len(), 1);
    disk.is_full.store(false, Ordering::SeqCst);
    wait_until("it is settled", || tokens.settle().is_ok());
    assert_eq!(known(&tokens, now), seen);
    let again = tokens.issue(wanted("okta"), now, row);
    assert!(matches!(again, Err(IssueError::NameTaken)), "{again:?}");
    let stored = Tokens::load(store).expect("loaded");
    assert_eq!(known(&stored, now), seen);
}
