//! Undoing where others have changed the same users or have taken their names, in a directory in
//! memory; and random histories, undone by force.

use golinks_scim::clock::Instant;
use golinks_scim::directory::{
    Directory, Manner, Obstacle, Past, Then, Thresholds, ToUndo, Undone, Wanted, Way,
};
use golinks_scim::scim::schema::ENTERPRISE_URN;
use serde_json::{Value, json};

use super::{Kept, OWN_UNDO, all_since, caller};
use crate::model::Random;
use crate::support::{number, record_of};

/// Random histories; `UNDO_SEEDS` sets how many.
#[test]
fn taking_back_gives_what_the_first_change_found() {
    for seed in 0..number("UNDO_SEEDS", 100) as u64 {
        let mut random = Random(seed);
        let mut kept = Kept::new();
        let mut ids = Vec::new();
        for number in 0..4 {
            let who = ["a", "b"][random.below(2)];
            ids.push(kept.create(&format!("user{number}"), who));
        }
        let (mut since, mut first, at) = (kept.now(), 1, random.below(30));
        for step in 0..30 {
            if step == at {
                since = kept.now();
                let page = kept.directory.trail(&Wanted::default(), Way::From(1), 1);
                first = page.expect("read").extent.next;
            }
            let who = ["a", "b"][random.below(2)];
            if random.below(12) == 0 {
                let name = format!("new{step}");
                ids.push(kept.create(&name, who));
                continue;
            }
            if random.below(8) == 0 {
                undo_some(&mut kept, &mut random, first, &ids);
                continue;
            }
            let id = ids[random.below(ids.len())].clone();
            match random.below(5) {
                0 => kept.change(&id, "active", &json!(random.below(2) == 0), who),
                1 => kept.change(&id, "title", &json!(format!("t{}", random.below(3))), who),
                part @ (2 | 3) => {
                    let name = ["department", "costCenter"][part - 2];
                    let value = [Value::Null, json!("x"), json!("y")][random.below(3)].clone();
                    kept.change(&id, &format!("{ENTERPRISE_URN}:{name}"), &value, who);
                }
                _ => kept.change(
                    &id,
                    "nickName",
                    &json!(format!("n{}", random.below(3))),
                    who,
                ),
            }
        }
        assert_past(&kept, &mut random);
        let selection = all_since(since, Some("a"));
        assert_refusals(&kept, &selection, since);
        let wanted: Vec<_> = ids.iter().map(|id| kept.wanted(id, since, "a").0).collect();
        let undone = undo(&kept.directory, &selection, true);
        assert!(undone.iter().all(|it| it.outcome.is_ok()), "{undone:?}");
        for (id, wanted) in ids.iter().zip(&wanted) {
            let record = record_of(&kept.directory, id).expect("there");
            let now = Value::Object(record.user().attributes().clone());
            assert!(&now == wanted, "seed {seed}, {id}: {now} is not {wanted}");
        }
        let again = undo(&kept.directory, &selection, false);
        let nothing = |it: &Undone| matches!(&it.outcome, Ok(it) if it.attributes.is_empty());
        assert!(again.iter().all(nothing), "seed {seed}: {again:?}");
    }
}

/// Somebody undoes some of the token's changes, which is a change like any other to a later undo.
fn undo_some(kept: &mut Kept, random: &mut Random, first: u64, ids: &[String]) {
    let states = &kept.states[&ids[random.below(ids.len())]];
    let selection = all_since(states[random.below(states.len())].0, Some("a"));
    let who = ["a", "b", "c"][random.below(3)];
    let is_forced = random.below(2) == 0;
    let undone = |is_dry_run| {
        let manner = Manner {
            is_forced,
            is_dry_run,
        };
        let page = kept.directory.undo(&selection, manner, None, &caller(who));
        page.expect("done").undone
    };
    let rehearsed = format!("{:?}", undone(true));
    let undone = undone(false);
    assert_eq!(format!("{undone:?}"), rehearsed);
    for it in undone {
        if it.outcome.is_ok_and(|effect| !effect.attributes.is_empty()) {
            // It undoes nothing but what the last undo undoes as well.
            let is_own = who != "a" && it.changes[0] >= first;
            let who = if is_own { OWN_UNDO } else { who };
            kept.note(&it.user.to_string(), who);
        }
    }
}

