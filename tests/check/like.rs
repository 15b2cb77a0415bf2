//! `check --write`, alone and with `--like PROVIDER`: it sends everything that a provider would
//! send to the HTTPS server of a directory in use. Existing users stay as they were, and no others
//! are left.

use std::fs;
use std::sync::atomic::Ordering;

use golinks_scim::http1::client::Request;
use golinks_scim::idp::client::Client;
use golinks_scim::local;
use serde_json::{Value, json};

use crate::support::front::{Front, counted};
use crate::support::place::{Finding, Place};

/// A sound server with users as a company has them: one complete, one with nothing but a userName,
/// one inactive.
fn in_use() -> Place {
    let place = Place::sound();
    let people = place.folder.path().join("people.csv");
    let rows = "userName,givenName,familyName,email,active\n\
                jane@example.com,Jane,Doe,jane@example.com,true\n\
                bare@example.com,,,,true\ngone@example.com,Gone,Away,,false\n";
    fs::write(&people, rows).expect("written");
    place.run(&format!("golinks-scim user import {}", people.display()));
    place
}

/// Everything that is known about all users, with their versions.
fn everybody(place: &Place) -> String {
    place.run("golinks-scim user list -o jsonl")
}

/// Sends requests, given as method, target and body, with a token. Returns the bodies of the
/// answers.
fn asked_with<'a>(
    place: &Place,
    token: &str,
    requests: impl IntoIterator<Item = (&'a str, &'a str, Option<String>)>,
) -> Vec<String> {
    let authority = fs::read(place.data_dir().join("tls/ca.pem")).expect("the CA");
    let base = format!("https://localhost:{}", place.port());
    let mut client = Client::new(&base, &authority).expect("a client");
    let answers = requests.into_iter().map(|(method, target, body)| {
        let request = Request {
            method,
            target,
            headers: &[
                ("Authorization", &format!("Bearer {token}")),
                ("Content-Type", "application/scim+json"),
            ],
            body: body.as_ref().map(String::as_bytes),
        };
        let (answer, _) = client.send(&request).expect("an answer");
        String::from_utf8(answer.body).expect("text")
    });
    answers.collect()
}

/// Sends one request with a token of this scope, and returns the body of the answer.
fn asked(place: &Place, scope: &str, what: (&str, &str), body: Option<&str>) -> String {
    let token = place.run(&format!("golinks-scim token issue asking --scope {scope}"));
    let request = (what.0, what.1, body.map(str::to_owned));
    let answer = asked_with(place, token.trim(), [request]).remove(0);
    place.run("golinks-scim token revoke asking");
    answer
}

/// Creates users with these names and this token.
fn create<'a>(place: &Place, token: &str, names: impl IntoIterator<Item = &'a str>) {
    let made = names.into_iter().map(|name| {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
            "active": true,
        });
        ("POST", "/scim/v2/Users", Some(user.to_string()))
    });
    for answer in asked_with(place, token, made) {
        assert!(answer.contains("\"id\":"), "{answer}");
    }
}

/// Creates users with these names as a run does that is then interrupted.
pub(super) fn leave<'a>(place: &Place, names: impl IntoIterator<Item = &'a str>) {
    let mut server = local::Client::connect(&place.data_dir(), "test").expect("it runs");
    let scope = br#"{"scope": "provision"}"#;
    let issued = server.request("POST", "/admin/passing-tokens", Some(scope));
    let issued: Value = serde_json::from_slice(&issued.expect("issued").body).expect("JSON");
    create(place, issued["token"].as_str().expect("text"), names);
}

/// The name of a user whom an interrupted run has left behind.
pub(super) const LEFT: &str = "left.golinks-scim-check@invalid";

/// The metric that counts the deactivations of the last hour.
fn deactivations(place: &Place) -> String {
    let text = asked(place, "metrics", ("GET", "/metrics"), None);
    let mut lines = text.lines();
    let gauge = lines.find_map(|it| it.strip_prefix("golinks_scim_deactivations_last_hour "));
    gauge.expect("the gauge").to_owned()
}

