//! Extensions as a request asks for them, checked and reduced to what a run of them writes.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::metadata::{Fields, MetadataChange};

/// The most that a select task's vocabulary may hold.
const VOCABULARY_MAX: usize = 30;
const VOCABULARY_LENGTH_MAX: usize = 500;
const INSTRUCTION_LENGTH_MAX: usize = 2000;
const TASKS_MAX: usize = 10;

/// One extension of a request, a saved one already resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Extension {
    RemoveBg,
    Tagging { name: &'static str, min_confidence: u8, tags_max: u8 },
    AutoDescription,
    Tasks(Vec<Task>),
}

/// One task of `ai-tasks`, and what it will write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Task {
    /// The word that it will choose.
    SelectTags(Option<String>),
    SelectMetadata {
        field: String,
        value: Option<Value>,
    },
    /// What happens on yes, the response that is always given.
    YesNo(Action),
}

/// What a `yes_no` task does on one response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Action {
    pub(crate) add_tags: Vec<String>,
    pub(crate) remove_tags: Vec<String>,
    pub(crate) metadata: MetadataChange,
}

impl Extension {
    /// The key in `extensionStatus`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RemoveBg => "remove-bg",
            Self::Tagging { name, .. } => name,
            Self::AutoDescription => "ai-auto-description",
            Self::Tasks(_) => "ai-tasks",
        }
    }
}

/// What is needed to check extensions: the account's fields and saved extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    fields: Fields,
    saved: HashMap<String, Extension>,
}

/// Why extensions are refused, as a sentence for the message.
type Reason = String;

