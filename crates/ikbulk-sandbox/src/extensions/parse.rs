//! Parses and checks the configuration of one extension.

use serde_json::Value;

use crate::extensions::extension::{Extension, Reason};
use crate::extensions::tasks;
use crate::library::fields::Fields;

/// Parses the configuration of an extension that is not a reference to a saved one.
///
/// # Errors
/// The reason why it is invalid.
pub(crate) fn parse(config: &Value, fields: &Fields) -> Result<Extension, Reason> {
    match name(config)? {
        "remove-bg" => remove_bg(config),
        "google-auto-tagging" => tagging("google-auto-tagging", config),
        "aws-auto-tagging" => tagging("aws-auto-tagging", config),
        "ai-auto-description" => Ok(Extension::AutoDescription),
        "ai-tasks" => tasks::parse(config, fields),
        other => Err(format!("{other} is not an extension.")),
    }
}

/// The `name` of an extension.
///
/// # Errors
/// It has none.
pub(crate) fn name(config: &Value) -> Result<&str, Reason> {
    config["name"].as_str().ok_or_else(|| "Every extension needs a name.".to_owned())
}

fn remove_bg(config: &Value) -> Result<Extension, Reason> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(config: &Value) -> Result<Extension, Reason> {
        parse(config, &Fields::default())
    }

    #[test]
    fn extensions_of_the_api_example_are_accepted() {
        let good = [
            json!({"name": "remove-bg", "options": {"add_shadow": true, "bg_colour": "green"}}),
            json!({"name": "google-auto-tagging", "maxTags": 5, "minConfidence": 95}),
            json!({"name": "aws-auto-tagging", "maxTags": 0, "minConfidence": 0}),
            json!({"name": "ai-auto-description"}),
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
            json!({"name": "saved-extension", "id": "ext_tagging"}),
        ];
        for extension in bad {
            assert!(check(&extension).is_err(), "{extension}");
        }
    }
}
