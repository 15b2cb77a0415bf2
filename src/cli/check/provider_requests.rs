//! Sends identity providers' requests through the HTTPS server: normally only those that read, and
//! if requested also those for the whole life of a user, who is deleted at the end.

use serde_json::{Value, json};

use super::network::Reached;
use super::{Findings, Halt, ask, leftovers};
use crate::cli::output::text_of;
use crate::http1::client::Request;
use crate::idp::check::ERROR_SCHEMA;
use crate::idp::client::Client as HttpsClient;
use crate::idp::guard::Guard;
use crate::idp::okta::is_of_first_user;
use crate::idp::player::StepReport;
use crate::idp::step::Credential;
use crate::idp::{Exchange, Person, Provider, Report, Suite, play, read_only, temporary_user};
use crate::local::Client;
use crate::secret::{self, Secret};

const LIFE: &str = "life of a user";

/// A token issued at the local socket, to be forgotten after use.
struct TemporaryToken {
    id: String,
    text: Secret,
}

impl TemporaryToken {
    fn issue(client: &mut Client, scope: &str) -> Result<Self, Halt> {
        let wanted = json!({"scope": scope});
        let issued = ask(client, "POST", "/admin/passing-tokens", Some(&wanted))?;
        Ok(Self {
            id: text_of(&issued, "id"),
            text: Secret::new(text_of(&issued, "token")),
        })
    }

    /// Asks the server to forget the token. Returns whether the server ever saw the token used.
    fn forget(self, client: &mut Client) -> Result<bool, Halt> {
        let target = format!("/admin/passing-tokens/{}", self.id);
        let told = ask(client, "DELETE", &target, None)?;
        Ok(told["used"] == true)
    }
}

/// What playing suites takes: the server's local socket, its HTTPS server, and a place for findings.
pub(super) struct Trial<'a> {
    pub(super) client: &'a mut Client,
    pub(super) https: &'a mut HttpsClient,
    pub(super) findings: &'a mut Findings,
    /// The requests without a valid token that have been sent. The server gives very few of them
    /// per minute the answer that suites expect, so each is sent only once.
    pub(super) sent_without_token: Vec<&'static str>,
}

impl Trial<'_> {
    /// Calls `play` with a token that is forgotten afterwards. A server that does not answer cannot
    /// be asked to forget it; the token then expires by itself after some minutes.
    pub(super) fn with_token<T>(
        &mut self,
        scope: &str,
        play: impl FnOnce(&mut Self, &Secret) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let token = TemporaryToken::issue(self.client, scope)?;
        let outcome = play(self, &token.text);
        // Disconnect now: the server closes a forgotten token's connections at a time of its own
        // choosing, and a request lost to that would be reported as a failure, wrongly.
        self.https.disconnect();
        if !matches!(outcome, Err(Halt::Timeout(_))) {
            token.forget(self.client)?;
        }
        outcome
    }

    /// Removes the requests without a valid token from a suite that have already been sent.
    pub(super) fn once(&mut self, mut suite: Suite) -> Suite {
        suite.steps.retain(|step| {
            let is_right = matches!(step.credential, Credential::Bearer | Credential::Bare);
            let is_new = is_right || !self.sent_without_token.contains(&step.name);
            if is_new && !is_right {
                self.sent_without_token.push(step.name);
            }
            is_new
        });
        suite
    }

    /// Plays the requests with which providers begin, except the suites of `like`, which is played
    /// as a whole.
    pub(super) fn reading(&mut self, has_users: bool, like: Option<Provider>) -> Result<(), Halt> {
        let person = Person::from_random(secret::random());
        let is_played = |name: &str| {
            let mut suites = like.map_or(&[][..], |it| it.suites).iter();
            suites.any(|suite| suite(&person).name == name)
        };
        self.with_token("read", |trial, token| {
            for reading in read_only::opening(&person, has_users) {
                if is_played(reading.suite.name) {
                    continue;
                }
                let suite = trial.once(reading.suite);
                told(&suite, trial.client, trial.https, token, trial.findings)?;
                if reading.left_out > 0 {
                    let what = format!(
                        "{} steps that write, or that need an existing user",
                        reading.left_out
                    );
                    trial.findings.not_run(topic(suite.name), &what)?;
                }
            }
            Ok(())
        })
    }

    /// Plays the whole life of a user, including its end.
    pub(super) fn writing(&mut self) -> Result<(), Halt> {
        let person = temporary_user::person(secret::random());
        let suite = self.once(temporary_user::life(&person));
        let ((), names) = leftovers::around(LIFE, self, |trial| {
            trial.with_token("full", |trial, token| trial.life(&suite, token))
        })?;
        if names.is_empty() {
            return Ok(());
        }
        self.findings.pass(LIFE, &leftovers::deleted(&names))
    }

    fn life(&mut self, suite: &Suite, token: &Secret) -> Result<(), Halt> {
        let mut guard = Guard::before(self.https);
        told(suite, self.client, &mut guard, token, self.findings)?;
        let Some(id) = guard.made().first() else {
            let what = "the deletion, since no answer gave the user's id";
            return self.findings.not_run(LIFE, what);
        };
        let end = temporary_user::end(id);
        told(&end, self.client, &mut guard, token, self.findings)
    }
}

