//! The input of an import or a comparison: a file, or a stream such as a pipe. The input is read
//! twice, so a stream is first copied into an unnamed file.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use super::super::{Failure, as_root, status, unusable};
use super::file_check::BOM;
use super::file_name::{is_json, is_of_the_system};
use crate::{files, limits};

/// An open input, positioned at its start.
pub(super) struct Input {
    pub(super) file: File,
    /// Whether each line is a resource in JSON; otherwise the input is CSV.
    pub(super) is_json: bool,
}

impl Input {
    /// Opens the file, or standard input for `-`. A stream is copied into an unnamed file in
    /// `directory`.
    pub(super) fn open(path: &Path, directory: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::of_stream(path, io::stdin().lock(), directory);
        }
        let file = File::open(path).map_err(|error| unusable(path, &error))?;
        let metadata = file.metadata().map_err(|error| unusable(path, &error))?;
        if metadata.is_dir() {
            return Err(unusable(path, &io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() || is_of_the_system(path) {
            return Self::of_stream(path, file, directory);
        }
        Ok(Self {
            file,
            is_json: is_json(path),
        })
    }

    fn of_stream(path: &Path, mut stream: impl Read, directory: &Path) -> Result<Self, Failure> {
        let draft = files::draft_of(&directory.join("users"));
        let mut file = files::create(&draft, 0o600)
            .and_then(|file| fs::remove_file(&draft).map(|()| file))
            .map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    unusable(directory, &error).hint(as_root(directory))
                }
                _ => unusable(&draft, &error),
            })?;
        let mut bounded = stream.by_ref().take(limits::IMPORT_STREAM_BYTES_MAX);
        let copied = copy_in_parts(&mut bounded, &mut file, &draft);
        let copied = copied.and_then(|()| is_json_inside(&mut file));
        let is_json = copied.map_err(|error| {
            if files::is_lack_of_space(&error) {
                unusable(directory, &error).hint("free some space, or put the users into a file")
            } else {
                unusable(path, &error)
            }
        })?;
        if bounded.limit() == 0 {
            let gib = limits::IMPORT_STREAM_BYTES_MAX >> 30;
            let what = format!("{}: more than {gib} GiB come by the pipe", path.display());
            return Err(Failure::new(status::DATA, what).hint("put it into a file first"));
        }
        Ok(Self { file, is_json })
    }
}

/// Copies all of `stream`, but stops if the disk of `draft` needs its remaining space for the
/// store.
fn copy_in_parts(stream: &mut impl Read, file: &mut File, draft: &Path) -> io::Result<()> {
    loop {
        let mut part = stream.take(limits::IMPORT_STREAM_PART_BYTES);
        if io::copy(&mut part, file)? < limits::IMPORT_STREAM_PART_BYTES {
            return Ok(());
        }
        files::need_room(draft, limits::DISK_FREE_BYTES_MIN)?;
    }
}

/// Whether a stream begins with a JSON object. It has no file name that would tell its format.
fn is_json_inside(file: &mut File) -> io::Result<bool> {
    file.rewind()?;
    let mut beginning = Vec::new();
    file.take(1024).read_to_end(&mut beginning)?;
    file.rewind()?;
    let text = beginning.strip_prefix(BOM).unwrap_or(&beginning);
    Ok(text.trim_ascii_start().starts_with(b"{"))
}
