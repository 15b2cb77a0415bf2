//! `man` and `completions`: what is made from the one definition of the command line, for
//! packages and shells.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::args::Args;
use super::{Failure, output, status};

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "golinks-scim", &mut text);
    output::line(String::from_utf8_lossy(&text).trim_end())
}

/// Writes a man page for each command into a directory.
pub(super) fn man(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Args::command(), dir))
        .map_err(|error| {
            Failure::new(status::IO, format!("{}: {error}", dir.display()))
                .hint("name a directory that you may write to")
        })
}
