//! Executes or resumes a run: reader → dispatcher → transport → ledger.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, FusedFuture, select};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::lost_requests;
use super::sample::Sample;
use crate::account::RateFile;
use crate::callback::CallbackUrl;
use crate::execute::{Dispatcher, EndReason, Executor, PlannerMessage, Transport, drive};
use crate::history::RunRecord;
use crate::input::{Context, Input};
use crate::ledger::{Journal, LedgerError, LedgerFile, Op, RunMeta};
use crate::outcome::Status;
use crate::plan::{
    Batch, PlanError, Planner, ReadRow, Recorded, RowsToPlan, read_back, read_back_sample,
};
use crate::plural::plural;
use crate::request::ReadBackReason;
use crate::settings::Execution;
use crate::spending::Allowance;

/// Maximum requests per message: a planner may release many buffered requests at once.
const BATCH_REQUESTS_MAX: usize = 64;
/// Messages that the channel buffers. Rows are supposed to wait in the executor's window instead.
const BUFFERED_BATCHES: usize = 2;
/// How long after a read that misses a change the file is read again: reads can lag behind writes.
const CONFIRM_AFTER: Duration = Duration::from_secs(5);

/// One session of a run: the first one, or one that resumes the run.
#[derive(Debug)]
pub(crate) struct Session {
    /// The run's copy of the sheet.
    pub input: Input,
    /// How cells are parsed and files resolved.
    pub context: Context,
    /// Execution settings: rates, attempts, timeouts, abort limits.
    pub execution: Execution,
    /// Rate limits shared with other processes on the account; `None` for limits of this session
    /// alone.
    pub rates: Option<Arc<RateFile>>,
    /// Maximum number of unfinished rows to execute; `None` for all.
    pub rows_max: Option<u64>,
    /// What billed extensions may spend.
    pub allowance: Allowance,
    /// The URL for callbacks that requests name; `None` for those of the rows alone.
    pub callback_url: Option<CallbackUrl>,
}

