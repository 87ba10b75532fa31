//! The laws of the executor, and of what it is given.
//!
//! Most of them are about the pure dispatcher: [`world`] generates sheets, answers and settings,
//! [`sim`] plays a run over virtual time and writes down what could be seen from outside, and each
//! law is a function over that [`history`], which never looks into the dispatcher. [`real_loop`]
//! asks a few of the same of the loop that carries out, with the real ledger.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod accounting;
mod attempts;
mod grouping;
mod halts;
mod history;
mod limits;
mod live;
mod once;
mod order;
mod rate;
mod real_loop;
mod resume;
mod sim;
mod world;
