//! One pass over the files with open steps, with few reads: lists, and the details of a file where its
//! listed state is stale.

use std::cell::RefCell;
use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::open::{OpenSteps, SettleError};
use super::settler::States;
use crate::imagekit::{Failure, FileState, IDS_MAX, ListedState, PAGE_FILES_MAX};
use crate::ledger::{LedgerFile, Settlement};
use crate::outcome::Code;
use crate::row::FileId;

/// Up to so many files are read one by one, because their details are always current.
const DETAILS_MAX: usize = 50;
/// Pages of recently updated files per pass. Open extensions are mostly of recent requests, so a few
/// pages show them all.
const PAGES_MAX: usize = 40;
/// Lists by id per pass. If more are needed, the next pass continues.
const LISTS_MAX: usize = 50;
/// Files without a result whose details are read, to find out whether the lists lag behind results.
const CHECKED: usize = 10;
/// Results that are recorded together. Each group waits for the disk.
const GROUP: usize = 100;

/// Reads the files of a run, and records what their states prove.
#[derive(Debug)]
pub(super) struct PassReader<'r, S> {
    ledger: &'r LedgerFile,
    states: &'r S,
    steps: &'r RefCell<OpenSteps>,
    concurrency: usize,
    /// The file after which the next pass continues with lists by id.
    last_listed: Option<FileId>,
}

impl<'r, S: States> PassReader<'r, S> {
    pub(super) fn new(
        ledger: &'r LedgerFile,
        states: &'r S,
        steps: &'r RefCell<OpenSteps>,
        concurrency: usize,
    ) -> Self {
        Self { ledger, states, steps, concurrency, last_listed: None }
    }

    /// Reads the files once. Returns how many statuses were settled. May be dropped at any point:
    /// what was not recorded is read again.
    pub(super) async fn pass(&mut self) -> Result<u64, SettleError> {
        let files = self.steps.borrow().to_read();
        if files.len() <= DETAILS_MAX {
            return self.read_details(&files).await;
        }
        let mut unseen: HashSet<FileId> = files.into_iter().collect();
        let mut stale = Vec::new();
        let mut settled = self.read_recent(&mut unseen, &mut stale).await?;
        settled += self.read_by_ids(unseen, &mut stale).await?;
        settled += self.read_details(&stale).await?;
        settled += self.check_lag(&stale).await?;
        Ok(settled)
    }

    /// Reads lists of recently updated files, as long as they can have files that are open. An entry
    /// that moves to an earlier page meanwhile is missed, and found by the next pass.
    async fn read_recent(
        &self,
        unseen: &mut HashSet<FileId>,
        stale: &mut Vec<FileId>,
    ) -> Result<u64, SettleError> {
        let (mut settled, since) = (0, self.steps.borrow().since());
        for page in 0..PAGES_MAX {
            let entries = match self.states.recently_updated(page * PAGE_FILES_MAX).await {
                // A rejected listing leaves files unseen.
                Err(Failure::Rejected { .. }) => break,
                entries => entries?,
            };
            let is_last = entries.len() < PAGE_FILES_MAX || unseen.is_empty();
            let oldest = entries.last().and_then(|entry| {
                entry.state.updated_at.as_deref()?.parse::<jiff::Timestamp>().ok()
            });
            settled += self.take(entries, unseen, stale)?;
            if is_last
                || unseen.is_empty()
                || oldest.zip(since).is_some_and(|(at, since)| at < since)
            {
                break;
            }
        }
        Ok(settled)
    }

