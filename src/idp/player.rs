//! Plays a suite: fills in the variables, sends each step, judges its answer, saves what later
//! steps need, and reports. If a step cannot be sent, all its checks fail, so that a report always
//! has as many checks as the table.
//!
//! The pauses of the published suites are left out: they wait for a remote Okta, whereas these
//! tables talk only to the service provider.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::Exchange;
use super::check::{Answered, Verdict};
use super::step::{Body, Credential, Step, Suite};
use super::variables::Variables;
use crate::http1::client::{Request, Response};
use crate::limits;
use crate::secret::Secret;

/// Plays `suite` through `exchange` with `token`, and calls `observe` with each step as soon as it
/// is done.
///
/// The steps continue after a failed check, as in Okta's own runner, but nothing more is sent after
/// a request without an answer.
pub fn play(
    suite: &Suite,
    exchange: &mut dyn Exchange,
    token: &Secret,
    observe: &mut dyn FnMut(&StepReport),
) -> Report {
    let mut player = Player {
        exchange,
        token,
        variables: suite.variables.clone(),
        retrieved: None,
        last_body: None,
        is_cut_off: false,
    };
    let mut steps = Vec::with_capacity(suite.steps.len());
    for step in &suite.steps {
        let report = player.play_step(step);
        observe(&report);
        steps.push(report);
    }
    Report {
        suite: suite.name,
        steps,
        variables: player.variables,
    }
}

/// The outcome of a suite.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the suite.
    pub suite: &'static str,
    /// Its steps in order.
    pub steps: Vec<StepReport>,
    variables: Variables,
}

impl Report {
    /// Whether every check holds.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(StepReport::passed)
    }

    /// The steps with a failed check.
    pub fn failures(&self) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(|step| !step.passed())
    }

    /// The number of checks that hold, and of all checks.
    pub fn counts(&self) -> (usize, usize) {
        let verdicts = self.steps.iter().flat_map(|step| &step.verdicts);
        let passed = verdicts.clone().filter(|verdict| verdict.passed).count();
        (passed, verdicts.count())
    }

    /// The final value of a variable, such as the `id` of the created user.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.value(name)
    }
}

/// One line, such as `SPEC 53/53`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, all) = self.counts();
        write!(f, "{} {passed}/{all}", self.suite)
    }
}

/// The outcome of one step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// What the step is for.
    pub name: &'static str,
    /// Where it is documented.
    pub source: &'static str,
    /// Method and target as sent.
    pub request: String,
    /// Whether it was sent: no step is sent after a request that got no answer.
    pub is_sent: bool,
    /// The content sent, cut at [`limits::REPORT_BODY_BYTES_MAX`].
    pub sent: String,
    /// The status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The content of the answer, cut like `sent`.
    pub answer: String,
    /// From the first byte sent to the last byte read.
    pub elapsed: Duration,
    /// One verdict per check.
    pub verdicts: Vec<Verdict>,
}

impl StepReport {
    /// Whether every check of the step holds.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.passed)
    }
}

