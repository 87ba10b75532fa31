//! Checks the configuration of extensions: what ImageKit would reject, or bill and ignore.
//!
//! Limits are from ImageKit's API description.

use serde_json::{Map, Value};

use super::{Extension, ExtensionName};
use crate::row::change::{Tags, WebhookUrl};
use crate::row::problem::Invalid;

const TASKS_MAX: usize = 10;
const INSTRUCTION_LENGTH_MAX: usize = 2000;
const VOCABULARY_MAX: usize = 30;
/// Maximum characters of all words of a `select_tags` vocabulary together.
const VOCABULARY_LENGTH_MAX: usize = 500;
/// The keys that say what a task selects from, and how much.
const SELECTION: [&str; 3] = ["vocabulary", "min_selections", "max_selections"];
/// The answers of a `yes_no` task.
pub(super) const ANSWERS: [&str; 3] = ["on_yes", "on_no", "on_unknown"];
const ACTION_HINT: &str = "write {\"add_tags\":[…]}, remove_tags, set_metadata or unset_metadata";

/// The options of `remove-bg` whose default is documented.
const REMOVE_BG_DEFAULTS: [(&str, bool); 2] = [("add_shadow", false), ("semitransparency", true)];

/// The configuration without what means the same as its absence: options with their documented
/// default, and actions that do nothing.
pub(super) fn without_defaults(mut config: Value) -> Value {
    let Some(object) = config.as_object_mut() else {
        return config;
    };
    let is_remove_bg = object.get("name").and_then(Value::as_str) == Some("remove-bg");
    if let Some(options) = object.get_mut("options").and_then(Value::as_object_mut)
        && is_remove_bg
    {
        let is_default = |key: &str, value: &Value| {
            REMOVE_BG_DEFAULTS.iter().any(|(name, default)| key == *name && *value == *default)
        };
        options.retain(|key, value| !is_default(key, value));
        if options.is_empty() {
            object.remove("options");
        }
    }
    let tasks = object.get_mut("tasks").and_then(Value::as_array_mut).into_iter().flatten();
    for task in tasks.filter_map(Value::as_object_mut) {
        task.retain(|key, value| {
            let is_action = ANSWERS.contains(&key.as_str());
            if let Some(lists) = value.as_object_mut().filter(|_| is_action) {
                lists.retain(|_, list| list.as_array().is_none_or(|list| !list.is_empty()));
            }
            !is_action || has_effect(value)
        });
    }
    config
}

/// Whether the action of an answer does something.
fn has_effect(action: &Value) -> bool {
    let mut lists = action.as_object().into_iter().flat_map(Map::values);
    lists.any(|list| list.as_array().is_none_or(|list| !list.is_empty()))
}

/// Parses one extension of a cell.
pub(super) fn parse(value: &Value) -> Result<Extension, Invalid> {
    let known = || ExtensionName::ALL.map(ExtensionName::as_str).join(", ");
    let object = value.as_object().ok_or_else(|| {
        Invalid::new("contains an element that is not an object", "write {\"name\":…}")
    })?;
    let text = object.get("name").and_then(Value::as_str).ok_or_else(|| {
        Invalid::new("contains an extension without a name", format!("use one of {}", known()))
    })?;
    let name = ExtensionName::parse(text).ok_or_else(|| {
        Invalid::new(
            format!("contains the unknown extension {text:?}"),
            format!("use one of {}", known()),
        )
    })?;
    match name {
        ExtensionName::RemoveBg => check_remove_bg(object),
        ExtensionName::GoogleAutoTagging | ExtensionName::AwsAutoTagging => {
            check_keys(text, object, &["name", "minConfidence", "maxTags"])?;
            check_integer(text, object, "minConfidence", 0, 100)?;
            check_integer(text, object, "maxTags", 0, 30)
        }
        ExtensionName::AiAutoDescription => check_keys(text, object, &["name"]),
        ExtensionName::AiTasks => check_ai_tasks(object),
        ExtensionName::SavedExtension => {
            check_keys(text, object, &["name", "id"])?;
            require_string(text, object, "id").map(|_| ())
        }
    }?;
    Ok(Extension { name, config: value.clone(), saved: None })
}

