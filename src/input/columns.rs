//! Parses the header of a sheet.

use std::collections::HashSet;
use std::iter;
use std::sync::Arc;

use super::{Context, InputError, ReadOptions};
use crate::row::{
    Field, METADATA, MetadataField, closest_name, equals_loosely, starts_loosely_with,
};

/// Columns that ikbulk appends to the input's own in `failed.csv` and `unknown.csv`.
pub mod own {
    /// The row's [`crate::outcome::Status`].
    pub const STATUS: &str = "ikbulk.status";
    /// The row's [`crate::outcome::Code`].
    pub const CODE: &str = "ikbulk.code";
    /// The reason, for people.
    pub const MESSAGE: &str = "ikbulk.message";
    /// Fingerprints of the row's completed steps, in hexadecimal, separated by spaces.
    pub const DONE: &str = "ikbulk.done";
    /// All own columns, in order.
    pub const ALL: [&str; 4] = [STATUS, CODE, MESSAGE, DONE];
}

/// A parsed header.
#[derive(Debug, Clone)]
pub struct Columns {
    names: Vec<String>,
    /// The field of each column; `None` for ignored columns.
    fields: Vec<Option<Field>>,
    /// API names of the custom metadata columns.
    metadata: HashSet<Arc<str>>,
    /// Names of ignored columns, with hints, to show to the user.
    pub ignored: Vec<String>,
    /// Index of `fileId`.
    pub file_id: Option<usize>,
    /// Index of [`own::STATUS`], if the input contains rows of an earlier run.
    pub status: Option<usize>,
    /// Index of [`own::DONE`], if the input contains rows of an earlier run.
    pub done: Option<usize>,
}

impl Columns {
    /// Parses a header.
    ///
    /// # Errors
    /// No column identifies the files, no column changes anything, a column is repeated or
    /// misspelled, or the account does not have a custom metadata field.
    pub fn read<'h>(
        header: impl Iterator<Item = &'h str>,
        context: &Context,
    ) -> Result<Self, InputError> {
        let names: Vec<&str> = header.map(str::trim).collect();
        let mut columns = Self {
            names: Vec::new(),
            fields: Vec::new(),
            metadata: HashSet::new(),
            ignored: Vec::new(),
            file_id: None,
            status: None,
            done: None,
        };
        let fixed = |name: &&str| Field::fixed(name).is_some_and(|field| field.names_file());
        if let Some(why) = not_a_header(&names).filter(|_| !names.iter().any(fixed)) {
            return Err(header_error(why));
        }
        for name in &names {
            columns.add(name, context)?;
        }
        columns.check()?;
        for name in &mut columns.ignored {
            if let Some(column) = context.metadata_column(name, &columns.metadata) {
                *name += &format!(" (did you mean {column}?)");
            }
        }
        columns.file_id = columns.index_of(&Field::FileId);
        Ok(columns)
    }

    /// Appends a column.
    fn add(&mut self, name: &str, context: &Context) -> Result<(), InputError> {
        let field = context.field(name)?;
        let is_duplicate = match &field {
            Some(Field::CustomMetadata(field)) => !self.metadata.insert(Arc::clone(&field.name)),
            Some(_) => self.fields.contains(&field),
            None => false,
        };
        if is_duplicate {
            return Err(header_error(format!("column {name:?} appears twice; keep only one")));
        }
        match name {
            own::STATUS => self.status = Some(self.len()),
            own::DONE => self.done = Some(self.len()),
            _ if field.is_none() && !own::ALL.contains(&name) => {
                if let Some(close) = suggest_column(name, "customMetadata.<name>") {
                    return Err(header_error(format!(
                        "unknown column {name:?}; did you mean {close:?}? rename the column to that, \
                         or to a less similar name to have it ignored"
                    )));
                }
                self.ignored.push(name.to_owned());
            }
            _ => {}
        }
        self.fields.push(field);
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Checks that there is a column that identifies the files and one that changes something.
    fn check(&self) -> Result<(), InputError> {
        let (identifying, changing): (Vec<_>, Vec<_>) =
            self.fields.iter().flatten().partition(|field| field.names_file());
        if identifying.is_empty() {
            let listed = listed(&self.names);
            return Err(header_error(format!(
                "no column fileId, filePath or url; the header has {listed}"
            )));
        }
        if changing.is_empty() {
            let known = Field::FIXED.map(|(name, _)| name).join(", ");
            return Err(header_error(format!(
                "no column changes anything; known columns are {known} and customMetadata.<name>"
            )));
        }
        Ok(())
    }

    /// The number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no columns; never true for a parsed header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The index of the column of a field.
    fn index_of(&self, field: &Field) -> Option<usize> {
        self.fields.iter().position(|other| other.as_ref() == Some(field))
    }

    /// The columns that are not ignored: index, name and field.
    pub fn fields(&self) -> impl Iterator<Item = (usize, &str, &Field)> {
        let columns = self.names.iter().zip(&self.fields).enumerate();
        columns.filter_map(|(index, (name, field))| Some((index, name.as_str(), field.as_ref()?)))
    }
}

