//! The output as a whole: a sound server has no failure, people and programs can read the findings,
//! and each finding in the code has a test.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Server;
use crate::support::place::{Finding, Place};

#[test]
fn a_sound_server_passes_with_every_request() {
    let place = Place::sound();
    let findings = place.check();
    for (topic, words) in [
        ("server", "runs version"),
        ("store", "sound: 0 users, 1 token"),
        ("tokens", "okta is valid; it was never used"),
        ("Okta app", "test credentials"),
        ("Okta agent", "read the configurations"),
        ("Entra", "test the connection"),
        ("Okta suite SPEC", "list groups"),
    ] {
        let passes = |finding: &Finding| {
            finding.outcome == "pass" && finding.topic == topic && finding.what.contains(words)
        };
        assert!(
            findings.iter().any(passes),
            "{topic} {words}: {findings:#?}"
        );
    }
    place.is_well();
    // No user was created, and no token is left but the one for Okta.
    assert_eq!(place.run("golinks-scim user list -o jsonl"), "");
    assert_eq!(
        place
            .run("golinks-scim token list -o jsonl")
            .lines()
            .count(),
        1
    );
}

#[test]
fn what_is_found_can_be_read_by_programs_and_by_people() {
    let server = Server::start();
    let table = server.cli(&["check"]);
    assert_eq!(table.status, Some(1), "{table:?}");
    assert!(
        table.stdout.contains("fail     tokens          no token"),
        "{}",
        table.stdout
    );
    let data_dir = server.data_dir();
    let fix = format!(
        "         fix: golinks-scim --data-dir {} token issue okta",
        data_dir.display()
    );
    assert!(table.stdout.contains(&fix), "{}", table.stdout);
    assert!(
        table.stderr.contains("begin with the first failure"),
        "{}",
        table.stderr
    );
    let lines = server.cli(&["check", "-o", "jsonl"]);
    for line in lines.stdout.lines() {
        let finding: Value = serde_json::from_str(line).expect("JSON");
        assert!(
            finding["check"].is_string() && finding["what"].is_string(),
            "{line}"
        );
        assert_eq!(
            finding["outcome"] == "fail" || finding["outcome"] == "warn",
            finding["fix"].is_string(),
            "{line}"
        );
    }
}

