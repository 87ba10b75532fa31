//! The recorded charges, for the runs that need them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::connection::{Connection, LocalState};
use super::error::Error;
use super::ui::{Event, Notice, Ui};
use crate::account::AccountId;
use crate::charges::{Charge, ChargeCertainty, Charges, ChargesError};
use crate::error::chain;
use crate::input::Context;
use crate::ledger::{LedgerError, LedgerFile, RunKind, RunMeta};
use crate::plan::{PriorRun, PriorRunLookup};
use crate::row::{Extension, FileId};
use crate::run::RunDir;
use crate::spending::{Allowance, Spent, utc_day};

/// Opens the charges database for a run with billed extensions, and records the charges of
/// interrupted runs first. The lock of the account must be held.
pub(super) fn charges(
    connection: &Connection,
    has_extensions: bool,
    ui: &impl Ui,
) -> Result<Option<Charges>, Error> {
    let charges = open_charges(connection, has_extensions)?;
    if let (Some(charges), Some(LocalState { account, .. })) = (&charges, &connection.local) {
        record_interrupted(charges, *account, ui)?;
    }
    Ok(charges)
}

/// Opens the charges database for a run with billed extensions. A sandbox of a run has none.
pub(super) fn open_charges(
    connection: &Connection,
    has_extensions: bool,
) -> Result<Option<Charges>, Error> {
    let local = connection.local.as_ref().filter(|_| has_extensions);
    let service = &connection.client.identity.service;
    Ok(local.map(|LocalState { state, .. }| Charges::open(state, service)).transpose()?)
}

/// Records the charges of interrupted runs. The lock of the account must be held.
pub(super) fn record_interrupted(
    charges: &Charges,
    account: AccountId,
    ui: &impl Ui,
) -> Result<(), ChargesError> {
    for unrecorded in charges.record_open_runs(account)? {
        ui.event(Event::Notice(Notice::ChargesOfEarlierRun(&unrecorded)));
    }
    Ok(())
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

/// Looks up in which earlier run an extension already ran on a file, or failed, for the planner.
///
/// A retry runs again what failed in the retried run. If that was to run extensions again that had run
/// before, so does the retry: then only runs after the retried one count.
pub(super) fn already_ran(
    connection: &Connection,
    meta: &RunMeta,
) -> Result<PriorRunLookup, Error> {
    let Some(charges) = open_charges(connection, meta.has_extensions)? else {
        return Ok(Box::new(|_, _| Ok(PriorRun::None)));
    };
    let (is_retry, reruns) = match meta.kind {
        RunKind::Retry { reruns_extensions, .. } => (true, reruns_extensions),
        _ => (false, false),
    };
    let (own_id, origin) = (meta.id.clone(), origin(meta)?);
    let runs = EarlierRuns::new(meta.input_fingerprint.clone());
    let find = move |file: &FileId, extension: &Extension| -> Result<PriorRun, ChargesError> {
        let since = origin.as_deref().map(|run| charges.find_after(file, extension, run));
        let since = since.transpose()?.flatten();
        let has_run_since = since.is_some();
        let is_to_be_retried = |charge: &Charge| {
            is_retry
                && charge.certainty == ChargeCertainty::Failed
                && origin.as_ref() == Some(&charge.run_id)
        };
        let charge = if has_run_since || reruns {
            since
        } else {
            charges.find(file, extension)?.filter(|charge| !is_to_be_retried(charge))
        };
        // What has run since the rows were returned was asked for. Where that is not known, it was if a
        // copy of the sheet ran, or any rows that were returned: this sheet may be an older copy of them.
        let was_asked_for = |run: &Path| has_run_since || origin.is_none() && runs.asked_again(run);
        Ok(match charge {
            Some(charge) if charge.certainty == ChargeCertainty::Failed => PriorRun::Failed {
                run: charge.to_string(),
                was_asked_for: was_asked_for(&charge.run),
            },
            Some(charge) if charge.run_id == own_id => PriorRun::ThisRun(charge.to_string()),
            Some(charge) if charges.find_after(file, extension, &own_id)?.is_some() => {
                PriorRun::Since(charge.to_string())
            }
            Some(charge) if charge.certainty == ChargeCertainty::ResponseLost => {
                PriorRun::Lost(charge.to_string())
            }
            Some(charge) => PriorRun::Same(charge.to_string()),
            None if charges.has_any(file, extension.name())? => PriorRun::Other,
            None => PriorRun::None,
        })
    };
    Ok(Box::new(move |file, extension| Ok(find(file, extension)?)))
}

/// Which runs asked again for what had failed: those of a sheet with this content, retries, and those of
/// rows that an earlier run returned.
struct EarlierRuns {
    fingerprint: String,
    /// The runs so far.
    known: Mutex<HashMap<PathBuf, bool>>,
}

impl EarlierRuns {
    fn new(fingerprint: String) -> Self {
        Self { fingerprint, known: Mutex::default() }
    }

    /// Whether this run is one of them. One that cannot be read may be, so that nothing is charged again.
    fn asked_again(&self, path: &Path) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = known.get(path) {
            return *asked;
        }
        let asked = self.is_one(path).unwrap_or(true);
        known.insert(path.to_owned(), asked);
        asked
    }

    fn is_one(&self, path: &Path) -> Result<bool, ChargesError> {
        let Some(run) = RunDir::open_if_exists(path).map_err(ChargesError::Directory)? else {
            return Ok(false);
        };
        let meta = run.ledger()?.meta()?;
        if meta.input_fingerprint == self.fingerprint || matches!(meta.kind, RunKind::Retry { .. })
        {
            return Ok(true);
        }
        let (input, context) = (run.input(&meta), Context::default());
        let first = input.rows(&context, None)?.next_row()?;
        Ok(first.is_some_and(|(_, prior)| prior.is_returned))
    }
}

/// Id of the run whose rows are sent again: of a retry, or of a sheet that is still where the run
/// returned it.
fn origin(meta: &RunMeta) -> Result<Option<String>, LedgerError> {
    if let RunKind::Retry { of, .. } = &meta.kind {
        return Ok(Some(of.clone()));
    }
    let Some(sheet) = &meta.input_path else { return Ok(None) };
    Ok(RunDir::of_file(Path::new(sheet))?.map(|(_, meta)| meta.id))
}

/// Records the charges of a run as they are known now, in `charges`, unless it has none; tells of an
/// error and returns `false` on failure.
pub(super) fn record_charges(
    charges: Result<Option<Charges>, Error>,
    run: &RunDir,
    ledger: &LedgerFile,
    ui: &impl Ui,
) -> bool {
    let recorded = match charges {
        Ok(charges) => charges.map_or(Ok(()), |charges| charges.record(run, ledger)),
        Err(error) => {
            tracing::warn!("{}", chain(&error));
            return false;
        }
    };
    if let Err(error) = &recorded {
        ui.event(Event::Notice(Notice::ChargesNotRecorded { run, error }));
    }
    recorded.is_ok()
}
