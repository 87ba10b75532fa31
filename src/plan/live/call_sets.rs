//! Bulk calls, by what each asks for, and how files that few others go with find a place in the
//! calls of many.
//!
//! A file may go with those that need more than it does, if what it does not need was asked for it
//! all the same. And what is asked for in one call may be asked for tag by tag, in calls that files
//! share which have little else in common. What of this saves requests is decided in
//! [`moves`](super::moves).

use std::collections::{BTreeMap, HashMap};
use std::{iter, slice};

use super::eliminate_calls::{Eliminations, ListId};
use super::tag_batcher::{CallFile, Entry, TagCall, TagDelta};
use crate::row::Tags;

/// Edits that share bulk calls, by what each call asks for: those that remove, and those that add.
#[derive(Debug, Clone)]
pub(super) struct CallSets<T>([Side<T>; 2]);

type Side<T> = BTreeMap<Tags, Vec<CallFile<Entry<T>>>>;
type AskedOf<T> = fn(&Entry<T>) -> Option<&Tags>;

impl<T: Clone> CallSets<T> {
    pub(super) fn new() -> Self {
        Self([BTreeMap::new(), BTreeMap::new()])
    }

    pub(super) fn put(
        &mut self,
        (remove, add): TagDelta,
        items: impl IntoIterator<Item = Entry<T>>,
    ) {
        let items = items.into_iter().map(|item| CallFile { item, is_last: true });
        let items: Vec<_> = items.collect();
        for (side, tags) in self.0.iter_mut().zip([remove, add]) {
            if let Some(tags) = tags {
                side.entry(tags).or_default().extend_from_slice(&items);
            }
        }
    }

    /// Lets the files of a call, or of a PATCH, that few share join the calls of others.
    pub(super) fn shared(
        self,
        patches: Vec<(TagDelta, Entry<T>)>,
        cap: usize,
    ) -> (Self, Vec<Entry<T>>) {
        let has_more = |side: &Side<T>, asked: AskedOf<T>| {
            side.values().flatten().any(|member| asked(&member.item).is_some())
        };
        let Self([removed, added]) = &self;
        if !has_more(removed, asked_to_remove) && !has_more(added, asked_to_add) {
            return self.joined_tag_by_tag(patches, cap);
        }
        let as_needed = self.clone().joined_tag_by_tag(patches.clone(), cap);
        let as_asked = self.joined_as_asked(cap).joined_tag_by_tag(patches, cap);
        let requests = |(calls, patches): &(Self, Vec<_>)| calls.requests(cap) + patches.len();
        if requests(&as_asked) < requests(&as_needed) { as_asked } else { as_needed }
    }

    fn requests(&self, cap: usize) -> usize {
        self.0.iter().flat_map(Side::values).map(|items| items.len().div_ceil(cap)).sum()
    }

    /// Lets files from which more may be removed, or to which more may be added, join those that
    /// need it.
    fn joined_as_asked(self, cap: usize) -> Self {
        let Self([removed, added]) = self;
        Self([joined(removed, asked_to_remove, cap), joined(added, asked_to_add, cap)])
    }

    /// Lets files join the calls of single tags.
    fn joined_tag_by_tag(
        mut self,
        patches: Vec<(TagDelta, Entry<T>)>,
        cap: usize,
    ) -> (Self, Vec<Entry<T>>) {
        let mut moves = Eliminations::new(cap);
        let mut singles = [HashMap::new(), HashMap::new()];
        let mut offered = Vec::new();
        for (side, (lists, singles)) in self.0.iter().zip(&mut singles).enumerate() {
            for (tags, items) in lists.iter().filter(|(tags, _)| tags.as_slice().len() == 1) {
                singles.insert(tags.clone(), moves.list(items.len()));
            }
            for (tags, items) in lists.iter().filter(|(tags, _)| tags.as_slice().len() > 1) {
                let (list, count) = (moves.list(items.len()), items.len() % cap);
                if count > 0 {
                    let into = places(singles, tags, count, &mut moves);
                    moves.offer(Some(list), count, into);
                    offered.push((side, tags.clone(), count));
                }
            }
        }
        for ((remove, add), _) in &patches {
            let mut into = Vec::new();
            for (tags, singles) in [remove, add].into_iter().zip(&mut singles) {
                let tags = tags.iter();
                into.extend(tags.flat_map(|tags| places(singles, tags, 1, &mut moves)));
            }
            moves.offer(None, 1, into);
        }
        let mut made = moves.made().into_iter();
        for ((side, tags, count), _) in offered.iter().zip(&mut made).filter(|(_, made)| *made) {
            let leaving = leave(&mut self.0[*side], tags, *count);
            let leaving: Vec<_> = leaving.into_iter().map(|member| member.item).collect();
            put_singly(&mut self.0[*side], Some(tags), &leaving);
        }
        let mut left = Vec::new();
        for (((remove, add), filed), made) in patches.into_iter().zip(made) {
            if made {
                let [removed, added] = &mut self.0;
                for (side, tags) in [(removed, remove), (added, add)] {
                    put_singly(side, tags.as_ref(), slice::from_ref(&filed));
                }
            } else {
                left.push(filed);
            }
        }
        (self, left)
    }

