//! A local `ImageKit`: the other end of the wire, over loopback HTTP.
//!
//! It is for trying (`--sandbox`), for tests (in-process) and for measuring, and it shares no code
//! with the client: what this side knows about the API it knows from the API's description alone,
//! so that a misreading on one side shows as a failure.
//!
//! # The way of a request
//! ```text
//! wire ─► service ─► route ─► state: number, gate ─► work ─► service ─► wire
//!                     │          │                   │
//!                     └─ internal├─ auth, limits     ├─ patch, metadata, extensions, play
//!                                └─ faults           ├─ bulk, listing, query, sorting
//!                                                    ├─ stock, lag, library, file, synthetic, given
//!                                                    └─ run ─► callback ─► post, signature
//! ```
//! * [`Config`] says how it behaves, [`Faults`] how it misbehaves, [`start`] starts it.
//! * `wire` is the connection and can break it at a chosen byte.
//! * `service` carries one request through, with its delays, faults and the [`Hook`]; `delivery` puts
//!   the response on the wire.
//! * `state` holds all that changes, behind one lock, and decides who may pass.
//! * `run` ends extension runs that were pending, and `callback` tells the client's `webhookUrl`.
//! * `recorder`, `peaks` and `history` watch; [`Stats`] says what was seen.

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
pub use extension_outcome::{End, Ending, ExtensionOutcome, Status};
pub use fault_spec::{FAULT_FORMS, Planned};
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
