//! What a restore does to tokens: what was taken back is good again, and what was issued since is
//! unknown.

use std::collections::BTreeMap;

use super::issued::{Token, TokenState};
use crate::clock::Instant;
use crate::secret::Digest;
use crate::store::Outline;

/// Tokens that are good on one side of a restore alone.
#[derive(Debug, Default)]
pub struct Turned {
    /// Good now, and not before.
    pub revived: Vec<Token>,
    /// Good before, and not now.
    pub lost: Vec<Token>,
}

impl Turned {
    /// Those that `restored` has otherwise than the store that it replaces.
    pub fn by(restored: &Outline, replaced: &Outline, now: Instant) -> Self {
        let (mut revived, mut lost) = (live_in(restored, now), live_in(replaced, now));
        let both: Vec<Digest> = (revived.keys())
            .filter(|digest| lost.contains_key(*digest))
            .copied()
            .collect();
        for digest in both {
            revived.remove(&digest);
            lost.remove(&digest);
        }
        Self {
            revived: revived.into_values().collect(),
            lost: lost.into_values().collect(),
        }
    }
}

/// The tokens of a store that are good; a row that cannot be read is of none.
pub fn live_in(store: &Outline, now: Instant) -> BTreeMap<Digest, Token> {
    let tokens = (store.tokens.iter()).filter_map(|(_, row)| Token::decode(row, None));
    tokens
        .filter(|token| token.state(now) == TokenState::Live)
        .map(|token| (token.digest, token))
        .collect()
}
