//! Whom the trials of `check` leave: of a run that was cut short, or since what stands before the
//! server let no deletion through. They go through the local door, before which nothing stands.

use super::{Findings, Halt, ask, sent};
use crate::cli::answered;
use crate::cli::output::text_of;
use crate::http1::target::encode;
use crate::local::Client;
use crate::made_up::{self, is_made_up};

/// Pages of them that are deleted at one time.
const PAGES_MAX: usize = 100;

/// Plays something that makes users. Whom an earlier run has left goes before, whom this one
/// leaves after it, also when it ends early; their names come with what it brought.
pub(super) fn around<T>(
    topic: &str,
    client: &mut Client,
    findings: &mut Findings,
    play: impl FnOnce(&mut Client, &mut Findings) -> Result<T, Halt>,
) -> Result<(T, Vec<String>), Halt> {
    for name in delete(client)? {
        findings.pass(topic, &format!("{name} of an earlier run is deleted"))?;
    }
    let outcome = play(client, findings);
    if matches!(outcome, Err(Halt::Silence(_))) {
        // It cannot be asked: the next run deletes them.
        return outcome.map(|brought| (brought, Vec::new()));
    }
    let deleted = delete(client);
    Ok((outcome?, deleted?))
}

/// Tells that there are some, where nothing is to be written.
pub(super) fn warn(client: &mut Client, findings: &mut Findings) -> Result<(), Halt> {
    let found = page(client)?;
    let Some((_, name)) = found.first() else {
        return Ok(());
    };
    let what = format!("an earlier run was cut short, and has left users, such as {name}");
    let mend = findings.command("check --write");
    findings.warn("users made", &what, &mend)
}

/// What is told of those whom a run has left.
pub(super) fn deleted(names: &[String]) -> String {
    format!("left by the requests, and deleted: {}", names.join(", "))
}

/// Deletes all of them, and nobody else; the names.
fn delete(client: &mut Client) -> Result<Vec<String>, Halt> {
    let mut names = Vec::new();
    for _ in 0..PAGES_MAX {
        let found = page(client)?;
        if found.is_empty() {
            break;
        }
        for (id, name) in found {
            let target = format!("/scim/v2/Users/{id}");
            let response = sent(client, "DELETE", &target, None)?;
            // Another run, or somebody who typed it, was quicker.
            if response.status != 404 {
                answered(&response).map_err(|failure| Halt::Oddity(failure.what))?;
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// The ids and names of some of them, of none only if there are none.
fn page(client: &mut Client) -> Result<Vec<(String, String)>, Halt> {
    let filter = format!(
        "userName co \"{}\" and userName ew \"{}\"",
        made_up::MARK,
        made_up::SUFFIX
    );
    let target = format!(
        "/scim/v2/Users?filter={}&attributes=userName",
        encode(&filter)
    );
    let found = ask(client, "GET", &target, None)?;
    let users = found["Resources"].as_array().map_or(&[][..], Vec::as_slice);
    let named = users
        .iter()
        .map(|user| (text_of(user, "id"), text_of(user, "userName")));
    Ok(named.filter(|(_, name)| is_made_up(name)).collect())
}