    /// Reads some of the files by id. Those that a list omits count as stale.
    async fn read_by_ids(
        &mut self,
        unseen: HashSet<FileId>,
        stale: &mut Vec<FileId>,
    ) -> Result<u64, SettleError> {
        let mut files: Vec<FileId> = unseen.into_iter().collect();
        files.sort_unstable();
        let start =
            self.last_listed.as_ref().map_or(0, |last| files.partition_point(|it| it <= last));
        let count = files.len();
        files.rotate_left(if start < count { start } else { 0 });
        files.truncate(LISTS_MAX * IDS_MAX);
        self.last_listed = files.last().cloned();
        let lists = stream::iter(files.chunks(IDS_MAX)).map(async |files| {
            match self.states.by_ids(files).await {
                Err(Failure::Rejected { .. }) => Ok((files, Vec::new())),
                listed => listed.map(|listed| (files, listed)),
            }
        });
        let mut lists = std::pin::pin!(lists.buffered(self.concurrency));
        let mut settled = 0;
        while let Some((files, entries)) = lists.try_next().await? {
            let mut unseen: HashSet<FileId> = files.iter().cloned().collect();
            settled += self.take(entries, &mut unseen, stale)?;
            stale.extend(unseen);
        }
        Ok(settled)
    }

    /// Takes the entries of a list: records what they prove, and sorts out stale ones.
    fn take(
        &self,
        entries: Vec<ListedState>,
        unseen: &mut HashSet<FileId>,
        stale: &mut Vec<FileId>,
    ) -> Result<u64, SettleError> {
        let mut proven = Vec::new();
        for entry in entries.into_iter().filter(ListedState::is_file) {
            let Ok(file) = FileId::new(&entry.file_id) else {
                continue;
            };
            // An entry may come twice; each is a state that the file had.
            if !unseen.remove(&file) {
                continue;
            }
            let steps = self.steps.borrow();
            let found = steps.prove_listed(&file, &entry.state);
            if found.is_empty() && !steps.is_current(&file, &entry.state) {
                stale.push(file);
            } else {
                proven.extend(found.into_iter().map(|settlement| (file.clone(), settlement)));
            }
        }
        self.record(&proven)
    }

    /// Reads the details of files.
    async fn read_details(&self, files: &[FileId]) -> Result<u64, SettleError> {
        let reads = stream::iter(files).map(async |file| (file, self.states.details(file).await));
        let mut reads = std::pin::pin!(reads.buffer_unordered(self.concurrency));
        let (mut settled, mut proven) = (0, Vec::new());
        while let Some((file, state)) = reads.next().await {
            match state {
                Ok(state) => proven.extend(self.prove(file, &state)),
                Err(failure @ Failure::Rejected { .. }) => self.give_up(file, &failure),
                Err(failure) => {
                    self.record(&proven)?;
                    return Err(failure.into());
                }
            }
            if proven.len() >= GROUP {
                settled += self.record(&std::mem::take(&mut proven))?;
            }
        }
        Ok(settled + self.record(&proven)?)
    }

    /// Reads the details of a few files whose lists show no result. If there is one, the lists lag, and
    /// the details of all of them are read.
    async fn check_lag(&self, already_read: &[FileId]) -> Result<u64, SettleError> {
        let already_read: HashSet<&FileId> = already_read.iter().collect();
        let mut open = self.steps.borrow().to_read();
        open.retain(|file| !already_read.contains(file));
        let every = (open.len() / CHECKED).max(1);
        let sample: Vec<FileId> = open.iter().step_by(every).take(CHECKED).cloned().collect();
        let settled = self.read_details(&sample).await?;
        if settled == 0 {
            return Ok(0);
        }
        open.retain(|file| !sample.contains(file));
        tracing::info!("the lists lag behind results; reading {} files one by one", open.len());
        Ok(settled + self.read_details(&open).await?)
    }

    fn prove(&self, file: &FileId, state: &FileState) -> Vec<(FileId, Settlement)> {
        let proven = self.steps.borrow().prove(file, state);
        proven.into_iter().map(|settlement| (file.clone(), settlement)).collect()
    }

    fn give_up(&self, file: &FileId, failure: &Failure) {
        if !matches!(failure, Failure::Rejected { code: Code::NotFound, .. }) {
            tracing::warn!("cannot read the state of file {}: {failure}", file.as_str());
        }
        self.steps.borrow_mut().give_up(file);
    }

    fn record(&self, proven: &[(FileId, Settlement)]) -> Result<u64, SettleError> {
        if proven.is_empty() {
            return Ok(0);
        }
        Ok(self.steps.borrow_mut().record(self.ledger, proven)?)
    }
}
