//! Everything that one identity provider sends, suite by suite, through the network door. Its
//! users are made up, it changes no others, and whom it leaves is deleted through the local door,
//! whatever stands before the other one.

use super::trial::{played, tell, topic, with_token};
use super::{Findings, Halt, leftovers};
use crate::cli::args::Like;
use crate::cli::output::counted;
use crate::idp::client::Client as Door;
use crate::idp::guard::Guard;
use crate::idp::play::StepReport;
use crate::idp::{Provider, Suite, trial};
use crate::local::Client;
use crate::secret::{self, Secret};

const TOPIC: &str = "users made";

/// Plays the suites of a provider, and tells whom they have left.
pub(super) fn playing(
    like: Like,
    client: &mut Client,
    door: &mut Door,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let (made, left) = leftovers::around(TOPIC, client, findings, |client, findings| {
        let mut made = 0;
        for suite in provider(like).suites() {
            let suite = suite(&trial::person(secret::random()));
            let scope = provider(like).scope();
            made += with_token(scope, client, door, |client, door, token| {
                whole(&suite, token, client, door, findings)
            })?;
        }
        Ok(made)
    })?;
    findings.pass(TOPIC, &users_made(made, &left))
}

/// How many were seen to be made is known from answers, which may have been changed on their way.
fn users_made(made: usize, left: &[String]) -> String {
    match left {
        [] => format!("{made}, and none is left"),
        _ if made < left.len() => leftovers::deleted(left),
        _ => format!("{made}; {}", leftovers::deleted(left)),
    }
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
    token: &Secret,
    client: &mut Client,
    door: &mut Door,
    findings: &mut Findings,
) -> Result<usize, Halt> {
    let mut guard = Guard::before(door);
    let mut tell_failed = |step: &StepReport| {
        if step.is_sent && !step.passed() {
            tell(suite.name, step, findings)?;
        }
        Ok(())
    };
    let report = played(suite, client, &mut guard, token, &mut tell_failed);
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
    outcome.map(|()| made)
}
