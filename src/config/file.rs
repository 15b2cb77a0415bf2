//! The configuration file: TOML with the keys of [`SETTINGS`] at its top level. Errors name the
//! line.

use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::origin::{Blame, Error, Given, Origin, masked};
use super::settings::{Key, NONE, SETTINGS};
use crate::{files, limits};

const NAME_ANOTHER: &str = "name another file with --config, or make this one readable";

/// Reads the settings from the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<(Key, Given)>, Error> {
    let text = text_of(path).map_err(|error| {
        let (blame, hint) = match error.kind() {
            io::ErrorKind::InvalidData => (
                Blame::Setting,
                "write it as UTF-8, or name another file with --config",
            ),
            io::ErrorKind::PermissionDenied => (Blame::Permission, NAME_ANOTHER),
            _ if files::may_pass(&error) => (
                Blame::System,
                "try again; if it stays so, check the disk that it is on",
            ),
            _ => (Blame::Setting, NAME_ANOTHER),
        };
        Error::new(format!("{}: {error}", path.display()), hint).blaming(blame)
    })?;
    parse(path, &text)
}

pub(super) fn text_of(path: &Path) -> io::Result<String> {
    let bytes = files::read_bounded(path, limits::CONFIGURATION_BYTES_MAX)?;
    // Decode only now, since the limit may fall within a character.
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn parse(path: &Path, text: &str) -> Result<Vec<(Key, Given)>, Error> {
    let at = |span: Option<Range<usize>>| Origin::File {
        path: path.to_owned(),
        line: line_of(text, span),
    };
    let table = DeTable::parse(text).map_err(|error| {
        Error::new(
            format!("{}: {}", at(error.span()), error.message()),
            "write one `name = value` a line, texts in \"quotes\"",
        )
    })?;
    let mut given = Vec::new();
    for (name, value) in table.get_ref() {
        let origin = at(Some(name.span()));
        let Some(key) = Key::named(name.get_ref()) else {
            return Err(unknown(&origin, name.get_ref(), value));
        };
        let (text, kind) = match value.get_ref() {
            DeValue::Array(list) if key.is_list() => (listed(list), "a list of texts"),
            _ => (plain(value), "a text or a whole number"),
        };
        let text = text.ok_or_else(|| {
            Error::new(
                format!("{origin}: {} must be {kind}", name.get_ref()),
                "golinks-scim config default shows how",
            )
        })?;
        if key.is_path() && !Path::new(&text).is_absolute() {
            return Err(Error::new(
                format!(
                    "{origin}: {} must be an absolute path, not {}",
                    name.get_ref(),
                    masked(&text)
                ),
                "begin it with /",
            ));
        }
        given.push((key, Given { text, origin }));
    }
    Ok(given)
}

pub(super) fn plain(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(false) => Some("off".to_owned()),
        DeValue::Boolean(true) => Some("on".to_owned()),
        _ => None,
    }
}

/// The values of a list as one text, as an environment variable has them.
fn listed(list: &DeArray<'_>) -> Option<String> {
    if list.is_empty() {
        return Some(NONE.to_owned());
    }
    let texts: Option<Vec<String>> = list.iter().map(plain).collect();
    Some(texts?.join(", "))
}

/// The error for an unknown key, with the key that may have been meant.
fn unknown(origin: &Origin, name: &str, value: &Spanned<DeValue<'_>>) -> Error {
    let name = full_name(name, value);
    let what = format!("{origin}: there is no setting {}", masked(&name));
    match similar(&name) {
        Some(meant) => Error::new(what, format!("did you mean {meant}?")),
        None => Error::new(what, "golinks-scim config default shows all settings"),
    }
}

/// A key's name as it may have been meant: `[tls] cert = …` is a good guess at `tls_cert`.
fn full_name(name: &str, value: &Spanned<DeValue<'_>>) -> String {
    let inner = match value.get_ref() {
        DeValue::Table(table) => table.keys().next().map(Spanned::get_ref),
        _ => None,
    };
    inner.map_or_else(|| name.to_owned(), |inner| format!("{name}.{inner}"))
}

/// The setting with the most similar name, if one is similar enough.
pub(super) fn similar(name: &str) -> Option<&'static str> {
    const EDITS_MAX: usize = 3;
    let folded = name.to_lowercase().replace(['-', '.', ' '], "_");
    let near = |known: &&'static str| strsim::damerau_levenshtein(&folded, known);
    let names = SETTINGS.iter().map(|setting| setting.name);
    names
        .min_by_key(near)
        .filter(|known| near(known) <= EDITS_MAX)
}

/// The line where `span` begins, counted from 1.
pub(super) fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text[..start].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::default_text;
    use super::*;

    fn error(text: &str) -> String {
        let problem = parse(Path::new("/c.toml"), text).expect_err(text);
        format!("{} ({})", problem.what, problem.hint)
    }

    #[test]
    fn values_come_with_their_lines() {
        let text = "# head\nlisten = \"[::]:1\"\n\nrate_limit = 20\n";
        let given = parse(Path::new("/c.toml"), text).expect("good");
        let told: Vec<String> = given
            .iter()
            .map(|(key, given)| format!("{} {} {}", key.setting().name, given.text, given.origin))
            .collect();
        assert_eq!(told, ["listen [::]:1 /c.toml:2", "rate_limit 20 /c.toml:4"]);
        let off = parse(Path::new("/c.toml"), "rate_limit = false").expect("good");
        assert_eq!(off[0].1.text, "off");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, wanted) in [
            (
                "\nlistn = \"x\"",
                "/c.toml:2: there is no setting listn (did you mean listen?)",
            ),
            (
                "base-url = \"x\"",
                "/c.toml:1: there is no setting base-url (did you mean base_url?)",
            ),
            (
                "[tls]\ncert = \"x\"",
                "/c.toml:1: there is no setting tls.cert (did you mean tls_cert?)",
            ),
            (
                "colour = 1",
                "/c.toml:1: there is no setting colour (golinks-scim config default shows all settings)",
            ),
            (
                "listen = [1]",
                "/c.toml:1: listen must be a text or a whole number (golinks-scim config default shows how)",
            ),
            (
                "trusted_proxies = [\"::1\", []]",
                "/c.toml:1: trusted_proxies must be a list of texts (golinks-scim config default shows how)",
            ),
            (
                "tls_cert = \"chain.pem\"",
                "/c.toml:1: tls_cert must be an absolute path, not chain.pem (begin it with /)",
            ),
        ] {
            assert_eq!(error(text), wanted);
        }
        for broken in [
            "listen",
            "listen = ",
            "listen = \"a\"\nlisten = \"b\"",
            "\"",
            "[[",
        ] {
            assert!(error(broken).starts_with("/c.toml:"), "{broken}");
        }
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        for text in [
            "tls_key = \"golinks_scim_01234567890123456789\"",
            "tls_key = \"GOLINKS_SCIM_01234567890123456789\"",
            "golinks_scim_01234567890123456789 = 1",
        ] {
            assert!(!error(text).contains("0123456789"), "{}", error(text));
        }
    }

    #[test]
    fn the_default_file_sets_nothing_and_each_line_of_it_can_be_used() {
        let text = default_text();
        assert!(
            parse(Path::new("/c.toml"), &text)
                .expect("comments")
                .is_empty()
        );
        let values = text.lines().filter_map(|line| line.strip_prefix('#'));
        let values = values.filter(|line| !line.starts_with(' ') && !line.is_empty());
        let all = values.collect::<Vec<_>>().join("\n");
        let given = parse(Path::new("/c.toml"), &all).expect("every example");
        assert_eq!(given.len(), SETTINGS.len());
    }
}
