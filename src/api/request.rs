//! One request on its way through the router, before its head was examined ([`NewRequest`]) and
//! once it was admitted ([`Admission`]): its id, its caller, what its path and query say, and the
//! one log line that it leaves. The checks in between are in `admission`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::metrics;
use super::problem::Problem;
use super::reply::Refusal;
use super::request_id::RequestId;
use super::routes::{Access, Route, RouteMatch};
use crate::access::{Mode, Principal, Scope, Token};
use crate::directory::Caller;
use crate::http1::target::{Pair, decode};
use crate::http1::{Answer, Fault, Head, Method};
use crate::limits;
use crate::page;
use crate::scim::{self, ErrorType, Leniency, Preconditions, Projection, Tolerated};
use crate::secret;

/// The caller of an open route, for the log and the audit trail.
pub(super) const NOBODY: &str = "nobody";

/// A request whose head has not been examined yet.
#[derive(Clone, Copy)]
pub(super) struct NewRequest<'h> {
    pub(super) request_id: RequestId,
    /// The address from which it comes; `None` at the local socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) head: &'h Head,
}

impl<'h> NewRequest<'h> {
    pub(super) fn new(head: &'h Head, peer: Option<IpAddr>) -> Self {
        Self {
            request_id: RequestId::next(),
            peer,
            head,
        }
    }

    pub(super) fn admitted(
        self,
        found: RouteMatch<'h>,
        principal: Option<Principal>,
    ) -> Admission<'h> {
        Admission {
            request_id: self.request_id,
            peer: self.peer,
            head: self.head,
            found,
            principal,
        }
    }

    pub(super) fn refused(self, problem: Problem, who: &Who) -> Refusal {
        let told_as = match who {
            Who::Known(principal) => Some(format!("{principal} ")),
            Who::Stranger { is_told } => is_told.then(String::new),
        };
        if let Some(principal) = told_as {
            let (method, path) = (self.head.method().as_str(), path_for_log(self.head.path()));
            let (id, peer) = (self.request_id.to_string(), peer_text(self.peer));
            log::info!(
                request = id.as_str(),
                address = self.peer.map(|_| peer.as_str()),
                principal = principal.trim_end(),
                method,
                path,
                status = problem.status;
                "{id} {peer} {principal}{method} {path} {}: {}",
                problem.status,
                problem.for_the_log()
            );
        }
        Refusal {
            answer: problem.into_answer(self.request_id),
            token: match who {
                Who::Known(principal) => principal.token().cloned(),
                Who::Stranger { .. } => None,
            },
        }
    }

    pub(super) fn broken(self) -> Refusal {
        let (id, peer) = (self.request_id.to_string(), peer_text(self.peer));
        log::error!(
            request = id.as_str(),
            address = self.peer.map(|_| peer.as_str());
            "{id} {peer}: a bug while its head was looked at"
        );
        Refusal {
            answer: Problem::bug().into_answer(self.request_id),
            token: None,
        }
    }
}

/// The answer to bytes that are not a request, and its log line if `is_told`.
pub(super) fn unreadable(
    request_id: RequestId,
    peer: Option<IpAddr>,
    fault: &Fault,
    is_told: bool,
) -> Answer {
    if is_told {
        let (id, address) = (request_id.to_string(), peer_text(peer));
        log::info!(
            request = id.as_str(),
            address = peer.map(|_| address.as_str()),
            status = fault.status;
            "{id} {address} invalid request, {}: {}",
            fault.status,
            fault.detail
        );
    }
    Problem::from_fault(fault).into_answer(request_id)
}

/// The caller that is refused. Refusals of callers with a token are all logged, those of strangers
/// only within bounds.
pub(super) enum Who {
    Known(Principal),
    Stranger { is_told: bool },
}

/// A request that was admitted: its body may be read.
pub struct Admission<'h> {
    request_id: RequestId,
    peer: Option<IpAddr>,
    head: &'h Head,
    found: RouteMatch<'h>,
    principal: Option<Principal>,
}

