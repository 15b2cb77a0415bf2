//! The program's own HTTPS client against the real binary: it keeps a connection while it lasts,
//! replaces it when it is gone, and trusts only the authority that it was given.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use golinks_scim::http1::client::Request;
use golinks_scim::idp::client::{Client, Error};
use golinks_scim::secret::Secret;

use crate::support::Server;

/// A relay between client and server that counts connections and cuts them on demand.
struct Relay {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let streams = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&streams);
        thread::spawn(move || {
            for inner in listener.incoming().map_while(Result::ok) {
                let outer = TcpStream::connect(server).expect("the server listens");
                let shared = inner.try_clone().expect("a descriptor is free");
                held.lock().expect("no holder panics").push(shared);
                pump(&inner, &outer);
                pump(&outer, &inner);
            }
        });
        Self { address, streams }
    }

    fn connections(&self) -> usize {
        self.streams.lock().expect("no holder panics").len()
    }

    fn cut(&self) {
        for stream in self.streams.lock().expect("no holder panics").iter() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn pump(from: &TcpStream, to: &TcpStream) {
    let mut from = from.try_clone().expect("a descriptor is free");
    let mut to = to.try_clone().expect("a descriptor is free");
    thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
}

fn authority(server: &Server) -> Vec<u8> {
    let path = server.data_dir().join("tls/ca.pem");
    std::fs::read(path).expect("a running server has its authority's certificate")
}

fn ask(client: &mut Client, token: &Secret, body: Option<&[u8]>) -> Result<u16, Error> {
    let authorization = format!("Bearer {}", token.reveal());
    let request = Request {
        method: if body.is_some() { "POST" } else { "GET" },
        target: "/Users",
        headers: &[
            ("Authorization", &authorization),
            ("Content-Type", "application/scim+json"),
        ],
        body,
    };
    client.send(&request).map(|(response, _)| response.status)
}

#[test]
fn a_connection_is_kept_and_replaced_when_it_is_gone() {
    let server = Server::start();
    let relay = Relay::to(server.address());
    let url = format!("https://{}/scim/v2", relay.address);
    let mut client = Client::new(&url, &authority(&server)).expect("all is well");
    let token = server.token("okta");
    for _ in 0..3 {
        assert_eq!(ask(&mut client, &token, None).ok(), Some(200));
    }
    assert_eq!(relay.connections(), 1);
    relay.cut();
    // A create is never sent twice, so the client must notice a dead connection before it uses it.
    assert_eq!(ask(&mut client, &token, Some(b"{}")).ok(), Some(400));
    assert_eq!(relay.connections(), 2);
    server.stop();
}

#[test]
fn another_authority_is_not_trusted() {
    let (server, other) = (Server::start(), Server::start());
    let url = format!("https://{}/scim/v2", server.address());
    let mut client = Client::new(&url, &authority(&other)).expect("all is well");
    let outcome = ask(&mut client, &server.token("okta"), None);
    assert!(matches!(outcome, Err(Error::Handshake(_))), "{outcome:?}");
    server.stop();
}
