//! What the name of a column, or of a key in JSON, means.

use std::iter;

use csv::ByteRecord;

use super::{Context, ReadOptions};
use crate::row::{Field, METADATA, MetadataField, SchemaError, closest_name, equals_loosely, fold};

/// Columns that ikbulk appends to the input's own in `failed.csv` and `unknown.csv`.
pub(crate) mod own {
    /// The row's [`crate::outcome::Status`].
    pub(crate) const STATUS: &str = "ikbulk.status";
    /// The row's [`crate::outcome::Code`].
    pub(crate) const CODE: &str = "ikbulk.code";
    /// The reason, for people.
    pub(crate) const MESSAGE: &str = "ikbulk.message";
    /// Fingerprints of the row's completed steps, in hexadecimal, separated by spaces.
    pub(crate) const DONE: &str = "ikbulk.done";
    /// All own columns, in order.
    pub(crate) const ALL: [&str; 4] = [STATUS, CODE, MESSAGE, DONE];
    /// In an export, precedes the name of a read-only column that the account has a custom metadata
    /// field with: such a column is never read.
    pub(crate) const FILE: &str = "ikbulk.file.";
}

/// The columns of `report.csv`. Together they tell a report from a sheet.
pub(crate) mod report {
    /// The columns of every report, in order.
    pub(crate) const COMMON: [&str; 9] = [
        "row",
        "fileId",
        "status",
        "code",
        "message",
        "attempts",
        "httpStatus",
        "requestId",
        "updatedAt",
    ];
    /// The columns with what extensions wrote, named as in an export.
    pub(crate) const RESULTS: [&str; 4] = ["aiTags", "aiTagConfidences", "description", "version"];

    /// Whether a header is that of a report.
    pub(crate) fn has_header(names: &[&str]) -> bool {
        COMMON.iter().all(|column| names.contains(column))
    }

    /// Whether a column of a report holds a result, which is no value to set.
    pub(crate) fn is_result(name: &str) -> bool {
        name != "fileId" && COMMON.contains(&name) || RESULTS.contains(&name)
    }
}

/// A cell beyond all columns, so that a record that is no row stays none until a person has fixed it.
pub(crate) const NO_ROW: &str = "delete this cell when the row is fixed";

/// Minimum letters of a known name's beginning that count as its abbreviation.
const ABBREVIATION_LENGTH_MIN: usize = 4;

/// The meaning of a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// It sets or names a field.
    Field(Field),
    /// It holds an object of custom metadata.
    MetadataObject,
    /// An earlier run added it.
    Own,
    /// The options ignore it.
    Ignored,
    /// It is no known name, nor nearly one.
    Unread,
    /// It is nearly this known name.
    Close(String),
    /// It cannot be used, for this reason.
    Invalid(String),
}

/// What decides about names.
#[derive(Clone, Copy)]
pub(super) struct Names<'n> {
    pub(super) options: &'n ReadOptions,
    pub(super) context: &'n Context,
}

