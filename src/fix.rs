//! Advice on how to fix a problem, which may contain commands of this program. Such commands begin
//! like the command that the user typed, with the same configuration and data directory. A server
//! does not know how the user typed the command that it answers, so its advice contains a
//! placeholder, which the program that prints the advice fills in.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

/// The placeholder for the start of a command.
const PLACEHOLDER: &str = "{program}";

/// See [`program`].
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Sets how commands start in all advice of this process. Only the first call has an effect.
pub fn set_program(beginning: String) {
    PROGRAM.get_or_init(|| beginning);
}

/// The start of a command to copy; unless set, the one for the usual data directory.
pub fn program() -> &'static str {
    PROGRAM.get().map_or("golinks-scim", String::as_str)
}

/// Advice that may contain `{program}`, which `Display` replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix(Cow<'static, str>);

impl Fix {
    /// Advice with these words, which may contain `{program}`.
    pub const fn new(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// Like [`Self::new`], for words that were put together at run time.
    pub fn of(words: String) -> Self {
        Self(Cow::Owned(words))
    }

    /// The words with their placeholders; [`filled`] replaces those.
    pub fn template(&self) -> &str {
        &self.0
    }
}

/// A template with its placeholders replaced by the start of a command.
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

/// A name quoted as an argument, even if it starts like an option.
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
