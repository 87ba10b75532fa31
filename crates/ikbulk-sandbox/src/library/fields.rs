//! Custom metadata fields: the rules for their values.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use crate::library::metadata::MetadataChange;
use crate::quirks::RequiredFields;

const REQUIRED: &str = "The value is required.";

/// Custom metadata fields, by name: those of the account, or of a path policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(HashMap<String, Field>);

/// Definition of a field.
#[derive(Debug, Clone, PartialEq)]
struct Field {
    kind: Kind,
    required: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Text { length_min: u64, length_max: u64 },
    Number { min: f64, max: f64 },
    Date { min: Option<i64>, max: Option<i64> },
    Boolean,
    SingleSelect(Vec<Value>),
    MultiSelect(Vec<Value>),
}

impl Fields {
    /// Parses fields in the API's format.
    ///
    /// # Errors
    /// An entry is not a valid field.
    pub(crate) fn new(listed: &[Value]) -> Result<Self, String> {
        let field = |entry: &Value| {
            let name = entry["name"].as_str()?.to_owned();
            let schema = &entry["schema"];
            let required = schema["isValueRequired"].as_bool().unwrap_or(false);
            let kind = Kind::new(schema)?;
            Some((name, Field { kind, required }))
        };
        let checked =
            |entry| field(entry).ok_or_else(|| format!("not a custom metadata field: {entry}"));
        listed.iter().map(checked).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The options of a select field; empty for other types.
    pub(crate) fn options(&self, name: &str) -> &[Value] {
        match self.0.get(name).map(|field| &field.kind) {
            Some(Kind::SingleSelect(options) | Kind::MultiSelect(options)) => options,
            _ => &[],
        }
    }

    /// Selected values in the form that the field takes: a list for `MultiSelect`, else the first one.
    /// `None` if there is none.
    pub(crate) fn value_of(&self, name: &str, selected: &[Value]) -> Option<Value> {
        let first = selected.first()?;
        Some(match self.0.get(name).map(|field| &field.kind) {
            Some(Kind::MultiSelect(_)) => Value::Array(selected.to_vec()),
            _ => first.clone(),
        })
    }

    /// Checks a `customMetadata` object without enforcing that required fields are present.
    ///
    /// # Errors
    /// The error of each invalid field, by name.
    pub(crate) fn check(
        &self,
        values: Map<String, Value>,
    ) -> Result<MetadataChange, Map<String, Value>> {
        self.check_update(values, RequiredFields::default())
    }

    /// Checks the `customMetadata` object of an update.
    ///
    /// # Errors
    /// The error of each invalid or missing field, by name.
    pub(crate) fn check_update(
        &self,
        values: Map<String, Value>,
        required: RequiredFields,
    ) -> Result<MetadataChange, Map<String, Value>> {
        let invalid = values.iter().filter_map(|(name, value)| {
            Some((name.clone(), self.value_error(name, value, required)?.into()))
        });
        let missing = self.0.iter().filter(|(name, field)| {
            required == RequiredFields::Given && field.required && !values.contains_key(*name)
        });
        let missing = missing.map(|(name, _)| (name.clone(), REQUIRED.into()));
        let errors: Map<String, Value> = invalid.chain(missing).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let change =
            values.into_iter().map(|(name, value)| (name, (!value.is_null()).then_some(value)));
        Ok(MetadataChange(change.collect()))
    }

    /// The error of a change, by the fields that are defined; others are allowed.
    pub(crate) fn change_error(
        &self,
        change: &MetadataChange,
        required: RequiredFields,
    ) -> Option<String> {
        let known = change.0.iter().filter(|(name, _)| self.contains(name));
        let mut errors = known.filter_map(|(name, value)| {
            let value = value.as_ref().unwrap_or(&Value::Null);
            Some(format!("{name}: {}", self.value_error(name, value, required)?))
        });
        let is_given = |name: &String| change.0.iter().any(|(given, _)| given == name);
        let is_missing = |(name, field): &(&String, &Field)| field.required && !is_given(name);
        let all_required = required == RequiredFields::Given && !change.0.is_empty();
        errors.next().or_else(|| {
            let missing = self.0.iter().filter(|_| all_required).filter(is_missing);
            missing.map(|(name, _)| format!("{name}: {REQUIRED}")).min()
        })
    }

    fn value_error(&self, name: &str, value: &Value, required: RequiredFields) -> Option<String> {
        let Some(field) = self.0.get(name) else {
            return Some("This custom metadata field does not exist.".to_owned());
        };
        if value.is_null() {
            let is_rejected = field.required && required != RequiredFields::NotEnforced;
            return is_rejected.then(|| REQUIRED.to_owned());
        }
        field.kind.value_error(value)
    }
}

impl Kind {
    fn new(schema: &Value) -> Option<Self> {
        let options = || schema["selectOptions"].as_array().cloned();
        let date = |key: &str| schema[key].as_str().and_then(date_ms);
        Some(match schema["type"].as_str()? {
            "Text" | "Textarea" => Self::Text {
                length_min: schema["minLength"].as_u64().unwrap_or(0),
                length_max: schema["maxLength"].as_u64().unwrap_or(u64::MAX),
            },
            "Number" => Self::Number {
                min: schema["minValue"].as_f64().unwrap_or(f64::NEG_INFINITY),
                max: schema["maxValue"].as_f64().unwrap_or(f64::INFINITY),
            },
            "Date" => Self::Date { min: date("minValue"), max: date("maxValue") },
            "Boolean" => Self::Boolean,
            "SingleSelect" => Self::SingleSelect(options()?),
            "MultiSelect" => Self::MultiSelect(options()?),
            _ => return None,
        })
    }

