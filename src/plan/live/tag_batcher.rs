//! Tag changes in the fewest requests: bulk calls that many files share, or a PATCH for one file.
//!
//! What asks for the same is gathered here. Which files are cheaper by PATCH is decided in
//! [`trees`](super::trees), and which lists of tags are cheaper tag by tag in
//! [`calls`](super::calls).

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::call_sets::CallSets;
use super::patch_or_bulk::TagGraph;
use crate::row::Tags;

/// What is to become of the tags of one file. At least one of the two lists is there.
#[derive(Debug, Clone)]
pub struct TagEdit<T> {
    /// The file, and whatever goes with it.
    pub item: T,
    /// Tags to remove.
    pub remove: Option<Tags>,
    /// Tags to add; none of them is also removed.
    pub add: Option<Tags>,
    /// Longer lists to remove and to add that would do as well, because the file lacks the others
    /// anyway, or has them.
    pub asked: Superset,
    /// Whether a PATCH of the whole list will do as well. It will not where the person asked for
    /// tags to be added or removed: what somebody else adds in between must not be lost.
    pub patchable: bool,
}

/// What a person asked to remove and to add, where that is more than is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superset {
    /// To remove.
    pub remove: Option<Tags>,
    /// To add.
    pub add: Option<Tags>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagCall<T> {
    /// POST removeTags: these tags, from all of these files.
    Remove(Tags, Vec<CallFile<T>>),
    /// POST addTags: these tags, to all of these files.
    Add(Tags, Vec<CallFile<T>>),
    /// PATCH of the whole list of one file.
    Patch(T),
}

/// A file in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFile<T> {
    /// The file, and what goes with it.
    pub item: T,
    /// Whether no other call of the same kind follows for it.
    pub is_last: bool,
}

/// Turns tag edits, each of a file of its own, into the fewest requests.
///
/// - Each edit is carried once: by a PATCH, if it is patchable, or else by its removal and by its
///   addition. Each of these is one call for all of its tags, or a call for each of them where that
///   takes fewer requests, because other files share them.
/// - Removals come out before the additions of the same edit, so that the tags of a file never
///   pass the limit of 500 characters on the way. There is no other order, but the same edits
///   always come out the same way.
/// - No call names more than `cap` files.
/// - Never more requests than a PATCH for each patchable edit, and calls of its own for each of
///   the others.
/// - An edit that only removes or only adds is never a PATCH, which could not save anything.
/// - A call names what a file needs, or what was asked for it.
/// - Between two edits at most `held_max` of them are held in memory. When one more would be held,
///   all go, in as few requests as are found for them; later edits cannot join those any more.
///
/// Two lists of tags are the same if they name the same tags in the same order.
#[derive(Debug)]
pub struct TagBatcher<T> {
    cap: usize,
    held_max: usize,
    held: BTreeMap<TagDelta, Bucket<T>>,
    /// How many edits are held.
    count: usize,
}

/// The tags to remove and the tags to add.
pub(super) type TagDelta = (Option<Tags>, Option<Tags>);

/// Edits that ask for the same. Those that are patchable come last.
#[derive(Debug)]
struct Bucket<T> {
    items: VecDeque<Entry<T>>,
    patchable: usize,
}

/// A file, and what was asked for it.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    pub(super) item: T,
    pub(super) asked: Superset,
}

impl<T: Clone> TagBatcher<T> {
    /// Makes calls of at most `cap` files, which is 2 or more, and holds at most `held_max` edits.
    #[must_use]
    pub fn new(cap: usize, held_max: usize) -> Self {
        Self { cap, held_max, held: BTreeMap::new(), count: 0 }
    }

    /// Takes an edit; requests that need not wait any longer come out.
    ///
    /// A full call waits for one more edit that asks for the same. It could go at once, but the
    /// one that stays may be worth a PATCH together with others.
    pub fn take(&mut self, edit: TagEdit<T>, out: &mut Vec<TagCall<T>>) {
        if let Some((pair, full)) = self.hold(edit) {
            let mut calls = CallSets::new();
            calls.put(pair, full);
            calls.emit(self.cap, out);
        }
        if self.count > self.held_max {
            self.end(out);
        }
    }

    /// No edit comes any more, or none for now: all that is held comes out.
    pub fn end(&mut self, out: &mut Vec<TagCall<T>>) {
        let patched = self.lists().patched();
        let mut calls = CallSets::new();
        let mut by_patch = Vec::new();
        for ((pair, mut held), patched) in mem::take(&mut self.held).into_iter().zip(patched) {
            let in_bulk = held.items.len() - patched;
            by_patch.extend(held.items.drain(in_bulk..).map(|filed| (pair.clone(), filed)));
            calls.put(pair, held.items);
        }
        let (calls, alone) = calls.shared(by_patch, self.cap);
        out.extend(alone.into_iter().map(|filed| TagCall::Patch(filed.item)));
        calls.emit(self.cap, out);
        self.count = 0;
    }

    /// Holds an edit. Where it makes one more than a full call, that call is no longer held.
    fn hold(&mut self, edit: TagEdit<T>) -> Option<(TagDelta, Vec<Entry<T>>)> {
        let TagEdit { item, remove, add, asked, patchable } = edit;
        let (pair, filed) = ((remove, add), Entry { item, asked });
        self.count += 1;
        let Some(held) = self.held.get_mut(&pair) else {
            let held = Bucket { items: [filed].into(), patchable: usize::from(patchable) };
            self.held.insert(pair, held);
            return None;
        };
        held.push(filed, patchable);
        (held.items.len() > self.cap).then(|| {
            self.count -= self.cap;
            (pair, held.take(self.cap))
        })
    }

    /// What is held, in numbers, with the pairs in their order.
    fn lists(&self) -> TagGraph {
        let (mut removed, mut added) = (BTreeMap::new(), BTreeMap::new());
        let mut lists = TagGraph::new(self.cap);
        for ((remove, add), held) in &self.held {
            let remove =
                remove.as_ref().map(|it| *removed.entry(it).or_insert_with(|| lists.list()));
            let add = add.as_ref().map(|it| *added.entry(it).or_insert_with(|| lists.list()));
            lists.pair(remove, add, held.items.len(), held.patchable);
        }
        lists
    }
}

impl<T> Bucket<T> {
    fn push(&mut self, filed: Entry<T>, patchable: bool) {
        if patchable {
            self.items.push_back(filed);
            self.patchable += 1;
        } else {
            self.items.push_front(filed);
        }
    }

    /// Takes out the first of them.
    fn take(&mut self, count: usize) -> Vec<Entry<T>> {
        let first = self.items.drain(..count).collect();
        self.patchable = self.patchable.min(self.items.len());
        first
    }
}
