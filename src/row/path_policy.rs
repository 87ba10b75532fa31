//! Path policies: the rules of a folder for custom metadata, beside those of the account.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::cell::Cell;
use super::metadata::{FieldType, MetadataRule, MetadataValue, Schema, not_an_option, value_by};
use super::problem::{Invalid, Problem};
use super::{Extension, Field, MetadataField, Rules, Set};

/// What to do about a value that a path policy does not allow to change.
const KEEP: &str = "leave the cell empty to keep the field";
/// What to do about an extension that may write such a value: it is charged, whatever becomes of it.
const LEAVE_OUT: &str = "leave the extension out for files of this folder";
const HERE: &str = "in this folder (path policy)";
const READ_ONLY: &str = "the field is read-only in this folder (path policy)";
const REQUIRED: &str = "cannot be cleared: the field needs a value in this folder (path policy)";

/// The rules that a path policy sets for the files of a folder, from `selectedFieldsSchema` of their
/// file objects. A field without a rule is free: the API documents no rule for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathPolicy {
    fields: HashMap<String, FieldPolicy>,
}

/// The rule of one field. Deserialized leniently: unknown keys are ignored.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldPolicy {
    #[serde(flatten)]
    rule: MetadataRule,
    /// Whether a value can be set, but not changed.
    #[serde(default)]
    read_only: bool,
    /// Whether the rule has the first options only. A file object shows 100.
    #[serde(default)]
    select_options_truncated: bool,
}

impl PathPolicy {
    /// The policy in a file object's `selectedFieldsSchema`. `all_options` are the fields that the API
    /// lists for the folder, which are needed if the file object shows the first options only.
    ///
    /// # Errors
    /// `schema` is not a JSON object.
    pub(crate) fn from_json(
        schema: &str,
        all_options: Option<&Schema>,
    ) -> serde_json::Result<Self> {
        let schema: Map<String, Value> = serde_json::from_str(schema)?;
        let fields = schema.into_iter().filter_map(|(name, schema)| {
            let mut field: FieldPolicy = serde_json::from_value(schema).ok()?;
            let listed = all_options.and_then(|all| all.named(&name)?.rule);
            if let Some(listed) = listed.filter(|_| field.select_options_truncated) {
                field.rule.select_options.clone_from(&listed.select_options);
                field.select_options_truncated = false;
            }
            Some((name, field))
        });
        Ok(Self { fields: fields.collect() })
    }

    /// Whether a `selectedFieldsSchema` shows the first options of a field only.
    pub(crate) fn is_truncated(schema: &str) -> bool {
        const KEY: &str = "selectOptionsTruncated";
        // Nearly no policy has the key, which is found faster than the schema is parsed.
        schema.contains(KEY)
            && serde_json::from_str::<Map<String, Value>>(schema)
                .is_ok_and(|fields| fields.values().any(|field| field[KEY] == true))
    }

    /// What the policy does not allow about a new value of a field that has the value `current`;
    /// `None` if it is allowed.
    pub(crate) fn problem(
        &self,
        field: &MetadataField,
        set: &Set<MetadataValue>,
        current: Option<&Value>,
    ) -> Option<Problem> {
        let Invalid { problem, suggestion, .. } = self.invalid(field, set, current)?;
        let column = MetadataField::column_of(&field.name);
        let value = set.value().map(|value| Cell::Json(value).shown()).unwrap_or_default();
        Some(Problem::new(&column, &value, problem, suggestion))
    }

    /// What the policy does not allow about what the tasks of an extension may write to a file that has
    /// these values; `None` if it allows all of it.
    pub(crate) fn problem_of_extension<'v>(
        &self,
        extension: &Extension,
        current: impl Fn(&str) -> Option<&'v Value>,
    ) -> Option<Problem> {
        extension.metadata_changes().find_map(|(name, set)| {
            let policy = self.fields.get(name)?;
            let set = match set {
                Set::Value(one)
                    if policy.rule.kind == FieldType::MultiSelect && !one.is_array() =>
                {
                    Set::Value(Value::from(vec![one]))
                }
                set => set,
            };
            let current = current(name);
            if set.value() == current {
                return None;
            }
            let field = MetadataField::unchecked(name);
            let Invalid { problem, .. } = self.invalid(&field, &set, current)?;
            let problem = match set.value() {
                Some(value) => format!("may set {name} to {value}, which {problem}"),
                None => format!("may clear {name}, which {problem}"),
            };
            let name = extension.name().as_str();
            Some(Problem::new(&Field::Extensions.column(), name, problem, LEAVE_OUT))
        })
    }

    fn invalid(
        &self,
        field: &MetadataField,
        set: &Set<MetadataValue>,
        current: Option<&Value>,
    ) -> Option<Invalid> {
        self.fields.get(&*field.name)?.invalid(field, set, current)
    }
}

impl FieldPolicy {
    fn invalid(
        &self,
        field: &MetadataField,
        set: &Set<MetadataValue>,
        current: Option<&Value>,
    ) -> Option<Invalid> {
        if let Some(current) = current.filter(|value| self.read_only && !value.is_null()) {
            let verb = if set.value().is_some() { "replace" } else { "clear" };
            let current = Problem::shortened(&Cell::Json(current).shown());
            return Some(Invalid::new(format!("cannot {verb} {current:?}: {READ_ONLY}"), KEEP));
        }
        match set {
            Set::Clear if self.rule.is_value_required => Some(Invalid::new(REQUIRED, KEEP)),
            Set::Clear => None,
            Set::Value(value) => {
                let Invalid { problem, suggestion, .. } = self.check(field, value).err()?;
                Some(Invalid::new(format!("{problem} {HERE}"), suggestion))
            }
        }
    }