fn check_remove_bg(object: &Map<String, Value>) -> Result<(), Invalid> {
    check_keys("remove-bg", object, &["name", "options"])?;
    let Some(options) = object.get("options") else {
        return Ok(());
    };
    let options = options.as_object().ok_or_else(|| {
        Invalid::new("has options that are not an object", "write {\"options\":{…}}")
    })?;
    let keys = ["add_shadow", "semitransparency", "bg_color", "bg_image_url"];
    check_keys("remove-bg options", options, &keys)?;
    for key in ["add_shadow", "semitransparency"] {
        if options.get(key).is_some_and(|value| !value.is_boolean()) {
            return Err(Invalid::new(
                format!("has a {key} that is not a boolean"),
                "use true or false",
            ));
        }
    }
    for key in ["bg_color", "bg_image_url"] {
        if options.contains_key(key) {
            require_string("remove-bg options", options, key)?;
        }
    }
    if options.contains_key("bg_color") && options.contains_key("bg_image_url") {
        return Err(Invalid::new("has both bg_color and bg_image_url", "use one of the two"));
    }
    let url = options.get("bg_image_url").and_then(Value::as_str);
    if let Some(url) = url.filter(|url| WebhookUrl::parse(url).is_none()) {
        return Err(Invalid::new(
            format!("has the bg_image_url {url:?}, which is no URL"),
            "write an absolute URL that starts with https:// or http://",
        ));
    }
    Ok(())
}

fn check_ai_tasks(object: &Map<String, Value>) -> Result<(), Invalid> {
    check_keys("ai-tasks", object, &["name", "tasks"])?;
    let tasks = object.get("tasks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if tasks.is_empty() || tasks.len() > TASKS_MAX {
        let problem = format!("has {} tasks in ai-tasks", tasks.len());
        return Err(Invalid::new(problem, "use 1 to 10 tasks"));
    }
    tasks.iter().try_for_each(check_task)
}

fn check_task(value: &Value) -> Result<(), Invalid> {
    let task = value
        .as_object()
        .ok_or_else(|| Invalid::new("has a task that is not an object", "write {\"type\":…}"))?;
    let kind = require_string("a task", task, "type")?;
    let instruction = require_string(kind, task, "instruction")?;
    if instruction.chars().count() > INSTRUCTION_LENGTH_MAX {
        return Err(Invalid::new("has an instruction longer than 2,000 characters", "shorten it"));
    }
    match kind {
        "select_tags" => {
            check_keys(kind, task, &[&["type", "instruction"][..], &SELECTION].concat())?;
            check_selection(kind, task)?;
            check_tag_vocabulary(task)
        }
        "select_metadata" => {
            check_keys(kind, task, &[&["type", "instruction", "field"][..], &SELECTION].concat())?;
            require_string(kind, task, "field")?;
            check_selection(kind, task)
        }
        "yes_no" => {
            check_keys(kind, task, &[&["type", "instruction"][..], &ANSWERS].concat())?;
            if !task.contains_key("on_yes") && !task.contains_key("on_no") {
                return Err(Invalid::new(
                    "has a yes_no task without on_yes and on_no",
                    "set at least one of the two: otherwise the task is billed and does nothing",
                ));
            }
            let mut actions = ANSWERS.iter().filter_map(|key| task.get(*key));
            actions.clone().try_for_each(check_action)?;
            if !actions.any(has_effect) {
                return Err(Invalid::new(
                    "has a yes_no task whose answers change nothing",
                    "give on_yes or on_no an action: otherwise the task is billed and does nothing",
                ));
            }
            Ok(())
        }
        other => Err(Invalid::new(
            format!("has a task with the unknown type {other:?}"),
            "use select_tags, select_metadata or yes_no",
        )),
    }
}

/// Checks the vocabulary, and how many of it to select.
fn check_selection(kind: &str, task: &Map<String, Value>) -> Result<(), Invalid> {
    let mut words_max = None;
    if let Some(vocabulary) = task.get("vocabulary") {
        let words = vocabulary.as_array().map(Vec::as_slice).unwrap_or_default();
        if words.is_empty() || words.len() > VOCABULARY_MAX {
            return Err(Invalid::new(
                "has a vocabulary that is not a list of 1 to 30 words",
                "use 1 to 30 words",
            ));
        }
        if words.iter().any(is_blank) {
            return Err(Invalid::new("has a vocabulary with an empty word", "remove it"));
        }
        words_max = Some(words.len() as u64);
    }
    let min = optional_integer(kind, task, "min_selections", 0)?;
    let max = optional_integer(kind, task, "max_selections", 1)?;
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(Invalid::new(
            format!("has min_selections {min} above max_selections {max}"),
            "set max_selections to at least min_selections",
        )),
        (Some(min), _) if words_max.is_some_and(|words| min > words) => Err(Invalid::new(
            format!("has min_selections {min} and a vocabulary with fewer words"),
            "set min_selections to at most the number of words, or add words",
        )),
        _ => Ok(()),
    }
}

