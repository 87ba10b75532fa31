//! The API client; all knowledge of ImageKit's wire format is here.
//!
//! [`body`] encodes requests; [`Api`] sends them; [`Accepted`] is a successful response;
//! [`Failure`] is any other result, classified by what may be done next.

mod api;
pub mod body;
mod echo;
mod failure;
mod listing;

pub use api::{Accepted, Api, ApiSettings, BuildError, SendResult};
pub use echo::{BulkAnswer, Echo, FileState, ListedState, VersionInfo};
pub use failure::{Concern, Failure, RateLimitHeaders};
pub use listing::{IDS_MAX, ListedFile, ListedPlace, Listing, Order, PAGE_FILES_MAX, Place};
