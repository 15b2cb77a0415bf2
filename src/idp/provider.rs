//! Each provider's suites, limited to those that are useful against a directory in use.
//!
//! Left out are Okta's suite of 2016, which its SPEC suite supersedes, and what Okta does after a
//! user was deactivated here, because that requires such a user.

use super::{Person, Suite, authentik, entra, jumpcloud, okta, onelogin, sailpoint};

/// A provider whose suites can be played.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// The word that selects it.
    pub name: &'static str,
    /// The name as its maker writes it.
    pub title: &'static str,
    /// The scope that its token needs: a provider that never deletes gets no right to delete.
    pub scope: &'static str,
    /// Its suites in playing order. Each needs a person of its own, since some leave theirs behind.
    pub suites: &'static [fn(&Person) -> Suite],
}

/// All of them.
pub static PROVIDERS: [Provider; 6] = [
    Provider {
        name: "okta",
        title: "Okta",
        scope: "provision",
        // The SPEC suite needs a complete user, which is created first.
        suites: &[okta::seed, okta::spec, okta::aiw_walk, okta::oin_walk],
    },
    Provider {
        name: "entra",
        title: "Microsoft Entra ID",
        scope: "full",
        suites: &[
            entra::entra_validator,
            entra::entra_default,
            entra::entra_062020,
            entra::entra_reference,
        ],
    },
    Provider {
        name: "onelogin",
        title: "OneLogin",
        scope: "full",
        suites: &[onelogin::onelogin],
    },
    Provider {
        name: "jumpcloud",
        title: "JumpCloud",
        scope: "full",
        suites: &[jumpcloud::jumpcloud],
    },
    Provider {
        name: "sailpoint",
        title: "SailPoint",
        scope: "provision",
        suites: &[sailpoint::sailpoint],
    },
    Provider {
        name: "authentik",
        title: "authentik",
        scope: "full",
        suites: &[authentik::authentik],
    },
];

impl Provider {
    /// The provider of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = PROVIDERS.iter();
        all.find(|it| it.name.eq_ignore_ascii_case(name)).copied()
    }
}
