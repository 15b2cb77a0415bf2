//! Warnings about tokens that end or have ended, and about successors that nobody uses; also under
//! a clock that was set back.

use golinks_scim::clock::{Clock, Instant};
use serde_json::{Value, json};

use super::{DAY, HOUR, Here, text};

#[test]
fn tokens_are_warned_of_from_sixty_days_on() {
    let here = Here::open();
    let ends = here.clock.start.plus_days(100);
    let wanted = json!({"name": "okta", "expires": ends.to_string()});
    here.json("POST", "/admin/tokens", &wanted);
    here.json("POST", "/admin/tokens", &json!({"name": "endless"}));
    for (left, is_warned, told) in [
        (100, false, ""),
        (61, false, ""),
        (60, true, "in 60 days"),
        (30, true, "in 30 days"),
        (1, true, "in 1 day"),
    ] {
        here.move_to((100 - left) * DAY);
        let wanted: &[String] = if is_warned {
            &[format!(
                "the token okta expires at {ends}, {told}; golinks-scim token rotate okta"
            )]
        } else {
            &[]
        };
        assert_eq!(here.warned("tokens"), wanted, "{left}");
    }
    // There is no warning about the old token, which was rotated, and the new one is valid for
    // another hundred days.
    here.move_to(95 * DAY);
    let overlap = json!({"overlapSeconds": 4 * DAY / 1000});
    here.json("POST", "/admin/tokens/okta/rotate", &overlap);
    assert_eq!(here.warned("tokens"), [""; 0]);
    here.move_to((95 + 40) * DAY);
    assert_eq!(here.warned("tokens").len(), 1);
    // A token with a short life does not cause a warning from its beginning.
    let week = here.clock.start.plus_days(95 + 40 + 7);
    let short = json!({"name": "short", "expires": week.to_string()});
    here.json("POST", "/admin/tokens", &short);
    assert_eq!(here.warned("tokens").len(), 1);
    // There is no warning about a revoked token.
    here.json("DELETE", "/admin/tokens/okta", &Value::Null);
    assert_eq!(here.warned("tokens"), [""; 0]);
}

/// If the server guessed, a mistake in a script would issue a token that never expires, or that has
/// more rights than intended.
#[test]
fn what_a_token_may_is_not_guessed() {
    let here = Here::open();
    for (member, value) in [
        ("expires", json!(5)),
        ("scope", json!(true)),
        ("mode", json!({})),
    ] {
        let wanted = json!({"name": "okta", member: value});
        let (status, told) = here.ask("POST", "/admin/tokens", &wanted);
        assert!(status == 400 && told.contains("must be a text"), "{told}");
    }
}

#[test]
fn a_new_token_that_was_never_typed_in_is_warned_of() {
    let here = Here::open();
    let issued = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    let old = text(&issued["token"]);
    assert_eq!(here.ask_with(old, "/scim/v2/Users"), 200);
    here.move_to(1000);
    let rotate = json!({"overlapSeconds": 7 * DAY / 1000});
    let rotated = here.json("POST", "/admin/tokens/okta/rotate", &rotate);
    let ends = text(&rotated["overlapEnds"]);
    let new = text(&rotated["token"]);
    here.move_to(4 * DAY + 2000);
    // Neither token has been used since the rotation.
    assert_eq!(here.warned("tokens"), [""; 0]);
    for (days, left) in [
        (1, None),
        (3, None),
        (4, Some("in 2 days")),
        (6, Some("in less than a day")),
    ] {
        here.move_to(days * DAY + 2000);
        assert_eq!(here.ask_with(old, "/scim/v2/Users"), 200);
        let wanted = left.map(|left| {
            format!(
                "the old token okta expires at {ends}, {left}, and is still used; the new one \
                 was never used; type the new one into the identity provider; if it is lost: \
                 golinks-scim token rotate okta"
            )
        });
        assert_eq!(here.warned("tokens"), wanted.as_slice(), "{days}");
    }
    // After its end, nothing else would say why the identity provider is refused.
    here.move_to(8 * DAY);
    assert_eq!(here.ask_with(old, "/scim/v2/Users"), 401);
    let warned = here.warned("tokens");
    let wanted =
        format!("the old token okta expired at {ends}, and was still used; the new one was");
    assert!(
        warned.len() == 1 && warned[0].starts_with(&wanted),
        "{warned:?}"
    );
    let logged = here.logs();
    assert!(
        logged.iter().any(|line| line.starts_with(&wanted)),
        "{logged:?}"
    );
    assert_eq!(here.ask_with(new, "/scim/v2/Users"), 200);
    assert_eq!(here.warned("tokens"), [""; 0]);
}

