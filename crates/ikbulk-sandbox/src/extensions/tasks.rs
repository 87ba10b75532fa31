//! Parses and checks the configuration of `ai-tasks`.

use std::slice;

use serde_json::{Map, Value};

use crate::extensions::extension::{Action, Extension, Reason, Task};
use crate::library::fields::Fields;
use crate::library::metadata::MetadataChange;

/// Maximum number of values in the vocabulary of a select task.
const VOCABULARY_MAX: usize = 30;
const VOCABULARY_LENGTH_MAX: usize = 500;
const INSTRUCTION_LENGTH_MAX: usize = 2000;
const TASKS_MAX: usize = 10;

/// Parses `ai-tasks`.
///
/// # Errors
/// The reason why the first invalid task is invalid.
pub(crate) fn parse(config: &Value, fields: &Fields) -> Result<Extension, Reason> {
    let tasks = config["tasks"].as_array().ok_or("ai-tasks needs an array of tasks.")?;
    if tasks.is_empty() || tasks.len() > TASKS_MAX {
        return Err(format!("ai-tasks takes 1 to {TASKS_MAX} tasks."));
    }
    let tasks: Result<_, _> = tasks.iter().map(|config| task(config, fields)).collect();
    Ok(Extension::Tasks(tasks?))
}

fn task(config: &Value, fields: &Fields) -> Result<Task, Reason> {
    let instruction = config["instruction"].as_str().unwrap_or("");
    if !(1..=INSTRUCTION_LENGTH_MAX).contains(&instruction.chars().count()) {
        return Err(format!(
            "A task needs an instruction of 1 to {INSTRUCTION_LENGTH_MAX} characters."
        ));
    }
    check_selections(config)?;
    match config["type"].as_str() {
        Some("select_tags") => select_tags(config),
        Some("select_metadata") => select_metadata(config, fields),
        Some("yes_no") => yes_no(config, fields),
        _ => Err("A task is select_tags, select_metadata or yes_no.".to_owned()),
    }
}

fn check_selections(config: &Value) -> Result<(), Reason> {
    for (key, min) in [("min_selections", 0), ("max_selections", 1)] {
        let is_valid =
            config.get(key).is_none_or(|value| value.as_u64().is_some_and(|value| value >= min));
        if !is_valid {
            return Err(format!("{key} should be an integer of at least {min}."));
        }
    }
    Ok(())
}

/// Only the words of tags are limited in length.
fn select_tags(config: &Value) -> Result<Task, Reason> {
    vocabulary(config)?;
    let words = words(config, "vocabulary")?;
    let length: usize = words.iter().map(|word| word.chars().count()).sum();
    if length > VOCABULARY_LENGTH_MAX || words.iter().any(|word| word.contains('%')) {
        return Err(format!(
            "A vocabulary has at most {VOCABULARY_LENGTH_MAX} characters, and no %."
        ));
    }
    Ok(Task::SelectTags(words.into_iter().take(selections(config)).collect()))
}

/// Number of words that a task selects: the first ones, at least one.
fn selections(config: &Value) -> usize {
    let min = config["min_selections"].as_u64().unwrap_or(0);
    usize::try_from(min).unwrap_or(usize::MAX).max(1)
}

fn select_metadata(config: &Value, fields: &Fields) -> Result<Task, Reason> {
    let field = config["field"].as_str().ok_or("select_metadata needs a field.")?;
    if !fields.contains(field) {
        return Err(format!("The custom metadata field {field} does not exist."));
    }
    let given = vocabulary(config)?;
    let words = given.map_or_else(|| fields.options(field), Vec::as_slice);
    for word in words {
        let value = fields.value_of(field, slice::from_ref(word));
        metadata(value.map(|value| (field.to_owned(), value)).into_iter().collect(), fields)?;
    }
    let selected = &words[..selections(config).min(words.len())];
    Ok(Task::SelectMetadata { field: field.to_owned(), value: fields.value_of(field, selected) })
}

