//! Users made up to test a service provider, as opposed to real people. The userName alone
//! identifies them, wherever it occurs, even in an audit trail that is read after a restart.

/// The end of every such userName, so that users left by an interrupted `check` can be found: a
/// domain that nobody can have (RFC 2606 section 2).
pub const SUFFIX: &str = ".golinks-scim-check@invalid";

/// The name of the tokens with which `check` makes them. No other token can have it, because no
/// `@` is allowed in the names that administrators give.
pub const TOKEN: &str = "@check";

/// Whether this is the userName of a test user. Any user can be given such a name:
/// before acting on a user because of it, check how the user was created.
pub fn is_test_user(user_name: &str) -> bool {
    let end = user_name.len().checked_sub(SUFFIX.len());
    let end = end.and_then(|at| user_name.as_bytes().get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_has_such_a_name() {
        for (name, is_one) in [
            ("left.golinks-scim-check@invalid", true),
            ("Manager.A.GOLINKS-SCIM-CHECK@INVALID", true),
            ("golinks-scim-check-left@invalid", false),
            ("golinks-scim-check@invalid", false),
            // Only ASCII has two cases here: the second is the Kelvin sign, in lower case a k.
            ("a.GOL\u{130}NKS-SC\u{130}M-CHECK@invalid", false),
            ("a.golinks-scim-chec\u{212a}@invalid", false),
            ("\u{130}.golinks-scim-check@invalid", true),
            ("a.golinks-scim-check@example.com", false),
            ("jane@invalid", false),
            ("a.golinks-scim-check@invalid.example.com", false),
        ] {
            assert_eq!(is_test_user(name), is_one, "{name}");
        }
    }
}
