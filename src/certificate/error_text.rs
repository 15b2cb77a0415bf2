//! Explains in plain words why a certificate or a key is refused, where the libraries show internal
//! names.

use rustls::pki_types::pem;
use rustls::{CertificateError, OtherError};

use crate::clock::Instant;

/// Why a CA's own certificate is not a server's. Clients that are based on rustls, our check among
/// them, refuse it.
pub(super) const OWN_OF_AUTHORITY: &str = "it is a CA's own certificate, which some clients do not accept as a server's: issue one for \
     the server that is no CA's (basicConstraints CA:FALSE)";

/// Describes an error in plain words.
pub fn words_of(error: &rustls::Error) -> String {
    use CertificateError as Why;
    let rustls::Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    let at = |seconds: u64| {
        let millis = i64::try_from(seconds).unwrap_or(i64::MAX);
        Instant::from_millis(millis.saturating_mul(1000))
    };
    let words = match why {
        Why::ExpiredContext { not_after, .. } => {
            return format!("a certificate ended at {:.0}", at(not_after.as_secs()));
        }
        Why::NotValidYetContext { not_before, .. } => {
            let begins = at(not_before.as_secs());
            return format!("a certificate is not valid before {begins:.0}; is the clock right?");
        }
        Why::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            // The library writes `DnsName("scim.example.com")`, and kinds other than these two name
            // no host.
            let plain = |name: &String| {
                let (kind, inner) = name.split_once('(')?;
                let is_host = matches!(kind, "DnsName" | "IpAddress");
                is_host.then(|| inner.trim_matches(['"', ')']).to_owned())
            };
            let names: Vec<String> = presented.iter().filter_map(plain).collect();
            let rest = if names.is_empty() {
                ": it names no host".to_owned()
            } else {
                format!(", only for {}", names.join(", "))
            };
            return format!("the certificate is not valid for {expected}{rest}");
        }
        Why::UnknownIssuer => {
            "no trusted authority has issued it, or an intermediate certificate is missing"
        }
        Why::InvalidPurposeContext { .. } => {
            "it, or a CA above it, is not for servers: have it issued with the extended key usage \
             serverAuth, by a CA that may do so"
        }
        Why::BadSignature => {
            "a certificate was not signed with the key of the one named as issuer, or that key is \
             not accepted, such as RSA with less than 2048 bits"
        }
        Why::UnsupportedSignatureAlgorithmContext { .. }
        | Why::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "a certificate is signed in a way that is not accepted, such as with SHA-1: have it \
             issued with SHA-256 by a CA whose key is RSA, ECDSA or Ed25519"
        }
        Why::BadEncoding => "a certificate cannot be read",
        // For the verifier's own errors, rustls shows only their names.
        Why::Other(OtherError(inner)) => match inner.to_string().as_str() {
            "CaUsedAsEndEntity" => OWN_OF_AUTHORITY,
            "EndEntityUsedAsCa" => "the certificate given as its issuer is not a CA's",
            "NameConstraintViolation" => "its CA may not issue certificates for this name",
            "PathLenConstraintViolated" => "its CA may not have another CA below it, but does",
            "UnsupportedCertVersion" => {
                "it is not an X.509 version 3 certificate: issue one that is"
            }
            "UnsupportedCriticalExtension" => "it has a critical extension that is not known here",
            "MalformedExtensions" | "ExtensionValueInvalid" => "its extensions cannot be read",
            _ => return error.to_string(),
        },
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// Describes in plain words why a text is not PEM.
pub(super) fn words_of_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it is cut short: its last block has no END line".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not whole".to_owned(),
        pem::Error::Base64Decode(_) => "a block is not Base64 throughout".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::ExtendedKeyPurpose;
    use rustls::pki_types::ServerName;

    use super::super::end_of;
    use super::*;

    #[test]
    fn what_signed_it_is_not_told_in_numbers() {
        let why = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 7, 42],
            supported_algorithms: Vec::new(),
        };
        let words = words_of(&rustls::Error::InvalidCertificate(why));
        assert!(words.contains("SHA-1") && !words.contains("42"), "{words}");
    }

    #[test]
    fn why_a_client_refuses_it_is_told_without_names_of_the_library() {
        let localhost = || ServerName::try_from("localhost").expect("a name");
        let elsewhere = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: localhost(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (why, wanted) in [
            (
                CertificateError::UnknownIssuer,
                "no trusted authority has issued it, or an intermediate certificate is missing",
            ),
            (
                elsewhere(&["DnsName(\"a.example\")", "IpAddress(10.0.0.7)"]),
                "the certificate is not valid for localhost, only for a.example, 10.0.0.7",
            ),
            (
                elsewhere(&["Unsupported(0x01)", "DirectoryName"]),
                "the certificate is not valid for localhost: it names no host",
            ),
            (
                CertificateError::InvalidPurposeContext {
                    required: ExtendedKeyPurpose::ServerAuth,
                    presented: vec![ExtendedKeyPurpose::ClientAuth],
                },
                "it, or a CA above it, is not for servers: have it issued with the extended key usage \
                 serverAuth, by a CA that may do so",
            ),
        ] {
            let words = words_of(&rustls::Error::InvalidCertificate(why));
            assert_eq!(words, wanted);
        }
        let words = end_of(b"\x30\x03abc").expect_err("no certificate");
        assert_eq!(
            words,
            "the certificate cannot be read: it is damaged, or not X.509"
        );
    }
}
