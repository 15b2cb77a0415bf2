//! Recognizes, by their first bytes, certificate and key files that are not PEM, and names the
//! command that converts them to PEM. Authorities and their tools hand out all of these formats.

use std::path::Path;

use crate::fix::quoted;

/// How the content of a signed PKCS #7 file in DER begins: the object identifier in RFC 2315
/// section 14.
const SIGNED_DATA: &[u8] = &[
    0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02,
];
/// How the content of a PKCS #12 file begins: with its version (RFC 7292 section 4).
const VERSION_3: &[u8] = &[0x02, 0x01, 0x03];

const PKCS_12: &str = "PKCS #12";
/// The encoding that Windows tools write, such as PowerShell's `>`.
const UTF_16: &str = "UTF-16";

/// What a file without a readable certificate is, and how to convert it to PEM; `None` if its
/// format is unknown.
pub fn conversion_hint_for_certificates(path: &Path, bytes: &[u8]) -> Option<String> {
    let (is, command) = if has_line(bytes, "-----BEGIN PKCS7-----") {
        ("PKCS #7", "pkcs7 -print_certs")
    } else if is_utf_16(bytes) {
        (UTF_16, "")
    } else if let Some(content) = content_of_der(bytes) {
        if content.starts_with(SIGNED_DATA) {
            ("PKCS #7 in DER", "pkcs7 -print_certs -inform DER")
        } else if content.starts_with(VERSION_3) {
            (PKCS_12, "pkcs12 -nodes")
        } else {
            ("DER", "x509 -inform DER")
        }
    } else {
        return other_pem(bytes).map(str::to_owned);
    };
    Some(told(is, command, path))
}

/// What a PEM file without any certificate holds instead, if that is known.
fn other_pem(bytes: &[u8]) -> Option<&'static str> {
    let has = |end: &[u8]| {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        lines.any(|line| line.trim_ascii().ends_with(end))
    };
    // Of a certificate that cannot be read, something else must be said.
    if has(b" CERTIFICATE-----") {
        None
    } else if has(b" CERTIFICATE REQUEST-----") {
        Some("it is a request: use the chain that the authority returns for it")
    } else if has(b" PRIVATE KEY-----") {
        Some("it holds a private key and no certificate")
    } else {
        None
    }
}

/// Like [`conversion_hint_for_certificates`], for a file without a usable private key.
pub(super) fn conversion_hint_for_key(path: &Path, bytes: &[u8]) -> Option<String> {
    let (is, command) = if has_line(bytes, "-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || has_line(bytes, "Proc-Type: 4,ENCRYPTED")
    {
        ("encrypted", "pkey")
    } else if is_utf_16(bytes) {
        (UTF_16, "")
    } else if let Some(content) = content_of_der(bytes) {
        if content.starts_with(VERSION_3) {
            (PKCS_12, "pkcs12 -nodes")
        } else {
            ("DER", "pkey -inform DER")
        }
    } else {
        return None;
    };
    Some(told(is, command, path))
}

fn told(is: &str, command: &str, path: &Path) -> String {
    let mut made = path.as_os_str().to_owned();
    made.push(".pem");
    let (path, made) = (quoted(path), quoted(Path::new(&made)));
    // openssl 3 has retired the ciphers that older tools use in these files.
    let more = if is == PKCS_12 {
        " (add -legacy if openssl says unsupported)"
    } else {
        ""
    };
    // The converted key must not become readable for others.
    let line = if is == UTF_16 {
        format!("(umask 77; iconv -f UTF-16 -t UTF-8 {path} > {made})")
    } else {
        format!("openssl {command} -in {path} -out {made}")
    };
    format!("it is {is}, but plain PEM is needed{more}; run: {line}")
}

/// Whether a text begins with the UTF-16 byte order mark of either byte order.
fn is_utf_16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFF, 0xFE, _, ..] | [0xFE, 0xFF, _, ..])
}

fn has_line(bytes: &[u8], line: &str) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    lines.any(|one| one.trim_ascii() == line.as_bytes())
}

/// The content of a DER sequence, after its tag and length. The tag is the same byte as the digit
/// 0, with which a text may begin, so ASCII text is ruled out first.
fn content_of_der(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.is_ascii() {
        return None;
    }
    match bytes {
        [0x30, 0..=0x80, content @ ..]
        | [0x30, 0x81, _, content @ ..]
        | [0x30, 0x82, _, _, content @ ..]
        | [0x30, 0x83, _, _, _, content @ ..] => Some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files often hold the key as well.
    #[test]
    fn a_key_hides_no_certificates() {
        for (first, wanted) in [
            ("CERTIFICATE", None),
            ("TRUSTED CERTIFICATE", None),
            ("PKCS7", Some("it is PKCS #7,")),
            ("CERTIFICATE REQUEST", Some("it is a request:")),
            ("DH PARAMETERS", Some("it holds a private key and no")),
        ] {
            let pem = format!("-----BEGIN {first}-----\nMIIB\n-----BEGIN PRIVATE KEY-----\n");
            let told = conversion_hint_for_certificates(Path::new("a"), pem.as_bytes());
            let is_told = told.as_ref().zip(wanted);
            let is_told = is_told.map_or(told.is_some() == wanted.is_some(), |(told, words)| {
                told.starts_with(words)
            });
            assert!(is_told, "{first}: {told:?}");
        }
    }

    #[test]
    fn what_is_read_is_nothing_to_convert() {
        let pem = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for bytes in [&pem[..], b"", b"0 is a text", b"\xFF\xFE"] {
            let path = Path::new("a");
            assert_eq!(
                conversion_hint_for_certificates(path, bytes),
                None,
                "{bytes:?}"
            );
            assert_eq!(conversion_hint_for_key(path, bytes), None, "{bytes:?}");
        }
    }
}
