//! Property tests of the planners.

mod planner_equivalence;
mod tag_batching;
