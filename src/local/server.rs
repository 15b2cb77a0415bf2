//! The server's side of the local socket: workers answer requests from the socket, and a keeper
//! thread reopens the socket if it stops accepting.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read, Write};
use std::mem;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tiny_http::{Method, Request};

use super::CLAIMED_NAME;
use super::conversation::Conversation;
use crate::access::Administrator;
use crate::api::Api;
use crate::clock::Instant;
use crate::http1::answer::{CHUNK_END, LAST_CHUNK, chunk_head, write_head};
use crate::http1::target::decode;
use crate::http1::{Answer, BODY_TOO_LARGE, Body, Fault, Head, Version};
use crate::limits;
use crate::locks::ignore_poison;

/// The server at the local socket.
pub struct Server {
    socket: Arc<Socket>,
    workers: Vec<JoinHandle<()>>,
    /// Disconnected once the last worker has ended.
    ended: Receiver<()>,
    keeper: JoinHandle<()>,
    /// Dropping it ends the keeper.
    keeping: Sender<()>,
}

/// State shared by the threads of the server.
struct Socket {
    path: PathBuf,
    servers: Mutex<Servers>,
    closing: AtomicBool,
}

/// Dropping a server removes the file at its path, so the newest server is the first field.
#[derive(Clone)]
struct Servers {
    /// The server that listens at the path.
    newest: Arc<tiny_http::Server>,
    /// The servers that accept no more connections, the newest last. Their open conversations go
    /// on.
    ended: Vec<Arc<tiny_http::Server>>,
}

impl Server {
    /// Opens the socket at `path`. A socket where nobody answers is a leftover and is removed;
    /// anything else at the path is an error.
    pub fn open(path: &Path, api: &Arc<Api>) -> io::Result<Self> {
        let socket = Arc::new(Socket {
            path: path.to_owned(),
            servers: Mutex::new(Servers {
                newest: listen(path)?,
                ended: Vec::new(),
            }),
            closing: AtomicBool::new(false),
        });
        let (ending, ended) = channel();
        let mut workers = Vec::new();
        for _ in 0..limits::LOCAL_WORKERS {
            let (socket, api, ending) = (Arc::clone(&socket), Arc::clone(api), ending.clone());
            let work = move || {
                let _ending = ending;
                work(&socket, &api);
            };
            let worker = thread::Builder::new().name("local".to_owned());
            workers.push(worker.spawn(work)?);
        }
        let (keeping, kept) = channel();
        let kept_open = Arc::clone(&socket);
        let keeper = thread::Builder::new()
            .name("local-keeper".to_owned())
            .spawn(move || kept_open.keep_open(&kept))?;
        Ok(Self {
            socket,
            workers,
            ended,
            keeper,
            keeping,
        })
    }

    /// Returns a function that tells whether new connections are accepted. The system may refuse
    /// them for lack of descriptors or threads.
    pub fn probe(&self) -> impl Fn() -> bool + use<> {
        let path = self.socket.path.clone();
        move || is_accepting(&path)
    }

    /// Closes the server and removes the socket. A client that does not take its answer within
    /// `patience` is cut off when the process ends.
    pub fn close(self, patience: Duration) {
        drop(self.keeping);
        if self.keeper.join().is_err() {
            log::error!("the thread that keeps the local socket open had panicked");
        }
        self.socket.closing.store(true, Ordering::SeqCst);
        wake_workers(&self.socket.servers().newest);
        if self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            log::warn!("a request at the local socket was not finished in time");
            let _ = fs::remove_file(&self.socket.path);
            return;
        }
        for worker in self.workers {
            if worker.join().is_err() {
                log::error!("a worker of the local socket had panicked");
            }
        }
        // This is the last owner. When dropped, the newest server wakes its accepting thread by
        // connecting to the socket, which must therefore still exist, and then removes the socket.
        drop(self.socket);
    }
}

impl Socket {
    fn servers(&self) -> Servers {
        ignore_poison(self.servers.lock()).clone()
    }

    /// The next request to any of the servers; `None` if none comes for a while.
    fn next_request(&self) -> io::Result<Option<Request>> {
        let servers = self.servers();
        for ended in &servers.ended {
            if let Some(request) = ended.try_recv()? {
                return Ok(Some(request));
            }
        }
        let wait = if servers.ended.is_empty() {
            limits::LOCAL_LOOK_INTERVAL
        } else {
            limits::LOCAL_ENDED_PAUSE
        };
        servers.newest.recv_timeout(wait)
    }

