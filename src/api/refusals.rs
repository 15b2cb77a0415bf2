//! What is kept of refusals: within bounds, a row of the audit trail for each answer of 400 or more
//! to a principal; and the latest refusals in memory, so that they can be explained.
//!
//! ```text
//! principal refused ──▶ remembered ──────▶ row "refuse"; beyond each principal's bound of a minute
//!                                          and day only counted: one row "refuse.more" a minute
//! stranger refused  ──▶ remembered apart ▶ only counted: one row "refuse.strangers" a minute
//! ```
//!
//! Answers that only say to come back later are different, since a busy identity provider gets
//! thousands: only a principal's first one in a minute for each cause is kept like other refusals.
//!
//! No row is worth a sync: all wait for a commit ([`crate::store::Store::queue_audit_row`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant as Monotonic;

use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use super::refusal_cause::Cause;
use super::request::{Admission, NOBODY, NewRequest};
use super::request_id::RequestId;
use super::routes;
use crate::access::Principal;
use crate::clock::Instant;
use crate::directory::{self, Caller, UserId};
use crate::http1::target::query_pairs;
use crate::http1::{Fault, Head};
use crate::limits;
use crate::locks::ignore_poison;
use crate::metrics::Audited;
use crate::scim::{ErrorType, shape};

/// The refusals that are remembered and counted.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    known: VecDeque<Remembered>,
    strangers: VecDeque<Remembered>,
    rows: Window<u16>,
    /// Each principal's rows of a day: those of each token that was live within it.
    days: BTreeMap<String, Day>,
    unknown: Window<&'static str>,
}

/// A refusal that can be explained.
struct Remembered {
    /// The id of the request.
    request: String,
    principal: String,
    /// The row as written into the audit trail.
    row: String,
}

/// One principal's rows of a day.
#[derive(Default)]
struct Day {
    began: Option<Monotonic>,
    rows: u32,
}

impl Day {
    fn is_over(&self, at: Monotonic) -> bool {
        self.began
            .is_some_and(|began| at.saturating_duration_since(began) >= limits::REFUSAL_DAY)
    }

    /// Counts a row, and returns whether there is room for it. A day that is over begins anew.
    fn take_place(&mut self, at: Monotonic) -> bool {
        if self.is_over(at) {
            *self = Self::default();
        }
        self.began.get_or_insert(at);
        self.rows += u32::from(self.rows < limits::REFUSALS_PER_DAY_MAX + 1);
        self.rows <= limits::REFUSALS_PER_DAY_MAX
    }
}

/// The refusals of one minute.
struct Window<K> {
    began: Option<(Monotonic, Instant)>,
    /// Rows by principal. In `told_to_wait`: those told to come back later, and for which cause.
    rows: BTreeMap<String, u32>,
    told_to_wait: BTreeSet<(String, Option<&'static str>)>,
    /// Counts of refusals without a row, by what distinguishes them.
    counted: BTreeMap<K, u64>,
}

/// What a window has counted that is over.
struct Sum {
    since: Instant,
    counted: Map<String, Value>,
}

impl<K> Default for Window<K> {
    fn default() -> Self {
        Self {
            began: None,
            rows: BTreeMap::new(),
            told_to_wait: BTreeSet::new(),
            counted: BTreeMap::new(),
        }
    }
}

impl<K: Ord + ToString> Window<K> {
    /// Begins a window at the first refusal after the last one ended. Returns what that counted.
    fn begin(&mut self, at: Monotonic, now: Instant) -> Option<Sum> {
        let over = self.end(Some(at));
        self.began.get_or_insert((at, now));
        over
    }

    /// Ends the window if it is over at `at`, or in any case if `at` is `None`. Returns what it
    /// counted, if anything.
    fn end(&mut self, at: Option<Monotonic>) -> Option<Sum> {
        let (began, since) = self.began?;
        let is_over =
            at.is_none_or(|at| at.saturating_duration_since(began) >= limits::REFUSAL_WINDOW);
        if !is_over {
            return None;
        }
        let each = std::mem::take(self).counted.into_iter();
        let counted: Map<_, _> = each.map(|(key, n)| (key.to_string(), json!(n))).collect();
        (!counted.is_empty()).then_some(Sum { since, counted })
    }

