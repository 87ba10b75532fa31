//! Tag edits in the fewest requests: what comes out is held against the edits that went in, and
//! the number of requests against the best that there is.

use std::collections::HashMap;

use fastrand::Rng;
use ikbulk::plan::live::{CallFile, Superset, TagBatcher, TagCall, TagEdit};
use ikbulk::request::BULK_FILES_MAX;
use ikbulk::row::Tags;
use proptest::prelude::*;

const ROOMY: usize = 1_000_000;

/// What one file is asked for, with a number for each list of tags. The file's own number is its
/// place among the others.
#[derive(Debug, Clone, Copy)]
struct Ask {
    remove: Option<usize>,
    add: Option<usize>,
    patchable: bool,
}

impl Ask {
    fn replaced(remove: usize, add: usize) -> Self {
        Self { remove: Some(remove), add: Some(add), patchable: true }
    }

    /// In how many bulk calls it is.
    fn sides(self) -> usize {
        usize::from(self.remove.is_some()) + usize::from(self.add.is_some())
    }
}

/// The tags of a list.
type Naming = fn(&str, usize) -> Tags;

/// Every list is one tag.
fn one_tag(side: &str, list: usize) -> Tags {
    Tags::new(vec![format!("{side}{list}")]).unwrap()
}

/// Some lists are one tag, and the others are two of those.
fn two_tags(side: &str, list: usize) -> Tags {
    let (one, other) = (list % 4, (list / 4 + list) % 4);
    let mut tags = vec![format!("{side}{}", one.min(other)), format!("{side}{}", one.max(other))];
    tags.dedup();
    Tags::new(tags).unwrap()
}

fn edits(asks: &[Ask], naming: Naming) -> impl Iterator<Item = TagEdit<usize>> {
    asks.iter().enumerate().map(move |(item, ask)| TagEdit {
        item,
        remove: ask.remove.map(|list| naming("old", list)),
        add: ask.add.map(|list| naming("new", list)),
        asked: Superset::default(),
        patchable: ask.patchable,
    })
}

fn carried(asks: &[Ask], naming: Naming, cap: usize, held_max: usize) -> Vec<TagCall<usize>> {
    carried_edits(edits(asks, naming), cap, held_max)
}

fn carried_edits(
    edits: impl Iterator<Item = TagEdit<usize>>,
    cap: usize,
    held_max: usize,
) -> Vec<TagCall<usize>> {
    let (mut bulk, mut out) = (TagBatcher::new(cap, held_max), Vec::new());
    edits.for_each(|edit| bulk.take(edit, &mut out));
    bulk.end(&mut out);
    out
}

/// All ways to carry edits, tried one after the other: each edit by PATCH, or each of its lists in
/// one call or tag by tag.
struct AllWays {
    cap: usize,
    /// For each edit the lists, by number: removed and added ones, and single tags among them.
    edits: Vec<WaysOfOne>,
    /// How many files each list has.
    files: Vec<usize>,
    fewest: usize,
}

struct WaysOfOne {
    patchable: bool,
    /// Every way to carry it in bulk, as the lists that it joins.
    in_bulk: Vec<Vec<usize>>,
}

impl AllWays {
    /// The fewest requests, which are no more than `known`.
    fn fewest(asks: &[Ask], naming: Naming, cap: usize, known: usize) -> usize {
        let mut numbers: HashMap<(bool, Tags), usize> = HashMap::new();
        let mut number = |adds: bool, tags: &Tags| {
            let next = numbers.len();
            *numbers.entry((adds, tags.clone())).or_insert(next)
        };
        let edits = edits(asks, naming).map(|edit| {
            let mut in_bulk: Vec<Vec<usize>> = vec![Vec::new()];
            for (adds, tags) in [(false, &edit.remove), (true, &edit.add)] {
                let Some(tags) = tags else { continue };
                let singly =
                    tags.as_slice().iter().map(|tag| Tags::new(vec![tag.clone()]).unwrap());
                let mut ways = vec![vec![number(adds, tags)]];
                if tags.as_slice().len() > 1 {
                    ways.push(singly.map(|tag| number(adds, &tag)).collect());
                }
                let both = |one: &Vec<usize>| {
                    let one = one.clone();
                    ways.iter().map(move |way| [&one[..], way].concat()).collect::<Vec<_>>()
                };
                in_bulk = in_bulk.iter().flat_map(both).collect();
            }
            WaysOfOne { patchable: edit.patchable, in_bulk }
        });
        let edits = edits.collect();
        let files = vec![0; numbers.len()];
        let mut all = Self { cap, edits, files, fewest: known };
        all.try_from(0, 0);
        all.fewest
    }

