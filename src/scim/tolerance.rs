//! What identity providers send that no RFC asks for, each by name. In compatible mode a
//! tolerance is noted and the request goes on; in strict mode the same tolerance is the
//! request's error. Otherwise the modes differ in this: strict mode takes at its word what
//! replaces something, a whole user (see [`Echo`](super::user::Echo)) or an element of a list, and
//! keeps an element that only says what it is used for.

use std::fmt;

use super::error::{Error, ErrorType, quoted};
use super::shape;
use crate::limits;

/// One departure from the RFCs that is understood anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tolerance {
    /// `"True"` for `true` (Entra, Add/Replace of `active` and `primary`).
    BooleanAsText,
    /// A whole number where a text belongs.
    ScalarAsText,
    /// An attribute that no known schema has; ignored.
    UnknownAttribute,
    /// A schema URI that is not known; ignored.
    UnknownSchema,
    /// A body without `schemas`.
    MissingSchemas,
    /// One object where a list belongs (OneLogin's `emails`).
    SingleValueForList,
    /// A bare value where an object with `value` belongs.
    PlainValueForComplex,
    /// A list where one value belongs (Entra's `manager`).
    ListForSingleValue,
    /// More than one value says `primary`; the first keeps it.
    SeveralPrimaries,
    /// `Replace` for `replace` (Entra).
    OperationCase,
    /// A patch operation without `path` (Okta); legal in RFC 7644, refused by the
    /// interoperability profile that strict mode follows.
    OperationWithoutPath,
    /// A patch without operations, which changes nothing (Microsoft's validator).
    EmptyOperations,
    /// `"name.givenName"` as a member name (Entra).
    PathAsMember,
    /// A value path that selects nothing creates the element it describes (Entra).
    ValuePathCreates,
    /// `remove` with a list of the values to remove.
    RemoveWithValue,
    /// `remove` of values that a filter selects, or that are named, where there are none.
    RemoveSelectsNothing,
    /// `""` for an attribute without a value (Okta's empty values, Entra's clearing).
    EmptyText,
    /// An attribute of an extension without its URN: `manager` in a path or a filter (Entra). In
    /// `attributes` and `excludedAttributes` strict mode refuses nothing: there it is a name that
    /// no schema has.
    ExtensionWithoutUrn,
    /// A comparison value without quotes (Microsoft's collection).
    UnquotedText,
    /// A text that is no base64, or no URI, where one belongs (RFC 7643 sections 2.3.6 and
    /// 2.3.7); kept as sent (Okta checks no value before it pushes it).
    MalformedText,
    /// A patch of a part that only the service provider sets, such as `manager.displayName`;
    /// ignored.
    ReadOnlyPart,
    /// An element of a list with nothing but `type` and `primary` in it; dropped. Strict mode keeps
    /// it and refuses nothing, since RFC 7643 allows it.
    HollowValue,
}

impl Tolerance {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::BooleanAsText,
        Self::ScalarAsText,
        Self::UnknownAttribute,
        Self::UnknownSchema,
        Self::MissingSchemas,
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
        Self::UnquotedText,
        Self::MalformedText,
        Self::ReadOnlyPart,
        Self::HollowValue,
    ];

    /// A stable word for logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::BooleanAsText => "boolean-as-text",
            Self::ScalarAsText => "scalar-as-text",
            Self::UnknownAttribute => "unknown-attribute",
            Self::UnknownSchema => "unknown-schema",
            Self::MissingSchemas => "missing-schemas",
            Self::SingleValueForList => "single-value-for-list",
            Self::PlainValueForComplex => "plain-value-for-complex",
            Self::ListForSingleValue => "list-for-single-value",
            Self::SeveralPrimaries => "several-primaries",
            Self::OperationCase => "operation-case",
            Self::OperationWithoutPath => "operation-without-path",
            Self::EmptyOperations => "empty-operations",
            Self::PathAsMember => "path-as-member",
            Self::ValuePathCreates => "value-path-creates",
            Self::RemoveWithValue => "remove-with-value",
            Self::RemoveSelectsNothing => "remove-selects-nothing",
            Self::EmptyText => "empty-text",
            Self::ExtensionWithoutUrn => "extension-without-urn",
            Self::UnquotedText => "unquoted-text",
            Self::MalformedText => "malformed-text",
            Self::ReadOnlyPart => "read-only-part",
            Self::HollowValue => "hollow-value",
        }
    }

    fn error_type(self) -> ErrorType {
        match self {
            Self::BooleanAsText
            | Self::ScalarAsText
            | Self::SeveralPrimaries
            | Self::SingleValueForList
            | Self::PlainValueForComplex
            | Self::EmptyText
            | Self::MalformedText
            | Self::ListForSingleValue => ErrorType::InvalidValue,
            Self::ValuePathCreates | Self::RemoveSelectsNothing => ErrorType::NoTarget,
            Self::UnquotedText => ErrorType::InvalidFilter,
            Self::ReadOnlyPart => ErrorType::Mutability,
            Self::UnknownAttribute
            | Self::UnknownSchema
            | Self::MissingSchemas
            | Self::OperationCase
            | Self::OperationWithoutPath
            | Self::EmptyOperations
            | Self::PathAsMember
            | Self::RemoveWithValue
            | Self::ExtensionWithoutUrn
            | Self::HollowValue => ErrorType::InvalidSyntax,
        }
    }
}

/// A tolerance that a request has used.
#[derive(Clone, Debug)]
pub struct Tolerated {
    /// Which one.
    pub tolerance: Tolerance,
    /// What was ignored because of it: the first [`limits::IGNORED_PER_REQUEST_MAX`] names, without
    /// the values in a path.
    pub ignored: Vec<String>,
}

impl Tolerated {
    /// Keeps a name, if there is room for it.
    fn ignore(&mut self, name: &str) {
        if self.ignored.len() >= limits::IGNORED_PER_REQUEST_MAX {
            return;
        }
        // What has these is more than a name, or none.
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

/// What is tolerated in a request, and what was.
#[derive(Clone, Debug)]
pub struct Leniency {
    strict: bool,
    used: Vec<Tolerated>,
    /// A tolerance that does not count now, since it is about values stored before.
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

    /// Goes on, or gives the error that strict mode answers with; `what` says where.
    pub fn allow(&mut self, tolerance: Tolerance, what: &str) -> Result<(), Error> {
        if self.overlooked == Some(tolerance) {
            return Ok(());
        }
        if self.strict {
            return Err(Error::new(
                tolerance.error_type(),
                format!(
                    "{what} ({}); this token is strict, a token of mode compatible accepts it",
                    tolerance.name()
                ),
            ));
        }
        self.note(tolerance);
        Ok(())
    }

    /// [`Self::allow`] for what is ignored then: the attribute or the schema of this name.
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

    /// Notes what is done only in compatible mode. Each tolerance is noted once for a request,
    /// however often it occurs.
    pub(super) fn note(&mut self, tolerance: Tolerance) {
        if self.used().all(|used| used != tolerance) {
            self.used.push(Tolerated {
                tolerance,
                ignored: Vec::new(),
            });
        }
    }

    /// Reads something in which this tolerance is not due to the request.
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

    /// The tolerances used so far, with what was ignored.
    pub fn tolerated(&self) -> &[Tolerated] {
        &self.used
    }
}
