//! Extensions: which there are, how they end, and what they write.

pub(crate) mod callbacks;
pub(crate) mod catalogue;
pub(crate) mod extension;
pub(crate) mod findings;
pub(crate) mod outcome;
pub(crate) mod parse;
pub(crate) mod result;
pub(crate) mod saved;
pub(crate) mod tasks;
pub(crate) mod units;
