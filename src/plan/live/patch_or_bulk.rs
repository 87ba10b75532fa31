//! Which files are cheaper by PATCH than in two bulk calls.
//!
//! A list of tags, to be removed or to be added, takes a call for each `cap` of its files. The
//! files of its last call are *due*: if so many leave the list, that call is saved. A PATCH lets
//! one file leave both its lists, so it pays only together with others. Let the last call of each
//! list be a node, and each patched file an edge between its two lists. Edges that hang together
//! save at most a call for each of their nodes, and cost a PATCH each. So they save something only
//! if they are a tree, which has one edge fewer than nodes, and if each list in it has as many
//! edges as it has files due. Such a tree saves one request, whatever its size.
//!
//! The most is thus saved by the most trees that share no list. Trees are grown from their leaves.
//! A leaf is a list that lacks one edge: one file is due, or others have been joined to it for all
//! but one. The leaf with the least choice of neighbours is joined to the one that lacks the least.
//! A list that cannot get what it lacks is closed, and no longer a choice for others. The files of
//! trees that became whole leave; then the call before is the last one of their lists, and trees
//! are grown once more.
//!
//! This is greedy: nothing says that it finds the most trees, but where all ways can be tried out,
//! it nearly always does. For e pairs of lists a round takes time in e log e, and there are at most
//! [`ROUNDS_MAX`]. More rounds would save little: a list that was in a tree has a full call
//! next, and a tree with one of those saves one request in more than `cap`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

/// How often trees are grown, each time in what the times before have left.
const ROUNDS_MAX: usize = 8;

/// The number of a list of tags that are removed, or of one that are added.
pub(super) type ListId = usize;
/// The number of a pair, in the order in which they were told.
type PairId = usize;

/// The lists of tags and the pairs that files ask for, in numbers.
#[derive(Debug, Clone)]
pub(super) struct TagGraph {
    cap: usize,
    /// How many files each list has in bulk calls.
    files: Vec<usize>,
    pairs: Vec<Pair>,
}

/// A list to remove and a list to add.
#[derive(Debug, Clone)]
struct Pair {
    remove: Option<ListId>,
    add: Option<ListId>,
    /// How many of its files are in both calls and could be patched instead.
    patchable: usize,
    patched: usize,
}

impl TagGraph {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, files: Vec::new(), pairs: Vec::new() }
    }

    /// One more list.
    pub(super) fn list(&mut self) -> ListId {
        self.files.push(0);
        self.files.len() - 1
    }

    /// So many files ask for these lists, and so many of them could be patched.
    pub(super) fn pair(
        &mut self,
        remove: Option<ListId>,
        add: Option<ListId>,
        files: usize,
        patchable: usize,
    ) {
        for list in [remove, add].into_iter().flatten() {
            self.files[list] += files;
        }
        // With one list only, a PATCH takes the place of one call at best.
        let patchable = if remove.is_some() && add.is_some() { patchable } else { 0 };
        self.pairs.push(Pair { remove, add, patchable, patched: 0 });
    }

    /// How many files of each pair are to be patched. Never are more requests needed than if all
    /// were that could be; where it makes no difference, fewer are patched.
    pub(super) fn patched(self) -> Vec<usize> {
        let all = self.clone().with_all_patched();
        let trees = self.with_trees_patched();
        let best = if trees.requests() <= all.requests() { trees } else { all };
        best.pairs.iter().map(|pair| pair.patched).collect()
    }

    fn with_all_patched(mut self) -> Self {
        for pair in 0..self.pairs.len() {
            self.patch(pair, self.pairs[pair].patchable);
        }
        self
    }

    fn with_trees_patched(mut self) -> Self {
        for _ in 0..ROUNDS_MAX {
            let edges = TreeGrowth::new(&self).trees();
            if edges.is_empty() {
                break;
            }
            for pair in edges {
                self.patch(pair, 1);
            }
        }
        self
    }

    fn patch(&mut self, pair: PairId, files: usize) {
        let pair = &mut self.pairs[pair];
        pair.patchable -= files;
        pair.patched += files;
        for list in [pair.remove, pair.add].into_iter().flatten() {
            self.files[list] -= files;
        }
    }

    fn requests(&self) -> usize {
        let calls: usize = self.files.iter().map(|files| files.div_ceil(self.cap)).sum();
        calls + self.pairs.iter().map(|pair| pair.patched).sum::<usize>()
    }

    /// The files in the last call of a list.
    fn due(&self, list: ListId) -> usize {
        match self.files[list] % self.cap {
            0 => self.files[list].min(self.cap),
            part => part,
        }
    }
}

