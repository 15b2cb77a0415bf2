//! Why a certificate is not accepted, in words, where rustls shows only an internal name.

use rustls::{CertificateError, OtherError};

/// Describes an error in words for people.
pub fn words_of(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
    else {
        return error.to_string();
    };
    // rustls shows only the names of the verifier's own errors.
    let words = match inner.to_string().as_str() {
        "CaUsedAsEndEntity" => {
            "it is a CA's own certificate, which is not accepted as a server's: issue one for the \
             server"
        }
        "EndEntityUsedAsCa" => "the certificate given as its issuer is not a CA's",
        "NameConstraintViolation" => "its CA may not issue certificates for this name",
        "PathLenConstraintViolated" => "its CA may not have another CA below it, but does",
        "UnsupportedCertVersion" => "it is not an X.509 version 3 certificate: issue one that is",
        "UnsupportedCriticalExtension" => "it has a critical extension that is not known here",
        "MalformedExtensions" | "ExtensionValueInvalid" => "its extensions cannot be read",
        _ => return error.to_string(),
    };
    words.to_owned()
}
