//! Property tests of whole sessions.

pub(crate) mod real_loop;
