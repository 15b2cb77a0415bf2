//! The tokens of clients, for the command line: lists, issues, changes, rotates and revokes them;
//! and the temporary tokens for our own requests.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]

use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::{Administrator, Issue, Mode, Scope, Terms, Token, TokenId, TokenText};
use crate::clock::Instant;
use crate::directory;
use crate::limits;
use crate::network;
use crate::scim::json;
use crate::test_user;

/// `GET /admin/tokens`.
pub(super) fn list(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    settle(api);
    let now = api.clock.now();
    let tokens = all_described(&api.tokens.list(now), now);
    Ok(reply::json(200, &json!({"tokens": tokens})))
}

/// `GET /admin/tokens/{name or id}`.
pub(super) fn show(api: &Api, admission: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    settle(api);
    let now = api.clock.now();
    let tokens = api.tokens.find(admission.parameter(), now);
    if tokens.is_empty() {
        return Err(Problem::new(404, "no token has this name or id"));
    }
    let tokens = all_described(&tokens, now);
    Ok(reply::json(200, &json!({"tokens": tokens})))
}

/// `POST /admin/tokens`: issues a token. No later answer shows its text.
pub(super) fn issue(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let bad = |what: String| Problem::new(400, what);
    let expires = match text(&wanted, "expires")? {
        None => None,
        Some(text) => Some(
            Instant::parse(text)
                .ok_or_else(|| bad("expires must be an RFC 3339 time".to_owned()))?,
        ),
    };
    let issue = Issue {
        name: text(&wanted, "name")?.unwrap_or_default().to_owned(),
        scope: parsed(&wanted, "scope")?.unwrap_or(Scope::Provision),
        mode: parsed(&wanted, "mode")?.unwrap_or(Mode::Compatible),
        expires,
        rate_limit: rate_limit(&wanted)?,
        allow_from: allow_from(&wanted)?,
        issued_by: Some(admission.caller().principal),
    };
    let now = api.clock.now();
    if expires.is_some_and(|expires| expires <= now) {
        return Err(bad("the token would have expired already".to_owned()));
    }
    let (token, text) = api.tokens.issue(issue, now, |token| {
        audit_row_with_limits(admission, now, "token.issue", token, &[])
    })?;
    Ok(reply::json(201, &with_text(&token, &text, now)))
}

/// `PATCH /admin/tokens/{name or id}`: changes what is in the body, and nothing else.
pub(super) fn change(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let has = |name: &str| wanted.get(name).is_some();
    let terms = Terms {
        scope: parsed(&wanted, "scope")?,
        mode: parsed(&wanted, "mode")?,
        rate_limit: has("rateLimit").then(|| rate_limit(&wanted)).transpose()?,
        allow_from: has("allowFrom").then(|| allow_from(&wanted)).transpose()?,
    };
    if terms == Terms::default() {
        return Err(Problem::new(400, "the request changes nothing"));
    }
    let now = api.clock.now();
    let changed = api
        .tokens
        .change(admission.parameter(), &terms, now, |token| {
            audit_row_with_limits(admission, now, "token.change", token, &[])
        })?;
    let changed = all_described(&changed, now);
    Ok(reply::json(200, &json!({"tokens": changed})))
}

/// `POST /admin/tokens/{name or id}/rotate`.
pub(super) fn rotate(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let overlap = wanted.get("overlapSeconds").and_then(Value::as_i64);
    let Some(overlap) = overlap.filter(|seconds| *seconds >= 0) else {
        return Err(Problem::new(400, "overlapSeconds must be a number from 0"));
    };
    let now = api.clock.now();
    let by = admission.caller().principal;
    let overlap_ends = now.plus_seconds(overlap);
    let row = |token: &Token, old: &[Token]| {
        audit_row_with_limits(admission, now, "token.rotate", token, old)
    };
    let rotated = api
        .tokens
        .rotate(admission.parameter(), overlap, now, &by, row)?;
    let mut shown = with_text(&rotated.token, &rotated.text, now);
    shown["old"] = json!(all_described(&rotated.old, now));
    shown["overlapEnds"] = json!(overlap_ends.to_string());
    Ok(reply::json(201, &shown))
}

/// `DELETE /admin/tokens/{name or id}`.
pub(super) fn revoke(api: &Api, admission: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let now = api.clock.now();
    let revoked = api.tokens.revoke(admission.parameter(), now, |token| {
        audit_row(admission, now, "token.revoke", token)
    })?;
    let ids: Vec<&TokenId> = revoked.iter().map(|token| &token.id).collect();
    Ok(reply::json(200, &json!({"revoked": ids})))
}

