//! Finds tokens that have expired without a successor. Their users have no access now, so the
//! administrator must be told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::token::{Token, TokenState};
use super::token_id::TokenId;
use super::tokens::Tokens;
use crate::clock::Instant;
use crate::limits;
use crate::locks::ignore_poison;

/// The ids of the tokens that [`super::Tokens::ended`] lists: at most one per name.
pub(super) fn expired_among<'a>(
    tokens: impl Iterator<Item = &'a Arc<Token>>,
    now: Instant,
) -> HashSet<TokenId> {
    let mut names: HashMap<&str, Vec<&Token>> = HashMap::new();
    for token in tokens {
        names.entry(&token.name).or_default().push(token);
    }
    let ended = names.values().filter_map(|same| expired_of(same, now));
    ended.map(|token| token.id.clone()).collect()
}

/// The last token of one name, if it has expired and no token of that name was revoked since. An
/// administrator who revokes one knows that it is not needed, or sees that none is left.
fn expired_of<'a>(same: &[&'a Token], now: Instant) -> Option<&'a Token> {
    if same.iter().any(|token| token.is_live(now)) {
        return None;
    }
    let is_expired = |token: &&&Token| token.state(now) == TokenState::Expired;
    let expired = same.iter().filter(is_expired);
    let last = *expired.max_by_key(|token| (token.expires, token.created, &token.id))?;
    let ends = last.expires?;
    // A revocation time in the future was recorded while the clock was ahead, so it may have
    // happened before or after the token's end.
    let is_taken_back = same
        .iter()
        .any(|token| (token.revoked).is_some_and(|revoked| ends <= revoked && revoked <= now));
    let is_told_of = |ends: Instant| ends.plus_days(limits::ENDED_TOKEN_TOLD_DAYS) > now;
    let is_told = is_told_of(ends);
    // A single-run token that was issued after a long-lived one expired soon stops counting as its
    // replacement.
    let is_of_use =
        |token: &Token| token.revoked.is_none() && token.expires.is_some_and(is_told_of);
    let mut of_use = same.iter().filter(|token| is_of_use(token));
    let is_lasting = of_use.any(|token| token.is_lasting());
    (!is_taken_back && is_told && is_lasting).then_some(last)
}

impl Token {
    /// Whether the token was meant to last, unlike a token for a single run.
    pub fn is_lasting(&self) -> bool {
        (self.days_of_life()).is_none_or(|days| days >= limits::TOLD_TOKEN_DAYS_MIN)
    }

    /// Its intended life in whole days; `None` if it does not end.
    pub fn days_of_life(&self) -> Option<i64> {
        let seconds = self.life_seconds()? + limits::TOKEN_ISSUE_SLACK_SECONDS;
        Some(self.created.days_until(self.created.plus_seconds(seconds)))
    }
}

impl Tokens {
    /// Forgets one dead token in memory if there are twice [`limits::TOKENS_MAX`] tokens. Dead
    /// tokens are kept so that the log can distinguish "revoked" from "unknown". The caller then
    /// removes it from the store; until that is done, nobody can revoke it, and a token whose
    /// revocation is not written yet is not forgotten: its audit row is written with it.
    pub(super) fn forget_dead(&self, now: Instant) -> Option<Arc<Token>> {
        let unconfirmed = self.unconfirmed();
        let mut by_digest = ignore_poison(self.by_digest.write());
        let issued = by_digest.values().filter(|token| !token.is_temporary());
        let all: Vec<_> = issued.cloned().collect();
        if all.len() < 2 * limits::TOKENS_MAX {
            return None;
        }
        let least = least_needed(&all, now, |token| !unconfirmed.is_of_revocation(token))?;
        by_digest.remove(&least.digest)
    }
}

