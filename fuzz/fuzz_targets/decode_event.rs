//! Any bytes at all as a record of the kernel's ring buffer: decoding must not panic, is the same every time, and takes
//! records of one length only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_datapath::abi::RawEvent;
use ringfence_datapath::event::{DecodeError, decode};

fuzz_target!(|data: &[u8]| {
    let decoded = decode(data);
    assert_eq!(decoded, decode(data));
    match decoded {
        Ok(event) => {
            assert_eq!(data.len(), size_of::<RawEvent>());
            assert_ne!(event.rule, Some(0));
            assert_ne!(event.endpoint, Some(0));
        }
        Err(DecodeError::Length { found }) => {
            assert_eq!(found, data.len());
            assert_ne!(found, size_of::<RawEvent>());
        }
        Err(DecodeError::Field { .. }) => assert_eq!(data.len(), size_of::<RawEvent>()),
    }
});