/// `POST /admin/passing-tokens`: a token for our own requests, kept in memory only.
pub(super) fn issue_temporary(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    body: &[u8],
) -> Outcome {
    let wanted = json::parse(body)?;
    let scope = parsed(&wanted, "scope")?.unwrap_or(Scope::Read);
    let now = api.clock.now();
    let seconds = limits::TEMPORARY_TOKEN_SECONDS;
    let (token, text) = api
        .tokens
        .issue_temporary(test_user::TOKEN, scope, seconds, now);
    log::info!(
        "{} a token of scope {scope} is valid for {seconds} s: token:{}:{}",
        admission.caller().principal,
        token.id,
        token.name
    );
    Ok(reply::json(
        201,
        &json!({"id": token.id, "token": text.reveal()}),
    ))
}

/// `DELETE /admin/passing-tokens/{id}`: forgets the token, and says whether it was ever used.
pub(super) fn forget_temporary(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    _: &[u8],
) -> Outcome {
    let was_used = api.tokens.forget_temporary(admission.parameter());
    Ok(reply::json(200, &json!({"used": was_used})))
}

/// Settles changes that were not confirmed, since administrators look for them in a list of tokens.
/// If the store cannot tell yet, tokens that may exist are listed.
fn settle(api: &Api) {
    if let Err(error) = api.tokens.settle() {
        log::warn!("it is not known yet whether a change of tokens was written: {error:?}");
    }
}

/// A string member of the body, if it is there.
fn text<'a>(wanted: &'a Value, name: &str) -> Result<Option<&'a str>, Problem> {
    match wanted.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::new(400, format!("{name} must be a text"))),
    }
}

/// A string member of the body, parsed, if it is there.
fn parsed<T: FromStr<Err = String>>(wanted: &Value, name: &str) -> Result<Option<T>, Problem> {
    let parsed = text(wanted, name)?.map(str::parse).transpose();
    parsed.map_err(|what| Problem::new(400, what))
}

fn rate_limit(wanted: &Value) -> Result<Option<u32>, Problem> {
    match wanted.get("rateLimit") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|rate| u32::try_from(rate).ok())
            .filter(|rate| *rate > 0)
            .map(Some)
            .ok_or_else(|| Problem::new(400, "rateLimit must be a whole number from 1")),
    }
}

/// Networks in CIDR notation, or single addresses.
fn allow_from(wanted: &Value) -> Result<Vec<IpNet>, Problem> {
    let listed = match wanted.get("allowFrom") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(listed)) if listed.len() <= limits::ALLOWED_NETWORKS_MAX => listed,
        Some(_) => {
            return Err(Problem::new(
                400,
                format!(
                    "allowFrom must be a list of at most {} networks",
                    limits::ALLOWED_NETWORKS_MAX
                ),
            ));
        }
    };
    listed
        .iter()
        .map(|text| {
            let typed = text.as_str().unwrap_or_default();
            network::parse(typed).map_err(|why| Problem::new(400, format!("{text} {why}")))
        })
        .collect()
}

fn with_text(token: &Token, text: &TokenText, now: Instant) -> Value {
    let mut shown = described(token, now);
    shown["token"] = json!(text.reveal());
    shown
}

fn all_described(tokens: &[Arc<Token>], now: Instant) -> Vec<Value> {
    tokens.iter().map(|token| described(token, now)).collect()
}

fn described(token: &Token, now: Instant) -> Value {
    let last = token.last_used();
    json!({
        "id": token.id,
        "name": token.name,
        "scope": token.scope.as_str(),
        "mode": token.mode.as_str(),
        "created": token.created.to_string(),
        "expires": token.expires.map(|expires| expires.to_string()),
        "lastUsed": last.as_ref().map(|last| last.at.to_string()),
        "lastUsedFrom": last.as_ref().and_then(|last| last.from),
        "lastUsedBy": last.as_ref().and_then(|last| last.by.as_deref()),
        "rateLimit": token.rate_limit,
        "allowFrom": token.allow_from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "issuedBy": token.issued_by,
        "state": token.state(now).as_str(),
    })
}

/// The audit row for a revoked token.
fn audit_row(admission: &Admission, now: Instant, kind: &str, token: &Token) -> String {
    directory::event(&admission.caller(), now, kind, &identity(token))
}

/// The audit row for a new or changed token: everything that limits what the token may do, and when
/// each token that it replaces ends.
fn audit_row_with_limits(
    admission: &Admission,
    now: Instant,
    kind: &str,
    token: &Token,
    replaced: &[Token],
) -> String {
    let mut details = identity(token);
    let shown = described(token, now);
    for name in ["mode", "expires", "rateLimit", "allowFrom"] {
        details.insert(name.to_owned(), shown[name].clone());
    }
    if !replaced.is_empty() {
        let ends =
            |old: &Token| json!({"token": old.id, "ends": old.expires.map(|end| end.to_string())});
        details.insert("replaces".to_owned(), replaced.iter().map(ends).collect());
    }
    directory::event(&admission.caller(), now, kind, &details)
}

fn identity(token: &Token) -> Map<String, Value> {
    let mut identity = Map::new();
    identity.insert("token".to_owned(), json!(token.id));
    identity.insert("name".to_owned(), json!(token.name));
    identity.insert("scope".to_owned(), json!(token.scope.as_str()));
    identity
}
