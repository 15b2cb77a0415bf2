//! The filter parser (RFC 7644 figure 1, with errata 4690 and 7319: `not` binds closer than `and`,
//! `and` closer than `or`). It bounds length, depth and number of comparisons; an error gives the
//! position, in characters counted from 1.

use super::error::{Error, ErrorType, quoted};
use super::filter::{CompValue, CompareOp, Filter};
use super::filter_literal::Literal;
use super::path::{self, AttributePath};
use super::schema::{Attribute, Kind, Returned};
use super::tolerance::{Leniency, Tolerance};
use crate::limits;

/// Reads a whole filter over a User's attributes.
pub(super) fn parse(text: &str, leniency: &mut Leniency) -> Result<Filter, Error> {
    Parser::new(text, 0, None, leniency)?.whole()
}

/// Reads the filter inside the brackets of a value path, where names are sub-attributes. It begins
/// at the byte `at` of the path; `text` is the path up to the closing bracket, so that positions
/// count from the beginning of the path.
pub(super) fn parse_value_filter(
    text: &str,
    at: usize,
    parent: &'static Attribute,
    leniency: &mut Leniency,
) -> Result<Filter, Error> {
    Parser::new(text, at, Some(parent), leniency)?.whole()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The attribute whose brackets the parser is in.
    parent: Option<&'static Attribute>,
    depth: usize,
    clauses: usize,
    leniency: &'a mut Leniency,
}

impl<'a> Parser<'a> {
    fn new(
        text: &'a str,
        at: usize,
        parent: Option<&'static Attribute>,
        leniency: &'a mut Leniency,
    ) -> Result<Self, Error> {
        if text.len() - at > limits::FILTER_BYTES_MAX {
            return Err(Error::new(
                ErrorType::InvalidFilter,
                format!(
                    "the filter is longer than {} bytes",
                    limits::FILTER_BYTES_MAX
                ),
            ));
        }
        Ok(Self {
            text,
            at,
            parent,
            depth: 0,
            clauses: 0,
            leniency,
        })
    }

    fn whole(mut self) -> Result<Filter, Error> {
        let filter = self.either()?;
        self.skip_spaces();
        if self.at < self.text.len() {
            return Err(self.error("`and`, `or` or the end was expected"));
        }
        Ok(filter)
    }

    /// Reads an `or` expression, the loosest.
    fn either(&mut self) -> Result<Filter, Error> {
        let mut parts = vec![self.both()?];
        while self.take_word("or") {
            parts.push(self.both()?);
        }
        Ok(one_or(parts, Filter::Or))
    }

    fn both(&mut self) -> Result<Filter, Error> {
        let mut parts = vec![self.term()?];
        while self.take_word("and") {
            parts.push(self.term()?);
        }
        Ok(one_or(parts, Filter::And))
    }

    fn term(&mut self) -> Result<Filter, Error> {
        self.skip_spaces();
        if self.take("(") {
            return self.grouped(")", Self::either);
        }
        let start = self.at;
        if self.take_word("not") {
            self.skip_spaces();
            if self.take("(") {
                let inner = self.grouped(")", Self::either)?;
                return Ok(Filter::Not(Box::new(inner)));
            }
            self.at = start;
        }
        self.expression()
    }

    /// Reads the expression up to `close`, one level deeper.
    fn grouped(
        &mut self,
        close: &str,
        read: impl FnOnce(&mut Self) -> Result<Filter, Error>,
    ) -> Result<Filter, Error> {
        self.depth += 1;
        if self.depth > limits::FILTER_DEPTH_MAX {
            return Err(self.error(&format!(
                "it is nested deeper than {}",
                limits::FILTER_DEPTH_MAX
            )));
        }
        let inner = read(self)?;
        self.depth -= 1;
        self.skip_spaces();
        if !self.take(close) {
            return Err(self.error(&format!("`{close}` is missing")));
        }
        Ok(inner)
    }

