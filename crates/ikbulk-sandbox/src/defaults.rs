//! The default account: its custom metadata fields and saved extensions.

use serde_json::{Value, json};

/// Fields of every type, with labels that differ from their names.
pub(crate) fn fields() -> Vec<Value> {
    vec![
        field("5f9c1", "brand", "Brand", &json!({"type": "Text", "maxLength": 60})),
        field("5f9c2", "caption", "Long caption", &json!({"type": "Textarea", "maxLength": 1000})),
        field(
            "5f9c3",
            "price",
            "List price (EUR)",
            &json!({"type": "Number", "minValue": 0, "maxValue": 100_000}),
        ),
        field(
            "5f9c4",
            "rights_until",
            "Rights end on",
            &json!({"type": "Date", "minValue": "2000-01-01T00:00:00.000Z"}),
        ),
        field("5f9c5", "approved", "Approved by legal?", &json!({"type": "Boolean"})),
        field(
            "5f9c6",
            "size",
            "Size on label",
            &json!({"type": "SingleSelect", "selectOptions": ["small", "medium", "large", 30, 40, true]}),
        ),
        field(
            "5f9c7",
            "color",
            "Colour",
            &json!({"type": "SingleSelect", "selectOptions": ["red", "blue", "green", "black", "white"]}),
        ),
        field(
            "5f9c8",
            "channels",
            "Sales channels",
            &json!({"type": "MultiSelect", "selectOptions": ["web", "print", "social", 2024, false]}),
        ),
        field(
            "5f9c9",
            "sku",
            "Article no.",
            &json!({"type": "Text", "minLength": 3, "maxLength": 20}),
        ),
    ]
}

fn field(id: &str, name: &str, label: &str, schema: &Value) -> Value {
    json!({"id": format!("{id}49c0a938d57563dd000"), "name": name, "label": label, "schema": schema})
}

/// Name of the reserved field.
pub(crate) const ORIGINAL_CREATION_DATE: &str = "_internal_original_created_datetime";

/// The reserved field "Original creation date", for [`Config::fields`](crate::Config::fields). An account
/// has it once its setting is on.
#[must_use]
pub fn original_creation_date_field() -> Value {
    let mut field =
        field("5f9ca", ORIGINAL_CREATION_DATE, "Original creation date", &json!({"type": "Date"}));
    field["reserved"] = true.into();
    field["description"] = "When the asset was created, before it was uploaded".into();
    field
}

/// Two saved extensions: one that adds tags, one that runs tasks.
pub(crate) fn saved() -> Vec<Value> {
    vec![
        json!({
            "id": "ext_tagging",
            "name": "Product tagging",
            "description": "The ten surest tags",
            "config": {"name": "google-auto-tagging", "minConfidence": 80, "maxTags": 10},
            "createdAt": "2024-03-01T08:00:00.000Z",
            "updatedAt": "2024-03-01T08:00:00.000Z",
        }),
        json!({
            "id": "ext_colour",
            "name": "Main colour",
            "description": "Finds the colour and says whether it is for sale",
            "config": {"name": "ai-tasks", "tasks": [
                {"type": "select_metadata", "instruction": "What is the main colour?",
                 "field": "color", "vocabulary": ["red", "blue", "green"]},
                {"type": "yes_no", "instruction": "Is this a product on a plain background?",
                 "on_yes": {"add_tags": ["packshot"]}},
            ]},
            "createdAt": "2024-03-01T08:00:00.000Z",
            "updatedAt": "2024-03-02T08:00:00.000Z",
        }),
    ]
}
