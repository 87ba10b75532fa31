//! Tag lists that were read before: most sheets ask for a few of them in thousands of rows.

use foldhash::HashMap;

use super::Tags;
use super::problem::Invalid;

/// How many are remembered at once.
const LISTS_MAX: usize = 256;

/// What cells with tags came to, by their text.
#[derive(Debug, Default)]
pub struct TagCache(HashMap<Box<str>, Tags>);

impl TagCache {
    /// The tags of a cell, read anew only where it is not remembered; `None` where it lists none.
    pub(super) fn of(
        &mut self,
        text: &str,
        read: impl FnOnce() -> Result<Option<Tags>, Invalid>,
    ) -> Result<Option<Tags>, Invalid> {
        if let Some(tags) = self.0.get(text) {
            return Ok(Some(tags.clone()));
        }
        let tags = read()?;
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
    fn more_lists_than_are_remembered_are_read_all_the_same() {
        let (rules, field) = (Rules::default(), Field::fixed("tags").expect("it is a column"));
        let mut lists = TagCache::default();
        for round in 0..2 {
            for number in 0..=LISTS_MAX {
                let mut row = Builder::remembering(&rules, &mut lists);
                let cell = format!("tag{number},all");
                row.set(
                    "fileId",
                    &Field::fixed("fileId").expect("it is a column"),
                    Cell::Text("a"),
                );
                row.set("tags", &field, Cell::Text(&cell));
                let Content::Update(update) = row.finish() else { panic!("the row is good") };
                let expected = Tags::new(vec![format!("tag{number}"), "all".to_owned()]);
                let is = update.change.tags;
                let expected = expected.ok().map(crate::row::TagChange::Replace);
                assert_eq!(is, expected, "round {round}");
            }
        }
    }
}
