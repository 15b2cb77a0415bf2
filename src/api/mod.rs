//! The router behind both servers, `https` (the network) and `local` (the Unix socket of the
//! command line): it decides who may do what and how often, and answers.
//!
//! ```text
//! Head ──▶ admit: authenticate ▶ rate ▶ route ▶ method ▶ scope ▶ media type ──▶ Admission
//!                     │                                                            │
//!                     └──────────── Refusal (an Answer) ◀──────────┐               ▼
//! body ──────────────────────────────────────────────────────────▶ answer ──▶ Answer
//! ```
//!
//! Nothing of a body is read before [`Api::admit`] has accepted the head, so a client without a
//! token cannot make the server hold bytes. A bug in a handler becomes one 500, not a dead worker.

mod admission;
mod audit;
mod backup;
mod bulk;
mod cursor;
mod damage;
mod discovery;
mod disk;
mod explanation;
mod health;
mod history;
mod ignored_names;
mod import;
mod installation;
mod metrics;
mod page;
mod page_ends;
mod parameters;
mod problem;
mod query;
mod refusal_bounds;
mod refusal_cause;
mod refusals;
mod refused;
mod reply;
mod request;
mod request_id;
mod routes;
mod start_error;
mod stored_settings;
mod tokens;
mod tuning;
mod users;
mod verification;
mod warnings;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant as Monotonic;

pub use backup::described_backup;
pub use reply::Refusal;
pub use request::Admission;
pub use routes::{AccessKind, route_table};
pub use start_error::StartError;
pub use tuning::Tuning;

use crate::access::{Failures, Principal, Token, Tokens};
use crate::certificate;
use crate::clock::{Instant, SharedClock, SystemClock};
use crate::directory::{self, Directory, Ending};
use crate::http1::{Answer, Fault};
use crate::limits;
use crate::locks::ignore_poison;
use crate::metrics::{Counted, Metrics, Rate, Status};
use crate::scim::{Tolerance, Tolerated};
use crate::secret;
use crate::store::{OpenError, Store};
use crate::turns::{Turn, Turns};
use cursor::Cursors;
use damage::Damages;
use ignored_names::IgnoredNames;
use page_ends::PageEnds;
use problem::Problem;
use refusal_cause::{rejections, word_of};
use refusals::Refusals;
use refused::Refused;
use reply::Outcome;
use request_id::RequestId;
use routes::Access;
use tuning::Tuned;
use warnings::LoggedSteps;

/// What the router needs to start.
pub struct Options {
    /// The URL below which clients find `/Users`, without a slash at the end. `None` if nothing is
    /// served: then the URL that was served last is used.
    pub base_url: Option<String>,
    /// The address on which the HTTPS server listens, if there is one.
    pub address: Option<SocketAddr>,
    /// The settings that can change while serving.
    pub tuning: Tuning,
    /// The certificate that is served, if there is one.
    pub certificate: Option<Arc<certificate::Cell>>,
    /// The data directory: the store is in it.
    pub data_dir: PathBuf,
    /// The source of the time of day.
    pub clock: SharedClock,
}

