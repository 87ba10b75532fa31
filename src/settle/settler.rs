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
use crate::execute::Reads;
use crate::imagekit::{Api, Failure, FileState, ListedState, Listing, Order, PAGE_FILES_MAX};
use crate::ledger::LedgerFile;
use crate::request::Endpoint;
use crate::row::FileId;

/// Reads states of files.
pub trait States {
    /// A page of the files that were updated last, after the first `skip`.
    fn recently_updated(
        &self,
        skip: usize,
    ) -> impl Future<Output = Result<Vec<ListedState>, Failure>>;

    /// These files, at most [`crate::imagekit::IDS_MAX`], in a list.
    fn by_ids(&self, files: &[FileId]) -> impl Future<Output = Result<Vec<ListedState>, Failure>>;

    /// The details of a file, which are always current.
    fn details(&self, file: &FileId) -> impl Future<Output = Result<FileState, Failure>>;
}

/// ImageKit's states, read within the account's rate limit.
#[derive(Debug, Clone, Copy)]
pub struct ApiStates<'a> {
    /// The client.
    pub api: &'a Api,
    /// Paces and retries the reads.
    pub reads: &'a Reads,
}

impl States for ApiStates<'_> {
    async fn recently_updated(&self, skip: usize) -> Result<Vec<ListedState>, Failure> {
        let listing = Listing { order: Order::RecentlyUpdated, ..Listing::default() };
        let page = || self.api.list(&listing, skip, PAGE_FILES_MAX);
        self.reads.read(Endpoint::List, page).await
    }

    async fn by_ids(&self, files: &[FileId]) -> Result<Vec<ListedState>, Failure> {
        let listing = Listing::by_ids(files);
        let list = || self.api.list(&listing, 0, PAGE_FILES_MAX);
        self.reads.read(Endpoint::List, list).await
    }

    async fn details(&self, file: &FileId) -> Result<FileState, Failure> {
        self.reads.read(Endpoint::GetDetails, || self.api.file_state(file)).await
    }
}

/// Settles a run by reading.
///
/// The steps are shared with whoever receives callbacks meanwhile ([`OpenSteps::report`]).
#[derive(Debug)]
pub struct Settler<'s, S> {
    /// The ledger of the run, whose lock must be held.
    pub ledger: &'s LedgerFile,
    /// Where states are read.
    pub states: &'s S,
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
pub struct Progress {
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
    /// It was stopped.
    Stopped(T),
}

impl<S: States> Settler<'_, S> {
    /// Reads until everything is settled or `stop` resolves. Tells how far it is after each change.
    ///
    /// # Errors
    /// A read failed permanently, or the ledger cannot be written. What was recorded stays.
    pub async fn run<T>(
        &self,
        stop: impl Future<Output = T>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<SettleStop<T>, SettleError> {
        let total = self.steps.borrow().left();
        let mut tell = |wait| {
            let settled = total.saturating_sub(self.steps.borrow().left());
            on_progress(Progress { settled, total, wait });
        };
        let mut reader =
            PassReader::new(self.ledger, self.states, self.steps, self.concurrency.max(1));
        let (mut stop, mut schedule) = (pin!(stop), Schedule::default());
        loop {
            if let Some(end) = self.end() {
                return Ok(end);
            }
            tell(None);
            let found = tokio::select! {
                biased;
                why = &mut stop => return Ok(SettleStop::Stopped(why)),
                found = reader.pass() => found?,
            };
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
