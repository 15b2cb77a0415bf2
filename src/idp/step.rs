//! A suite as a table: what each step sends, what must come back, and what is saved for later
//! steps. These are pure values; `player` executes them.
//!
//! The functions that the suites call hundreds of times are not inlined, and take what they add as a
//! list: this makes the program 57 KB smaller (`ls -l`, 2026-11-30).

use std::time::Duration;

use serde_json::Value;

use super::check::Check;
use super::person::Person;
use super::variables::Variables;

/// Steps that are played in order with shared variables.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The name of the suite in reports, such as `SPEC`.
    pub name: &'static str,
    /// Values known before the first step.
    pub variables: Variables,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Suite {
    /// These steps, with the values of a person.
    pub fn new(name: &'static str, person: &Person, steps: impl Into<Vec<Step>>) -> Self {
        Self {
            name,
            variables: person.variables(),
            steps: steps.into(),
        }
    }

    /// These steps, about the user `id`.
    pub fn of_user(name: &'static str, id: &str, steps: impl Into<Vec<Step>>) -> Self {
        let mut variables = Variables::default();
        variables.set("id", id.to_owned());
        Self {
            name,
            variables,
            steps: steps.into(),
        }
    }

    /// Changes the client whose header fields are sent in every step.
    #[must_use]
    pub fn headers(mut self, headers: Headers) -> Self {
        for step in &mut self.steps {
            step.headers = headers;
        }
        self
    }

    /// The checks of all steps.
    pub fn checks_count(&self) -> usize {
        self.steps.iter().map(|step| step.checks.len()).sum()
    }
}

/// One request, its checks, and the values that later steps take from its answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the step is for, in a few words.
    pub name: &'static str,
    /// Where the request and its checks are documented, such as `SPEC 6`.
    pub source: &'static str,
    /// The method.
    pub method: &'static str,
    /// Path and query below the base URL, with `{variables}`. Percent-encoded where the provider
    /// encodes, raw where it does not; values are always encoded.
    pub target: &'static str,
    /// The client whose header fields are sent.
    pub headers: Headers,
    /// What goes into `Authorization`.
    pub credential: Credential,
    /// The content.
    pub body: Body,
    /// The conditions on the answer. Each is counted.
    pub checks: Vec<Check>,
    /// Values to save for later steps: the variable, and the path in the answer.
    pub saves: Vec<(&'static str, &'static str)>,
}

/// The client whose header fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// The Okta product: no Content-Type without content.
    Product,
    /// Okta's SPEC suite: Content-Type even on GET, and a different User-Agent.
    Suite,
    /// The verifying requests of Okta's CRUD suite: only Authorization and Accept.
    Verification,
    /// Entra ID, JumpCloud, SailPoint: the SCIM media type both ways. Their User-Agent is not
    /// documented, so none is sent, and nothing may depend on it.
    Plain,
    /// OneLogin: an empty User-Agent (authentik 11249).
    OneLogin,
    /// authentik: JSON as its library sends it, accepting any type.
    Authentik,
}

/// What goes into `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Bearer` and the token.
    Bearer,
    /// The token without a scheme, as an app with header authentication sends it.
    Bare,
    /// This text, instead of the token.
    Literal(&'static str),
    /// No such field.
    None,
}

/// The content of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// None.
    None,
    /// This document with its variables filled.
    Json(Value),
    /// The last retrieved resource with these changes merged in by RFC 7396 (null removes a
    /// member): what an app of the App Integration Wizard sends in a PUT.
    Echo(Value),
    /// The bytes of the last request with content, again.
    Repeat,
}

impl Step {
    /// A GET.
    pub fn get(name: &'static str, source: &'static str, target: &'static str) -> Self {
        Self::new(name, source, "GET", target, Body::None)
    }

    /// A POST of this document.
    pub fn post(
        name: &'static str,
        source: &'static str,
        target: &'static str,
        body: Value,
    ) -> Self {
        Self::new(name, source, "POST", target, Body::Json(body))
    }

    /// A PUT of `/Users/{id}`.
    pub fn put(name: &'static str, source: &'static str, body: Body) -> Self {
        Self::new(name, source, "PUT", USER, body)
    }

    /// A PATCH of `/Users/{id}`.
    pub fn patch(name: &'static str, source: &'static str, body: Body) -> Self {
        Self::new(name, source, "PATCH", USER, body)
    }

    /// A DELETE of `/Users/{id}`.
    pub fn delete(name: &'static str, source: &'static str) -> Self {
        Self::new(name, source, "DELETE", USER, Body::None)
    }

