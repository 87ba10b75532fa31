//! The media library: its files at the start, the changes to them, and their custom metadata.

pub(crate) mod fields;
pub(crate) mod file;
pub(crate) mod initial;
pub(crate) mod jsonl;
pub(crate) mod lag;
pub(crate) mod metadata;
pub(crate) mod overlay;
pub(crate) mod policy;
pub(crate) mod store;
pub(crate) mod synthetic;