/// Whether a word has no text.
fn is_blank(word: &Value) -> bool {
    word.is_null() || word.as_str().is_some_and(|word| word.trim().is_empty())
}

/// Checks the vocabulary of `select_tags`, which follows the rules of tags.
fn check_tag_vocabulary(task: &Map<String, Value>) -> Result<(), Invalid> {
    let words = task.get("vocabulary").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut length = 0;
    for word in words {
        let word = word.as_str().ok_or_else(|| {
            Invalid::new(
                "has a vocabulary with an element that is not a string",
                "use only strings",
            )
        })?;
        if word.contains('%') {
            return Err(Invalid::new("has a vocabulary with a %", "remove the %"));
        }
        length += word.chars().count();
    }
    if length > VOCABULARY_LENGTH_MAX {
        let suggestion = "use at most 500 characters in total";
        return Err(Invalid::new("has a vocabulary that is too long", suggestion));
    }
    Ok(())
}

/// Checks the action of an answer: `{"add_tags": ["…"], "set_metadata": [{"field", "value"}]}`.
fn check_action(value: &Value) -> Result<(), Invalid> {
    let action = value
        .as_object()
        .ok_or_else(|| Invalid::new("has an action that is not an object", ACTION_HINT))?;
    let keys = ["add_tags", "remove_tags", "set_metadata", "unset_metadata"];
    check_keys("an action", action, &keys)?;
    for (key, value) in action {
        let list = value
            .as_array()
            .ok_or_else(|| Invalid::new("has an action that is not a list", ACTION_HINT))?;
        list.iter().try_for_each(|element| check_action_element(key, element))?;
        if key.ends_with("_tags") && !list.is_empty() {
            check_action_tags(key, list)?;
        }
    }
    Ok(())
}

/// Checks the tags of an action, which follow the rules of tags.
fn check_action_tags(key: &str, list: &[Value]) -> Result<(), Invalid> {
    if list.iter().any(is_blank) {
        return Err(Invalid::new(format!("has an empty tag in {key}"), "remove it"));
    }
    let tags = list.iter().filter_map(Value::as_str).map(str::to_owned);
    let invalid = |(problem, suggestion): (String, &'static str)| {
        Invalid::new(format!("has an action whose {key} {problem}"), suggestion)
    };
    Tags::new(tags.collect()).map(drop).map_err(invalid)
}

fn check_action_element(key: &str, element: &Value) -> Result<(), Invalid> {
    let keys = match key {
        "set_metadata" => &["field", "value"][..],
        "unset_metadata" => &["field"],
        _ if element.is_string() => return Ok(()),
        _ => {
            let problem = format!("has an element in {key} that is not a string");
            return Err(Invalid::new(problem, "list tags as strings"));
        }
    };
    let object = element.as_object().ok_or_else(|| {
        let problem = format!("has an element in {key} that is not an object");
        Invalid::new(problem, format!("write objects with {}", keys.join(" and ")))
    })?;
    check_keys(key, object, keys)?;
    require_string(key, object, "field")?;
    match keys.iter().find(|known| !object.contains_key(**known)) {
        Some(missing) => Err(Invalid::new(
            format!("has no {missing} in {key}"),
            format!("write objects with {}", keys.join(" and ")),
        )),
        None => Ok(()),
    }
}

/// Rejects unknown keys: usually misspelled, and ImageKit would ignore them silently. `parent`
/// names the object in messages.
fn check_keys(parent: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Invalid::new(
            format!("has an unknown key {key:?} in {parent}"),
            format!("use only {}", known.join(", ")),
        )),
    }
}

fn check_integer(
    parent: &str,
    object: &Map<String, Value>,
    key: &str,
    min: u64,
    max: u64,
) -> Result<(), Invalid> {
    match object.get(key).and_then(Value::as_u64) {
        Some(number) if (min..=max).contains(&number) => Ok(()),
        _ => Err(Invalid::new(
            format!("has no valid {key} in {parent}"),
            format!("set {key} to an integer from {min} to {max}"),
        )),
    }
}

/// An integer of at least `min`; `None` if the key is absent.
fn optional_integer(
    parent: &str,
    object: &Map<String, Value>,
    key: &str,
    min: u64,
) -> Result<Option<u64>, Invalid> {
    let Some(value) = object.get(key) else {
        return Ok(None);
    };
    value.as_u64().filter(|number| *number >= min).map(Some).ok_or_else(|| {
        Invalid::new(
            format!("has no valid {key} in {parent}"),
            format!("set {key} to an integer of at least {min}"),
        )
    })
}

