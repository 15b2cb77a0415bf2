//! The suites of the providers other than Okta, over TLS against the real binary. Their requests
//! and the expected answers are in `golinks_scim::idp`.

use golinks_scim::idp::authentik::authentik;
use golinks_scim::idp::jumpcloud::jumpcloud;
use golinks_scim::idp::onelogin::onelogin;
use golinks_scim::idp::sailpoint::sailpoint;
use golinks_scim::idp::{Suite, entra};
use golinks_scim::secret::Secret;

use crate::support::{Server, person};

/// Plays a suite against an empty directory, with a token of the scope that it needs.
fn check(suite: &Suite, scope: &str) {
    let server = Server::start();
    let output = server.cli(&["token", "issue", "provider", "--scope", scope]);
    assert_eq!(output.status, Some(0), "{output:?}\n{}", server.log());
    let token = Secret::new(output.stdout.trim().to_owned());
    let report = server.play(suite, &token);
    let all = suite.checks_count();
    assert_eq!(report.counts(), (all, all));
    server.stop();
}

#[test]
fn entra_validates_the_protocol() {
    check(&entra::entra_validator(&person()), "full");
}

#[test]
fn entra_walks_a_life_in_its_default_dialect() {
    check(&entra::entra_default(&person()), "full");
}

#[test]
fn entra_walks_a_life_with_the_flag_on_its_tenant_url() {
    check(&entra::entra_062020(&person()), "full");
}

#[test]
fn the_requests_of_microsofts_collection_are_understood() {
    check(&entra::entra_reference(&person()), "full");
}

#[test]
fn onelogin_walks_a_life() {
    check(&onelogin(&person()), "full");
}

#[test]
fn jumpcloud_tests_its_connection_and_walks_a_life() {
    check(&jumpcloud(&person()), "full");
}

#[test]
fn sailpoint_discovers_aggregates_and_modifies() {
    check(&sailpoint(&person()), "provision");
}

#[test]
fn authentik_creates_anew_whom_it_does_not_find() {
    check(&authentik(&person()), "full");
}
