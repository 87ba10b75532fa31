//! The recorded charges, for the runs that need them.

use jiff::Timestamp;

use super::connection::{Connection, LocalState};
use super::error::Error;
use super::ui::{Event, Notice, Ui};
use crate::charges::Charges;
use crate::error::chain;
use crate::ledger::{LedgerFile, RunMeta};
use crate::plan::PriorRunLookup;
use crate::spending::{Allowance, Spent, utc_day};

/// Opens the charges database for a run with billed extensions, and records the charges of
/// interrupted runs first. The lock of the account must be held.
pub(super) fn charges(
    connection: &Connection,
    has_extensions: bool,
    ui: &impl Ui,
) -> Result<Option<Charges>, Error> {
    let Some(LocalState { state, account, .. }) =
        connection.local.as_ref().filter(|_| has_extensions)
    else {
        return Ok(None);
    };
    let charges = Charges::open(state, &connection.client.identity.service)?;
    for unrecorded in charges.record_open_runs(*account)? {
        ui.event(Event::Notice(Notice::ChargesOfEarlierRun(&unrecorded)));
    }
    Ok(Some(charges))
}

/// What the extensions of a run may still spend. [`charges`] must have been called.
pub(super) fn allowance(
    meta: &RunMeta,
    ledger: &LedgerFile,
    connection: &Connection,
    charges: Option<&Charges>,
) -> Result<Allowance, Error> {
    let now = Timestamp::now();
    let by_others = match (&connection.local, charges) {
        (Some(LocalState { account, .. }), Some(charges)) => {
            charges.spent_by_others(*account, &meta.id, utc_day(now))?
        }
        _ => Spent::default(),
    };
    Ok(Allowance::new(meta.spending.clone(), ledger.spent()?, by_others, now))
}

/// Looks up in which earlier run an extension already ran on a file, for the planner.
pub(super) fn already_ran(
    connection: &Connection,
    has_extensions: bool,
) -> Result<PriorRunLookup, Error> {
    let Some(LocalState { state, .. }) = connection.local.as_ref().filter(|_| has_extensions)
    else {
        return Ok(Box::new(|_, _| None));
    };
    let charges = Charges::open(state, &connection.client.identity.service)?;
    Ok(Box::new(move |file, extension| match charges.find(file, extension) {
        Ok(charge) => charge.map(|charge| charge.to_string()),
        // If the lookup fails, skip the extension: it may have been charged before.
        Err(error) => Some(chain(&error)),
    }))
}
