//! Paths: of attributes, in patch operations, for sorting and in projections.

#![no_main]

use golinks_scim::scim::path::Target;
use golinks_scim::scim::{AttributePath, Leniency, Projection, Sort};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(path) = AttributePath::parse(text) {
        assert_eq!(AttributePath::parse(&path.to_string()), Some(path));
    }
    let lenient = Target::parse(text, &mut Leniency::compatible());
    // Compatible mode accepts every path that strict mode accepts.
    if Target::parse(text, &mut Leniency::strict()).is_ok() {
        assert!(lenient.is_ok(), "{text}");
    }
    for mut leniency in [Leniency::strict(), Leniency::compatible()] {
        let _ = Sort::parse(text, Some("descending"), &mut leniency);
        let _ = Projection::parse(Some(text), Some(text), &mut leniency).is_whole();
    }
});
