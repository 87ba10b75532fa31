//! Extensions: which there are, how they end, and the callbacks with their results.

pub(crate) mod callback;
pub(crate) mod callback_client;
pub(crate) mod catalogue;
pub(crate) mod outcome;
pub(crate) mod run;
pub(crate) mod signature;
