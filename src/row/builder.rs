//! Builds a validated row from cells. The only place that knows which columns exclude each other.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::cell::Cell;
use super::change::{AiTagRemoval, Change, Coordinates, Publish, Set, TagChange, Tags, WebhookUrl};
use super::id_damage::check_id;
use super::list::list;
use super::metadata;
use super::problem::{HeldWord, Invalid, Problem, Rejection, UnlessHeld};
use super::suggest::fold;
use super::tag_cache::TagCache;
use super::{
    Content, Extensions, Field, FileId, MetadataField, MetadataValue, Rules, Schema, Target,
    Unresolved, Update,
};
use crate::findings::{CellKind, Finding, FindingCounts};

/// Maximum custom metadata fields of a row to search linearly; above, a hash set is used.
const LINEAR_SEARCH_MAX: usize = 16;

/// A cell with a path or URL.
#[derive(Debug)]
struct TargetCell {
    target: Target,
    /// The cell as written.
    cell: Box<str>,
}

/// How a row identifies its file.
#[derive(Debug)]
enum FileRef {
    Id(FileId),
    Target(TargetCell),
}

/// Collects the cells of one row.
#[derive(Debug)]
pub struct Builder<'a> {
    rules: &'a Rules,
    tag_cache: Option<&'a mut TagCache>,
    file: Option<FileId>,
    /// The `filePath` and `url` cells; ignored if there is a `fileId`.
    targets: Vec<Result<TargetCell, Problem>>,
    change: Box<Change>,
    /// Names of the change's custom metadata fields, if there are too many to search linearly.
    metadata: HashSet<Arc<str>>,
    /// The number of the change's details whose names are among them.
    searched: usize,
    add_tags: Option<Tags>,
    remove_tags: Option<Tags>,
    is_published: Option<bool>,
    include_file_versions: Option<bool>,
    problems: Vec<Problem>,
    /// How many problems are words that can be values, and these words.
    word_problems: usize,
    words: Vec<HeldWord>,
    seen_any: bool,
    /// The findings for which the row was held back before: one cell holds it again.
    held_before: &'a [Finding],
    /// Counts findings in the cells of the row with this number.
    watch: Option<(&'a mut FindingCounts, u64)>,
    /// The account's fields, which extensions may write; `None` if they are not known.
    schema: Option<&'a Schema>,
    has_extensions_cell: bool,
    /// Whether a problem is that of the cell that names the file.
    has_file_problem: bool,
}

