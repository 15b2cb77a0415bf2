//! `/Users`: from the words of HTTP to the directory's and back.

use std::sync::Arc;

use serde_json::Value;

use super::Api;
use super::call::Admission;
use super::reply::{self, Outcome, Problem};
use crate::access::Principal;
use crate::directory::{Page, Query, Record};
use crate::http1::answer::Broken;
use crate::http1::{Answer, Body};
use crate::limits;
use crate::scim::{self, ErrorType, Filter, Patch, Projection, User, message};

/// `GET /Users` (RFC 7644 section 3.4.2).
pub(super) fn query(api: &Api, call: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let mut leniency = call.leniency();
    let filter = match call.query("filter") {
        Some(text) if !text.trim().is_empty() => Some(Filter::parse(text, &mut leniency)?),
        _ => None,
    };
    call.note(leniency.used());
    let query = Query {
        filter,
        start_index: number(call, "startIndex")?.unwrap_or(1).max(1),
        count: number(call, "count")?
            .unwrap_or(limits::COUNT_DEFAULT)
            .min(limits::COUNT_MAX),
        base_url: Arc::clone(&api.base_url),
    };
    let page = api.directory.query(&query)?;
    PageWriter {
        next: 0,
        page,
        base_url: Arc::clone(&api.base_url),
        projection: projection(call),
        request: call.caller().request_id,
    }
    .answer(query.start_index)
}

/// `GET /Users/{id}`.
pub(super) fn retrieve(api: &Api, call: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let record = api.directory.retrieve(call.parameter())?;
    Ok(shown(api, call, 200, &record))
}

/// `POST /Users` (RFC 7644 section 3.3).
pub(super) fn create(api: &Api, call: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let user = user(call, body)?;
    let record = api.directory.create(user, &call.caller())?;
    let mut answer = shown(api, call, 201, &record);
    answer
        .headers
        .push(("Location", record.location(&api.base_url)));
    Ok(answer)
}

/// `PUT /Users/{id}` (RFC 7644 section 3.5.1).
pub(super) fn replace(api: &Api, call: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let user = user(call, body)?;
    let written = api
        .directory
        .replace(call.parameter(), user, &call.caller())?;
    Ok(shown(api, call, 200, &written.record))
}

/// `PATCH /Users/{id}` (RFC 7644 section 3.5.2). Always answers with the user: some
/// clients look for the change in it.
pub(super) fn modify(api: &Api, call: &Admission, _: &Principal, body: &[u8]) -> Outcome {
    let mut leniency = call.leniency();
    let patch = Patch::parse(json(body)?, &mut leniency)?;
    let written = api
        .directory
        .modify(call.parameter(), patch, leniency, &call.caller())?;
    call.note(&written.tolerances);
    Ok(shown(api, call, 200, &written.record))
}

/// `DELETE /Users/{id}` (RFC 7644 section 3.6).
pub(super) fn delete(api: &Api, call: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    api.directory.delete(call.parameter(), &call.caller())?;
    Ok(reply::no_content())
}

fn shown(api: &Api, call: &Admission, status: u16, record: &Record) -> Answer {
    let resource = projection(call).apply(record.resource(&api.base_url));
    reply::scim(status, Value::Object(resource).to_string())
}

fn user(call: &Admission, body: &[u8]) -> Result<User, Problem> {
    let mut leniency = call.leniency();
    let user = User::parse(json(body)?, &mut leniency)?;
    call.note(leniency.used());
    Ok(user)
}

/// The body as JSON. What is wrong with it is told by line and column, not quoted.
pub(super) fn json(body: &[u8]) -> Result<Value, Problem> {
    let syntax = |detail: String| scim::Error::new(ErrorType::InvalidSyntax, detail).into();
    if body.is_empty() {
        return Err(syntax("the body is empty, JSON was expected".to_owned()));
    }
    if std::str::from_utf8(body).is_err() {
        return Err(syntax("the body is not valid UTF-8".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| {
        syntax(format!(
            "the body is not valid JSON at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}

fn projection(call: &Admission) -> Projection {
    Projection::parse(call.query("attributes"), call.query("excludedAttributes"))
}

/// A query parameter that is an integer; what is below zero counts as zero (RFC 7644
/// section 3.4.2.4).
fn number(call: &Admission, name: &str) -> Result<Option<usize>, Problem> {
    let Some(text) = call.query(name) else {
        return Ok(None);
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(scim::Error::new(
            ErrorType::InvalidValue,
            format!("{name} must be a whole number"),
        )
        .into());
    }
    if text.starts_with('-') {
        return Ok(Some(0));
    }
    // What does not fit is beyond every page all the same.
    Ok(Some(digits.parse().unwrap_or(usize::MAX)))
}

/// Writes a page. A page is never cut short by its size: what does not fit into one
/// buffer is streamed, from the same state of the store.
struct PageWriter {
    page: Page,
    next: usize,
    base_url: Arc<str>,
    projection: Projection,
    request: String,
}

impl PageWriter {
    fn answer(mut self, start_index: usize) -> Outcome {
        let head = message::list_head(self.page.total(), start_index, self.page.len());
        let mut buffer = head.into_bytes();
        self.fill(&mut buffer)?;
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

    /// Writes users until the buffer is full, and the end after the last.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<(), Problem> {
        while self.next < self.page.len() && buffer.len() < limits::ANSWER_BUFFER_BYTES_MAX {
            if self.next > 0 {
                buffer.push(b',');
            }
            self.page
                .render(self.next, &self.base_url, &self.projection, buffer)?;
            self.next += 1;
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
        let mut buffer = Vec::new();
        match self.fill(&mut buffer) {
            Ok(()) => Some(Ok(buffer)),
            Err(problem) => {
                log::error!("{} the answer was cut: {}", self.request, problem.detail);
                self.next = self.page.len() + 1;
                Some(Err(Broken))
            }
        }
    }
}
