//! Property tests ("laws") of executor and planner.
//!
//! Most test the pure dispatcher: [`scenario`] generates sheets, settings and API responses;
//! [`simulation`] simulates a run on virtual time and records a [`history`] of everything observable from
//! outside; each law is a function over that history and does not look into the dispatcher. [`real_loop`]
//! checks some of the laws with the real loop and the real ledger.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod aborts;
mod accounting;
mod at_most_once;
mod attempts;
mod history;
mod order;
mod planner_equivalence;
mod rate_limit;
mod real_limits;
mod real_loop;
mod resume;
mod scenario;
mod sheets;
mod simulation;
mod tag_batching;
