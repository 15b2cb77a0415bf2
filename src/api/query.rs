//! Queries: `GET /Users`, `POST /Users/.search`, `POST /.search` (RFC 7644 sections 3.4.2 and
//! 3.4.3, RFC 9865). All of them turn a request into a page in the same way.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use super::Api;
use super::cursor;
use super::damage::Damages;
use super::page_ends::{Asked, End, NextPage};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use super::request_id::RequestId;
use crate::access::Principal;
use crate::directory::{Ending, Page, Query, ScanCaller, Start};
use crate::http1::answer::Broken;
use crate::http1::{Answer, Body};
use crate::limits;
use crate::scim::message::{self, Place};
use crate::scim::{Paging, Projection, SearchRequest, json};
use crate::secret::{Digest, sha256};

/// Room for most users, so that a buffer rarely has to be moved while it grows.
const USER_BYTES: usize = 1024;

/// `GET /Users`, and the same at the root of the service.
pub(super) fn by_parameters(
    api: &Api,
    admission: &Admission,
    principal: &Principal,
    _: &[u8],
) -> Outcome {
    let mut leniency = admission.leniency();
    let parameter = |name: &str| admission.query_once(name);
    let projection = admission.projection(&mut leniency);
    let request = SearchRequest::from_parameters(parameter, projection, &mut leniency)?;
    api.note(admission, leniency.tolerated());
    let walk = Walk::of(request, api, admission, principal);
    // A page by index is always sent, never confirmed by 304: sending it notes its end
    // (`page_ends`).
    if matches!(walk.request.paging, Paging::Index(_)) {
        return walk.answer(walk.start()?).map(|(answer, _)| answer);
    }
    // The cursors of a confirmed page must stay good for some time, too (see `cursor`).
    let period = cursor::period(api.clock.now());
    let version = |state| format!("W/\"{}.{state}.{period}\"", api.incarnation);
    let newest = version(api.directory.state()?);
    // A cursor that has expired, or belongs to another query, is refused even if nothing has
    // changed.
    let start = walk.start()?;
    if admission.preconditions().is_not_modified(&newest) {
        return Ok(reply::not_modified(newest));
    }
    let (mut answer, state) = walk.answer(start)?;
    answer.headers.push(("ETag", version(state).into()));
    Ok(answer)
}

/// `POST /Users/.search`, and the same at the root of the service.
pub(super) fn by_message(
    api: &Api,
    admission: &Admission,
    principal: &Principal,
    body: &[u8],
) -> Outcome {
    let mut leniency = admission.leniency();
    let request = SearchRequest::from_message(json::parse(body)?, &mut leniency)?;
    api.note(admission, leniency.tolerated());
    let walk = Walk::of(request, api, admission, principal);
    walk.answer(walk.start()?).map(|(answer, _)| answer)
}

/// One client's walk through the pages of a query, at the page that it asks for.
struct Walk<'a> {
    request: SearchRequest,
    api: &'a Api,
    admission: &'a Admission<'a>,
    principal: &'a Principal,
    /// Computed when needed: most answers are the only page, and nothing is bound to them.
    asked: OnceCell<Asked>,
}

impl<'a> Walk<'a> {
    fn of(
        request: SearchRequest,
        api: &'a Api,
        admission: &'a Admission<'a>,
        principal: &'a Principal,
    ) -> Self {
        Self {
            request,
            api,
            admission,
            principal,
            asked: OnceCell::new(),
        }
    }

    fn asked(&self) -> &Asked {
        self.asked.get_or_init(|| Asked {
            principal: sha256(self.principal.to_string().as_bytes()),
            list: cursor::binding(self.principal, &self.request),
        })
    }

    /// What cursors are bound to.
    fn binding(&self) -> &Digest {
        &self.asked().list
    }

    /// Where the page begins. Call it once: it marks the place of a page by index as used.
    fn start(&self) -> Result<Start, Problem> {
        let api = self.api;
        Ok(match &self.request.paging {
            Paging::Cursor(None) | Paging::Index(1) => Start::Index(1),
            Paging::Cursor(Some(text)) => {
                api.cursors.open(self.binding(), text, api.clock.now())?
            }
            Paging::Index(index) => {
                let now = Monotonic::now();
                let place = api.page_ends.find(*self.asked(), *index, now);
                place.map_or(Start::Index(*index), Start::After)
            }
        })
    }

    /// How many users a page may have.
    fn count(&self) -> usize {
        let count = self.request.count.unwrap_or(limits::COUNT_DEFAULT);
        count.min(match self.principal {
            Principal::Token(_) => limits::COUNT_MAX,
            Principal::Administrator(_) => limits::ADMINISTRATOR_COUNT_MAX,
        })
    }

