//! Checks the custom metadata fields that AI tasks write against the account's.

use serde_json::{Map, Value};

use super::config::ANSWERS;
use super::{Extension, ExtensionName, Extensions};
use crate::row::cell::Cell;
use crate::row::metadata::{self, FieldType, MetadataRule, MetadataValue, Schema};
use crate::row::problem::Invalid;
use crate::row::{Field, Rules, Set};

/// A field that a task writes.
struct WrittenField<'t> {
    /// The name as configured.
    name: &'t str,
    /// The values that it may be set to.
    values: Vec<&'t Value>,
    /// Whether they are a vocabulary, of which a list takes several.
    are_words: bool,
    /// How many of the values the task may set at once, as far as it says so.
    selections: Option<u64>,
    is_cleared: bool,
}

impl Extensions {
    /// Checks the fields that tasks write, and the values that they may set. ImageKit has checked
    /// those of saved extensions.
    pub(in crate::row) fn check_fields(
        &self,
        schema: &Schema,
        rules: &Rules,
    ) -> Result<(), Invalid> {
        let written = self.0.iter().filter(|extension| extension.saved.is_none());
        written.flat_map(written_fields).try_for_each(|field| check(&field, schema, rules))
    }
}

impl Extension {
    /// Whether its configuration names fields of the account, which are still to be checked.
    pub(crate) fn names_fields(&self) -> bool {
        self.saved.is_none() && !written_fields(self).is_empty()
    }

    /// Whether it may write this field of a file.
    pub(crate) fn may_write(&self, field: &Field) -> bool {
        let may_be_any = !self.is_resolved();
        match field {
            Field::CustomMetadata(field) => {
                let named = || self.metadata_changes().any(|(name, _)| name == &*field.name);
                may_be_any || named()
            }
            field => field.file_field().is_some_and(|field| self.writes().contains(field)),
        }
    }

    /// The custom metadata fields that its tasks may change, with the new values. Those of a list are
    /// single words.
    pub(in crate::row) fn metadata_changes(
        &self,
    ) -> impl Iterator<Item = (&str, Set<MetadataValue>)> {
        written_fields(self).into_iter().flat_map(
            |WrittenField { name, values, is_cleared, .. }| {
                let values = values.into_iter().map(|value| Set::Value(value.clone()));
                let changes = values.chain(is_cleared.then_some(Set::Clear));
                changes.map(move |set| (name, set)).collect::<Vec<_>>()
            },
        )
    }
}

fn check(field: &WrittenField<'_>, schema: &Schema, rules: &Rules) -> Result<(), Invalid> {
    let WrittenField { name, values, are_words, selections, is_cleared } = field;
    // The API knows no labels here, so a label is refused with the name.
    let Some(known) = schema.named(name) else {
        let close = schema.closest(name).map(|close| format!("did you mean {close:?}? "));
        let (close, known) = (close.unwrap_or_default(), schema.joined_names());
        return Err(Invalid::new(
            format!("sets the custom metadata field {name:?}, which the account does not have"),
            format!("{close}known fields: {known}"),
        ));
    };
    let kind = known.rule.as_deref().map(|rule| rule.kind);
    let is_list = kind == Some(FieldType::MultiSelect);
    let is_single = !is_list && kind.is_some_and(|kind| kind != FieldType::Other);
    if let Some(selections) = selections.filter(|selections| is_single && *selections > 1) {
        return Err(Invalid::new(
            format!("selects up to {selections} values for {name}, which takes only one"),
            "set max_selections to 1, or use a field of the type MultiSelect",
        ));
    }
    for value in values {
        let list = Value::from(vec![(*value).clone()]);
        let is_word = is_list && *are_words;
        let whole = if is_word { &list } else { value };
        let typed =
            metadata::value(&known, Cell::Json(whole), rules).map_err(|invalid| Invalid {
                problem: format!("sets {name} to {value}, which {}", invalid.problem).into(),
                ..invalid
            })?;
        if !is_sent_as(&typed, whole, kind) {
            // The configuration is sent as it is written.
            let typed = typed.get(0).filter(|_| is_word).unwrap_or(&typed);
            return Err(Invalid::new(
                format!("sets {name} to {value}, where the field takes {typed}"),
                format!("write {typed}"),
            ));
        }
    }
    let is_required = |rule: &MetadataRule| rule.is_value_required;
    if *is_cleared && known.rule.as_deref().is_some_and(is_required) {
        return Err(Invalid::new(
            format!("clears {name}, for which the account requires a value"),
            "set another value instead",
        ));
    }
    Ok(())
}

/// Whether a value has the type and spelling of a field, which a cell need not have. Dates are sent with
/// or without a time.
fn is_sent_as(typed: &Value, written: &Value, kind: Option<FieldType>) -> bool {
    if kind == Some(FieldType::Date) {
        let text = written.as_str().unwrap_or_default();
        let day = text.get(..10).map(str::parse::<jiff::civil::Date>);
        return day.is_some_and(|day| day.is_ok());
    }
    typed == written || written.is_number() && typed.as_f64() == written.as_f64()
}

/// The fields that the tasks of an extension write.
fn written_fields(extension: &Extension) -> Vec<WrittenField<'_>> {
    if extension.name != ExtensionName::AiTasks {
        return Vec::new();
    }
    let tasks = items(extension.config.get("tasks")).into_iter().filter_map(Value::as_object);
    tasks.flat_map(fields_of_task).collect()
}

fn fields_of_task(task: &Map<String, Value>) -> Vec<WrittenField<'_>> {
    let mut fields = Vec::new();
    if let Some(name) = task.get("field").and_then(Value::as_str) {
        let values = items(task.get("vocabulary"));
        let number = |key: &str| task.get(key).and_then(Value::as_u64);
        let selections = number("max_selections").max(number("min_selections"));
        fields.push(WrittenField { name, values, are_words: true, selections, is_cleared: false });
    }
    for action in ANSWERS.into_iter().filter_map(|key| task.get(key)) {
        for set in items(action.get("set_metadata")) {
            let values = set.get("value").into_iter().collect();
            let set_field = |name| WrittenField {
                name,
                values,
                are_words: false,
                selections: None,
                is_cleared: false,
            };
            fields.extend(field_name(set).map(set_field));
        }
        for unset in items(action.get("unset_metadata")) {
            let cleared = |name| WrittenField {
                name,
                values: Vec::new(),
                are_words: false,
                selections: None,
                is_cleared: true,
            };
            fields.extend(field_name(unset).map(cleared));
        }
    }
    fields
}

fn field_name(action: &Value) -> Option<&str> {
    action.get("field").and_then(Value::as_str)
}

pub(super) fn items(list: Option<&Value>) -> Vec<&Value> {
    list.and_then(Value::as_array).into_iter().flatten().collect()
}
