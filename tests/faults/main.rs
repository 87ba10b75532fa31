//! Every sandbox fault × the request that it hits × the position, checked against a model of the
//! design's rules and against invariants. The model is written by hand and shares no code with `src`.

mod bulk_model;
#[path = "../apply/harness.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the harness of tests/apply is used in part"
)]
mod harness;
mod matrix;
mod model;
mod run_case;
