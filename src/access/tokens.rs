//! The issued tokens: in memory for every request, in the store for the next start. A new token is
//! committed first and accepted afterwards. A revoked token is refused first, without waiting for
//! other writes, and the revocation is committed afterwards. Both happen before the answer.
//!
//! A change that was not confirmed ([`WriteError::Unknown`]) may or may not be on disk. Until the
//! store can tell, memory allows for both outcomes and accepts no token that it should not: a token
//! that was being issued is listed and can be revoked, though nobody has its text; a token that was
//! being revoked is refused; one that was being ended lives on; one that was being changed stays as
//! it was. Then memory follows the store ([`Tokens::settle`]), with one exception: a token that was
//! refused stays refused, and the store follows. This holds only while the server runs: after a
//! restart, only the store is known.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant as Monotonic;

use super::error::{IssueError, LoadError, Rejection};
use super::expired_tokens::expired_among;
use super::scope::Scope;
use super::token::{Issue, Terms, Token};
use super::token_text::{self, TokenText};
use super::unconfirmed::Unconfirmed;
use crate::clock::Instant;
use crate::limits;
use crate::locks::ignore_poison;
use crate::secret::Digest;
use crate::store::{Change, Store, WriteError};
use crate::turns::{Turn, Turns};

/// The outcome of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The new token.
    pub token: Arc<Token>,
    /// The secret text of the new token.
    pub text: TokenText,
    /// The tokens that it replaces, each with its new end.
    pub old: Vec<Arc<Token>>,
}

/// All tokens.
pub struct Tokens {
    pub(super) store: Arc<Store>,
    pub(super) by_digest: RwLock<BTreeMap<Digest, Arc<Token>>>,
    /// Permits one change at a time, so that what a change has checked still holds when it is
    /// written.
    pub(super) changing: Turns,
    /// Locked before `by_digest`, and never held while waiting for the disk.
    pub(super) unconfirmed: Mutex<Unconfirmed>,
}

impl Tokens {
    /// Reads the tokens of `store`.
    pub fn load(store: Arc<Store>) -> Result<Self, LoadError> {
        let by_digest = read(&store)?;
        let shared = by_digest
            .into_iter()
            .map(|(digest, token)| (digest, Arc::new(token)));
        Ok(Self {
            by_digest: RwLock::new(shared.collect()),
            store,
            changing: Turns::new(1),
            unconfirmed: Mutex::default(),
        })
    }

    /// The live token with the text `candidate`. Every refusal takes the same steps: digest,
    /// look-up, then the reason.
    pub fn authenticate(
        &self,
        candidate: &str,
        peer: IpAddr,
        now: Instant,
    ) -> Result<Arc<Token>, Rejection> {
        let digest = token_text::digest_of(candidate);
        let token = ignore_poison(self.by_digest.read()).get(&digest).cloned();
        let token = token.ok_or_else(|| {
            if token_text::is_well_formed(candidate) {
                Rejection::Unknown
            } else {
                Rejection::Malformed
            }
        })?;
        token.good(now)?;
        if token.is_allowed_from(peer) {
            Ok(token)
        } else {
            Err(Rejection::Address)
        }
    }

    /// Checks that a token accepted earlier is still valid.
    pub fn check_again(&self, token: &Token, now: Instant) -> Result<(), Rejection> {
        let by_digest = ignore_poison(self.by_digest.read());
        match by_digest.get(&token.digest) {
            Some(known) => known.good(now),
            // It was temporary, or dead and already forgotten.
            None => token.good(now).and(Err(Rejection::Revoked)),
        }
    }

