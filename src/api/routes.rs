//! The route table: every path that exists, its methods, who may use them, and the handlers. Both
//! servers use this table; a path that is not in it does not exist.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::problem::Problem;
use super::reply::Outcome;
use super::request::Admission;
use super::{
    Api, audit, backup, bulk, discovery, explanation, health, history, import, installation,
    metrics, page, query, tokens, users, verification,
};
use crate::access::{Administrator, Principal, Scope};
use crate::http1::target::{Pair, path_segments, query_pairs};
use crate::http1::{Head, Method};

/// Who may use a route, and its handler. The handler's type states the privilege.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Anybody: the route says nothing about the directory.
    Open(fn(&Api, &Admission) -> Outcome),
    /// Tokens of this scope, and the administrator.
    Scim(Scope, fn(&Api, &Admission, &Principal, &[u8]) -> Outcome),
    /// Only the administrator, at the local socket.
    Administration(fn(&Api, &Admission, &Administrator, &[u8]) -> Outcome),
}

/// One method on one path, in which `{}` stands for one segment.
pub(super) struct Route {
    method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
}

use Access::{Administration, Open, Scim};
use Method::{Delete, Get, Patch, Post, Put};
use Scope::{Full, Metrics, Provision, Read};

/// Lets the table have one line per route, which `rustfmt` would spread over five.
macro_rules! routes {
    ($($method:ident $path:literal $access:expr;)*) => {
        &[$(Route {
            method: $method,
            path: $path,
            access: $access,
        }),*]
    };
}

static ROUTES: &[Route] = routes! {
    // These come first, since nearly every request is for one of them.
    Get    "/scim/v2/Users"                  Scim(Read, query::by_parameters);
    Post   "/scim/v2/Users/.search"          Scim(Read, query::by_message);
    Post   "/scim/v2/Users"                  Scim(Provision, users::create);
    Get    "/scim/v2/Users/{}"               Scim(Read, users::retrieve);
    Put    "/scim/v2/Users/{}"               Scim(Provision, users::replace);
    Patch  "/scim/v2/Users/{}"               Scim(Provision, users::modify);
    Delete "/scim/v2/Users/{}"               Scim(Full, users::delete);
    Get    "/healthz"                        Open(discovery::healthz);
    Get    "/"                               Open(page::to_directory);
    Get    "/directory"                      Open(page::index);
    Get    "/directory/{}"                   Open(page::file);
    Get    "/scim/v2/ServiceProviderConfig"  Open(discovery::service_provider_config);
    Get    "/scim/v2/ServiceProviderConfigs" Scim(Read, discovery::service_provider_configs);
    Get    "/scim/v2/ResourceTypes"          Scim(Read, discovery::resource_types);
    Get    "/scim/v2/ResourceTypes/{}"       Scim(Read, discovery::resource_type);
    Get    "/scim/v2/Schemas"                Scim(Read, discovery::schemas);
    Get    "/scim/v2/Schemas/{}"             Scim(Read, discovery::schema);
    Get    "/metrics"                        Scim(Metrics, metrics::exposition);
    Get    "/readyz"                         Scim(Metrics, health::readyz);
    Get    "/scim/v2"                        Scim(Read, query::by_parameters);
    Post   "/scim/v2/.search"                Scim(Read, query::by_message);
    Post   "/scim/v2/Bulk"                   Scim(Provision, bulk::bulk);
    Get    "/scim/v2/Groups"                 Scim(Read, discovery::no_groups);
    Post   "/scim/v2/Groups/.search"         Scim(Read, discovery::no_groups);
    Post   "/scim/v2/Groups"                 Scim(Read, discovery::groups_not_provisioned);
    Get    "/scim/v2/Groups/{}"              Scim(Read, discovery::no_group);
    Put    "/scim/v2/Groups/{}"              Scim(Read, discovery::groups_not_provisioned);
    Patch  "/scim/v2/Groups/{}"              Scim(Read, discovery::groups_not_provisioned);
    Delete "/scim/v2/Groups/{}"              Scim(Read, discovery::groups_not_provisioned);
    Get    "/scim/v2/Me"                     Scim(Read, discovery::no_me);
    Post   "/scim/v2/Me"                     Scim(Read, discovery::no_me);
    Put    "/scim/v2/Me"                     Scim(Read, discovery::no_me);
    Patch  "/scim/v2/Me"                     Scim(Read, discovery::no_me);
    Delete "/scim/v2/Me"                     Scim(Read, discovery::no_me);
    Get    "/admin/installation"             Administration(installation::installation);
    Post   "/admin/backup"                   Administration(backup::back_up);
    Get    "/admin/users/{}/past"            Administration(history::past);
    Post   "/admin/undo"                     Administration(history::undo);
    Post   "/admin/users/import"             Administration(import::import);
    Post   "/admin/users/compare"            Administration(import::compare);
    Get    "/admin/tokens"                   Administration(tokens::list);
    Post   "/admin/tokens"                   Administration(tokens::issue);
    Get    "/admin/tokens/{}"                Administration(tokens::show);
    Patch  "/admin/tokens/{}"                Administration(tokens::change);
    Post   "/admin/tokens/{}/rotate"         Administration(tokens::rotate);
    // The command line may talk to a server of an earlier release, so the path keeps the word
    // "passing" of that release.
    Post   "/admin/passing-tokens"           Administration(tokens::issue_temporary);
    Delete "/admin/passing-tokens/{}"        Administration(tokens::forget_temporary);
    Get    "/admin/status"                   Administration(health::status);
    Get    "/admin/audit"                    Administration(audit::list);
    Post   "/admin/audit"                    Administration(audit::record);
    Post   "/admin/audit/verification"       Administration(audit::verify);
    Get    "/admin/explanations/{}"          Administration(explanation::explanation);
    Post   "/admin/verification"             Administration(verification::verify);
    Delete "/admin/tokens/{}"                Administration(tokens::revoke);
};