impl Names<'_> {
    /// The meaning of a name, without blanks around it.
    pub(super) fn meaning(self, name: &str) -> Meaning {
        let unknown = || self.close(name).map_or(Meaning::Unread, Meaning::Close);
        self.decided(name).unwrap_or_else(unknown)
    }

    /// The meaning of a name that is known, or that the options decide.
    pub(super) fn decided(self, name: &str) -> Option<Meaning> {
        if let Some(mapped) = self.options.mapped(name) {
            let invalid = || {
                let known = Field::FIXED.map(|(name, _)| name).join(", ");
                let of_account = match &self.context.schema {
                    Some(schema) => {
                        format!("; the fields of the account are {}", schema.joined_names())
                    }
                    None => String::new(),
                };
                Meaning::Invalid(format!(
                    "column {name:?} cannot be read as {mapped:?}, which is no known column; known \
                     columns are {known} and customMetadata.<name>{of_account}"
                ))
            };
            let mapped = self.known(mapped).or_else(|| self.of_unread_account(mapped));
            return Some(mapped.unwrap_or_else(invalid));
        }
        if self.options.ignores(name) || name.starts_with(own::FILE) {
            return Some(Meaning::Ignored);
        }
        if own::ALL.contains(&name) {
            return Some(Meaning::Own);
        }
        self.known(name)
    }

    /// The field that an unknown name is but for a number: `tags1`, or the part `tags/0` of a list.
    pub(super) fn without_number(self, name: &str) -> Option<Field> {
        let is_mark = |c: char| c.is_ascii_digit() || !c.is_alphanumeric();
        let base = name.trim_end_matches(is_mark);
        let has_number = name.get(base.len()..)?.contains(|c: char| c.is_ascii_digit());
        if !has_number || self.meaning(name.trim()) != Meaning::Unread {
            return None;
        }
        match self.meaning(base.trim()) {
            Meaning::Field(field) if !field.names_file() => Some(field),
            _ => None,
        }
    }

    /// The meaning of a known name, ignoring case, blanks and punctuation.
    fn known(self, name: &str) -> Option<Meaning> {
        if let Some(field) = fixed(name) {
            return Some(Meaning::Field(field));
        }
        if let Some(metadata) = metadata_name(name) {
            return Some(match metadata {
                "" => Meaning::MetadataObject,
                metadata => match self.metadata(metadata) {
                    Ok(field) => Meaning::Field(Field::CustomMetadata(field)),
                    Err(error) => Meaning::Invalid(format!("column {name:?}: {error}")),
                },
            });
        }
        let schema = self.context.schema.as_ref()?;
        match schema.resolve_loosely(name) {
            Ok(field) => Some(Meaning::Field(Field::CustomMetadata(field))),
            Err(error @ SchemaError::Ambiguous { .. }) => {
                Some(Meaning::Invalid(format!("column {name:?}: {error}")))
            }
            Err(SchemaError::Unknown { .. }) => None,
        }
    }

    /// A name that the account's fields can decide, before they are read or where they are not: a custom
    /// metadata field, unless it is nearly a known name.
    fn of_unread_account(self, name: &str) -> Option<Meaning> {
        let is_decided = self.context.schema.is_some() || self.close(name).is_some();
        let field = || Meaning::Field(Field::CustomMetadata(MetadataField::unchecked(name)));
        (!is_decided).then(field)
    }

    /// The custom metadata field with this name or label.
    pub(super) fn metadata(self, name: &str) -> Result<MetadataField, SchemaError> {
        match &self.context.schema {
            Some(schema) => schema.resolve(name).or_else(|error| match error {
                SchemaError::Unknown { .. } => schema.resolve_loosely(name).map_err(|_| error),
                ambiguous @ SchemaError::Ambiguous { .. } => Err(ambiguous),
            }),
            None => Ok(MetadataField::unchecked(name)),
        }
    }

    /// The name by which `--map` reads a key in an object of custom metadata as another column.
    pub(super) fn mapped_in_metadata(self, name: &str) -> Option<String> {
        let names = || [MetadataField::column_of(name), name.to_owned()].into_iter();
        names().find(|name| self.options.mapped(name).is_some())
    }

    /// The known name that `name` nearly is.
    fn close(self, name: &str) -> Option<String> {
        let schema = self.context.schema.as_ref();
        let of_account = || {
            let close = schema?.closest(name)?;
            Some(MetadataField::column_of(close))
        };
        suggest_column(name, "customMetadata.<name>").or_else(of_account)
    }

    /// Whether the account's fields could decide what the name means.
    pub(super) fn depends_on_account(self, name: &str) -> bool {
        let name = self.options.mapped(name).unwrap_or(name);
        !name.is_empty()
            && fixed(name).is_none()
            && !own::ALL.contains(&name)
            && !self.options.ignores(name)
    }

    /// Whether the name identifies files.
    pub(super) fn names_file(self, name: &str) -> bool {
        let name = self.options.mapped(name).unwrap_or(name);
        fixed(name).is_some_and(|field| field.names_file())
    }
}

/// Whether a column with this name identifies the file.
pub(super) fn names_file(name: &str, options: &ReadOptions) -> bool {
    Names { options, context: &Context::default() }.names_file(name)
}

/// The number of known columns in a record, as far as the account's fields need not be known.
pub(super) fn known_columns(cells: &ByteRecord, options: &ReadOptions) -> usize {
    let is_known = |name: &str| {
        !options.ignores(name)
            && (options.mapped(name).is_some()
                || fixed(name).is_some()
                || metadata_name(name).is_some()
                || own::ALL.contains(&name))
    };
    cells.iter().filter(|cell| is_known(String::from_utf8_lossy(cell).trim())).count()
}

/// The field with this fixed name, ignoring case, blanks and punctuation.
fn fixed(name: &str) -> Option<Field> {
    Field::fixed(name).or_else(|| {
        let name = fold(name);
        let known = Field::FIXED.iter().find(|(known, _)| fold(known) == name);
        known.map(|(_, field)| field.clone())
    })
}

