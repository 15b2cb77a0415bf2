//! A token: what it may do, whether it is valid, and its row in the store. Its text is in
//! `token_text`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::Rejection;
use super::last_use::{LastUse, LastUseCell};
use super::rate::Limiter;
use super::scope::{Mode, Scope};
use super::token_id::TokenId;
use crate::clock::Instant;
use crate::secret::Digest;

const ROW_VERSION: u8 = 1;

/// One issued token, without its text.
#[derive(Debug)]
pub struct Token {
    /// Identifies the token in lists, logs and commands.
    pub id: TokenId,
    /// The name that the administrator gave it. A rotation creates another token with the same
    /// name.
    pub name: String,
    /// What the token may do.
    pub scope: Scope,
    /// How tolerant the server is of its requests.
    pub mode: Mode,
    /// When it was issued.
    pub created: Instant,
    /// When it ends, if it does.
    pub expires: Option<Instant>,
    /// The lifetime for which it was issued, if a rotation has cut it short.
    pub(super) whole_life: Option<Life>,
    /// When it was revoked, if it was.
    pub revoked: Option<Instant>,
    /// Requests per second; `None` means the server's own limit.
    pub rate_limit: Option<u32>,
    /// The networks from which it may be used; empty for all.
    pub allow_from: Vec<IpNet>,
    /// Who issued it, or rotated the token before it; unknown for a token of an earlier release.
    pub issued_by: Option<String>,
    /// Whether it is kept only in memory. Such a token lives for minutes and is not listed.
    pub(super) is_temporary: bool,
    pub(super) digest: Digest,
    /// Shared by the successive versions of this token, so that a request admitted before a change
    /// still records its use.
    pub(super) last_use: Arc<LastUseCell>,
    limiter: Limiter,
}

/// The intended lifetime of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    /// From issue to end; `None` if it does not end.
    seconds: Option<i64>,
}

/// Whether a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It is valid.
    Live,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

impl TokenState {
    /// The word that administrators see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// The properties of a token to be issued.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The name: letters, digits, `-`, `_`, `.`, at most [`crate::limits::TOKEN_NAME_CHARS_MAX`].
    pub name: String,
    /// What the token may do.
    pub scope: Scope,
    /// How tolerant the server is of its requests.
    pub mode: Mode,
    /// When it ends, if it does.
    pub expires: Option<Instant>,
    /// Requests per second; `None` means the server's own limit.
    pub rate_limit: Option<u32>,
    /// The networks from which it may be used; empty for all.
    pub allow_from: Vec<IpNet>,
    /// Who requests the token. The audit trail records this too, but a token may outlive its audit
    /// row.
    pub issued_by: Option<String>,
}

/// Changes to a live token; a property that is `None` stays as it is. The end cannot be changed: a
/// secret that is to live longer must be a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What the token may do.
    pub scope: Option<Scope>,
    /// How tolerant the server is of its requests.
    pub mode: Option<Mode>,
    /// Requests per second; `Some(None)` means the server's own limit.
    pub rate_limit: Option<Option<u32>>,
    /// The networks from which it may be used; empty for all.
    pub allow_from: Option<Vec<IpNet>>,
}

impl Issue {
    /// A token in compatible mode that does not end; it may be used from everywhere, at the
    /// server's rate.
    pub fn new(name: &str, scope: Scope) -> Self {
        Self {
            name: name.to_owned(),
            scope,
            mode: Mode::Compatible,
            expires: None,
            rate_limit: None,
            allow_from: Vec::new(),
            issued_by: None,
        }
    }
}

impl Token {
    /// Whether it is one of the server's own tokens, kept only in memory.
    pub fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    /// A token with a random id for which `is_taken` returns false.
    pub(crate) fn issued(
        issue: Issue,
        digest: Digest,
        now: Instant,
        is_taken: impl Fn(&str) -> bool,
    ) -> Self {
        let mut id = TokenId::random();
        while is_taken(id.as_str()) {
            id = TokenId::random();
        }
        Self::new(id, issue, digest, now, Arc::default())
    }

    /// A token that is not revoked, with a new rate limiter.
    fn new(
        id: TokenId,
        issue: Issue,
        digest: Digest,
        created: Instant,
        last_use: Arc<LastUseCell>,
    ) -> Self {
        Self {
            id,
            name: issue.name,
            scope: issue.scope,
            mode: issue.mode,
            created,
            expires: issue.expires,
            whole_life: None,
            revoked: None,
            rate_limit: issue.rate_limit,
            allow_from: issue.allow_from,
            issued_by: issue.issued_by,
            is_temporary: false,
            digest,
            last_use,
            limiter: Limiter::new(Monotonic::now()),
        }
    }

    /// The lifetime in seconds for which it was issued, even if a rotation has cut it short; `None`
    /// if it was not to end.
    pub fn life_seconds(&self) -> Option<i64> {
        match self.whole_life {
            Some(life) => life.seconds,
            None => Some(self.expires?.seconds() - self.created.seconds()),
        }
    }

