//! The tip for words that were typed in the wrong order, such as `token okta revoke`, or that other
//! programs use: clap by itself only names words that look similar.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory as _, Parser as _};

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
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument,
        _ => unknown_word(error).unwrap_or_default(),
    };
    let mut words = typed.iter().skip(1);
    let before: Vec<_> = words.by_ref().take_while(|word| *word != unknown).collect();
    let is_last = words.next().is_none();
    let all = Args::command();
    let (mut command, mut names) = (&all, String::new());
    for word in before {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
            names = format!("{names} {}", inner.get_name());
        }
    }
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let missing = error.get(ContextKind::InvalidArg)?.to_string();
            let words = match &*names {
                " user add" if missing.contains("--given") => {
                    "one of `--given` and `--family` is enough"
                }
                " user undo" => "`user history WHO` lists a user's changes",
                _ => return None,
            };
            Some(words.to_owned())
        }
        ErrorKind::UnknownArgument => meant_by_argument(command, &names, unknown),
        _ if names.is_empty() && matches!(unknown, "stop" | "restart" | "reload") => Some(format!(
            "`systemctl {unknown} golinks-scim`, if it is a service"
        )),
        _ => {
            let command = meant_by_word(&names, unknown, is_last)?;
            Some(format!("the command is `golinks-scim {command}`"))
        }
    }
}

fn meant_by_argument(command: &Command, names: &str, unknown: &str) -> Option<String> {
    let option = unknown.strip_prefix("--").unwrap_or_default();
    let mut arguments = command.get_arguments();
    let formats = arguments.find(|argument| argument.get_short() == Some('o'));
    if let Some(formats) = formats {
        if names == " user import" && matches!(option, "format" | "csv" | "json" | "jsonl") {
            let tip = "the name of FILE tells its format (.csv, .jsonl); `-o` is for the report";
            return Some(tip.to_owned());
        }
        let formats = formats.get_possible_values();
        if formats.iter().any(|format| format.get_name() == option) {
            return Some(format!("`-o {option}` chooses this format"));
        }
        if matches!(option, "format" | "csv" | "json") {
            return Some("`-o FORMAT` chooses the format".to_owned());
        }
    }
    let words = match (names, unknown) {
        (" serve", "--port" | "-p") => "`--listen [::]:8443` names the port",
        _ if unknown.starts_with('-') => return None,
        (" user list", _) => "`--search TEXT` finds people",
        (" user add", _) => "names need `--given GIVEN --family FAMILY`",
        _ => return None,
    };
    Some(words.to_owned())
}

/// The command for a word after the commands in `names`. `is_last` says that no word follows, which
/// could belong to a command that is only misspelled.
fn meant_by_word(names: &str, unknown: &str, is_last: bool) -> Option<&'static str> {
    Some(match (names, unknown) {
        (" user", "create" | "new") => "user add",
        (" user", "remove" | "disable" | "suspend") => "user deactivate WHO",
        (" user", "enable" | "activate") => "user reactivate WHO",
        (" user", "search" | "find") => "user list --search TEXT",
        (" user", who) if who.contains('@') => "user show WHO",
        (" token", "create" | "add" | "new") => "token issue NAME",
        (" token", "delete" | "remove") => "token revoke NAME",
        ("", "start" | "run" | "server") => "serve",
        ("", "status" | "health" | "test") => "check",
        ("", "version") => "--version",
        ("", "list" | "users") if is_last => "user list",
        ("", "tokens") if is_last => "token list",
        ("" | " audit", "log" | "logs") => "audit list",
        ("", "import") => "user import FILE",
        ("", "export") => "user export FILE",
        ("", "restore") => "backup restore FILE",
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
            ("users show jane", "subcommands exist: 'serve', 'user'"),
            ("tokens issue okta", "subcommand exists: 'token'"),
            ("users", "command is `golinks-scim user list`"),
            ("restore backup b", "order is `golinks-scim backup restore`"),
            ("okta guide", "order is `golinks-scim guide okta`"),
            ("token revok okta", "subcommand exists: 'revoke'"),
            ("token revok", "subcommand exists: 'revoke'"),
            ("start", "command is `golinks-scim serve`"),
            ("-v token create okta", "`golinks-scim token issue NAME`"),
            ("user remove jane", "`golinks-scim user deactivate WHO`"),
            ("user activate", "`golinks-scim user reactivate WHO`"),
            ("user jane@x", "`golinks-scim user show WHO`"),
            ("user list jane", "`--search TEXT` finds people"),
            ("user add a@x Jane Doe", "`--given GIVEN --family FAMILY`"),
            ("user add a@x", "one of `--given` and `--family`"),
            ("user undo", "`user history WHO` lists"),
            ("stop", "`systemctl stop golinks-scim`"),
            ("user list --json", "`-o json` chooses"),
            ("user export --csv", "`-o csv` chooses"),
            ("user export --json", "`-o FORMAT` chooses"),
            ("check --format json", "`-o FORMAT` chooses"),
            (
                "user import a --format csv",
                "name of FILE tells its format",
            ),
            ("user import a --json", "`-o` is for the report"),
            ("user list --serch x", "argument exists: '--search'"),
            ("serve --port 8443", "`--listen [::]:8443` names"),
            ("serve --port=8443", "`--listen [::]:8443` names"),
        ] {
            let shown = shown(typed);
            assert!(shown.contains(tip), "{typed}: {shown}");
            assert_eq!(shown.matches("tip: ").count(), 1, "{typed}: {shown}");
        }
    }

    /// Somebody who wants to stop one user or token must not be told to stop the server.
    #[test]
    fn a_tip_is_for_the_commands_before_the_word() {
        for typed in [
            "user stop jane",
            "token restart okta",
            "backup list",
            "audit export",
            "audit restore",
            "config test",
            "cert status",
            "serve --json",
            "backup create --csv b",
            "cert install --format pem c",
            "user add --given Jane",
        ] {
            let shown = shown(typed);
            let has_words = ["systemctl", "command is", "-o ", "enough"]
                .iter()
                .any(|words| shown.contains(words));
            assert!(!has_words, "{typed}: {shown}");
        }
    }

    fn shown(typed: &str) -> String {
        let words = format!("golinks-scim {typed}");
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let error = Args::try_parse_from(&words).err().expect(typed);
        told(&words, error).render().to_string()
    }
}
