//! `user diff`: compares a file of users with the directory, and prints the commands that would
//! make the directory match the file. Since these delete nobody, an inactive user missing from the
//! file is no difference.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use serde_json::{Value, json};

use super::super::output::{self, Column, Listing, column, elements, text_of};
use super::super::{Failure, ask, quoted, status};
use super::args::{self, ExportFormat};
use super::each_page;
use super::export::{Target, by_name, record};
use super::file::{UserFile, beside, rows_of};
use super::input::has_place_beside;
use super::is_active;
use crate::directory::UserId;
use crate::limits;
use crate::local::Client;

/// Users in one printed command.
const IDS_PER_COMMAND: usize = 50;

const COLUMNS: &[Column] = &[
    column("LINE", |row| text_of(row, "line")),
    column("USERNAME", |row| text_of(row, "userName")),
    column("DIFFERENCE", |row| text_of(row, "difference")),
    column("HERE", |row| text_of(row, "here")),
    column("THERE", |row| text_of(row, "there")),
];

pub(super) fn run(
    client: &mut Client,
    typed: &args::Diff,
    mut user_file: UserFile,
    program: &str,
) -> Result<(), Failure> {
    let mut diff = Diff {
        listing: Listing::new(typed.output.output, COLUMNS),
        seen: RoaringBitmap::new(),
        emails: HashMap::new(),
        named_otherwise: 0,
        sharing: 0,
        count: 0,
        needs_import: false,
        refused: 0,
        statuses: Statuses {
            file: typed
                .statuses
                .as_deref()
                .map(StatusFile::open)
                .transpose()?,
            ..Statuses::default()
        },
    };
    let mut has_rows = false;
    loop {
        let lines = user_file.batch()?;
        if lines.is_empty() {
            break;
        }
        has_rows = true;
        let rows = lines.iter().filter_map(|line| line.content.clone().ok());
        let rows: Vec<Value> = rows.collect();
        let request = user_file.request(&typed.empty, &rows);
        let mut answer = ask(client, "POST", "/admin/users/compare", Some(&request))?;
        let mut answered = rows_of(&mut answer);
        let mut found = Vec::new();
        for line in &lines {
            match &line.content {
                Ok(_) => {
                    let row = Value::Object(answered.next().unwrap_or_default());
                    user_file.note_outcome(line, &row);
                    if user_file.is_named_by_email() {
                        diff.note_email(user_file.by_name(&line.who), &row);
                    }
                    diff.compare(&row, &line.who, &mut found)?;
                }
                Err(why) => found.push(diff.refuse(&json!(line.number), &line.who, why)),
            }
        }
        diff.show(&found)?;
    }
    if !has_rows {
        // Then everybody would have to go.
        let file = typed.file.display();
        let what = format!("{file}: there are no rows: nothing to compare with");
        return Err(Failure::new(status::DATA, what));
    }
    let query = if user_file.is_named_by_email() {
        "&attributes=userName,active,emails"
    } else {
        "&attributes=userName,active"
    };
    each_page(client, query, usize::MAX, |users| {
        let found = diff.only_here(users, &user_file)?;
        diff.show(&found)
    })?;
    diff.end(typed, program)
}

fn difference(line: &Value, who: &str, what: &str) -> Value {
    json!({"line": line, "userName": who, "difference": what})
}

struct Diff {
    listing: Listing,
    /// The users that rows are about, by sequence number.
    seen: RoaringBitmap,
    /// The hashes of the emails by which rows name users, with whether no userName is the email.
    emails: HashMap<u64, bool>,
    /// Users that rows seem to be about, but by an email that is not the userName.
    named_otherwise: u64,
    /// Active users whom no row names, and who have the email of somebody whom a row does name.
    sharing: u64,
    count: u64,
    needs_import: bool,
    /// Rows that could not be read or applied.
    refused: u64,
    statuses: Statuses,
}

/// The users to deactivate and to reactivate, by id: by then a name may be another user's, and it
/// may be unfit for a shell.
#[derive(Default)]
struct Statuses {
    /// Takes all of them, if a file was typed.
    file: Option<StatusFile>,
    deactivate: Vec<String>,
    reactivate: Vec<String>,
    /// How many did not fit into commands.
    more: u64,
}

