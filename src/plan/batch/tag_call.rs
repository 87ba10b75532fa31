//! The calls that change tags, and the files in them.

use crate::row::Tags;

/// The lists that the row requests, if longer than the lists needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Superset {
    /// Tags to remove.
    pub remove: Option<Tags>,
    /// Tags to add.
    pub add: Option<Tags>,
}

/// A request, or several with the same tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TagCall<T> {
    /// POST removeTags: these tags, from these files.
    Remove(Tags, Vec<CallFile<T>>),
    /// POST addTags: these tags, to these files.
    Add(Tags, Vec<CallFile<T>>),
    /// PATCH of the complete list of one file.
    Patch(T),
}

/// A file in a bulk call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallFile<T> {
    /// The file, with the caller's data.
    pub item: T,
    /// Whether this is the last call of its kind for the file.
    pub is_last: bool,
}

/// Tags to remove and tags to add.
pub(super) type TagDelta = (Option<Tags>, Option<Tags>);

/// A file and its superset.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    pub(super) item: T,
    pub(super) superset: Superset,
}
