//! Takes the locks of accounts and runs, and waits for them.

use std::path::Path;
use std::time::Duration;

use super::error::Error;
use crate::account::{AccountId, AccountLock, LockError, StateDir};
use crate::run::{ReportLock, RunDir, RunDirError, RunLock, RunLockError};

/// How often a waiting command retries the lock of an account.
const ACCOUNT_RETRY_EVERY: Duration = Duration::from_secs(1);

/// Takes the lock of an account by its id, for a run or a file; with `wait`, waits for it.
pub(super) async fn lock_account(
    state: &StateDir,
    account: AccountId,
    holder: &Path,
    wait: bool,
) -> Result<AccountLock, Error> {
    let mut is_waiting = false;
    loop {
        match AccountLock::take(state, account, holder) {
            Ok(lock) => {
                if is_waiting {
                    tracing::info!("the other run has ended");
                }
                return Ok(lock);
            }
            Err(LockError::Held { holder }) if wait => {
                if !is_waiting {
                    tracing::info!("waiting for another run on this account: {holder}");
                }
                is_waiting = true;
                tokio::time::sleep(ACCOUNT_RETRY_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Locks the directory of a new run.
pub(super) fn new_run(created: Result<RunDir, RunDirError>) -> Result<(RunDir, RunLock), Error> {
    let run = created?;
    match RunLock::take(&run) {
        Ok(lock) => Ok((run, lock)),
        Err(error) => {
            run.discard();
            Err(error.into())
        }
    }
}

/// How often the lock of a run is retried.
const RUN_RETRY_EVERY: Duration = Duration::from_millis(100);
/// How long to wait for another process that writes the reports of the run.
const REPORTING_MAX: Duration = Duration::from_secs(5);

/// Takes the lock of an existing run. Waits up to [`REPORTING_MAX`] for a process that writes its
/// reports, and with `wait` without limit for a process that executes the run.
pub(super) async fn lock_run(run: &RunDir, wait: bool) -> Result<RunLock, Error> {
    let mut reporting = Duration::ZERO;
    let mut is_waiting = false;
    loop {
        match RunLock::take(run) {
            Ok(lock) => return Ok(lock),
            Err(error @ RunLockError::Held { .. }) if wait => {
                if !is_waiting {
                    tracing::info!("{error}; waiting for it to end");
                }
                is_waiting = true;
            }
            Err(RunLockError::Reporting { .. }) if reporting < REPORTING_MAX => {
                reporting += RUN_RETRY_EVERY;
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(RUN_RETRY_EVERY).await;
    }
}

/// Takes the lock for writing the reports of a run. Waits up to [`REPORTING_MAX`] for another
/// process that writes them.
pub(super) async fn lock_reports(run: &RunDir) -> Result<ReportLock, RunLockError> {
    let mut reporting = Duration::ZERO;
    loop {
        match ReportLock::take(run) {
            Err(RunLockError::Reporting { .. }) if reporting < REPORTING_MAX => {
                reporting += RUN_RETRY_EVERY;
                tokio::time::sleep(RUN_RETRY_EVERY).await;
            }
            result => return result,
        }
    }
}
