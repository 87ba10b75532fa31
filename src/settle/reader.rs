//! One pass over the files with open steps, with few reads: lists, and the details of a file where its
//! listed state is stale.

use std::cell::RefCell;
use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::open::{OpenSteps, SettleError};
use super::states::States;
use crate::imagekit::{Failure, FileState, IDS_MAX, ListedState, PAGE_FILES_MAX};
use crate::ledger::Settlement;
use crate::outcome::Code;
use crate::row::FileId;

/// Up to this number, files are read one by one, because their details are always current.
const DETAILS_MAX: usize = 50;
/// Pages of recently updated files per pass. Open extensions are mostly of recent requests, so a few
/// pages show them all.
const PAGES_MAX: usize = 40;
/// Lists by id per pass. If more are needed, the next pass continues.
const LISTS_MAX: usize = 50;
/// Files without a result whose details are read, to find out whether the lists lag behind results.
const CHECKED: usize = 9;

/// Reads the files of a run, and collects what their states prove.
#[derive(Debug)]
pub(super) struct PassReader<'r, S> {
    states: &'r S,
    steps: &'r RefCell<OpenSteps>,
    /// What was proven. Kept apart from the pass, which may be dropped at any point.
    proven: &'r RefCell<Vec<(FileId, Settlement)>>,
    concurrency: usize,
    /// The file after which the next pass continues with lists by id.
    last_listed: Option<FileId>,
    /// States whose results no list had shown. If the next pass still finds none, the lists lag.
    unlisted: Vec<(FileId, FileState)>,
}

/// The files of a pass, by what the lists show of them.
#[derive(Debug, Default)]
struct Listed {
    /// In none.
    unseen: HashSet<FileId>,
    /// Older than the request, so that the entry proves nothing.
    stale: Vec<FileId>,
    /// Without a result.
    waiting: Vec<FileId>,
}

impl<'r, S: States> PassReader<'r, S> {
    pub(super) fn new(
        states: &'r S,
        steps: &'r RefCell<OpenSteps>,
        proven: &'r RefCell<Vec<(FileId, Settlement)>>,
        concurrency: usize,
    ) -> Self {
        Self { states, steps, proven, concurrency, last_listed: None, unlisted: Vec::new() }
    }

    /// Reads the files once.
    pub(super) async fn pass(&mut self) -> Result<(), SettleError> {
        let files = self.steps.borrow().to_read();
        if files.len() <= DETAILS_MAX {
            return self.read_details(&files).await.map(drop);
        }
        let mut listed = Listed { unseen: files.into_iter().collect(), ..Listed::default() };
        self.read_recent(&mut listed).await?;
        self.read_by_ids(&mut listed).await?;
        self.read_details(&listed.stale).await?;
        self.check_lag(listed.waiting).await
    }

    /// Reads lists of recently updated files, as long as they can have files that are open. An entry
    /// that moves to an earlier page meanwhile is missed, and found by the next pass.
    async fn read_recent(&self, listed: &mut Listed) -> Result<(), SettleError> {
        let since = self.steps.borrow().since();
        for page in 0..PAGES_MAX {
            let entries = match self.states.recently_updated(page * PAGE_FILES_MAX).await {
                // A rejected listing leaves files unseen.
                Err(Failure::Rejected { .. }) => break,
                entries => entries?,
            };
            let is_last = entries.len() < PAGE_FILES_MAX;
            let oldest = entries.last().and_then(|entry| {
                entry.state.updated_at.as_deref()?.parse::<jiff::Timestamp>().ok()
            });
            self.take(entries, listed);
            if is_last
                || listed.unseen.is_empty()
                || oldest.zip(since).is_some_and(|(at, since)| at < since)
            {
                break;
            }
        }
        Ok(())
    }

