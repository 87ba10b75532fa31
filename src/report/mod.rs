//! Reports of a run, derived from its ledger: `report.csv` with the result of every row, `failed.*`
//! with rows to fix and apply again, `unknown.*` with rows to check, `summary.json` for programs,
//! and the output on the terminal.

mod backup;
mod counter;
mod error;
mod layout;
mod progress;
mod row;
mod run_progress;
mod sheets;
mod summary;
mod superseded;
mod terminal;
mod undo;
mod write;

pub use counter::Counter;
pub use error::ReportError;
pub use progress::{Fraction, PriorProgress, Progress, ProgressLine};
pub use row::RowResult;
pub use run_progress::{RunProgress, render_progress};
pub use summary::{ExtensionCounts, RowCounts, Summary, exit_code};
pub use terminal::{PlanView, Target, WholeSheet, render_plan, render_summary};
pub use undo::render_undo;
pub use write::{Reports, rewrite, write};
