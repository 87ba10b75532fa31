//! The API on the wire: calls, requests, responses and keys.

pub(crate) mod auth;
pub(crate) mod request;
pub(crate) mod request_id;
pub(crate) mod response;
pub(crate) mod route;
