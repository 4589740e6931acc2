//! What fuzzing has found worth keeping (`fuzz/corpus/decode_event`), decoded again by every test run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

use std::path::Path;

use ringfence_datapath::abi::RawEvent;
use ringfence_datapath::event::{DecodeError, decode};

#[test]
fn kept_records_are_decoded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/decode_event");
    let (mut events, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        match decode(&bytes) {
            Ok(event) => {
                assert_eq!(bytes.len(), size_of::<RawEvent>(), "{}", file.display());
                assert_ne!((event.rule, event.endpoint), (Some(0), Some(0)), "{}", file.display());
                events += 1;
            }
            Err(DecodeError::Length { found }) => {
                assert_eq!(found, bytes.len(), "{}", file.display());
                assert_ne!(found, size_of::<RawEvent>(), "{}", file.display());
                refused += 1;
            }
            Err(DecodeError::Field { .. }) => {
                assert_eq!(bytes.len(), size_of::<RawEvent>(), "{}", file.display());
                refused += 1;
            }
        }
    }
    assert!(events > 3 && refused > 3, "{events} events, {refused} refused");
}
