//! What a peer still sends after the last answer of its connection: it is taken and dropped for a
//! while, since closing over it would send a reset that overtakes the answer.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use super::connection::READ_BYTES;
use super::deadline::Deadline;
use crate::limits;

/// Ends our side, and drops what comes until the peer ends its own, up to the socket's deadline and
/// a bound.
pub(super) fn drop_until_end(stream: &TcpStream, socket: &mut Deadline) {
    if stream.shutdown(Shutdown::Write).is_ok() {
        drop_all(socket, || false);
    }
}

/// The same before our side is ended, where our reading was shut to wake the worker: no end can be
/// told from a pause then, and what arrives after our own end would get a reset at once.
pub(super) fn drop_unheard(socket: &mut Deadline) {
    let until = Instant::now() + limits::DISCARD_DURATION_MAX;
    socket.set(until);
    drop_all(socket, || {
        thread::sleep(limits::DISCARD_PAUSE);
        Instant::now() < until
    });
}

/// Drops what comes; where nothing does, `goes_on` says whether there may be more.
fn drop_all(socket: &mut Deadline, goes_on: impl Fn() -> bool) {
    let mut scratch = [0; READ_BYTES];
    let mut dropped = 0;
    while dropped < limits::GOODBYE_BYTES_MAX {
        match socket.read(&mut scratch) {
            Ok(0) if goes_on() => {}
            Ok(0) | Err(_) => return,
            Ok(count) => dropped += count,
        }
    }
}