#[test]
fn a_user_is_created_changed_and_deleted_on_request_and_leftovers_go() {
    let place = Place::sound();
    leave(&place, [LEFT]);
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let told = place.run("golinks-scim check --write");
    for line in [
        "left.golinks-scim-check@invalid of an earlier run is deleted",
        "pass     life of a user  create",
        "pass     life of a user  deactivate",
        "pass     life of a user  reactivate",
        "pass     life of a user  see it gone",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let left = place.run("golinks-scim user list -o jsonl");
    assert_eq!(left.lines().count(), 1, "{left}");
    assert!(left.contains("jane@example.com"), "{left}");
}

#[test]
fn leftovers_are_told_of() {
    let place = Place::sound();
    leave(&place, [LEFT]);
    // Its creation is no longer among the newest rows about it.
    place.run(
        "for number in $(seq 26); do for status in deactivate reactivate; do \
         golinks-scim user $status left.golinks-scim-check@invalid; done; done",
    );
    let fix = place
        .finds("warn", "users made", "left.golinks-scim-check@invalid")
        .fix;
    place.run(&fix);
    let findings = place.check();
    let is_told = |it: &Finding| it.topic == "users made";
    assert!(!findings.iter().any(is_told), "{findings:#?}");
}

/// Each provider's suites by the names that `check` uses, how many users they create, and how many
/// of these they leave behind.
const PLAYED: [(&str, &[&str], usize, usize); 6] = [
    (
        "okta",
        &[
            "Okta, a user",
            "Okta app",
            "Okta catalogue",
            "Okta suite SPEC",
        ],
        4,
        4,
    ),
    (
        "entra",
        &[
            "Entra validator",
            "Entra, no flag",
            "Entra, flag",
            "Entra reference",
        ],
        10,
        0,
    ),
    ("onelogin", &["OneLogin"], 1, 0),
    ("jumpcloud", &["JumpCloud"], 2, 0),
    ("sailpoint", &["SailPoint"], 1, 1),
    ("authentik", &["authentik"], 2, 0),
];

#[test]
fn each_provider_is_served_and_nobody_stays() {
    let mut place = in_use();
    let before = everybody(&place);
    assert_eq!(before.lines().count(), 3, "{before}");
    for (provider, suites, made, left) in PLAYED {
        let findings = place.check_with(&format!("check --write --like {provider}"));
        let failed = findings.iter().filter(|it| it.outcome == "fail");
        assert_eq!(failed.count(), 0, "{provider}: {findings:#?}");
        // The whole suite is played and has one line.
        for suite in suites {
            let told: Vec<_> = findings.iter().filter(|it| it.topic == *suite).collect();
            let [whole] = told[..] else {
                panic!("{suite}: {findings:#?}");
            };
            let is_whole = whole.outcome == "pass" && whole.what.contains(" checks");
            assert!(is_whole, "{findings:#?}");
        }
        let all: Vec<_> = findings
            .iter()
            .filter(|it| it.topic == "users made")
            .collect();
        let [users] = all[..] else {
            panic!("{findings:#?}");
        };
        let names = users.what.matches(".golinks-scim-check@invalid").count();
        let (number, _) = users.what.split_once([',', ';']).expect("a number");
        assert_eq!(number, made.to_string(), "{users:?}");
        assert_eq!(names, left, "{provider}: {users:?}");
        assert_eq!(everybody(&place), before, "{provider}");
    }
    // Attributes that the server ignored in these runs say nothing about a provider's mapping.
    let findings = place.check();
    let ignored = findings.iter().find(|it| it.topic == "ignored");
    assert!(ignored.is_none(), "{ignored:?}");
    // No token of the check is left either.
    let tokens = place.run("golinks-scim token list -o jsonl");
    assert_eq!(tokens.lines().count(), 1, "{tokens}");
    // No deactivation is counted, even by a new process, which counts from the audit trail.
    assert_eq!(deactivations(&place), "0");
    place.serve();
    assert_eq!(deactivations(&place), "0");
}

/// Okta's suite needs a user, and a new directory has none.
#[test]
fn a_directory_may_be_empty_and_leftovers_go() {
    let place = Place::sound();
    // More than fit on one page.
    let leftovers = (0..150).map(|n| format!("manager.{n}.golinks-scim-check@invalid"));
    let leftovers: Vec<String> = leftovers.collect();
    leave(&place, leftovers.iter().map(String::as_str));
    let told = place.run("golinks-scim check --write --like okta");
    // Several runs within a minute do not send more wrong tokens than one address may.
    for _ in 0..4 {
        let again = place.check_with("check --write --like okta");
        let is_throttled = |it: &Finding| it.fix.contains("too many wrong tokens");
        assert!(!again.iter().any(is_throttled), "{again:#?}");
    }
    for line in [
        "pass     users made      manager.0.golinks-scim-check@invalid of an earlier run is deleted",
        "pass     users made      manager.149.golinks-scim-check@invalid of an earlier run is deleted",
        "pass     Okta suite SPEC 12 requests, 53 checks",
        "pass     users made      4; left over from the requests, now deleted: ",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(everybody(&place), "");
}

/// Any client that may write can give any user such a name. `check` then takes the user's access,
/// which counts as a deactivation, but does not delete the user.
#[test]
fn whoever_was_only_named_so_stays() {
    const NAMED_SO: &str = "-x.golinks-scim-check@invalid";
    let mut place = Place::sound();
    place.run("golinks-scim user add jane@example.com --given Jane --family Doe");
    let jane: Value = serde_json::from_str(&everybody(&place)).expect("JSON");
    leave(&place, [LEFT]);
    let jane = format!("/scim/v2/Users/{}", jane["id"].as_str().expect("text"));
    let change = |value: Value| {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": value}],
        });
        let target = ("PATCH", jane.as_str());
        let answer = asked(&place, "provision", target, Some(&body.to_string()));
        assert!(answer.contains(NAMED_SO), "{answer}");
    };
    change(json!({"userName": NAMED_SO}));
    assert_eq!(deactivations(&place), "1");
    change(json!({"active": false}));
    assert_eq!(deactivations(&place), "1");
    place.serve();
    assert_eq!(deactivations(&place), "1");
    let words = format!("but not made by one, so not deleted: {NAMED_SO}");
    let fix = place.finds("warn", "users made", &words).fix;
    let (_, history) = fix.split_once(": ").expect("a command");
    let told = place.run(history);
    assert!(told.contains("jane@example.com"), "{told}");
    // Users who were created under such a name are not deleted, either, whatever the token's name.
    let [again, other] = ["again", "other"].map(|it| format!("{it}.{NAMED_SO}"));
    place.run(&format!(
        "golinks-scim user add {again} --given A --family B"
    ));
    let token = place.run("golinks-scim token issue check");
    create(&place, token.trim(), [other.as_str()]);
    let refused = place.shell("golinks-scim token issue @check").output();
    assert_eq!(refused.expect("bash").status.code(), Some(1));
    let words = format!("{words}, {again}, {other}");
    let told = place.run("golinks-scim check --write");
    let gone = "left.golinks-scim-check@invalid of an earlier run is deleted";
    assert!(told.contains(gone) && told.contains(&words), "{told}");
    assert_eq!(everybody(&place).lines().count(), 3);
}

