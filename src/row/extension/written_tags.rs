//! The tags that AI tasks may add and remove.

use std::collections::BTreeSet;

use serde_json::Value;

use super::config::ANSWERS;
use super::fields::items;
use super::{Extension, ExtensionName};

/// Tags that an extension may add to a file, and remove from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WrittenTags<'e> {
    added: BTreeSet<&'e str>,
    removed: BTreeSet<&'e str>,
}

impl WrittenTags<'_> {
    /// Whether the extension may add a tag.
    pub(crate) fn adds(&self, tag: &str) -> bool {
        self.added.contains(tag)
    }

    /// Whether the extension may remove a tag.
    pub(crate) fn removes(&self, tag: &str) -> bool {
        self.removed.contains(tag)
    }
}

impl Extension {
    /// The tags that it may write; `None` if they can be any, as those of a task without a vocabulary.
    pub(crate) fn written_tags(&self) -> Option<WrittenTags<'_>> {
        let mut written = WrittenTags::default();
        match self.name {
            ExtensionName::AiTasks => {}
            ExtensionName::SavedExtension => return None,
            _ => return Some(written),
        }
        for task in items(self.config.get("tasks")) {
            if task["type"] == "select_tags" {
                let vocabulary = task.get("vocabulary")?;
                written.added.extend(items(Some(vocabulary)).into_iter().filter_map(Value::as_str));
            }
            for action in ANSWERS.into_iter().filter_map(|answer| task.get(answer)) {
                written
                    .added
                    .extend(items(action.get("add_tags")).into_iter().filter_map(Value::as_str));
                written
                    .removed
                    .extend(items(action.get("remove_tags")).into_iter().filter_map(Value::as_str));
            }
        }
        Some(written)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn extension(name: ExtensionName, tasks: &Value) -> Extension {
        Extension { name, config: json!({ "tasks": tasks }), saved: None }
    }

    #[test]
    fn tags_of_all_tasks_are_known_where_each_has_a_vocabulary() {
        let yes_no = json!({"type": "yes_no",
            "on_yes": {"add_tags": ["a", "b"]}, "on_no": {"remove_tags": ["a"]}});
        let tasks = json!([{"type": "select_tags", "vocabulary": ["c"]}, yes_no]);
        let extension_of = |tasks| extension(ExtensionName::AiTasks, tasks);
        let tasks = extension_of(&tasks);
        let written = tasks.written_tags().expect("they are known");
        assert!(["a", "b", "c"].iter().all(|tag| written.adds(tag)) && !written.adds("d"));
        assert!(written.removes("a") && !written.removes("b"));
        assert_eq!(extension_of(&json!([{"type": "select_tags"}])).written_tags(), None);
        let other = extension(ExtensionName::RemoveBg, &json!([]));
        assert_eq!(other.written_tags(), Some(WrittenTags::default()));
    }
}
