//! Warnings of coming failures: tokens and certificates near their end, very many deactivations,
//! tokens that have ended without a successor. The log gets each step of a warning once; `check`
//! gets all warnings whenever it asks.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use log::Level;
use serde_json::{Value, json};

use super::{Api, health};
use crate::access::{Mode, Scope, Token};
use crate::certificate::{Cell, NEW_AUTHORITY, Summary};
use crate::clock::Instant;
use crate::directory::AlarmState;
use crate::fix::Fix;
use crate::limits;
use crate::locks::ignore_poison;

/// Days before the end of a token at which a warning is logged.
const TOKEN_WARNING_DAYS: [i64; 5] = [1, 7, 14, 30, 60];
/// The subject of the warning about a certificate that is out of date.
pub(super) const CERTIFICATE: &str = "certificate";
/// Days before the end of a token that is still used although another has replaced it.
const REPLACED_TOKEN_WARNING_DAYS: [i64; 2] = [1, 3];
/// Days before the end of a certificate that is not renewed here.
const CERTIFICATE_WARNING_DAYS: [i64; 4] = [1, 7, 14, 30];
/// Days before the end of the private authority: by then each of its clients needs the next one.
const AUTHORITY_WARNING_DAYS: [i64; 6] = [1, 7, 14, 30, 90, 365];

/// How far a warning has come, from the furthest step to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The event has come, or the warning has only this step.
    Reached,
    /// The event comes within this many days.
    WithinDays(i64),
    /// The warning is not logged here, because it is not bad enough or is logged elsewhere.
    /// [`LoggedSteps`] keeps the step reached before, so that it is not logged a second time.
    Unlogged,
}

/// The steps that were reached, logged or not, by subject.
#[derive(Default)]
pub(super) struct LoggedSteps(Mutex<HashMap<String, Step>>);

/// One thing that somebody should know.
pub(super) struct Warning {
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) fix: Fix,
    /// The subjects, each with the step that it has reached. Each step is logged once.
    pub(super) steps: Vec<(String, Step)>,
}

impl Warning {
    pub(super) fn to_json(&self) -> Value {
        json!({"kind": self.kind, "what": self.what, "fix": self.fix.template()})
    }
}

impl Api {
    /// Logs the warnings that are new.
    pub fn warn(&self) {
        // The alarm writes to the log itself.
        let alarm = self.directory.look_at_alarm(self.tuned.get().alarm);
        let mut warnings = all(self, &alarm, self.clock.now());
        warnings.extend(health::unready(self));
        for warning in self.logged_steps.news(&warnings) {
            // A certificate out of date keeps every client out, and nothing else reports that.
            let is_out = warning.steps.iter().any(|(about, _)| about == CERTIFICATE);
            let level = if is_out { Level::Error } else { Level::Warn };
            log::log!(level, "{}; fix: {}", warning.what, warning.fix);
        }
    }
}

impl LoggedSteps {
    /// The steps that were logged at the start: a certificate that is out of date is logged when it
    /// is opened.
    pub(super) fn by_the_start(certificate: Option<&Cell>, now: Instant) -> Self {
        let told = Self::default();
        if certificate.is_some_and(|cell| cell.summary().out_of_date(now).is_some()) {
            let mut steps = ignore_poison(told.0.lock());
            steps.insert(CERTIFICATE.to_owned(), Step::Reached);
        }
        told
    }

    /// The warnings that have reached a step not logged yet.
    fn news<'a>(&self, warnings: &'a [Warning]) -> Vec<&'a Warning> {
        let mut told = ignore_poison(self.0.lock());
        let (mut still, mut news) = (HashMap::new(), Vec::new());
        for warning in warnings {
            let mut is_news = false;
            for (about, step) in &warning.steps {
                let before = told.get(about).copied().unwrap_or(Step::Unlogged);
                is_news |= *step < before;
                // When a clock is set back, the log does not repeat itself.
                still.insert(about.clone(), before.min(*step));
            }
            if is_news {
                news.push(warning);
            }
        }
        *told = still;
        news
    }
}

