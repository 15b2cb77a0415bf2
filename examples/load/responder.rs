//! The limit for read workloads: a TLS server with the same settings and the same certificate,
//! which sends the same bytes for every request and does nothing else. It is a process of its own,
//! so that its CPU time can be told from the generator's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use golinks_scim::https::server_config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A running responder, ended when dropped.
pub(crate) struct Responder {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Responder {
    /// Starts this program again as a responder that sends `answer`, head and body, on this many
    /// connections at a time.
    pub(crate) fn start(tls: &Path, folder: &Path, answer: &[u8], connections: usize) -> Self {
        let file = folder.join("answer");
        std::fs::write(&file, answer).expect("the answer is written");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--respond-with".as_ref(), file.as_os_str()])
            .args(["--tls".as_ref(), tls.as_os_str()])
            .args(["--connections", &connections.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = [0; 64];
        let stdout = child.stdout.as_mut().expect("it was piped");
        let read = stdout.read(&mut line).expect("it says where it listens");
        let text = std::str::from_utf8(&line[..read]).expect("text");
        let address = text.trim().parse().expect("an address");
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Runs as a responder, without end. As in the server, threads are there before connections are.
pub(crate) fn serve(answer: &Path, tls: &Path, connections: usize) {
    let answer = &std::fs::read(answer).expect("the answer");
    let chain = CertificateDer::pem_file_iter(tls.join("leaf.pem")).expect("the leaf");
    let chain = chain.collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(tls.join("leaf.key")).expect("its key");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a usable key");
    let config = &server_config(Arc::new(Fixed(Arc::new(CertifiedKey::new(chain, key)))));
    let listener = &TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("bound"));
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(move || {
                for socket in listener.incoming().flatten() {
                    // It ends when the client has gone, which may look like an error.
                    let _ = respond(socket, Arc::clone(config), answer);
                }
            });
        }
    });
}

/// Sends the answer to each request head; no request has a body.
fn respond(socket: TcpStream, config: Arc<ServerConfig>, answer: &[u8]) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(tls, socket);
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            stream.write_all(answer)?;
            stream.flush()?;
        }
    }
}
