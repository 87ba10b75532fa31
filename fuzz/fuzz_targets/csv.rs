//! Arbitrary bytes as CSV.
#![no_main]

mod reader;

use ikbulk::engine::{Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reader::reads(bytes, Format::Csv));
