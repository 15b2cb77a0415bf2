//! Administration: what the command line asks of a running server. Every handler takes an
//! [`Administrator`], which only `local` can make: on the network these paths do not
//! exist.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::Api;
use super::damage::Damage;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::{self, Administrator, Issue, Mode, Scope, Terms, Token, TokenId, TokenText};
use crate::certificate;
use crate::clock::Instant;
use crate::config;
use crate::directory;
use crate::files;
use crate::limits;
use crate::scim::json;
use crate::secret;
use crate::store::{Backup, Change, Counts, OpenError, remove_abandoned};
use crate::test_user;

/// `GET /admin/installation`: what guides and checks must know.
pub(super) fn installation(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let served = api.certificate.as_ref().map(|cell| cell.summary());
    let now = api.clock.now();
    // Without a server: the authority that the last one left in the data directory.
    let private = match &served {
        Some(summary) => summary.authority.clone(),
        None => certificate::authority_summary(&api.data_dir).unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        }),
    };
    Ok(reply::json(
        200,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "baseUrl": (!api.base_url.is_empty()).then_some(&*api.base_url),
            "listens": api.address.map(|address| address.to_string()),
            "dataDirectory": api.data_dir.display().to_string(),
            "rateLimit": api.tuned.get().rate_per_second,
            "users": api.directory.user_count()?,
            "certificate": served.map(|summary| json!({
                "names": summary.names,
                "notAfter": summary.not_after.to_string(),
                "fingerprint": summary.fingerprint,
                "isPublic": summary.public.is_some(),
                "warnings": summary.warnings,
                "chain": summary.chain.iter().map(|link| json!({
                    "subject": link.subject,
                    "issuer": link.issuer,
                    "notAfter": link.not_after.to_string(),
                    "isAccepted": link.accepted.is_some_and(|window| window.holds(now)),
                    "der": STANDARD.encode(&link.der),
                })).collect::<Vec<_>>(),
            })),
            "certificateFiles": api.certificate.as_ref().and_then(|cell| cell.files()),
            "authority": private.as_ref().map(authority),
        }),
    ))
}

fn authority(summary: &certificate::AuthoritySummary) -> Value {
    json!({
        "path": summary.path.display().to_string(),
        "fingerprint": summary.fingerprint,
    })
}

/// `GET /admin/tokens`.
pub(super) fn list_tokens(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    settle_tokens(api);
    let now = api.clock.now();
    let tokens: Vec<Value> = api
        .tokens
        .list(now)
        .iter()
        .map(|token| described(token, now))
        .collect();
    Ok(reply::json(200, &json!({"tokens": tokens})))
}

/// Settles changes that were not confirmed, since administrators look for them in a list of tokens.
/// If the store cannot tell yet, tokens that may exist are listed.
fn settle_tokens(api: &Api) {
    if let Err(error) = api.tokens.settle() {
        log::warn!("it is not known yet whether a change of tokens was written: {error:?}");
    }
}

/// `POST /admin/backup`: a copy of the store for the caller's file `path`. The server may be
/// confined to its data directory, so it makes the copy there, and the caller moves it.
pub(super) fn back_up(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let wanted = json::parse(body)?;
    let path = wanted.get("path").and_then(Value::as_str).map(Path::new);
    let path = path
        .filter(|path| path.is_absolute())
        .ok_or_else(|| Problem::new(400, "path must be an absolute path"))?;
    let now = api.clock.now();
    let store_path = config::store_path(&api.data_dir);
    let snapshot = api.store.snapshot().map_err(directory::Error::from)?;
    let made = {
        // A copy that is still being written must not be taken for a leftover.
        let _alone = api.backing_up.lock();
        let may_go_on = || !api.is_stopping.load(Ordering::Relaxed);
        snapshot.back_up(&store_path, now.seconds(), &may_go_on)
    };
    let (copy, backup) = made.map_err(|error| match error {
        OpenError::Io(io) if files::is_lack_of_space(&io) => {
            Problem::new(507, format!("the server has no room for the copy: {io}"))
        }
        OpenError::Io(io) if io.kind() == io::ErrorKind::Interrupted => Problem::new(
            503,
            "the server is stopping: make the backup again when it runs",
        ),
        OpenError::Io(io) => Problem::new(500, format!("the server cannot make the copy: {io}")),
        _ => unsound(error),
    })?;
    let mut details = Map::new();
    details.insert("path".to_owned(), json!(path));
    let row = directory::event(&admission.caller(), now, "backup.create", &details);
    // The backup exists, even if its row in the audit trail does not.
    if let Err(error) = api.store.commit(Change::none().audit(row)) {
        log::error!("the backup could not be recorded in the audit trail: {error:?}");
    }
    let mut described = described_backup(&backup);
    described["copy"] = json!(copy.file_name().and_then(OsStr::to_str));
    Ok(reply::json(201, &described))
}

impl Api {
    /// Periodic work on backups: removes copies whose command ended before it fetched them, but
    /// none that is being made.
    pub fn tend_backups(&self) {
        let alone = self.backing_up.try_lock();
        if !matches!(alone, Err(TryLockError::WouldBlock)) {
            let store_path = config::store_path(&self.data_dir);
            remove_abandoned(&store_path, self.clock.now().seconds());
        }
    }
}

