//! What a request changes, field by field: for people.

use crate::imagekit::FileFields;
use crate::request::{Call, Patch};
use crate::row::{AiTagRemoval, Extensions, MetadataField, Set, Tags};

/// One field of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, by the name of its column.
    pub field: String,
    /// What is there; empty for nothing.
    pub before: String,
    /// What will be.
    pub after: String,
}

/// What a call changes on a file that is like that.
#[must_use]
pub fn differences(call: &Call, before: &FileFields) -> Vec<Difference> {
    let difference = |field: &str, after: String| Difference {
        field: field.to_owned(),
        before: tags(&before.tags),
        after,
    };
    match call {
        Call::Details(patch) => of_patch(patch, before),
        Call::AddTags(added) => {
            vec![difference("addTags", format!("+ {}", tags(added.as_slice())))]
        }
        Call::RemoveTags(removed) => {
            vec![difference("removeTags", format!("- {}", tags(removed.as_slice())))]
        }
        Call::Publish(publish) => vec![Difference {
            field: "isPublished".to_owned(),
            before: before.is_published.map(|is| is.to_string()).unwrap_or_default(),
            after: publish.is_published.to_string(),
        }],
        Call::ReadBack(_) => Vec::new(),
    }
}

fn of_patch(patch: &Patch, before: &FileFields) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut add = |field: &str, before: String, after: String| {
        all.push(Difference { field: field.to_owned(), before, after });
    };
    if let Some(set) = &patch.tags {
        let after = shown(set, |set: &Tags| tags(set.as_slice()));
        add("tags", tags(&before.tags), after);
    }
    if let Some(removal) = &patch.remove_ai_tags {
        let has: Vec<String> = before.ai_tags.iter().map(|tag| tag.name.clone()).collect();
        let after = match removal {
            AiTagRemoval::All => "- all".to_owned(),
            AiTagRemoval::Named(names) => format!("- {}", tags(names)),
        };
        add("removeAITags", tags(&has), after);
    }
    if let Some(set) = &patch.coordinates {
        let has = before.custom_coordinates.clone().unwrap_or_default();
        add("customCoordinates", has, shown(set, ToString::to_string));
    }
    if let Some(set) = &patch.description {
        let has = before.description.clone().unwrap_or_default();
        add("description", has, shown(set, ToString::to_string));
    }
    for (field, set) in &patch.metadata {
        let has = before.custom_metadata.get(field.name.as_ref()).map(ToString::to_string);
        let after = shown(set, ToString::to_string);
        add(&MetadataField::column_of(&field.name), has.unwrap_or_default(), after);
    }
    for extension in patch.extensions.iter().flat_map(Extensions::as_slice) {
        add("extensions", String::new(), format!("run {}", extension.name().as_str()));
    }
    all
}

fn shown<T>(set: &Set<T>, show: impl FnOnce(&T) -> String) -> String {
    set.value().map(show).unwrap_or_default()
}

fn tags(tags: &[String]) -> String {
    tags.join(", ")
}
