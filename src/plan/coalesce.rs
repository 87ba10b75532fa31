//! Tag changes of many rows in one call.
//!
//! A row's tag change is held back a little, for others that ask for the same to join it. What a
//! file is asked for stays in order: nothing passes a change of the same file that is held back,
//! but waits with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::Xxh3;

use crate::request::{BULK_FILES_MAX, Call, Idempotent, Request, Sendable as _, StepRef};
use crate::row::{FileId, Tags};

/// For so many rows the direct planner holds a change back at most. The executor takes in more rows
/// than that before it waits for the first one, so that none waits for itself.
const ROWS_HELD_MAX: u64 = 2048;

/// The requests that are held back.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    /// By their age.
    held: BTreeMap<GroupId, Group>,
    next: GroupId,
    /// The groups of each call, by their age.
    joinable: HashMap<u64, Vec<GroupId>>,
    /// The youngest group that each file is in.
    of_file: HashMap<FileId, GroupId>,
    rows: u64,
    /// Steps of what is held back.
    steps: usize,
}

type GroupId = u64;

#[derive(Debug)]
struct Group {
    what: Pending,
    /// Groups that must go before it, because they share a file. They are older.
    after: Vec<GroupId>,
    /// Requests that wait for nothing but this.
    successors: Vec<GroupId>,
    /// How many rows there were when it began.
    since: u64,
}

#[derive(Debug)]
enum Pending {
    /// A call that others may join.
    Shared(Shared),
    /// A request that waits behind changes of the same file.
    Alone(Request),
}

#[derive(Debug)]
struct Shared {
    call: Call,
    files: Vec<FileId>,
    steps: Vec<StepRef>,
    /// How many files it names, each counted once.
    distinct: usize,
    /// What [`Coalescer::joinable`] knows it by.
    key: u64,
}

impl Coalescer {
    /// Another row comes: those that have been held back long enough go.
    pub(super) fn row(&mut self, out: &mut Vec<Request>) {
        self.rows += 1;
        while let Some((oldest, group)) = self.held.first_key_value()
            && self.rows - group.since >= ROWS_HELD_MAX
        {
            self.release(*oldest, out);
        }
    }

    /// Holds a request back if it is a tag change or must wait behind one; lets it pass otherwise.
    pub(super) fn take(&mut self, request: Request, out: &mut Vec<Request>) {
        match request {
            Request::Idempotent(safe) => match key(safe.call()) {
                Some(key) => self.join(key, safe, out),
                None => self.follow(Request::Idempotent(safe), out),
            },
            once @ Request::AtMostOnce(_) => self.follow(once, out),
        }
    }

