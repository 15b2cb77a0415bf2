//! What is kept of refusals: within bounds, a row of the audit trail for each answer of 400 or more
//! to a principal; and the latest refusals in memory, so that they can be explained. `refused` says
//! what is kept of one, and `refusal_bounds` counts the rows.
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

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant as Monotonic;

use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use super::refusal_bounds::{Days, Minute, Sum};
use super::refusal_cause::Cause;
use super::refused::Refused;
use super::request::NOBODY;
use super::request_id::RequestId;
use crate::access::Principal;
use crate::clock::Instant;
use crate::directory;
use crate::http1::Fault;
use crate::limits;
use crate::locks::ignore_poison;
use crate::metrics::Audited;

/// The refusals that are remembered and counted.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    known: VecDeque<Remembered>,
    strangers: VecDeque<Remembered>,
    minute: Minute,
    days: Days,
    minute_of_strangers: Minute,
}

/// A refusal that can be explained.
struct Remembered {
    /// The id of the request.
    request: String,
    principal: String,
    /// The row as written into the audit trail.
    row: String,
}

impl Remembered {
    fn new(refused: &Refused<'_>, principal: &str, row: String) -> Self {
        Self {
            request: refused.request_id.to_string(),
            principal: principal.to_owned(),
            row,
        }
    }
}

/// The row that sums up the refusals of a minute that got no row of their own.
struct Summary {
    kind: &'static str,
    /// The member with the counts.
    counts: &'static str,
}

const MORE: Summary = Summary {
    kind: "refuse.more",
    counts: "statuses",
};
const STRANGERS: Summary = Summary {
    kind: "refuse.strangers",
    counts: "reasons",
};

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

impl Api {
    /// Keeps the refusal of a token. The refusal of an administrator is only logged.
    pub(super) fn note_refusal(&self, by: &Principal, refused: &Refused<'_>, problem: &Problem) {
        if by.token().is_none() {
            return;
        }
        let principal = &by.to_string();
        let (at, now) = (Monotonic::now(), self.clock.now());
        let only_says_wait = problem.is_transient && problem.cause != Some(Cause::Doubt);
        if only_says_wait {
            let mut state = self.in_minute(at, now);
            let cause = problem.cause.map(Cause::as_str);
            // There may be thousands of these, so no row is built that would only be dropped.
            if !state.minute.is_first_wait(principal, cause) {
                return self.count_without_row(&mut state.minute, problem);
            }
        }
        let is_explained = self.tuned.get().is_explained;
        let mut details = refused.details(problem);
        if is_explained && !refused.is_operation() {
            details.insert("shape".to_owned(), refused.shape());
        }
        let row = refused.row(principal, now, &details);
        let mut state = self.in_minute(at, now);
        // This is checked again under the lock, so that refusals that `tune` made the server forget
        // stay forgotten.
        if is_explained && self.tuned.get().is_explained {
            let refusal = Remembered::new(refused, principal, row.clone());
            remember(&mut state.known, refusal, limits::REFUSALS_REMEMBERED_MAX);
        }
        if state.minute.take_place(principal) && state.days.take_place(principal, at) {
            self.store.queue_audit_row(row);
            self.metrics.refused(Audited::ByRow);
        } else {
            self.count_without_row(&mut state.minute, problem);
        }
    }

    /// Locks the refusals, with a minute that is not over; queues the row about one that is.
    fn in_minute(&self, at: Monotonic, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.refusals.lock();
        let over = state.minute.begin(at, now);
        self.queue_summary(&MORE, now, over);
        state
    }

    /// Counts a refusal that gets no row.
    fn count_without_row(&self, minute: &mut Minute, problem: &Problem) {
        minute.count(problem.status.to_string());
        self.metrics.refused(Audited::ByCount);
    }

    /// Counts the refusal of a caller without a valid token, and remembers it for a while.
    pub(super) fn note_stranger(&self, why: &'static str, refused: &Refused<'_>, told: &Problem) {
        let (at, now) = (Monotonic::now(), self.clock.now());
        let remembered = self.tuned.get().is_explained.then(|| {
            let mut details = refused.details(told);
            details.insert("reason".to_owned(), json!(told.for_the_log()));
            Remembered::new(refused, NOBODY, refused.row(NOBODY, now, &details))
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
        let over = state.minute_of_strangers.begin(at, now);
        self.queue_summary(&STRANGERS, now, over);
        state.minute_of_strangers.count(why);
    }

    /// [`Self::note_stranger`] for bytes that cannot be read as a request.
    pub(super) fn note_unreadable(&self, id: RequestId, peer: Option<IpAddr>, fault: &Fault) {
        let refused = Refused::unread(id, peer);
        self.note_stranger("unreadable", &refused, &Problem::from_fault(fault));
    }

    /// Sums up the minutes that are over at `at` or, when the server ends (`None`), the current
    /// minute as well.
    pub(super) fn sum_up_refusals(&self, at: Option<Monotonic>) {
        let now = self.clock.now();
        let mut state = self.refusals.lock();
        let (known, strangers) = (state.minute.end(at), state.minute_of_strangers.end(at));
        drop(state);
        self.queue_summary(&MORE, now, known);
        self.queue_summary(&STRANGERS, now, strangers);
    }

    /// Queues the row about a minute that is over, if anything was counted in it.
    fn queue_summary(&self, summary: &Summary, now: Instant, over: Option<Sum>) {
        let Some(Sum { since, counted }) = over else {
            return;
        };
        let mut details = Map::new();
        let count: u64 = counted.values().sum();
        details.insert("since".to_owned(), json!(since.to_string()));
        details.insert("count".to_owned(), json!(count));
        details.insert(summary.counts.to_owned(), json!(counted));
        let row = directory::event(&directory::itself(), now, summary.kind, &details);
        self.store.queue_audit_row(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