    /// Reopens the socket whenever it stops accepting, until `kept` is disconnected. A single
    /// connection without a free descriptor or thread stops `tiny_http` for good, and the socket
    /// may also have been removed.
    fn keep_open(&self, kept: &Receiver<()>) {
        let mut is_told = false;
        while kept.recv_timeout(limits::LOCAL_LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if is_accepting(&self.path) {
                continue;
            }
            if !is_told {
                log::error!(
                    "the local socket accepts no connections: it will be reopened as soon as \
                     possible"
                );
                is_told = true;
            }
            // `tiny_http` panics if it cannot start a thread.
            match catch_unwind(AssertUnwindSafe(|| self.open_again())) {
                Ok(Ok(())) => {
                    log::info!("the local socket is open again");
                    is_told = false;
                }
                Ok(Err(error)) => log::debug!("the local socket stays closed: {error}"),
                Err(_) => log::debug!("the local socket stays closed: there are no threads"),
            }
        }
    }

    fn open_again(&self) -> io::Result<()> {
        let mut servers = ignore_poison(self.servers.lock());
        let newest = listen(&self.path)?;
        while servers.ended.len() >= limits::LOCAL_ENDED_MAX {
            // If this server were dropped, it would remove the newest one's socket once no worker
            // holds the old server any more. If its own socket was removed, its thread waits there
            // forever, with a descriptor. Ending that thread would need a duplicate of the
            // descriptor, which would keep the socket open after the thread has died.
            mem::forget(servers.ended.remove(0));
        }
        let ended = mem::replace(&mut servers.newest, newest);
        wake_workers(&ended);
        servers.ended.push(ended);
        Ok(())
    }
}

/// Wakes all workers that wait at this server, so that they find the newest one.
fn wake_workers(server: &tiny_http::Server) {
    for _ in 0..limits::LOCAL_WORKERS {
        server.unblock();
    }
}

fn is_accepting(path: &Path) -> bool {
    match Conversation::begin(path, limits::LOCAL_PROBE_WAIT_MAX) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        ),
    }
}

fn listen(path: &Path) -> io::Result<Arc<tiny_http::Server>> {
    remove_leftover(path)?;
    // The data directory is 0700 and the process has umask 0077, so the socket is never open to
    // others, not even between these two lines.
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
    Ok(Arc::new(server))
}

fn remove_leftover(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is not a socket is in its place",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another server answers at the socket",
        )),
        Err(_) => fs::remove_file(path),
    }
}

fn work(socket: &Socket, api: &Api) {
    while !socket.closing.load(Ordering::SeqCst) {
        match socket.next_request() {
            Ok(None) => {}
            Ok(Some(request)) => {
                if catch_unwind(AssertUnwindSafe(|| serve(request, api))).is_err() {
                    log::error!("a request at the local socket panicked");
                }
            }
            // The server stopped accepting. The keeper opens a new one.
            Err(error) => log::debug!("a worker of the local socket continues: {error}"),
        }
    }
}

fn serve(mut request: Request, api: &Api) {
    let answer = answer(&mut request, api);
    let is_head = *request.method() == Method::Head;
    let now = api.now();
    if let Err(error) = send(&mut request.into_writer(), answer, is_head, now) {
        log::debug!("an answer at the local socket was not read: {error}");
    }
}

fn answer(request: &mut Request, api: &Api) -> Answer {
    if *request.http_version() != (1, 1) {
        // Without chunks, a client could not tell a partial list from a complete one.
        return api.refuse(
            &Fault::new(505, "only HTTP/1.1 is spoken at the local socket"),
            None,
        );
    }
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|header| (header.field.to_string(), header.value.to_string()))
        .collect();
    let head = match Head::new(request.method().as_str(), request.url(), &headers) {
        Ok(head) => head,
        Err(fault) => return api.refuse(&fault, None),
    };
    let claimed = head
        .header(CLAIMED_NAME)
        .and_then(|name| decode(std::str::from_utf8(name).ok()?, false).ok());
    let claimed = claimed.map_or_else(String::new, Cow::into_owned);
    let admission =
        match api.admit_administrator(&head, &Administrator::from_local_socket(&claimed)) {
            Ok(admission) => admission,
            Err(refusal) => return refusal.answer,
        };
    let mut body = Vec::new();
    let bound = u64::try_from(limits::BODY_BYTES_MAX).unwrap_or(u64::MAX);
    match request.as_reader().take(bound + 1).read_to_end(&mut body) {
        Ok(length) if length > limits::BODY_BYTES_MAX => {
            api.refuse_body(&admission, &BODY_TOO_LARGE)
        }
        Ok(_) => api.answer(admission, Some(&body)),
        Err(_) => api.refuse_body(&admission, &Fault::new(400, "the body broke off")),
    }
}

