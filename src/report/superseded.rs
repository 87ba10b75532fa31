//! Rows that did not succeed and were overtaken by a later one: sent again, they would undo what
//! the later row did.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::input::{Context, Input, Records};
use crate::ledger::{LedgerFile, StepRecord};
use crate::outcome::{Code, Status};
use crate::request::StepKind;
use crate::row::{Rules, TagChange, Tags, as_slice_or_empty};

use super::error::ReportError;
use super::row::RowResult;

/// By which row, and in what.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SupersededEdits {
    pub(super) by: u64,
    /// Columns that must not be sent again, because a later row of the file has done something else.
    pub(super) fields: Vec<String>,
    /// Columns that can be.
    pub(super) left: Vec<String>,
    /// What is left of the change of the tags, as far as it can be read.
    tags: Option<TagChange>,
    /// Whether that is less than what the row says.
    has_other_tags: bool,
}

/// Rows that were overtaken. Memory is taken only by rows that did not succeed.
pub(super) struct Superseded<'r> {
    input: &'r Input,
    context: &'r Context,
    ledger: &'r LedgerFile,
    /// Not looked for before there is a row that may be one.
    rows: Option<HashMap<u64, SupersededEdits>>,
}

impl<'r> Superseded<'r> {
    pub(super) fn new(input: &'r Input, context: &'r Context, ledger: &'r LedgerFile) -> Self {
        Self { input, context, ledger, rows: None }
    }

    /// What is known of a row of this status.
    pub(super) fn of(
        &mut self,
        row: u64,
        status: Status,
    ) -> Result<Option<&SupersededEdits>, ReportError> {
        if !matches!(status, Status::Rejected | Status::Failed) {
            return Ok(None);
        }
        let rows = match &mut self.rows {
            Some(rows) => rows,
            unknown => unknown.insert(find(self.input, self.context, self.ledger)?),
        };
        Ok(rows.get(&row))
    }
}

/// Looks through input and ledger side by side.
fn find(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<HashMap<u64, SupersededEdits>, ReportError> {
    let mut records = input.records(context.files.as_ref())?;
    // By file, the rows that did not succeed so far.
    let mut waiting: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut open: HashMap<u64, SupersededEdits> = HashMap::new();
    let mut steps: Vec<StepRecord> = Vec::new();
    ledger.steps(0, |mut ledger_steps| {
        while let Some(pos) = records.advance()? {
            ledger_steps.of_row(pos.number, &mut steps)?;
            let status = RowResult::of(&steps).status;
            let file = xxh3_64(records.file_id().as_bytes());
            if let Some(rows) = waiting.get(&file) {
                let done = Done::of(&records, &context.rules, status, &steps);
                for row in rows {
                    if let Some(row) = open.get_mut(row) {
                        row.supersede(pos.number, &done);
                    }
                }
            }
            if matches!(status, Status::Rejected | Status::Failed) {
                waiting.entry(file).or_default().push(pos.number);
                let mut left = columns(&records);
                left.retain(|column| !is_done(column, &steps));
                let tags = records.tags(&context.rules);
                open.insert(
                    pos.number,
                    SupersededEdits { left, tags, ..SupersededEdits::default() },
                );
            }
        }
        Ok::<_, ReportError>(())
    })?;
    open.retain(|_, row| row.by > 0);
    Ok(open)
}

/// What a row has done to its file, or found to be so.
struct Done {
    columns: Vec<String>,
    tags: Option<TagChange>,
}

impl Done {
    fn of(records: &Records, rules: &Rules, status: Status, steps: &[StepRecord]) -> Self {
        let is_so = |record: &StepRecord| record.outcome.code == Some(Code::UpToDate);
        let has_all = status == Status::Updated || steps.iter().any(is_so);
        let has = |column: &str| has_all || is_done(column, steps);
        let mut columns = columns(records);
        columns.retain(|column| has(column));
        let tags = records.tags(rules).and_then(|tags| match tags {
            TagChange::Edit { add, remove } => {
                let add = add.filter(|_| has("addTags"));
                let remove = remove.filter(|_| has("removeTags"));
                (add.is_some() || remove.is_some()).then_some(TagChange::Edit { add, remove })
            }
            all => has("tags").then_some(all),
        });
        Self { columns, tags }
    }
}

impl SupersededEdits {
    fn supersede(&mut self, by: u64, done: &Done) {
        let mut is_whole = matches!(done.tags, Some(TagChange::Replace(_) | TagChange::Clear));
        if let (Some(tags), Some(later)) = (&self.tags, &done.tags) {
            let left = left_of(tags, later);
            if left.as_ref() != Some(tags) {
                self.by = by;
                self.has_other_tags = true;
                is_whole = left.is_none();
                self.tags = left;
            }
        }
        let is_overtaken = |column: &String| {
            let is_tags = matches!(column.as_str(), "tags" | "addTags" | "removeTags");
            is_tags && is_whole || done.columns.iter().any(|later| supersedes(later, column))
        };
        let (superseded_edits, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left).into_iter().partition(is_overtaken);
        self.left = left;
        if !superseded_edits.is_empty() {
            self.by = by;
            self.fields.extend(superseded_edits);
        }
    }

    /// Whether later rows did everything that the row asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
    }

    /// What is left of the change of the tags, where it is less than what the row says.
    pub(super) fn other_tags(&self) -> Option<&TagChange> {
        self.tags.as_ref().filter(|_| self.has_other_tags)
    }

    pub(super) fn message(&self, before: &str) -> String {
        let Self { by, fields, left, .. } = self;
        let what = if fields.is_empty() { "some tags".to_owned() } else { fields.join(", ") };
        let mut message = format!("overtaken by row {by} in {what}");
        if !left.is_empty() {
            message.push_str(&format!("; not applied: {}", left.join(", ")));
        }
        format!("{message}; before that: {before}")
    }
}

