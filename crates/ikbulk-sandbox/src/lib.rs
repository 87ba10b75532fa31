//! A local `ImageKit` server over loopback HTTP, for demonstrations (`--sandbox`), tests and
//! benchmarks.
//!
//! It shares no code with the client and is written from the API's description alone, so that a
//! misreading on one side shows as a failure.
//!
//! # Journey of a request
//! ```text
//! connection ─► service ─► route ─► state ─► handlers ─► delivery ─► connection
//!                            │        │         │
//!                            │        │         ├─ patch, metadata, extensions, extension_outcome
//!                            │        │         ├─ bulk, listing (query, sorting)
//!                            │        │         ├─ store (lag, library: overlay, synthetic), file
//!                            │        │         └─ extension_run ─► callback ─► callback_client
//!                            │        └─ faults, auth, rate_limit             └─ signature
//!                            └─ internal
//! ```
//! * [`start`] starts a sandbox with a [`Config`], which includes [`Quirks`] and [`Faults`].
//! * `connection` is a TCP connection that can be broken at a chosen byte.
//! * `service` takes a request through all steps, with its delays, its fault and the [`Hook`];
//!   `delivery` sends the response.
//! * `state` is the mutable state, behind one lock; it numbers requests and admits or rejects them.
//! * `handlers` processes admitted requests.
//! * `extension_run` settles pending extensions; `callback` sends the results to the `webhookUrl`.
//! * `recorder`, `peaks` and `history` record [`Stats`] and changes.

mod auth;
mod bulk;
mod callback;
mod callback_client;
mod clock;
mod config;
mod connection;
mod defaults;
mod delivery;
mod digits;
mod extension_outcome;
mod extension_run;
mod extensions;
mod fault_spec;
mod faults;
mod file;
mod handlers;
mod history;
mod hook;
mod internal;
mod lag;
mod library;
mod library_file;
mod listing;
mod metadata;
mod overlay;
mod patch;
mod peaks;
mod query;
mod quirks;
mod rate_limit;
mod recorder;
mod request;
mod response;
mod route;
mod server;
mod service;
mod signature;
mod sorting;
mod state;
mod stats;
mod store;
mod synthetic;

pub use callback::Callbacks;
pub use config::{Config, Limit};
pub use extension_outcome::{ExtensionOutcome, FinalStatus, Settlement, Status};
pub use fault_spec::{FAULT_FORMS, FaultSpec};
pub use faults::{Fault, Faults};
pub use hook::{Hook, HookEvent, Phase};
pub use library::Library;
pub use library_file::LibraryError;
pub use quirks::{
    EmptyDescription, EmptyTags, MissingIds, Quirks, RequiredFields, TagLength, WrongKey,
};
pub use server::{Running, start};
pub use stats::{CallbackCounts, Calls, Peak, Stats, WindowPeak};
pub use synthetic::synthetic_id;
