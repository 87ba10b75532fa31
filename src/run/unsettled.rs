//! Unsettled files: a request of an earlier run may still take effect on them, because it was in
//! flight when that run was interrupted, or its response was lost.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::recent_writes::is_recent;
use super::{RunDir, in_flight};
use crate::account::{AccountDb, AccountError, AccountId, Writer};
use crate::error::chain;
use crate::ledger::{Completeness, LedgerError};
use crate::row::FileId;

/// The unsettled files of an account. `except` is the id of a run whose requests do not count.
///
/// # Errors
/// The state database cannot be read. A run that cannot be read is logged and skipped.
pub(crate) fn unsettled_files(
    db: &AccountDb,
    account: AccountId,
    except: &str,
    now: Timestamp,
) -> Result<Vec<FileId>, AccountError> {
    let mut files = BTreeSet::new();
    for writer in db.writers(account)?.into_iter().filter(|writer| writer.id != except) {
        let Ok(run) = RunDir::open(&writer.path) else {
            continue;
        };
        match files_of(&run, &writer, now) {
            Ok(unsettled) if unsettled.is_empty() => {}
            Ok(unsettled) => {
                tracing::warn!(
                    "requests of the earlier run {} may still take effect on {}; this run does not \
                     rely on their current state, and reads back those it changes at its end",
                    run.path().display(),
                    crate::plural::plural(unsettled.len() as u64, "file", "files"),
                );
                files.extend(unsettled);
            }
            Err(error) => tracing::warn!(
                "cannot tell on which files requests of the earlier run {} may still take effect: \
                 {}",
                run.path().display(),
                chain(&error)
            ),
        }
    }
    Ok(files.into_iter().collect())
}

/// The unsettled files of one run. Lost responses settle after an hour; requests in flight when the
/// run was interrupted settle when it is resumed.
fn files_of(run: &RunDir, writer: &Writer, now: Timestamp) -> Result<Vec<FileId>, UnsettledError> {
    let changed = Some(writer.wrote_at).max(run.last_modified());
    let ledger = run.ledger()?;
    let mut files: Vec<FileId> = Vec::new();
    if ledger.completeness()? == Completeness::MayMissRequests {
        files.extend(in_flight::pending(run)?.into_iter().map(|pending| pending.file));
    }
    if is_recent(changed, now) {
        // What is due to a run before it is found there.
        files.extend(ledger.files_with_own_loss()?);
    }
    Ok(files)
}

/// Reason why the unsettled files of a run cannot be determined.
#[derive(Debug, thiserror::Error)]
enum UnsettledError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("cannot read the requests in flight")]
    InFlight(#[from] std::io::Error),
}
