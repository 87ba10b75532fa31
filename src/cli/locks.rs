//! Takes the locks of accounts and runs, and waits for them.

use std::time::Duration;

use super::CliError;
use ikbulk::account::{AccountId, AccountLock, LockError, StateDir};
use ikbulk::exit_codes;
use ikbulk::run::{ReportLock, RunDir, RunDirError, RunLock, RunLockError};

/// How often a waiting command retries the lock of an account.
const ACCOUNT_RETRY_EVERY: Duration = Duration::from_secs(1);

/// Takes the lock of an account by its id; with `wait`, waits for it.
pub(super) async fn lock_account(
    state: &StateDir,
    account: AccountId,
    run: &RunDir,
    wait: bool,
) -> Result<AccountLock, CliError> {
    let mut is_waiting = false;
    loop {
        match AccountLock::take(state, account, run.path()) {
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
            Err(error @ LockError::Held { .. }) => {
                let message = format!("{error}; pass --wait-lock to wait for it");
                return Err(CliError { message, exit_code: exit_codes::LOCKED });
            }
            Err(LockError::State(error)) => return Err(error.into()),
            Err(error @ LockError::File { .. }) => return Err(CliError::not_written(&error)),
        }
    }
}

/// Locks the directory of a new run.
pub(super) fn new_run(created: Result<RunDir, RunDirError>) -> Result<(RunDir, RunLock), CliError> {
    let run = created.map_err(|error| CliError::from_error(&error))?;
    match RunLock::take(&run) {
        Ok(lock) => Ok((run, lock)),
        Err(error) => {
            run.discard();
            Err(CliError::not_written(&error))
        }
    }
}

/// How often the lock of a run is retried.
const RUN_RETRY_EVERY: Duration = Duration::from_millis(100);
/// How long to wait for another process that writes the reports of the run.
const REPORTING_MAX: Duration = Duration::from_secs(5);

/// Takes the lock of an existing run. Waits up to [`REPORTING_MAX`] for a process that writes its
/// reports, and with `wait` without limit for a process that executes the run.
pub(super) async fn lock_run(run: &RunDir, wait: bool) -> Result<RunLock, CliError> {
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
            Err(error @ RunLockError::Held { .. }) => {
                let message = format!("{error}; pass --wait-lock to wait for it");
                return Err(CliError { message, exit_code: exit_codes::LOCKED });
            }
            Err(error) => return Err(lock_error(&error)),
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

/// The error of a command that cannot take the lock of a run.
pub(super) fn lock_error(error: &RunLockError) -> CliError {
    match error {
        RunLockError::Held { .. } | RunLockError::Reporting { .. } => {
            CliError { message: error.to_string(), exit_code: exit_codes::LOCKED }
        }
        RunLockError::File { .. } => CliError::not_written(error),
    }
}