impl<'a> Builder<'a> {
    /// An empty row.
    #[must_use]
    #[inline]
    pub fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            tag_cache: None,
            file: None,
            targets: Vec::new(),
            change: Box::default(),
            metadata: HashSet::new(),
            searched: 0,
            add_tags: None,
            remove_tags: None,
            is_published: None,
            include_file_versions: None,
            problems: Vec::new(),
            word_problems: 0,
            words: Vec::new(),
            seen_any: false,
            held_before: &[],
            watch: None,
            schema: None,
            has_extensions_cell: false,
            has_file_problem: false,
        }
    }

    /// Shares parsed tag lists with other rows.
    pub fn share_tags(&mut self, cache: &'a mut TagCache) {
        self.tag_cache = Some(cache);
    }

    /// Checks the fields that extensions write against these of the account.
    pub fn check_fields(&mut self, schema: Option<&'a Schema>) {
        self.schema = schema;
    }

    /// Names the findings for which an earlier run held the row back. It stays held while a cell shows
    /// one of them, because the sheet that was returned may have too few rows to show it.
    pub fn hold_again(&mut self, findings: &'a [Finding]) {
        self.held_before = findings;
    }

    /// Counts findings in the cells of the row with this number.
    pub fn watch(&mut self, columns: &'a mut FindingCounts, row: u64) {
        self.watch = Some((columns, row));
    }

    /// Adds a cell: `column` is the column's name in the input, `field` its meaning. An empty cell
    /// leaves the field unchanged.
    pub fn set(&mut self, column: &str, field: &Field, cell: Cell<'_>) {
        // A file that has no path, or no id, is null or empty in JSON.
        let names_none = field.names_file() && cell.is_json_blank();
        if names_none || self.rules.leaves(cell) {
            return;
        }
        self.seen_any = true;
        if self.is_set(field) {
            let problem = "sets a field that the row already sets";
            self.problems.push(Problem::new(column, &cell.shown(), problem, "keep only one"));
            return;
        }
        if let (Some((columns, row)), Some(kind)) = (&mut self.watch, self.rules.cell_kind(field)) {
            cell.texts(kind).for_each(|(kind, text)| columns.count(column, kind, *row, text));
        }
        if matches!(field, Field::FileId)
            && let Some(file) = self.rules.usual_id(cell)
        {
            self.file = Some(file);
            return;
        }
        if let Some(finding) = self.rules.held(column, field, cell, self.held_before) {
            self.read_held(field, cell);
            self.has_file_problem |= field.names_file();
            let shown = cell.shown();
            let fix = finding.fix_of(&shown, Some(self.rules.separator()));
            self.problems.push(Problem::held(column, &shown, finding, &fix));
            return;
        }
        if let Err(Invalid { problem, suggestion, is_word }) = self.parse(field, cell, self.rules) {
            let problem = Problem::new(column, &cell.shown(), problem, suggestion);
            match field {
                Field::FilePath | Field::Url => self.targets.push(Err(problem)),
                _ => {
                    if is_word {
                        self.read_words(field, cell);
                    }
                    self.has_file_problem |= *field == Field::FileId;
                    self.problems.push(problem);
                }
            }
        }
    }

    /// Counts a cell that holds a date where its field takes words: a spreadsheet turned a word into it. A
    /// field of unknown type may take dates.
    pub fn note_date(&mut self, column: &str, field: &Field, cell: &str) {
        if matches!(self.rules.cell_kind(field), Some(CellKind::List { .. } | CellKind::Text)) {
            self.note(column, field, Finding::Dates, cell);
        }
    }

    /// Counts a cell that holds a boolean where its field takes text.
    pub fn note_boolean(&mut self, column: &str, field: &Field, cell: &str) {
        let kind = self.rules.cell_kind(field);
        if matches!(kind, Some(CellKind::List { .. } | CellKind::Text | CellKind::Prose)) {
            self.note(column, field, Finding::Booleans, cell);
        }
    }

    fn note(&mut self, column: &str, field: &Field, finding: Finding, cell: &str) {
        let is_unknown = matches!(field, Field::CustomMetadata(MetadataField { rule: None, .. }));
        if let (Some((columns, row)), false) = (&mut self.watch, is_unknown) {
            columns.note(column, finding, *row, cell);
        }
    }

    /// Whether no cell so far had a value.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        !self.seen_any
    }

    /// Whether the row names a file, if only wrongly.
    pub(crate) fn names_file(&self) -> bool {
        self.file.is_some() || !self.targets.is_empty() || self.has_file_problem
    }

    /// Adds a problem that the reader found before it could pass the cell to [`Self::set`].
    pub fn reject(&mut self, problem: Problem) {
        self.seen_any = true;
        self.problems.push(problem);
    }

    /// Adds the problem of what is no file, so that it needs no name.
    pub(crate) fn reject_as_no_file(&mut self, problem: Problem) {
        self.has_file_problem = true;
        self.reject(problem);
    }

    /// Finishes the row after its last cell, and takes it out of the builder.
    #[must_use]
    pub fn finish(&mut self) -> Content {
        if self.is_blank() {
            return Content::Blank;
        }
        self.combine();
        self.change.details.sort();
        let file = self.file_ref();
        if let Err(problem) = &file
            && !self.has_file_problem
            && !self.has_problem_in("fileId")
        {
            self.problems.push(problem.clone());
        }
        let is_undecided = self.word_problems > 0 && self.word_problems == self.problems.len();
        let change = std::mem::take(&mut self.change);
        match (Rejection::from_problems(std::mem::take(&mut self.problems)), file) {
            (Some(mut rejection), file) => {
                let (file, target) = match file {
                    Ok(FileRef::Id(file)) => (Some(file), None),
                    Ok(FileRef::Target(TargetCell { target, .. })) => (None, Some(target)),
                    Err(_) => (None, None),
                };
                if is_undecided {
                    let words = std::mem::take(&mut self.words);
                    rejection = rejection.unless(UnlessHeld { file, change, words });
                }
                Content::Rejected(Box::new(match target {
                    Some(target) => rejection.with_target(target),
                    None => rejection,
                }))
            }
            (None, Err(problem)) => Content::rejected(problem),
            (None, Ok(FileRef::Id(file))) => Content::Update(Update { file, change }),
            (None, Ok(FileRef::Target(TargetCell { target, cell }))) => {
                Content::Unresolved(Box::new(Unresolved { target, cell, change }))
            }
        }
    }

    fn file_ref(&mut self) -> Result<FileRef, Problem> {
        if let Some(file) = self.file.take() {
            return Ok(FileRef::Id(file));
        }
        let mut targets = std::mem::take(&mut self.targets).into_iter();
        match (targets.next(), targets.next()) {
            (None, _) => Err(Problem::new("fileId", "", "is empty", "set fileId, filePath or url")),
            (Some(target), None) => target.map(FileRef::Target),
            (Some(_), Some(_)) => Err(Problem::new(
                "url",
                "",
                "conflicts with filePath",
                "set only one of the two, or set fileId",
            )),
        }
    }

    fn has_problem_in(&self, column: &str) -> bool {
        let column = fold(column);
        self.problems.iter().any(|problem| fold(problem.column()) == column)
    }

    /// Reads a cell that a finding holds back, in case the library holds the same: then it is an export,
    /// or the value is meant that way.
    fn read_held(&mut self, field: &Field, cell: Cell<'_>) {
        let rules = self.rules;
        if field.names_file() || self.parse(field, cell, rules).is_err() {
            return;
        }
        let words = if field.is_list() {
            list(cell, field, rules).unwrap_or_default()
        } else {
            self.change.details.text(field).map(str::to_owned).into_iter().collect()
        };
        self.add_words(field, words);
    }

    /// Adds the words of a cell that the library must hold.
    fn add_words(&mut self, field: &Field, words: Vec<String>) {
        if !words.is_empty() {
            self.word_problems += 1;
            let words = words.into_iter().map(|word| HeldWord { field: field.clone(), word });
            self.words.extend(words);
        }
    }

    /// Reads a cell as if its words were values, in case the library holds them.
    fn read_words(&mut self, field: &Field, cell: Cell<'_>) {
        let rules = self.rules.with_all_words();
        let mut words = match field {
            Field::Description | Field::CustomMetadata(_) if !field.is_list() => {
                cell.trimmed_text().map(str::to_owned).into_iter().collect()
            }
            field if field.is_list() => list(cell, field, &rules).unwrap_or_default(),
            _ => Vec::new(),
        };
        words.retain(|word| self.rules.is_undecided(field, word));
        if !words.is_empty() && self.parse(field, cell, &rules).is_ok() {
            self.add_words(field, words);
        }
    }

    /// Parses a cell into its field of the change.
    fn parse(&mut self, field: &Field, cell: Cell<'_>, rules: &Rules) -> Result<(), Invalid> {
        let Some(cell) = meaning(field, cell, rules)? else {
            return self.clear(field);
        };
        match field {
            Field::FileId => self.file = Some(file_id(cell)?),
            Field::FilePath => self.targets.push(Ok(target_cell(cell, Target::from_path)?)),
            Field::Url => self.targets.push(Ok(target_cell(cell, Target::from_url)?)),
            Field::Tags => {
                // An explicit empty list clears the tags. Sent as null, because the API does not
                // document [].
                let tags =
                    self.tags(field, cell, rules)?.map_or(TagChange::Clear, TagChange::Replace);
                self.change.tags = Some(tags);
            }
            Field::AddTags => self.add_tags = self.tags(field, cell, rules)?,
            Field::RemoveTags => self.remove_tags = self.tags(field, cell, rules)?,
            Field::RemoveAiTags => self.change.ai_tags = ai_tags(field, cell, rules)?,
            Field::CustomCoordinates => self.set_detail(field, coordinates(cell)?.into()),
            Field::Description => self.set_detail(field, description(cell)?.into()),
            Field::CustomMetadata(metadata) => {
                self.set_detail(field, metadata::value(metadata, cell, rules)?);
            }
            Field::Extensions => {
                self.has_extensions_cell = true;
                self.change.extensions = self.extensions(cell)?;
            }
            Field::WebhookUrl => self.change.webhook_url = Some(webhook_url(cell)?),
            Field::IsPublished => self.is_published = Some(boolean(cell)?),
            Field::IncludeFileVersions => self.include_file_versions = Some(boolean(cell)?),
        }
        Ok(())
    }

    fn set_detail(&mut self, field: &Field, value: MetadataValue) {
        self.change.details.push(field.clone(), Set::Value(value));
    }

    fn extensions(&self, cell: Cell<'_>) -> Result<Option<Extensions>, Invalid> {
        let extensions = Extensions::parse(cell, &self.rules.extensions)?;
        if let (Some(extensions), Some(schema)) = (&extensions, self.schema) {
            extensions.check_fields(schema, self.rules)?;
        }
        Ok(extensions)
    }

    /// Adds the extensions of rows that have none of their own; an explicit empty list is one.
    fn add_extensions_for_all(&mut self) {
        let Some(names) =
            self.rules.extensions.for_all.as_ref().filter(|_| !self.has_extensions_cell)
        else {
            return;
        };
        match Extensions::for_all(&self.rules.extensions) {
            Ok(extensions) => self.change.extensions = extensions,
            Err(Invalid { problem, suggestion, .. }) => {
                self.problems.push(Problem::new("extensions", names, problem, suggestion));
            }
        }
    }

    /// The tags of a cell; `None` for an explicit empty list.
    fn tags(
        &mut self,
        field: &Field,
        cell: Cell<'_>,
        rules: &Rules,
    ) -> Result<Option<Tags>, Invalid> {
        let parse = || tags(field, cell, rules);
        let is_cached = std::ptr::eq(rules, self.rules);
        match (&mut self.tag_cache, cell) {
            (Some(cache), Cell::Text(text)) if is_cached => cache.get_or_parse(text, parse),
            _ => parse(),
        }
    }

    /// Whether an earlier cell set the field: JSON has several keys for the same field.
    fn is_set(&mut self, field: &Field) -> bool {
        match field {
            Field::FileId => self.file.is_some(),
            Field::FilePath => self.has_target(Target::is_path),
            Field::Url => self.has_target(|target| !target.is_path()),
            Field::Tags => self.change.tags.is_some(),
            Field::AddTags => self.add_tags.is_some(),
            Field::RemoveTags => self.remove_tags.is_some(),
            Field::RemoveAiTags => self.change.ai_tags.is_some(),
            Field::CustomCoordinates | Field::Description => self.change.details.sets(field),
            Field::CustomMetadata(field) => self.is_metadata_set(&field.name),
            Field::Extensions => self.has_extensions_cell,
            Field::WebhookUrl => self.change.webhook_url.is_some(),
            Field::IsPublished => self.is_published.is_some(),
            Field::IncludeFileVersions => self.include_file_versions.is_some(),
        }
    }

    fn has_target(&self, is_of_kind: impl Fn(&Target) -> bool) -> bool {
        self.targets.iter().flatten().any(|cell| is_of_kind(&cell.target))
    }

    fn is_metadata_set(&mut self, name: &str) -> bool {
        let details = &self.change.details;
        if details.len() < LINEAR_SEARCH_MAX {
            return details.metadata().any(|(known, _)| &*known.name == name);
        }
        let new = details.metadata_after(self.searched);
        self.metadata.extend(new.map(|(known, _)| Arc::clone(&known.name)));
        self.searched = details.len();
        self.metadata.contains(name)
    }

    fn clear(&mut self, field: &Field) -> Result<(), Invalid> {
        match field {
            Field::Tags => self.change.tags = Some(TagChange::Clear),
            Field::CustomMetadata(MetadataField { rule: Some(rule), .. })
                if rule.is_value_required =>
            {
                return Err(Invalid::new(
                    "is not valid here: the account requires a value",
                    "write a value, or leave the cell empty to keep the field",
                ));
            }
            Field::CustomCoordinates | Field::Description | Field::CustomMetadata(_) => {
                self.change.details.push(field.clone(), Set::Clear);
            }
            Field::RemoveAiTags => {
                return Err(Invalid::new("is not valid here", "write all to remove all AI tags"));
            }
            Field::AddTags | Field::RemoveTags => {
                let suggestion = "use it in the column tags to remove all tags";
                return Err(Invalid::new("is not valid here", suggestion));
            }
            Field::FileId
            | Field::FilePath
            | Field::Url
            | Field::Extensions
            | Field::WebhookUrl
            | Field::IsPublished
            | Field::IncludeFileVersions => {
                let suggestion = "write a value, or leave the cell empty";
                return Err(Invalid::new("is not valid here", suggestion));
            }
        }
        Ok(())
    }

    /// Combines and cross-checks the cells of related columns.
    fn combine(&mut self) {
        self.combine_tags();
        self.add_extensions_for_all();
        match (self.is_published, self.include_file_versions) {
            (Some(is_published), include_file_versions) => {
                self.change.publish = Some(Publish { is_published, include_file_versions });
            }
            (None, Some(include)) if !self.has_problem_in("isPublished") => {
                self.problems.push(Problem::new(
                    "includeFileVersions",
                    if include { "true" } else { "false" },
                    "has no effect without isPublished",
                    "set isPublished, or leave this cell empty",
                ));
            }
            (None, _) => {}
        }
    }

    fn combine_tags(&mut self) {
        let (add, remove) = (self.add_tags.take(), self.remove_tags.take());
        if add.is_none() && remove.is_none() {
            return;
        }
        let (column, edit) = match (&add, &remove) {
            (Some(add), _) => ("addTags", add),
            (None, Some(remove)) => ("removeTags", remove),
            (None, None) => return,
        };
        if self.change.tags.is_some() {
            self.problems.push(Problem::new(
                column,
                &edit.as_slice().join(","),
                "conflicts with tags, which replaces all tags",
                "use either tags, or addTags and removeTags",
            ));
            return;
        }
        if let (Some(add), Some(remove)) = (&add, &remove)
            && let Some(both) = add.as_slice().iter().find(|tag| remove.as_slice().contains(tag))
        {
            let suggestion = "put each tag into only one of the two";
            self.problems.push(Problem::new("removeTags", both, "is also in addTags", suggestion));
            return;
        }
        self.change.tags = Some(TagChange::Edit { add, remove });
    }
}

