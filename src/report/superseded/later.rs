//! What the later rows of a file set.

use std::collections::HashMap;

use super::Superseded;
use super::edits::{Kind, RowEdits};
use super::later_tags::{LaterTags, TagsLeft};
use super::setter::Setter;

/// What the rows after a row set on its file; rows are added from the last to the first.
#[derive(Debug, Default)]
pub(super) struct LaterRows {
    /// The last row that set each column.
    columns: HashMap<String, Setting>,
    tags: LaterTags,
}

/// The last row that set a column.
#[derive(Debug, Clone)]
struct Setting {
    by: Setter,
    value: Option<u64>,
}

impl LaterRows {
    /// Adds the next row towards the beginning of the sheet.
    pub(super) fn add(&mut self, row: u64, edits: RowEdits) {
        let by = Setter::new(row, edits.requests);
        for (column, value) in edits.applied {
            self.columns.entry(column).or_insert_with(|| Setting { by: by.clone(), value });
        }
        if let Some(tags) = edits.applied_tags {
            self.tags.add(&by, tags);
        }
    }

    /// What is superseded of a rejected or failed row: all that a later row set, to whatever value.
    pub(super) fn superseded_of_not_applied(&self, row: &RowEdits) -> Superseded {
        let mut superseded = Superseded::default();
        let mut all_tags = self.tags.sets_all();
        if let (None, Some(tags)) = (all_tags, &row.tags) {
            let (remaining, by) = self.tags.remaining(tags);
            match remaining {
                Some(remaining) => {
                    superseded.some_tags = by.map(|by| by.row);
                    superseded.tags = by.map(|_| remaining);
                }
                None => all_tags = by,
            }
        }
        for (column, _) in &row.edits {
            let by = match column.as_str() {
                "tags" | "addTags" | "removeTags" => all_tags,
                column => self.setting_of(column).map(|setting| &setting.by),
            };
            match by {
                Some(by) => superseded.columns.push((column.clone(), by.row)),
                None => superseded.open.push(column.clone()),
            }
        }
        let is_whole = superseded.open.is_empty();
        Superseded { is_whole, is_unchanged: is_whole, ..superseded }
    }

    /// What is superseded of a row that was applied: what a later row set to another value.
    pub(super) fn superseded_of_applied(&self, row: &RowEdits) -> Superseded {
        let mut superseded = Superseded::default();
        let mut winners: Vec<&Setter> = Vec::new();
        for (column, value) in &row.edits {
            let by = match (column.as_str(), &row.tags) {
                ("tags" | "addTags" | "removeTags", Some(tags)) => match self.tags.left_of(tags) {
                    TagsLeft::All => None,
                    TagsLeft::None(by) => Some(by),
                    TagsLeft::Some(by) => {
                        superseded.some_tags = Some(by.row);
                        None
                    }
                },
                (column, _) => {
                    let setting = self.setting_of(column).filter(|_| value.is_some());
                    setting.filter(|it| it.value != *value).map(|setting| &setting.by)
                }
            };
            if let Some(by) = by {
                superseded.columns.push((column.clone(), by.row));
                winners.push(by);
            }
        }
        let is_whole = winners.len() == row.edits.len();
        let is_shared = |request: &String| winners.iter().any(|by| by.sent(request));
        let is_merged = !row.requests.is_empty() && row.requests.iter().all(is_shared);
        let is_unsent = row.kind == Kind::Applied { is_sent: false };
        Superseded { is_whole, is_unchanged: is_whole && (is_merged || is_unsent), ..superseded }
    }

    /// The last row that set a column in a way that sending the column again would revert. Running
    /// an extension does not revert another.
    fn setting_of(&self, column: &str) -> Option<&Setting> {
        let columns: &[&str] = match column {
            "tags" | "addTags" | "removeTags" | "extensions" => &[],
            // A tagging extension may have added AI tags, which were charged.
            "removeAITags" => &["extensions"],
            "isPublished" | "includeFileVersions" => &["isPublished", "includeFileVersions"],
            column => return self.columns.get(column),
        };
        let settings = columns.iter().filter_map(|column| self.columns.get(*column));
        settings.max_by_key(|setting| setting.by.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(kind: Kind, columns: &[(&str, u64)], requests: &[&str]) -> RowEdits {
        let edits = columns.iter().map(|(column, value)| ((*column).to_owned(), Some(*value)));
        let edits: Vec<_> = edits.collect();
        RowEdits {
            kind,
            applied: if kind == Kind::NotApplied { Vec::new() } else { edits.clone() },
            edits,
            tags: None,
            applied_tags: None,
            requests: requests.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    const APPLIED: Kind = Kind::Applied { is_sent: true };

    fn later(rows: &[(u64, RowEdits)]) -> LaterRows {
        let mut later = LaterRows::default();
        for (row, edits) in rows.iter().rev() {
            later.add(*row, edits.clone());
        }
        later
    }

    #[test]
    fn only_conflicting_columns_of_a_rejected_row_are_superseded() {
        let open = |earlier: &[&str], column: &str| {
            let columns: Vec<_> = earlier.iter().map(|column| (*column, 1)).collect();
            let later = later(&[(3, edits(APPLIED, &[(column, 1)], &["r"]))]);
            later.superseded_of_not_applied(&edits(Kind::NotApplied, &columns, &[])).open
        };
        assert!(open(&["isPublished", "includeFileVersions"], "isPublished").is_empty());
        assert!(open(&["customMetadata.a"], "customMetadata.a").is_empty());
        assert!(open(&["removeAITags"], "extensions").is_empty());
        for column in ["removeAITags", "extensions"] {
            assert_eq!(open(&[column], column), [column]);
        }
        assert_eq!(open(&["customMetadata.a", "description"], "description"), ["customMetadata.a"]);
    }

    #[test]
    fn last_value_of_a_field_wins() {
        let description = |value| edits(APPLIED, &[("description", value)], &["r"]);
        let later = later(&[(3, description(7)), (4, description(8))]);
        let superseded = later.superseded_of_applied(&description(7));
        assert_eq!(superseded.columns, [("description".to_owned(), 4)]);
        assert!(superseded.is_whole && superseded.is_unchanged);
        assert_eq!(
            later.superseded_of_applied(&description(8)),
            Superseded { is_whole: false, ..Superseded::default() }
        );
    }

    #[test]
    fn row_with_a_request_of_its_own_stays_updated() {
        let later = later(&[(3, edits(APPLIED, &[("description", 2)], &["r2"]))]);
        let superseded =
            later.superseded_of_applied(&edits(APPLIED, &[("description", 1)], &["r1"]));
        assert!(superseded.is_whole && !superseded.is_unchanged);
        let unsent = edits(Kind::Applied { is_sent: false }, &[("description", 1)], &[]);
        assert!(later.superseded_of_applied(&unsent).is_unchanged);
        let more = edits(APPLIED, &[("description", 1), ("customMetadata.a", 1)], &["r2"]);
        let superseded = later.superseded_of_applied(&more);
        assert!(superseded.is_any() && !superseded.is_whole && !superseded.is_unchanged);
    }
}
