//! Departures from the RFCs in what identity providers send, each with a name. In compatible mode a
//! tolerance is recorded and the request continues; in strict mode it is the request's error. The
//! modes also differ in three ways that cause no error. Strict mode takes a replacement literally,
//! whether of a whole user (see [`Echo`](super::user::Echo)) or of an element of a list; it keeps
//! an element that says only what it is used for; and it reads an unquoted `true` in a filter as a
//! boolean, which no text equals.
//!
//! The docs of each tolerance name the suites of `idp` that send it. If there is no suite, the
//! tolerance is known from reports, or follows from what people configure.

use std::fmt;

use super::error::{Error, ErrorType, Why, quoted};
use super::shape;
use crate::limits;

/// One departure from the RFCs that is understood anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tolerance {
    /// `"True"` for `true`, such as in `active` and `primary` (`entra::dialect`, `entra::validator`).
    BooleanAsText,
    /// A text of digits where a number is expected: `startIndex` and `count` of a query that is
    /// POSTed (SCIM-SDK's client; no suite).
    NumberAsText,
    /// A whole number where a string is expected (no suite).
    ScalarAsText,
    /// An attribute that no known schema has; ignored (`entra::dialect`, `entra::reference`).
    UnknownAttribute,
    /// An unknown schema URI; ignored (no suite).
    UnknownSchema,
    /// A body without `schemas`, or with an extension whose URN is not among them (no suite).
    MissingSchemas,
    /// A schema of SCIM 1.1, read as the one of SCIM 2.0 (`onelogin`).
    EarlierSchema,
    /// One object where a list is expected, such as `emails` (`onelogin`).
    SingleValueForList,
    /// A bare value where an object with `value` is expected, such as `manager` (`entra::dialect`,
    /// `entra::flagged`, `entra::validator`).
    PlainValueForComplex,
    /// A list where one value is expected, such as `manager` (`entra::dialect`).
    ListForSingleValue,
    /// More than one value is `primary`; the first stays primary (no suite).
    SeveralPrimaries,
    /// `Replace` for `replace` (`entra::dialect`).
    OperationCase,
    /// A patch operation without `path` (`okta::oin`, `okta::beta`, `onelogin`, and all of `entra`
    /// but `reference`). RFC 7644 allows it, but the interoperability profile that strict mode
    /// follows refuses it.
    OperationWithoutPath,
    /// A patch without operations, which changes nothing (`entra::validator`).
    EmptyOperations,
    /// `"name.givenName"` as a member name (`entra::flagged`, `entra::validator`).
    PathAsMember,
    /// A value path that matches nothing creates the element it describes (`entra::dialect`,
    /// `entra::flagged`, `entra::validator`).
    ValuePathCreates,
    /// `remove` with a list of the values to remove (no suite).
    RemoveWithValue,
    /// `remove` of values that do not exist, whether named or selected by a filter (no suite).
    RemoveSelectsNothing,
    /// `""` for an unassigned attribute (`okta::aiw`, `entra::dialect`, `entra::flagged`).
    EmptyText,
    /// An attribute of an extension without its URN: `manager` in a path or a filter
    /// (`entra::dialect`). In `attributes` and `excludedAttributes`, strict mode does not refuse
    /// such a name but treats it as one that no schema has.
    ExtensionWithoutUrn,
    /// A dot instead of the colon between a schema's URN and an attribute (ConnId; no suite). In
    /// `attributes` and `excludedAttributes`, strict mode treats such a name like one without its
    /// URN.
    DotAfterUrn,
    /// A comparison value without quotes (`entra::dialect`, `entra::reference`).
    UnquotedText,
    /// A text that is not base64 or not a URI where one is expected (RFC 7643 sections 2.3.6 and
    /// 2.3.7); kept as sent, since Okta checks no value before it pushes it (no suite).
    MalformedText,
    /// A patch of a sub-attribute that only the service provider sets, such as
    /// `manager.displayName`; ignored (no suite).
    ReadOnlyPart,
    /// An element of a list that contains only `type` and `primary`; dropped (`entra::dialect`,
    /// `entra::validator`). Strict mode keeps it and refuses nothing, since RFC 7643 allows it.
    HollowValue,
}

impl Tolerance {
    /// All tolerances.
    pub const ALL: [Self; 25] = [
        Self::BooleanAsText,
        Self::NumberAsText,
        Self::ScalarAsText,
        Self::UnknownAttribute,
        Self::UnknownSchema,
        Self::MissingSchemas,
        Self::EarlierSchema,
        Self::SingleValueForList,
        Self::PlainValueForComplex,
        Self::ListForSingleValue,
        Self::SeveralPrimaries,
        Self::OperationCase,
        Self::OperationWithoutPath,
        Self::EmptyOperations,
        Self::PathAsMember,
        Self::ValuePathCreates,
        Self::RemoveWithValue,
        Self::RemoveSelectsNothing,
        Self::EmptyText,
        Self::ExtensionWithoutUrn,
        Self::DotAfterUrn,
        Self::UnquotedText,
        Self::MalformedText,
        Self::ReadOnlyPart,
        Self::HollowValue,
    ];