/// The whole exchange: what was sent, what came back, and each check.
impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}): {}", self.name, self.source, self.request)?;
        if !self.sent.is_empty() {
            writeln!(f, "  sent: {}", self.sent)?;
        }
        match self.status {
            Some(status) => writeln!(f, "  answer: {status} {}", self.answer)?,
            None => writeln!(f, "  no answer")?,
        }
        for verdict in &self.verdicts {
            let mark = if verdict.passed { "pass" } else { "FAIL" };
            write!(f, "  {mark}: {}", verdict.expected)?;
            if !verdict.passed {
                write!(f, "; found {}", verdict.found)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The state between steps.
struct Player<'a> {
    exchange: &'a mut dyn Exchange,
    token: &'a Secret,
    variables: Variables,
    retrieved: Option<Value>,
    last_body: Option<Vec<u8>>,
    is_cut_off: bool,
}

/// A request with its variables filled in.
struct Prepared {
    target: String,
    authorization: Option<String>,
    body: Option<Vec<u8>>,
}

impl Player<'_> {
    fn play_step(&mut self, step: &Step) -> StepReport {
        let mut report = StepReport {
            name: step.name,
            source: step.source,
            request: format!("{} {}", step.method, step.target),
            is_sent: false,
            sent: String::new(),
            status: None,
            answer: String::new(),
            elapsed: Duration::ZERO,
            verdicts: Vec::new(),
        };
        match self.prepare(step) {
            Ok(prepared) => self.send_and_judge(step, prepared, &mut report),
            Err(why) => self.fail(step, &why, &mut report),
        }
        report
    }

    fn prepare(&self, step: &Step) -> Result<Prepared, String> {
        if self.is_cut_off {
            return Err("not sent, since an earlier request brought no answer".to_owned());
        }
        let target = self.variables.fill_target(step.target);
        Ok(Prepared {
            target: target.map_err(|unset| unset.to_string())?,
            authorization: match step.credential {
                Credential::Bearer => Some(format!("Bearer {}", self.token.reveal())),
                Credential::Bare => Some(self.token.reveal().to_owned()),
                Credential::Literal(text) => Some(text.to_owned()),
                Credential::None => None,
            },
            body: self.body(&step.body)?,
        })
    }

    fn body(&self, body: &Body) -> Result<Option<Vec<u8>>, String> {
        let filled = |json: &Value| {
            let filled = self.variables.fill_json(json);
            filled.map_err(|unset| unset.to_string())
        };
        let json = match body {
            Body::None => return Ok(None),
            Body::Repeat => {
                let again = self.last_body.clone();
                return again.map(Some).ok_or("nothing was sent before".to_owned());
            }
            Body::Json(json) => filled(json)?,
            Body::Echo(changes) => {
                let retrieved = self.retrieved.clone();
                let mut resource = retrieved.ok_or("no resource was retrieved before")?;
                merge(&mut resource, &filled(changes)?);
                resource
            }
        };
        Ok(Some(json.to_string().into_bytes()))
    }

    fn send_and_judge(&mut self, step: &Step, prepared: Prepared, report: &mut StepReport) {
        report.request = format!("{} {}", step.method, prepared.target);
        report.is_sent = true;
        report.sent = cut(prepared.body.as_deref().unwrap_or_default());
        let mut headers = step.headers.fields(prepared.body.is_some()).to_vec();
        if let Some(authorization) = &prepared.authorization {
            headers.push(("Authorization", authorization));
        }
        let request = Request {
            method: step.method,
            target: &prepared.target,
            headers: &headers,
            body: prepared.body.as_deref(),
        };
        match self.exchange.exchange(&request) {
            Ok((response, elapsed)) => self.judge(step, &response, elapsed, report),
            Err(error) => {
                self.is_cut_off = true;
                self.fail(step, &error.to_string(), report);
            }
        }
        if prepared.body.is_some() {
            self.last_body = prepared.body;
        }
    }

    fn judge(
        &mut self,
        step: &Step,
        response: &Response,
        elapsed: Duration,
        report: &mut StepReport,
    ) {
        let json = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        report.status = Some(response.status);
        report.answer = cut(&response.body);
        report.elapsed = elapsed;
        let answered = Answered {
            response,
            json: &json,
            elapsed,
        };
        let verdict = |check: &super::Check| check.judge(answered, &self.variables);
        report.verdicts = step.checks.iter().map(verdict).collect();
        self.save(step, &json);
        if step.method == "GET" && response.status == 200 && json.get("id").is_some() {
            self.retrieved = Some(json);
        }
    }

    /// Saves the values that later steps need. A value that this answer lacks is forgotten, so that
    /// no later step mistakes an earlier answer's value for it.
    fn save(&mut self, step: &Step, json: &Value) {
        for (variable, path) in &step.saves {
            match super::check::value_at(json, path) {
                Some(Value::String(text)) => self.variables.set(variable, text.clone()),
                None | Some(Value::Null) => self.variables.unset(variable),
                Some(value) => self.variables.set(variable, value.to_string()),
            }
        }
    }

    fn fail(&mut self, step: &Step, why: &str, report: &mut StepReport) {
        let verdict = |check: &super::Check| check.unanswered(&self.variables, why);
        report.verdicts = step.checks.iter().map(verdict).collect();
        self.save(step, &Value::Null);
    }
}

