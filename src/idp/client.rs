//! The HTTPS client that plays the tables: one connection at a time, kept for as long as it works,
//! with a deadline on everything. It trusts only the authorities that it is given. It follows no
//! redirects, since no provider does. It decodes the content codings that the tables offer, because
//! a proxy may use them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, WantsVerifier,
};

use super::Exchange;
use crate::certificate;
use crate::config;
use crate::http1::client::{Request, Response, ResponseError, read_response};
use crate::limits;

/// A client of one service provider.
pub struct Client {
    server: Server,
    tls: Arc<ClientConfig>,
    kept: Option<Connection>,
    patience: Duration,
}

impl Client {
    /// A client for the service provider at `base_url`, such as
    /// `https://scim.example.com:8443/scim/v2`, that trusts the certificates in `authority_pem`. It
    /// does not connect yet.
    pub fn new(base_url: &str, authority_pem: &[u8]) -> Result<Self, Error> {
        Self::trusting(base_url, roots(authority_pem)?)
    }

    /// A client that trusts the public authorities of Mozilla's list, as an identity provider's
    /// cloud does.
    pub fn of_a_cloud(base_url: &str) -> Result<Self, Error> {
        Self::trusting(base_url, certificate::public_roots())
    }

    fn trusting(base_url: &str, roots: RootCertStore) -> Result<Self, Error> {
        let config = tls_config().with_root_certificates(roots);
        Self::with(base_url, config.with_no_client_auth())
    }

    /// A client that lets `verifier` decide which certificates to trust.
    pub(super) fn verifying(
        base_url: &str,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<Self, Error> {
        let config = tls_config()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Self::with(base_url, config.with_no_client_auth())
    }

    fn with(base_url: &str, mut tls: ClientConfig) -> Result<Self, Error> {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server: Server::at(base_url)?,
            tls: Arc::new(tls),
            kept: None,
            patience: limits::CLIENT_EXCHANGE_DURATION_MAX,
        })
    }

    /// Sets how long to wait for an answer, instead of [`limits::CLIENT_EXCHANGE_DURATION_MAX`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Connects, and returns the certificates that the peer presents, in DER, its own first.
    pub fn peer_certificates(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let connection = self.connect()?;
        let shown = connection.tls.peer_certificates().unwrap_or_default();
        let shown = shown.iter().map(|one| one.to_vec()).collect();
        self.kept = Some(connection);
        Ok(shown)
    }

    /// Sends a request whose target is relative to the base URL, and adds `Host`.
    ///
    /// A kept connection that the peer has closed is replaced before use. If it breaks during an
    /// idempotent request, that request is sent once more (RFC 9110 section 9.2.2).
    pub fn send(&mut self, request: &Request<'_>) -> Result<(Response, Duration), Error> {
        let bytes = self.server.request(request);
        let is_head = request.method == "HEAD";
        if let Some(kept) = self.kept.take().filter(Connection::is_usable) {
            match self.exchange_on(kept, &bytes, is_head) {
                Err(Error::Answer(ResponseError::Closed)) if is_idempotent(request.method) => {}
                outcome => return outcome,
            }
        }
        let fresh = self.connect()?;
        self.exchange_on(fresh, &bytes, is_head)
    }

    /// Drops the connection, so that the next request opens a new one.
    pub fn disconnect(&mut self) {
        self.kept = None;
    }

    fn connect(&self) -> Result<Connection, Error> {
        let deadline = Monotonic::now() + limits::CLIENT_CONNECT_DURATION_MAX;
        let socket = self.server.connect(deadline).map_err(Error::Connect)?;
        Connection::handshake(socket, deadline, &self.tls, &self.server.name)
    }

    fn exchange_on(
        &mut self,
        mut connection: Connection,
        bytes: &[u8],
        is_head: bool,
    ) -> Result<(Response, Duration), Error> {
        let begun = Monotonic::now();
        let deadline = begun + self.patience;
        connection.socket.deadline = deadline;
        // A server may refuse early and stop reading, but its answer can still be read; if there is
        // none, reading gives the reason.
        connection.send(bytes).ok();
        let outcome = read_response(&mut connection, is_head, limits::CLIENT_ANSWER_BYTES_MAX);
        let response = outcome.map_err(|error| match error {
            ResponseError::Io(_) if Monotonic::now() >= deadline => Error::TimedOut(self.patience),
            error => Error::Answer(error),
        })?;
        if !response.closes_connection() {
            self.kept = Some(connection);
        }
        Ok((response, begun.elapsed()))
    }
}