/// All warnings that hold now, with the alarm as it stands.
pub(super) fn all(api: &Api, alarm: &AlarmState, now: Instant) -> Vec<Warning> {
    let tokens = api.tokens.list(now);
    let mut live: HashMap<&str, Vec<&Token>> = HashMap::new();
    for token in tokens.iter().filter(|token| token.is_live(now)) {
        live.entry(&token.name).or_default().push(token);
    }
    let warning = |token: &Arc<Token>| {
        let same = live.get(token.name.as_str()).into_iter().flatten();
        let newer: Vec<&&Token> = same.filter(|it| it.created > token.created).collect();
        match newer.iter().map(|other| other.created).max() {
            None if token.is_live(now) => token_near_its_end(token, now),
            None => None,
            Some(_) if newer.iter().any(|other| other.last_used().is_some()) => None,
            Some(replaced) => replaced_token_still_used(token, replaced, now),
        }
    };
    let mut warnings: Vec<Warning> = tokens.iter().filter_map(warning).collect();
    warnings.extend(tokens_ended(&api.tokens.ended(now), &tokens));
    warnings.extend(certificate_near_its_end(api, now));
    warnings.extend(authority_near_its_end(api, now));
    warnings.extend(certificate_stays(api));
    warnings.extend(another_base_url(api));
    if let Some(since) = alarm.raised {
        warnings.push(Warning {
            kind: "deactivations",
            what: format!("{} (since {since})", alarm.words()),
            fix: alarm.fix(),
            steps: Vec::new(),
        });
    }
    warnings
}

fn token_near_its_end(token: &Token, now: Instant) -> Option<Warning> {
    let expires = token.expires?;
    let days = now.days_until(expires);
    // A token issued for a fortnight is not near its end from the start.
    let is_news = |step: &i64| token.days_of_life().is_none_or(|life| *step < life);
    let steps = TOKEN_WARNING_DAYS.into_iter().filter(is_news);
    Some(Warning {
        kind: "tokens",
        what: format!(
            "the token {} expires at {expires}, {}",
            token.name,
            now.words_until(expires)
        ),
        fix: Fix::of(format!("{{program}} token rotate {}", token.name)),
        steps: vec![(token.id.to_string(), step(days, steps)?)],
    })
}

/// Warns of tokens that have ended: clients that used them have been refused since then.
fn tokens_ended(ended: &[Arc<Token>], all: &[Arc<Token>]) -> Vec<Warning> {
    if ended.len() > limits::ENDED_TOKENS_TOLD_MAX {
        return vec![many_tokens_ended(ended)];
    }
    let warning = |token: &Arc<Token>| {
        // The newest token of the name is the model for the next. A lasting one comes first: a
        // token for a single run is not what is missing. One that was revoked may have been a
        // mistake.
        let same = all.iter().filter(|other| other.name == token.name);
        let newest = same.max_by_key(|other| {
            let is_kept = other.revoked.is_none();
            (is_kept, other.is_lasting(), other.created)
        });
        let newest = newest.unwrap_or(token);
        token_ended(token, newest)
    };
    ended.iter().filter_map(warning).collect()
}

fn token_ended(token: &Token, newest: &Token) -> Option<Warning> {
    let expires = token.expires?;
    let name = &token.name;
    Some(Warning {
        kind: "tokens",
        what: format!("the token {name} expired at {expires}, and no token of that name is valid"),
        fix: Fix::of(format!(
            "{{program}} token issue {name}{}; if nobody needs it: {{program}} token revoke {name}",
            options(newest)
        )),
        steps: vec![(token.id.to_string(), Step::Reached)],
    })
}

/// One warning for all of them; it is logged again when one more has ended.
fn many_tokens_ended(ended: &[Arc<Token>]) -> Warning {
    const NAMES_MAX: usize = 3;
    let mut latest_first: Vec<&Arc<Token>> = ended.iter().collect();
    latest_first.sort_by_key(|token| (Reverse(token.expires), &token.id));
    let names = latest_first.iter().take(NAMES_MAX);
    let names: Vec<&str> = names.map(|token| token.name.as_str()).collect();
    Warning {
        kind: "tokens",
        what: format!(
            "{} tokens have expired, and no others of their names are valid: {} and {} more",
            ended.len(),
            names.join(", "),
            ended.len() - names.len()
        ),
        fix: Fix::new(
            "{program} token list has them; for each: {program} token issue NAME, with --scope, \
             --mode, --expires, --rate-limit and --allow-from as they were ({program} token show \
             NAME); if nobody needs it: {program} token revoke NAME",
        ),
        steps: ended
            .iter()
            .map(|token| (token.id.to_string(), Step::Reached))
            .collect(),
    }
}

