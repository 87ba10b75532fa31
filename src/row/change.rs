//! The change that a row requests. The types cannot hold a change that the API cannot execute.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Details, Extensions, FieldSet, FileField, MetadataValue};

/// Maximum total length of a file's tags, in characters. ImageKit documents the limit for upload
/// and bulk calls; we assume the same for PATCH. Whether it counts characters or bytes is
/// undocumented; tags that pass here may still be rejected with a 400.
pub(crate) const TAGS_LENGTH_MAX: usize = 500;

/// The change of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set<T> {
    /// Sets the value.
    Value(T),
    /// Clears the field.
    Clear,
}

impl<T> Set<T> {
    /// The value; `None` for [`Self::Clear`].
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Clear => None,
        }
    }
}

impl From<MetadataValue> for Set<MetadataValue> {
    /// Null clears.
    fn from(value: MetadataValue) -> Self {
        if value.is_null() { Self::Clear } else { Self::Value(value) }
    }
}

/// The change that one row requests. `None` leaves a field unchanged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Replaces, clears or edits the tags.
    pub tags: Option<TagChange>,
    /// AI tags to remove, before any extension runs.
    pub ai_tags: Option<AiTagRemoval>,
    /// Fields to set or clear.
    pub details: Details,
    /// Extensions to run. Each run is billed.
    pub extensions: Option<Extensions>,
    /// Receives the final status of pending extensions.
    pub webhook_url: Option<WebhookUrl>,
    /// Publishes or unpublishes the file.
    pub publish: Option<Publish>,
}

impl Change {
    /// Whether the change is empty. A webhook URL alone changes nothing: it only receives the
    /// results of extensions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { tags, ai_tags, details, extensions, webhook_url: _, publish } = self;
        let sets_nothing = tags.is_none() && ai_tags.is_none() && details.is_empty();
        sets_nothing && publish.is_none() && extensions.is_none()
    }

    /// The fields that it changes itself.
    #[must_use]
    pub fn fields(&self) -> FieldSet {
        self.details.fields().union(FieldSet::from([
            (FileField::Tags, self.tags.is_some()),
            (FileField::AiTags, self.ai_tags.is_some()),
            (FileField::Publication, self.publish.is_some()),
        ]))
    }

    /// The fields that it changes, and those that its extensions may write.
    #[must_use]
    pub fn written_fields(&self) -> FieldSet {
        let extensions = self.extensions.as_ref().map(Extensions::writes);
        self.fields().union(extensions.unwrap_or_default())
    }
}

/// The change of a file's tags: replace or edit, never both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagChange {
    /// Replaces all tags.
    Replace(Tags),
    /// Removes all tags.
    Clear,
    /// Adds and removes tags, keeps the others. At least one of the two is `Some`.
    Edit {
        /// Tags to add.
        add: Option<Tags>,
        /// Tags to remove; disjoint from `add`.
        remove: Option<Tags>,
    },
}

impl TagChange {
    /// The file's tags after the change, given those `before`; `None` if the result depends on
    /// unknown tags.
    #[must_use]
    pub fn after(&self, before: Option<&[String]>) -> Option<Vec<String>> {
        match self {
            Self::Replace(tags) => Some(tags.as_slice().to_vec()),
            Self::Clear => Some(Vec::new()),
            Self::Edit { add, remove } => {
                let (add, remove) =
                    (as_slice_or_empty(add.as_ref()), as_slice_or_empty(remove.as_ref()));
                let mut tags = before?.to_vec();
                tags.retain(|tag| !remove.contains(tag));
                let new: Vec<String> =
                    add.iter().filter(|tag| !tags.contains(tag)).cloned().collect();
                tags.extend(new);
                Some(tags)
            }
        }
    }

    /// Merges this change with a later one; `None` if no single change has the same effect.
    #[must_use]
    pub fn then(&self, later: &Self) -> Option<Self> {
        let (Self::Edit { add, remove }, Self::Edit { add: later_add, remove: later_remove }) =
            (self, later)
        else {
            // One of the two replaces all tags, so the result is known.
            let before = self.after(None).unwrap_or_default();
            let tags = later.after(Some(&before))?;
            return if tags.is_empty() {
                Some(Self::Clear)
            } else {
                Tags::new(tags).ok().map(Self::Replace)
            };
        };
        // `earlier` without what the later change undoes, then `later`.
        let merge = |earlier: Option<&Tags>, undone: Option<&Tags>, later: Option<&Tags>| {
            let (earlier, undone, later) =
                (as_slice_or_empty(earlier), as_slice_or_empty(undone), as_slice_or_empty(later));
            let kept = earlier.iter().filter(|tag| !undone.contains(tag) && !later.contains(tag));
            let all: Vec<String> = kept.chain(later).cloned().collect();
            if all.is_empty() { Ok(None) } else { Tags::new(all).map(Some) }
        };
        let add = merge(add.as_ref(), later_remove.as_ref(), later_add.as_ref()).ok()?;
        let remove = merge(remove.as_ref(), later_add.as_ref(), later_remove.as_ref()).ok()?;
        Some(Self::Edit { add, remove })
    }
}

