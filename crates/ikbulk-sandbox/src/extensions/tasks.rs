//! Parses and checks the configuration of `ai-tasks`.

use serde_json::{Map, Value};

use crate::extensions::extension::{Action, Extension, Reason, Task};
use crate::library::metadata::{Fields, MetadataChange};

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

fn select_tags(config: &Value) -> Result<Task, Reason> {
    vocabulary(config)?;
    let words = words(&config["vocabulary"])?;
    let length: usize = words.iter().map(|word| word.chars().count()).sum();
    if length > VOCABULARY_LENGTH_MAX || words.iter().any(|word| word.contains('%')) {
        return Err(format!(
            "A vocabulary has at most {VOCABULARY_LENGTH_MAX} characters, and no %."
        ));
    }
    Ok(Task::SelectTags(words.into_iter().next()))
}

fn select_metadata(config: &Value, fields: &Fields) -> Result<Task, Reason> {
    let field = config["field"].as_str().ok_or("select_metadata needs a field.")?;
    if !fields.contains(field) {
        return Err(format!("The custom metadata field {field} does not exist."));
    }
    let given = vocabulary(config)?;
    let word = given.map_or_else(|| fields.options(field), Vec::as_slice).first();
    let value = word.map(|word| fields.wrap_value(field, word.clone()));
    if let Some(value) = &value {
        metadata(Map::from_iter([(field.to_owned(), value.clone())]), fields)?;
    }
    Ok(Task::SelectMetadata { field: field.to_owned(), value })
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
    for other in ["on_no", "on_unknown"] {
        action(&config[other], fields)?;
    }
    action(&config["on_yes"], fields).map(Task::YesNo)
}

fn action(config: &Value, fields: &Fields) -> Result<Action, Reason> {
    let mut change = Map::new();
    for entry in entries(&config["set_metadata"]) {
        let field = entry["field"].as_str().ok_or("set_metadata needs a field.")?;
        let value = entry.get("value").filter(|value| !value.is_null());
        let value = value.ok_or("set_metadata needs a value.")?;
        change.insert(field.to_owned(), value.clone());
    }
    for entry in entries(&config["unset_metadata"]) {
        let field = entry["field"].as_str().ok_or("unset_metadata needs a field.")?;
        change.insert(field.to_owned(), Value::Null);
    }
    Ok(Action {
        add_tags: words(&config["add_tags"])?,
        remove_tags: words(&config["remove_tags"])?,
        metadata: metadata(change, fields)?,
    })
}

fn entries(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// An optional list of strings.
fn words(list: &Value) -> Result<Vec<String>, Reason> {
    match list {
        Value::Null => Ok(Vec::new()),
        list => serde_json::from_value(list.clone())
            .map_err(|_| "Tags should be an array of strings.".to_owned()),
    }
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
            json!({"type": "yes_no", "instruction": "?", "on_no": {"add_tags": "x"}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": {"set_metadata": [{"field": "price", "value": "x"}]}}),
            json!({"type": "guess", "instruction": "?"}),
        ];
        for bad in bad {
            assert!(task(&bad).is_err(), "{bad}");
        }
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
