//! What goes wrong: the only map from every error to a status, a `scimType` and a SCIM Error
//! document (RFC 7644 section 3.12).

use serde_json::Value;

use super::damage::Damage;
use super::refusal_cause::Cause;
use super::reply;
use super::request_id::RequestId;
use crate::access::{IssueError, Rejection, Scope};
use crate::directory;
use crate::http1::{Answer, Fault, Field, Method};
use crate::scim::bulk::Endpoint;
use crate::scim::{self, ErrorType, message};
use crate::store::{self, WriteError};
use crate::{limits, logging};

/// What went wrong, for the caller.
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) scim_type: Option<&'static str>,
    pub(super) detail: String,
    headers: Vec<Field>,
    /// The true reason, for the log and the audit trail; the caller does not learn it.
    pub(super) reason: Option<&'static str>,
    pub(super) cause: Option<Cause>,
    pub(super) damage: Option<Damage>,
    /// Whether the problem passes by itself, so that the client should send the same request again.
    pub(super) is_transient: bool,
}

impl Problem {
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            scim_type: None,
            detail: detail.into(),
            headers: Vec::new(),
            reason: None,
            cause: None,
            damage: None,
            is_transient: false,
        }
    }

    /// The problem for a caller in compatible mode: transient problems become 429, after which Okta
    /// tries again. What Okta does after a 503 is not known.
    pub(super) fn for_identity_providers(mut self) -> Self {
        if self.is_transient {
            self.status = 429;
        }
        self
    }

    fn caused(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    pub(super) fn damaged(damage: Damage, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(500, detail);
        problem.damage = Some(damage);
        problem
    }

    /// What the log says about the problem.
    pub(super) fn for_the_log(&self) -> &str {
        self.reason.unwrap_or(&self.detail)
    }

    /// The SCIM Error document. Its detail ends with the request's id: the detail is all that the
    /// administrator of an identity provider sees.
    pub(super) fn into_answer(self, request_id: RequestId) -> Answer {
        let document = self.document(request_id);
        let mut answer = reply::scim(self.status, document.to_string());
        answer.headers.extend(self.headers);
        answer
            .headers
            .push(("X-Request-Id", request_id.to_string().into()));
        answer
    }

    /// The SCIM Error document alone, for an operation of a bulk request.
    pub(super) fn document(&self, request_id: RequestId) -> Value {
        let detail = format!("{} (request {request_id})", self.detail);
        message::error(self.status, self.scim_type, &detail)
    }

    pub(super) fn from_fault(fault: &Fault) -> Self {
        Self::new(fault.status, fault.detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            404,
            "there is nothing at this path: the base URL ends with /scim/v2, users are at /Users",
        )
    }

    pub(super) fn no_such_resource(what: &str) -> Self {
        Self::new(404, format!("there is no {what} with this id"))
    }

    pub(super) fn no_such_user() -> Self {
        Self::no_such_resource("user").caused(Cause::User)
    }

    pub(super) fn method_not_allowed(allowed: &[Method]) -> Self {
        let mut words: Vec<&str> = allowed.iter().map(|method| method.as_str()).collect();
        if words.contains(&"GET") {
            words.push("HEAD");
        }
        let allow = words.join(", ");
        let mut problem = Self::new(405, format!("this path allows only {allow}"));
        problem.headers.push(("Allow", allow.into()));
        problem
    }

    /// A method that the server does not know (RFC 9110 section 9.1).
    pub(super) fn unknown_method() -> Self {
        Self::new(501, "this method is not known here")
    }

    /// An endpoint of RFC 7644 that is not implemented here.
    pub(super) fn endpoint_not_implemented(endpoint: Endpoint) -> Self {
        let (detail, cause) = match endpoint {
            Endpoint::Groups => (
                "groups are not provisioned: untick Push Groups in the identity provider's \
                 application",
                Cause::Groups,
            ),
            Endpoint::Me => (
                "/Me is not supported: an API token belongs to no user",
                Cause::Me,
            ),
        };
        Self::new(501, detail).caused(cause)
    }

    /// 401 (RFC 6750 section 3). Unknown, expired and revoked tokens get the same answer; the log
    /// has the reason.
    pub(super) fn unauthorized(why: Option<Rejection>) -> Self {
        let (detail, challenge) = if why.is_some() {
            (
                "the API token is not valid here: check that all of it was pasted, or issue a new \
                 one with `golinks-scim token issue NAME`",
                "Bearer realm=\"scim\", error=\"invalid_token\"",
            )
        } else {
            (
                "an API token is needed: send it as `Authorization: Bearer TOKEN`",
                "Bearer realm=\"scim\"",
            )
        };
        let mut problem = Self::new(401, detail).caused(Cause::Credentials(why));
        problem.headers.push(("WWW-Authenticate", challenge.into()));
        problem.reason = Some(match why {
            None => "no token was sent",
            Some(Rejection::Malformed) => "what was sent is not a token, or only part of one",
            Some(Rejection::Unknown) => "the token was never issued here",
            Some(Rejection::Expired) => "the token has expired",
            Some(Rejection::Revoked) => "the token was revoked",
            Some(Rejection::Address) => "the token may not be used from this address",
        });
        problem
    }

    /// 429 for an address that failed too often. It says nothing about the token.
    pub(super) fn too_many_failures(retry_after_seconds: u32) -> Self {
        let mut problem = Self::retry(
            429,
            retry_after_seconds,
            "too many requests without a valid token from this address: a valid token is still \
             accepted",
        )
        .caused(Cause::Failures);
        problem.reason = Some("too many failures; further ones are not logged for a minute");
        problem
    }

    /// 403 for a token whose scope does not suffice. Never advises to change the scope of a
    /// provider's token to metrics or the reverse: the token would lose its purpose.
    pub(super) fn insufficient_scope(has: Scope, needed: Scope) -> Self {
        let word = needed.as_str();
        let detail = if [has, needed].contains(&Scope::Metrics) {
            format!(
                "this token may not do that: issue another with `golinks-scim token issue NAME \
                 --scope {word}`"
            )
        } else {
            format!(
                "this token may not do that: `golinks-scim token change NAME --scope {word}` \
                 allows it"
            )
        };
        let mut problem = Self::new(403, detail).caused(Cause::Scope);
        problem.headers.push((
            "WWW-Authenticate",
            format!("Bearer realm=\"scim\", error=\"insufficient_scope\", scope=\"{word}\"").into(),
        ));
        problem
    }

    pub(super) fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self::retry(
            429,
            retry_after_seconds,
            format!(
                "too many requests for this token: come back in {retry_after_seconds} s; \
                 identity providers do that by themselves, nothing is lost"
            ),
        )
        .caused(Cause::Rate)
    }

    pub(super) fn too_many_large_bodies() -> Self {
        Self::crowded("too many large requests are being worked on: try again")
    }

    pub(super) fn ended() -> Self {
        Self::crowded("the connection had to end before the body arrived: send the request again")
    }

    /// 503 for load: nothing is wrong, but there is too much to do at this moment.
    fn crowded(detail: &str) -> Self {
        Self::retry(503, limits::RETRY_SOON_SECONDS, detail).caused(Cause::Load)
    }

    fn retry(status: u16, seconds: u32, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(status, detail);
        problem
            .headers
            .push(("Retry-After", seconds.to_string().into()));
        problem.is_transient = true;
        problem
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::new(
            415,
            "the body must be JSON: send it as Content-Type application/scim+json",
        )
    }

    /// 415, with the codings that are accepted (RFC 9110 section 12.5.3).
    pub(super) fn unsupported_content_coding() -> Self {
        let detail = "the body must not be compressed: send it without Content-Encoding";
        let mut problem = Self::new(415, detail);
        problem.headers.push(("Accept-Encoding", "identity".into()));
        problem
    }

    pub(super) fn precondition_failed() -> Self {
        Self::new(
            412,
            "the user's version does not meet the request's condition (If-Match, If-None-Match, or \
             version in a bulk operation): retrieve the user again",
        )
    }

    pub(super) fn no_such_version() -> Self {
        let detail = "only SCIM version 2 is supported here: the base URL must end with /scim/v2";
        scim::Error::new(ErrorType::InvalidVers, detail).into()
    }

    /// RFC 7644 section 4: discovery cannot be filtered.
    pub(super) fn no_filter_here() -> Self {
        Self::new(
            403,
            "discovery endpoints cannot be filtered: leave out the filter",
        )
    }

    /// A panic while something was read.
    pub(super) fn panicked() -> Self {
        if logging::is_last_panic_of_store() {
            directory::Error::Damaged(store::PANICKED.to_owned()).into()
        } else {
            Self::bug()
        }
    }

    /// A bug that changed nothing: before any work, in a read, or in a write that was given up.
    pub(super) fn bug() -> Self {
        Self::new(
            500,
            "an error in golinks-scim: nothing was changed; please report the log lines of this request",
        )
    }

    /// A bug in a write, perhaps after the commit.
    pub(super) fn bug_in_a_change() -> Self {
        Self::new(
            500,
            "an error in golinks-scim, and it is not known whether the change was made: check \
             before you try again; please report the log lines of this request",
        )
    }
}

