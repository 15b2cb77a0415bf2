//! Accepts connections until the server is closed, whatever errors `accept` returns.

use std::io::{self, PipeReader, PipeWriter};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Monotonic};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use super::connection::Connection;
use super::connections::Connections;
use super::slot::Slot;
use super::workers::Workers;
use crate::api::Api;
use crate::limits;

/// The pause after an error that is likely to last, such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// The open HTTPS server.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: PipeWriter,
    accepting: JoinHandle<()>,
}

/// What every connection of the server uses.
pub(super) struct Shared {
    pub(super) api: Arc<Api>,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) connections: Connections,
    /// When the server began to close. From then on, every answer is the last on its connection.
    pub(super) closing: OnceLock<Monotonic>,
}

impl Server {
    /// Starts the server on a listening socket. Fails if the system reports no address for the
    /// socket or cannot start a thread.
    pub fn open(listener: TcpListener, tls: Arc<ServerConfig>, api: Arc<Api>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stopped, stop) = io::pipe()?;
        let most = connections_max(getrlimit(Resource::Nofile).current);
        let shared = Arc::new(Shared {
            api,
            tls,
            connections: Connections::new(most),
            closing: OnceLock::new(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("https-accept".to_owned())
                .spawn(move || accept_until(&stopped, &listener, &shared, &Workers::new(most)))?
        };
        Ok(Self {
            address,
            shared,
            stop,
            accepting,
        })
    }

    /// The address at which the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether new connections are accepted; false only after a bug.
    pub fn is_accepting(&self) -> bool {
        !self.accepting.is_finished()
    }

    /// Stops accepting connections, ends idle ones, and waits up to [`limits::DRAIN_DURATION_MAX`]
    /// until the requests that were read are answered.
    pub fn close(self) {
        drop(self.stop);
        if self.accepting.join().is_err() {
            log::error!("accepting had ended by a panic");
        }
        self.shared.closing.get_or_init(Monotonic::now);
        self.shared.connections.end_idle();
        self.shared.connections.drain(limits::DRAIN_DURATION_MAX);
    }
}

/// Opens a socket that listens at `address`; `[::]` also listens for IPv4. Fails with the system's
/// error, such as [`io::ErrorKind::AddrInUse`].
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// How many connections fit under a limit on descriptors. Some descriptors are left for other uses;
/// otherwise the local socket could no longer accept anyone.
fn connections_max(limit: Option<u64>) -> usize {
    let left = limit.map(|limit| limit.saturating_sub(limits::DESCRIPTORS_RESERVED));
    let left = left.and_then(|left| usize::try_from(left).ok());
    left.unwrap_or(limits::CONNECTIONS_MAX)
        .clamp(limits::CONNECTIONS_MIN, limits::CONNECTIONS_MAX)
}

fn accept_until(
    stopped: &PipeReader,
    listener: &TcpListener,
    shared: &Arc<Shared>,
    workers: &Workers,
) {
    let mut complaint = Complaint::default();
    let mut looked = Monotonic::now();
    loop {
        if looked.elapsed() >= limits::TOKENS_LOOK_PAUSE {
            shared
                .connections
                .end_tokens(|token| shared.api.is_good(token));
            looked = Monotonic::now();
        }
        let mut ready = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        let until_look = limits::TOKENS_LOOK_PAUSE.saturating_sub(looked.elapsed());
        let pause = Timespec::try_from(until_look).ok();
        // The only possible error is an interrupted poll: try again.
        if poll(&mut ready, pause.as_ref()).is_err() {
            continue;
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            // The dual-stack socket reports IPv4 addresses as IPv6; `to_canonical` hides that from
            // the rest of the code.
            Ok((stream, peer)) => {
                if let Err(why) = welcome(stream, peer.ip().to_canonical(), shared, workers) {
                    complaint.log(&why);
                }
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => {
                complaint.log(&format!("a connection cannot be accepted: {error}"));
                shared.connections.evict_stranger();
                thread::sleep(PAUSE_AFTER_ERROR);
            }
        }
    }
}

/// Gives an accepted connection a slot and a worker, or closes it.
fn welcome(
    stream: TcpStream,
    peer: IpAddr,
    shared: &Arc<Shared>,
    workers: &Workers,
) -> Result<(), String> {
    let prepare = || -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)
    };
    prepare().map_err(|error| format!("a connection cannot be prepared: {error}"))?;
    let Some(slot) = shared.connections.enter(Arc::new(stream), peer) else {
        return Err(
            "a connection was refused: all slots are in use by busy clients with a valid token"
                .to_owned(),
        );
    };
    let entered = Entered(Arc::clone(shared), Arc::clone(&slot));
    let job = Box::new(move || {
        let _connected = entered.0.api.connected();
        let Entered(shared, slot) = &entered;
        Connection::serve(shared, slot, peer);
    });
    let end_one = || shared.connections.make_room_for(&slot);
    workers
        .submit(job, end_one)
        .map_err(|why| format!("a connection was refused: {why}"))
}

/// An open connection. It leaves the open ones when its worker ends, even by a panic, and when it
/// gets no worker.
struct Entered(Arc<Shared>, Arc<Slot>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.connections.leave(&self.1);
    }
}

/// Whether an error concerns only one connection, which is already gone.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Writes at most one log line per [`limits::ACCEPT_TOLD_PAUSE`].
#[derive(Default)]
struct Complaint {
    last: Option<Monotonic>,
}

impl Complaint {
    fn log(&mut self, what: &str) {
        let now = Monotonic::now();
        if self
            .last
            .is_none_or(|last| now.duration_since(last) >= limits::ACCEPT_TOLD_PAUSE)
        {
            log::warn!("{what}");
            self.last = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::connections_max;

    #[test]
    fn connections_leave_descriptors_to_everything_else() {
        let table = [
            (None, 512),
            (Some(640), 512),
            (Some(300), 172),
            (Some(40), 8),
        ];
        for (limit, most) in table {
            assert_eq!(connections_max(limit), most, "{limit:?}");
        }
    }
}