    /// The page that begins at `start`, and the number of the store's state that it shows.
    fn answer(&self, start: Start) -> Result<(Answer, u64), Problem> {
        let (api, principal, request) = (self.api, self.principal, &self.request);
        let query = Query {
            filter: request.filter.as_ref(),
            search: request.search.as_ref(),
            sort: request.sort,
            start,
            count: self.count(),
            // The command line walks over all users and does not ask how many there are.
            is_counted: matches!(principal, Principal::Token(_))
                || matches!(request.paging, Paging::Index(_)),
            base_url: api.base_url(),
        };
        let caller = ScanCaller {
            name: principal.token().map_or("", |token| token.id.as_str()),
            is_let_in: &|| principal.token().is_none_or(|token| api.is_good(token)),
        };
        let page = api.directory.query(&query, &caller).or_else(|error| {
            api.check_again(principal)?;
            Err(Problem::from(error))
        })?;
        let place = self.place(&page);
        let (state, total) = (page.state(), self.total(&place, &page));
        let answer = PageWriter {
            damages: api.damages.clone(),
            next: 0,
            is_done: false,
            page,
            ending: Arc::clone(&api.ending),
            projection: request.projection.clone(),
            request: self.admission.request_id(),
        }
        .answer(&place, total)?;
        Ok((answer, state))
    }

    /// What the answer says about the page's place, and how to get the next one.
    fn place(&self, page: &Page) -> Place {
        let (api, request) = (self.api, &self.request);
        let now = api.clock.now();
        match &request.paging {
            Paging::Index(index) => {
                if !request.selects_one_at_most() {
                    self.note_end(*index, page);
                }
                Place::Index(*index)
            }
            Paging::Cursor(_) => Place::Cursor {
                previous: page
                    .before()
                    .map(|place| api.cursors.before(self.binding(), place, now)),
                next: page
                    .after()
                    .map(|place| api.cursors.after(self.binding(), place, now)),
            },
        }
    }

    fn note_end(&self, index: usize, page: &Page) {
        let (ends, count) = (&self.api.page_ends, self.count());
        let Some(place) = page.end() else { return };
        let asked = *self.asked();
        let next = match page.after() {
            Some(_) => NextPage::Due,
            None => NextPage::Missing,
        };
        if index == 1 || next == NextPage::Missing {
            ends.forget_after(asked, index, count);
        }
        let end = End {
            place: place.clone(),
            count,
            next,
        };
        let (next_index, sort) = (index.saturating_add(page.len()), self.request.sort.as_ref());
        ends.note(asked, next_index, end, sort, Monotonic::now());
    }

    /// The total to report. A client that reads until it has seen the total, as Okta does, must
    /// fetch the next page even if users were deleted meanwhile, so the total is at least that
    /// page's index. This applies only in order of creation: in another order, users that the
    /// client changes may keep moving ahead of it, and such a walk would not end. For the same
    /// reason, an empty page after a remembered end says that there are no more users, even if some
    /// have joined the list before that end.
    fn total(&self, place: &Place, page: &Page) -> Option<usize> {
        let total = page.total()?;
        Some(match place {
            Place::Index(index) if self.request.sort.is_none() && page.after().is_some() => {
                total.max(index.saturating_add(page.len()))
            }
            Place::Index(index) if page.is_empty() && self.request.count != Some(0) => {
                total.min(index.saturating_sub(1))
            }
            _ => total,
        })
    }
}

/// Writes a page. A page is never cut short by its size: what does not fit into one buffer is
/// streamed in small pieces, from the same state of the store.
struct PageWriter {
    page: Page,
    /// The index of the next user to write.
    next: usize,
    is_done: bool,
    ending: Arc<Ending>,
    projection: Projection,
    request: RequestId,
    damages: Damages,
}

impl PageWriter {
    fn answer(mut self, place: &Place, total: Option<usize>) -> Outcome {
        let room = (1 + self.page.len()).saturating_mul(USER_BYTES);
        // Room for one more user, so that the user that crosses the bound does not double the
        // buffer.
        let room_max = limits::ANSWER_BUFFER_BYTES_MAX + limits::USER_BYTES_MAX;
        let mut head = String::with_capacity(room.min(room_max));
        message::write_list_head(total, place, self.page.len(), &mut head);
        let mut buffer = head.into_bytes();
        self.fill(limits::ANSWER_BUFFER_BYTES_MAX, &mut buffer)?;
        if self.is_done {
            return Ok(reply::scim(200, buffer));
        }
        let first = std::iter::once(Ok(buffer));
        Ok(reply::scim_stream(Body::Stream(Box::new(
            first.chain(self),
        ))))
    }

    /// Writes users until the buffer holds `bytes_max`, and the closing brackets after the last
    /// user.
    fn fill(&mut self, bytes_max: usize, buffer: &mut Vec<u8>) -> Result<(), Problem> {
        if self.next < self.page.len() {
            self.next = self.page.render_from(
                self.next,
                bytes_max,
                &self.ending,
                &self.projection,
                buffer,
            )?;
        }
        if self.next == self.page.len() {
            buffer.extend_from_slice(b"]}");
            self.is_done = true;
        }
        Ok(())
    }
}

impl Iterator for PageWriter {
    type Item = Result<Vec<u8>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let mut buffer = Vec::with_capacity(limits::ANSWER_PIECE_BYTES + limits::USER_BYTES_MAX);
        let fill = || self.fill(limits::ANSWER_PIECE_BYTES, &mut buffer);
        let filled = catch_unwind(AssertUnwindSafe(fill));
        match filled.unwrap_or_else(|_| Err(Problem::panicked())) {
            Ok(()) => Some(Ok(buffer)),
            Err(problem) => {
                self.damages.note(self.request, &problem);
                let id = self.request;
                log::error!(request = id.to_string().as_str(); "{id} the answer was cut: {}", problem.detail);
                self.is_done = true;
                Some(Err(Broken))
            }
        }
    }
}
