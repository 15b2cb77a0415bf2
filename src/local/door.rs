//! The server's side of the local door.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tiny_http::{Header, Request, Response, Server, StatusCode};

use super::CLAIMED_NAME;
use crate::access::Administrator;
use crate::api::Api;
use crate::http1::answer::Stream;
use crate::http1::{Answer, Body, Fault, Head};
use crate::limits;

/// The open local door.
pub struct Door {
    path: PathBuf,
    server: Arc<Server>,
    closing: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Door {
    /// Opens the door at `path`. A socket that nobody answers at is a leftover and is
    /// removed; anything else in its place is an error.
    pub fn open(path: &Path, api: &Arc<Api>) -> io::Result<Self> {
        remove_leftover(path)?;
        // The data directory is 0700 and the process has umask 0077: the socket is never
        // open to others, not even between these two lines.
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        let server = Arc::new(server);
        let closing = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for _ in 0..limits::LOCAL_WORKERS {
            let (server, api, closing) =
                (Arc::clone(&server), Arc::clone(api), Arc::clone(&closing));
            let worker = thread::Builder::new()
                .name("local".to_owned())
                .spawn(move || work(&server, &api, &closing))?;
            workers.push(worker);
        }
        Ok(Self {
            path: path.to_owned(),
            server,
            closing,
            workers,
        })
    }

    /// Closes the door and removes the socket.
    pub fn close(self) {
        self.closing.store(true, Ordering::SeqCst);
        for _ in &self.workers {
            self.server.unblock();
        }
        for worker in self.workers {
            if worker.join().is_err() {
                log::error!("a worker of the local door had ended by a panic");
            }
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("{} cannot be removed: {error}", self.path.display());
        }
    }
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
            "there is something else in the place of the socket",
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

fn work(server: &Server, api: &Api, closing: &AtomicBool) {
    while !closing.load(Ordering::SeqCst) {
        match server.recv() {
            Ok(request) => {
                if catch_unwind(AssertUnwindSafe(|| serve(request, api))).is_err() {
                    log::error!("a request at the local door ended by a panic");
                }
            }
            // `unblock` shows itself as an error.
            Err(error) => {
                if !closing.load(Ordering::SeqCst) {
                    log::warn!("the local door: {error}");
                }
            }
        }
    }
}

fn serve(mut request: Request, api: &Api) {
    let answer = answer(&mut request, api);
    let headers = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Header::from_bytes(name.as_bytes(), value.as_bytes()).ok())
        .collect();
    let (reader, length): (Box<dyn Read + Send>, Option<usize>) = match answer.body {
        Body::Empty => (Box::new(io::empty()), Some(0)),
        Body::Bytes(bytes) => {
            let length = bytes.len();
            (Box::new(io::Cursor::new(bytes)), Some(length))
        }
        Body::Stream(pieces) => (Box::new(Pieces::new(pieces)), None),
    };
    let response = Response::new(StatusCode(answer.status), headers, reader, length, None)
        .with_chunked_threshold(usize::MAX);
    if let Err(error) = request.respond(response) {
        log::debug!("an answer at the local door was not taken: {error}");
    }
}

fn answer(request: &mut Request, api: &Api) -> Answer {
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
        .and_then(|name| std::str::from_utf8(name).ok())
        .unwrap_or("unknown")
        .to_owned();
    let admission =
        match api.admit_administrator(&head, &Administrator::at_the_local_door(&claimed)) {
            Ok(admission) => admission,
            Err(refusal) => return refusal.answer,
        };
    let mut body = Vec::new();
    let bound = u64::try_from(limits::BODY_BYTES_MAX).unwrap_or(u64::MAX);
    match request.as_reader().take(bound + 1).read_to_end(&mut body) {
        Ok(length) if length > limits::BODY_BYTES_MAX => {
            api.refuse(&Fault::new(413, "the body is larger than 1 MiB"), None)
        }
        Ok(_) => api.answer(admission, &body),
        Err(_) => api.refuse(&Fault::new(400, "the body broke off"), None),
    }
}

/// A streamed body as a reader. One that breaks off is an error, never an end.
struct Pieces {
    pieces: Stream,
    current: io::Cursor<Vec<u8>>,
}

impl Pieces {
    fn new(pieces: Stream) -> Self {
        Self {
            pieces,
            current: io::Cursor::new(Vec::new()),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            match self.pieces.next() {
                Some(Ok(piece)) => self.current = io::Cursor::new(piece),
                Some(Err(_)) => return Err(io::Error::other("the body broke off")),
                None => return Ok(0),
            }
        }
    }
}
