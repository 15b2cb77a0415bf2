//! Salvages the data directory from a configuration file with errors, if the file leaves no doubt
//! about it.

use std::path::Path;

use toml::de::DeTable;

use super::file;
use super::origin::{Given, Origin};
use super::settings::Key;

/// What a file says of the data directory.
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
    let name = Key::DataDir.setting().name;
    // Any other word with "dir" in it may be a misspelling of this setting.
    let words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let words = words.collect::<Vec<_>>().join("\n").to_lowercase();
    let others = words.replace(Key::Directory.setting().name, "");
    let mentions = others.replacen(name, "", 1).matches("dir").count();
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut entries = table.get_ref().iter();
    let found = entries.find(|(key, _)| key.get_ref() == name);
    let Some((key, value)) = found else {
        // This setting's name is easily taken for that of the data directory.
        let directory = Key::Directory.setting().name;
        let is_path = words
            .lines()
            .filter(|line| line.trim_start().starts_with(directory))
            .any(|line| {
                line.split('#')
                    .next()
                    .is_some_and(|line| line.contains('/'))
            });
        return if others.contains("dir") || is_path {
            Salvaged::Ambiguous
        } else {
            Salvaged::Absent
        };
    };
    let line = file::line_of(&text, Some(key.span()));
    let mut broken = errors
        .iter()
        .map(|error| file::line_of(&text, error.span()));
    if broken.any(|broken| broken == line) {
        return Salvaged::Ambiguous;
    }
    let directory = file::plain(value).filter(|text| Path::new(text).is_absolute());
    let in_path = |path: &str| {
        let path = path.to_lowercase();
        path.replace(Key::Directory.setting().name, "")
            .matches("dir")
            .count()
    };
    match directory {
        // The directory's own path may contain the word, too.
        Some(directory) if mentions == in_path(&directory) => Salvaged::Found(Given {
            text: directory,
            origin: Origin::File {
                path: path.to_owned(),
                line,
            },
        }),
        _ => Salvaged::Ambiguous,
    }
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
