//! The audit trail for administrators: lists its rows in pages, verifies it in steps, and records
//! what a command does by itself. These are only the handlers: `directory` searches and verifies,
//! and rows are otherwise written with each change.

use serde_json::{Map, Value, json};

use super::Api;
use super::parameters::{self, sequence};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Administrator;
use crate::clock::Instant;
use crate::directory::{self, Wanted, Way};
use crate::limits;
use crate::scim::json;
use crate::store::Change;

/// What commands do by themselves and have recorded: the kinds of rows, and their members.
const RECORDED: [(&str, &[&str]); 2] = [
    ("user.export", &["path", "count"]),
    (
        "cert.install",
        &["path", "names", "notAfter", "fingerprint"],
    ),
];

/// `GET /admin/audit`: at most `count` of the wanted rows, from `first` on, or newest first from
/// the row before `before`. The answer also says where the next request continues, and which users
/// had the userName `user` as well.
pub(super) fn list(api: &Api, admission: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let way = match sequence(admission, "before")? {
        Some(end) => Way::Before(end),
        None => Way::From(sequence(admission, "first")?.unwrap_or(1)),
    };
    let count = sequence(admission, "count")?.unwrap_or(limits::COUNT_MAX as u64);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let wanted = Wanted {
        since: moment(admission, "since")?,
        until: moment(admission, "until")?,
        users: match admission.query("user") {
            Some(who) => {
                let users = api.directory.known_as(who)?;
                if users.is_empty() {
                    return Err(unknown(api, who));
                }
                Some(users)
            }
            None => None,
        },
        name: admission.query("user").map(str::to_owned),
        token: admission.query("token").map(str::to_owned),
        request: None,
    };
    let count = count.clamp(1, limits::ADMINISTRATOR_COUNT_MAX);
    let found = api.directory.trail(&wanted, way, count)?;
    let namesakes = found.namesakes.iter();
    let namesakes = namesakes.map(|(id, last)| json!({"user": id.to_string(), "last": last}));
    Ok(reply::json(
        200,
        &json!({
            "rows": found.rows,
            "next": found.next,
            "namesakes": namesakes.collect::<Vec<_>>(),
            "first": found.extent.first,
            "end": found.extent.next,
        }),
    ))
}

fn unknown(api: &Api, who: &str) -> Problem {
    let snapshot = api.store.snapshot().ok();
    let removed = match snapshot.and_then(|it| it.audit_extent().ok()) {
        Some(extent) if extent.first > 1 => format!(
            "; the rows before {} were removed: older backups have them",
            extent.first
        ),
        _ => String::new(),
    };
    let what = format!("the audit trail has no rows about a user {who}{removed}");
    Problem::new(404, what)
}

/// `POST /admin/audit/verification`: one step of a verification; `run` names the one to continue.
pub(super) fn verify(api: &Api, _: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let run = wanted.get("run").and_then(Value::as_u64);
    let Some(report) = api.directory.verify(run)? else {
        return Err(Problem::new(
            409,
            "another verification was started, or this one was not continued in time: start again",
        ));
    };
    Ok(reply::json(
        200,
        &json!({
            "run": report.run,
            "isDone": report.is_done,
            "stage": report.stage,
            "rows": report.rows,
            "kept": report.kept,
            "users": report.users,
            "first": report.first,
            "findings": report.findings,
            "found": report.found,
        }),
    ))
}

/// `POST /admin/audit`: a row about what a command does by itself. The body is its `kind` and the
/// other members of its row.
pub(super) fn record(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let told = json::parse(body)?;
    let of_kind = RECORDED.iter().find(|(kind, _)| told["kind"] == *kind);
    let (kind, names) = of_kind.ok_or_else(|| {
        let what = "kind must be one of those that commands have recorded";
        Problem::new(400, what)
    })?;
    let members = names.iter();
    let members = members.map(|name| ((*name).to_owned(), told[*name].clone()));
    let details: Map<String, Value> = members.collect();
    // The row would be taken for one about a user if an object in it has a member of that name.
    if details.values().any(has_object) {
        return Err(Problem::new(
            400,
            "a member of the row may contain no object",
        ));
    }
    let row = directory::event(&admission.caller(), api.clock.now(), kind, &details);
    api.store.commit(Change::none().audit(row))?;
    Ok(reply::json(201, &json!({})))
}

fn has_object(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_object),
        value => value.is_object(),
    }
}

fn moment(admission: &Admission, name: &str) -> Result<Option<Instant>, Problem> {
    let text = admission.query(name);
    text.map(|text| parameters::moment(Some(text), name))
        .transpose()
}
