//! Text for people: previews, progress and summaries.

mod callbacks;
mod charges;
mod counter;
mod duration;
mod invalid;
mod layout;
mod plan;
mod progress;
mod run_progress;
mod settle;
mod summary;
mod undo;
mod usage;

pub(super) use callbacks::callbacks_text;
pub(super) use charges::render_charges;
pub(super) use counter::Counter;
pub(super) use invalid::{MessageStyle, render_invalid};
pub(super) use plan::{PreviewStyle, render_plan};
pub(super) use progress::ProgressDisplay;
pub(super) use run_progress::render_run_progress;
pub(super) use settle::{SettleDisplay, render_settled};
pub(super) use summary::{render_settled_summary, render_summary};
pub(super) use undo::render_undo;
pub(super) use usage::{price_flag, render_usage};
