//! Parses and checks the extensions of a request.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::library::metadata::{Fields, MetadataChange};

/// Maximum number of values in the vocabulary of a select task.
const VOCABULARY_MAX: usize = 30;
const VOCABULARY_LENGTH_MAX: usize = 500;
const INSTRUCTION_LENGTH_MAX: usize = 2000;
const TASKS_MAX: usize = 10;

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
    /// The tag to add.
    SelectTags(Option<String>),
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

/// The account's custom metadata fields and saved extensions, by which requests are checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    fields: Fields,
    saved: HashMap<String, Extension>,
}

/// Why an extension is invalid, as a sentence of the error message.
type Reason = String;

impl Catalogue {
    /// # Errors
    /// A saved extension is invalid.
    pub(crate) fn new(fields: Fields, saved: &[Value]) -> Result<Self, Reason> {
        let mut catalogue = Self { fields, saved: HashMap::new() };
        for entry in saved {
            let invalid = |reason: String| format!("not a saved extension: {entry}: {reason}");
            let id = entry["id"].as_str().ok_or_else(|| invalid("it has no id".to_owned()))?;
            let extension = catalogue.extension(&entry["config"]).map_err(invalid)?;
            catalogue.saved.insert(id.to_owned(), extension);
        }
        Ok(catalogue)
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Checks the `extensions` of a request.
    ///
    /// # Errors
    /// The reason why the first invalid one is invalid.
    pub(crate) fn check(&self, config: &Value) -> Result<Vec<Extension>, Reason> {
        let list = config.as_array().ok_or("It should be an array of extensions.")?;
        list.iter().map(|entry| self.extension(entry)).collect()
    }

    fn extension(&self, config: &Value) -> Result<Extension, Reason> {
        let name = config["name"].as_str().ok_or("Every extension needs a name.")?;
        match name {
            "remove-bg" => check_remove_bg(config),
            "google-auto-tagging" => tagging("google-auto-tagging", config),
            "aws-auto-tagging" => tagging("aws-auto-tagging", config),
            "ai-auto-description" => Ok(Extension::AutoDescription),
            "ai-tasks" => self.tasks(config),
            "saved-extension" => {
                let id = config["id"].as_str().ok_or("saved-extension needs an id.")?;
                let saved = self.saved.get(id).cloned();
                saved.ok_or_else(|| format!("The saved extension {id} does not exist."))
            }
            _ => Err(format!("{name} is not an extension.")),
        }
    }

    fn tasks(&self, config: &Value) -> Result<Extension, Reason> {
        let tasks = config["tasks"].as_array().ok_or("ai-tasks needs an array of tasks.")?;
        if tasks.is_empty() || tasks.len() > TASKS_MAX {
            return Err(format!("ai-tasks takes 1 to {TASKS_MAX} tasks."));
        }
        let tasks: Result<_, _> = tasks.iter().map(|task| self.task(task)).collect();
        Ok(Extension::Tasks(tasks?))
    }

    fn task(&self, config: &Value) -> Result<Task, Reason> {
        let instruction = config["instruction"].as_str().unwrap_or("");
        if !(1..=INSTRUCTION_LENGTH_MAX).contains(&instruction.chars().count()) {
            return Err(format!(
                "A task needs an instruction of 1 to {INSTRUCTION_LENGTH_MAX} characters."
            ));
        }
        check_selections(config)?;
        match config["type"].as_str() {
            Some("select_tags") => select_tags(config),
            Some("select_metadata") => self.select_metadata(config),
            Some("yes_no") => self.yes_no(config),
            _ => Err("A task is select_tags, select_metadata or yes_no.".to_owned()),
        }
    }

    fn select_metadata(&self, config: &Value) -> Result<Task, Reason> {
        let field = config["field"].as_str().ok_or("select_metadata needs a field.")?;
        if !self.fields.contains(field) {
            return Err(format!("The custom metadata field {field} does not exist."));
        }
        let given = vocabulary(config)?;
        let word = given.map_or_else(|| self.fields.options(field), Vec::as_slice).first();
        let value = word.map(|word| self.fields.wrap_value(field, word.clone()));
        if let Some(value) = &value {
            self.metadata(Map::from_iter([(field.to_owned(), value.clone())]))?;
        }
        Ok(Task::SelectMetadata { field: field.to_owned(), value })
    }

    fn yes_no(&self, config: &Value) -> Result<Task, Reason> {
        for other in ["on_no", "on_unknown"] {
            self.action(&config[other])?;
        }
        self.action(&config["on_yes"]).map(Task::YesNo)
    }

    fn action(&self, config: &Value) -> Result<Action, Reason> {
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
            metadata: self.metadata(change)?,
        })
    }

    fn metadata(&self, change: Map<String, Value>) -> Result<MetadataChange, Reason> {
        let describe = |reasons: Map<String, Value>| {
            format!("Invalid custom metadata: {}.", Value::Object(reasons))
        };
        self.fields.check(change).map_err(describe)
    }
}

