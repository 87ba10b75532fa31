//! The language of changes, without any I/O: what one row of a sheet asks for.
//!
//! A [`Row`] is what the reader found at one place of the input. If it passed the rules, it holds
//! an [`Update`]; holding an `Update` means that every cell was understood and allowed. If not, it
//! holds a [`Rejection`] that names each cell that is wrong and what would be right.
//!
//! In reading order: [`Field`] (the columns there are) → [`Builder`] (cells in, row out) →
//! [`Change`] (what the cells mean) → [`Schema`] (the account's custom metadata fields) → [`Target`]
//! and [`Resolved`] (files named by where they are); and back: [`Encoded`] (a value as a row says it).

mod builder;
mod cell;
mod change;
mod encode;
mod extension;
mod field;
mod lookup;
mod metadata;
mod no_duplicate_keys;
mod problem;
mod suggest;
mod tag_cache;
mod target;

pub use builder::{Builder, Rules};
pub use cell::Cell;
pub(crate) use change::as_slice_or_empty;
pub use change::{
    AiTagRemoval, Change, Coordinates, Publish, Set, TAGS_LENGTH_MAX, TagChange, Tags, WebhookUrl,
};
pub use encode::{Encoded, encode_as_json, encode_as_text};
pub use extension::{Extension, ExtensionFingerprint, ExtensionName, Extensions, Units};
pub(crate) use field::METADATA;
pub use field::{Field, MetadataField};
pub use lookup::{LookupError, Resolved, Unresolved};
pub(crate) use metadata::instant;
pub use metadata::{FieldType, MetadataRule, MetadataValue, Schema, SchemaError};
pub(crate) use no_duplicate_keys::NoDuplicateKeys;
pub use problem::{Problem, Rejection};
pub(crate) use suggest::{begins_like, is_spelt_like, meant};
pub use tag_cache::TagCache;
pub use target::Target;

use std::fmt;

/// Where a row stands in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct RowPos {
    /// The number that a person knows the row by: the spreadsheet row in CSV (the header is row
    /// 1), the line in JSONL (from 1).
    pub number: u64,
    /// The byte in the input at which the row begins, so that a resumed run can go there at once.
    pub offset: u64,
}

/// One record of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands.
    pub pos: RowPos,
    /// What it asks for.
    pub content: Content,
}

/// What a row turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Every cell was understood.
    Update(Box<Update>),
    /// Every cell was understood, but it is not known yet which file is meant.
    Unresolved(Box<Unresolved>),
    /// All cells are empty, as in the tail that spreadsheet programs leave behind.
    Blank,
    /// At least one cell is wrong; nothing of the row may be sent.
    Rejected(Rejection),
}

/// A row that passed the rules: one file and the change that it is to undergo.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The file.
    pub file: FileId,
    /// The change, possibly empty.
    pub change: Change,
}

/// The identity of a file in the media library, as ImageKit gave it out.
///
/// Not empty, without control characters, at most [`FileId::LENGTH_MAX`] bytes. Any other text is
/// allowed, because nobody states an alphabet: it is percent-encoded on its way into a URL, so
/// that `../x` reaches no other endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(Box<str>);

impl FileId {
    /// Far above the 24 characters that ImageKit's own ids have, far below a URL's limit.
    pub const LENGTH_MAX: usize = 256;

    /// Takes a file id, or says what is wrong with it.
    ///
    /// # Errors
    /// The text is empty, too long, `.` or `..` (which URLs resolve away), or holds a control
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

    /// The id as ImageKit wrote it.
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
