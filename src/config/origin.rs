//! Where a value comes from, what of it may be shown, and why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

use crate::secret::holds_token;

/// A value before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// As it was written.
    pub text: String,
    /// Where it was set.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
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
    /// What to do.
    pub hint: String,
    /// Where the fault is.
    pub blame: Blame,
}

/// Where the fault is that makes a configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// In a flag.
    Flag,
    /// In a variable, or in the file.
    Setting,
    /// In who may read the file.
    Permission,
    /// In the disk, the network to it, or a limit of the system: it may pass.
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
}

/// A value as it may be shown: a token that stands in the wrong place is masked.
pub(super) fn masked(text: &str) -> &str {
    if holds_token(text) {
        "(a token, not shown)"
    } else {
        text
    }
}
