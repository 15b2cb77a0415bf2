//! The command line's side of the local socket. With a server running it sends requests through the
//! socket; without one it opens the store itself and calls the same router, so that every command
//! does the same thing either way.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use super::CLAIMED_NAME;
use super::conversation::{Conversation, Peer};
use crate::access::Administrator;
use crate::api::{Api, Options, StartError};
use crate::config;
use crate::directory;
use crate::files;
use crate::http1::client::{Request, Response, ResponseError, read_response};
use crate::http1::target::encode;
use crate::http1::{Answer, Body, Head};
use crate::limits;
use crate::store::{OpenError, Store};

/// Pause between two attempts to reach the server or open the store.
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This data directory contains no store: nothing was ever served from it.
    #[error("there is no user directory in {0}")]
    NoDirectory(PathBuf),
    /// The data directory or the store is a link to a missing place, such as a disk that is not
    /// mounted.
    #[error("{0} is a link to what is not there")]
    Away(PathBuf),
    /// This user may not open the data directory, the store or the socket.
    #[error("no permission to open {}", path.display())]
    Forbidden {
        /// The path that could not be opened.
        path: PathBuf,
        /// The data directory that the path belongs to.
        data_dir: PathBuf,
    },
    /// No server answers, and the store cannot be opened either.
    #[error("{0}")]
    Store(OpenError),
    /// The store's content cannot be used.
    #[error("{0}")]
    Content(String),
    /// The socket's path is too long.
    #[error("{0}")]
    SocketPath(String),
    /// The server did not answer within this time.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The conversation with the server broke off.
    #[error("the server did not answer: {0}")]
    Io(String),
}

/// The server that answers at the socket of `data_dir`, if there is one.
pub fn server_of(data_dir: &Path) -> Option<Peer> {
    let socket = config::socket_path(data_dir).ok()?;
    let conversation = Conversation::begin(&socket, limits::SERVER_LOOKUP_WAIT_MAX);
    Some(conversation.ok()?.peer())
}

/// A connection to the router, through the socket or in this process.
pub struct Client {
    transport: Transport,
    claimed_name: String,
}

enum Transport {
    Socket(Conversation),
    InProcess(Box<Api>),
}

impl Client {
    /// Connects to the server of `data_dir`, or opens its store. While another process holds the
    /// store, it waits for up to [`limits::COMMAND_LOCK_WAIT_MAX`].
    pub fn connect(data_dir: &Path, claimed_name: &str) -> Result<Self, Error> {
        Self::connect_within(limits::LOCAL_ANSWER_WAIT_MAX, data_dir, claimed_name)
    }