    /// Changes the target.
    #[must_use]
    #[inline(never)]
    pub fn target(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    /// Changes the client whose header fields are sent.
    #[must_use]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Changes the credential.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }

    /// Adds these checks after the existing ones.
    #[must_use]
    #[inline(never)]
    pub fn checks(mut self, checks: impl Into<Vec<Check>>) -> Self {
        self.checks.append(&mut checks.into());
        self
    }

    /// Saves the value at `path` as `variable`.
    #[must_use]
    #[inline(never)]
    pub fn saves(mut self, variable: &'static str, path: &'static str) -> Self {
        self.saves.push((variable, path));
        self
    }

    /// Saves what `common_checks::unchanged` compares.
    #[must_use]
    pub fn saves_version(self) -> Self {
        self.saves("version", "meta.version")
            .saves("lastModified", "meta.lastModified")
    }

    /// Requires an answer within this time.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        self.checks([Check::Under(limit)])
    }

    #[inline(never)]
    fn new(
        name: &'static str,
        source: &'static str,
        method: &'static str,
        target: &'static str,
        body: Body,
    ) -> Self {
        Self {
            name,
            source,
            method,
            target,
            headers: Headers::Product,
            credential: Credential::Bearer,
            body,
            checks: Vec::new(),
            saves: Vec::new(),
        }
    }
}

/// The user that the suite is about.
pub const USER: &str = "/Users/{id}";

impl Headers {
    /// The fields besides `Host`, `Authorization` and `Content-Length`.
    pub fn fields(self, has_body: bool) -> &'static [(&'static str, &'static str)] {
        match (self, has_body) {
            (Self::Product, false) => &PRODUCT[..5],
            (Self::Product, true) => &PRODUCT,
            (Self::Suite, false) => &[
                ("Accept-Charset", "utf-8"),
                ("Content-Type", "application/scim+json; charset=utf-8"),
                ("Accept", "application/scim+json"),
                ("User-Agent", "OKTA SCIM Integration"),
            ],
            (Self::Suite, true) => &[
                ("Content-Type", "application/json"),
                ("Accept", "application/scim+json; charset=utf-8"),
            ],
            (Self::Verification, _) | (Self::Plain, false) => &PLAIN[..1],
            (Self::Plain, true) => &PLAIN,
            (Self::OneLogin, false) => &ONE_LOGIN[..2],
            (Self::OneLogin, true) => &ONE_LOGIN,
            (Self::Authentik, false) => &AUTHENTIK[..3],
            (Self::Authentik, true) => &AUTHENTIK,
        }
    }
}

const PLAIN: [(&str, &str); 2] = [
    ("Accept", "application/scim+json"),
    ("Content-Type", "application/scim+json"),
];

const ONE_LOGIN: [(&str, &str); 3] = [
    ("User-Agent", ""),
    ("Accept", "application/scim+json"),
    ("Content-Type", "application/scim+json"),
];

// Its client leaves these fields to the Python library `requests`.
const AUTHENTIK: [(&str, &str); 4] = [
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept", "*/*"),
    ("Connection", "keep-alive"),
    ("Content-Type", "application/json"),
];

const PRODUCT: [(&str, &str); 6] = [
    ("User-Agent", "Okta SCIM Client 1.0.0"),
    ("Accept", "application/scim+json"),
    ("Accept-Charset", "utf-8"),
    ("Accept-Encoding", "gzip,deflate"),
    ("Connection", "Keep-Alive"),
    ("Content-Type", "application/scim+json; charset=utf-8"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: Headers, name: &str, without_body: Option<&str>, with_body: Option<&str>) {
        for (has_body, expected) in [(false, without_body), (true, with_body)] {
            let mut fields = headers.fields(has_body).iter();
            let found = fields.find(|(field, _)| *field == name);
            let found = found.map(|(_, value)| *value);
            assert_eq!(found, expected, "{headers:?} {name} {has_body}");
        }
    }

    #[test]
    fn only_content_has_a_type_but_in_oktas_suite() {
        let okta = "application/scim+json; charset=utf-8";
        let scim = "application/scim+json";
        let json = "application/json";
        check(Headers::Product, "Content-Type", None, Some(okta));
        check(Headers::Suite, "Content-Type", Some(okta), Some(json));
        check(Headers::Verification, "Content-Type", None, None);
        check(Headers::Plain, "Content-Type", None, Some(scim));
        check(Headers::OneLogin, "Content-Type", None, Some(scim));
        check(Headers::Authentik, "Content-Type", None, Some(json));
    }

    #[test]
    fn some_name_no_user_agent_and_one_an_empty_one() {
        check(Headers::Plain, "User-Agent", None, None);
        check(Headers::OneLogin, "User-Agent", Some(""), Some(""));
        check(Headers::Authentik, "User-Agent", None, None);
    }
}
