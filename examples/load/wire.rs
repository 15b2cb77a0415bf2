//! One connection over TLS, with as little work for each request as there can be: what the
//! generator takes of two cores, the server does not get.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longer than any answer takes that is worth waiting for.
const PATIENCE: Duration = Duration::from_secs(60);
/// An answer that no workload asks for.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Where requests go, and whom to believe.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Target {
    /// `authority` is a file of PEM. Without `resumes` every handshake is a full one.
    pub(crate) fn new(address: SocketAddr, authority: &[u8], resumes: bool) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority) {
            let certificate = certificate.expect("the authority's certificate is PEM");
            roots.add(certificate).expect("it is a certificate");
        }
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        let config = Arc::new(config);
        Self { address, config }
    }

    pub(crate) fn connect(&self) -> std::io::Result<Connection> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.config), name);
        let mut tls = tls.map_err(std::io::Error::other)?;
        // Now, and not as a part of the first request.
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Connection {
            stream: StreamOwned::new(tls, socket),
            buffer: Vec::with_capacity(64 * 1024),
        })
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends a request as it is, and gives the answer's status. The answer is in
    /// [`Connection::answer`] until the next one.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(std::io::Error::other("the answer's head has no end"));
            }
            self.more()?;
        };
        let (status, framing) = read_head(&self.buffer[..head])?;
        match framing {
            Framing::Length(length) => {
                while self.buffer.len() < head + length {
                    self.more()?;
                }
            }
            Framing::Chunked => {
                while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                    self.more()?;
                }
            }
        }
        Ok(status)
    }

    /// The bytes of the last answer, head and body.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.buffer
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        let end = memchr::memmem::find(&self.buffer, b"\r\n\r\n").map_or(0, |end| end + 4);
        &self.buffer[end..]
    }

    fn more(&mut self) -> std::io::Result<()> {
        let start = self.buffer.len();
        self.buffer.resize(start + 32 * 1024, 0);
        let read = self.stream.read(&mut self.buffer[start..])?;
        self.buffer.truncate(start + read);
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

enum Framing {
    Length(usize),
    Chunked,
}

fn read_head(head: &[u8]) -> std::io::Result<(u16, Framing)> {
    let text = std::str::from_utf8(head).map_err(std::io::Error::other)?;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("no status"))?;
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let length = value.trim().parse().map_err(std::io::Error::other)?;
            return Ok((status, Framing::Length(length)));
        }
    }
    let is_chunked = text
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Ok((
        status,
        if is_chunked {
            Framing::Chunked
        } else {
            Framing::Length(0)
        },
    ))
}

/// The bytes of a request with a token, and with a body if there is one.
pub(crate) fn request(method: &str, target: &str, token: &str, body: Option<&str>) -> Vec<u8> {
    let described = body.map_or_else(String::new, |body| {
        let length = body.len();
        format!("Content-Type: application/scim+json\r\nContent-Length: {length}\r\n")
    });
    let body = body.unwrap_or_default();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/scim+json\r\n\
         Authorization: Bearer {token}\r\nUser-Agent: load\r\n{described}\r\n{body}"
    )
    .into_bytes()
}
