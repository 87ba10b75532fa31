//! Coalesces equal changes of tags and AI tags of many rows into bulk calls.
//!
//! A tag change is held (by the direct planner for up to 2,048 rows), so that equal changes can
//! join its call. The requests on one file keep their order: a request on a file with a held change
//! waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::Xxh3;

use crate::request::{BULK_FILES_MAX, Call, Idempotent, Request, Sendable as _, StepRef};
use crate::row::{FileId, Tags};

/// Maximum rows for which the direct planner holds a change. Below the executor's window of rows,
/// so that a held change never blocks the rows that would release it.
const ROWS_HELD_MAX: u64 = 2048;

/// The requests held.
#[derive(Debug, Default)]
pub(in crate::plan) struct Coalescer {
    /// In order of age.
    groups: BTreeMap<GroupId, Group>,
    next_id: GroupId,
    /// The groups of each call, in order of age.
    joinable: HashMap<u64, Vec<GroupId>>,
    /// The youngest group of each file.
    youngest: HashMap<FileId, GroupId>,
    rows: u64,
    /// Steps of the held requests.
    steps: usize,
}

type GroupId = u64;

#[derive(Debug)]
struct Group {
    pending: Pending,
    /// Older groups that must be released first, because they share a file.
    depends_on: Vec<GroupId>,
    /// Groups to release together with this one.
    successors: Vec<GroupId>,
    /// Number of rows when the group was created.
    created_at: u64,
}

#[derive(Debug)]
enum Pending {
    /// A bulk call that other changes may join.
    Shared(Shared),
    /// Any other request, which waits for a held change of the same file.
    Alone(Request),
}

#[derive(Debug)]
struct Shared {
    call: Call,
    files: Vec<FileId>,
    steps: Vec<StepRef>,
    /// Number of distinct files.
    file_count: usize,
    /// Key in [`Coalescer::joinable`].
    key: u64,
}

impl Coalescer {
    /// Counts a row, and releases the groups that have been held long enough.
    pub(in crate::plan) fn row(&mut self, out: &mut Vec<Request>) {
        self.rows += 1;
        while let Some((oldest, group)) = self.groups.first_key_value()
            && self.rows - group.created_at >= ROWS_HELD_MAX
        {
            self.release(*oldest, out);
        }
    }

    /// Holds a request if it is a tag change or must wait for one; otherwise releases it.
    pub(in crate::plan) fn take(&mut self, request: Request, out: &mut Vec<Request>) {
        let key = match &request {
            Request::Idempotent(request) => key(request.call()),
            Request::AtMostOnce(_) => None,
        };
        match (key, request) {
            (Some(key), Request::Idempotent(request)) => self.join(key, request, out),
            (_, request) if self.groups.is_empty() => out.push(request),
            (_, request) => self.follow(request, out),
        }
    }

    /// Releases the oldest groups until at most `steps_max` steps are held.
    pub(super) fn flush_to(&mut self, steps_max: usize, out: &mut Vec<Request>) {
        while let Some((oldest, _)) = self.groups.first_key_value()
            && self.steps > steps_max
        {
            self.release(*oldest, out);
        }
    }

    /// Releases everything.
    pub(in crate::plan) fn end(&mut self, out: &mut Vec<Request>) {
        self.flush_to(0, out);
    }

    /// Releases a request immediately, or after the held requests on its files.
    fn follow(&mut self, request: Request, out: &mut Vec<Request>) {
        let files = request.files();
        let mut depends_on: Vec<GroupId> =
            files.iter().filter_map(|file| self.youngest.get(file).copied()).collect();
        depends_on.dedup();
        let [.., last] = depends_on[..] else {
            out.push(request);
            return;
        };
        let id = self.next_id;
        for file in files {
            self.youngest.insert(file.clone(), id);
        }
        self.steps += request.steps().len();
        if let Some(last) = self.groups.get_mut(&last) {
            last.successors.push(id);
        }
        self.add_group(Pending::Alone(request), depends_on);
    }

