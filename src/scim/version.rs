//! Versions of a resource (RFC 7644 section 3.14): the entity tags of `If-Match` and
//! `If-None-Match`, and whether a request may proceed.

/// What a request requires of the resource's version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// The value of one of the two fields: `*`, which matches any version of an existing resource, or a
/// list of entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tags(String);

impl Preconditions {
    /// Takes the values of the two header fields. A tag that cannot be read matches nothing.
    pub fn parse(if_match: Option<&str>, if_none_match: Option<&str>) -> Self {
        let tags = |list: &str| Tags(list.to_owned());
        Self {
            if_match: if_match.map(tags),
            if_none_match: if_none_match.map(tags),
        }
    }

    /// Whether a resource of this version may be changed; otherwise the answer is 412.
    pub fn allow_change(&self, version: &str) -> bool {
        self.allow_match(version) && !self.is_not_modified(version)
    }

    /// Whether `If-Match` allows this version.
    pub fn allow_match(&self, version: &str) -> bool {
        self.if_match.as_ref().is_none_or(|tags| tags.hold(version))
    }

    /// Whether the client already has this version; a retrieval is then answered with 304.
    pub fn is_not_modified(&self, version: &str) -> bool {
        self.if_none_match
            .as_ref()
            .is_some_and(|tags| tags.hold(version))
    }
}

impl Tags {
    /// Uses the weak comparison of RFC 9110 section 8.8.3.2 for both fields: the tags of RFC 7644
    /// are weak, so the strong comparison that RFC 9110 requires for `If-Match` would never match.
    fn hold(&self, version: &str) -> bool {
        let opaque = version
            .strip_prefix("W/")
            .unwrap_or(version)
            .trim_matches('"');
        self.0.trim() == "*" || self.opaque_tags().any(|tag| tag == opaque)
    }

    /// The tags, without `W/` and without quotes, up to the first one that cannot be read.
    fn opaque_tags(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let tag = rest.strip_prefix("W/").unwrap_or(rest);
            let (tag, after) = tag.strip_prefix('"')?.split_once('"')?;
            rest = after;
            Some(tag)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_match_or_do_not() {
        const VERSION: &str = "W/\"3\"";
        for (list, holds) in [
            ("W/\"3\"", true),
            ("\"3\"", true),
            ("*", true),
            ("W/\"2\", W/\"3\"", true),
            ("\"a,b\",W/\"3\"", true),
            ("W/\"2\"", false),
            ("W/\"33\"", false),
            ("3", false),
            ("W/3", false),
            ("\"3", false),
            ("", false),
        ] {
            let wanted = Preconditions::parse(Some(list), None);
            assert_eq!(wanted.allow_change(VERSION), holds, "If-Match: {list}");
            let unwanted = Preconditions::parse(None, Some(list));
            assert_eq!(
                unwanted.is_not_modified(VERSION),
                holds,
                "If-None-Match: {list}"
            );
            assert_eq!(
                unwanted.allow_change(VERSION),
                !holds,
                "If-None-Match: {list}"
            );
        }
        let many = format!("{}{VERSION}", "\"2\",".repeat(1000));
        assert!(!Preconditions::parse(None, Some(&many)).allow_change(VERSION));
        assert!(Preconditions::default().allow_change(VERSION));
        assert!(!Preconditions::default().is_not_modified(VERSION));
    }
}
