//! The steps of a row, and which of them an earlier run did, as fingerprints in the sheet of its
//! failed rows.
//!
//! A step is done as a whole, with one exception: of a details step of which an extension failed,
//! the fields and the other extensions are done. Each of these parts has a fingerprint of its own.

use xxhash_rust::xxh3::Xxh3;

use crate::history::{ExtensionReport, extensions_with};
use crate::imagekit::body;
use crate::ledger::StepRecord;
use crate::outcome::Code;
use crate::request::{Call, Patch, StepKind};
use crate::row::{
    Change, Extension, Extensions, FieldSet, FileField, FileId, Publish, Set, TagChange, Tags,
    Update,
};

/// The steps of a change, in the order in which they are sent.
#[derive(Debug)]
pub struct RowSteps {
    /// `None` if it changes nothing.
    patch: Option<Box<Patch>>,
    remove_ai_tags: Option<Tags>,
    remove_tags: Option<Tags>,
    add_tags: Option<Tags>,
    publish: Option<Publish>,
}

impl RowSteps {
    /// Takes the steps out of a change, which is empty then.
    #[must_use]
    pub fn take_from(change: &mut Change) -> Self {
        // Filled where it stays: the fields of every row pass through here.
        let mut patch = Box::<Patch>::default();
        let (mut add_tags, mut remove_tags) = (None, None);
        match change.tags.take() {
            None => {}
            Some(TagChange::Replace(tags)) => patch.tags = Some(Set::Value(tags)),
            Some(TagChange::Clear) => patch.tags = Some(Set::Clear),
            Some(TagChange::Edit { add, remove }) => (add_tags, remove_tags) = (add, remove),
        }
        patch.remove_ai_tags = change.ai_tags.take();
        patch.details = std::mem::take(&mut change.details);
        patch.extensions = change.extensions.take();
        patch.webhook_url = change.webhook_url.take();
        Self {
            remove_ai_tags: patch.take_bulk_ai_tags(),
            patch: Some(patch).filter(|patch| !patch.is_empty()),
            remove_tags,
            add_tags,
            publish: change.publish.take(),
        }
    }

    /// The steps of a change that is kept.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        Self::take_from(&mut change.clone())
    }
}

impl Iterator for RowSteps {
    type Item = (StepKind, Call);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(patch) = self.patch.take() {
            return Some((StepKind::Details, Call::Details(patch)));
        }
        if let Some(tags) = self.remove_ai_tags.take() {
            return Some((StepKind::RemoveAiTags, Call::RemoveAiTags(tags)));
        }
        if let Some(tags) = self.remove_tags.take() {
            return Some((StepKind::RemoveTags, Call::RemoveTags(tags)));
        }
        if let Some(tags) = self.add_tags.take() {
            return Some((StepKind::AddTags, Call::AddTags(tags)));
        }
        self.publish.take().map(|publish| (StepKind::Publish, Call::Publish(publish)))
    }
}

/// Hash of a file and a call: equal steps have equal fingerprints, across runs. The webhook URL does
/// not count: a run adds one of its own, and what is done stays done with another.
#[must_use]
pub(crate) fn fingerprint(file: &FileId, call: &Call) -> u64 {
    let without_url = match call {
        Call::Details(patch) if patch.webhook_url.is_some() => {
            let patch = Patch { webhook_url: None, ..(**patch).clone() };
            Some(Call::Details(Box::new(patch)))
        }
        _ => None,
    };
    let call = without_url.as_ref().unwrap_or(call);
    let mut hash = Xxh3::new();
    hash.update(file.as_str().as_bytes());
    hash.update(&[0, call.endpoint() as u8]);
    hash.update(&body::encode(call, std::slice::from_ref(file)));
    hash.digest()
}

