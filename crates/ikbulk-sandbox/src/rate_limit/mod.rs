//! The rate limits of an account.

pub(crate) mod account_limits;
pub(crate) mod background_load;
pub(crate) mod bucket;
pub(crate) mod headers;
pub(crate) mod limit;
pub(crate) mod limiter;
