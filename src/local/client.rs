//! The command line's side of the local door. With a server running it asks through the
//! socket; without one it opens the store itself and asks the same router, so that every
//! command does the same thing either way.

use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::CLAIMED_NAME;
use crate::access::Administrator;
use crate::api::{Api, Options, Tuning};
use crate::clock::SystemClock;
use crate::config;
use crate::directory;
use crate::http1::client::{Request, Response, read_response};
use crate::http1::{Answer, Body, Head};
use crate::limits;
use crate::store::{OpenError, Store};

/// Longer than anything that a server does for one request.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a command could not ask.
#[derive(Debug)]
pub enum Error {
    /// Nothing was ever served from this data directory.
    NoDirectory(PathBuf),
    /// The data directory or the socket is not ours to open.
    Forbidden(PathBuf),
    /// No server answers, and the store cannot be opened either.
    Store(OpenError),
    /// The store's content cannot be used.
    Content(String),
    /// The socket's path is too long.
    SocketPath(String),
    /// The conversation with the server broke off.
    Io(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory(path) => {
                write!(f, "there is no user directory in {}", path.display())
            }
            Self::Forbidden(path) => write!(f, "{} may not be opened", path.display()),
            Self::Store(error) => error.fmt(f),
            Self::Content(what) | Self::SocketPath(what) => f.write_str(what),
            Self::Io(what) => write!(f, "the server did not answer: {what}"),
        }
    }
}

/// The process id of the server that answers at the socket of `data_dir`, if one does.
pub fn server_of(data_dir: &Path) -> Option<i32> {
    let socket = config::socket_path(data_dir).ok()?;
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

/// A way to the router.
pub struct Client {
    way: Way,
    claimed_name: String,
}

enum Way {
    Socket(UnixStream),
    InProcess(Box<Api>),
}

impl Client {
    /// Finds the server of `data_dir`, or opens its store.
    pub fn connect(data_dir: &Path, claimed_name: &str) -> Result<Self, Error> {
        match Self::connect_to_server(data_dir, claimed_name)? {
            Some(client) => Ok(client),
            None => Ok(Self {
                way: Way::InProcess(Box::new(open(data_dir)?)),
                claimed_name: claimed_name.to_owned(),
            }),
        }
    }

    /// Finds the server of `data_dir`; `None` if none answers.
    pub fn connect_to_server(data_dir: &Path, claimed_name: &str) -> Result<Option<Self>, Error> {
        let socket = config::socket_path(data_dir).map_err(Error::SocketPath)?;
        let stream = match UnixStream::connect(&socket) {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::Forbidden(socket));
            }
            Err(_) => return Ok(None),
        };
        let client = Self {
            way: Way::Socket(stream),
            claimed_name: claimed_name.to_owned(),
        };
        client.set_patience(ANSWER_WAIT_MAX)?;
        Ok(Some(client))
    }

    /// Waits no longer than this for each step of an answer. Without a server it changes nothing.
    pub fn set_patience(&self, wait: Duration) -> Result<(), Error> {
        match &self.way {
            Way::Socket(stream) => stream
                .set_read_timeout(Some(wait))
                .and_then(|()| stream.set_write_timeout(Some(wait)))
                .map_err(|error| Error::Io(error.to_string())),
            Way::InProcess(_) => Ok(()),
        }
    }

    /// Asks, and gives the whole answer.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<Response, Error> {
        match &mut self.way {
            Way::Socket(stream) => ask(stream, method, target, body, &self.claimed_name),
            Way::InProcess(api) => {
                let who = Administrator::at_the_local_door(&self.claimed_name);
                collect(ask_router(api, method, target, body, &who))
            }
        }
    }

    /// Ends the conversation; what was written in this process is closed properly.
    pub fn close(self) {
        match self.way {
            Way::Socket(stream) => {
                // The server may have gone already.
                let _ = stream.shutdown(Shutdown::Both);
            }
            Way::InProcess(api) => api.close(),
        }
    }
}

fn open(data_dir: &Path) -> Result<Api, Error> {
    let path = config::store_path(data_dir);
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(Error::NoDirectory(data_dir.to_owned())),
        Err(_) => return Err(Error::Forbidden(data_dir.to_owned())),
    }
    let store =
        Store::open(&path, Duration::ZERO, directory::describe).map_err(|error| match error {
            OpenError::Io(io) if io.kind() == io::ErrorKind::PermissionDenied => {
                Error::Forbidden(path)
            }
            other => Error::Store(other),
        })?;
    let options = Options {
        base_url: None,
        address: None,
        tuning: Tuning::default(),
        certificate: None,
        data_dir: data_dir.to_owned(),
        clock: Arc::new(SystemClock),
    };
    Api::new(store, options).map_err(|error| Error::Content(error.0))
}

fn ask(
    stream: &mut UnixStream,
    method: &str,
    target: &str,
    body: Option<&[u8]>,
    claimed_name: &str,
) -> Result<Response, Error> {
    let headers = [
        ("Host", "localhost"),
        ("Content-Type", "application/scim+json"),
        (CLAIMED_NAME, claimed_name),
    ];
    let mut bytes = Vec::new();
    Request {
        method,
        target,
        headers: &headers,
        body,
    }
    .write(&mut bytes);
    stream
        .write_all(&bytes)
        .map_err(|error| Error::Io(error.to_string()))?;
    read_response(stream, method == "HEAD", limits::CLIENT_ANSWER_BYTES_MAX)
        .map_err(|error| Error::Io(error.to_string()))
}

fn ask_router(
    api: &Api,
    method: &str,
    target: &str,
    body: Option<&[u8]>,
    who: &Administrator,
) -> Answer {
    let head = match Head::new(method, target, &[]) {
        Ok(head) => head,
        Err(fault) => return api.refuse(&fault, None),
    };
    match api.admit_administrator(&head, who) {
        Ok(admission) => api.answer(admission, body.unwrap_or_default()),
        Err(refusal) => refusal.answer,
    }
}

fn collect(answer: Answer) -> Result<Response, Error> {
    let body = match answer.body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes,
        Body::Stream(pieces) => pieces
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::Io("the answer broke off".to_owned()))?
            .concat(),
    };
    Ok(Response {
        status: answer.status,
        headers: answer
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        body,
    })
}
