//! `user delete`: erases users, which cannot be undone. Deactivation is the usual way.

use serde_json::json;

use super::super::{Failure, ask, each, output, status};
use super::output::{Format, Report, text_of};
use super::{USERS, retrieve};
use crate::fix::filled;
use crate::local::Client;

pub(super) fn run(
    client: &mut Client,
    who: &[String],
    is_sure: bool,
    format: Format,
) -> Result<(), Failure> {
    if !is_sure {
        return Err(refused(client, who));
    }
    let mut deleted = 0;
    let mut report = Report::new(format);
    let outcome = each(who, "users", "deleted", |who| {
        let user = retrieve(client, who)?;
        let target = format!("{USERS}/{}", text_of(&user, "id"));
        ask(client, "DELETE", &target, None)?;
        deleted += 1;
        let document = json!({"id": user["id"], "userName": user["userName"],
                              "outcome": "deleted"});
        let words = format!("{} is deleted", output::printable(who));
        report.print(&words, &document);
        Ok(())
    });
    if deleted > 0 {
        let hint = "an identity provider that still has them assigned creates them again; what \
                    remains of them here: `{program} manual audit`";
        output::hint(&filled(hint));
    }
    report.end(outcome)
}

/// Lists the users that would have been deleted, and returns the refusal.
fn refused(client: &mut Client, who: &[String]) -> Failure {
    let found = each(who, "users", "found", |who| {
        let user = retrieve(client, who)?;
        let [name, id] = ["userName", "id"].map(|part| text_of(&user, part));
        output::say(&format!("{name} ({id}) would be deleted"));
        Ok(())
    });
    if let Err(failure) = found {
        failure.tell();
    }
    let what = "nobody was deleted: a deletion needs --yes, and cannot be undone";
    Failure::new(status::USAGE, what).hint(
        "normally use `{program} user deactivate`; an identity provider that still has them \
         assigned creates them again",
    )
}
