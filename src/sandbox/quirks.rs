//! What the API's description leaves open. Whichever response is played, a client must be safe.

use clap::ValueEnum;

/// Which response this sandbox plays to each open question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// What `tags: []` does.
    pub empty_tags: EmptyTags,
    /// What `description: ""` does.
    pub empty_description: EmptyDescription,
    /// In what the 500 of all tags together are counted.
    pub tag_length: TagLength,
    /// Whether a bulk 404 names the files it misses.
    pub missing_ids: MissingIds,
    /// What a required custom metadata field demands of an update.
    pub required_fields: RequiredFields,
    /// What a key that is not the account's gets.
    pub wrong_key: WrongKey,
    /// The highest `skip` of a list; more gets a 400. `None` is no cap, as none is documented.
    pub skip_max: Option<usize>,
    /// The most bytes of path and query of a request; more gets a 414. `None` is what the HTTP
    /// library takes, some 64 KiB.
    pub url_max: Option<usize>,
}

/// What `tags: []` in a PATCH does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EmptyTags {
    /// The same as `null`: no tags
    #[default]
    Clear,
    /// Nothing: the tags stay
    Ignore,
    /// 400
    Refuse,
}

/// What `description: ""` in a PATCH does. `null` is refused, so that nothing else could clear it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EmptyDescription {
    /// An empty description is stored
    #[default]
    Store,
    /// The file has no description any more
    Clear,
    /// Nothing: the description stays
    Ignore,
    /// 400
    Refuse,
}

/// The unit in which the length of tags is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TagLength {
    /// Characters (Unicode scalar values)
    #[default]
    Characters,
    /// Bytes of UTF-8
    Bytes,
}

/// Whether a bulk 404 carries `missingFileIds`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MissingIds {
    /// It does
    #[default]
    Named,
    /// It does not: the client has to find out by halving
    Silent,
}

/// What a wrong private key gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WrongKey {
    /// 401, as if there were none.
    #[default]
    Unauthorized,
    /// 403 "Your account cannot be authenticated."
    Forbidden,
}

/// What a custom metadata field with `isValueRequired` demands of an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RequiredFields {
    /// Nothing: it can be unset
    NotEnforced,
    /// It cannot be unset, but it can be left out
    #[default]
    NotUnset,
    /// Every customMetadata has to give it a value, even if the file has one
    Given,
}
