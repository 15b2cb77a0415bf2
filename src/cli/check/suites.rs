//! Plays everything that one identity provider sends, suite by suite, through the HTTPS server. The
//! users are invented, and no others are changed. Users that remain are deleted through the local
//! socket, since a proxy in front of the HTTPS server may block deletions.

use super::provider_requests::{Trial, played, tell, topic};
use super::{Halt, Outcome, leftovers};
use crate::cli::output::counted;
use crate::idp::guard::Guard;
use crate::idp::player::StepReport;
use crate::idp::{Provider, Report, Suite, temporary_user};
use crate::secret::{self, Secret};

const TOPIC: &str = "users made";

/// Plays a provider's suites, and reports the users that they created and left behind.
pub(super) fn playing(provider: Provider, trial: &mut Trial<'_>) -> Result<(), Halt> {
    let (made, left) = leftovers::around(TOPIC, trial, |trial| {
        let mut made = 0;
        for suite in provider.suites {
            let suite = trial.once(suite(&temporary_user::person(secret::random())));
            made += trial.with_token(provider.scope, |trial, token| whole(&suite, token, trial))?;
        }
        Ok(made)
    })?;
    trial.findings.pass(TOPIC, &users_made(made, &left))
}

/// `made` was counted from answers, which may have been altered on the way, so it can be too low.
fn users_made(made: usize, left: &[String]) -> String {
    match left {
        [] => format!("{made}, and none is left"),
        _ if made < left.len() => leftovers::deleted(left),
        _ => format!("{made}; {}", leftovers::deleted(left)),
    }
}

/// Plays a suite and reports the steps that fail, then a summary. Returns the number of users
/// created.
fn whole(suite: &Suite, token: &Secret, trial: &mut Trial<'_>) -> Result<usize, Halt> {
    let findings = &mut *trial.findings;
    let failed_before = findings.count(Outcome::Fail);
    let mut guard = Guard::before(trial.https);
    let mut tell_failed = |step: &StepReport| {
        if step.is_sent && !step.passed() {
            tell(suite.name, step, findings)?;
        }
        Ok(())
    };
    let report = played(suite, trial.client, &mut guard, token, &mut tell_failed)?;
    let topic = topic(suite.name);
    let unsent = report.steps.iter().filter(|step| !step.is_sent).count();
    if unsent > 0 {
        let requests = counted(unsent as u64, "request");
        findings.not_run(topic, &format!("{requests}, since an earlier one failed"))?;
    }
    let what = summary(&report);
    if unsent > 0 || findings.count(Outcome::Fail) > failed_before {
        let fix = "begin with its first failed request, which is reported above";
        findings.fail(topic, &what, fix)?;
    } else {
        findings.pass(topic, &what)?;
    }
    Ok(guard.made().len())
}

/// A summary such as `32 requests, 303 of 305 checks`.
fn summary(report: &Report) -> String {
    let requests = counted(report.steps.len() as u64, "request");
    let (passed, all) = report.counts();
    let checks = counted(all as u64, "check");
    if passed == all {
        format!("{requests}, {checks}")
    } else {
        format!("{requests}, {passed} of {checks}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idp::{PROVIDERS, Person};
    use crate::limits;

    /// Otherwise the last requests of a slow suite would fail because the token had expired.
    #[test]
    fn a_token_lives_as_long_as_any_suite_may_take() {
        let person = temporary_user::person([27; Person::RANDOM_BYTES]);
        let suites = PROVIDERS.iter().flat_map(|it| it.suites);
        let suites = suites.map(|suite| suite(&person));
        for suite in suites.chain([temporary_user::life(&person)]) {
            let seconds = limits::CHECKED_SERVER_SILENCE_MAX.as_secs() * suite.steps.len() as u64;
            let life = limits::TEMPORARY_TOKEN_SECONDS.cast_unsigned();
            assert!(seconds <= life, "{}: {seconds} s", suite.name);
        }
    }
}
