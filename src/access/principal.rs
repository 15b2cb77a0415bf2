//! Principals and what they may do. A privilege is a type: the administration routes take an
//! [`Administrator`], and only `local` can create one.

use std::fmt;
use std::sync::Arc;

use super::scope::{Mode, Scope};
use super::token::Token;
use crate::limits;
use crate::scim::fold::is_unseen;

/// The person at the local socket, who is able to open the socket (mode 0600) or the store itself.
/// Every administration function takes an `Administrator`, and no caller from the network can be
/// one.
#[derive(Clone, Debug)]
pub struct Administrator {
    claimed_name: String,
}

impl Administrator {
    /// Only for the local socket. The name is recorded as claimed, without proof.
    pub fn from_local_socket(claimed_name: &str) -> Self {
        let claimed_name = Self::plain_name(claimed_name).unwrap_or_else(|| "unknown".to_owned());
        Self { claimed_name }
    }

    /// The form in which a name is recorded: short, and on one line. `None` if no character of the
    /// name is visible.
    pub fn plain_name(name: &str) -> Option<String> {
        let plain = name.chars().filter(|c| !is_unseen(*c));
        let plain: String = plain.take(limits::CLAIMED_NAME_CHARS_MAX).collect();
        Some(plain).filter(|plain| !plain.trim().is_empty())
    }
}

/// The caller of a request.
#[derive(Clone, Debug)]
pub enum Principal {
    /// The bearer of a token.
    Token(Arc<Token>),
    /// The person at the local socket.
    Administrator(Administrator),
}

impl Principal {
    /// How tolerant the server is of this principal's requests.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Token(token) => token.mode,
            Self::Administrator(_) => Mode::Compatible,
        }
    }

    /// The token of a principal from the network.
    pub fn token(&self) -> Option<&Arc<Token>> {
        match self {
            Self::Token(token) => Some(token),
            Self::Administrator(_) => None,
        }
    }

    /// Whether this principal may do something that needs the scope `needed`.
    pub fn may(&self, needed: Scope) -> bool {
        match self {
            Self::Token(token) => token.scope.covers(needed),
            Self::Administrator(_) => true,
        }
    }
}

impl fmt::Display for Principal {
    /// The form for the log and the audit trail; it contains no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => write!(f, "token:{}:{}", token.id, token.name),
            Self::Administrator(who) => write!(f, "administrator:{}", who.claimed_name),
        }
    }
}
