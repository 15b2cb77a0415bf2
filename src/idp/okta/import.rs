//! An import as Okta does it: pages of `startIndex` and `count`, where the next page begins `count`
//! further on, however many users the last one contained, until `totalResults` is reached. Short
//! pages would make Okta lose users, so they count as a fault here.

use std::collections::HashSet;

use serde_json::Value;

use super::super::check::value_at;
use super::super::step::Headers;
use super::super::{Exchange, client};
use crate::http1::client::{Request, Response};
use crate::limits;
use crate::secret::Secret;

/// The result of an import.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// All listed users, in order.
    pub users: Vec<Listed>,
    /// The number of pages requested.
    pub pages: usize,
}

/// One user on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The `id`.
    pub id: String,
    /// The `userName`.
    pub user_name: String,
    /// The value of `active`, which is required.
    pub is_active: bool,
}

/// Why an import is not reliable.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A page got no answer.
    #[error("{0}")]
    Exchange(client::Error),
    /// A page was answered with a status other than 200.
    #[error("a page was answered with {0}")]
    Status(u16),
    /// The page that begins at this index does not follow RFC 7644 section 3.4.2.4.
    #[error("the page at startIndex {0}: {1}")]
    Page(usize, &'static str),
    /// This id is listed twice.
    #[error("{0} is listed twice")]
    Twice(String),
    /// More than [`limits::IMPORT_PAGES_MAX`] pages.
    #[error("no end after {} pages", limits::IMPORT_PAGES_MAX)]
    Endless,
}

/// Imports all users, at least one and `count` at a time. Okta uses 100.
pub fn import(
    exchange: &mut dyn Exchange,
    token: &Secret,
    count: usize,
) -> Result<Import, ImportError> {
    let count = count.max(1);
    let authorization = format!("Bearer {}", token.reveal());
    let mut headers = Headers::Product.fields(false).to_vec();
    headers.push(("Authorization", &authorization));
    let mut import = Import::default();
    let mut seen = HashSet::new();
    for page in 0..limits::IMPORT_PAGES_MAX {
        let start_index = 1 + page * count;
        let target = format!("/Users?startIndex={start_index}&count={count}");
        let request = Request {
            method: "GET",
            target: &target,
            headers: &headers,
            body: None,
        };
        let (response, _) = exchange.exchange(&request).map_err(ImportError::Exchange)?;
        let (users, total) = page_of(&response, start_index, count)?;
        import.pages += 1;
        for user in users {
            if !seen.insert(user.id.clone()) {
                return Err(ImportError::Twice(user.id));
            }
            import.users.push(user);
        }
        if start_index + count > total {
            return Ok(import);
        }
    }
    Err(ImportError::Endless)
}

/// The users of a page and `totalResults`.
fn page_of(
    response: &Response,
    start_index: usize,
    count: usize,
) -> Result<(Vec<Listed>, usize), ImportError> {
    if response.status != 200 {
        return Err(ImportError::Status(response.status));
    }
    let fault = |what| ImportError::Page(start_index, what);
    let json: Value = serde_json::from_slice(&response.body).map_err(|_| fault("is not JSON"))?;
    let number = |path| {
        let number = value_at(&json, path).and_then(Value::as_u64);
        number.and_then(|number| usize::try_from(number).ok())
    };
    let total = number("totalResults").ok_or_else(|| fault("totalResults is not a number"))?;
    let resources = value_at(&json, "Resources").and_then(Value::as_array);
    let resources = resources.ok_or_else(|| fault("Resources is not a list"))?;
    if number("itemsPerPage") != Some(resources.len()) {
        return Err(fault("itemsPerPage is not the number of Resources"));
    }
    if number("startIndex") != Some(start_index) {
        return Err(fault("startIndex is not the one that was asked for"));
    }
    let due = count.min(total.saturating_add(1).saturating_sub(start_index));
    if resources.len() != due {
        return Err(fault("it holds not as many users as it should"));
    }
    let users = resources.iter().map(listed).collect::<Option<_>>();
    let users = users.ok_or_else(|| fault("a user has no id, userName or active"))?;
    Ok((users, total))
}

