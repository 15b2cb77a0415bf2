//! What becomes of a request that arrives just before its connection is told to end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::api::Options;
use crate::certificate::{Cell, Names, Source};
use crate::clock::{Clock, SystemClock};
use crate::directory::describe;
use crate::http1::client::{Response, ResponseError, read_response};
use crate::https::connections::Connections;
use crate::https::server_config;
use crate::store::Store;

/// A new server in `folder`, without a listener.
fn server(folder: &Path) -> Shared {
    let path = folder.join("users.redb");
    let store = Store::open(&path, Duration::ZERO, describe).expect("a store");
    let source = Source::DataDirectory {
        directory: folder.to_owned(),
        names: Names::new("machine", None),
        host: "localhost".to_owned(),
    };
    let cell = Cell::open(source, SystemClock.now()).expect("a leaf");
    Shared {
        api: Arc::new(Api::new(store, Options::without_server(folder)).expect("an API")),
        tls: server_config(cell),
        connections: Connections::new(1),
        closing: OnceLock::new(),
    }
}

/// Sends a request to a server whose authority is in `folder`, and reads the answer.
fn ask(folder: &Path, address: SocketAddr) -> Result<Response, ResponseError> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("a CA");
    roots.add(authority).expect("it is one");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut tls = StreamOwned::new(tls, TcpStream::connect(address).expect("connected"));
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tls.write_all(request).expect("taken");
    read_response(&mut tls, false, 1024)
}

/// Calls `end` once a request has arrived, and then lets the connection go on until its end.
/// Returns what the client got, and whether the server began to send an answer.
fn ended_after_arrival(end: impl FnOnce(&Slot)) -> (Result<Response, ResponseError>, bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = server(folder.path());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::scope(|scope| {
        let client = scope.spawn(|| ask(folder.path(), address));
        let (stream, peer) = listener.accept().expect("accepted");
        let slot = Slot::new(1, Arc::new(stream), peer.ip(), Monotonic::now());
        let until = Monotonic::now() + limits::HANDSHAKE_DURATION_MAX;
        let mut connection = Connection {
            shared: &shared,
            slot: &slot,
            socket: Deadline::new(Arc::clone(&slot.stream), until),
            tls: ServerConnection::new(Arc::clone(&shared.tls)).expect("TLS"),
            peer: peer.ip(),
            received: Vec::new(),
        };
        connection.handshake().expect("a handshake");
        assert!(connection.receive().expect("the request") > 0);
        end(&slot);
        assert!(connection.exchange() == Then::End);
        let got = client.join().expect("no panic");
        (got, slot.lock().is_writing())
    })
}

/// If the answer did not say so, a client would send its next request on a connection that ends.
#[test]
fn the_answer_says_that_the_connection_ends() {
    let (got, is_begun) = ended_after_arrival(Slot::end_after_answer);
    let got = got.expect("an answer");
    assert_eq!((got.status, got.header("connection")), (200, Some("close")));
    assert!(is_begun);
}

#[test]
fn nothing_is_begun_on_a_connection_that_was_cut_off() {
    let (got, is_begun) = ended_after_arrival(Slot::cut_off);
    assert!(got.is_err() && !is_begun, "{got:?}");
}