/// Asserts that an undo without force is refused for those users of whom somebody else has changed
/// the same attributes since.
fn assert_refusals(kept: &Kept, selection: &ToUndo, since: Instant) {
    let manner = Manner {
        is_forced: false,
        is_dry_run: true,
    };
    let page = kept.directory.undo(selection, manner, None, &caller("c"));
    for it in page.expect("done").undone {
        let is_refused = matches!(it.outcome, Err(Obstacle::Touched { .. }));
        let (_, is_touched) = kept.wanted(&it.user.to_string(), since, "a");
        assert!(it.is_creation || is_refused == is_touched, "{it:?}");
    }
}

/// Asserts for a random past state of each user that the directory returns it for that moment.
fn assert_past(kept: &Kept, random: &mut Random) {
    for (id, states) in &kept.states {
        let (time, _, wanted) = &states[random.below(states.len())];
        match kept.directory.at(id, Then::At(*time)) {
            Ok(Past::Was(record)) => {
                let was = Value::Object(record.user().attributes().clone());
                assert!(&was == wanted, "{id} at {time}: {was} is not {wanted}");
            }
            other => panic!("{id} at {time}: {other:?}"),
        }
    }
}

fn undo(directory: &Directory, selection: &ToUndo, is_forced: bool) -> Vec<Undone> {
    let manner = Manner {
        is_forced,
        is_dry_run: false,
    };
    let page = directory
        .undo(selection, manner, None, &caller("c"))
        .expect("done");
    assert_eq!(page.next, None);
    page.undone
}

/// A change of one attribute of the extension does not prevent undoing the change of another.
#[test]
fn the_extension_is_undone_attribute_by_attribute() {
    let mut kept = Kept::new();
    let id = kept.create("jane", "b");
    let path = |name: &str| format!("{ENTERPRISE_URN}:{name}");
    kept.change(&id, &path("department"), &json!("Sales"), "b");
    kept.change(&id, &path("costCenter"), &json!("1"), "b");
    let since = kept.now();
    kept.change(&id, &path("department"), &json!("wrong"), "a");
    kept.change(&id, &path("organization"), &json!("wrong"), "a");
    kept.change(&id, &path("costCenter"), &json!("2"), "b");
    let selection = all_since(since, Some("a"));
    let undone = undo(&kept.directory, &selection, false);
    let outcome = undone[0].outcome.as_ref().expect("done");
    assert_eq!(
        outcome.attributes,
        [path("department"), path("organization")]
    );
    let record = record_of(&kept.directory, &id).expect("there");
    let extension = &record.user().attributes()[ENTERPRISE_URN];
    assert_eq!(
        extension.to_string(),
        r#"{"costCenter":"2","department":"Sales"}"#
    );
}

/// Undoing a creation deactivates the user, and the alarm counts that. A rehearsal deactivates no
/// user.
#[test]
fn who_is_deactivated_by_an_undo_is_counted() {
    let mut kept = Kept::new();
    let since = kept.now();
    kept.create("jane", "a");
    let everything = all_since(since, None);
    let thresholds = Thresholds {
        deactivations: 50,
        percent: 20,
    };
    for (is_dry_run, wanted) in [(true, 0), (false, 1)] {
        let manner = Manner {
            is_forced: false,
            is_dry_run,
        };
        let page = kept
            .directory
            .undo(&everything, manner, None, &caller("c"))
            .expect("done");
        assert!(page.undone[0].outcome.is_ok(), "{page:?}");
        let counted = kept.directory.alarm(thresholds).deactivations;
        assert_eq!(counted, wanted, "{is_dry_run}");
    }
}