/// The places in the code of `check` that report a fault, by module: words of the report, and the
/// test that provokes it. It is a unit test of the module where no test can have the real thing:
/// another version of this program, file systems of other machines, a clock before this program
/// existed, a token after a week.
const FOUND: &[(&str, &[(&str, &str)])] = &[
    (
        "machine",
        &[
            ("&problem.what", "a_configuration_that_cannot_be_used"),
            ("warning", "settings_that_are_odd"),
            ("tls::examine", "a_certificate_with_which_no_server_starts"),
            (
                "&warning, &fix",
                "a_certificate_with_which_no_server_starts",
            ),
            ("is a file", "a_data_directory_that_is_a_file"),
            ("{shown}: {error}", "a_data_directory_of_somebody_else"),
            (
                "server.fault(",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "{path} cannot be used by its owner",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "can be read by",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "has another owner",
                "files_that_others_can_read_or_that_are_anothers",
            ),
            (
                "when the clock was ahead",
                "a_clock_that_is_behind_what_was_written",
            ),
            (
                "before this program existed",
                "a_clock_behind_what_was_written_is_wrong",
            ),
            (
                "but a change was made at",
                "a_clock_that_is_behind_what_was_written",
            ),
            (
                "cannot be relied on",
                "file_systems_that_are_no_disks_are_warned_of",
            ),
            ("everything is lost", "a_disk_that_is_full"),
            ("free < limits::DISK_FREE_BYTES_MIN", "a_disk_that_is_full"),
            (
                "free < store",
                "file_systems_that_are_no_disks_are_warned_of",
            ),
        ],
    ),
    (
        "server",
        &[
            ("&error.to_string(), &fix", "a_server_that_lost_its_socket"),
            ("&failure.what, &hint", "a_data_directory_with_a_long_name"),
            ("fn odd", "somebody_else_at_the_socket"),
            (
                "no server is running",
                "no_data_directory_no_server_no_token",
            ),
            (
                "this is {ours}",
                "a_server_of_another_version_is_to_be_restarted",
            ),
            ("fn silent", "a_server_that_hangs"),
            ("is strict", "tokens_that_are_strict_alone"),
            ("{address}: {error}", "a_port_that_another_has"),
            ("\"descriptors\", &what", "too_few_descriptors"),
            ("\"readiness\"", "a_disk_that_is_full"),
            (
                "\"store\", &failure.what",
                "a_store_that_is_damaged_under_a_server",
            ),
            ("was ever issued", "no_data_directory_no_server_no_token"),
            (
                "was never used",
                "a_token_that_nobody_uses_is_told_of_after_a_week",
            ),
            (
                "has not been used since",
                "a_token_that_nobody_uses_is_told_of_after_a_week",
            ),
            ("&kind, &what", "very_many_deactivations"),
        ],
    ),
    (
        "network",
        &[
            (
                "no identity provider",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            (
                "no cloud\"",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            ("underscore", "a_base_url_that_leads_nowhere"),
            ("does not resolve: ", "a_base_url_that_leads_nowhere"),
            (
                "only from the machine itself",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            (
                "exists only in this network",
                "a_name_that_only_this_machine_or_network_finds",
            ),
            ("the server listens at", "a_base_url_that_leads_nowhere"),
        ],
    ),
    (
        "peer",
        &[
            ("does not speak TLS", "something_else_that_answers"),
            ("&error.to_string()", "somebody_who_is_silent"),
            ("clients refuse it", "a_certificate_that_no_client_accepts"),
            ("something else answers", "something_else_that_answers"),
            (
                "no cloud accepts it",
                "a_name_that_only_this_machine_or_network_finds",
            ),
        ],
    ),
    (
        "leftovers",
        &[
            ("an earlier run was interrupted", "leftovers_are_told_of"),
            ("but not made by one", "whoever_was_only_named_so_stays"),
        ],
    ),
    // `provider_requests` reports its other findings.
    (
        "suites",
        &[(
            "findings.fail(topic, &what, fix)",
            "a_proxy_that_knows_no_patch_and_no_delete",
        )],
    ),
    (
        "provider_requests",
        &[
            (
                "not provisioning",
                "a_first_user_as_oktas_suite_does_not_want_it",
            ),
            (
                "too many wrong tokens",
                "an_address_that_has_shown_too_many_wrong_tokens",
            ),
            (
                "\"SPEC 10\"",
                "nothing_is_forgiven_but_the_first_user_and_slow_groups",
            ),
            ("fix_of(step, ", "a_proxy_that_answers_by_itself"),
            (
                "does not arrive at this server",
                "a_proxy_that_lets_nothing_through",
            ),
        ],
    ),
];

#[test]
fn each_finding_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("there");
    let parts = fs::read_dir(root.join("tests/check")).expect("the tests");
    let parts = parts.map(|part| fs::read_to_string(part.expect("an entry").path()));
    let mut tests: String = parts.map(|text| text.expect("it is text")).collect();
    for (module, _) in FOUND {
        tests += &read(&format!("src/cli/check/{module}.rs"));
    }
    for (module, found) in FOUND {
        let source = read(&format!("src/cli/check/{module}.rs"));
        let code = source.split("#[cfg(test)]").next().expect("code");
        let sites = code.matches("findings.fail(").count() + code.matches("findings.warn(").count();
        assert_eq!(
            sites,
            found.len(),
            "{module}: findings on the left, in the table on the right"
        );
        for (words, test) in *found {
            assert!(
                code.contains(words),
                "{module} finds nothing with {words:?}"
            );
            assert!(
                tests.contains(&format!("fn {test}()")),
                "there is no test {test}"
            );
        }
    }
}