/// The segments of each route's path, split once.
static PATTERNS: LazyLock<Vec<(Vec<&'static str>, &'static Route)>> = LazyLock::new(|| {
    let segments = |path: &'static str| path.split('/').filter(|segment| !segment.is_empty());
    ROUTES
        .iter()
        .map(|route| (segments(route.path).collect(), route))
        .collect()
});

/// A route, with the variable segment of the path and the query.
pub(super) struct RouteMatch<'h> {
    pub(super) route: &'static Route,
    pub(super) parameter: Option<Cow<'h, str>>,
    pub(super) query: Vec<Pair<'h>>,
}

/// Finds the route of a request: 404 if the path does not exist, 405 if it does not have the
/// method. HEAD is GET without a body.
pub(super) fn find(head: &Head) -> Result<RouteMatch<'_>, Problem> {
    let segments = path_segments(head.path()).map_err(|fault| Problem::from_fault(&fault))?;
    let method = match head.method() {
        Method::Head => Get,
        method => method,
    };
    if is_other_version(&segments) {
        return Err(Problem::no_such_version());
    }
    // Whether the query can be read must not depend on whether the path exists.
    let query = query_pairs(head.query().unwrap_or_default())
        .map_err(|fault| Problem::from_fault(&fault))?;
    let (mut allowed, mut is_fixed) = (Vec::new(), false);
    for (pattern, route) in PATTERNS.iter() {
        let Some(Match { parameter }) = matches(pattern, &segments) else {
            continue;
        };
        // Paths of fixed words come before those with an id: `/Users/.search` is not a user.
        if parameter.is_some() && is_fixed {
            continue;
        }
        // Nor is what a client asks for whose base URL ends with `/Users`: that no user has this id
        // would not tell anybody what to correct.
        let is_name = |id: &Cow<'_, str>| matches!(&**id, "Users" | "ServiceProviderConfig");
        if route.path == "/scim/v2/Users/{}" && parameter.is_some_and(is_name) {
            continue;
        }
        is_fixed |= parameter.is_none();
        if route.method == method {
            return Ok(RouteMatch {
                route,
                parameter: parameter.cloned(),
                query,
            });
        }
        allowed.push(route.method);
    }
    if allowed.is_empty() {
        Err(Problem::not_found())
    } else if segments.first().is_some_and(|first| first == "admin") {
        // A 405 would disclose that the path exists.
        Err(Problem::not_found())
    } else if method == Method::Other {
        Err(Problem::unknown_method())
    } else {
        let mut problem = Problem::method_not_allowed(&allowed);
        if method == Post && segments == ["scim", "v2"] {
            problem.detail += ": POST a user to /scim/v2/Users, bulk requests to /scim/v2/Bulk";
        }
        Err(problem)
    }
}

/// The path in the table under which metrics count a request; `none` for any other, whatever was
/// sent.
pub(super) fn pattern(head: &Head) -> &'static str {
    let Ok(segments) = path_segments(head.path()) else {
        return "none";
    };
    let mut patterns = PATTERNS.iter();
    let found = patterns.find(|(pattern, _)| matches(pattern, &segments).is_some());
    found.map_or("none", |(_, route)| route.path)
}

/// Whether the path names another version of SCIM, such as `/scim/v1`.
fn is_other_version(segments: &[Cow<'_, str>]) -> bool {
    let [scim, version, ..] = segments else {
        return false;
    };
    let number = version.strip_prefix(['v', 'V']).unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    scim == "scim" && is_number && version != "v2"
}

/// Whether a request without a token must learn nothing about its path.
pub(super) fn is_protected(head: &Head) -> bool {
    match path_segments(head.path()) {
        Ok(segments) => segments.first().is_some_and(|first| first == "scim"),
        // A path that cannot be decoded is not an open route.
        Err(_) => true,
    }
}

/// A path that matches a pattern.
struct Match<'a, 'h> {
    /// The variable segment, if there is one.
    parameter: Option<&'a Cow<'h, str>>,
}

fn matches<'a, 'h>(pattern: &[&str], segments: &'a [Cow<'h, str>]) -> Option<Match<'a, 'h>> {
    if pattern.len() != segments.len() {
        return None;
    }
    let mut parameter = None;
    // Compares from the end, where paths differ: nearly all begin with `/scim/v2`.
    for (&wanted, segment) in pattern.iter().zip(segments).rev() {
        if wanted == "{}" {
            parameter = Some(segment);
        } else if wanted != segment {
            return None;
        }
    }
    Some(Match { parameter })
}

/// Who may use a route, as [`route_table`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// Anybody.
    Open,
    /// Tokens of this scope, and the administrator.
    Scim(Scope),
    /// Only the administrator, at the local socket.
    Administration,
}

/// Every route: method, path with `{}` for one segment, and who may use it.
pub fn route_table() -> Vec<(&'static str, &'static str, AccessKind)> {
    ROUTES
        .iter()
        .map(|route| {
            let access = match route.access {
                Open(_) => AccessKind::Open,
                Scim(scope, _) => AccessKind::Scim(scope),
                Administration(_) => AccessKind::Administration,
            };
            (route.method.as_str(), route.path, access)
        })
        .collect()
}
