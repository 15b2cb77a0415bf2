//! A conversation with a server: one connection, one token. If an answer is not the expected one,
//! the test fails and shows the server's log.

use golinks_scim::http1::client::{Request, Response};
use golinks_scim::idp::client::{Client, Error};
use golinks_scim::secret::Secret;
use serde_json::{Value, json};

use super::Server;

/// URN of the core User schema.
pub(crate) const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// A server, a token of scope `full`, and one connection.
pub(crate) struct Talk {
    pub(crate) server: Server,
    client: Client,
    /// The value of the `Authorization` header; if empty, the header is not sent.
    pub(crate) authorization: String,
}

impl Talk {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::with(Server::start_with(arguments))
    }

    /// Begins a conversation with a server that already runs.
    pub(crate) fn with(server: Server) -> Self {
        let output = server.cli(&["token", "issue", "all", "--scope", "full"]);
        let authorization = format!("Bearer {}", output.stdout.trim());
        let client = server.client();
        Self {
            server,
            client,
            authorization,
        }
    }

    /// Continues with another token.
    pub(crate) fn use_token(&mut self, token: &Secret) {
        self.authorization = format!("Bearer {}", token.reveal());
    }

    /// Opens a new connection, after the server of the old one has ended.
    pub(crate) fn reconnect(&mut self) {
        self.client = self.server.client();
    }

    /// Sends bytes as a body, with one more header.
    pub(crate) fn send_bytes(
        &mut self,
        method: &str,
        target: &str,
        header: (&str, &str),
        body: Option<&[u8]>,
    ) -> Response {
        let (client, authorization) = (&mut self.client, &*self.authorization);
        let answer = send_bytes(client, authorization, method, target, header, body);
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}\n{}", self.server.log()))
    }

    pub(crate) fn send(&mut self, method: &str, target: &str, body: Option<&Value>) -> Response {
        let answer = send(&mut self.client, &self.authorization, method, target, body);
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}\n{}", self.server.log()))
    }

    /// Sends a request, asserts the status, and returns the answer's JSON, or null for an empty
    /// answer.
    pub(crate) fn json(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Value {
        let response = self.send(method, target, body);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(
            response.status,
            status,
            "{method} {target}: {text}\n{}",
            self.server.log()
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) fn create(&mut self, name: &str) -> Value {
        self.json("POST", "/Users", Some(&body(name)), 201)
    }
}

/// Sends a SCIM request on any connection, with this value of `Authorization`; if empty, the header
/// is not sent.
pub(crate) fn send(
    client: &mut Client,
    authorization: &str,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Result<Response, Error> {
    let body = body.map(|body| body.to_string().into_bytes());
    let json = ("Content-Type", "application/scim+json");
    send_bytes(client, authorization, method, target, json, body.as_deref())
}

/// Sends a small query, and returns the status of the answer or why there is none.
pub(crate) fn status(client: &mut Client, authorization: &str) -> Result<u16, String> {
    let answer = send(client, authorization, "GET", "/Users?count=1", None);
    let status = answer.map(|response| response.status);
    status.map_err(|error| error.to_string())
}

pub(crate) fn send_bytes(
    client: &mut Client,
    authorization: &str,
    method: &str,
    target: &str,
    header: (&str, &str),
    body: Option<&[u8]>,
) -> Result<Response, Error> {
    let mut headers = vec![header];
    if !authorization.is_empty() {
        headers.push(("Authorization", authorization));
    }
    let request = Request {
        method,
        target,
        headers: &headers,
        body,
    };
    client.send(&request).map(|(response, _)| response)
}

/// A user as an identity provider would send it.
pub(crate) fn body(name: &str) -> Value {
    json!({
        "schemas": [CORE], "userName": name,
        "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": format!("{name}@example.com"), "type": "work", "primary": true}]
    })
}

/// Asserts that the answer is a complete SCIM Error: its status is a text, its detail ends with the
/// request's id, and the header has the same id. Returns the document.
pub(crate) fn scim_error(response: &Response, what: &str) -> Value {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {text}"));
    assert_eq!(
        error["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:Error"]),
        "{what}: {text}"
    );
    assert_eq!(
        error["status"],
        response.status.to_string(),
        "{what}: {text}"
    );
    let id = response.header("x-request-id").unwrap_or_default();
    let detail = error["detail"].as_str().unwrap_or_default();
    assert!(
        !id.is_empty() && detail.ends_with(&format!("(request {id})")),
        "{what}: {text}"
    );
    error
}

/// Escapes every byte except letters and digits.
pub(crate) fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
    out
}
