//! A stand-in for a proxy in front of the server, or for another server in its place. It speaks TLS
//! with a given certificate and answers as the test decides.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use golinks_scim::http1::client::Request;
use golinks_scim::idp::client::Client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The answer to the head and the content of a request; `None` ends the connection.
type Answers = dyn Fn(&str, &[u8]) -> Option<String> + Send + Sync;

/// A TLS server that listens until it is dropped.
pub(crate) struct Front {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts to listen, with a certificate chain and its key in PEM.
    pub(crate) fn start(
        certificate: &(String, String),
        answers: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::reading(certificate, move |head, _| answers(head))
    }

    fn reading(
        (chain, key): &(String, String),
        answers: impl Fn(&str, &[u8]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("suites")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a key that fits");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let is_over = Arc::new(AtomicBool::new(false));
        let (config, answers): (_, Arc<Answers>) = (Arc::new(config), Arc::new(answers));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (config, answers) = (Arc::clone(&config), Arc::clone(&answers));
                // An error, such as a client that disconnects, ends only its own connection.
                std::thread::spawn(move || respond(socket, config, &*answers).ok());
            }
        });
        Self {
            address,
            is_over,
            thread: Some(thread),
        }
    }

    /// [`Self::start`] with the certificate of the server that uses this data directory.
    pub(crate) fn as_server_of(
        data_dir: &Path,
        answers: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::start(&certificate_of(data_dir), answers)
    }

    /// [`Self::as_server_of`], but requests that `answers` does not answer go to the server at
    /// `url`.
    pub(crate) fn before(
        data_dir: &Path,
        url: &str,
        answers: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::changing(data_dir, url, answers, str::to_owned)
    }

    /// [`Self::before`], but changes the target of each request that it passes on.
    pub(crate) fn changing(
        data_dir: &Path,
        url: &str,
        answers: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        changed: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let url = url.to_owned();
        let authority = std::fs::read(data_dir.join("tls/ca.pem")).expect("there");
        Self::reading(&certificate_of(data_dir), move |head, content| {
            let relay = || relayed(&url, &authority, head, content, &changed);
            answers(head).or_else(|| Some(relay()))
        })
    }

    /// Passes every request on to the server at `url`, and changes each answer.
    pub(crate) fn answering(
        data_dir: &Path,
        url: &str,
        changed: impl Fn(String) -> String + Send + Sync + 'static,
    ) -> Self {
        let url = url.to_owned();
        let authority = std::fs::read(data_dir.join("tls/ca.pem")).expect("there");
        Self::reading(&certificate_of(data_dir), move |head, content| {
            let answer = relayed(&url, &authority, head, content, &str::to_owned);
            Some(changed(answer))
        })
    }

    /// Passes every request on, using a certificate chain and key of its own, as a proxy does.
    pub(crate) fn proxy(pair: &(String, String), data_dir: &Path, url: &str) -> Self {
        let url = url.to_owned();
        let authority = std::fs::read(data_dir.join("tls/ca.pem")).expect("there");
        Self::reading(pair, move |head, content| {
            Some(relayed(&url, &authority, head, content, &str::to_owned))
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread, so that it looks at `is_over`.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Starts a relay to a port of this machine, which runs until the test process ends. Returns its
/// base URL and a counter of its connections.
pub(crate) fn counted(port: &str) -> (String, Arc<AtomicUsize>) {
    let server = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            counting.fetch_add(1, Ordering::Relaxed);
            let Ok(far) = TcpStream::connect(&server) else {
                continue;
            };
            for (from, to) in [(&near, &far), (&far, &near)] {
                let mut from = from.try_clone().expect("a descriptor");
                let mut to = to.try_clone().expect("a descriptor");
                std::thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).ok();
                    to.shutdown(Shutdown::Write).ok();
                });
            }
        }
    });
    (format!("https://localhost:{}", address.port()), count)
}

/// The leaf's certificate chain and key in a data directory.
fn certificate_of(data_dir: &Path) -> (String, String) {
    let read = |name| std::fs::read_to_string(data_dir.join("tls").join(name)).expect("there");
    (read("leaf.pem"), read("leaf.key"))
}

/// Passes a request on, and returns the server's answer with `Connection: close`.
fn relayed(
    url: &str,
    authority: &[u8],
    head: &str,
    content: &[u8],
    changed: &dyn Fn(&str) -> String,
) -> String {
    let mut words = head.split(' ');
    let mut word = || words.next().expect("a request line");
    let (method, target) = (word(), changed(word()));
    let fields = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let fields: Vec<(&str, &str)> = fields
        .filter(|(name, _)| KEPT.contains(&&*name.to_lowercase()))
        .collect();
    let mut client = Client::new(url, authority).expect("a client");
    let request = Request {
        method,
        target: &target,
        headers: &fields,
        body: (!content.is_empty()).then_some(content),
    };
    let (answer, _) = client.send(&request).expect("the server answers");
    let fields = answer.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {value}\r\n"));
    let fields: Vec<String> = fields.collect();
    let body = String::from_utf8_lossy(&answer.body);
    format!(
        "HTTP/1.1 {} -\r\nConnection: close\r\n{}\r\n{body}",
        answer.status,
        fields.concat()
    )
}

/// The header fields of a request that are passed on.
const KEPT: [&str; 3] = ["authorization", "accept", "content-type"];

fn respond(socket: TcpStream, config: Arc<ServerConfig>, answers: &Answers) -> std::io::Result<()> {
    let tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(tls, socket);
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let mut whole = None;
    while whole.is_none_or(|(_, end)| request.len() < end) {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
        whole = ends(&request);
    }
    let (head, content) = request.split_at(whole.map_or(0, |(head, _)| head));
    if let Some(answer) = answers(&String::from_utf8_lossy(head), content) {
        stream.write_all(answer.as_bytes())?;
    }
    stream.conn.send_close_notify();
    stream.flush()
}

/// The offsets at which the head and the whole request end; `None` while the head is incomplete.
fn ends(request: &[u8]) -> Option<(usize, usize)> {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
    Some((head, head + length))
}
