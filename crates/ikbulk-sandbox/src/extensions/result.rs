//! Simulated results of extensions, deterministic for each file and extension.

use std::borrow::Cow;

use crate::extensions::extension::{Action, Extension, Task};
use crate::extensions::findings::{FoundTags, main_object, tags_of};
use crate::library::file::{AiTag, Details};

/// Writes the result of a successful `extension` to a file. `found` configures AI tags.
pub(crate) fn write(extension: &Extension, id: &str, found: &[FoundTags], details: &mut Details) {
    match extension {
        Extension::RemoveBg => details.version += 1,
        Extension::Tagging { .. } => tag(extension, id, found, details),
        Extension::AutoDescription => {
            let object = main_object(id);
            details.description = Some(format!("A {object} in front of a plain background"));
        }
        Extension::Tasks(tasks) => tasks.iter().for_each(|task| run_task(task, details)),
    }
}

/// Adds the tags that are found, within the requested number and confidence.
fn tag(extension: &Extension, id: &str, found: &[FoundTags], details: &mut Details) {
    let Extension::Tagging { name: source, min_confidence, tags_max } = *extension else {
        return;
    };
    let sure = tags_of(found, id, source).into_iter();
    let sure = sure.filter(|(_, confidence)| *confidence >= f64::from(min_confidence));
    for (name, confidence) in sure.take(tags_max.into()) {
        details.ai_tags.retain(|tag| (&*tag.name, &*tag.source) != (&*name, source));
        details.ai_tags.push(AiTag { name, confidence, source: Cow::Borrowed(source) });
    }
}

fn run_task(task: &Task, details: &mut Details) {
    match task {
        Task::SelectTags(words) => details.add_tags(words),
        Task::SelectMetadata { field, value } => {
            if let Some(value) = value {
                details.custom_metadata.set(field, value.clone());
            }
        }
        Task::YesNo(action) => run_action(action, details),
    }
}

fn run_action(action: &Action, details: &mut Details) {
    details.add_tags(&action.add_tags);
    details.remove_tags(&action.remove_tags);
    details.custom_metadata.apply(action.metadata.clone());
}
