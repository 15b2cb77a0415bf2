//! Where a value comes from, which part of it may be shown, and why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

use crate::secret::holds_token;

/// A value that is not yet parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The text as it was written.
    pub text: String,
    /// Where it was set.
    pub origin: Origin,
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong, and where.
    pub what: String,
    /// How to fix it.
    pub hint: String,
    /// Where the error is.
    pub blame: Blame,
}

/// Where the error is that makes a configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// In a command-line flag.
    Flag,
    /// In an environment variable or in the file.
    Setting,
    /// In the permissions of the file.
    Permission,
    /// In the disk, its network connection or a system limit: it may be temporary.
    System,
}

impl Error {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
            blame: Blame::Setting,
        }
    }

    pub(super) fn blaming(self, blame: Blame) -> Self {
        Self { blame, ..self }
    }
}

/// A value as it may be shown: a token in the wrong place is masked.
pub(super) fn masked(text: &str) -> &str {
    if holds_token(text) {
        "(a token, not shown)"
    } else {
        text
    }
}
