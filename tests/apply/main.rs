//! The commands as a person meets them: the real binary, a sheet, and an ImageKit at the other end.

mod faults;
#[expect(dead_code, reason = "shared with tests/crash; each needs a part")]
mod harness;
mod input;
mod reports;
mod runs;
mod wire;
