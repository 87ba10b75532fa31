//! Custom metadata: the account's fields and their validation rules.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Number, Value};

use super::Rules;
use super::cell::Cell;
use super::field::{Field, METADATA, MetadataField};
use super::list::words_of_text;
use super::locale::{self, Ambiguous};
use super::problem::Invalid;
use super::suggest::{closest_name, fold};
use crate::plural::plural;

/// A custom metadata value in the type that the API expects: a string, a number, a boolean, or an
/// array of them.
pub(crate) type MetadataValue = Value;

/// The account's custom metadata fields, from `GET /v1/customMetadataFields`.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    by_name: HashMap<Arc<str>, Arc<MetadataRule>>,
    names_by_label: HashMap<String, Vec<Arc<str>>>,
    /// Names by name or label without case, blanks and punctuation.
    names_by_folded: HashMap<String, BTreeSet<Arc<str>>>,
}

/// Why a field name could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// No field has this name or label.
    #[error("the account has no custom metadata field {name:?}; {suggestion}known fields: {known}")]
    Unknown {
        /// The name in the input.
        name: String,
        /// `did you mean …? `, or empty.
        suggestion: String,
        /// Comma-separated names of the account's fields.
        known: String,
    },
    /// Several fields share this label.
    #[error(
        "several custom metadata fields have the label {name:?}; use one of their names: {names}"
    )]
    Ambiguous {
        /// The label in the input.
        name: String,
        /// Comma-separated names of the fields with this label.
        names: String,
    },
}

/// One field of the account. Deserialized leniently: unknown keys are ignored.
#[derive(Debug, Clone, Deserialize)]
struct AccountField {
    name: String,
    #[serde(default)]
    label: String,
    schema: MetadataRule,
}

/// The validation rule of one field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetadataRule {
    /// The type of the field.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// The options of a select field; strings, numbers and booleans, where `"30"` and `30` differ.
    #[serde(default)]
    pub select_options: Vec<Value>,
    /// Whether the account requires a value.
    #[serde(default)]
    pub is_value_required: bool,
    /// Minimum of a number or date.
    #[serde(default)]
    pub min_value: Option<Value>,
    /// Maximum of a number or date.
    #[serde(default)]
    pub max_value: Option<Value>,
    /// Minimum length of a text, in characters.
    #[serde(default)]
    pub min_length: Option<f64>,
    /// Maximum length of a text, in characters.
    #[serde(default)]
    pub max_length: Option<f64>,
}

/// The type of a custom metadata field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum FieldType {
    /// Single-line text.
    Text,
    /// Multi-line text.
    Textarea,
    /// A number, optionally with bounds.
    Number,
    /// An ISO 8601 date, with or without a time.
    Date,
    /// `true` or `false`.
    Boolean,
    /// Exactly one of the options.
    SingleSelect,
    /// Any number of the options.
    MultiSelect,
    /// A type that this program does not know; values are sent as is.
    #[serde(other)]
    Other,
}

