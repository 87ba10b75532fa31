//! Arbitrary bytes as a workbook.
#![no_main]

mod reader;
mod workbook;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| workbook::reads_workbook(bytes));
