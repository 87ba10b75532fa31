//! Puts the session of a planned run together, executes it, and writes its reports: the common end
//! of every command that sends.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select;

use super::callbacks::CallbackIntake;
use super::connection::{Connection, LocalState};
use super::error::Error;
use super::limits::Limits;
use super::prior_runs::prior_runs;
use super::recorded_charges::{allowance, record_charges};
use super::settings::Settings;
use super::settle::{SettleReport, Settling};
use super::ui::{Event, Ui};
use crate::account::AccountLock;
use crate::callback::Listener;
use crate::charges::Charges;
use crate::error::chain;
use crate::execute::{Dispatcher, EndReason, Reads, Stop, Transport};
use crate::history::RunRecord;
use crate::input::{Context, Input};
use crate::ledger::{LedgerFile, RunMeta, Stage};
use crate::plan::Planner;
use crate::report::{ProgressMeter, Reports, RetryRows, RunProgress, write};
use crate::run::{ConflictCheck, InFlight, RunDir, SavedResponses, Session};
use crate::settle::OpenSteps;

/// How a command that sends has ended.
#[derive(Debug)]
pub enum Executed {
    /// It has sent what was to be sent, or was stopped.
    Ran(Box<RunReport>),
    /// The run had nothing left to send.
    NothingLeft {
        /// The run.
        run: RunDir,
        /// The exit code of its last session (see [`crate::exit_codes`]).
        exit_code: u8,
        /// Whether it has pending extensions or unknown outcomes, which may have a final status by
        /// now.
        to_settle: bool,
    },
    /// The run had nothing left to send, and was settled.
    Settled(Box<SettleReport>),
    /// The run has no rows to retry.
    NothingToRetry {
        /// The run.
        run: RunDir,
        /// Its rows of unknown outcome, and its rejected ones.
        rows: RetryRows,
        /// The exit code of its last session (see [`crate::exit_codes`]).
        exit_code: u8,
    },
    /// An earlier run of the same sheet has finished, and applying the sheet again would charge for
    /// its extensions again.
    AlreadyFinished {
        /// The earlier run.
        run: RunDir,
        /// The exit code of its last session (see [`crate::exit_codes`]).
        exit_code: u8,
        /// Whether it has pending extensions or unknown outcomes, which may have a final status by
        /// now.
        to_settle: bool,
    },
}

/// The result of a session.
#[derive(Debug)]
pub struct RunReport {
    /// The run.
    pub run: RunDir,
    /// The reports: the outcome of every row.
    pub reports: Reports,
    /// Why the session ended.
    pub ending: EndReason,
    /// Whether the charges of the run are recorded, so that later runs do not charge them again. If
    /// not, the next run with extensions on the account tries again.
    pub are_charges_recorded: bool,
}

/// A run that is planned and confirmed. [`Self::started`] records that it sends from now on.
pub(super) struct PreparedRun {
    pub(super) run: RunDir,
    /// The facts of the run, with its number of writes.
    pub(super) meta: RunMeta,
    pub(super) ledger: LedgerFile,
    /// The run's copy of the sheet.
    pub(super) input: Input,
    pub(super) context: Context,
    /// The charges database; `None` if the run has no billed extensions, or uses a sandbox of its
    /// own.
    pub(super) charges: Option<Charges>,
    pub(super) connection: Connection,
    /// Receives callbacks from the first request on.
    pub(super) listener: Option<Listener>,
    /// Held until the session ends.
    pub(super) locks: Vec<AccountLock>,
    /// Serves until the session ends.
    pub(super) sandbox: Option<Box<dyn Any>>,
}

/// A run that is recorded as sending, with its session.
pub(super) struct StartedRun {
    run: PreparedRun,
    session: Session,
    planner: Planner,
}

impl PreparedRun {
    /// Records that the run sends, and puts its session together: at most `rows_max` rows.
    pub(super) fn started(
        mut self,
        settings: &Settings,
        rows_max: Option<u64>,
    ) -> Result<Box<StartedRun>, Error> {
        self.meta.stage = Stage::Running;
        let Self { meta, ledger, connection, charges, .. } = &self;
        ledger.set_meta(meta)?;
        ledger.add_session()?;
        let planner = Planner::of(meta, ledger, prior_runs(connection, &self.run, meta)?)?;
        let session = Session {
            input: self.input.clone(),
            context: self.context.clone(),
            execution: settings.execution.clone(),
            rates: Some(connection.rates.clone()),
            rows_max,
            allowance: allowance(meta, ledger, connection, charges.as_ref())?,
            callback_url: ledger.callback_url()?,
        };
        Ok(Box::new(StartedRun { run: self, session, planner }))
    }
}