fn vocabulary(config: &Value) -> Result<Option<&Vec<Value>>, Reason> {
    let Some(vocabulary) = config.get("vocabulary") else {
        return Ok(None);
    };
    let words = vocabulary.as_array().filter(|words| (1..=VOCABULARY_MAX).contains(&words.len()));
    let words = words
        .ok_or_else(|| format!("A vocabulary is an array of 1 to {VOCABULARY_MAX} values."))?;
    Ok(Some(words))
}

fn yes_no(config: &Value, fields: &Fields) -> Result<Task, Reason> {
    if config.get("on_yes").is_none() && config.get("on_no").is_none() {
        return Err("yes_no needs on_yes or on_no.".to_owned());
    }
    for other in ["on_no", "on_unknown"] {
        action(config, other, fields)?;
    }
    action(config, "on_yes", fields).map(Task::YesNo)
}

/// The action of a task on one of its results; without effect if there is none.
fn action(task: &Value, result: &str, fields: &Fields) -> Result<Action, Reason> {
    let Some(config) = task.get(result) else {
        return Ok(Action::default());
    };
    if !config.is_object() {
        return Err(format!("{result} should be an object."));
    }
    let mut change = Map::new();
    for entry in entries(config, "set_metadata")? {
        let field = entry["field"].as_str().ok_or("set_metadata needs a field.")?;
        let value = entry.get("value").filter(|value| !value.is_null());
        let value = value.ok_or("set_metadata needs a value.")?;
        change.insert(field.to_owned(), value.clone());
    }
    for entry in entries(config, "unset_metadata")? {
        let field = entry["field"].as_str().ok_or("unset_metadata needs a field.")?;
        change.insert(field.to_owned(), Value::Null);
    }
    Ok(Action {
        add_tags: words(config, "add_tags")?,
        remove_tags: words(config, "remove_tags")?,
        metadata: metadata(change, fields)?,
    })
}

/// An optional list of objects.
fn entries<'a>(config: &'a Value, key: &str) -> Result<&'a [Value], Reason> {
    let Some(list) = config.get(key) else {
        return Ok(&[]);
    };
    let list = list.as_array().ok_or_else(|| format!("{key} should be an array."))?;
    Ok(list)
}

/// An optional list of strings.
fn words(config: &Value, key: &str) -> Result<Vec<String>, Reason> {
    let Some(list) = config.get(key) else {
        return Ok(Vec::new());
    };
    serde_json::from_value(list.clone())
        .map_err(|_| format!("{key} should be an array of strings."))
}