impl Schema {
    /// Parses the API response.
    ///
    /// # Errors
    /// The response is not an array of fields.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        let mut schema = Self::default();
        for field in serde_json::from_slice::<Vec<AccountField>>(json)? {
            let name: Arc<str> = field.name.into();
            for written in [&*name, &*field.label] {
                let names = schema.names_by_folded.entry(fold(written)).or_default();
                names.insert(Arc::clone(&name));
            }
            schema.names_by_label.entry(field.label).or_default().push(Arc::clone(&name));
            schema.by_name.insert(name, Arc::new(field.schema));
        }
        Ok(schema)
    }

    /// Finds a field by name, or else by label: people know labels, the API expects names.
    ///
    /// # Errors
    /// No field matches, or several have this label.
    pub fn resolve(&self, wanted: &str) -> Result<MetadataField, SchemaError> {
        if let Some(field) = self.named(wanted) {
            return Ok(field);
        }
        match self.names_by_label.get(wanted).map_or(&[][..], Vec::as_slice) {
            [name] => {
                let rule = self.by_name.get(name).map(Arc::clone);
                Ok(MetadataField { name: Arc::clone(name), rule })
            }
            [] => Err(SchemaError::Unknown {
                name: wanted.to_owned(),
                suggestion: self.suggest(wanted),
                known: self.joined_names(),
            }),
            names => {
                Err(SchemaError::Ambiguous { name: wanted.to_owned(), names: names.join(", ") })
            }
        }
    }

    /// All fields, sorted by name.
    pub fn fields(&self) -> impl Iterator<Item = MetadataField> {
        let mut fields: Vec<MetadataField> = self
            .by_name
            .iter()
            .map(|(name, rule)| MetadataField {
                name: Arc::clone(name),
                rule: Some(Arc::clone(rule)),
            })
            .collect();
        fields.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        fields.into_iter()
    }

    /// `did you mean …? ` for the closest name or label, or an empty string.
    fn suggest(&self, wanted: &str) -> String {
        let close = closest_name(wanted, self.names_and_labels().map(|(known, _)| known));
        close.map_or(String::new(), |close| format!("did you mean {close:?}? "))
    }

    /// Finds a field by name or label, ignoring case, blanks and punctuation where no name is equal.
    ///
    /// # Errors
    /// No field matches, or several do.
    pub fn resolve_loosely(&self, wanted: &str) -> Result<MetadataField, SchemaError> {
        let exact = self.resolve(wanted);
        if !matches!(exact, Err(SchemaError::Unknown { .. })) {
            return exact;
        }
        let names = self.names_by_folded.get(&fold(wanted)).filter(|_| !fold(wanted).is_empty());
        let names: Vec<&str> = names.into_iter().flatten().map(AsRef::as_ref).collect();
        match names.as_slice() {
            [] => exact,
            [name] => self.resolve(name),
            several => {
                Err(SchemaError::Ambiguous { name: wanted.to_owned(), names: several.join(", ") })
            }
        }
    }

    /// The name of the field whose name or label `written` most likely is a misspelling of.
    #[must_use]
    pub fn closest(&self, written: &str) -> Option<&str> {
        let close = closest_name(written, self.names_and_labels().map(|(known, _)| known))?;
        self.names_and_labels().find(|(known, _)| *known == close).map(|(_, name)| name)
    }

    /// Pairs of (name or label, name).
    fn names_and_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.by_name.keys().map(|name| (name.as_ref(), name.as_ref()));
        let labels = self.names_by_label.iter();
        names.chain(labels.flat_map(|(label, names)| {
            names.iter().map(move |name| (label.as_str(), name.as_ref()))
        }))
    }

    /// The field with exactly this name.
    pub(super) fn named(&self, name: &str) -> Option<MetadataField> {
        let (name, rule) = self.by_name.get_key_value(name)?;
        Some(MetadataField { name: Arc::clone(name), rule: Some(Arc::clone(rule)) })
    }

    pub(crate) fn joined_names(&self) -> String {
        let mut names: Vec<&str> = self.by_name.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl MetadataField {
    /// A field without a validation rule, as with `--no-schema`.
    #[must_use]
    pub fn unchecked(name: &str) -> Self {
        Self { name: name.into(), rule: None }
    }

    /// The column that sets the field `name`: `customMetadata.<name>`.
    #[must_use]
    pub fn column_of(name: &str) -> String {
        [METADATA, ".", name].concat()
    }

    /// The field name in a column `customMetadata.<name>`; `None` for any other column.
    #[must_use]
    pub fn name_in_column(column: &str) -> Option<&str> {
        let name = column.strip_prefix(METADATA)?.strip_prefix('.')?.trim();
        (!name.is_empty()).then_some(name)
    }
}

/// Parses and validates a cell; without a rule, the value is taken as is.
pub(super) fn value(
    field: &MetadataField,
    cell: Cell<'_>,
    rules: &Rules,
) -> Result<MetadataValue, Invalid> {
    match field.rule.as_deref() {
        Some(rule) => value_by(rule, field, cell, rules),
        None => verbatim(field, cell, rules),
    }
}

/// Parses and validates a cell by a rule, which may be another one than that of the field.
pub(super) fn value_by(
    rule: &MetadataRule,
    field: &MetadataField,
    cell: Cell<'_>,
    rules: &Rules,
) -> Result<MetadataValue, Invalid> {
    match rule.kind {
        FieldType::Text | FieldType::Textarea => text(rule, cell),
        FieldType::Number => number(rule, cell, rules),
        FieldType::Date => date(rule, cell, rules),
        FieldType::Boolean => cell
            .boolean()
            .map(Value::Bool)
            .ok_or_else(|| Invalid::new("is not a boolean", "write true or false")),
        FieldType::SingleSelect => option(rule, cell),
        FieldType::MultiSelect => options(rule, field, cell, rules),
        FieldType::Other => verbatim(field, cell, rules),
    }
}

fn verbatim(field: &MetadataField, cell: Cell<'_>, rules: &Rules) -> Result<Value, Invalid> {
    match cell {
        Cell::Text(text) => Ok(Value::String(text.to_owned())),
        Cell::Json(Value::Array(array)) => words_of_array(array, field, rules),
        Cell::Json(value) => Ok(value.clone()),
    }
}

/// The array with its strings as words of a list.
fn words_of_array(array: &[Value], field: &MetadataField, rules: &Rules) -> Result<Value, Invalid> {
    let field = Field::CustomMetadata(field.clone());
    let word = |value: &Value| match value {
        Value::String(text) => rules.word(&field, text).map(Value::from),
        other => Ok(other.clone()),
    };
    array.iter().map(word).collect()
}

fn text(rule: &MetadataRule, cell: Cell<'_>) -> Result<Value, Invalid> {
    let text = cell.text().ok_or_else(|| Invalid::new("is not a string", "write a string"))?;
    let characters = text.chars().count() as u64;
    #[expect(clippy::cast_precision_loss, reason = "no text is 2^53 characters long")]
    let length = characters as f64;
    let has = plural(characters, "character", "characters");
    if let Some(min) = rule.min_length.filter(|min| length < *min) {
        let problem = format!("has {has}, the field requires at least {min}");
        return Err(Invalid::new(problem, "write a longer text"));
    }
    if let Some(max) = rule.max_length.filter(|max| length > *max) {
        let problem = format!("has {has}, the field allows at most {max}");
        return Err(Invalid::new(problem, "write a shorter text"));
    }
    Ok(Value::String(text.to_owned()))
}

fn number(rule: &MetadataRule, cell: Cell<'_>, rules: &Rules) -> Result<Value, Invalid> {
    let number = match cell {
        Cell::Json(Value::Number(number)) => Some(number.clone()),
        other => match other.trimmed_text() {
            Some(text) => read_number(text, rules)?,
            None => None,
        },
    };
    let number = number
        .ok_or_else(|| Invalid::new("is not a number", "write a number without unit, like 12.5"))?;
    let bound = |bound: &Option<Value>| bound.as_ref().and_then(Value::as_f64);
    let float = number.as_f64().unwrap_or(f64::NAN);
    if let Some(min) = bound(&rule.min_value).filter(|min| float < *min) {
        return Err(Invalid::new(
            format!("is below the field's minimum {min}"),
            "write a greater number",
        ));
    }
    if let Some(max) = bound(&rule.max_value).filter(|max| float > *max) {
        return Err(Invalid::new(
            format!("is above the field's maximum {max}"),
            "write a smaller number",
        ));
    }
    Ok(Value::Number(number))
}

/// Parses a number, as JSON has it or as people write it.
fn read_number(text: &str, rules: &Rules) -> Result<Option<Number>, Invalid> {
    // `1.234` has a second reading in languages with a decimal comma.
    let number = if rules.locale.is_none() { parse_number(text) } else { None };
    if number.is_some() {
        return Ok(number);
    }
    let read = locale::number(text, rules.locale).map_err(ambiguous)?;
    Ok(read.or_else(|| parse_number(text)))
}

fn ambiguous(Ambiguous { readings: [one, other] }: Ambiguous) -> Invalid {
    Invalid::new(
        format!("can mean {one} or {other}"),
        format!("write {one} or {other}, or pass --locale, like --locale de or --locale en-US"),
    )
}

/// Parses a JSON number; also accepts a leading `+`, `.` or zeros.
fn parse_number(text: &str) -> Option<Number> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    text.chars().all(numeric).then(|| text.parse().ok()).flatten().and_then(Number::from_f64)
}

