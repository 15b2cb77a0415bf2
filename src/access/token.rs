//! The text of a token: `golinks_scim_`, 43 characters that hold 256 random bits, and 6
//! that hold a CRC-32 over all before them. The prefix lets secret scanners recognise a
//! leaked one, the checksum tells a wrong paste from a wrong token.

use crate::secret::{self, Digest, Secret};

const PREFIX: &str = "golinks_scim_";
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A well-formed token. Known only to whoever was shown it; the store has its digest.
#[derive(Debug)]
pub struct TokenText(Secret);

impl TokenText {
    /// A new token that nobody can guess.
    pub fn generate() -> Self {
        let mut text = PREFIX.to_owned();
        text.push_str(&base62(&secret::random::<32>(), RANDOM_CHARS));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(Secret::new(text))
    }

    /// Reads a token; `None` when it is not one, or not all of one.
    pub fn parse(text: &str) -> Option<Self> {
        let length = PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;
        if text.len() != length || !text.starts_with(PREFIX) {
            return None;
        }
        let (body, sum) = text.split_at_checked(length - CHECKSUM_CHARS)?;
        (checksum(body) == sum).then(|| Self(Secret::new(text.to_owned())))
    }

    /// What the store keeps. No salt and no slow hash: 256 random bits cannot be searched.
    pub fn digest(&self) -> Digest {
        secret::sha256(self.0.reveal().as_bytes())
    }

    /// The text, to be shown once to whoever asked for it.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

fn checksum(text: &str) -> String {
    base62(
        &crc32fast::hash(text.as_bytes()).to_be_bytes(),
        CHECKSUM_CHARS,
    )
}

/// A big-endian number in base 62, `chars` digits, leading zeros kept.
fn base62(number: &[u8], chars: usize) -> String {
    let mut number = number.to_vec();
    let mut digits = vec![0; chars];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("the remainder is below 62");
            remainder = value % 62;
        }
        *digit = BASE62[usize::try_from(remainder).expect("a remainder below 62 fits")];
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_what_was_generated_and_nothing_else() {
        let token = TokenText::generate();
        let text = token.reveal();
        assert_eq!(text.len(), 62);
        assert_eq!(
            TokenText::parse(text).expect("it is a token").digest(),
            token.digest()
        );
        for at in 0..text.len() {
            let mut bad = text.as_bytes().to_vec();
            bad[at] = if bad[at] == b'x' { b'y' } else { b'x' };
            let bad = String::from_utf8(bad).expect("ASCII");
            assert!(TokenText::parse(&bad).is_none(), "{at}");
        }
        for bad in ["", "golinks_scim_", &text[1..], &format!("{text}x")] {
            assert!(TokenText::parse(bad).is_none());
        }
        assert!(TokenText::parse(&format!("golinks_scim_{}", "é".repeat(25))).is_none());
    }

    #[test]
    fn base62_counts() {
        assert_eq!(base62(&[0], 2), "00");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[255; 4], 6), "4gfFC3");
    }
}
