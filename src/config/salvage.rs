//! What can still be had of a configuration file that is wrong somewhere: where the data
//! directory is, if the file leaves no doubt about it.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file;
use super::origin::{Given, Origin};
use super::settings::Key;

/// What the file says of the data directory, where `Some(None)` is nothing; `None` if it may
/// have been meant to say something else.
#[allow(
    clippy::option_option,
    reason = "to say nothing and to be unclear are two things"
)]
pub(super) fn data_dir(path: &Path) -> Option<Option<Given>> {
    let text = file::text_of(path).ok()?;
    let name = Key::DataDir.setting().name;
    let (table, _) = DeTable::parse_recoverable(&text);
    let entries: Vec<_> = table.get_ref().iter().collect();
    let is_slip = |key: &Spanned<_>, value: &Spanned<DeValue<'_>>| {
        let key = file::full_name(AsRef::<str>::as_ref(key.get_ref()), value);
        key != name && file::similar(&key) == Some(name)
    };
    if entries.iter().any(|(key, value)| is_slip(key, value)) {
        return None;
    }
    let found = entries.iter().find(|(key, _)| key.get_ref() == name);
    // A line of it that is not in the table was not understood, or is there twice.
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.trim_start_matches(['"', '\'']).starts_with(name));
    if lines.count() != usize::from(found.is_some()) {
        return None;
    }
    let Some((key, value)) = found else {
        return Some(None);
    };
    let directory = file::plain(value).filter(|text| Path::new(text).is_absolute())?;
    let line = file::line_of(&text, Some(key.span()));
    Some(Some(Given {
        text: directory,
        origin: Origin::File {
            path: path.to_owned(),
            line,
        },
    }))
}
