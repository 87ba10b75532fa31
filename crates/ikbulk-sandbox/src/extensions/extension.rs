//! A valid extension, with what it will write.

use serde_json::Value;

use crate::library::metadata::MetadataChange;

/// Why an extension is invalid, as a sentence of the error message.
pub(crate) type Reason = String;

/// A valid extension. Saved extensions are resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Extension {
    RemoveBg,
    Tagging { name: &'static str, min_confidence: u8, tags_max: u8 },
    AutoDescription,
    Tasks(Vec<Task>),
}

/// A task of `ai-tasks`, with its simulated result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Task {
    /// The tags to add.
    SelectTags(Vec<String>),
    SelectMetadata {
        field: String,
        value: Option<Value>,
    },
    /// The action on "yes", which is always the result.
    YesNo(Action),
}

/// What a `yes_no` task does on one of its results.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Action {
    pub(crate) add_tags: Vec<String>,
    pub(crate) remove_tags: Vec<String>,
    pub(crate) metadata: MetadataChange,
}

impl Extension {
    /// Key in `extensionStatus`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RemoveBg => "remove-bg",
            Self::Tagging { name, .. } => name,
            Self::AutoDescription => "ai-auto-description",
            Self::Tasks(_) => "ai-tasks",
        }
    }
}
