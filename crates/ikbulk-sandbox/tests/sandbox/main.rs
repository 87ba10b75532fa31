//! Tests of the sandbox over a bare socket, so that no HTTP client hides what is on the wire.

#![expect(clippy::disallowed_methods, reason = "the sandbox is a real server on real time")]

mod access;
mod bulk_tags;
mod callback_receiver;
mod callbacks;
mod client;
mod extensions;
mod faults;
mod observability;
mod patch;
mod path_policies;
mod reads;
mod saved_extensions;
mod schema;
mod usage;
mod webhooks;
mod wire;