/// Reason why a session failed. Rows that the executor gives up on are not an error.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The files to read back cannot be determined from the sheet and the ledger.
    #[error(transparent)]
    ReadBack(#[from] PlanError),
    /// The system cannot start a thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Session {
    /// Executes the run until it is finished or `stop` resolves. Calls `on_progress` regularly with the
    /// dispatcher, to show progress. Returns why the session ended, and the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read or written, or a thread cannot be started.
    pub(crate) async fn execute<T: Transport>(
        self,
        mut planner: Planner,
        ledger: LedgerFile,
        transport: &T,
        stop: impl Future<Output = EndReason>,
        on_progress: impl FnMut(&Dispatcher, Duration),
    ) -> Result<(EndReason, LedgerFile), SessionError> {
        let had_requests_in_flight = ledger.had_requests_in_flight()?;
        if had_requests_in_flight {
            match &mut planner {
                Planner::Direct(_) => {
                    lost_requests::mark_lost(&self.input, &self.context, &ledger)?;
                }
                Planner::Diff(planner) => planner.distrust_earlier_requests(),
            }
        }
        let recorded = Recorded::of(&planner, &ledger)?;
        let seconds_before = ledger.seconds()?;
        ledger.set_requests_in_flight(true)?;
        ledger.set_ended(None)?;
        let mut stop = pin!(stop.fuse());
        let counters = ledger.counters()?;
        let dispatcher = match &self.rates {
            Some(rates) => Dispatcher::sharing(&self.execution, counters, rates),
            None => Dispatcher::new(&self.execution, counters),
        };
        let dispatcher = dispatcher.with_allowance(self.allowance.clone());
        let mut executor = Executor {
            dispatcher,
            started: tokio::time::Instant::now(),
            transport,
            stop: stop.as_mut(),
            on_progress,
        };
        if planner.reorders_rows() {
            executor.dispatcher.allow_out_of_order();
        }
        let (sender, receiver) = mpsc::channel(BUFFERED_BATCHES);
        let session = Arc::new(self);
        let reading_session = Arc::clone(&session);
        let reader = std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || reading_session.read(planner, &recorded, &sender))
            .map_err(SessionError::Thread)?;
        let journal = Journal::start(ledger).map_err(SessionError::Thread)?;
        let ledger = drive(&mut executor, journal, receiver).await;
        // Does not block for long: the receiver is dropped, which ends the reader.
        drop(reader.join());
        let ledger = session.read_back(&mut executor, ledger?).await?;
        let ledger = session.check_sample(&mut executor, ledger).await?;
        let end_reason = executor.dispatcher.end_reason().cloned().unwrap_or(EndReason::Done);
        // Requests of an earlier session stay unrecorded until their rows are sent again.
        let stays_incomplete = had_requests_in_flight
            && (end_reason != EndReason::Done || ledger.has_status(&[Status::NotAttempted])?);
        ledger.set_requests_in_flight(executor.dispatcher.in_flight() > 0 || stays_incomplete)?;
        ledger.set_seconds(seconds_before + executor.started.elapsed().as_secs_f64())?;
        Ok((end_reason, ledger))
    }

    /// What the session was asked for, and what was sent so far.
    fn record<'r>(&'r self, meta: &'r RunMeta, ledger: &'r LedgerFile) -> RunRecord<'r> {
        RunRecord { input: &self.input, context: &self.context, meta, ledger }
    }

    /// After all rows: reads back the files on which a response was lost before a later row changed
    /// them, because the lost request may have taken effect last.
    async fn read_back<T: Transport, S: FusedFuture<Output = EndReason>>(
        &self,
        executor: &mut Executor<'_, T, S, impl FnMut(&Dispatcher, Duration)>,
        ledger: LedgerFile,
    ) -> Result<LedgerFile, SessionError> {
        if executor.dispatcher.end_reason() != Some(&EndReason::Done) {
            return Ok(ledger);
        }
        let (batch, ops) = read_back(self.record(&ledger.meta()?, &ledger))?;
        if !batch.is_empty() {
            let files = plural(batch.rows.len() as u64, "file", "files");
            tracing::info!("reading back {files} with a lost response");
        }
        execute_batch(executor, ledger, batch, ops).await
    }

    /// After [`Self::read_back`]: reads back a sample of the files that bulk calls updated, because
    /// their responses contain only ids. A file that does not show its change is read again 5 seconds
    /// later; if it still does not, the sample grows.
    async fn check_sample<T: Transport, S: FusedFuture<Output = EndReason>>(
        &self,
        executor: &mut Executor<'_, T, S, impl FnMut(&Dispatcher, Duration)>,
        mut ledger: LedgerFile,
    ) -> Result<LedgerFile, SessionError> {
        let counters = executor.dispatcher.counters();
        let mut sample = Sample::new(self.execution.seed, counters);
        // Those that an earlier session could not confirm: without a lost response or a read, there are
        // none, and the ledger need not be searched.
        let may_have_missed = counters.read > 0 || !ledger.lost_rows()?.is_empty();
        let missed = if may_have_missed { ledger.unverified_rows()? } else { BTreeSet::new() };
        let unclear = if missed.is_empty() {
            missed
        } else {
            ledger =
                self.read_rows(executor, ledger, &missed, ReadBackReason::Confirmation).await?;
            ledger.unverified_rows()?
        };
        while executor.dispatcher.end_reason() == Some(&EndReason::Done) {
            let rows = sample.next(&ledger)?;
            if rows.is_empty() {
                break;
            }
            ledger = self.read_rows(executor, ledger, &rows, ReadBackReason::Sample).await?;
            let missed = &ledger.unverified_rows()? - &unclear;
            if missed.is_empty() {
                break;
            }
            let files = plural(missed.len() as u64, "file does not show", "files do not show");
            tracing::warn!("{files} a change that ImageKit accepted; reading again in 5 seconds");
            let pause = pin!(sleep(CONFIRM_AFTER).fuse());
            if let Either::Right(_) = select(pause, executor.stop.as_mut()).await {
                break;
            }
            ledger =
                self.read_rows(executor, ledger, &missed, ReadBackReason::Confirmation).await?;
            if !sample.widen(&ledger, &missed)? {
                break;
            }
        }
        Ok(ledger)
    }

    async fn read_rows<T: Transport, S: FusedFuture<Output = EndReason>>(
        &self,
        executor: &mut Executor<'_, T, S, impl FnMut(&Dispatcher, Duration)>,
        ledger: LedgerFile,
        rows: &BTreeSet<u64>,
        reason: ReadBackReason,
    ) -> Result<LedgerFile, SessionError> {
        if rows.is_empty() || executor.dispatcher.end_reason() != Some(&EndReason::Done) {
            return Ok(ledger);
        }
        let batch = read_back_sample(self.record(&ledger.meta()?, &ledger), rows, reason)?;
        execute_batch(executor, ledger, batch, Vec::new()).await
    }

    /// Reads and plans rows until the input or the executor ends.
    fn read(&self, planner: Planner, recorded: &Recorded, sender: &mpsc::Sender<PlannerMessage>) {
        if let Err(error) = self.try_read(planner, recorded, sender) {
            // Fails if the run was stopped, which makes the error irrelevant.
            drop(sender.blocking_send(PlannerMessage::Failed(crate::error::chain(&error))));
        }
    }

    fn try_read(
        &self,
        mut planner: Planner,
        recorded: &Recorded,
        sender: &mpsc::Sender<PlannerMessage>,
    ) -> Result<(), PlanError> {
        let mut reader = RowsToPlan::open(&self.input, &self.context, recorded, self.rows_max)?;
        planner.name_columns(reader.rows().header_names());
        let mut has_more = true;
        while has_more {
            let mut batch = Batch::default();
            if let Some(rows) = reader.read(&planner)? {
                for ReadRow { mut row, file_of_invalid, progress } in rows {
                    if let Some(url) = &self.callback_url {
                        url.add_to(&mut row);
                    }
                    planner.row(row, file_of_invalid, &progress, &mut batch)?;
                }
            } else {
                planner.end(&mut batch)?;
                has_more = false;
            }
            for part in batch.chunks(BATCH_REQUESTS_MAX) {
                if sender.blocking_send(PlannerMessage::Rows(part)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Executes read-backs after the input has ended; `ops` are recorded before.
async fn execute_batch<T: Transport, S: FusedFuture<Output = EndReason>>(
    executor: &mut Executor<'_, T, S, impl FnMut(&Dispatcher, Duration)>,
    ledger: LedgerFile,
    batch: Batch,
    mut ops: Vec<Op>,
) -> Result<LedgerFile, SessionError> {
    if batch.is_empty() {
        return Ok(ledger);
    }
    let mut journal = Journal::start(ledger).map_err(SessionError::Thread)?;
    journal.append(&mut ops);
    executor.dispatcher.reopen_input();
    let (sender, receiver) = mpsc::channel(1);
    // Cannot fail: the channel has room for one message.
    drop(sender.try_send(PlannerMessage::Rows(batch)));
    drop(sender);
    Ok(drive(executor, journal, receiver).await?)
}