/// The server closes the connections of a forgotten token, so a request that the next suite sends
/// on one of them at that moment would be lost.
#[test]
fn each_suite_has_a_connection_of_its_own() {
    let mut place = Place::sound();
    let (url, count) = counted(&place.port());
    place.set("GOLINKS_SCIM_BASE_URL", url);
    place.serve();
    let connections = ["JumpCloud", "ENTRA"].map(|provider| {
        let findings = place.check_with(&format!("check --write --like {provider}"));
        let failed = findings.iter().filter(|it| it.outcome == "fail");
        assert_eq!(failed.count(), 0, "{provider}: {findings:#?}");
        count.swap(0, Ordering::Relaxed)
    });
    let [one_suite, four_suites] = connections;
    // About three more connections: the server may close others in between.
    assert!(four_suites > one_suite, "{connections:?}");
}

/// Okta's suite for its catalogue expects the first user to have names; provisioning does not need
/// them.
#[test]
fn a_first_user_as_oktas_suite_does_not_want_it() {
    let place = Place::sound();
    let people = place.folder.path().join("people.csv");
    fs::write(&people, "userName\njane@example.com\n").expect("written");
    place.run(&format!("golinks-scim user import {}", people.display()));
    let found = place.finds("warn", "Okta suite SPEC", "expected");
    assert!(found.fix.contains("not provisioning"), "{found:?}");
    place.is_well();
    // The suite still has its line with `--like okta`.
    let findings = place.check_with("check --write --like okta");
    let is_summed_up = |it: &Finding| {
        let is_spec = it.outcome == "pass" && it.topic == "Okta suite SPEC";
        is_spec && it.what.starts_with("12 requests, ") && it.what.ends_with(" of 53 checks")
    };
    assert!(findings.iter().any(is_summed_up), "{findings:#?}");
}

