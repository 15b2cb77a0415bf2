//! The manual: long pages, kept beside the code that they describe. `golinks-scim manual NAME`
//! prints them, and tests make sure that what they name exists.

/// A page of the manual.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The name under which it is printed.
    pub name: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

macro_rules! pages {
    ($($module:ident, $name:literal, $about:literal;)*) => {
        /// All pages, in reading order.
        pub const PAGES: &[Page] = &[$(Page {
            name: $name,
            about: $about,
            text: include_str!(concat!($name, ".md")),
        }),*];
        $(
            #[doc = include_str!(concat!($name, ".md"))]
            pub mod $module {}
        )*
    };
}

pages! {
    install, "install", "installing, configuring, port 443, upgrading, removing";
    okta, "okta", "Okta's cloud: what it needs, what it sends, what you see";
    agent, "agent", "Okta's Provisioning Agent with the private CA";
    entra, "entra", "Microsoft Entra ID";
    directory, "directory", "the Team Directory: looking people up in a browser";
    certificates, "certificates", "the private CA, public certificates, renewal";
    tokens, "tokens", "scopes, rotation, expiry, leaked tokens";
    backup, "backup", "making, checking and restoring backups: the drill";
    csv, "csv", "user files: importing, exporting, comparing with HR's list";
    history, "history", "who changed what, a user as of a time, and undoing changes";
    audit, "audit", "who did what: listing, following, verifying; why a request was refused";
    disk_full, "disk-full", "what happens on a full or failing disk, and what to do";
    metrics, "metrics", "metrics, health, what to alert on, the mass deactivation alarm";
    errors, "errors", "every error and exit status, its cause and its fix";
    protocol, "protocol", "SCIM clause by clause: what the server does, which test proves it, where it differs";
    providers, "providers", "identity providers, quirk by quirk: what they send, and how the server handles it";
    faults, "faults", "the faults survived: what was done, how much of it, and how to repeat it";
    figures, "figures", "throughput, latency, memory and starts, compared with the machine's limits";
}
