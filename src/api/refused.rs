//! What is kept of one refused request: only what explains the refusal, and nobody's values.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::request::{Admission, NewRequest};
use super::request_id::RequestId;
use super::routes;
use crate::clock::Instant;
use crate::directory::{self, Caller, UserId};
use crate::http1::target::{Pair, query_pairs};
use crate::limits;
use crate::scim::{ErrorType, shape};

/// The parts of a refused request that may be kept.
pub(super) struct Refused<'a> {
    pub(super) request_id: RequestId,
    address: Option<IpAddr>,
    method: &'static str,
    route: &'static str,
    parameter: Option<Cow<'a, str>>,
    query: Vec<Pair<'a>>,
    user_agent: Option<Cow<'a, str>>,
    body: &'a [u8],
    /// The method of a bulk request's operation.
    operation: Option<&'a str>,
}

impl<'a> Refused<'a> {
    /// A request that was refused because of its head.
    pub(super) fn by_head(request: NewRequest<'a>) -> Self {
        let head = request.head;
        let (parameter, query) = if let Ok(found) = routes::find(head) {
            (found.parameter, found.query)
        } else {
            let query = query_pairs(head.query().unwrap_or_default());
            (None, query.unwrap_or_default())
        };
        Self {
            method: head.method().as_str(),
            route: routes::pattern(head),
            parameter,
            query,
            user_agent: head.header("user-agent").map(String::from_utf8_lossy),
            ..Self::unread(request.request_id, request.peer)
        }
    }

    /// A request that was admitted.
    pub(super) fn admitted(admission: &'a Admission<'_>, body: &'a [u8]) -> Self {
        Self {
            method: admission.method(),
            route: admission.route().path,
            parameter: Some(admission.parameter().into()),
            query: admission.parameters().to_vec(),
            user_agent: admission.user_agent(),
            body,
            ..Self::unread(admission.request_id(), admission.address())
        }
    }

    /// An operation of a bulk request.
    pub(super) fn operation(admission: &'a Admission<'_>, method: &'a str) -> Self {
        Self {
            operation: Some(method),
            ..Self::admitted(admission, &[])
        }
    }

    /// A request of which nothing was read, such as bytes that are none.
    pub(super) fn unread(request_id: RequestId, address: Option<IpAddr>) -> Self {
        Self {
            request_id,
            address,
            method: "",
            route: "none",
            parameter: None,
            query: Vec::new(),
            user_agent: None,
            body: &[],
            operation: None,
        }
    }

    /// Whether it is only one operation of a bulk request.
    pub(super) fn is_operation(&self) -> bool {
        self.operation.is_some()
    }

    pub(super) fn shape(&self) -> Value {
        let shape = shape::of(&self.query, self.body);
        let bytes = shape.to_string().len();
        if bytes > limits::SHAPE_BYTES_MAX {
            return json!({"body": format!("{} bytes, whose shape is too large", self.body.len())});
        }
        shape
    }

    pub(super) fn details(&self, problem: &Problem) -> Map<String, Value> {
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

    /// The row of the audit trail about the refusal of this principal.
    pub(super) fn row(
        &self,
        principal: &str,
        now: Instant,
        details: &Map<String, Value>,
    ) -> String {
        let caller = Caller {
            principal: principal.to_owned(),
            request_id: self.request_id.to_string(),
            address: self.address,
        };
        directory::event(&caller, now, "refuse", details)
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