    fn join(&mut self, key: u64, request: Idempotent, out: &mut Vec<Request>) {
        let (call, files, steps) = request.into_parts();
        self.steps += steps.len();
        let mut current = None;
        for (file, step) in files.into_iter().zip(steps) {
            let previous = self.youngest.get(&file).copied();
            let id = self.group_for(key, &call, previous);
            if let Some(full) = current.replace(id).filter(|full| *full != id) {
                self.release_if_full(full, out);
            }
            self.youngest.insert(file.clone(), id);
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            group.depends_on.extend(previous.filter(|previous| *previous != id));
            if let Pending::Shared(shared) = &mut group.pending {
                shared.steps.push(step);
                shared.files.push(file);
                shared.file_count += usize::from(previous != Some(id));
            }
        }
        if let Some(last) = current {
            self.release_if_full(last, out);
        }
    }

    /// The oldest group of that call that a file may join, or a new group. It must not be older
    /// than the file's previous group, because that would reorder the changes of the file.
    fn group_for(&mut self, key: u64, call: &Call, previous: Option<GroupId>) -> GroupId {
        let candidates = self.joinable.get(&key).into_iter().flatten().copied();
        let can_join = |id: &GroupId| {
            let group = self.groups.get(id);
            previous.is_none_or(|previous| previous <= *id)
                && matches!(group, Some(Group { pending: Pending::Shared(shared), .. })
                    if shared.call == *call && (!shared.is_full() || previous == Some(*id)))
        };
        if let Some(id) = candidates.into_iter().find(can_join) {
            return id;
        }
        let (files, steps) = (Vec::new(), Vec::new());
        let shared = Shared { call: call.clone(), files, steps, file_count: 0, key };
        let id = self.add_group(Pending::Shared(shared), Vec::new());
        self.joinable.entry(key).or_default().push(id);
        id
    }

    fn add_group(&mut self, pending: Pending, depends_on: Vec<GroupId>) -> GroupId {
        let id = self.next_id;
        self.next_id += 1;
        self.groups.insert(
            id,
            Group { pending, depends_on, successors: Vec::new(), created_at: self.rows },
        );
        id
    }

    fn release_if_full(&mut self, id: GroupId, out: &mut Vec<Request>) {
        let group = self.groups.get(&id);
        if matches!(group, Some(Group { pending: Pending::Shared(shared), .. }) if shared.is_full())
        {
            self.release(id, out);
        }
    }

    /// Releases a group, after the older groups that it depends on, and together with the groups
    /// that wait for it. Oldest first, because no group depends on a younger one.
    fn release(&mut self, id: GroupId, out: &mut Vec<Request>) {
        let mut releasing = self.with_dependencies(id);
        while let Some(id) = releasing.pop_first() {
            let Some(group) = self.groups.remove(&id) else {
                continue;
            };
            for successor in group.successors {
                releasing.append(&mut self.with_dependencies(successor));
            }
            let request = match group.pending {
                Pending::Alone(request) => request,
                Pending::Shared(Shared { call, files, steps, key, .. }) => {
                    self.remove_joinable(key, id);
                    Request::new(call, files.into(), steps.into())
                }
            };
            for file in request.files() {
                if self.youngest.get(file) == Some(&id) {
                    self.youngest.remove(file);
                }
            }
            self.steps -= request.steps().len();
            out.push(request);
        }
    }

    fn with_dependencies(&self, id: GroupId) -> BTreeSet<GroupId> {
        let (mut found, mut queue) = (BTreeSet::new(), vec![id]);
        while let Some(id) = queue.pop() {
            if let Some(group) = self.groups.get(&id)
                && found.insert(id)
            {
                queue.extend(&group.depends_on);
            }
        }
        found
    }

    fn remove_joinable(&mut self, key: u64, id: GroupId) {
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
        self.file_count >= BULK_FILES_MAX
    }
}