fn listed(user: &Value) -> Option<Listed> {
    Some(Listed {
        id: user.get("id")?.as_str()?.to_owned(),
        user_name: user.get("userName")?.as_str()?.to_owned(),
        is_active: user.get("active")?.as_bool()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// A directory that returns its users in pages of at most `cap`.
    struct Directory {
        ids: Vec<&'static str>,
        cap: usize,
    }

    impl Exchange for Directory {
        fn exchange(
            &mut self,
            request: &Request<'_>,
        ) -> Result<(Response, Duration), client::Error> {
            let query = request.target.strip_prefix("/Users?startIndex=");
            let query = query.and_then(|query| query.split_once("&count="));
            let (start, count) = query.expect("the walker asks for pages alone");
            let start: usize = start.parse().expect("a number");
            let count: usize = count.parse().expect("a number");
            let users = self.ids.iter().skip(start - 1).take(count.min(self.cap));
            let user = |id| json!({"id": id, "userName": format!("{id}@x"), "active": true});
            let resources: Vec<_> = users.map(user).collect();
            let body = json!({
                "totalResults": self.ids.len(), "startIndex": start,
                "itemsPerPage": resources.len(), "Resources": resources,
            });
            let response = Response {
                status: 200,
                headers: Vec::new(),
                body: body.to_string().into_bytes(),
            };
            Ok((response, Duration::ZERO))
        }
    }

    fn check(ids: &[&'static str], cap: usize, expected: &str) {
        let ids = ids.to_vec();
        let token = Secret::new("t".to_owned());
        let found = match import(&mut Directory { ids, cap }, &token, 2) {
            Ok(import) => {
                let ids: Vec<_> = import.users.iter().map(|user| user.id.as_str()).collect();
                format!("{} in {}", ids.join(" "), import.pages)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn whatever_leaves_doubt_whether_all_users_came_is_a_fault() {
        let user = json!({"id": "1", "userName": "u", "active": true});
        let good = json!({
            "totalResults": 1, "startIndex": 1, "itemsPerPage": 1, "Resources": [user],
        });
        let read = |status, body: &Value| {
            let response = Response {
                status,
                headers: Vec::new(),
                body: body.to_string().into_bytes(),
            };
            page_of(&response, 1, 1).map_err(|error| error.to_string())
        };
        let fault = |status, body: &Value| read(status, body).expect_err("it is not reliable");
        assert_eq!(read(200, &good).map(|(_, total)| total), Ok(1));
        assert_eq!(fault(503, &good), "a page was answered with 503");
        for (path, value, what) in [
            ("/totalResults", json!("1"), "totalResults is not a number"),
            ("/Resources", Value::Null, "Resources is not a list"),
            (
                "/itemsPerPage",
                json!(2),
                "itemsPerPage is not the number of Resources",
            ),
            (
                "/startIndex",
                json!(2),
                "startIndex is not the one that was asked for",
            ),
            (
                "/Resources/0/active",
                json!("true"),
                "a user has no id, userName or active",
            ),
        ] {
            let mut odd = good.clone();
            *odd.pointer_mut(path).expect("a member") = value;
            let told = format!("the page at startIndex 1: {what}");
            assert_eq!(fault(200, &odd), told);
        }
    }

    #[test]
    fn pages_are_walked_until_the_total_is_reached() {
        check(&[], 2, " in 1");
        check(&["a", "b"], 2, "a b in 1");
        check(&["a", "b", "c"], 2, "a b c in 2");
    }

    #[test]
    fn short_pages_and_repeated_users_are_faults() {
        let short = "the page at startIndex 1: it holds not as many users as it should";
        check(&["a", "b", "c"], 1, short);
        check(&["a", "b", "a"], 2, "a is listed twice");
    }
}