/// Whether a request to the base URL arrives at this server. A certificate does not prove that,
/// since anybody may have one from a public authority. So the first token has almost no rights, and
/// others are sent only if this server has seen the first one.
pub(super) fn arrives(
    client: &mut Client,
    reached: &mut Reached,
    findings: &mut Findings,
) -> Result<bool, Halt> {
    let token = TemporaryToken::issue(client, "metrics")?;
    let authorization = format!("Bearer {}", token.text.reveal());
    let answer = reached.https.send(&Request {
        method: "GET",
        target: "/ServiceProviderConfig",
        headers: &[("Authorization", &authorization)],
        body: None,
    });
    let (id, status) = (token.id.clone(), answer.map(|(answer, _)| answer.status));
    reached.https.disconnect();
    if token.forget(client)? {
        return Ok(true);
    }
    let told = match status {
        Ok(status) => format!("the answer is {status}"),
        Err(error) => error.to_string(),
    };
    let what =
        format!("a request to the base URL does not arrive at this server: {told} (token {id})");
    let fix = format!(
        "make the proxy forward /scim/v2 to it unchanged; or {}",
        reached.lead
    );
    findings.fail("way", &what, &fix)?;
    Ok(false)
}

/// Plays a suite and reports each step.
fn told(
    suite: &Suite,
    client: &mut Client,
    exchange: &mut dyn Exchange,
    token: &Secret,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let mut observe = |step: &StepReport| tell(suite.name, step, findings);
    played(suite, client, exchange, token, &mut observe).map(drop)
}

/// Plays a suite and passes each step to `observe`, until that halts or the server is gone.
pub(super) fn played(
    suite: &Suite,
    client: &mut Client,
    exchange: &mut dyn Exchange,
    token: &Secret,
    observe: &mut dyn FnMut(&StepReport) -> Result<(), Halt>,
) -> Result<Report, Halt> {
    let mut outcome = Ok(());
    let mut watch = |step: &StepReport| {
        if outcome.is_err() {
            return;
        }
        if step.is_sent && step.status.is_none() {
            // If the server hangs or is gone, report that instead of the step.
            outcome = ask(client, "GET", "/admin/status", None).map(drop);
        }
        if outcome.is_ok() {
            outcome = observe(step);
        }
    };
    let report = play(suite, exchange, token, &mut watch);
    outcome?;
    Ok(report)
}

/// The name under which a suite is reported.
pub(super) fn topic(suite: &str) -> &str {
    match suite {
        "AIW" => "Okta app",
        "OIN" => "Okta catalogue",
        "AGENT" => "Okta agent",
        "SEED" => "Okta, a user",
        "SPEC" => "Okta suite SPEC",
        "ENTRA" => "Entra",
        "ENTRA VALIDATOR" => "Entra validator",
        "ENTRA DEFAULT" => "Entra, no flag",
        "ENTRA 062020" => "Entra, flag",
        "ENTRA REFERENCE" => "Entra reference",
        "ONELOGIN" => "OneLogin",
        "JUMPCLOUD" => "JumpCloud",
        "SAILPOINT" => "SailPoint",
        "AUTHENTIK" => "authentik",
        "LIFE" | "END" => LIFE,
        other => other,
    }
}

pub(super) fn tell(suite: &str, step: &StepReport, findings: &mut Findings) -> Result<(), Halt> {
    let topic = topic(suite);
    let what = step.name;
    if !step.is_sent {
        return findings.not_run(topic, what);
    }
    let Some(failed) = step.verdicts.iter().find(|verdict| !verdict.passed) else {
        return findings.pass(topic, what);
    };
    let what = format!(
        "{what}: {}: expected {}, found {}",
        step.request, failed.expected, failed.found
    );
    // A directory's users need not meet what Okta's own suite expects of the first one.
    if suite == "SPEC" && step.status == Some(200) && is_of_first_user(step) {
        let fix = "nothing to do: only Okta's suite for its catalogue needs this, not provisioning";
        return findings.warn(topic, &what, fix);
    }
    // This says nothing about the provider: another client with wrong tokens may share this
    // address.
    if step.status == Some(429) && failed.expected.contains("401") && detail_of(step).is_some() {
        let fix = "this address has sent too many wrong tokens within a minute: run check again \
                    in a minute";
        return findings.warn(topic, &what, fix);
    }
    let fix = fix_of(step, &failed.expected);
    // Okta asks for groups only if they are imported, and waits longer than its suite does.
    if step.source == "SPEC 10" && failed.expected.starts_with(IN_TIME) {
        return findings.warn(topic, &what, &fix);
    }
    findings.fail(topic, &what, &fix)
}