impl Admission<'_> {
    /// The caller's valid token, if it sent one.
    pub fn token(&self) -> Option<&Arc<Token>> {
        self.principal.as_ref().and_then(Principal::token)
    }

    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    pub(super) fn route(&self) -> &'static Route {
        self.found.route
    }

    pub(super) fn method(&self) -> &'static str {
        self.head.method().as_str()
    }

    /// The variable segment of the path: an id or a name.
    pub(super) fn parameter(&self) -> &str {
        self.found.parameter.as_deref().unwrap_or_default()
    }

    /// The first query parameter of this name.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.queries(name).next()
    }

    /// The query parameter of this name, which may be given only once: if two values differ, nobody
    /// can know which is meant. The same value twice counts as once.
    pub(super) fn query_once(&self, name: &str) -> Result<Option<&str>, scim::Error> {
        let mut values = self.queries(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.all(|other| other == value) {
            return Ok(Some(value));
        }
        let kind = match name {
            "filter" => ErrorType::InvalidFilter,
            "cursor" => ErrorType::InvalidCursor,
            _ => ErrorType::InvalidValue,
        };
        let what =
            format!("the parameter {name} is given twice with different values: send it once");
        Err(scim::Error::new(kind, what))
    }

    /// Which attributes of each user the caller asks for.
    pub(super) fn projection(&self, leniency: &mut Leniency) -> Projection {
        let attributes = self.query_list("attributes");
        let excluded = self.query_list("excludedAttributes");
        Projection::parse(attributes.as_deref(), excluded.as_deref(), leniency)
    }

    /// All query parameters of this name, joined to one list.
    fn query_list(&self, name: &str) -> Option<Cow<'_, str>> {
        one_list(self.queries(name).map(Cow::Borrowed))
    }

    fn queries(&self, name: &str) -> impl Iterator<Item = &str> {
        let parameters = self.found.query.iter();
        parameters
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }

    /// All parameters of the query.
    pub(super) fn parameters(&self) -> &[Pair<'_>] {
        &self.found.query
    }

    pub(super) fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The address from which the request comes; `None` at the local socket.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.peer
    }

    /// How the client names itself.
    pub(super) fn user_agent(&self) -> Option<Cow<'_, str>> {
        self.head.header("user-agent").map(String::from_utf8_lossy)
    }

    /// The caller as the audit trail names it.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            principal: self
                .principal
                .as_ref()
                .map_or_else(|| NOBODY.to_owned(), ToString::to_string),
            request_id: self.request_id.to_string(),
            address: self.peer,
        }
    }

    /// How tolerant the server is of this caller.
    pub(super) fn leniency(&self) -> Leniency {
        match self.principal.as_ref().map(Principal::mode) {
            Some(Mode::Strict) => Leniency::strict(),
            _ => Leniency::compatible(),
        }
    }

    /// What the caller demands of the resource's version.
    pub(super) fn preconditions(&self) -> Preconditions {
        Preconditions::parse(
            joined(self.head, "if-match").as_deref(),
            joined(self.head, "if-none-match").as_deref(),
        )
    }

    /// Whether the answer may be compressed.
    pub(super) fn accepts_gzip(&self) -> bool {
        page::accepts_gzip(joined(self.head, "accept-encoding").as_deref())
    }

    /// Whether metrics may be answered in the OpenMetrics format.
    pub(super) fn accepts_openmetrics(&self) -> bool {
        metrics::accepts_openmetrics(joined(self.head, "accept").as_deref())
    }

    /// Logs what was tolerated.
    pub(super) fn note(&self, tolerated: &Tolerated) {
        let id = self.request_id;
        log::debug!(request = id.to_string().as_str(); "{id} tolerated {tolerated}");
    }

    /// The problem in the form that suits this caller.
    pub(super) fn told(&self, problem: Problem) -> Problem {
        match self.token().map(|token| token.mode) {
            Some(Mode::Compatible) if !self.is_read() => problem.for_identity_providers(),
            _ => problem,
        }
    }

    /// Whether the request only reads, which a search by POST does as well.
    fn is_read(&self) -> bool {
        matches!(self.head.method(), Method::Get | Method::Head)
            || matches!(self.found.route.access, Access::Scim(Scope::Read, _))
    }

    /// The problem to report when the handler has panicked.
    pub(super) fn panicked(&self) -> Problem {
        let problem = Problem::panicked();
        // Handlers only read the store, so damage says nothing about a change.
        if self.is_read() || problem.damage.is_some() {
            problem
        } else {
            Problem::bug_in_a_change()
        }
    }

    /// Answers a request whose body was not read to its end, and writes its log line.
    pub(super) fn broken_off(&self, problem: Problem) -> Answer {
        self.log(
            log::Level::Info,
            problem.status,
            None,
            &format!(": {}", problem.for_the_log()),
        );
        problem.into_answer(self.request_id)
    }

    /// Completes the answer, and writes its log line: reads and open routes at debug, writes and
    /// refusals of a token at info.
    pub(super) fn finish(self, outcome: Result<Answer, Problem>, took: Duration) -> Answer {
        let (mut answer, why) = match outcome {
            Ok(answer) => (answer, String::new()),
            Err(problem) => {
                let why = format!(": {}", problem.for_the_log());
                (problem.into_answer(self.request_id), why)
            }
        };
        let is_open = self.principal.is_none() && answer.status < 500;
        let quiet = is_open || answer.status < 400 && self.is_read();
        let level = if quiet {
            log::Level::Debug
        } else {
            log::Level::Info
        };
        self.log(level, answer.status, Some(took), &why);
        if answer.status < 400 {
            answer
                .headers
                .push(("X-Request-Id", self.request_id.to_string().into()));
        }
        answer
    }

    /// Writes the request's log line, without a duration if no handler answered it.
    fn log(&self, level: log::Level, status: u16, took: Option<Duration>, why: &str) {
        // The parts of a line are not built if nobody reads it.
        if level > log::max_level() {
            return;
        }
        let (id, peer) = (self.request_id.to_string(), peer_text(self.peer));
        let principal = self.principal.as_ref().map(ToString::to_string);
        let (method, path) = (self.method(), path_for_log(self.head.path()));
        let named = principal.as_deref().unwrap_or(NOBODY);
        let micros = took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let time = micros.map_or_else(String::new, |micros| format!(" {micros} us"));
        log::log!(
            level,
            request = id.as_str(),
            address = self.peer.map(|_| peer.as_str()),
            principal = principal.as_deref(),
            method,
            path,
            status,
            duration_us = micros;
            "{id} {peer} {named} {method} {path} {status}{time}{why}"
        );
    }
}

/// All field lines with this name as one list (RFC 9110 section 5.3).
fn joined<'h>(head: &'h Head, name: &str) -> Option<Cow<'h, str>> {
    one_list(head.headers(name).map(String::from_utf8_lossy))
}

fn one_list<'v>(mut values: impl Iterator<Item = Cow<'v, str>>) -> Option<Cow<'v, str>> {
    let first = values.next()?;
    Some(values.fold(first, |list, value| Cow::Owned(format!("{list},{value}"))))
}

/// The path as it is logged. Some people paste a token where an id or the base URL belongs, and a
/// proxy may have percent-encoded the token once more.
fn path_for_log(path: &str) -> &str {
    let mut text = Cow::Borrowed(path);
    for _ in 0..limits::LOG_PATH_DECODINGS_MAX {
        if secret::holds_token(&text) {
            return "(a path with a token in it, not shown)";
        }
        if !text.contains('%') {
            return path;
        }
        match decode(&text, false) {
            Ok(decoded) => text = Cow::Owned(decoded.into_owned()),
            Err(_) => break,
        }
    }
    "(a path with odd escapes, not shown)"
}

/// Where a request comes from, for the log.
fn peer_text(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "local".to_owned(), |peer| peer.to_string())
}
