//! Reads and drops, within bounds, what a peer still sends after the last answer of its connection.
//! Closing a socket with unread bytes would send a reset that overtakes the answer.

use std::io::{ErrorKind, Read};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use super::deadline::Deadline;
use crate::limits;

const DROP_BYTES: usize = 16 * 1024;

/// Closes our sending side and drops what arrives until the peer closes its own or is silent, up to
/// a bound. `closing` holds the time at which the server began to close: from then on, this takes
/// at most [`limits::CLOSE_DURATION_MAX`].
pub(super) fn drop_until_end(socket: &mut Deadline, closing: &OnceLock<Monotonic>) {
    if socket.end_sending().is_ok() {
        drop_all(socket, closing, limits::LINGER_SILENCE_MAX, || false);
    }
}

/// Like [`drop_until_end`], but does not close our sending side. For a connection whose reading
/// side was shut down to wake its worker: its reads cannot tell the end from a pause, and bytes
/// that arrive after our own end would be answered with a reset at once.
pub(super) fn drain_after_shutdown(socket: &mut Deadline, closing: &OnceLock<Monotonic>) {
    drop_all(socket, closing, limits::DISCARD_SILENCE_MAX, || {
        thread::sleep(limits::DISCARD_PAUSE);
        true
    });
}

/// Drops what arrives until the peer has been silent for `silence`. When a read returns 0,
/// `goes_on` says whether more may come.
fn drop_all(
    socket: &mut Deadline,
    closing: &OnceLock<Monotonic>,
    silence: Duration,
    goes_on: impl Fn() -> bool,
) {
    let begun = Monotonic::now();
    let mut scratch = [0; DROP_BYTES];
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
        // A short timeout, to notice when the server begins to close.
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
