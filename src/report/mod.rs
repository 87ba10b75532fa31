//! Reports of a run, derived from its ledger: `report.csv` with the result of every row, `failed.*`
//! with rows to fix and apply again, `unknown.*` with rows to check, and `summary.json` for programs;
//! and the progress of a run.

mod backup;
mod csv_line;
mod encoded_file;
mod error;
mod json_records;
mod progress;
mod reason;
mod result_cells;
mod retry_sheet;
mod returned;
mod row;
mod run_progress;
mod sheets;
mod summary;
mod superseded;
mod workbook_sheet;
mod write;

pub use error::ReportError;
pub(crate) use progress::ProgressMeter;
pub use progress::{Fraction, Hold, Progress};
pub(crate) use retry_sheet::{RetryRows, write_retry_sheet};
#[cfg(test)]
pub(crate) use row::RowResult;
pub use run_progress::RunProgress;
pub use summary::Billed;
pub use summary::RowCounts;
pub use summary::{ExtensionCounts, Summary};
pub use write::Reports;
pub(crate) use write::{rewrite, write};
