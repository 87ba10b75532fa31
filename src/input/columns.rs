//! What the columns of a sheet mean.

use super::{Context, InputError};
use crate::row::{Field, MetadataField, is_spelt_like};

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
        header: impl Iterator<Item = &'h str> + Clone,
        context: &Context,
    ) -> Result<Self, InputError> {
        let refuse = |why: String| InputError::Header { why };
        let mut columns = Self {
            names: Vec::new(),
            fields: Vec::new(),
            ignored: Vec::new(),
            file_id: None,
            status: None,
            done: None,
        };
        for (index, name) in header.clone().map(str::trim).enumerate() {
            let field = context.field(name)?;
            if field.is_some() && columns.fields.contains(&field) {
                return Err(refuse(format!("the column {name:?} is there twice")));
            }
            match name {
                own::STATUS => columns.status = Some(index),
                own::DONE => columns.done = Some(index),
                _ if field.is_none() && !own::ALL.contains(&name) => {
                    if let Some(close) = close_to(name) {
                        return Err(refuse(format!(
                            "the column {name:?} is not one of ikbulk's; did you mean {close:?}? \
                             rename it, so that it is either read or clearly not"
                        )));
                    }
                    columns.ignored.push(name.to_owned());
                }
                _ => {}
            }
            columns.fields.push(field);
            columns.names.push(name.to_owned());
        }
        let (naming, changing): (Vec<_>, Vec<_>) =
            columns.fields.iter().flatten().partition(|field| field.names_file());
        if naming.is_empty() {
            return Err(refuse(no_file_id(header)));
        }
        if changing.is_empty() {
            let known = Field::FIXED.map(|(name, _)| name).join(", ");
            return Err(refuse(format!(
                "no column says what to change; there are {known} and customMetadata.<name>"
            )));
        }
        columns.file_id = columns.place_of(&Field::FileId);
        Ok(columns)
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

fn no_file_id<'h>(header: impl Iterator<Item = &'h str>) -> String {
    let names: Vec<&str> = header.collect();
    let only = names.first().copied().unwrap_or_default();
    if names.iter().all(|name| name.trim().is_empty()) {
        return "there is none; the first line must name the columns, fileId among them".to_owned();
    }
    if only.trim_start().starts_with(['{', '[']) {
        return "it looks like JSON; name the file .jsonl, or say --format jsonl".to_owned();
    }
    for (delimiter, called) in [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")] {
        if names.len() == 1 && only.split(delimiter).any(|name| Field::fixed(name.trim()).is_some())
        {
            return format!("it is separated by {called}; save it with commas");
        }
    }
    format!("there is no column fileId, filePath or url, only {}", listed(&names))
}

/// The first of the names, each shortened: a header can be anything.
fn listed(names: &[&str]) -> String {
    const NAMES_MAX: usize = 12;
    const NAME_LENGTH_MAX: usize = 40;
    let short = |name: &&str| {
        let short: String = name.trim().chars().take(NAME_LENGTH_MAX).collect();
        let more = if short.len() < name.trim().len() { "…" } else { "" };
        format!("{:?}", short + more)
    };
    let mut shown: Vec<String> = names.iter().take(NAMES_MAX).map(short).collect();
    if names.len() > NAMES_MAX {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// The name of ours that somebody who wrote `name` may have meant.
pub(super) fn close_to(name: &str) -> Option<&'static str> {
    let mut candidates = Field::FIXED.iter().map(|(name, _)| *name).chain(own::ALL);
    candidates.find(|known| {
        is_spelt_like(name, known)
            || is_spelt_like(&format!("{name}s"), known)
            || is_spelt_like(name, &format!("{known}s"))
    })
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
}
