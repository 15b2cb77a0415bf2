//! Finds out what answers at an address: it completes a handshake with any peer, to see the
//! certificate that it presents. It sends nothing beyond the handshake, so an unknown peer learns
//! nothing.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, InvalidMessage, SignatureScheme};

use super::client::{Client, Error};

/// What the handshake showed.
#[derive(Debug)]
pub enum PeerAnswer {
    /// Certificates in DER, the peer's own first.
    Certificates(Vec<Vec<u8>>),
    /// The peer does not speak TLS.
    NoTls,
}

/// Connects to whatever answers at a base URL.
pub fn probe(base_url: &str) -> Result<PeerAnswer, Error> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let anybody = Arc::new(Anybody(provider));
    match Client::verifying(base_url, anybody)?.peer_certificates() {
        Ok(shown) => Ok(PeerAnswer::Certificates(shown)),
        Err(Error::Handshake(error)) if is_no_tls(&error) => Ok(PeerAnswer::NoTls),
        Err(error) => Err(error),
    }
}

/// An answer in another protocol looks like a record of a type that TLS does not have.
fn is_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion
        ))
    )
}

/// Accepts any certificate, since the only purpose is to see it.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
