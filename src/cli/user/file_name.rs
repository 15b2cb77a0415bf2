//! The names of user files: the format that a name implies, names for further files next to one, and
//! names as they are typed into a shell.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use super::super::{Failure, quoted, status};
use super::args::ExportFormat;

/// Whether a file with this name contains JSON lines.
pub(super) fn is_json(path: &Path) -> bool {
    matches!(&*ending(path), "jsonl" | "ndjson")
}

/// The extension of a file's name in lower case, even if the name consists only of an extension.
fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.unwrap_or_default().to_ascii_lowercase()
}

/// The format that a file's name implies: programs could not open the file in another format.
pub(super) fn export_format(file: &Path) -> Result<ExportFormat, Failure> {
    if is_json(file) {
        return Ok(ExportFormat::Jsonl);
    }
    let ending = ending(file);
    if matches!(&*ending, "" | "csv" | "txt") {
        return Ok(ExportFormat::Csv);
    }
    let what = format!("{}: users are not exported as .{ending}", file.display());
    Err(Failure::new(status::USAGE, what).hint(
        "end its name with .csv, which spreadsheets open, or with .jsonl; or set the format with -o",
    ))
}

/// Whether the input is a file, so that a file of rejected rows can be put next to it.
pub(super) fn has_place_beside(path: &Path) -> bool {
    path != Path::new("-")
        && !is_of_the_system(path)
        && fs::metadata(path).as_ref().is_ok_and(Metadata::is_file)
}

/// Whether a path leads to something already open, as `/dev/stdin` does, so that its name says
/// nothing.
pub(super) fn is_of_the_system(path: &Path) -> bool {
    ["/dev", "/proc"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// A path next to `path` with `mark` in its name, at which no file exists yet. It keeps the
/// extension of `path` unless another is given.
pub(super) fn beside(path: &Path, mark: &str, ending: Option<&str>) -> Result<PathBuf, Failure> {
    const TRIES: u32 = 1000;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let from_last_dot = |text: &str| text.rfind('.').unwrap_or(text.len());
    let (stem, rest) = name
        .split_once(mark)
        .unwrap_or_else(|| name.split_at(from_last_dot(&name)));
    let ending = ending.unwrap_or(&rest[from_last_dot(rest)..]);
    for number in 1..TRIES {
        let count = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let name = path.with_file_name(format!("{stem}{mark}{count}{ending}"));
        if fs::symlink_metadata(&name).is_err() {
            return Ok(name);
        }
    }
    let what = format!("there are very many files named {stem}{mark} already: remove some");
    Err(Failure::new(status::USAGE, what))
}

/// A path quoted for a shell, in a form that cannot be taken for an option.
pub(super) fn quoted_file(path: &Path) -> String {
    if path.to_string_lossy().starts_with('-') {
        quoted(&Path::new(".").join(path))
    } else {
        quoted(path)
    }
}