    /// The oldest go until no more than so many steps are held back.
    pub(super) fn flush_to(&mut self, steps_max: usize, out: &mut Vec<Request>) {
        while let Some((oldest, _)) = self.held.first_key_value()
            && self.steps > steps_max
        {
            self.release(*oldest, out);
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, out: &mut Vec<Request>) {
        self.flush_to(0, out);
    }

    /// Lets a request go at once, or when that which is held back of its file goes.
    fn follow(&mut self, request: Request, out: &mut Vec<Request>) {
        let files = if self.held.is_empty() { &[] } else { request.files() };
        let mut after: Vec<GroupId> =
            files.iter().filter_map(|file| self.of_file.get(file).copied()).collect();
        after.dedup();
        let [.., last] = after[..] else {
            out.push(request);
            return;
        };
        let id = self.next;
        for file in files {
            self.of_file.insert(file.clone(), id);
        }
        self.steps += request.steps().len();
        if let Some(last) = self.held.get_mut(&last) {
            last.successors.push(id);
        }
        self.begin(Pending::Alone(request), after);
    }

    fn join(&mut self, key: u64, request: Idempotent, out: &mut Vec<Request>) {
        let (call, files, steps) = request.into_parts();
        self.steps += steps.len();
        let mut joined = None;
        for (file, step) in files.into_iter().zip(steps) {
            let before = self.of_file.get(&file).copied();
            let id = self.group_for(key, &call, before);
            if let Some(full) = joined.replace(id).filter(|full| *full != id) {
                self.release_if_full(full, out);
            }
            self.of_file.insert(file.clone(), id);
            let Some(group) = self.held.get_mut(&id) else {
                continue;
            };
            group.after.extend(before.filter(|before| *before != id));
            if let Pending::Shared(shared) = &mut group.what {
                shared.steps.push(step);
                shared.files.push(file);
                shared.distinct += usize::from(before != Some(id));
            }
        }
        if let Some(last) = joined {
            self.release_if_full(last, out);
        }
    }

    /// The oldest group of that call that a file's change may join, or else a new one. It may not
    /// join one that is older than the one it was in before: that would turn the order of its
    /// changes around.
    fn group_for(&mut self, key: u64, call: &Call, before: Option<GroupId>) -> GroupId {
        let of_call = self.joinable.get(&key).into_iter().flatten().copied();
        let takes = |id: &GroupId| {
            let group = self.held.get(id);
            before.is_none_or(|before| before <= *id)
                && matches!(group, Some(Group { what: Pending::Shared(shared), .. })
                    if shared.call == *call && (!shared.is_full() || before == Some(*id)))
        };
        if let Some(id) = of_call.into_iter().find(takes) {
            return id;
        }
        let (files, steps) = (Vec::new(), Vec::new());
        let shared = Shared { call: call.clone(), files, steps, distinct: 0, key };
        let id = self.begin(Pending::Shared(shared), Vec::new());
        self.joinable.entry(key).or_default().push(id);
        id
    }

    fn begin(&mut self, what: Pending, after: Vec<GroupId>) -> GroupId {
        let id = self.next;
        self.next += 1;
        self.held.insert(id, Group { what, after, successors: Vec::new(), since: self.rows });
        id
    }

    fn release_if_full(&mut self, id: GroupId, out: &mut Vec<Request>) {
        let group = self.held.get(&id);
        if matches!(group, Some(Group { what: Pending::Shared(shared), .. }) if shared.is_full()) {
            self.release(id, out);
        }
    }

    /// Lets a group go, behind those that must go before it, and before those that wait for it
    /// alone. The older first, since none waits for a younger one.
    fn release(&mut self, id: GroupId, out: &mut Vec<Request>) {
        let mut going = self.with_those_before(id);
        while let Some(id) = going.pop_first() {
            let Some(group) = self.held.remove(&id) else {
                continue;
            };
            for next in group.successors {
                going.append(&mut self.with_those_before(next));
            }
            let request = match group.what {
                Pending::Alone(request) => request,
                Pending::Shared(Shared { call, files, steps, key, .. }) => {
                    self.forget_call(key, id);
                    Request::new(call, files.into(), steps.into())
                }
            };
            for file in request.files() {
                if self.of_file.get(file) == Some(&id) {
                    self.of_file.remove(file);
                }
            }
            self.steps -= request.steps().len();
            out.push(request);
        }
    }

    fn with_those_before(&self, id: GroupId) -> BTreeSet<GroupId> {
        let (mut all, mut more) = (BTreeSet::new(), vec![id]);
        while let Some(id) = more.pop() {
            if let Some(group) = self.held.get(&id)
                && all.insert(id)
            {
                more.extend(&group.after);
            }
        }
        all
    }

    fn forget_call(&mut self, key: u64, id: GroupId) {
        if let Some(groups) = self.joinable.get_mut(&key) {
            groups.retain(|other| *other != id);
            if groups.is_empty() {
                self.joinable.remove(&key);
            }
        }
    }
}

impl Shared {
    fn is_full(&self) -> bool {
        self.distinct >= BULK_FILES_MAX
    }
}

/// A number for what is asked for; none for what is not asked for in bulk.
fn key(call: &Call) -> Option<u64> {
    let of = |kind: u8, tags: &Tags| {
        let mut hash = Xxh3::new();
        hash.update(&[kind]);
        for tag in tags.as_slice() {
            hash.update(tag.as_bytes());
            hash.update(&[0]);
        }
        hash.digest()
    };
    match call {
        Call::AddTags(tags) => Some(of(0, tags)),
        Call::RemoveTags(tags) => Some(of(1, tags)),
        Call::Details(_) | Call::Publish(_) | Call::ReadBack(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::request::StepKind;

    /// What a row asks of a file.
    #[derive(Debug, Clone, Copy)]
    enum Ask {
        Add(u8),
        Remove(u8),
        Describe,
    }

    fn request(row: u64, file: u16, ask: Ask) -> Request {
        let tags = |tag: u8| Tags::new(vec![format!("tag{tag}")]).expect("a tag");
        let (kind, call) = match ask {
            Ask::Add(tag) => (StepKind::AddTags, Call::AddTags(tags(tag))),
            Ask::Remove(tag) => (StepKind::RemoveTags, Call::RemoveTags(tags(tag))),
            Ask::Describe => (StepKind::Details, Call::Details(Box::default())),
        };
        let file = FileId::new(&format!("file{file}")).expect("an id");
        Request::new(call, [file].into(), [StepRef { row, kind }].into())
    }

    fn thousands(asks: &[(u16, Ask)]) -> Vec<Request> {
        let (mut groups, mut out) = (Coalescer::default(), Vec::new());
        for (row, (file, ask)) in (2..).zip(asks) {
            groups.row(&mut out);
            groups.take(request(row, *file, *ask), &mut out);
        }
        groups.end(&mut out);
        out
    }

    #[test]
    fn rows_that_ask_for_the_same_share_calls_of_fifty() {
        let asks: Vec<_> = (0..10_000).map(|file| (file, Ask::Add(0))).collect();
        let requests = thousands(&asks);
        assert_eq!(requests.len(), 200);
        assert!(requests.iter().all(|request| request.steps().len() == 50));
    }

    #[test]
    fn rows_that_remove_one_and_add_another_share_both_calls() {
        let asks: Vec<_> =
            (0..1000).flat_map(|file| [(file, Ask::Remove(0)), (file, Ask::Add(1))]).collect();
        assert_eq!(thousands(&asks).len(), 40);
    }

    #[test]
    fn nobody_is_held_back_for_longer_than_the_executor_can_wait() {
        let (mut groups, mut out) = (Coalescer::default(), Vec::new());
        groups.row(&mut out);
        groups.take(request(2, 0, Ask::Add(0)), &mut out);
        for row in 3..2 + ROWS_HELD_MAX {
            groups.row(&mut out);
            groups.take(request(row, 1, Ask::Describe), &mut out);
            assert_eq!(out.pop(), Some(request(row, 1, Ask::Describe)));
        }
        groups.row(&mut out);
        assert_eq!(out, [request(2, 0, Ask::Add(0))]);
    }

    fn asks() -> impl Strategy<Value = Vec<(u16, Ask)>> {
        let ask = prop_oneof![
            4 => (0_u8..3).prop_map(Ask::Add),
            4 => (0_u8..3).prop_map(Ask::Remove),
            1 => Just(Ask::Describe),
        ];
        proptest::collection::vec((0_u16..80, ask), 0..400)
    }

    proptest! {
        #[test]
        fn each_step_is_there_once_and_those_of_a_file_in_order(asks in asks()) {
            let mut rows_of: HashMap<FileId, Vec<u64>> = HashMap::new();
            let mut seen = HashSet::new();
            for request in thousands(&asks) {
                let distinct: HashSet<_> = request.files().iter().collect();
                prop_assert!(distinct.len() <= BULK_FILES_MAX);
                for (file, step) in request.files().iter().zip(request.steps()) {
                    prop_assert!(seen.insert(*step));
                    rows_of.entry(file.clone()).or_default().push(step.row);
                }
            }
            prop_assert_eq!(seen.len(), asks.len());
            for rows in rows_of.values() {
                prop_assert!(rows.is_sorted(), "{:?}", rows);
            }
        }
    }
}
