//! What the rows of a file need: the border between [`diff`](crate::plan::diff) and
//! [`batch`](crate::plan::batch).

use super::tag_job::TagJob;
use crate::request::Request;

/// What some rows of a file need.
#[derive(Debug, Default)]
pub(in crate::plan) struct FileEdit {
    /// Requests on this file alone, in the order in which they must be sent. Equal calls of other
    /// files may join them.
    pub(in crate::plan) requests: Vec<Request>,
    /// A tag change without a place in this order: it may wait for those of other files, and be made
    /// by one call or several, or by a PATCH.
    pub(in crate::plan) tags: Option<TagJob>,
}
