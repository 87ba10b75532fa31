//! Encodes file values as cells, such that parsing a cell yields the same value.

use serde_json::Value;

use super::builder::Builder;
use super::cell::Cell;
use super::change::{Coordinates, TagChange};
use super::no_value::escaped;
use super::{Content, Field, Rules, Update, unforced};

/// An encoded value: `T` is the text of a cell, or a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Encoded<T> {
    /// The file has no value; an absent cell keeps it that way.
    Nothing,
    /// A cell that sets the field to the value.
    As(T),
    /// No cell can set the value, for example a tag that ImageKit itself would reject, or an option
    /// spelled like another option.
    NotRepresentable,
}

/// Encodes `value` as a cell of a sheet that sets `field` to it.
#[must_use]
pub(crate) fn encode_as_text(field: &Field, value: &Value, rules: &Rules) -> Encoded<String> {
    if is_empty(value) {
        return Encoded::Nothing;
    }
    let round_trips = |text: &String| {
        let text = unforced(text, field.names_file());
        round_trips(field, value, Cell::Text(&text), rules)
    };
    spellings(value, rules)
        .into_iter()
        .find(round_trips)
        .map_or(Encoded::NotRepresentable, Encoded::As)
}

/// Encodes `value` as the JSON that sets `field` to it: the value itself if it round-trips, or else
/// with escaped strings.
#[must_use]
pub(crate) fn encode_as_json(field: &Field, value: Value, rules: &Rules) -> Encoded<Value> {
    if is_empty(&value) {
        return Encoded::Nothing;
    }
    if round_trips(field, &value, Cell::Json(&value), rules) {
        return Encoded::As(value);
    }
    let escaped = escaped_strings(&value);
    if round_trips(field, &value, Cell::Json(&escaped), rules) {
        Encoded::As(escaped)
    } else {
        Encoded::NotRepresentable
    }
}

/// Whether a row with this cell sets the field to exactly this value.
fn round_trips(field: &Field, value: &Value, cell: Cell<'_>, rules: &Rules) -> bool {
    let mut row = Builder::new(rules);
    if *field != Field::FileId {
        row.set("fileId", &Field::FileId, Cell::Text("any"));
    }
    row.set("value", field, cell);
    matches!(row.finish(), Content::Update(update) if sets(field, &update, value))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(array) => array.is_empty(),
        _ => false,
    }
}

/// Candidate spellings of a value, simplest first.
fn spellings(value: &Value, rules: &Rules) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone(), format!("\\{text}"), value.to_string()],
        Value::Array(array) => {
            let words: Option<Vec<&str>> = array.iter().map(Value::as_str).collect();
            let joined = words.map(|words| {
                let escaped: Vec<_> = words.iter().map(|word| escaped(word)).collect();
                let separator = rules.list_separator.unwrap_or(',').to_string();
                [words.join(&separator), escaped.join(&separator)]
            });
            let arrays = [value.to_string(), escaped_strings(value).to_string()];
            joined.into_iter().flatten().chain(arrays).collect()
        }
        // With a locale of decimal commas, a point can separate thousands.
        _ => vec![value.to_string(), value.to_string().replace('.', ",")],
    }
}

/// The value with a backslash in strings that would count as no value.
pub(crate) fn escaped_strings(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(escaped(text)),
        Value::Array(array) => array.iter().map(escaped_strings).collect(),
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), escaped_strings(value))).collect()
        }
        other => other.clone(),
    }
}