impl From<scim::Error> for Problem {
    fn from(error: scim::Error) -> Self {
        let (status, scim_type) = match (error.kind, error.why) {
            (_, scim::Why::UserSize) => (413, None),
            // RFC 7644 section 7.5.2 and its erratum 6893.
            (ErrorType::Sensitive, _) => (403, Some(error.kind)),
            _ => (400, Some(error.kind)),
        };
        let mut problem = Self::new(status, error.detail);
        problem.scim_type = scim_type.map(ErrorType::as_str);
        problem.cause = match error.why {
            scim::Why::Content | scim::Why::UserSize => None,
            scim::Why::Size => Some(Cause::Size),
            scim::Why::Strictness => Some(Cause::Strictness),
            scim::Why::NoUserName => Some(Cause::NoUserName),
        };
        problem
    }
}

impl From<directory::Error> for Problem {
    fn from(error: directory::Error) -> Self {
        match error {
            directory::Error::NotFound => Self::no_such_user(),
            directory::Error::Uniqueness => {
                let mut problem = Self::new(
                    409,
                    "another user has this userName (upper and lower case count as the same)",
                );
                problem.scim_type = Some("uniqueness");
                problem
            }
            directory::Error::PreconditionFailed => Self::precondition_failed(),
            directory::Error::NotImplemented(endpoint) => Self::endpoint_not_implemented(endpoint),
            directory::Error::Forbidden => Self::insufficient_scope(Scope::Provision, Scope::Full),
            directory::Error::Unresolved(bulk_id) => Self::new(
                409,
                format!(
                    "the operation with bulkId {} failed, and this one refers to it",
                    scim::error::quoted(&bulk_id)
                ),
            ),
            directory::Error::Busy => {
                Self::crowded("too many queries of many users are being worked on: try again")
            }
            directory::Error::CallerRevoked => Self::unauthorized(Some(Rejection::Revoked)),
            directory::Error::Exhausted => {
                Self::new(507, "no more users can be created in this store")
            }
            directory::Error::Scim(error) => error.into(),
            directory::Error::Damaged(how) => Self::damaged(
                Damage::Store(how),
                "the stored user cannot be read: restore a backup; the log says what is damaged",
            ),
            directory::Error::BrokenTrail(place) => Self::damaged(
                Damage::Trail(place),
                "the audit trail is damaged or was altered: nothing is undone from it; see \
                 `golinks-scim manual audit`",
            ),
            directory::Error::Write(error) => error.into(),
            directory::Error::NotYet => Self::retry(
                503,
                limits::RETRY_SOON_SECONDS,
                "the server is still checking the directory after a start and cannot tell yet \
                 whether such a user exists",
            )
            .caused(Cause::Start),
            directory::Error::Unavailable => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the directory cannot be read right now: a running server keeps retrying; if this \
                 persists, check its disk",
            ),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Panicked => Self::bug(),
            WriteError::Busy => {
                Self::crowded("too many changes are waiting to be written: try again")
            }
            WriteError::Unavailable | WriteError::Closed => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the store cannot be written right now and nothing was changed: a running server \
                 keeps retrying; if this persists, check its disk",
            ),
            WriteError::Full => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the server's disk is full and nothing was changed: free some space; a running \
                 server then resumes by itself",
            ),
            WriteError::Lost => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the file of the server's store was removed or replaced and nothing was changed: \
                 `golinks-scim check` says how to save its content",
            ),
            WriteError::Damaged => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the server's store is damaged and nothing was changed: restore a backup",
            ),
            WriteError::Unknown => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the server's disk failed, is full or does not answer, and the change was not \
                 confirmed: check whether it was made before you try again",
            )
            .caused(Cause::Doubt),
        }
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::BadName => Self::new(
                400,
                format!(
                    "a token's name has 1 to {} letters (A to Z, a to z), digits, dots, dashes and \
                     underscores, and does not begin with a dash",
                    limits::TOKEN_NAME_CHARS_MAX
                ),
            ),
            IssueError::NameTaken => Self::new(
                409,
                "a live token has this name or id: use `token rotate`, or choose another name",
            ),
            IssueError::TooMany => Self::new(
                409,
                format!(
                    "there are {} live tokens, or more: revoke some first",
                    limits::TOKENS_MAX
                ),
            ),
            IssueError::TooManyOfName => Self::new(
                409,
                format!(
                    "{} tokens of this name are live: revoke by id those that nobody uses any more, \
                     or let all end at once with `token rotate --overlap 0s`",
                    limits::TOKENS_OF_NAME_MAX
                ),
            ),
            IssueError::NotFound => Self::new(404, "no live token has this name or id"),
            IssueError::NotKept => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "the server's disk failed, is full or does not answer, and the revocation was not \
                 confirmed: a running server refuses the token from now on and keeps retrying; if \
                 none is running, or it restarts before that succeeds, check with `golinks-scim \
                 token list` and revoke again",
            ),
            IssueError::Underway => Self::retry(
                503,
                limits::RETRY_DISK_SECONDS,
                "another change of tokens is waiting for the server's disk: live tokens of this \
                 name are refused from now on; once that change is done, check with `golinks-scim \
                 token list` and revoke again",
            ),
            IssueError::Write(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_to_give_up_what_it_is_for() {
        for (has, needed, command) in [
            (Scope::Read, Scope::Full, "token change NAME --scope full"),
            (
                Scope::Provision,
                Scope::Metrics,
                "token issue NAME --scope metrics",
            ),
            (Scope::Metrics, Scope::Read, "token issue NAME --scope read"),
        ] {
            let detail = Problem::insufficient_scope(has, needed).detail;
            assert!(detail.contains(command), "{detail}");
        }
    }
}