/// The value that a cell means; `None` if it clears its field.
fn meaning<'c>(field: &Field, cell: Cell<'c>, rules: &Rules) -> Result<Option<Cell<'c>>, Invalid> {
    let is_plain = rules.is_plain(cell);
    let token = &rules.clear_token;
    let literal = if is_plain { Some(cell) } else { cell.literal(token, field.is_list()) };
    // A clear token clears, even if programs print it for no value.
    if literal.is_none() && rules.clears(cell) {
        return Ok(None);
    }
    if cell.is_json_blank() && !field.takes_text() {
        let suggestion = "leave the key out, or pass --null-means leave";
        return Err(Invalid::new("is empty", suggestion));
    }
    if literal.is_none()
        && let Some(no_value) = rules.no_value(field, cell)
    {
        let problem = format!("is {}", no_value.description());
        let invalid = Invalid::new(problem, no_value.fix(cell.shown().trim(), field));
        return Err(Invalid { is_word: no_value.can_be_value(), ..invalid });
    }
    if !is_plain && cell.has_nul() {
        return Err(Invalid::new("contains a NUL character", "remove it"));
    }
    if literal.is_none() && cell.is_nearly_clear(token) {
        let word = cell.shown();
        let suggestion =
            format!("write {token} to clear the field, or \\{} for the literal text", word.trim());
        return Err(Invalid::new(format!("looks like the clear token {token}"), suggestion));
    }
    Ok(Some(literal.unwrap_or(cell)))
}

