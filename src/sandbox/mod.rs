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
//! * `service` carries one request through, with its delays, faults and the [`Tap`]; `delivery` puts
//!   the answer on the wire.
//! * `state` holds all that changes, behind one lock, and decides who may pass.
//! * `run` ends extension runs that were pending, and `callback` tells the client's `webhookUrl`.
//! * `recorder`, `peaks` and `history` watch; [`Stats`] says what was seen.

mod answer;
mod auth;
mod bucket;
mod bulk;
mod callback;
mod clock;
mod config;
mod defaults;
mod delivery;
mod digits;
mod extensions;
mod fault_text;
mod faults;
mod file;
mod given;
mod history;
mod internal;
mod lag;
mod library;
mod library_file;
mod limiter;
mod limits;
mod listing;
mod metadata;
mod neighbour;
mod open;
mod patch;
mod peaks;
mod play;
mod post;
mod query;
mod recorder;
mod request;
mod route;
mod run;
mod server;
mod service;
mod signature;
mod sorting;
mod state;
mod stats;
mod stock;
mod synthetic;
mod tap;
mod wire;
mod work;

pub use callback::Callbacks;
pub use config::{Config, Limit};
pub use fault_text::{FAULT_FORMS, Planned};
pub use faults::{Fault, Faults};
pub use library::Library;
pub use library_file::LibraryError;
pub use open::{
    EmptyDescription, EmptyTags, MissingIds, Open, RequiredFields, TagLength, WrongKey,
};
pub use play::{End, Ending, ExtensionPlay, Status};
pub use server::{Running, start};
pub use stats::{CallbackCounts, Calls, Peak, Stats, WindowPeak};
pub use synthetic::synthetic_id;
pub use tap::{Phase, Tap, TapEvent};