    /// Counts a row of this principal, and returns whether it is allowed in this window.
    fn take_place(&mut self, principal: &str) -> bool {
        let rows = self.rows.entry(principal.to_owned()).or_default();
        *rows += u32::from(*rows <= limits::REFUSALS_PER_WINDOW_MAX);
        *rows <= limits::REFUSALS_PER_WINDOW_MAX
    }

    fn count(&mut self, key: K) {
        *self.counted.entry(key).or_default() += 1;
    }
}

impl Refusals {
    /// The refusal that is remembered of this request.
    pub(super) fn of_request(&self, request: &str) -> Option<Value> {
        let state = self.lock();
        let all = state.known.iter().chain(&state.strangers).rev();
        let mut found = all.filter(|one| one.request == request);
        serde_json::from_str(&found.next()?.row).ok()
    }

    /// Forgets the remembered refusals; the counts stay.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.known.clear();
        state.strangers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.0.lock())
    }
}

/// Remembers a refusal. If there is no room, the principal with the most loses its oldest.
fn remember(memory: &mut VecDeque<Remembered>, refusal: Remembered, most: usize) {
    while memory.len() >= most {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for one in memory.iter() {
            *counts.entry(one.principal.as_str()).or_default() += 1;
        }
        let loudest = counts.into_iter().max_by_key(|(_, count)| *count);
        let at = loudest
            .and_then(|(principal, _)| memory.iter().position(|one| one.principal == principal));
        memory.remove(at.unwrap_or_default());
    }
    memory.push_back(refusal);
}

/// The parts of a refused request that may be kept.
pub(super) struct Refused<'a> {
    request_id: &'a RequestId,
    address: Option<IpAddr>,
    method: &'static str,
    route: &'static str,
    parameter: Option<String>,
    query: Vec<(String, String)>,
    user_agent: Option<String>,
    body: &'a [u8],
    /// The method of a bulk request's operation.
    operation: Option<&'a str>,
}

impl<'a> Refused<'a> {
    /// A request that was refused because of its head.
    pub(super) fn by_head(request: &'a NewRequest, head: &Head) -> Self {
        let found = routes::find(head).ok();
        let query = || query_pairs(head.query().unwrap_or_default()).unwrap_or_default();
        let (parameter, query) = match found {
            Some(found) => (found.parameter, found.query),
            None => (None, query()),
        };
        let agent = head.header("user-agent");
        Self {
            request_id: &request.request_id,
            address: request.peer,
            method: head.method().as_str(),
            route: routes::pattern(head),
            parameter,
            query,
            user_agent: agent.map(|agent| String::from_utf8_lossy(agent).into_owned()),
            body: &[],
            operation: None,
        }
    }

    /// A request that was admitted.
    pub(super) fn admitted(admission: &'a Admission, body: &'a [u8]) -> Self {
        Self {
            request_id: admission.request_id(),
            address: admission.address(),
            method: admission.method(),
            route: admission.route().path,
            parameter: Some(admission.parameter().to_owned()),
            query: admission.parameters().to_vec(),
            user_agent: admission.user_agent(),
            body,
            operation: None,
        }
    }

    /// An operation of a bulk request.
    pub(super) fn operation(admission: &'a Admission, method: &'a str) -> Self {
        Self {
            operation: Some(method),
            ..Self::admitted(admission, &[])
        }
    }

    fn shape(&self) -> Value {
        let shape = shape::of(&self.query, self.body);
        let bytes = shape.to_string().len();
        if bytes > limits::SHAPE_BYTES_MAX {
            return json!({"body": format!("{} bytes, whose shape is too large", self.body.len())});
        }
        shape
    }

    fn details(&self, problem: &Problem) -> Map<String, Value> {
        let mut details = Map::new();
        let mut put = |name: &str, value: Value| {
            details.insert(name.to_owned(), value);
        };
        put("method", json!(self.method));
        put("route", json!(self.route));
        // Text that is not an id could be anything, even a secret.
        if let Some(id) = self.parameter.as_deref().and_then(UserId::parse) {
            put("parameter", json!(id.to_string()));
        }
        if let Some(method) = self.operation {
            put("operation", json!(shape::path(method)));
        }
        put_problem(problem, &mut put);
        if let Some(agent) = &self.user_agent {
            put("userAgent", json!(shape::clipped(agent)));
        }
        details
    }

