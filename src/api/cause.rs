//! Why a request was refused, where the answer does not tell it from others with another remedy.

use crate::access::Rejection;

/// The cause of a problem, where status and `scimType` do not distinguish it from problems with
/// another remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No credentials were sent, or refused ones.
    Credentials(Option<Rejection>),
    /// The token's scope.
    Scope,
    /// A user who does not exist.
    User,
    /// The token's rate.
    Rate,
    /// An address that failed too often.
    Failures,
    /// Other requests at the same time.
    Load,
    /// The disk, which has not said whether the change was made.
    Doubt,
    /// Groups, which are not provisioned.
    Groups,
    /// `/Me`, which no token has.
    Me,
}

impl Cause {
    /// Its name in a row of the audit trail.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Credentials(rejection) => word_of(rejection),
            Self::Scope => "scope",
            Self::User => "user",
            Self::Rate => "rate",
            Self::Failures => "failures",
            Self::Load => "load",
            Self::Doubt => "doubt",
            Self::Groups => "groups",
            Self::Me => "me",
        }
    }
}

/// The name of a refused credential's fault, or of a missing credential.
pub(super) fn word_of(rejection: Option<Rejection>) -> &'static str {
    rejection.map_or("absent", Rejection::as_str)
}
