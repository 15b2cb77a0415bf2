//! `user diff`: compares a file of users with the directory, and prints the commands that would
//! make the directory match the file. These commands delete nobody, so an inactive user who is
//! missing from the file is not a difference.

use std::path::Path;

use indicatif::ProgressBar;
use roaring::RoaringBitmap;
use serde_json::{Value, json};

use super::super::output::{self, Column, Format, Listing, column, elements, text_of};
use super::super::{Failure, ask, program, quoted, status};
use super::args;
use super::claims::{Claims, Standing};
use super::file::UserFile;
use super::file_name::quoted_file;
use super::progress;
use super::statuses::Statuses;
use super::{USERS, each_page, is_active};
use crate::columns::RowOutcome;
use crate::directory::UserId;
use crate::limits;
use crate::local::Client;

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
) -> Result<(), Failure> {
    let (users, newest) = count_and_newest(client)?;
    let mut diff = Diff {
        typed,
        listing: Listing::new(typed.output.output, COLUMNS),
        held: Vec::new(),
        bar: progress::bar(user_file.rows + users, "rows and users"),
        newest,
        seen: RoaringBitmap::new(),
        claims: Claims::default(),
        is_part: false,
        others: Others::default(),
        count: 0,
        needs_import: false,
        refused: 0,
        statuses: Statuses::new(typed.statuses.as_deref())?,
    };
    let compared = diff.compare_all(client, &mut user_file);
    diff.end(compared, &user_file)
        .map_err(|failure| match &typed.statuses {
            Some(file) if failure.is_reader_gone => {
                let what = format!(
                    "standard output was closed: {} is not written",
                    file.display()
                );
                Failure::new(status::IO, what)
            }
            _ => failure,
        })
}

/// The number of users, and the sequence number of the newest one, if there is one.
fn count_and_newest(client: &mut Client) -> Result<(u64, Option<u32>), Failure> {
    let count = ask(client, "GET", &format!("{USERS}?count=0"), None)?;
    let count = count["totalResults"].as_u64().unwrap_or_default();
    let target = format!("{USERS}?startIndex={count}&count=1&attributes=userName");
    let page = ask(client, "GET", &target, None)?;
    let newest = elements(&page["Resources"]).last().and_then(sequence_of);
    Ok((count, newest))
}

fn sequence_of(user: &Value) -> Option<u32> {
    Some(UserId::parse(user["id"].as_str()?)?.sequence())
}

fn difference(line: &Value, who: &str, what: &str) -> Value {
    json!({"line": line, "userName": who, "difference": what})
}

/// A comparison in progress.
struct Diff<'a> {
    typed: &'a args::Diff,
    listing: Listing,
    /// Differences that are not printed yet, so that the first page of a table has enough rows to
    /// choose its widths by. Programs get them at once.
    held: Vec<Value>,
    bar: ProgressBar,
    /// The sequence number of the newest user at the start of the comparison.
    newest: Option<u32>,
    /// The sequence numbers of the users that rows are about.
    seen: RoaringBitmap,
    claims: Claims,
    /// Whether the file has only the rows that an import rejected, and so lacks most users.
    is_part: bool,
    others: Others,
    count: u64,
    /// Whether only an import can remove some of the differences.
    needs_import: bool,
    /// The number of rows that could not be read or applied.
    refused: u64,
    statuses: Statuses,
}

/// Users in the directory that no row matches, and for whom no command is printed.
#[derive(Default)]
struct Others {
    /// Users whose email a row gives to a new userName.
    named_otherwise: u64,
    /// Active users with an email of a user that a row matches.
    sharing: u64,
    /// Inactive users that rows match by an email that an active user has. Unlike the others, these
    /// are matched by a row.
    inactive: u64,
    /// Users who were created or renamed while the file was being compared.
    meanwhile: u64,
}

impl Others {
    fn any(&self) -> bool {
        self.named_otherwise + self.sharing + self.inactive + self.meanwhile > 0
    }

