//! Any bytes at all: reading must not panic, and every finding must point into the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_k8s::{ReadOptions, Reader};

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(ReadOptions::default());
    reader.bytes("f", data.to_vec());
    let reading = reader.finish();
    for finding in &reading.findings {
        let place = finding.place.as_ref().expect("what was read from text has a place");
        let text = &reading.sources.file(place.id).expect("a known file").text;
        assert!(text.get(place.bytes.clone()).is_some(), "{finding} is not in the text");
    }
    let _ = reading.inventory.world();
});
