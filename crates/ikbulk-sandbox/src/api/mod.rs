//! The API: its calls, requests and responses, and what each call does.

pub(crate) mod auth;
pub(crate) mod bulk;
pub(crate) mod handlers;
pub(crate) mod listing;
pub(crate) mod patch;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod route;
pub(crate) mod sorting;
