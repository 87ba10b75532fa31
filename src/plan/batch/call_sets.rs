//! The sets of files that share each bulk call, and how files with rare lists of tags join the
//! calls of common ones.
//!
//! Two ways: a file may join a call with more tags than it needs, if the row requests those tags
//! anyway (the superset). And a list of tags may be split into calls for single tags, which files
//! with otherwise different lists can share. [`eliminate_calls`](super::eliminate_calls) decides
//! which of these save requests.

use std::collections::{BTreeMap, HashMap};
use std::slice;

use super::eliminate_calls::{Eliminations, ListId};
use super::tag_call::{CallFile, Entry, TagCall, TagDelta};
use crate::row::Tags;

/// Files by the tags of their bulk call: removals, then additions.
#[derive(Debug, Clone)]
pub(super) struct CallSets<T>([Side<T>; 2]);

type Side<T> = BTreeMap<Tags, Vec<CallFile<Entry<T>>>>;
type SupersetOf<T> = fn(&Entry<T>) -> Option<&Tags>;

impl<T: Clone> CallSets<T> {
    pub(super) fn new() -> Self {
        Self([BTreeMap::new(), BTreeMap::new()])
    }

    pub(super) fn add(
        &mut self,
        (remove, add): TagDelta,
        items: impl IntoIterator<Item = Entry<T>>,
    ) {
        let items = items.into_iter().map(|item| CallFile { item, is_last: true });
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            return;
        }
        for (side, tags) in self.0.iter_mut().zip([remove, add]) {
            if let Some(tags) = tags {
                side.entry(tags).or_default().extend_from_slice(&items);
            }
        }
    }

    /// Moves files out of calls and PATCH requests that few files share into the calls of others, if
    /// that saves requests. Returns the remaining PATCH requests.
    pub(super) fn optimized(
        self,
        patches: Vec<(TagDelta, Entry<T>)>,
        cap: usize,
    ) -> (Self, Vec<Entry<T>>) {
        let has_superset = |side: &Side<T>, superset: SupersetOf<T>| {
            side.values().flatten().any(|file| superset(&file.item).is_some())
        };
        let Self([removed, added]) = &self;
        if !has_superset(removed, superset_to_remove) && !has_superset(added, superset_to_add) {
            return self.join_single_tags(patches, cap);
        }
        let by_need = self.clone().join_single_tags(patches.clone(), cap);
        let by_superset = self.join_supersets(cap).join_single_tags(patches, cap);
        let requests = |(calls, patches): &(Self, Vec<_>)| calls.requests(cap) + patches.len();
        if requests(&by_superset) < requests(&by_need) { by_superset } else { by_need }
    }

    fn requests(&self, cap: usize) -> usize {
        self.0.iter().flat_map(Side::values).map(|items| items.len().div_ceil(cap)).sum()
    }

    /// Moves files into calls for their supersets.
    fn join_supersets(self, cap: usize) -> Self {
        let Self([removed, added]) = self;
        Self([
            with_supersets(removed, superset_to_remove, cap),
            with_supersets(added, superset_to_add, cap),
        ])
    }

    /// Moves files into calls for single tags.
    fn join_single_tags(
        mut self,
        patches: Vec<(TagDelta, Entry<T>)>,
        cap: usize,
    ) -> (Self, Vec<Entry<T>>) {
        let mut eliminations = Eliminations::new(cap);
        let mut singles = [HashMap::new(), HashMap::new()];
        let mut candidates = Vec::new();
        for (side, (lists, singles)) in self.0.iter().zip(&mut singles).enumerate() {
            for (tags, items) in lists.iter().filter(|(tags, _)| tags.as_slice().len() == 1) {
                singles.insert(tags.clone(), eliminations.list(items.len()));
            }
            for (tags, items) in lists.iter().filter(|(tags, _)| tags.as_slice().len() > 1) {
                let (list, count) = (eliminations.list(items.len()), items.len() % cap);
                if count > 0 {
                    let targets = single_tag_lists(singles, tags, count, &mut eliminations);
                    eliminations.add_candidate(Some(list), count, targets);
                    candidates.push((side, tags.clone(), count));
                }
            }
        }
        for ((remove, add), _) in &patches {
            let mut targets = Vec::new();
            for (tags, singles) in [remove, add].into_iter().zip(&mut singles) {
                let tags = tags.iter();
                targets.extend(
                    tags.flat_map(|tags| single_tag_lists(singles, tags, 1, &mut eliminations)),
                );
            }
            eliminations.add_candidate(None, 1, targets);
        }
        let mut accepted = eliminations.accepted().into_iter();
        for ((side, tags, count), _) in
            candidates.iter().zip(&mut accepted).filter(|(_, accepted)| *accepted)
        {
            let moving = remove_last(&mut self.0[*side], tags, *count);
            let moving: Vec<_> = moving.into_iter().map(|file| file.item).collect();
            add_to_singles(&mut self.0[*side], Some(tags), &moving);
        }
        let mut remaining = Vec::new();
        for (((remove, add), entry), accepted) in patches.into_iter().zip(accepted) {
            if accepted {
                let [removed, added] = &mut self.0;
                for (side, tags) in [(removed, remove), (added, add)] {
                    add_to_singles(side, tags.as_ref(), slice::from_ref(&entry));
                }
            } else {
                remaining.push(entry);
            }
        }
        (self, remaining)
    }

    /// Removals come first, so that each precedes the addition of the same edit.
    pub(super) fn emit(self, out: &mut Vec<TagCall<T>>) {
        let Self([removed, added]) = self;
        let files = |files: Vec<CallFile<Entry<T>>>| {
            let files = files.into_iter();
            files.map(|CallFile { item, is_last }| CallFile { item: item.item, is_last }).collect()
        };
        out.extend(removed.into_iter().map(|(tags, all)| TagCall::Remove(tags, files(all))));
        out.extend(added.into_iter().map(|(tags, all)| TagCall::Add(tags, files(all))));
    }
}

