//! Who is admitted, with which rights, from which address, and how often: tokens, scopes,
//! principals, trusted proxies, rate limits. This module knows neither SCIM nor sockets.

mod credentials;
mod error;
mod expired_tokens;
mod failures;
mod last_use;
mod principal;
mod proxies;
mod rate;
mod restore_diff;
mod scope;
mod token;
mod token_id;
mod token_text;
mod tokens;
mod unconfirmed;

pub use credentials::from_authorization;
pub use error::{IssueError, LoadError, Rejection};
pub use failures::{Failure, Failures, network_of};
pub use last_use::LastUse;
pub use principal::{Administrator, Principal};
pub use proxies::TrustedProxies;
pub use rate::Limiter;
pub use restore_diff::{RestoreDiff, live_in};
pub use scope::{Mode, Scope};
pub use token::{Issue, Terms, Token, TokenState};
pub use token_id::TokenId;
pub use token_text::TokenText;
pub use tokens::{Rotated, Tokens};
