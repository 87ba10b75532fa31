//! A local `ImageKit` server over loopback HTTP, for demonstrations (`--sandbox`), tests and
//! benchmarks.
//!
//! It shares no code with the client and is written from the API's description alone, so that a
//! misreading on one side shows as a failure.
//!
//! # Journey of a request
//! ```text
//! http::connection ─► http::service ─► api::route ─► state ─► calls::handlers ─► http::delivery
//!                                          │          │         │
//!                                          │          │         ├─ update, bulk, listing, …
//!                                          │          │         ├─ library::store
//!                                          │          │         └─ settlement: run ─► callback
//!                                          │          └─ faults, api::auth, rate_limit, statistics
//!                                          └─ http::internal
//! ```
//! # Modules
//! [`start`] starts a sandbox with a [`Config`], which includes [`Quirks`] and [`Faults`].
//! Dependencies point down this list only, also between the files of a folder.
//!
//! * `http`: the server. `connection` is a TCP connection that can be broken at a chosen byte;
//!   `service` takes a request through all steps, with its delays, its fault and the [`Hook`];
//!   `delivery` sends the response; `internal` processes requests to `/__sandbox`.
//! * `calls`: what each call does. `handlers` processes admitted requests.
//! * `settlement`: `run` settles pending extensions; `callback` sends the results to the
//!   `webhookUrl`, and changes of files to the webhooks of the account.
//! * `state`: the mutable state, behind one lock. It numbers requests and admits or rejects them.
//! * `account`: what the account has besides files: its webhooks, and its usage with the
//!   reports of it.
//! * `statistics`: records [`Stats`] and the history of changes.
//! * `config`: the settings; `defaults` has the account's fields and saved extensions.
//! * `extensions`: which there are, how they end, and what they write.
//! * `library`: the files. `store` has their current state: the [`Library`] at the start (`overlay`,
//!   `synthetic`) and the changes to it; `lag` hides the latest changes from list and search.
//! * `api`: calls, requests, responses and keys on the wire.
//! * `rate_limit`, `faults`: the limits of the account, and the faults to inject.

mod account;
mod api;
mod calls;
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
mod settlement;
mod state;
mod statistics;

pub use account::reports::UsageReports;
pub use config::Config;
pub use defaults::original_creation_date_field;
pub use extensions::callbacks::Callbacks;
pub use extensions::findings::{FoundTags, found_tags};
pub use extensions::outcome::{ExtensionOutcome, FinalStatus, Settlement};
pub use extensions::units::ExtensionUnits;
pub use faults::fault::{Fault, Faults};
pub use faults::spec::{FAULT_FORMS, FaultSpec};
pub use hook::{Hook, HookEvent, Phase};
pub use http::server::{Running, start};
pub use library::file::Status;
pub use library::initial::Library;
pub use library::jsonl::LibraryError;
pub use library::policy::PathPolicy;
pub use library::synthetic::synthetic_id;
pub use quirks::{
    EmptyDescription, EmptyTags, MissingIds, Quirks, ReadOnlyFields, RequiredFields, TagLength,
    WrongKey,
};
pub use rate_limit::limit::Limit;
pub use statistics::runs::ExtensionRuns;
pub use statistics::stats::{CallbackCounts, Calls, Peak, Stats, WindowPeak};
