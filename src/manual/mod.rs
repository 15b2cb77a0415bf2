//! The manual: long pages, kept beside the code that they describe. `golinks-scim manual NAME`
//! prints them, and tests make sure that what they name exists.

/// A page of the manual.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The word by which it is asked for.
    pub name: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

/// All pages, in reading order.
pub const PAGES: &[Page] = &[
    Page {
        name: "install",
        about: "installing, configuring, port 443, upgrading, removing",
        text: include_str!("install.md"),
    },
    Page {
        name: "okta",
        about: "Okta's cloud: what it needs, what it sends, what you see",
        text: include_str!("okta.md"),
    },
    Page {
        name: "agent",
        about: "Okta's Provisioning Agent with the private CA",
        text: include_str!("agent.md"),
    },
    Page {
        name: "entra",
        about: "Microsoft Entra ID",
        text: include_str!("entra.md"),
    },
    Page {
        name: "directory",
        about: "the Team Directory: looking people up in a browser",
        text: include_str!("directory.md"),
    },
    Page {
        name: "certificates",
        about: "the private CA, public certificates, renewal",
        text: include_str!("certificates.md"),
    },
    Page {
        name: "tokens",
        about: "scopes, rotation, a token that has leaked",
        text: include_str!("tokens.md"),
    },
    Page {
        name: "backup",
        about: "making, checking and restoring backups: the drill",
        text: include_str!("backup.md"),
    },
    Page {
        name: "csv",
        about: "files of users: importing, exporting, comparing with HR's list",
        text: include_str!("csv.md"),
    },
    Page {
        name: "history",
        about: "who changed what, what a user was, and taking changes back",
        text: include_str!("history.md"),
    },
    Page {
        name: "audit",
        about: "who did what: listing, following, proving it; why a request was refused",
        text: include_str!("audit.md"),
    },
    Page {
        name: "disk-full",
        about: "what happens on a full or failing disk, and what to do",
        text: include_str!("disk-full.md"),
    },
    Page {
        name: "metrics",
        about: "metrics, health, what to alert on, the alarm over deactivations",
        text: include_str!("metrics.md"),
    },
    Page {
        name: "errors",
        about: "every error and exit status, its cause, and what mends it",
        text: include_str!("errors.md"),
    },
    Page {
        name: "protocol",
        about: "SCIM clause by clause: what is done, how it is proved, where it differs",
        text: include_str!("protocol.md"),
    },
    Page {
        name: "providers",
        about: "identity providers quirk by quirk: what they send, and what becomes of it",
        text: include_str!("providers.md"),
    },
    Page {
        name: "faults",
        about: "the faults survived: what was done, how much of it, and how to do it again",
        text: include_str!("faults.md"),
    },
    Page {
        name: "figures",
        about: "throughput, latency, memory, starts: measured, beside the machine's limits",
        text: include_str!("figures.md"),
    },
];

#[doc = include_str!("install.md")]
pub mod install {}

#[doc = include_str!("okta.md")]
pub mod okta {}

#[doc = include_str!("agent.md")]
pub mod agent {}

#[doc = include_str!("entra.md")]
pub mod entra {}

#[doc = include_str!("directory.md")]
pub mod directory {}

#[doc = include_str!("certificates.md")]
pub mod certificates {}

#[doc = include_str!("tokens.md")]
pub mod tokens {}

#[doc = include_str!("backup.md")]
pub mod backup {}

#[doc = include_str!("csv.md")]
pub mod csv {}

#[doc = include_str!("history.md")]
pub mod history {}

#[doc = include_str!("audit.md")]
pub mod audit {}

#[doc = include_str!("disk-full.md")]
pub mod disk_full {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("protocol.md")]
pub mod protocol {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("faults.md")]
pub mod faults {}

#[doc = include_str!("figures.md")]
pub mod figures {}
