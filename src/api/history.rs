//! The past of users, and undoing changes: for the commands `user show --at`, `user show --before`
//! and `user undo`.

use serde_json::{Value, json};

use super::Api;
use super::parameters::{moment, sequence};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Administrator;
use crate::directory::{self, Beginning, Manner, Obstacle, Past, Then, ToUndo, Undone};
use crate::scim::json;

/// `GET /admin/users/{userName or id}/past?at=TIME`: the user as it was then; with
/// `before=SEQUENCE` instead, before that change.
pub(super) fn past(api: &Api, admission: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let (then, words) = if let Some(change) = sequence(admission, "before")? {
        (Then::Before(change), format!("before change {change}"))
    } else {
        let at = moment(admission.query("at"), "at")?;
        (Then::At(at), format!("at {at}"))
    };
    let who = admission.parameter();
    let past = api.directory.at(who, then);
    let past = past.map_err(|error| match (error, then) {
        (directory::Error::NotFound, Then::Before(change)) => no_change(change),
        (error, _) => error.into(),
    })?;
    match past {
        Past::Was(record) => {
            let resource = Value::Object(record.resource(api.base_url()));
            Ok(reply::scim_value(&resource))
        }
        Past::Absent => Err(Problem::new(
            404,
            format!(
                "there was no user {who} {words}: `user history WHO` shows when it was created and \
                 deleted"
            ),
        )),
        Past::Forgotten(oldest) => {
            let since = oldest.map_or_else(String::new, |oldest| format!(" before {oldest}"));
            Err(Problem::new(
                404,
                format!("the audit trail's rows{since} were removed: older backups have them"),
            ))
        }
    }
}

/// `POST /admin/undo`: undoes the change `change`, or all changes since `since`, which is a time or
/// the number of a change. With `token`, only the changes by that token since then are undone. The
/// work continues after the user with the sequence `after`. `force` and `dryRun` are as in
/// [`Manner`].
pub(super) fn undo(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let is = |name: &str| wanted[name].as_bool().unwrap_or(false);
    let selection = match wanted["change"].as_u64() {
        Some(sequence) => ToUndo::Change(sequence),
        None => ToUndo::Since {
            since: match wanted["since"].as_u64() {
                Some(sequence) => Beginning::Change(sequence),
                None => Beginning::Moment(moment(wanted["since"].as_str(), "since")?),
            },
            token: wanted["token"].as_str().map(str::to_owned),
        },
    };
    let manner = Manner {
        is_forced: is("force"),
        is_dry_run: is("dryRun"),
    };
    let after = wanted["after"]
        .as_u64()
        .and_then(|it| u32::try_from(it).ok());
    let page = api
        .directory
        .undo(&selection, manner, after, &admission.caller());
    let named = wanted["change"].as_u64().or(wanted["since"].as_u64());
    let page = page.map_err(|error| match (error, named) {
        (directory::Error::NotFound, Some(sequence)) => no_change(sequence),
        (error, _) => error.into(),
    })?;
    let users = page.undone.into_iter();
    let users: Vec<Value> = users
        .map(|undone| described(api, admission, undone))
        .collect();
    Ok(reply::json(
        200,
        &json!({"users": users, "next": page.next}),
    ))
}

fn no_change(sequence: u64) -> Problem {
    let what = format!("there is no change {sequence} of a user: `user history WHO` lists them");
    Problem::new(404, what)
}

fn described(api: &Api, admission: &Admission, undone: Undone) -> Value {
    let mut described = json!({
        "user": undone.user.to_string(),
        "userName": undone.user_name,
        "changes": undone.changes,
        "isCreation": undone.is_creation,
    });
    match undone.outcome {
        Ok(restored) => {
            let values = restored.values.into_iter().map(|(attribute, now, then)| {
                json!({"attribute": attribute, "before": now, "after": then})
            });
            described["values"] = values.collect();
            described["attributes"] = json!(restored.attributes);
            described["isDeactivated"] = json!(restored.lost_access);
        }
        Err(obstacle) => {
            if let Obstacle::Deletion {
                change,
                is_name_taken,
            } = &obstacle
            {
                described["deletion"] = json!(change);
                described["isNameTaken"] = json!(is_name_taken);
            }
            described["isForceable"] = json!(matches!(obstacle, Obstacle::Touched { .. }));
            described["refused"] = json!(words(api, admission, obstacle));
        }
    }
    described
}

fn words(api: &Api, admission: &Admission, obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::Touched {
            attribute,
            by_change,
            principal,
        } => format!("{attribute} was changed again since, in change {by_change} by {principal}"),
        Obstacle::Deletion { is_name_taken, .. } => if is_name_taken {
            "a deletion cannot be undone, and another user has this userName by now"
        } else {
            "a deletion cannot be undone, but the user can be created again"
        }
        .to_owned(),
        Obstacle::Gone => "the user was deleted since".to_owned(),
        Obstacle::Meanwhile => "the user is being changed right now: try again".to_owned(),
        Obstacle::Other(error) => api.words_of(admission, error),
    }
}
