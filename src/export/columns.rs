//! The columns of an exported sheet.

use serde_json::Value;

use super::read_only::ReadOnly;
use crate::imagekit::ListedFile;
use crate::input::{own, worksheet_number};
use crate::row::{
    Encoded, Field, FieldType, MetadataField, Rules, Schema, SchemaError, encode_as_json,
    encode_as_text,
};
use crate::workbook_file::CELL_LENGTH_MAX;

/// One column of an exported sheet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    /// Name of the column, for people; ignored when the sheet is applied.
    ReadOnly(String, ReadOnly),
    /// Name of the column, and the field that it sets on import.
    Field(String, Field),
}

/// The columns in order; the first is `fileId`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns(Vec<Column>);

/// Why the requested columns cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// There is no such column.
    #[error("unknown column {name:?}; known columns are {known} and customMetadata.<name>")]
    Unknown {
        /// The requested name.
        name: String,
        /// Comma-separated names of the known columns.
        known: String,
    },
    /// The column is requested twice.
    #[error("column {name:?} is listed twice")]
    Duplicate {
        /// The requested name.
        name: String,
    },
    /// The custom metadata field does not exist or is ambiguous.
    #[error(transparent)]
    Metadata(#[from] SchemaError),
}

/// The columns that are exported by default, besides custom metadata.
const DEFAULT: [(&str, Field); 3] = [
    ("tags", Field::Tags),
    ("customCoordinates", Field::CustomCoordinates),
    ("description", Field::Description),
];
/// Not a default column: on import it costs a separate request, and not every plan supports it.
const PUBLISHED: (&str, Field) = ("isPublished", Field::IsPublished);

impl Columns {
    /// The default columns: all fields that every plan can edit.
    #[must_use]
    pub(crate) fn usual(schema: &Schema) -> Self {
        let metadata = schema.fields().map(|field| {
            let name = MetadataField::column_of(&field.name);
            Column::Field(name, Field::CustomMetadata(field))
        });
        let fixed = DEFAULT.map(|(name, field)| Column::Field(name.to_owned(), field));
        Self::with_id(
            [Column::read_only(ReadOnly::FILE_PATH, schema)]
                .into_iter()
                .chain(fixed)
                .chain(metadata)
                .collect(),
        )
    }

    /// The columns with these names, after `fileId`.
    ///
    /// # Errors
    /// A name is unknown or repeated.
    pub(crate) fn named<'n>(
        names: impl Iterator<Item = &'n str>,
        schema: &Schema,
    ) -> Result<Self, ColumnError> {
        let mut columns = Vec::new();
        for name in names.filter(|name| *name != "fileId") {
            let column = Column::named(name, schema)?;
            if columns.contains(&column) {
                return Err(ColumnError::Duplicate { name: name.to_owned() });
            }
            columns.push(column);
        }
        Ok(Self::with_id(columns))
    }

    fn with_id(mut columns: Vec<Column>) -> Self {
        columns.insert(0, Column::Field("fileId".to_owned(), Field::FileId));
        Self(columns)
    }

    /// The columns in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Column> {
        self.0.iter()
    }
}

