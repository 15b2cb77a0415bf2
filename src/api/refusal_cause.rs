//! The causes of refusals that cannot be told apart by the answer alone.

use serde_json::Value;

use crate::access::Rejection;

/// The cause of a problem, where status and `scimType` do not distinguish it from problems with
/// another remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No credentials were sent (`None`), or they were refused.
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
    /// The check of the store after a start, which is not finished.
    Start,
    /// The size of the request.
    Size,
    /// The token's mode: a token with another mode would be accepted.
    Strictness,
    /// A user who would have no userName.
    NoUserName,
    /// The disk: it is not known whether the change was made.
    Doubt,
    /// Groups, which are not provisioned.
    Groups,
    /// `/Me`: a token belongs to no user.
    Me,
}

impl Cause {
    /// One of each cause. Causes of the kind `Credentials` differ further, by their [`rejections`].
    const ALL: [Self; 13] = [
        Self::Credentials(None),
        Self::Scope,
        Self::User,
        Self::Rate,
        Self::Failures,
        Self::Load,
        Self::Start,
        Self::Size,
        Self::Strictness,
        Self::NoUserName,
        Self::Doubt,
        Self::Groups,
        Self::Me,
    ];

    /// The cause's name in a row of the audit trail.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Credentials(rejection) => word_of(rejection),
            Self::Scope => "scope",
            Self::User => "user",
            Self::Rate => "rate",
            Self::Failures => "failures",
            Self::Load => "load",
            Self::Start => "start",
            Self::Size => "size",
            Self::Strictness => "strictness",
            Self::NoUserName => "noUserName",
            Self::Doubt => "doubt",
            Self::Groups => "groups",
            Self::Me => "me",
        }
    }

    /// The cause in a row of the audit trail, if it has one that is known.
    pub(super) fn of(row: &Value) -> Option<Self> {
        let word = row["cause"].as_str()?;
        let credentials = rejections().map(Self::Credentials);
        let mut all = credentials.chain(Self::ALL);
        all.find(|cause| cause.as_str() == word)
    }
}

/// All rejections, and then `None`, which stands for a request without credentials.
pub(super) fn rejections() -> impl Iterator<Item = Option<Rejection>> {
    Rejection::ALL.into_iter().map(Some).chain([None])
}

/// The name of a rejection, or of missing credentials.
pub(super) fn word_of(rejection: Option<Rejection>) -> &'static str {
    rejection.map_or("absent", Rejection::as_str)
}
