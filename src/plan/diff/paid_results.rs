//! Keeps what an extension of a row wrote, if it was paid and does not run again: the row would
//! overwrite it with what it had before.

use super::merge::Kept;
use super::simulated_file::SimulatedFile;
use super::skipped::{DecidedExtension, Decision, Situation};
use crate::row::{
    Change, Extension, Field, FileField, KeptResults, MetadataValue, Set, TAGS_LENGTH_MAX,
    TagChange,
};

/// Drops from a change what would overwrite the results of its extensions.
pub(super) fn keep_paid_results(
    change: &mut Change,
    extensions: &[DecidedExtension],
    situation: Situation<'_>,
) -> Kept {
    let mut kept = Kept::default();
    for DecidedExtension { extension, decision } in extensions {
        let is_unread = matches!(decision, Decision::RememberedSince(_));
        let has_run =
            is_unread || matches!(decision, Decision::EarlierRow(_) | Decision::Remembered(_));
        let may_have_run =
            has_run || matches!(decision, Decision::RanInThisRun(_) | Decision::Failed(_));
        let may_have_tags = || is_unread && extension.writes().contains(FileField::AiTags);
        if may_have_run
            && change.ai_tags.is_some()
            && (may_have_tags() || situation.removes_tags_of(extension))
        {
            change.ai_tags = None;
            kept.reasons.push(
                "removeAITags: no AI tag is removed, because some are those of an extension that does not \
                 run again"
                    .to_owned(),
            );
        }
        // What this run set before it ran the extension is still to be set in full.
        if has_run {
            let mut results = KeptResults::default();
            let before = Some(situation.before).filter(|_| !is_unread);
            let what = written_by(extension, change, before, &mut results);
            change.keep(&results);
            kept.results.add(results);
            if !what.is_empty() {
                kept.reasons.push(format!(
                    "{}: kept, because {} may have written them and does not run again; to set them, leave \
                     the extension out of the row",
                    what.join(", "),
                    extension.name().as_str()
                ));
            }
        }
    }
    kept
}

/// What a change would overwrite of what an extension may have written, for people. `before` is the file as
/// the extension left it; `None` if that is not known.
fn written_by(
    extension: &Extension,
    change: &Change,
    before: Option<&SimulatedFile>,
    kept: &mut KeptResults,
) -> Vec<String> {
    let mut what: Vec<String> = tags(extension, change, before, kept).into_iter().collect();
    let details = change.details.iter();
    let details = details.filter(|(field, _)| extension.may_write(field));
    let is_set = |(field, set): &(&Field, &Set<MetadataValue>)| {
        before.is_some_and(|before| before.has_detail(field, set))
    };
    for (field, _) in details.filter(|detail| !is_set(detail)) {
        let column = field.column();
        kept.keep(&column);
        what.push(column.into_owned());
    }
    what
}

/// The tags that the extension may have added or removed, for people; `None` if the change leaves them.
fn tags(
    extension: &Extension,
    change: &Change,
    before: Option<&SimulatedFile>,
    kept: &mut KeptResults,
) -> Option<String> {
    let current = before.and_then(SimulatedFile::tags);
    let requested = match &change.tags {
        Some(TagChange::Replace(tags)) => tags.as_slice(),
        Some(TagChange::Clear) => &[],
        Some(TagChange::Edit { .. }) | None => return None,
    };
    if !extension.writes().contains(FileField::Tags) {
        return None;
    }
    let (Some(written), Some(current)) = (extension.written_tags(), current) else {
        let is_same = current.is_some_and(|current| is_same_set(current, requested));
        kept.keep_tags();
        return (!is_same).then(|| "tags".to_owned());
    };
    let is_removed = |tag: &&String| written.removes(tag) && !current.contains(tag);
    let is_added = |tag: &&String| written.adds(tag) && !requested.contains(tag);
    let changed: Vec<&String> =
        requested.iter().filter(is_removed).chain(current.iter().filter(is_added)).collect();
    if changed.is_empty() {
        return None;
    }
    let wanted = requested.iter().filter(|tag| !is_removed(tag));
    let wanted: Vec<String> = wanted.chain(current.iter().filter(is_added)).cloned().collect();
    if wanted.iter().map(|tag| tag.chars().count()).sum::<usize>() > TAGS_LENGTH_MAX {
        kept.keep_tags();
    } else {
        kept.set_tags(wanted);
    }
    let changed: Vec<String> = changed.iter().map(|tag| format!("{tag:?}")).collect();
    Some(format!("tags {}", changed.join(", ")))
}

fn is_same_set(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|tag| other.contains(tag))
}
