//! What restoring a backup does to tokens. A revoked token becomes valid again, a rotated one gets
//! back the end it had before the rotation, a changed one may do again what it could before, and a
//! token issued since the backup becomes unknown.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::token::Token;
use crate::clock::Instant;
use crate::secret::Digest;
use crate::store::Summary;

/// The tokens that a restore affects.
#[derive(Debug)]
pub struct RestoreDiff {
    /// Tokens that become valid for longer than before; some were not valid at all.
    pub revived: Vec<Rc<Token>>,
    /// Tokens that are valid before and after, but with another scope, mode or rate, or from other
    /// networks. A token that also becomes valid for longer is in both lists.
    pub changed: Vec<Rc<Token>>,
    /// Tokens that were valid before but no longer are.
    pub lost: Vec<Token>,
}

impl RestoreDiff {
    /// Compares the tokens of `restored` with those of the store that it replaces.
    pub fn by(restored: &Summary, replaced: &Summary, now: Instant) -> Self {
        let mut lost = live_in(replaced, now);
        let (mut revived, mut changed) = (Vec::new(), Vec::new());
        for (digest, token) in live_in(restored, now) {
            match lost.remove(&digest) {
                Some(before) => {
                    let token = Rc::new(token);
                    if ends_later(&token, &before) {
                        revived.push(Rc::clone(&token));
                    }
                    if !token.has_terms_of(&before) {
                        changed.push(token);
                    }
                }
                None => revived.push(Rc::new(token)),
            }
        }
        Self {
            revived,
            changed,
            lost: lost.into_values().collect(),
        }
    }
}

fn ends_later(token: &Token, other: &Token) -> bool {
    other
        .expires
        .is_some_and(|end| token.expires.is_none_or(|expires| expires > end))
}

/// The live tokens of a store. A row that cannot be read counts as no token.
pub fn live_in(store: &Summary, now: Instant) -> BTreeMap<Digest, Token> {
    let tokens = (store.tokens.iter()).filter_map(|(_, row)| Token::decode(row, None));
    tokens
        .filter(|token| token.is_live(now))
        .map(|token| (token.digest, token))
        .collect()
}