impl Options {
    /// For a command that opens the store of this data directory itself.
    pub fn without_server(data_dir: &Path) -> Self {
        Self {
            base_url: None,
            address: None,
            tuning: Tuning::default(),
            certificate: None,
            data_dir: data_dir.to_owned(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// The router and what it routes to.
pub struct Api {
    store: Arc<Store>,
    directory: Directory,
    tokens: Tokens,
    failures: Failures,
    ending: Arc<Ending>,
    /// The base URL of the previous start, if it differs and clients may still use it.
    base_url_before: Option<String>,
    /// Distinguishes this process from all others in the entity tags of lists.
    incarnation: String,
    address: Option<SocketAddr>,
    tuned: Tuned,
    certificate: Option<Arc<certificate::Cell>>,
    data_dir: PathBuf,
    clock: SharedClock,
    cursors: Cursors,
    page_ends: PageEnds,
    metrics: Metrics,
    logged_steps: LoggedSteps,
    refusals: Refusals,
    ignored_names: IgnoredNames,
    /// Turns for requests with a large body, which takes much more space in memory than on the
    /// wire.
    large: Turns,
    /// Turns for requests whose body is too large for a single user.
    bulky: Turns,
    started: Instant,
    /// Deactivations in the audit rows before this sequence are still to be counted.
    to_recall: Mutex<Option<u64>>,
    is_stopping: AtomicBool,
    damages: Damages,
    /// Held while a backup is being made.
    backing_up: Mutex<()>,
}

/// How a request's wait for its turn ended.
pub enum TurnWait<'a> {
    /// The request has its turn, or needs none.
    Ready(Option<Turn<'a>>),
    /// No turn came free in time.
    TimedOut,
}

impl Api {
    /// A router on an open store.
    pub fn new(store: Store, options: Options) -> Result<Self, StartError> {
        let store = Arc::new(store);
        let tokens = Tokens::load(Arc::clone(&store))?;
        let (base_url, base_url_before) = stored_settings::base_url(&store, options.base_url)?;
        let cursor_key = stored_settings::cursor_key(&store)?;
        let started = options.clock.now();
        // This is asked before anything can use a token, so that only earlier starts count.
        let is_known = tokens.is_any_used(started);
        let directory = Directory::new(Arc::clone(&store), Arc::clone(&options.clock));
        // A command without a server does not run long enough to need the last hour's
        // deactivations.
        let to_recall = options.address.and_then(|_| {
            directory.recall_deactivations(u64::MAX, |rows| rows < limits::ALARM_ROWS_MAX)
        });
        Ok(Self {
            directory,
            tokens,
            failures: Failures::default(),
            ending: Arc::new(Ending::new(base_url)),
            base_url_before: base_url_before.filter(|_| is_known),
            incarnation: secret::hex(&secret::random::<8>()),
            address: options.address,
            tuned: Tuned::new(options.tuning),
            logged_steps: LoggedSteps::by_the_start(options.certificate.as_deref(), started),
            certificate: options.certificate,
            data_dir: options.data_dir,
            clock: options.clock,
            cursors: Cursors::new(&cursor_key),
            page_ends: PageEnds::default(),
            metrics: Metrics::new(
                Tolerance::ALL.into_iter().map(Tolerance::name),
                rejections().map(word_of),
                store.commits(),
            ),
            refusals: Refusals::default(),
            ignored_names: IgnoredNames::default(),
            large: Turns::new(limits::LARGE_BODIES_AT_ONCE_MAX),
            bulky: Turns::new(limits::BULK_BODIES_AT_ONCE_MAX),
            started,
            to_recall: Mutex::new(to_recall),
            is_stopping: AtomicBool::new(false),
            damages: Damages::default(),
            backing_up: Mutex::default(),
            store,
        })
    }

    /// The damage to the store, if any was found after the start.
    pub fn store_damage(&self) -> Option<OpenError> {
        self.store.damage()
    }

    /// Counts the rest of the last hour's deactivations, if there were too many rows to read them
    /// all at the start.
    pub fn recall_deactivations(&self) {
        let mut to_recall = ignore_poison(self.to_recall.lock());
        *to_recall = to_recall.and_then(|end| {
            let may_go_on = |_| !self.is_stopping.load(Ordering::SeqCst);
            self.directory.recall_deactivations(end, may_go_on)
        });
    }

    /// The URL below which clients find `/Users`; empty if nothing was ever served.
    fn base_url(&self) -> &str {
        self.ending.base_url()
    }

    /// Whether no token was ever issued.
    pub fn is_without_token(&self) -> bool {
        self.tokens.list(self.clock.now()).is_empty()
    }

    /// Whether a token that was accepted earlier would still be accepted now.
    pub fn is_good(&self, token: &Token) -> bool {
        self.tokens.check_again(token, self.clock.now()).is_ok()
    }

    /// Checks the token again after the wait for a body: it may have been revoked meanwhile, and
    /// the administrator was told so.
    fn check_again(&self, principal: &Principal) -> Result<(), Problem> {
        let Some(token) = principal.token() else {
            return Ok(());
        };
        self.tokens
            .check_again(token, self.clock.now())
            .map_err(|rejection| {
                self.metrics.unauthenticated(word_of(Some(rejection)));
                Problem::unauthorized(Some(rejection))
            })
    }

    /// Waits for the turn that an admitted request with a large body needs.
    pub fn await_turn(&self, admission: &Admission, body: &[u8]) -> TurnWait<'_> {
        let takes_a_body = matches!(admission.method(), "POST" | "PUT" | "PATCH");
        let (Some(token), true) = (admission.token(), takes_a_body) else {
            return TurnWait::Ready(None);
        };
        if body.len() <= limits::BODY_BYTES_WITHOUT_TURN {
            return TurnWait::Ready(None);
        }
        let is_bulky = body.len() > limits::USER_BYTES_MAX;
        let turns = if is_bulky { &self.bulky } else { &self.large };
        let turn = turns.take_for(token.id.as_str(), limits::BODY_TURN_WAIT_MAX);
        turn.map_or(TurnWait::TimedOut, |turn| TurnWait::Ready(Some(turn)))
    }

    /// Answers an admitted request; `body` is `None` if no body was waited for. Never panics: a bug
    /// becomes a 500.
    pub fn answer(&self, admission: Admission, body: Option<&[u8]>) -> Answer {
        self.answer_by(admission, body, |admission| self.handle(admission, body))
    }

    /// Like [`Self::answer`], but for a request that may have had to wait for its turn.
    pub fn answer_in_turn(
        &self,
        admission: Admission,
        body: Option<&[u8]>,
        waited: &TurnWait<'_>,
    ) -> Answer {
        match waited {
            TurnWait::Ready(_) => self.answer(admission, body),
            TurnWait::TimedOut => {
                let refuse = |_: &Admission| Err(Problem::too_many_large_bodies());
                self.answer_by(admission, body, refuse)
            }
        }
    }

    fn answer_by(
        &self,
        admission: Admission,
        body: Option<&[u8]>,
        handle: impl FnOnce(&Admission) -> Outcome,
    ) -> Answer {
        let started = Monotonic::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| handle(&admission)));
        let outcome = outcome.unwrap_or_else(|_| Err(admission.panicked()));
        if let Err(problem) = &outcome {
            self.damages.note(admission.request_id(), problem);
        }
        // Metrics count the true status, even if this caller is given another one.
        let real = outcome.as_ref().err().map(|problem| problem.status);
        let outcome = outcome.map_err(|problem| admission.told(problem));
        // An error from `/readyz` reports the server's state. It is not a refusal, however often
        // somebody asks for it.
        if let Err(problem) = &outcome
            && let Some(principal) = admission.principal()
            && admission.route().path != "/readyz"
        {
            let refused = Refused::admitted(&admission, body.unwrap_or_default());
            self.note_refusal(principal, &refused, problem);
        }
        let (route, method) = (admission.route().path, admission.method());
        let took = started.elapsed();
        let answer = admission.finish(outcome, took);
        let answered = answer.status;
        let real = real.unwrap_or(answered);
        self.metrics
            .answered(route, method, Status { answered, real });
        self.metrics.took(route, took);
        answer
    }

    fn handle(&self, admission: &Admission, body: Option<&[u8]>) -> Outcome {
        let is_late = body.is_some();
        let body = body.unwrap_or_default();
        match (admission.route().access, admission.principal()) {
            (Access::Open(handler), _) => handler(self, admission),
            (Access::Scim(_, handler), Some(principal)) => {
                if is_late {
                    self.check_again(principal)?;
                }
                handler(self, admission, principal, body)
            }
            (Access::Administration(handler), Some(Principal::Administrator(administrator))) => {
                handler(self, admission, administrator, body)
            }
            _ => Err(Problem::not_found()),
        }
    }

    /// The answer to bytes that are not a request.
    pub fn refuse(&self, fault: &Fault, peer: Option<IpAddr>) -> Answer {
        let id = RequestId::next();
        let is_told = peer.is_none_or(|peer| self.failures.count_refusal(peer, Monotonic::now()));
        self.metrics.answered("none", "none", fault.status);
        if peer.is_some() {
            self.note_unreadable(id, peer, fault);
        }
        request::unreadable(id, peer, fault, is_told)
    }

    /// The answer to an admitted request whose body cannot be read.
    pub fn refuse_body(&self, admission: &Admission, fault: &Fault) -> Answer {
        self.break_off(admission, Problem::from_fault(fault))
    }

    /// The answer to an admitted request whose connection is ended while the server waits for the
    /// body: its token was revoked, or room was needed, or the server stops.
    pub fn refuse_ended(&self, admission: &Admission) -> Answer {
        let checked = admission.principal().map(|it| self.check_again(it));
        let revoked = checked.and_then(Result::err);
        self.break_off(admission, revoked.unwrap_or_else(Problem::ended))
    }

    fn break_off(&self, admission: &Admission, problem: Problem) -> Answer {
        let (route, method) = (admission.route().path, admission.method());
        let real = problem.status;
        let problem = admission.told(problem);
        let answered = problem.status;
        self.metrics
            .answered(route, method, Status { answered, real });
        if let Some(principal) = admission.principal() {
            let refused = Refused::admitted(admission, &[]);
            self.note_refusal(principal, &refused, &problem);
        }
        admission.broken_off(problem)
    }

    /// The current time of this router's clock, for the `Date` of an answer.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Counts a connection of the HTTPS server until the returned guard is dropped.
    pub fn connected(&self) -> Counted {
        self.metrics.connected()
    }

    /// Makes `/readyz` report from now on that the server is stopping.
    pub fn begin_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.store.cancel_check();
    }