    /// Reads some of the files by id. Those that a list omits count as stale.
    async fn read_by_ids(&mut self, listed: &mut Listed) -> Result<(), SettleError> {
        let mut files: Vec<FileId> = listed.unseen.iter().cloned().collect();
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
        while let Some((files, entries)) = lists.try_next().await? {
            self.take(entries, listed);
            let omitted = files.iter().filter(|file| listed.unseen.contains(file));
            listed.stale.extend(omitted.cloned());
        }
        Ok(())
    }

    /// Takes the entries of a list: what they prove, and which are stale.
    fn take(&self, entries: Vec<ListedState>, listed: &mut Listed) {
        for entry in entries.into_iter().filter(ListedState::is_file) {
            // An entry may come twice; each is a state that the file had.
            let file = FileId::new(&entry.file_id).ok().filter(|file| listed.unseen.remove(file));
            let Some(file) = file else {
                continue;
            };
            let steps = self.steps.borrow();
            let proven = steps.prove_listed(&file, &entry.state);
            if !proven.is_empty() {
                self.add(&file, proven);
            } else if steps.is_current(&file, &entry.state) {
                listed.waiting.push(file);
            } else {
                listed.stale.push(file);
            }
        }
    }

    /// Reads the details of files. Returns the states that prove something.
    async fn read_details(
        &self,
        files: &[FileId],
    ) -> Result<Vec<(FileId, FileState)>, SettleError> {
        let reads = stream::iter(files).map(async |file| (file, self.states.details(file).await));
        let mut reads = std::pin::pin!(reads.buffer_unordered(self.concurrency));
        let mut found = Vec::new();
        while let Some((file, state)) = reads.next().await {
            match state {
                Ok(state) => {
                    let proven = self.steps.borrow().prove(file, &state);
                    if !proven.is_empty() {
                        found.push((file.clone(), state));
                    }
                    self.add(file, proven);
                }
                Err(failure @ Failure::Rejected { .. }) => self.give_up(file, &failure),
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(found)
    }

    /// Reads the details of a few files whose lists show no result. If one has a result that the lists
    /// do not show in the next pass, either, they lag, and the details of all files are read.
    async fn check_lag(&mut self, waiting: Vec<FileId>) -> Result<(), SettleError> {
        if self.do_lists_lag().await? {
            let files = waiting.len();
            tracing::info!(
                "lists lag behind the results of extensions; reading {files} files one by one"
            );
            self.read_details(&waiting).await?;
            return Ok(());
        }
        let every = (waiting.len() / CHECKED).max(1);
        let sample: Vec<FileId> = waiting.into_iter().step_by(every).take(CHECKED).collect();
        self.unlisted = self.read_details(&sample).await?;
        Ok(())
    }

    /// Whether a list still shows an older state than the details that the last pass read.
    async fn do_lists_lag(&mut self) -> Result<bool, SettleError> {
        let unlisted = std::mem::take(&mut self.unlisted);
        let files: Vec<FileId> = unlisted.iter().map(|(file, _)| file.clone()).collect();
        if files.is_empty() {
            return Ok(false);
        }
        let listed = match self.states.by_ids(&files).await {
            Err(Failure::Rejected { .. }) => return Ok(true),
            listed => listed?,
        };
        Ok(unlisted.iter().any(|(file, state)| {
            let mut entries = listed.iter().filter(|entry| entry.file_id == file.as_str());
            let is_shown = |entry: &ListedState| {
                entry.state == *state || entry.state.updated_at > state.updated_at
            };
            !entries.any(is_shown)
        }))
    }

    fn add(&self, file: &FileId, proven: Vec<Settlement>) {
        let proven = proven.into_iter().map(|settlement| (file.clone(), settlement));
        self.proven.borrow_mut().extend(proven);
    }

    fn give_up(&self, file: &FileId, failure: &Failure) {
        if !matches!(failure, Failure::Rejected { code: Code::NotFound, .. }) {
            tracing::warn!("cannot read the state of file {}: {failure}", file.as_str());
        }
        self.steps.borrow_mut().give_up(file);
    }
}
