//! One connection, from handshake to close. Every request from the network goes through this file,
//! from top to bottom; `body` reads the bodies.

mod body;

use std::io::{self, BufRead, IoSlice, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use rustls::{ServerConnection, Stream};

use super::deadline::Deadline;
use super::linger;
use super::listener::Shared;
use super::slot::Slot;
use crate::api::{Admission, Api};
use crate::http1::answer::{Broken, CHUNK_END, LAST_CHUNK, Pieces, chunk_head, write_head};
use crate::http1::framing::Framing;
use crate::http1::{Answer, Body, Fault, Head, Method, Version};
use crate::limits;

const LOOK_AGAIN_BYTES: usize = 1024;
const TIMED_OUT: Fault = Fault::new(408, "the request did not arrive in time");

pub(super) struct Connection<'a> {
    shared: &'a Shared,
    slot: &'a Slot,
    socket: Deadline,
    tls: ServerConnection,
    peer: IpAddr,
    /// Bytes received but not yet used; a pipelined request may wait here.
    received: Vec<u8>,
}

/// Why a head or a body was not read to the end.
enum Unread {
    Fault(Fault),
    /// The peer has closed the connection or sent no request for too long, or the connection was
    /// ended to make room or to stop.
    Gone,
}

/// Whether the connection goes on after an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl<'a> Connection<'a> {
    /// Serves a connection until it ends.
    pub(super) fn serve(shared: &'a Shared, slot: &'a Slot, peer: IpAddr) {
        let until = Monotonic::now() + limits::HANDSHAKE_DURATION_MAX;
        let mut socket = Deadline::new(Arc::clone(&slot.stream), until);
        match socket.peek() {
            // A TLS record begins with a small number, an HTTP request with a capital letter.
            Ok(byte) if byte.is_ascii_uppercase() => {
                return refuse_plain_http(shared, &mut socket, peer);
            }
            Ok(_) => {}
            Err(_) => return,
        }
        let tls = match ServerConnection::new(Arc::clone(&shared.tls)) {
            Ok(tls) => tls,
            Err(error) => return log::error!("TLS cannot be set up: {error}"),
        };
        let mut connection = Self {
            shared,
            slot,
            socket,
            tls,
            peer,
            received: Vec::new(),
        };
        if let Err(error) = connection.handshake() {
            return log::debug!("{peer} handshake failed: {error}");
        }
        while connection.exchange() == Then::GoOn {}
    }

    fn handshake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            let (read, written) = self.tls.complete_io(&mut self.socket)?;
            if read == 0 && written == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Reads one request and answers it.
    fn exchange(&mut self) -> Then {
        let now = Monotonic::now();
        self.slot.set_idle(now);
        if self.is_last(now) && self.is_between() {
            // A request that has arrived by now is still read and answered.
            self.slot.end_reading();
        }
        let arrived = self.await_request(now);
        let began = Monotonic::now();
        let head = arrived.and_then(|()| self.read_head(began));
        self.slot.set_reading(began);
        match head {
            Ok(head) => self.answer(&head, began + limits::REQUEST_DURATION_MAX),
            Err(Unread::Fault(fault)) => self.refuse(&fault),
            // Without a `close_notify`, the client would believe that anything it sends from now on
            // was delivered (RFC 8446 section 6.1).
            Err(Unread::Gone) => self.linger(),
        }
    }

    /// Whether no part of a request has arrived. An empty line does not count: some clients send
    /// one after a body (RFC 9112 section 2.2).
    fn is_between(&self) -> bool {
        matches!(&self.received[..], b"" | b"\r" | b"\r\n")
    }

    /// Waits for the first byte of a request.
    fn await_request(&mut self, now: Monotonic) -> Result<(), Unread> {
        self.socket.set(now + limits::IDLE_DURATION_MAX);
        while self.is_between() {
            match self.receive() {
                Ok(count) if count > 0 => {}
                _ => return Err(Unread::Gone),
            }
        }
        Ok(())
    }

    /// Reads the head of a request whose first byte arrived at `began`.
    fn read_head(&mut self, began: Monotonic) -> Result<Head, Unread> {
        self.socket.set(began + limits::HEAD_DURATION_MAX);
        // Parsing the head again after each byte would take quadratic time. Only a new line or many
        // more bytes can change the result.
        let mut looked_at = 0;
        loop {
            let new = &self.received[looked_at..];
            if looked_at == 0 || new.contains(&b'\n') || new.len() >= LOOK_AGAIN_BYTES {
                looked_at = self.received.len();
                let parsed = Head::parse(&self.received).map_err(Unread::Fault)?;
                if let Some((head, length)) = parsed {
                    self.received.drain(..length);
                    return Ok(head);
                }
            }
            self.receive_more()?;
        }
    }

    /// Answers a request: determines its framing, admits it, reads its body and has the API handle
    /// it.
    fn answer(&mut self, head: &Head, deadline: Monotonic) -> Then {
        let client = self.shared.api.client_of(head, self.peer);
        let framed = Framing::of(head).and_then(|framing| Ok((framing, head.expects_continue()?)));
        let (framing, expects) = match framed {
            Ok(framed) => framed,
            Err(fault) => {
                let answer = self.shared.api.refuse(&fault, Some(client));
                return self.write(answer, head, Then::End, deadline);
            }
        };
        let admission = match self.shared.api.admit(head, client) {
            Ok(admission) => admission,
            Err(refusal) => {
                let mut then = Then::End;
                if let Some(token) = &refusal.token {
                    self.slot.set_token(token);
                    if !expects && self.skip_body(framing, deadline) {
                        then = Then::GoOn;
                    }
                }
                return self.write(refusal.answer, head, then, deadline);
            }
        };
        match admission.token() {
            Some(token) => self.slot.set_token(token),
            // Routes without a token need no body, so no body is held for a caller without one.
            None if framing.has_body() => {
                return self.work(admission, None, head, Then::End, deadline);
            }
            None => {}
        }
        let body = match self.read_body(framing, expects, deadline) {
            Ok(body) => body,
            Err(Unread::Fault(fault)) => {
                let answer = self.shared.api.refuse_body(&admission, &fault);
                return self.write(answer, head, Then::End, deadline);
            }
            Err(Unread::Gone) => return self.break_off(&admission),
        };
        self.work(admission, body, head, Then::GoOn, deadline)
    }

    /// Ends the connection during a body. If it was ended here, the client is told why.
    fn break_off(&mut self, admission: &Admission<'_>) -> Then {
        if !self.slot.is_ending() {
            return Then::End;
        }
        let answer = self.shared.api.refuse_ended(admission);
        if self.send_last(&answer).is_err() {
            return Then::End;
        }
        linger::drain_after_shutdown(&mut self.socket, &self.shared.closing);
        self.linger()
    }

    /// Has the API answer the request and sends the answer, unless the connection was cut off to
    /// make room in the meantime.
    fn work(
        &mut self,
        admission: Admission<'_>,
        body: Option<Vec<u8>>,
        head: &Head,
        then: Then,
        deadline: Monotonic,
    ) -> Then {
        let api = &self.shared.api;
        // While it waits for its turn, this connection may still be ended to make room, just like
        // one that waits for a body.
        let waited = api.await_turn(&admission, body.as_deref().unwrap_or_default());
        if !self.slot.begin_work() {
            return Then::End;
        }
        let answer = api.answer_in_turn(admission, body.as_deref(), &waited);
        // Freed before sending: the client may be slow to take the answer.
        drop((body, waited));
        self.write(answer, head, then, deadline)
    }

    /// Answers bytes that are not a valid request. The connection ends, since there is no telling
    /// where the next request would begin.
    fn refuse(&mut self, fault: &Fault) -> Then {
        let answer = self.shared.api.refuse(fault, Some(self.peer));
        match self.send_last(&answer) {
            Ok(()) => self.linger(),
            Err(_) => Then::End,
        }
    }

    /// Sends the last answer of this connection.
    fn send_last(&mut self, answer: &Answer) -> io::Result<()> {
        let bytes = last_bytes(&self.shared.api, answer);
        let now = Monotonic::now();
        self.slot.set_writing(now);
        self.socket.set(now + limits::WRITE_DURATION_MAX);
        self.send(&bytes)
    }

    /// Sends an answer. The connection may end afterwards even if `then` is [`Then::GoOn`].
    fn write(&mut self, answer: Answer, head: &Head, then: Then, deadline: Monotonic) -> Then {
        let now = Monotonic::now();
        self.slot.set_writing(now);
        // `wants_close` always holds for HTTP/1.0, where a stream ends with its connection.
        let is_last = head.wants_close() || self.is_last(now);
        let then = if is_last { Then::End } else { then };
        // A request that has used up its time still gets its answer.
        let last = deadline.max(now) + limits::LAST_ANSWER_DURATION_MAX;
        self.socket.set(last.min(now + limits::WRITE_DURATION_MAX));
        let mut bytes = Vec::with_capacity(1024);
        append_head(&self.shared.api, &answer, head.version(), then, &mut bytes);
        let sent = match answer.body {
            _ if head.method() == Method::Head => self.send(&bytes),
            Body::Empty => self.send(&bytes),
            Body::Bytes(body) => self.send_all([&bytes, &body]),
            Body::Stream(pieces) => self.send_pieces(&bytes, pieces, head.version()),
        };
        match sent {
            Err(error) => {
                log::debug!("{} an answer was not taken: {error}", self.peer);
                Then::End
            }
            Ok(()) if then == Then::End => self.linger(),
            Ok(()) => Then::GoOn,
        }
    }

    /// Sends a large body while it is being made. Memory holds only one piece and what TLS buffers
    /// of it. If the body breaks off, the last chunk is missing, which tells the client.
    fn send_pieces(&mut self, mut head: &[u8], pieces: Pieces, version: Version) -> io::Result<()> {
        let chunked = version == Version::Http11;
        for piece in pieces {
            let piece = piece.map_err(|Broken| io::Error::other("the body broke off"))?;
            match chunk_head(&piece) {
                Some(size) if chunked => {
                    self.send_all([head, size.as_bytes(), &piece, CHUNK_END])?;
                }
                _ => self.send_all([head, &piece])?,
            }
            head = &[];
        }
        self.send_all([head, if chunked { LAST_CHUNK } else { &[] }])
    }

    /// Whether the next answer must be the last.
    fn is_last(&self, now: Monotonic) -> bool {
        self.shared.closing.get().is_some() || self.slot.is_last(now)
    }

    /// Ends the connection so that the peer can read everything that was sent: closes TLS, then the
    /// sending side of the socket, then reads and drops what is still on its way. Closing the
    /// socket over unread bytes would send a reset that overtakes the answer. The slot counts as
    /// waiting for its client, so that another connection can take its place.
    fn linger(&mut self) -> Then {
        // Free the buffer: it is no longer used, and may be as large as a body.
        self.received = Vec::new();
        self.socket
            .set(Monotonic::now() + limits::CLOSE_DURATION_MAX);
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut self.socket).is_err() {
                return Then::End;
            }
        }
        linger::drop_until_end(&mut self.socket, &self.shared.closing);
        Then::End
    }

    /// Receives what has arrived. At the end of the connection this returns 0 or an error other
    /// than a timeout: many clients end without a `close_notify`.
    fn receive(&mut self) -> io::Result<usize> {
        let mut stream = Stream::new(&mut self.tls, &mut self.socket);
        let bytes = stream.fill_buf()?;
        let count = bytes.len();
        self.received.extend_from_slice(bytes);
        stream.consume(count);
        Ok(count)
    }

    /// Receives more of a head or a body.
    fn receive_more(&mut self) -> Result<(), Unread> {
        match self.receive() {
            Ok(0) => Err(Unread::Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Unread::Fault(TIMED_OUT)),
            Err(_) => Err(Unread::Gone),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_all([bytes])
    }

    /// Sends a head and a body, in the same records and, if possible, in one write.
    ///
    /// A record that holds only a large body would be slow to make. The body and the record would
    /// both begin at a memory page, offset only by the five bytes of the record header, and then
    /// `rep movsb` on AMD processors copies 3 GB a second instead of 50. A page of 100 users took a
    /// quarter longer.
    fn send_all<const N: usize>(&mut self, parts: [&[u8]; N]) -> io::Result<()> {
        let mut parts = parts.map(IoSlice::new);
        let mut left = &mut parts[..];
        let mut stream = Stream::new(&mut self.tls, &mut self.socket);
        // Skip empty parts at the front: a write of nothing but empty parts would return 0.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match stream.write_vectored(left)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                taken => IoSlice::advance_slices(&mut left, taken),
            }
        }
        stream.flush()
    }
}

