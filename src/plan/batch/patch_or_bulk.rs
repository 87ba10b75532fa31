//! Decides which files are cheaper by PATCH than by two bulk calls.
//!
//! A list of tags, to be removed or added, takes one call per `cap` files. The files of its last
//! call are *due*: if that many leave the list, the call is saved. A PATCH takes one file out of
//! both of its lists, so it pays only in combination. Model the last call of each list as a node,
//! and each patched file as an edge between its two lists. A connected set of edges saves at most
//! one call per node and costs one PATCH per edge. So it saves a request only if it is a tree,
//! which has one edge fewer than nodes, and if each node has as many edges as its list has files
//! due. Such a tree saves one request, whatever its size.
//!
//! The goal is therefore as many disjoint trees as possible. Trees are grown from their leaves. A
//! leaf is a list that needs one more edge: one file is due, or other leaves supply all but one.
//! The leaf with the fewest options is joined to the neighbour that needs the fewest edges. A list
//! that cannot get enough edges is closed, and no longer an option for others. The files of
//! complete trees are patched; then the next-to-last call of their lists is the last, and another
//! round starts.
//!
//! This is greedy: it is not proven to find the most trees, but where all combinations can be
//! tried, it nearly always does. With e pairs of lists, a round takes O(e log e), and there are at
//! most [`ROUNDS_MAX`]. More rounds would save little: a list that was in a tree has a full call
//! next, and a tree with one of those saves one request in more than `cap`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

/// Maximum rounds, each on the remaining calls.
const ROUNDS_MAX: usize = 8;

/// Index of a list of tags to remove or to add.
pub(super) type ListId = usize;
/// Index of a pair, in the order in which pairs were added.
type PairId = usize;

/// The lists of tags, and the pairs of lists that files need.
#[derive(Debug, Clone)]
pub(super) struct TagGraph {
    cap: usize,
    /// Number of files of each list in bulk calls.
    files: Vec<usize>,
    pairs: Vec<Pair>,
}

/// A list to remove and a list to add.
#[derive(Debug, Clone)]
struct Pair {
    remove: Option<ListId>,
    add: Option<ListId>,
    /// Number of its files that are in both calls and could be patched instead.
    patchable: usize,
    patched: usize,
}

impl TagGraph {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, files: Vec::new(), pairs: Vec::new() }
    }

    /// Adds a list.
    pub(super) fn list(&mut self) -> ListId {
        self.files.push(0);
        self.files.len() - 1
    }

    /// Adds a pair that `files` files need, `patchable` of which could be patched.
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
        // With only one list, a PATCH replaces one call at best.
        let patchable = if remove.is_some() && add.is_some() { patchable } else { 0 };
        self.pairs.push(Pair { remove, add, patchable, patched: 0 });
    }

    /// The number of files of each pair to patch. Never takes more requests than patching all that
    /// can be; in a tie, fewer are patched.
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

    /// Number of files in the last call of a list.
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
    /// Leaves with the number of options that they had when pushed. Pushed again when that changes.
    leaves: BinaryHeap<Reverse<(usize, ListId)>>,
    /// Closed lists whose neighbours are not updated yet.
    closed: Vec<ListId>,
    joins: Vec<Join>,
}

/// A list of tags.
#[derive(Debug, Default)]
struct Node {
    edges: Vec<Edge>,
    /// Number of edges that it still needs. Zero in a complete tree.
    due: usize,
    /// Number of edges to open neighbours.
    options: usize,
    /// Whether edges to it may still be taken.
    open: bool,
}

/// A pair with a file that can be patched.
#[derive(Debug, Clone, Copy)]
struct Edge {
    pair: PairId,
    to: ListId,
}

/// A leaf that was joined to a neighbour.
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
            node.options = node.edges.len();
        }
        Self { nodes, leaves: BinaryHeap::new(), closed: Vec::new(), joins: Vec::new() }
    }

    /// The edges of all complete trees.
    fn trees(mut self) -> Vec<PairId> {
        for list in 0..self.nodes.len() {
            self.review(list);
        }
        self.update_neighbours();
        while let Some(join) = self.next_join() {
            self.nodes[join.edge.to].due -= 1;
            self.close(join.leaf);
            self.update_neighbours();
            self.joins.push(join);
        }
        self.complete_trees()
    }

    /// Closes an open list that needs nothing or cannot get what it needs; pushes a leaf.
    fn review(&mut self, list: ListId) {
        let Node { due, options, open, .. } = self.nodes[list];
        if open && (due == 0 || options < due) {
            self.close(list);
        } else if open && due == 1 {
            self.leaves.push(Reverse((options, list)));
        }
    }

    fn close(&mut self, list: ListId) {
        self.nodes[list].open = false;
        self.closed.push(list);
    }

    /// Neighbours of closed lists have fewer options, and may have to be closed themselves.
    fn update_neighbours(&mut self) {
        while let Some(list) = self.closed.pop() {
            for edge in mem::take(&mut self.nodes[list].edges) {
                self.nodes[edge.to].options -= 1;
                self.review(edge.to);
            }
        }
    }

    /// Joins the leaf with the fewest options to the neighbour that needs the fewest edges. There
    /// is one, because a leaf without any is closed.
    fn next_join(&mut self) -> Option<Join> {
        let leaf = loop {
            let Reverse((options, leaf)) = self.leaves.pop()?;
            if self.nodes[leaf].open && self.nodes[leaf].options == options {
                break leaf;
            }
        };
        let open = self.nodes[leaf].edges.iter().filter(|edge| self.nodes[edge.to].open);
        let edge = *open.min_by_key(|edge| {
            let node = &self.nodes[edge.to];
            (node.due, node.options, edge.to)
        })?;
        Some(Join { leaf, edge })
    }

    /// The edges of complete trees: those whose root, which the last leaf joined, needs nothing.
    /// Later joins are nearer to the root, so start there.
    fn complete_trees(mut self) -> Vec<PairId> {
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