/// What is in a backup, for the command line to show.
pub fn described_backup(backup: &Backup) -> Value {
    let mut described = described_counts(&backup.counts);
    described["format"] = json!(backup.format);
    described["sha256"] = json!(secret::hex(&backup.digest));
    described
}

fn described_counts(counts: &Counts) -> Value {
    json!({
        "users": counts.users,
        "tokens": counts.tokens,
        "auditRows": counts.audit_rows,
    })
}

/// `GET /admin/tokens/{name or id}`.
pub(super) fn show_token(api: &Api, admission: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    settle_tokens(api);
    let now = api.clock.now();
    let tokens: Vec<Value> = api
        .tokens
        .find(admission.parameter(), now)
        .iter()
        .map(|token| described(token, now))
        .collect();
    if tokens.is_empty() {
        return Err(Problem::new(404, "no token has this name or id"));
    }
    Ok(reply::json(200, &json!({"tokens": tokens})))
}

/// `POST /admin/tokens`: issues a token. No later answer shows its text.
pub(super) fn issue_token(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    body: &[u8],
) -> Outcome {
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
        audit_limits(admission, now, "token.issue", token, &[])
    })?;
    Ok(reply::json(201, &with_text(&token, &text, now)))
}

/// `POST /admin/passing-tokens`: a token for our own requests, kept in memory only.
pub(super) fn issue_temporary_token(
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
pub(super) fn forget_temporary_token(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    _: &[u8],
) -> Outcome {
    let was_used = api.tokens.forget_temporary(admission.parameter());
    Ok(reply::json(200, &json!({"used": was_used})))
}

/// The problem of a store that cannot be read as a whole.
fn unsound(error: OpenError) -> Problem {
    let detail = error.to_string();
    match error {
        OpenError::Damaged(how) => Problem::damaged(Damage::Store(how), detail),
        _ => Problem::new(500, detail),
    }
}

/// `POST /admin/verification`: reads the whole store and says what is in it.
pub(super) fn verify(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let snapshot = api.store.snapshot().map_err(directory::Error::from)?;
    let counts = snapshot.check(directory::describe).map_err(|error| {
        api.store.suspect();
        unsound(error)
    })?;
    Ok(reply::json(200, &described_counts(&counts)))
}

/// `POST /admin/tokens/{name or id}/rotate`.
pub(super) fn rotate_token(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    body: &[u8],
) -> Outcome {
    let wanted = json::parse(body)?;
    let overlap = wanted.get("overlapSeconds").and_then(Value::as_i64);
    let Some(overlap) = overlap.filter(|seconds| *seconds >= 0) else {
        return Err(Problem::new(400, "overlapSeconds must be a number from 0"));
    };
    let now = api.clock.now();
    let by = admission.caller().principal;
    let overlap_ends = now.plus_seconds(overlap);
    let row =
        |token: &Token, old: &[Token]| audit_limits(admission, now, "token.rotate", token, old);
    let rotated = api
        .tokens
        .rotate(admission.parameter(), overlap, now, &by, row)?;
    let old = rotated.old.iter().map(|token| described(token, now));
    let old: Vec<Value> = old.collect();
    let mut shown = with_text(&rotated.token, &rotated.text, now);
    shown["old"] = json!(old);
    shown["overlapEnds"] = json!(overlap_ends.to_string());
    Ok(reply::json(201, &shown))
}

/// `PATCH /admin/tokens/{name or id}`: changes what is in the body, and nothing else.
pub(super) fn change_token(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    body: &[u8],
) -> Outcome {
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
            audit_limits(admission, now, "token.change", token, &[])
        })?;
    let changed = changed.iter().map(|token| described(token, now));
    Ok(reply::json(
        200,
        &json!({"tokens": changed.collect::<Vec<_>>()}),
    ))
}

/// `DELETE /admin/tokens/{name or id}`.
pub(super) fn revoke_token(
    api: &Api,
    admission: &Admission,
    _: &Administrator,
    _: &[u8],
) -> Outcome {
    let now = api.clock.now();
    let revoked = api.tokens.revoke(admission.parameter(), now, |token| {
        audit(admission, now, "token.revoke", token)
    })?;
    let ids: Vec<&TokenId> = revoked.iter().map(|token| &token.id).collect();
    Ok(reply::json(200, &json!({"revoked": ids})))
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
            access::network(typed).map_err(|why| Problem::new(400, format!("{text} {why}")))
        })
        .collect()
}

fn with_text(token: &Token, text: &TokenText, now: Instant) -> Value {
    let mut shown = described(token, now);
    shown["token"] = json!(text.reveal());
    shown
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
fn audit(admission: &Admission, now: Instant, kind: &str, token: &Token) -> String {
    directory::event(&admission.caller(), now, kind, &identity(token))
}

/// The audit row for a new or changed token: all that limits what it may do, and when each token
/// that it replaces ends.
fn audit_limits(
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