    /// Checks a value, which is valid for the account.
    fn check(&self, field: &MetadataField, value: &MetadataValue) -> Result<(), Invalid> {
        let rule = &self.rule;
        let has = |value: &Value| rule.select_options.contains(value);
        let is_option = match rule.kind {
            _ if self.select_options_truncated => true,
            FieldType::SingleSelect => has(value),
            FieldType::Other => true,
            FieldType::MultiSelect => value.as_array().is_some_and(|all| all.iter().all(has)),
            _ => return value_by(rule, field, Cell::Json(value), &Rules::default()).map(drop),
        };
        if is_option { Ok(()) } else { Err(not_an_option(rule)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    /// The problem of setting `field` to `value`, or of clearing it with null.
    fn problem(
        policy: &PathPolicy,
        kind: &str,
        value: Value,
        current: Option<&Value>,
    ) -> Option<String> {
        let rule = serde_json::from_value(json!({ "type": kind })).unwrap();
        let field = MetadataField { name: "field".into(), rule: Some(Arc::new(rule)) };
        policy.problem(&field, &value.into(), current).map(|problem| problem.to_string())
    }

    fn policy(schema: &Value) -> PathPolicy {
        PathPolicy::from_json(&json!({ "field": schema }).to_string(), None).unwrap()
    }

    #[test]
    fn options_of_the_policy_are_checked_in_their_type() {
        let single = policy(&json!({"type": "SingleSelect", "selectOptions": ["red", 30]}));
        let problem_of = |value| problem(&single, "SingleSelect", value, Some(&json!("old")));
        for allowed in [json!("red"), json!(30), Value::Null] {
            assert_eq!(problem_of(allowed), None);
        }
        assert_eq!(
            problem_of(json!("30")).as_deref(),
            Some(
                "customMetadata.field: \"30\" is not one of the field's options in this folder \
                 (path policy); use one of \"red\", 30"
            )
        );
        let multi = policy(&json!({"type": "MultiSelect", "selectOptions": ["a", "NULL"]}));
        assert_eq!(problem(&multi, "MultiSelect", json!(["a", "NULL"]), None), None);
        assert!(problem(&multi, "MultiSelect", json!(["a", "b"]), None).is_some());
    }

    #[test]
    fn bounds_of_the_policy_are_checked() {
        for (schema, allowed, refused) in [
            (json!({"type": "Text", "maxLength": 3}), json!("abc"), json!("abcd")),
            (json!({"type": "Textarea", "minLength": 2}), json!("ab"), json!("a")),
            (json!({"type": "Number", "minValue": 5}), json!(5), json!(4)),
            (
                json!({"type": "Date", "maxValue": "2026-01-01T00:00:00.000Z"}),
                json!("2025-12-31"),
                json!("2026-01-02"),
            ),
        ] {
            let kind = schema["type"].as_str().unwrap().to_owned();
            let policy = policy(&schema);
            assert_eq!(problem(&policy, &kind, allowed, None), None, "{schema}");
            let refused = problem(&policy, &kind, refused, None).expect("refused");
            assert!(refused.contains("in this folder (path policy); write a"), "{refused}");
        }
    }

    #[test]
    fn read_only_field_can_be_set_but_not_changed() {
        let policy = policy(&json!({"type": "Text", "readOnly": true}));
        let old = json!("old");
        let problem_of = |value, current| problem(&policy, "Text", value, current);
        assert_eq!(problem_of(json!("new"), None), None);
        assert_eq!(problem_of(json!("new"), Some(&Value::Null)), None);
        for (value, text) in [
            (json!("new"), "customMetadata.field: \"new\" cannot replace \"old\": the field is"),
            (Value::Null, "customMetadata.field: cannot clear \"old\": the field is read-only"),
        ] {
            let problem = problem_of(value, Some(&old)).expect("read-only");
            assert!(problem.starts_with(text), "{problem}");
        }
    }

    #[test]
    fn required_field_cannot_be_cleared() {
        let policy = policy(&json!({"type": "Text", "isValueRequired": true}));
        assert_eq!(
            problem(&policy, "Text", Value::Null, Some(&json!("old"))).as_deref(),
            Some(
                "customMetadata.field: cannot be cleared: the field needs a value in this folder \
                 (path policy); leave the cell empty to keep the field"
            )
        );
    }

    #[test]
    fn truncated_options_are_those_of_the_list_for_the_folder() {
        let schema = json!({"field": {
            "type": "SingleSelect", "selectOptions": ["a"], "selectOptionsTruncated": true,
        }});
        let parsed =
            |all: Option<&Schema>| PathPolicy::from_json(&schema.to_string(), all).unwrap();
        let problem_of = |policy: &PathPolicy| problem(policy, "SingleSelect", json!("c"), None);
        assert!(PathPolicy::is_truncated(&schema.to_string()));
        assert!(!PathPolicy::is_truncated(r#"{"selectOptionsTruncated": {}}"#));
        assert_eq!(problem_of(&parsed(None)), None, "it may be one of those that are not shown");
        let list = |options: &Value| {
            let field = json!([{"name": "field", "label": "", "schema": {
                "type": "SingleSelect", "selectOptions": options,
            }}]);
            Schema::from_json(field.to_string().as_bytes()).unwrap()
        };
        assert_eq!(problem_of(&parsed(Some(&list(&json!(["a", "c"]))))), None);
        assert!(problem_of(&parsed(Some(&list(&json!(["a", "b"]))))).is_some());
    }

    #[test]
    fn other_fields_are_free() {
        let policy = policy(&json!({"type": "Number"}));
        assert!(problem(&policy, "Text", json!("text"), None).is_some());
        let other = MetadataField::unchecked("other");
        assert!(policy.problem(&other, &Set::Value(json!("text")), None).is_none());
    }
}
