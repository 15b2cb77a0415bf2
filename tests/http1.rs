//! The request parser, compared with a second one: hundreds of thousands of requests are mutated
//! from good ones, and the accepted ones are written to a file for h11, a parser in Python
//! (`tests/http1_differential/run`). Requests are smuggled where two parsers read the same bytes
//! differently; a request that is refused here reaches nobody.

use std::fs::File;
use std::io::{BufWriter, Write};

use golinks_scim::http1::chunks::Decoder;
use golinks_scim::http1::framing::Framing;
use golinks_scim::http1::{Head, Method};
use golinks_scim::limits::BODY_BYTES_MAX;
use golinks_scim::secret::hex;
use serde_json::json;

use crate::support::number;

const GOOD: &[&str] = &[
    "GET /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /scim/v2/Users?filter=userName%20eq%20\"a\" HTTP/1.1\r\nHost: h:8443\r\nAccept: */*\r\n\r\n",
    "GET https://h/x?y HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    "HEAD / HTTP/1.0\r\nHost: h\r\n\r\n",
    "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nContent-Type: application/scim+json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
    "PUT /x HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\nConnection: close\r\n\r\n",
    "PATCH /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
    "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: \r\n\r\n",
    "DELETE /x/y HTTP/1.1\r\nHost: [::1]:443\r\nAuthorization: Bearer t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    "OPTIONS /x HTTP/1.1\r\nHost: h\r\nX:\t a \t b\u{e9} \t\r\nY:\r\nContent-Length: 1\r\n\r\nz",
];

/// Bytes that parsers may disagree about.
const ODD: &[u8] = b"\r\n\t :;,\"\\\0\x0b\x0c\x1f\x7f\x80\xa0\xff+-_0129afAFxX/?#%*()<>[]{}=.";

/// Pseudo-random numbers, the same in each run (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let rolled = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(rolled).expect("32 bits") % sides
    }
}

fn mutated(dice: &mut Dice) -> Vec<u8> {
    let latin = |text: &str| -> Vec<u8> {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).expect("Latin 1"))
            .collect()
    };
    let mut bytes = latin(GOOD[dice.roll(GOOD.len())]);
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(bytes.len() + 1);
        let odd = ODD[dice.roll(ODD.len())];
        match dice.roll(7) {
            0 => bytes.insert(at, odd),
            1 if at < bytes.len() => bytes[at] = odd,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 0x20,
            4 => {
                // A line of one of the good requests, perhaps the same one.
                let other = latin(GOOD[dice.roll(GOOD.len())]);
                let lines: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
                let line = lines[dice.roll(lines.len())];
                let start = bytes[..at]
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                bytes.splice(start..start, line.iter().copied());
            }
            5 => {
                let end = bytes[at..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(bytes.len(), |n| at + n + 1);
                bytes.drain(at..end);
            }
            _ => {
                let other = latin(GOOD[dice.roll(GOOD.len())]);
                bytes.extend_from_slice(&other);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// The head, the body and the length in bytes of a request, if it is accepted.
fn accepted(bytes: &[u8]) -> Option<(Head, Vec<u8>, usize)> {
    let (head, length) = Head::parse(bytes).ok()??;
    let framing = Framing::of(&head).ok()?;
    head.expects_continue().ok()?;
    let rest = &bytes[length..];
    let mut body = Vec::new();
    let taken = match framing {
        Framing::None => 0,
        Framing::Length(length) => {
            body.extend_from_slice(rest.get(..length)?);
            length
        }
        Framing::Chunked => {
            let mut decoder = Decoder::new(BODY_BYTES_MAX);
            let taken = decoder.feed(rest, &mut body).ok()?;
            decoder.is_done().then_some(taken)?
        }
    };
    Some((head, body, length + taken))
}

#[test]
#[ignore = "writes what tests/http1_differential/run compares"]
fn what_is_accepted_is_written_down() {
    let count = number("HTTP1_REQUESTS", 200_000);
    let path = std::env::var("HTTP1_ACCEPTED")
        .unwrap_or_else(|_| concat!(env!("CARGO_TARGET_TMPDIR"), "/http1-accepted").to_owned());
    let mut out = BufWriter::new(File::create(path).expect("the file can be written"));
    let mut dice = Dice(0x5C1A_11CE);
    for _ in 0..count {
        let bytes = mutated(&mut dice);
        let Some((head, body, length)) = accepted(&bytes) else {
            continue;
        };
        let method = match head.method() {
            Method::Other => None,
            known => Some(known.as_str()),
        };
        let fields = [
            "host",
            "connection",
            "content-type",
            "authorization",
            "content-length",
            "transfer-encoding",
        ]
        .map(|name| (name, head.headers(name).map(hex).collect::<Vec<_>>()));
        let line = json!({
            "bytes": hex(&bytes), "method": method, "target": head.target(),
            "fields": std::collections::BTreeMap::from(fields), "body": hex(&body), "length": length,
        });
        writeln!(out, "{line}").expect("written");
    }
    out.flush().expect("written");
}
