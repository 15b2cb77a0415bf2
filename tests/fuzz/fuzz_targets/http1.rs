//! Requests as bytes: a request in pieces is parsed like the same request at once, and the parser
//! never consumes more than has arrived.

#![no_main]

use golinks_scim::http1::chunks::Decoder;
use golinks_scim::http1::framing::Framing;
use golinks_scim::http1::{Head, target};
use golinks_scim::limits::BODY_BYTES_MAX;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = Head::parse(bytes);
    for cut in 0..bytes.len() {
        match (Head::parse(&bytes[..cut]), &whole) {
            (Ok(None), _) => {}
            (Ok(Some((_, length))), Ok(Some((_, wanted)))) => assert_eq!(length, *wanted),
            (Err(early), Err(late)) => assert_eq!(early.status, late.status),
            _ => panic!("more bytes made another head of it"),
        }
    }
    let Ok(Some((head, length))) = whole else {
        return;
    };
    assert!(head.target().bytes().all(|byte| byte.is_ascii_graphic()));
    let _ = target::path_segments(head.path());
    let _ = head.query().map(target::query_pairs);
    let _ = (head.wants_close(), head.expects_continue());
    if !matches!(Framing::of(&head), Ok(Framing::Chunked)) {
        return;
    }
    let rest = &bytes[length..];
    let mut at_once = Vec::new();
    let mut decoder = Decoder::new(BODY_BYTES_MAX);
    let taken = decoder.feed(rest, &mut at_once);
    let is_done = decoder.is_done();
    let (mut piecewise, mut decoder, mut used) = (Vec::new(), Decoder::new(BODY_BYTES_MAX), 0);
    for end in 1..=rest.len() {
        if decoder.is_done() {
            break;
        }
        match decoder.feed(&rest[used..end], &mut piecewise) {
            Ok(more) => used += more,
            Err(_) => return assert!(taken.is_err(), "only the pieces were refused"),
        }
    }
    let taken = taken.expect("only the whole was refused");
    assert_eq!((is_done, at_once), (decoder.is_done(), piecewise));
    if is_done {
        assert_eq!(taken, used);
    }
});
