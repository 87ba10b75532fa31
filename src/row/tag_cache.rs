//! Caches parsed tag lists: most sheets repeat a few lists in thousands of rows.

use foldhash::HashMap;

use super::Tags;
use super::problem::Invalid;

/// Maximum cached lists; the cache is cleared when it is full.
const LISTS_MAX: usize = 256;

/// Parsed tag lists by the text of their cell.
#[derive(Debug, Default)]
pub struct TagCache(HashMap<Box<str>, Tags>);

impl TagCache {
    /// The tags of a cell, parsed on a cache miss; `None` for an empty list.
    pub(super) fn get_or_parse(
        &mut self,
        text: &str,
        parse: impl FnOnce() -> Result<Option<Tags>, Invalid>,
    ) -> Result<Option<Tags>, Invalid> {
        if let Some(tags) = self.0.get(text) {
            return Ok(Some(tags.clone()));
        }
        let tags = parse()?;
        if let Some(tags) = &tags {
            if self.0.len() == LISTS_MAX {
                self.0.clear();
            }
            self.0.insert(text.into(), tags.clone());
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Builder, Cell, Content, Field, Rules};

    #[test]
    fn lists_beyond_the_cache_size_parse_correctly() {
        let (rules, field) = (Rules::default(), Field::fixed("tags").expect("it is a column"));
        let mut cache = TagCache::default();
        for round in 0..2 {
            for number in 0..=LISTS_MAX {
                let mut row = Builder::new(&rules);
                row.share_tags(&mut cache);
                let cell = format!("tag{number},all");
                row.set(
                    "fileId",
                    &Field::fixed("fileId").expect("it is a column"),
                    Cell::Text("a"),
                );
                row.set("tags", &field, Cell::Text(&cell));
                let Content::Update(update) = row.finish() else { panic!("the row is good") };
                let expected = Tags::new(vec![format!("tag{number}"), "all".to_owned()]);
                let actual = update.change.tags;
                let expected = expected.ok().map(crate::row::TagChange::Replace);
                assert_eq!(actual, expected, "round {round}");
            }
        }
    }
}
