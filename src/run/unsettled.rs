//! The files on which requests of earlier runs may yet take effect: in flight when a run was
//! interrupted, or sent and never answered.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::recent_writes::is_recent;
use super::{RunDir, in_flight};
use crate::account::{AccountDb, AccountError, AccountId, Writer};
use crate::error::chain;
use crate::ledger::{LedgerError, LedgerFile};
use crate::row::FileId;

/// The files of an account that are not settled by other runs than the one with that id.
///
/// # Errors
/// The state database cannot be read. A run that cannot be read is named and passed by.
pub fn unsettled_files(
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
            Ok(of_run) if of_run.is_empty() => {}
            Ok(of_run) => {
                tracing::warn!(
                    "requests of {} may still take effect on {}; this run relies on no value read \
                     from such a file, and reads the ones it changes back at its end",
                    run.path().display(),
                    crate::plural::plural(of_run.len() as u64, "file", "files"),
                );
                files.extend(of_run);
            }
            Err(error) => tracing::warn!(
                "cannot tell on which files requests of {} may still take effect: {}",
                run.path().display(),
                chain(&error)
            ),
        }
    }
    Ok(files.into_iter().collect())
}

/// Those of one run. What it lost is settled after a while; what was in flight when it was
/// interrupted is settled by resuming it.
fn files_of(run: &RunDir, writer: &Writer, now: Timestamp) -> Result<Vec<FileId>, UnsettledError> {
    let ledger = run.ledger()?;
    let mut files: Vec<FileId> = Vec::new();
    if was_interrupted(&ledger)? {
        files.extend(in_flight::pending(run)?.into_iter().map(|pending| pending.file));
    }
    if is_recent(writer.wrote_at.max(run.last_touched()), now) {
        let lost = ledger.lost_rows()?;
        files.extend(lost.keys().filter_map(|id| FileId::new(id).ok()));
    }
    Ok(files)
}

fn was_interrupted(ledger: &LedgerFile) -> Result<bool, LedgerError> {
    Ok(ledger.had_requests_in_flight()? || ledger.ended()?.is_none())
}

/// Why a run does not say which files it left unsettled.
#[derive(Debug, thiserror::Error)]
enum UnsettledError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("cannot read the requests in flight")]
    InFlight(#[from] std::io::Error),
}