    /// Like [`Self::connect`], but waits for `patience` instead of
    /// [`limits::LOCAL_ANSWER_WAIT_MAX`] for a server that hangs.
    pub fn connect_within(
        patience: Duration,
        data_dir: &Path,
        claimed_name: &str,
    ) -> Result<Self, Error> {
        let deadline = Monotonic::now() + patience.min(limits::COMMAND_LOCK_WAIT_MAX);
        loop {
            if let Some(client) = Self::to_server(patience, data_dir, claimed_name)? {
                return Ok(client);
            }
            match open(data_dir) {
                Ok(api) => {
                    return Ok(Self {
                        transport: Transport::InProcess(Box::new(api)),
                        claimed_name: claimed_name.to_owned(),
                    });
                }
                // Another command holds the store and will soon finish, or a server holds it and
                // will soon answer or end.
                Err(Error::Store(OpenError::Locked)) if Monotonic::now() < deadline => {
                    thread::sleep(LOCK_RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Connects to the server of `data_dir`; `None` if none answers.
    pub fn connect_to_server(data_dir: &Path, claimed_name: &str) -> Result<Option<Self>, Error> {
        Self::to_server(limits::LOCAL_ANSWER_WAIT_MAX, data_dir, claimed_name)
    }

    fn to_server(
        patience: Duration,
        data_dir: &Path,
        claimed_name: &str,
    ) -> Result<Option<Self>, Error> {
        let socket = config::socket_path(data_dir).map_err(Error::SocketPath)?;
        let conversation = match Conversation::begin(&socket, patience) {
            Ok(conversation) => conversation,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(forbidden(&socket, data_dir));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Error::Silent(patience));
            }
            Err(_) => return Ok(None),
        };
        Ok(Some(Self {
            transport: Transport::Socket(conversation),
            claimed_name: claimed_name.to_owned(),
        }))
    }

    /// The server; `None` if the store was opened instead.
    pub fn server(&self) -> Option<Peer> {
        match &self.transport {
            Transport::Socket(conversation) => Some(conversation.peer()),
            Transport::InProcess(_) => None,
        }
    }

    /// Sets how long to wait for each answer. Without a server it has no effect.
    pub fn set_patience(&mut self, patience: Duration) {
        if let Transport::Socket(conversation) = &mut self.transport {
            conversation.set_patience(patience);
        }
    }

    /// Sends a request and returns the whole answer.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<Response, Error> {
        match &mut self.transport {
            Transport::Socket(conversation) => {
                ask(conversation, method, target, body, &self.claimed_name)
            }
            Transport::InProcess(api) => {
                let who = Administrator::from_local_socket(&self.claimed_name);
                collect(ask_router(api, method, target, body, &who))
            }
        }
    }

    /// Ends the conversation. A store opened in this process is closed properly.
    pub fn close(self) {
        match self.transport {
            Transport::Socket(conversation) => conversation.end(),
            Transport::InProcess(api) => api.close(),
        }
    }
}

fn forbidden(path: &Path, data_dir: &Path) -> Error {
    Error::Forbidden {
        path: path.to_owned(),
        data_dir: data_dir.to_owned(),
    }
}

fn open(data_dir: &Path) -> Result<Api, Error> {
    let path = config::store_path(data_dir);
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            let away = [data_dir, &path].into_iter().find(|it| files::is_away(it));
            return Err(away.map_or_else(
                || Error::NoDirectory(data_dir.to_owned()),
                |link| Error::Away(link.to_owned()),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(forbidden(data_dir, data_dir));
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NoDirectory(data_dir.to_owned()));
        }
        Err(error) => return Err(Error::Store(OpenError::Io(error))),
    }
    let store =
        Store::open(&path, Duration::ZERO, directory::describe).map_err(|error| match error {
            OpenError::Io(io) if io.kind() == io::ErrorKind::PermissionDenied => {
                forbidden(&path, data_dir)
            }
            other => Error::Store(other),
        })?;
    Api::new(store, Options::without_server(data_dir)).map_err(|error| match error {
        StartError::Content(what) => Error::Content(what),
        StartError::Read(_) | StartError::Write(_) => {
            Error::Store(OpenError::Io(io::Error::other(error.to_string())))
        }
    })
}

fn ask(
    conversation: &mut Conversation,
    method: &str,
    target: &str,
    body: Option<&[u8]>,
    claimed_name: &str,
) -> Result<Response, Error> {
    // A login name need not be ASCII.
    let claimed_name = encode(claimed_name);
    let headers = [
        ("Host", "localhost"),
        ("Content-Type", "application/scim+json"),
        (CLAIMED_NAME, &*claimed_name),
    ];
    let mut bytes = Vec::new();
    Request {
        method,
        target,
        headers: &headers,
        body,
    }
    .write(&mut bytes);
    let patience = conversation.patience();
    let exchange = conversation.exchange();
    let asked = exchange
        .write_all(&bytes)
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ResponseError::Closed,
            _ => ResponseError::Io(error),
        });
    let answered = asked.and_then(|()| {
        let most = limits::CLIENT_ANSWER_BYTES_MAX;
        read_response(exchange, method == "HEAD", most)
    });
    answered.map_err(|error| {
        // A late answer must not be taken for the answer to the next request.
        conversation.end();
        match error {
            ResponseError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                Error::Silent(patience)
            }
            error => Error::Io(error.to_string()),
        }
    })
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
        Ok(admission) => api.answer(admission, body),
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
            .map(|(name, value)| (name.to_owned(), value.into_owned()))
            .collect(),
        body,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_answer_that_comes_too_late_is_not_that_to_the_next_request() {
        const PATIENCE: Duration = Duration::from_millis(100);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let mut conversation = Conversation::begin(&path, PATIENCE).expect("it listens");
        let mut server = listener.accept().expect("it comes").0;
        let mut asked = |target| ask(&mut conversation, "GET", target, None, "somebody");
        let first = asked("/1");
        assert!(matches!(first, Err(Error::Silent(PATIENCE))), "{first:?}");
        // Reads the text written before the conversation ended, then the end of the stream.
        let mut request = String::new();
        server.read_to_string(&mut request).expect("its end");
        assert!(request.starts_with("GET /1 "), "{request}");
        let late = server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(late.is_err(), "nobody listens to it");
        let second = asked("/2");
        let told = second.expect_err("it has ended").to_string();
        assert!(
            told.ends_with("the connection was closed without an answer"),
            "{told}"
        );
    }
}
