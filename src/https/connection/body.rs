//! The bodies of requests: reads those of admitted requests, and drops those of refused ones.

use std::io;
use std::time::Instant as Monotonic;

use super::{Connection, Unread};
use crate::http1::BODY_TOO_LARGE;
use crate::http1::chunks::Decoder;
use crate::http1::framing::Framing;
use crate::limits;

impl Connection<'_> {
    /// Reads the body that this framing announces, if it announces one; `expects` says that the
    /// client waits to be asked for it.
    pub(super) fn read_body(
        &mut self,
        framing: Framing,
        expects: bool,
        deadline: Monotonic,
    ) -> Result<Option<Vec<u8>>, Unread> {
        if !framing.has_body() {
            return Ok(None);
        }
        // Refuse the body before the client is asked to send it and before memory is allocated for
        // it.
        if matches!(framing, Framing::Length(length) if length > limits::BODY_BYTES_MAX) {
            return Err(Unread::Fault(BODY_TOO_LARGE));
        }
        let until = Monotonic::now() + limits::BODY_DURATION_MAX;
        self.socket.set(until.min(deadline));
        if expects && self.received.is_empty() {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(|_| Unread::Gone)?;
        }
        match framing {
            Framing::None => Ok(None),
            Framing::Length(length) => {
                // Allocate once: growing the buffer step by step would take up to twice the memory.
                let left = length.saturating_sub(self.received.len());
                self.received.reserve_exact(left);
                while self.received.len() < length {
                    self.receive_more()?;
                }
                let rest = self.received.split_off(length);
                Ok(Some(std::mem::replace(&mut self.received, rest)))
            }
            Framing::Chunked => self.read_chunks().map(Some),
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, Unread> {
        // Reserve the largest allowed size: memory that is never written to costs nothing.
        let mut body = Vec::with_capacity(limits::BODY_BYTES_MAX);
        let mut decoder = Decoder::new(limits::BODY_BYTES_MAX);
        loop {
            let taken = decoder
                .feed(&self.received, &mut body)
                .map_err(Unread::Fault)?;
            self.received.drain(..taken);
            if decoder.is_done() {
                return Ok(body);
            }
            self.receive_more()?;
        }
    }

    /// Drops the body of a refused request so that the connection can be kept. Works only if the
    /// body is short, has a known length and keeps arriving.
    pub(super) fn skip_body(&mut self, framing: Framing, deadline: Monotonic) -> bool {
        let mut left = match framing {
            Framing::None => return true,
            Framing::Length(length) if length <= limits::DISCARD_BYTES_MAX => length,
            _ => return false,
        };
        let begun = Monotonic::now();
        let until = deadline.min(begun + limits::BODY_DURATION_MAX);
        loop {
            let dropped = left.min(self.received.len());
            self.received.drain(..dropped);
            left -= dropped;
            if left == 0 {
                return true;
            }
            let heard = self.socket.heard().max(begun);
            let until = until.min(heard + limits::DISCARD_SILENCE_MAX);
            let now = Monotonic::now();
            if now >= until || self.is_last(now) {
                return false;
            }
            self.socket.set(until);
            match self.receive() {
                Ok(0) => return false,
                Ok(_) => {}
                // Part of a TLS record may have arrived in the meantime.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(_) => return false,
            }
        }
    }
}