fn require_string<'v>(
    parent: &str,
    object: &'v Map<String, Value>,
    key: &str,
) -> Result<&'v str, Invalid> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).ok_or_else(
        || {
            Invalid::new(
                format!("has no {key} in {parent}"),
                format!("set {key} to a non-empty string"),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(task: &Value) -> Result<(), String> {
        let extension = json!({"name": "ai-tasks", "tasks": [task]});
        parse(&extension).map(|_| ()).map_err(|invalid| invalid.problem.into_owned())
    }

    #[test]
    fn tasks_that_the_api_accepts_are_accepted() {
        for task in [
            json!({"type": "select_metadata", "instruction": "Size?", "field": "size",
                "vocabulary": ["a".repeat(501), 30, true, "5%"], "min_selections": 0}),
            json!({"type": "select_tags", "instruction": "What?", "vocabulary": ["a".repeat(500)],
                "min_selections": 1, "max_selections": 1}),
            json!({"type": "yes_no", "instruction": "Luxury?", "on_no": {
                "remove_tags": ["luxury"],
                "set_metadata": [{"field": "tier", "value": 1}],
                "unset_metadata": [{"field": "price"}]}}),
            json!({"type": "yes_no", "instruction": "?", "on_yes": {"add_tags": ["a"]},
                "on_no": {}, "on_unknown": {"remove_tags": []}}),
        ] {
            assert_eq!(check(&task), Ok(()), "{task}");
        }
    }

    #[test]
    fn background_is_a_url() {
        let check = |url: &str| {
            let options = json!({"bg_image_url": url});
            parse(&json!({"name": "remove-bg", "options": options})).map(drop)
        };
        assert!(check("https://example.com/wall.jpg").is_ok());
        for url in ["wall.jpg", "/walls/a.jpg", "ftp://example.com/a", "https://a b"] {
            assert!(check(url).is_err_and(|it| it.problem.contains("which is no URL")), "{url}");
        }
    }

    #[test]
    fn tasks_that_would_be_refused_or_do_nothing_are_rejected() {
        let yes_no =
            |action: Value| json!({"type": "yes_no", "instruction": "?", "on_yes": action});
        let select = |key: &str, value: Value| json!({"type": "select_tags", "instruction": "?", "vocabulary": ["a"], key: value});
        for (task, problem) in [
            (json!({"type": "yes_no", "instruction": "?"}), "without on_yes and on_no"),
            (
                json!({"type": "yes_no", "instruction": "?", "on_unknown": {"add_tags": ["a"]}}),
                "without on_yes and on_no",
            ),
            (yes_no(json!({})), "answers change nothing"),
            (yes_no(json!({"add_tags": [], "set_metadata": []})), "answers change nothing"),
            (yes_no(json!({"add_tags": ["50% off"]})), "add_tags contains % in the tag"),
            (yes_no(json!({"remove_tags": ["a\nb"]})), "remove_tags contains a line break"),
            (yes_no(json!({"add_tags": [" "]})), "empty tag in add_tags"),
            (yes_no(json!({"add_tags": ["a".repeat(501)]})), "add_tags has 501 characters"),
            (yes_no(json!([])), "action that is not an object"),
            (yes_no(json!({"add_tags": "a"})), "action that is not a list"),
            (yes_no(json!({"add_tags": [1]})), "in add_tags that is not a string"),
            (yes_no(json!({"set_metadata": ["a"]})), "in set_metadata that is not an object"),
            (yes_no(json!({"set_metadata": [{"field": "a"}]})), "no value in set_metadata"),
            (yes_no(json!({"unset_metadata": [{"name": "a"}]})), "unknown key \"name\""),
            (select("min_selections", json!(-1)), "no valid min_selections"),
            (select("max_selections", json!(0)), "no valid max_selections"),
            (select("max_selections", json!("2")), "no valid max_selections"),
            (select("vocabulary", json!([])), "1 to 30 words"),
            (select("vocabulary", json!(vec!["a"; 31])), "1 to 30 words"),
            (select("vocabulary", json!(["a".repeat(501)])), "too long"),
            (select("vocabulary", json!([1])), "not a string"),
            (select("vocabulary", json!(["a", ""])), "empty word"),
            (select("min_selections", json!(2)), "min_selections 2 and a vocabulary with fewer"),
            (
                json!({"type": "select_tags", "instruction": "?", "vocabulary": ["a"],
                    "min_selections": 2, "max_selections": 1}),
                "min_selections 2 above max_selections 1",
            ),
        ] {
            let found = check(&task).expect_err("it is invalid");
            assert!(found.contains(problem), "{task}: {found}");
        }
    }
}
