//! A conversation over the local socket, with a deadline on every step, including a connection to a
//! server that accepts nobody, and an answer that comes byte by byte.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant as Monotonic};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Pause between two attempts to connect to a server whose queue of connections is full.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The process at the other end: its id, or `None` if it is in another PID namespace, such as a
/// server in another container.
#[derive(Clone, Copy)]
pub struct Peer(pub Option<i32>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("a process in another PID namespace"),
        }
    }
}

/// A connection, with the deadline of its present exchange.
pub(super) struct Conversation {
    stream: UnixStream,
    patience: Duration,
    until: Monotonic,
}

impl Conversation {
    /// Connects within `patience`, which is also the limit of each exchange.
    pub(super) fn begin(socket: &Path, patience: Duration) -> io::Result<Self> {
        let until = Monotonic::now() + patience;
        loop {
            // A blocking connect would wait forever for a server that hangs.
            match try_connect(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Monotonic::now() >= until {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
                outcome => {
                    return outcome.map(|stream| Self {
                        stream,
                        patience,
                        until,
                    });
                }
            }
        }
    }

    /// The time that each exchange may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Sets the time that each exchange may take from now on.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Begins a new exchange, with a new deadline.
    pub(super) fn exchange(&mut self) -> &mut Self {
        self.until = Monotonic::now() + self.patience;
        self
    }

    /// The process at the other end.
    pub(super) fn peer(&self) -> Peer {
        let peer = rustix::net::sockopt::socket_peercred(&self.stream).ok();
        Peer(peer.map(|it| it.pid.as_raw_nonzero().get()))
    }

    /// Ends the conversation: no further request can be sent.
    pub(super) fn end(&self) {
        // The server may have gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The time left. Never zero, because a socket takes zero to mean no time-out.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Monotonic::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl Read for Conversation {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(out).map_err(timed_out)
    }
}

impl Write for Conversation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn try_connect(socket: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let unconnected = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&unconnected, &SocketAddrUnix::new(socket)?) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => return Err(error.into()),
    }
    let stream = UnixStream::from(unconnected);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Translates a socket's own time-out into ours.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn listening() -> (tempfile::TempDir, std::path::PathBuf, UnixListener) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        (folder, path, listener)
    }

    #[test]
    fn an_answer_byte_by_byte_ends_when_it_has_lasted_long_enough() {
        let (_folder, path, listener) = listening();
        let dripping = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("it comes");
            while socket.write_all(b"x").is_ok() {
                std::thread::sleep(PATIENCE / 10);
            }
        });
        let mut conversation = Conversation::begin(&path, PATIENCE).expect("it listens");
        let failed = conversation.exchange().read_exact(&mut [0; 1000]);
        assert_eq!(failed.map_err(|it| it.kind()), Err(io::ErrorKind::TimedOut));
        conversation.end();
        dripping.join().expect("it has ended");
    }

    #[test]
    fn a_full_queue_of_connections_is_not_waited_for_for_ever() {
        let (_folder, path, listener) = listening();
        rustix::net::listen(&listener, 0).expect("a short queue");
        let mut held = Vec::new();
        let failed = loop {
            match Conversation::begin(&path, PATIENCE) {
                Ok(conversation) => held.push(conversation),
                Err(error) => break error,
            }
            assert!(held.len() < 10, "the queue has no end");
        };
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }
}