/// How the expectation of a timely answer begins.
const IN_TIME: &str = "answered in under";

/// What to do about a failed step: if possible the server's own advice, which ends with the
/// request's id. A refusal that was expected but came in another form has no such advice.
fn fix_of(step: &StepReport, expected: &str) -> String {
    let is_altered = step.status.is_some() && !expected.starts_with("status is ");
    match (step.status, detail_of(step)) {
        (Some(200..300), None) if expected.starts_with(IN_TIME) => {
            "find out what is slow: this machine, its disk, or a proxy in front of the server"
                .to_owned()
        }
        _ if is_altered => {
            "make sure that no proxy in front of this server alters requests or answers; if there \
             is none, check its log"
                .to_owned()
        }
        (_, Some(detail)) => detail,
        (Some(404), None) => {
            "something in front of this server answers: check the proxy's routes for /scim/v2"
                .to_owned()
        }
        (Some(_), None) => {
            "something in front of this server answers: forward /scim/v2 to it unchanged".to_owned()
        }
        (None, _) => "check the server's log, and any proxy in front of the server".to_owned(),
    }
}

/// The detail of a SCIM error; the errors of gateways have none.
fn detail_of(step: &StepReport) -> Option<String> {
    let answer: Value = serde_json::from_str(&step.answer).ok()?;
    let schemas = answer["schemas"].as_array()?;
    let detail = answer["detail"].as_str().map(str::to_owned);
    detail.filter(|_| schemas.iter().any(|schema| schema == ERROR_SCHEMA))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Outcome;
    use super::*;
    use crate::idp::check::Verdict;

    const SLOW: &str = "answered in under 600 ms";

    fn step(source: &'static str, request: &str, status: Option<u16>, answer: &str) -> StepReport {
        StepReport {
            name: "list",
            source,
            request: request.to_owned(),
            is_sent: true,
            sent: String::new(),
            status,
            answer: answer.to_owned(),
            elapsed: Duration::ZERO,
            verdicts: vec![Verdict {
                expected: "something".to_owned(),
                passed: false,
                found: "nothing".to_owned(),
            }],
        }
    }

    /// A proxy that answers a create with 200 causes a real fault, not one peculiar to Okta's
    /// suite.
    #[test]
    fn nothing_is_forgiven_but_the_first_user_and_slow_groups() {
        use Outcome::{Fail, Warn};
        const LIST: &str = "GET /Users?count=1&startIndex=1";
        const LACK: &str = "Resources[0].name.givenName is not empty";
        const USER: &str = "GET /Users/1";
        for (suite, source, request, expected, outcome) in [
            ("SPEC", "SPEC 1", LIST, LACK, Warn),
            ("SPEC", "SPEC 2", USER, "active is not empty", Warn),
            ("SPEC", "SPEC 2", USER, "id is not empty", Fail),
            ("SPEC", "SPEC 2", USER, "id is \"2\"", Fail),
            ("SPEC", "SPEC 6", "POST /Users", LACK, Fail),
            ("SEED", "SPEC 1", "GET /Users", LACK, Fail),
            ("SPEC", "SPEC 10", "GET /Groups", SLOW, Warn),
        ] {
            let mut findings = Findings::new(None);
            let mut step = step(source, request, Some(200), "{}");
            step.verdicts[0].expected = expected.to_owned();
            tell(suite, &step, &mut findings).expect("it is told");
            assert_eq!(findings.count(outcome), 1, "{suite} {request} {expected}");
        }
    }

    #[test]
    fn what_stands_before_the_server_is_told_from_the_server() {
        const STATUS: &str = "status is 200";
        const ALTERED: &str = "alters requests or answers";
        const OURS: &str = r#"{
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "detail": "issue another"
        }"#;
        let gateway = r#"{"detail": "Forbidden"}"#;
        for (status, answer, expected, words) in [
            (Some(403), OURS, STATUS, "issue another"),
            (Some(401), OURS, "media type is x", ALTERED),
            (Some(403), gateway, STATUS, "forward /scim/v2"),
            (
                Some(404),
                "<html>",
                STATUS,
                "the proxy's routes for /scim/v2",
            ),
            (Some(502), "", STATUS, "forward /scim/v2 to it unchanged"),
            (Some(200), "{}", "active is true", ALTERED),
            (Some(200), "{}", SLOW, "what is slow"),
            (None, "", STATUS, "check the server's log"),
        ] {
            let step = step("a test", "GET /Users", status, answer);
            let fix = fix_of(&step, expected);
            assert!(fix.contains(words), "{status:?}: {fix}");
        }
    }
}
