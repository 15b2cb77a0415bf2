//! Where memory and store may differ, and how they come to agree again. They may differ after a
//! change of tokens that was not confirmed ([`WriteError::Unknown`]), and after revocations that
//! are in effect but not known to be on disk.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::expired_tokens::expired_among;
use super::token::Token;
use super::token_id::TokenId;
use super::tokens::{Tokens, read};
use crate::clock::Instant;
use crate::locks::ignore_poison;
use crate::secret::Digest;
use crate::store::{Change, ReadError, View, WriteError};
use crate::turns::Turn;

/// Where memory and store may differ.
#[derive(Default)]
pub(super) struct Unconfirmed {
    /// Whether a token may have been issued, rotated or changed without the caller knowing.
    pub(super) is_of_change: bool,
    /// Revocations that are not known to be on disk.
    revocations: BTreeMap<TokenId, Revocation>,
}

impl Unconfirmed {
    /// Whether the revocation of `token` is not known to be on disk.
    pub(super) fn is_of_revocation(&self, token: &Token) -> bool {
        self.revocations.contains_key(&token.id)
    }
}

/// A revocation that must still be written.
#[derive(Clone)]
struct Revocation {
    name: String,
    revoked: Option<Instant>,
    /// The audit row that is committed with it.
    audit: String,
}

impl Tokens {
    /// Makes memory follow the store if a change was not confirmed and the store can now tell its
    /// outcome, and writes the missing revocations. Called periodically and before tokens are
    /// listed. Waits like a write. An error means that the store cannot tell yet. If another call
    /// is changing tokens, the work is left to a later call, so that listing tokens does not wait
    /// for another's write.
    pub fn settle(&self) -> Result<(), WriteError> {
        match self.changing.take(Duration::ZERO) {
            Some(turn) => self.settle_in(&turn),
            None => Ok(()),
        }
    }

    /// Does the work of [`Self::settle`] in one write, for a caller that has the turn.
    pub(super) fn settle_in(&self, _: &Turn<'_>) -> Result<(), WriteError> {
        let (revocations, is_of_change) = {
            let unconfirmed = self.unconfirmed();
            (unconfirmed.revocations.clone(), unconfirmed.is_of_change)
        };
        if revocations.is_empty() && !is_of_change {
            return Ok(());
        }
        // The writer keeps the order: once this write is done, every earlier one has been made and
        // published, or never will be.
        let noted = revocations.clone();
        let written = self.store.write_anyway(move |view| missing(&noted, view));
        // Nothing of what the caller wants has begun, so the caller's own outcome is not unknown.
        written.map_err(|error| match error {
            WriteError::Unknown => WriteError::Unavailable,
            error => error,
        })?;
        // Further revocations may have been added in the meantime.
        self.unconfirmed()
            .revocations
            .retain(|id, _| !revocations.contains_key(id));
        // Only the holder of the turn issues tokens, so this is unchanged.
        if is_of_change {
            let stored = read(&self.store).map_err(|error| {
                log::error!("the tokens cannot be read again: {error}");
                WriteError::Unavailable
            })?;
            self.follow(stored);
            self.unconfirmed().is_of_change = false;
        }
        Ok(())
    }

    /// Refuses from now on the live tokens with this name or id, and the one that has ended without
    /// a successor. Returns all of those whose revocation must still be written.
    pub(super) fn refuse(
        &self,
        name_or_id: &str,
        now: Instant,
        audit: impl Fn(&Token) -> String,
    ) -> Vec<Arc<Token>> {
        let mut unconfirmed = self.unconfirmed();
        let mut by_digest = ignore_poison(self.by_digest.write());
        let ended = expired_among(by_digest.values(), now);
        let mut refused = Vec::new();
        for token in by_digest.values_mut().filter(|token| !token.is_temporary) {
            if !token.is_called(name_or_id) {
                continue;
            }
            if token.is_live(now) || ended.contains(&token.id) {
                *token = Arc::new(token.with(|token| token.revoked = Some(now)));
                let revocation = Revocation {
                    name: token.name.clone(),
                    revoked: token.revoked,
                    audit: audit(token),
                };
                unconfirmed.revocations.insert(token.id.clone(), revocation);
            }
            if unconfirmed.is_of_revocation(token) {
                refused.push(Arc::clone(token));
            }
        }
        refused
    }

    /// The id and name of each refused token whose revocation is not known to be on disk.
    pub fn unconfirmed_revocations(&self) -> Vec<(TokenId, String)> {
        let unconfirmed = self.unconfirmed();
        let revocations = unconfirmed.revocations.iter();
        revocations
            .map(|(id, revocation)| (id.clone(), revocation.name.clone()))
            .collect()
    }

    /// Replaces the tokens in memory with the stored ones, but keeps the last uses recorded in
    /// memory.
    fn follow(&self, stored: BTreeMap<Digest, Token>) {
        let mut by_digest = ignore_poison(self.by_digest.write());
        let known = std::mem::take(&mut *by_digest);
        for (digest, mut token) in stored {
            let known = known.get(&digest);
            if let Some(known) = known {
                token.last_use = Arc::clone(&known.last_use);
                // A refused token stays refused, even if its revocation is not written yet.
                token.revoked = token.revoked.or(known.revoked);
            }
            // An unchanged token keeps its rate limiter.
            let same = known.filter(|known| known.encode() == token.encode());
            let token = same.map_or_else(|| Arc::new(token), Arc::clone);
            by_digest.insert(digest, token);
        }
        by_digest.extend(known.into_iter().filter(|(_, token)| token.is_temporary));
    }

    pub(super) fn unconfirmed(&self) -> MutexGuard<'_, Unconfirmed> {
        ignore_poison(self.unconfirmed.lock())
    }
}

/// The change that makes the missing revocations. The writer evaluates it as a plan: by then, every
/// earlier request has been carried out or never will be. So no revocation is made twice, or made
/// for a token that is not stored.
fn missing(
    revocations: &BTreeMap<TokenId, Revocation>,
    view: &View<'_>,
) -> Result<Change, ReadError> {
    let mut change = Change::none();
    for (id, revocation) in revocations {
        let token = view
            .token(id.as_str())?
            .and_then(|row| Token::decode(&row, None));
        if let Some(token) = token.filter(|token| token.revoked.is_none()) {
            let token = token.with(|token| token.revoked = revocation.revoked);
            change = change
                .token(id.as_str(), token.encode())
                .audit(revocation.audit.clone());
        }
    }
    Ok(change)
}