    /// A stable name for logs and metrics.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    fn error_type(self) -> ErrorType {
        self.row().1
    }

    /// Its name, and the error that strict mode answers with.
    fn row(self) -> (&'static str, ErrorType) {
        use ErrorType::{InvalidFilter, InvalidSyntax, InvalidValue, Mutability, NoTarget};
        match self {
            Self::BooleanAsText => ("boolean-as-text", InvalidValue),
            Self::NumberAsText => ("number-as-text", InvalidValue),
            Self::ScalarAsText => ("scalar-as-text", InvalidValue),
            Self::UnknownAttribute => ("unknown-attribute", InvalidSyntax),
            Self::UnknownSchema => ("unknown-schema", InvalidSyntax),
            Self::MissingSchemas => ("missing-schemas", InvalidSyntax),
            Self::EarlierSchema => ("earlier-schema", InvalidSyntax),
            Self::SingleValueForList => ("single-value-for-list", InvalidValue),
            Self::PlainValueForComplex => ("plain-value-for-complex", InvalidValue),
            Self::ListForSingleValue => ("list-for-single-value", InvalidValue),
            Self::SeveralPrimaries => ("several-primaries", InvalidValue),
            Self::OperationCase => ("operation-case", InvalidSyntax),
            Self::OperationWithoutPath => ("operation-without-path", InvalidSyntax),
            Self::EmptyOperations => ("empty-operations", InvalidSyntax),
            Self::PathAsMember => ("path-as-member", InvalidSyntax),
            Self::ValuePathCreates => ("value-path-creates", NoTarget),
            Self::RemoveWithValue => ("remove-with-value", InvalidSyntax),
            Self::RemoveSelectsNothing => ("remove-selects-nothing", NoTarget),
            Self::EmptyText => ("empty-text", InvalidValue),
            Self::ExtensionWithoutUrn => ("extension-without-urn", InvalidSyntax),
            Self::DotAfterUrn => ("dot-after-urn", InvalidSyntax),
            Self::UnquotedText => ("unquoted-text", InvalidFilter),
            Self::MalformedText => ("malformed-text", InvalidValue),
            Self::ReadOnlyPart => ("read-only-part", Mutability),
            Self::HollowValue => ("hollow-value", InvalidSyntax),
        }
    }
}

/// A tolerance that a request has used.
#[derive(Clone, Debug)]
pub struct Tolerated {
    /// The tolerance.
    pub tolerance: Tolerance,
    /// What was ignored because of it: the first [`limits::IGNORED_PER_REQUEST_MAX`] names, without
    /// values from paths.
    pub ignored: Vec<String>,
}

impl Tolerated {
    /// Records a name, if there is room for it.
    fn ignore(&mut self, name: &str) {
        if self.ignored.len() >= limits::IGNORED_PER_REQUEST_MAX {
            return;
        }
        // A name with any of these characters is a path with values, or no name at all.
        let name = if name.contains(|c: char| c.is_whitespace() || "[\"@".contains(c)) {
            shape::path(name)
        } else {
            shape::clipped(name)
        };
        let name: String = name.chars().take(limits::SHAPE_NAME_BYTES_MAX).collect();
        if !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }
}

impl fmt::Display for Tolerated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tolerance.name())?;
        let mut names = self.ignored.iter();
        names.try_for_each(|name| write!(f, " {}", quoted(name)))
    }
}

/// Whether a request may use tolerances, and which it has used so far.
#[derive(Clone, Debug)]
pub struct Leniency {
    strict: bool,
    used: Vec<Tolerated>,
    /// A tolerance that does not count at the moment, because the values that need it were stored
    /// earlier.
    overlooked: Option<Tolerance>,
}

impl Leniency {
    /// Tolerates everything that has a name in [`Tolerance`].
    pub fn compatible() -> Self {
        Self {
            strict: false,
            used: Vec::new(),
            overlooked: None,
        }
    }

    /// Tolerates nothing.
    pub fn strict() -> Self {
        Self {
            strict: true,
            ..Self::compatible()
        }
    }

    /// Whether it tolerates nothing.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Continues, or returns the error that strict mode answers with; `what` says what is wrong.
    pub fn allow(&mut self, tolerance: Tolerance, what: &str) -> Result<(), Error> {
        if self.overlooked == Some(tolerance) {
            return Ok(());
        }
        if self.strict {
            let detail = format!(
                "{what} ({}); this token is strict, a token of mode compatible accepts it",
                tolerance.name()
            );
            return Err(Error {
                why: Why::Strictness,
                ..Error::new(tolerance.error_type(), detail)
            });
        }
        self.note(tolerance);
        Ok(())
    }

    /// Like [`Self::allow`], for an attribute or a schema that is then ignored; `name` is its name.
    pub(super) fn allow_ignoring(
        &mut self,
        tolerance: Tolerance,
        name: &str,
        what: &str,
    ) -> Result<(), Error> {
        self.allow(tolerance, what)?;
        let mut used = self.used.iter_mut();
        if let Some(tolerated) = used.find(|it| it.tolerance == tolerance) {
            tolerated.ignore(name);
        }
        Ok(())
    }

    /// Records a tolerance that only compatible mode uses. A request records each tolerance once,
    /// however often it occurs.
    pub(super) fn note(&mut self, tolerance: Tolerance) {
        if self.used().all(|used| used != tolerance) {
            self.used.push(Tolerated {
                tolerance,
                ignored: Vec::new(),
            });
        }
    }

    /// Calls `read` without counting this tolerance, because the request is not the reason that it
    /// is needed.
    pub(super) fn overlooking<T>(
        &mut self,
        tolerance: Tolerance,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.overlooked = Some(tolerance);
        let done = read(self);
        self.overlooked = None;
        done
    }

    /// The tolerances used so far.
    pub fn used(&self) -> impl Iterator<Item = Tolerance> {
        self.used.iter().map(|tolerated| tolerated.tolerance)
    }

    /// The tolerances used so far, each with what was ignored because of it.
    pub fn tolerated(&self) -> &[Tolerated] {
        &self.used
    }
}