    fn value_error(&self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::Text { length_min, length_max }, Value::String(text)) => {
                let length = text.chars().count() as u64;
                let fits = (*length_min..=*length_max).contains(&length);
                (!fits)
                    .then(|| format!("The length should be between {length_min} and {length_max}."))
            }
            (Self::Text { .. }, _) => Some("The value should be a string.".to_owned()),
            (Self::Number { min, max }, Value::Number(number)) => {
                let fits = number.as_f64().is_some_and(|number| (*min..=*max).contains(&number));
                (!fits).then(|| format!("The value should be between {min} and {max}."))
            }
            (Self::Number { .. }, _) => Some("The value should be a number.".to_owned()),
            (Self::Date { min, max }, Value::String(text)) => date_error(text, *min, *max),
            (Self::Date { .. }, _) => {
                Some("The value should be an ISO 8601 date string.".to_owned())
            }
            (Self::Boolean, value) => {
                (!value.is_boolean()).then(|| "The value should be a boolean.".to_owned())
            }
            (Self::SingleSelect(options), value) => (!is_option(options, value))
                .then(|| format!("The value should be one of {}.", Value::from(options.clone()))),
            (Self::MultiSelect(options), Value::Array(values)) => {
                let invalid = values.iter().find(|value| !is_option(options, value))?;
                Some(format!("{invalid} is not one of {}.", Value::from(options.clone())))
            }
            (Self::MultiSelect(_), _) => Some("The value should be an array.".to_owned()),
        }
    }
}

fn date_error(text: &str, min: Option<i64>, max: Option<i64>) -> Option<String> {
    let Some(ms) = date_ms(text) else {
        return Some("The value should be an ISO 8601 date string.".to_owned());
    };
    let fits = min.is_none_or(|min| min <= ms) && max.is_none_or(|max| ms <= max);
    (!fits).then(|| "The date is out of the allowed range.".to_owned())
}

/// Parses a timestamp, or a date with or without a time in UTC, into milliseconds since 1970.
pub(crate) fn date_ms(text: &str) -> Option<i64> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(stamp.as_millisecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    let stamp = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(stamp.as_millisecond())
}