/// Hash of a call that can be coalesced; `None` for other calls.
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
        Call::RemoveAiTags(tags) => Some(of(2, tags)),
        Call::Details(_) | Call::Publish(_) | Call::ReadBack(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::request::StepKind;

    /// The change of a row.
    #[derive(Debug, Clone, Copy)]
    enum TestChange {
        Add(u8),
        Remove(u8),
        Describe,
    }

    fn request(row: u64, file: u16, change: TestChange) -> Request {
        let tags = |tag: u8| Tags::new(vec![format!("tag{tag}")]).expect("a tag");
        let (kind, call) = match change {
            TestChange::Add(tag) => (StepKind::AddTags, Call::AddTags(tags(tag))),
            TestChange::Remove(tag) => (StepKind::RemoveTags, Call::RemoveTags(tags(tag))),
            TestChange::Describe => (StepKind::Details, Call::Details(Box::default())),
        };
        let file = FileId::new(&format!("file{file}")).expect("an id");
        Request::new(call, [file].into(), [StepRef { row, kind }].into())
    }

    fn coalesce(changes: &[(u16, TestChange)]) -> Vec<Request> {
        let (mut coalescer, mut out) = (Coalescer::default(), Vec::new());
        for (row, (file, change)) in (2..).zip(changes) {
            coalescer.row(&mut out);
            coalescer.take(request(row, *file, *change), &mut out);
        }
        coalescer.end(&mut out);
        out
    }

    #[test]
    fn equal_changes_share_calls_of_fifty() {
        let changes: Vec<_> = (0..10_000).map(|file| (file, TestChange::Add(0))).collect();
        let requests = coalesce(&changes);
        assert_eq!(requests.len(), 200);
        assert!(requests.iter().all(|request| request.steps().len() == 50));
    }

    #[test]
    fn rows_share_both_removal_and_addition_calls() {
        let changes: Vec<_> = (0..1000)
            .flat_map(|file| [(file, TestChange::Remove(0)), (file, TestChange::Add(1))])
            .collect();
        assert_eq!(coalesce(&changes).len(), 40);
    }

    #[test]
    fn change_is_held_for_limited_rows() {
        let (mut coalescer, mut out) = (Coalescer::default(), Vec::new());
        coalescer.row(&mut out);
        coalescer.take(request(2, 0, TestChange::Add(0)), &mut out);
        for row in 3..2 + ROWS_HELD_MAX {
            coalescer.row(&mut out);
            coalescer.take(request(row, 1, TestChange::Describe), &mut out);
            assert_eq!(out.pop(), Some(request(row, 1, TestChange::Describe)));
        }
        coalescer.row(&mut out);
        assert_eq!(out, [request(2, 0, TestChange::Add(0))]);
    }

    fn changes() -> impl Strategy<Value = Vec<(u16, TestChange)>> {
        let change = prop_oneof![
            4 => (0_u8..3).prop_map(TestChange::Add),
            4 => (0_u8..3).prop_map(TestChange::Remove),
            1 => Just(TestChange::Describe),
        ];
        proptest::collection::vec((0_u16..80, change), 0..400)
    }

    proptest! {
        #[test]
        fn steps_are_kept_in_file_order(changes in changes()) {
            let mut rows_of: HashMap<FileId, Vec<u64>> = HashMap::new();
            let mut seen = HashSet::new();
            for request in coalesce(&changes) {
                let distinct: HashSet<_> = request.files().iter().collect();
                prop_assert!(distinct.len() <= BULK_FILES_MAX);
                for (file, step) in request.files().iter().zip(request.steps()) {
                    prop_assert!(seen.insert(*step));
                    rows_of.entry(file.clone()).or_default().push(step.row);
                }
            }
            prop_assert_eq!(seen.len(), changes.len());
            for rows in rows_of.values() {
                prop_assert!(rows.is_sorted(), "{:?}", rows);
            }
        }
    }
}
