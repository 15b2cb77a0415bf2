//! The Team Directory page over HTTP. Its files say nothing about the directory, so anybody may
//! fetch them; their response headers keep foreign content out.

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::http1::{Answer, Body, Field};
use crate::page::{self, File};

/// What the page may do: load its own files and call its own server, nothing else. Trusted Types
/// make the browser refuse to turn text into code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// For files whose names contain a hash of their content, which therefore never changes.
const FOREVER: &str = "public, immutable, max-age=31536000";
/// For files that the browser must revalidate each time.
const ASK_AGAIN: &str = "no-cache";

/// `GET /`: redirects a person who types the server's name to the page.
pub(super) fn to_directory(api: &Api, _: &Admission) -> Outcome {
    require_served(api)?;
    let mut answer = reply::no_content();
    answer.status = 302;
    answer.headers.push(("Location", "/directory/".into()));
    Ok(answer)
}

/// `GET /directory/`: the page itself.
pub(super) fn index(api: &Api, admission: &Admission) -> Outcome {
    require_served(api)?;
    Ok(answer(admission, page::index(), ASK_AGAIN))
}

/// `GET /directory/{}`: a file that the page names.
pub(super) fn file(api: &Api, admission: &Admission) -> Outcome {
    require_served(api)?;
    let file = page::find(admission.parameter()).ok_or_else(Problem::not_found)?;
    Ok(answer(admission, file, FOREVER))
}

fn require_served(api: &Api) -> Result<(), Problem> {
    if api.tuned.get().serves_page {
        Ok(())
    } else {
        Err(Problem::not_found())
    }
}

fn answer(admission: &Admission, file: &'static File, kept: &'static str) -> Answer {
    let sent = file.representation(admission.accepts_gzip());
    let is_not_modified = admission.preconditions().is_not_modified(&sent.tag);
    let mut headers: Vec<Field> = vec![("ETag", sent.tag.into())];
    let fixed = [
        ("Cache-Control", kept),
        ("Vary", "Accept-Encoding"),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, value.into())));
    if is_not_modified {
        return Answer {
            status: 304,
            headers,
            body: Body::Empty,
        };
    }
    headers.push(("Content-Type", file.media_type.into()));
    if let Some(coding) = sent.coding {
        headers.push(("Content-Encoding", coding.into()));
    }
    Answer {
        status: 200,
        headers,
        body: Body::Bytes(sent.bytes.to_vec()),
    }
}