    /// Makes it end at `end` or earlier, because another token replaces it.
    pub(super) fn cut_short(&mut self, end: Instant) {
        if self.expires.is_none_or(|expires| end < expires) {
            let seconds = self.life_seconds();
            self.whole_life = Some(Life { seconds });
            self.expires = Some(end);
        }
    }

    /// The state of the token at `now`.
    pub fn state(&self, now: Instant) -> TokenState {
        if self.revoked.is_some() {
            TokenState::Revoked
        } else if self.expires.is_some_and(|expires| expires <= now) {
            TokenState::Expired
        } else {
            TokenState::Live
        }
    }

    /// Whether its state at `now` is [`TokenState::Live`].
    pub fn is_live(&self, now: Instant) -> bool {
        self.state(now) == TokenState::Live
    }

    /// Checks that the token is valid at `now`. The error says why it is refused.
    pub(super) fn good(&self, now: Instant) -> Result<(), Rejection> {
        match self.state(now) {
            TokenState::Live => Ok(()),
            TokenState::Expired => Err(Rejection::Expired),
            TokenState::Revoked => Err(Rejection::Revoked),
        }
    }

    /// Whether the token has this name or id.
    pub(super) fn is_called(&self, name_or_id: &str) -> bool {
        self.name == name_or_id || self.id.as_str() == name_or_id
    }

    /// Whether it may be used from this address. An IPv4 address that a dual-stack listener reports
    /// as IPv6 counts as IPv4.
    pub fn is_allowed_from(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.allow_from.is_empty()
            || self
                .allow_from
                .iter()
                .any(|network| network.contains(&peer))
    }

    /// Its last use, if it was ever used.
    pub fn last_used(&self) -> Option<LastUse> {
        self.last_use.last()
    }

    /// Records a use with its address and User-Agent. Only in memory, since a read must not cost a
    /// sync.
    pub fn remember_use(&self, now: Instant, peer: IpAddr, user_agent: Option<&[u8]>) {
        self.last_use.remember(now, peer, user_agent);
    }

    /// Counts one request against the token's own rate, or else the server's; `None` means
    /// unlimited. The error is the number of seconds after which to try again.
    pub fn admit(&self, server_rate: Option<u32>, now: Monotonic) -> Result<(), u32> {
        match self.rate_limit.or(server_rate) {
            Some(rate) => self.limiter.admit(rate, now),
            None => Ok(()),
        }
    }

    /// Counts the further requests that an admitted request contains. The error is the number of
    /// seconds after which to try again.
    pub fn charge(
        &self,
        server_rate: Option<u32>,
        requests: usize,
        now: Monotonic,
    ) -> Result<(), u32> {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        match self.rate_limit.or(server_rate) {
            Some(rate) => self.limiter.charge(rate, requests, now),
            None => Ok(()),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![ROW_VERSION];
        serde_json::to_writer(&mut row, &self.stored()).expect("texts and numbers are always JSON");
        row
    }

    fn stored(&self) -> Stored {
        Stored {
            id: self.id.clone(),
            name: self.name.clone(),
            scope: self.scope.as_str().to_owned(),
            mode: self.mode.as_str().to_owned(),
            created: self.created.millis(),
            expires: self.expires.map(Instant::millis),
            whole_life: self.whole_life,
            revoked: self.revoked.map(Instant::millis),
            rate_limit: self.rate_limit,
            allow_from: self.allow_from.iter().map(ToString::to_string).collect(),
            issued_by: self.issued_by.clone(),
            digest: self.digest,
        }
    }

    /// The same token with other terms.
    pub(super) fn under(&self, terms: &Terms) -> Self {
        self.with(|token| {
            token.scope = terms.scope.unwrap_or(token.scope);
            token.mode = terms.mode.unwrap_or(token.mode);
            token.rate_limit = terms.rate_limit.unwrap_or(token.rate_limit);
            if let Some(networks) = &terms.allow_from {
                token.allow_from.clone_from(networks);
            }
        })
    }

    /// Whether both tokens have the same rights while they are valid.
    pub(super) fn has_terms_of(&self, other: &Self) -> bool {
        let terms = |it: &Self| (it.scope, it.mode, it.rate_limit);
        terms(self) == terms(other) && self.allow_from == other.allow_from
    }

    /// The properties with which to issue another token like this one.
    pub(super) fn issue(&self) -> Issue {
        Issue {
            name: self.name.clone(),
            scope: self.scope,
            mode: self.mode,
            expires: self.expires,
            rate_limit: self.rate_limit,
            allow_from: self.allow_from.clone(),
            issued_by: self.issued_by.clone(),
        }
    }

    /// The same token after `change`. It keeps its record of the last use and gets a new rate
    /// limiter.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let (id, last_use) = (self.id.clone(), Arc::clone(&self.last_use));
        let mut token = Self {
            whole_life: self.whole_life,
            revoked: self.revoked,
            is_temporary: self.is_temporary,
            ..Self::new(id, self.issue(), self.digest, self.created, last_use)
        };
        change(&mut token);
        token
    }

