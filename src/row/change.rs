//! What a row asks for, in types that cannot say what the API cannot do.

use std::fmt;
use std::sync::Arc;

use super::{Extensions, MetadataField, MetadataValue};

/// The combined length of all tags of a file, in characters. ImageKit states it for upload and
/// for the bulk calls; for PATCH it is taken to be the same. Whether it counts characters or bytes
/// is open: what passes here and not there comes back as a 400.
pub const TAGS_LENGTH_MAX: usize = 500;

/// What is to become of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set<T> {
    /// It gets this value.
    Value(T),
    /// Its value is taken away.
    Clear,
}

impl<T> Set<T> {
    /// The value; `None` where it is taken away.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Clear => None,
        }
    }
}

/// All that one row asks for. A field that is `None` is left alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The tags.
    pub tags: Option<TagChange>,
    /// Which AI tags go, before any extension runs.
    pub ai_tags: Option<AiTagRemoval>,
    /// The important area.
    pub coordinates: Option<Set<Coordinates>>,
    /// The description. Clearing sends `""`: the API takes no null here, and how else to clear it
    /// is not documented; the echoed object shows whether it worked.
    pub description: Option<Set<Box<str>>>,
    /// Custom metadata, merged key by key by the API.
    pub metadata: Vec<(MetadataField, Set<MetadataValue>)>,
    /// Extensions to run. They cost money each time.
    pub extensions: Option<Extensions>,
    /// Where the final status of pending extensions goes.
    pub webhook_url: Option<WebhookUrl>,
    /// The publication status.
    pub publish: Option<Publish>,
}

impl Change {
    /// Whether nothing at all would change. A webhook URL alone changes nothing: it only says
    /// where the results of extensions go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_none()
            && self.ai_tags.is_none()
            && self.coordinates.is_none()
            && self.description.is_none()
            && self.metadata.is_empty()
            && self.extensions.is_none()
            && self.publish.is_none()
    }
}

/// What is to become of the tags. Replacing and editing at once cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagChange {
    /// The list becomes this one.
    Replace(Tags),
    /// No tags remain.
    Clear,
    /// Some are added, some removed, the others stay. At least one of the two is there.
    Edit {
        /// Tags to add.
        add: Option<Tags>,
        /// Tags to remove; none of them is also added.
        remove: Option<Tags>,
    },
}

impl TagChange {
    /// All tags of a file that had these before; `None` where that depends on tags that are not known.
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

    /// This change and a later one in one, where one request can say it.
    #[must_use]
    pub fn then(&self, later: &Self) -> Option<Self> {
        let (Self::Edit { add, remove }, Self::Edit { add: later, remove: gone }) = (self, later)
        else {
            // All tags are known after the first, or set by the second.
            let before = self.after(None).unwrap_or_default();
            let tags = later.after(Some(&before))?;
            return if tags.is_empty() {
                Some(Self::Clear)
            } else {
                Tags::new(tags).ok().map(Self::Replace)
            };
        };
        let union = |one: Option<&Tags>, without: Option<&Tags>, other: Option<&Tags>| {
            let (one, without, other) =
                (as_slice_or_empty(one), as_slice_or_empty(without), as_slice_or_empty(other));
            let kept = one.iter().filter(|tag| !without.contains(tag) && !other.contains(tag));
            let all: Vec<String> = kept.chain(other).cloned().collect();
            if all.is_empty() { Ok(None) } else { Tags::new(all).map(Some) }
        };
        let add_both = union(add.as_ref(), gone.as_ref(), later.as_ref()).ok()?;
        let remove_both = union(remove.as_ref(), later.as_ref(), gone.as_ref()).ok()?;
        Some(Self::Edit { add: add_both, remove: remove_both })
    }
}

/// A list of tags that the API accepts: not empty, no duplicates, no `%`, at most
/// [`TAGS_LENGTH_MAX`] characters together. No line end either, which is the mark of a cell that has
/// swallowed its neighbours. Copies share one list: thousands of rows ask for the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tags(Arc<[String]>);

impl Tags {
    /// Takes a list of words without duplicates, or says what is wrong and what would be right.
    ///
    /// # Errors
    /// The list is empty, a tag holds `%` or a line end, or they are too long together.
    pub fn new(words: Vec<String>) -> Result<Self, (String, &'static str)> {
        if words.is_empty() {
            return Err(("names no tag".into(), "write at least one tag, or leave the cell empty"));
        }
        let is_wrong = |byte| matches!(byte, b'%' | b'\n' | b'\r');
        if let Some(tag) = words.iter().find(|tag| tag.bytes().any(is_wrong)) {
            return Err(if tag.contains('%') {
                let problem = format!("has a % in the tag {tag:?}, which ImageKit does not allow");
                (problem, "write the tag without %")
            } else {
                let suggestion = "look for a quote that is missing, and write each tag on one line";
                (format!("has a line end in the tag {tag:?}"), suggestion)
            });
        }
        let length: usize = words.iter().map(|tag| tag.chars().count()).sum();
        if length > TAGS_LENGTH_MAX {
            let problem =
                format!("has {length} characters of tags, and ImageKit allows 500 together");
            return Err((problem, "use fewer or shorter tags"));
        }
        Ok(Self(words.into()))
    }

    /// The tags, in the order given.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Each of them as a list of its own.
    pub(crate) fn one_by_one(&self) -> impl Iterator<Item = Self> {
        self.0.iter().map(|tag| Self([tag.clone()].into()))
    }
}

/// The tags of a list that may not be there.
pub(crate) fn as_slice_or_empty(tags: Option<&Tags>) -> &[String] {
    tags.map_or(&[], Tags::as_slice)
}

/// Which AI tags are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AiTagRemoval {
    /// These.
    Named(Box<[String]>),
    /// All of them.
    All,
}

/// The important area of an image, in pixels, written `x,y,width,height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coordinates {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Coordinates {
    /// Reads `x,y,width,height`; spaces around the numbers do not matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
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
    /// Takes an absolute `http://` or `https://` URL with a host and without spaces.
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

/// The publication status that a file is to have. Enterprise plans only; unpublishing purges
/// caches, which counts against a quota, so a lost answer is never answered with a second try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// Published or not.
    pub is_published: bool,
    /// Whether all versions are meant, or the current one only; the API's default where absent.
    pub include_file_versions: Option<bool>,
}