/// Whether a value is one of the options. Types matter (`"30"` is not `30`), but `30` equals `30.0`,
/// since JSON has only one number type.
fn is_option(options: &[Value], value: &Value) -> bool {
    let same = |option: &Value| match (option, value) {
        (Value::Number(a), Value::Number(b)) => Number::as_f64(a) == Number::as_f64(b),
        (a, b) => a == b,
    };
    options.iter().any(same)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults;
    use crate::library::metadata::Metadata;

    fn error(name: &str, value: Value) -> Option<Value> {
        let fields = Fields::new(&defaults::fields()).unwrap();
        let values = Map::from_iter([(name.to_owned(), value)]);
        fields.check(values).err().map(|mut errors| errors.remove(name).unwrap())
    }

    #[test]
    fn every_type_accepts_its_own_values() {
        let good = [
            ("brand", json!("Nike")),
            ("brand", json!("")),
            ("caption", json!("two\nlines")),
            ("price", json!(12.5)),
            ("price", json!(0)),
            ("rights_until", json!("2030-01-31T00:00:00.000Z")),
            ("rights_until", json!("2030-01-31T01:00:00+01:00")),
            ("rights_until", json!("2030-01-31")),
            ("approved", json!(false)),
            ("size", json!("small")),
            ("size", json!(30)),
            ("size", json!(30.0)),
            ("size", json!(true)),
            ("channels", json!(["web", 2024, false])),
            ("channels", json!([])),
            ("sku", json!("abc")),
        ];
        for (name, value) in good {
            assert_eq!(error(name, value.clone()), None, "{name} {value}");
        }
    }

    #[test]
    fn every_type_rejects_values_of_others() {
        let bad = [
            ("brand", json!(5)),
            ("brand", json!(["Nike"])),
            ("caption", json!(true)),
            ("price", json!("12.5")),
            ("rights_until", json!(20_300_131)),
            ("rights_until", json!("31.01.2030")),
            ("rights_until", json!("2030-02-30")),
            ("approved", json!("true")),
            ("approved", json!(1)),
            ("size", json!("30")),
            ("size", json!("true")),
            ("size", json!(["small"])),
            ("channels", json!("web")),
            ("channels", json!(["2024"])),
            ("channels", json!([null])),
            ("undefined", json!("value")),
            ("undefined", json!(null)),
        ];
        for (name, value) in bad {
            assert!(error(name, value.clone()).is_some(), "{name} {value}");
        }
    }

    #[test]
    fn lengths_and_ranges_are_enforced() {
        assert_eq!(error("brand", json!("ä".repeat(60))), None);
        assert!(error("brand", json!("ä".repeat(61))).is_some());
        assert!(error("sku", json!("ab")).is_some());
        assert_eq!(error("price", json!(100_000)), None);
        assert!(error("price", json!(100_000.5)).is_some());
        assert!(error("price", json!(-1)).is_some());
        assert!(error("rights_until", json!("1999-12-31")).is_some());
    }

    #[test]
    fn change_merges_and_null_unsets() {
        let fields = Fields::new(&defaults::fields()).unwrap();
        let mut metadata = Metadata::default();
        metadata.set("brand", json!("Nike"));
        metadata.set("color", json!("red"));
        let Value::Object(values) = json!({"brand": null, "price": 5}) else { unreachable!() };
        metadata.apply(fields.check(values).unwrap());
        assert_eq!(serde_json::to_value(&metadata).unwrap(), json!({"color": "red", "price": 5}));
    }

    #[test]
    fn enforcement_of_required_fields_is_configurable() {
        let listed = [
            json!({"name": "must", "schema": {"type": "Text", "isValueRequired": true}}),
            json!({"name": "may", "schema": {"type": "Text"}}),
        ];
        let fields = Fields::new(&listed).unwrap();
        let is_valid = |values: &Value, required| {
            fields.check_update(values.as_object().unwrap().clone(), required).is_ok()
        };
        let all = [RequiredFields::NotEnforced, RequiredFields::NotUnset, RequiredFields::Given];
        let valid = |values: Value| all.map(|required| is_valid(&values, required));
        assert_eq!(valid(json!({"must": null})), [true, false, false]);
        assert_eq!(valid(json!({"may": null})), [true, true, false]);
        assert_eq!(valid(json!({"may": null, "must": "x"})), [true, true, true]);
    }

    #[test]
    fn invalid_field_definitions_are_rejected() {
        assert!(Fields::new(&[json!({"name": "x", "schema": {"type": "Colour"}})]).is_err());
        assert!(Fields::new(&[json!({"label": "x"})]).is_err());
        assert!(Fields::new(&[json!({"name": "x", "schema": {"type": "SingleSelect"}})]).is_err());
    }
}
