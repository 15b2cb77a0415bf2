//! The text of a token: `golinks_scim_`, 43 characters that hold 256 random bits, and 6 that hold a
//! CRC-32 over everything before them. Secret scanners recognize a leaked token by its prefix; the
//! checksum distinguishes a bad paste from a wrong token.

use crate::secret::{self, Digest, Secret, TOKEN_PREFIX};

const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A well-formed token. Only the person to whom it was shown knows it; the store keeps its digest.
#[derive(Debug)]
pub struct TokenText(Secret);

impl TokenText {
    /// A new token that nobody can guess.
    pub fn generate() -> Self {
        let random = secret::random::<32>();
        let (words, _) = random.as_chunks::<4>();
        let digits = base62::<RANDOM_CHARS>(words.iter().copied().map(u32::from_be_bytes));
        let mut text = TOKEN_PREFIX.to_owned();
        text.extend(digits.map(char::from));
        let checksum = checksum(&text);
        text.extend(checksum.map(char::from));
        Self(Secret::new(text))
    }

    /// What the store keeps. It needs no salt and no slow hash, since nobody can search through 256
    /// random bits.
    pub(super) fn digest(&self) -> Digest {
        digest_of(self.0.reveal())
    }

    /// The text, to be shown once to the caller who requested it.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

/// The digest under which the store keeps the token with this text.
pub(super) fn digest_of(text: &str) -> Digest {
    secret::sha256(text.as_bytes())
}

/// Whether `text` is a complete token, whether or not it was issued here.
pub(super) fn is_well_formed(text: &str) -> bool {
    let length = TOKEN_PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;
    let is_sound = |(body, sum): (&str, &str)| checksum(body) == sum.as_bytes();
    text.len() == length
        && text.starts_with(TOKEN_PREFIX)
        && text
            .split_at_checked(length - CHECKSUM_CHARS)
            .is_some_and(is_sound)
}

fn checksum(text: &str) -> [u8; CHECKSUM_CHARS] {
    base62([crc32fast::hash(text.as_bytes())])
}

/// A number, given as words with the highest first, as `N` base-62 digits with leading zeros.
fn base62<const N: usize>(words: impl IntoIterator<Item = u32>) -> [u8; N] {
    let mut digits = [0; N];
    for word in words {
        let mut carry = u64::from(word);
        for digit in digits.iter_mut().rev() {
            carry += u64::from(*digit) << 32;
            *digit = u8::try_from(carry % 62).expect("a remainder of 62");
            carry /= 62;
        }
    }
    digits.map(|digit| BASE62[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_what_was_generated_and_nothing_else() {
        let token = TokenText::generate();
        let text = token.reveal();
        assert_eq!(text.len(), 62);
        assert!(is_well_formed(text));
        for at in 0..text.len() {
            let mut bad = text.as_bytes().to_vec();
            bad[at] = if bad[at] == b'x' { b'y' } else { b'x' };
            let bad = String::from_utf8(bad).expect("ASCII");
            assert!(!is_well_formed(&bad), "{at}");
        }
        for bad in ["", "golinks_scim_", &text[1..], &format!("{text}x")] {
            assert!(!is_well_formed(bad));
        }
        let as_long = format!("golinks_scim_{}x", "é".repeat(24));
        assert_eq!((as_long.len(), is_well_formed(&as_long)), (62, false));
    }

    #[test]
    fn base62_counts() {
        assert_eq!(&base62([0]), b"00");
        assert_eq!(&base62([61]), b"0z");
        assert_eq!(&base62([62]), b"10");
        assert_eq!(&base62([u32::MAX]), b"4gfFC3");
        // 2 to the power of 32, as two words.
        assert_eq!(&base62([1, 0]), b"4gfFC4");
        assert_eq!(&base62::<11>([u32::MAX, u32::MAX]), b"LygHa16AHYF");
    }
}
