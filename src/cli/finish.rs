//! Carries a prepared session out, writes its reports and says what came of it.

use std::future::Future;

use futures_util::FutureExt;

use super::connect::{Connection, LocalState};
use super::limit_args::Deadline;
use super::{CliError, NOT_WRITTEN, Screen};
use crate::account::AccountLock;
use crate::charges::Charges;
use crate::error::chain;
use crate::execute::{Dispatcher, EndReason, Reads, Stop, Transport};
use crate::ledger::{LedgerFile, RunMeta};
use crate::plan::Planner;
use crate::report::{PriorProgress, Progress, render_summary, write};
use crate::run::{ConflictCheck, InFlight, RunDir, Session, SessionError};
use crate::sandbox;

/// A session that only has to be carried out.
pub(super) struct PreparedRun {
    pub(super) session: Session,
    pub(super) planner: Planner,
    pub(super) run: RunDir,
    pub(super) meta: RunMeta,
    pub(super) ledger: LedgerFile,
    /// Where its charges are remembered; `None` where it runs no extension, or on a sandbox of its
    /// own.
    pub(super) charges: Option<Charges>,
    pub(super) connection: Connection,
    /// Held until the end.
    pub(super) _locks: Vec<AccountLock>,
    /// Serves until the end.
    pub(super) _sandbox: Option<sandbox::Running>,
}

impl PreparedRun {
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
        note_writing(&connection, &meta)?;
        let context = session.context.clone();
        let before = PriorProgress::of(&ledger)?;
        let mut progress = Progress::new(screen.bars(), meta.rows, meta.writes, before);
        let stop = async {
            let signal = std::pin::pin!(signal.fuse());
            let deadline = std::pin::pin!(deadline.passed().fuse());
            let (why, _) = futures_util::future::select(signal, deadline).await.factor_first();
            if why == Stop::Interrupt {
                screen.error("finishing the requests in flight; Ctrl-C again ends at once");
            }
            EndReason::Stopped(why)
        };
        let watch = |dispatcher: &Dispatcher, now| progress.show(dispatcher, now);
        let api = &connection.client.api;
        let executed = if meta.guarded {
            let reads = Reads::sharing_within_run(&session.execution, &connection.rates);
            let guarded = ConflictCheck::new(api.clone(), &ledger, reads)?;
            execute(session, planner, ledger, &run, &guarded, stop, watch).await
        } else {
            execute(session, planner, ledger, &run, api, stop, watch).await
        };
        progress.finish();
        let (ending, ledger) = executed?;
        if let Err(refusal) = note_writing(&connection, &meta) {
            // The note of its beginning stands.
            tracing::warn!("{}", refusal.message);
        }
        let is_remembered = charges.is_none_or(|charges| remember(&charges, &run, &ledger, screen));
        let reports = write(&run, &ledger, &meta, &context, &ending)
            .map_err(|error| CliError::not_written(&error))?;
        screen.say(&render_summary(&reports, &ending, run.path(), screen.width()));
        Ok(if is_remembered { reports.summary.exit_code } else { NOT_WRITTEN })
    }
}

/// Executes a session, and writes down its requests in flight.
async fn execute<W: Transport>(
    session: Session,
    planner: Planner,
    ledger: LedgerFile,
    run: &RunDir,
    wire: &W,
    stop: impl Future<Output = EndReason>,
    watch: impl FnMut(&Dispatcher, std::time::Duration),
) -> Result<(EndReason, LedgerFile), CliError> {
    let in_flight = InFlight::new(run, wire).map_err(|error| CliError::not_written(&error))?;
    let executed = session.execute(planner, ledger, &in_flight, stop, watch).await;
    let executed = executed.map_err(|error| match error {
        error @ (SessionError::Ledger(_) | SessionError::ReadBack(_)) => {
            CliError::not_written(&error)
        }
        error @ SessionError::Thread(_) => CliError::of(&error),
    })?;
    in_flight.close().map_err(|error| CliError::not_written(&error))?;
    Ok(executed)
}

/// Lists and searches may not show yet what is written from now on, or was until now.
fn note_writing(connection: &Connection, meta: &RunMeta) -> Result<(), CliError> {
    match &connection.kept {
        Some(LocalState { db, .. }) => Ok(db.note_writing(&meta.id, jiff::Timestamp::now())?),
        None => Ok(()),
    }
}

/// Remembers the charges of a run, or says that they cannot be.
fn remember(charges: &Charges, run: &RunDir, ledger: &LedgerFile, screen: &Screen) -> bool {
    let recorded = charges.record(run, ledger);
    if let Err(error) = &recorded {
        screen.error(&format!(
            "the charges of this run are not remembered yet: {}; the next run with extensions on \
             this account tries again, keep {} until then",
            chain(error),
            run.path().display()
        ));
    }
    recorded.is_ok()
}
