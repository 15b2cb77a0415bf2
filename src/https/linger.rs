//! Takes and drops what a peer still sends after the last answer of its connection, within bounds:
//! closing a socket with unread bytes would send a reset that overtakes the answer.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use super::connection::READ_BYTES;
use super::deadline::Deadline;
use crate::limits;

/// Ends our side, and drops what arrives until the peer ends its own or is silent, up to a bound.
/// `closing` is when the server began to close: from then on, this takes at most
/// [`limits::CLOSE_DURATION_MAX`].
pub(super) fn drop_until_end(
    stream: &TcpStream,
    socket: &mut Deadline,
    closing: &OnceLock<Monotonic>,
) {
    if stream.shutdown(Shutdown::Write).is_ok() {
        drop_all(socket, closing, limits::LINGER_SILENCE_MAX, || false);
    }
}

/// [`drop_until_end`] without ending our side, for a connection whose reading was shut to wake its
/// worker. A read cannot distinguish the end from a pause then, and what arrives after our own end
/// would get a reset at once.
pub(super) fn drain_after_shutdown(socket: &mut Deadline, closing: &OnceLock<Monotonic>) {
    drop_all(socket, closing, limits::DISCARD_SILENCE_MAX, || {
        thread::sleep(limits::DISCARD_PAUSE);
        true
    });
}

/// Drops what arrives until the peer has been silent for `silence`. If a read returns nothing,
/// `goes_on` says whether more may come.
fn drop_all(
    socket: &mut Deadline,
    closing: &OnceLock<Monotonic>,
    silence: Duration,
    goes_on: impl Fn() -> bool,
) {
    let begun = Monotonic::now();
    let mut scratch = [0; READ_BYTES];
    let mut dropped = 0;
    while dropped < limits::LINGER_BYTES_MAX {
        let until = match closing.get() {
            Some(closing) => begun.max(*closing) + limits::CLOSE_DURATION_MAX,
            None => (begun.max(socket.heard()) + silence).min(begun + limits::BODY_DURATION_MAX),
        };
        let now = Monotonic::now();
        if now >= until {
            return;
        }
        // A short time-out, to notice when the server begins to close.
        socket.set(until.min(now + limits::CLOSE_DURATION_MAX));
        match socket.read(&mut scratch) {
            Ok(0) if goes_on() => {}
            Ok(0) => return,
            Ok(count) => dropped += count,
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(_) => return,
        }
    }
}
