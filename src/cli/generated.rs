//! `man` and `completions`: man pages for packages and completions for shells. Both are generated
//! from the single definition of the command line.

use std::io;
use std::path::Path;

use clap::{Arg, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::{Args, EXIT_STATUS, GLOBAL, NEXT};
use super::{Failure, output, unusable};

/// What the foot of every man page names.
const SOURCE: &str = concat!("golinks-scim ", env!("CARGO_PKG_VERSION"));

pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "golinks-scim", &mut text);
    let text = String::from_utf8_lossy(&text);
    // In its bash script, clap_complete spells the hyphen in the program's name in two ways, and so
    // completes nothing after the first word (clap-rs/clap issue 6421).
    let text = text.replace("golinks__subcmd__scim__", "golinks__scim__");
    output::line(text.trim_end())
}

/// Writes a man page for each command into a directory.
pub(super) fn man(dir: &Path) -> Result<(), Failure> {
    // The long help ends with the exit statuses; the pages have a section of their own for them.
    let mut program = Args::command()
        .after_long_help(NEXT)
        .disable_help_subcommand(true);
    program.build();
    std::fs::create_dir_all(dir)
        .and_then(|()| pages(program, dir))
        .map_err(|error| unusable(dir, &error).hint("name a directory that you may write to"))
}

/// Writes the pages of a command and of all its subcommands.
fn pages(command: clap::Command, dir: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        pages(below.clone(), dir)?;
    }
    let has_commands = command.has_subcommands();
    let has_version = command.get_version().is_some();
    let notes = command.get_after_long_help().or(command.get_after_help());
    let notes = notes.map(ToString::to_string);
    let man = Man::new(command.mut_args(under_a_heading)).source(SOURCE);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = notes {
        section("NOTES", &notes, &mut page)?;
    }
    section("EXIT STATUS", EXIT_STATUS, &mut page)?;
    if has_version {
        man.render_version_section(&mut page)?;
    }
    std::fs::write(dir.join(man.get_filename()), page)
}

/// Puts each argument under a heading. clap_mangen orders headings by their first arguments, and
/// positional arguments come first; without a heading they would follow the options.
fn under_a_heading(arg: Arg) -> Arg {
    let heading = match arg.get_id().as_str() {
        _ if arg.get_help_heading().is_some() => return arg,
        _ if arg.is_positional() => "Arguments",
        "help" | "version" => GLOBAL,
        _ => "Options",
    };
    arg.help_heading(heading)
}

fn section(heading: &str, text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [heading]).text([roman(text)]);
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By its default, clap_mangen names the command alone there, such as "serve".
    #[test]
    fn each_page_names_the_program_at_its_foot() {
        let folder = tempfile::TempDir::new().expect("a folder");
        man(folder.path()).expect("written");
        for page in std::fs::read_dir(folder.path()).expect("a folder") {
            let page = page.expect("a page").path();
            let text = std::fs::read_to_string(&page).expect("text");
            let title = text.lines().find(|line| line.starts_with(".TH "));
            let title = title.unwrap_or_default().replace('\\', "");
            assert!(title.contains(SOURCE), "{}: {title}", page.display());
        }
    }
}
