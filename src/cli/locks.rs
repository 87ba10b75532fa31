//! Locks that commands take and wait for: of an account, and of a run.

use std::time::Duration;

use super::connect::{Connection, LocalState};
use super::{CliError, IN_THE_WAY};
use crate::account::{AccountId, AccountLock, LockError, StateDir};
use crate::run::{ReportLock, RunDir, RunDirError, RunLock, RunLockError};

/// How often a command that waits for the lock of an account looks whether it is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes the lock of an account, waiting for it if asked to. Nothing is locked for a sandbox of the
/// run's own.
pub(super) async fn lock(
    connection: &Connection,
    run: &RunDir,
    wait: bool,
) -> Result<Option<AccountLock>, CliError> {
    match &connection.kept {
        Some(LocalState { state, account, .. }) => {
            lock_account(state, *account, run, wait).await.map(Some)
        }
        None => Ok(None),
    }
}

/// The same for an account by its number.
pub(super) async fn lock_account(
    state: &StateDir,
    account: AccountId,
    run: &RunDir,
    wait: bool,
) -> Result<AccountLock, CliError> {
    let mut waits = false;
    loop {
        match AccountLock::take(state, account, run.path()) {
            Ok(lock) => {
                if waits {
                    tracing::info!("the other run has ended");
                }
                return Ok(lock);
            }
            Err(LockError::Held { holder }) if wait => {
                if !waits {
                    tracing::info!("waiting for another run on this account: {holder}");
                }
                waits = true;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error @ LockError::Held { .. }) => {
                let message = format!("{error}; --wait-lock waits for it");
                return Err(CliError { message, exit_code: IN_THE_WAY });
            }
            Err(LockError::State(error)) => return Err(error.into()),
            Err(error @ LockError::File { .. }) => return Err(CliError::not_written(&error)),
        }
    }
}

/// The directory of a new run, and its lock.
pub(super) fn new_run(created: Result<RunDir, RunDirError>) -> Result<(RunDir, RunLock), CliError> {
    let run = created.map_err(|error| CliError::of(&error))?;
    match RunLock::take(&run) {
        Ok(lock) => Ok((run, lock)),
        Err(error) => {
            run.discard();
            Err(CliError::not_written(&error))
        }
    }
}

/// How often it is tried to take the lock of a run.
const RUN_LOOK_EVERY: Duration = Duration::from_millis(100);
/// For how long reports that another process writes are waited for.
const REPORTING_MAX: Duration = Duration::from_secs(5);

/// Takes the lock of an existing run, waiting if asked to for the process that executes it, and
/// always a moment for one that writes its reports.
pub(super) async fn lock_run(run: &RunDir, wait: bool) -> Result<RunLock, CliError> {
    let mut reporting = Duration::ZERO;
    let mut waits = false;
    loop {
        match RunLock::take(run) {
            Ok(lock) => return Ok(lock),
            Err(error @ RunLockError::Held { .. }) if wait => {
                if !waits {
                    tracing::info!("{error}; waiting for it to end");
                }
                waits = true;
            }
            Err(RunLockError::Reporting { .. }) if reporting < REPORTING_MAX => {
                reporting += RUN_LOOK_EVERY;
            }
            Err(error @ RunLockError::Held { .. }) => {
                let message = format!("{error}; --wait-lock waits for it");
                return Err(CliError { message, exit_code: IN_THE_WAY });
            }
            Err(error) => return Err(not_locked(&error)),
        }
        tokio::time::sleep(RUN_LOOK_EVERY).await;
    }
}

/// Takes the lock of a run for writing its reports, waiting a moment for another process that
/// writes them.
pub(super) async fn lock_reports(run: &RunDir) -> Result<ReportLock, RunLockError> {
    let mut reporting = Duration::ZERO;
    loop {
        match ReportLock::take(run) {
            Err(RunLockError::Reporting { .. }) if reporting < REPORTING_MAX => {
                reporting += RUN_LOOK_EVERY;
                tokio::time::sleep(RUN_LOOK_EVERY).await;
            }
            taken_or_not => return taken_or_not,
        }
    }
}

/// The refusal of a command that needs the lock of a run.
pub(super) fn not_locked(error: &RunLockError) -> CliError {
    match error {
        RunLockError::Held { .. } | RunLockError::Reporting { .. } => {
            CliError { message: error.to_string(), exit_code: IN_THE_WAY }
        }
        RunLockError::File { .. } => CliError::not_written(error),
    }
}