    fn throttled(&self, seconds: u32) -> Problem {
        self.metrics.throttled(Rate::OfToken);
        Problem::too_many_requests(seconds)
    }

    /// Describes why one part of a request was refused while the others are done.
    fn words_of(&self, admission: &Admission, error: directory::Error) -> String {
        let problem = Problem::from(error);
        self.damages.note(admission.request_id(), &problem);
        problem.detail
    }

    /// Counts and logs what was tolerated in a request, and remembers what was ignored. Requests of
    /// our own check are not remembered: they say nothing about a provider's mapping.
    fn note(&self, admission: &Admission, tolerances: &[Tolerated]) {
        for tolerated in tolerances {
            self.metrics.tolerated(tolerated.tolerance.name());
            admission.note(tolerated);
            if admission.token().is_none_or(|token| !token.is_temporary()) {
                self.ignored_names.note(tolerated);
            }
        }
    }

    /// Periodic work on the store: checks that its file is still there.
    pub fn look_at_store(&self) {
        self.store.look();
    }

    /// Periodic work on tokens: settles unconfirmed changes and writes down last uses.
    pub fn tend_tokens(&self) {
        self.tokens.tend();
    }

    /// Periodic work on the audit trail: sums up refusals and removes old rows.
    pub fn tend_audit(&self, at: Monotonic) {
        self.sum_up_refusals(Some(at));
        if self.store.audit_rows_queued() >= limits::AUDIT_ROWS_FLUSHED_AT {
            // If this fails, the rows go on waiting; the disk is reported elsewhere.
            let _ = self.store.flush_audit_rows();
        }
        self.directory.drop_verification(at);
        self.directory.tend_trail(self.tuned.get().keep, at);
    }

    /// Flushes and closes the store; later requests are answered with 503.
    pub fn close(&self) {
        self.tend_tokens();
        for (id, name) in self.tokens.unconfirmed_revocations() {
            log::error!(
                "the revocation of token:{id}:{name} was not confirmed, and it may be valid again \
                 after the next start: check with `golinks-scim token list`, and revoke it again"
            );
        }
        self.sum_up_refusals(None);
        if let Err(error) = self.store.flush_audit_rows() {
            log::warn!("refusals could not be written to the audit trail: {error:?}");
        }
        self.store.close();
    }
}
