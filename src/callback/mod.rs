//! Callbacks: ImageKit's messages about extensions that were pending, posted to the `webhookUrl` of
//! their request or saved by another receiver.
//!
//! A callback names a service and a file, and neither a run nor a request. So a run sends a
//! [`CallbackUrl`] with each request: it has the run's [`Token`], which ImageKit alone learns, and
//! the row, so that two rows that request the same extension on one file are told apart.
//!
//! A [`Listener`] receives the callbacks. It responds 200 only after its [`Inbox`] has stored one
//! durably, because ImageKit sends a callback again until it gets a 200, and not after that. It
//! responds 404 to whatever is not a callback of the run.

mod body;
mod listener;
mod saved;
mod signature;
mod token;
mod url;

pub(crate) use body::{Callback, CallbackResult};
pub use listener::Counts;
pub(crate) use listener::{Arrival, Gate, Inbox, InboxError, Listener, Receipt};
pub(crate) use saved::{SavedBodies, SavedError};
pub(crate) use signature::{Refused, Verifier};
pub(crate) use token::Token;
pub(crate) use url::CallbackUrl;
pub use url::{PublicUrl, PublicUrlError};