/// Whether the update sets the field to this value.
fn sets(field: &Field, row: &Update, value: &Value) -> bool {
    let change = &row.change;
    match field {
        Field::FileId => value.as_str() == Some(row.file.as_str()),
        Field::Tags => {
            let expected =
                value.as_array().map_or(&[][..], Vec::as_slice).iter().map(Value::as_str);
            matches!(&change.tags, Some(TagChange::Replace(tags))
                if tags.as_slice().iter().map(|tag| Some(tag.as_str())).eq(expected))
        }
        Field::CustomCoordinates => {
            let area = value.as_str().and_then(Coordinates::parse).map(|area| area.to_string());
            area.is_some_and(|area| change.details.sets_only(&area.into()))
        }
        Field::Description => value.is_string() && change.details.sets_only(value),
        Field::CustomMetadata(_) => change.details.sets_only(value),
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

    fn cell(field: &Field, value: &Value) -> Encoded<String> {
        encode_as_text(field, value, &Rules::default())
    }

    fn json(field: &Field, value: &Value) -> Encoded<Value> {
        encode_as_json(field, value.clone(), &Rules::default())
    }

    fn as_text(text: &str) -> Encoded<String> {
        Encoded::As(text.to_owned())
    }

    fn metadata(schema: &Value) -> Field {
        let fields = json!([{"name": "field", "label": "Field", "schema": schema}]).to_string();
        let schema = Schema::from_json(fields.as_bytes()).expect("a schema");
        Field::CustomMetadata(schema.resolve("field").expect("the field is there"))
    }

    #[test]
    fn text_that_looks_forced_is_escaped() {
        for text in ["'=1+1", "'00123", "=\"x\"", "=T(\"x\")"] {
            let cell = cell(&Field::Description, &json!(text));
            assert_eq!(cell, as_text(&format!("\\{text}")));
        }
        assert_eq!(cell(&Field::Description, &json!("'90s")), as_text("'90s"));
        assert_eq!(cell(&Field::Tags, &json!(["'-5", "x"])), as_text(r#"["'-5","x"]"#));
    }

    #[test]
    fn plain_values_are_written_verbatim() {
        let number = metadata(&json!({"type": "Number"}));
        for (field, value, text) in [
            (&Field::Tags, json!(["red", "on sale"]), "red,on sale"),
            (&Field::Description, json!("A shoe, red"), "A shoe, red"),
            (&Field::CustomCoordinates, json!("1,2,3,4"), "1,2,3,4"),
            (&Field::IsPublished, json!(true), "true"),
            (&number, json!(12.5), "12.5"),
            (&Field::FileId, json!("598821f9"), "598821f9"),
        ] {
            assert_eq!(cell(field, &value), as_text(text), "{field:?}");
            assert_eq!(json(field, &value), Encoded::As(value), "{field:?}");
        }
    }

    #[test]
    fn empty_values_are_omitted_not_written_as_null() {
        let text = metadata(&json!({"type": "Text", "minLength": 3}));
        for (field, value) in [
            (&Field::Description, Value::Null),
            (&Field::Description, json!("")),
            (&Field::CustomCoordinates, json!("")),
            (&Field::Tags, json!([])),
            (&text, json!("")),
        ] {
            assert_eq!(cell(field, &value), Encoded::Nothing, "{field:?}");
            assert_eq!(json(field, &value), Encoded::Nothing, "{field:?}");
        }
    }

    #[test]
    fn special_values_are_escaped() {
        for (value, text) in [
            (json!("<clear>"), r"\<clear>"),
            (json!(" <clear>"), r"\ <clear>"),
            (json!(r"\<clear>"), r"\\<clear>"),
            (json!("<CLEAR>"), r"\<CLEAR>"),
            (json!("< clear >"), r"\< clear >"),
            (json!(r"\<Clear>"), r"\\<Clear>"),
            (json!(r"\o/"), r"\o/"),
        ] {
            assert_eq!(cell(&Field::Description, &value), as_text(text));
            assert_eq!(json(&Field::Description, &value), Encoded::As(value));
        }
        for (value, text) in
            [("#N/A", r"\#N/A"), ("NULL", r"\NULL"), (r"\NULL", r"\\NULL"), (r"\N", r"\\N")]
        {
            assert_eq!(cell(&Field::Description, &json!(value)), as_text(text));
            assert_eq!(json(&Field::Description, &json!(value)), Encoded::As(json!(text)));
            assert_eq!(cell(&Field::Tags, &json!([value])), as_text(text));
            assert_eq!(json(&Field::Tags, &json!([value])), Encoded::As(json!([text])));
        }
        for (value, text) in [
            (json!(["a, b", "c"]), r#"["a, b","c"]"#),
            (json!(["<clear>"]), r#"["<clear>"]"#),
            (json!(["[x]"]), r#"["[x]"]"#),
            (json!([" x"]), r#"[" x"]"#),
        ] {
            assert_eq!(cell(&Field::Tags, &value), as_text(text));
            assert_eq!(json(&Field::Tags, &value), Encoded::As(value));
        }
        let select = metadata(&json!({"type": "SingleSelect", "selectOptions": ["30", 30, "a"]}));
        assert_eq!(cell(&select, &json!("30")), as_text(r#""30""#));
        let several = metadata(&json!({"type": "MultiSelect", "selectOptions": ["30", 30, true]}));
        assert_eq!(cell(&several, &json!([30, true])), as_text("[30,true]"));
    }

    #[test]
    fn unrepresentable_values_are_not_written() {
        let select = metadata(&json!({"type": "SingleSelect", "selectOptions": [30, true]}));
        let text = metadata(&json!({"type": "Text", "maxLength": 3}));
        let date = metadata(&json!({"type": "Date"}));
        for (field, value) in [
            (&Field::Tags, json!(["100%"])),
            (&Field::Tags, json!(["twice", "twice"])),
            (&Field::FileId, json!(" padded ")),
            (&Field::Description, json!("NUL \0")),
            (&select, json!("30")),
            (&select, json!("true")),
            (&text, json!(123)),
            (&text, json!("long")),
            (&date, json!(" 2026-11-24")),
        ] {
            assert_eq!(cell(field, &value), Encoded::NotRepresentable, "{field:?}");
            assert_eq!(json(field, &value), Encoded::NotRepresentable, "{field:?}");
        }
    }

    #[test]
    fn json_only_values_are_not_written_as_cells() {
        let select = metadata(&json!({"type": "SingleSelect", "selectOptions": ["30", 30]}));
        for (field, value) in [(&Field::Description, json!(" \n")), (&select, json!(30))] {
            assert_eq!(cell(field, &value), Encoded::NotRepresentable, "{field:?}");
            assert_eq!(json(field, &value), Encoded::As(value), "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_except_blank_round_trips(text in "(\\\\|<clear>|<CLEAR>|< Clear >|#N/A|NULL|N|nan|\\[|\\{|\\}|'|\"|,| |\n|\u{fffd}|a|ä){0,6}") {
            let unchecked = Field::CustomMetadata(MetadataField::unchecked("field"));
            for field in [Field::Description, unchecked] {
                let value = Value::String(text.clone());
                let is_blank = !text.is_empty() && text.trim().is_empty();
                prop_assert_eq!(cell(&field, &value) == Encoded::NotRepresentable, is_blank);
                prop_assert_ne!(json(&field, &value), Encoded::NotRepresentable);
            }
        }

        #[test]
        fn every_tag_list_round_trips(
            tags in proptest::collection::btree_set("(\\\\|<clear>|<CLEAR>|#N/A|NULL|\\[|\\]|\\{|\"|,| |a|ä){0,3}(NULL|nan|N|\\}|[a-z>])", 1..4),
        ) {
            prop_assert_ne!(cell(&Field::Tags, &json!(tags)), Encoded::NotRepresentable);
            prop_assert_ne!(json(&Field::Tags, &json!(tags)), Encoded::NotRepresentable);
        }
    }
}