/// The name of the custom metadata field in `customMetadata.<name>`, with any punctuation or blank in
/// place of the point; empty for `customMetadata`.
pub(super) fn metadata_name(name: &str) -> Option<&str> {
    let rest = after_metadata(name)?;
    let text = rest.trim_start();
    let mark = text.chars().next().filter(|c| !c.is_alphanumeric());
    match mark {
        Some('[') => Some(text.trim_matches(['[', ']']).trim()),
        Some(mark) => Some(text.get(mark.len_utf8()..)?.trim()),
        None => (text.is_empty() || text.len() < rest.len()).then(|| text.trim_end()),
    }
}

/// What follows `customMetadata` in a name, ignoring case, blanks and punctuation.
fn after_metadata(name: &str) -> Option<&str> {
    let mut prefix = METADATA.chars();
    for (at, letter) in name.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
        if !prefix.next()?.eq_ignore_ascii_case(&letter) {
            return None;
        }
        if prefix.as_str().is_empty() {
            return name.get(at + letter.len_utf8()..);
        }
    }
    None
}

/// The known column that `name` is most likely a misspelling of, if any; `metadata` for custom
/// metadata without a recognizable field name.
pub(super) fn suggest_column(name: &str, metadata: &str) -> Option<String> {
    let known_columns = || Field::FIXED.iter().map(|(name, _)| *name).chain(own::ALL);
    let with_is = format!("is{name}");
    let close = closest_name(name, known_columns())
        .or_else(|| abbreviated(name))
        .or_else(|| known_columns().find(|known| equals_loosely(&with_is, known)));
    close.map(str::to_owned).or_else(|| suggest_metadata_column(name, metadata))
}

fn suggest_metadata_column(name: &str, metadata: &str) -> Option<String> {
    let column = |field: &str| match field {
        "" => metadata.to_owned(),
        field => MetadataField::column_of(field),
    };
    if let Some(field) = metadata_name(name) {
        return Some(column(field));
    }
    let mark = |c: char| !c.is_alphanumeric();
    let (prefix, field) = name.rsplit_once(mark).unwrap_or((name, ""));
    let (prefix, field) = name.split_once('.').unwrap_or((prefix, field));
    if closest_name(prefix, iter::once(METADATA)).is_some() {
        return Some(column(field.trim()));
    }
    after_metadata(name).map(column)
}

/// The one-word column that begins with `name`, such as `desc`.
fn abbreviated(name: &str) -> Option<&'static str> {
    let name = fold(name);
    let is_one_word = |known: &&str| known.chars().all(char::is_lowercase);
    let mut words = Field::FIXED.iter().map(|(known, _)| *known).filter(is_one_word);
    let is_long = name.len() >= ABBREVIATION_LENGTH_MIN;
    words.find(|known| is_long && known.len() > name.len() && known.starts_with(&name))
}

/// Whether a program made up the name of a column that has none: `Unnamed: 2` of pandas, `Column3` of
/// Power Query, `...3` of R.
pub(super) fn is_generated(name: &str) -> bool {
    let starts = ["Unnamed: ", "Column", "Spalte", "Colonne", "Columna", "...", "_"];
    let rest = starts.iter().find_map(|start| name.strip_prefix(start));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_of_custom_metadata_follows_any_mark() {
        for (name, field) in [
            ("customMetadata", Some("")),
            ("customMetadata.", Some("")),
            ("customMetadata. List price (EUR)", Some("List price (EUR)")),
            ("customMetadata_sku", Some("sku")),
            ("customMetadata-brand", Some("brand")),
            ("custom metadata brand", Some("brand")),
            ("CUSTOM_METADATA: brand", Some("brand")),
            ("customMetadata/brand", Some("brand")),
            ("customMetadata[sku]", Some("sku")),
            ("customMetadata._x", Some("_x")),
            ("customMetadataBrand", None),
            ("metadata.brand", None),
            ("custom", None),
        ] {
            assert_eq!(metadata_name(name), field, "{name}");
        }
    }

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
            ("customMetadata_price", "customMetadata.price"),
            ("custom metadata price", "customMetadata.price"),
            ("custmMetadata price", "customMetadata.price"),
            ("customMetadataprice", "customMetadata.price"),
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
        Variant, Vendor, Version, Versions, Video, Weight, Width, assets, caps, coordinates, \
        custom, date, description_de, description_en, description2, hashtags, hat, hats, \
        image, image_url, index, key, maps, metadata, note, old tags, site_id, tags_de, tags2, tax, \
        task, url2, url_1, urn, user";

    #[test]
    fn common_product_columns_get_no_suggestion() {
        for name in COMMON.split(", ").chain(["", "#"]) {
            assert_eq!(suggest(name), None, "{name}");
        }
    }
}