fn append_head(api: &Api, answer: &Answer, version: Version, then: Then, out: &mut Vec<u8>) {
    let date = api.now().imf_fixdate();
    write_head(answer, version, then == Then::End, &date, out);
}

/// The last answer of a connection as bytes: a refusal, which is short and never streamed.
fn last_bytes(api: &Api, answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_head(api, answer, Version::Http11, Then::End, &mut bytes);
    match &answer.body {
        Body::Empty => {}
        Body::Bytes(body) => bytes.extend_from_slice(body),
        // The head announces chunks. Since the last chunk is missing, the client knows that the
        // body is incomplete.
        Body::Stream(_) => log::error!("a bug: a refusal is streamed, and its body was not sent"),
    }
    bytes
}

/// Answers a client that speaks plain HTTP to the TLS port.
fn refuse_plain_http(shared: &Shared, socket: &mut Deadline, peer: IpAddr) {
    let fault = Fault::new(
        400,
        "this port speaks HTTPS: begin the base URL with https://",
    );
    let answer = shared.api.refuse(&fault, Some(peer));
    let bytes = last_bytes(&shared.api, &answer);
    socket.set(Monotonic::now() + limits::CLOSE_DURATION_MAX);
    if socket.write_all(&bytes).is_ok() {
        linger::drop_until_end(socket, &shared.closing);
    }
}

#[cfg(test)]
mod tests;
