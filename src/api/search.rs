//! Queries: `GET /Users`, `POST /Users/.search`, `POST /.search` (RFC 7644 sections 3.4.2 and
//! 3.4.3, RFC 9865). One way for all of them, from a request to a page.

use std::cell::LazyCell;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use super::Api;
use super::call::Admission;
use super::cursor;
use super::damage::Damages;
use super::problem::Problem;
use super::reply::{self, Outcome};
use crate::access::Principal;
use crate::directory::{Asker, Page, Query, Start};
use crate::http1::answer::Broken;
use crate::http1::{Answer, Body};
use crate::limits;
use crate::scim::message::{self, Place};
use crate::scim::{Paging, Projection, SearchRequest, json};
use crate::secret::Digest;

/// Room for most users, so that a page is not moved about while it grows.
const USER_BYTES: usize = 1024;

/// `GET /Users`, and the same at the root of the service.
pub(super) fn by_parameters(
    api: &Api,
    call: &Admission,
    principal: &Principal,
    _: &[u8],
) -> Outcome {
    let mut leniency = call.leniency();
    let parameter = |name: &str| call.query_once(name);
    let projection = call.projection(&mut leniency);
    let request = SearchRequest::from_parameters(parameter, projection, &mut leniency)?;
    api.note(call, leniency.tolerated());
    // A page by index is remembered when it is shown (`places`), so it is always shown.
    if matches!(request.paging, Paging::Index(_)) {
        return answer(api, call, principal, &request).map(|(answer, _)| answer);
    }
    // The cursors of a confirmed page must be good for some time, too (see `cursor`).
    let period = cursor::period(api.clock.now());
    let version = |state| format!("W/\"{}.{state}.{period}\"", api.incarnation);
    let newest = version(api.directory.state()?);
    // A cursor that is no longer good is refused, even if nothing has changed.
    start(api, &&cursor::binding(principal, &request), &request)?;
    if call.preconditions().is_not_modified(&newest) {
        return Ok(reply::not_modified(newest));
    }
    let (mut answer, state) = answer(api, call, principal, &request)?;
    answer.headers.push(("ETag", version(state)));
    Ok(answer)
}

/// `POST /Users/.search`, and the same at the root of the service.
pub(super) fn by_message(
    api: &Api,
    call: &Admission,
    principal: &Principal,
    body: &[u8],
) -> Outcome {
    let mut leniency = call.leniency();
    let request = SearchRequest::from_message(json::parse(body)?, &mut leniency)?;
    api.note(call, leniency.tolerated());
    answer(api, call, principal, &request).map(|(answer, _)| answer)
}

/// The page, and the number of the state that it is from.
fn answer(
    api: &Api,
    call: &Admission,
    principal: &Principal,
    request: &SearchRequest,
) -> Result<(Answer, u64), Problem> {
    // Most answers have no other page: nothing need be bound to them.
    let binding = LazyCell::new(|| cursor::binding(principal, request));
    let count_max = match principal {
        Principal::Token(_) => limits::COUNT_MAX,
        Principal::Administrator(_) => limits::ADMINISTRATOR_COUNT_MAX,
    };
    let query = Query {
        filter: request.filter.as_ref(),
        search: request.search.as_ref(),
        sort: request.sort,
        start: start(api, &binding, request)?,
        count: request
            .count
            .unwrap_or(limits::COUNT_DEFAULT)
            .min(count_max),
        base_url: &api.base_url,
    };
    let asker = Asker {
        name: principal.token().map_or("", |token| &token.id),
        is_let_in: &|| principal.token().is_none_or(|token| api.is_good(token)),
    };
    let page = api.directory.query(&query, &asker).or_else(|error| {
        api.check_again(principal)?;
        Err(Problem::from(error))
    })?;
    let place = place(api, &binding, request, &page);
    let (state, total) = (page.state(), total(request, &place, &page));
    let answer = PageWriter {
        damages: api.damages.clone(),
        next: 0,
        page,
        base_url: Arc::clone(&api.base_url),
        projection: request.projection.clone(),
        request: call.request_id().to_owned(),
    }
    .answer(&place, total)?;
    Ok((answer, state))
}