/// Neither an alert nor the finding of `check` ends because the token in question has ended.
#[test]
fn a_token_that_has_ended_is_told_of_until_there_is_another() {
    let here = Here::open();
    let ends = here.clock.start.plus_days(10);
    let issue = |name: &str, more: &Value| {
        let mut wanted = json!({"name": name});
        let members = more.as_object().expect("an object").clone();
        wanted.as_object_mut().expect("an object").extend(members);
        here.json("POST", "/admin/tokens", &wanted)
    };
    issue("other", &json!({}));
    let narrow = json!({
        "expires": ends.to_string(), "scope": "full", "mode": "strict", "rateLimit": 9,
        "allowFrom": ["10.0.0.0/8"],
    });
    let old = issue("okta", &narrow);
    let series = |token: &Value, metric: &str| {
        let id = text(&token["id"]);
        here.metric(&format!("{metric}{{token=\"{id}\",name=\"okta\"}}"))
    };
    here.move_to(10 * DAY - 1);
    assert_eq!(series(&old, "token_days_left").as_deref(), Some("0"));
    here.move_to(12 * DAY);
    let wanted = format!(
        "the token okta expired at {ends}, and no token of that name is valid; golinks-scim token issue \
         okta --scope full --mode strict --expires 10d --rate-limit 9 --allow-from 10.0.0.0/8; if nobody needs \
         it: golinks-scim token revoke okta"
    );
    assert_eq!(here.warned("tokens"), [wanted]);
    let logged = here.logs();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].starts_with("the token okta expired at "));
    assert_eq!(here.logs(), [""; 0]);
    assert_eq!(series(&old, "token_days_left").as_deref(), Some("-2"));
    let idle = (12 * DAY / 1000).to_string();
    assert_eq!(series(&old, "token_idle_seconds"), Some(idle));

    // Another token of the same name replaces it, even if that one is revoked.
    let new = issue("okta", &json!({"expires": ends.plus_days(9).to_string()}));
    assert_eq!(here.warned("tokens"), [""; 0]);
    assert_eq!(series(&old, "token_idle_seconds"), None);
    assert_eq!(series(&new, "token_days_left").as_deref(), Some("7"));
    let revoke = || here.json("DELETE", "/admin/tokens/okta", &Value::Null);
    assert_eq!(revoke()["revoked"].as_array().map(Vec::len), Some(1));
    assert_eq!(here.warned("tokens"), [""; 0]);
    assert_eq!(
        here.ask("DELETE", "/admin/tokens/okta", &Value::Null).0,
        404
    );

    // Of tokens that ended one after the other, only the last is reported, until somebody revokes
    // it.
    let third = issue("okta", &json!({"expires": ends.plus_days(20).to_string()}));
    here.move_to(31 * DAY);
    assert_eq!(here.warned("tokens").len(), 1);
    assert_eq!(series(&third, "token_days_left").as_deref(), Some("-1"));
    assert_eq!(series(&old, "token_days_left"), None);
    assert_eq!(revoke()["revoked"], json!([third["id"]]));
    assert_eq!(here.warned("tokens"), [""; 0]);
    assert_eq!(series(&third, "token_days_left"), None);
}

/// Each new token has the whole life of the first, not what a rotation has left of it.
#[test]
fn after_a_clock_was_set_right_a_rotation_makes_no_token_of_hours() {
    let here = Here::open();
    here.move_to(9 * HOUR);
    let ends = here.clock.now().plus_days(20).to_string();
    let issue = json!({"name": "fast", "expires": ends});
    here.json("POST", "/admin/tokens", &issue);
    here.move_to(0);
    for _ in 0..3 {
        let rotate = json!({"overlapSeconds": 3600});
        let new = here.json("POST", "/admin/tokens/fast/rotate", &rotate);
        let [created, ends] = [&new["created"], &new["expires"]]
            .map(|time| Instant::parse(text(time)).expect("a time"));
        assert!(created <= here.clock.now(), "{new}");
        // The first token ends nine hours too late, because the clock was ahead.
        let at_least = created.plus_days(20).seconds();
        assert!(
            (at_least..=at_least + 10 * 3600).contains(&ends.seconds()),
            "{new}"
        );
    }
}

/// There is a warning about a token that was cut short by its rotation if its successor was
/// revoked: before its end, the next rotation can still replace it; afterwards, the printed command
/// issues a token with the whole life of the first.
#[test]
fn a_token_whose_successor_was_taken_back_is_told_of_with_its_whole_life() {
    for (life, wanted) in [
        (Some(365), ""),
        (Some(20), " --expires 20d"),
        (None, " --expires never"),
    ] {
        let here = Here::open();
        let ends = life.map(|days| here.clock.start.plus_days(days).to_string());
        here.json(
            "POST",
            "/admin/tokens",
            &json!({"name": "rot", "expires": ends}),
        );
        here.move_to(HOUR);
        let rotate = json!({"overlapSeconds": 4});
        let new = here.json("POST", "/admin/tokens/rot/rotate", &rotate);
        let target = format!("/admin/tokens/{}", text(&new["id"]));
        here.move_to(HOUR + 1000);
        here.json("DELETE", &target, &Value::Null);
        let warned = here.warned("tokens");
        let fix = "in less than a day; golinks-scim token rotate rot";
        assert!(warned.len() == 1 && warned[0].ends_with(fix), "{warned:?}");
        here.move_to(HOUR + 4000);
        let warned = here.warned("tokens");
        let fix = format!("name is valid; golinks-scim token issue rot{wanted}; if nobody");
        assert!(
            warned.len() == 1 && warned[0].contains(&fix),
            "{fix}: {warned:?}"
        );
    }
}