/// JSON Merge Patch (RFC 7396 section 2).
fn merge(target: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        changes.clone_into(target);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let members = target
        .as_object_mut()
        .expect("anything else was replaced by an object above");
    for (name, change) in changes {
        if change.is_null() {
            members.shift_remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

fn cut(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(limits::REPORT_BODY_BYTES_MAX)];
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if kept.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;

    use super::super::Check;
    use super::super::client::Error;
    use super::*;
    use crate::http1::client::ResponseError;

    /// Returns answers from a list and records what it was sent.
    #[derive(Default)]
    struct Scripted {
        answers: Vec<(u16, Value)>,
        requests: Vec<String>,
    }

    impl Exchange for Scripted {
        fn exchange(&mut self, request: &Request<'_>) -> Result<(Response, Duration), Error> {
            let mut bytes = Vec::new();
            request.write(&mut bytes);
            let text = String::from_utf8(bytes).expect("the tests send text");
            self.requests.push(text);
            if self.answers.is_empty() {
                let closed = io::Error::from(io::ErrorKind::TimedOut);
                return Err(Error::Answer(ResponseError::Io(closed)));
            }
            let (status, json) = self.answers.remove(0);
            let response = Response {
                status,
                headers: Vec::new(),
                body: json.to_string().into_bytes(),
            };
            Ok((response, Duration::from_millis(1)))
        }
    }

    fn played(steps: Vec<Step>, answers: Vec<(u16, Value)>) -> (Report, Vec<String>) {
        let suite = Suite {
            name: "TEST",
            variables: Variables::default(),
            steps,
        };
        let mut scripted = Scripted {
            answers,
            ..Scripted::default()
        };
        let token = Secret::new("t0ken".to_owned());
        let mut seen = 0;
        let report = play(&suite, &mut scripted, &token, &mut |_| seen += 1);
        assert_eq!(seen, suite.steps.len());
        assert_eq!(report.counts().1, suite.checks_count());
        (report, scripted.requests)
    }

    #[test]
    fn an_echo_is_the_retrieved_resource_with_changes_merged_in() {
        let ok = || [Check::Status(200)];
        let changes = json!({"name": {"givenName": "B", "middleName": ""}, "active": null});
        let (report, requests) = played(
            vec![
                Step::get("find", "T 1", "/Users")
                    .checks(ok())
                    .saves("id", "Resources[0].id"),
                Step::get("read", "T 2", "/Users/{id}").checks(ok()),
                Step::put("replace", "T 3", Body::Echo(changes)).checks(ok()),
                Step::put("again", "T 4", Body::Repeat).checks(ok()),
            ],
            vec![
                (200, json!({"Resources": [{"id": "7"}]})),
                (
                    200,
                    json!({"id": "7", "name": {"givenName": "A"}, "active": true}),
                ),
                (200, json!({"id": "7"})),
                (200, json!({"id": "7"})),
            ],
        );
        assert_eq!(report.to_string(), "TEST 4/4");
        assert_eq!(report.value("id"), Some("7"));
        assert!(
            requests[1].starts_with("GET /Users/7 HTTP/1.1\r\n"),
            "{}",
            requests[1]
        );
        assert!(requests[1].contains("Authorization: Bearer t0ken\r\n"));
        let echo = "\r\n\r\n{\"id\":\"7\",\"name\":{\"givenName\":\"B\",\"middleName\":\"\"}}";
        assert!(requests[2].ends_with(echo), "{}", requests[2]);
        assert_eq!(requests[2], requests[3]);
        // RFC 7396 section 2: an object that is merged into something else takes its place.
        let mut target = json!({"a": "text", "b": 1});
        merge(&mut target, &json!({"a": {"c": 1, "d": null}, "b": [2]}));
        assert_eq!(target, json!({"a": {"c": 1}, "b": [2]}));
    }

    #[test]
    fn a_failure_shows_the_whole_exchange() {
        let post = Step::post("create", "T 1", "/Users", json!({"userName": "a"}));
        let step = post.checks([Check::Status(201), Check::Status(409)]);
        let (report, _) = played(vec![step], vec![(409, json!({"scimType": "uniqueness"}))]);
        let shown: String = report.failures().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            "create (T 1): POST /Users\n  sent: {\"userName\":\"a\"}\n  answer: 409 \
             {\"scimType\":\"uniqueness\"}\n  FAIL: status is 201; found 409\n  pass: status is 409\n"
        );
    }

    #[test]
    fn a_value_that_did_not_come_fails_the_steps_that_need_it() {
        let (report, requests) = played(
            vec![
                Step::get("find", "T 1", "/Users")
                    .checks([Check::Status(200)])
                    .saves("id", "Resources[0].id"),
                Step::get("read", "T 2", "/Users/{id}").checks([Check::Status(404)]),
            ],
            vec![(200, json!({"Resources": []})), (404, Value::Null)],
        );
        assert_eq!(
            (report.to_string().as_str(), requests.len()),
            ("TEST 1/2", 1)
        );
        let failed: Vec<_> = report.failures().collect();
        assert_eq!(failed[0].verdicts[0].found, "no earlier step brought {id}");
    }

    #[test]
    fn nothing_is_sent_after_an_exchange_without_an_answer() {
        let step = |name| Step::get(name, "T", "/Users").checks([Check::Status(200)]);
        let (report, requests) = played(vec![step("one"), step("two"), step("three")], Vec::new());
        assert_eq!(
            (report.to_string().as_str(), requests.len()),
            ("TEST 0/3", 1)
        );
        let shown = report.steps[1].to_string();
        assert!(shown.contains("no answer"), "{shown}");
        assert!(
            shown.contains("FAIL: status is 200; found not sent"),
            "{shown}"
        );
    }

    #[test]
    fn credentials_take_their_form() {
        let step = |credential| {
            Step::get("read", "T", "/Users")
                .credential(credential)
                .checks([Check::Status(200)])
        };
        let (_, requests) = played(
            vec![
                step(Credential::Bare),
                step(Credential::Literal("non-token")),
                step(Credential::None),
            ],
            vec![(200, Value::Null), (401, Value::Null), (401, Value::Null)],
        );
        assert!(requests[0].contains("\r\nAuthorization: t0ken\r\n"));
        assert!(requests[1].contains("\r\nAuthorization: non-token\r\n"));
        assert!(!requests[2].contains("Authorization"));
    }
}
