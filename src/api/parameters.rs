//! Numbers and times in the requests of administrators: reads them, or says which one is wrong.

use super::problem::Problem;
use super::request::Admission;
use crate::clock::Instant;

/// A number among the query parameters, such as a sequence.
pub(super) fn sequence(admission: &Admission, name: &str) -> Result<Option<u64>, Problem> {
    let read = |text: &str| {
        let bad = |_| Problem::new(400, format!("{name} must be a whole number"));
        text.parse().map_err(bad)
    };
    admission.query(name).map(read).transpose()
}

/// A time in a request; `name` is what the request calls it, for the error.
pub(super) fn moment(text: Option<&str>, name: &str) -> Result<Instant, Problem> {
    text.and_then(Instant::parse)
        .ok_or_else(|| Problem::new(400, format!("{name} must be an RFC 3339 time")))
}
