//! What the later rows of a file do to its tags.

use std::collections::BTreeMap;

use super::setter::Setter;
use crate::row::{TagChange, Tags, as_slice_or_empty};

/// The effect of later rows on the tags; rows are added from the last to the first.
#[derive(Debug, Default)]
pub(super) struct LaterTags {
    /// The last row that set all tags, and its list.
    all: Option<(Setter, TagChange)>,
    /// Single tags after that row: whether the last row that names the tag adds it.
    single: BTreeMap<String, (bool, Setter)>,
}

/// How much of a tag change is left after later rows.
#[derive(Debug)]
pub(super) enum TagsLeft<'l> {
    /// All of it.
    All,
    /// A part; the row that superseded others.
    Some(&'l Setter),
    /// Nothing; the row that superseded it.
    None(&'l Setter),
}

impl LaterTags {
    pub(super) fn add(&mut self, by: &Setter, tags: TagChange) {
        if self.all.is_some() {
            return;
        }
        match tags {
            TagChange::Edit { add, remove } => {
                for (list, adds) in [(add, true), (remove, false)] {
                    for tag in as_slice_or_empty(list.as_ref()) {
                        self.single.entry(tag.clone()).or_insert_with(|| (adds, by.clone()));
                    }
                }
            }
            all => self.all = Some((by.clone(), all)),
        }
    }

    /// The last row that set all tags.
    pub(super) fn sets_all(&self) -> Option<&Setter> {
        self.all.as_ref().map(|(by, _)| by)
    }

    /// The part of a failed change that can still be applied, where no later row set all tags:
    /// applied now, it gives the same tags as in sheet order. `None` if nothing remains. Also the
    /// last row that superseded a part.
    pub(super) fn remaining(&self, change: &TagChange) -> (Option<TagChange>, Option<&Setter>) {
        let remaining = match change {
            TagChange::Edit { add, remove } => {
                let without = |tags: Option<&Tags>, undoes: bool| {
                    let tags = as_slice_or_empty(tags).iter();
                    let kept = tags.filter(|tag| self.last(tag) != Some(undoes));
                    Tags::new(kept.cloned().collect()).ok()
                };
                let (add, remove) = (without(add.as_ref(), false), without(remove.as_ref(), true));
                (add.is_some() || remove.is_some()).then_some(TagChange::Edit { add, remove })
            }
            replace_or_clear => {
                let tags = self.edited(replace_or_clear.after(None).unwrap_or_default());
                let is_empty = tags.is_empty();
                let list = Tags::new(tags).ok().map(TagChange::Replace);
                if is_empty { Some(TagChange::Clear) } else { list }
            }
        };
        let is_concerned = |tag: &str, adds: bool| match change {
            TagChange::Edit { add, remove } => {
                let opposite = if adds { remove } else { add };
                as_slice_or_empty(opposite.as_ref()).iter().any(|it| it == tag)
            }
            TagChange::Replace(_) | TagChange::Clear => true,
        };
        let by = self.single.iter().filter(|(tag, (adds, _))| is_concerned(tag, *adds));
        let by = by.map(|(_, (_, by))| by).max_by_key(|by| by.row);
        let is_reduced = remaining.as_ref() != Some(change);
        (remaining, by.filter(|_| is_reduced))
    }

    /// How much of a change that was applied is left in the tags of the file.
    pub(super) fn left_of(&self, change: &TagChange) -> TagsLeft<'_> {
        let list =
            self.all.as_ref().map(|(_, all)| self.edited(all.after(None).unwrap_or_default()));
        let (present, absent) = match (change, &self.all, &list) {
            (TagChange::Edit { add, remove }, ..) => (add.as_ref(), remove.as_ref()),
            (all, Some((by, _)), Some(list)) => {
                let own = all.after(None).unwrap_or_default();
                let is_same = own.len() == list.len() && own.iter().all(|tag| list.contains(tag));
                return if is_same { TagsLeft::All } else { TagsLeft::None(by) };
            }
            (TagChange::Replace(tags), ..) => (Some(tags), None),
            (TagChange::Clear, ..) => return TagsLeft::All,
        };
        let wanted = as_slice_or_empty(present).iter().map(|tag| (tag, true));
        let wanted = wanted.chain(as_slice_or_empty(absent).iter().map(|tag| (tag, false)));
        let (mut total, mut changed, mut by) = (0, 0, None::<&Setter>);
        for (tag, is_present) in wanted {
            total += 1;
            if let Some(setter) = self.setter_to(!is_present, tag, list.as_deref()) {
                changed += 1;
                by = by.into_iter().chain([setter]).max_by_key(|by| by.row);
            }
        }
        match by {
            None => TagsLeft::All,
            Some(by) if changed == total => TagsLeft::None(by),
            Some(by) => TagsLeft::Some(by),
        }
    }

    /// The row that makes a tag present, or absent.
    fn setter_to(&self, is_present: bool, tag: &str, list: Option<&[String]>) -> Option<&Setter> {
        if let Some((adds, by)) = self.single.get(tag) {
            return Some(by).filter(|_| *adds == is_present);
        }
        let has = list?.iter().any(|it| it == tag);
        self.sets_all().filter(|_| has == is_present)
    }

    /// Whether the last row that names a tag adds it; `None` if no later row names it.
    fn last(&self, tag: &str) -> Option<bool> {
        self.single.get(tag).map(|(adds, _)| *adds)
    }

    /// A list of tags after the single additions and removals.
    fn edited(&self, mut tags: Vec<String>) -> Vec<String> {
        tags.retain(|tag| self.last(tag) != Some(false));
        let added = self.single.iter().filter(|(tag, (adds, _))| *adds && !tags.contains(tag));
        let added: Vec<String> = added.map(|(tag, _)| tag.clone()).collect();
        tags.extend(added);
        tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Option<Tags> {
        Tags::new(all.iter().map(|tag| (*tag).to_owned()).collect()).ok()
    }

    fn edit(add: &[&str], remove: &[&str]) -> TagChange {
        TagChange::Edit { add: tags(add), remove: tags(remove) }
    }

    fn replace(all: &[&str]) -> TagChange {
        TagChange::Replace(tags(all).expect("tags"))
    }

    /// The later rows 3, 4 and so on.
    fn later(changes: &[TagChange]) -> LaterTags {
        let mut later = LaterTags::default();
        for (row, change) in (3..).zip(changes).collect::<Vec<_>>().into_iter().rev() {
            later.add(&Setter::new(row, Vec::new()), change.clone());
        }
        later
    }

    #[test]
    fn remaining_tag_change_gives_the_same_tags() {
        let (all, none) = (replace(&["a", "b"]), TagChange::Clear);
        let remaining = |change: &TagChange, by: TagChange| later(&[by]).remaining(change).0;
        assert!(later(&[replace(&["x"]), edit(&["a"], &[])]).sets_all().is_some());
        assert_eq!(remaining(&all, edit(&["c"], &["a"])), Some(replace(&["b", "c"])));
        assert_eq!(remaining(&replace(&["a"]), edit(&[], &["a"])), Some(TagChange::Clear));
        assert_eq!(remaining(&none, edit(&["c"], &[])), Some(replace(&["c"])));
        let both = edit(&["a", "q"], &["r", "s"]);
        assert_eq!(remaining(&both, edit(&["r"], &["q"])), Some(edit(&["a"], &["s"])));
        assert_eq!(remaining(&both, edit(&["a"], &["r"])), Some(both.clone()));
        assert!(later(&[edit(&["a"], &["r"])]).remaining(&both).1.is_none());
        assert_eq!(remaining(&edit(&["q"], &[]), edit(&[], &["q"])), None);
    }

    #[test]
    fn remaining_tag_change_equals_the_order_of_the_sheet() {
        let rows = [edit(&["a", "b"], &["c"]), edit(&["c", "x"], &["b"]), edit(&["b"], &["x"])];
        for first in [replace(&["a", "c"]), TagChange::Clear, edit(&["x", "a"], &["b"])] {
            let run = |changes: &[&TagChange]| {
                let before = vec!["b".to_owned(), "c".to_owned()];
                let mut tags = changes.iter().fold(before, |tags, change| {
                    change.after(Some(&tags)).expect("the tags before are known")
                });
                tags.sort();
                tags
            };
            let in_order = run(&[&first, &rows[0], &rows[1], &rows[2]]);
            let (remaining, _) = later(&rows).remaining(&first);
            let mut afterwards: Vec<&TagChange> = rows.iter().collect();
            afterwards.extend(&remaining);
            assert_eq!(run(&afterwards), in_order, "{first:?}");
        }
    }

    #[test]
    fn tags_that_are_left_of_an_applied_change() {
        let left = |change: TagChange, rows: &[TagChange]| match later(rows).left_of(&change) {
            TagsLeft::All => ("all", 0),
            TagsLeft::Some(by) => ("some", by.row),
            TagsLeft::None(by) => ("none", by.row),
        };
        let (red, blue) = (replace(&["red"]), replace(&["blue"]));
        assert_eq!(left(red.clone(), &[blue.clone(), replace(&["green"])]), ("none", 4));
        assert_eq!(left(red.clone(), &[blue, red.clone()]), ("all", 0), "the value is back");
        assert_eq!(left(red.clone(), &[edit(&["x"], &[])]), ("all", 0));
        assert_eq!(left(red, &[edit(&["x"], &["red"])]), ("none", 3));
        assert_eq!(left(TagChange::Clear, &[edit(&["x"], &[])]), ("all", 0));
        assert_eq!(left(edit(&["a", "b"], &[]), &[replace(&["b"])]), ("some", 3));
        assert_eq!(left(edit(&["a"], &["b"]), &[edit(&["b"], &["a"])]), ("none", 3));
        assert_eq!(left(edit(&["a"], &[]), &[edit(&[], &["a"]), edit(&["a"], &[])]), ("all", 0));
    }
}
