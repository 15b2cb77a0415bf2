//! What can still be read from a configuration file with errors: where the data directory is, if
//! the file leaves no doubt about it.

use std::path::Path;

use toml::de::DeTable;

use super::file;
use super::origin::{Given, Origin};
use super::settings::Key;

/// What a file says of the data directory.
pub(super) enum Said {
    Nothing,
    This(Given),
    /// It may have been meant to name another than would be found.
    Unclear,
}

/// What the file at `path` says.
pub(super) fn data_dir(path: &Path) -> Said {
    let Ok(text) = file::text_of(path) else {
        return Said::Unclear;
    };
    let name = Key::DataDir.setting().name;
    // Whatever looks like a directory anywhere else is a slip that may mean this setting.
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
        return if others.contains("dir") {
            Said::Unclear
        } else {
            Said::Nothing
        };
    };
    let line = file::line_of(&text, Some(key.span()));
    let mut broken = errors
        .iter()
        .map(|error| file::line_of(&text, error.span()));
    if broken.any(|broken| broken == line) {
        return Said::Unclear;
    }
    let directory = file::plain(value).filter(|text| Path::new(text).is_absolute());
    match directory {
        // Its own path may hold the word too.
        Some(directory) if mentions == directory.to_lowercase().matches("dir").count() => {
            Said::This(Given {
                text: directory,
                origin: Origin::File {
                    path: path.to_owned(),
                    line,
                },
            })
        }
        _ => Said::Unclear,
    }
}