/// A name without case, blanks and punctuation: `File ID` and `file_id` are the same column.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a column with this name identifies the file.
pub(super) fn names_file(name: &str, _options: &ReadOptions) -> bool {
    matches!(fold(name).as_str(), "fileid" | "filepath" | "url")
}

/// The number of known columns in a record.
pub(super) fn known_columns(cells: &csv::ByteRecord, _options: &ReadOptions) -> usize {
    let is_known = |name: &str| {
        let name = fold(name);
        Field::FIXED.iter().any(|(known, _)| fold(known) == name)
    };
    cells.iter().filter(|cell| is_known(&String::from_utf8_lossy(cell))).count()
}

fn header_error(why: String) -> InputError {
    InputError::Header { why }
}

/// Explains a first line without an identifying column that is not a comma-separated header; `None`
/// if it looks like one.
fn not_a_header(names: &[&str]) -> Option<String> {
    let only = names.first().copied().unwrap_or_default();
    if names.iter().all(|name| name.is_empty()) {
        return Some(
            "the first line is empty; it must contain the column names, including fileId, filePath or url"
                .to_owned(),
        );
    }
    if only.starts_with('{') {
        return Some(
            "the input looks like JSON; pass --format jsonl, or use the extension .jsonl"
                .to_owned(),
        );
    }
    if only.starts_with('[') {
        return Some(
            "the input looks like a JSON array, which is not supported; write one object per line, \
             for example with `jq -c '.[]'`"
                .to_owned(),
        );
    }
    let separators = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    let (_, separators) = separators.iter().find(|(separator, _)| {
        let is_known = |name: &str| Field::fixed(name.trim()).is_some();
        names.len() == 1 && only.contains(*separator) && only.split(*separator).any(is_known)
    })?;
    Some(format!("the columns are separated by {separators}; save the sheet with commas"))
}

