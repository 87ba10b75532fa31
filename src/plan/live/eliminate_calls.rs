//! Which files leave a call so that it is saved.
//!
//! A list of tags takes a call for each `cap` of its files. If the files of its last call find a
//! place in the calls of other lists, that call is saved; so is the PATCH of a file that finds one.
//! That is a *move*. What it costs depends on which others are made: where many lists are taken
//! apart, tag by tag, their files fill the calls of those tags.
//!
//! So the moves that need the fewest places are made first, as far as it pays for all of them
//! together; then each is looked at by itself, and made or taken back if that saves something. This
//! is greedy: where all ways can be tried out, it is seldom that another one is better.

/// How often all moves are looked at. It is rare that the last time still finds something.
const ROUNDS_MAX: usize = 8;

/// The number of a list of tags.
pub(super) type ListId = usize;

/// Lists, and the moves between them.
#[derive(Debug)]
pub(super) struct Eliminations {
    cap: usize,
    /// How many files each list has.
    files: Vec<usize>,
    offers: Vec<Elimination>,
}

#[derive(Debug)]
struct Elimination {
    /// The list that the files leave; none where it is a PATCH that is saved.
    from: Option<ListId>,
    /// How many they are.
    count: usize,
    /// How many of them each list gets.
    into: Vec<(ListId, usize)>,
}

impl Eliminations {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, files: Vec::new(), offers: Vec::new() }
    }

    /// One more list, with so many files.
    pub(super) fn list(&mut self, files: usize) -> ListId {
        self.files.push(files);
        self.files.len() - 1
    }

    /// One more move: of so many files from a list, or of one that would be patched.
    pub(super) fn offer(&mut self, from: Option<ListId>, count: usize, into: Vec<(ListId, usize)>) {
        self.offers.push(Elimination { from, count, into });
    }

    /// Whether each move is made. Never are more requests needed than if none were.
    pub(super) fn made(mut self) -> Vec<bool> {
        let mut made = vec![false; self.offers.len()];
        let mut order: Vec<usize> = (0..self.offers.len()).collect();
        let places = |index: &usize| -> usize {
            self.offers[*index].into.iter().map(|(_, count)| count).sum()
        };
        order.sort_by_key(places);
        let (mut cost, mut least, mut best) = (0, 0, 0);
        for (place, index) in order.iter().enumerate() {
            cost += self.toggle(*index, &mut made);
            if cost < least {
                (least, best) = (cost, place + 1);
            }
        }
        for index in &order[best..] {
            self.toggle(*index, &mut made);
        }
        for _ in 0..ROUNDS_MAX {
            if !self.improve(&order, &mut made) {
                break;
            }
        }
        made
    }

    /// Makes or takes back each move by which that saves something; says whether any did.
    fn improve(&mut self, order: &[usize], made: &mut [bool]) -> bool {
        let mut improved = false;
        for index in order {
            if self.toggle(*index, made) < 0 {
                improved = true;
            } else {
                self.toggle(*index, made);
            }
        }
        improved
    }

    /// Makes a move, or takes it back; says how many requests more that comes to.
    fn toggle(&mut self, index: usize, made: &mut [bool]) -> isize {
        let Self { cap, files, offers } = self;
        let Elimination { from, count, into } = &offers[index];
        let is_made = &mut made[index];
        *is_made = !*is_made;
        let mut change = |list: ListId, count: usize, comes: bool| {
            let files = &mut files[list];
            let before = files.div_ceil(*cap);
            *files = if comes { *files + count } else { *files - count };
            files.div_ceil(*cap).cast_signed() - before.cast_signed()
        };
        let saved = match from {
            Some(list) => change(*list, *count, !*is_made),
            None if *is_made => -1,
            None => 1,
        };
        let spent: isize = into.iter().map(|(list, count)| change(*list, *count, *is_made)).sum();
        saved + spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_only_where_many_are() {
        let mut moves = Eliminations::new(50);
        let singles: Vec<ListId> = (0..4).map(|_| moves.list(0)).collect();
        let pairs = |moves: &mut Eliminations| {
            for one in 0..4 {
                for other in one + 1..4 {
                    let list = moves.list(1);
                    moves.offer(Some(list), 1, vec![(singles[one], 1), (singles[other], 1)]);
                }
            }
        };
        pairs(&mut moves);
        // Six calls for the pairs, or four for the tags.
        assert_eq!(moves.made(), [true; 6]);

        let mut moves = Eliminations::new(50);
        let singles: Vec<ListId> = (0..4).map(|_| moves.list(0)).collect();
        let pair = moves.list(1);
        moves.offer(Some(pair), 1, vec![(singles[0], 1), (singles[1], 1)]);
        assert_eq!(moves.made(), [false]);
    }

    #[test]
    fn a_patch_is_saved_where_there_is_room() {
        let mut moves = Eliminations::new(3);
        let (with_room, full) = (moves.list(2), moves.list(3));
        moves.offer(None, 1, vec![(with_room, 1)]);
        moves.offer(None, 1, vec![(full, 1)]);
        assert_eq!(moves.made(), [true, false]);
    }
}