/// Each failed step is reported with what was found. The users that it leaves behind are deleted
/// through the local socket, which bypasses the proxy.
#[test]
fn a_proxy_that_knows_no_patch_and_no_delete() {
    let mut place = in_use();
    let url = format!("https://localhost:{}", place.port());
    let front = Front::before(&place.data_dir(), &url, |head| {
        let refused = "HTTP/1.1 405 -\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let is_known = head.starts_with("GET ") || head.starts_with("POST ");
        (!is_known).then(|| refused.to_owned())
    });
    place.set("GOLINKS_SCIM_BASE_URL", front.url());
    place.serve();
    let before = everybody(&place);
    let findings = place.check_with("check --write --like entra");
    for (topic, words) in [
        ("Entra validator", "add attributes: PATCH /Users/"),
        ("Entra, no flag", "soft delete: PATCH /Users/"),
        ("Entra, flag", "delete the manager: DELETE /Users/"),
    ] {
        let is_told = |it: &Finding| {
            it.outcome == "fail"
                && it.topic == topic
                && it.what.starts_with(words)
                && it.what.ends_with(", found 405")
                && it.fix.contains("forward /scim/v2 to it unchanged")
        };
        assert!(
            findings.iter().any(is_told),
            "{topic} {words}: {findings:#?}"
        );
    }
    let is_summed_up = |it: &Finding| {
        it.outcome == "fail" && it.topic == "Entra, flag" && it.what.contains(" checks")
    };
    let summed_up = findings.iter().find(|it| is_summed_up(it));
    let summed_up = summed_up.expect("a line for the suite");
    assert!(summed_up.what.contains(" of "), "{summed_up:?}");
    let is_left = |it: &Finding| {
        let manager = "deleted: ";
        it.topic == "users made" && it.what.contains(manager) && it.what.contains("manager.")
    };
    assert!(findings.iter().any(is_left), "{findings:#?}");
    assert_eq!(everybody(&place), before);
}

/// Sends everything that Okta sends through the proxy of `proxy::a_proxy_that_drops_the_query`.
#[test]
fn a_proxy_that_drops_the_query_endangers_nobody() {
    let mut place = in_use();
    let before = everybody(&place);
    let url = format!("https://localhost:{}", place.port());
    let without_query = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    let front = Front::changing(&place.data_dir(), &url, |_| None, without_query);
    place.set("GOLINKS_SCIM_BASE_URL", front.url());
    place.serve();
    let findings = place.check_with("check --write --like okta");
    for (outcome, words) in [
        ("fail", "look for the name: GET"),
        ("fail", "nothing was sent: it is not a user"),
        ("not run", " since an earlier one failed"),
    ] {
        let is_told = |it: &Finding| {
            it.outcome == outcome && it.topic == "Okta app" && it.what.contains(words)
        };
        assert!(findings.iter().any(is_told), "{words}: {findings:#?}");
    }
    place.set_base_url("localhost");
    place.serve();
    let after = everybody(&place);
    let url = front.url();
    assert_eq!(after.replace(&url, ""), before.replace(&url, ""));
}

#[test]
fn what_is_like_a_provider_writes() {
    let place = Place::new();
    let output = place.shell("golinks-scim check --like entra").output();
    let output = output.expect("bash");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--write"), "{told}");
}