/// The options that make a new token like this one, without the defaults.
fn options(token: &Token) -> String {
    let (scope, mode) = (token.scope, token.mode);
    let scope = (scope != Scope::Provision).then(|| format!(" --scope {scope}"));
    let mode = (mode != Mode::Compatible).then(|| format!(" --mode {}", mode.as_str()));
    let expires = life(token).map(|life| format!(" --expires {life}"));
    let rate = token.rate_limit.map(|rate| format!(" --rate-limit {rate}"));
    let from = token.allow_from.iter();
    let from = from.map(|network| format!(" --allow-from {network}"));
    let options = [scope, mode, expires, rate].into_iter().flatten();
    options.chain(from).collect()
}

/// The length of the token's life, as it is typed; `None` for the default.
fn life(token: &Token) -> Option<String> {
    const SLACK_SECONDS: i64 = limits::TOKEN_ISSUE_SLACK_SECONDS;
    const UNITS: [(i64, char); 3] = [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm')];
    let Some(seconds) = token.life_seconds() else {
        return Some("never".to_owned());
    };
    let lives = UNITS
        .iter()
        .map(|(unit, letter)| (*unit, (seconds + unit / 2).div_euclid(*unit), letter));
    // In minutes, the length is always near enough.
    let mut near = lives.filter(|(unit, count, _)| (count * unit - seconds).abs() <= SLACK_SECONDS);
    let (unit, count, letter) = near.find(|(_, count, _)| *count > 0)?;
    (unit * count != limits::TOKEN_DAYS_DEFAULT * UNITS[0].0).then(|| format!("{count}{letter}"))
}

/// Warns if an old token is or was used and the new one never was: somebody may have forgotten to
/// type in the new one. In the first half of the overlap, that is normal.
fn replaced_token_still_used(token: &Token, replaced: Instant, now: Instant) -> Option<Warning> {
    let expires = token.expires.filter(|_| token.revoked.is_none())?;
    let is_used = token.last_used().is_some_and(|used| used.at > replaced);
    let is_early = now.seconds() - replaced.seconds() < expires.seconds() - now.seconds();
    if is_early || !is_used {
        return None;
    }
    let (name, days) = (&token.name, now.days_until(expires));
    let (use_of_it, step) = if token.is_live(now) {
        let left = now.words_until(expires);
        let use_of_it = format!("expires at {expires}, {left}, and is still used");
        (use_of_it, step(days, REPLACED_TOKEN_WARNING_DAYS)?)
    } else if -days <= limits::ENDED_TOKEN_TOLD_DAYS {
        (
            format!("expired at {expires}, and was still used"),
            Step::Reached,
        )
    } else {
        return None;
    };
    Some(Warning {
        kind: "tokens",
        what: format!("the old token {name} {use_of_it}; the new one was never used"),
        fix: Fix::of(format!(
            "type the new one into the identity provider; if it is lost: {{program}} token rotate \
             {name}"
        )),
        steps: vec![(token.id.to_string(), step)],
    })
}

/// Warns that the base URL has changed: clients that used a token before this start have the old
/// URL. A URL lost by mistake looks like one changed on purpose. The warning stays until the next
/// start. A request does not end it, since the client may have used the old URL, as long as that
/// leads here.
fn another_base_url(api: &Api) -> Option<Warning> {
    let before = api.base_url_before.as_ref()?;
    Some(Warning {
        kind: "base URL",
        what: format!("the base URL is {} now, and was {before}", api.base_url()),
        fix: Fix::of(format!(
            "give the new one to the identity providers that were given the old one, or set \
             base_url = \"{before}\" (or --base-url, if the server is started with it) and restart \
             the server"
        )),
        steps: vec![("base URL".to_owned(), Step::Reached)],
    })
}

/// Warns of the certificate's end or, if the certificate is our own leaf, of its authority's end:
/// the leaf is renewed as long as the authority is good, and the log says what hinders the renewal.
fn certificate_near_its_end(api: &Api, now: Instant) -> Option<Warning> {
    let cell = api.certificate.as_ref()?;
    let summary = cell.summary();
    // A certificate that has ended makes the server unready, and is reported there.
    if summary.out_of_date(now).is_some() {
        return None;
    }
    if let Some(authority) = summary.authority {
        let (ends, days) = (authority.not_after, now.days_until(authority.not_after));
        return Some(Warning {
            kind: "certificate",
            what: format!(
                "the private CA ends at {ends:.0}, {}",
                now.words_until(ends)
            ),
            fix: NEW_AUTHORITY,
            steps: vec![(authority.fingerprint, step(days, AUTHORITY_WARNING_DAYS)?)],
        });
    }
    let ends = summary.not_after;
    Some(Warning {
        kind: "certificate",
        what: format!(
            "the certificate ends at {ends:.0}, {}",
            now.words_until(ends)
        ),
        fix: cell.fix(now),
        steps: vec![(
            summary.fingerprint.clone(),
            step_of_chain(&summary, ends, now)?,
        )],
    })
}

/// Warns of the end of an authority in a customer's chain if it comes before the leaf's end. An
/// authority that has ended makes the server unready.
fn authority_near_its_end(api: &Api, now: Instant) -> Option<Warning> {
    let cell = api.certificate.as_ref()?;
    let summary = cell.summary();
    let ends = summary.authority_ends().filter(|ends| now < *ends)?;
    let when = now.words_until(ends);
    let key = format!("{} authority", summary.fingerprint);
    Some(Warning {
        kind: "certificate",
        what: format!("an authority in the certificate's chain ends at {ends:.0}, {when}"),
        fix: cell.fix(now),
        steps: vec![(key, step_of_chain(&summary, ends, now)?)],
    })
}

/// The step of a chain that is good until `ends`. A chain is usually renewed with a third of its
/// life left: until then there is nothing to warn of.
fn step_of_chain(summary: &Summary, ends: Instant, now: Instant) -> Option<Step> {
    // The certificate is still good in its last second.
    let life = summary
        .not_before
        .days_until(summary.not_after.plus_seconds(1));
    let steps = CERTIFICATE_WARNING_DAYS
        .into_iter()
        .filter(|step| 3 * step < life);
    step(now.days_until(ends), steps)
}

/// Warns that the certificate's files were refused when last read, or are gone. The log has that
/// already, so there are no steps.
fn certificate_stays(api: &Api) -> Option<Warning> {
    let cell = api.certificate.as_ref()?;
    let ((why, fix), ends) = (cell.hindrance()?, cell.summary().not_after);
    Some(Warning {
        kind: "certificate",
        what: format!("{why}; the certificate that ends at {ends:.0} stays in use"),
        fix,
        steps: Vec::new(),
    })
}

/// The narrowest of these steps, in ascending order, that `days` has reached.
fn step(days: i64, steps: impl IntoIterator<Item = i64>) -> Option<Step> {
    let reached = steps.into_iter().find(|step| days <= *step);
    reached.map(Step::WithinDays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_begins_on_its_day() {
        for (days, wanted) in [
            (61, None),
            (60, Some(60)),
            (31, Some(60)),
            (30, Some(30)),
            (8, Some(14)),
            (7, Some(7)),
            (1, Some(1)),
            (0, Some(1)),
        ] {
            assert_eq!(
                step(days, TOKEN_WARNING_DAYS),
                wanted.map(Step::WithinDays),
                "{days}"
            );
        }
    }

    #[test]
    fn the_log_is_told_of_each_step_once() {
        let told = LoggedSteps::default();
        let news = |days: i64| {
            let step = step(days, TOKEN_WARNING_DAYS);
            let warning = step.map(|step| Warning {
                kind: "tokens",
                what: String::new(),
                fix: Fix::new(""),
                steps: vec![("0a".to_owned(), step)],
            });
            told.news(warning.as_slice()).len()
        };
        let told_at: Vec<i64> = (-1..100).rev().filter(|days| news(*days) > 0).collect();
        assert_eq!(told_at, [60, 30, 14, 7, 1]);
        // The clock is set back and forward again.
        assert_eq!([news(40), news(20), news(1)], [0, 0, 0]);
    }

    #[test]
    fn what_eases_a_little_and_gets_worse_again_is_not_told_anew() {
        let told = LoggedSteps::default();
        let news = |step: Option<Step>| {
            let warning = step.map(|step| Warning {
                kind: "readiness",
                what: String::new(),
                fix: Fix::new(""),
                steps: vec![("disk".to_owned(), step)],
            });
            told.news(warning.as_slice()).len()
        };
        let steps = [Step::Unlogged, Step::Reached, Step::Unlogged, Step::Reached].map(Some);
        assert_eq!(steps.map(news), [0, 1, 0, 0]);
        assert_eq!([None, Some(Step::Reached)].map(news), [0, 1]);
    }
}