impl Catalogue {
    /// # Errors
    /// Says which saved extension is none.
    pub(crate) fn new(fields: Fields, saved: &[Value]) -> Result<Self, Reason> {
        let mut catalogue = Self { fields, saved: HashMap::new() };
        for entry in saved {
            let refused = |reason: String| format!("not a saved extension: {entry}: {reason}");
            let id = entry["id"].as_str().ok_or_else(|| refused("it has no id".to_owned()))?;
            let extension = catalogue.extension(&entry["config"]).map_err(refused)?;
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
    /// The first reason against them.
    pub(crate) fn check(&self, asked: &Value) -> Result<Vec<Extension>, Reason> {
        let list = asked.as_array().ok_or("It should be an array of extensions.")?;
        list.iter().map(|entry| self.extension(entry)).collect()
    }

    fn extension(&self, asked: &Value) -> Result<Extension, Reason> {
        let name = asked["name"].as_str().ok_or("Every extension needs a name.")?;
        match name {
            "remove-bg" => check_remove_bg(asked),
            "google-auto-tagging" => tagging("google-auto-tagging", asked),
            "aws-auto-tagging" => tagging("aws-auto-tagging", asked),
            "ai-auto-description" => Ok(Extension::AutoDescription),
            "ai-tasks" => self.tasks(asked),
            "saved-extension" => {
                let id = asked["id"].as_str().ok_or("saved-extension needs an id.")?;
                let saved = self.saved.get(id).cloned();
                saved.ok_or_else(|| format!("The saved extension {id} does not exist."))
            }
            _ => Err(format!("{name} is not an extension.")),
        }
    }

    fn tasks(&self, asked: &Value) -> Result<Extension, Reason> {
        let tasks = asked["tasks"].as_array().ok_or("ai-tasks needs an array of tasks.")?;
        if tasks.is_empty() || tasks.len() > TASKS_MAX {
            return Err(format!("ai-tasks takes 1 to {TASKS_MAX} tasks."));
        }
        let tasks: Result<_, _> = tasks.iter().map(|task| self.task(task)).collect();
        Ok(Extension::Tasks(tasks?))
    }

    fn task(&self, asked: &Value) -> Result<Task, Reason> {
        let instruction = asked["instruction"].as_str().unwrap_or("");
        if !(1..=INSTRUCTION_LENGTH_MAX).contains(&instruction.chars().count()) {
            return Err(format!(
                "A task needs an instruction of 1 to {INSTRUCTION_LENGTH_MAX} characters."
            ));
        }
        check_selections(asked)?;
        match asked["type"].as_str() {
            Some("select_tags") => select_tags(asked),
            Some("select_metadata") => self.select_metadata(asked),
            Some("yes_no") => self.yes_no(asked),
            _ => Err("A task is select_tags, select_metadata or yes_no.".to_owned()),
        }
    }

    fn select_metadata(&self, asked: &Value) -> Result<Task, Reason> {
        let field = asked["field"].as_str().ok_or("select_metadata needs a field.")?;
        if !self.fields.knows(field) {
            return Err(format!("The custom metadata field {field} does not exist."));
        }
        let given = vocabulary(asked)?;
        let word = given.map_or_else(|| self.fields.options(field), Vec::as_slice).first();
        let value = word.map(|word| self.fields.shaped(field, word.clone()));
        if let Some(value) = &value {
            self.metadata(Map::from_iter([(field.to_owned(), value.clone())]))?;
        }
        Ok(Task::SelectMetadata { field: field.to_owned(), value })
    }

    fn yes_no(&self, asked: &Value) -> Result<Task, Reason> {
        for other in ["on_no", "on_unknown"] {
            self.action(&asked[other])?;
        }
        self.action(&asked["on_yes"]).map(Task::YesNo)
    }

    fn action(&self, asked: &Value) -> Result<Action, Reason> {
        let mut change = Map::new();
        for entry in entries(&asked["set_metadata"]) {
            let field = entry["field"].as_str().ok_or("set_metadata needs a field.")?;
            let value = entry.get("value").filter(|value| !value.is_null());
            let value = value.ok_or("set_metadata needs a value.")?;
            change.insert(field.to_owned(), value.clone());
        }
        for entry in entries(&asked["unset_metadata"]) {
            let field = entry["field"].as_str().ok_or("unset_metadata needs a field.")?;
            change.insert(field.to_owned(), Value::Null);
        }
        Ok(Action {
            add_tags: words(&asked["add_tags"])?,
            remove_tags: words(&asked["remove_tags"])?,
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

fn check_remove_bg(asked: &Value) -> Result<Extension, Reason> {
    let Some(options) = asked.get("options") else {
        return Ok(Extension::RemoveBg);
    };
    let options = options.as_object().ok_or("The options of remove-bg should be an object.")?;
    let right = options.iter().all(|(key, value)| match key.as_str() {
        "add_shadow" | "semitransparency" => value.is_boolean(),
        "bg_color" | "bg_image_url" => value.is_string(),
        // The API's own example has an option that its description does not know.
        _ => true,
    });
    let both = options.contains_key("bg_color") && options.contains_key("bg_image_url");
    match (right, both) {
        (false, _) => Err("An option of remove-bg is of the wrong type.".to_owned()),
        (true, true) => Err("bg_color and bg_image_url exclude each other.".to_owned()),
        (true, false) => Ok(Extension::RemoveBg),
    }
}

fn tagging(name: &'static str, asked: &Value) -> Result<Extension, Reason> {
    let whole = |key: &str, max: u64| {
        let value = asked[key].as_u64().filter(|value| *value <= max);
        let value = value.and_then(|value| u8::try_from(value).ok());
        value.ok_or_else(|| format!("{name} needs {key}, an integer from 0 to {max}."))
    };
    Ok(Extension::Tagging {
        name,
        min_confidence: whole("minConfidence", 100)?,
        tags_max: whole("maxTags", 30)?,
    })
}

fn check_selections(asked: &Value) -> Result<(), Reason> {
    for (key, min) in [("min_selections", 0), ("max_selections", 1)] {
        let right =
            asked.get(key).is_none_or(|value| value.as_u64().is_some_and(|value| value >= min));
        if !right {
            return Err(format!("{key} should be an integer of at least {min}."));
        }
    }
    Ok(())
}

fn select_tags(asked: &Value) -> Result<Task, Reason> {
    vocabulary(asked)?;
    let words = words(&asked["vocabulary"])?;
    let length: usize = words.iter().map(|word| word.chars().count()).sum();
    if length > VOCABULARY_LENGTH_MAX || words.iter().any(|word| word.contains('%')) {
        return Err(format!(
            "A vocabulary has at most {VOCABULARY_LENGTH_MAX} characters, and no %."
        ));
    }
    Ok(Task::SelectTags(words.into_iter().next()))
}

fn vocabulary(asked: &Value) -> Result<Option<&Vec<Value>>, Reason> {
    let Some(vocabulary) = asked.get("vocabulary") else {
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

/// A list of strings that may be left out.
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
    use crate::sandbox::defaults;

    fn check(extension: &Value) -> Result<Extension, Reason> {
        let fields = Fields::new(&defaults::fields()).unwrap();
        let catalogue = Catalogue::new(fields, &defaults::saved()).unwrap();
        catalogue.check(&json!([extension])).map(|mut list| list.remove(0))
    }

    fn task(task: &Value) -> Result<Extension, Reason> {
        check(&json!({"name": "ai-tasks", "tasks": [task]}))
    }

    #[test]
    fn every_extension_of_the_apis_example_is_taken() {
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
    fn wrong_extensions_are_refused() {
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
    fn a_saved_extension_is_the_one_it_stands_for() {
        let name = |id| check(&json!({"name": "saved-extension", "id": id})).unwrap().name();
        assert_eq!(name("ext_tagging"), "google-auto-tagging");
        assert_eq!(name("ext_colour"), "ai-tasks");
    }

    #[test]
    fn tasks_are_checked_one_by_one() {
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
    fn without_a_vocabulary_a_select_field_offers_its_own_options() {
        let asked = json!({"type": "select_metadata", "instruction": "?", "field": "channels"});
        let Ok(Extension::Tasks(tasks)) = task(&asked) else { panic!("refused") };
        let chosen =
            Task::SelectMetadata { field: "channels".to_owned(), value: Some(json!(["web"])) };
        assert_eq!(tasks, [chosen]);
    }
}
