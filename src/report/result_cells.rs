//! The cells of `report.csv` with what extensions wrote.

use std::borrow::Cow;

use serde_json::Value;

use crate::extension_results::{ExtensionResults, FoundTag};
use crate::row::{Encoded, Field, Rules, encode_as_text};

/// The cells of [`report::RESULTS`](crate::input::report::RESULTS): the names of the AI tags, as a
/// cell `tags` or `addTags`; the AI tags with their confidences, for people; the description; the id
/// of the new version. Empty where no extension of the row wrote any.
pub(super) fn result_cells<'r>(
    results: Option<&'r ExtensionResults>,
    rules: &Rules,
) -> [Cow<'r, str>; 4] {
    let Some(ExtensionResults { ai_tags, description, version }) = results else {
        return Default::default();
    };
    let with_confidence: Vec<String> = ai_tags.iter().map(FoundTag::with_confidence).collect();
    [
        tags_cell(ai_tags, rules).into(),
        with_confidence.join(", ").into(),
        description.as_deref().unwrap_or_default().into(),
        version.as_deref().unwrap_or_default().into(),
    ]
}

/// The names of the AI tags as a cell that adds them as tags. Leaves out what ImageKit would refuse
/// as a tag, such as a name with `%`, and the last ones if all together are too long.
fn tags_cell(ai_tags: &[FoundTag], rules: &Rules) -> String {
    let cell = |names: &[Value]| match encode_as_text(&Field::Tags, &names.into(), rules) {
        Encoded::As(cell) => Some(cell),
        Encoded::Nothing | Encoded::NotRepresentable => None,
    };
    let mut names: Vec<Value> = Vec::with_capacity(ai_tags.len());
    for tag in ai_tags {
        let name = Value::from(&*tag.name);
        if !names.contains(&name) && cell(std::slice::from_ref(&name)).is_some() {
            names.push(name);
        }
    }
    while !names.is_empty() {
        if let Some(cell) = cell(&names) {
            return cell;
        }
        names.pop();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<FoundTag> {
        let tag = |name: &&str| FoundTag { name: (*name).into(), ..FoundTag::default() };
        names.iter().map(tag).collect()
    }

    #[test]
    fn tags_cell_holds_what_can_be_a_tag() {
        let cell = |names: &[&str]| tags_cell(&found(names), &Rules::default());
        assert_eq!(cell(&["saree", "women's wear"]), "saree,women's wear");
        assert_eq!(cell(&["shirt, red", "shirt, red", "dress"]), r#"["shirt, red","dress"]"#);
        assert_eq!(cell(&["100% cotton", "shirt"]), "shirt");
        let long = ["x".repeat(300), "y".repeat(300)];
        assert_eq!(cell(&[&long[0], &long[1]]), long[0]);
        assert_eq!(cell(&[]), "");
    }
}