/// The first names, each shortened: a header can be arbitrary text.
fn listed(names: &[String]) -> String {
    const NAMES_MAX: usize = 12;
    const NAME_LENGTH_MAX: usize = 40;
    let short = |name: &String| {
        let short: String = name.chars().take(NAME_LENGTH_MAX).collect();
        let more = if short.len() < name.len() { "…" } else { "" };
        format!("{:?}", short + more)
    };
    let mut shown: Vec<String> = names.iter().take(NAMES_MAX).map(short).collect();
    if names.len() > NAMES_MAX {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// The known column that `name` is most likely a misspelling of, if any; `metadata` for custom
/// metadata without a recognizable field name.
pub(super) fn suggest_column(name: &str, metadata: &str) -> Option<String> {
    let known_columns = || Field::FIXED.iter().map(|(name, _)| *name).chain(own::ALL);
    let with_is = format!("is{name}");
    let close = closest_name(name, known_columns())
        .or_else(|| known_columns().find(|known| equals_loosely(&with_is, known)));
    close.map(str::to_owned).or_else(|| suggest_metadata_column(name, metadata))
}

fn suggest_metadata_column(name: &str, metadata: &str) -> Option<String> {
    let (prefix, field) = name.split_once('.').unwrap_or((name, ""));
    let is_prefix = closest_name(prefix, iter::once(METADATA)).is_some();
    match field.trim() {
        "" if is_prefix => Some(metadata.to_owned()),
        field if is_prefix => Some(MetadataField::column_of(field)),
        _ => starts_loosely_with(name, METADATA).then(|| metadata.to_owned()),
    }
}

impl Context {
    /// The field of a column or key; `None` if it is unknown.
    pub(super) fn field(&self, name: &str) -> Result<Option<Field>, InputError> {
        if let Some(field) = Field::fixed(name) {
            return Ok(Some(field));
        }
        let Some(metadata) = MetadataField::name_in_column(name) else {
            return Ok(None);
        };
        let field = self.metadata(metadata);
        field
            .map(|field| Some(Field::CustomMetadata(field)))
            .map_err(|source| InputError::Metadata { column: name.to_owned(), source })
    }

    /// The column of the account's field with this name or label, ignoring case and punctuation;
    /// `None` if there is none, or it is in `existing`.
    pub(super) fn metadata_column(
        &self,
        bare: &str,
        existing: &HashSet<Arc<str>>,
    ) -> Option<String> {
        let name = self.schema.as_ref()?.find_loosely(bare)?;
        (!existing.contains(name)).then(|| MetadataField::column_of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggest(name: &str) -> Option<String> {
        suggest_column(name, "customMetadata.<name>")
    }

    #[test]
    fn misspelled_columns_are_suggested() {
        for (name, suggestion) in [
            ("FILEID", "fileId"),
            ("file_id", "fileId"),
            ("fielId", "fileId"),
            ("File Path", "filePath"),
            ("urls", "url"),
            ("Tags", "tags"),
            ("tag", "tags"),
            ("tgas", "tags"),
            ("add_tag", "addTags"),
            ("removAItags", "removeAITags"),
            ("custom coordinate", "customCoordinates"),
            ("descripton", "description"),
            ("discription", "description"),
            ("descriptions", "description"),
            ("extension", "extensions"),
            ("webhookUri", "webhookUrl"),
            ("published", "isPublished"),
            ("Is published?", "isPublished"),
            ("includeFileVersion", "includeFileVersions"),
            ("ikbulk_status", "ikbulk.status"),
            ("customMetdata.price", "customMetadata.price"),
            ("custmMetdata.price", "customMetadata.price"),
            ("custommetadata.price", "customMetadata.price"),
            ("CustomMetadata. List price", "customMetadata.List price"),
            ("custom_metadata.price", "customMetadata.price"),
            ("customMetadata", "customMetadata.<name>"),
            ("customMetadata.", "customMetadata.<name>"),
            ("customMetadata_price", "customMetadata.<name>"),
            ("custom metadata price", "customMetadata.<name>"),
        ] {
            assert_eq!(suggest(name).as_deref(), Some(suggestion), "{name}");
        }
    }

    /// Columns of shop systems, asset lists and their exports.
    const COMMON: &str = "AITags, Abmessungen, Active, Alt tags, Alt text, Art.-Nr., Artikel, Author, Barcode, Body \
        (HTML), Brand, Category, Collection, Color, Colour, Compare-at price, Condition, Cost, \
        Country, Created at, Currency, Custom label 0, Description (de), Dimensions, EAN, Farbe, \
        File, File name, File size, File type, Filename, Folder, Format, GTIN, Gender, Gewicht, \
        Google Product Category, Group, Handle, Height, ID, Image, Image Alt Text, Image Src, Image \
        URL, In stock?, Kategorie, Keywords, Labels, Language, Link, Location, MPN, Manufacturer, \
        Marke, Material, Menge, Meta description, MIME type, Model, Modified at, Name, Notes, \
        Option1 Name, Order, Page, Pages, Path, Preis, Prescription, Price, Product ID, Published \
        at, Published on, Quantity, Rating, Regular price, Rights, SEO Description, SEO Title, SKU, \
        Sale price, Season, Short description, Size, Slug, Status, Stock, Subtitle, Supplier, Tax \
        class, Tax status, Template, Text, Thumbnail, Title, Type, UPC, URI, URL 2, Updated at, \
        Variant, Vendor, Version, Versions, Video, Weight, Width, assets, bags, caps, coordinates, \
        custom, date, description_de, description_en, description2, full path, hashtags, hat, hats, \
        image, image_url, index, key, maps, metadata, note, old tags, site_id, tags_de, tags2, tax, \
        task, url2, url_1, urn, user";

    #[test]
    fn common_product_columns_get_no_suggestion() {
        for name in COMMON.split(", ").chain(["", "#"]) {
            assert_eq!(suggest(name), None, "{name}");
        }
    }
}
