//! The server: connections, and the path of a request through all steps.

pub(crate) mod connection;
pub(crate) mod delivery;
pub(crate) mod internal;
pub(crate) mod server;
pub(crate) mod service;