fn file_id(cell: Cell<'_>) -> Result<FileId, Invalid> {
    let suggestion = "copy the id from ImageKit, like 598821f949c0a938d57563bd";
    let text = cell.trimmed_text().ok_or_else(|| Invalid::new("is not a string", suggestion))?;
    let id = FileId::new(text).map_err(|problem| Invalid::new(problem, suggestion))?;
    check_id(text).map(|()| id)
}

fn target_cell(
    cell: Cell<'_>,
    parse: fn(&str) -> Result<Target, Invalid>,
) -> Result<TargetCell, Invalid> {
    let text =
        cell.trimmed_text().ok_or_else(|| Invalid::new("is not a string", "write a string"))?;
    Ok(TargetCell { target: parse(text)?, cell: text.into() })
}

fn tags(field: &Field, cell: Cell<'_>, rules: &Rules) -> Result<Option<Tags>, Invalid> {
    let words = list(cell, field, rules)?;
    if words.is_empty() && is_array(cell) {
        return Ok(None);
    }
    Tags::new(words).map(Some).map_err(|(problem, suggestion)| Invalid::new(problem, suggestion))
}

fn is_array(cell: Cell<'_>) -> bool {
    match cell.text() {
        Some(text) => text.trim_start().starts_with('['),
        None => matches!(cell, Cell::Json(Value::Array(_))),
    }
}

