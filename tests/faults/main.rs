//! Every fault of the sandbox × what it hits × where: one table, and the laws over it. What is
//! expected comes from a model of the rules, written here, never from the program.

mod bulk;
#[path = "../apply/harness.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "this needs a part of the harness")]
mod harness;
mod matrix;
mod model;
mod play;