impl Exchange for Client {
    fn exchange(&mut self, request: &Request<'_>) -> Result<(Response, Duration), Error> {
        let (response, took) = self.send(request)?;
        let mut offers = request.headers.iter();
        let offer = offers.find(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        let offered = offer.map_or("", |(_, codings)| codings);
        match decoded(response, offered) {
            Ok(response) => Ok((response, took)),
            Err(error) => Err(Error::Answer(ResponseError::Io(error))),
        }
    }
}

/// Why there is no answer, classified by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base URL is not valid; the text says why.
    #[error("{0}")]
    BaseUrl(String),
    /// The file of authorities contains no usable certificate.
    #[error("no usable certificate among the trusted ones")]
    Authority,
    /// No address of the host accepted a connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The TLS handshake failed, most often because the certificate is not trusted.
    #[error("no TLS connection: {}", words_of(.0))]
    Handshake(io::Error),
    /// No answer came within this time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The answer did not come or cannot be read.
    #[error("{0}")]
    Answer(ResponseError),
    /// The request was not sent: see [`super::guard`].
    #[error("nothing was sent: it is not a user made for this")]
    Withheld,
}

impl Error {
    /// Whether the only known fault of the certificate is that no trusted authority issued it.
    pub fn is_of_unknown_authority(&self) -> bool {
        let Self::Handshake(error) = self else {
            return false;
        };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        inner == Some(&unknown)
    }
}

/// Why the TLS handshake failed, in words.
fn words_of(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or_else(|| error.to_string(), certificate::words_of)
}

fn roots(authority_pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let authority_pem = certificate::without_mark(authority_pem);
    for certificate in CertificateDer::pem_slice_iter(authority_pem) {
        let certificate = certificate.map_err(|_| Error::Authority)?;
        roots.add(certificate).map_err(|_| Error::Authority)?;
    }
    if roots.is_empty() {
        return Err(Error::Authority);
    }
    Ok(roots)
}

fn tls_config() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("the provider has suites for TLS 1.2 and 1.3")
}

/// The server that a base URL names.
#[derive(Debug)]
struct Server {
    /// Host and port as written, for the `Host` field.
    authority: String,
    /// The name that the certificate must be valid for.
    name: ServerName<'static>,
    host: String,
    port: u16,
    /// The prefix of each target: empty, or with a slash at its beginning and none at its end.
    path: String,
}

impl Server {
    fn at(base_url: &str) -> Result<Self, Error> {
        let parts = config::Parts::of(base_url).map_err(Error::BaseUrl)?;
        let name = ServerName::try_from(parts.host.to_owned()).map_err(|_| {
            Error::BaseUrl("no certificate can be for the base URL's host".to_owned())
        })?;
        Ok(Self {
            authority: parts.authority.to_owned(),
            name,
            host: parts.host.to_owned(),
            port: parts.port,
            path: parts.path.to_owned(),
        })
    }

    fn request(&self, request: &Request<'_>) -> Vec<u8> {
        let target = format!("{}{}", self.path, request.target);
        let mut headers = vec![("Host", self.authority.as_str())];
        headers.extend_from_slice(request.headers);
        let whole = Request {
            target: &target,
            headers: &headers,
            ..*request
        };
        let mut bytes = Vec::new();
        whole.write(&mut bytes);
        bytes
    }

    fn connect(&self, deadline: Monotonic) -> io::Result<TcpStream> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        for (tried, address) in addresses.iter().enumerate() {
            // Each address gets an equal share of the time left, so that one that does not answer
            // leaves time for the others.
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            match connect(address, time_left(deadline)? / left) {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

fn connect(address: &SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(address, patience)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// A TLS connection whose answers can still be read after a write has failed.
struct Connection {
    tls: ClientConnection,
    socket: DeadlineSocket,
}

impl Connection {
    /// Well under the 64 KiB that the TLS session buffers, so that each piece fits.
    const PIECE_BYTES: usize = 16 * 1024;

    fn handshake(
        socket: TcpStream,
        deadline: Monotonic,
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
    ) -> Result<Self, Error> {
        let refused = |error: rustls::Error| Error::Handshake(io::Error::other(error));
        let mut tls = ClientConnection::new(Arc::clone(config), name.clone()).map_err(refused)?;
        let mut socket = DeadlineSocket { socket, deadline };
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(|error| {
                if Monotonic::now() >= deadline {
                    Error::TimedOut(limits::CLIENT_CONNECT_DURATION_MAX)
                } else {
                    Error::Handshake(error)
                }
            })?;
        }
        Ok(Self { tls, socket })
    }

    /// Between two requests a server sends nothing: bytes or an end of the stream mean that it is
    /// closing.
    fn is_usable(&self) -> bool {
        let socket = &self.socket.socket;
        let silent = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        socket.set_nonblocking(true).is_ok()
            && socket.peek(&mut [0]).is_err_and(silent)
            && socket.set_nonblocking(false).is_ok()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(Self::PIECE_BYTES) {
            self.tls.writer().write_all(piece)?;
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.socket)?;
            }
        }
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(out) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            self.tls.read_tls(&mut self.socket)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

/// A socket whose calls all share one absolute deadline.
struct DeadlineSocket {
    socket: TcpStream,
    deadline: Monotonic,
}

impl Read for DeadlineSocket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = time_left(self.deadline)?;
        self.socket.set_read_timeout(Some(left))?;
        self.socket.read(out)
    }
}

impl Write for DeadlineSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let left = time_left(self.deadline)?;
            self.socket.set_write_timeout(Some(left))?;
            match self.socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The time left, which is never zero: a socket takes a time-out of zero for none.
fn time_left(deadline: Monotonic) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Monotonic::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// RFC 9110 section 9.2.2, for the methods that a provisioning client sends.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
}

