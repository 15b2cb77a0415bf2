//! Advice on how to fix a problem, which may contain commands of this program. Only the code that
//! prints the advice knows how such a command begins: plainly in the log, and in `check` with the
//! data directory that was typed.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The placeholder for the beginning of a command.
const PLACEHOLDER: &str = "{program}";

/// Advice with `{program}` in it; `Display` fills in the command for the usual data directory.
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
pub fn filled(template: &str, program: &str) -> String {
    template.replace(PLACEHOLDER, program)
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
        f.write_str(&filled(&self.0, "golinks-scim"))
    }
}
