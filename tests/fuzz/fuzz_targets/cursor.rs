//! Cursors: only a sealed cursor can be opened, and no content makes the reader panic.

#![no_main]

use golinks_scim::directory::Position;
use golinks_scim::secret::{SealKey, Sealer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(place) = Position::decode(bytes) {
        assert_eq!(place.encode(), bytes);
    }
    let sealer = Sealer::new(&SealKey::new([7; 32]));
    assert_eq!(sealer.open(b"query", bytes), None, "forged");
    let sealed = sealer.seal(b"query", bytes);
    assert_eq!(sealer.open(b"query", &sealed).as_deref(), Some(bytes));
});
