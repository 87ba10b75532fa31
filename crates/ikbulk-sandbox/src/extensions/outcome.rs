//! Simulated results of extensions, deterministic for each file and extension.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::extensions::catalogue::{Action, Extension, Task};
use crate::library::file::{AiTag, Details};

/// Status of an extension on a file, as in the API's `extensionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Succeeded, with its result written
    Success,
    /// Still running
    Pending,
    /// Failed; the API does not report why
    Failed,
}

/// Determines the status of extensions in the response to their request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExtensionOutcome {
    /// By a hash of file and extension: 1 in 16 fails, remove-bg is pending, all others succeed.
    #[default]
    Realistic,
    /// The same status for all extensions.
    Always(Status),
}

/// How pending extensions settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Delay after the request was processed.
    pub after: Duration,
    /// The final status.
    pub status: FinalStatus,
}

/// Final status of pending extensions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum FinalStatus {
    /// By a hash of file and extension: 1 in 16 fails
    #[default]
    Realistic,
    /// All succeed and write their results
    Success,
    /// All fail and write nothing
    Failed,
}

/// One in this many extensions fails.
const FAILED_ONE_IN: u64 = 16;
const OBJECTS: [&str; 8] =
    ["Shoe", "Footwear", "Shirt", "Sleeve", "Bag", "Leather", "Person", "Outdoors"];

impl ExtensionOutcome {
    /// The status of `extension` on the file with this id.
    pub(crate) fn status(self, id: &str, extension: &'static str) -> Status {
        match self {
            Self::Always(status) => status,
            Self::Realistic if hash_of(id, extension).is_multiple_of(FAILED_ONE_IN) => {
                Status::Failed
            }
            Self::Realistic if extension == "remove-bg" => Status::Pending,
            Self::Realistic => Status::Success,
        }
    }
}

impl FinalStatus {
    /// Whether the pending `extension` on the file with this id succeeds.
    pub(crate) fn is_success(self, id: &str, extension: &str) -> bool {
        match self {
            // Independent of the bits that the first status depends on.
            Self::Realistic => !(hash_of(id, extension) >> 32).is_multiple_of(FAILED_ONE_IN),
            Self::Success => true,
            Self::Failed => false,
        }
    }
}

fn hash_of(id: &str, extension: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), xxh3_64(extension.as_bytes()))
}

/// Writes the result of a successful `extension` to a file.
pub(crate) fn write_result(extension: &Extension, id: &str, details: &mut Details) {
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
        Task::SelectTags(word) => add_tags(details, word.as_slice()),
        Task::SelectMetadata { field, value } => {
            if let Some(value) = value {
                details.custom_metadata.set(field, value.clone());
            }
        }
        Task::YesNo(action) => run_action(action, details),
    }
}

fn run_action(action: &Action, details: &mut Details) {
    add_tags(details, &action.add_tags);
    remove_tags(details, &action.remove_tags);
    details.custom_metadata.apply(action.metadata.clone());
}

/// Appends the tags that the file does not have yet.
pub(crate) fn add_tags(details: &mut Details, tags: &[String]) {
    let mut all = details.tags.take().unwrap_or_default();
    for tag in tags {
        if !all.contains(tag) {
            all.push(tag.clone());
        }
    }
    details.tags = (!all.is_empty()).then_some(all);
}

/// Removes the tags. Without any tag left, the file's tags are `null`.
pub(crate) fn remove_tags(details: &mut Details, tags: &[String]) {
    let mut left = details.tags.take().unwrap_or_default();
    left.retain(|tag| !tags.contains(tag));
    details.tags = (!left.is_empty()).then_some(left);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_extension_in_sixteen_fails_deterministically() {
        let failed = |id: &u32| {
            ExtensionOutcome::Realistic.status(&id.to_string(), "google-auto-tagging")
                == Status::Failed
        };
        let count = (0..16_000).filter(failed).count();
        assert!((850..1150).contains(&count), "{count}");
        assert!((0..100).all(|id| failed(&id) == failed(&id)));
    }

    #[test]
    fn about_one_pending_extension_in_sixteen_fails() {
        let ids = (0..16_000_u32).map(|id| id.to_string());
        let failed = |id: &String| !FinalStatus::Realistic.is_success(id, "remove-bg");
        let pending =
            |id: &String| ExtensionOutcome::Realistic.status(id, "remove-bg") == Status::Pending;
        let count = ids.filter(pending).filter(failed).count();
        assert!((800..1100).contains(&count), "{count}");
    }

    #[test]
    fn remove_bg_is_pending_unless_configured_otherwise() {
        let status = |outcome: ExtensionOutcome| {
            (0..50).map(|id: u32| outcome.status(&id.to_string(), "remove-bg")).collect::<Vec<_>>()
        };
        assert!(!status(ExtensionOutcome::Realistic).contains(&Status::Success));
        let always = ExtensionOutcome::Always(Status::Success);
        assert_eq!(status(always), vec![Status::Success; 50]);
    }
}
