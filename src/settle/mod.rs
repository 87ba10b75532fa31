//! Settles a run: finds the final status of its pending extensions, and of its requests whose
//! response was lost.
//!
//! ImageKit has no endpoint to ask. There are two sources: the current state of the files, compared
//! with their state before the request, which the ledger has; and the callbacks that ImageKit posts
//! to `webhookUrl`. [`OpenSteps`] is what a run has open; it decides which step a result belongs to,
//! and records it in the ledger with its evidence ([`crate::settled`]). Everything that looks back at
//! the run follows from there.
//!
//! Reading proves only successes: what an extension wrote is evidence, and its absence is none, since
//! the extension may still be running, may have found nothing, or the list may be stale. A result
//! that another request of this or another run may have caused is no evidence either.
//!
//! [`Settler`] reads until everything is settled. It may be stopped and repeated at any point: what
//! was recorded stays, and what was not is read again.

mod before;
mod claims;
mod evidence;
#[cfg(test)]
mod laws;
mod open;
mod reader;
mod reported;
mod schedule;
mod settler;
mod states;

pub(crate) use before::state_before;
pub(crate) use open::OpenSteps;
pub use open::SettleError;
pub(crate) use reported::{ReportEffect, Reported};
pub(crate) use settler::{OtherRuns, Settler};
pub use settler::{SettleProgress, SettleStop};
pub(crate) use states::ApiStates;
