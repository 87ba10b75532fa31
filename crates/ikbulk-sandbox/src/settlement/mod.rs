//! Settles pending extensions, and sends the callbacks with their results.

pub(crate) mod callback;
pub(crate) mod callback_client;
pub(crate) mod forgery;
pub(crate) mod run;
pub(crate) mod signature;
