//! What can be typed of users. Nothing is decided or done here.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::super::args::{Output, change, given, number};
use super::super::output::Format;

#[derive(Subcommand)]
pub(in crate::cli) enum User {
    /// List users, in order of creation
    List {
        #[command(flatten)]
        selected: Selected,
        /// At most this many users
        #[arg(long, value_name = "N", value_parser = number(usize::MAX))]
        limit: Option<usize>,
        /// The output format; csv has all columns, like an export
        #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
        output: ListFormat,
    },
    /// Show one user with all attributes
    Show(Show),
    /// Show every change of a user: when, by whom, each attribute before and after
    History {
        /// A userName or an id, even of a deleted user
        #[arg(value_parser = given)]
        who: String,
        #[command(flatten)]
        output: Output,
    },
    /// Undo changes, as a new change
    #[command(after_help = UNDO_HELP, override_usage = UNDO_USAGE)]
    Undo(Undo),
    /// Create a user, for identity providers to import
    #[command(override_usage = ADD_USAGE)]
    Add(Add),
    /// Create and change users from a file: CSV with a header, or JSON lines (.jsonl)
    Import(Import),
    /// Write users into a new file, or to standard output
    Export(Export),
    /// Compare a file of users with the directory, and print commands that make the directory match
    Diff(Diff),
    /// Deactivate users; nothing is deleted
    Deactivate {
        /// userNames or ids
        #[arg(required = true, value_parser = given)]
        who: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Activate users again
    Reactivate {
        /// userNames or ids
        #[arg(required = true, value_parser = given)]
        who: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Delete users for good; usually you deactivate them instead
    Delete {
        /// userNames or ids
        #[arg(required = true, value_parser = given)]
        who: Vec<String>,
        /// Delete them; without this option, only show who would be deleted
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        output: Output,
    },
}

// Whom a list or an export is of.
#[derive(ClapArgs)]
pub(in crate::cli) struct Selected {
    /// Only users with this text in a name or email
    #[arg(long, value_name = "TEXT", value_parser = given)]
    pub(super) search: Option<String>,
    /// Only users who match a SCIM filter, such as `userName sw "a"`
    #[arg(long, value_name = "EXPR", value_parser = given)]
    pub(super) filter: Option<String>,
    /// Only active users
    #[arg(long, conflicts_with = "inactive")]
    pub(super) active: bool,
    /// Only inactive users
    #[arg(long)]
    pub(super) inactive: bool,
}

#[derive(ClapArgs)]
pub(in crate::cli) struct Show {
    /// A userName or an id
    #[arg(value_parser = given)]
    pub(super) who: String,
    /// The user as of TIME: 2026-11-25T08:30:00Z, 2026-11-25, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = given)]
    pub(super) at: Option<String>,
    /// The user before this change: its number in `user history` or `audit list`
    #[arg(long, value_name = "CHANGE", conflicts_with = "at", value_parser = change)]
    pub(super) before: Option<u64>,
    #[command(flatten)]
    pub(super) output: Output,
}

const ADD_USAGE: &str =
    "golinks-scim user add [OPTIONS] <--given <GIVEN>|--family <FAMILY>> <EMAIL>";

#[derive(ClapArgs)]
pub(in crate::cli) struct Add {
    /// The email address, which becomes the userName
    pub(super) email: String,
    /// Given name; optional if you give --family
    #[arg(long, value_parser = given, required_unless_present = "family")]
    pub(super) given: Option<String>,
    /// Family name; optional if you give --given
    #[arg(long, value_parser = given, required_unless_present = "given")]
    pub(super) family: Option<String>,
    /// The name to display [default: given and family name]
    #[arg(long, value_name = "NAME", value_parser = given)]
    pub(super) display_name: Option<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(ClapArgs)]
pub(in crate::cli) struct Import {
    /// The file; `-` for standard input
    pub(super) file: PathBuf,
    /// Change nothing; show for each row what it would do
    #[arg(long)]
    pub(super) dry_run: bool,
    /// What an empty cell does to its attribute
    #[arg(long, default_value = "keep", value_parser = ["keep", "clear"])]
    pub(super) empty: String,
    /// The file for rows that cannot be applied [default: beside FILE]
    #[arg(long, value_name = "FILE")]
    pub(super) rejects: Option<PathBuf>,
    /// Ignore this column, or this member of JSON lines; can be repeated
    #[arg(long, value_name = "COLUMN")]
    pub(super) ignore: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(ClapArgs)]
pub(in crate::cli) struct Export {
    /// The file, which must not exist yet [default: standard output]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) selected: Selected,
    /// The output format [default: csv, or jsonl for a FILE.jsonl]
    #[arg(short, long, value_enum)]
    pub(super) output: Option<ExportFormat>,
}

#[derive(ClapArgs)]
pub(in crate::cli) struct Diff {
    /// The file; `-` for standard input
    pub(super) file: PathBuf,
    /// What an empty cell means for its attribute
    #[arg(long, default_value = "keep", value_parser = ["keep", "clear"])]
    pub(super) empty: String,
    /// Ignore this column, or this member of JSON lines; can be repeated
    #[arg(long, value_name = "COLUMN")]
    pub(super) ignore: Vec<String>,
    /// Write the users to deactivate and reactivate to this file, for an import
    #[arg(long, value_name = "FILE.csv")]
    pub(super) statuses: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: Output,
}

const UNDO_HELP: &str = "\
Attributes get back the values that they had before. Undoing a creation deactivates the user. A \
deletion cannot be undone, but you can create the user again: golinks-scim manual history. If a \
later change has changed an attribute again, the undo is refused and the user is left alone.";

const UNDO_USAGE: &str =
    "golinks-scim user undo [OPTIONS] <CHANGE | --since <TIME> | --from <CHANGE>>";

#[derive(ClapArgs)]
pub(in crate::cli) struct Undo {
    /// The number of the change in `user history` or `audit list`
    #[arg(required_unless_present_any = ["since", "from"], value_parser = change)]
    #[arg(conflicts_with_all = ["since", "from"])]
    pub(super) change: Option<u64>,
    /// All changes since TIME: 2026-11-25T08:30:00Z, 2026-11-25, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = given)]
    pub(super) since: Option<String>,
    /// All changes from the one with this number on
    #[arg(long, value_name = "CHANGE", value_parser = change, conflicts_with = "since")]
    pub(super) from: Option<u64>,
    /// Only changes by this token: its name or id
    #[arg(long, value_name = "NAME", conflicts_with = "change", value_parser = given)]
    pub(super) token: Option<String>,
    /// Also undo attributes that other changes have changed since
    #[arg(long)]
    pub(super) force: bool,
    /// Change nothing; show what would be undone
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ExportFormat {
    /// A table for spreadsheets.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

/// The form of a list of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ListFormat {
    /// For people.
    Table,
    /// One JSON array.
    Json,
    /// One JSON object per line.
    Jsonl,
    /// A table for spreadsheets.
    Csv,
}

impl ListFormat {
    /// That of any list, if it is one.
    pub(super) fn listing(self) -> Option<Format> {
        match self {
            Self::Table => Some(Format::Table),
            Self::Json => Some(Format::Json),
            Self::Jsonl => Some(Format::Jsonl),
            Self::Csv => None,
        }
    }
}
