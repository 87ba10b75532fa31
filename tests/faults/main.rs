//! Every fault of the sandbox × what it hits × where: one table, and the laws over it. What is
//! expected comes from a model of the rules, written here, never from the program.

mod bulk;
#[path = "../apply/harness.rs"]
#[expect(dead_code, reason = "the harness of tests/apply, of which this needs a part")]
mod harness;
mod matrix;
mod model;
mod play;
