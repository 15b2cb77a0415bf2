//! What a client accepts: the lists in `Accept` and `Accept-Encoding` (RFC 9110 section 12.5).

/// A member of such a list.
pub struct Member<'a> {
    /// The media type or the content coding, without its parameters.
    pub name: &'a str,
    /// Whether the client refuses it by the weight 0 (RFC 9110 section 12.4.2).
    pub is_refused: bool,
}

/// The members of a list, in order. Quoted parameter values that contain a comma are not supported.
pub fn members(list: &str) -> impl Iterator<Item = Member<'_>> {
    list.split(',').map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let is_refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0))
        });
        Member { name, is_refused }
    })
}
