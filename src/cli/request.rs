//! Requests to the local socket. The result is the JSON of the answer, or a failure in the server's
//! own words. [`each`] sends a request for each of several names.

use serde_json::Value;

use super::{Failure, from_local, output, status, token};
use crate::http1::client::Response;
use crate::http1::target::encode;
use crate::limits;
use crate::local::{self, Client};

/// Calls `act` for each of `names`. If there are several, a refusal does not stop the rest; the
/// failure at the end says how many `what`, such as "users", were not `done`, such as "changed". Any
/// other failure ends the loop, since it would occur again at the next name; its
/// message says at which name it occurred and how many are left.
pub(super) fn each(
    names: &[String],
    what: &str,
    done: &str,
    act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    go_through(names, what, done, &[status::REFUSED], act)
}

/// Like [`each`], but also continues after a failure of the server's disk, for changes that take
/// effect nevertheless. If the server is gone, the rest fails at once.
pub(super) fn each_despite_the_disk(
    names: &[String],
    what: &str,
    done: &str,
    act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    go_through(names, what, done, &[status::REFUSED, status::IO], act)
}

/// Continues after failures whose status is in `passed`. The command's status is that of the last
/// failure reported.
fn go_through(
    names: &[String],
    what: &str,
    done: &str,
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
                left => format!(" ({left} more {} not tried)", output::were(left)),
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
    let (of, were) = (names.len(), output::were(failed));
    let what = format!("{failed} of {of} {what} {were} not {done}{doubt}");
    Err(Failure::new(code, what))
}

/// How to find a user whose exact name is unknown.
pub(super) const SEARCH: &str =
    "`{program} user list --search TEXT` finds people by a part of their name";

/// Fails if a name is longer than the name of any user or token: the server would only speak of the
/// filter or the target that it makes.
pub(super) fn refuse_long(name: &str) -> Result<(), Failure> {
    let filter = format!("userName eq {}", Value::from(name));
    if filter.len() <= limits::FILTER_BYTES_MAX {
        return Ok(());
    }
    let what = format!(
        "there is no user or token with a name of {} bytes",
        name.len()
    );
    Err(Failure::new(status::REFUSED, what).hint("type the userName, the token's name or the id"))
}

/// The name or id of a user or token as part of a request target. A target must not contain a
/// control character, such as the line break in a name that was read from a file; no new name has
/// one either.
pub(super) fn named(who: &str) -> Result<String, Failure> {
    if who.contains(char::is_control) {
        let what = format!("{who} has a line break or another control character");
        let hint = "type the name without, or the id";
        return Err(Failure::new(status::REFUSED, what).hint(hint));
    }
    refuse_long(who)?;
    Ok(encode(who))
}

/// Makes a request for JSON. An answer of 400 or more is a failure with the server's own words.
pub(super) fn ask(
    client: &mut Client,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    answered(&sent(client, method, target, body).map_err(from_local)?)
}

/// Like [`ask`], with a `hint` for an answer whose status is `refused`.
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

/// Fails if no token has this name or id: to report that nothing was done would sound like success.
pub(super) fn require_token(client: &mut Client, name: &str) -> Result<(), Failure> {
    let target = format!("/admin/tokens/{}", named(name)?);
    ask_or_hint(client, "GET", &target, None, 404, token::LIST).map(drop)
}

/// The server's answer, or why it refused.
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

    /// How many of `a`, `b` and `c` were tried, of which only `c` succeeds, and the failure.
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
            tried(names, code, |names, act| each(names, "names", "done", act))
        };
        let refused = "2 of 3 names were not done".to_owned();
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
        let told = "1 of 2 names was not done".to_owned();
        assert_eq!(
            tried(&names[1..], status::REFUSED),
            (2, status::REFUSED, told)
        );
        let left = "b: x (1 more was not tried)".to_owned();
        assert_eq!(tried(&names[1..], status::IO), (1, status::IO, left));
    }

    #[test]
    fn what_takes_effect_while_the_disk_fails_is_done_for_every_name() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let tried = |code| {
            tried(&names, code, |names, act| {
                each_despite_the_disk(names, "names", "done", act)
            })
        };
        for (code, doubt) in [
            (status::REFUSED, ""),
            (status::IO, ", or that is not on disk yet"),
        ] {
            let told = format!("2 of 3 names were not done{doubt}");
            assert_eq!(tried(code), (3, code, told));
        }
        assert_eq!(tried(status::UNAVAILABLE).0, 1);
    }
}
