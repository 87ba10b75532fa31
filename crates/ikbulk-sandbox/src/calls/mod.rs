//! What each call does.

pub(crate) mod bulk;
pub(crate) mod fields;
pub(crate) mod handlers;
pub(crate) mod listing;
pub(crate) mod patch;
pub(crate) mod query;
pub(crate) mod saved_extensions;
pub(crate) mod sorting;
pub(crate) mod update;
pub(crate) mod webhooks;