    /// Issues a token for the server's own requests, which lives for `seconds` and only in memory.
    /// Beyond [`limits::TEMPORARY_TOKENS_MAX`] the oldest is forgotten: runs that were interrupted
    /// leave some behind, and a later run should not have to wait for those to end.
    pub fn issue_temporary(
        &self,
        name: &str,
        scope: Scope,
        seconds: i64,
        now: Instant,
    ) -> (Arc<Token>, TokenText) {
        let text = TokenText::generate();
        let issue = Issue {
            expires: Some(now.plus_seconds(seconds)),
            // A rate of its own, since a low server limit must not make `check` fail.
            rate_limit: Some(limits::RATE_PER_SECOND_DEFAULT),
            ..Issue::new(name, scope)
        };
        let mut token = Token::issued(issue, text.digest(), now, |id| self.is_taken(id));
        token.is_temporary = true;
        let mut by_digest = ignore_poison(self.by_digest.write());
        by_digest.retain(|_, known| !known.is_temporary || known.is_live(now));
        let temporary = || by_digest.values().filter(|known| known.is_temporary);
        if temporary().count() >= limits::TEMPORARY_TOKENS_MAX {
            let oldest = temporary().min_by_key(|known| (known.created, &known.id));
            let oldest = oldest.map(|known| known.digest);
            by_digest.retain(|digest, _| Some(*digest) != oldest);
        }
        let token = Arc::new(token);
        by_digest.insert(token.digest, Arc::clone(&token));
        (token, text)
    }

    /// Forgets a temporary token before its end. Returns whether it was ever used; `false` if it
    /// was already forgotten.
    pub fn forget_temporary(&self, id: &str) -> bool {
        let mut by_digest = ignore_poison(self.by_digest.write());
        let was_used = by_digest.values().any(|known| {
            known.is_temporary && known.id.as_str() == id && known.last_used().is_some()
        });
        by_digest.retain(|_, known| !known.is_temporary || known.id.as_str() != id);
        was_used
    }

    /// All tokens except temporary ones: the live ones first, then the others, each group by name
    /// and age.
    pub fn list(&self, now: Instant) -> Vec<Arc<Token>> {
        let mut tokens = self.all();
        tokens.sort_by_cached_key(|it| {
            let is_dead = !it.is_live(now);
            (is_dead, it.name.clone(), it.created, it.id.clone())
        });
        tokens
    }

    /// Whether any live token was ever used.
    pub fn is_any_used(&self, now: Instant) -> bool {
        let live = self.live(now);
        live.iter().any(|token| token.last_used().is_some())
    }

    /// Tokens that have ended without a successor, so that their users have no access now. Each is
    /// the last token of its name and has expired within [`limits::ENDED_TOKEN_TOLD_DAYS`], and no
    /// token of that name is live or was revoked since. A token that was meant to be short-lived,
    /// for less than [`limits::TOLD_TOKEN_DAYS_MIN`], does not count.
    pub fn ended(&self, now: Instant) -> Vec<Arc<Token>> {
        let mut tokens = self.list(now);
        let ended = expired_among(tokens.iter(), now);
        tokens.retain(|token| ended.contains(&token.id));
        tokens
    }

    /// Whether any token, live or not, has this name or id.
    fn is_taken(&self, name_or_id: &str) -> bool {
        let tokens = ignore_poison(self.by_digest.read());
        tokens.values().any(|token| token.is_called(name_or_id))
    }

    /// The tokens with this name or id, live or not.
    pub fn find(&self, name_or_id: &str, now: Instant) -> Vec<Arc<Token>> {
        let mut found = self.list(now);
        found.retain(|token| token.is_called(name_or_id));
        found
    }

    /// Issues a token. `audit` creates the audit row that is committed with it.
    pub fn issue(
        &self,
        issue: Issue,
        now: Instant,
        audit: impl FnOnce(&Token) -> String,
    ) -> Result<(Arc<Token>, TokenText), IssueError> {
        if !is_name(&issue.name) {
            return Err(IssueError::BadName);
        }
        let _turn = self.begin()?;
        let live: Vec<_> = self.live(now);
        // Commands accept ids in place of names, so a name must not equal another token's id.
        if live.iter().any(|token| token.is_called(&issue.name)) {
            return Err(IssueError::NameTaken);
        }
        if live.len() >= limits::TOKENS_MAX {
            return Err(IssueError::TooMany);
        }
        self.add(issue, now, Change::none(), audit)
    }

