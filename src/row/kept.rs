//! What a row does not set, because an extension of it has written it, was paid and does not run again.

use serde::{Deserialize, Serialize};

use super::{Change, TagChange, Tags};

const TAGS: &str = "tags";

/// Values that stay on a file in place of those that a row requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptResults {
    /// The columns that the row does not set.
    columns: Vec<String>,
    /// The tags that the row sets in place of its own; empty to clear them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
}

impl KeptResults {
    /// Whether the row sets all that it requests.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.tags.is_none()
    }

    /// Whether the row does not set this column.
    pub(crate) fn keeps(&self, column: &str) -> bool {
        self.columns.iter().any(|kept| kept == column)
    }

    /// The row does not set this column.
    pub(crate) fn keep(&mut self, column: &str) {
        self.columns.push(column.to_owned());
    }

    /// The row does not set the tags.
    pub(crate) fn keep_tags(&mut self) {
        self.keep(TAGS);
    }

    /// Keeps more.
    pub(crate) fn add(&mut self, more: Self) {
        self.columns.extend(more.columns);
        self.tags = more.tags.or(self.tags.take());
    }

    /// The row sets these tags in place of its own.
    pub(crate) fn set_tags(&mut self, tags: Vec<String>) {
        self.tags = Some(tags);
    }
}

impl Change {
    /// Leaves out what is kept, and sets the tags that stand in place of the row's own.
    pub(crate) fn keep(&mut self, kept: &KeptResults) {
        self.details.retain(|field, _| !kept.keeps(&field.column()));
        if kept.keeps(TAGS) {
            self.tags = None;
        } else if let Some(tags) = &kept.tags {
            let tags = Tags::new(tags.clone()).map_or(TagChange::Clear, TagChange::Replace);
            self.tags = Some(tags);
        }
    }
}
