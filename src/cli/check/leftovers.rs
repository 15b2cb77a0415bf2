//! Users that the trials of `check` left behind because a run was interrupted or a proxy blocked a
//! deletion. They are deleted through the local socket, which has no proxy in front of it.
//!
//! Their userName ends in [`SUFFIX`], but any client with write access can give any user such a
//! name, and a deletion cannot be undone. So this deletes only users that, according to the audit
//! trail, were created under such a name with a token of a run.

use std::fmt::Write as _;

use super::provider_requests::Trial;
use super::{Findings, Halt, ask, command, sent};
use crate::cli::output::{elements, text_of};
use crate::cli::{answered, operand};
use crate::http1::target::encode;
use crate::limits;
use crate::local::Client;
use crate::test_user::{SUFFIX, TOKEN, is_test_user};

/// How many rows of a user's history one request asks for.
const ROWS: usize = 50;

/// Runs `play`, which creates users. Deletes the leftovers of earlier runs before it, and those of
/// this run after it, even if it ends early. Returns the names of the latter with the result.
pub(super) fn around<T>(
    topic: &str,
    trial: &mut Trial<'_>,
    play: impl FnOnce(&mut Trial<'_>) -> Result<T, Halt>,
) -> Result<(T, Vec<String>), Halt> {
    let (gone, others) = delete(trial.client)?;
    for name in gone {
        let what = format!("{name} of an earlier run is deleted");
        trial.findings.pass(topic, &what)?;
    }
    tell_of_others(&others, trial.findings)?;
    let outcome = play(trial);
    if matches!(outcome, Err(Halt::Timeout(_))) {
        // The server does not answer, so the next run deletes the leftovers.
        return outcome.map(|brought| (brought, Vec::new()));
    }
    let deleted = delete(trial.client);
    Ok((outcome?, deleted?.0))
}

/// Reports leftovers in a run that is not allowed to write.
pub(super) fn warn(client: &mut Client, findings: &mut Findings) -> Result<(), Halt> {
    let mut others = Vec::new();
    let mut left = None;
    for (id, name) in page(client, 1)? {
        if is_created_so(client, &id)? {
            left = Some(name);
            break;
        }
        others.push(name);
    }
    tell_of_others(&others, findings)?;
    let Some(name) = left else {
        return Ok(());
    };
    let what = format!(
        "an earlier run was interrupted and has left users behind, such as {name}; or one is under \
         way"
    );
    let fix = command("check --write");
    findings.warn("users made", &what, &fix)
}

/// Reports users who got such a name only later or from something else, or whose creation is no
/// longer in the trail.
fn tell_of_others(names: &[String], findings: &mut Findings) -> Result<(), Halt> {
    const NAMES_MAX: usize = 10;
    let Some(first) = names.first() else {
        return Ok(());
    };
    let told = names.iter().take(NAMES_MAX);
    let mut told = told.map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        let _ = write!(told, " and {} more", names.len() - NAMES_MAX);
    }
    let what =
        format!("named like users made by a check, but not made by one, so not deleted: {told}");
    let fix = command(&format!("user history {}", operand(first)));
    let fix = format!(
        "find out who this was, and restore the old userName, or deactivate whoever never had \
         another: {fix}"
    );
    findings.warn("users made", &what, &fix)
}

/// The finding about users that a run left behind and that were then deleted.
pub(super) fn deleted(names: &[String]) -> String {
    format!(
        "left over from the requests, now deleted: {}",
        names.join(", ")
    )
}

/// Deletes the leftovers and no other users. Returns the names of the deleted users, and those of
/// other users with such names.
fn delete(client: &mut Client) -> Result<(Vec<String>, Vec<String>), Halt> {
    let (mut gone, mut others) = (Vec::new(), Vec::new());
    for _ in 0..limits::LEFTOVER_PAGES_MAX {
        let found = page(client, others.len() + 1)?;
        if found.is_empty() {
            break;
        }
        for (id, name) in found {
            if !is_created_so(client, &id)? {
                others.push(name);
                continue;
            }
            let target = format!("/scim/v2/Users/{id}");
            let response = sent(client, "DELETE", &target, None)?;
            // 404: another run or an administrator has already deleted the user.
            if response.status != 404 {
                answered(&response).map_err(|failure| Halt::UnexpectedAnswer(failure.what))?;
                gone.push(name);
            }
        }
    }
    Ok((gone, others))
}

/// Whether a run created the user under such a name. Reads the trail from its end, since leftovers
/// are usually recent.
fn is_created_so(client: &mut Client, id: &str) -> Result<bool, Halt> {
    let user = encode(id);
    let mut end = Some(u64::MAX);
    while let Some(before) = end {
        let target = format!("/admin/audit?user={user}&before={before}&count={ROWS}");
        let response = sent(client, "GET", &target, None)?;
        // The user has been deleted in the meantime and is not in the trail.
        if response.status == 404 {
            return Ok(false);
        }
        let page = answered(&response).map_err(|failure| Halt::UnexpectedAnswer(failure.what))?;
        let mut rows = elements(&page["rows"]).iter();
        if let Some(row) = rows.find(|row| row["kind"] == "create") {
            let by = text_of(row, "principal");
            let mut by = by.splitn(3, ':');
            // A real person who was renamed to such a name may have been created again from an
            // export.
            let is_by_run = by.next() == Some("token") && by.nth(1) == Some(TOKEN);
            return Ok(is_by_run && is_test_user(&text_of(row, "userName")));
        }
        end = page["next"].as_u64();
    }
    Ok(false)
}

/// A page of users with such names, as pairs of id and name in order of creation, beginning at
/// position `first`. Empty only if there are none. The search spares the filter all other users.
fn page(client: &mut Client, first: usize) -> Result<Vec<(String, String)>, Halt> {
    let filter = format!("userName ew \"{SUFFIX}\"");
    let target = format!(
        "/scim/v2/Users?search={}&filter={}&attributes=userName&startIndex={first}",
        encode(SUFFIX),
        encode(&filter)
    );
    let found = ask(client, "GET", &target, None)?;
    let users = elements(&found["Resources"]).iter();
    let named = users.map(|user| (text_of(user, "id"), text_of(user, "userName")));
    Ok(named.collect())
}
