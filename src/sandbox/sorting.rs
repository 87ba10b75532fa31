//! The orders in which a list can be.

use super::library::Key;
use super::stock::Index;

/// An order of the API, ascending or descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sorting {
    by: By,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The order of upload. All files are equally relevant here, so that this is the order of
    /// relevance too.
    Created,
    Name,
    Updated,
    Height,
    Width,
    Size,
}

impl Default for Sorting {
    /// `ASC_CREATED`, as the API's description says.
    fn default() -> Self {
        Self { by: By::Created, descending: false }
    }
}

impl Sorting {
    /// Reads the word of the `sort` parameter.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let (direction, by) = word.split_once('_')?;
        let descending = match direction {
            "ASC" => false,
            "DESC" => true,
            _ => return None,
        };
        let by = match by {
            "CREATED" | "RELEVANCE" => By::Created,
            "NAME" => By::Name,
            "UPDATED" => By::Updated,
            "HEIGHT" => By::Height,
            "WIDTH" => By::Width,
            "SIZE" => By::Size,
            _ => return None,
        };
        Some(Self { by, descending })
    }

    /// Whether it is the order in which files are found anyway.
    pub(crate) fn is_natural(self) -> bool {
        self == Self::default()
    }

    /// Sorts files that are in the order of upload; those that are alike stay in it.
    pub(crate) fn sort(self, index: &Index<'_>, keys: &mut [Key]) {
        match self.by {
            By::Created => {}
            By::Name => keys.sort_by_cached_key(|&key| index.base(key).name),
            By::Updated => keys.sort_by_cached_key(|&key| index.file(key).details.updated_ms),
            By::Height => keys.sort_by_cached_key(|&key| index.base(key).height),
            By::Width => keys.sort_by_cached_key(|&key| index.base(key).width),
            By::Size => keys.sort_by_cached_key(|&key| index.base(key).size),
        }
        if self.descending {
            keys.reverse();
        }
    }
}
