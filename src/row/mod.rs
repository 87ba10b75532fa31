//! Rows: one file and the change that a row of the sheet requests. No I/O.
//!
//! A [`Row`] is one record of the input. A valid row holds an [`Update`]: every cell was parsed and
//! is allowed. An invalid row holds a [`Rejection`] with each invalid cell and its fix.
//!
//! In reading order: [`Field`] (the known columns) → [`Builder`] (cells in, row out) → [`Change`]
//! (the requested change) → [`Schema`] (the account's custom metadata fields) → [`Target`] and
//! [`Resolved`] (files identified by path or URL); and back: [`Encoded`] (a file's value as a
//! cell).

mod builder;
mod cell;
mod change;
mod details;
mod encode;
mod extension;
mod field;
mod field_set;
mod forced_text;
mod id_damage;
mod kept;
mod list;
mod locale;
mod lookup;
mod metadata;
mod no_duplicate_keys;
mod no_value;
mod path_policy;
mod problem;
mod rules;
mod suggest;
mod tag_cache;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod values;

pub use builder::Builder;
pub use cell::Cell;
pub(crate) use cell::{is_json_blank, is_unseen};
pub(crate) use change::as_slice_or_empty;
pub(crate) use change::{
    AiTagRemoval, Change, Coordinates, Publish, Set, TAGS_LENGTH_MAX, TagChange, Tags, WebhookUrl,
};
pub(crate) use details::Details;
pub(crate) use encode::escaped_strings;
pub(crate) use encode::{Encoded, encode_as_json, encode_as_text};
pub use extension::{Extension, ExtensionFingerprint, ExtensionName, ExtensionNames, Units};
pub(crate) use extension::{Extensions, SavedExtension, SavedRef};
pub use field::Field;
pub(crate) use field::METADATA;
pub(crate) use field::MetadataField;
pub(crate) use field_set::{FieldSet, FileField};
pub(crate) use forced_text::unforced;
pub(crate) use id_damage::{has_file_ending, is_imagekit_id};
pub(crate) use kept::KeptResults;
pub use locale::Locale;
pub(crate) use lookup::{LookupError, Resolved, Unresolved};
pub use metadata::Schema;
pub use metadata::SchemaError;
pub(crate) use metadata::instant;
pub(crate) use metadata::{FieldType, MetadataRule, MetadataValue};
pub(crate) use no_duplicate_keys::NoDuplicateKeys;
pub(crate) use path_policy::PathPolicy;
pub use problem::Problem;
pub use problem::Rejection;
pub(crate) use problem::{ADDRESS_BEGINS, HeldWord, PROBLEM_SEPARATOR, without_addresses};
pub use rules::{Duplicates, NullMeans, Rules};
pub(crate) use suggest::{closest_name, equals_loosely, fold, folds_to, starts_loosely_with};
pub(crate) use tag_cache::TagCache;
pub(crate) use target::Target;

use std::fmt;

use serde::{Deserialize, Serialize};

/// The position of a row in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct RowPos {
    /// The row number as the user sees it: the spreadsheet row in CSV (the header is row 1, blank
    /// lines count), the line in JSONL (from 1).
    pub number: u64,
    /// The line of the file, from 1: cells of several lines make it differ from the number.
    pub line: u64,
    /// Byte offset of the row in the input, so that a resumed run can seek to it.
    pub offset: u64,
}

/// The row number, with the line of the file if it differs: `5 (line 7)`.
impl fmt::Display for RowPos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        if self.line == self.number { Ok(()) } else { write!(f, " (line {})", self.line) }
    }
}

/// One record of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's number and offset.
    pub pos: RowPos,
    /// The parsed and validated cells.
    pub content: Content,
}

/// The result of parsing and validating a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The row is valid.
    Update(Update),
    /// The row is valid, but the path or URL of its file has not been looked up.
    Unresolved(Box<Unresolved>),
    /// All cells are empty, as in the trailing rows that spreadsheet programs write.
    Blank,
    /// At least one cell is invalid; no part of the row may be sent.
    Rejected(Box<Rejection>),
}

impl Content {
    /// A row with one problem.
    pub(crate) fn rejected(problem: Problem) -> Self {
        Self::Rejected(Box::new(problem.into()))
    }
}

/// A valid row: one file and the change to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The file to change.
    pub file: FileId,
    /// The change, possibly empty.
    pub change: Box<Change>,
}

/// ImageKit's id of a file in the media library.
///
/// Not empty, without control characters, at most [`FileId::LENGTH_MAX`] bytes. Any other text is
/// allowed, because ImageKit documents no alphabet; URLs contain it percent-encoded, so that `../x`
/// cannot reach another endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(Box<str>);

impl FileId {
    /// In bytes: far above the 24 characters of ImageKit's ids, far below the limit of a URL.
    pub const LENGTH_MAX: usize = 256;

    /// Validates a file id. The error continues the sentence "value …".
    ///
    /// # Errors
    /// The text is empty, too long, `.` or `..` (which URLs resolve away), or contains a control
    /// character.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            Err("is empty")
        } else if text.len() > Self::LENGTH_MAX {
            Err("is longer than 256 bytes")
        } else if text == "." || text == ".." {
            Err("is a relative path, not a file id")
        } else if text.bytes().fold(false, |any, byte| any | byte.is_ascii_control()) {
            Err("contains a control character")
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The id as ImageKit returned it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
