//! Property tests ("laws") of the executor.
//!
//! They test the pure dispatcher: [`scenario`] generates sheets, settings and API responses;
//! [`simulation`] simulates a run on virtual time and records a [`history`] of everything observable
//! from outside; each law is a function over that history and does not look into the dispatcher.
//! `run::laws` checks some of the laws with the real loop and the real ledger.

mod aborts;
mod accounting;
mod at_most_once;
mod attempts;
mod history;
mod order;
pub(crate) mod rate_limit;
mod real_limits;
mod resume;
pub(crate) mod scenario;
mod simulation;
