//! A local `ImageKit` server over loopback HTTP, for demonstrations (`--sandbox`), tests and
//! benchmarks.
//!
//! It shares no code with the client and is written from the API's description alone, so that a
//! misreading on one side shows as a failure.
//!
//! # Journey of a request
//! ```text
//! http::connection ─► http::service ─► api::route ─► state ─► api::handlers ─► http::delivery
//!                                          │          │         │
//!                                          │          │         ├─ api: patch, bulk, listing
//!                                          │          │         │        (query, sorting)
//!                                          │          │         ├─ library: store, metadata
//!                                          │          │         └─ extensions: run ─► callback
//!                                          │          └─ faults, api::auth, rate_limit
//!                                          └─ http::internal
//! ```
//! [`start`] starts a sandbox with a [`Config`], which includes [`Quirks`] and [`Faults`].
//!
//! * `http`: the server. `connection` is a TCP connection that can be broken at a chosen byte;
//!   `service` takes a request through all steps, with its delays, its fault and the [`Hook`];
//!   `delivery` sends the response; `internal` processes requests to `/__sandbox`.
//! * `state`: the mutable state, behind one lock. It numbers requests and admits or rejects them.
//! * `api`: the calls of the API. `handlers` processes admitted requests.
//! * `library`: the files. `store` has their current state: the [`Library`] at the start (`overlay`,
//!   `synthetic`) and the changes to it; `lag` is what list and search do not see yet.
//! * `extensions`: `run` settles pending extensions; `callback` sends the results to the
//!   `webhookUrl`.
//! * `rate_limit`, `faults`: the limits of the account, and the faults to inject.
//! * `statistics`: records [`Stats`] and the history of changes.

mod api;
mod clock;
mod config;
mod defaults;
mod digits;
mod extensions;
mod faults;
mod hook;
mod http;
mod library;
mod quirks;
mod rate_limit;
mod state;
mod statistics;

pub use config::{Config, Limit};
pub use extensions::callback::Callbacks;
pub use extensions::outcome::{ExtensionOutcome, FinalStatus, Settlement, Status};
pub use faults::fault::{Fault, Faults};
pub use faults::spec::{FAULT_FORMS, FaultSpec};
pub use hook::{Hook, HookEvent, Phase};
pub use http::server::{Running, start};
pub use library::initial::Library;
pub use library::jsonl::LibraryError;
pub use library::synthetic::synthetic_id;
pub use quirks::{
    EmptyDescription, EmptyTags, MissingIds, Quirks, RequiredFields, TagLength, WrongKey,
};
pub use statistics::stats::{CallbackCounts, Calls, Peak, Stats, WindowPeak};
