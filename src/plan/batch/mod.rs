//! Turns what files need into the fewest requests.
//!
//! `tag_batcher` collects the tag changes of files that need no order, and chooses for each file
//! between bulk calls and a PATCH (`patch_or_bulk`), and which calls (`call_sets`,
//! `eliminate_calls`). `coalesce` fills calls with the files that need the same, whatever they
//! change, and keeps the order of the requests on each file.

mod call_sets;
mod coalesce;
mod eliminate_calls;
mod file_edit;
mod patch_or_bulk;
mod tag_batcher;
mod tag_call;
mod tag_job;

use std::sync::Arc;

pub(super) use coalesce::Coalescer;
pub(super) use file_edit::FileEdit;
pub(crate) use tag_batcher::{TagBatcher, TagEdit};
#[cfg(test)]
pub(crate) use tag_call::CallFile;
pub(crate) use tag_call::{Superset, TagCall};
pub(super) use tag_job::TagJob;

use super::Batch;
use crate::request::{BULK_FILES_MAX, Request};

/// Maximum tag changes in memory, waiting for equal changes of other files.
const TAG_CHANGES_MAX: usize = 20_000;
/// Maximum steps of requests in memory, waiting to share their calls.
const STEPS_HELD_MAX: usize = 20_000;

/// Collects the edits of files, and releases requests.
#[derive(Debug)]
pub(super) struct Batcher {
    tag_batcher: TagBatcher<Arc<TagJob>>,
    coalescer: Coalescer,
}

impl Batcher {
    pub(super) fn new() -> Self {
        let tag_batcher = TagBatcher::new(BULK_FILES_MAX, TAG_CHANGES_MAX);
        Self { tag_batcher, coalescer: Coalescer::default() }
    }

    /// Adds what some rows of a file need. Requests that need not wait any longer go to the batch.
    pub(super) fn add(&mut self, edit: FileEdit, batch: &mut Batch) {
        if let Some(job) = edit.tags {
            self.add_tags(job, batch);
        }
        self.send(edit.requests, batch);
    }

    /// Releases everything.
    pub(super) fn end(&mut self, batch: &mut Batch) {
        let mut calls = Vec::new();
        self.tag_batcher.end(&mut calls);
        self.send_calls(calls, batch);
        self.coalescer.end(&mut batch.requests);
    }

    fn add_tags(&mut self, job: TagJob, batch: &mut Batch) {
        let edit = TagEdit {
            remove: job.remove.clone(),
            add: job.add.clone(),
            superset: job.superset.clone(),
            patchable: job.complete.is_some(),
            item: Arc::new(job),
        };
        let mut calls = Vec::new();
        self.tag_batcher.take(edit, &mut calls);
        self.send_calls(calls, batch);
    }

    fn send_calls(&mut self, calls: Vec<TagCall<Arc<TagJob>>>, batch: &mut Batch) {
        let requests = calls.into_iter().filter_map(|call| tag_job::request_of(call, batch));
        self.send(requests.collect(), batch);
    }

    fn send(&mut self, requests: Vec<Request>, batch: &mut Batch) {
        for request in requests {
            self.coalescer.take(request, &mut batch.requests);
        }
        self.coalescer.flush_to(STEPS_HELD_MAX, &mut batch.requests);
    }
}
