//! The commands as a person meets them: the real binary, a sheet, and an ImageKit that behaves or
//! does not.

mod account;
mod bulk;
mod charges;
mod damaged;
mod diff_planner;
mod duplicates;
mod environment;
mod error_text;
mod export;
mod faults;
mod feedback;
mod findings;
mod fresh;
mod harness;
mod help_text;
mod hostile;
mod inputs;
mod journeys;
mod lookups;
#[cfg(target_os = "linux")]
mod oversized;
mod plan;
mod preview_text;
mod results;
mod retry;
mod returning;
mod run_lock;
mod safety;
mod saved_extensions;
mod saved_responses;
mod settings;
mod settle;
mod sheet_cases;
mod sheets;
mod signals;
mod spending;
mod summary_text;
mod targets;
mod terminal;
mod trust;
mod undo;
mod unknown;
mod usage;
mod values;
mod wire;
