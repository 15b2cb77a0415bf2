//! The tip for words that were typed in the wrong order, such as `token okta revoke`: clap by
//! itself only names words that look similar.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use super::args::Args;
use crate::fix::quoted;

/// The error about what was `typed`, with the right order if only the order was wrong.
pub(super) fn told(typed: &[OsString], mut error: Error) -> Error {
    if let Some(command) = right_order(typed, &error) {
        let tip = format!("the right order is `{command}`").into();
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The command up to an unknown word, if that and the next one are a command in the other order.
fn right_order(typed: &[OsString], error: &Error) -> Option<String> {
    let unknown = match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(word) if error.kind() == ErrorKind::InvalidSubcommand => word,
        _ => return None,
    };
    let at = typed.iter().position(|word| word == unknown.as_str())?;
    let mut words = typed.to_vec();
    words.get(at + 1)?;
    words.swap(at, at + 1);
    match Args::try_parse_from(&words) {
        Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => None,
        _ => {
            let words = words[1..at + 2].iter().map(|word| quoted(Path::new(word)));
            let words: Vec<String> = words.collect();
            Some(format!("golinks-scim {}", words.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_the_wrong_order_are_told_in_the_right_one() {
        for (typed, tip) in [
            (
                "token okta revoke",
                "order is `golinks-scim token revoke okta`",
            ),
            (
                "-v token okta revoke",
                "`golinks-scim -v token revoke okta`",
            ),
            ("restore backup", "order is `golinks-scim backup restore`"),
            ("restore backup b", "order is `golinks-scim backup restore`"),
            ("okta guide", "order is `golinks-scim guide okta`"),
            ("token revok okta", "subcommand exists: 'revoke'"),
            ("token revok", "subcommand exists: 'revoke'"),
        ] {
            let words = format!("golinks-scim {typed}");
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            let error = Args::try_parse_from(&words).err().expect(typed);
            let shown = told(&words, error).render().to_string();
            assert!(shown.contains(tip), "{typed}: {shown}");
            assert_eq!(shown.matches("tip: ").count(), 1, "{typed}: {shown}");
        }
    }
}