    /// Tries all ways for the edits from one on, after those before have come to so many requests.
    fn try_from(&mut self, edit: usize, requests: usize) {
        if requests >= self.fewest {
            return;
        }
        if edit == self.edits.len() {
            self.fewest = requests;
            return;
        }
        for way in 0..self.edits[edit].in_bulk.len() {
            let lists = self.edits[edit].in_bulk[way].clone();
            let mut more = 0;
            for list in &lists {
                more += usize::from(self.files[*list].is_multiple_of(self.cap));
                self.files[*list] += 1;
            }
            self.try_from(edit + 1, requests + more);
            for list in lists {
                self.files[list] -= 1;
            }
        }
        if self.edits[edit].patchable {
            self.try_from(edit + 1, requests + 1);
        }
    }
}

/// What small sheets look like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// How many lists there are to remove.
    removes: usize,
    /// How many lists there are to add.
    adds: usize,
    /// The part of the edits in which what is added goes with what is removed.
    together: f64,
    /// The part of the edits that only remove or only add.
    one_sided: f64,
    /// The part of the edits that must not be patched.
    unpatchable: f64,
}

const PLAIN: Shape = Shape { removes: 5, adds: 5, together: 0.0, one_sided: 0.0, unpatchable: 0.0 };

const SHAPES: [Shape; 11] = [
    PLAIN,
    Shape { removes: 2, adds: 2, ..PLAIN },
    Shape { removes: 3, adds: 8, ..PLAIN },
    Shape { removes: 8, adds: 8, ..PLAIN },
    Shape { removes: 12, adds: 12, ..PLAIN },
    Shape { removes: 1, adds: 12, ..PLAIN },
    Shape { together: 0.7, ..PLAIN },
    Shape { one_sided: 0.3, ..PLAIN },
    Shape { unpatchable: 0.3, ..PLAIN },
    Shape { removes: 2, adds: 4, one_sided: 0.2, unpatchable: 0.2, ..PLAIN },
    Shape { removes: 4, adds: 4, together: 0.4, one_sided: 0.1, unpatchable: 0.1 },
];

impl Shape {
    /// So few files that all ways can be tried.
    fn sheet(self, rng: &mut Rng) -> Vec<Ask> {
        (0..rng.usize(4..=12)).map(|_| self.ask(rng)).collect()
    }

    fn ask(self, rng: &mut Rng) -> Ask {
        let mut ask = Ask::replaced(rng.usize(..self.removes), rng.usize(..self.adds));
        if rng.f64() < self.together {
            ask.add = ask.remove;
        }
        if rng.f64() < self.one_sided {
            *(if rng.bool() { &mut ask.remove } else { &mut ask.add }) = None;
        }
        ask.patchable = rng.f64() >= self.unpatchable;
        ask
    }
}