fn check_remove_bg(config: &Value) -> Result<Extension, Reason> {
    let Some(options) = config.get("options") else {
        return Ok(Extension::RemoveBg);
    };
    let options = options.as_object().ok_or("The options of remove-bg should be an object.")?;
    let has_valid_types = options.iter().all(|(key, value)| match key.as_str() {
        "add_shadow" | "semitransparency" => value.is_boolean(),
        "bg_color" | "bg_image_url" => value.is_string(),
        // The API's own example has an undocumented option.
        _ => true,
    });
    let has_both = options.contains_key("bg_color") && options.contains_key("bg_image_url");
    match (has_valid_types, has_both) {
        (false, _) => Err("An option of remove-bg is of the wrong type.".to_owned()),
        (true, true) => Err("bg_color and bg_image_url exclude each other.".to_owned()),
        (true, false) => Ok(Extension::RemoveBg),
    }
}

fn tagging(name: &'static str, config: &Value) -> Result<Extension, Reason> {
    let integer = |key: &str, max: u64| {
        let value = config[key].as_u64().filter(|value| *value <= max);
        let value = value.and_then(|value| u8::try_from(value).ok());
        value.ok_or_else(|| format!("{name} needs {key}, an integer from 0 to {max}."))
    };
    Ok(Extension::Tagging {
        name,
        min_confidence: integer("minConfidence", 100)?,
        tags_max: integer("maxTags", 30)?,
    })
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

fn vocabulary(config: &Value) -> Result<Option<&Vec<Value>>, Reason> {
    let Some(vocabulary) = config.get("vocabulary") else {
        return Ok(None);
    };
    let words = vocabulary.as_array().filter(|words| (1..=VOCABULARY_MAX).contains(&words.len()));
    let words = words
        .ok_or_else(|| format!("A vocabulary is an array of 1 to {VOCABULARY_MAX} values."))?;
    Ok(Some(words))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults;

    fn check(extension: &Value) -> Result<Extension, Reason> {
        let fields = Fields::new(&defaults::fields()).unwrap();
        let catalogue = Catalogue::new(fields, &defaults::saved()).unwrap();
        catalogue.check(&json!([extension])).map(|mut list| list.remove(0))
    }

    fn task(task: &Value) -> Result<Extension, Reason> {
        check(&json!({"name": "ai-tasks", "tasks": [task]}))
    }

    #[test]
    fn extensions_of_the_api_example_are_accepted() {
        let good = [
            json!({"name": "remove-bg", "options": {"add_shadow": true, "bg_colour": "green"}}),
            json!({"name": "google-auto-tagging", "maxTags": 5, "minConfidence": 95}),
            json!({"name": "aws-auto-tagging", "maxTags": 0, "minConfidence": 0}),
            json!({"name": "ai-auto-description"}),
            json!({"name": "saved-extension", "id": "ext_tagging"}),
        ];
        for extension in good {
            assert!(check(&extension).is_ok(), "{extension}");
        }
    }

    #[test]
    fn invalid_extensions_are_rejected() {
        let bad = [
            json!("remove-bg"),
            json!({"name": "remove-background"}),
            json!({"name": "remove-bg", "options": {"add_shadow": "yes"}}),
            json!({"name": "remove-bg", "options": {"bg_color": "red", "bg_image_url": "https://x"}}),
            json!({"name": "google-auto-tagging"}),
            json!({"name": "google-auto-tagging", "maxTags": 5}),
            json!({"name": "google-auto-tagging", "maxTags": 31, "minConfidence": 95}),
            json!({"name": "aws-auto-tagging", "maxTags": 5, "minConfidence": 101}),
            json!({"name": "aws-auto-tagging", "maxTags": 5, "minConfidence": 9.5}),
            json!({"name": "ai-tasks"}),
            json!({"name": "ai-tasks", "tasks": []}),
            json!({"name": "saved-extension"}),
            json!({"name": "saved-extension", "id": "ext_unknown"}),
        ];
        for extension in bad {
            assert!(check(&extension).is_err(), "{extension}");
        }
    }

    #[test]
    fn saved_extension_is_resolved() {
        let name = |id| check(&json!({"name": "saved-extension", "id": id})).unwrap().name();
        assert_eq!(name("ext_tagging"), "google-auto-tagging");
        assert_eq!(name("ext_colour"), "ai-tasks");
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