fn ai_tags(field: &Field, cell: Cell<'_>, rules: &Rules) -> Result<Option<AiTagRemoval>, Invalid> {
    if cell.trimmed_text() == Some("all") {
        return Ok(Some(AiTagRemoval::All));
    }
    let words = list(cell, field, rules)?;
    Ok((!words.is_empty()).then(|| AiTagRemoval::Named(words.into())))
}

/// The area as the API writes it.
fn coordinates(cell: Cell<'_>) -> Result<String, Invalid> {
    let suggestion = "write x,y,width,height in whole pixels, like 10,10,100,100";
    cell.trimmed_text()
        .and_then(Coordinates::parse)
        .map(|area| area.to_string())
        .ok_or_else(|| Invalid::new("is not a valid area", suggestion))
}

fn description(cell: Cell<'_>) -> Result<&str, Invalid> {
    let text = cell.text().ok_or_else(|| Invalid::new("is not a string", "write a string"))?;
    Ok(text)
}

fn webhook_url(cell: Cell<'_>) -> Result<WebhookUrl, Invalid> {
    let suggestion = "write an http or https URL, like https://example.com/hook";
    cell.trimmed_text()
        .and_then(WebhookUrl::parse)
        .ok_or_else(|| Invalid::new("is not an absolute URL", suggestion))
}

fn boolean(cell: Cell<'_>) -> Result<bool, Invalid> {
    cell.boolean().ok_or_else(|| Invalid::new("is not a boolean", "write true or false"))
}
