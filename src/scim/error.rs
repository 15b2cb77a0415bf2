//! Errors in a SCIM request, in the terms of RFC 7644 section 3.12 and RFC 9865 section 2.1. The
//! HTTP status of an error is chosen where the answer is made, not here.

use super::fold::is_unseen;
use crate::limits;

/// The values of `scimType` in RFC 7644 table 9 and RFC 9865 table 3 that concern the content of a
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The filter cannot be read, or names an attribute that does not exist.
    InvalidFilter,
    /// An attribute cannot be changed in the requested way.
    Mutability,
    /// The body does not follow the schema or the message format.
    InvalidSyntax,
    /// The path of a patch operation cannot be read.
    InvalidPath,
    /// The path of a patch operation selects nothing.
    NoTarget,
    /// A value is missing or of the wrong type.
    InvalidValue,
    /// The filter or the order needs more work than a query may take.
    TooMany,
    /// The path names a version of the protocol that is not supported.
    InvalidVers,
    /// The request URI contains something that must not be in a URI.
    Sensitive,
    /// The cursor was not made for this query and this principal.
    InvalidCursor,
    /// The cursor was made too long ago.
    ExpiredCursor,
    /// The count beside a cursor is not a number.
    InvalidCount,
}

impl ErrorType {
    /// The value on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::TooMany => "tooMany",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

/// One error in a request, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.as_str())]
pub struct Error {
    /// The `scimType`, unless [`Why`] says that there is none.
    pub kind: ErrorType,
    /// The explanation for the administrator, who reads it in the identity provider's console.
    pub detail: String,
    /// Which aspect of the request is wrong.
    pub why: Why,
}

/// The aspect of a request that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its content.
    Content,
    /// Only its size.
    Size,
    /// The size that the user would have afterwards. RFC 7644 has no `scimType` for this.
    UserSize,
    /// Its content, but only because the token's mode is strict: a token of this server with
    /// another mode may send it.
    Strictness,
    /// The user would have no userName.
    NoUserName,
}

impl Error {
    /// An error in the content of a request, with its explanation.
    pub fn new(kind: ErrorType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            why: Why::Content,
        }
    }

    /// The same error with another `scimType`.
    pub(super) fn of_kind(self, kind: ErrorType) -> Self {
        Self { kind, ..self }
    }

    /// The same error about a part of an attribute, which its detail begins with: `value` alone may
    /// be part of any list.
    pub(super) fn of_part(self, attribute: &str) -> Self {
        Self {
            detail: format!("{attribute}.{}", self.detail),
            ..self
        }
    }

    /// An error that concerns only the size of a request.
    pub(super) fn of_size(kind: ErrorType, detail: impl Into<String>) -> Self {
        Self {
            why: Why::Size,
            ..Self::new(kind, detail)
        }
    }

    /// The error for a user that would be larger than [`limits::USER_BYTES_MAX`].
    pub(crate) fn of_user_size() -> Self {
        let most = limits::USER_BYTES_MAX / 1024;
        let detail = format!("the user would be larger than {most} KiB");
        Self {
            why: Why::UserSize,
            ..Self::new(ErrorType::InvalidValue, detail)
        }
    }
}

/// Quotes a text from a request for a `detail`: shortened, and with escapes for characters that
/// could mislead.
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(limits::QUOTED_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    let mut quoted = String::from('"');
    for c in short.chars() {
        // Nothing else is escaped: in many scripts, accents and vowels are characters of their own.
        if matches!(c, '"' | '\\') || c.is_control() {
            quoted.extend(c.escape_debug());
        } else if is_unseen(c) {
            quoted.extend(c.escape_unicode());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('"');
    quoted
}