/// Where the page begins.
fn start(
    api: &Api,
    binding: &impl Deref<Target = Digest>,
    request: &SearchRequest,
) -> Result<Start, Problem> {
    Ok(match &request.paging {
        Paging::Cursor(None) | Paging::Index(1) => Start::Index(1),
        Paging::Cursor(Some(text)) => api.cursors.open(binding, text, api.clock.now())?,
        Paging::Index(index) => match api.places.find(**binding, *index, Monotonic::now()) {
            Some(place) => Start::After(place),
            None => Start::Index(*index),
        },
    })
}

/// What the answer says of the page, and the way to the next one.
fn place(
    api: &Api,
    binding: &impl Deref<Target = Digest>,
    request: &SearchRequest,
    page: &Page,
) -> Place {
    let now = api.clock.now();
    match &request.paging {
        Paging::Index(index) => {
            if let Some(end) = page.after() {
                let next = index.saturating_add(page.len());
                let (end, sort) = (end.clone(), request.sort.as_ref());
                api.places
                    .note(**binding, next, end, sort, Monotonic::now());
            } else if !page.is_empty() && !request.selects_one_at_most() {
                api.places.forget_used_after(**binding, *index);
            }
            Place::Index(*index)
        }
        Paging::Cursor(_) => Place::Cursor {
            previous: page
                .before()
                .map(|place| api.cursors.before(binding, place, now)),
            next: page
                .after()
                .map(|place| api.cursors.after(binding, place, now)),
        },
    }
}

/// How many users there are, as a walk is told that has come to this page. Who reads until the total
/// is reached, as Okta does, must come for the next page, although some have gone. In another order
/// than that of creation, users whom the reader changes may always be ahead: such a walk would not
/// end.
fn total(request: &SearchRequest, place: &Place, page: &Page) -> usize {
    match place {
        Place::Index(index) if request.sort.is_none() && page.after().is_some() => {
            page.total().max(index.saturating_add(page.len()))
        }
        _ => page.total(),
    }
}

/// Writes a page. A page is never cut short by its size: what does not fit into one
/// buffer is streamed in small pieces, from the same state of the store.
struct PageWriter {
    page: Page,
    next: usize,
    base_url: Arc<str>,
    projection: Projection,
    request: String,
    damages: Damages,
}

impl PageWriter {
    fn answer(mut self, place: &Place, total: usize) -> Outcome {
        let room = (1 + self.page.len()).saturating_mul(USER_BYTES);
        // With room for the user that passes the bound, so that the buffer is not doubled for it.
        let room_max = limits::ANSWER_BUFFER_BYTES_MAX + limits::USER_BYTES_MAX;
        let mut head = String::with_capacity(room.min(room_max));
        message::write_list_head(total, place, self.page.len(), &mut head);
        let mut buffer = head.into_bytes();
        self.fill(limits::ANSWER_BUFFER_BYTES_MAX, &mut buffer)?;
        if self.is_done() {
            return Ok(reply::scim(200, buffer));
        }
        let first = std::iter::once(Ok(buffer));
        Ok(reply::scim_stream(Body::Stream(Box::new(
            first.chain(self),
        ))))
    }

    fn is_done(&self) -> bool {
        self.next > self.page.len()
    }

    /// Writes users until the buffer holds `bytes_max`, and the end after the last user.
    fn fill(&mut self, bytes_max: usize, buffer: &mut Vec<u8>) -> Result<(), Problem> {
        if self.next < self.page.len() {
            self.next = self.page.render_from(
                self.next,
                bytes_max,
                &self.base_url,
                &self.projection,
                buffer,
            )?;
        }
        if self.next == self.page.len() {
            buffer.extend_from_slice(b"]}");
            self.next += 1;
        }
        Ok(())
    }
}

impl Iterator for PageWriter {
    type Item = Result<Vec<u8>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done() {
            return None;
        }
        let mut buffer = Vec::with_capacity(limits::ANSWER_PIECE_BYTES + limits::USER_BYTES_MAX);
        match self.fill(limits::ANSWER_PIECE_BYTES, &mut buffer) {
            Ok(()) => Some(Ok(buffer)),
            Err(problem) => {
                let id = self.request.as_str();
                self.damages.note(id, &problem);
                log::error!(request = id; "{id} the answer was cut: {}", problem.detail);
                self.next = self.page.len() + 1;
                Some(Err(Broken))
            }
        }
    }
}