/// A user that somebody else has activated stays active: the undo is refused. A user that somebody
/// else has deactivated and the token has reactivated is inactive afterwards.
#[test]
fn the_undo_of_a_creation_goes_back_to_what_others_have_said_of_the_status() {
    for (steps, wanted) in [
        ("b off, a on", Ok(())),
        ("b off, a on, b off, a on", Ok(())),
        ("a off, b on", Err(3)),
        ("a off, b on, a off, a on", Err(3)),
        ("b off, b on", Err(2)),
        ("b off, b on, a off, a on", Err(2)),
    ] {
        let mut kept = Kept::new();
        let since = kept.now();
        let id = kept.create("jane", "a");
        for step in steps.split(", ") {
            let (who, status) = step.split_once(' ').expect("two words");
            let who = if who == "a" { "a" } else { "b" };
            kept.change(&id, "active", &json!(status == "on"), who);
        }
        let undone = undo(&kept.directory, &all_since(since, Some("a")), false);
        let record = record_of(&kept.directory, &id).expect("there");
        match (&undone[0].outcome, wanted) {
            (Ok(_), Ok(())) => assert_eq!(record.user().active(), Some(false), "{steps}"),
            (Err(Obstacle::Touched { by_change, .. }), Err(wanted)) => {
                assert_eq!(*by_change, wanted, "{steps}");
            }
            _ => panic!("{steps}: {undone:?}"),
        }
    }
}

/// An undo counts as a change by somebody else unless it undid only the changes in question.
#[test]
fn an_undo_of_others_changes_too_counts_as_somebody_elses_change() {
    let mut kept = Kept::new();
    let id = kept.create("jane", "b");
    let since = kept.now();
    kept.change(&id, "title", &json!("mine"), "a");
    let later = kept.now();
    kept.change(&id, "title", &json!("yours"), "b");
    kept.change(&id, "title", &json!("mine again"), "a");
    let both = all_since(later, None);
    undo(&kept.directory, &both, false);
    let mine = all_since(since, Some("a"));
    let undone = undo(&kept.directory, &mine, false);
    assert!(
        matches!(undone[0].outcome, Err(Obstacle::Touched { .. })),
        "{undone:?}"
    );
}

#[test]
fn what_somebody_else_has_changed_since_is_left_alone() {
    let mut kept = Kept::new();
    let id = kept.create("jane", "b");
    let since = kept.now();
    kept.change(&id, "title", &json!("mine"), "a");
    kept.change(&id, "nickName", &json!("mine"), "a");
    kept.change(&id, "title", &json!("yours"), "b");
    let selection = all_since(since, Some("a"));
    let undone = undo(&kept.directory, &selection, false);
    let [one] = undone.as_slice() else {
        panic!("{undone:?}");
    };
    match &one.outcome {
        Err(Obstacle::Touched {
            attribute,
            by_change,
            principal,
        }) => {
            assert_eq!((attribute.as_str(), *by_change), ("title", 4));
            assert_eq!(principal, "token:bb:b");
        }
        other => panic!("{other:?}"),
    }
    // Either all of a user's changes are undone, or none.
    let record = record_of(&kept.directory, &id).expect("there");
    assert_eq!(record.user().attributes()["nickName"], "mine");
    // An undo of everybody's changes includes that change.
    let everything = all_since(since, None);
    let undone = undo(&kept.directory, &everything, false);
    assert!(undone.iter().all(|it| it.outcome.is_ok()), "{undone:?}");
    let record = record_of(&kept.directory, &id).expect("there");
    assert_eq!(record.user().attributes().get("title"), None);
}