    /// Issues a token like the newest live one with this name or id, on behalf of `by`. The old
    /// tokens of that name end after `overlap_seconds`, or at their own end if that is earlier.
    /// `audit` creates the audit row from the new token and the old ones, which already have their
    /// new end.
    pub fn rotate(
        &self,
        name_or_id: &str,
        overlap_seconds: i64,
        now: Instant,
        by: &str,
        audit: impl FnOnce(&Token, &[Token]) -> String,
    ) -> Result<Rotated, IssueError> {
        let _turn = self.begin()?;
        let live = self.live(now);
        let named = live
            .iter()
            .find(|token| token.is_called(name_or_id))
            .ok_or(IssueError::NotFound)?;
        let old = live
            .iter()
            .filter(|token| token.name == named.name)
            .max_by_key(|token| token.created)
            .unwrap_or(named);
        // If the clock was set back, the new token still ends no earlier than the old one would
        // have.
        let expires = old.life_seconds().map(|seconds| {
            let whole = now.plus_seconds(seconds);
            old.expires.map_or(whole, |ends| whole.max(ends))
        });
        let of_name = live.iter().filter(|token| token.name == old.name);
        if overlap_seconds > 0 && of_name.clone().count() >= limits::TOKENS_OF_NAME_MAX {
            return Err(IssueError::TooManyOfName);
        }
        let end = now.plus_seconds(overlap_seconds);
        let mut change = Change::none();
        let mut ended = Vec::new();
        for token in of_name {
            let token = token.with(|token| {
                token.cut_short(end);
                // If the clock was ahead when the old token was issued, the new one still counts as
                // the newest.
                token.created = token.created.min(now.plus_seconds(-1));
            });
            change = change.token(token.id.as_str(), token.encode());
            ended.push(token);
        }
        let issue = Issue {
            expires,
            issued_by: Some(by.to_owned()),
            ..old.issue()
        };
        let (token, text) = self.add(issue, now, change, |token| audit(token, &ended))?;
        let old = self.replace(ended);
        Ok(Rotated { token, text, old })
    }

    /// Changes the terms of the live tokens with this name or id. `audit` creates the row for each.
    pub fn change(
        &self,
        name_or_id: &str,
        terms: &Terms,
        now: Instant,
        audit: impl Fn(&Token) -> String,
    ) -> Result<Vec<Arc<Token>>, IssueError> {
        let _turn = self.begin()?;
        let live = self.live(now);
        let named = live.iter().filter(|token| token.is_called(name_or_id));
        let changed: Vec<Token> = named.map(|token| token.under(terms)).collect();
        if changed.is_empty() {
            return Err(IssueError::NotFound);
        }
        let mut change = Change::none();
        for token in &changed {
            change = change
                .token(token.id.as_str(), token.encode())
                .audit(audit(token));
        }
        self.store.commit(change).inspect_err(|error| {
            self.unconfirmed().is_of_change |= *error == WriteError::Unknown;
        })?;
        Ok(self.replace(changed))
    }

    /// Revokes all live tokens with this name, or the one with this id. This includes tokens that
    /// may or may not have been issued, and a token of [`Self::ended`], whose warning this ends.
    /// They are refused at once, before this function waits for anything, and stay refused even if
    /// writing fails.
    ///
    /// [`IssueError::NotKept`] means that the revocation was not confirmed; a later
    /// [`Self::settle`] writes it. [`IssueError::Underway`] means that a token of this name,
    /// unknown to this call, may soon be issued.
    pub fn revoke(
        &self,
        name_or_id: &str,
        now: Instant,
        audit: impl Fn(&Token) -> String,
    ) -> Result<Vec<Arc<Token>>, IssueError> {
        let mut revoked = self.refuse(name_or_id, now, &audit);
        let turn = self.changing.take(limits::TOKEN_CHANGE_WAIT_MAX);
        // The previous holder of the turn may have issued a token with this name.
        for token in self.refuse(name_or_id, now, &audit) {
            if revoked.iter().all(|known| known.id != token.id) {
                revoked.push(token);
            }
        }
        // The current holder of the turn may still issue a token with this name.
        let turn = turn.ok_or(IssueError::Underway)?;
        if revoked.is_empty() {
            return Err(IssueError::NotFound);
        }
        self.settle_in(&turn).map(|()| revoked).map_err(|error| {
            log::error!("a revocation was not confirmed: {error:?}");
            IssueError::NotKept
        })
    }

    /// Periodic work: settles, and stores the last uses; each runs even if the other fails.
    pub fn tend(&self) {
        if let Err(error) = self.settle() {
            log::warn!("it is not known yet whether a change of tokens was written: {error:?}");
        }
        if let Err(error) = self.flush_last_used() {
            log::warn!("the times when tokens were last used could not be written: {error:?}");
        }
    }

