//! Values of files written as cells, so that reading a cell gives its value back.

use serde_json::Value;

use super::builder::{Builder, Rules};
use super::cell::Cell;
use super::change::{Coordinates, Set, TagChange};
use super::{Change, Content, Field};

/// The cell that sets `field` to `value`; an empty one, which leaves it alone, where there is no
/// value. `None` where no cell of a sheet can say it: a tag that ImageKit itself would refuse, an
/// option that is spelt like another one.
#[must_use]
pub fn written(field: &Field, value: &Value, rules: &Rules) -> Option<String> {
    if is_nothing(value) {
        return Some(String::new());
    }
    let reads_back = |text: &String| {
        let mut row = Builder::new(rules);
        row.set("fileId", &Field::FileId, Cell::Text("any"));
        row.set("value", field, Cell::Text(text));
        matches!(row.finish(), Content::Update(update) if sets(field, &update.change, value))
    };
    spellings(value).into_iter().find(reads_back)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(array) => array.is_empty(),
        _ => false,
    }
}

/// The ways to write a value, the plainest first.
fn spellings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone(), format!("\\{text}"), value.to_string()],
        Value::Array(array) => {
            let words: Option<Vec<&str>> = array.iter().map(Value::as_str).collect();
            words.map(|words| words.join(",")).into_iter().chain([value.to_string()]).collect()
        }
        _ => vec![value.to_string()],
    }
}

/// Whether a change sets the field to this value.
fn sets(field: &Field, change: &Change, value: &Value) -> bool {
    match field {
        Field::Tags => {
            let asked = value.as_array().map_or(&[][..], Vec::as_slice).iter().map(Value::as_str);
            matches!(&change.tags, Some(TagChange::Replace(tags))
                if tags.as_slice().iter().map(|tag| Some(tag.as_str())).eq(asked))
        }
        Field::CustomCoordinates => {
            change.coordinates == value.as_str().and_then(Coordinates::parse).map(Set::To)
        }
        Field::Description => change.description == value.as_str().map(|text| Set::To(text.into())),
        Field::CustomMetadata(_) => {
            matches!(change.metadata.as_slice(), [(_, Set::To(set))] if set == value)
        }
        Field::IsPublished => change.publish.map(|publish| publish.is_published) == value.as_bool(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::row::{MetadataField, Schema};

    fn cell(field: &Field, value: &Value) -> Option<String> {
        written(field, value, &Rules::default())
    }

    fn metadata(schema: &Value) -> Field {
        let fields = json!([{"name": "field", "label": "Field", "schema": schema}]).to_string();
        let schema = Schema::from_json(fields.as_bytes()).expect("a schema");
        Field::CustomMetadata(schema.resolve("field").expect("the field is there"))
    }

    #[test]
    fn a_plain_value_is_written_plainly() {
        let number = metadata(&json!({"type": "Number"}));
        for (field, value, text) in [
            (&Field::Tags, json!(["red", "on sale"]), "red,on sale"),
            (&Field::Description, json!("A shoe, red"), "A shoe, red"),
            (&Field::CustomCoordinates, json!("1,2,3,4"), "1,2,3,4"),
            (&Field::IsPublished, json!(true), "true"),
            (&number, json!(12.5), "12.5"),
            (&Field::Description, Value::Null, ""),
            (&Field::Tags, json!([]), ""),
        ] {
            assert_eq!(cell(field, &value).as_deref(), Some(text), "{field:?}");
        }
    }

    #[test]
    fn what_would_mean_something_else_is_written_so_that_it_does_not() {
        for (value, text) in [
            (json!("<clear>"), r"\<clear>"),
            (json!(" <clear>"), r"\ <clear>"),
            (json!(r"\<clear>"), r"\\<clear>"),
            (json!("<CLEAR>"), r"\<CLEAR>"),
            (json!("< clear >"), r"\< clear >"),
            (json!(r"\<Clear>"), r"\\<Clear>"),
            (json!("#N/A"), r"\#N/A"),
            (json!(r"\o/"), r"\o/"),
        ] {
            assert_eq!(cell(&Field::Description, &value).as_deref(), Some(text));
        }
        for (value, text) in [
            (json!(["a, b", "c"]), r#"["a, b","c"]"#),
            (json!(["<clear>"]), r#"["<clear>"]"#),
            (json!(["[x]"]), r#"["[x]"]"#),
            (json!([" x"]), r#"[" x"]"#),
        ] {
            assert_eq!(cell(&Field::Tags, &value).as_deref(), Some(text));
        }
        let select = metadata(&json!({"type": "SingleSelect", "selectOptions": ["30", 30, "a"]}));
        assert_eq!(cell(&select, &json!("30")).as_deref(), Some(r#""30""#));
        let several = metadata(&json!({"type": "MultiSelect", "selectOptions": ["30", 30, true]}));
        assert_eq!(cell(&several, &json!([30, true])).as_deref(), Some("[30,true]"));
    }

    #[test]
    fn what_no_cell_can_say_is_not_written_as_something_else() {
        assert_eq!(cell(&Field::Tags, &json!(["100%"])), None);
        let select = metadata(&json!({"type": "SingleSelect", "selectOptions": ["30", 30]}));
        assert_eq!(cell(&select, &json!(30)), None);
    }

    proptest! {
        #[test]
        fn every_text_can_be_written(text in "(\\\\|<clear>|<CLEAR>|< Clear >|#N/A|\\[|\"|,| |\n|a|ä){0,6}") {
            prop_assert!(cell(&Field::Description, &Value::String(text.clone())).is_some());
            let unchecked = Field::CustomMetadata(MetadataField::unchecked("field"));
            prop_assert!(cell(&unchecked, &Value::String(text)).is_some());
        }

        #[test]
        fn every_list_of_tags_can_be_written(
            tags in proptest::collection::btree_set("(\\\\|<clear>|<CLEAR>|#N/A|\\[|\\]|\"|,| |a|ä){0,3}[a-z>]", 1..4),
        ) {
            prop_assert!(cell(&Field::Tags, &json!(tags)).is_some());
        }
    }
}