impl Column {
    fn named(name: &str, schema: &Schema) -> Result<Self, ColumnError> {
        if let Some(metadata) = MetadataField::name_in_column(name) {
            let field = schema.resolve(metadata)?;
            let name = MetadataField::column_of(&field.name);
            return Ok(Self::Field(name, Field::CustomMetadata(field)));
        }
        let mut fields = DEFAULT.into_iter().chain([PUBLISHED]);
        if let Some((name, field)) = fields.find(|(known, _)| *known == name) {
            return Ok(Self::Field(name.to_owned(), field));
        }
        let read_only = ReadOnly::named(name).map(|column| Self::read_only(column, schema));
        read_only.ok_or_else(|| {
            let editable = DEFAULT.iter().chain([&PUBLISHED]).map(|(name, _)| *name);
            let known: Vec<&str> = editable.chain(ReadOnly::names()).collect();
            ColumnError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// A read-only column. If a sheet with its name would set a custom metadata field of the account,
    /// it has a name that no sheet reads.
    fn read_only(column: ReadOnly, schema: &Schema) -> Self {
        let name = column.name();
        let is_unknown = matches!(schema.resolve_loosely(&name), Err(SchemaError::Unknown { .. }));
        let is_free = is_unknown || Field::fixed(&name).is_some();
        Self::ReadOnly(if is_free { name } else { own::FILE.to_owned() + &name }, column)
    }

    /// The name in the header.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        let (Self::ReadOnly(name, _) | Self::Field(name, _)) = self;
        name.clone()
    }

    /// Whether this is the `fileId` column.
    #[must_use]
    pub(crate) fn names_file(&self) -> bool {
        matches!(self, Self::Field(_, Field::FileId))
    }

    /// The file's value as a CSV cell.
    #[must_use]
    pub(crate) fn as_text(&self, file: &ListedFile, rules: &Rules) -> Encoded<String> {
        match self {
            Self::ReadOnly(_, column) => column.as_text(file, rules),
            Self::Field(_, field) => encode_as_text(field, &value(field, file), rules),
        }
    }

    /// The file's value as a cell of a worksheet: a number, a boolean or text.
    #[must_use]
    pub(crate) fn as_cell(&self, file: &ListedFile, rules: &Rules) -> Encoded<Value> {
        let typed = match self {
            Self::ReadOnly(_, column) => column.as_json(file, rules),
            Self::Field(_, field) => {
                let value = value(field, file);
                let is_typed = match &value {
                    // A worksheet stores numbers with about 15 digits, and does not tell 12 from 12.0.
                    Value::Number(number) => {
                        let stored = number.as_f64().and_then(worksheet_number);
                        field.takes(FieldType::Number) && stored.as_ref() == Some(number)
                    }
                    Value::Bool(_) => field.takes(FieldType::Boolean),
                    _ => false,
                };
                if is_typed { encode_as_json(field, value, rules) } else { Encoded::Nothing }
            }
        };
        if let Encoded::As(Value::Bool(_) | Value::Number(_)) = typed {
            return typed;
        }
        match self.as_text(file, rules) {
            Encoded::As(text) if text.chars().count() > CELL_LENGTH_MAX => {
                Encoded::NotRepresentable
            }
            Encoded::As(text) => Encoded::As(Value::String(text)),
            Encoded::Nothing => Encoded::Nothing,
            Encoded::NotRepresentable => Encoded::NotRepresentable,
        }
    }

    /// Whether the values are dates.
    #[must_use]
    pub(super) fn has_dates(&self) -> bool {
        let Self::Field(_, Field::CustomMetadata(field)) = self else { return false };
        field.rule.as_ref().is_some_and(|rule| rule.kind == FieldType::Date)
    }

    /// The file's value as JSON.
    #[must_use]
    pub(crate) fn as_json(&self, file: &ListedFile, rules: &Rules) -> Encoded<Value> {
        match self {
            Self::ReadOnly(_, column) => column.as_json(file, rules),
            Self::Field(_, field) => encode_as_json(field, value(field, file), rules),
        }
    }
}

/// The file's value in a field; null if there is none.
fn value(field: &Field, file: &ListedFile) -> Value {
    let value = match field {
        Field::FileId => return Value::String(file.file_id.clone()),
        Field::Tags => file.value("tags"),
        Field::CustomCoordinates => file.value("customCoordinates"),
        Field::Description => file.value("description"),
        Field::IsPublished => file.value("isPublished"),
        Field::CustomMetadata(field) => {
            file.value("customMetadata").and_then(|all| all.get(&*field.name))
        }
        _ => None,
    };
    value.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let fields = r#"[{"name": "price", "label": "List price", "schema": {"type": "Number"}},
                         {"name": "brand", "label": "Brand", "schema": {"type": "Text"}}]"#;
        Schema::from_json(fields.as_bytes()).expect("a schema")
    }

    fn names(columns: &Columns) -> Vec<String> {
        columns.iter().map(Column::name).collect()
    }

    #[test]
    fn default_columns_are_editable_with_every_plan() {
        let columns = Columns::usual(&schema());
        let fixed = ["fileId", "filePath", "tags", "customCoordinates", "description"];
        let metadata = ["customMetadata.brand", "customMetadata.price"];
        assert_eq!(names(&columns), [&fixed[..], &metadata[..]].concat());
    }

    #[test]
    fn columns_resolve_by_name_or_label_without_duplicates() {
        let named = |names: &[&'static str]| Columns::named(names.iter().copied(), &schema());
        let columns = named(&["customMetadata.List price", "fileId", "tags"]).expect("all known");
        assert_eq!(names(&columns), ["fileId", "customMetadata.price", "tags"]);
        let error = named(&["tag"]).expect_err("unknown").to_string();
        assert!(
            error.starts_with("unknown column \"tag\"; known columns are tags, customCoordinates,")
        );
        let error = named(&["tags", "tags"]).expect_err("twice").to_string();
        assert_eq!(error, "column \"tags\" is listed twice");
        assert!(named(&["customMetadata.size"]).is_err());
    }
}
