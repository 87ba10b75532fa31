//! What became of every row, as views of the ledger: for spreadsheets (`report.csv`), to be mended
//! and fed back (`failed.*`), to be settled (`unknown.*`), for machines (`summary.json`), and for
//! the person at the terminal.

mod counter;
mod error;
mod failures;
mod harmless;
mod kept;
mod lines;
mod progress;
mod row;
mod running;
mod sheets;
mod summary;
mod superseded;
mod terminal;
mod undoing;
mod write;

pub use counter::Counter;
pub use error::ReportError;
pub use failures::{Cause, Failures};
pub use harmless::harmless;
pub use progress::{Before, Numbers, Progress, Share};
pub use row::RowResult;
pub use running::{SoFar, running};
pub(crate) use sheets::defused;
pub use summary::{ExtensionCounts, RowCounts, Summary, exit_code};
pub use terminal::{Opening, Target, closing, opening};
pub use undoing::undoing;
pub use write::{Reports, rewrite, write};
