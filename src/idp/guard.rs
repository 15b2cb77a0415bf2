//! Protects existing users from a suite. A suite takes the id of its user from answers, but
//! something in front of the service provider may cause another user's id to be returned: a proxy
//! that drops the query turns a search into a list of all users.

use std::time::Duration;

use serde_json::Value;

use super::Exchange;
use super::client::Error;
use crate::http1::client::{Request, Response};
use crate::test_user::is_test_user;

/// Forwards reads and creates, and forwards changes only for users that were created through it.
pub struct Guard<'a> {
    exchange: &'a mut dyn Exchange,
    made: Vec<String>,
}

impl<'a> Guard<'a> {
    /// A guard that has seen no user created yet.
    pub fn before(exchange: &'a mut dyn Exchange) -> Self {
        Self {
            exchange,
            made: Vec::new(),
        }
    }

    /// The ids of the created users, in order.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    fn is_of_made(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let id = path.strip_prefix("/Users/");
        id.is_some_and(|id| self.made.iter().any(|made| made == id))
    }
}

impl Exchange for Guard<'_> {
    fn exchange(&mut self, request: &Request<'_>) -> Result<(Response, Duration), Error> {
        let is_safe = matches!(request.method, "GET" | "POST");
        if !is_safe && !self.is_of_made(request.target) {
            return Err(Error::Withheld);
        }
        let (response, elapsed) = self.exchange.exchange(request)?;
        if request.method == "POST" && response.status == 201 {
            self.made.extend(id_of_test_user(&response));
        }
        Ok((response, elapsed))
    }
}

/// The id of the user in an answer, if the userName is one that no existing user can have.
fn id_of_test_user(response: &Response) -> Option<String> {
    let user: Value = serde_json::from_slice(&response.body).ok()?;
    let [id, name] = ["id", "userName"].map(|member| user[member].as_str());
    id.filter(|_| name.is_some_and(is_test_user))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Answers every request with user 7 under this name, and counts the requests.
    struct Answering(&'static str, usize);

    impl Exchange for Answering {
        fn exchange(&mut self, request: &Request<'_>) -> Result<(Response, Duration), Error> {
            self.1 += 1;
            let user = json!({"id": "7", "userName": self.0});
            let response = Response {
                status: if request.method == "POST" { 201 } else { 200 },
                headers: Vec::new(),
                body: user.to_string().into_bytes(),
            };
            Ok((response, Duration::ZERO))
        }
    }

    /// Which of several requests are forwarded after a create that was answered with this name.
    fn sent(name: &'static str) -> Vec<&'static str> {
        let mut answering = Answering(name, 0);
        let mut guard = Guard::before(&mut answering);
        let requests = [
            "POST /Users",
            "GET /Users/8",
            "PUT /Users/7",
            "PATCH /Users/7?flag",
            "DELETE /Users/7",
            "DELETE /Users/8",
            "DELETE /Users",
        ];
        let is_sent = |line: &&str| {
            let (method, target) = line.split_once(' ').expect("two words");
            let request = Request {
                method,
                target,
                headers: &[],
                body: None,
            };
            guard.exchange(&request).is_ok()
        };
        let sent: Vec<_> = requests.into_iter().filter(is_sent).collect();
        assert_eq!(answering.1, sent.len());
        sent
    }

    #[test]
    fn only_whoever_was_created_is_changed() {
        let of_seven = ["PUT /Users/7", "PATCH /Users/7?flag", "DELETE /Users/7"];
        let always = ["POST /Users", "GET /Users/8"];
        let made = [always.as_slice(), &of_seven].concat();
        assert_eq!(sent("a.golinks-scim-check@invalid"), made);
        assert_eq!(sent("jane@example.com"), always);
    }
}
