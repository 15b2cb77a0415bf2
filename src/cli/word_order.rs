//! The tip for words that were typed in the wrong order, such as `token okta revoke`, or that other
//! programs use: clap by itself only names words that look similar.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use super::args::Args;
use crate::fix::quoted;

/// The error about what was `typed`, with the right words if it is known what was meant.
pub(super) fn told(typed: &[OsString], mut error: Error) -> Error {
    let order = right_order(typed, &error).map(|it| format!("the right order is `{it}`"));
    if let Some(tip) = order.or_else(|| meant(typed, &error)) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    error
}

/// What somebody means who lacks an argument, or by a word or an option that other programs have.
fn meant(typed: &[OsString], error: &Error) -> Option<String> {
    let text = |kind| match error.get(kind)? {
        ContextValue::String(text) => Some(&**text),
        _ => None,
    };
    let before = |unknown: &str| -> Vec<&OsString> {
        typed.iter().take_while(|word| *word != unknown).collect()
    };
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let has = |word: &str| typed.iter().any(|it| it == word);
            let words = match has("user") {
                true if has("add") => "one of `--given` and `--family` is enough",
                true if has("undo") => "`user history WHO` lists a user's changes",
                _ => return None,
            };
            Some(words.to_owned())
        }
        ErrorKind::UnknownArgument => {
            let unknown = text(ContextKind::InvalidArg)?;
            let words = meant_by_argument(&before(unknown), unknown)?;
            Some(words.to_owned())
        }
        _ => {
            let unknown = unknown_word(error)?;
            if matches!(unknown, "stop" | "restart" | "reload") {
                let words = format!("`systemctl {unknown} golinks-scim`, if it is a service");
                return Some(words);
            }
            let command = meant_by_word(&before(unknown), unknown)?;
            Some(format!("the command is `golinks-scim {command}`"))
        }
    }
}

fn meant_by_argument(before: &[&OsString], unknown: &str) -> Option<&'static str> {
    let has = |word: &str| before.iter().any(|it| *it == word);
    Some(match unknown {
        "--port" | "-p" if has("serve") => "`--listen [::]:8443` names the port",
        "--json" => "`-o json` prints JSON",
        "--csv" | "--format" => "`-o FORMAT` chooses the format",
        _ if unknown.starts_with('-') => return None,
        _ if has("user") && has("list") => "`--search TEXT` finds people",
        _ if has("user") && has("add") => "names need `--given GIVEN --family FAMILY`",
        _ => return None,
    })
}

fn meant_by_word(before: &[&OsString], unknown: &str) -> Option<&'static str> {
    let after = ["user", "token"]
        .into_iter()
        .find(|word| before.iter().any(|it| it == word));
    Some(match (after, unknown) {
        (Some("user"), "create" | "new") => "user add",
        (Some("user"), "remove" | "disable" | "suspend") => "user deactivate WHO",
        (Some("user"), "enable" | "activate") => "user reactivate WHO",
        (Some("user"), "search" | "find") => "user list --search TEXT",
        (Some("user"), who) if who.contains('@') => "user show WHO",
        (Some("token"), "create" | "add" | "new") => "token issue NAME",
        (Some("token"), "delete" | "remove") => "token revoke NAME",
        (None, "start" | "run" | "server") => "serve",
        (None, "status" | "health" | "test") => "check",
        (None, "version") => "--version",
        (None, "list" | "users") => "user list",
        (None, "tokens") => "token list",
        (None, "log" | "logs") => "audit list",
        (None, "import") => "user import FILE",
        (None, "export") => "user export FILE",
        (None, "restore") => "backup restore FILE",
        _ => return None,
    })
}

fn unknown_word(error: &Error) -> Option<&str> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(word) if error.kind() == ErrorKind::InvalidSubcommand => Some(word),
        _ => None,
    }
}

/// The command up to an unknown word, if that and the next one are a command in the other order.
fn right_order(typed: &[OsString], error: &Error) -> Option<String> {
    let unknown = unknown_word(error)?;
    let at = typed.iter().position(|word| word == unknown)?;
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
    fn wrong_words_are_told_as_the_right_ones() {
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
            ("start", "command is `golinks-scim serve`"),
            ("users", "command is `golinks-scim user list`"),
            ("-v token create okta", "`golinks-scim token issue NAME`"),
            ("user remove jane", "`golinks-scim user deactivate WHO`"),
            ("user activate", "`golinks-scim user reactivate WHO`"),
            ("user jane@x", "`golinks-scim user show WHO`"),
            ("user list jane", "`--search TEXT` finds people"),
            ("user add a@x Jane Doe", "`--given GIVEN --family FAMILY`"),
            ("user add a@x", "one of `--given` and `--family`"),
            ("user undo", "`user history WHO` lists"),
            ("stop", "`systemctl stop golinks-scim`"),
            ("user list --json", "`-o json` prints JSON"),
            ("user list --serch x", "argument exists: '--search'"),
            ("serve --port 8443", "`--listen [::]:8443` names"),
            ("serve --port=8443", "`--listen [::]:8443` names"),
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
