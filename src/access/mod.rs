//! Who is admitted, as what, and how often: tokens, scopes, principals, rate limits. This module
//! knows neither SCIM nor sockets.

mod credentials;
mod doubt;
mod ended;
mod error;
mod failures;
mod issued;
mod principal;
mod rate;
mod restored;
mod scope;
mod seen;
mod token;
mod tokens;

pub use credentials::{Credentials, from_authorization};
pub use error::{IssueError, LoadError, Rejection};
pub use failures::{Failures, Noted, network_of};
pub use issued::{Issue, Terms, Token, TokenState};
pub use principal::{Administrator, Principal};
pub use rate::Limiter;
pub use restored::{RestoreDiff, live_in};
pub use scope::{Mode, Scope};
pub use seen::LastUse;
pub use token::TokenText;
pub use tokens::{Rotated, Tokens};
