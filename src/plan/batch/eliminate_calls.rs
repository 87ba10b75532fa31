//! Decides which bulk calls and PATCH requests to eliminate by moving their files into other calls.
//!
//! A list of tags takes one call per `cap` files. If the files of its last call join the calls of
//! other lists, that call is eliminated; likewise the PATCH of a file. The cost of an elimination
//! depends on the others: if many lists are split into single tags, their files share the calls of
//! those tags.
//!
//! The algorithm: sort the eliminations by the number of places they take, and accept them up to
//! the count with the lowest total. Then flip each one that saves a request by being flipped, until
//! nothing changes. Greedy, but where all combinations can be tried, it is seldom worse than the
//! best.

/// Maximum rounds of flipping. The last one rarely finds anything.
const ROUNDS_MAX: usize = 8;

/// Index of a list of tags.
pub(super) type ListId = usize;

/// The lists, and the candidates for elimination.
#[derive(Debug)]
pub(super) struct Eliminations {
    cap: usize,
    /// Number of files of each list.
    files: Vec<usize>,
    candidates: Vec<Elimination>,
}

#[derive(Debug)]
struct Elimination {
    /// The list that loses its last call; `None` for a PATCH.
    from: Option<ListId>,
    /// Number of files that move.
    count: usize,
    /// Number of files that each list gains.
    targets: Vec<(ListId, usize)>,
}

impl Eliminations {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, files: Vec::new(), candidates: Vec::new() }
    }

    /// Adds a list with this many files.
    pub(super) fn list(&mut self, files: usize) -> ListId {
        self.files.push(files);
        self.files.len() - 1
    }

    /// Adds a candidate: `count` files leave a list, or one file its PATCH.
    pub(super) fn add_candidate(
        &mut self,
        from: Option<ListId>,
        count: usize,
        targets: Vec<(ListId, usize)>,
    ) {
        self.candidates.push(Elimination { from, count, targets });
    }

    /// Whether each candidate is accepted. Never takes more requests than accepting none.
    pub(super) fn accepted(mut self) -> Vec<bool> {
        let mut accepted = vec![false; self.candidates.len()];
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        let places = |index: &usize| -> usize {
            self.candidates[*index].targets.iter().map(|(_, count)| count).sum()
        };
        order.sort_by_key(places);
        let (mut cost, mut lowest, mut best) = (0, 0, 0);
        for (place, index) in order.iter().enumerate() {
            cost += self.flip(*index, &mut accepted);
            if cost < lowest {
                (lowest, best) = (cost, place + 1);
            }
        }
        for index in &order[best..] {
            self.flip(*index, &mut accepted);
        }
        for _ in 0..ROUNDS_MAX {
            if !self.improve(&order, &mut accepted) {
                break;
            }
        }
        accepted
    }

    /// Flips each candidate by which that saves a request; returns whether any did.
    fn improve(&mut self, order: &[usize], accepted: &mut [bool]) -> bool {
        let mut improved = false;
        for index in order {
            if self.flip(*index, accepted) < 0 {
                improved = true;
            } else {
                self.flip(*index, accepted);
            }
        }
        improved
    }

    /// Accepts or withdraws a candidate; returns the change in the number of requests.
    fn flip(&mut self, index: usize, accepted: &mut [bool]) -> isize {
        let Self { cap, files, candidates } = self;
        let Elimination { from, count, targets } = &candidates[index];
        let is_accepted = &mut accepted[index];
        *is_accepted = !*is_accepted;
        let mut change = |list: ListId, count: usize, joins: bool| {
            let files = &mut files[list];
            let before = files.div_ceil(*cap);
            *files = if joins { *files + count } else { *files - count };
            files.div_ceil(*cap).cast_signed() - before.cast_signed()
        };
        let saved = match from {
            Some(list) => change(*list, *count, !*is_accepted),
            None if *is_accepted => -1,
            None => 1,
        };
        let spent: isize =
            targets.iter().map(|(list, count)| change(*list, *count, *is_accepted)).sum();
        saved + spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_only_in_numbers() {
        let mut eliminations = Eliminations::new(50);
        let singles: Vec<ListId> = (0..4).map(|_| eliminations.list(0)).collect();
        let pairs = |eliminations: &mut Eliminations| {
            for one in 0..4 {
                for other in one + 1..4 {
                    let list = eliminations.list(1);
                    eliminations.add_candidate(
                        Some(list),
                        1,
                        vec![(singles[one], 1), (singles[other], 1)],
                    );
                }
            }
        };
        pairs(&mut eliminations);
        // Six calls for the pairs, or four for the single tags.
        assert_eq!(eliminations.accepted(), [true; 6]);

        let mut eliminations = Eliminations::new(50);
        let singles: Vec<ListId> = (0..4).map(|_| eliminations.list(0)).collect();
        let pair = eliminations.list(1);
        eliminations.add_candidate(Some(pair), 1, vec![(singles[0], 1), (singles[1], 1)]);
        assert_eq!(eliminations.accepted(), [false]);
    }

    #[test]
    fn patch_is_eliminated_if_a_call_has_room() {
        let mut eliminations = Eliminations::new(3);
        let (with_room, full) = (eliminations.list(2), eliminations.list(3));
        eliminations.add_candidate(None, 1, vec![(with_room, 1)]);
        eliminations.add_candidate(None, 1, vec![(full, 1)]);
        assert_eq!(eliminations.accepted(), [true, false]);
    }
}