fn metadata(change: Map<String, Value>, fields: &Fields) -> Result<MetadataChange, Reason> {
    let describe = |reasons: Map<String, Value>| {
        format!("Invalid custom metadata: {}.", Value::Object(reasons))
    };
    fields.check(change).map_err(describe)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults;

    fn task(task: &Value) -> Result<Extension, Reason> {
        let fields = Fields::new(&defaults::fields()).unwrap();
        parse(&json!({"name": "ai-tasks", "tasks": [task]}), &fields)
    }

    #[test]
    fn invalid_tasks_are_rejected() {
        let long = "x".repeat(2001);
        let many: Vec<u8> = (0..31).collect();
        let bad = [
            json!({"type": "select_tags", "instruction": ""}),
            json!({"type": "select_tags", "instruction": long}),
            json!({"type": "select_tags", "instruction": "?", "vocabulary": []}),
            json!({"type": "select_tags", "instruction": "?", "vocabulary": [1]}),
            json!({"type": "select_tags", "instruction": "?", "vocabulary": ["50%"]}),
            json!({"type": "select_tags", "instruction": "?", "vocabulary": ["x".repeat(501)]}),
            json!({"type": "select_tags", "instruction": "?", "max_selections": 0}),
            json!({"type": "select_metadata", "instruction": "?"}),
            json!({"type": "select_metadata", "instruction": "?", "field": "unheard"}),
            json!({"type": "select_metadata", "instruction": "?", "field": "price", "vocabulary": many}),
            json!({"type": "select_metadata", "instruction": "?", "field": "price", "vocabulary": ["5"]}),
            json!({"type": "select_metadata", "instruction": "?", "field": "color",
                "vocabulary": ["red", "mauve"]}),
            json!({"type": "select_metadata", "instruction": "?", "field": "channels",
                "vocabulary": [["web"]]}),
            json!({"type": "select_tags", "instruction": "?", "min_selections": -1}),
            json!({"type": "select_tags", "instruction": "?", "min_selections": null}),
            json!({"type": "select_tags", "instruction": "?", "max_selections": 1.5}),
            json!({"type": "yes_no", "instruction": "?"}),
            json!({"type": "yes_no", "instruction": "?", "on_unknown": {"add_tags": ["x"]}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": null}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": ["x"]}),
            json!({"type": "yes_no", "instruction": "?", "on_no": {"add_tags": "x"}}),
            json!({"type": "yes_no", "instruction": "?", "on_no": {"remove_tags": null}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": {},
                "on_unknown": {"set_metadata": {"field": "price", "value": 5}}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": {"set_metadata": [{"field": "price"}]}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": {"set_metadata": [{"value": 5}]}}),
            json!({"type": "yes_no", "instruction": "?", "on_no": {"unset_metadata": ["price"]}}),
            json!({"type": "yes_no", "instruction": "?", "on_no": {"unset_metadata": [{"field": "unheard"}]}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": {"set_metadata": [{"field": "price", "value": "x"}]}}),
            json!({"type": "guess", "instruction": "?"}),
        ];
        for bad in bad {
            assert!(task(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_inclusive_and_only_tags_have_a_combined_length() {
        let words = |length: usize| vec![json!("ä".repeat(length)); 30];
        let caption = |vocabulary: Vec<Value>| {
            json!({"type": "select_metadata", "instruction": "?", "field": "caption",
                "vocabulary": vocabulary, "min_selections": 0, "max_selections": 1})
        };
        let tags = |vocabulary: Vec<Value>| json!({"type": "select_tags", "instruction": "x".repeat(2000), "vocabulary": vocabulary});
        assert!(task(&tags(words(16))).is_ok());
        assert!(task(&tags(words(17))).is_err());
        assert!(task(&caption(words(1000))).is_ok());
        assert!(task(&caption(words(1001))).is_err());
        assert!(task(&caption(vec![json!("100%")])).is_ok());
        let no = json!({"type": "yes_no", "instruction": "?", "on_no": {}});
        assert_eq!(task(&no), Ok(Extension::Tasks(vec![Task::YesNo(Action::default())])));
    }

    #[test]
    fn first_words_are_selected_as_often_as_required() {
        let select = |task_type: &str, field: &str, min: u64| {
            let config = json!({"type": task_type, "instruction": "?", "field": field,
                "vocabulary": ["web", "print", "social"], "min_selections": min});
            let Ok(Extension::Tasks(tasks)) = task(&config) else { panic!("refused") };
            tasks
        };
        let tags = |words: &[&str]| {
            vec![Task::SelectTags(words.iter().map(|&word| word.to_owned()).collect())]
        };
        assert_eq!(select("select_tags", "", 0), tags(&["web"]));
        assert_eq!(select("select_tags", "", 2), tags(&["web", "print"]));
        assert_eq!(select("select_tags", "", 9), tags(&["web", "print", "social"]));
        let value = |field: &str, value: Value| {
            vec![Task::SelectMetadata { field: field.to_owned(), value: Some(value) }]
        };
        let channels = value("channels", json!(["web", "print"]));
        assert_eq!(select("select_metadata", "channels", 2), channels);
        assert_eq!(select("select_metadata", "brand", 2), value("brand", json!("web")));
    }

    #[test]
    fn select_task_without_vocabulary_uses_field_options() {
        let config = json!({"type": "select_metadata", "instruction": "?", "field": "channels"});
        let Ok(Extension::Tasks(tasks)) = task(&config) else { panic!("refused") };
        let chosen =
            Task::SelectMetadata { field: "channels".to_owned(), value: Some(json!(["web"])) };
        assert_eq!(tasks, [chosen]);
    }
}