    /// The refusal of this principal, as it is remembered.
    fn by(&self, principal: &str, now: Instant, details: &Map<String, Value>) -> Remembered {
        let caller = Caller {
            principal: principal.to_owned(),
            request_id: self.request_id.to_string(),
            address: self.address,
        };
        let row = directory::event(&caller, now, "refuse", details);
        Remembered {
            request: caller.request_id,
            principal: caller.principal,
            row,
        }
    }
}

/// Puts what a row of the audit trail says about the reason.
pub(super) fn put_problem(problem: &Problem, put: &mut impl FnMut(&str, Value)) {
    put("status", json!(problem.status));
    if let Some(scim_type) = problem.scim_type {
        put("scimType", json!(scim_type));
    }
    if let Some(cause) = problem.cause {
        put("cause", json!(cause.as_str()));
    }
    let is_of_filter = problem.scim_type == Some(ErrorType::InvalidFilter.as_str());
    let detail = shape::without_values(&problem.detail, is_of_filter);
    put("detail", json!(detail));
    if let Some(reason) = problem.reason {
        put("reason", json!(reason));
    }
}

impl Api {
    /// Keeps the refusal of a token. The refusal of an administrator is only logged.
    pub(super) fn note_refusal(&self, by: &Principal, refused: &Refused<'_>, problem: &Problem) {
        if by.token().is_none() {
            return;
        }
        let principal = &by.to_string();
        let (at, now) = (Monotonic::now(), self.clock.now());
        // There may be thousands of these: no row is built only to be dropped.
        let is_like_others = problem.is_transient && problem.cause != Some(Cause::Doubt);
        if is_like_others && self.count_if_told_before(principal, problem, at, now) {
            return;
        }
        let is_explained = self.tuned.get().is_explained;
        let mut details = refused.details(problem);
        if is_explained && refused.operation.is_none() {
            details.insert("shape".to_owned(), refused.shape());
        }
        let refusal = refused.by(principal, now, &details);
        let row = refusal.row.clone();
        let mut state = self.refusals.lock();
        let over = state.rows.begin(at, now);
        self.note_more(now, over);
        // Asked again under the lock, so that what `tune` made the server forget stays forgotten.
        if is_explained && self.tuned.get().is_explained {
            remember(&mut state.known, refusal, limits::REFUSALS_REMEMBERED_MAX);
        }
        // Tokens come and go, and a principal whose day is over would begin anew anyway.
        state.days.retain(|_, day| !day.is_over(at));
        let has_place = state.rows.take_place(principal)
            && state
                .days
                .entry(principal.to_owned())
                .or_default()
                .take_place(at);
        if has_place {
            self.store.queue_audit_row(row);
            self.metrics.refused(Audited::ByRow);
        } else {
            state.rows.count(problem.status);
            self.metrics.refused(Audited::ByCount);
        }
    }

    /// Counts an answer that only says to come back later, unless it is the principal's first of
    /// this minute for this cause. Returns whether it was counted. Also notes the principal, and
    /// sums up a minute that is over.
    fn count_if_told_before(
        &self,
        principal: &str,
        problem: &Problem,
        at: Monotonic,
        now: Instant,
    ) -> bool {
        let mut state = self.refusals.lock();
        let over = state.rows.begin(at, now);
        self.note_more(now, over);
        let cause = problem.cause.map(Cause::as_str);
        let is_again = !(state.rows.told_to_wait).insert((principal.to_owned(), cause));
        if is_again {
            state.rows.count(problem.status);
            self.metrics.refused(Audited::ByCount);
        }
        is_again
    }

    /// Counts the refusal of a caller without a valid token, and remembers it for a while.
    pub(super) fn note_stranger(&self, why: &'static str, refused: &Refused<'_>, told: &Problem) {
        let (at, now) = (Monotonic::now(), self.clock.now());
        let remembered = self.tuned.get().is_explained.then(|| {
            let mut details = refused.details(told);
            details.insert("reason".to_owned(), json!(told.for_the_log()));
            refused.by(NOBODY, now, &details)
        });
        let mut state = self.refusals.lock();
        if let Some(refusal) = remembered
            && self.tuned.get().is_explained
        {
            // Strangers are not told apart, so the oldest goes.
            if state.strangers.len() >= limits::STRANGERS_REMEMBERED_MAX {
                state.strangers.pop_front();
            }
            state.strangers.push_back(refusal);
        }
        self.count_stranger(&mut state, why, at, now);
    }

