//! What became of every row, as views of the ledger: for spreadsheets (`report.csv`), to be mended
//! and fed back (`failed.*`), to be settled (`unknown.*`), for machines (`summary.json`), and for
//! the person at the terminal.

mod backup;
mod counter;
mod error;
mod failures;
mod layout;
mod progress;
mod row;
mod running;
mod sanitize;
mod sheets;
mod summary;
mod superseded;
mod terminal;
mod undo;
mod write;

pub use counter::Counter;
pub use error::ReportError;
pub use failures::{Cause, Failures};
pub use progress::{Fraction, PriorProgress, Progress, ProgressLine};
pub use row::RowResult;
pub use running::{SoFar, running};
pub use sanitize::sanitize;
pub(crate) use sheets::escape_formula;
pub use summary::{ExtensionCounts, RowCounts, Summary, exit_code};
pub use terminal::{PlanView, Target, render_plan, render_summary};
pub use undo::render_undo;
pub use write::{Reports, rewrite, write};
