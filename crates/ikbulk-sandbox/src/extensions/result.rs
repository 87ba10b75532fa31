//! Simulated results of extensions, deterministic for each file and extension.

use std::borrow::Cow;

use crate::extensions::extension::{Action, Extension, Task};
use crate::extensions::outcome::hash_of;
use crate::library::file::{AiTag, Details};

const OBJECTS: [&str; 8] =
    ["Shoe", "Footwear", "Shirt", "Sleeve", "Bag", "Leather", "Person", "Outdoors"];

/// Writes the result of a successful `extension` to a file.
pub(crate) fn write(extension: &Extension, id: &str, details: &mut Details) {
    match extension {
        Extension::RemoveBg => details.version += 1,
        Extension::Tagging { .. } => tag(extension, id, details),
        Extension::AutoDescription => {
            let object = OBJECTS[octal_digit(hash_of(id, "description"), 0)].to_lowercase();
            details.description = Some(format!("A {object} in front of a plain background"));
        }
        Extension::Tasks(tasks) => tasks.iter().for_each(|task| run_task(task, details)),
    }
}

/// Adds up to three tags, within the requested number and confidence, highest confidence first.
fn tag(extension: &Extension, id: &str, details: &mut Details) {
    let Extension::Tagging { name, min_confidence, tags_max } = *extension else {
        return;
    };
    let hash = hash_of(id, name);
    for place in 0..tags_max.min(3) {
        let confidence = 99.5 - 7.25 * f64::from(place);
        let found = AiTag {
            name: OBJECTS[(octal_digit(hash, 8) + usize::from(place)) % OBJECTS.len()].to_owned(),
            confidence,
            source: Cow::Borrowed(name),
        };
        if confidence >= f64::from(min_confidence) {
            details.ai_tags.retain(|tag| (&tag.name, &tag.source) != (&found.name, &found.source));
            details.ai_tags.push(found);
        }
    }
}

fn octal_digit(hash: u64, shift: u32) -> usize {
    usize::try_from((hash >> shift) & 7).expect("3 bits fit")
}

fn run_task(task: &Task, details: &mut Details) {
    match task {
        Task::SelectTags(word) => details.add_tags(word.as_slice()),
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