/// The goal is a median within 5 % and a worst within 20 %. In truth the fewest are hardly ever
/// missed where every list is one tag.
#[test]
fn small_sheets_need_the_fewest_requests_there_are_or_nearly() {
    const SHEETS: usize = 500;
    let mut rng = Rng::with_seed(4);
    for (naming, missed_max) in [(one_tag as Naming, SHEETS / 100), (two_tags, SHEETS / 5)] {
        for shape in SHAPES {
            let mut thousandths: Vec<_> = (0..SHEETS)
                .map(|_| {
                    let asks = shape.sheet(&mut rng);
                    let requests = carried(&asks, naming, 3, ROOMY).len();
                    let fewest = AllWays::fewest(&asks, naming, 3, requests);
                    (1000 * requests).div_ceil(fewest)
                })
                .collect();
            thousandths.sort_unstable();
            let (median, worst) = (thousandths[SHEETS / 2], thousandths[SHEETS - 1]);
            let missed = thousandths.iter().filter(|it| **it > 1000).count();
            println!("{median} {worst} {missed} {shape:?}");
            assert!(median <= 1050, "median {median} thousandths of the fewest: {shape:?}");
            assert!(worst <= 1200, "worst {worst} thousandths of the fewest: {shape:?}");
            assert!(missed <= missed_max, "missed in {missed} sheets of {SHEETS}: {shape:?}");
        }
    }
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let list = || 0_usize..6;
    let ask = prop_oneof![
        6 => (list(), list(), any::<bool>())
            .prop_map(|(remove, add, patchable)| Ask { patchable, ..Ask::replaced(remove, add) }),
        6 => (list(), 0_usize..60).prop_map(|(remove, add)| Ask::replaced(remove, add)),
        1 => (list(), any::<bool>())
            .prop_map(|(remove, patchable)| Ask { remove: Some(remove), add: None, patchable }),
        1 => (list(), any::<bool>())
            .prop_map(|(add, patchable)| Ask { remove: None, add: Some(add), patchable }),
    ];
    proptest::collection::vec(ask, 0..120)
}

/// A call, and whether it is the last of its kind for a file.
type CallOfFile = (TagCall<()>, bool);

/// The calls that each file is in, in the order in which they come out.
fn by_file(asks: &[Ask], requests: &[TagCall<usize>], cap: usize) -> Vec<Vec<CallOfFile>> {
    let mut calls = vec![Vec::new(); asks.len()];
    for request in requests {
        let alone;
        let (call, members) = match request {
            TagCall::Remove(tags, members) => (TagCall::Remove(tags.clone(), vec![]), members),
            TagCall::Add(tags, members) => (TagCall::Add(tags.clone(), vec![]), members),
            TagCall::Patch(item) => {
                alone = vec![CallFile { item: *item, is_last: true }];
                (TagCall::Patch(()), &alone)
            }
        };
        assert!((1..=cap).contains(&members.len()), "{} files in a call", members.len());
        for CallFile { item, is_last } in members {
            calls[*item].push((call.clone(), *is_last));
        }
    }
    calls
}

/// Whether these calls name each of those tags once, and the last of them is known as such.
fn is_once(calls: &[CallOfFile], tags: Option<&Tags>) -> bool {
    let named = calls.iter().flat_map(|(call, _)| match call {
        TagCall::Remove(tags, _) | TagCall::Add(tags, _) => tags.as_slice(),
        TagCall::Patch(()) => &[],
    });
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    let last: Vec<bool> = calls.iter().map(|(_, is_last)| *is_last).collect();
    let ends = last.iter().rev().enumerate().all(|(place, is_last)| *is_last == (place == 0));
    ends && named == tags.map_or(&[][..], Tags::as_slice).iter().collect::<Vec<_>>()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_edit_is_carried_once_and_its_removals_before_its_additions(
        asks in asks(), cap in 2_usize..8, held_max in 0_usize..150,
    ) {
        let requests = carried(&asks, two_tags, cap, held_max);
        let calls = by_file(&asks, &requests, cap);
        for ((ask, calls), edit) in asks.iter().zip(calls).zip(edits(&asks, two_tags)) {
            if ask.patchable && ask.sides() == 2 && calls == [(TagCall::Patch(()), true)] {
                continue;
            }
            let removals = calls.iter().take_while(|(call, _)| matches!(call, TagCall::Remove(..)));
            let (removals, additions) = calls.split_at(removals.count());
            prop_assert!(is_once(removals, edit.remove.as_ref()), "{:?}: {:?}", ask, calls);
            prop_assert!(is_once(additions, edit.add.as_ref()), "{:?}: {:?}", ask, calls);
        }
        prop_assert_eq!(requests, carried(&asks, two_tags, cap, held_max), "the second time");
    }

    #[test]
    fn no_edit_costs_more_than_alone(asks in asks(), cap in 2_usize..8, held_max in 0_usize..150) {
        let alone = asks.iter().map(|ask| if ask.patchable { 1 } else { ask.sides() });
        prop_assert!(carried(&asks, two_tags, cap, held_max).len() <= alone.sum());
    }

    #[test]
    fn no_more_edits_are_held_than_was_said(
        asks in asks(), cap in 2_usize..8, held_max in 0_usize..50,
    ) {
        let (mut bulk, mut out) = (TagBatcher::new(cap, held_max), Vec::new());
        for (taken, edit) in (1..).zip(edits(&asks, two_tags)) {
            bulk.take(edit, &mut out);
            let out = by_file(&asks, &out, cap).into_iter().filter(|calls| !calls.is_empty());
            let held = taken - out.count();
            prop_assert!(held <= held_max, "{held} are held");
        }
    }
}

