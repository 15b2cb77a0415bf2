//! Requests to the local socket. The answer is JSON, or a failure in the server's own words.
//! [`each`] does the same for several names.

use serde_json::Value;

use super::{Failure, from_local, output, status, token};
use crate::http1::client::Response;
use crate::http1::target::encode;
use crate::local::{self, Client};

/// Calls `act` for each of `names`. Of several, one that is refused does not stop the rest; the
/// failure at the end counts the refusals, followed by `what`, such as "users were not changed".
/// Any other failure ends the loop, since the next name would meet it, too; it then says at which
/// name and how many are left.
pub(super) fn each(
    names: &[String],
    what: &str,
    act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    go_through(names, what, &[status::REFUSED], act)
}

/// [`each`], which also goes on after a failure of the server's disk: for what takes effect all the
/// same. Without a server any more, the rest fails at once.
pub(super) fn each_despite_the_disk(
    names: &[String],
    what: &str,
    act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    go_through(names, what, &[status::REFUSED, status::IO], act)
}

/// Goes on after failures with the statuses `passed`. The last of them that was told is the
/// command's.
fn go_through(
    names: &[String],
    what: &str,
    passed: &[u8],
    mut act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let [name] = names {
        return act(name);
    }
    let (mut failed, mut code) = (0, status::REFUSED);
    for (at, name) in names.iter().enumerate() {
        let Err(failure) = act(name) else {
            continue;
        };
        if !passed.contains(&failure.status) {
            let whose = format!("{}: ", output::printable(name));
            let whose = if failure.what.starts_with(&whose) {
                ""
            } else {
                &whose
            };
            let left = match names.len() - at - 1 {
                0 => String::new(),
                left => format!(" ({left} more were not tried)"),
            };
            let what = format!("{whose}{}{left}", failure.what);
            return Err(Failure { what, ..failure });
        }
        failure.tell();
        code = code.max(failure.status);
        failed += 1;
    }
    if failed == 0 {
        return Ok(());
    }
    let doubt = if code == status::IO {
        ", or that is not on disk yet"
    } else {
        ""
    };
    let what = format!("{failed} of {} {what}{doubt}", names.len());
    Err(Failure::new(code, what))
}

/// How to find a user whose exact name is not known.
pub(super) const SEARCH: &str =
    "`{program} user list --search TEXT` finds people by a part of their name";

/// A user's or a token's name or id as a part of a request target. No target may hold a control
/// character, such as the line break of a name that was read from a file; nor has any new name one.
pub(super) fn named(who: &str) -> Result<String, Failure> {
    if who.contains(char::is_control) {
        let what = format!("{who} has a line break or another control character");
        let hint = "type the name without, or the id";
        return Err(Failure::new(status::REFUSED, what).hint(hint));
    }
    Ok(encode(who))
}

/// Asks for JSON; an answer of 400 or more is a failure with the server's own words.
pub(super) fn ask(
    client: &mut Client,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    answered(&sent(client, method, target, body).map_err(from_local)?)
}

/// [`ask`], with a `hint` for an answer with the status `refused`.
pub(super) fn ask_or_hint(
    client: &mut Client,
    method: &str,
    target: &str,
    body: Option<&Value>,
    refused: u16,
    hint: &str,
) -> Result<Value, Failure> {
    let response = sent(client, method, target, body).map_err(from_local)?;
    answered(&response).map_err(|failure| {
        if response.status == refused {
            failure.hint(hint)
        } else {
            failure
        }
    })
}

pub(super) fn sent(
    client: &mut Client,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Result<Response, local::Error> {
    let body = body.map(|body| body.to_string().into_bytes());
    client.request(method, target, body.as_deref())
}

/// Fails if no token has this name or id: reporting that nothing was done would sound like success.
pub(super) fn require_token(client: &mut Client, name: &str) -> Result<(), Failure> {
    let target = format!("/admin/tokens/{}", named(name)?);
    ask_or_hint(client, "GET", &target, None, 404, token::LIST).map(drop)
}

/// What the server has answered, or why it refused.
pub(super) fn answered(response: &Response) -> Result<Value, Failure> {
    let json = read_json(response)?;
    if response.status < 400 {
        return Ok(json);
    }
    let detail = json
        .get("detail")
        .and_then(Value::as_str)
        .unwrap_or("the server refused without a reason");
    let code = if response.status >= 500 {
        status::IO
    } else {
        status::REFUSED
    };
    Err(Failure::new(code, detail))
}

fn read_json(response: &Response) -> Result<Value, Failure> {
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&response.body)
        .map_err(|error| Failure::new(status::IO, format!("the answer is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `a`, `b` and `c`, of which `c` alone succeeds, were tried; and the failure.
    fn tried(
        names: &[String],
        code: u8,
        each: impl Fn(&[String], &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure>,
    ) -> (usize, u8, String) {
        let mut tried = 0;
        let outcome = each(names, &mut |name| {
            tried += 1;
            if name == "c" {
                return Ok(());
            }
            Err(Failure::new(code, "x"))
        });
        let failure = outcome.expect_err("some failed");
        (tried, failure.status, failure.what)
    }

    #[test]
    fn names_are_gone_on_with_after_a_refusal_alone() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let tried = |names: &[String], code| {
            tried(names, code, |names, act| each(names, "were not done", act))
        };
        let refused = "2 of 3 were not done".to_owned();
        assert_eq!(
            tried(&names, status::REFUSED),
            (3, status::REFUSED, refused)
        );
        for code in [status::UNAVAILABLE, status::IO] {
            let left = "a: x (2 more were not tried)".to_owned();
            assert_eq!(tried(&names, code), (1, code, left));
        }
        let one = (1, status::REFUSED, "x".to_owned());
        assert_eq!(tried(&names[..1], status::REFUSED), one);
    }

    #[test]
    fn what_takes_effect_while_the_disk_fails_is_done_for_every_name() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let tried = |code| {
            tried(&names, code, |names, act| {
                each_despite_the_disk(names, "were not done", act)
            })
        };
        for (code, doubt) in [
            (status::REFUSED, ""),
            (status::IO, ", or that is not on disk yet"),
        ] {
            let told = format!("2 of 3 were not done{doubt}");
            assert_eq!(tried(code), (3, code, told));
        }
        assert_eq!(tried(status::UNAVAILABLE).0, 1);
    }
}
