//! What the account has besides files: webhooks, and its usage of extensions with reports of it.

pub(crate) mod reports;
pub(crate) mod usage;
pub(crate) mod webhooks;
