//! Carries a run out from where it stands: reader → dispatcher → wire → ledger.

use std::borrow::Cow;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use tokio::sync::mpsc;

use super::lost_requests;
use crate::account::RateFile;
use crate::execute::{Dispatcher, EndReason, Engine, PlannerMessage, Transport, drive};
use crate::input::{Context, Input};
use crate::ledger::{Journal, LedgerError, LedgerFile};
use crate::plan::{Batch, PlanError, Planner, Recorded, RowLimit, read_back};
use crate::plural::plural;
use crate::settings::Execution;

/// Rows in one message from the reader. Enough that passing it on costs nothing a row.
const BATCH_ROWS: usize = 64;
/// Requests in one message. Where many have waited for others, they do not all wait here once more.
const REQUESTS_AT_ONCE: usize = 64;
/// Messages on their way. The executor's window is where rows are meant to wait.
const BATCHES_MAX: usize = 2;

/// One session of a run: the first, or one that resumes it.
#[derive(Debug)]
pub struct Session {
    /// The run's input.
    pub input: Input,
    /// What its cells are read with.
    pub context: Context,
    /// How it is executed.
    pub execution: Execution,
    /// Where the account's limits are kept; `None` for limits of the session's own.
    pub rates: Option<Arc<RateFile>>,
    /// The most rows that this session takes up.
    pub rows_max: Option<u64>,
}

/// Why a session did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Input or ledger cannot be read to see which files are to be read back.
    #[error(transparent)]
    ReadBack(#[from] PlanError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Session {
    /// Executes until it is done or `stop` comes; `watch` is shown the dispatcher now and then.
    /// Gives the ending, and the ledger to make reports of.
    ///
    /// # Errors
    /// The ledger cannot be read or written, or a thread cannot be started.
    pub async fn execute<W: Transport>(
        self,
        mut planner: Planner,
        ledger: LedgerFile,
        wire: &W,
        stop: impl Future<Output = EndReason>,
        watch: impl FnMut(&Dispatcher, Duration),
    ) -> Result<(EndReason, LedgerFile), SessionError> {
        if ledger.had_requests_in_flight()? {
            match &mut planner {
                Planner::Direct(_) => {
                    lost_requests::mark_lost(&self.input, &self.context, &ledger)?
                }
                Planner::Diff(live) => live.distrust_earlier_requests(),
            }
        }
        let recorded = Recorded::of(&planner, &ledger)?;
        let before = ledger.seconds()?;
        ledger.set_requests_in_flight(true)?;
        ledger.set_ended(None)?;
        let mut stop = pin!(stop.fuse());
        let counters = ledger.counters()?;
        let dispatcher = match &self.rates {
            Some(rates) => Dispatcher::sharing(&self.execution, counters, rates),
            None => Dispatcher::new(&self.execution, counters),
        };
        let mut engine = Engine {
            dispatcher,
            began: tokio::time::Instant::now(),
            wire,
            stop: stop.as_mut(),
            watch,
        };
        if planner.reorders_rows() {
            engine.dispatcher.allow_out_of_order();
        }
        let (sender, feed) = mpsc::channel(BATCHES_MAX);
        let session = Arc::new(self);
        let reading = Arc::clone(&session);
        let reader = std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || reading.read(planner, &recorded, &sender))
            .map_err(SessionError::Thread)?;
        let journal = Journal::start(ledger).map_err(SessionError::Thread)?;
        let ledger = drive(&mut engine, journal, feed).await;
        // The channel is closed, so that the reader has ended or is about to.
        drop(reader.join());
        let ledger = session.read_back(&mut engine, ledger?).await?;
        ledger.set_requests_in_flight(engine.dispatcher.in_flight() > 0)?;
        ledger.set_seconds(before + engine.began.elapsed().as_secs_f64())?;
        Ok((engine.dispatcher.ending().cloned().unwrap_or(EndReason::Done), ledger))
    }

    /// Once everything else is done: looks again at the files for which that is needed.
    async fn read_back<W: Transport, S: FusedFuture<Output = EndReason>>(
        &self,
        engine: &mut Engine<'_, W, S, impl FnMut(&Dispatcher, Duration)>,
        ledger: LedgerFile,
    ) -> Result<LedgerFile, SessionError> {
        if engine.dispatcher.ending() != Some(&EndReason::Done) {
            return Ok(ledger);
        }
        let (batch, mut ops) = read_back(&self.input, &self.context, &ledger)?;
        if batch.is_empty() {
            return Ok(ledger);
        }
        let files = plural(batch.rows.len() as u64, "file", "files");
        tracing::info!("reading back {files} on which an answer was lost");
        let mut journal = Journal::start(ledger).map_err(SessionError::Thread)?;
        journal.append(&mut ops);
        engine.dispatcher.go_on();
        let (sender, feed) = mpsc::channel(1);
        // There is room for one.
        drop(sender.try_send(PlannerMessage::Rows(batch)));
        drop(sender);
        Ok(drive(engine, journal, feed).await?)
    }

    /// Reads and plans rows until the input or the executor ends.
    fn read(&self, planner: Planner, recorded: &Recorded, feed: &mpsc::Sender<PlannerMessage>) {
        if let Err(error) = self.try_read(planner, recorded, feed) {
            // Nobody listens any more where the run has been stopped.
            drop(feed.blocking_send(PlannerMessage::Failed(crate::error::chain(&error))));
        }
    }

    fn try_read(
        &self,
        mut planner: Planner,
        recorded: &Recorded,
        feed: &mpsc::Sender<PlannerMessage>,
    ) -> Result<(), PlanError> {
        let mut rows = self.input.rows(&self.context, recorded.from())?;
        let mut limit = RowLimit::new(self.rows_max);
        let mut more = true;
        while more {
            let mut batch = Batch::default();
            for _ in 0..BATCH_ROWS {
                let next = if limit.is_reached() { None } else { rows.next_row()? };
                let Some((row, fed_back)) = next else {
                    more = false;
                    break;
                };
                let mut behind = recorded.row(row.pos.number)?;
                if !fed_back.done.is_empty() {
                    behind = Cow::Owned(behind.with_prior_run(fed_back.done));
                }
                limit.count(&row, &behind);
                planner.row(row, &behind, &mut batch)?;
            }
            if !more {
                planner.end(&mut batch)?;
            }
            for part in batch.chunks(REQUESTS_AT_ONCE) {
                if feed.blocking_send(PlannerMessage::Rows(part)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