fn date(rule: &MetadataRule, cell: Cell<'_>, rules: &Rules) -> Result<Value, Invalid> {
    let suggestion = "write a date like 2026-11-24, 24.11.2026 or 2026-11-24T10:30:00Z";
    let text = cell.trimmed_text().ok_or_else(|| Invalid::new("is not a string", suggestion))?;
    let local = match instant(text) {
        Some(_) => None,
        None => locale::date(text, rules.locale).map_err(ambiguous)?,
    };
    let text = local.as_deref().unwrap_or(text);
    let date = instant(text).ok_or_else(|| Invalid::new("is not a date", suggestion))?;
    let bound = |bound: &Option<Value>| bound.as_ref().and_then(Value::as_str).and_then(instant);
    if bound(&rule.min_value).is_some_and(|min| date < min) {
        return Err(Invalid::new("is before the field's earliest date", "write a later date"));
    }
    if bound(&rule.max_value).is_some_and(|max| date > max) {
        return Err(Invalid::new("is after the field's latest date", "write an earlier date"));
    }
    Ok(Value::String(text.to_owned()))
}

/// Parses a date, with or without a time. UTC if there is no offset; this matters only at the
/// bounds of a field's range.
pub(crate) fn instant(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp);
    }
    let datetime = text.parse::<jiff::civil::DateTime>().ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(datetime).ok()
}

