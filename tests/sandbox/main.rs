//! What the sandbox promises, asked over a bare socket: no HTTP client can smooth anything over.

#![expect(clippy::disallowed_methods, reason = "a server on a socket has no clock to be paused")]

mod bulk;
mod callbacks;
mod client;
mod command;
mod extensions;
mod faults;
mod gate;
mod patch;
mod reading;
mod receiver;
mod schema;
mod watching;