    pub(super) fn decode(row: &[u8], last_use: Option<&String>) -> Option<Self> {
        let (&ROW_VERSION, text) = row.split_first()? else {
            return None;
        };
        let stored: Stored = serde_json::from_slice(text).ok()?;
        stored.into_token(
            last_use.map_or_else(LastUseCell::default, |text| LastUseCell::from_text(text)),
        )
    }
}

/// The row of a token, after its version byte.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: TokenId,
    name: String,
    scope: String,
    mode: String,
    created: i64,
    expires: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole_life: Option<Life>,
    revoked: Option<i64>,
    rate_limit: Option<u32>,
    #[serde(default)]
    allow_from: Vec<String>,
    #[serde(default)]
    issued_by: Option<String>,
    digest: Digest,
}

impl Stored {
    fn into_token(self, last_use: LastUseCell) -> Option<Token> {
        let issue = Issue {
            name: self.name,
            scope: self.scope.parse().ok()?,
            mode: self.mode.parse().ok()?,
            expires: self.expires.map(Instant::from_millis),
            rate_limit: self.rate_limit,
            // A network that cannot be parsed must not open the token to everybody.
            allow_from: self
                .allow_from
                .iter()
                .map(|network| network.parse().ok())
                .collect::<Option<_>>()?,
            issued_by: self.issued_by,
        };
        let created = Instant::from_millis(self.created);
        Some(Token {
            whole_life: self.whole_life,
            revoked: self.revoked.map(Instant::from_millis),
            ..Token::new(self.id, issue, self.digest, created, Arc::new(last_use))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{limits, secret};

    fn okta() -> Issue {
        Issue::new("okta", Scope::Read)
    }

    fn issued(issue: Issue) -> Token {
        let epoch = Instant::from_millis(0);
        Token::issued(issue, secret::sha256(b"x"), epoch, |_| false)
    }

    /// A row of a release that did not record who issued a token is still valid.
    #[test]
    fn who_issued_a_token_is_kept_where_it_was_written() {
        let token = issued(Issue {
            issued_by: Some("administrator:jane".to_owned()),
            ..okta()
        });
        let row = token.with(|token| token.expires = None).encode();
        let read = |row: &[u8]| Token::decode(row, None).expect("a token").issued_by;
        assert_eq!(read(&row), token.issued_by);
        let text = String::from_utf8(row).expect("text");
        let old = text.replace("\"issued_by\":\"administrator:jane\",", "");
        assert_ne!(old, text);
        assert_eq!(read(old.as_bytes()), None);
    }

    #[test]
    fn a_network_that_cannot_be_read_opens_the_token_to_nobody() {
        let token = issued(okta());
        let text = String::from_utf8(token.encode()).expect("text");
        let foreign = text.replace("\"allow_from\":[]", "\"allow_from\":[\"?\"]");
        assert_ne!(foreign, text);
        assert!(Token::decode(text.as_bytes(), None).is_some());
        assert!(Token::decode(foreign.as_bytes(), None).is_none());
    }

    #[test]
    fn a_change_of_a_token_keeps_the_rest() {
        let now = Instant::from_millis(0);
        let mut token = issued(okta());
        token.cut_short(now);
        token.revoked = Some(now);
        token.is_temporary = true;
        let changed = token.under(&Terms {
            scope: Some(Scope::Full),
            ..Terms::default()
        });
        assert_eq!(changed.scope, Scope::Full);
        assert_eq!(changed.life_seconds(), None, "it was to last");
        assert!(changed.revoked.is_some() && changed.is_temporary);
    }

    #[test]
    fn a_rate_of_its_own_goes_before_that_of_the_server() {
        let now = Monotonic::now();
        let token = issued(Issue {
            rate_limit: Some(1),
            ..okta()
        });
        let admitted = (0..100).filter(|_| token.admit(Some(10), now).is_ok());
        assert_eq!(admitted.count(), limits::RATE_BURST_SECONDS as usize);
        // A charge that leaves a debt: ten seconds later it is paid at the server's rate only.
        assert_eq!(token.charge(Some(10), 50, now), Ok(()));
        let later = now + Duration::from_secs(10);
        assert!(token.charge(Some(10), 1, later).is_err());
    }

    /// A restore says which tokens have other rights than before.
    #[test]
    fn each_term_counts() {
        let token = issued(okta());
        assert!(token.has_terms_of(&token.under(&Terms::default())));
        let network = "192.0.2.0/24".parse().expect("a network");
        for terms in [
            Terms {
                scope: Some(Scope::Full),
                ..Terms::default()
            },
            Terms {
                mode: Some(Mode::Strict),
                ..Terms::default()
            },
            Terms {
                rate_limit: Some(Some(1)),
                ..Terms::default()
            },
            Terms {
                allow_from: Some(vec![network]),
                ..Terms::default()
            },
        ] {
            assert!(!token.has_terms_of(&token.under(&terms)), "{terms:?}");
        }
    }
}