/// Writes an answer. If a body breaks off, `tiny_http` would end it as if it were complete. This
/// function ends it with bytes that are not a valid chunk, so that no client takes a part for the
/// whole.
fn send(out: &mut impl Write, answer: Answer, is_head: bool, now: Instant) -> io::Result<()> {
    const NO_CHUNK: &[u8] = b"!\r\n";
    let date = now.imf_fixdate();
    let mut head = Vec::new();
    write_head(&answer, Version::Http11, false, &date, &mut head);
    out.write_all(&head)?;
    match answer.body {
        _ if is_head => {}
        Body::Empty => {}
        Body::Bytes(bytes) => out.write_all(&bytes)?,
        Body::Stream(pieces) => {
            for piece in pieces {
                let Ok(piece) = piece else {
                    out.write_all(NO_CHUNK)?;
                    out.flush()?;
                    return Err(io::Error::other("the body broke off"));
                };
                if let Some(chunk_head) = chunk_head(&piece) {
                    out.write_all(chunk_head.as_bytes())?;
                    out.write_all(&piece)?;
                    out.write_all(CHUNK_END)?;
                }
            }
            out.write_all(LAST_CHUNK)?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Options;
    use crate::http1::answer::Broken;
    use crate::http1::client::read_response;
    use crate::store::Store;

    fn sent(body: Body, is_head: bool) -> (Vec<u8>, bool) {
        let answer = Answer {
            status: 200,
            headers: Vec::new(),
            body,
        };
        let mut bytes = Vec::new();
        let whole = send(&mut bytes, answer, is_head, Instant::from_millis(0)).is_ok();
        (bytes, whole)
    }

    fn stream(pieces: Vec<Result<Vec<u8>, Broken>>) -> Body {
        Body::Stream(Box::new(pieces.into_iter()))
    }

    #[test]
    fn what_is_sent_is_what_a_client_reads() {
        let read = |bytes: &[u8], is_head| read_response(&mut &*bytes, is_head, 100);
        for body in [
            Body::Bytes(b"abcd".to_vec()),
            stream(vec![Ok(b"ab".to_vec()), Ok(Vec::new()), Ok(b"cd".to_vec())]),
        ] {
            let (bytes, whole) = sent(body, false);
            assert!(whole);
            assert_eq!(read(&bytes, false).expect("an answer").body, b"abcd");
        }
        let (bytes, _) = sent(Body::Bytes(b"abcd".to_vec()), true);
        assert_eq!(read(&bytes, true).expect("an answer").body, b"");
        let (bytes, whole) = sent(stream(vec![Ok(b"ab".to_vec()), Err(Broken)]), false);
        assert!(!whole);
        assert!(
            read(&bytes, false).is_err(),
            "the part was taken for the whole"
        );
    }

    fn api(directory: &Path) -> Arc<Api> {
        let store = Store::open(
            &directory.join("users.redb"),
            Duration::ZERO,
            crate::directory::describe,
        )
        .expect("a store");
        Arc::new(Api::new(store, Options::without_server(directory)).expect("an API"))
    }

    #[test]
    fn the_socket_is_private_while_open_and_gone_when_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let api = api(folder.path());
        // A leftover of a killed server.
        drop(UnixListener::bind(&path).expect("bound"));
        let server = Server::open(&path, &api).expect("opened");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Server::open(&path, &api).map(|_| ()).map_err(|e| e.kind());
        assert_eq!(second, Err(io::ErrorKind::AddrInUse));
        let mut client = UnixStream::connect(&path).expect("connected");
        client
            .write_all(b"GET /admin/tokens HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sent");
        let answer = read_response(&mut client, false, 1000).expect("an answer");
        assert_eq!(answer.body, br#"{"tokens":[]}"#);
        let is_accepting = server.probe();
        assert!(is_accepting());
        server.close(Duration::from_secs(60));
        assert!(!path.exists() && !is_accepting());
        fs::write(&path, "precious").expect("written");
        assert!(Server::open(&path, &api).is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn who_does_not_go_on_keeps_nobody_from_closing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let server = Server::open(&path, &api(folder.path())).expect("opened");
        let mut client = UnixStream::connect(&path).expect("connected");
        let head = b"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                     Content-Length: 9\r\n\r\n";
        client.write_all(head).expect("sent");
        // The server is now waiting for the body.
        let mut byte = [0];
        client.read_exact(&mut byte).expect("to go on");
        server.close(Duration::from_millis(100));
        assert!(!path.exists());
    }

    #[test]
    fn a_body_beyond_the_bound_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let server = Server::open(&path, &api(folder.path())).expect("opened");
        let mut client = UnixStream::connect(&path).expect("connected");
        let length = limits::BODY_BYTES_MAX + 1;
        let head =
            format!("POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).expect("sent");
        client.write_all(&vec![b' '; length]).expect("sent");
        let answer = read_response(&mut client, false, 1000).expect("an answer");
        assert_eq!(answer.status, 413);
        // The request is counted under the route that admitted it.
        let mut client = UnixStream::connect(&path).expect("connected");
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sent");
        let metrics = read_response(&mut client, false, 1_000_000).expect("an answer");
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let counted = "{route=\"/scim/v2/Users\",method=\"POST\",status=\"413\"} 1";
        assert!(metrics.contains(counted), "{metrics}");
        server.close(Duration::from_secs(60));
    }
}