/// Decodes the content of an answer (RFC 9110 section 8.4.1), if its coding is one of those
/// `offered`: the provider could not read any other coding either.
fn decoded(mut response: Response, offered: &str) -> io::Result<Response> {
    let most = u64::try_from(limits::CLIENT_ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    let coding = response.header("content-encoding").unwrap_or_default();
    let coding = coding.trim().to_ascii_lowercase();
    if !offered.split(',').any(|one| one.trim() == coding) {
        return Ok(response);
    }
    let mut body = Vec::new();
    match &*coding {
        // The answer to HEAD has no content, even if it names a coding.
        _ if response.body.is_empty() => return Ok(response),
        "gzip" => MultiGzDecoder::new(&response.body[..])
            .take(most)
            .read_to_end(&mut body)?,
        "deflate" => ZlibDecoder::new(&response.body[..])
            .take(most)
            .read_to_end(&mut body)?,
        _ => return Ok(response),
    };
    response.body = body;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_base_url_is_said() {
        for (url, expected) in [
            ("http://a.b", "the base URL must begin with https://"),
            ("https://a:b", "the port in the base URL is not a number"),
            (
                "https://a..b",
                "a..b in the base URL is neither a name nor a whole address",
            ),
        ] {
            let error = Server::at(url).expect_err(url).to_string();
            assert!(error.starts_with(expected), "{url}: {error}");
        }
    }

    #[test]
    fn what_a_proxy_has_compressed_is_read() {
        use flate2::Compression;
        use flate2::read::{GzEncoder, ZlibEncoder};

        let text = b"{\"schemas\":[]}".repeat(100);
        let packed = |mut coder: Box<dyn Read + '_>| {
            let mut packed = Vec::new();
            coder.read_to_end(&mut packed).expect("packed");
            packed
        };
        let gzip = packed(Box::new(GzEncoder::new(&text[..], Compression::fast())));
        let deflate = packed(Box::new(ZlibEncoder::new(&text[..], Compression::fast())));
        for (coding, body) in [("GZIP", gzip), ("deflate", deflate), ("br", text.clone())] {
            let response = |body: Vec<u8>| Response {
                status: 200,
                headers: vec![("Content-Encoding".to_owned(), coding.to_owned())],
                body,
            };
            let offered = "gzip, deflate";
            let unasked = decoded(response(body.clone()), "br").expect(coding);
            assert_eq!(unasked.body, body, "{coding} was not offered");
            let whole = decoded(response(body), offered).expect(coding);
            assert_eq!(whole.body, text, "{coding}");
            let empty = decoded(response(Vec::new()), offered).expect(coding);
            assert_eq!(empty.body, b"");
        }
    }

    #[test]
    fn the_path_of_the_base_url_comes_before_the_target() {
        let server = Server::at("https://[::1]:8443/scim/v2/").expect("a good URL");
        let bytes = server.request(&Request {
            method: "GET",
            target: "/Users?count=1",
            headers: &[("Accept", "x")],
            body: None,
        });
        let expected =
            "GET /scim/v2/Users?count=1 HTTP/1.1\r\nHost: [::1]:8443\r\nAccept: x\r\n\r\n";
        assert_eq!(String::from_utf8(bytes).expect("ASCII"), expected);
    }

    #[test]
    fn nothing_is_trusted_without_an_authority() {
        let outcome = Client::new("https://a.b", b"no certificate");
        assert!(matches!(outcome, Err(Error::Authority)));
    }
}