fn superset_to_remove<T>(entry: &Entry<T>) -> Option<&Tags> {
    entry.superset.remove.as_ref()
}

fn superset_to_add<T>(entry: &Entry<T>) -> Option<&Tags> {
    entry.superset.add.as_ref()
}

/// The calls of one side, after files have moved to calls for their supersets.
fn with_supersets<T: Clone>(mut side: Side<T>, superset: SupersetOf<T>, cap: usize) -> Side<T> {
    let mut eliminations = Eliminations::new(cap);
    let mut lists: HashMap<Tags, ListId> = HashMap::new();
    for (tags, items) in &mut side {
        lists.insert(tags.clone(), eliminations.list(items.len()));
        // Put files with a superset into the last call.
        items.sort_by_key(|file| superset(&file.item).is_some());
    }
    let mut candidates = Vec::new();
    for (tags, items) in &side {
        let count = items.len() % cap;
        let moving = items[items.len() - count..].iter().map(|file| superset(&file.item));
        let Some(supersets) =
            moving.collect::<Option<Vec<_>>>().filter(|supersets| !supersets.is_empty())
        else {
            continue;
        };
        let list_of = |tags: &Tags| match lists.get(tags) {
            Some(list) => *list,
            None => *lists.entry(tags.clone()).or_insert_with(|| eliminations.list(0)),
        };
        let targets = supersets.into_iter().map(list_of).map(|list| (list, 1)).collect();
        eliminations.add_candidate(lists.get(tags).copied(), count, targets);
        candidates.push((tags.clone(), count));
    }
    let accepted = candidates.iter().zip(eliminations.accepted()).filter(|(_, accepted)| *accepted);
    let moving: Vec<_> =
        accepted.flat_map(|((tags, count), _)| remove_last(&mut side, tags, *count)).collect();
    for file in moving {
        if let Some(tags) = superset(&file.item).cloned() {
            side.entry(tags).or_default().push(file);
        }
    }
    side
}

/// Removes the last `count` files from a list.
fn remove_last<T>(side: &mut Side<T>, tags: &Tags, count: usize) -> Vec<CallFile<Entry<T>>> {
    let Some(items) = side.get_mut(tags) else {
        return Vec::new();
    };
    let moving = items.split_off(items.len() - count);
    if items.is_empty() {
        side.remove(tags);
    }
    moving
}

/// The lists of the single tags of `tags`, each of which `count` files would join.
fn single_tag_lists(
    singles: &mut HashMap<Tags, ListId>,
    tags: &Tags,
    count: usize,
    eliminations: &mut Eliminations,
) -> Vec<(ListId, usize)> {
    let single = |tag| *singles.entry(tag).or_insert_with(|| eliminations.list(0));
    tags.one_by_one().map(single).map(|list| (list, count)).collect()
}

/// Adds files to the calls of single tags, which are sent in alphabetical order.
fn add_to_singles<T: Clone>(side: &mut Side<T>, tags: Option<&Tags>, items: &[Entry<T>]) {
    let all = || tags.into_iter().flat_map(Tags::one_by_one);
    let last = all().max();
    for tag in all() {
        let is_last = Some(&tag) == last.as_ref();
        let files = items.iter().map(|item| CallFile { item: item.clone(), is_last });
        side.entry(tag).or_default().extend(files);
    }
}
