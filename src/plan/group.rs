//! Tag changes of many rows in one call.
//!
//! A row's tag change is held back a little, for others that ask for the same to join it. What a
//! file is asked for stays in order: nothing passes a change of the same file that is held back.

use std::collections::{BTreeMap, HashMap};

use xxhash_rust::xxh3::Xxh3;

use crate::request::{BULK_FILES_MAX, Call, Request, Safe, Sendable as _, StepRef};
use crate::row::{FileId, Tags};

/// For so many rows a change is held back at most. The executor takes in more rows than that
/// before it waits for the first one, so that none waits for itself.
const ROWS_HELD_MAX: u64 = 2048;

/// The changes that are held back.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By their age.
    held: BTreeMap<GroupId, Group>,
    next: GroupId,
    /// The youngest group of each call.
    joinable: HashMap<u64, GroupId>,
    /// The youngest group that each file is in.
    of_file: HashMap<FileId, GroupId>,
    rows: u64,
}

type GroupId = u64;

#[derive(Debug)]
struct Group {
    call: Call,
    files: Vec<FileId>,
    steps: Vec<StepRef>,
    /// Groups that must go before it, because they share a file.
    after: Vec<GroupId>,
    /// How many rows there were when it began.
    since: u64,
    /// What [`Groups::joinable`] knows it by.
    key: u64,
}

impl Groups {
    /// Another row comes: those that have been held back long enough go.
    pub(super) fn row(&mut self, out: &mut Vec<Request>) {
        self.rows += 1;
        while let Some((oldest, group)) = self.held.first_key_value()
            && self.rows - group.since >= ROWS_HELD_MAX
        {
            self.release(*oldest, out);
        }
    }

    /// Holds a request back if it is a tag change; lets it pass otherwise, behind what is held
    /// back of its files.
    pub(super) fn take(&mut self, request: Request, out: &mut Vec<Request>) {
        match request {
            Request::Safe(safe) => match key(safe.call()) {
                Some(key) => self.hold(key, safe, out),
                None => self.pass(Request::Safe(safe), out),
            },
            once @ Request::Once(_) => self.pass(once, out),
        }
    }

    /// No row comes any more.
    pub(super) fn end(&mut self, out: &mut Vec<Request>) {
        while let Some((oldest, _)) = self.held.first_key_value() {
            self.release(*oldest, out);
        }
    }

    fn pass(&mut self, request: Request, out: &mut Vec<Request>) {
        if !self.held.is_empty() {
            for file in request.files() {
                if let Some(group) = self.of_file.get(file) {
                    self.release(*group, out);
                }
            }
        }
        out.push(request);
    }

    fn hold(&mut self, key: u64, request: Safe, out: &mut Vec<Request>) {
        let (call, files, steps) = request.into_parts();
        for (file, step) in files.into_iter().zip(steps) {
            let id = self.group_for(key, &call, &file);
            let before = self.of_file.insert(file.clone(), id);
            let Some(group) = self.held.get_mut(&id) else {
                continue;
            };
            group.steps.push(step);
            group.files.push(file);
            match before {
                Some(before) if before == id => {}
                Some(before) if !group.after.contains(&before) => group.after.push(before),
                _ => {}
            }
            if group.is_full() {
                self.release(id, out);
            }
        }
    }

    /// The group of that call if the file's change may join it, or else a new one. It may not
    /// where the file is in a younger group: that would turn the order of its changes around.
    fn group_for(&mut self, key: u64, call: &Call, file: &FileId) -> GroupId {
        if let Some(id) = self.joinable.get(&key)
            && self.of_file.get(file).is_none_or(|last| last <= id)
            && self.held.get(id).is_some_and(|group| group.call == *call)
        {
            return *id;
        }
        let id = self.next;
        self.next += 1;
        let (call, since) = (call.clone(), self.rows);
        let (files, steps, after) = (Vec::new(), Vec::new(), Vec::new());
        self.held.insert(id, Group { call, files, steps, after, since, key });
        self.joinable.insert(key, id);
        id
    }

    /// Lets a group go, behind those that must go before it.
    fn release(&mut self, id: GroupId, out: &mut Vec<Request>) {
        let Some(group) = self.held.remove(&id) else {
            return;
        };
        for before in &group.after {
            self.release(*before, out);
        }
        if self.joinable.get(&group.key) == Some(&id) {
            self.joinable.remove(&group.key);
        }
        for file in &group.files {
            if self.of_file.get(file) == Some(&id) {
                self.of_file.remove(file);
            }
        }
        out.push(Request::new(group.call, group.files.into(), group.steps.into()));
    }
}

impl Group {
    fn is_full(&self) -> bool {
        // Nearly always every step has a file of its own.
        self.files.len() >= BULK_FILES_MAX
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

    fn grouped(asks: &[(u16, Ask)]) -> Vec<Request> {
        let (mut groups, mut out) = (Groups::default(), Vec::new());
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
        let requests = grouped(&asks);
        assert_eq!(requests.len(), 200);
        assert!(requests.iter().all(|request| request.steps().len() == 50));
    }

    #[test]
    fn rows_that_remove_one_and_add_another_share_both_calls() {
        let asks: Vec<_> =
            (0..1000).flat_map(|file| [(file, Ask::Remove(0)), (file, Ask::Add(1))]).collect();
        assert_eq!(grouped(&asks).len(), 40);
    }

    #[test]
    fn nobody_is_held_back_for_longer_than_the_executor_can_wait() {
        let (mut groups, mut out) = (Groups::default(), Vec::new());
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
            for request in grouped(&asks) {
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
