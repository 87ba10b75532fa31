//! The API client; all knowledge of ImageKit's wire format is here.
//!
//! [`body`] encodes requests; [`Api`] sends them; [`Accepted`] is a successful response;
//! [`Failure`] is any other result, classified by what may be done next.

mod api;
pub(crate) mod body;
mod echo;
mod failure;
mod listing;
mod usage;

pub(crate) use api::BuildError;
pub use api::{Accepted, Api, ApiSettings, SendResult};
pub use echo::FileState;
pub(crate) use echo::{BulkAnswer, Echo, ListedState};
pub(crate) use failure::RateLimitHeaders;
pub use failure::{Concern, Failure};
pub use listing::Listing;
pub(crate) use listing::{IDS_MAX, ListedFile, ListedPlace, Order, PAGE_FILES_MAX, Place};
