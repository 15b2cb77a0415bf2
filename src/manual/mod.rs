//! The manual: long pages, kept beside the code that they speak of. `golinks-scim manual NAME`
//! prints them, and the tests see to it that what they name exists.

/// A page of the manual.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The word to ask for it with.
    pub name: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

/// All pages, in reading order.
pub const PAGES: &[Page] = &[
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
];

#[doc = include_str!("protocol.md")]
pub mod protocol {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("faults.md")]
pub mod faults {}
