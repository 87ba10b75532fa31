//! Sends tag changes in the fewest requests: bulk calls that many files share, or a PATCH for one
//! file.
//!
//! Collects equal changes. [`patch_or_bulk`](super::patch_or_bulk) decides which files are cheaper
//! by PATCH, and [`call_sets`](super::call_sets) which files join the calls of others.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::call_sets::CallSets;
use super::patch_or_bulk::TagGraph;
use super::tag_call::{Entry, Superset, TagCall, TagDelta};
use crate::row::Tags;

/// The tag change of one file. At least one of the two lists is present.
#[derive(Debug, Clone)]
pub(crate) struct TagEdit<T> {
    /// The file, with the caller's data.
    pub item: T,
    /// Tags to remove.
    pub remove: Option<Tags>,
    /// Tags to add; disjoint from the tags to remove.
    pub add: Option<Tags>,
    /// Longer lists with the same effect, because the file lacks, or already has, the other tags.
    pub superset: Superset,
    /// Whether a PATCH of the complete list is an alternative. Not if the row adds or removes tags:
    /// concurrent changes by others must survive.
    pub patchable: bool,
}

/// Turns tag edits, at most one per file, into the fewest requests.
///
/// Guarantees:
///
/// - Each edit is sent once: by a PATCH, if it is patchable, or else by its removal and its
///   addition. Each of these is one call for all of its tags, or one call per tag if that takes
///   fewer requests, because other files share them.
/// - The removal of an edit precedes its addition, so that the tags of a file never exceed the
///   limit of 500 characters in between. No other order is guaranteed, but the result is
///   deterministic.
/// - The files of a [`TagCall`] take one call per `cap` files. The caller divides them, because later
///   files may join the last one.
/// - Never more requests than a PATCH for each patchable edit, and separate calls for each of the
///   others.
/// - An edit that only removes or only adds is never a PATCH, which could not save anything.
/// - A call names the tags that a file needs, or its superset.
/// - At most `held_max` edits are held between calls. One more flushes all of them, in as few
///   requests as are found; later edits cannot join those any more.
///
/// Two lists of tags are equal if they name the same tags in the same order.
#[derive(Debug)]
pub(crate) struct TagBatcher<T> {
    cap: usize,
    held_max: usize,
    buckets: BTreeMap<TagDelta, Bucket<T>>,
    /// Number of edits held.
    edit_count: usize,
}

/// Equal edits. The patchable ones come last.
#[derive(Debug)]
struct Bucket<T> {
    items: VecDeque<Entry<T>>,
    patchable: usize,
}

impl<T: Clone> TagBatcher<T> {
    /// `cap` is the maximum number of files per call, at least 2; `held_max` the maximum number of
    /// edits held.
    #[must_use]
    pub(crate) fn new(cap: usize, held_max: usize) -> Self {
        Self { cap, held_max, buckets: BTreeMap::new(), edit_count: 0 }
    }

    /// Adds an edit; requests that need not wait any longer go to `out`.
    ///
    /// A full call waits for one more equal edit. It could be sent immediately, but a single
    /// remaining edit may be worth a PATCH in combination with others.
    pub(crate) fn take(&mut self, edit: TagEdit<T>, out: &mut Vec<TagCall<T>>) {
        if let Some((delta, full)) = self.add(edit) {
            let mut calls = CallSets::new();
            calls.add(delta, full);
            calls.emit(out);
        }
        if self.edit_count > self.held_max {
            self.end(out);
        }
    }

    /// Flushes all edits.
    pub(crate) fn end(&mut self, out: &mut Vec<TagCall<T>>) {
        let patched = self.graph().patched();
        let mut calls = CallSets::new();
        let mut patch_entries = Vec::new();
        for ((delta, mut bucket), patched) in mem::take(&mut self.buckets).into_iter().zip(patched)
        {
            let bulk_count = bucket.items.len() - patched;
            patch_entries
                .extend(bucket.items.drain(bulk_count..).map(|entry| (delta.clone(), entry)));
            calls.add(delta, bucket.items);
        }
        let (calls, remaining_patches) = calls.optimized(patch_entries, self.cap);
        out.extend(remaining_patches.into_iter().map(|entry| TagCall::Patch(entry.item)));
        calls.emit(out);
        self.edit_count = 0;
    }

    /// Adds an edit to its bucket. If that makes one more than a full call, returns the files of
    /// the call.
    fn add(&mut self, edit: TagEdit<T>) -> Option<(TagDelta, Vec<Entry<T>>)> {
        let TagEdit { item, remove, add, superset, patchable } = edit;
        let (delta, entry) = ((remove, add), Entry { item, superset });
        self.edit_count += 1;
        let Some(bucket) = self.buckets.get_mut(&delta) else {
            let bucket = Bucket { items: [entry].into(), patchable: usize::from(patchable) };
            self.buckets.insert(delta, bucket);
            return None;
        };
        bucket.push(entry, patchable);
        (bucket.items.len() > self.cap).then(|| {
            self.edit_count -= self.cap;
            (delta, bucket.take(self.cap))
        })
    }

    /// The graph for [`patch_or_bulk`](super::patch_or_bulk), with the pairs in bucket order.
    fn graph(&self) -> TagGraph {
        let (mut removed, mut added) = (BTreeMap::new(), BTreeMap::new());
        let mut graph = TagGraph::new(self.cap);
        for ((remove, add), bucket) in &self.buckets {
            let remove =
                remove.as_ref().map(|it| *removed.entry(it).or_insert_with(|| graph.list()));
            let add = add.as_ref().map(|it| *added.entry(it).or_insert_with(|| graph.list()));
            graph.pair(remove, add, bucket.items.len(), bucket.patchable);
        }
        graph
    }
}

impl<T> Bucket<T> {
    fn push(&mut self, entry: Entry<T>, patchable: bool) {
        if patchable {
            self.items.push_back(entry);
            self.patchable += 1;
        } else {
            self.items.push_front(entry);
        }
    }

    /// Removes the first `count` entries.
    fn take(&mut self, count: usize) -> Vec<Entry<T>> {
        let first = self.items.drain(..count).collect();
        self.patchable = self.patchable.min(self.items.len());
        first
    }
}