fn option(rule: &MetadataRule, cell: Cell<'_>) -> Result<Value, Invalid> {
    match cell {
        Cell::Text(text) => option_from_text(rule, text),
        Cell::Json(value) if rule.select_options.contains(value) => Ok(value.clone()),
        Cell::Json(Value::String(text)) => option_from_text(rule, text),
        Cell::Json(Value::Number(number)) => {
            let is_equal =
                |option: &&Value| option.as_f64().is_some_and(|it| Some(it) == number.as_f64());
            rule.select_options.iter().find(is_equal).cloned().ok_or_else(|| not_an_option(rule))
        }
        Cell::Json(_) => Err(not_an_option(rule)),
    }
}

/// Finds the option with this text. Text that matches both a string and a number or boolean is
/// rejected as ambiguous; JSON tells the two apart (`"30"` or `30`).
fn option_from_text(rule: &MetadataRule, text: &str) -> Result<Value, Invalid> {
    let word = text.trim();
    let matches = |option: &&Value| match option {
        Value::String(string) => string == text || string.trim() == word,
        Value::Bool(boolean) => word.eq_ignore_ascii_case(if *boolean { "true" } else { "false" }),
        Value::Number(number) => number.to_string() == word,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let mut matching = rule.select_options.iter().filter(matches);
    match (matching.next(), matching.next()) {
        (Some(option), None) => Ok(option.clone()),
        (Some(_), Some(_)) => Err(Invalid::new(
            "matches two options of the field, only one of them a string",
            format!("use a JSONL input and write \"{word}\" or {word}"),
        )),
        (None, _) => match serde_json::from_str::<Value>(word) {
            Ok(quoted) if rule.select_options.contains(&quoted) => Ok(quoted),
            _ => Err(not_an_option(rule)),
        },
    }
}

pub(super) fn not_an_option(rule: &MetadataRule) -> Invalid {
    const SHOWN_MAX: usize = 12;
    let mut shown: Vec<String> =
        rule.select_options.iter().take(SHOWN_MAX).map(Value::to_string).collect();
    if rule.select_options.len() > SHOWN_MAX {
        shown.push("…".to_owned());
    }
    Invalid::new("is not one of the field's options", format!("use one of {}", shown.join(", ")))
}

fn options(
    rule: &MetadataRule,
    field: &MetadataField,
    cell: Cell<'_>,
    rules: &Rules,
) -> Result<Value, Invalid> {
    let array: Vec<Value> = match (cell, cell.text()) {
        (Cell::Json(Value::Array(array)), _) => array.clone(),
        (_, Some(text)) if text.trim_start().starts_with('[') => serde_json::from_str(text)
            .map_err(|_| {
                Invalid::new("looks like a JSON array, but is not valid JSON", "fix the JSON")
            })?,
        (_, Some(text)) => {
            let words = words_of_text(text, rules.separator());
            words.map(|word| Value::String(word.into_owned())).collect()
        }
        (_, None) => return Err(Invalid::new("is not a list", "write a list of options")),
    };
    let array = words_of_array(&array, field, rules)?;
    let array = array.as_array().map_or(&[][..], Vec::as_slice);
    let mut chosen: Vec<Value> = Vec::with_capacity(array.len());
    for value in array {
        let value = option(rule, Cell::Json(value))?;
        if !chosen.contains(&value) {
            chosen.push(value);
        }
    }
    Ok(Value::Array(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(schema: Value) -> MetadataRule {
        serde_json::from_value(schema).expect("a rule")
    }

    fn parse(schema: Value, cell: Cell<'_>) -> Result<Value, Invalid> {
        let field = MetadataField { name: "field".into(), rule: Some(rule(schema).into()) };
        value(&field, cell, &Rules::default())
    }

    fn parse_text(schema: Value, text: &str) -> Result<Value, Invalid> {
        parse(schema, Cell::Text(text))
    }

    #[test]
    fn number_field_accepts_only_numbers_in_range() {
        let price = || json!({"type": "Number", "minValue": 1, "maxValue": 100});
        assert_eq!(parse_text(price(), " 12.50 ").ok(), Some(json!(12.5)));
        assert_eq!(parse_text(price(), "007").ok(), Some(json!(7)));
        for problem in ["1,250", "0", "101", "12 EUR", "NaN", "1e999", "inf"] {
            assert!(parse_text(price(), problem).is_err(), "{problem}");
        }
    }

    #[test]
    fn text_field_keeps_numeric_text_as_text() {
        assert_eq!(parse_text(json!({"type": "Text"}), "007").ok(), Some(json!("007")));
        assert!(parse(json!({"type": "Text"}), Cell::Json(&json!(7))).is_err());
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let name = || json!({"type": "Text", "minLength": 2, "maxLength": 3});
        assert!(parse_text(name(), "äöü").is_ok());
        assert!(parse_text(name(), "ä").is_err());
        assert!(parse_text(name(), "abcd").is_err());
    }

    #[test]
    fn date_field_accepts_only_dates_in_range() {
        let date = || json!({"type": "Date", "minValue": "2020-01-01T00:00:00.000Z"});
        assert!(parse_text(date(), "2026-11-24").is_ok());
        assert!(parse_text(date(), "2026-11-24T10:30:00+01:00").is_ok());
        for problem in ["24.11.26", "2019-12-31", "2026-13-01", "soon"] {
            assert!(parse_text(date(), problem).is_err(), "{problem}");
        }
    }

    #[test]
    fn select_option_keeps_its_json_type() {
        let size = || json!({"type": "SingleSelect", "selectOptions": ["small", 30, true]});
        assert_eq!(parse_text(size(), "small").ok(), Some(json!("small")));
        assert_eq!(parse_text(size(), "30").ok(), Some(json!(30)));
        assert_eq!(parse_text(size(), "TRUE").ok(), Some(json!(true)));
        assert!(parse_text(size(), "large").is_err());
    }

    #[test]
    fn option_text_matching_string_and_number_is_ambiguous() {
        let size = || json!({"type": "SingleSelect", "selectOptions": ["30", 30]});
        assert!(parse_text(size(), "30").is_err());
        let number = parse(size(), Cell::Json(&json!(30)));
        assert_eq!(number.ok(), Some(json!(30)));
    }

    #[test]
    fn multi_select_deduplicates_options() {
        let sizes = || json!({"type": "MultiSelect", "selectOptions": ["a", "b, c", 3]});
        assert_eq!(parse_text(sizes(), "a, 3,a").ok(), Some(json!(["a", 3])));
        assert_eq!(parse_text(sizes(), r#"["b, c",3]"#).ok(), Some(json!(["b, c", 3])));
        assert!(parse_text(sizes(), "a,d").is_err());
    }

    #[test]
    fn field_resolves_by_name_or_label() {
        let fields = br#"[{"id":"1","name":"sku","label":"SKU","schema":{"type":"Text"}},
            {"id":"2","name":"a","label":"Same","schema":{"type":"Text"}},
            {"id":"3","name":"b","label":"Same","schema":{"type":"Hologram"}}]"#;
        let schema = Schema::from_json(fields).expect("fields");
        assert_eq!(schema.resolve("sku").expect("name").name.as_ref(), "sku");
        assert_eq!(schema.resolve("SKU").expect("label").name.as_ref(), "sku");
        assert!(matches!(schema.resolve("Same"), Err(SchemaError::Ambiguous { .. })));
        let unknown = |name| schema.resolve(name).expect_err("there is none").to_string();
        assert!(unknown("nope").ends_with("field \"nope\"; known fields: a, b, sku"));
        assert!(unknown("skus").ends_with("; did you mean \"sku\"? known fields: a, b, sku"));
        for (bare, name) in [("SKU", Some("sku")), ("Sku", Some("sku")), ("skus", None)] {
            assert_eq!(
                schema.resolve_loosely(bare).ok().map(|field| field.name.to_string()).as_deref(),
                name,
                "{bare}"
            );
        }
        let later = schema.resolve("b").expect("name").rule.expect("a rule");
        assert_eq!(later.kind, FieldType::Other);
    }
}