    /// Stores the last uses that are new since the last call.
    pub fn flush_last_used(&self) -> Result<(), WriteError> {
        let mut change = Change::none();
        let mut saved = Vec::new();
        for token in self.all() {
            if let Some(text) = token.last_use.take_unsaved() {
                change = change.seen(token.id.as_str(), text);
                saved.push(token);
            }
        }
        if saved.is_empty() {
            return Ok(());
        }
        let committed = self.store.commit_anyway(change);
        if committed.is_err() {
            for token in &saved {
                token.last_use.not_saved();
            }
        }
        committed
    }

    /// Takes the turn to change tokens, after memory and store agree. An error means that nothing
    /// was begun: no turn came in time, or the store could not tell the outcome of an earlier
    /// change.
    fn begin(&self) -> Result<Turn<'_>, WriteError> {
        let until = Monotonic::now() + limits::TOKEN_CHANGE_WAIT_MAX;
        let turn = self.changing.take(limits::TOKEN_CHANGE_WAIT_MAX);
        let turn = turn.ok_or(WriteError::Unavailable)?;
        self.settle_in(&turn)?;
        if Monotonic::now() > until {
            return Err(WriteError::Unavailable);
        }
        Ok(turn)
    }

    fn all(&self) -> Vec<Arc<Token>> {
        let tokens = ignore_poison(self.by_digest.read());
        let issued = tokens.values().filter(|token| !token.is_temporary);
        issued.cloned().collect()
    }

    fn live(&self, now: Instant) -> Vec<Arc<Token>> {
        let mut tokens = self.all();
        tokens.retain(|token| token.is_live(now));
        tokens
    }

    /// Commits a new token together with `change`, then accepts the token.
    pub(super) fn add(
        &self,
        issue: Issue,
        now: Instant,
        change: Change,
        audit: impl FnOnce(&Token) -> String,
    ) -> Result<(Arc<Token>, TokenText), IssueError> {
        let text = TokenText::generate();
        let token = Token::issued(issue, text.digest(), now, |id| self.is_taken(id));
        let mut change = change
            .token(token.id.as_str(), token.encode())
            .audit(audit(&token));
        let forgotten = self.forget_dead(now);
        if let Some(dead) = &forgotten {
            change = change.forget_token(dead.id.as_str());
        }
        if let Err(error) = self.store.commit(change) {
            if error == WriteError::Unknown {
                // The token may be on disk, so lists must show it.
                self.unconfirmed().is_of_change = true;
                self.replace(vec![token]);
            } else if let Some(dead) = forgotten {
                ignore_poison(self.by_digest.write()).insert(dead.digest, dead);
            }
            return Err(error.into());
        }
        let mut added = self.replace(vec![token]);
        Ok((added.remove(0), text))
    }

    fn replace(&self, tokens: Vec<Token>) -> Vec<Arc<Token>> {
        let mut by_digest = ignore_poison(self.by_digest.write());
        tokens
            .into_iter()
            .map(|mut token| {
                // It may have been revoked while its change was being written.
                let known = by_digest.get(&token.digest);
                token.revoked = token.revoked.or(known.and_then(|known| known.revoked));
                let token = Arc::new(token);
                by_digest.insert(token.digest, Arc::clone(&token));
                token
            })
            .collect()
    }
}

/// Reads the tokens from the store.
pub(super) fn read(store: &Store) -> Result<BTreeMap<Digest, Token>, LoadError> {
    let snapshot = store.snapshot().map_err(|_| LoadError::Unavailable)?;
    let seen: HashMap<String, String> = snapshot.tokens_seen()?.into_iter().collect();
    let mut by_digest = BTreeMap::new();
    for (id, row) in snapshot.tokens()? {
        let token = Token::decode(&row, seen.get(&id)).ok_or_else(|| LoadError::Undecodable(id))?;
        by_digest.insert(token.digest, token);
    }
    Ok(by_digest)
}

/// Whether `name` may be a token's name. It must not begin with `-`, or commands would take it for
/// an option.
fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=limits::TOKEN_NAME_CHARS_MAX).contains(&length)
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