#[test]
fn many_files_of_few_pairs_need_little_more_than_two_full_calls_for_fifty() {
    let mut rng = Rng::with_seed(1);
    let weights: Vec<f64> = (1..=40).map(|rank| 1.0 / f64::from(rank)).collect();
    let sum: f64 = weights.iter().sum();
    let mut zipf = || {
        let mut left = rng.f64() * sum;
        weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        })
    };
    let asks: Vec<_> =
        (0..100_000).map(|_| zipf().unwrap_or(0)).map(|pair| Ask::replaced(pair, pair)).collect();
    let requests = carried(&asks, one_tag, BULK_FILES_MAX, 10_000).len();
    assert!(requests <= 2 * 100_000 / 50 + 80, "{requests} requests");
}

#[test]
fn many_files_that_share_both_lists_with_others_but_not_the_pair_are_joined_all_the_same() {
    let mut rng = Rng::with_seed(1);
    let asks: Vec<_> =
        (0..100_000).map(|_| Ask::replaced(rng.usize(..300), rng.usize(..300))).collect();
    let requests = carried(&asks, one_tag, BULK_FILES_MAX, ROOMY).len();
    // Each of the 600 lists has a last call that is not full.
    assert!(requests <= 2 * 100_000 / 50 + 600, "{requests} requests");
}

#[test]
fn many_files_that_share_nothing_are_patched() {
    let asks: Vec<_> = (0..50_000).map(|file| Ask::replaced(file, file)).collect();
    assert_eq!(carried(&asks, one_tag, BULK_FILES_MAX, ROOMY).len(), 50_000);
}

#[test]
fn many_files_that_share_one_list_only_are_patched_too() {
    let asks: Vec<_> = (0..50_000).map(|file| Ask::replaced(0, file)).collect();
    assert_eq!(carried(&asks, one_tag, BULK_FILES_MAX, ROOMY).len(), 50_000);
}

#[test]
fn a_file_that_has_some_of_the_tags_already_goes_with_those_that_need_all() {
    let tags = |all: &[&str]| Tags::new(all.iter().map(|&tag| tag.to_owned()).collect()).unwrap();
    let (all, some) = (tags(&["x", "y"]), tags(&["y"]));
    let edit = |item: usize| {
        let (add, more) = if item < 30 { (&all, None) } else { (&some, Some(all.clone())) };
        let asked = Superset { remove: None, add: more };
        TagEdit { item, remove: None, add: Some(add.clone()), asked, patchable: false }
    };
    let requests = carried_edits((0..40).map(edit), BULK_FILES_MAX, ROOMY);
    let [TagCall::Add(named, members)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((named, members.len()), (&all, 40));
    // A call full of those that need less names no more than that.
    let requests = carried_edits((0..100).map(edit), BULK_FILES_MAX, ROOMY);
    let files = |list: &Tags| {
        let calls = requests.iter().filter_map(|request| match request {
            TagCall::Add(named, members) if named == list => Some(members.len()),
            _ => None,
        });
        calls.sum::<usize>()
    };
    assert_eq!((requests.len(), files(&all), files(&some)), (2, 50, 50));
}