/// The dead token to forget first: the oldest. Tokens that the administrator must still be told
/// about come last.
fn least_needed(
    tokens: &[Arc<Token>],
    now: Instant,
    may_go: impl Fn(&Token) -> bool,
) -> Option<&Arc<Token>> {
    let ended = expired_among(tokens.iter(), now);
    let dead = tokens
        .iter()
        .filter(|token| !token.is_live(now) && may_go(token));
    dead.min_by_key(|token| (ended.contains(&token.id), token.created))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access::{Issue, Scope};
    use crate::secret::sha256;
    use crate::store::{Change, Store};

    const HOUR: i64 = 60 * 60;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> Instant {
        Instant::from_millis(0).plus_seconds(seconds)
    }

    /// A token of one name. The times at which it is issued, ends and is revoked are in seconds.
    fn token(name: &str, created: i64, ends: Option<i64>, revoked: Option<i64>) -> Arc<Token> {
        let issue = Issue {
            expires: ends.map(at),
            ..Issue::new(name, Scope::Provision)
        };
        let token = Token::issued(issue, sha256(name.as_bytes()), at(created), |_| false);
        Arc::new(token.with(|token| token.revoked = revoked.map(at)))
    }

    #[test]
    fn what_has_ended_and_what_only_was_to_end() {
        let year = 365 * DAY;
        let of = |name, rows: &[(i64, Option<i64>, Option<i64>)]| {
            let rows = rows.iter();
            rows.map(|(created, ends, revoked)| token(name, *created, *ends, *revoked))
                .collect::<Vec<_>>()
        };
        for (what, now, rows, wanted) in [
            ("live", 9 * DAY, &[(0, Some(10 * DAY), None)][..], None),
            ("ended", 10 * DAY, &[(0, Some(10 * DAY), None)], Some(0)),
            ("long ago", 41 * DAY, &[(0, Some(10 * DAY), None)], None),
            (
                "its successor was taken back afterwards",
                12 * DAY,
                &[(0, Some(10 * DAY), None), (11 * DAY, None, Some(11 * DAY))],
                None,
            ),
            ("told no more", 40 * DAY, &[(0, Some(10 * DAY), None)], None),
            (
                "its successor was taken back when it ended, just now",
                10 * DAY,
                &[(0, Some(10 * DAY), None), (DAY, None, Some(10 * DAY))],
                None,
            ),
            (
                "the later of two with one end",
                12 * DAY,
                &[(5 * DAY, Some(9 * DAY), None), (0, Some(9 * DAY), None)],
                Some(0),
            ),
            (
                "taken back itself",
                12 * DAY,
                &[(0, Some(10 * DAY), Some(11 * DAY))],
                None,
            ),
            (
                "its successor was taken back under a clock that was ahead",
                12 * DAY,
                &[(0, Some(10 * DAY), None), (DAY, None, Some(400 * DAY))],
                Some(0),
            ),
            (
                "the last alone",
                12 * DAY,
                &[(0, Some(10 * DAY), None), (5 * DAY, Some(11 * DAY), None)],
                Some(1),
            ),
            (
                "a year, then an hour",
                year + 2 * HOUR,
                &[(0, Some(year), None), (year, Some(year + HOUR), None)],
                Some(1),
            ),
            (
                "an hour long after",
                year + 41 * DAY,
                &[
                    (0, Some(year), None),
                    (year + 40 * DAY, Some(year + 40 * DAY + HOUR), None),
                ],
                None,
            ),
            (
                "a year that was taken back, then an hour",
                3 * DAY,
                &[
                    (0, Some(year), Some(DAY)),
                    (2 * DAY, Some(2 * DAY + HOUR), None),
                ],
                None,
            ),
            ("a day", 2 * DAY, &[(0, Some(DAY - 1), None)], Some(0)),
            ("half a day", 2 * DAY, &[(0, Some(12 * HOUR), None)], None),
        ] {
            let tokens = of("okta", rows);
            let wanted: HashSet<_> = wanted
                .map(|at: usize| tokens[at].id.clone())
                .into_iter()
                .collect();
            assert_eq!(expired_among(tokens.iter(), at(now)), wanted, "{what}");
        }
    }

    #[test]
    fn a_life_that_a_rotation_has_cut_short_counts_whole() {
        for life in [Some(365 * DAY), None] {
            let old = token("okta", 0, life, None).with(|old| old.cut_short(at(4)));
            let revoked = token("okta", 0, life, Some(1));
            let wanted = HashSet::from([old.id.clone()]);
            let tokens = [Arc::new(old), revoked];
            assert_eq!(expired_among(tokens.iter(), at(DAY)), wanted, "{life:?}");
        }
    }

    #[test]
    fn what_somebody_is_to_hear_of_is_forgotten_last() {
        let now = at(20 * DAY);
        let mut tokens = vec![
            token("live", 0, None, None),
            token("ended", 1, Some(10 * DAY), None),
            token("revoked", 3, None, Some(4)),
            token("run", 2, Some(HOUR), None),
        ];
        for wanted in ["run", "revoked", "ended"] {
            let least = least_needed(&tokens, now, |_| true).expect("a dead one");
            assert_eq!(least.name, wanted);
            let id = least.id.clone();
            tokens.retain(|token| token.id != id);
        }
        assert!(least_needed(&tokens, now, |_| true).is_none());
    }

    /// A revocation is refused at once and written later, so an issue may come in between. The row
    /// of the revocation can only be written while the token is stored.
    #[test]
    fn a_token_is_not_forgotten_before_its_revocation_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store =
            Store::open(&path, Duration::ZERO, |_| Err("no users".into())).expect("a store");
        let mut change = Change::none();
        for number in 0..2 * limits::TOKENS_MAX {
            let is_live = number == 0;
            let at_number = i64::try_from(number).expect("small");
            let name = format!("t{number}");
            let token = token(&name, at_number, None, (!is_live).then_some(at_number));
            change = change.token(token.id.as_str(), token.encode());
        }
        store.commit(change).expect("written");
        let tokens = Tokens::load(Arc::new(store)).expect("loaded");
        let now = at(HOUR);
        let revoked = tokens.refuse("t0", now, |_| "{}".to_owned());
        assert_eq!(revoked.len(), 1);
        let issue = Issue::new("new", Scope::Read);
        tokens
            .add(issue, now, Change::none(), |_| "{}".to_owned())
            .expect("issued");
        tokens.settle().expect("written");
        let extent = tokens
            .store
            .snapshot()
            .expect("open")
            .audit_extent()
            .expect("read");
        assert_eq!(extent.rows, 2, "the issue and the revocation");
        let forgotten = tokens.find("t1", now);
        assert!(forgotten.is_empty(), "the oldest other one: {forgotten:?}");
    }
}
