//! The edits of one row, as noted until the later rows of its file are known.

use serde::{Deserialize, Serialize};

use crate::history::{Certainty, RowEffects, TagEffects};
use crate::input::Records;
use crate::ledger::StepRecord;
use crate::outcome::{Code, Status};
use crate::request::StepKind;
use crate::row::{Change, Content, Field, FileField, KeptResults, Rules, TagChange};

use super::super::row::RowResult;

/// What may be superseded of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The row was rejected or failed: its edits are still to be applied.
    NotApplied,
    /// The row was applied, or was up to date.
    Applied {
        /// Whether requests were sent for it.
        is_sent: bool,
    },
    /// Nothing: the row was not attempted or is unknown, or a person must check it.
    Other,
}

/// A column that a row edits, and a hash of the value; `None` for what is no value, such as an
/// extension.
pub(super) type Edit = (String, Option<u64>);

/// The edits of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RowEdits {
    pub(super) kind: Kind,
    /// The columns of a row that is not applied without those that its own steps applied; of an
    /// applied row, all.
    pub(super) edits: Vec<Edit>,
    /// The tag change of the row; `None` if there is none or its cells are invalid.
    pub(super) tags: Option<TagChange>,
    /// The columns that the row applied to its file or found up to date: they supersede those of
    /// earlier rows.
    pub(super) applied: Vec<Edit>,
    /// The part of the tag change that it applied or found up to date.
    pub(super) applied_tags: Option<TagChange>,
    /// The ids of its requests. Rows that were merged share them.
    pub(super) requests: Vec<String>,
}

impl RowEdits {
    /// The edits of a row, without what it keeps; `None` if it edits nothing.
    pub(super) fn of(
        records: &Records,
        content: &Content,
        kept: &KeptResults,
        steps: &[StepRecord],
        effects: RowEffects<'_>,
        rules: &Rules,
    ) -> Option<Self> {
        let result = RowResult::of(steps);
        let kind = Kind::of(&result, steps);
        let change = match content {
            Content::Update(update) => Some(&*update.change),
            _ => None,
        };
        let mut columns = edited_columns(records);
        columns.retain(|column| !kept.keeps(column));
        let mut edits = with_values(columns, change);
        if edits.is_empty() {
            return None;
        }
        let is_up_to_date = |it: &StepRecord| it.outcome.code == Some(Code::UpToDate);
        let has_all = result.status == Status::Updated || steps.iter().any(is_up_to_date);
        let has = |column: &str| has_all || was_applied(column, effects);
        let tags = records.tags(rules).filter(|_| !kept.keeps("tags"));
        let mut applied = edits.clone();
        applied.retain(|(column, _)| has(column));
        let applied_tags = tags.clone().and_then(|tags| applied_part(tags, &has));
        if kind == Kind::NotApplied {
            edits.retain(|(column, _)| !was_applied(column, effects));
        }
        let requests = steps.iter().filter_map(|step| step.outcome.request_id.as_deref());
        let requests = requests.map(str::to_owned).collect();
        Some(Self { kind, edits, tags, applied, applied_tags, requests })
    }
}

impl Kind {
    fn of(result: &RowResult<'_>, steps: &[StepRecord]) -> Self {
        let is_sent = steps.iter().any(StepRecord::was_sent);
        match (result.status, result.code) {
            (Status::Rejected | Status::Failed, _) => Self::NotApplied,
            (Status::Updated, None)
            | (Status::Unchanged, Some(Code::UpToDate | Code::Superseded)) => {
                Self::Applied { is_sent }
            }
            _ => Self::Other,
        }
    }
}

/// The columns that a record edits, except the webhook URL, which is no field of the file.
fn edited_columns(records: &Records) -> Vec<String> {
    let mut columns = records.touched();
    columns.retain(|column| column != "webhookUrl");
    columns
}

fn with_values(columns: Vec<String>, change: Option<&Change>) -> Vec<Edit> {
    let values: Vec<_> = change.into_iter().flat_map(Change::values).collect();
    let value_of = |column: &str| {
        let found = values.iter().find(|(field, _)| field.column() == column);
        found.map(|(_, value)| *value)
    };
    columns
        .into_iter()
        .map(|column| {
            let value = value_of(&column);
            (column, value)
        })
        .collect()
}

/// The part of a tag change whose columns the row has applied.
fn applied_part(tags: TagChange, has: &impl Fn(&str) -> bool) -> Option<TagChange> {
    match tags {
        TagChange::Edit { add, remove } => {
            let add = add.filter(|_| has("addTags"));
            let remove = remove.filter(|_| has("removeTags"));
            (add.is_some() || remove.is_some()).then_some(TagChange::Edit { add, remove })
        }
        replace_or_clear => has("tags").then_some(replace_or_clear),
    }
}

/// Whether the requests of a row that did not succeed as a whole applied a column, or left it out
/// because it was up to date.
fn was_applied(column: &str, row: RowEffects<'_>) -> bool {
    match column {
        "tags" => row.has_tags(false, |tags| tags.removed().min(tags.added())),
        "addTags" => row.has_tags(true, TagEffects::added),
        "removeTags" => row.has_tags(true, TagEffects::removed),
        "isPublished" | "includeFileVersions" => {
            row.field(FileField::Publication) == Certainty::Done
        }
        "extensions" => row.has_done(StepKind::Details),
        other => {
            let field = Field::fixed(other).and_then(|field| field.file_field());
            row.has(field.unwrap_or(FileField::Metadata))
        }
    }
}
