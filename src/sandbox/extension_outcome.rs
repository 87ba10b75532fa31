//! How extension runs end: a play with a fixed script, the same for the same file every time.

use std::borrow::Cow;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::extensions::{Action, Extension, Task};
use super::file::{AiTag, Details};

/// The status of one extension on one file, as the API words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has run and written its result
    Success,
    /// It is running
    Pending,
    /// It has run and failed, for a reason the API keeps to itself
    Failed,
}

/// Decides how runs stand when their request is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExtensionOutcome {
    /// By the hash of file and extension: one in 16 fails, remove-bg stays pending, all others
    /// succeed at once.
    #[default]
    Realistic,
    /// Always this.
    Always(Status),
}

/// How a run ends that was pending when its request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// How long after the work of the request.
    pub after: Duration,
    /// Whether it has a result then.
    pub end: End,
}

/// Whether a pending run succeeds in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// By the hash of file and extension: one in 16 fails
    #[default]
    Realistic,
    /// It succeeds and writes its result
    Success,
    /// It fails and writes nothing
    Failed,
}

/// One in this many runs fails.
const FAILED_ONE_IN: u64 = 16;
const SEEN: [&str; 8] =
    ["Shoe", "Footwear", "Shirt", "Sleeve", "Bag", "Leather", "Person", "Outdoors"];

impl ExtensionOutcome {
    /// How the run of `extension` on this file stands.
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

impl End {
    /// Whether the pending run of `extension` on this file succeeds.
    pub(crate) fn is_success(self, id: &str, extension: &str) -> bool {
        match self {
            // Other bits than those that made it pending.
            Self::Realistic => !(hash_of(id, extension) >> 32).is_multiple_of(FAILED_ONE_IN),
            Self::Success => true,
            Self::Failed => false,
        }
    }
}

fn hash_of(id: &str, extension: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), xxh3_64(extension.as_bytes()))
}

/// Writes what a successful run of `extension` writes, at once or when a pending one ends.
pub(crate) fn write_result(extension: &Extension, id: &str, details: &mut Details) {
    match extension {
        Extension::RemoveBg => details.version += 1,
        Extension::Tagging { .. } => tag(extension, id, details),
        Extension::AutoDescription => {
            let seen = SEEN[spread(hash_of(id, "description"), 0)].to_lowercase();
            details.description = Some(format!("A {seen} in front of a plain background"));
        }
        Extension::Tasks(tasks) => tasks.iter().for_each(|task| run_task(task, details)),
    }
}

/// Three tags, surest first, within what was asked for.
fn tag(extension: &Extension, id: &str, details: &mut Details) {
    let Extension::Tagging { name, min_confidence, tags_max } = *extension else {
        return;
    };
    let hash_of = hash_of(id, name);
    for place in 0..tags_max.min(3) {
        let confidence = 99.5 - 7.25 * f64::from(place);
        let found = AiTag {
            name: SEEN[(spread(hash_of, 8) + usize::from(place)) % SEEN.len()].to_owned(),
            confidence,
            source: Cow::Borrowed(name),
        };
        if confidence >= f64::from(min_confidence) {
            details.ai_tags.retain(|tag| (&tag.name, &tag.source) != (&found.name, &found.source));
            details.ai_tags.push(found);
        }
    }
}

fn spread(hash_of: u64, shift: u32) -> usize {
    usize::try_from((hash_of >> shift) & 7).expect("3 bits are left")
}

fn run_task(task: &Task, details: &mut Details) {
    match task {
        Task::SelectTags(word) => add_tags(details, word.as_slice()),
        Task::SelectMetadata { field, value } => {
            if let Some(value) = value {
                details.custom_metadata.set(field, value.clone());
            }
        }
        Task::YesNo(action) => act(action, details),
    }
}

fn act(action: &Action, details: &mut Details) {
    add_tags(details, &action.add_tags);
    remove_tags(details, &action.remove_tags);
    details.custom_metadata.apply(action.metadata.clone());
}

/// Adds the tags that are not there yet, at the end.
pub(crate) fn add_tags(details: &mut Details, tags: &[String]) {
    let mut now = details.tags.take().unwrap_or_default();
    for tag in tags {
        if !now.contains(tag) {
            now.push(tag.clone());
        }
    }
    details.tags = (!now.is_empty()).then_some(now);
}

/// Takes the tags away that are there. The last one leaves `null`.
pub(crate) fn remove_tags(details: &mut Details, tags: &[String]) {
    let mut now = details.tags.take().unwrap_or_default();
    now.retain(|tag| !tags.contains(tag));
    details.tags = (!now.is_empty()).then_some(now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_run_in_sixteen_fails_and_always_the_same() {
        let failed = |id: &u32| {
            ExtensionOutcome::Realistic.status(&id.to_string(), "google-auto-tagging")
                == Status::Failed
        };
        let count = (0..16_000).filter(failed).count();
        assert!((850..1150).contains(&count), "{count}");
        assert!((0..100).all(|id| failed(&id) == failed(&id)));
    }

    #[test]
    fn some_pending_runs_fail_in_the_end_and_most_do_not() {
        let ids = (0..16_000_u32).map(|id| id.to_string());
        let failed = |id: &String| !End::Realistic.is_success(id, "remove-bg");
        let pending =
            |id: &String| ExtensionOutcome::Realistic.status(id, "remove-bg") == Status::Pending;
        let count = ids.filter(pending).filter(failed).count();
        assert!((800..1100).contains(&count), "{count}");
    }

    #[test]
    fn remove_bg_is_pending_unless_told_otherwise() {
        let status = |play: ExtensionOutcome| {
            (0..50).map(|id: u32| play.status(&id.to_string(), "remove-bg")).collect::<Vec<_>>()
        };
        assert!(!status(ExtensionOutcome::Realistic).contains(&Status::Success));
        let always = ExtensionOutcome::Always(Status::Success);
        assert_eq!(status(always), vec![Status::Success; 50]);
    }
}
