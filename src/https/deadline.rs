//! A socket with an absolute deadline. It sits below TLS, where one read of plaintext can take many
//! reads of the socket. If the timeout started again at each of them, a client could hold a worker
//! forever by sending a byte now and then.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

/// How far past the deadline the current socket timeout may reach before it is set again. This
/// tolerance saves a system call on nearly every read.
const SLACK: Duration = Duration::from_secs(1);

/// A socket whose reads and writes fail with [`io::ErrorKind::TimedOut`] after the deadline.
pub(super) struct Deadline {
    stream: Arc<TcpStream>,
    until: Monotonic,
    heard: Monotonic,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Deadline {
    pub(super) fn new(stream: Arc<TcpStream>, until: Monotonic) -> Self {
        Self {
            stream,
            until,
            heard: Monotonic::now(),
            read_timeout: None,
            write_timeout: None,
        }
    }

    pub(super) fn set(&mut self, until: Monotonic) {
        self.until = until;
    }

    /// When the last bytes arrived, even if they did not complete a record.
    pub(super) fn heard(&self) -> Monotonic {
        self.heard
    }

    /// Closes our sending side.
    pub(super) fn end_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Looks at the first byte without consuming it.
    pub(super) fn peek(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        loop {
            self.arm_read()?;
            match self.stream.peek(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(byte[0]),
                Err(error) if is_timeout(&error) => self.read_timeout = None,
                Err(error) => return Err(error),
            }
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Monotonic::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }

    fn arm_read(&mut self) -> io::Result<()> {
        let left = self.left()?;
        if self.read_timeout.is_none_or(|set| set > left + SLACK) {
            self.stream.set_read_timeout(Some(left))?;
            self.read_timeout = Some(left);
        }
        Ok(())
    }

    fn arm_write(&mut self) -> io::Result<()> {
        let left = self.left()?;
        if self.write_timeout.is_none_or(|set| set > left + SLACK) {
            self.stream.set_write_timeout(Some(left))?;
            self.write_timeout = Some(left);
        }
        Ok(())
    }
}

impl Read for Deadline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.arm_read()?;
            match (&*self.stream).read(buffer) {
                // The socket's timeout may be left over from an earlier, nearer deadline. It must
                // be set again, or it would expire over and over.
                Err(error) if is_timeout(&error) => self.read_timeout = None,
                Ok(count) if count > 0 => {
                    self.heard = Monotonic::now();
                    return Ok(count);
                }
                other => return other,
            }
        }
    }
}

impl Write for Deadline {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    /// Sends all the records of an answer with one system call.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            self.arm_write()?;
            match (&*self.stream).write_vectored(buffers) {
                Err(error) if is_timeout(&error) => self.write_timeout = None,
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_deadline_may_come_nearer_than_the_one_before() {
        const FAR: Duration = Duration::from_secs(60);
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        let begun = Monotonic::now();
        let mut socket = Deadline::new(Arc::new(server), begun + FAR);
        client.write_all(b"?").expect("sent");
        socket.read_exact(&mut [0]).expect("arrived");
        socket.write_all(b"!").expect("taken");
        let near = || Monotonic::now() + Duration::from_millis(50);
        socket.set(near());
        let read = socket.read(&mut [0]).expect_err("nothing is sent");
        socket.set(near());
        // Far more than the buffers of both sockets hold.
        let written = socket.write_all(&vec![0; 32 << 20]);
        let written = written.expect_err("nothing is read");
        let kinds = [read, written].map(|error| error.kind());
        assert_eq!(kinds, [io::ErrorKind::TimedOut; 2]);
        assert!(begun.elapsed() < FAR / 2, "{:?}", begun.elapsed());
    }
}
