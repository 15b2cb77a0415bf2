//! Advice on how to fix a problem, which may contain commands of this program. They begin as the one
//! that was typed: with the same configuration and data directory. A server's answer goes to a
//! command that was typed otherwise, so it has a placeholder, which whoever prints the advice fills.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

/// The placeholder for the beginning of a command.
const PLACEHOLDER: &str = "{program}";

/// See [`program`].
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Sets how commands begin in all advice of this process. Only the first call has an effect.
pub fn set_program(beginning: String) {
    PROGRAM.get_or_init(|| beginning);
}

/// The beginning of a command to copy; that for the usual data directory unless it was set.
pub fn program() -> &'static str {
    PROGRAM.get().map_or("golinks-scim", String::as_str)
}

/// Advice with `{program}` in it, which `Display` fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix(Cow<'static, str>);

impl Fix {
    /// These words, which may contain `{program}`.
    pub const fn new(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// [`Self::new`] for words that were put together at run time.
    pub fn of(words: String) -> Self {
        Self(Cow::Owned(words))
    }

    /// The words with their placeholders, to be filled by [`filled`].
    pub fn template(&self) -> &str {
        &self.0
    }
}

/// A template with its placeholders replaced by the beginning of a command.
pub fn filled(template: &str) -> String {
    template.replace(PLACEHOLDER, program())
}

/// A path quoted for a shell.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A name quoted as an argument, even if it begins like an option.
pub fn operand(name: &str) -> String {
    let quoted = quoted(Path::new(name));
    if name.starts_with('-') {
        format!("-- {quoted}")
    } else {
        quoted
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&filled(&self.0))
    }
}
