//! Everything that one identity provider sends, suite by suite, through the network door. Its
//! users are made up, it changes no others, and whom it leaves is deleted through the local door,
//! whatever stands before the other one.

use super::trial::{Passing, forgotten, left, played, tell, topic};
use super::{Findings, Halt, ask};
use crate::cli::args::Like;
use crate::cli::output::counted;
use crate::idp::client::Client as Door;
use crate::idp::guard::Guard;
use crate::idp::play::StepReport;
use crate::idp::{Provider, Suite, trial};
use crate::local::Client;
use crate::secret;

const TOPIC: &str = "users made";

/// Plays the suites of a provider. Whom an earlier run has left goes before, whom this one
/// leaves after it, also when it ends early.
pub(super) fn playing(
    like: Like,
    client: &mut Client,
    door: &mut Door,
    findings: &mut Findings,
) -> Result<(), Halt> {
    for name in delete_left(client)? {
        findings.pass(TOPIC, &format!("{name} of an earlier run is deleted"))?;
    }
    let mut made = 0;
    let mut outcome = Ok(());
    for suite in provider(like).suites() {
        let suite = suite(&trial::person(secret::random()));
        let scope = provider(like).scope();
        outcome = outcome.and_then(|()| {
            made += whole(&suite, scope, client, door, findings)?;
            Ok(())
        });
    }
    if matches!(outcome, Err(Halt::Silence(_))) {
        // It cannot be asked: the next run deletes them.
        return outcome;
    }
    let deleted = delete_left(client);
    outcome?;
    let what = match deleted? {
        names if names.is_empty() => format!("{made}, and none is left"),
        names => format!(
            "{made}; left by the requests, and deleted: {}",
            names.join(", ")
        ),
    };
    findings.pass(TOPIC, &what)
}

fn provider(like: Like) -> Provider {
    match like {
        Like::Okta => Provider::Okta,
        Like::Entra => Provider::Entra,
        Like::Onelogin => Provider::OneLogin,
        Like::Jumpcloud => Provider::JumpCloud,
        Like::Sailpoint => Provider::SailPoint,
        Like::Authentik => Provider::Authentik,
    }
}

/// Plays a suite and tells the steps that fail, or that none does. How many users were made.
fn whole(
    suite: &Suite,
    scope: &str,
    client: &mut Client,
    door: &mut Door,
    findings: &mut Findings,
) -> Result<usize, Halt> {
    let token = Passing::issue(client, scope)?;
    let mut guard = Guard::before(door);
    let mut tell_failed = |step: &StepReport| {
        if step.is_sent && !step.passed() {
            tell(suite.name, step, findings)?;
        }
        Ok(())
    };
    let report = played(suite, client, &mut guard, &token.text, &mut tell_failed);
    let made = guard.made().len();
    let outcome = report.and_then(|report| {
        let topic = topic(suite.name);
        let unsent = report.steps.iter().filter(|step| !step.is_sent).count();
        if report.passed() {
            let (_, checks) = report.counts();
            let [requests, checks] = [(report.steps.len(), "request"), (checks, "check")]
                .map(|(count, what)| counted(count as u64, what));
            findings.pass(topic, &format!("{requests}, {checks}"))
        } else if unsent > 0 {
            let requests = counted(unsent as u64, "request");
            findings.not_run(topic, &format!("{requests}, since an earlier one failed"))
        } else {
            Ok(())
        }
    });
    forgotten(token, client, outcome)?;
    Ok(made)
}

/// Deletes whom these suites and trials have left, and nobody else; the names.
fn delete_left(client: &mut Client) -> Result<Vec<String>, Halt> {
    let mut names = Vec::new();
    for (id, name) in left(client)? {
        ask(client, "DELETE", &format!("/scim/v2/Users/{id}"), None)?;
        names.push(name);
    }
    Ok(names)
}
