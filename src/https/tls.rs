//! The TLS settings of the HTTPS server. The caller supplies the certificate, and the handshake is
//! in `connection`.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};

use crate::limits;

/// TLS 1.2 and 1.3 with the provider's own suites and groups (hybrid post-quantum first). ALPN
/// offers only HTTP/1.1 and 1.0. Early data is off: a write must not be replayed.
pub fn server_config(certificate: Arc<dyn ResolvesServerCert>) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(limits::TLS_SESSIONS_MAX);
    config.max_early_data_size = 0;
    Arc::new(config)
}
