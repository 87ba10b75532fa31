//! Configurable behaviours that the API's description leaves open. Clients must handle all of them.

/// The behaviours of a sandbox where the API's description is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Effect of `tags: []` in a PATCH.
    pub empty_tags: EmptyTags,
    /// Effect of `description: ""` in a PATCH.
    pub empty_description: EmptyDescription,
    /// Unit of the combined length of tags, which is limited to 500.
    pub tag_length: TagLength,
    /// Whether the 404 of a bulk call lists the missing files.
    pub missing_ids: MissingIds,
    /// How required custom metadata fields are enforced in an update.
    pub required_fields: RequiredFields,
    /// How read-only fields of a path policy are enforced in an update.
    pub read_only_fields: ReadOnlyFields,
    /// Maximum number of extension runs of a file; more are rejected with a 400, and cost nothing. The
    /// API has such a limit, but does not document it. `None` for no maximum.
    pub extension_limit: Option<u64>,
    /// Response to a wrong private key.
    pub wrong_key: WrongKey,
    /// Maximum `skip` of a list; larger values get a 400. `None` for no maximum, as documented.
    pub skip_max: Option<usize>,
    /// Maximum length of path and query in bytes; longer ones get a 414. `None` for the limit of the
    /// HTTP library, about 64 KiB.
    pub url_max: Option<usize>,
}

/// Effect of `tags: []` in a PATCH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum EmptyTags {
    /// Clears the tags, like `null`
    #[default]
    Clear,
    /// Ignored: the tags are kept
    Ignore,
    /// Rejected with a 400
    Refuse,
}

/// Effect of `description: ""` in a PATCH. There is no other way to clear a description, because
/// `null` is rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum EmptyDescription {
    /// Stores an empty description
    #[default]
    Store,
    /// Removes the description
    Clear,
    /// Ignored: the description is kept
    Ignore,
    /// Rejected with a 400
    Refuse,
}

/// Unit of the length of tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum TagLength {
    /// Characters (Unicode scalar values)
    #[default]
    Characters,
    /// UTF-8 bytes
    Bytes,
}

/// Whether the 404 of a bulk call contains `missingFileIds`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum MissingIds {
    /// Lists the missing ids
    #[default]
    Named,
    /// Does not list them: the client has to find them by bisection
    Silent,
}

/// Response to a wrong private key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WrongKey {
    /// 401, as without a key.
    #[default]
    Unauthorized,
    /// 403 "Your account cannot be authenticated."
    Forbidden,
}

/// How custom metadata fields with `isValueRequired` are enforced in an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum RequiredFields {
    /// Not enforced: the field can be unset
    NotEnforced,
    /// The field cannot be unset, but can be omitted
    #[default]
    NotUnset,
    /// Every customMetadata must set the field, even if the file has a value
    Given,
}

/// How read-only custom metadata fields of a path policy are enforced in an update, once they have a
/// value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ReadOnlyFields {
    /// The same value is accepted
    #[default]
    AcceptSame,
    /// Any value is rejected, also the same one
    RefuseAny,
}