    /// Says why there is no command for these users.
    fn tell(&self) {
        let tell = |count: u64, what: &str| {
            if count > 0 {
                output::say(&format!("{} {what}", output::counted(count, "user")));
            }
        };
        tell(
            self.named_otherwise,
            "with an email that the file gives to another userName: let a column userName or id \
             have what they have here, in every line, then compare again (to import the file as \
             it is would create them a second time, unless they are other people)",
        );
        tell(
            self.sharing,
            "with an email of somebody else in the file: deactivate them yourself if they have \
             left",
        );
        tell(
            self.inactive,
            "inactive, but their email is also an active user's: reactivate them yourself if the \
             file means the inactive account, else let a column userName or id name the active \
             one, in every line, then compare again (importing the file as it is would reactivate \
             the inactive account if there is a column for the status)",
        );
        tell(
            self.meanwhile,
            "came or changed their userName meanwhile: compare again",
        );
    }
}

impl Diff<'_> {
    fn compare_all(
        &mut self,
        client: &mut Client,
        user_file: &mut UserFile,
    ) -> Result<(), Failure> {
        self.rows(client, user_file)?;
        let query = "&attributes=userName,active,emails";
        each_page(client, query, usize::MAX, |users| {
            let found = self.only_here(users)?;
            self.bar.inc(users.len() as u64);
            self.show(found)
        })?;
        for id in self.claims.returning() {
            self.statuses.note(true, &id)?;
        }
        Ok(())
    }

    /// Compares each row with its user.
    fn rows(&mut self, client: &mut Client, user_file: &mut UserFile) -> Result<(), Failure> {
        let mut has_rows = false;
        loop {
            let mut lines = user_file.batch()?;
            if lines.is_empty() {
                break;
            }
            has_rows = true;
            let request = json!({"empty": self.typed.empty});
            let target = "/admin/users/compare";
            let outcomes = user_file.outcomes(client, target, request, &mut lines)?;
            let mut found = Vec::new();
            for (line, row) in lines.iter().zip(&outcomes) {
                self.is_part |= line.was_rejected;
                let email = user_file.is_named_by_email().then_some(&*line.who);
                self.claim(row, email);
                self.compare(row, email, &mut found)?;
            }
            self.bar.inc(lines.len() as u64);
            self.show(found)?;
        }
        if has_rows {
            return Ok(());
        }
        // Otherwise all users would have to be deactivated.
        let file = self.typed.file.display();
        let what = format!("{file}: there are no rows: nothing to compare with");
        Err(Failure::new(status::DATA, what))
    }

    /// Records what the row says about users that it does not match. A refused row may be about
    /// anybody. `email` is set if the rows name users by email: in a file with userNames, those
    /// alone say who is in it.
    fn claim(&mut self, row: &Value, email: Option<&str>) {
        let outcome = RowOutcome::of(row);
        match outcome {
            RowOutcome::Absent => self.claims.note_absent(row),
            RowOutcome::Differs => self.claims.note_emails(row),
            _ => {}
        }
        if matches!(outcome, RowOutcome::Same | RowOutcome::Differs)
            && let Some(email) = email
        {
            self.claims.note_found(email);
        }
    }

    fn compare(
        &mut self,
        row: &Value,
        email: Option<&str>,
        found: &mut Vec<Value>,
    ) -> Result<(), Failure> {
        self.seen.extend(sequence_of(row));
        let name = &text_of(row, "userName");
        match RowOutcome::of(row) {
            RowOutcome::Same => {}
            RowOutcome::Absent => {
                self.needs_import = true;
                found.push(difference(&row["line"], name, "not here"));
            }
            RowOutcome::Differs => {
                for one in elements(&row["differences"]) {
                    let mut told = difference(&row["line"], name, &text_of(one, "attribute"));
                    told["here"] = one["here"].clone();
                    told["there"] = one["there"].clone();
                    let id = text_of(row, "id");
                    match (one["attribute"].as_str(), one["there"].as_bool(), email) {
                        (Some("active"), Some(true), Some(email)) => {
                            self.claims.note_returning(email, id);
                        }
                        (Some("active"), Some(is_active), _) => {
                            self.statuses.note(is_active, &id)?;
                        }
                        // Only an import can clear a status.
                        _ => self.needs_import = true,
                    }
                    found.push(told);
                }
            }
            _ => {
                self.refused += 1;
                let what = format!("refused: {}", text_of(row, "reason"));
                found.push(difference(&row["line"], name, &what));
            }
        }
        Ok(())
    }

    /// The users on a page that no row is about.
    fn only_here(&mut self, users: &[Value]) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        for user in users {
            let Some(id) = sequence_of(user).filter(|id| !self.seen.contains(*id)) else {
                continue;
            };
            let inactive = if is_active(user) {
                self.claims.leave_inactive(user)
            } else {
                0
            };
            self.others.inactive += inactive as u64;
            if self.newest < Some(id) {
                self.others.meanwhile += 1;
                continue;
            }
            let name = text_of(user, "userName");
            match self.claims.standing(user) {
                Standing::Meanwhile => self.others.meanwhile += 1,
                Standing::Otherwise(line) => {
                    self.others.named_otherwise += 1;
                    let what = "not there, but this line has the email";
                    found.push(difference(&json!(line), &name, what));
                }
                Standing::Sharing | Standing::Missing if self.is_part || !is_active(user) => {}
                standing => {
                    // A refused row may have been about this user, who would then not be missing.
                    match standing {
                        _ if self.refused > 0 => {}
                        Standing::Sharing if inactive > 0 => {}
                        Standing::Sharing => self.others.sharing += 1,
                        _ => self.statuses.note(false, &text_of(user, "id"))?,
                    }
                    found.push(difference(&Value::Null, &name, "not there"));
                }
            }
        }
        Ok(found)
    }

    fn show(&mut self, found: Vec<Value>) -> Result<(), Failure> {
        self.statuses.refuse_interrupted()?;
        self.count += found.len() as u64;
        self.held.extend(found);
        let is_table = self.typed.output.output == Format::Table;
        if is_table && self.held.len() < limits::LISTED_COUNT_MAX {
            return Ok(());
        }
        self.print_held()
    }

    fn print_held(&mut self) -> Result<(), Failure> {
        let (listing, held) = (&mut self.listing, std::mem::take(&mut self.held));
        if held.is_empty() {
            return Ok(());
        }
        self.bar.suspend(|| listing.page(&held))
    }

    /// Whether an import would create users a second time, or reactivate those who are to stay
    /// inactive.
    fn is_import_harmful(&self, user_file: &UserFile) -> bool {
        let would_reactivate = self.others.inactive > 0 && user_file.has_status_column();
        self.others.named_otherwise > 0 || would_reactivate
    }

    fn end(mut self, compared: Result<(), Failure>, user_file: &UserFile) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let printed = self.print_held();
        compared.and(printed)?;
        let is_harmful = self.is_import_harmful(user_file);
        self.listing.end()?;
        let words = import_words(self.typed);
        if self.is_part {
            output::say(
                "the file has the rows that an import rejected: it says nothing of other users (if \
                 it is complete: --ignore 'rejected because')",
            );
        }
        user_file.tell_managers();
        self.others.tell();
        if self.count == 0 {
            let apart = if user_file.lacks_managers() {
                ", apart from the managers that were left out"
            } else {
                ""
            };
            output::say(&format!("the directory matches the file{apart}"));
            return self.statuses.say(&self.typed.file, &words);
        }
        let is_import_told = self.needs_import && !is_harmful;
        if is_import_told || !self.statuses.is_empty() {
            output::say(if self.refused > 0 {
                "to apply the rows that were not refused:"
            } else if self.needs_import && is_harmful {
                "to apply the changes of status only:"
            } else if self.others.any() {
                "to apply the rest:"
            } else {
                "to make the directory match the file:"
            });
        }
        if is_import_told {
            output::say(&format!("  {} user import {words}", program()));
        }
        self.statuses.say(&self.typed.file, &words)?;
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

/// The arguments that an import needs as well, quoted for a shell.
fn import_words(typed: &args::Diff) -> String {
    let mut words = vec![match typed.file.to_str() {
        Some("-") => "-".to_owned(),
        _ => quoted_file(&typed.file),
    }];
    if typed.empty != "keep" {
        words.push(format!("--empty {}", typed.empty));
    }
    for name in &typed.ignore {
        words.push(format!("--ignore={}", quoted(Path::new(name))));
    }
    words.join(" ")
}