    /// [`Self::note_stranger`] for bytes that cannot be read as a request.
    pub(super) fn note_unreadable(&self, request: &NewRequest, fault: &Fault) {
        let refused = Refused {
            request_id: &request.request_id,
            address: request.peer,
            method: "",
            route: "none",
            parameter: None,
            query: Vec::new(),
            user_agent: None,
            body: &[],
            operation: None,
        };
        self.note_stranger("unreadable", &refused, &Problem::from_fault(fault));
    }

    fn count_stranger(&self, state: &mut State, why: &'static str, at: Monotonic, now: Instant) {
        let over = state.unknown.begin(at, now);
        self.note_strangers(now, over);
        state.unknown.count(why);
    }

    /// Sums up the minutes that are over, and at the end of the server the current one, too.
    pub(super) fn sum_up_refusals(&self, is_end: bool) {
        let (at, now) = ((!is_end).then(Monotonic::now), self.clock.now());
        let mut state = self.refusals.lock();
        let (more, strangers) = (state.rows.end(at), state.unknown.end(at));
        drop(state);
        self.note_more(now, more);
        self.note_strangers(now, strangers);
    }

    fn note_more(&self, now: Instant, over: Option<Sum>) {
        self.note_summary(now, "refuse.more", "statuses", over);
    }

    fn note_strangers(&self, now: Instant, over: Option<Sum>) {
        self.note_summary(now, "refuse.strangers", "reasons", over);
    }

    /// `member` is where the row has the counts.
    fn note_summary(&self, now: Instant, kind: &str, member: &str, over: Option<Sum>) {
        let Some(Sum { since, counted }) = over else {
            return;
        };
        let mut details = Map::new();
        let count: u64 = counted.values().filter_map(Value::as_u64).sum();
        details.insert("since".to_owned(), json!(since.to_string()));
        details.insert("count".to_owned(), json!(count));
        details.insert(member.to_owned(), Value::Object(counted));
        let row = directory::event(&directory::itself(), now, kind, &details);
        self.store.queue_audit_row(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_takes_so_many_rows_and_the_next_day_again() {
        let (mut day, start) = (Day::default(), Monotonic::now());
        let most = limits::REFUSALS_PER_DAY_MAX;
        let mut taken = |at| (0..2 * most).filter(|_| day.take_place(at)).count();
        assert_eq!(taken(start), most as usize);
        assert_eq!(taken(start + limits::REFUSAL_DAY / 2), 0);
        assert_eq!(taken(start + limits::REFUSAL_DAY), most as usize);
    }

    #[test]
    fn a_minute_is_summed_up_once_it_is_over() {
        let mut window = Window::<&str>::default();
        let (start, now) = (Monotonic::now(), Instant::from_millis(0));
        assert!(window.end(None).is_none());
        for _ in 0..3 {
            assert!(window.begin(start, now).is_none());
            window.count("absent");
        }
        assert!(window.end(Some(start)).is_none());
        let later = start + limits::REFUSAL_WINDOW;
        let over = window.begin(later, Instant::from_millis(60_000));
        let over = over.map(|sum| (sum.since.millis(), Value::Object(sum.counted)));
        assert_eq!(over, Some((0, json!({"absent": 3}))));
        assert!(window.end(None).is_none(), "nothing was counted since");
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let of = |request: &str, principal: &str| Remembered {
            request: request.to_owned(),
            principal: principal.to_owned(),
            row: "{}".to_owned(),
        };
        let mut memory = VecDeque::new();
        for number in 0..5 {
            remember(&mut memory, of(&number.to_string(), "loud"), 3);
        }
        let ids = |memory: &VecDeque<Remembered>| -> Vec<String> {
            memory.iter().map(|one| one.request.clone()).collect()
        };
        assert_eq!(ids(&memory), ["2", "3", "4"]);
        // A principal that is rarely refused is not pushed out.
        remember(&mut memory, of("quiet", "quiet"), 3);
        for number in 5..9 {
            remember(&mut memory, of(&number.to_string(), "loud"), 3);
        }
        assert_eq!(ids(&memory), ["quiet", "7", "8"]);
    }
}