    /// Reads an attribute and its condition.
    fn expression(&mut self) -> Result<Filter, Error> {
        self.clauses += 1;
        if self.clauses > limits::FILTER_CLAUSES_MAX {
            return Err(self.error(&format!(
                "it has more than {} comparisons",
                limits::FILTER_CLAUSES_MAX
            )));
        }
        let path = self.attribute()?;
        if self.take("[") {
            return self.value_path(path);
        }
        self.comparison(path)
    }

    fn value_path(&mut self, path: AttributePath) -> Result<Filter, Error> {
        if !path.can_have_brackets() {
            return Err(self.error("brackets must follow an attribute that has sub-attributes"));
        }
        self.parent = Some(path.attribute);
        let inner = self.grouped("]", Self::either)?;
        // `emails[type eq "work"].value eq "x"`: one element must satisfy both conditions.
        let inner = if self.take(".") {
            let sub = self.attribute()?;
            Filter::And(vec![inner, self.comparison(sub)?])
        } else {
            inner
        };
        self.parent = None;
        Ok(Filter::ValuePath(path, Box::new(inner)))
    }

    fn comparison(&mut self, path: AttributePath) -> Result<Filter, Error> {
        if self.take_word("pr") {
            return Ok(Filter::Present(path));
        }
        let start = self.at;
        let word = self.word();
        let Some(op) = CompareOp::of(word) else {
            self.at = start;
            return Err(self.error("an operator was expected: eq ne co sw ew gt ge lt le pr"));
        };
        let value = self.value(&path, op)?;
        Ok(Filter::Compare(path, op, value))
    }

    fn check_types(
        &self,
        path: &AttributePath,
        op: CompareOp,
        value: CompValue,
    ) -> Result<CompValue, Error> {
        let compared = path.compared();
        if compared.kind == Kind::Complex {
            return Err(self.error(&format!("{path} has sub-attributes: name one of them")));
        }
        let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let has_no_order = matches!(compared.kind, Kind::Boolean | Kind::Binary);
        if !equality && (has_no_order || value == CompValue::Null) {
            return Err(self.error("booleans, binary values and null allow only eq and ne"));
        }
        let is_date = compared.kind == Kind::DateTime;
        if is_date && matches!(op, CompareOp::Co | CompareOp::Sw | CompareOp::Ew) {
            return Err(
                self.error("co, sw and ew cannot compare a dateTime: use eq ne gt ge lt le")
            );
        }
        value.of_kind(compared.kind).ok_or_else(|| {
            self.error(if is_date {
                "a dateTime such as 2026-01-31T00:00:00Z was expected"
            } else {
                "true or false was expected"
            })
        })
    }