/// A list of tags that the API accepts: not empty, no duplicates, no `%`, at most
/// [`TAGS_LENGTH_MAX`] characters in total. Line breaks are rejected as well: they usually come
/// from an unclosed quote that merged cells. Clones share the list, because thousands of rows have
/// the same tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Tags(Arc<[String]>);

impl Tags {
    /// Validates a list without duplicates. The error is `(problem, suggestion)`.
    ///
    /// # Errors
    /// The list is empty or too long in total, or a tag contains `%` or a line break.
    pub fn new(words: Vec<String>) -> Result<Self, (String, &'static str)> {
        if words.is_empty() {
            return Err((
                "contains no tag".into(),
                "write at least one tag, or leave the cell empty",
            ));
        }
        let is_invalid = |byte| matches!(byte, b'%' | b'\n' | b'\r');
        if let Some(tag) = words.iter().find(|tag| tag.bytes().any(is_invalid)) {
            return Err(if tag.contains('%') {
                let problem =
                    format!("contains % in the tag {tag:?}, which ImageKit does not allow");
                (problem, "remove the %")
            } else {
                let suggestion = "separate the tags with commas; if other rows are in the cell, close the quote at its end";
                (format!("contains a line break in the tag {tag:?}"), suggestion)
            });
        }
        let length: usize = words.iter().map(|tag| tag.chars().count()).sum();
        if length > TAGS_LENGTH_MAX {
            let problem = format!("has {length} characters in total, ImageKit allows 500");
            return Err((problem, "use fewer or shorter tags"));
        }
        Ok(Self(words.into()))
    }

    /// The tags in input order.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// A list of one tag for each tag.
    pub(crate) fn one_by_one(&self) -> impl Iterator<Item = Self> {
        self.0.iter().map(|tag| Self([tag.clone()].into()))
    }
}

impl From<Tags> for Vec<String> {
    fn from(Tags(tags): Tags) -> Self {
        tags.to_vec()
    }
}

impl TryFrom<Vec<String>> for Tags {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<Self, String> {
        Self::new(words).map_err(|(problem, _)| problem)
    }
}

/// The tags of an optional list.
pub(crate) fn as_slice_or_empty(tags: Option<&Tags>) -> &[String] {
    tags.map_or(&[], Tags::as_slice)
}

/// AI tags to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AiTagRemoval {
    /// AI tags with these names.
    Named(Box<[String]>),
    /// All AI tags.
    All,
}

impl AiTagRemoval {
    /// Whether it removes the AI tags with this name.
    pub(crate) fn removes(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|removed| removed == name),
            Self::All => true,
        }
    }

    /// The list for a bulk call; `None` if such a call cannot name the tags.
    #[must_use]
    pub fn as_bulk(&self) -> Option<Tags> {
        match self {
            Self::Named(names) => Tags::new(names.to_vec()).ok(),
            Self::All => None,
        }
    }
}

/// The important area of an image, in pixels, written `x,y,width,height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coordinates {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Coordinates {
    /// Parses `x,y,width,height`, ignoring spaces around the numbers; `None` if width or height is
    /// 0.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(',').map(|number| number.trim().parse::<u32>());
        let mut next = || numbers.next()?.ok();
        let area = Self { x: next()?, y: next()?, width: next()?, height: next()? };
        (numbers.next().is_none() && area.width > 0 && area.height > 0).then_some(area)
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

/// An absolute `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Box<str>);

impl WebhookUrl {
    /// Accepts an absolute `http://` or `https://` URL with a host and without whitespace.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host = rest.split(['/', '?', '#']).next()?;
        let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        (clean && !host.is_empty()).then(|| Self(text.into()))
    }

    /// The URL as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Publishes or unpublishes a file. Enterprise plans only. Unpublishing purges caches, which counts
/// against a quota, so the request is never retried after a lost response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The requested status.
    pub is_published: bool,
    /// Whether to change all versions or only the current one; `None` for the API's default.
    pub include_file_versions: Option<bool>,
}
