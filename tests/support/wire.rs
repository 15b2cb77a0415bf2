//! The HTTPS server byte by byte: a client that sends any bytes over real TLS.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use golinks_scim::http1::client::{Response, read_response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::Server;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const BOTH: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A server, and what a client needs to send bytes to it.
pub(crate) struct Door {
    pub(crate) server: Server,
    pub(crate) token: String,
    authority: Vec<u8>,
}

impl Door {
    pub(crate) fn open() -> Self {
        Self::to(Server::start_with(&["--rate-limit", "off"]))
    }

    /// Uses a running server whose certificate is from its private authority.
    pub(crate) fn to(server: Server) -> Self {
        let authority = std::fs::read(server.data_dir().join("tls/ca.pem")).expect("the CA");
        Self::with(server, authority)
    }

    /// [`Self::to`] for a server whose certificate is from this authority, given as PEM.
    pub(crate) fn with(server: Server, authority: Vec<u8>) -> Self {
        let token = server.token("okta").reveal().to_owned();
        Self {
            server,
            token,
            authority,
        }
    }

    /// The authority that a client must trust, as PEM.
    pub(crate) fn authority(&self) -> &[u8] {
        &self.authority
    }

    pub(crate) fn connect(&self) -> Tls {
        self.connect_with(BOTH, &[]).expect("a handshake")
    }

    pub(crate) fn connect_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> std::io::Result<Tls> {
        let socket = TcpStream::connect(self.server.address())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        self.handshake_with(socket, versions, protocols)
    }

    /// A handshake on an open connection.
    pub(crate) fn handshake(&self, socket: TcpStream) -> std::io::Result<Tls> {
        self.handshake_with(socket, BOTH, &[])
    }

    fn handshake_with(
        &self,
        mut socket: TcpStream,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> std::io::Result<Tls> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&self.authority).expect("PEM"))
            .expect("a CA");
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        // In TLS 1.3 the server may still refuse after the client has completed the handshake.
        Ok(StreamOwned::new(connection, socket))
    }

    /// A request in which `HOST` is replaced by the `Host` and `Authorization` headers, and `TOKEN`
    /// by a valid token. A character up to U+00FF stands for the byte of that number.
    pub(crate) fn with_token(&self, request: &str) -> Vec<u8> {
        let request = request
            .replace("HOST", "Host: localhost\r\nAuthorization: Bearer TOKEN")
            .replace("TOKEN", &self.token);
        bytes(&request)
    }
}

pub(crate) fn read(tls: &mut Tls, is_head: bool) -> Response {
    // Reads one byte at a time, so that a second answer after the first stays unread.
    let mut reader = OneByte(tls);
    read_response(&mut reader, is_head, 1 << 20).expect("an answer")
}

struct OneByte<'a>(&'a mut Tls);

impl Read for OneByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

/// Asserts that the server sends nothing more and ends the connection.
pub(crate) fn assert_closed(tls: &mut Tls, what: &str) {
    let mut rest = Vec::new();
    // A reset after the answer also counts as an end.
    let _ = tls.read_to_end(&mut rest);
    assert_eq!(
        String::from_utf8_lossy(&rest),
        "",
        "{what}: more than one answer"
    );
}

/// The characters of a text as bytes, one byte per character.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("a byte"))
        .collect()
}
