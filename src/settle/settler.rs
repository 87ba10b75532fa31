//! Reads the files of a run again and again, until everything is settled.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::open::{OpenSteps, SettleError};
use super::reader::PassReader;
use super::schedule::Schedule;
use super::states::States;
use crate::ledger::{LedgerFile, Settlement};
use crate::row::FileId;

/// The other runs of the account, which may change the same files meanwhile.
pub(crate) trait OtherRuns {
    /// Takes into account what they may have changed until now ([`OpenSteps::beside`]).
    ///
    /// # Errors
    /// They cannot be determined.
    fn take_into_account(&self, steps: &mut OpenSteps) -> Result<(), SettleError>;
}

/// Settles a run by reading.
///
/// The steps are shared with whoever receives callbacks meanwhile ([`OpenSteps::report`]).
#[derive(Debug)]
pub(crate) struct Settler<'s, S, O> {
    /// The ledger of the run, whose lock must be held.
    pub ledger: &'s LedgerFile,
    /// Where states are read.
    pub states: &'s S,
    /// The other runs. Asked after each reading: whatever changed what was read is recorded by then.
    pub others: &'s O,
    /// The steps to settle.
    pub steps: &'s RefCell<OpenSteps>,
    /// To be notified after each callback, so that the end is noticed at once.
    pub changed: &'s Notify,
    /// Whether callbacks may settle what reading cannot.
    pub awaits_callbacks: bool,
    /// Reads in flight at once.
    pub concurrency: usize,
}

/// How far the settling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleProgress {
    /// Extensions and publications that are settled.
    pub settled: u64,
    /// Those that had no final status at the beginning.
    pub total: u64,
    /// The wait before the next pass; `None` while a pass reads.
    pub wait: Option<Duration>,
}

/// Why the settling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleStop<T> {
    /// Everything is settled.
    Settled,
    /// Reading cannot settle what is left, and no callbacks are awaited.
    NotByReading,
    /// Saved callbacks were to settle it, and all were taken.
    SavedTaken,
    /// It was stopped.
    Stopped(T),
}

impl<S: States, O: OtherRuns> Settler<'_, S, O> {
    /// Reads until everything is settled or `stop` resolves. Tells how far it is before and after each
    /// pass. What was read when it is stopped is recorded.
    ///
    /// # Errors
    /// A read failed permanently, or the ledger cannot be written. What was recorded stays.
    pub(crate) async fn run<T>(
        &self,
        stop: impl Future<Output = T>,
        mut on_progress: impl FnMut(SettleProgress),
    ) -> Result<SettleStop<T>, SettleError> {
        let total = self.steps.borrow().left();
        let mut tell = |wait| {
            let settled = total.saturating_sub(self.steps.borrow().left());
            on_progress(SettleProgress { settled, total, wait });
        };
        let proven = RefCell::default();
        let mut reader = PassReader::new(self.states, self.steps, &proven, self.concurrency.max(1));
        let (mut stop, mut schedule) = (pin!(stop), Schedule::default());
        self.others.take_into_account(&mut self.steps.borrow_mut())?;
        loop {
            if let Some(end) = self.end() {
                return Ok(end);
            }
            tell(None);
            let read = tokio::select! {
                biased;
                why = &mut stop => Err(why),
                read = reader.pass() => Ok(read),
            };
            let found = self.record(proven.take())?;
            match read {
                Err(why) => return Ok(SettleStop::Stopped(why)),
                Ok(read) => read?,
            }
            if let Some(end) = self.end() {
                return Ok(end);
            }
            let wait = schedule.wait_after(found > 0);
            tell(Some(wait));
            if let Some(why) = self.wait(wait, stop.as_mut()).await {
                return Ok(SettleStop::Stopped(why));
            }
        }
    }

    fn record(&self, proven: Vec<(FileId, Settlement)>) -> Result<u64, SettleError> {
        if proven.is_empty() {
            return Ok(0);
        }
        let mut steps = self.steps.borrow_mut();
        self.others.take_into_account(&mut steps)?;
        Ok(steps.record(self.ledger, proven)?)
    }

    /// Waits for the next pass, or until callbacks have settled the rest; returns why it was stopped.
    async fn wait<T>(
        &self,
        wait: Duration,
        mut stop: impl Future<Output = T> + Unpin,
    ) -> Option<T> {
        let mut next_pass = pin!(sleep(wait));
        loop {
            tokio::select! {
                biased;
                why = &mut stop => return Some(why),
                () = &mut next_pass => return None,
                () = self.changed.notified() => {}
            }
            if self.steps.borrow().left() == 0 {
                return None;
            }
        }
    }

    fn end<T>(&self) -> Option<SettleStop<T>> {
        let steps = self.steps.borrow();
        if steps.left() == 0 {
            return Some(SettleStop::Settled);
        }
        (!self.awaits_callbacks && steps.to_read().is_empty()).then_some(SettleStop::NotByReading)
    }
}