impl StartedRun {
    /// Sends the session and writes its reports.
    pub(super) async fn finish(
        self: Box<Self>,
        limits: Limits,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Box<RunReport>, Error> {
        let Self { run: prepared, session, planner } = *self;
        let PreparedRun { run, meta, ledger, context, charges, connection, .. } = prepared;
        let (listener, locks, _sandbox) = (prepared.listener, prepared.locks, prepared.sandbox);
        let execution = session.execution.clone();
        let mut signal = std::pin::pin!(signal.fuse());
        connection.register(&run, &meta)?;
        if let Some(charges) = &charges {
            charges.open_run(&meta.id)?;
        }
        record_write_time(&connection, &meta)?;
        let mut meter = ProgressMeter::new(meta.writes, RunProgress::from_ledger(&ledger)?);
        let stop = first_stop(signal.as_mut(), limits, ui);
        let on_progress = |dispatcher: &Dispatcher, now| {
            ui.event(Event::Progress(&meter.measure(dispatcher, now)));
        };
        let api = &connection.client.api;
        let executed = if meta.checks_conflicts_when_resumed() {
            let reads = Reads::sharing_within_run(&session.execution, &connection.rates);
            let compares = meta.checks_conflicts() || ledger.sessions()? > 1;
            let conflict_check = ConflictCheck::new(api.clone(), &ledger, reads, compares)?;
            let saving = SavedResponses::open(&run, &conflict_check, meta.saves_responses);
            let saving = saving.map_err(not_saved)?;
            Box::pin(execute(session, planner, ledger, &run, saving, stop, on_progress)).await
        } else {
            let saving = SavedResponses::open(&run, api, meta.saves_responses);
            let saving = saving.map_err(not_saved)?;
            Box::pin(execute(session, planner, ledger, &run, saving, stop, on_progress)).await
        };
        ui.event(Event::ProgressEnded);
        let (ending, ledger) = executed?;
        if let Err(error) = record_write_time(&connection, &meta) {
            // The note from the start of the run still covers its writes.
            tracing::warn!("{}", chain(&error));
        }
        let are_charges_recorded = record_charges(Ok(charges), &run, &ledger, ui);
        let input = run.input(&meta);
        let record = RunRecord { input: &input, context: &context, meta: &meta, ledger: &ledger };
        let reports = write(&run, record, &ending)?;
        let mut report = RunReport { run, reports, ending, are_charges_recorded };
        if let Some(patience) = limits.settle.filter(|_| report.ending == EndReason::Done) {
            // The run writes no more, so other runs need not wait.
            drop(locks);
            let steps = RefCell::new(OpenSteps::of(record)?);
            let settling = Settling {
                directory: &report.run,
                run: record,
                connection: &connection,
                execution: &execution,
                intake: &CallbackIntake::new(&ledger, &steps, listener.as_ref()),
            };
            if settling.settle(patience, first_signal(signal, limits), ui).await {
                report.are_charges_recorded &= settling.record_charges(ui);
                report.reports = write(&report.run, record, &report.ending)?;
            }
        }
        Ok(Box::new(report))
    }
}

/// Resolves at the first signal or the deadline, and tells which.
async fn first_stop(signal: impl Future<Output = Stop>, limits: Limits, ui: &impl Ui) -> EndReason {
    let why = first_signal(signal, limits).await;
    ui.event(Event::Stopping(why));
    EndReason::Stopped(why)
}

/// Resolves at the first signal or the deadline.
pub(super) async fn first_signal(signal: impl Future<Output = Stop>, limits: Limits) -> Stop {
    let signal = std::pin::pin!(signal.fuse());
    let deadline = std::pin::pin!(limits.reached().fuse());
    select(signal, deadline).await.factor_first().0
}

/// Executes a session and records its requests in flight.
async fn execute<W: Transport>(
    session: Session,
    planner: Planner,
    ledger: LedgerFile,
    run: &RunDir,
    saving: SavedResponses<'_, W>,
    stop: impl Future<Output = EndReason>,
    on_progress: impl FnMut(&Dispatcher, Duration),
) -> Result<(EndReason, LedgerFile), Error> {
    let failed = |error| Error::file("record the requests in flight", error);
    let in_flight = InFlight::new(run, &saving).map_err(failed)?;
    let (stop, not_saving) = (pin!(stop), pin!(saving.failed().map(|()| EndReason::Responses)));
    let stop = select(stop, not_saving).map(|first| first.factor_first().0);
    let executed = session.execute(planner, ledger, &in_flight, stop, on_progress).await?;
    in_flight.close().map_err(failed)?;
    saving.sync().map_err(not_saved)?;
    Ok(executed)
}

fn not_saved(error: io::Error) -> Error {
    Error::file("save the responses", error)
}

/// Records the time of a write: lists and searches may be stale for a while after it.
fn record_write_time(connection: &Connection, meta: &RunMeta) -> Result<(), Error> {
    match &connection.local {
        Some(LocalState { db, .. }) => Ok(db.note_writing(&meta.id, jiff::Timestamp::now())?),
        None => Ok(()),
    }
}