/// The columns that a record touches and that a later one can overtake or leave. A webhook URL is no
/// field of the file.
fn columns(records: &Records) -> Vec<String> {
    let mut columns = records.touched();
    columns.retain(|column| column != "webhookUrl");
    columns
}

/// Whether what a row asks for in a column was done before something else of it was not.
fn is_done(column: &str, steps: &[StepRecord]) -> bool {
    let has = |kind| steps.iter().any(|record| record.step.kind == kind);
    let is_done = |kind| {
        let mut of_kind = steps.iter().filter(|record| record.step.kind == kind);
        of_kind.any(|record| record.outcome.status == Status::Updated)
    };
    match column {
        "addTags" => is_done(StepKind::AddTags),
        "removeTags" => is_done(StepKind::RemoveTags),
        "isPublished" | "includeFileVersions" => is_done(StepKind::Publish),
        "tags" if has(StepKind::RemoveTags) || has(StepKind::AddTags) => false,
        "extensions" => is_done(StepKind::Details),
        _ => is_done(StepKind::Details) || is_done(StepKind::DetailsWithoutExtensions),
    }
}

/// Whether what a row asks for in one column, sent again, would undo what a later row has done in
/// another; tags aside. An extension is not undone by running another.
fn supersedes(later: &str, earlier: &str) -> bool {
    match earlier {
        "tags" | "addTags" | "removeTags" | "extensions" => false,
        // What was bought, if that tags.
        "removeAITags" => later == "extensions",
        "isPublished" | "includeFileVersions" => {
            matches!(later, "isPublished" | "includeFileVersions")
        }
        _ => later == earlier,
    }
}

/// What is left of a change of tags that was not done, behind one that was: sent now, both together
/// come to what they would have come to in their order. `None` for nothing.
fn left_of(change: &TagChange, later: &TagChange) -> Option<TagChange> {
    let TagChange::Edit { add: added, remove: gone } = later else {
        return None;
    };
    let without = |tags: Option<&Tags>, others: Option<&Tags>| {
        let kept = as_slice_or_empty(tags)
            .iter()
            .filter(|tag| !as_slice_or_empty(others).contains(tag))
            .cloned();
        Tags::new(kept.collect()).ok()
    };
    match change {
        TagChange::Edit { add, remove } => {
            let add = without(add.as_ref(), gone.as_ref());
            let remove = without(remove.as_ref(), added.as_ref());
            (add.is_some() || remove.is_some()).then_some(TagChange::Edit { add, remove })
        }
        all => all.then(later),
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

    #[test]
    fn only_what_would_undo_a_later_row_is_overtaken() {
        let left = |before: &[&str], later: &str| {
            let left = before.iter().map(|column| (*column).to_owned()).collect();
            let mut row = SupersededEdits { left, ..SupersededEdits::default() };
            row.supersede(3, &Done { columns: vec![later.to_owned()], tags: None });
            row.left
        };
        assert!(left(&["isPublished", "includeFileVersions"], "isPublished").is_empty());
        assert!(left(&["customMetadata.a"], "customMetadata.a").is_empty());
        assert!(left(&["removeAITags"], "extensions").is_empty());
        for stays in ["removeAITags", "extensions"] {
            assert_eq!(left(&[stays], stays), [stays]);
        }
        assert_eq!(left(&["customMetadata.a", "description"], "description"), ["customMetadata.a"]);
    }

    #[test]
    fn of_tags_that_is_left_which_comes_to_the_same_behind_the_later_row() {
        let (all, none) = (replace(&["a", "b"]), TagChange::Clear);
        for change in [&all, &none, &edit(&["a"], &[])] {
            assert_eq!(left_of(change, &replace(&["x"])), None);
            assert_eq!(left_of(change, &TagChange::Clear), None);
        }
        assert_eq!(left_of(&all, &edit(&["c"], &["a"])), Some(replace(&["b", "c"])));
        assert_eq!(left_of(&replace(&["a"]), &edit(&[], &["a"])), Some(TagChange::Clear));
        assert_eq!(left_of(&none, &edit(&["c"], &[])), Some(replace(&["c"])));
        let both = edit(&["a", "q"], &["r", "s"]);
        assert_eq!(left_of(&both, &edit(&["r"], &["q"])), Some(edit(&["a"], &["s"])));
        assert_eq!(left_of(&both, &edit(&["a"], &["r"])), Some(both));
        assert_eq!(left_of(&edit(&["q"], &[]), &edit(&[], &["q"])), None);
    }
}
