//! For `user diff`: what the rows say about users that no row has matched.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use serde_json::Value;

use super::super::output::{elements, text_of};
use crate::scim::fold::fold;

/// The userNames and emails in the rows, as hashes.
#[derive(Default)]
pub(super) struct Claims {
    /// The userNames of rows that match no user.
    absent: HashSet<u64>,
    /// Those userNames and the emails of the same rows, each with the line of the first such row.
    lines: HashMap<u64, u64>,
    /// Emails of matched users, or that rows would give them.
    found: HashSet<u64>,
    /// The ids of inactive users whom rows match by email and want to be active, by that email.
    returning: HashMap<u64, String>,
    hasher: RandomState,
}

/// How a user that no row matches relates to the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The user was created or renamed after the row with this userName had been compared.
    Meanwhile,
    /// The user has an email or the userName of the row on this line, which matches no user: most
    /// likely both are the same person.
    Otherwise(u64),
    /// The user has an email that a matched user has or would get, as a second account does.
    Sharing,
    /// The user is not in the file.
    Missing,
}

impl Claims {
    /// Records a row that matches no user, as the server describes it.
    pub(super) fn note_absent(&mut self, row: &Value) {
        let name = text_of(row, "userName");
        self.absent.insert(self.hash(&name));
        let line = row["line"].as_u64().unwrap_or_default();
        for text in emails(row).chain([&*name]) {
            let text = self.hash(text);
            self.lines.entry(text).or_insert(line);
        }
    }

    /// Records the emails that a row's user would get, as the server describes them.
    pub(super) fn note_emails(&mut self, row: &Value) {
        emails(row).for_each(|email| self.note_found(email));
    }

    /// Records the email by which a row has matched its user.
    pub(super) fn note_found(&mut self, email: &str) {
        self.found.insert(self.hash(email));
    }

    /// Records the email by which a row has matched its inactive user, who is to become active.
    pub(super) fn note_returning(&mut self, email: &str, id: String) {
        self.returning.insert(self.hash(email), id);
    }

    /// Keeps inactive users as they are if `active`, a user that no row matches, has their email:
    /// most likely that is the person's account. Returns how many users are kept.
    pub(super) fn leave_inactive(&mut self, active: &Value) -> usize {
        let before = self.returning.len();
        for email in elements(&active["emails"]) {
            self.returning.remove(&self.hash(&text_of(email, "value")));
        }
        before - self.returning.len()
    }

    /// The ids of the users to reactivate, in the order of their creation.
    pub(super) fn returning(&mut self) -> Vec<String> {
        let mut ids: Vec<String> = self.returning.drain().map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn standing(&self, user: &Value) -> Standing {
        let name = self.hash(&text_of(user, "userName"));
        if self.absent.contains(&name) {
            return Standing::Meanwhile;
        }
        let emails = elements(&user["emails"]).iter();
        let texts = emails.map(|email| self.hash(&text_of(email, "value")));
        let texts: Vec<u64> = texts.chain([name]).collect();
        if let Some(line) = texts.iter().find_map(|text| self.lines.get(text)) {
            Standing::Otherwise(*line)
        } else if texts.iter().any(|text| self.found.contains(text)) {
            Standing::Sharing
        } else {
            Standing::Missing
        }
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(fold(text.trim()))
    }
}

fn emails(row: &Value) -> impl Iterator<Item = &str> {
    elements(&row["emails"]).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An identity provider creates users while the file is being compared. Deactivating them would
    /// lock out people who have just arrived.
    #[test]
    fn a_user_of_a_row_who_came_after_it_is_no_leaver() {
        let mut claims = Claims::default();
        claims.note_absent(&json!({"line": 2, "userName": "new", "emails": ["new@x"]}));
        claims.note_absent(&json!({"line": 3, "userName": "later@x"}));
        claims.note_emails(&json!({"line": 4, "emails": ["moved@x"]}));
        claims.note_found("old@x");
        for (name, email, wanted) in [
            ("new", "new@x", Standing::Meanwhile),
            ("jnew", "new@x", Standing::Otherwise(2)),
            ("new@x", "", Standing::Otherwise(2)),
            ("later", "later@x", Standing::Otherwise(3)),
            ("moved", "moved@x", Standing::Sharing),
            ("admin-old", " OLD@x", Standing::Sharing),
            ("left@x", "left@x", Standing::Missing),
        ] {
            let user = json!({"userName": name, "emails": [{"value": email}]});
            assert_eq!(claims.standing(&user), wanted, "{name}");
        }
    }

    /// One of them may be about the user, although another has matched somebody.
    #[test]
    fn of_rows_with_one_email_the_one_that_found_nobody_counts() {
        let mut claims = Claims::default();
        claims.note_found("a@x");
        for line in [2, 3] {
            let row = json!({"line": line, "userName": format!("{line}"), "emails": ["a@x"]});
            claims.note_absent(&row);
        }
        let user = json!({"userName": "a", "emails": [{"value": "a@x"}]});
        assert_eq!(claims.standing(&user), Standing::Otherwise(2));
    }
}
