//! Executes a prepared session, writes its reports and prints the summary.

use std::future::Future;

use futures_util::FutureExt;

use super::connect::{Connection, LocalState};
use super::limit_args::Deadline;
use super::render::{ProgressDisplay, render_summary};
use super::{CliError, Screen};
use ikbulk::account::AccountLock;
use ikbulk::charges::Charges;
use ikbulk::error::chain;
use ikbulk::execute::{Dispatcher, EndReason, Reads, Stop, Transport};
use ikbulk::exit_codes;
use ikbulk::ledger::{LedgerFile, RunMeta};
use ikbulk::plan::Planner;
use ikbulk::report::{PriorProgress, ProgressMeter, write};
use ikbulk::run::{ConflictCheck, InFlight, RunDir, Session, SessionError};

/// A session that is ready to be sent.
pub(super) struct PreparedRun {
    pub(super) session: Session,
    pub(super) planner: Planner,
    pub(super) run: RunDir,
    pub(super) meta: RunMeta,
    pub(super) ledger: LedgerFile,
    /// The charges database; `None` if the run has no billed extensions, or uses the built-in
    /// sandbox.
    pub(super) charges: Option<Charges>,
    pub(super) connection: Connection,
    /// Held until the session ends.
    pub(super) _locks: Vec<AccountLock>,
    /// Serves until the session ends.
    pub(super) _sandbox: Option<ikbulk_sandbox::Running>,
}

impl PreparedRun {
    /// Sends the session and returns its exit code.
    pub(super) async fn finish(
        self: Box<Self>,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
        deadline: Deadline,
    ) -> Result<u8, CliError> {
        let Self { session, planner, run, meta, ledger, charges, connection, .. } = *self;
        connection.register(&run, &meta)?;
        if let Some(charges) = &charges {
            charges.open_run(&meta.id)?;
        }
        record_write_time(&connection, &meta)?;
        let context = session.context.clone();
        let prior_progress = PriorProgress::of(&ledger)?;
        let mut meter = ProgressMeter::new(meta.rows, meta.writes, prior_progress);
        let mut display = ProgressDisplay::new(screen.bars());
        let stop = async {
            let signal = std::pin::pin!(signal.fuse());
            let deadline = std::pin::pin!(deadline.reached().fuse());
            let (why, _) = futures_util::future::select(signal, deadline).await.factor_first();
            if why == Stop::Interrupt {
                screen
                    .error("finishing the requests in flight; press Ctrl-C again to exit at once");
            }
            EndReason::Stopped(why)
        };
        let on_progress =
            |dispatcher: &Dispatcher, now| display.show(&meter.measure(dispatcher, now));
        let api = &connection.client.api;
        let executed = if meta.checks_conflicts {
            let reads = Reads::sharing_within_run(&session.execution, &connection.rates);
            let conflict_check = ConflictCheck::new(api.clone(), &ledger, reads)?;
            execute(session, planner, ledger, &run, &conflict_check, stop, on_progress).await
        } else {
            execute(session, planner, ledger, &run, api, stop, on_progress).await
        };
        drop(display);
        let (ending, ledger) = executed?;
        if let Err(error) = record_write_time(&connection, &meta) {
            // The note from the start of the run still covers its writes.
            tracing::warn!("{}", error.message);
        }
        let is_recorded =
            charges.is_none_or(|charges| record_charges(&charges, &run, &ledger, screen));
        let reports = write(&run, &ledger, &meta, &context, &ending)
            .map_err(|error| CliError::not_written(&error))?;
        screen.print(&render_summary(&reports, &ending, run.path(), screen.width()));
        Ok(if is_recorded { reports.summary.exit_code } else { exit_codes::NOT_WRITTEN })
    }
}

/// Executes a session and records its requests in flight.
async fn execute<W: Transport>(
    session: Session,
    planner: Planner,
    ledger: LedgerFile,
    run: &RunDir,
    transport: &W,
    stop: impl Future<Output = EndReason>,
    on_progress: impl FnMut(&Dispatcher, std::time::Duration),
) -> Result<(EndReason, LedgerFile), CliError> {
    let in_flight = InFlight::new(run, transport).map_err(|error| CliError::not_written(&error))?;
    let executed = session.execute(planner, ledger, &in_flight, stop, on_progress).await;
    let executed = executed.map_err(|error| match error {
        error @ (SessionError::Ledger(_) | SessionError::ReadBack(_)) => {
            CliError::not_written(&error)
        }
        error @ SessionError::Thread(_) => CliError::from_error(&error),
    })?;
    in_flight.close().map_err(|error| CliError::not_written(&error))?;
    Ok(executed)
}

/// Records the time of a write: lists and searches may be stale for a while after it.
fn record_write_time(connection: &Connection, meta: &RunMeta) -> Result<(), CliError> {
    match &connection.local {
        Some(LocalState { db, .. }) => Ok(db.note_writing(&meta.id, jiff::Timestamp::now())?),
        None => Ok(()),
    }
}

/// Records the charges of a run; prints an error and returns `false` on failure.
fn record_charges(charges: &Charges, run: &RunDir, ledger: &LedgerFile, screen: &Screen) -> bool {
    let recorded = charges.record(run, ledger);
    if let Err(error) = &recorded {
        screen.error(&format!(
            "cannot record the charges of this run: {}; the next run with extensions on this \
             account tries again; keep {} until then",
            chain(error),
            run.path().display()
        ));
    }
    recorded.is_ok()
}