/// The fingerprints of what is done of the details step of a change: everything but the extensions
/// that failed.
#[must_use]
pub(crate) fn done_parts(
    file: &FileId,
    change: &Change,
    has_failed: impl Fn(&Extension) -> bool,
) -> Vec<u64> {
    let extensions = change.extensions.iter().flat_map(Extensions::as_slice);
    let others = extensions.filter(|extension| !has_failed(extension));
    let others = others.filter_map(|extension| extension_fingerprint(file, change, extension));
    fields_fingerprint(file, change).into_iter().chain(others).collect()
}

/// The fingerprints of what is done of a row, by its steps in the ledger.
#[must_use]
pub(crate) fn done_steps(Update { file, change }: &Update, records: &[StepRecord]) -> Vec<u64> {
    let is_superseded = |record: &StepRecord| record.outcome.code == Some(Code::Superseded);
    let is_done =
        |record: &StepRecord| record.outcome.status.is_success() && !is_superseded(record);
    // Steps without a record were up to date.
    let is_over = records.iter().any(|record| record.row_done) && records.iter().all(is_done);
    let mut done = Vec::new();
    for (kind, call) in RowSteps::of(change) {
        let record = records.iter().find(|record| record.step.kind == kind);
        if !record.map_or(is_over, is_done) {
            continue;
        }
        let failed = record.iter().flat_map(|it| extensions_with(it, ExtensionReport::Failed));
        let failed: Vec<_> = failed.map(|extension| extension.fingerprint).collect();
        if kind == StepKind::Details && !failed.is_empty() {
            let has_failed = |it: &Extension| failed.contains(&it.fingerprint());
            done.extend(done_parts(file, change, has_failed));
        } else {
            done.push(fingerprint(file, &call));
        }
    }
    done
}

/// The fingerprints of every step of a change, and of every part of its details step.
pub(super) fn all_fingerprints(file: &FileId, change: &Change) -> Vec<u64> {
    let steps = RowSteps::of(change).map(|(_, call)| fingerprint(file, &call));
    steps.chain(done_parts(file, change, |_| false)).collect()
}

/// Removes from a change the steps and parts of steps that are done, except for fields that were
/// `reverted` since.
pub(super) fn drop_done(file: &FileId, change: &mut Change, done: &[u64], reverted: FieldSet) {
    if done.is_empty() {
        return;
    }
    let whole = (!reverted.is_empty()).then(|| change.clone());
    for (kind, call) in RowSteps::of(change) {
        if done.contains(&fingerprint(file, &call)) {
            drop_step(change, kind);
        } else if kind == StepKind::Details {
            drop_parts(file, change, done);
        }
    }
    let Some(whole) = whole else { return };
    if change.details.is_empty() {
        change.details = whole.details.only(|field| reverted.contains(field));
    }
    if reverted.contains(FileField::Tags) {
        change.tags = whole.tags;
    }
}

fn drop_parts(file: &FileId, change: &mut Change, done: &[u64]) {
    let is_done = |fingerprint: Option<u64>| fingerprint.is_some_and(|it| done.contains(&it));
    let extensions = change.extensions.as_ref().and_then(|extensions| {
        extensions.only(|extension| !is_done(extension_fingerprint(file, change, extension)))
    });
    let webhook_url = change.webhook_url.clone();
    if is_done(fields_fingerprint(file, change)) {
        drop_step(change, StepKind::Details);
    }
    change.webhook_url = webhook_url.filter(|_| extensions.is_some());
    change.extensions = extensions;
}

/// Removes a step from a change.
pub(super) fn drop_step(change: &mut Change, kind: StepKind) {
    match (kind, &mut change.tags) {
        (StepKind::Details, _) => {
            let tags = change.tags.take().filter(|tags| matches!(tags, TagChange::Edit { .. }));
            *change = Change { tags, publish: change.publish, ..Change::default() };
        }
        (StepKind::RemoveAiTags, _) => change.ai_tags = None,
        (StepKind::RemoveTags, Some(TagChange::Edit { remove, .. })) => *remove = None,
        (StepKind::AddTags, Some(TagChange::Edit { add, .. })) => *add = None,
        (StepKind::Publish, _) => change.publish = None,
        _ => {}
    }
    change.tags.take_if(|tags| *tags == TagChange::Edit { add: None, remove: None });
}

