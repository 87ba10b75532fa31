//! Path policies: which custom metadata fields are selected for a folder, and their rules there.

use serde_json::{Map, Value, json};

use crate::library::fields::Fields;
use crate::library::metadata::{Metadata, MetadataChange};
use crate::quirks::{ReadOnlyFields, RequiredFields};

/// Maximum number of options that a file object shows of a field.
const OPTIONS_SHOWN_MAX: usize = 100;

/// A path policy of the account. It applies to the files in a folder and below, unless another policy
/// applies to a deeper folder.
#[derive(Debug, Clone, PartialEq)]
pub struct PathPolicy {
    /// Name, as in error messages.
    pub name: String,
    /// Path of the folder.
    pub folder: String,
    /// Schemas of the selected fields by name, in the format of `selectedFieldsSchema`.
    pub fields: Map<String, Value>,
}

/// A valid path policy, or the `selectedFieldsSchema` of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    name: String,
    /// With a leading and a trailing slash.
    folder: String,
    fields: Fields,
    read_only: Vec<String>,
    /// The schemas with all options.
    schemas: Map<String, Value>,
    /// `selectedFieldsSchema` of a file object.
    pub(crate) schema: Value,
}

impl Policy {
    /// # Errors
    /// A schema is invalid.
    pub(crate) fn new(policy: &PathPolicy) -> Result<Self, String> {
        let listed =
            policy.fields.iter().map(|(name, schema)| json!({"name": name, "schema": schema}));
        let is_read_only = |(_, schema): &(&String, &Value)| schema["readOnly"] == true;
        let read_only = policy.fields.iter().filter(is_read_only).map(|(name, _)| name.clone());
        let shown = policy.fields.iter().map(|(name, schema)| (name.clone(), shown(schema)));
        Ok(Self {
            name: policy.name.clone(),
            folder: format!("/{}/", policy.folder.trim_matches('/')).replace("//", "/"),
            fields: Fields::new(&listed.collect::<Vec<_>>())?,
            read_only: read_only.collect(),
            schemas: policy.fields.clone(),
            schema: Value::Object(shown.collect()),
        })
    }

    /// Whether this applies to the files of a folder, which has a leading and a trailing slash.
    pub(crate) fn applies_to(&self, folder: &str) -> bool {
        folder.starts_with(&self.folder)
    }

    /// Length of the folder's path. The longest of several policies applies.
    pub(crate) fn depth(&self) -> usize {
        self.folder.len()
    }

    /// The API's error for a change of a file with these values. Fields that are not selected are
    /// allowed: the API documents no rule for them.
    pub(crate) fn error(
        &self,
        change: &MetadataChange,
        values: &Metadata,
        required: RequiredFields,
        read_only: ReadOnlyFields,
    ) -> Option<String> {
        let reason = self
            .read_only_error(change, values, read_only)
            .or_else(|| self.fields.change_error(change, required))?;
        let name = &self.name;
        Some(format!("Validate function for path policy - '{name}' failed with message: {reason}"))
    }

    /// A field is read-only once it has a value.
    fn read_only_error(
        &self,
        change: &MetadataChange,
        values: &Metadata,
        read_only: ReadOnlyFields,
    ) -> Option<String> {
        let is_refused = |(name, value): &&(String, Option<Value>)| {
            let current = values.get(name);
            let is_same = read_only == ReadOnlyFields::AcceptSame && current == value.as_ref();
            self.read_only.contains(name) && current.is_some() && !is_same
        };
        let (name, _) = change.0.iter().find(is_refused)?;
        Some(format!("{name} is read-only."))
    }

    /// The account's fields as the fields list shows them for this folder: the selected ones.
    pub(crate) fn select(&self, fields: &[Value]) -> Vec<Value> {
        let selected = fields.iter().filter_map(|field| {
            let mut schema = self.schemas.get(field["name"].as_str()?)?.clone();
            let schema_members = schema.as_object_mut()?;
            schema_members.remove("readOnly");
            schema_members.remove("selectOptionsTruncated");
            let mut field = field.clone();
            field["schema"] = schema;
            Some(field)
        });
        selected.collect()
    }
}

/// A schema as file objects show it, with the first options only.
fn shown(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(options) = schema.get_mut("selectOptions").and_then(Value::as_array_mut) {
        let is_truncated = options.len() > OPTIONS_SHOWN_MAX;
        options.truncate(OPTIONS_SHOWN_MAX);
        if is_truncated {
            schema["selectOptionsTruncated"] = true.into();
        }
    }
    schema
}