/// One round of growing trees.
#[derive(Debug)]
struct TreeGrowth {
    nodes: Vec<Node>,
    /// With the choice that each had when it got here. What has changed since is here again.
    leaves: BinaryHeap<Reverse<(usize, ListId)>>,
    /// Closed, but its neighbours do not know yet.
    closed: Vec<ListId>,
    joins: Vec<Join>,
}

/// A list.
#[derive(Debug, Default)]
struct Node {
    edges: Vec<Edge>,
    /// How many edges it lacks. Zero once it is in a tree that is whole.
    due: usize,
    /// How many edges lead to open neighbours.
    choice: usize,
    /// Whether edges to it may still be taken.
    open: bool,
}

/// A pair with a file that can be patched.
#[derive(Debug, Clone, Copy)]
struct Edge {
    pair: PairId,
    to: ListId,
}

/// A leaf was joined to a neighbour.
#[derive(Debug)]
struct Join {
    leaf: ListId,
    edge: Edge,
}

impl TreeGrowth {
    fn new(lists: &TagGraph) -> Self {
        let node = |list| Node { due: lists.due(list), open: true, ..Node::default() };
        let mut nodes: Vec<_> = (0..lists.files.len()).map(node).collect();
        for (index, pair) in lists.pairs.iter().enumerate().filter(|(_, pair)| pair.patchable > 0) {
            if let (Some(remove), Some(add)) = (pair.remove, pair.add) {
                nodes[remove].edges.push(Edge { pair: index, to: add });
                nodes[add].edges.push(Edge { pair: index, to: remove });
            }
        }
        for node in &mut nodes {
            node.choice = node.edges.len();
        }
        Self { nodes, leaves: BinaryHeap::new(), closed: Vec::new(), joins: Vec::new() }
    }

    /// The edges of all trees that became whole.
    fn trees(mut self) -> Vec<PairId> {
        for list in 0..self.nodes.len() {
            self.review(list);
        }
        self.tell_neighbours();
        while let Some(join) = self.next_join() {
            self.nodes[join.edge.to].due -= 1;
            self.close(join.leaf);
            self.tell_neighbours();
            self.joins.push(join);
        }
        self.whole()
    }

    /// Closes an open list that lacks nothing or cannot get what it lacks, and notes a leaf.
    fn review(&mut self, list: ListId) {
        let Node { due, choice, open, .. } = self.nodes[list];
        if open && (due == 0 || choice < due) {
            self.close(list);
        } else if open && due == 1 {
            self.leaves.push(Reverse((choice, list)));
        }
    }

    fn close(&mut self, list: ListId) {
        self.nodes[list].open = false;
        self.closed.push(list);
    }

    /// Neighbours of what was closed have less choice, and may have to be closed for it.
    fn tell_neighbours(&mut self) {
        while let Some(list) = self.closed.pop() {
            for edge in mem::take(&mut self.nodes[list].edges) {
                self.nodes[edge.to].choice -= 1;
                self.review(edge.to);
            }
        }
    }

    /// The leaf with the least choice goes to the neighbour that lacks the least. There is one, as
    /// a leaf without any is closed.
    fn next_join(&mut self) -> Option<Join> {
        let leaf = loop {
            let Reverse((choice, leaf)) = self.leaves.pop()?;
            if self.nodes[leaf].open && self.nodes[leaf].choice == choice {
                break leaf;
            }
        };
        let open = self.nodes[leaf].edges.iter().filter(|edge| self.nodes[edge.to].open);
        let edge = *open.min_by_key(|edge| {
            let node = &self.nodes[edge.to];
            (node.due, node.choice, edge.to)
        })?;
        Some(Join { leaf, edge })
    }

    /// A tree is whole if the list at its root, where the last leaf came, lacks nothing. What was
    /// joined later is nearer to the root.
    fn whole(mut self) -> Vec<PairId> {
        let mut edges = Vec::new();
        for Join { leaf, edge } in self.joins.iter().rev() {
            if self.nodes[edge.to].due == 0 {
                self.nodes[*leaf].due = 0;
                edges.push(edge.pair);
            }
        }
        edges
    }
}
