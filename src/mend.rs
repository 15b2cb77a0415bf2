//! What to do about something that is wrong, in words that may hold commands of this program.
//! Only who prints them knows how such a command begins: in the log as it does anywhere, in
//! `check` with the data directory that was typed.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// What stands for the beginning of a command.
const PLACEHOLDER: &str = "{program}";

/// Words with `{program}` in them; shown as for the data directory that is found anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend(Cow<'static, str>);

impl Mend {
    /// These words, in which `{program}` may stand.
    pub const fn new(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// The same for words that were put together.
    pub fn of(words: String) -> Self {
        Self(Cow::Owned(words))
    }

    /// The words as they are, for whoever fills them in with [`filled`].
    pub fn template(&self) -> &str {
        &self.0
    }
}

/// A template with the beginning of a command in its places.
pub fn filled(template: &str, program: &str) -> String {
    template.replace(PLACEHOLDER, program)
}

/// A path as a shell reads it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&filled(&self.0, "golinks-scim"))
    }
}
