//! The Team Directory: the files of the page at `/directory/`, compiled into the executable. They
//! contain no data from the directory: the page is a client of the SCIM API like any other, with a
//! token that a person types into it.
//!
//! ```text
//! site/index.html ─▶ style.css, icon.svg, main.js ─▶ the other modules
//!        │                 │ a hash of its content goes into each name, references
//!        ▼                 ▼ are written accordingly, and each is compressed
//!      index()       find("main.0123456789abcdef.js")              (build.rs)
//! ```

use crate::http1::accept_header;

/// A file of the page.
#[derive(Debug)]
pub struct File {
    /// The name below `/directory/`, which contains a hash of the content.
    pub name: &'static str,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    hash: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// A file in the form in which it is sent.
#[derive(Debug)]
pub struct Representation {
    /// The bytes.
    pub bytes: &'static [u8],
    /// The strong entity tag of these bytes.
    pub tag: String,
    /// The `Content-Encoding`, if there is one.
    pub coding: Option<&'static str>,
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The page itself.
pub fn index() -> &'static File {
    &INDEX
}

/// All files that the page loads.
pub fn files() -> &'static [File] {
    FILES
}

/// The file with this name.
pub fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

impl File {
    /// The form of the file for a client that accepts gzip, or for one that does not.
    pub fn representation(&self, accepts_gzip: bool) -> Representation {
        if accepts_gzip {
            Representation {
                bytes: self.gzip,
                tag: format!("\"{}-gzip\"", self.hash),
                coding: Some("gzip"),
            }
        } else {
            Representation {
                bytes: self.plain,
                tag: format!("\"{}\"", self.hash),
                coding: None,
            }
        }
    }
}

/// Whether an `Accept-Encoding` allows gzip (RFC 9110 section 12.5.3): it names gzip or `*`, with a
/// weight other than 0.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let mut accepted = false;
    for coding in accept_header::members(accept_encoding.unwrap_or_default()) {
        let name = coding.name;
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return !coding.is_refused;
        }
        if name == "*" {
            accepted = !coding.is_refused;
        }
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (header, accepted) in [
            (None, false),
            (Some(""), false),
            (Some("gzip, deflate, br, zstd"), true),
            (Some("br;q=1.0, GZIP;q=0.8"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.000"), false),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("*, gzip;q=0"), false),
            (Some("identity"), false),
            (Some("gzipped"), false),
        ] {
            assert_eq!(accepts_gzip(header), accepted, "{header:?}");
        }
    }

    #[test]
    fn every_name_holds_a_hash_and_leads_to_its_file() {
        assert!(files().len() > 5);
        for file in files() {
            assert!(file.name.contains(file.hash), "{}", file.name);
            let found = find(file.name).expect(file.name);
            assert_eq!(found.plain, file.plain);
            assert!(file.representation(true).tag != file.representation(false).tag);
        }
        assert!(find("main.js").is_none() && find("").is_none());
    }
}