    fn attribute(&mut self) -> Result<AttributePath, Error> {
        self.skip_spaces();
        let start = self.at;
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || "-_.:$".contains(c));
        let path = match self.parent {
            Some(parent) => parent.sub_attribute(name).map(AttributePath::whole),
            None => path::read(name, self.leniency)
                .map_err(|error| error.of_kind(ErrorType::InvalidFilter))?,
        };
        match path {
            // An attribute that is never returned must not be found by its value either, and a
            // secret must not be in a URI, since every log records URIs (RFC 7644 section 7.5.2).
            Some(path) if path.attribute.returned == Returned::Never => Err(Error::new(
                ErrorType::Sensitive,
                format!("{path} cannot be filtered on: take it out of the filter"),
            )),
            Some(path) => Ok(path),
            None => {
                let is_filtered = self.text[self.at..].starts_with('[');
                self.at = start;
                Err(self.error(&match self.parent {
                    _ if name.is_empty() => "an attribute was expected".to_owned(),
                    Some(parent) => format!("{} is not a part of {}", quoted(name), parent.name),
                    None => path::unknown(name, is_filtered),
                }))
            }
        }
    }

    /// Reads the value to compare with, as a value of the attribute's kind. A bare word is
    /// tolerated.
    fn value(&mut self, path: &AttributePath, op: CompareOp) -> Result<CompValue, Error> {
        self.skip_spaces();
        let start = self.at;
        // By the RFC, no text equals a boolean. But clients that leave out the quotes mean a text.
        let allows_boolean = path.compared().kind == Kind::Boolean || self.leniency.is_strict();
        let literal =
            Literal::read(&self.text[start..], allows_boolean).map_err(|what| self.error(what))?;
        self.at += literal.length;
        // This comes first, because a value of the wrong type is an error in any mode.
        let value = self.check_types(path, op, literal.value)?;
        if literal.is_unquoted {
            let at = self.position(start);
            let what = format!("a text in a filter must stand in double quotes (position {at})");
            self.leniency.allow(Tolerance::UnquotedText, &what)?;
        }
        Ok(value)
    }

    fn skip_spaces(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// Takes `word`, in any case, if it is the next whole word.
    fn take_word(&mut self, word: &str) -> bool {
        let start = self.at;
        if self.word().eq_ignore_ascii_case(word) {
            return true;
        }
        self.at = start;
        false
    }

    fn word(&mut self) -> &'a str {
        self.skip_spaces();
        self.take_while(|c| c.is_ascii_alphanumeric())
    }

    fn take(&mut self, text: &str) -> bool {
        let taken = self.text[self.at..].starts_with(text);
        if taken {
            self.at += text.len();
        }
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The position of a byte, in characters counted from 1.
    fn position(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    fn error(&self, what: &str) -> Error {
        let position = self.position(self.at);
        Error::new(
            ErrorType::InvalidFilter,
            format!("the filter cannot be read at position {position}: {what}"),
        )
    }
}

fn one_or(mut parts: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        many(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user() -> super::super::Object {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "1", "userName": "Bob@Example.com", "active": true, "externalId": "00uX",
            "name": {"givenName": "Bob", "familyName": "Śmith"},
            "emails": [
                {"value": "bob@work.example", "type": "work", "primary": true},
                {"value": "bob@home.example", "type": "home"}
            ],
            "meta": {"lastModified": "2026-01-31T12:00:00.000Z"},
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "R&D", "manager": {"value": "M1"}
            }
        })
        .as_object()
        .expect("an object")
        .clone()
    }

    fn check(text: &str, wanted: bool) {
        let filter = parse(text, &mut Leniency::compatible()).expect(text);
        assert_eq!(filter.matches(&user()), wanted, "{text}");
        let again = parse(&filter.to_string(), &mut Leniency::compatible()).expect(text);
        assert_eq!(filter, again, "{text}");
    }

    #[test]
    fn filters_that_match() {
        for text in [
            "userName eq \"BOB@example.COM\"",
            "USERNAME EQ \"bob@example.com\"",
            "emails eq \"bob@home.example\"",
            "emails.value ew \"home.example\"",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\" and value co \"work\"]",
            "emails[type eq \"work\"].value eq \"bob@work.example\"",
            "active eq true",
            "active eq \"True\"",
            "not (active eq 'FALSE') and active ne null",
            "emails[primary eq \"TRUE\" and type eq \"work\"]",
            "name.familyName sw \"śm\"",
            "name[familyName eq \"Śmith\" and givenName eq \"bob\"]",
            "nickName eq null",
            "title ne \"x\"",
            "meta.lastModified gt \"2026-01-31T12:59:59+01:00\"",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"r&d\"",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq \"M1\"",
            "userName eq \"x\" or userName eq \"y\" or active eq true and id eq \"1\"",
            "(userName eq \"x\" or active eq true) and id eq \"1\"",
            "userName sw Bob",
            "userName eq 'bob@example.com'",
            "externalId eq \"00uX\"",
            "schemas eq \"URN:ietf:params:scim:schemas:core:2.0:user\"",
            "emails.type ne \"work\"",
        ] {
            check(text, true);
        }
    }

    #[test]
    fn filters_that_do_not_match() {
        for text in [
            "externalId eq \"00ux\"",
            "emails[type eq \"home\" and primary eq true]",
            "emails[type eq \"home\"].value eq \"bob@work.example\"",
            "active eq true and id eq \"2\" or userName eq \"x\"",
            "name[familyName eq \"Bob\"]",
            "nickName pr",
            "not (userName pr)",
            "meta.lastModified gt \"2026-01-31T12:00:00Z\"",
            "id eq null",
            "not (emails.type ne \"work\")",
            "name.givenName ne \"bob\"",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn what_cannot_be_read_tells_where() {
        for (text, position) in [
            ("", "position 1"),
            ("userName", "position 9"),
            (
                "nothing eq \"x\"",
                "position 1: \"nothing\" is not an attribute of a User",
            ),
            ("userName xx \"x\"", "position 9"),
            ("userName eq \"x", "position 13"),
            ("(userName pr", "position 13"),
            ("userName pr)", "position 12"),
            (
                "id pr and email eq \"x\"",
                "position 11: \"email\" is not an attribute of a User: did you mean emails?",
            ),
            (
                "firstName eq \"x\"",
                "position 1: \"firstName\" is not an attribute of a User: did you mean name.givenName?",
            ),
            (
                "address[type eq \"work\"]",
                "position 1: \"address\" is not an attribute of a User: did you mean addresses?",
            ),
            ("emails[nothing pr]", "position 8"),
            ("active gt true", "position 15"),
            ("nickName gt null", "position 17"),
            ("x509Certificates.value co \"x\"", "position 30"),
            ("name eq \"x\"", "position 12"),
            ("meta.created gt \"soon\"", "position 23"),
            ("meta.created gt 5", "position 18"),
            ("meta.created sw \"2026\"", "position 23"),
            (
                "userName eq “bob@x”",
                "position 13: a text must stand in straight",
            ),
            (
                "emails[type eq „work“]",
                "position 16: a text must stand in straight",
            ),
            (
                "userName eq \"bob@x”",
                "position 13: the straight quote that closes",
            ),
            (
                "userName eq bob@x”",
                "position 13: a text must stand in straight",
            ),
            (
                "userName eq true”",
                "position 13: a text must stand in straight",
            ),
            (
                "userName eq ＂bob@x＂",
                "position 13: a text must stand in straight",
            ),
            (
                "(userName eq ´bob@x`)",
                "position 14: a text must stand in straight",
            ),
            ("active ne 0", "position 12"),
            ("active eq \"yes\"", "position 16"),
            ("emails[primary eq \"\"]", "position 21"),
        ] {
            let error = parse(text, &mut Leniency::compatible()).expect_err(text);
            assert!(error.detail.contains(position), "{text}: {error}");
            assert_eq!(error.kind, ErrorType::InvalidFilter);
        }
        let deep = "(".repeat(limits::FILTER_DEPTH_MAX + 1);
        let many = vec!["id pr"; limits::FILTER_CLAUSES_MAX + 1].join(" and ");
        let long = "x".repeat(limits::FILTER_BYTES_MAX + 1);
        for text in [deep, many, long] {
            let error = parse(&text, &mut Leniency::compatible()).expect_err("a bound");
            assert_eq!(error.kind, ErrorType::InvalidFilter);
        }
        // Groups side by side are together no deeper than one of them.
        let wide = vec!["(id pr)"; limits::FILTER_DEPTH_MAX + 1].join(" or ");
        assert!(parse(&wide, &mut Leniency::compatible()).is_ok());
        let strict = parse("title eq \"é\" or title eq bob", &mut Leniency::strict());
        let detail = strict.expect_err("no quotes").detail;
        assert!(detail.contains("(position 26)"), "{detail}");
        // An error that occurs in every mode does not blame the mode.
        for text in [
            "active eq yes",
            "meta.created gt soon",
            "meta.created eq no",
        ] {
            let errors = [Leniency::strict(), Leniency::compatible()]
                .map(|mut leniency| parse(text, &mut leniency).expect_err(text));
            assert_eq!(errors[0], errors[1], "{text}");
        }
        let secret = parse("id pr and password eq \"x\"", &mut Leniency::compatible());
        assert_eq!(secret.expect_err("secret").kind, ErrorType::Sensitive);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,60}") {
            let _ = parse(&text, &mut Leniency::compatible());
        }
    }
}