/// The fingerprint of the details of a change without its extensions, as if the row had none; `None`
/// if it has no others.
fn fields_fingerprint(file: &FileId, change: &Change) -> Option<u64> {
    let tags = change.tags.clone().filter(|tags| !matches!(tags, TagChange::Edit { .. }));
    let mut fields =
        Change { tags, publish: None, extensions: None, webhook_url: None, ..change.clone() };
    let (_, call) = RowSteps::take_from(&mut fields).next()?;
    Some(fingerprint(file, &call))
}

/// The fingerprint of one extension of a change.
fn extension_fingerprint(file: &FileId, change: &Change, extension: &Extension) -> Option<u64> {
    let extensions = change.extensions.as_ref()?.only(|other| other == extension)?;
    let patch = Patch { extensions: Some(extensions), ..Patch::default() };
    Some(fingerprint(file, &Call::Details(Box::new(patch))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Builder, Cell, Content, Field, Rules};

    const TAGGING: &str = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;
    const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;

    fn change(cells: &[(&str, Field, &str)]) -> (FileId, Change) {
        let rules = Rules::default();
        let mut row = Builder::new(&rules);
        row.set("fileId", &Field::FileId, Cell::Text("f"));
        for (name, field, cell) in cells {
            row.set(name, field, Cell::Text(cell));
        }
        let Content::Update(update) = row.finish() else { panic!("the cells are valid") };
        (update.file, *update.change)
    }

    fn names(change: &Change) -> Vec<&str> {
        let extensions = change.extensions.iter().flat_map(Extensions::as_slice);
        extensions.map(|extension| extension.name().as_str()).collect()
    }

    #[test]
    fn only_the_failed_extension_is_left_of_a_details_step() {
        let extensions = format!("[{TAGGING},{REMOVE_BG}]");
        let (file, change) = change(&[
            ("description", Field::Description, "text"),
            ("removeAITags", Field::RemoveAiTags, "all"),
            ("webhookUrl", Field::WebhookUrl, "https://example.com/hook"),
            ("addTags", Field::AddTags, "x"),
            ("extensions", Field::Extensions, &extensions),
        ]);
        let done = done_parts(&file, &change, |it| it.name().as_str() == "remove-bg");
        let mut left = change.clone();
        drop_done(&file, &mut left, &done, FieldSet::default());
        assert_eq!(names(&left), ["remove-bg"]);
        assert!(left.webhook_url.is_some(), "the extension still needs it");
        assert!(left.details.is_empty() && left.ai_tags.is_none());
        assert_eq!(left.tags, change.tags, "another step");
        let none_failed = done_parts(&file, &change, |_| false);
        drop_done(&file, &mut left, &none_failed, FieldSet::default());
        assert_eq!((names(&left).len(), left.webhook_url), (0, None));
    }

    #[test]
    fn edited_parts_are_not_done() {
        let cells = |text: &str, extension: &str| {
            change(&[
                ("description", Field::Description, text),
                ("extensions", Field::Extensions, extension),
            ])
        };
        let (tagging, remove_bg) = (format!("[{TAGGING}]"), format!("[{REMOVE_BG}]"));
        let (file, before) = cells("text", &tagging);
        let done = done_parts(&file, &before, |_| false);
        let (_, mut other_text) = cells("other", &tagging);
        drop_done(&file, &mut other_text, &done, FieldSet::default());
        assert!(!other_text.details.is_empty() && other_text.extensions.is_none());
        let (_, mut other_extension) = cells("text", &remove_bg);
        drop_done(&file, &mut other_extension, &done, FieldSet::default());
        assert!(other_extension.details.is_empty());
        assert_eq!(names(&other_extension), ["remove-bg"]);
    }
}
