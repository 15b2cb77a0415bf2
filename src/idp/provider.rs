//! Each provider's suites, limited to those that are useful against a directory in use.
//!
//! Left out are Okta's suite of 2016, which its SPEC suite supersedes, and what Okta does after a
//! user was deactivated here, because that requires such a user.

use super::{Person, Suite, authentik, entra, jumpcloud, okta, onelogin, sailpoint};

/// A provider whose suites can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Okta, from its cloud or its agent.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// OneLogin.
    OneLogin,
    /// JumpCloud.
    JumpCloud,
    /// SailPoint.
    SailPoint,
    /// authentik.
    Authentik,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Okta,
        Self::Entra,
        Self::OneLogin,
        Self::JumpCloud,
        Self::SailPoint,
        Self::Authentik,
    ];

    /// The provider of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// The word that selects it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::OneLogin => "onelogin",
            Self::JumpCloud => "jumpcloud",
            Self::SailPoint => "sailpoint",
            Self::Authentik => "authentik",
        }
    }

    /// The name as its maker writes it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Okta => "Okta",
            Self::Entra => "Microsoft Entra ID",
            Self::OneLogin => "OneLogin",
            Self::JumpCloud => "JumpCloud",
            Self::SailPoint => "SailPoint",
            Self::Authentik => "authentik",
        }
    }

    /// Its suites in playing order. Each needs a person of its own, since some leave theirs behind.
    /// Okta's SPEC suite needs a complete user, which is created first.
    pub fn suites(self) -> &'static [fn(&Person) -> Suite] {
        match self {
            Self::Okta => &[okta::seed, okta::spec, okta::aiw_walk, okta::oin_walk],
            Self::Entra => &[
                entra::entra_validator,
                entra::entra_default,
                entra::entra_062020,
                entra::entra_reference,
            ],
            Self::OneLogin => &[onelogin::onelogin],
            Self::JumpCloud => &[jumpcloud::jumpcloud],
            Self::SailPoint => &[sailpoint::sailpoint],
            Self::Authentik => &[authentik::authentik],
        }
    }

    /// The scope that its token needs: a provider that never deletes gets no right to delete.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Okta | Self::SailPoint => "provision",
            Self::Entra | Self::OneLogin | Self::JumpCloud | Self::Authentik => "full",
        }
    }
}