/// The title, or the list of emails, after the changes of `a` are undone, the first of which is
/// change 3; or the number of the change that prevents the undo.
#[test]
fn a_change_that_was_itself_taken_back_does_not_count() {
    for attribute in ["title", "emails"] {
        let value = |text: &str| match attribute {
            "title" => json!(text),
            _ => json!([{"value": format!("{text}@example.com")}]),
        };
        for (steps, wanted) in [
            ("b two, undo 4", Ok("zero")),
            ("b two, b three, undo 5, undo 4", Ok("zero")),
            ("b two, undo 4, a three", Ok("zero")),
            ("b two, a three, b four, undo 6", Ok("two")),
            ("b two, b three, undo 5", Err(4)),
            ("b two, undo 4, undo 5", Err(6)),
            ("b two, undo 4, undo 5, undo 6", Ok("zero")),
            ("b two, undo 4, b three", Err(6)),
            // Somebody who sets the old value again wants to keep it.
            ("b two, b one", Err(4)),
            ("b two, b one, b two, undo 6", Err(4)),
            ("undo 3, b one", Err(5)),
            // The change itself was undone before; somebody who undoes that undo wants the change.
            ("undo 3", Ok("zero")),
            ("undo 3, undo 4", Err(5)),
            ("undo 3, undo 4, undo 5", Ok("zero")),
            ("undo 3, undo 4, undo 5, undo 6", Err(7)),
            ("undo 3, undo 4, b two", Err(5)),
            ("undo 3, b two, undo 5, undo 4", Err(7)),
            ("b two, a three, undo 5", Ok("two")),
            ("b two, a three, force 3", Err(6)),
            // Both changes are undone by force, the earlier one first.
            ("b two, force 3, force 4", Err(4)),
            // Somebody set a value between two changes that were undone together.
            ("b two, c one, b three, undo b", Err(4)),
            ("b two, c one, b three, undo b, a four", Ok("one")),
        ] {
            let mut kept = Kept::new();
            let id = kept.create("jane", "b");
            kept.change(&id, attribute, &value("zero"), "b");
            let since = kept.now();
            kept.change(&id, attribute, &value("one"), "a");
            for step in steps.split(", ") {
                match step.split_once(' ').expect("two words") {
                    (how @ ("undo" | "force"), what) => {
                        let all_of = |token: &str| all_since(since, Some(token));
                        let what = what.parse().map_or_else(|_| all_of(what), ToUndo::Change);
                        let undone = undo(&kept.directory, &what, how == "force");
                        assert!(undone[0].outcome.is_ok(), "{steps}: {undone:?}");
                    }
                    (who, text) => kept.change(&id, attribute, &value(text), who),
                }
            }
            let undone = undo(&kept.directory, &all_since(since, Some("a")), false);
            let record = record_of(&kept.directory, &id).expect("there");
            let now = &record.user().attributes()[attribute];
            match (&undone[0].outcome, wanted) {
                (Ok(_), Ok(wanted)) => assert_eq!(*now, value(wanted), "{steps}"),
                (Err(Obstacle::Touched { by_change, .. }), Err(wanted)) => {
                    assert_eq!(*by_change, wanted, "{steps}");
                }
                _ => panic!("{steps}: {undone:?}"),
            }
        }
    }
}

/// Names are given back whatever the order in which they were taken: a user that needs another
/// user's name is undone after that user. A rehearsal has the same outcome, and both list the users
/// by their ids.
#[test]
fn names_are_given_back_in_whatever_order_they_went() {
    for (steps, wanted) in [
        ("a n2 n3, a n1 n2, a n0 n1", ""),
        ("a n0 x, a n1 n0, a n2 n1", ""),
        ("a n0 x, a n2 n0, a n1 n2", ""),
        // A user needs a name that is not given back.
        ("a n0 x, a n1 y, a x n1, b n2 n0", "n1 y"),
        ("a n0 t, a n1 n0, a t n1", "n0 n1"),
        // A deleted user does not block a name.
        ("a n0 z, a n2 n0, a n0 -, a n1 n0", "n0"),
    ] {
        let mut kept = Kept::new();
        for name in ["n0", "n1", "n2"] {
            kept.create(name, "b");
        }
        let since = kept.now();
        for step in steps.split(", ") {
            let [who, name, new] = step.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{step}");
            };
            let (id, _) = kept.who_was(name, Then::At(kept.now())).expect("there");
            match (who, new) {
                (_, "-") => drop(kept.delete(&id)),
                ("a", _) => kept.change(&id, "userName", &json!(new), "a"),
                _ => kept.change(&id, "userName", &json!(new), "b"),
            }
        }
        let selection = all_since(since, Some("a"));
        for is_dry_run in [true, false] {
            let manner = Manner {
                is_forced: false,
                is_dry_run,
            };
            let page = kept.directory.undo(&selection, manner, None, &caller("c"));
            let undone = page.expect("done").undone;
            assert!(undone.is_sorted_by_key(|it| it.user.to_string()), "{steps}");
            let refused = undone.iter().filter(|it| it.outcome.is_err());
            let mut refused: Vec<_> = refused.map(|it| it.user_name.as_str()).collect();
            refused.sort_unstable();
            assert_eq!(refused.join(" "), wanted, "{steps}: {is_dry_run}");
        }
    }
}
