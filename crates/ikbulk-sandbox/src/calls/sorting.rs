//! Sort orders of lists.

use serde_json::Value;

use crate::defaults::ORIGINAL_CREATION_DATE;
use crate::library::fields::date_ms;
use crate::library::file::File;
use crate::library::initial::Key;
use crate::library::store::Index;

/// Value of the `sort` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sorting {
    by: By,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Time of upload. Also used for relevance, which is the same for all files of the sandbox.
    Created,
    Name,
    Updated,
    Height,
    Width,
    Size,
    /// Of videos; 0 for other files.
    Duration,
    /// Value of the reserved field; time of upload for files without one.
    OriginalCreationDate,
}

fn original_creation_ms(file: &File) -> i64 {
    let value = file.details.custom_metadata.get(ORIGINAL_CREATION_DATE);
    let date = value.and_then(Value::as_str).and_then(date_ms);
    date.unwrap_or(file.base.created_ms)
}

impl Default for Sorting {
    /// `ASC_CREATED`, according to the API's description.
    fn default() -> Self {
        Self { by: By::Created, descending: false }
    }
}

impl Sorting {
    /// Parses the `sort` parameter.
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
            "DURATION" => By::Duration,
            "ORIGINAL_CREATION_DATE" => By::OriginalCreationDate,
            _ => return None,
        };
        Some(Self { by, descending })
    }

    /// Whether this is the order of [`Store::keys`](crate::library::store::Store::keys).
    pub(crate) fn is_natural(self) -> bool {
        self == Self::default()
    }

    /// The first `count` files in this order. `keys` is in the order of upload, which is kept among
    /// equal files.
    pub(crate) fn first(
        self,
        count: usize,
        index: &Index<'_>,
        keys: impl Iterator<Item = Key>,
    ) -> Vec<Key> {
        match self.by {
            By::Created => self.first_by(count, keys, |_| ()),
            By::Name => self.first_by(count, keys, |key| index.base(key).name),
            By::Updated => self.first_by(count, keys, |key| index.updated_ms(key)),
            By::Height => self.first_by(count, keys, |key| index.base(key).height),
            By::Width => self.first_by(count, keys, |key| index.base(key).width),
            By::Size => self.first_by(count, keys, |key| index.base(key).size),
            By::Duration => self.first_by(count, keys, |key| index.base(key).duration()),
            By::OriginalCreationDate => {
                self.first_by(count, keys, |key| original_creation_ms(&index.file(key)))
            }
        }
    }

    /// Sorts only the first `count` files, after selecting them in linear time.
    fn first_by<T: Ord>(
        self,
        count: usize,
        keys: impl Iterator<Item = Key>,
        sort_key: impl Fn(Key) -> T,
    ) -> Vec<Key> {
        let mut ranked: Vec<((T, usize), Key)> =
            keys.enumerate().map(|(place, key)| ((sort_key(key), place), key)).collect();
        let order = |(one, _): &((T, usize), Key), (other, _): &((T, usize), Key)| {
            if self.descending { other.cmp(one) } else { one.cmp(other) }
        };
        if count < ranked.len() {
            ranked.select_nth_unstable_by(count, order);
            ranked.truncate(count);
        }
        ranked.sort_unstable_by(order);
        ranked.into_iter().map(|(_, key)| key).collect()
    }
}
