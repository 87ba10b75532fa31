//! What the columns of a sheet mean.

use std::collections::HashSet;
use std::iter;
use std::sync::Arc;

use super::{Context, InputError};
use crate::row::{Field, METADATA, MetadataField, begins_like, is_spelt_like, meant};

/// The columns that ikbulk itself writes behind a person's own, in `failed.csv` and `unknown.csv`.
pub mod own {
    /// What became of the row.
    pub const STATUS: &str = "ikbulk.status";
    /// Why, as one word.
    pub const CODE: &str = "ikbulk.code";
    /// Why, for people.
    pub const MESSAGE: &str = "ikbulk.message";
    /// Fingerprints of the steps that are done.
    pub const DONE: &str = "ikbulk.done";
    /// All of them, in their order.
    pub const ALL: [&str; 4] = [STATUS, CODE, MESSAGE, DONE];
}

/// A header, understood.
#[derive(Debug, Clone)]
pub struct Columns {
    names: Vec<String>,
    /// For each column its field, or `None` where it is not ours to read.
    fields: Vec<Option<Field>>,
    /// The custom metadata fields among them, by name.
    metadata: HashSet<Arc<str>>,
    /// Columns that are not ours to read, to be named to the person.
    pub ignored: Vec<String>,
    /// Where `fileId` is.
    pub file_id: Option<usize>,
    /// Where [`own::STATUS`] is, if the input is an earlier run's failed rows.
    pub status: Option<usize>,
    /// Where [`own::DONE`] is, if the input is an earlier run's failed rows.
    pub done: Option<usize>,
}

impl Columns {
    /// Reads a header.
    ///
    /// # Errors
    /// There is no column that names the files, none with a change, a column twice, one that is nearly one of
    /// ours, or custom metadata that the account does not have.
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
        if let Some(why) = no_header(&names).filter(|_| !names.iter().any(fixed)) {
            return Err(refuse(why));
        }
        for name in &names {
            columns.add(name, context)?;
        }
        columns.check()?;
        for name in &mut columns.ignored {
            if let Some(column) = context.metadata_named(name, &columns.metadata) {
                *name += &format!(" ({column} would be)");
            }
        }
        columns.file_id = columns.place_of(&Field::FileId);
        Ok(columns)
    }

    /// Adds the next column.
    fn add(&mut self, name: &str, context: &Context) -> Result<(), InputError> {
        let field = context.field(name)?;
        let is_twice = match &field {
            Some(Field::CustomMetadata(field)) => !self.metadata.insert(Arc::clone(&field.name)),
            Some(_) => self.fields.contains(&field),
            None => false,
        };
        if is_twice {
            return Err(refuse(format!("the column {name:?} is there twice")));
        }
        match name {
            own::STATUS => self.status = Some(self.len()),
            own::DONE => self.done = Some(self.len()),
            _ if field.is_none() && !own::ALL.contains(&name) => {
                if let Some(close) = close_to(name, "customMetadata.<name>") {
                    return Err(refuse(format!(
                        "the column {name:?} is not one of ikbulk's; did you mean {close:?}? \
                         rename it to that, or to something else if it is not to be read"
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

    /// Refuses columns that do not name the files, or nothing to change.
    fn check(&self) -> Result<(), InputError> {
        let (naming, changing): (Vec<_>, Vec<_>) =
            self.fields.iter().flatten().partition(|field| field.names_file());
        if naming.is_empty() {
            let listed = listed(&self.names);
            return Err(refuse(format!(
                "there is no column fileId, filePath or url, only {listed}"
            )));
        }
        if changing.is_empty() {
            let known = Field::FIXED.map(|(name, _)| name).join(", ");
            return Err(refuse(format!(
                "no column says what to change; there are {known} and customMetadata.<name>"
            )));
        }
        Ok(())
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none, which no usable header is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Where the column of a field is.
    fn place_of(&self, field: &Field) -> Option<usize> {
        self.fields.iter().position(|other| other.as_ref() == Some(field))
    }

    /// The columns that are read, with their place and name.
    pub fn fields(&self) -> impl Iterator<Item = (usize, &str, &Field)> {
        let columns = self.names.iter().zip(&self.fields).enumerate();
        columns.filter_map(|(index, (name, field))| Some((index, name.as_str(), field.as_ref()?)))
    }
}

fn refuse(why: String) -> InputError {
    InputError::Header { why }
}

/// What to do with a first line that names no file because it is no header, or not one with commas.
fn no_header(names: &[&str]) -> Option<String> {
    let only = names.first().copied().unwrap_or_default();
    if names.iter().all(|name| name.is_empty()) {
        return Some(
            "there is none; the first line must name the columns, fileId among them".to_owned(),
        );
    }
    if only.starts_with('{') {
        return Some(
            "it looks like JSON; say --format jsonl (a file can end in .jsonl instead)".to_owned(),
        );
    }
    if only.starts_with('[') {
        return Some(
            "it looks like a JSON array, which is not read; write one object a line, \
             as `jq -c '.[]'` does"
                .to_owned(),
        );
    }
    let separators = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    let (_, called) = separators.iter().find(|(separator, _)| {
        let is_ours = |name: &str| Field::fixed(name.trim()).is_some();
        names.len() == 1 && only.contains(*separator) && only.split(*separator).any(is_ours)
    })?;
    Some(format!("it is separated by {called}; save it with commas"))
}

/// The first of the names, each shortened: a header can be anything.
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

/// The name of ours that somebody who wrote `name` may have meant; `metadata` if that is custom metadata,
/// but not which field.
pub(super) fn close_to(name: &str, metadata: &str) -> Option<String> {
    let ours = || Field::FIXED.iter().map(|(name, _)| *name).chain(own::ALL);
    let with_is = format!("is{name}");
    let close = meant(name, ours()).or_else(|| ours().find(|known| is_spelt_like(&with_is, known)));
    close.map(str::to_owned).or_else(|| close_to_metadata(name, metadata))
}

fn close_to_metadata(name: &str, metadata: &str) -> Option<String> {
    let (prefix, field) = name.split_once('.').unwrap_or((name, ""));
    let is_prefix = meant(prefix, iter::once(METADATA)).is_some();
    match field.trim() {
        "" if is_prefix => Some(metadata.to_owned()),
        field if is_prefix => Some(MetadataField::column_of(field)),
        _ => begins_like(name, METADATA).then(|| metadata.to_owned()),
    }
}

impl Context {
    /// The field of that name, if it is one of ours.
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

    /// The column of the account's field that has this name or label, or nearly, unless it is among `read`.
    pub(super) fn metadata_named(&self, bare: &str, read: &HashSet<Arc<str>>) -> Option<String> {
        let name = self.schema.as_ref()?.named_like(bare)?;
        (!read.contains(name)).then(|| MetadataField::column_of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(name: &str) -> Option<String> {
        close_to(name, "customMetadata.<name>")
    }

    #[test]
    fn a_slip_in_a_name_of_ours_is_found() {
        for (name, meant) in [
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
            assert_eq!(close(name).as_deref(), Some(meant), "{name}");
        }
    }

    /// Columns of shops, asset lists and their exports.
    const USUAL: &str = "AITags, Abmessungen, Active, Alt tags, Alt text, Art.-Nr., Artikel, Author, Barcode, Body \
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
    fn usual_columns_of_product_sheets_are_none_of_ours() {
        for name in USUAL.split(", ").chain(["", "#"]) {
            assert_eq!(close(name), None, "{name}");
        }
    }
}
