//! Who is made up to try a service provider, and is nobody: known by the userName alone, wherever
//! it stands, also in an audit trail that is read after a restart.

/// What the userName of every such user holds, so that those of an interrupted trial are found.
pub const MARK: &str = "golinks-scim-check";
/// What it ends with: a domain that nobody can have (RFC 2606 section 2).
pub const SUFFIX: &str = "@invalid";

/// Whether this is the userName of somebody who was made for a trial.
pub fn is_made_up(user_name: &str) -> bool {
    let name = user_name.to_lowercase();
    name.contains(MARK) && name.ends_with(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_has_such_a_name() {
        for (name, is_one) in [
            ("golinks-scim-check-left@invalid", true),
            ("Manager.A.GOLINKS-SCIM-CHECK@INVALID", true),
            ("golinks-scim-check@example.com", false),
            ("jane@invalid", false),
            ("golinks-scim-check@invalid.example.com", false),
        ] {
            assert_eq!(is_made_up(name), is_one, "{name}");
        }
    }
}
