//! Randomness, digests, and values that must not be printed. Only this module asks the
//! cryptographic provider for randomness or digests; the seeds of hash tables are the only
//! randomness from std.

use std::fmt;
use std::ops::Deref;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, rand};
use serde::{Deserialize, Serialize};

/// A SHA-256 digest.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Digest([u8; 32]);

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A text that cannot be shown by accident: it has no `Display`, and its `Debug` hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The beginning of every token.
pub const TOKEN_PREFIX: &str = "golinks_scim_";

/// Whether a text contains a token or a large part of one, even with white space or control
/// characters in it, or with characters that break lines: a hyphen, `=` or `\`. Such a text is
/// never shown, except a newly issued token. If few characters follow the prefix, it is likely part
/// of a name, and nobody could guess the missing part of a token. A name may have hyphens too, but
/// hardly one that is that long and mixes upper and lower case.
pub fn holds_token(text: &str) -> bool {
    const CHARS_MIN: usize = 20;
    const BROKEN_CHARS_MIN: usize = 32;
    let folded = text.to_ascii_lowercase();
    folded.match_indices(TOKEN_PREFIX).any(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        let until = |is_end: fn(char) -> bool| {
            let rest = rest.chars().take_while(move |c| !is_end(*c));
            rest.filter(char::is_ascii_alphanumeric)
        };
        let mut broken = until(|c| c.is_ascii_punctuation() && !matches!(c, '-' | '=' | '\\'));
        until(|c| c.is_ascii_punctuation()).count() >= CHARS_MIN
            || broken.clone().count() >= BROKEN_CHARS_MIN
                && broken.clone().any(|c| c.is_ascii_lowercase())
                && broken.any(|c| c.is_ascii_uppercase())
    })
}

/// SHA-256 (FIPS 180-4) of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    let digest = digest::digest(&digest::SHA256, bytes);
    let digest = digest.as_ref().try_into();
    Digest(digest.expect("SHA-256 is 32 bytes long"))
}

/// SHA-256 of the concatenated parts.
pub fn sha256_of_parts(parts: &[&[u8]]) -> Digest {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finish()
}

/// SHA-256 of data that comes in parts.
pub struct Sha256(digest::Context);

impl Sha256 {
    /// The digest of no bytes yet.
    #[allow(
        clippy::new_without_default,
        reason = "a digest of nothing is nobody's default"
    )]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything.
    pub fn finish(self) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Digest(out)
    }
}

/// Unpredictable bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random generator does not fail once it is seeded");
    bytes
}

/// The key of a [`Sealer`]. Like a [`Secret`], it cannot be shown by accident.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// Hides the bytes of a key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves, for the one place that stores them.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(hidden)")
    }
}

/// Encrypts and authenticates bytes: without the key nobody can read them or forge others that
/// open. Uses AES-256-GCM-SIV (RFC 8452), with which any number of random nonces is safe.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// A sealer with this key.
    pub fn new(key: &SealKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &key.0);
        Self(LessSafeKey::new(
            key.expect("the algorithm's keys are 32 bytes long"),
        ))
    }

    /// Seals the content so that it opens only with the same `bound_to`. Returns the nonce (12
    /// bytes), the encrypted content, and the tag (16 bytes).
    pub fn seal(&self, bound_to: &[u8], content: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = content.to_vec();
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to),
                &mut sealed,
            )
            .expect("contents are far shorter than the algorithm's limit");
        [&nonce, sealed.as_slice(), tag.as_ref()].concat()
    }

    /// Returns the content that [`Sealer::seal`] sealed; `None` for anything else.
    pub fn open(&self, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut content = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(bound_to), &mut content);
        let length = opened.ok()?.len();
        content.truncate(length);
        Some(content)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads the output of [`hex`]; `None` unless the text encodes exactly `N` bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc_is_the_published_one() {
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(sha256(b"abc"), sha256_of_parts(&[b"a", b"", b"bc"]));
    }

    #[test]
    fn a_sealed_content_opens_only_as_it_was_closed() {
        let key = Sealer::new(&SealKey::new([7; 32]));
        let sealed = key.seal(b"to", b"content");
        assert_eq!(key.open(b"to", &sealed).as_deref(), Some(&b"content"[..]));
        assert_ne!(key.seal(b"to", b"content"), sealed);
        assert_eq!(key.open(b"other", &sealed), None);
        assert_eq!(
            Sealer::new(&SealKey::new([8; 32])).open(b"to", &sealed),
            None
        );
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(key.open(b"to", &forged), None, "{at}");
            assert_eq!(key.open(b"to", &sealed[..at]), None, "{at}");
        }
    }

    #[test]
    fn a_token_is_told_from_a_name_that_begins_like_one() {
        let chars = "Ab3dEf6h1jKlMn0pQrSt";
        for (text, wanted) in [
            (format!("golinks_scim_{chars}"), true),
            (format!("Bearer=GOLINKS_SCIM_{chars}UvWxYz, please"), true),
            (format!("/golinks_scim_data/golinks_scim_{chars}/x"), true),
            (
                format!("golinks_scim_{}\n \u{200b}{}", &chars[..9], &chars[9..]),
                true,
            ),
            (format!("golinks_scim_{}", &chars[1..]), false),
            (format!("golinks_scim_{}-\n{chars}uVwXy", &chars[..9]), true),
            (
                format!("golinks_scim_{}=\r\n{chars}uVwXy", &chars[..19]),
                true,
            ),
            (format!("golinks_scim_A\\\n{chars}-uVwXyZ012345"), true),
            (
                "/srv/golinks_scim_backups-of-the-whole-company-since-2026-01-31".to_owned(),
                false,
            ),
            ("golinks_scim_Data-of-the-Whole-Company".to_owned(), false),
            (
                "/srv/volumes/golinks_scim_data/of/the/whole/company".to_owned(),
                false,
            ),
            (
                "golinks_scim_http_requests_total of this machine".to_owned(),
                false,
            ),
            (chars.to_owned(), false),
        ] {
            assert_eq!(holds_token(&text), wanted, "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("golinks_scim_canary".to_owned());
        assert!(!format!("{secret:?}").contains("canary"));
        assert_eq!(format!("{:?}", SealKey::new([7; 32])), "SealKey(hidden)");
    }
}
