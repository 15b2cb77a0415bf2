//! The checks that turn a [`NewRequest`] into an [`Admission`]: who the caller is, whether
//! it may use the route, and whether its body can be understood. They need only the head; no body
//! is read here.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use super::Api;
use super::problem::Problem;
use super::refusal_cause::word_of;
use super::refused::Refused;
use super::reply::Refusal;
use super::request::{Admission, NewRequest, Who};
use super::routes::{self, Access, RouteMatch};
use crate::access::{self, Administrator, Principal, Rejection, Scope, Token};
use crate::http1::{Head, Method};
use crate::metrics::Rate;

impl Api {
    /// Admits or refuses a request from the network. Its address, `peer`, is what
    /// [`Self::client_of`] returns.
    pub fn admit<'h>(&self, head: &'h Head, peer: IpAddr) -> Result<Admission<'h>, Refusal> {
        let request = NewRequest::new(head, Some(peer));
        let admitted = guarded(request, || match self.authenticate(head, peer) {
            Ok(token) => self.admit_bearer(request, token),
            Err(why) => self.admit_stranger(request, peer, why),
        });
        self.counted(head, admitted)
    }

    /// Like [`Self::admit`], but for the local socket, where every caller is the administrator.
    pub fn admit_administrator<'h>(
        &self,
        head: &'h Head,
        who: &Administrator,
    ) -> Result<Admission<'h>, Refusal> {
        let request = NewRequest::new(head, None);
        let principal = Principal::Administrator(who.clone());
        let admitted = guarded(request, || {
            routes::find(head)
                .and_then(|found| {
                    check_media_type(head)?;
                    Ok(request.admitted(found, Some(principal.clone())))
                })
                .map_err(|problem| request.refused(problem, &Who::Known(principal.clone())))
        });
        self.counted(head, admitted)
    }

    /// Counts a refused request; an admitted one is counted with its answer.
    fn counted<'h>(
        &self,
        head: &Head,
        admitted: Result<Admission<'h>, Refusal>,
    ) -> Result<Admission<'h>, Refusal> {
        if let Err(refusal) = &admitted {
            let (route, method) = (routes::pattern(head), head.method().as_str());
            self.metrics.answered(route, method, refusal.answer.status);
        }
        admitted
    }

    fn admit_bearer<'h>(
        &self,
        request: NewRequest<'h>,
        token: Arc<Token>,
    ) -> Result<Admission<'h>, Refusal> {
        let found = self.route_for(request.head, &token);
        let bearer = Principal::Token(token);
        match found {
            Ok(found) => Ok(request.admitted(found, Some(bearer))),
            Err(problem) => {
                let refused = Refused::by_head(request);
                self.note_refusal(&bearer, &refused, &problem);
                Err(request.refused(problem, &Who::Known(bearer)))
            }
        }
    }

    /// The route of a request with this token, if the token may use it now and its body can be
    /// understood.
    fn route_for<'h>(&self, head: &'h Head, token: &Token) -> Result<RouteMatch<'h>, Problem> {
        token
            .admit(self.tuned.get().rate_per_second, Monotonic::now())
            .map_err(|seconds| self.throttled(seconds))?;
        let found = routes::find(head)?;
        check_scope(found.route.access, token.scope)?;
        check_media_type(head)?;
        Ok(found)
    }

    fn admit_stranger<'h>(
        &self,
        request: NewRequest<'h>,
        peer: IpAddr,
        why: Option<Rejection>,
    ) -> Result<Admission<'h>, Refusal> {
        let head = request.head;
        let problem = match routes::find(head) {
            Ok(found) if matches!(found.route.access, Access::Open(_)) => {
                return Ok(request.admitted(found, None));
            }
            // Paths that need no token have nothing to hide.
            Err(problem) if !routes::is_protected(head) => problem,
            Ok(found) if matches!(found.route.access, Access::Administration(_)) => {
                Problem::not_found()
            }
            _ => return Err(self.refuse_stranger(request, peer, why)),
        };
        self.note_stranger("elsewhere", &Refused::by_head(request), &problem);
        let is_told = self.failures.count_refusal(peer, Monotonic::now());
        Err(request.refused(problem, &Who::Stranger { is_told }))
    }

    /// Refuses with 401, or with 429 once the address has failed too often.
    fn refuse_stranger(
        &self,
        request: NewRequest<'_>,
        peer: IpAddr,
        why: Option<Rejection>,
    ) -> Refusal {
        let reason = word_of(why);
        self.metrics.unauthenticated(reason);
        let failure = self.failures.count_failure(peer, Monotonic::now());
        if failure.retry_after_seconds.is_some() {
            self.metrics.throttled(Rate::OfAddress);
        }
        let problem = failure
            .retry_after_seconds
            .map_or_else(|| Problem::unauthorized(why), Problem::too_many_failures);
        self.note_stranger(reason, &Refused::by_head(request), &problem);
        let is_told = failure.is_logged;
        request.refused(problem, &Who::Stranger { is_told })
    }

    /// The token that was sent, or why it is not accepted; `Err(None)` if no credentials were sent.
    fn authenticate(&self, head: &Head, peer: IpAddr) -> Result<Arc<Token>, Option<Rejection>> {
        let header = head.header("authorization").ok_or(None)?;
        let candidate = access::from_authorization(header).ok_or(Some(Rejection::Malformed))?;
        let now = self.clock.now();
        let token = self
            .tokens
            .authenticate(&candidate, peer, now)
            .map_err(Some)?;
        token.remember_use(now, peer, head.header("user-agent"));
        Ok(token)
    }
}

/// Answers a panic while a head is checked like a panic in a handler.
fn guarded<'h>(
    request: NewRequest<'h>,
    admit: impl FnOnce() -> Result<Admission<'h>, Refusal>,
) -> Result<Admission<'h>, Refusal> {
    catch_unwind(AssertUnwindSafe(admit)).unwrap_or_else(|_| Err(request.broken()))
}

/// Checks that a token of this scope may use a route. For tokens, the administrator's routes do not
/// exist.
fn check_scope(access: Access, has: Scope) -> Result<(), Problem> {
    match access {
        Access::Open(_) => Ok(()),
        Access::Scim(needed, _) if has.covers(needed) => Ok(()),
        Access::Scim(needed, _) => Err(Problem::insufficient_scope(has, needed)),
        Access::Administration(_) => Err(Problem::not_found()),
    }
}

/// Whether a content coding is a compression. Anything else passes: some clients send a character
/// set here.
fn is_compression(coding: &[u8]) -> bool {
    let coding = coding.trim_ascii().to_ascii_lowercase();
    let coding = coding.strip_prefix(b"x-").unwrap_or(&coding);
    [&b"gzip"[..], b"deflate", b"compress", b"br", b"zstd"].contains(&coding)
}

/// Checks that a body is not compressed, and declared as JSON of some kind or not declared at all.
/// RFC 7644 section 3.1 wants `application/scim+json`; Okta's suites send `application/json`.
fn check_media_type(head: &Head) -> Result<(), Problem> {
    if !matches!(head.method(), Method::Post | Method::Put | Method::Patch) {
        return Ok(());
    }
    let codings = head.headers("content-encoding");
    let mut codings = codings.flat_map(|codings| codings.split(|byte| *byte == b','));
    if codings.any(is_compression) {
        return Err(Problem::unsupported_content_coding());
    }
    let value = head.header("content-type");
    let Some(value) = value.filter(|it| !it.trim_ascii().is_empty()) else {
        return Ok(());
    };
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    if essence.ends_with(b"/json") || essence.ends_with(b"+json") {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type())
    }
}
