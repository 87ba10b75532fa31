//! Arbitrary bytes as the body of a successful response.
#![no_main]

mod bodies;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bodies::takes_response(bytes));