impl Statuses {
    fn note(&mut self, is_active: bool, id: &str) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            return file.add(is_active, id);
        }
        let ids = if is_active {
            &mut self.reactivate
        } else {
            &mut self.deactivate
        };
        if ids.len() < limits::DIFF_COMMANDS_USERS_MAX {
            ids.push(id.to_owned());
        } else {
            self.more += 1;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.count == 0)
            && self.deactivate.is_empty()
            && self.reactivate.is_empty()
    }

    /// Prints how to deactivate and reactivate them: by commands, or for many of them by a file,
    /// which is much faster.
    fn say(self, typed: &args::Diff, program: &str) -> Result<(), Failure> {
        if let Some(file) = self.file {
            return file.end(program);
        }
        if self.more > 0 {
            let place = if has_place_beside(&typed.file) {
                &typed.file
            } else {
                Path::new("users")
            };
            let file = beside(place, ".statuses", Some(".csv"))?;
            let (words, file) = (import_words(typed), quoted(&operand(&file)));
            output::say(&format!("  {program} user diff {words} --statuses {file}"));
            output::say(&format!("  {program} user import {file}"));
            return Ok(());
        }
        for (word, ids) in [
            ("deactivate", &self.deactivate),
            ("reactivate", &self.reactivate),
        ] {
            for some in ids.chunks(IDS_PER_COMMAND) {
                output::say(&format!("  {program} user {word} {}", some.join(" ")));
            }
        }
        Ok(())
    }
}

/// A file for an import, with the id of each user and the status to set.
struct StatusFile {
    path: PathBuf,
    target: Target,
    count: u64,
}

impl StatusFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let is_csv = by_name(path).is_ok_and(|format| format == ExportFormat::Csv);
        if path == Path::new("-") || !is_csv {
            let what = format!("{}: statuses are written as CSV", path.display());
            let hint = "end its name with .csv, so that it can be imported";
            return Err(Failure::new(status::USAGE, what).hint(hint));
        }
        let mut target = Target::open(Some(path))?;
        target.write(&record(&["id", "Status"])?)?;
        Ok(Self {
            path: path.to_owned(),
            target,
            count: 0,
        })
    }

    fn add(&mut self, is_active: bool, id: &str) -> Result<(), Failure> {
        self.count += 1;
        let status = if is_active { "active" } else { "inactive" };
        self.target.write(&record(&[id, status])?)
    }

    /// Completes the file and prints how to import it; without users there is none.
    fn end(self, program: &str) -> Result<(), Failure> {
        let file = quoted(&operand(&self.path));
        if self.count == 0 {
            let what = "nobody is to be deactivated or reactivated";
            output::say(&format!("{what}: {file} is not written"));
            return Ok(());
        }
        self.target.end()?;
        output::say(&format!("  {program} user import {file}"));
        Ok(())
    }
}

impl Diff {
    fn compare(&mut self, row: &Value, who: &str, found: &mut Vec<Value>) -> Result<(), Failure> {
        if let Some(id) = row["id"].as_str().and_then(UserId::parse) {
            self.seen.insert(id.sequence());
        }
        let name = row["userName"].as_str().unwrap_or(who);
        match row["outcome"].as_str() {
            Some("same") => {}
            Some("absent") => {
                self.needs_import = true;
                found.push(difference(&row["line"], name, "not here"));
            }
            Some("differs") => {
                let differences = row["differences"].as_array();
                for one in differences.map_or(&[][..], Vec::as_slice) {
                    let mut told = difference(&row["line"], name, &text_of(one, "attribute"));
                    told["here"] = one["here"].clone();
                    told["there"] = one["there"].clone();
                    match (one["attribute"].as_str(), one["there"].as_bool()) {
                        (Some("active"), Some(is_active)) => {
                            self.statuses.note(is_active, &text_of(row, "id"))?;
                        }
                        // Only an import can clear a status.
                        _ => self.needs_import = true,
                    }
                    found.push(told);
                }
            }
            _ => {
                let why = text_of(row, "reason");
                let refused = self.refuse(&row["line"], name, &why);
                found.push(refused);
            }
        }
        Ok(())
    }

