//! One connection over TLS, with as little work per request as possible: where there are only two
//! cores, the server loses what the generator takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

/// Longer than any answer that is worth waiting for takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// No workload asks for an answer with a longer head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Where requests go, and which authority to trust.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Target {
    /// `authority` holds certificates as PEM. Without `resumes` every handshake is a full one.
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
        // The handshake is done now, so that it is not part of the first request.
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Connection {
            stream: StreamOwned::new(tls, socket),
            buffer: vec![0; 64 * 1024],
            filled: 0,
            head: None,
        })
    }
}

/// A connection kept for many requests.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
    /// How much of `buffer` the answer received so far takes up.
    filled: usize,
    head: Option<Head>,
}

impl Connection {
    /// Sends a request as it is, and returns the answer's status. The answer is in
    /// [`Connection::answer`] until the next request.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.send(request)?;
        loop {
            if let Some(status) = self.receive()? {
                return Ok(status);
            }
        }
    }

    /// Sends a request as it is.
    pub(crate) fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        (self.filled, self.head) = (0, None);
        self.stream.write_all(request)?;
        self.stream.flush()
    }

    /// Reads what has come, or waits for more. Returns the status once the answer is complete.
    pub(crate) fn receive(&mut self) -> std::io::Result<Option<u16>> {
        let StreamOwned { conn, sock } = &mut self.stream;
        if conn.read_tls(sock)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        conn.process_new_packets().map_err(std::io::Error::other)?;
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(2 * self.filled, 0);
            }
            match conn.reader().read(&mut self.buffer[self.filled..]) {
                // The connection ended, but the answer may be complete.
                Ok(0) => {
                    let whole = self.whole()?.map(Some);
                    return whole.ok_or(std::io::ErrorKind::UnexpectedEof.into());
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.whole()
    }

    /// The status, if the whole answer is there.
    fn whole(&mut self) -> std::io::Result<Option<u16>> {
        let answer = &self.buffer[..self.filled];
        let head = match self.head {
            Some(head) => head,
            None => match Head::read(answer)? {
                Some(head) => *self.head.insert(head),
                None => return Ok(None),
            },
        };
        let is_whole = match head.framing {
            Framing::Length(length) => answer.len() >= head.bytes + length,
            Framing::Chunked => answer.ends_with(b"\r\n0\r\n\r\n"),
        };
        Ok(is_whole.then_some(head.status))
    }

    /// The bytes of the last answer, head and body.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.answer()[self.head.map_or(0, |head| head.bytes)..]
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }
}

/// What the head of an answer says.
#[derive(Clone, Copy)]
struct Head {
    status: u16,
    framing: Framing,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Head {
    /// `None` until the head is complete.
    fn read(answer: &[u8]) -> std::io::Result<Option<Self>> {
        let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
            let is_long = answer.len() > HEAD_BYTES_MAX;
            let error = || std::io::Error::other("the answer's head has no end");
            return if is_long { Err(error()) } else { Ok(None) };
        };
        let text = std::str::from_utf8(&answer[..end]).map_err(std::io::Error::other)?;
        let status = text.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other("no status"))?;
        let mut framing = Framing::Length(0);
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                let length = value.trim().parse().map_err(std::io::Error::other)?;
                framing = Framing::Length(length);
                break;
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
                break;
            }
        }
        let bytes = end + 4;
        Ok(Some(Self {
            status,
            framing,
            bytes,
        }))
    }
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