/// An example is a token for one run of a job, where the next run has a token with another name.
#[test]
fn a_token_that_was_meant_to_end_is_not_told_of_nor_one_for_ever() {
    let here = Here::open();
    let issue = |name: &str, millis: i64| {
        let ends = Instant::from_millis(here.clock.now().millis() + millis).to_string();
        here.json(
            "POST",
            "/admin/tokens",
            &json!({"name": name, "expires": ends}),
        )
    };
    let run = issue("run", 12 * HOUR);
    // Somewhat less than a day, as the command computes it.
    issue("day", DAY - 500);
    here.move_to(2 * DAY);
    let told = here.warned("tokens");
    let words = "golinks-scim token issue day --expires 1d; if nobody";
    assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    let series = format!(
        "token_days_left{{token=\"{}\",name=\"run\"}}",
        text(&run["id"])
    );
    assert_eq!(here.metric(&series), None);
    here.move_to(31 * DAY - 1000);
    assert_eq!(here.warned("tokens").len(), 1);
    here.move_to(31 * DAY);
    assert_eq!(here.warned("tokens"), [""; 0]);
}

#[test]
fn a_token_for_a_single_run_is_no_model_for_the_next_lasting_one() {
    let here = Here::open();
    let issue = |millis: i64| {
        let ends = Instant::from_millis(here.clock.now().millis() + millis).to_string();
        let wanted = json!({"name": "okta", "expires": ends});
        here.json("POST", "/admin/tokens", &wanted);
    };
    issue(20 * DAY);
    here.move_to(21 * DAY);
    issue(12 * HOUR);
    here.move_to(22 * DAY);
    let told = here.warned("tokens");
    let words = "golinks-scim token issue okta --expires 20d; if nobody";
    assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
}

/// The revoked token may have been issued by mistake, or with too many rights. It is the newest
/// only because of a clock that was ahead.
#[test]
fn a_token_that_was_taken_back_is_no_model_for_the_next() {
    let here = Here::open();
    here.move_to(100 * DAY);
    let mistake = json!({"name": "okta", "scope": "full", "rateLimit": 9});
    here.json("POST", "/admin/tokens", &mistake);
    here.json("DELETE", "/admin/tokens/okta", &Value::Null);
    here.move_to(0);
    let ends = here.clock.start.plus_days(10).to_string();
    let old = json!({"name": "okta", "expires": ends});
    here.json("POST", "/admin/tokens", &old);
    here.move_to(11 * DAY);
    let told = here.warned("tokens");
    let words = "golinks-scim token issue okta --expires 10d; if nobody";
    assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
}

#[test]
fn many_tokens_that_have_ended_are_told_of_in_one_line() {
    let here = Here::open();
    let ends = |minutes: i64| {
        let millis = here.clock.start.millis() + 2 * DAY + minutes * 60 * 1000;
        Instant::from_millis(millis).to_string()
    };
    for number in 1..=12 {
        let wanted = json!({"name": format!("t{number}"), "expires": ends(number)});
        here.json("POST", "/admin/tokens", &wanted);
    }
    let after = |minutes: i64| here.move_to(2 * DAY + minutes * 60 * 1000);
    after(10);
    assert_eq!(
        here.warned("tokens")
            .iter()
            .filter(|it| it.contains("expired"))
            .count(),
        10
    );
    for (number, names) in [
        (11, "t11, t10, t9 and 8 more"),
        (12, "t12, t11, t10 and 9 more"),
    ] {
        after(number);
        let words = format!(
            "{number} tokens have expired, and no others of their names are valid: {names}"
        );
        let of_ended = |all: Vec<String>| -> Vec<String> {
            all.into_iter()
                .filter(|it| it.contains("expired"))
                .collect()
        };
        for told in [of_ended(here.warned("tokens")), of_ended(here.logs())] {
            assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
            let as_they_were = "--allow-from as they were (golinks-scim token show NAME)";
            assert!(told[0].contains(as_they_were), "{told:?}");
        }
        assert_eq!(of_ended(here.logs()), [""; 0]);
    }
    // After one is replaced, the others are not logged again.
    here.json("POST", "/admin/tokens", &json!({"name": "t12"}));
    let told = here.warned("tokens");
    let words = "11 tokens have expired";
    assert!(told.iter().any(|it| it.starts_with(words)), "{told:?}");
    assert!(!here.logs().iter().any(|it| it.starts_with(words)));
}

#[test]
fn a_clock_that_was_set_back_makes_no_token_speak_in_the_future() {
    let here = Here::open();
    let issued = here.json("POST", "/admin/tokens", &json!({"name": "okta"}));
    let idle = format!(
        "token_idle_seconds{{token=\"{}\",name=\"okta\"}}",
        text(&issued["id"])
    );
    here.move_to(90 * 1000);
    assert_eq!(here.metric(&idle).as_deref(), Some("90"));
    here.move_to(-DAY);
    assert_eq!(here.metric(&idle).as_deref(), Some("0"));
}