    /// Notes whether the row of an email has found nobody. A refused one may have found somebody.
    fn note_email(&mut self, email: u64, row: &Value) {
        if row["outcome"] != "refused" {
            self.emails.insert(email, row["outcome"] == "absent");
        }
    }

    fn refuse(&mut self, line: &Value, who: &str, why: &str) -> Value {
        self.refused += 1;
        difference(line, who, &format!("refused: {why}"))
    }

    /// The users of a page that no row was about.
    fn only_here(&mut self, users: &[Value], user_file: &UserFile) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        for user in users {
            let id = user["id"].as_str().and_then(UserId::parse);
            let is_seen = id.is_none_or(|id| self.seen.contains(id.sequence()));
            if is_seen {
                continue;
            }
            let by_email = self.is_named_by_email_alone(user, user_file);
            self.named_otherwise += u64::from(by_email == Some(true));
            self.sharing += u64::from(by_email == Some(false) && is_active(user));
            if is_active(user) {
                let name = text_of(user, "userName");
                // A refused row may have been about this user.
                if self.refused == 0 && by_email.is_none() {
                    self.statuses.note(false, &text_of(user, "id"))?;
                }
                found.push(difference(&Value::Null, &name, "not there"));
            }
        }
        Ok(found)
    }

    /// Whether a row that has an email of this user has found nobody; `None` if there is no such row.
    /// Where it has found somebody, the email is shared, as by a second account.
    fn is_named_by_email_alone(&self, user: &Value, user_file: &UserFile) -> Option<bool> {
        let emails = elements(&user["emails"]).iter();
        let rows = emails.filter_map(|email| {
            let email = user_file.by_name(&text_of(email, "value"));
            self.emails.get(&email).copied()
        });
        rows.max()
    }

    fn show(&mut self, found: &[Value]) -> Result<(), Failure> {
        self.count += found.len() as u64;
        if found.is_empty() {
            return Ok(());
        }
        self.listing.page(found)
    }

    fn end(mut self, typed: &args::Diff, program: &str) -> Result<(), Failure> {
        self.listing.end()?;
        if self.count == 0 {
            output::say("the directory matches the file");
            return self.statuses.say(typed, program);
        }
        if self.named_otherwise > 0 {
            self.needs_import = false;
            output::say(&format!(
                "{} with another userName than the email by which the file names them: add a \
                 column userName or id before you import it or deactivate them",
                output::counted(self.named_otherwise, "user")
            ));
        }
        if self.sharing > 0 {
            output::say(&format!(
                "{} with the email of somebody else in the file: deactivate them yourself if they \
                 have left",
                output::counted(self.sharing, "user")
            ));
        }
        if self.needs_import || !self.statuses.is_empty() {
            output::say(if self.refused == 0 {
                "to make the directory match the file:"
            } else {
                "to apply the rows that were not refused:"
            });
        }
        if self.needs_import {
            output::say(&format!("  {program} user import {}", import_words(typed)));
        }
        self.statuses.say(typed, program)?;
        if self.refused > 0 {
            output::say(
                "fix what was refused, then compare again: until then, do not deactivate users \
                 just because the file lacks them",
            );
        }
        let what = output::counted(self.count, "difference");
        Err(Failure::new(status::REFUSED, what))
    }
}

/// The path, written so that it cannot be taken for an option.
fn operand(path: &Path) -> PathBuf {
    if path.to_string_lossy().starts_with('-') {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
}

/// The arguments that an import needs as well, quoted for a shell.
fn import_words(typed: &args::Diff) -> String {
    let mut words = vec![match typed.file.to_str() {
        Some("-") => "-".to_owned(),
        _ => quoted(&operand(&typed.file)),
    }];
    if typed.empty != "keep" {
        words.push(format!("--empty {}", typed.empty));
    }
    for name in &typed.ignore {
        words.push(format!("--ignore={}", quoted(Path::new(name))));
    }
    words.join(" ")
}
