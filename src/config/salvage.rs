//! Salvages the data directory from a configuration file with errors, if the file leaves no doubt
//! about it.

use std::path::Path;

use toml::de::DeTable;

use super::file;
use super::origin::{Given, Origin};
use super::settings::Key;

/// What a file says about the data directory.
pub(super) enum Salvaged {
    Absent,
    Found(Given),
    /// The file may have been meant to name a directory other than the one that would be found.
    Ambiguous,
}

pub(super) fn data_dir(path: &Path) -> Salvaged {
    let Ok(text) = file::text_of(path) else {
        return Salvaged::Ambiguous;
    };
    let words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let words = words.collect::<Vec<_>>().join("\n").to_lowercase();
    let name = Key::DataDir.setting().name;
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut entries = table.get_ref().iter();
    let found = entries.find(|(key, _)| key.get_ref() == name);
    let Some((key, value)) = found else {
        return if mentions(&words) > 0 || words.lines().any(sets_directory_to_a_path) {
            Salvaged::Ambiguous
        } else {
            Salvaged::Absent
        };
    };
    let line = file::line_of(&text, Some(key.span()));
    let is_broken = |error: &toml::de::Error| file::line_of(&text, error.span()) == line;
    let directory = file::plain(value).filter(|text| Path::new(text).is_absolute());
    match directory {
        // One mention is the setting itself; the directory's own path may contain further ones.
        Some(directory)
            if mentions(&words) == 1 + mentions(&directory) && !errors.iter().any(is_broken) =>
        {
            Salvaged::Found(Given {
                text: directory,
                origin: Origin::File {
                    path: path.to_owned(),
                    line,
                },
            })
        }
        _ => Salvaged::Ambiguous,
    }
}

/// How often a text contains "dir" other than in `directory`: each may be a misspelled name of the
/// data directory's setting.
fn mentions(text: &str) -> usize {
    let others = text
        .to_lowercase()
        .replace(Key::Directory.setting().name, "");
    others.matches("dir").count()
}

/// Whether a line of the file sets `directory` to a path, as if it were the data directory's
/// setting.
fn sets_directory_to_a_path(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    line.trim_start().starts_with(Key::Directory.setting().name) && line.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_doubt_is_taken() {
        for (text, wanted) in [
            ("data_dir = \"/srv/x\"\nrate_limt = 5\n", Some("/srv/x")),
            (
                "data_dir = \"/srv/directory/dir\"\ndirectory = 5\n",
                Some("/srv/directory/dir"),
            ),
            ("data_dir = \"/srv/x\"\ndatadir = \"/srv/y\"\n", None),
            ("data_dir = \"srv\"\n", None),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("config.toml");
            std::fs::write(&path, text).expect("written");
            let found = match data_dir(&path) {
                Salvaged::Found(given) => Some(given.text),
                Salvaged::Absent | Salvaged::Ambiguous => None,
            };
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }
}
