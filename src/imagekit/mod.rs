//! The wire: ImageKit's API in its own words, and nothing of it anywhere else.
//!
//! [`body`] writes requests; [`Api`] sends them; [`Accepted`] is an answer that says yes;
//! [`Failure`] is every other end of a request, sorted by what may be done next.

mod api;
pub mod body;
mod echo;
mod failure;
mod fields;
mod listing;

pub use api::{Accepted, Api, ApiSettings, BuildError, Fate};
pub use echo::{BulkAnswer, Echo, FileState};
pub use failure::{Concern, Failure, RateLimitNote};
pub use fields::{AiTag, FileFields};
pub use listing::{IDS_MAX, Kind, ListedFile, ListedPlace, Listing, PAGE_FILES_MAX, Place};