    /// All removals come first, so that each comes before the additions of the same edit.
    pub(super) fn emit(self, cap: usize, out: &mut Vec<TagCall<T>>) {
        let Self([removed, added]) = self;
        for (tags, items) in removed {
            out.extend(in_calls(items, cap).map(|items| TagCall::Remove(tags.clone(), items)));
        }
        for (tags, items) in added {
            out.extend(in_calls(items, cap).map(|items| TagCall::Add(tags.clone(), items)));
        }
    }
}

fn asked_to_remove<T>(filed: &Entry<T>) -> Option<&Tags> {
    filed.asked.remove.as_ref()
}

fn asked_to_add<T>(filed: &Entry<T>) -> Option<&Tags> {
    filed.asked.add.as_ref()
}

/// The calls of one side, once files have joined those that need more than they do.
fn joined<T: Clone>(mut side: Side<T>, asked: AskedOf<T>, cap: usize) -> Side<T> {
    let mut moves = Eliminations::new(cap);
    let mut lists: HashMap<Tags, ListId> = HashMap::new();
    for (tags, items) in &mut side {
        lists.insert(tags.clone(), moves.list(items.len()));
        // Those that have a choice are in the last call.
        items.sort_by_key(|member| asked(&member.item).is_some());
    }
    let mut offered = Vec::new();
    for (tags, items) in &side {
        let count = items.len() % cap;
        let leaving = items[items.len() - count..].iter().map(|member| asked(&member.item));
        let Some(wanted) = leaving.collect::<Option<Vec<_>>>().filter(|wanted| !wanted.is_empty())
        else {
            continue;
        };
        let place = |tags: &Tags| match lists.get(tags) {
            Some(list) => *list,
            None => *lists.entry(tags.clone()).or_insert_with(|| moves.list(0)),
        };
        let into = wanted.into_iter().map(place).map(|list| (list, 1)).collect();
        moves.offer(lists.get(tags).copied(), count, into);
        offered.push((tags.clone(), count));
    }
    let made = offered.iter().zip(moves.made()).filter(|(_, made)| *made);
    let leaving: Vec<_> =
        made.flat_map(|((tags, count), _)| leave(&mut side, tags, *count)).collect();
    for member in leaving {
        if let Some(tags) = asked(&member.item).cloned() {
            side.entry(tags).or_default().push(member);
        }
    }
    side
}

/// The last of the files leave a list.
fn leave<T>(side: &mut Side<T>, tags: &Tags, count: usize) -> Vec<CallFile<Entry<T>>> {
    let Some(items) = side.get_mut(tags) else {
        return Vec::new();
    };
    let leaving = items.split_off(items.len() - count);
    if items.is_empty() {
        side.remove(tags);
    }
    leaving
}

/// What so many files of a list come to tag by tag.
fn places(
    singles: &mut HashMap<Tags, ListId>,
    tags: &Tags,
    count: usize,
    moves: &mut Eliminations,
) -> Vec<(ListId, usize)> {
    let single = |tag| *singles.entry(tag).or_insert_with(|| moves.list(0));
    tags.one_by_one().map(single).map(|list| (list, count)).collect()
}

/// Files join the calls of single tags, which come out in alphabetical order.
fn put_singly<T: Clone>(side: &mut Side<T>, tags: Option<&Tags>, items: &[Entry<T>]) {
    let all = || tags.into_iter().flat_map(Tags::one_by_one);
    let last = all().max();
    for tag in all() {
        let is_last = Some(&tag) == last.as_ref();
        let members = items.iter().map(|item| CallFile { item: item.clone(), is_last });
        side.entry(tag).or_default().extend(members);
    }
}

fn in_calls<T>(
    items: Vec<CallFile<Entry<T>>>,
    cap: usize,
) -> impl Iterator<Item = Vec<CallFile<T>>> {
    let mut items =
        items.into_iter().map(|CallFile { item, is_last }| CallFile { item: item.item, is_last });
    iter::from_fn(move || {
        let call: Vec<_> = items.by_ref().take(cap).collect();
        (!call.is_empty()).then_some(call)
    })
}
