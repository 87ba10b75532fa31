//! What the account has besides files: its usage of extensions, and reports of it.

pub(crate) mod reports;
pub(crate) mod usage;
